/** Icons as lines of the text's colour; decoration only, whatever they say is also said in words. */

import type { ReactNode } from "react";

function icon(lines: ReactNode) {
  return function Icon({ className = "size-4" }: { className?: string }) {
    return (
      <svg
        className={`shrink-0 ${className}`}
        viewBox="0 0 24 24"
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
      >
        {lines}
      </svg>
    );
  };
}

export const SearchIcon = icon(<path d="M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14m5-2 5 5" />);
export const CloseIcon = icon(<path d="M6 6l12 12M18 6 6 18" />);
export const UpIcon = icon(<path d="M12 19V5m-6 6 6-6 6 6" />);
export const DownIcon = icon(<path d="M12 5v14m-6-6 6 6 6-6" />);
export const SortIcon = icon(<path d="m8 10 4-4 4 4m-8 5 4 4 4-4" />);
export const LeftIcon = icon(<path d="m15 6-6 6 6 6" />);
export const RightIcon = icon(<path d="m9 6 6 6-6 6" />);
export const RefreshIcon = icon(<path d="M20 11a8 8 0 0 0-14-5L4 8m0-5v5h5m-5 5a8 8 0 0 0 14 5l2-2m0 5v-5h-5" />);
export const DownloadIcon = icon(<path d="M12 4v11m-5-4 5 5 5-5M5 20h14" />);
export const ExternalIcon = icon(
  <path d="M14 5h5v5m0-5-8 8M10 6H6a1 1 0 0 0-1 1v11a1 1 0 0 0 1 1h11a1 1 0 0 0 1-1v-4" />,
);
export const FolderIcon = icon(
  <path d="M4 7a2 2 0 0 1 2-2h4l2 2.5h6a2 2 0 0 1 2 2V17a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2z" />,
);
export const NotebookIcon = icon(
  <path d="M7 4h10a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2H7zM4 8h3m-3 4h3m-3 4h3m4-7h4m-4 4h4" />,
);
export const CodeIcon = icon(<path d="m8 8-4 4 4 4m8-8 4 4-4 4m-2.5-11-3 14" />);
export const PeopleIcon = icon(
  <path d="M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7m-6 9a6 6 0 0 1 12 0m1-16a3.5 3.5 0 0 1 0 7m2 3.5a6 6 0 0 1 3 5.5" />,
);
export const PlayIcon = icon(<path d="M7 5v14l11-7z" />);
export const ClockIcon = icon(<path d="M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16m0-12v4l3 2" />);
export const AlertIcon = icon(<path d="M12 4 2.8 20h18.4zM12 10v4m0 3v.01" />);
export const EmptyIcon = icon(
  <path d="M4 13h4l1.5 3h5L16 13h4M4 13l2.5-8h11L20 13v5a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1z" />,
);

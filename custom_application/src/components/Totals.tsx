/** The numbers at the top; each that can be looked into is a link to the rows behind it. */

import type { Notebook, UseCase } from "../../shared/api.ts";
import { isRunning, tally } from "../model/rows.ts";
import { ClockIcon, CodeIcon, FolderIcon, NotebookIcon, PeopleIcon, PlayIcon } from "./icons.tsx";

interface Props {
  useCases: readonly UseCase[] | null;
  notebooks: readonly Notebook[] | null;
  loading: boolean;
}

export function Totals({ useCases, notebooks, loading }: Props) {
  const count = (test: (notebook: Notebook) => boolean) => notebooks && notebooks.filter(test).length;
  const people = useCases &&
    notebooks && [...useCases.map((one) => one.owner), ...notebooks.map((one) => one.createdBy)];
  const tiles = [
    { label: "Use cases", value: useCases && useCases.length, href: "#/use-cases", Icon: FolderIcon },
    {
      label: "Notebooks",
      value: count((one) => one.type === "notebook"),
      href: "#/notebooks?type=notebook",
      Icon: NotebookIcon,
    },
    {
      label: "Codespaces",
      value: count((one) => one.type === "codespace"),
      href: "#/notebooks?type=codespace",
      Icon: CodeIcon,
    },
    { label: "Running", value: count(isRunning), href: "#/notebooks?status=running", Icon: PlayIcon },
    {
      label: "Scheduled",
      value: count((one) => one.scheduleEnabled),
      href: "#/notebooks?status=scheduled",
      Icon: ClockIcon,
    },
    { label: "People", value: people && tally(people).length, Icon: PeopleIcon },
  ];
  return (
    <ul className="grid grid-cols-3 gap-2 sm:gap-3 lg:grid-cols-6" aria-label="Totals">
      {tiles.map(({ label, value, href, Icon }) => {
        const content = (
          <>
            <span className="text-muted flex items-center gap-1.5 text-xs font-medium">
              <Icon className="size-4 max-sm:hidden" />
              {label}
            </span>
            {value === null && loading ? (
              <span className="bar mt-2 block !h-6 w-12" />
            ) : (
              <span className="mt-1 block text-2xl font-semibold tabular-nums">
                {value === null ? "–" : value.toLocaleString("en")}
              </span>
            )}
          </>
        );
        const look = "border-line bg-surface block h-full rounded-xl border px-3 py-2.5 shadow-xs sm:px-4 sm:py-3";
        return (
          <li key={label}>
            {href ? (
              <a href={href} className={`${look} hover:border-accent transition-colors`}>
                {content}
              </a>
            ) : (
              <div className={look}>{content}</div>
            )}
          </li>
        );
      })}
    </ul>
  );
}

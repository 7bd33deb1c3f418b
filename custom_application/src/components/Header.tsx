import { useContext } from "react";

import { ago } from "../model/time.ts";
import { Now } from "./bits.tsx";
import { RetryButton } from "./states.tsx";

interface Props {
  origin: string;
  loadedAt: string | null;
  loading: boolean;
  onRefresh: () => void;
}

export function Header({ origin, loadedAt, loading, onRefresh }: Props) {
  const now = useContext(Now);
  return (
    <header className="border-line bg-surface border-b">
      <div className="mx-auto flex max-w-7xl items-center gap-3 px-4 py-3 sm:px-6">
        <Logo />
        <div className="min-w-0 flex-1">
          <h1 className="truncate text-base font-semibold">Notebook admin viewer</h1>
          <p className="text-muted truncate text-xs">{origin ? new URL(origin).host : "DataRobot"}</p>
        </div>
        <p className="text-muted hidden text-xs sm:block" role="status">
          {loading ? "Reading…" : loadedAt && `Read ${ago(loadedAt, Math.max(now, Date.parse(loadedAt)))}`}
        </p>
        <RetryButton label="Refresh" busy={loading} onClick={onRefresh} labelClassName="max-sm:sr-only" />
      </div>
    </header>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" className="size-9 shrink-0" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#0f766e" />
      <path d="M10 7.5h11a2.5 2.5 0 0 1 2.5 2.5v12a2.5 2.5 0 0 1-2.5 2.5H10z" fill="#fff" />
      <path d="M8 11.5h4M8 16h4M8 20.5h4" stroke="#99f6e4" strokeWidth="2" strokeLinecap="round" />
      <path d="M15 12.5h5M15 16.5h5" stroke="#0f766e" strokeWidth="2" strokeLinecap="round" />
    </svg>
  );
}

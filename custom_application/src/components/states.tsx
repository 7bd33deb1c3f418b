/** What is shown instead of a table, or above it. */

import type { ReactNode } from "react";

import type { Problem, Progress } from "../../shared/api.ts";
import { AlertIcon, EmptyIcon, RefreshIcon } from "./icons.tsx";

const TITLES: Partial<Record<Problem["code"], string>> = {
  unauthorized: "The token is not accepted",
  forbidden: "The token lacks a permission",
  "rate-limited": "Too many requests",
  timeout: "DataRobot takes too long",
  unreachable: "DataRobot cannot be reached",
  "signed-out": "Signed out",
  offline: "No connection",
};

interface ProblemProps {
  problem: Problem;
  retrying: boolean;
  onRetry: () => void;
}

export function ProblemPanel({ problem, retrying, onRetry }: ProblemProps) {
  return (
    <div role="alert" className="mx-auto flex max-w-xl flex-col items-center px-6 py-16 text-center">
      <span className="bg-bad-soft text-bad mb-4 grid size-12 place-items-center rounded-full">
        <AlertIcon className="size-6" />
      </span>
      <h2 className="text-lg font-semibold">{TITLES[problem.code] ?? "Something went wrong"}</h2>
      <p className="mt-2">{problem.message}</p>
      {problem.hint && <p className="text-muted mt-1">{problem.hint}</p>}
      <RetryButton label="Try again" busy={retrying} onClick={onRetry} className="mt-6" />
    </div>
  );
}

interface RetryProps {
  label: string;
  busy: boolean;
  onClick: () => void;
  className?: string;
  labelClassName?: string;
}

/** Not `disabled` while it is busy: that would take the focus away from who pressed it. */
export function RetryButton({ label, busy, onClick, className = "", labelClassName = "" }: RetryProps) {
  return (
    <button
      type="button"
      className={`control flex items-center gap-2 font-medium aria-disabled:opacity-60 ${className}`}
      aria-disabled={busy}
      onClick={() => busy || onClick()}
    >
      <RefreshIcon className={`size-4 ${busy ? "motion-safe:animate-spin" : ""}`} />
      <span className={labelClassName}>{label}</span>
    </button>
  );
}

export function EmptyPanel({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="mx-auto flex max-w-xl flex-col items-center px-6 py-16 text-center">
      <span className="bg-sunken text-muted mb-4 grid size-12 place-items-center rounded-full">
        <EmptyIcon className="size-6" />
      </span>
      <h2 className="text-lg font-semibold">{title}</h2>
      <div className="text-muted mt-2">{children}</div>
    </div>
  );
}

export function Notice({ children, onRetry }: { children: ReactNode; onRetry?: () => void }) {
  return (
    <div role="status" className="bg-warn-soft text-warn mb-4 flex items-start gap-2 rounded-lg px-4 py-2.5">
      <AlertIcon className="mt-0.5 size-4" />
      <div className="min-w-0 flex-1">{children}</div>
      {onRetry && (
        <button type="button" className="font-semibold underline underline-offset-2" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function ProgressBar({ progress }: { progress: Progress["progress"] | null }) {
  if (!progress || progress.of === 0) return null;
  return (
    <div className="border-line flex items-center gap-3 border-b px-4 py-3">
      <progress className="h-1.5 flex-1" value={progress.done} max={progress.of} aria-label="Reading notebooks" />
      <span className="text-muted text-xs tabular-nums">
        {progress.done.toLocaleString("en")} of {progress.of.toLocaleString("en")} use cases read
      </span>
    </div>
  );
}

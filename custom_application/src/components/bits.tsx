/** Small pieces of cells. */

import { useContext, createContext, type ReactNode } from "react";

import type { Notebook, Person } from "../../shared/api.ts";
import { isRunning } from "../model/rows.ts";
import { ago, moment } from "../model/time.ts";
import { ClockIcon, CodeIcon, ExternalIcon, NotebookIcon } from "./icons.tsx";

export const Now = createContext(0);

export const None = () => (
  <span className="text-muted">
    <span aria-hidden="true">–</span>
    <span className="sr-only">none</span>
  </span>
);

export function Time({ at }: { at: string | null }) {
  const now = useContext(Now);
  if (!at) return <None />;
  return (
    <time dateTime={at} title={moment(at)} className="whitespace-nowrap">
      {ago(at, now)}
    </time>
  );
}

const HUES = [
  "bg-accent-soft text-accent",
  "bg-violet-soft text-violet",
  "bg-good-soft text-good",
  "bg-warn-soft text-warn",
  "bg-blue-soft text-blue",
  "bg-sunken text-muted",
];

export function PersonName({ person }: { person: Person | null }) {
  if (!person) return <None />;
  const hue = HUES[[...person.id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7) % HUES.length];
  return (
    <span className="flex min-w-0 items-center gap-2" title={person.username || person.name}>
      <span
        className={`grid size-6 shrink-0 place-items-center rounded-full text-[10px] font-semibold ${hue}`}
        aria-hidden="true"
      >
        {initials(person.name)}
      </span>
      <span className="truncate">{person.name}</span>
    </span>
  );
}

function initials(name: string): string {
  const words = name
    .replace(/@.*/, "")
    .split(/[\s._-]+/)
    .filter(Boolean);
  return [words[0], words.length > 1 ? words.at(-1) : undefined]
    .map((word) => [...(word ?? "")][0] ?? "")
    .join("")
    .toUpperCase();
}

export function TypeBadge({ type }: { type: string }) {
  const codespace = type === "codespace";
  const Icon = codespace ? CodeIcon : NotebookIcon;
  return (
    <Badge colour={codespace ? "bg-violet-soft text-violet" : "bg-accent-soft text-accent"}>
      <Icon className="size-3.5" />
      {type.charAt(0).toUpperCase() + type.slice(1)}
    </Badge>
  );
}

export function StatusBadges({ notebook }: { notebook: Notebook }) {
  const running = isRunning(notebook);
  if (!running && !notebook.hasSchedule) return <None />;
  const schedule = notebook.scheduleEnabled ? "Scheduled" : "Schedule off";
  return (
    <span className="flex gap-1">
      {running && (
        <Badge colour="bg-good-soft text-good">
          <span className="size-1.5 rounded-full bg-current motion-safe:animate-pulse" />
          Running
        </Badge>
      )}
      {notebook.hasSchedule && (
        <Badge colour={notebook.scheduleEnabled ? "bg-warn-soft text-warn" : "bg-sunken text-muted"} title={schedule}>
          <ClockIcon className="size-3.5" />
          <span className={running ? "sr-only" : ""}>{schedule}</span>
        </Badge>
      )}
    </span>
  );
}

function Badge({ colour, title, children }: { colour: string; title?: string; children: ReactNode }) {
  return (
    <span
      title={title}
      className={`inline-flex items-center gap-1 rounded-full px-2 py-0.5 text-xs font-medium whitespace-nowrap ${colour}`}
    >
      {children}
    </span>
  );
}

/** A link to DataRobot, in a tab of its own. */
export function Outward({ href, children }: { href: string; children: string }) {
  return (
    <a
      href={href}
      target="_blank"
      rel="noopener noreferrer"
      title={children}
      className="group/link hover:text-accent inline-flex max-w-full items-center gap-1.5 font-medium hover:underline"
    >
      <span className="truncate">{children}</span>
      <ExternalIcon className="text-muted size-3.5 opacity-0 group-hover/link:opacity-100 group-focus-visible/link:opacity-100" />
      <span className="sr-only">(opens DataRobot in a new tab)</span>
    </a>
  );
}

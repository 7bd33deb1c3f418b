/** From DataRobot's objects to ours. The notebook API is internal to DataRobot, so every field may be missing. */

import type { Notebook, Person, UseCase } from "../shared/api.ts";
import type { Item } from "./datarobot.ts";

export function toUseCase(item: Item): UseCase {
  return {
    id: String(item["id"]),
    name: text(item["name"]) || "(no name)",
    description: text(item["description"]),
    owner: toPerson(list(item["owners"])?.[0]) ?? toPerson(item["created"]),
    members: list(item["members"])?.length ?? null,
    notebooksCount: typeof item["notebooksCount"] === "number" ? item["notebooksCount"] : null,
    createdAt: time(item["createdAt"]),
    updatedAt: time(item["updatedAt"]),
  };
}

export function toNotebook(item: Item, useCaseId: string): Notebook {
  const [created, updated, viewed, session] = ["created", "updated", "lastViewed", "session"].map((key) =>
    record(item[key]),
  );
  return {
    id: String(item["id"]),
    type: text(item["type"]) || "notebook",
    name: text(item["name"]) || "(no name)",
    description: text(item["description"]),
    useCaseId: text(item["useCaseId"]) || useCaseId,
    createdAt: time(created?.["at"]),
    createdBy: toPerson(created?.["by"]),
    updatedAt: time(updated?.["at"]),
    updatedBy: toPerson(updated?.["by"]),
    viewedAt: time(viewed?.["at"]),
    session: text(session?.["status"]) || null,
    hasSchedule: item["hasSchedule"] === true,
    scheduleEnabled: item["hasEnabledSchedule"] === true,
  };
}

/** The two APIs call people differently: fullName and email in one, firstName and lastName in the other. */
export function toPerson(value: unknown): Person | null {
  const person = record(value);
  if (!person) return null;
  const username = text(person["username"]) || text(person["email"]);
  const name =
    text(person["fullName"]) || `${text(person["firstName"])} ${text(person["lastName"])}`.trim() || username;
  const id = text(person["id"]) || username;
  return id ? { id, name: name || id, username } : null;
}

function record(value: unknown): Record<string, unknown> | null {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
}

function list(value: unknown): unknown[] | null {
  return Array.isArray(value) ? value : null;
}

function text(value: unknown): string {
  return typeof value === "string" ? value.trim() : "";
}

function time(value: unknown): string | null {
  const date = typeof value === "string" && value ? new Date(value) : null;
  return date && !Number.isNaN(date.getTime()) ? date.toISOString() : null;
}

/** Tables as CSV (RFC 4180), for spreadsheets. */

import type { NotebookRow, UseCaseRow } from "./rows.ts";

type Cell = string | number | boolean | null | undefined;

const BYTE_ORDER_MARK = "\ufeff"; // without it Excel reads UTF-8 as something else

export function toCsv(header: readonly string[], lines: readonly (readonly Cell[])[]): string {
  return BYTE_ORDER_MARK + [header, ...lines].map((line) => line.map(quote).join(",") + "\r\n").join("");
}

/** How a formula begins, at the start of a cell or after what a spreadsheet may part cells at. */
const FORMULA = /(^|;|\t)(?=[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])/g;

/** Names are written by users: a spreadsheet would run one that begins like a formula. */
function quote(cell: Cell): string {
  const text = String(cell ?? "");
  const harmless = typeof cell === "string" ? text.replace(FORMULA, "$1'") : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

export function useCasesCsv(rows: readonly UseCaseRow[], origin: string): string {
  return toCsv(
    ["id", "name", "description", "owner", "owner username", "members", "notebooks", "created", "updated", "url"],
    rows.map((row) => [
      row.id,
      row.name,
      row.description,
      row.owner?.name,
      row.owner?.username,
      row.members,
      row.notebooks,
      row.createdAt,
      row.updatedAt,
      useCaseUrl(origin, row.id),
    ]),
  );
}

export function notebooksCsv(rows: readonly NotebookRow[], origin: string): string {
  return toCsv(
    [
      ...["id", "type", "name", "description", "use case", "use case id", "owner", "owner username", "created"],
      ...["updated", "updated by", "last viewed", "session", "has schedule", "schedule enabled", "url"],
    ],
    rows.map((row) => [
      row.id,
      row.type,
      row.name,
      row.description,
      row.useCaseName,
      row.useCaseId,
      row.createdBy?.name,
      row.createdBy?.username,
      row.createdAt,
      row.updatedAt,
      row.updatedBy?.name,
      row.viewedAt,
      row.session,
      row.hasSchedule,
      row.scheduleEnabled,
      notebookUrl(origin, row.useCaseId, row.id),
    ]),
  );
}

export function useCaseUrl(origin: string, id: string): string {
  return `${origin}/usecases/${encodeURIComponent(id)}`;
}

export function notebookUrl(origin: string, useCaseId: string, id: string): string {
  return `${useCaseUrl(origin, useCaseId)}/notebooks/${encodeURIComponent(id)}`;
}

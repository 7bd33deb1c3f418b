/** Rows of the two tables, and what search, filters and sorting make of them. Pure. */

import type { Notebook, Person, UseCase } from "../../shared/api.ts";
import type { Sort, View } from "./view.ts";

export interface UseCaseRow extends UseCase {
  /** Found notebooks and codespaces; DataRobot's own count until they have been read, or where they cannot be. */
  notebooks: number | null;
  running: number;
  text: string;
}

export interface NotebookRow extends Notebook {
  useCaseName: string;
  text: string;
}

export type Value = string | number | null;

export interface Column<Row> {
  key: string;
  label: string;
  value: (row: Row) => Value;
  /** Which way a first click on the header sorts. */
  descendingFirst?: boolean;
}

export const USE_CASE_COLUMNS: readonly Column<UseCaseRow>[] = [
  { key: "name", label: "Use case", value: (row) => row.name },
  { key: "owner", label: "Owner", value: (row) => row.owner?.name ?? null },
  { key: "members", label: "Members", value: (row) => row.members, descendingFirst: true },
  { key: "notebooks", label: "Notebooks", value: (row) => row.notebooks, descendingFirst: true },
  { key: "created", label: "Created", value: (row) => row.createdAt, descendingFirst: true },
  { key: "updated", label: "Updated", value: (row) => row.updatedAt, descendingFirst: true },
];

export const NOTEBOOK_COLUMNS: readonly Column<NotebookRow>[] = [
  { key: "name", label: "Name", value: (row) => row.name },
  { key: "use-case", label: "Use case", value: (row) => row.useCaseName },
  { key: "owner", label: "Owner", value: (row) => row.createdBy?.name ?? null },
  { key: "type", label: "Type", value: (row) => row.type },
  { key: "status", label: "Status", value: (row) => statusRank(row), descendingFirst: true },
  { key: "created", label: "Created", value: (row) => row.createdAt, descendingFirst: true },
  { key: "updated", label: "Updated", value: (row) => row.updatedAt, descendingFirst: true },
];

export function useCaseRows(
  useCases: readonly UseCase[],
  notebooks: readonly Notebook[] | null,
  unreadable: readonly { useCaseId: string }[] = [],
): UseCaseRow[] {
  const unread = new Set(unreadable.map(({ useCaseId }) => useCaseId));
  const counts = new Map<string, { all: number; running: number }>();
  for (const notebook of notebooks ?? []) {
    const count = counts.get(notebook.useCaseId) ?? { all: 0, running: 0 };
    count.all++;
    if (isRunning(notebook)) count.running++;
    counts.set(notebook.useCaseId, count);
  }
  return useCases.map((useCase) => {
    const count = counts.get(useCase.id);
    return {
      ...useCase,
      notebooks: notebooks && !unread.has(useCase.id) ? (count?.all ?? 0) : useCase.notebooksCount,
      running: count?.running ?? 0,
      text: haystack(useCase.name, useCase.description, useCase.id, useCase.owner?.name, useCase.owner?.username),
    };
  });
}

export function notebookRows(notebooks: readonly Notebook[], useCases: readonly UseCase[]): NotebookRow[] {
  const names = new Map(useCases.map(({ id, name }) => [id, name]));
  return notebooks.map((notebook) => {
    const { name, description, id, createdBy, updatedBy } = notebook;
    const useCaseName = names.get(notebook.useCaseId) ?? notebook.useCaseId;
    const people = [createdBy?.name, createdBy?.username, updatedBy?.name];
    return { ...notebook, useCaseName, text: haystack(name, description, id, useCaseName, ...people) };
  });
}

export function filterUseCases(rows: readonly UseCaseRow[], view: View): UseCaseRow[] {
  const found = matcher(view.query);
  return rows.filter((row) => (!view.owner || row.owner?.id === view.owner) && found(row.text));
}

export function filterNotebooks(rows: readonly NotebookRow[], view: View): NotebookRow[] {
  const found = matcher(view.query);
  return rows.filter(
    (row) =>
      (!view.owner || row.createdBy?.id === view.owner) &&
      (!view.type || row.type === view.type) &&
      (!view.useCase || row.useCaseId === view.useCase) &&
      (!view.status || hasStatus(row, view.status)) &&
      found(row.text),
  );
}

export function isRunning(notebook: Notebook): boolean {
  return /^(?:running|starting|restarting)$/i.test(notebook.session ?? "");
}

function hasStatus(row: NotebookRow, status: Exclude<View["status"], "">): boolean {
  if (status === "running") return isRunning(row);
  if (status === "scheduled") return row.scheduleEnabled;
  return !isRunning(row) && !row.scheduleEnabled;
}

function statusRank(row: NotebookRow): number {
  return (isRunning(row) ? 4 : 0) + (row.scheduleEnabled ? 2 : 0) + (row.hasSchedule ? 1 : 0);
}

/** Every word of the query has to be found, in any order. */
function matcher(query: string): (text: string) => boolean {
  const words = fold(query).split(/\s+/).filter(Boolean);
  return (text) => words.every((word) => text.includes(word));
}

function haystack(...texts: readonly (string | null | undefined)[]): string {
  return fold(texts.filter(Boolean).join("\n"));
}

/** Case and accents make no difference to a search; the marks of other scripts make other letters, so they stay. */
function fold(text: string): string {
  return text
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .normalize("NFC")
    .toLowerCase();
}

/** "1 notebook", "2 notebooks", "1,234 use cases". */
export function counted(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : `${noun}s`}`;
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** Sort by a column, by the usual one if there is no such column; what has no value comes last, either way. */
export function sortRows<Row>(rows: readonly Row[], columns: readonly Column<Row>[], sort: Sort): Row[] {
  const column = columns.find(({ key }) => key === sort.column) ?? columns.find(({ key }) => key === "updated");
  if (!column) return [...rows];
  const sign = sort.descending ? -1 : 1;
  const keyed = rows.map((row) => ({ row, value: column.value(row) }));
  keyed.sort((one, other) => {
    if (one.value === null || other.value === null) return Number(one.value === null) - Number(other.value === null);
    return sign * compare(one.value, other.value);
  });
  return keyed.map(({ row }) => row);
}

function compare(one: string | number, other: string | number): number {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return collator.compare(String(one), String(other));
}

export interface Page<Row> {
  rows: readonly Row[];
  /** From 1; the last one there is when a later one was asked for. */
  page: number;
  pages: number;
  from: number;
  to: number;
}

export function pageOf<Row>(rows: readonly Row[], page: number, size: number): Page<Row> {
  const pages = Math.max(1, Math.ceil(rows.length / size));
  const shown = Math.min(page, pages);
  const from = (shown - 1) * size;
  const to = Math.min(from + size, rows.length);
  return { rows: rows.slice(from, to), page: shown, pages, from: rows.length ? from + 1 : 0, to };
}

/** Everybody in `people` once, by name, with the number of times. */
export function tally(people: readonly (Person | null)[]): { person: Person; count: number }[] {
  const found = new Map<string, { person: Person; count: number }>();
  for (const person of people) {
    if (!person) continue;
    const entry = found.get(person.id) ?? { person, count: 0 };
    entry.count++;
    found.set(person.id, entry);
  }
  return [...found.values()].sort((one, other) => collator.compare(one.person.name, other.person.name));
}

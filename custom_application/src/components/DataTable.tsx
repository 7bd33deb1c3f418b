/** A table whose headers sort; on narrow screens columns go and their content moves below the name. */

import type { ReactNode } from "react";

import type { Column } from "../model/rows.ts";
import type { Sort } from "../model/view.ts";
import { DownIcon, SortIcon, UpIcon } from "./icons.tsx";

export interface Shown<Row> extends Column<Row> {
  /** Width, and from which width of the screen on it is there. */
  className: string;
  numeric?: boolean;
  cell: (row: Row) => ReactNode;
}

interface Props<Row> {
  caption: string;
  columns: readonly Shown<Row>[];
  rows: readonly Row[];
  sort: Sort;
  onSort: (sort: Sort) => void;
  /** Rows without content while it is loaded. */
  skeleton?: boolean;
}

export function DataTable<Row extends { id: string }>({
  caption,
  columns,
  rows,
  sort,
  onSort,
  skeleton = false,
}: Props<Row>) {
  return (
    <table className="w-full table-fixed border-separate border-spacing-0" aria-busy={skeleton}>
      <caption className="sr-only">{caption}</caption>
      <thead>
        <tr>
          {columns.map((column) => (
            <Header key={column.key} column={column} sort={sort} onSort={onSort} />
          ))}
        </tr>
      </thead>
      <tbody>
        {skeleton
          ? Array.from({ length: 8 }, (_, index) => <SkeletonRow key={index} columns={columns} index={index} />)
          : rows.map((row) => (
              <tr key={row.id} className="group hover:bg-sunken/60">
                {columns.map((column, index) => {
                  const Cell = index === 0 ? "th" : "td";
                  const scope = index === 0 ? { scope: "row" } : {};
                  const look = `border-line border-t px-4 py-2.5 text-left align-middle font-normal ${column.className}`;
                  return (
                    <Cell
                      key={column.key}
                      {...scope}
                      className={column.numeric ? `${look} tabular-nums sm:text-right` : look}
                    >
                      {column.cell(row)}
                    </Cell>
                  );
                })}
              </tr>
            ))}
      </tbody>
    </table>
  );
}

function Header<Row>({ column, sort, onSort }: { column: Shown<Row>; sort: Sort; onSort: (sort: Sort) => void }) {
  const active = sort.column === column.key;
  const Icon = !active ? SortIcon : sort.descending ? DownIcon : UpIcon;
  return (
    <th
      scope="col"
      aria-sort={active ? (sort.descending ? "descending" : "ascending") : "none"}
      className={`bg-surface sticky top-0 z-10 px-4 py-2.5 first:rounded-tl-xl last:rounded-tr-xl ${column.className}`}
    >
      <button
        type="button"
        className={`hover:text-ink flex max-w-full items-center gap-1 text-xs font-semibold tracking-wide ${
          active ? "text-ink" : "text-muted"
        } ${column.numeric ? "sm:ml-auto" : ""}`}
        onClick={() =>
          onSort({ column: column.key, descending: active ? !sort.descending : column.descendingFirst === true })
        }
      >
        <span className="truncate">{column.label}</span>
        <Icon className={`size-3.5 ${active ? "text-accent" : "opacity-50"}`} />
      </button>
    </th>
  );
}

const WIDTHS = ["w-3/5", "w-2/5", "w-4/5", "w-1/2"];

function SkeletonRow<Row>({ columns, index }: { columns: readonly Shown<Row>[]; index: number }) {
  return (
    <tr>
      {columns.map((column, place) => (
        <td key={column.key} className={`border-line h-14 border-t px-4 ${column.className}`}>
          <div className={`bar ${WIDTHS[(index + place) % WIDTHS.length]}`} />
        </td>
      ))}
    </tr>
  );
}

/** What was found: the table with its pages, or why there is nothing. */

import type { ReactNode } from "react";

import { pageOf } from "../model/rows.ts";
import { withoutFilters, type View } from "../model/view.ts";
import { DataTable, type Shown } from "./DataTable.tsx";
import { Pager } from "./Pager.tsx";
import { EmptyPanel } from "./states.tsx";

interface Props<Row> {
  label: string;
  caption: string;
  noun: string;
  /** What is said when the organisation has none at all. */
  nothing: string;
  columns: readonly Shown<Row>[];
  /** All rows before search and filters; null while they are loaded. */
  all: readonly Row[] | null;
  found: readonly Row[];
  view: View;
  update: (change: Partial<View>) => void;
  children?: ReactNode;
}

export function Results<Row extends { id: string }>(props: Props<Row>) {
  const { all, found, noun, view, update } = props;
  const page = pageOf(found, view.page, view.pageSize);
  return (
    <section aria-label={props.label} className="border-line bg-surface rounded-xl border shadow-xs">
      {props.children}
      {all?.length === 0 ? (
        <EmptyPanel title={`No ${noun}s yet`}>{props.nothing}</EmptyPanel>
      ) : all && found.length === 0 ? (
        <EmptyPanel title={`No ${noun} matches`}>
          <button
            type="button"
            className="text-accent font-medium underline"
            onClick={() => update(withoutFilters(view))}
          >
            Clear search and filters
          </button>
        </EmptyPanel>
      ) : (
        <>
          <DataTable
            caption={props.caption}
            columns={props.columns}
            rows={page.rows}
            sort={view.sort}
            onSort={(sort) => update({ sort })}
            skeleton={all === null}
          />
          {all && (
            <Pager
              page={page}
              found={found.length}
              all={all.length}
              noun={noun}
              size={view.pageSize}
              onChange={update}
            />
          )}
        </>
      )}
    </section>
  );
}

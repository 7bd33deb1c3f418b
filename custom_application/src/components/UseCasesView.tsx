import { useDeferredValue, useMemo } from "react";

import { useCasesCsv, useCaseUrl } from "../model/csv.ts";
import { counted, filterUseCases, sortRows, tally, USE_CASE_COLUMNS, type UseCaseRow } from "../model/rows.ts";
import { formatView, parseView, type View } from "../model/view.ts";
import { None, Outward, PersonName, Time } from "./bits.tsx";
import type { Shown } from "./DataTable.tsx";
import { Results } from "./Results.tsx";
import { ExportButton, SearchField, Select, SortSelect, Toolbar } from "./Toolbar.tsx";

interface Props {
  rows: readonly UseCaseRow[] | null;
  origin: string;
  view: View;
  update: (change: Partial<View>) => void;
}

export function UseCasesView({ rows, origin, view, update }: Props) {
  const deferred = useDeferredValue(view);
  const found = useMemo(
    () => sortRows(filterUseCases(rows ?? [], deferred), USE_CASE_COLUMNS, deferred.sort),
    [rows, deferred],
  );
  const owners = useMemo(() => tally((rows ?? []).map((row) => row.owner)), [rows]);
  const columns = useMemo(() => shown(origin, rows), [origin, rows]);
  return (
    <>
      <Toolbar>
        <SearchField label="Search use cases" value={view.query} onChange={(query) => update({ query })} />
        {(owners.length > 0 || view.owner !== "") && (
          <Select
            label="Owner"
            all="All owners"
            value={view.owner}
            choices={owners.map(({ person, count }) => ({ value: person.id, label: `${person.name} (${count})` }))}
            onChange={(owner) => update({ owner })}
          />
        )}
        <SortSelect columns={columns} sort={view.sort} onSort={(sort) => update({ sort })} />
        <ExportButton name="use-cases" disabled={found.length === 0} content={() => useCasesCsv(found, origin)} />
      </Toolbar>
      <Results
        label="Use cases"
        caption="Use cases"
        noun="use case"
        nothing="Use cases of the organisation appear here as soon as there are any."
        columns={columns}
        all={rows}
        found={found}
        view={view}
        update={update}
      />
    </>
  );
}

/** Not every DataRobot says who owns a use case and how many members it has: a column without any value goes. */
function shown(origin: string, rows: readonly UseCaseRow[] | null): Shown<UseCaseRow>[] {
  const looks: Record<string, Pick<Shown<UseCaseRow>, "className" | "cell" | "numeric">> = {
    name: {
      className: "",
      cell: (row) => (
        <>
          <Outward href={useCaseUrl(origin, row.id)}>{row.name}</Outward>
          {row.description && <p className="text-muted truncate text-xs max-md:hidden">{row.description}</p>}
          <p className="text-muted truncate text-xs md:hidden">
            {[row.owner?.name, row.notebooks === null ? null : counted(row.notebooks, "notebook")]
              .filter(Boolean)
              .join(" · ")}
          </p>
        </>
      ),
    },
    owner: { className: "w-48 max-md:hidden", cell: (row) => <PersonName person={row.owner} /> },
    members: { className: "w-32 max-lg:hidden", numeric: true, cell: (row) => row.members ?? <None /> },
    notebooks: { className: "w-40 max-md:hidden", numeric: true, cell: (row) => <NotebooksLink row={row} /> },
    created: { className: "w-36 max-lg:hidden", cell: (row) => <Time at={row.createdAt} /> },
    updated: { className: "w-32 sm:w-36", cell: (row) => <Time at={row.updatedAt} /> },
  };
  const filled = USE_CASE_COLUMNS.filter(
    ({ key, value }) => (key !== "owner" && key !== "members") || !rows || rows.some((row) => value(row) !== null),
  );
  return filled.map((column) => ({ ...column, ...(looks[column.key] ?? { className: "", cell: () => null }) }));
}

function NotebooksLink({ row }: { row: UseCaseRow }) {
  if (row.notebooks === null) return <None />;
  if (row.notebooks === 0) return <span className="text-muted">0</span>;
  return (
    <a
      className="text-accent font-medium underline-offset-2 hover:underline"
      href={formatView({ ...parseView("#/notebooks"), useCase: row.id })}
      aria-label={`${counted(row.notebooks, "notebook")} of ${row.name}${row.running > 0 ? `, ${row.running} running` : ""}`}
    >
      {row.running > 0 && <span className="text-good mr-2 text-xs font-normal">{row.running} running</span>}
      {row.notebooks}
    </a>
  );
}

import { useDeferredValue, useMemo } from "react";

import type { Progress } from "../../shared/api.ts";
import { notebooksCsv, notebookUrl } from "../model/csv.ts";
import { filterNotebooks, NOTEBOOK_COLUMNS, sortRows, tally, type NotebookRow } from "../model/rows.ts";
import { formatView, parseView, STATUSES, type View } from "../model/view.ts";
import { Outward, PersonName, StatusBadges, Time, TypeBadge } from "./bits.tsx";
import type { Shown } from "./DataTable.tsx";
import { CodeIcon, NotebookIcon } from "./icons.tsx";
import { Results } from "./Results.tsx";
import { ProgressBar } from "./states.tsx";
import { ExportButton, SearchField, Select, SortSelect, Toolbar } from "./Toolbar.tsx";

interface Props {
  rows: readonly NotebookRow[] | null;
  progress: Progress["progress"] | null;
  origin: string;
  view: View;
  update: (change: Partial<View>) => void;
}

const STATUS_LABELS: Record<string, string> = { running: "Running", scheduled: "Scheduled", idle: "Neither" };
const STATUS_CHOICES = STATUSES.filter(Boolean).map((value) => ({ value, label: STATUS_LABELS[value] ?? value }));

export function NotebooksView({ rows, progress, origin, view, update }: Props) {
  const deferred = useDeferredValue(view);
  const found = useMemo(
    () => sortRows(filterNotebooks(rows ?? [], deferred), NOTEBOOK_COLUMNS, deferred.sort),
    [rows, deferred],
  );
  const choices = useMemo(() => choicesOf(rows ?? []), [rows]);
  const columns = useMemo(() => shown(origin), [origin]);
  return (
    <>
      <Toolbar>
        <SearchField label="Search notebooks" value={view.query} onChange={(query) => update({ query })} />
        <Select
          label="Use case"
          all="All use cases"
          value={view.useCase}
          choices={choices.useCases}
          onChange={(useCase) => update({ useCase })}
        />
        <Select
          label="Owner"
          all="All owners"
          value={view.owner}
          choices={choices.owners}
          onChange={(owner) => update({ owner })}
        />
        <Select
          label="Type"
          all="All types"
          value={view.type}
          choices={choices.types}
          onChange={(type) => update({ type })}
        />
        <Select
          label="Status"
          all="Any status"
          value={view.status}
          choices={STATUS_CHOICES}
          onChange={(value) => update({ status: STATUSES.find((one) => one === value) ?? "" })}
        />
        <SortSelect columns={NOTEBOOK_COLUMNS} sort={view.sort} onSort={(sort) => update({ sort })} />
        <ExportButton name="notebooks" disabled={found.length === 0} content={() => notebooksCsv(found, origin)} />
      </Toolbar>
      <Results
        label="Notebooks"
        caption="Notebooks and codespaces"
        noun="notebook"
        nothing="Notebooks and codespaces of the organisation appear here as soon as there are any."
        columns={columns}
        all={rows}
        found={found}
        view={view}
        update={update}
      >
        {rows === null && <ProgressBar progress={progress} />}
      </Results>
    </>
  );
}

function choicesOf(rows: readonly NotebookRow[]) {
  const useCases = tally(rows.map((row) => ({ id: row.useCaseId, name: row.useCaseName, username: "" })));
  const owners = tally(rows.map((row) => row.createdBy));
  const types = [...new Set(rows.map((row) => row.type))].sort();
  const choice = ({ person, count }: (typeof owners)[number]) => ({
    value: person.id,
    label: `${person.name} (${count})`,
  });
  return {
    useCases: useCases.map(choice),
    owners: owners.map(choice),
    types: types.map((type) => ({ value: type, label: type.charAt(0).toUpperCase() + type.slice(1) })),
  };
}

function shown(origin: string): Shown<NotebookRow>[] {
  const looks: Record<string, Pick<Shown<NotebookRow>, "className" | "cell">> = {
    name: {
      className: "",
      cell: (row) => (
        <div className="flex min-w-0 items-center gap-3">
          <span className={`max-lg:hidden xl:hidden ${row.type === "codespace" ? "text-violet" : "text-accent"}`}>
            {row.type === "codespace" ? <CodeIcon /> : <NotebookIcon />}
          </span>
          <div className="min-w-0">
            <Outward href={notebookUrl(origin, row.useCaseId, row.id)}>{row.name}</Outward>
            {row.description && <p className="text-muted truncate text-xs max-lg:hidden">{row.description}</p>}
            <p className="text-muted truncate text-xs lg:hidden">
              {[row.type === "codespace" ? "Codespace" : null, row.useCaseName, row.createdBy?.name]
                .filter(Boolean)
                .join(" · ")}
            </p>
          </div>
        </div>
      ),
    },
    "use-case": {
      className: "w-56 max-lg:hidden",
      cell: (row) => (
        <a
          className="hover:text-accent block truncate hover:underline"
          title={`All notebooks of ${row.useCaseName}`}
          href={formatView({ ...parseView("#/notebooks"), useCase: row.useCaseId })}
        >
          {row.useCaseName}
        </a>
      ),
    },
    owner: { className: "w-44 max-lg:hidden", cell: (row) => <PersonName person={row.createdBy} /> },
    type: { className: "w-32 max-xl:hidden", cell: (row) => <TypeBadge type={row.type} /> },
    status: { className: "w-32 max-md:hidden", cell: (row) => <StatusBadges notebook={row} /> },
    created: { className: "w-32 max-xl:hidden", cell: (row) => <Time at={row.createdAt} /> },
    updated: { className: "w-32", cell: (row) => <Time at={row.updatedAt} /> },
  };
  return NOTEBOOK_COLUMNS.map((column) => ({
    ...column,
    ...(looks[column.key] ?? { className: "", cell: () => null }),
  }));
}

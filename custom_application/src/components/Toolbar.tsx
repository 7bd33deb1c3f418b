/** Search, filters, sorting for narrow screens, export. */

import { useRef, type ReactNode } from "react";

import { useSearchKey } from "../hooks.ts";
import type { Sort } from "../model/view.ts";
import { CloseIcon, DownloadIcon, DownIcon, SearchIcon, UpIcon } from "./icons.tsx";

export function SearchField({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
}) {
  const field = useRef<HTMLInputElement>(null);
  useSearchKey(field);
  return (
    <div className="relative min-w-0 flex-1 basis-64">
      <SearchIcon className="text-muted pointer-events-none absolute top-2.5 left-3 size-4" />
      <input
        ref={field}
        type="text"
        role="searchbox"
        aria-label={label}
        aria-keyshortcuts="/"
        placeholder={label}
        autoComplete="off"
        spellCheck={false}
        className="control peer placeholder:text-muted w-full px-9"
        value={value}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && onChange("")}
      />
      {value ? (
        <button
          type="button"
          aria-label="Clear the search"
          className="text-muted hover:text-ink absolute top-1.5 right-1.5 grid size-6 place-items-center"
          onClick={() => {
            onChange("");
            field.current?.focus();
          }}
        >
          <CloseIcon />
        </button>
      ) : (
        <kbd className="border-line text-muted pointer-events-none absolute top-2 right-2.5 hidden rounded border px-1.5 text-xs peer-focus:hidden sm:block">
          /
        </kbd>
      )}
    </div>
  );
}

export interface Choice {
  value: string;
  label: string;
}

interface SelectProps {
  label: string;
  all: string;
  value: string;
  choices: readonly Choice[];
  onChange: (value: string) => void;
}

export function Select({ label, all, value, choices, onChange }: SelectProps) {
  const known = value === "" || choices.some((choice) => choice.value === value);
  return (
    <select
      aria-label={label}
      className={`control min-w-0 flex-1 basis-32 truncate pr-1 sm:max-w-44 sm:flex-none ${value ? "border-accent text-accent font-medium" : ""}`}
      value={value}
      onChange={(event) => onChange(event.target.value)}
    >
      <option value="">{all}</option>
      {choices.map((choice) => (
        <option key={choice.value} value={choice.value}>
          {choice.label}
        </option>
      ))}
      {!known && <option value={value}>(not in this list)</option>}
    </select>
  );
}

interface SortSelectProps {
  columns: readonly { key: string; label: string; descendingFirst?: boolean }[];
  sort: Sort;
  onSort: (sort: Sort) => void;
}

/** The headers of columns that a narrow screen has no room for cannot be clicked. */
export function SortSelect({ columns, sort, onSort }: SortSelectProps) {
  const Icon = sort.descending ? DownIcon : UpIcon;
  return (
    <div className="flex min-w-0 flex-1 basis-40 gap-2 lg:hidden">
      <select
        aria-label="Sort by"
        className="control min-w-0 flex-1 truncate pr-1"
        value={sort.column}
        onChange={({ target }) => {
          const column = columns.find(({ key }) => key === target.value);
          onSort({ column: target.value, descending: column?.descendingFirst === true });
        }}
      >
        {columns.map(({ key, label }) => (
          <option key={key} value={key}>
            Sort: {label}
          </option>
        ))}
      </select>
      <button
        type="button"
        className="control px-2.5"
        aria-label={sort.descending ? "Descending: sort ascending" : "Ascending: sort descending"}
        onClick={() => onSort({ ...sort, descending: !sort.descending })}
      >
        <Icon />
      </button>
    </div>
  );
}

export function ExportButton({ name, disabled, content }: { name: string; disabled: boolean; content: () => string }) {
  const save = () => {
    const address = URL.createObjectURL(new Blob([content()], { type: "text/csv;charset=utf-8" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = `${name}-${new Date().toISOString().slice(0, 10)}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  };
  return (
    <button type="button" className="control flex items-center gap-2 font-medium" disabled={disabled} onClick={save}>
      <DownloadIcon />
      <span className="max-sm:sr-only">Export CSV</span>
    </button>
  );
}

export function Toolbar({ children }: { children: ReactNode }) {
  return (
    <div role="search" className="mb-4 flex flex-wrap items-center gap-2">
      {children}
    </div>
  );
}

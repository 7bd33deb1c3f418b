import { counted, type Page } from "../model/rows.ts";
import { PAGE_SIZES } from "../model/view.ts";
import { LeftIcon, RightIcon } from "./icons.tsx";

interface Props {
  page: Page<unknown>;
  found: number;
  all: number;
  noun: string;
  size: number;
  onChange: (change: { page?: number; pageSize?: number }) => void;
}

export function Pager({ page, found, all, noun, size, onChange }: Props) {
  const number = (value: number) => value.toLocaleString("en");
  const go = (to: number) => {
    onChange({ page: to });
    document.getElementById("content")?.scrollIntoView({ block: "start" });
  };
  return (
    <div className="border-line flex flex-wrap items-center justify-between gap-x-6 gap-y-3 border-t px-4 py-3">
      <p role="status" className="text-muted tabular-nums">
        <span className="text-ink font-medium">
          {number(page.from)}–{number(page.to)}
        </span>{" "}
        of {counted(found, noun)}
        {found < all && <span> (filtered from {number(all)})</span>}
      </p>
      <nav aria-label="Pages" className="flex items-center gap-2">
        <select
          aria-label="Rows on a page"
          className="control mr-2 pr-1"
          value={size}
          onChange={(event) => onChange({ page: 1, pageSize: Number(event.target.value) })}
        >
          {PAGE_SIZES.map((one) => (
            <option key={one} value={one}>
              {one} rows
            </option>
          ))}
        </select>
        <button
          type="button"
          className="control px-2.5"
          aria-label="Previous page"
          disabled={page.page <= 1}
          onClick={() => go(page.page - 1)}
        >
          <LeftIcon />
        </button>
        <span className="text-muted px-1 whitespace-nowrap tabular-nums">
          {number(page.page)} / {number(page.pages)}
        </span>
        <button
          type="button"
          className="control px-2.5"
          aria-label="Next page"
          disabled={page.page >= page.pages}
          onClick={() => go(page.page + 1)}
        >
          <RightIcon />
        </button>
      </nav>
    </div>
  );
}

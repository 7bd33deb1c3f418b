/** What is shown, and its form in the URL: `#/notebooks?q=churn&sort=-updated&page=2`. */

export type Tab = "use-cases" | "notebooks";
export type Status = "" | "running" | "scheduled" | "idle";
export const TABS: readonly Tab[] = ["use-cases", "notebooks"];
export const STATUSES: readonly Status[] = ["", "running", "scheduled", "idle"];
export const PAGE_SIZES: readonly number[] = [25, 50, 100];

export interface Sort {
  column: string;
  descending: boolean;
}

export interface View {
  tab: Tab;
  query: string;
  sort: Sort;
  /** Id of a person; "" is everybody. */
  owner: string;
  type: string;
  status: Status;
  useCase: string;
  page: number;
  pageSize: number;
}

export const DEFAULT_SORT: Record<Tab, Sort> = {
  "use-cases": { column: "updated", descending: true },
  notebooks: { column: "updated", descending: true },
};

/** Read the fragment of a URL; whatever makes no sense in it is as if it were not there. */
export function parseView(fragment: string): View {
  const [path = "", search = ""] = fragment.replace(/^#?\/?/, "").split("?", 2);
  const parameters = new URLSearchParams(search);
  const tab = TABS.find((one) => one === path) ?? "use-cases";
  const text = (key: string) => parameters.get(key) ?? "";
  const sort = text("sort");
  const page = Number(text("page"));
  return {
    tab,
    query: text("q"),
    sort: sort ? { column: sort.replace(/^-/, ""), descending: sort.startsWith("-") } : DEFAULT_SORT[tab],
    owner: text("owner"),
    type: text("type"),
    status: STATUSES.find((one) => one === text("status")) ?? "",
    useCase: text("use-case"),
    page: Number.isInteger(page) && page > 0 ? page : 1,
    pageSize: PAGE_SIZES.find((one) => String(one) === text("size")) ?? 50,
  };
}

/** Write the fragment; what is as usual is left out. */
export function formatView(view: View): string {
  const usual = DEFAULT_SORT[view.tab];
  const sorted = view.sort.column !== usual.column || view.sort.descending !== usual.descending;
  const entries: [string, string][] = [
    ["q", view.query],
    ["sort", sorted ? `${view.sort.descending ? "-" : ""}${view.sort.column}` : ""],
    ["owner", view.owner],
    ["type", view.type],
    ["status", view.status],
    ["use-case", view.useCase],
    ["page", view.page > 1 ? String(view.page) : ""],
    ["size", view.pageSize === 50 ? "" : String(view.pageSize)],
  ];
  const search = new URLSearchParams(entries.filter(([, value]) => value !== "")).toString();
  return `#/${view.tab}${search ? `?${search}` : ""}`;
}

/** The other tab: what was searched for stays, what only makes sense in one of them does not. */
export function withTab(view: View, tab: Tab): View {
  return { ...parseView(`#/${tab}`), query: view.query, owner: view.owner, pageSize: view.pageSize };
}

export function isFiltered(view: View): boolean {
  return [view.query.trim(), view.owner, view.type, view.status, view.useCase].some((value) => value !== "");
}

export function withoutFilters(view: View): View {
  return { ...view, query: "", owner: "", type: "", status: "", useCase: "", page: 1 };
}

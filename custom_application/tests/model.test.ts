import { afterEach, describe, expect, spyOn, test } from "bun:test";

import type { Notebook, Person, UseCase } from "../shared/api.ts";
import { ApiError, loadNotebooks, loadUseCases, platformOrigin } from "../src/model/client.ts";
import { notebooksCsv, toCsv, useCasesCsv } from "../src/model/csv.ts";
import {
  counted,
  filterNotebooks,
  filterUseCases,
  NOTEBOOK_COLUMNS,
  notebookRows,
  pageOf,
  sortRows,
  tally,
  USE_CASE_COLUMNS,
  useCaseRows,
} from "../src/model/rows.ts";
import { ago } from "../src/model/time.ts";
import { formatView, isFiltered, parseView, withoutFilters, withTab, type View } from "../src/model/view.ts";
import { toNotebook, toPerson, toUseCase } from "../server/shape.ts";

const ana: Person = { id: "p1", name: "Ana Galić", username: "ana@example.com" };
const bo: Person = { id: "p2", name: "Bo Eze", username: "bo@example.com" };

const useCase = (id: string, changes: Partial<UseCase> = {}): UseCase => ({
  ...{ id, name: `Use case ${id}`, description: "", owner: null, members: null, notebooksCount: null },
  ...{ createdAt: null, updatedAt: null },
  ...changes,
});

const notebook = (id: string, changes: Partial<Notebook> = {}): Notebook => ({
  ...{
    id,
    type: "notebook",
    name: `Notebook ${id}`,
    description: "",
    useCaseId: "a",
    createdAt: null,
    createdBy: null,
  },
  ...{ updatedAt: null, updatedBy: null, viewedAt: null, session: null, hasSchedule: false, scheduleEnabled: false },
  ...changes,
});

const view = (changes: Partial<View> = {}): View => ({ ...parseView(""), ...changes });
const ids = (rows: readonly { id: string }[]) => rows.map(({ id }) => id).join("");

describe("the view in the URL", () => {
  test.each([
    "#/use-cases",
    "#/notebooks",
    "#/notebooks?q=churn+%26+more&sort=-status&owner=p1&type=codespace&status=running&use-case=a&page=3&size=100",
    "#/use-cases?sort=name",
    "#/use-cases?sort=updated",
  ])("%s means the same after reading and writing it", (fragment) => {
    expect(formatView(parseView(fragment))).toBe(fragment);
  });

  test.each(["", "#", "#/", "#/nowhere", "#/use-cases?page=-1&size=7&status=odd&page=x", "#/use-cases?page=1e9&q="])(
    "whatever makes no sense in %j is left out",
    (fragment) => {
      const { tab, status, pageSize, query } = parseView(fragment);
      expect({ tab, status, pageSize, query }).toEqual({ tab: "use-cases", status: "", pageSize: 50, query: "" });
    },
  );

  test("keeps what was searched for when the tab changes, and nothing that only one tab knows", () => {
    const before = parseView("#/notebooks?q=a&owner=p1&type=codespace&page=4&sort=name");
    expect(formatView(withTab(before, "use-cases"))).toBe("#/use-cases?q=a&owner=p1");
  });

  test("knows whether it is filtered", () => {
    expect([isFiltered(view()), isFiltered(view({ query: "  " })), isFiltered(view({ type: "notebook" }))]).toEqual([
      false,
      false,
      true,
    ]);
    expect(isFiltered(withoutFilters(view({ query: "a", owner: "b", status: "idle", useCase: "c" })))).toBe(false);
  });
});

describe("rows", () => {
  const cases = [
    useCase("a", { name: "Älpha 10", owner: ana, notebooksCount: 9, updatedAt: "2026-01-01T00:00:00.000Z" }),
    useCase("b", {
      name: "alpha 9",
      owner: bo,
      description: "Fraud in Brasília",
      updatedAt: "2026-03-01T00:00:00.000Z",
    }),
    useCase("c", { name: "Beta" }),
  ];
  const books = [
    notebook("x", { createdBy: ana, session: "running", updatedAt: "2026-01-02T00:00:00.000Z" }),
    notebook("y", { createdBy: bo, type: "codespace", useCaseId: "b", hasSchedule: true, scheduleEnabled: true }),
    notebook("z", { useCaseId: "gone", hasSchedule: true, session: "stopped" }),
  ];

  test("of use cases count what was found, or what DataRobot counts until then", () => {
    expect(useCaseRows(cases, null).map((row) => row.notebooks)).toEqual([9, null, null]);
    expect(useCaseRows(cases, books).map((row) => [row.notebooks, row.running])).toEqual([
      [1, 1],
      [1, 0],
      [0, 0],
    ]);
  });

  test("of use cases whose notebooks could not be read do not say that there are none", () => {
    const rows = useCaseRows(cases, [], [{ useCaseId: "a" }, { useCaseId: "c" }]);
    expect(rows.map((row) => row.notebooks)).toEqual([9, 0, null]);
  });

  test("know letters of other scripts apart", () => {
    const rows = useCaseRows([useCase("a", { name: "バス" }), useCase("b", { name: "パス" })], null);
    expect(filterUseCases(rows, view({ query: "パス" })).map(({ id }) => id)).toEqual(["b"]);
  });

  test.each([
    ["", "abc"],
    ["alpha", "ab"],
    ["ÄLPHA", "ab"],
    ["brasilia fraud", "b"],
    ["bo@example", "b"],
    ["galic", "a"],
    ["nothing", ""],
  ])("of use cases are found by %j", (query, found) => {
    expect(ids(filterUseCases(useCaseRows(cases, books), view({ query })))).toBe(found);
  });

  test.each([
    [{ owner: "p1" }, "x"],
    [{ type: "codespace" }, "y"],
    [{ useCase: "b" }, "y"],
    [{ status: "running" }, "x"],
    [{ status: "scheduled" }, "y"],
    [{ status: "idle" }, "z"],
    [{ query: "alpha" }, "xy"],
    [{ query: "gone" }, "z"],
    [{ query: "alpha", owner: "p2" }, "y"],
  ] as [Partial<View>, string][])("of notebooks are filtered by %j", (changes, found) => {
    expect(ids(filterNotebooks(notebookRows(books, cases), view(changes)))).toBe(found);
  });

  test.each([
    [USE_CASE_COLUMNS, "name", false, "bac"],
    [USE_CASE_COLUMNS, "name", true, "cab"],
    [USE_CASE_COLUMNS, "owner", false, "abc"],
    [USE_CASE_COLUMNS, "owner", true, "bac"],
    [USE_CASE_COLUMNS, "updated", true, "bac"],
    [USE_CASE_COLUMNS, "nothing", true, "bac"],
  ] as const)(
    "are sorted by a column, numbers as numbers, without a value last (%#)",
    (columns, column, descending, expected) => {
      expect(ids(sortRows(useCaseRows(cases, books), columns, { column, descending }))).toBe(expected);
    },
  );

  test("with the same value keep their order", () => {
    const same = notebookRows(
      ["3", "1", "2"].map((id) => notebook(id, { name: "same" })),
      [],
    );
    expect(ids(sortRows(same, NOTEBOOK_COLUMNS, { column: "name", descending: true }))).toBe("312");
  });

  test("of 5,000 notebooks are searched and sorted fast", () => {
    const many = notebookRows(
      Array.from({ length: 5000 }, (_, index) => notebook(String(index), { createdBy: ana })),
      cases,
    );
    const started = performance.now();
    const found = sortRows(filterNotebooks(many, view({ query: "notebook 1" })), NOTEBOOK_COLUMNS, {
      column: "name",
      descending: true,
    });
    expect(performance.now() - started).toBeLessThan(500);
    expect(found.length).toBeGreaterThan(1000);
  });

  test("come in pages, and a page that is not there is the last one", () => {
    const rows = Array.from({ length: 51 }, (_, index) => index);
    expect(pageOf(rows, 2, 25)).toEqual({ rows: rows.slice(25, 50), page: 2, pages: 3, from: 26, to: 50 });
    expect(pageOf(rows, 9, 25)).toMatchObject({ page: 3, from: 51, to: 51 });
    expect(pageOf([], 1, 25)).toEqual({ rows: [], page: 1, pages: 1, from: 0, to: 0 });
  });

  test("name their people once, by name", () => {
    expect(tally([bo, ana, null, bo])).toEqual([
      { person: ana, count: 1 },
      { person: bo, count: 2 },
    ]);
  });
});

describe("CSV", () => {
  test("quotes what needs it and keeps formulas from running", () => {
    const text = toCsv(
      ["a", "b"],
      [
        ['say "hi"', "two\nlines"],
        ["=1+1", -5],
        [null, true],
        ["@cmd", "plain, but"],
        ["x;=1+1", "＝1+1; a-b"],
      ],
    );
    const lines = ["a,b", '"say ""hi""","two\nlines"', "'=1+1,-5", ",true", "'@cmd,\"plain, but\"", "x;'=1+1,'＝1+1; a-b"];
    expect(text).toBe("\ufeff" + lines.map((line) => line + "\r\n").join(""));
  });

  test("has a line for each row, with links", () => {
    const books = notebooksCsv(notebookRows([notebook("x", { createdBy: ana })], [useCase("a")]), "https://host");
    expect(books.split("\r\n")).toHaveLength(3);
    expect(books).toContain("x,notebook,Notebook x,,Use case a,a,Ana Galić,ana@example.com,");
    expect(books).toContain("https://host/usecases/a/notebooks/x");
    expect(useCasesCsv(useCaseRows([useCase("a/b")], []), "https://host")).toContain(
      ",0,,,https://host/usecases/a%2Fb",
    );
  });
});

test.each([
  [0, "notebook", "0 notebooks"],
  [1, "use case", "1 use case"],
  [1234, "notebook", "1,234 notebooks"],
])("%p %s is said as %p", (number, noun, said) => {
  expect(counted(number, noun)).toBe(said);
});

test.each([
  [0, "just now"],
  [-40, "just now"],
  [61, "1 minute ago"],
  [3 * 3600, "3 hours ago"],
  [26 * 3600, "yesterday"],
  [15 * 86400, "2 weeks ago"],
  [800 * 86400, "2 years ago"],
])("%d seconds are said as %s", (seconds, words) => {
  const now = Date.UTC(2026, 0, 15);
  expect(ago(new Date(now - seconds * 1000).toISOString(), now)).toBe(words);
});

describe("DataRobot's objects", () => {
  test("become ours whatever is missing in them", () => {
    expect(toUseCase({ id: "1" })).toEqual({ ...useCase("1"), name: "(no name)" });
    expect(toNotebook({ id: "1", created: "odd", session: null }, "a")).toEqual({
      ...notebook("1"),
      name: "(no name)",
    });
  });

  test("name people in two ways", () => {
    expect(toPerson({ id: "1", fullName: "Ana Galić", email: "ana@example.com" })?.name).toBe("Ana Galić");
    expect(toPerson({ id: "1", firstName: "Ana", lastName: null, username: "ana@example.com" })?.name).toBe("Ana");
    expect(toPerson({ id: "1", username: "ana@example.com" })?.name).toBe("ana@example.com");
    expect([toPerson({}), toPerson(null), toPerson("ana")]).toEqual([null, null, null]);
  });
});

describe("the page's requests", () => {
  const never = new AbortController().signal;
  const answers: (() => Response)[] = [];
  const asked: string[] = [];
  const fetching = spyOn(globalThis, "fetch");
  afterEach(() => {
    answers.length = asked.length = 0;
    fetching.mockReset();
  });
  const answer = (...next: (() => Response)[]) => {
    answers.push(...next);
    fetching.mockImplementation(((address: string) => {
      asked.push(address);
      const make = answers.shift();
      return make ? Promise.resolve(make()) : Promise.reject(new TypeError("failed to fetch"));
    }) as typeof fetch);
  };
  const code = (promise: Promise<unknown>) =>
    promise.then(
      () => "fine",
      (error: unknown) => (error instanceof ApiError ? error.problem.code : String(error)),
    );

  test("are relative and go on until the notebooks are read", async () => {
    const progress: unknown[] = [];
    answer(
      () => Response.json({ progress: { done: 1, of: 2 } }, { status: 202 }),
      () => Response.json({ notebooks: [] }),
    );
    await loadNotebooks(true, (one) => progress.push(one), never);
    expect(asked).toEqual(["./api/notebooks?refresh", "./api/notebooks?refresh"]);
    expect(progress).toEqual([{ done: 1, of: 2 }]);
  });

  test("pass the server's problems on, and know a sign-in page from data", async () => {
    answer(
      () => Response.json({ error: { code: "forbidden", message: "no", hint: "" } }, { status: 403 }),
      () => new Response("<html>sign in</html>", { headers: { "Content-Type": "text/html" } }),
      () => new Response("bad gateway", { status: 502 }),
    );
    const codes = [];
    for (let turn = 0; turn < 4; turn++) codes.push(await code(loadUseCases(false, never)));
    expect(codes).toEqual(["forbidden", "signed-out", "unexpected", "offline"]);
  });

  test("know where DataRobot is for the visitor", () => {
    const origin = "https://app.example.com";
    expect(platformOrigin({ origin, pathname: "/custom_applications/66aa/" }, "http://inside:80")).toBe(origin);
    expect(platformOrigin({ origin: "http://localhost:8080", pathname: "/" }, origin)).toBe(origin);
  });
});

/** A small DataRobot to test against: seeded use cases and notebooks, tokens, paging, and trouble on demand.
 *
 * `bun tests/fake.ts PORT` runs it by hand; FAKE_USE_CASES and FAKE_NOTEBOOKS set how many there are. */

export const FULL_TOKEN = "full-token-for-tests";
export const RESTRICTED_TOKEN = "restricted-token-for-tests";

export interface FakeOptions {
  port?: number;
  useCases?: number;
  notebooks?: number;
  /** The most items that the server gives on a page, whatever it is asked for. */
  mostPerPage?: number;
  /** Called for every request; what it gives is the answer. */
  before?: (request: Request, url: URL) => Response | undefined | Promise<Response | undefined>;
}

const FIRST = [
  "Ana",
  "Bo",
  "Chloé",
  "Dmitri",
  "Emeka",
  "Fatima",
  "Goran",
  "Hana",
  "Ines",
  "Jun",
  "Kwame",
  "Lena",
  "Mateo",
];
const LAST = [
  "Almeida",
  "Bergström",
  "Castillo",
  "Dubois",
  "Eze",
  "Fischer",
  "Galić",
  "Haddad",
  "Ito",
  "Jansen",
  "Kim",
];
const AREAS = [
  "Churn",
  "Demand",
  "Fraud",
  "Pricing",
  "Claims",
  "Maintenance",
  "Credit risk",
  "Energy load",
  "Marketing mix",
];
const KINDS = [
  "exploration",
  "features",
  "baseline",
  "backtest",
  "monitoring",
  "report",
  "data quality",
  "scoring job",
];
const START = Date.UTC(2026, 10, 20, 12);
const HOUR = 3_600_000;

/** Numbers that look like chance and are the same every time. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

const id = (kind: number, number: number) =>
  `66${kind.toString(16).padStart(2, "0")}${number.toString(16).padStart(20, "0")}`;
const pick = <T>(list: readonly T[], number: number): T => list[number % list.length] as T;
const at = (hours: number) => new Date(START - hours * HOUR).toISOString();

function person(number: number) {
  const [firstName, lastName] = [pick(FIRST, number), pick(LAST, number * 3 + 1)];
  const ascii = `${firstName}.${lastName}`
    .normalize("NFKD")
    .replace(/\p{Mn}/gu, "")
    .toLowerCase();
  return { id: id(1, number), firstName, lastName, username: `${ascii}@example.com`, activated: true };
}

export function seed(useCases: number, notebooks: number) {
  const roll = dice(7);
  const cases = Array.from({ length: useCases }, (_, number) => {
    const { id: owner, firstName, lastName, username } = person(roll(25));
    const created = 24 * (10 + roll(200));
    return {
      id: id(2, number),
      name: `${pick(AREAS, number)} ${pick(["EMEA", "Americas", "Japan", "Nordics", "pilot"], roll(5))} ${2024 + roll(3)}`,
      description: roll(4) ? `Models for the ${pick(AREAS, number).toLowerCase()} team.` : null,
      createdAt: at(created),
      updatedAt: at(roll(created)),
      created: { id: owner, fullName: `${firstName} ${lastName}`, username, email: username },
      members: Array.from({ length: 1 + roll(9) }, (_, member) => ({ id: person(member).id })),
      notebooksCount: 0,
    };
  });
  const books = Array.from({ length: useCases ? notebooks : 0 }, (_, number) => {
    const home = pick(cases, roll(useCases) * (roll(3) ? 1 : 0) + roll(Math.max(1, Math.floor(useCases * 0.7))));
    home.notebooksCount++;
    const [created, schedule, running] = [1 + roll(24 * 150), roll(8), roll(30)];
    const type = roll(6) ? "notebook" : "codespace";
    return {
      id: id(3, number),
      type,
      name: `${pick(AREAS, roll(9))} ${pick(KINDS, roll(8))}${roll(3) ? "" : ` v${1 + roll(4)}`}`,
      description: roll(2) ? "Reads the warehouse extract and writes the features back." : null,
      useCaseId: home.id,
      created: { at: at(created), by: person(roll(25)) },
      updated: { at: at(roll(created)), by: person(roll(25)) },
      lastViewed: { at: at(0), by: person(roll(25)) },
      ...(running
        ? {}
        : {
            session: {
              status: "running",
              notebookId: id(3, number),
              userId: id(1, 1),
              startedAt: at(1),
              sessionType: "interactive",
            },
          }),
      hasSchedule: schedule === 0,
      hasEnabledSchedule: schedule === 0 && number % 3 > 0,
    };
  });
  return { useCases: cases, notebooks: books };
}

export function fakeDataRobot(options: FakeOptions = {}) {
  const data = seed(options.useCases ?? 40, options.notebooks ?? 600);
  const requests: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: options.port ?? 0,
    async fetch(request) {
      const url = new URL(request.url);
      requests.push(url.pathname + url.search);
      const answer = await options.before?.(request, url);
      if (answer) return answer;
      const token = request.headers.get("authorization")?.replace(/^Bearer /, "");
      if (token === RESTRICTED_TOKEN) return Response.json({ message: `${token} may not do this` }, { status: 403 });
      if (token !== FULL_TOKEN) return Response.json({ message: "Invalid Authorization header." }, { status: 401 });
      if (url.pathname === "/api/v2/useCases/") return page(url, data.useCases);
      if (url.pathname === "/api-gw/nbx/notebooks/") {
        const useCase = url.searchParams.get("useCaseId");
        return page(
          url,
          data.notebooks.filter((one) => useCase === null || one.useCaseId === useCase),
        );
      }
      return Response.json({ message: "Not Found" }, { status: 404 });
    },
  });

  function page(url: URL, items: readonly object[]): Response {
    const number = (key: string, usual: number) => Number(url.searchParams.get(key) ?? usual);
    const offset = number("offset", 0);
    const end = offset + Math.min(number("limit", 20), options.mostPerPage ?? 100);
    const next = new URL(url);
    next.searchParams.set("offset", String(end));
    const found = items.slice(offset, end);
    return Response.json({
      count: found.length,
      next: end < items.length ? next.href : null,
      previous: null,
      data: found,
      totalCount: items.length,
    });
  }

  return {
    ...data,
    requests,
    origin: server.url.origin,
    endpoint: `${server.url.origin}/api/v2`,
    stop: () => server.stop(true),
  };
}

export function freePort(): number {
  const server = Bun.serve({ port: 0, fetch: () => new Response() });
  const { port } = server;
  server.stop(true);
  return port!;
}

if (import.meta.main) {
  const [useCases, notebooks] = ["FAKE_USE_CASES", "FAKE_NOTEBOOKS"].map((key) => Number(process.env[key] || NaN));
  const fake = fakeDataRobot({
    port: Number(Bun.argv[2] ?? 0),
    ...(Number.isNaN(useCases) ? {} : { useCases: useCases as number }),
    ...(Number.isNaN(notebooks) ? {} : { notebooks: notebooks as number }),
  });
  console.log(fake.endpoint);
}

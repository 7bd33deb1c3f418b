import { afterEach, describe, expect, test } from "bun:test";

import { DataRobot, DataRobotError, retryAfter, type Clock } from "../server/datarobot.ts";
import { fakeDataRobot, FULL_TOKEN, RESTRICTED_TOKEN, type FakeOptions } from "./fake.ts";

const stops: (() => unknown)[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop()));

/** Time that only passes by sleeping. */
function stillClock(): Clock & { slept: number[] } {
  let time = 0;
  const slept: number[] = [];
  const sleep = async (milliseconds: number) => {
    slept.push(milliseconds);
    time += milliseconds;
  };
  return { now: () => time, sleep, slept };
}

function setUp(options: FakeOptions = {}, token = FULL_TOKEN, timeoutSeconds = 5) {
  const fake = fakeDataRobot(options);
  stops.push(fake.stop);
  const clock = stillClock();
  const { endpoint, origin } = fake;
  return { fake, clock, client: new DataRobot({ endpoint, origin, token, timeoutSeconds, concurrency: 3, clock }) };
}

async function failure(promise: Promise<unknown>): Promise<DataRobotError> {
  const error = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof DataRobotError) return error;
  throw new Error(`expected a DataRobotError, got ${String(error)}`);
}

/** Answer the first `times` requests with `status`. */
function trouble(times: number, status: number, headers: Record<string, string> = {}): FakeOptions {
  let left = times;
  return { before: () => (left-- > 0 ? Response.json({ message: "busy" }, { status, headers }) : undefined) };
}

describe("pages", () => {
  test.each([0, 1, 49, 50, 51, 130])("of %d use cases are all read, each once", async (useCases) => {
    const { fake, client } = setUp({ useCases });
    const found = await client.useCases();
    expect(found.map(({ id }) => id)).toEqual(fake.useCases.map(({ id }) => id));
    expect(fake.requests).toHaveLength(Math.max(1, Math.ceil(useCases / 50)));
  });

  test("may be smaller than they were asked to be", async () => {
    const { fake, client } = setUp({ useCases: 45, mostPerPage: 20 });
    expect(await client.useCases()).toHaveLength(45);
    expect(fake.requests.map((request) => /offset=(\d+)/.exec(request)?.[1]).toSorted()).toEqual(["0", "20", "40"]);
  });

  test("are followed one by one where the server does not say how many items there are", async () => {
    let page = 0;
    const pages = [[{ id: "a" }, { id: "b" }], [{ id: "b" }, { id: "c" }], [{ id: "d" }]];
    const { client } = setUp({ before: () => Response.json({ data: pages[page], next: ++page < 3 ? "more" : null }) });
    expect((await client.useCases()).map(({ id }) => id)).toEqual(["a", "b", "c", "d"]);
  });

  test("that were added meanwhile are read too", async () => {
    const all = Array.from({ length: 120 }, (_, id) => ({ id }));
    let total = 100;
    const { client } = setUp({
      before: (_, url) => {
        const offset = Number(url.searchParams.get("offset"));
        const reply = {
          data: all.slice(offset, Math.min(offset + 50, total)),
          next: offset + 50 < total ? "more" : null,
          totalCount: total,
        };
        if (offset === 0) total = 120;
        return Response.json(reply);
      },
    });
    expect(await client.useCases()).toHaveLength(120);
  });

  test("of notebooks are asked for by use case, beside the API", async () => {
    const { fake, client } = setUp();
    const [useCase] = fake.useCases;
    const found = await client.notebooks(useCase!.id);
    expect(found).toHaveLength(useCase!.notebooksCount);
    expect(fake.requests[0]).toStartWith(`/api-gw/nbx/notebooks/?useCaseId=${useCase!.id}&`);
  });

  test("are asked for with a few requests at a time", async () => {
    let now = 0;
    let most = 0;
    const { client } = setUp({
      useCases: 500,
      before: async () => {
        most = Math.max(most, ++now);
        await Bun.sleep(5);
        now--;
        return undefined;
      },
    });
    await client.useCases();
    expect(most).toBe(3);
  });
});

describe("trouble", () => {
  test("429 is tried again after the pause that DataRobot asks for", async () => {
    const { fake, clock, client } = setUp(trouble(2, 429, { "Retry-After": "3" }));
    expect(await client.useCases()).toHaveLength(40);
    expect(fake.requests).toHaveLength(3);
    expect(clock.slept).toEqual([3000, 3000]);
  });

  test("429 without a pause is tried again later and later", async () => {
    const { clock, client } = setUp(trouble(3, 429));
    await client.useCases();
    expect(clock.slept).toHaveLength(3);
    clock.slept.forEach((pause, tries) => expect(pause / (500 * 2 ** tries)).toBeWithin(0.75, 1.26));
  });

  const nothing = ["0", "Thu, 01 Jan 2026 00:00:00 GMT"];
  test.each(nothing)("429 with a pause of nothing (%s) is no invitation to hurry", async (pause) => {
    const { clock, client } = setUp(trouble(99, 429, { "Retry-After": pause }));
    const error = await failure(client.useCases());
    expect([clock.slept.length, error.problem.retryAfter]).toEqual([4, 20]);
  });

  test("429 that stays is said, with the time to wait", async () => {
    const { fake, client } = setUp(trouble(99, 429));
    const error = await failure(client.useCases());
    expect([error.status, error.problem.code, error.problem.retryAfter]).toEqual([429, "rate-limited", 20]);
    expect(fake.requests).toHaveLength(5);
  });

  test("429 with a long pause is said at once", async () => {
    const { fake, clock, client } = setUp(trouble(99, 429, { "Retry-After": "600" }));
    const error = await failure(client.useCases());
    expect([error.problem.retryAfter, fake.requests.length, clock.slept.length]).toEqual([600, 1, 0]);
  });

  test.each([500, 502, 503, 504])("%d is tried again", async (status) => {
    const { client } = setUp(trouble(2, status));
    expect(await client.useCases()).toHaveLength(40);
  });

  test("400 is not, and DataRobot's words are passed on", async () => {
    const { fake, client } = setUp(trouble(9, 400));
    const error = await failure(client.useCases());
    expect([error.status, error.problem.upstreamStatus, fake.requests.length]).toEqual([502, 400, 1]);
    expect(error.message).toEndWith("/api/v2/useCases/ answered 400: busy");
  });

  test("a restricted token: which permission is needed, and never the token", async () => {
    const { fake, client } = setUp({}, RESTRICTED_TOKEN);
    const useCases = await failure(client.useCases());
    const notebooks = await failure(client.notebooks(fake.useCases[0]!.id));
    expect([useCases.status, useCases.problem.code]).toEqual([403, "forbidden"]);
    expect(useCases.message).toContain("use case read. Use case and notebook read are needed");
    expect(notebooks.message).toContain("notebook read.");
    expect(JSON.stringify([useCases.problem, notebooks.problem])).not.toContain(RESTRICTED_TOKEN);
  });

  test("a token that DataRobot repeats in its answer is not passed on", async () => {
    const before = () => Response.json({ message: `bad key ${FULL_TOKEN}!` }, { status: 400 });
    const error = await failure(setUp({ before }).client.useCases());
    expect(error.message).toEndWith("bad key ****!");
  });

  test("a token at the end of what is passed on is not passed on in part either", async () => {
    const said = "x".repeat(290) + FULL_TOKEN;
    const { client } = setUp({ before: () => Response.json({ message: said }, { status: 400 }) });
    expect((await failure(client.useCases())).message).not.toContain(FULL_TOKEN.slice(0, 5));
  });

  test("an unknown token", async () => {
    const error = await failure(setUp({}, "unknown").client.useCases());
    expect([error.status, error.problem.code]).toEqual([401, "unauthorized"]);
  });

  test("no answer in time", async () => {
    const error = await failure(
      setUp({ before: () => Bun.sleep(3000).then(() => undefined) }, FULL_TOKEN, 0.1).client.useCases(),
    );
    expect([error.status, error.problem.code]).toEqual([504, "timeout"]);
  });

  test("nobody there", async () => {
    const { fake, client } = setUp();
    await fake.stop();
    const error = await failure(client.useCases());
    expect([error.status, error.problem.code]).toEqual([502, "unreachable"]);
  });

  test.each([
    ["a page", () => new Response("<html>", { headers: { "Content-Type": "text/html" } }), "answered with text/html"],
    ["a redirect", () => Response.redirect("/sign-in", 302), "answered with a redirect"],
    ["other JSON", () => Response.json({ hello: "world" }), "without the list"],
    ["nothing", () => new Response(null, { status: 404 }), "was not found (404)"],
  ] as [string, () => Response, string][])("%s where the API should be", async (_, before, words) => {
    const error = await failure(setUp({ before }).client.useCases());
    expect(error.message).toContain(words);
    expect(error.problem.hint).toContain("DATAROBOT_ENDPOINT");
  });
});

test("Retry-After holds seconds or a date", () => {
  const pause = (value: string) => retryAfter(new Response(null, { headers: { "Retry-After": value } }));
  expect(pause("7")).toBe(7000);
  expect(pause(new Date(Date.now() + 5000).toUTCString())).toBeWithin(3000, 5001);
  expect(pause("soon")).toBeUndefined();
  expect(retryAfter(new Response())).toBeUndefined();
});

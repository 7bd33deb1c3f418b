import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createApp, type Handler } from "../server/app.ts";
import { loadAssets } from "../server/assets.ts";
import { Catalog } from "../server/catalog.ts";
import { DataRobot } from "../server/datarobot.ts";
import { serve } from "../server/serve.ts";
import type { NotebookList, ProblemReply, Progress, UseCaseList } from "../shared/api.ts";
import { fakeDataRobot, freePort, FULL_TOKEN, RESTRICTED_TOKEN, type FakeOptions } from "./fake.ts";

let dist: string;
const stops: (() => unknown)[] = [];

beforeEach(async () => {
  dist = await mkdtemp(join(tmpdir(), "dist-"));
  await writeFile(join(dist, "index.html"), "<!doctype html><title>page</title>");
  await writeFile(join(dist, "chunk-0a1b2c3d.js"), `console.log("${"x".repeat(2000)}")`);
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  await rm(dist, { recursive: true });
});

interface Setting extends FakeOptions {
  token?: string;
  basePath?: string;
  patience?: number;
  now?: () => number;
  cacheSeconds?: number;
}

async function setUp(setting: Setting = {}) {
  const { token = FULL_TOKEN, basePath = "", patience = 5000, now = Date.now, cacheSeconds = 60, ...options } = setting;
  const fake = fakeDataRobot(options);
  stops.push(fake.stop);
  const { endpoint, origin } = fake;
  const source = new DataRobot({ endpoint, origin, token, timeoutSeconds: 5, concurrency: 6 });
  const catalog = new Catalog(source, { origin, cacheSeconds, concurrency: 6, now });
  const lines: string[] = [];
  const app = createApp({
    basePath,
    assets: await loadAssets(dist),
    catalog,
    log: (line) => lines.push(line),
    patience,
  });
  return { fake, lines, app };
}

const get = (app: Handler, path: string, headers: Record<string, string> = {}, method = "GET") =>
  app(new Request(`http://viewer${path}`, { headers, method }));

async function body<T>(response: Response | Promise<Response>): Promise<T> {
  return (await (await response).json()) as T;
}

describe("the lists", () => {
  test("hold every use case and every notebook of the organisation", async () => {
    const { fake, app } = await setUp({ useCases: 40, notebooks: 600 });
    const { useCases, origin } = await body<UseCaseList>(get(app, "/api/use-cases"));
    const { notebooks, unreadable } = await body<NotebookList>(get(app, "/api/notebooks"));
    expect([useCases.length, notebooks.length, unreadable.length, origin]).toEqual([40, 600, 0, fake.origin]);
    const [raw, shown] = [fake.notebooks[7]!, notebooks.find(({ id }) => id === fake.notebooks[7]!.id)!];
    expect(shown.createdBy).toEqual({
      id: raw.created.by.id,
      name: `${raw.created.by.firstName} ${raw.created.by.lastName}`,
      username: raw.created.by.username,
    });
    expect(shown).toMatchObject({
      name: raw.name,
      useCaseId: raw.useCaseId,
      updatedAt: raw.updated.at,
      type: raw.type,
    });
    expect(useCases[0]!.owner!.name).toBe(fake.useCases[0]!.created.fullName);
  });

  test("are kept: two visitors at once and one later cost one reading", async () => {
    const { fake, app } = await setUp();
    await Promise.all([get(app, "/api/use-cases"), get(app, "/api/use-cases"), get(app, "/api/notebooks")]);
    const before = fake.requests.length;
    await Promise.all([get(app, "/api/use-cases"), get(app, "/api/notebooks")]);
    expect(fake.requests.length).toBe(before);
    expect(fake.requests.filter((path) => path.startsWith("/api/v2/useCases/"))).toHaveLength(1);
  });

  test("are read again when they are old, and on request unless they were read just now", async () => {
    let time = 0;
    const { fake, app } = await setUp({ now: () => time });
    const read = async (path: string) => {
      await get(app, path);
      return fake.requests.length;
    };
    expect(await read("/api/use-cases")).toBe(1);
    expect(await read("/api/use-cases?refresh")).toBe(1);
    time += 5000;
    expect(await read("/api/use-cases")).toBe(1);
    expect(await read("/api/use-cases?refresh")).toBe(2);
    time += 61_000;
    expect(await read("/api/use-cases")).toBe(3);
  });

  test("that are kept for no time are there for whoever has waited for them", async () => {
    const slow = () => Bun.sleep(40).then(() => undefined);
    const { app, fake } = await setUp({ before: slow, patience: 10, cacheSeconds: 0 });
    expect((await get(app, "/api/use-cases")).status).toBe(202);
    await Bun.sleep(300);
    expect((await get(app, "/api/use-cases")).status).toBe(200);
    expect(fake.requests).toHaveLength(1);
  });

  test("are answered with the progress while they take long", async () => {
    const slow = (_: Request, url: URL) =>
      url.pathname.includes("nbx") ? Bun.sleep(30).then(() => undefined) : undefined;
    const { app } = await setUp({ before: slow, patience: 50 });
    const first = await get(app, "/api/notebooks");
    expect(first.status).toBe(202);
    expect((await body<Progress>(first)).progress.of).toBe(40);
    let last = first;
    while (last.status === 202) last = await get(app, "/api/notebooks");
    expect((await body<NotebookList>(last)).notebooks).toHaveLength(600);
  });

  test("tell of a failure that came while nobody asked, once", async () => {
    let asked = 0;
    const fails = (_: Request, url: URL) => {
      if (!url.pathname.includes("useCases")) return undefined;
      asked++;
      return Bun.sleep(60).then(() => Response.json({ message: "no" }, { status: 403 }));
    };
    const { app } = await setUp({ before: fails, patience: 20 });
    expect((await get(app, "/api/use-cases")).status).toBe(202);
    await Bun.sleep(200);
    expect((await get(app, "/api/use-cases")).status).toBe(403);
    expect(asked).toBe(1);
    for (const readings of [2, 3]) {
      let last = await get(app, "/api/use-cases");
      expect(last.status).toBe(202); // it was told, and somebody tries again
      while (last.status === 202) last = await get(app, "/api/use-cases");
      expect([last.status, asked]).toEqual([403, readings]);
    }
  });

  test("name the use cases that could not be read, and show the others", async () => {
    const lost = (_: Request, url: URL) =>
      url.searchParams.get("useCaseId")?.endsWith("03")
        ? Response.json({ message: "gone" }, { status: 404 })
        : undefined;
    const { fake, app } = await setUp({ before: lost });
    const { notebooks, unreadable } = await body<NotebookList>(get(app, "/api/notebooks"));
    expect(unreadable).toHaveLength(1);
    expect(notebooks).toHaveLength(600 - fake.useCases[3]!.notebooksCount);
  });
});

describe("errors", () => {
  test("of a restricted token say what is lacking; neither answer nor log holds the token", async () => {
    const { app, lines } = await setUp({ token: RESTRICTED_TOKEN });
    for (const path of ["/api/use-cases", "/api/notebooks"]) {
      const response = await get(app, path);
      expect([response.status, response.headers.get("content-type")]).toEqual([403, "application/json;charset=utf-8"]);
      const text = await response.text();
      expect((JSON.parse(text) as ProblemReply).error.code).toBe("forbidden");
      expect(text + lines.join()).not.toContain(RESTRICTED_TOKEN.slice(0, 10));
    }
  });

  test("are not kept", async () => {
    let broken = true;
    const { app } = await setUp({ before: () => (broken ? Response.json({}, { status: 400 }) : undefined) });
    expect((await get(app, "/api/use-cases")).status).toBe(502);
    broken = false;
    expect((await get(app, "/api/use-cases")).status).toBe(200);
  });

  test("of the rate limit carry Retry-After", async () => {
    const before = () => Response.json({}, { status: 429, headers: { "Retry-After": "90" } });
    const response = await get((await setUp({ before })).app, "/api/use-cases");
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "90"]);
  });

  test("of the rate limit end a reading: nothing more is asked, and no part passes for the whole", async () => {
    const limited = (_: Request, url: URL) =>
      url.pathname.includes("nbx") ? Response.json({}, { status: 429, headers: { "Retry-After": "90" } }) : undefined;
    const { app, fake } = await setUp({ before: limited, useCases: 100 });
    const response = await get(app, "/api/notebooks");
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "90"]);
    expect(fake.requests.filter((path) => path.includes("nbx")).length).toBeLessThan(20);
  });

  test("of a visitor are 404 and 405, as JSON", async () => {
    const { app } = await setUp();
    expect((await get(app, "/api/nothing")).status).toBe(404);
    const response = await get(app, "/api/use-cases", {}, "DELETE");
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });
});

describe("files", () => {
  test("are the page and what was built, with the right types", async () => {
    const { app } = await setUp();
    const [page, script] = [await get(app, "/"), await get(app, "/chunk-0a1b2c3d.js")];
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html;charset=utf-8"]);
    expect(script.headers.get("content-type")).toStartWith("text/javascript");
    expect(page.headers.get("cache-control")).toBe("no-cache");
    expect(script.headers.get("cache-control")).toContain("immutable");
  });

  test.each(["/missing.js", "/.env", "/../package.json", "/%2e%2e/package.json", "/index.ts", "/usecases", "//"])(
    "GET %s is 404 and never the page",
    async (path) => {
      const response = await get((await setUp()).app, path);
      expect(response.status).toBe(404);
      expect(response.headers.get("content-type")).toStartWith("application/json");
    },
  );

  test("are not sent again to who has them, and compressed for who can read that", async () => {
    const { app } = await setUp();
    const path = "/chunk-0a1b2c3d.js";
    const zipped = await get(app, path, { "Accept-Encoding": "br, gzip;q=0.8" });
    const plain = await get(app, path, { "Accept-Encoding": "gzip;q=0" });
    expect([zipped.headers.get("content-encoding"), plain.headers.get("content-encoding")]).toEqual(["gzip", null]);
    expect(new TextDecoder().decode(Bun.gunzipSync(await zipped.bytes()))).toBe(await plain.text());
    const tag = plain.headers.get("etag")!;
    expect(zipped.headers.get("etag")).not.toBe(tag);
    expect((await get(app, path, { "If-None-Match": `"other", W/${tag}` })).status).toBe(304);
    expect((await get(app, path, { "If-None-Match": '"other"' })).status).toBe(200);
  });

  test("and lists keep browsers from guessing", async () => {
    const { app } = await setUp();
    for (const path of ["/", "/api/use-cases", "/missing.js", "/healthz"]) {
      const { headers } = await get(app, path);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'");
    }
  });

  test("have to be there", async () => {
    await expect(loadAssets(join(dist, "nowhere"))).rejects.toThrow("dist/index.html is missing");
  });
});

describe("paths", () => {
  test("of the platform's path mode are answered like those of the root path", async () => {
    const { app } = await setUp({ basePath: "/apps/66aa" });
    for (const path of [
      "/apps/66aa",
      "/apps/66aa/",
      "/",
      "/apps/66aa/healthz",
      "/apps/66aa/api/use-cases",
      "/healthz",
    ]) {
      expect((await get(app, path)).status).toBe(200);
    }
    expect((await get(app, "/apps/66aabb/")).status).toBe(404);
  });

  test("of probes and files leave no line in the log, those of the API one each", async () => {
    const { app, lines } = await setUp();
    for (const path of ["/", "/healthz", "/chunk-0a1b2c3d.js", "/api/use-cases", "/api/nothing"]) await get(app, path);
    expect(lines).toEqual([
      expect.stringMatching(/^GET \/api\/use-cases 200 \d+ ms$/),
      expect.stringMatching(/^GET \/api\/nothing 404 \d+ ms$/),
    ]);
  });
});

describe("the server", () => {
  const environment = (endpoint: string, port: number) => ({
    DATAROBOT_ENDPOINT: endpoint,
    DATAROBOT_API_TOKEN: FULL_TOKEN,
    PORT: String(port),
  });

  test("says everything that keeps it from starting, at once", async () => {
    const starting = serve({ PORT: "x" }, join(dist, "nowhere"), () => {});
    await expect(starting).rejects.toThrow(
      /4 problems.*\n.*dist\/index.html is missing.*\n.*ENDPOINT.*\n.*PORT.*\n.*TOKEN/,
    );
  });

  test("lets requests end when it is stopped, but does not wait for silent connections", async () => {
    const fake = fakeDataRobot({ before: () => Bun.sleep(200).then(() => undefined) });
    stops.push(fake.stop);
    const running = await serve(environment(fake.endpoint, freePort()), dist, () => {});
    expect((await fetch(new URL("/healthz", running.url))).status).toBe(200); // its connection stays open
    const reading = fetch(new URL("/api/use-cases", running.url));
    await Bun.sleep(50);
    const started = performance.now();
    await running.stop();
    expect(performance.now() - started).toBeLessThan(1500);
    expect((await reading).status).toBe(200);
  });
});

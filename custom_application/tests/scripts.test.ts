import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { told, wrongUrls } from "../build.ts";
import { fakeDataRobot, freePort, FULL_TOKEN, RESTRICTED_TOKEN } from "./fake.ts";

const APP = dirname(import.meta.dir);
const PATH = `${dirname(process.execPath)}:/usr/bin:/bin`;
let folder: string;
let running: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "app with blanks-"));
});
afterEach(async () => {
  running?.kill("SIGKILL");
  running = undefined;
  await rm(folder, { recursive: true, force: true });
});

describe("start-app.sh", () => {
  beforeEach(async () => {
    for (const name of ["index.ts", "server", "start-app.sh"])
      await cp(join(APP, name), join(folder, name), { recursive: true });
    await mkdir(join(folder, "dist"));
    await writeFile(join(folder, "dist/index.html"), "<!doctype html>");
  });

  function start(environment: Record<string, string>) {
    // From another folder, without its mode bits: the platform keeps none.
    running = Bun.spawn(["sh", join(folder, "start-app.sh")], {
      cwd: "/",
      env: { PATH, ...environment },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    return running;
  }

  async function listening(child: Bun.Subprocess<"ignore", "pipe", "pipe">): Promise<string> {
    for await (const chunk of child.stdout) {
      const found = /listening on \S+:(\d+)/.exec(new TextDecoder().decode(chunk));
      if (found) return `http://127.0.0.1:${found[1]}`;
    }
    throw new Error(await new Response(child.stderr).text());
  }

  test("lets .env win over the restricted token of the platform, and the server gets SIGTERM", async () => {
    const fake = fakeDataRobot();
    const port = freePort();
    await writeFile(
      join(folder, ".env"),
      `DATAROBOT_API_TOKEN='${FULL_TOKEN}'\nDATAROBOT_ENDPOINT='${fake.endpoint}'\n`,
    );
    const child = start({
      DATAROBOT_API_TOKEN: RESTRICTED_TOKEN,
      DATAROBOT_ENDPOINT: "http://127.0.0.1:9/api/v2",
      PORT: String(port),
    });
    const address = await listening(child);
    expect((await fetch(`${address}/api/use-cases`)).status).toBe(200);
    const asked = performance.now();
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(performance.now() - asked).toBeLessThan(2000);
    await fake.stop();
  });

  test("works without .env, and an incomplete environment ends it with every problem", async () => {
    const child = start({ PORT: "70000" });
    const said = await new Response(child.stdout).text();
    expect(await child.exited).toBe(1);
    expect(said).toContain("3 problems in the environment of the server:");
    for (const key of ["DATAROBOT_ENDPOINT", "DATAROBOT_API_TOKEN", "PORT"]) expect(said).toContain(key);
  });
});

test("a build that fails names the place", async () => {
  await writeFile(join(folder, "main.ts"), 'import "./gone";\n');
  const failure = await Bun.build({ entrypoints: [join(folder, "main.ts")] }).catch((error: unknown) => error);
  const said = (failure as AggregateError).errors.map(told).join("\n");
  expect(said).toStartWith('error: Could not resolve: "./gone"\n    at ');
  expect(said).toEndWith("main.ts:1:8");
  expect(told(new Error("Tailwind failed"))).toBe("Error: Tailwind failed");
});

describe("build-app.sh", () => {
  test("is sourced: a step that fails fails the whole, and what follows runs when all is well", async () => {
    await cp(join(APP, "build-app.sh"), join(folder, "build-app.sh"));
    await mkdir(join(folder, "bin"));
    const source = async (bun: string) => {
      await writeFile(join(folder, "bin/bun"), `#!/bin/sh\necho "bun $*"\n${bun}\n`, { mode: 0o755 });
      const child = Bun.spawn(["sh", "-c", ". ./build-app.sh; echo end"], {
        cwd: folder,
        env: { PATH: `${join(folder, "bin")}:/usr/bin:/bin` },
        stdout: "pipe",
      });
      return [await new Response(child.stdout).text(), await child.exited];
    };
    const install = "bun install --frozen-lockfile --production\n";
    expect(await source("exit 0")).toEqual([`${install}bun run build\nend\n`, 0]);
    expect(await source("exit 3")).toEqual([install, 3]);
  });

  test.each(["build-app.sh", "start-app.sh"])(
    "%s names its interpreter first and has no Windows line ends",
    async (name) => {
      const text = await readFile(join(APP, name), "utf8");
      expect(text).toStartWith("#!/bin/sh\n");
      expect(text).not.toContain("\r");
    },
  );
});

describe("the check of the built page", () => {
  const check = (html: string) => wrongUrls(html, (path) => path === "./there.js");

  test("lets relative URLs of files that are there pass", () => {
    expect(check('<script src="./there.js"></script><link href="data:,x">')).toEqual([]);
  });

  test.each(["/chunk.js", "//cdn.example.com/x.js", "https://cdn.example.com/x.js", "/_bun/asset/x.css"])(
    "refuses %s",
    (url) => {
      expect(check(`<script src="${url}"></script>`)).toEqual([`<script> names ${url}, which is not relative`]);
    },
  );

  test("refuses what was not built, and <base>", () => {
    expect(check('<base target="_top"><img src="./gone.png">')).toEqual([
      "<base> moves every relative URL",
      "<img> names ./gone.png, which was not built",
    ]);
  });
});

test("the lock file names no registry", async () => {
  expect(await readFile(join(APP, "bun.lock"), "utf8")).not.toContain("http");
});

/** Makes dist/ from src/: the page, one script, one style sheet, all named relatively (`bun run build`). */

import { existsSync } from "node:fs";
import { mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";

const HERE = import.meta.dir;
const DIST = join(HERE, "dist");
const DRAFT = join(HERE, "dist.new");

/** Compile `input` with Tailwind's own program; it runs on Bun, an image need not have Node.js. */
async function tailwind(input: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tailwind-"));
  try {
    const output = join(folder, "styles.css");
    const program = join(HERE, "node_modules/@tailwindcss/cli/dist/index.mjs");
    const run = Bun.spawn([process.execPath, program, "--input", input, "--output", output, "--minify"], {
      cwd: HERE,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const said = (await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()])).join("");
    if ((await run.exited) !== 0) throw new Error(`Tailwind failed:\n${said.trim()}`);
    return await readFile(output, "utf8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Give what is wrong with the URLs in the built page: below the platform's prefix only relative ones work. */
export function wrongUrls(html: string, exists: (path: string) => boolean): string[] {
  const problems: string[] = [];
  const check = (tag: string, url: string | null) => {
    if (url === null || url.startsWith("data:")) return;
    if (/^(?:[a-z][a-z0-9+.-]*:|\/)/i.test(url)) problems.push(`<${tag}> names ${url}, which is not relative`);
    else if (!exists(url.replace(/[?#].*$/, ""))) problems.push(`<${tag}> names ${url}, which was not built`);
  };
  new HTMLRewriter()
    .on("[src]", { element: (element) => check(element.tagName, element.getAttribute("src")) })
    .on("[href]", { element: (element) => check(element.tagName, element.getAttribute("href")) })
    .on("base", { element: () => void problems.push("<base> moves every relative URL") })
    .transform(html);
  return problems;
}

async function build(): Promise<void> {
  await rm(DRAFT, { recursive: true, force: true });
  const result = await Bun.build({
    entrypoints: [join(HERE, "src/index.html")],
    outdir: DRAFT,
    minify: true,
    target: "browser",
    define: { "process.env.NODE_ENV": '"production"' },
    jsx: { runtime: "automatic", development: false },
    plugins: [
      {
        name: "tailwind",
        setup(builder) {
          builder.onLoad({ filter: /styles\.css$/ }, async ({ path }) => ({
            contents: await tailwind(path),
            loader: "css",
          }));
        },
      },
    ],
  });
  const html = await readFile(join(DRAFT, "index.html"), "utf8");
  const problems = wrongUrls(html, (path) => existsSync(join(DRAFT, path)));
  if (problems.length > 0)
    throw new Error(`dist/index.html would not work on the platform:\n  ${problems.join("\n  ")}`);
  await rm(DIST, { recursive: true, force: true });
  await rename(DRAFT, DIST);
  for (const name of result.outputs.map(({ path }) => basename(path))) {
    const content = await Bun.file(join(DIST, name)).bytes();
    console.log(`dist/${name}  ${kilobytes(content.length)} (${kilobytes(Bun.gzipSync(content).length)} compressed)`);
  }
}

/** Say what the bundler found, with its place when it names one. */
export function told(problem: BuildMessage | ResolveMessage | Error): string {
  const place = "position" in problem ? problem.position : null;
  if (!place) return String(problem);
  return `error: ${problem.message}\n    at ${relative(HERE, place.file)}:${place.line}:${place.column}`;
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}

if (import.meta.main) {
  try {
    await build();
  } catch (error) {
    await rm(DRAFT, { recursive: true, force: true });
    console.error(error instanceof AggregateError ? error.errors.map(told).join("\n") : String(error));
    process.exit(1);
  }
}

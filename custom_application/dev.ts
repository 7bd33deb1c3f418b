/** Builds and serves, again after every change (`bun run dev`). */

import { watch } from "node:fs";
import { join } from "node:path";

const HERE = import.meta.dir;
const inherit = { cwd: HERE, stdin: "ignore", stdout: "inherit", stderr: "inherit" } as const;
let server: Bun.Subprocess | undefined;

async function restart(): Promise<void> {
  const built = await Bun.spawn([process.execPath, "build.ts"], inherit).exited;
  if (built !== 0) return;
  server?.kill();
  await server?.exited;
  server = Bun.spawn([process.execPath, "index.ts"], inherit);
}

let timer: Timer | undefined;
let turn = restart();
for (const folder of ["src", "server", "shared"]) {
  watch(join(HERE, folder), { recursive: true }, () => {
    clearTimeout(timer);
    timer = setTimeout(() => (turn = turn.then(restart)), 100);
  });
}

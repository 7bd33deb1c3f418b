/** The server: what start-app.sh runs. */

import { join } from "node:path";

import { ConfigurationError } from "./server/config.ts";
import { serve } from "./server/serve.ts";

const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`);

try {
  const running = await serve(process.env, join(import.meta.dir, "dist"), log);
  let stopping = false;
  // As process 1 of a container Bun ignores both signals unless they are handled.
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, async () => {
      if (stopping) return;
      stopping = true;
      log(`stopping (${signal})`);
      await running.stop();
      process.exit(0);
    });
  }
} catch (error) {
  if (error instanceof ConfigurationError) log(error.message);
  else log(`the server cannot start: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}

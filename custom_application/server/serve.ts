/** Starts the server from an environment, and stops it well. */

import { createApp } from "./app.ts";
import { loadAssets, type Assets } from "./assets.ts";
import { Catalog } from "./catalog.ts";
import { ConfigurationError, readConfig, type Config, type Environment } from "./config.ts";
import { DataRobot } from "./datarobot.ts";

/** Requests that are under way get this long (milliseconds) to end after a stop was asked for. */
const GRACE = 3000;

export interface Running {
  url: URL;
  stop: () => Promise<void>;
}

export type Log = (line: string) => void;

/** Start serving. Throws ConfigurationError with everything that keeps it from starting. */
export async function serve(environment: Environment, dist: string, log: Log): Promise<Running> {
  const { config, assets } = await prepare(environment, dist);
  const ending = new AbortController();
  const source = new DataRobot({ ...config, signal: ending.signal });
  const app = createApp({ basePath: config.basePath, assets, catalog: new Catalog(source, config), log });
  const server = Bun.serve({
    hostname: config.hostname,
    port: config.port,
    idleTimeout: 120,
    development: false,
    fetch: app,
    error(error) {
      log(`unexpected error: ${error.message}`);
      return new Response("The server failed.\n", { status: 500 });
    },
  });
  log(`listening on ${server.hostname}:${server.port}, reading ${config.endpoint}`);
  return {
    url: server.url,
    async stop() {
      const ended = server.stop();
      await Promise.race([ended, idle(server), Bun.sleep(GRACE)]);
      ending.abort();
      await server.stop(true);
    },
  };
}

async function prepare(environment: Environment, dist: string): Promise<{ config: Config; assets: Assets }> {
  const problems: string[] = [];
  const gather = (error: unknown) => {
    problems.push(...(error instanceof ConfigurationError ? error.problems : [(error as Error).message]));
    return undefined;
  };
  const assets = await loadAssets(dist).catch(gather);
  const config = await Promise.resolve()
    .then(() => readConfig(environment))
    .catch(gather);
  if (!assets || !config) throw new ConfigurationError(problems);
  return { config, assets };
}

/** Connections that are kept alive without a request do not count: nobody waits for them. */
async function idle(server: Bun.Server<unknown>): Promise<void> {
  while (server.pendingRequests > 0) await Bun.sleep(20);
}

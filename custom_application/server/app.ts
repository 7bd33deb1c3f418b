/** Which request gets which answer. */

import type { Problem } from "../shared/api.ts";
import type { Assets } from "./assets.ts";
import type { Catalog, Kept } from "./catalog.ts";
import { DataRobotError } from "./datarobot.ts";
import { type Body, encode, replyJson, replyWith } from "./reply.ts";

/** Longer readings (milliseconds) are answered with their progress: visitors see it, and proxies don't give up. */
const PATIENCE = 1500;

/** A failure that came while nobody asked waits this long (milliseconds) for whoever was told of the progress. */
const UNHEARD = 10_000;

export interface AppOptions {
  /** Removed from the front of request paths that start with it. */
  basePath: string;
  assets: Assets;
  catalog: Catalog;
  log: (line: string) => void;
  patience?: number;
}

export type Handler = (request: Request) => Promise<Response>;

export function createApp({ basePath, assets, catalog, log, patience = PATIENCE }: AppOptions): Handler {
  const encoded = new WeakMap<object, Body>();
  const unheard = new WeakMap<object, { error: unknown; at: number }>();

  async function list<T extends object>(request: Request, url: URL, kept: Kept<T>): Promise<Response> {
    const missed = unheard.get(kept);
    unheard.delete(kept);
    if (missed && performance.now() - missed.at < UNHEARD) throw missed.error;
    const reading = kept.get(url.searchParams.has("refresh"));
    const value = await Promise.race([reading, Bun.sleep(patience)]).catch((error: unknown) => {
      unheard.delete(kept); // this visitor hears of it now
      throw error;
    });
    if (value === undefined) {
      reading.catch((error: unknown) => unheard.set(kept, { error, at: performance.now() }));
      return replyJson({ progress: catalog.progress }, 202);
    }
    let body = encoded.get(value);
    if (!body) encoded.set(value, (body = encode(new TextEncoder().encode(JSON.stringify(value)), "application/json")));
    return replyWith(request, body, "application/json", "private, no-cache");
  }

  async function api(request: Request, url: URL, name: string, note: (text: string) => void): Promise<Response> {
    try {
      if (name === "use-cases") return await list(request, url, catalog.useCases);
      if (name === "notebooks") return await list(request, url, catalog.notebooks);
      return failure({ code: "not-found", message: `There is no api/${name}.`, hint: "" }, 404);
    } catch (error) {
      if (error instanceof DataRobotError) {
        note(error.message);
        return failure(error.problem, error.status);
      }
      note(error instanceof Error ? (error.stack ?? error.message) : String(error));
      return failure({ code: "internal", message: "The server failed.", hint: "Its log says why." }, 500);
    }
  }

  return async (request) => {
    const started = performance.now();
    const url = URL.parse(request.url);
    if (!url) return failure({ code: "unexpected", message: "This is no valid request.", hint: "" }, 400);
    const path = inside(url.pathname, basePath);
    if (request.method !== "GET" && request.method !== "HEAD") {
      const message = `${request.method} is not supported.`;
      return failure({ code: "unexpected", message, hint: "Only GET is." }, 405, { Allow: "GET, HEAD" });
    }
    if (path === "/healthz") return replyJson({ status: "ok" });
    if (path.startsWith("/api/")) {
      const notes: string[] = [];
      const response = await api(request, url, path.slice("/api/".length), (text) => notes.push(text));
      if (response.status === 202) return response; // the answer that it leads to is logged
      const seen = `${request.method} ${path.slice(0, 100)} ${response.status} ${Math.round(performance.now() - started)} ms`;
      log([seen, ...notes].join(": "));
      return response;
    }
    const asset = assets.get(path === "/" ? "index.html" : path.slice(1));
    if (asset) return replyWith(request, asset.body, asset.contentType, asset.cacheControl);
    return failure({ code: "not-found", message: "There is no such file.", hint: "" }, 404);
  };
}

function inside(path: string, basePath: string): string {
  if (basePath && (path === basePath || path.startsWith(`${basePath}/`))) return path.slice(basePath.length) || "/";
  return path;
}

function failure(error: Problem, status: number, headers: Record<string, string> = {}): Response {
  const pause = error.retryAfter ? { "Retry-After": String(error.retryAfter) } : {};
  return replyJson({ error }, status, { ...pause, ...headers });
}

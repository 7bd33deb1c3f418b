/** Reads from DataRobot: pages, limits of the API, time-outs, and what its errors mean for an administrator. */

import type { Problem } from "../shared/api.ts";

const PAGE_SIZE = 50;
const RETRIES = 4;
const LONGEST_QUOTE = 300;
const FIRST_DELAY = 500;
/** When DataRobot asks for a longer pause than this, the visitor is told so instead of kept waiting. */
const LONGEST_DELAY = 20_000;
const RETRIED = new Set([429, 500, 502, 503, 504]);

export class DataRobotError extends Error {
  constructor(
    readonly problem: Problem,
    /** The status of our own answer. */
    readonly status: number,
  ) {
    super(problem.message);
    this.name = "DataRobotError";
  }
}

export interface Options {
  endpoint: string;
  origin: string;
  token: string;
  timeoutSeconds: number;
  concurrency: number;
  /** Ends everything that is under way. */
  signal?: AbortSignal;
  clock?: Clock;
}

export interface Clock {
  /** Milliseconds since any fixed moment. */
  now: () => number;
  sleep: (milliseconds: number) => Promise<void>;
}

const CLOCK: Clock = { now: () => performance.now(), sleep: (milliseconds) => Bun.sleep(milliseconds) };

export type Item = Record<string, unknown>;
type Attempt = { value: unknown } | { error: DataRobotError; retry: boolean; delay?: number };

export class DataRobot {
  readonly #options: Options;
  readonly #clock: Clock;
  readonly #slots: Slots;
  /** A 429 counts for all requests: none leaves before this time. */
  #notBefore = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#clock = options.clock ?? CLOCK;
    this.#slots = new Slots(options.concurrency);
  }

  /** All use cases of the organisation. Throws DataRobotError. */
  async useCases(): Promise<Item[]> {
    const query = { includeModelsCount: "false", orderBy: "name", showOrgUseCases: "true" };
    return this.#all(`${this.#options.endpoint}/useCases/`, query, "use case read");
  }

  /** All notebooks and codespaces of one use case. Throws DataRobotError. */
  async notebooks(useCaseId: string): Promise<Item[]> {
    const address = `${this.#options.origin}/api-gw/nbx/notebooks/`;
    return this.#all(address, { useCaseId, orderBy: "-updated" }, "notebook read");
  }

  /** Follow the pages by offset: the first one tells how many there are, the others are asked for at once. */
  async #all(address: string, query: Record<string, string>, permission: string): Promise<Item[]> {
    const page = async (offset: number, limit: number) => {
      const url = new URL(address);
      url.search = new URLSearchParams({ ...query, offset: String(offset), limit: String(limit) }).toString();
      return readPage(await this.#get(url, permission), url);
    };
    const first = await page(0, PAGE_SIZE);
    const step = first.items.length; // the server may give fewer than it was asked for
    const found = [...first.items];
    let more = first.more && step > 0;
    if (more && first.total !== null && first.total > step) {
      const offsets = Array.from({ length: Math.ceil(first.total / step) - 1 }, (_, index) => (index + 1) * step);
      const rest = await Promise.all(offsets.map((offset) => page(offset, step)));
      found.push(...rest.flatMap(({ items }) => items));
      more = rest.at(-1)?.more ?? false;
    }
    while (more) {
      const next = await page(found.length, step);
      found.push(...next.items);
      more = next.more && next.items.length > 0;
    }
    // Something that was created meanwhile moves the pages, so an item may come twice.
    return [...new Map(found.map((item) => [item["id"], item])).values()];
  }

  async #get(url: URL, permission: string): Promise<unknown> {
    for (let tries = 0; ; tries++) {
      const attempt = await this.#slots.use(() => this.#once(url, permission));
      if ("value" in attempt) return attempt.value;
      // A pause of nothing, or one that is over by this clock, is no pause.
      const delay = attempt.delay || FIRST_DELAY * 2 ** tries * (0.75 + Math.random() / 2);
      if (!attempt.retry || tries === RETRIES || delay > LONGEST_DELAY || this.#options.signal?.aborted) {
        throw attempt.error;
      }
      if (attempt.error.problem.code === "rate-limited") {
        this.#notBefore = Math.max(this.#notBefore, this.#clock.now() + delay);
      } else {
        await this.#clock.sleep(delay);
      }
    }
  }

  async #once(url: URL, permission: string): Promise<Attempt> {
    const { token, timeoutSeconds, signal } = this.#options;
    for (let wait; (wait = this.#notBefore - this.#clock.now()) > 0;) await this.#clock.sleep(wait);
    const limit = AbortSignal.timeout(timeoutSeconds * 1000);
    try {
      const response = await fetch(url, {
        headers: { Authorization: `Bearer ${token}`, Accept: "application/json" },
        redirect: "manual",
        signal: signal ? AbortSignal.any([limit, signal]) : limit,
      });
      const text = await response.text();
      if (response.ok) {
        const value = parse(text);
        return value === undefined ? { error: notAnApi(url, response), retry: false } : { value };
      }
      const delay = retryAfter(response);
      const error = refusal(url, response, permission, delay, this.#redacted(messageIn(text)).slice(0, LONGEST_QUOTE));
      return { error, retry: RETRIED.has(response.status), ...(delay === undefined ? {} : { delay }) };
    } catch (cause) {
      return { error: noAnswer(url, limit.aborted, timeoutSeconds, cause), retry: !limit.aborted };
    }
  }

  /** What DataRobot says is shown to visitors, so it must never repeat the token. */
  #redacted(text: string): string {
    return text.replaceAll(this.#options.token, "****");
  }
}

/** At most `free` tasks at a time, in the order of asking. */
class Slots {
  readonly #waiting: (() => void)[] = [];

  constructor(private free: number) {}

  async use<T>(task: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}

function readPage(value: unknown, url: URL): { items: Item[]; total: number | null; more: boolean } {
  const { data, next, totalCount } = (value ?? {}) as { data?: unknown; next?: unknown; totalCount?: unknown };
  if (!Array.isArray(data)) {
    const message = `${url.host} answered ${url.pathname} without the list that was expected.`;
    throw new DataRobotError({ code: "unexpected", message, hint: "Is DATAROBOT_ENDPOINT DataRobot's API?" }, 502);
  }
  const items = data.filter((item): item is Item => typeof item === "object" && item !== null && "id" in item);
  return { items, total: typeof totalCount === "number" ? totalCount : null, more: typeof next === "string" };
}

function refusal(url: URL, response: Response, permission: string, delay: number | undefined, said: string) {
  const upstreamStatus = response.status;
  const where = `${url.host} ${url.pathname}`;
  const fail = (status: number, problem: Omit<Problem, "upstreamStatus">) =>
    new DataRobotError({ ...problem, upstreamStatus }, status);
  if (upstreamStatus === 401) {
    return fail(401, {
      code: "unauthorized",
      message: "DataRobot does not accept the token of this app (401).",
      hint: "It may have been revoked or have expired. Set DATAROBOT_API_TOKEN to a valid one and deploy again.",
    });
  }
  if (upstreamStatus === 403) {
    return fail(403, {
      code: "forbidden",
      message: `The token of this app lacks a permission (403): ${permission}. Use case and notebook read are needed.`,
      hint: "Set DATAROBOT_API_TOKEN to the token of an administrator of the organisation and deploy again.",
    });
  }
  if (upstreamStatus === 429) {
    const retryAfter = Math.ceil((delay || LONGEST_DELAY) / 1000);
    return fail(429, {
      code: "rate-limited",
      message: "DataRobot limits the number of requests at the moment (429).",
      hint: `Try again in ${retryAfter} s.`,
      retryAfter,
    });
  }
  if (upstreamStatus === 404) {
    const hint = "If this concerns everything, DATAROBOT_ENDPOINT is wrong.";
    return fail(502, { code: "not-found", message: `${where} was not found (404).`, hint });
  }
  if (upstreamStatus >= 300 && upstreamStatus < 400) return notAnApi(url, response);
  return fail(502, {
    code: "unexpected",
    message: `${where} answered ${upstreamStatus}${said ? `: ${said}` : "."}`,
    hint: "Try again; when it stays, it is for the administrators of the DataRobot installation.",
  });
}

function notAnApi(url: URL, response: Response): DataRobotError {
  const found = response.ok ? response.headers.get("content-type") || "something without a type" : "a redirect";
  return new DataRobotError(
    {
      code: "unexpected",
      message: `${url.host} ${url.pathname} answered with ${found}, not with JSON.`,
      hint: "Is DATAROBOT_ENDPOINT the address of DataRobot's API?",
      upstreamStatus: response.status,
    },
    502,
  );
}

function noAnswer(url: URL, timedOut: boolean, seconds: number, cause: unknown): DataRobotError {
  if (timedOut) {
    const message = `DataRobot (${url.host}) did not answer within ${seconds} s.`;
    return new DataRobotError({ code: "timeout", message, hint: "It may be busy: try again." }, 504);
  }
  const reason = (cause as { code?: unknown }).code;
  const detail = typeof reason === "string" ? ` (${reason})` : "";
  return new DataRobotError(
    {
      code: "unreachable",
      message: `DataRobot (${url.host}) cannot be reached${detail}.`,
      hint: "Check DATAROBOT_ENDPOINT and the network between this app and DataRobot.",
    },
    502,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function messageIn(text: string): string {
  const message = (parse(text) as { message?: unknown } | null | undefined)?.message;
  return typeof message === "string" ? message : "";
}

/** The pause that the server asks for, in milliseconds: seconds or a date in the header. */
export function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("retry-after")?.trim();
  if (!value) return undefined;
  const pause = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(pause) ? undefined : Math.max(pause, 0);
}

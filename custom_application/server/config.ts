/** The environment of the server: read once, judged as a whole. */

export interface Config {
  hostname: string;
  port: number;
  /** Path in front of every request in the platform's path mode, such as "/apps/<id>"; "" on the root path. */
  basePath: string;
  /** The REST API, without a slash at the end. */
  endpoint: string;
  /** Scheme and host of DataRobot. */
  origin: string;
  token: string;
  cacheSeconds: number;
  timeoutSeconds: number;
  concurrency: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export class ConfigurationError extends Error {
  constructor(readonly problems: readonly string[]) {
    const count = problems.length === 1 ? "One problem" : `${problems.length} problems`;
    super([`${count} in the environment of the server:`, ...problems.map((problem) => `  - ${problem}`)].join("\n"));
    this.name = "ConfigurationError";
  }
}

/** Read the environment; throws ConfigurationError that lists everything that is wrong with it, never a token. */
export function readConfig(environment: Environment): Config {
  const problems: string[] = [];
  const endpoint = readEndpoint(environment["DATAROBOT_ENDPOINT"], problems);
  const config: Config = {
    hostname: "0.0.0.0",
    port: readNumber(environment, "PORT", { fallback: 8080, least: 1, most: 65535 }, problems),
    basePath: readBasePath(environment["SCRIPT_NAME"], problems),
    endpoint: endpoint.href,
    origin: endpoint.origin,
    token: readToken(environment, problems),
    cacheSeconds: readNumber(environment, "VIEWER_CACHE_SECONDS", { fallback: 120, least: 0, most: 86400 }, problems),
    timeoutSeconds: readNumber(environment, "VIEWER_TIMEOUT_SECONDS", { fallback: 30, least: 1, most: 100 }, problems),
    concurrency: readNumber(environment, "VIEWER_CONCURRENCY", { fallback: 6, least: 1, most: 32 }, problems),
  };
  if (problems.length > 0) throw new ConfigurationError(problems);
  return config;
}

function readEndpoint(value: string | undefined, problems: string[]): { href: string; origin: string } {
  const example = "expected the address of the API, such as https://app.datarobot.com/api/v2";
  const nothing = { href: "", origin: "" };
  const text = (value ?? "").trim().replace(/\/+$/, "");
  if (text === "") {
    problems.push(`DATAROBOT_ENDPOINT is not set: ${example}`);
    return nothing;
  }
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    problems.push(`DATAROBOT_ENDPOINT is not a plain http(s) address: ${example}`);
    return nothing;
  }
  if (!url.pathname.endsWith("/api/v2"))
    problems.push(`DATAROBOT_ENDPOINT ${text} does not end in /api/v2: ${example}`);
  return { href: url.href, origin: url.origin };
}

/** The token, from the credential that the platform hands over as a runtime parameter or from the plain variable. */
function readToken(environment: Environment, problems: string[]): string {
  const parameter = environment["MLOPS_RUNTIME_PARAM_DATAROBOT_API_TOKEN"];
  const name = parameter ? "The runtime parameter DATAROBOT_API_TOKEN" : "DATAROBOT_API_TOKEN";
  const token = parameter ? unwrap(parameter) : (environment["DATAROBOT_API_TOKEN"] ?? "");
  if (token === "") {
    problems.push(`${name} is not set: a token that may read use cases and notebooks is needed`);
  } else if (!/^[\x21-\x7e]+$/.test(token) || /^["'].*["']$/.test(token)) {
    problems.push(`${name} has blanks, quotes or non-ASCII characters in it; only the token itself may be there`);
  }
  return token;
}

/** Runtime parameters come as plain text or as {"type", "payload"}; a credential's payload holds `apiToken`. */
function unwrap(parameter: string): string {
  if (!parameter.startsWith("{")) return parameter;
  try {
    const { payload } = JSON.parse(parameter) as { payload?: unknown };
    if (typeof payload === "string") return payload;
    const token = (payload as { apiToken?: unknown } | null | undefined)?.apiToken;
    return typeof token === "string" ? token : "";
  } catch {
    return "";
  }
}

function readBasePath(value: string | undefined, problems: string[]): string {
  const path = (value ?? "").trim().replace(/\/+$/, "");
  if (path === "" || /^(?:\/[\w.~-]+)+$/.test(path)) return path;
  problems.push(`SCRIPT_NAME is not a path such as /apps/<id>`);
  return "";
}

function readNumber(
  environment: Environment,
  key: string,
  limits: { fallback: number; least: number; most: number },
  problems: string[],
): number {
  const text = environment[key]?.trim();
  if (!text) return limits.fallback;
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= limits.least && number <= limits.most) return number;
  problems.push(`${key} is not a whole number from ${limits.least} to ${limits.most}`);
  return limits.fallback;
}

import { describe, expect, test } from "bun:test";

import { ConfigurationError, readConfig } from "../server/config.ts";

const GOOD = { DATAROBOT_ENDPOINT: "https://app.example.com/api/v2", DATAROBOT_API_TOKEN: "abc" };

function problems(environment: Record<string, string>): readonly string[] {
  try {
    readConfig(environment);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

describe("the environment", () => {
  test("has defaults for all but the two that only the platform knows", () => {
    expect(readConfig(GOOD)).toEqual({
      hostname: "0.0.0.0",
      port: 8080,
      basePath: "",
      endpoint: "https://app.example.com/api/v2",
      origin: "https://app.example.com",
      token: "abc",
      cacheSeconds: 120,
      timeoutSeconds: 30,
      concurrency: 6,
    });
  });

  test("is normalised: slashes at the end of endpoint and base path mean nothing", () => {
    const config = readConfig({
      ...GOOD,
      DATAROBOT_ENDPOINT: " https://app.example.com/api/v2// ",
      SCRIPT_NAME: "/apps/1f/",
    });
    expect([config.endpoint, config.basePath]).toEqual(["https://app.example.com/api/v2", "/apps/1f"]);
  });

  test("is judged as a whole, in one message", () => {
    const found = problems({ PORT: "80a", SCRIPT_NAME: "//evil", VIEWER_CONCURRENCY: "0" });
    expect(found.map((problem) => problem.split(" ")[0])).toEqual([
      "DATAROBOT_ENDPOINT",
      "PORT",
      "SCRIPT_NAME",
      "DATAROBOT_API_TOKEN",
      "VIEWER_CONCURRENCY",
    ]);
    expect(() => readConfig({})).toThrow(/2 problems in the environment of the server:\n  - DATAROBOT_ENDPOINT/);
  });

  test.each([
    "app.example.com/api/v2",
    "ftp://app.example.com/api/v2",
    "https://u:p@app.example.com/api/v2",
    "https://app.example.com",
  ])("refuses the endpoint %s", (endpoint) => {
    expect(problems({ ...GOOD, DATAROBOT_ENDPOINT: endpoint })).toHaveLength(1);
  });

  test.each(['"quoted"', "'quoted'", "two words", "line\nend", "tökén"])(
    "refuses the token %j without repeating it",
    (token) => {
      const [problem, ...others] = problems({ ...GOOD, DATAROBOT_API_TOKEN: token });
      expect(others).toEqual([]);
      expect(problem).toStartWith("DATAROBOT_API_TOKEN has blanks, quotes");
      expect(problem).not.toContain(token);
    },
  );

  test.each([
    ["plain", "plain"],
    ['{"type":"string","payload":"wrapped"}', "wrapped"],
    ['{"type":"credential","payload":{"credentialType":"api_token","apiToken":"secret"}}', "secret"],
  ])("takes the token from a runtime parameter %s, which beats the restricted one", (parameter, token) => {
    expect(readConfig({ ...GOOD, MLOPS_RUNTIME_PARAM_DATAROBOT_API_TOKEN: parameter }).token).toBe(token);
  });

  test.each(['{"type":"credential","payload":null}', "{broken"])("refuses the runtime parameter %s", (parameter) => {
    expect(problems({ ...GOOD, MLOPS_RUNTIME_PARAM_DATAROBOT_API_TOKEN: parameter })).toEqual([
      "The runtime parameter DATAROBOT_API_TOKEN is not set: a token that may read use cases and notebooks is needed",
    ]);
  });
});

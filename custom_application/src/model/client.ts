/** The page's side of the server's API. */

import type { NotebookList, Problem, ProblemReply, Progress, UseCaseList } from "../../shared/api.ts";

const ASK_AGAIN = 500;

export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
    this.name = "ApiError";
  }
}

export function loadUseCases(refresh: boolean, signal: AbortSignal): Promise<UseCaseList> {
  return ask(refresh ? "./api/use-cases?refresh" : "./api/use-cases", () => {}, signal);
}

export function loadNotebooks(
  refresh: boolean,
  onProgress: (progress: Progress["progress"]) => void,
  signal: AbortSignal,
): Promise<NotebookList> {
  return ask(refresh ? "./api/notebooks?refresh" : "./api/notebooks", onProgress, signal);
}

/** Ask until the answer is there; 202 brings the progress instead. Throws ApiError. */
async function ask<T extends object>(
  address: string,
  onProgress: (progress: Progress["progress"]) => void,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    const value = await get<T | Progress>(address, signal);
    if (!("progress" in value)) return value;
    onProgress(value.progress);
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN));
    signal.throwIfAborted();
  }
}

async function get<T extends object>(address: string, signal: AbortSignal): Promise<T> {
  const response = await fetch(address, { headers: { Accept: "application/json" }, signal }).catch((cause: unknown) => {
    if (signal.aborted) throw cause;
    const hint = "Is there a connection to DataRobot? The app may also be starting again: try in a moment.";
    throw new ApiError({ code: "offline", message: "The server of this app does not answer.", hint });
  });
  const value: unknown = await response.json().catch(() => undefined);
  signal.throwIfAborted();
  if (typeof value === "object" && value !== null) {
    if (response.ok) return value as T;
    if ("error" in value) throw new ApiError((value as ProblemReply).error);
  }
  if (response.redirected || response.ok || response.status === 401) {
    const hint = "Reload the page to sign in again.";
    throw new ApiError({ code: "signed-out", message: "You seem to be signed out of DataRobot.", hint });
  }
  const message = `The server of this app answered ${response.status}.`;
  throw new ApiError({ code: "unexpected", message, hint: "The app may be starting again: try in a moment." });
}

/** DataRobot as the visitor reaches it: the host of this page when it is served there, else what the server says. */
export function platformOrigin(page: Pick<Location, "origin" | "pathname">, told: string): string {
  return page.pathname.startsWith("/custom_applications/") ? page.origin : told;
}

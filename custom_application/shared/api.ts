/** What the server's API gives to the page. */

export interface Person {
  id: string;
  name: string;
  username: string;
}

export interface UseCase {
  id: string;
  name: string;
  description: string;
  owner: Person | null;
  members: number | null;
  /** As DataRobot counts them; the notebooks that were really found are in NotebookList. */
  notebooksCount: number | null;
  createdAt: string | null;
  updatedAt: string | null;
}

export interface Notebook {
  id: string;
  /** "notebook" or "codespace"; other words are passed on. */
  type: string;
  name: string;
  description: string;
  useCaseId: string;
  createdAt: string | null;
  createdBy: Person | null;
  updatedAt: string | null;
  updatedBy: Person | null;
  viewedAt: string | null;
  /** Status of the session, such as "running"; null without one. */
  session: string | null;
  hasSchedule: boolean;
  scheduleEnabled: boolean;
}

export interface UseCaseList {
  /** Scheme and host of DataRobot, for links. */
  origin: string;
  loadedAt: string;
  useCases: UseCase[];
}

export interface NotebookList {
  loadedAt: string;
  notebooks: Notebook[];
  /** Use cases whose notebooks could not be read, with the reason. */
  unreadable: { useCaseId: string; reason: string }[];
}

/** The answer (202) while the notebooks are still being read: ask again. */
export interface Progress {
  progress: { done: number; of: number };
}

export type ProblemCode =
  | "unauthorized"
  | "forbidden"
  | "not-found"
  | "rate-limited"
  | "timeout"
  | "unreachable"
  | "unexpected"
  | "internal"
  | "signed-out"
  | "offline";

export interface Problem {
  code: ProblemCode;
  message: string;
  hint: string;
  /** What DataRobot answered, where it did. */
  upstreamStatus?: number;
  /** Seconds after which another try makes sense. */
  retryAfter?: number;
}

/** The body of every answer that is an error. */
export interface ProblemReply {
  error: Problem;
}

/** Everything that was read, kept for a short time; whoever asks while it is being read waits for the same answer. */

import type { Notebook, NotebookList, ProblemCode, UseCaseList } from "../shared/api.ts";
import { DataRobotError, type DataRobot } from "./datarobot.ts";
import { toNotebook, toUseCase } from "./shape.ts";

/** Who asks this soon after a reading gets what was read then (milliseconds): it may be the one who waited for it, and
 * asks again until it is done. */
const LEAST_AGE = 3000;

/** The token is not accepted, or DataRobot wants a pause that is too long to wait for. */
const CONCERNS_ALL: ReadonlySet<ProblemCode> = new Set(["unauthorized", "rate-limited"]);

export interface CatalogOptions {
  origin: string;
  cacheSeconds: number;
  /** How many use cases are read at a time. */
  concurrency: number;
  now?: () => number;
}

export class Catalog {
  readonly useCases: Kept<UseCaseList>;
  readonly notebooks: Kept<NotebookList>;
  progress = { done: 0, of: 0 };

  constructor(
    private readonly source: Pick<DataRobot, "useCases" | "notebooks">,
    private readonly options: CatalogOptions,
  ) {
    const now = options.now ?? Date.now;
    this.useCases = new Kept(() => this.#readUseCases(), options.cacheSeconds * 1000, now);
    this.notebooks = new Kept(() => this.#readNotebooks(), options.cacheSeconds * 1000, now);
  }

  async #readUseCases(): Promise<UseCaseList> {
    const useCases = (await this.source.useCases()).map(toUseCase);
    return { origin: this.options.origin, loadedAt: new Date().toISOString(), useCases };
  }

  /** One use case that cannot be read does not hide the others; what concerns all of them ends it at once. */
  async #readNotebooks(): Promise<NotebookList> {
    this.progress = { done: 0, of: 0 };
    const { useCases } = await this.useCases.get();
    this.progress = { done: 0, of: useCases.length };
    const found = new Map<string, Notebook>();
    const failures: { useCaseId: string; error: DataRobotError }[] = [];
    let refused: DataRobotError | null = null;
    const waiting = useCases.map(({ id }) => id).values();
    const readNext = async () => {
      for (const id of waiting) {
        try {
          for (const item of await this.source.notebooks(id)) found.set(String(item["id"]), toNotebook(item, id));
        } catch (error) {
          if (!(error instanceof DataRobotError)) throw error;
          failures.push({ useCaseId: id, error });
          if (CONCERNS_ALL.has(error.problem.code)) refused = error;
        }
        this.progress.done++;
        if (refused) return;
      }
    };
    await Promise.all(Array.from({ length: this.options.concurrency }, readNext));
    if (refused) throw refused;
    const [first] = failures;
    if (first && failures.length === useCases.length) throw first.error;
    return {
      loadedAt: new Date().toISOString(),
      notebooks: [...found.values()],
      unreadable: failures.map(({ useCaseId, error }) => ({ useCaseId, reason: error.message })),
    };
  }
}

/** A value that is read when somebody asks for it and is too old; failures are not kept. */
export class Kept<T> {
  #value: T | undefined;
  #readAt = -Infinity;
  #reading: Promise<T> | undefined;

  constructor(
    private readonly read: () => Promise<T>,
    private readonly lifetime: number,
    private readonly now: () => number,
  ) {}

  get(refresh = false): Promise<T> {
    const age = this.now() - this.#readAt;
    if (this.#value !== undefined && age < (refresh ? LEAST_AGE : Math.max(LEAST_AGE, this.lifetime))) {
      return Promise.resolve(this.#value);
    }
    this.#reading ??= this.read()
      .then((value) => {
        this.#readAt = this.now();
        return (this.#value = value);
      })
      .finally(() => (this.#reading = undefined));
    return this.#reading;
  }
}

import { useCallback, useEffect, useRef, useState } from "react";

import type { NotebookList, Problem, Progress, UseCaseList } from "../shared/api.ts";
import { ApiError, loadNotebooks, loadUseCases } from "./model/client.ts";
import { formatView, parseView, type View } from "./model/view.ts";

/** Something that is loaded: what is there stays while it is loaded again, and when that fails. */
export interface Loaded<T> {
  data: T | null;
  problem: Problem | null;
  loading: boolean;
}

export interface Overview {
  useCases: Loaded<UseCaseList>;
  notebooks: Loaded<NotebookList>;
  progress: Progress["progress"] | null;
  refresh: () => void;
}

const NOTHING = { data: null, problem: null, loading: true };

/** Everything the page shows; `refresh` has the server read it again from DataRobot. */
export function useOverview(): Overview {
  const [useCases, setUseCases] = useState<Loaded<UseCaseList>>(NOTHING);
  const [notebooks, setNotebooks] = useState<Loaded<NotebookList>>(NOTHING);
  const [progress, setProgress] = useState<Progress["progress"] | null>(null);
  const [round, setRound] = useState(0);

  useEffect(() => {
    const ending = new AbortController();
    const { signal } = ending;
    async function follow<T>(loading: Promise<T>, set: (change: (before: Loaded<T>) => Loaded<T>) => void) {
      set((before) => ({ ...before, loading: true }));
      try {
        const data = await loading;
        if (!signal.aborted) set(() => ({ data, problem: null, loading: false }));
      } catch (error) {
        if (!signal.aborted) set((before) => ({ data: before.data, problem: problemOf(error), loading: false }));
      }
    }
    async function load() {
      const again = round > 0;
      setProgress(null);
      const first = loadUseCases(again, signal);
      const loaded = follow(first, setUseCases);
      // Notebooks are read by use case, so after a refresh these have to be there first.
      const ready = again ? first : Promise.resolve();
      await follow(
        ready.then(() => loadNotebooks(again, setProgress, signal)),
        setNotebooks,
      );
      await loaded;
    }
    void load();
    return () => ending.abort();
  }, [round]);

  const refresh = useCallback(() => setRound((before) => before + 1), []);
  return { useCases, notebooks, progress, refresh };
}

function problemOf(error: unknown): Problem {
  if (error instanceof ApiError) return error.problem;
  return { code: "unexpected", message: "The page failed to load the data.", hint: String(error) };
}

/** The view lives in the fragment of the URL: links change it, `update` replaces it without an entry in the history. */
export function useView(): [View, (change: Partial<View>) => void] {
  const [view, setView] = useState(() => parseView(location.hash));
  const latest = useRef(view);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);

  useEffect(() => {
    const follow = () => {
      clearTimeout(timer.current);
      setView((latest.current = parseView(location.hash)));
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);

  const update = useCallback((change: Partial<View>) => {
    const view = (latest.current = { ...latest.current, page: 1, ...change });
    setView(view);
    clearTimeout(timer.current);
    const write = () => history.replaceState(null, "", formatView(view));
    // Browsers limit how often the URL may change, and people type fast.
    if (Object.keys(change).join() === "query" && change.query) timer.current = setTimeout(write, 150);
    else write();
  }, []);
  return [view, update];
}

/** The time, again every half minute: what is "just now" does not stay so. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 30_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** "/" puts the cursor into the search field, as long as nothing is being typed elsewhere. */
export function useSearchKey(field: React.RefObject<HTMLInputElement | null>): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const busy = event.target instanceof Element && event.target.closest("input, select, textarea");
      if (event.key !== "/" || busy || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      field.current?.focus();
      field.current?.select();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, [field]);
}

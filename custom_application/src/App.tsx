import { useEffect, useMemo } from "react";

import { Now } from "./components/bits.tsx";
import { Header } from "./components/Header.tsx";
import { NotebooksView } from "./components/NotebooksView.tsx";
import { Notice, ProblemPanel } from "./components/states.tsx";
import { Totals } from "./components/Totals.tsx";
import { UseCasesView } from "./components/UseCasesView.tsx";
import { useNow, useOverview, useView } from "./hooks.ts";
import { platformOrigin } from "./model/client.ts";
import { notebookRows, useCaseRows } from "./model/rows.ts";
import { formatView, TABS, withTab, type Tab } from "./model/view.ts";

const LABELS: Record<Tab, string> = { "use-cases": "Use cases", notebooks: "Notebooks" };

export function App() {
  const { useCases, notebooks, progress, refresh } = useOverview();
  const [view, update] = useView();
  const now = useNow();
  const origin = platformOrigin(location, useCases.data?.origin ?? "");

  const useCaseTable = useMemo(
    () => useCases.data && useCaseRows(useCases.data.useCases, notebooks.data?.notebooks ?? null, notebooks.data?.unreadable),
    [useCases.data, notebooks.data],
  );
  const notebookTable = useMemo(
    () => notebooks.data && notebookRows(notebooks.data.notebooks, useCases.data?.useCases ?? []),
    [useCases.data, notebooks.data],
  );
  useEffect(() => {
    document.title = `${LABELS[view.tab]} · Notebook admin viewer`;
  }, [view.tab]);

  const current = view.tab === "use-cases" ? useCases : notebooks;
  const loading = useCases.loading || notebooks.loading;
  const counts = { "use-cases": useCaseTable?.length, notebooks: notebookTable?.length };
  const unreadable = notebooks.data?.unreadable ?? [];
  return (
    <Now value={now}>
      <a href="#content" className="bg-surface sr-only z-20 p-3 focus:not-sr-only focus:absolute" onClick={skip}>
        Skip to the table
      </a>
      <Header origin={origin} loadedAt={current.data?.loadedAt ?? null} loading={loading} onRefresh={refresh} />
      <main className="mx-auto max-w-7xl px-4 py-6 sm:px-6">
        <Totals
          useCases={useCases.data?.useCases ?? null}
          notebooks={notebooks.data?.notebooks ?? null}
          loading={loading}
        />
        <nav aria-label="Views" className="border-line mt-6 mb-4 flex gap-6 border-b">
          {TABS.map((tab) => (
            <a
              key={tab}
              href={formatView(withTab(view, tab))}
              aria-current={tab === view.tab ? "page" : undefined}
              className={`-mb-px flex items-center gap-2 border-b-2 px-1 pb-2.5 font-medium ${
                tab === view.tab ? "border-accent text-ink" : "text-muted hover:text-ink border-transparent"
              }`}
            >
              {LABELS[tab]}
              {counts[tab] !== undefined && (
                <span className="bg-sunken text-muted rounded-full px-2 text-xs tabular-nums">
                  {counts[tab].toLocaleString("en")}
                </span>
              )}
            </a>
          ))}
        </nav>
        <div id="content" tabIndex={-1} className="scroll-mt-4 outline-none">
          {current.problem && !current.data ? (
            <div className="border-line bg-surface rounded-xl border shadow-xs">
              <ProblemPanel problem={current.problem} retrying={loading} onRetry={refresh} />
            </div>
          ) : (
            <>
              {current.problem && (
                <Notice onRetry={refresh}>{current.problem.message} What was read before is shown.</Notice>
              )}
              {view.tab === "notebooks" && unreadable.length > 0 && (
                <Notice onRetry={refresh}>
                  The notebooks of {unreadable.length === 1 ? "one use case" : `${unreadable.length} use cases`} could
                  not be read and are missing here: {unreadable[0]?.reason}
                </Notice>
              )}
              {view.tab === "use-cases" ? (
                <UseCasesView rows={useCaseTable} origin={origin} view={view} update={update} />
              ) : (
                <NotebooksView rows={notebookTable} progress={progress} origin={origin} view={view} update={update} />
              )}
            </>
          )}
        </div>
      </main>
    </Now>
  );
}

/** The fragment of the URL is the view, so the link moves the focus itself. */
function skip(event: React.MouseEvent) {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

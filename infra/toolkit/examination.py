"""Ask a started app everything: its first answer, a crawl through the front, a browser, how it stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread

from docker.errors import APIError

from toolkit.browsing.model import BrowserResult, Ports
from toolkit.browsing.session import Explorer
from toolkit.checks import browser, build, crawl, environment, front, lifecycle, source, start
from toolkit.checks.context import Again, Context, Waited
from toolkit.container import App, RunningApp
from toolkit.crawl import CrawlResult
from toolkit.crawl import crawl as follow
from toolkit.fetch import HttpFetch
from toolkit.image.files import CACHES
from toolkit.image.model import AppImage
from toolkit.options import SmokeOptions
from toolkit.places import PLATFORM_ORIGIN, PUBLIC_HOST, VISITOR
from toolkit.processes import Inside
from toolkit.record import Record
from toolkit.replica import Replica
from toolkit.settings import Secret
from toolkit.source import StagedSource
from toolkit.waiting import STATE_EVERY, patience, wait

RUNTIME_PARAMETER = "MLOPS_RUNTIME_PARAM_"  # what the names of runtime parameters begin with (platform-contract 3)
MOST_LOG_LINES = 5000
STILL_PATIENCE = 5.0  # seconds for an answer of an app that has answered before


@dataclass(frozen=True)
class Trial:
    """What is tried and how: the release, its id and restricted token, and `start`, which starts one more of it."""

    image: AppImage
    staged: StagedSource
    options: SmokeOptions
    host: str
    app_id: str
    restricted: Secret
    endpoint: str
    start: Callable[[], RunningApp]


class Examination:
    """Asks one started container of a trial, and notes the answers in a record."""

    def __init__(self, trial: Trial, record: Record) -> None:
        self._trial = trial
        self._record = record
        self._up_at = time.monotonic()

    def of(self, app: App) -> Context:
        """Ask everything of a container that was just started, and stop it."""
        context = self._examine(app)
        if context.waited.response is not None:
            context = self._settled(app, context)
        self._record.ask(context, start.stable)
        self._record.ask(context, start.log)
        stopping = time.monotonic()
        if context.running and not context.blocked:
            if self._trial.options.meanwhile is not None:
                Thread(target=self._trial.options.meanwhile, name="meanwhile", daemon=True).start()
            with self._record.moment("stop"):
                context = replace(context, stopped=app.stop(self._trial.options.grace))
        self._record.ask(context, lifecycle.sigterm, time.monotonic() - stopping)
        self._record.ask(context, lifecycle.replica)
        restarting = time.monotonic()
        if context.stopped is not None and context.written and isinstance(app, RunningApp):
            context = replace(context, restarted=self._restart(app, context))
        self._record.ask(context, lifecycle.restart, time.monotonic() - restarting)
        return context

    def _examine(self, app: App) -> Context:
        """Ask everything that needs the app to run."""
        began = time.monotonic()
        page_path = "/" if self._trial.options.mode == "strip" else f"/apps/{self._trial.app_id}/"
        probe_path = self._trial.options.health_path or page_path
        with self._record.moment("start"):
            waited = wait(app, f"http://{self._trial.host}:{app.port}{probe_path}", self._trial.options.patience)
        self._up_at = time.monotonic()
        up = waited.response is not None
        context = Context(
            staged=self._trial.staged,
            build_log=self._trial.image.log,
            build=self._trial.image.build,
            mode=self._trial.options.mode,
            prefix=f"/custom_applications/{self._trial.app_id}/",
            probe_path=probe_path,
            patience=self._trial.options.patience,
            memory=self._trial.options.bundle.memory,
            full_token=self._trial.options.full_token,
            restricted_token=self._trial.restricted,
            ships_env=self._ships_env(),
            app=_Shell(app),
            waited=waited,
            endpoint=self._trial.endpoint,
            parameter=next((name for name in self._trial.options.env or () if name.startswith(RUNTIME_PARAMETER)), ""),
            logs=() if up else tuple(app.logs(MOST_LOG_LINES)),
            state=None if up else waited.state,
        )
        for look in source.CHECKS:
            self._record.ask(context, look)
        self._record.ask(context, build.hook)
        self._record.ask(context, build.output)
        self._record.ask(context, start.listens, time.monotonic() - began)
        crawling = time.monotonic()
        if up and isinstance(app, RunningApp):
            context = self._visit(app, context)
        crawled = time.monotonic() - crawling
        self._record.ask(context, start.probe)
        self._record.ask(context, environment.token)
        self._record.ask(context, environment.settings)
        self._record.ask(context, environment.leaks)
        self._record.ask(context, environment.private)
        self._record.ask(context, front.page)
        self._record.ask(context, front.prefix)
        self._record.ask(context, front.assets, crawled)
        self._record.ask(context, crawl.links)
        self._record.ask(context, crawl.encoding)
        self._record.ask(context, crawl.hosts)
        self._record.ask(context, crawl.complete)
        if self._chromium:
            for check in browser.CHECKS:
                self._record.ask(context, check)
        return context

    def _ships_env(self) -> bool:
        staged = any(file.path == ".env" for file in self._trial.staged.files)
        return staged or ".env" in self._trial.image.late_files

    def _visit(self, app: RunningApp, context: Context) -> Context:
        """Crawl the app through the front, look into its container meanwhile, and put a second one beside it."""
        start_url = PLATFORM_ORIGIN + context.prefix
        again: Again | None = None
        with ExitStack() as removed, ThreadPoolExecutor(2, "look") as aside:
            looking, listing = aside.submit(_look_inside, app), aside.submit(self._written, app)
            from toolkit.front import Front, Target, certificate  # takes longest to be loaded, and is needed only now

            target = Target(self._trial.host, app.port, self._trial.app_id, self._trial.options.mode)
            tls = certificate(PUBLIC_HOST) if self._chromium else None
            entrance = removed.enter_context(Front(target, public_host=PUBLIC_HOST, tls=tls, visitor=VISITOR))
            still = patience(context.waited.seconds, self._trial.options.patience)
            beside = Replica(self._trial.start, target, context.probe_path, still)
            explorer = self._explorer(start_url, context.prefix, Ports(entrance.port, entrance.secure_port))
            if explorer is not None:
                removed.enter_context(explorer)
                removed.enter_context(beside)
                explorer.open(beside.come_up)
            with self._record.moment("crawl"), HttpFetch(through=("127.0.0.1", entrance.port)) as fetch:
                crawled: CrawlResult = follow(fetch, start_url, context.prefix)
                private = tuple(fetch(start_url + path) for path in environment.private_paths(context))
                inside, written = looking.result(), listing.result()
            well = context.waited.response is not None and context.waited.response.status < 400
            # A container that starts makes the browser break off its connections, so it has to be there before.
            if explorer is not None or (written and well and self._record.wanted("lifecycle")):
                with self._record.moment("replica"):
                    if explorer is None:
                        removed.enter_context(beside)
                    again = beside.compared(beside.come_up(), crawled.answers)
            seen: BrowserResult | None = None
            if explorer is not None:
                with self._record.moment("browser"):
                    seen = explorer.look()
            if self._trial.options.keep is not None:
                self._trial.options.keep(entrance.url)
        logs = tuple(app.logs(MOST_LOG_LINES))
        return replace(
            context,
            crawled=crawled,
            browser=seen,
            private=private,
            inside=inside,
            written=written,
            replica=again,
            logs=logs,
            log_size=app.log_size(start.MUCH_LOG) if len(logs) >= MOST_LOG_LINES else 0,
            state=app.state(),
        )

    def _written(self, app: RunningApp) -> tuple[str, ...]:
        """What the app wrote that its next start could meet: not what was put there before, and no caches."""
        if not self._trial.options.writes:
            return ()
        workdir = self._trial.image.environment.workdir.rstrip("/")
        late = {f"{workdir}/{path}" for path in self._trial.image.late_files}
        return tuple(path for path in app.written() if path not in late and not CACHES.search(path))

    @property
    def _chromium(self) -> Path | None:
        """The browser that looks at the app; None when nobody wants it to."""
        return self._trial.options.browser if self._record.wanted("browser") else None

    def _explorer(self, url: str, prefix: str, ports: Ports) -> Explorer | None:
        if self._chromium is None:
            return None
        return Explorer(url, prefix=prefix, chromium=self._chromium, ports=ports)

    def _restart(self, app: RunningApp, context: Context) -> Again:
        with self._record.moment("restart"):
            app.start_again()
            url = f"http://{app.host}:{app.port}{context.probe_path}"
            waited = wait(app, url, patience(context.waited.seconds, self._trial.options.patience))
            return Again(waited, logs=tuple(app.logs()))

    def _settled(self, app: App, context: Context) -> Context:
        """Let the app run for a while, unless it has failed already, and see whether it still answers its probe."""
        state = app.state()
        if self._record.failed or not isinstance(app, RunningApp):
            return replace(context, state=state)
        still: Waited | None = None
        with self._record.moment("settle"):
            end = self._up_at + self._trial.options.settle
            while state.running and time.monotonic() < end:
                time.sleep(max(0.0, min(STATE_EVERY, end - time.monotonic())))
                state = app.state()
            if state.running and self._trial.options.settle:
                still = wait(app, f"http://{self._trial.host}:{app.port}{context.probe_path}", STILL_PATIENCE)
                state = still.state if not still.state.running else state
        ran = time.monotonic() - self._up_at
        logs = context.logs if state.running else tuple(app.logs(MOST_LOG_LINES))
        return replace(context, state=state, ran=ran, still=still, logs=logs)


class _Shell:
    """The container as checks may ask it: one that has stopped meanwhile answers nothing."""

    def __init__(self, app: App) -> None:
        self._app = app

    def exec(self, argv: list[str]) -> tuple[int, str]:
        try:
            return self._app.exec(argv)
        except APIError:
            return 126, ""


def _look_inside(app: App) -> Inside:
    """See what serves port 8080; asked again when an engine loses the output."""
    inside = Inside()
    for _ in range(3):
        inside = app.look_inside()
        if inside.server is not None:
            break
    return inside

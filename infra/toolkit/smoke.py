"""Run a release as the platform would, ask it everything, and say what would go wrong there.

One container, one crawl through the front, one stop: the checks look at what these showed.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import docker
from docker.errors import APIError

from toolkit import container
from toolkit import engine as engines
from toolkit.browsing.model import BrowserResult, Ports
from toolkit.browsing.session import Explorer
from toolkit.bundles import BUNDLES, DEFAULT_BUNDLE, Bundle
from toolkit.checks import browser, build, crawl, environment, front, lifecycle, source, start
from toolkit.checks.context import Again, Built, Context, Sources, Waited
from toolkit.checks.merge import merge
from toolkit.container import ContainerFailed, ContainerState, RunningApp, RunSpec, StopResult
from toolkit.crawl import CrawlResult, Limits
from toolkit.crawl import crawl as follow
from toolkit.fetch import HttpFetch
from toolkit.image import BUILD_OWNER, AppImage, BuildFailed
from toolkit.places import PLATFORM_ORIGIN, PUBLIC_HOST
from toolkit.processes import Inside
from toolkit.report import Check, Moment, SmokeReport
from toolkit.settings import Secret
from toolkit.source import NotShippable, StagedSource
from toolkit.waiting import STATE_EVERY, patience, wait

if TYPE_CHECKING:
    from toolkit.replica import Replica

OWNER = "smoke"
RUNTIME_PARAMETER = "MLOPS_RUNTIME_PARAM_"  # what the names of runtime parameters begin with (platform-contract 3)
MOST_LOG_LINES = 5000
REPORTED_LOG_LINES = 200
STILL_PATIENCE = 5.0  # seconds for an answer of an app that has answered before
_CACHE = re.compile(r"/(?:\.bun|\.cache|\.npm|@t@|__pycache__)(?:/|$)|/bun-node-[^/]*|\.log$")
LEAST_MASKED = 8  # characters of a token's beginning: what is shorter may stand in any log

OnEvent = Callable[[dict[str, Any]], None]


def _silent(_event: dict[str, Any]) -> None:
    return


@dataclass(frozen=True)
class SmokeOptions:
    """How the release is to be run, and how long things may take (seconds).

    `mode`: "strip" when the app is configured for requests on the root path, else "keep" (it sees /apps/<id>/).
    `health_path` is what the platform probes (empty: where the page is). `full_token` is what the serving process has
    to hold; without it that check is skipped. `browser` is the Chromium that looks at the page (None: no browser does),
    `only` names families (none: all of them), `keep` is called with the app's URL when all has been asked, and the app
    stays up until it returns. `settle` is how long the app has to stay up after its first answer; a browser spends
    that time anyway. `while_stopping` is called in a thread of its own while the engine stops the app: time for what
    the caller has to prepare.
    """

    mode: Literal["strip", "keep"] = "strip"
    bundle: Bundle = BUNDLES[DEFAULT_BUNDLE]
    health_path: str = ""
    full_token: Secret | None = None
    endpoint: str = ""
    env: Mapping[str, str] | None = None
    patience: float = 120.0
    grace: float = 10.0
    settle: float = 3.0
    limits: Limits = field(default_factory=Limits)
    browser: Path | None = None
    only: frozenset[str] = frozenset()
    keep: Callable[[str], None] | None = None
    while_stopping: Callable[[], None] | None = None

    def only_of(self, *families: str) -> bool:
        """Whether nothing but these families is asked."""
        return bool(self.only) and self.only <= set(families)


def run(
    engine: docker.DockerClient,
    image: AppImage,
    staged: StagedSource,
    options: SmokeOptions,
    *,
    host: str = "127.0.0.1",
    on_event: OnEvent = _silent,
) -> SmokeReport:
    """Start the app in its container, run all checks on it, and remove everything.

    `host` is where ports that the engine publishes are reached. A failing check is an answer, not an exception;
    exceptions (an engine that dies, Ctrl-C) leave no container behind either. Emits one "check" event per answer.
    """
    smoke = _Smoke(engine, image, staged, options, host, on_event)
    with _terminated_like_interrupted():
        return smoke.run()


def before_build(staged: StagedSource, error: BuildFailed | None = None) -> tuple[Check, ...]:
    """Ask what can be asked of the files alone; with `error` also what the build step says by it.

    A failed answer means that there is nothing to run.
    """
    sources = Sources(staged)
    asked = [check(sources) for check in source.CHECKS]
    if error is not None:
        asked.append(build.hook(sources, error))
    return merge(asked)


def refused(refusal: NotShippable) -> SmokeReport:
    """Give the report of an app that cannot even be staged."""
    return SmokeReport({}, 0.0, merge([source.refused(refusal.details, refusal.hint)]))


def after_build(staged: StagedSource, image: AppImage) -> tuple[Check, ...]:
    """Ask what can be asked without running the app."""
    built = Built(staged, image.log, build=image.build)
    return merge([*(check(built) for check in source.CHECKS), build.hook(built), build.output(built)])


class _NeverStarted:
    """A container that the engine could not run, seen as one that exited at once."""

    port = 0

    def __init__(self, error: str) -> None:
        self._error = error

    def logs(self, tail: int) -> list[str]:  # noqa: ARG002
        return [self._error]

    def state(self) -> ContainerState:
        return ContainerState("created", False, 127, False, self._error)

    def look_inside(self) -> Inside:
        return Inside()

    def exec(self, argv: list[str]) -> tuple[int, str]:  # noqa: ARG002
        return 126, ""

    def stop(self, grace: float) -> StopResult:  # noqa: ARG002
        return StopResult(0.0, 127, killed=False)


App = RunningApp | _NeverStarted


class _Shell:
    """The container as checks may ask it: one that has stopped meanwhile answers nothing."""

    def __init__(self, app: App) -> None:
        self._app = app

    def exec(self, argv: list[str]) -> tuple[int, str]:
        try:
            return self._app.exec(argv)
        except APIError:
            return 126, ""


class _Smoke:
    def __init__(
        self,
        engine: docker.DockerClient,
        image: AppImage,
        staged: StagedSource,
        options: SmokeOptions,
        host: str,
        on_event: OnEvent,
    ) -> None:
        self._engine = engine
        self._image = image
        self._staged = staged
        self._options = options
        self._host = host
        self._on_event = on_event
        self._app_id = secrets.token_hex(12)
        self._restricted = Secret(secrets.token_urlsafe(48))
        self._run_id = engines.new_run()
        self._checks: list[Check] = []
        self._timeline: list[Moment] = []
        self._began = time.monotonic()
        self._up_at = self._began

    def run(self) -> SmokeReport:
        with self._moment("sweep"):
            for owner in (OWNER, BUILD_OWNER):
                container.sweep(self._engine, owner, engines.is_alive)
        spec = RunSpec(
            image=self._image,
            env=self._environment(),
            bundle=self._options.bundle,
            owner=OWNER,
            run_id=self._run_id,
            port_on=engines.published_on(self._host),
        )
        with self._started(spec) as app:
            context = self._examine(app, spec)
            if context.waited.response is not None:
                context = self._settled(app, context)
            self._ask(context, start.stable)
            self._ask(context, start.log)
            stopping = time.monotonic()
            if context.running and not context.blocked:
                if self._options.while_stopping is not None:
                    Thread(target=self._options.while_stopping, name="meanwhile", daemon=True).start()
                with self._moment("stop"):
                    context = replace(context, stopped=app.stop(self._options.grace))
            self._ask(context, lifecycle.sigterm, time.monotonic() - stopping)
            self._ask(context, lifecycle.replica)
            restarting = time.monotonic()
            if context.stopped is not None and context.written and isinstance(app, RunningApp):
                context = replace(context, restarted=self._restart(app, context))
            self._ask(context, lifecycle.restart, time.monotonic() - restarting)
        left = container_names(self._engine, self._run_id)
        self._ask(replace(context, left_behind=tuple(left)), lifecycle.left_behind)
        base = self._image.environment.base
        return SmokeReport(
            release={
                "image": self._image.digest,
                "source": self._staged.digest,
                "environment": self._image.environment.digest,
                "base": f"{base.name} ({base.origin})",
                "mode": self._options.mode,
                "bundle": self._options.bundle.id,
            },
            seconds=time.monotonic() - self._began,
            checks=merge(check for check in self._checks if self._wanted(check.family)),
            served=context.crawled.served if context.crawled else {},
            timeline=tuple(self._timeline),
            log=masked(context.logs[-REPORTED_LOG_LINES:], (self._restricted, self._options.full_token)),
            screenshot=context.browser.screenshot if context.browser else None,
        )

    @contextmanager
    def _started(self, spec: RunSpec) -> Iterator[App]:
        """The started app; an engine that cannot run start-app.sh is an answer of the test, not an error."""
        # Loading the front's packages takes about as long as the engine takes to start a container.
        Thread(target=import_module, args=("toolkit.front",), name="load", daemon=True).start()
        try:
            with self._moment("container"):
                app = self._start(spec)
        except ContainerFailed as problem:
            if source.START not in problem.message:
                raise
            yield _NeverStarted(problem.message)
            return
        try:
            yield app
        finally:
            app.remove()

    def _start(self, spec: RunSpec) -> RunningApp:
        return container.start(self._engine, spec, host=self._host, cpus=_cpus(self._engine, self._host))

    def _restart(self, app: RunningApp, context: Context) -> Again:
        with self._moment("restart"):
            app.start_again()
            url = f"http://{app.host}:{app.port}{context.probe_path}"
            waited = wait(app, url, patience(context.waited.seconds, self._options.patience))
            return Again(waited, logs=tuple(app.logs()))

    def _settled(self, app: App, context: Context) -> Context:
        """Let the app run for a while, unless it has failed already, and see whether it still answers its probe."""
        state = app.state()
        if any(check.status == "fail" for check in self._checks) or not isinstance(app, RunningApp):
            return replace(context, state=state)
        still: Waited | None = None
        with self._moment("settle"):
            end = self._up_at + self._options.settle
            while state.running and time.monotonic() < end:
                time.sleep(max(0.0, min(STATE_EVERY, end - time.monotonic())))
                state = app.state()
            if state.running and self._options.settle:
                still = wait(app, f"http://{self._host}:{app.port}{context.probe_path}", STILL_PATIENCE)
                state = still.state if not still.state.running else state
        ran = time.monotonic() - self._up_at
        logs = context.logs if state.running else tuple(app.logs(MOST_LOG_LINES))
        return replace(context, state=state, ran=ran, still=still, logs=logs)

    def _examine(self, app: App, spec: RunSpec) -> Context:
        """Ask everything that needs the app to run."""
        began = time.monotonic()
        page_path = "/" if self._options.mode == "strip" else f"/apps/{self._app_id}/"
        probe_path = self._options.health_path or page_path
        with self._moment("start"):
            waited = wait(app, f"http://{self._host}:{app.port}{probe_path}", self._options.patience)
        self._up_at = time.monotonic()
        up = waited.response is not None
        context = Context(
            staged=self._staged,
            build_log=self._image.log,
            build=self._image.build,
            mode=self._options.mode,
            prefix=f"/custom_applications/{self._app_id}/",
            probe_path=probe_path,
            patience=self._options.patience,
            memory=self._options.bundle.memory,
            full_token=self._options.full_token,
            restricted_token=self._restricted,
            ships_env=".env" in self._image.late_files or any(file.path == ".env" for file in self._staged.files),
            app=_Shell(app),
            waited=waited,
            endpoint=spec.env[environment.ENDPOINT],
            parameter=next((name for name in self._options.env or () if name.startswith(RUNTIME_PARAMETER)), ""),
            logs=() if up else tuple(app.logs(MOST_LOG_LINES)),
            state=None if up else waited.state,
        )
        for look in source.CHECKS:
            self._ask(context, look)
        self._ask(context, build.hook)
        self._ask(context, build.output)
        self._ask(context, start.listens, time.monotonic() - began)
        crawling = time.monotonic()
        if up and isinstance(app, RunningApp):
            context = self._visit(app, context, spec)
        crawled = time.monotonic() - crawling
        self._ask(context, start.probe)
        self._ask(context, environment.token)
        self._ask(context, environment.settings)
        self._ask(context, environment.leaks)
        self._ask(context, environment.private)
        self._ask(context, front.page)
        self._ask(context, front.prefix)
        self._ask(context, front.assets, crawled)
        self._ask(context, crawl.links)
        self._ask(context, crawl.encoding)
        self._ask(context, crawl.hosts)
        self._ask(context, crawl.complete)
        if self._browses:
            for check in browser.CHECKS:
                self._ask(context, check)
        return context

    def _visit(self, app: RunningApp, context: Context, spec: RunSpec) -> Context:
        """Crawl the app through the front, look into its container meanwhile, and put a second one beside it."""
        from toolkit.front import Front, Target, certificate
        from toolkit.replica import Replica

        target = Target(host=self._host, port=app.port, app_id=self._app_id, mode=self._options.mode)
        tls = certificate(PUBLIC_HOST) if self._browses else None
        start_url = PLATFORM_ORIGIN + context.prefix
        beside = Replica(
            lambda: self._start(spec), target, context.probe_path,
            patience(context.waited.seconds, self._options.patience),
        )  # fmt: skip
        again: Again | None = None
        with (
            ExitStack() as removed,
            ThreadPoolExecutor(3, "look") as aside,
            Front(target, public_host=PUBLIC_HOST, tls=tls) as entrance,
        ):
            looking, listing = aside.submit(_look_inside, app), aside.submit(self._written, app)
            explorer = self._explorer(start_url, context.prefix, Ports(entrance.port, entrance.secure_port))
            if explorer is not None:
                removed.enter_context(explorer)
                removed.enter_context(beside)
                aside.submit(_open_after, beside, explorer)
            with self._moment("crawl"), HttpFetch(through=("127.0.0.1", entrance.port)) as fetch:
                crawled: CrawlResult = follow(fetch, start_url, context.prefix, self._options.limits)
                private = tuple(fetch(start_url + path) for path in environment.private_paths(context))
                inside, written = looking.result(), listing.result()
            well = context.waited.response is not None and context.waited.response.status < 400
            # A container that starts makes the browser break off its connections, so it has to be there before.
            if explorer is not None or (written and well and self._wanted("lifecycle")):
                with self._moment("replica"):
                    if explorer is None:
                        removed.enter_context(beside)
                    again = beside.compared(beside.come_up(), crawled.answers)
            seen: BrowserResult | None = None
            if explorer is not None:
                with self._moment("browser"):
                    seen = explorer.look()
            if self._options.keep is not None:
                self._options.keep(entrance.url)
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
        workdir = self._image.environment.workdir.rstrip("/")
        late = {f"{workdir}/{path}" for path in self._image.late_files}
        return tuple(path for path in app.written() if path not in late and not _CACHE.search(path))

    @property
    def _browses(self) -> bool:
        return self._options.browser is not None and self._wanted("browser")

    def _explorer(self, url: str, prefix: str, ports: Ports) -> Explorer | None:
        if self._options.browser is None or not self._browses:
            return None
        return Explorer(url, prefix=prefix, chromium=self._options.browser, ports=ports)

    @contextmanager
    def _moment(self, name: str) -> Iterator[None]:
        """Put what is done inside on the timeline, also when it fails."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._timeline.append(Moment(name, began - self._began, time.monotonic() - began))

    def _wanted(self, family: str) -> bool:
        return not self._options.only or family in self._options.only

    def _ask(self, context: Context, check: Callable[[Context], Check], seconds: float = 0.0) -> None:
        """Run one check; `seconds` is what was spent before on seeing what it looks at."""
        began = time.monotonic()
        answer = check(context)
        answer = replace(answer, seconds=seconds + time.monotonic() - began)
        self._checks.append(answer)
        self._on_event(
            {
                "event": "check",
                "id": answer.id,
                "status": answer.status,
                "title": answer.title,
                "seconds": round(answer.seconds, 3),
            }
        )

    def _environment(self) -> dict[str, str]:
        """What the platform puts into the container's environment (platform-contract 3); PORT is not promised."""
        environment = {
            "DATAROBOT_API_TOKEN": self._restricted.reveal(),
            "DATAROBOT_ENDPOINT": self._options.endpoint or "https://app.datarobot.com/api/v2",
            "APPLICATION_ID": self._app_id,
            "BASE_PATH": f"custom_applications/{self._app_id}",
        }
        if self._options.mode == "keep":
            environment["SCRIPT_NAME"] = f"/apps/{self._app_id}"
        return {**environment, **(self._options.env or {})}


def masked(lines: Iterable[str], secrets_: Iterable[Secret | None]) -> tuple[str, ...]:
    """Give `lines` without the values of `secrets_`, nor the beginnings of them that programs like to print."""
    values = [secret.reveal() for secret in secrets_ if secret is not None]
    found = [re.escape(value[:LEAST_MASKED]) + r"[\w.~+/=-]*" for value in values if len(value) >= LEAST_MASKED]
    if not found:
        return tuple(lines)
    pattern = re.compile("|".join(found))
    return tuple(pattern.sub("***", line) for line in lines)


def _open_after(beside: Replica, explorer: Explorer) -> None:
    """Start the browser as soon as no container comes up any more."""
    beside.come_up()
    explorer.open()


def _look_inside(app: App) -> Inside:
    """See what serves port 8080; asked again when an engine loses the output."""
    inside = Inside()
    for _ in range(3):
        inside = app.look_inside()
        if inside.server is not None:
            break
    return inside


# --- Leaving nothing behind -------------------------------------------------------------------------------------------


def container_names(engine: docker.DockerClient, run_id: str) -> list[str]:
    """Give the names of the containers of a run that are still there."""
    found = engine.api.containers(all=True, filters={"label": f"{engines.RUN_LABEL}={run_id}"})
    return [str(one["Names"][0]).lstrip("/") for one in found]


def _cpus(engine: docker.DockerClient, host: str) -> int:
    """How many CPUs the engine has; a local one has at most those of this machine."""
    here = os.cpu_count() or 1
    return here if host in ("127.0.0.1", "localhost") else int(engine.info().get("NCPU", here))


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Turn SIGTERM into the exception of Ctrl-C while containers run, so that they are removed (main thread only)."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

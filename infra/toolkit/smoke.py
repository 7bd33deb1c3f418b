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
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any, Literal

import docker
from docker.errors import APIError

from toolkit import container
from toolkit import engine as engines
from toolkit.browser import BrowserResult, explore
from toolkit.bundles import BUNDLES, DEFAULT_BUNDLE, Bundle
from toolkit.checks import browser, build, crawl, environment, front, lifecycle, source, start
from toolkit.checks.context import PORT, Context, Sources, Waited
from toolkit.checks.merge import merge
from toolkit.container import ContainerFailed, ContainerState, Listener, RunningApp, RunSpec, StopResult
from toolkit.crawl import CrawlResult, HttpFetch, Limits, Response
from toolkit.crawl import crawl as follow
from toolkit.image import BUILD_OWNER, AppImage, BuildFailed
from toolkit.report import Check, Moment, SmokeReport
from toolkit.settings import Secret
from toolkit.source import StagedSource

OWNER = "smoke"
PROBE_AGENT = "kube-probe/1.30"
POLL = 0.05
STATE_EVERY = 0.25
FIRST_LOOK, LOOK_EVERY = 3.0, 3.0
OTHER_PORT_PATIENCE = 20.0
NO_ANSWER_PATIENCE = 30.0
BAD_STATUS_PATIENCE = 5.0
MOST_LOG_LINES = 5000
REPORTED_LOG_LINES = 200
LEAST_MASKED = 8  # characters of a token's beginning: what is shorter may stand in any log

OnEvent = Callable[[dict[str, Any]], None]


def _silent(_event: dict[str, Any]) -> None:
    return


@dataclass(frozen=True)
class SmokeOptions:
    """How the release is to be run, and how long things may take (seconds).

    `mode`: "strip" when the app is configured for requests on the root path, else "keep" (it sees /apps/<id>/).
    `full_token` is what the serving process has to hold; without it that check is skipped. `browser` is the Chromium
    that looks at the page (None: no browser does), `only` names families (none: all of them), `keep` is called with the
    app's URL when all has been asked, and the app stays up until it returns.
    """

    mode: Literal["strip", "keep"] = "strip"
    bundle: Bundle = BUNDLES[DEFAULT_BUNDLE]
    full_token: Secret | None = None
    endpoint: str = ""
    env: Mapping[str, str] | None = None
    patience: float = 120.0
    grace: float = 10.0
    limits: Limits = field(default_factory=Limits)
    browser: Path | None = None
    only: frozenset[str] = frozenset()
    keep: Callable[[str], None] | None = None


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


class _NeverStarted:
    """A container that the engine could not run, seen as one that exited at once."""

    port = 0

    def __init__(self, error: str) -> None:
        self._error = error

    def logs(self, tail: int) -> list[str]:  # noqa: ARG002
        return [self._error]

    def state(self) -> ContainerState:
        return ContainerState("created", False, 127, False, self._error)

    def listeners(self) -> list[Listener]:
        return []

    def process_environment(self) -> dict[str, str]:
        return {}

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
        )
        with self._started(spec) as app:
            context = self._examine(app)
            if context.waited.response is not None:
                context = replace(context, state=app.state())
            self._ask(context, start.stable)
            stopping = time.monotonic()
            if context.waited.response is not None and context.state is not None and context.state.running:
                with self._moment("stop"):
                    context = replace(context, stopped=app.stop(self._options.grace))
            self._ask(context, lifecycle.sigterm, time.monotonic() - stopping)
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
        cpus = _cpus(self._engine, self._host)
        # Loading the front's packages takes about as long as the engine takes to start a container.
        Thread(target=import_module, args=("toolkit.front",), name="load", daemon=True).start()
        try:
            with self._moment("container"):
                app = container.start(self._engine, spec, host=self._host, cpus=cpus)
        except ContainerFailed as problem:
            if source.START not in problem.message:
                raise
            yield _NeverStarted(problem.message)
            return
        try:
            yield app
        finally:
            app.remove()

    def _examine(self, app: App) -> Context:
        """Ask everything that needs the app to run."""
        began = time.monotonic()
        probe_path = "/" if self._options.mode == "strip" else f"/apps/{self._app_id}/"
        with self._moment("start"):
            waited = wait(app, f"http://{self._host}:{app.port}{probe_path}", self._options.patience)
        up = waited.response is not None
        context = Context(
            staged=self._staged,
            build_log=self._image.log,
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
            logs=() if up else tuple(app.logs(MOST_LOG_LINES)),
            state=None if up else waited.state,
        )
        for look in source.CHECKS:
            self._ask(context, look)
        self._ask(context, build.hook)
        self._ask(context, build.output)
        self._ask(context, start.listens, time.monotonic() - began)
        crawling = time.monotonic()
        if up:
            context = self._visit(app, context)
        crawled = time.monotonic() - crawling
        self._ask(context, start.probe)
        self._ask(context, environment.token)
        self._ask(context, environment.leaks)
        self._ask(context, environment.private)
        self._ask(context, front.page)
        self._ask(context, front.prefix)
        self._ask(context, front.assets, crawled)
        self._ask(context, crawl.links)
        self._ask(context, crawl.hosts)
        self._ask(context, crawl.complete)
        if self._options.browser is not None:
            for check in browser.CHECKS:
                self._ask(context, check)
        return context

    def _visit(self, app: App, context: Context) -> Context:
        """Crawl the app through the front, and look into its container meanwhile."""
        from toolkit.front import Front, Target

        target = Target(host=self._host, port=app.port, app_id=self._app_id, mode=self._options.mode)
        with ThreadPoolExecutor(1, "look") as aside, Front(target) as entrance, HttpFetch() as fetch:
            looking = aside.submit(held, app)
            with self._moment("crawl"):
                crawled: CrawlResult = follow(fetch, entrance.url, context.prefix, self._options.limits)
                dotenv = fetch(entrance.url + ".env")
                inside = looking.result()
            seen = self._browse(entrance.url, context.prefix)
            if self._options.keep is not None:
                self._options.keep(entrance.url)
        return replace(
            context,
            crawled=crawled,
            browser=seen,
            dotenv=dotenv,
            environment=inside,
            logs=tuple(app.logs(MOST_LOG_LINES)),
            state=app.state(),
        )

    def _browse(self, url: str, prefix: str) -> BrowserResult | None:
        if self._options.browser is None or not self._wanted("browser"):
            return None
        with self._moment("browser"):
            return explore(url, prefix=prefix, chromium=self._options.browser, app_id=self._app_id)

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


def held(app: App) -> dict[str, str]:
    """Give the environment of the process that owns port 8080; asked again when an engine loses the output of exec."""
    for _ in range(3):
        if found := app.process_environment():
            return found
    return {}


# --- Waiting ----------------------------------------------------------------------------------------------------------


def wait(app: App, url: str, patience: float) -> Waited:
    """Ask `url` as the platform's probe does, until it is well, the app has exited, or it is clear that it never will.

    Gives up after `patience` seconds.
    """
    began = time.monotonic()
    looks: list[tuple[float, frozenset[tuple[str, int]]]] = []
    listeners: list[Listener] = []
    state = ContainerState("running", True, 0, False, "")
    answered_at: float | None = None
    accepted_at: float | None = None
    asked_state, next_look = 0.0, FIRST_LOOK
    response: Response | None = None
    with HttpFetch({"user-agent": PROBE_AGENT}, timeout=5.0, connections=1) as fetch:
        while True:
            got = fetch(url)
            now = time.monotonic() - began
            if got.status:
                response = got
                answered_at = now if answered_at is None else answered_at
                if 200 <= got.status < 400:
                    break
                if got.status != 503 and now - answered_at > BAD_STATUS_PATIENCE:
                    break
            elif got.error.startswith("no answer"):
                accepted_at = now if accepted_at is None else accepted_at
                if now - accepted_at > NO_ANSWER_PATIENCE:
                    break
            if now - asked_state > STATE_EVERY:
                asked_state = now
                state = app.state()
                if not state.running:
                    response = None
                    break
            if response is None and now > next_look:
                listeners = app.listeners()
                next_look = time.monotonic() - began + LOOK_EVERY
                looks.append((now, frozenset((one.address, one.port) for one in listeners)))
                if hopeless(looks):
                    break
            if now > patience:
                break
            time.sleep(POLL)
    seconds = time.monotonic() - began
    if response is None and state.running:
        listeners = app.listeners() or listeners
    return Waited(response, seconds, state, tuple(listeners), accepted_at is not None)


def hopeless(looks: list[tuple[float, frozenset[tuple[str, int]]]]) -> bool:
    """Whether the app has settled on listening where nobody will ask: seen twice the same, and it is no passing state.

    An address that only the container itself reaches is final at once; another port may belong to something that
    opens before the server, so that is given more time.
    """
    if len(looks) < 2 or looks[-1][1] != looks[-2][1] or not looks[-1][1]:
        return False
    seconds, listening = looks[-1]
    on_port = {address for address, port in listening if port == PORT}
    if on_port:
        return all(address.startswith("127.") or address == "::1" for address in on_port)
    return seconds >= OTHER_PORT_PATIENCE


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

"""Run a release as the platform would, ask it everything, and say what would go wrong there.

One container, one crawl through the front, one stop: the checks look at what these showed.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

import docker

from toolkit import accepted, container
from toolkit import engine as engines
from toolkit.accepted import Acceptance
from toolkit.checks import build, lifecycle, source
from toolkit.checks.context import Built, Sources
from toolkit.checks.environment import ENDPOINT
from toolkit.checks.masking import Masks
from toolkit.checks.merge import merge
from toolkit.container import App, ContainerFailed, NeverStarted, RunningApp, RunSpec
from toolkit.image.model import AppImage, HookFailed
from toolkit.image.step import BUILD_OWNER
from toolkit.options import SmokeOptions
from toolkit.record import OnEvent, Record
from toolkit.report import Check, SmokeReport
from toolkit.settings import Secret
from toolkit.source import NotShippable, StagedSource

if TYPE_CHECKING:
    from toolkit.examination import Trial

OWNER = "smoke"
REPORTED_LOG_LINES = 200


def _silent(_event: dict[str, Any]) -> None:
    return


def run(
    engine: docker.DockerClient,
    image: AppImage,
    staged: StagedSource,
    options: SmokeOptions,
    *,
    host: str = "127.0.0.1",
    accept: Sequence[Acceptance] = (),
    on_event: OnEvent = _silent,
) -> SmokeReport:
    """Start the app in its container, run all checks on it, and remove everything.

    `host` is where ports that the engine publishes are reached, `accept` what somebody has accepted. A failing check is
    an answer, not an exception; exceptions (an engine that dies, Ctrl-C) leave no container behind either. Emits one
    "check" event per answer.
    """
    smoke = _Smoke(engine, image, staged, options, host, accept, on_event)
    with _terminated_like_interrupted():
        return smoke.run()


def before_build(
    staged: StagedSource,
    error: HookFailed | None = None,
    *,
    accept: Sequence[Acceptance] = (),
    masks: Masks | None = None,
) -> SmokeReport:
    """Ask what can be asked of the files alone; with `error` also what the build step says by it.

    A verdict of "fail" means that there is nothing to run. No answer tells what `masks` hides.
    """
    sources = Sources(staged)
    asked = [check(sources) for check in source.CHECKS]
    if error is not None:
        asked.append(build.hook(sources, error))
    return _report(asked, accept, masks)


def refused(refusal: NotShippable) -> SmokeReport:
    """Give the report of an app that cannot even be staged."""
    return _report([source.refused(refusal.details, refusal.hint)], ())


def after_build(
    staged: StagedSource, image: AppImage, *, accept: Sequence[Acceptance] = (), masks: Masks | None = None
) -> SmokeReport:
    """Ask what can be asked without running the app."""
    built = Built(staged, image.log, build=image.build)
    return _report([*(check(built) for check in source.CHECKS), build.hook(built), build.output(built)], accept, masks)


def _report(checks: Iterable[Check], accept: Sequence[Acceptance], masks: Masks | None = None) -> SmokeReport:
    if masks is not None:
        checks = map(masks.check, checks)
    return accepted.apply(SmokeReport({}, 0.0, merge(checks, partial(accepted.taken, entries=accept))), accept)


class _Smoke:
    def __init__(
        self,
        engine: docker.DockerClient,
        image: AppImage,
        staged: StagedSource,
        options: SmokeOptions,
        host: str,
        accept: Sequence[Acceptance],
        on_event: OnEvent,
    ) -> None:
        self._engine = engine
        self._image = image
        self._staged = staged
        self._options = options
        self._host = host
        self._app_id = secrets.token_hex(12)
        self._restricted = Secret(secrets.token_urlsafe(48))
        self._masks = Masks((self._restricted, options.full_token, *options.secrets))
        self._accept = accept
        self._record = Record(options.only, on_event, self._masks, accept)
        self._run_id = engines.new_run()

    def run(self) -> SmokeReport:
        record = self._record
        with record.moment("sweep"):
            for owner in (OWNER, BUILD_OWNER):
                container.sweep(self._engine, owner, engines.is_alive)
        with self._started() as app:
            from toolkit.examination import Examination

            context = Examination(self._trial(), record).of(app)
        left = container_names(self._engine, self._run_id)
        record.ask(replace(context, left_behind=tuple(left)), lifecycle.left_behind)
        base = self._image.environment.base
        asked = [check for check in record.checks if record.wanted(check.family)]
        return replace(
            _report(asked, self._accept),
            release={
                "image": self._image.digest,
                "source": self._staged.digest,
                "environment": self._image.environment.digest,
                "base": f"{base.name} ({base.origin})",
                "mode": self._options.mode,
                "bundle": self._options.bundle.id,
            },
            seconds=record.seconds,
            served=context.crawled.served if context.crawled else {},
            timeline=tuple(record.timeline),
            log=tuple(map(self._masks.text, context.logs[-REPORTED_LOG_LINES:])),
            wrote=context.crawled is None or bool(context.written),
            screenshot=context.browser.screenshot if context.browser else None,
        )

    @contextmanager
    def _started(self) -> Iterator[App]:
        """The started app; an engine that cannot run start-app.sh is an answer of the test, not an error."""
        # Loading what examines it takes about as long as the engine takes to start a container.
        Thread(target=_load, name="load", daemon=True).start()
        try:
            with self._record.moment("container"):
                app = self._start()
        except ContainerFailed as problem:
            if source.START not in problem.message:
                raise
            yield NeverStarted(problem.message)
            return
        try:
            yield app
        finally:
            app.remove()

    def _start(self) -> RunningApp:
        spec = RunSpec(
            image=self._image,
            env=self._environment(),
            bundle=self._options.bundle,
            owner=OWNER,
            run_id=self._run_id,
            port_on=engines.published_on(self._host),
        )
        return container.start(self._engine, spec, host=self._host, cpus=_cpus(self._engine, self._host))

    def _trial(self) -> Trial:
        from toolkit.examination import Trial

        return Trial(
            image=self._image,
            staged=self._staged,
            options=self._options,
            host=self._host,
            app_id=self._app_id,
            restricted=self._restricted,
            endpoint=self._environment()[ENDPOINT],
            start=self._start,
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


def _load() -> None:
    """Load what examines the app; what is needed first comes first."""
    for name in ("toolkit.examination", "toolkit.front"):
        import_module(name)


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

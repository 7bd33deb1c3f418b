"""Start applications on the local platform: containers, probes, and the change from one version to another."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from toolkit import bundles
from toolkit.emulator import containers, context
from toolkit.emulator.fields import NotFound, StoreError
from toolkit.emulator.objects import Body
from toolkit.errors import ToolkitError, ToolMissing
from toolkit.front import Target

if TYPE_CHECKING:
    from toolkit.container import RunningApp
    from toolkit.image.model import AppImage
from toolkit.emulator.runner_builds import Builds
from toolkit.emulator.serving import OWNER, Plan, Served

PATIENCE = 300.0  # platform-contract 3: the platform's own has been measured as about five minutes
PROBE_EVERY = 0.1
DRAIN = 2.0  # how long requests to the containers of an old version may still take
RESTING = ("stopped", "paused")


class NotReady(Exception):
    """The application did not become ready; the text says why."""


class Unwanted(Exception):
    """What is being started is not wanted any more."""


class Starts(Builds):
    """Starts the containers of applications, and lets them serve once they are ready."""

    def _start(self, application_id: str, crashes: int = 0) -> None:
        began, pace = time.monotonic(), self._switches().starts
        application = self._store.get("application", application_id)
        version_id = application["customApplicationSourceVersionId"]
        resources = self._store.application_resources(application)
        build_log: list[str] = []
        built: AppImage | None = None
        apps: list[RunningApp] = []
        try:
            self._check_wanted(application_id, version_id)
            new = Served(version_id, apps, (), None, crashes)
            if pace.engine:
                version = self._store.get("sourceVersion", version_id)
                built = self._app_image(version, resources, build_log)
                build_log[:] = built.log  # of an image that was there already, too
                with self._lock:
                    self._starting[application_id] = apps
                new.plan = self._plan(application, version, built, resources)
                started = self._run(application_id, version_id, new.plan, new.plan.replicas, apps)
                new.targets = self._wait(version_id, apps, started, new.plan.health)
            self._reads.hold(pace, application_id, began, lambda: self._unwanted(application_id, version_id))
            self._serve(application_id, new, build_log)
        except Unwanted:
            containers.remove(apps)
        except Exception as error:
            logs = containers.lines(apps)
            containers.remove(apps)
            self._failed(application_id, version_id, error, logs, build_log, built=built is not None)
            if not isinstance(error, ToolkitError | StoreError | context.BadContext | NotReady):
                raise
        finally:
            with self._lock:
                if self._starting.get(application_id) is apps:
                    del self._starting[application_id]

    def _serve(self, application_id: str, new: Served, build_log: list[str]) -> None:
        """Let the new containers serve from now on, and end the old ones. Raises Unwanted."""
        with self._lock:
            self._check_wanted(application_id, new.version)
            before = self._served.get(application_id)
            new.ready_at = time.monotonic()
            self._served[application_id] = new
            log = {"_buildLog": "\n".join(build_log)} if build_log else {}
            with suppress(NotFound):
                self._store.set_application(
                    application_id,
                    status="running",
                    _serving=new.version,
                    _buildStatus="success",
                    _buildError="",
                    _noEngine=False,
                    **log,
                )
        if before is not None:
            self._ends.submit(self._guarded, lambda: self._retire(before.apps), application_id)
        if self._unwanted(application_id, new.version):
            self.remove_application(application_id)  # it was deleted in between

    def _retire(self, apps: list[RunningApp]) -> None:
        """End containers that nothing is sent to any more, after what they were asked before."""
        self._over.wait(DRAIN)
        containers.stop(apps)

    def _check_wanted(self, application_id: str, version_id: str) -> None:
        """Raise Unwanted when the application is gone or rests, has to serve another version, or the platform ends."""
        if self._unwanted(application_id, version_id):
            raise Unwanted

    def _unwanted(self, application_id: str, version_id: str) -> bool:
        if self._over.is_set():
            return True
        try:
            application = self._store.get("application", application_id)
        except NotFound:
            return True
        return application["customApplicationSourceVersionId"] != version_id or application["status"] in RESTING

    def _plan(self, application: Body, version: Body, built: AppImage, resources: Body) -> Plan:
        from toolkit import container

        bridge = self._engine().bridge
        keep = not resources["serviceWebRequestsOnRootPath"]
        spec = container.RunSpec(
            image=built,
            env=containers.environment(
                application,
                version,
                port=self._port,
                keep=keep,
                encoding=self._switches().parameter_encoding,
                secret=lambda credential: str(self._store.get("credential", credential)["_secret"]),
            ),
            bundle=bundles.find(resources["resourceLabel"]),
            owner=OWNER,
            run_id=self._instance,
            extra_hosts={containers.HOST_NAME: bridge or containers.HOST_GATEWAY},
            labels={"bun-to-datarobot.application": application["id"]},
            near=bridge,
        )
        mode: Literal["keep", "strip"] = "keep" if keep else "strip"
        return Plan(spec, resources["replicas"], mode, resources.get("healthEndpointPath") or None)

    def _run(
        self, application_id: str, version_id: str, plan: Plan, count: int, apps: list[RunningApp]
    ) -> tuple[Target, ...]:
        """Start so many replicas; each is added to `apps` as soon as it is there. Raises Unwanted."""
        from toolkit import container

        engine = self._engine()
        while not self._swept.wait(PROBE_EVERY):
            self._check_wanted(application_id, version_id)
        started = []
        for _ in range(count):
            with self._creating:
                self._check_wanted(application_id, version_id)
                started.append(container.start(engine.client, plan.spec, host=engine.host, cpus=engine.cpus))
                apps.append(started[-1])
        return tuple(Target(app.host, app.port, application_id, plan.mode) for app in started)

    def _wait(
        self, version_id: str, apps: list[RunningApp], targets: tuple[Target, ...], health: str | None
    ) -> tuple[Target, ...]:
        """Probe every replica as Kubernetes does, until each has answered well; give where visitors are sent.

        Raises NotReady, Unwanted.
        """
        found = []
        deadline = time.monotonic() + PATIENCE
        for app, target in zip(apps, targets, strict=True):
            path = health or target.upstream_path("/")
            answer = "nothing listens on port 8080"
            while True:
                status = containers.probe(app.host, app.port, path)
                if 200 <= status < 400:
                    host, port = containers.nearest(app, path)
                    found.append(replace(target, host=host, port=port))
                    break
                answer = f"{path} answers {status}" if status else answer
                state = app.state()
                if not state.running:
                    memory = "; it ran out of memory" if state.oom_killed else ""
                    raise NotReady(f"The application ended with exit code {state.exit_code}{memory}.")
                if time.monotonic() > deadline:
                    raise NotReady(f"The application was not ready within {PATIENCE:.0f} s: {answer}.")
                self._over.wait(PROBE_EVERY)
                self._check_wanted(target.app_id, version_id)
        return tuple(found)

    def _failed(
        self,
        application_id: str,
        version_id: str,
        error: Exception,
        logs: list[str],
        build_log: list[str],
        *,
        built: bool,
    ) -> None:
        """Note why an application does not run, unless something else is wanted of it by now."""
        from toolkit.image.model import BuildFailed

        with suppress(Unwanted, NotFound):
            self._check_wanted(application_id, version_id)
            text, details = str(error) or type(error).__name__, list(getattr(error, "details", ()))
            # As on the platform, an application whose image could not be built has a build log, but no log of its own.
            own = [] if isinstance(error, BuildFailed) else [*logs, *details, text]
            build = {} if built else {"_buildLog": "\n".join(build_log or details)}
            self._store.set_application(
                application_id,
                status="failed",
                _logs=own,
                _buildStatus="success" if built else "failed",
                _buildError="" if built else text,
                _noEngine=isinstance(error, ToolMissing),
                **build,
            )
            self._log(f"application {application_id} failed: {text}")

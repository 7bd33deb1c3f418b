"""Build environments and run applications for the local platform, with the same rooms as smoke.

Work is done in threads; what comes of it goes to the store. Which containers serve an application is only known here.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from toolkit import bundles
from toolkit.emulator import containers, context
from toolkit.emulator.fields import NotFound, StoreError
from toolkit.emulator.presence import Reads, Visits
from toolkit.emulator.store import Body, Store
from toolkit.emulator.switches import Switches
from toolkit.errors import ToolkitError, ToolMissing
from toolkit.front import Target

if TYPE_CHECKING:
    import docker

    from toolkit.container import RunningApp, RunSpec
    from toolkit.image import AppImage, EnvironmentImage

OWNER = "emulator"
PATIENCE = 300.0  # platform-contract 3: the platform's own has been measured as about five minutes
PROBE_EVERY = 0.1
WATCH_EVERY = 0.5
MOST_CRASHES = 5
BACK_OFF = (1.0, 2.0, 4.0, 8.0, 16.0)
HEALTHY = 60.0  # seconds after which earlier crashes are forgotten
DRAIN = 2.0  # how long requests to the containers of an old version may still take
STARTS_AT_ONCE = 8
RESTING = ("stopped", "paused")
WITHOUT_ENGINE = "Nothing was built or run: the platform was told to go without the engine (switches)."


class Runner(Protocol):
    """What the routes and the edge need of a runner."""

    def build_environment(self, version_id: str) -> None:
        """Build the environment of a version, some time soon."""

    def start_application(self, application_id: str) -> None:
        """Serve the application's wanted version, some time soon; the old one serves until it is ready."""

    def remove_application(self, application_id: str) -> None:
        """Stop serving an application, some time soon."""

    def targets(self, application_id: str) -> tuple[Target, ...]:
        """Give where an application is served; empty while it is not."""

    def logs(self, application_id: str) -> list[str]:
        """Give the last lines that an application wrote."""


@dataclass
class _Served:
    """The containers of one application: what they serve, and how often they have crashed since it was ready."""

    version: str
    apps: list[RunningApp]
    targets: tuple[Target, ...]
    plan: _Plan | None
    crashes: int = 0
    ready_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class _Plan:
    """How the containers of a version are run, so that one of them can be replaced."""

    spec: RunSpec
    replicas: int
    mode: Literal["keep", "strip"]
    health: str | None


class EngineRunner:
    """Runs everything on the container engine; `instance` marks its containers, `port` is the platform's own."""

    def __init__(
        self,
        store: Store,
        *,
        environ: Mapping[str, str],
        home: Path,
        instance: str,
        port: int,
        mirror: str = "",
        on_bridge: Callable[[str], None],
        log: Callable[[str], None],
        visits: Visits | None = None,
        reads: Reads | None = None,
        switches: Callable[[], Switches] = Switches,
    ) -> None:
        self._store = store
        self._environ = dict(environ)
        self._home = home
        self._instance = instance
        self._port = port
        self._mirror = mirror
        self._on_bridge = on_bridge
        self._log = log
        self._visits = visits or Visits()
        self._reads = reads or Reads()
        self._switches = switches
        self._served: dict[str, _Served] = {}
        self._lock = threading.RLock()
        self._starting: dict[str, list[RunningApp]] = {}
        self._later: list[tuple[float, str, Callable[[], None]]] = []
        self._building = threading.Lock()
        self._creating = threading.Lock()
        self._over = threading.Event()
        self._swept = threading.Event()
        self._builds = ThreadPoolExecutor(1, "build")
        self._starts = ThreadPoolExecutor(STARTS_AT_ONCE, "start")
        self._ends = ThreadPoolExecutor(STARTS_AT_ONCE, "end")
        self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._connection: tuple[docker.DockerClient, str, int] | None = None

    # --- What is asked of it ------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Bring back what ran when the platform ended, and take up builds that it was cut off from."""
        # Nothing is created before this is over: what an earlier run left carries the same label as what is new.
        self._ends.submit(self._guarded, self._sweep, "sweep")
        self._take_up()
        self._watcher.start()

    def _take_up(self) -> None:
        for version in self._store.every("environmentVersion"):
            if version["buildStatus"] in ("submitted", "processing"):
                self.build_environment(version["id"])
        applications = [
            app
            for app in self._store.every("application")
            if app["status"] in ("running", "initializing") or app.get("_noEngine")
        ]
        for application in applications:
            self._store.set_application(application["id"], status="initializing")
        for application in applications:
            self.start_application(application["id"])

    def start_over(self) -> None:
        """Stop serving everything, and serve what the store holds by now."""
        with self._lock:
            everything = list(self._served)
        for application_id in everything:
            self.remove_application(application_id)
        self._take_up()

    def build_environment(self, version_id: str) -> None:
        """Build the environment of a version, some time soon."""
        began = time.monotonic()
        self._builds.submit(self._guarded, lambda: self._build(version_id, began), version_id)

    def start_application(self, application_id: str) -> None:
        """Serve the application's wanted version, some time soon; the old one serves until it is ready."""
        self._starts.submit(self._guarded, lambda: self._start(application_id), application_id)

    def remove_application(self, application_id: str) -> None:
        """Stop serving an application, some time soon."""
        with self._lock:
            served = self._served.pop(application_id, None)
        if served is not None:
            self._ends.submit(self._guarded, lambda: containers.remove(served.apps), application_id)

    def rest_application(self, application_id: str, status: str) -> None:
        """Stop an application, or pause it: its containers are gone, its last lines are kept. Raises NotFound."""
        with self._lock:
            serving = self._served.get(application_id)
        kept = containers.lines(serving.apps) if serving else []
        logs: dict[str, Any] = {"_logs": kept} if kept else {}
        # The state comes first: whatever is just about to serve sees it, or is found below.
        self._store.set_application(application_id, status=status, **logs)
        with self._lock:
            served = self._served.pop(application_id, None)
        if served is not None:
            self._ends.submit(self._guarded, lambda: containers.stop(served.apps), application_id)

    def targets(self, application_id: str) -> tuple[Target, ...]:
        """Give where an application is served; empty while it is not."""
        with self._lock:
            served = self._served.get(application_id)
            return served.targets if served else ()

    def logs(self, application_id: str) -> list[str]:
        """Give the last lines that an application wrote."""
        application = self._store.get("application", application_id)
        kept: list[str] = application["_logs"]
        with self._lock:
            served = self._served.get(application_id)
            apps = list(self._starting.get(application_id) or (served.apps if served else ()))
        # After a failed change of version the old one may still serve; what counts is why the new one failed.
        return kept if application["status"] == "failed" else containers.lines(apps) or kept

    def close(self) -> None:
        """Remove all containers and end; what ran is brought back at the next start."""
        self._over.set()
        for pool in (self._builds, self._starts, self._ends):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None:
            from toolkit.container import sweep

            with self._creating:  # nothing is created any more once this is had
                sweep(self._connection[0], OWNER, lambda run: run != self._instance)
        with self._lock:
            self._served.clear()

    # --- The engine ---------------------------------------------------------------------------------------------------

    def _engine(self) -> tuple[docker.DockerClient, str, int]:
        """Connect once; give the client, the host of published ports, and how many CPUs the engine has."""
        from toolkit import engine

        with self._lock:
            if self._connection is None:
                client, address = engine.connect(self._environ, self._home)
                cpus = int(client.info().get("NCPU", 1))
                self._connection = (client, address.host, cpus)
                self._on_bridge(containers.bridge_address(client))
            return self._connection

    def _sweep(self) -> None:
        """Remove what an earlier run of this platform left, and what builds left whose process is gone."""
        from toolkit import engine
        from toolkit.container import sweep
        from toolkit.image import BUILD_OWNER

        try:
            client, _, _ = self._engine()
            left = sweep(client, OWNER, lambda run: run != self._instance)
            left += sweep(client, BUILD_OWNER, engine.is_alive)
            for name in left:
                self._log(f"removed {name}, which an earlier run left behind")
        finally:
            self._swept.set()

    def _guarded(self, work: Callable[[], Any], what: str) -> None:
        """Do some work; an error that nothing foresaw goes to the log, not into the void."""
        try:
            work()
        except NotFound:
            self._log(f"{what} was removed meanwhile")
        except Exception as error:
            if not self._over.is_set():
                self._log(f"{what}: {type(error).__name__}: {error}")

    # --- Environments -------------------------------------------------------------------------------------------------

    def _build(self, version_id: str, began: float) -> None:
        lines: list[str] = []
        pace = self._switches().builds
        self._store.set_build(version_id, "processing")
        try:
            if pace.engine:
                self._environment_image(version_id, lines.append)
            else:
                lines.append(WITHOUT_ENGINE)
            self._reads.hold(pace, version_id, began, lambda: self._removed(version_id))
            if self._removed(version_id):
                return
        except (ToolkitError, context.BadContext) as error:
            details = [*lines, *getattr(error, "details", ())]
            self._store.set_build(version_id, "failed", log="\n".join(details), error=str(error))
        except Exception as error:
            self._store.set_build(version_id, "failed", log="\n".join(lines), error=f"{type(error).__name__}: {error}")
            raise
        else:
            self._store.set_build(version_id, "success", log="\n".join(lines))

    def _removed(self, version_id: str) -> bool:
        """Whether nobody waits for this build any more: others are waiting behind it."""
        try:
            self._store.get("environmentVersion", version_id)
        except NotFound:
            return True
        return self._over.is_set()

    def _environment_image(self, version_id: str, on_line: Callable[[str], None]) -> EnvironmentImage:
        from toolkit import baseimage, image

        client, _, _ = self._engine()
        version = self._store.get("environmentVersion", version_id)
        with tempfile.TemporaryDirectory(prefix="bun-to-datarobot-") as folder:
            with self._store.blob(version["_context"]).open("rb") as archive:
                context.unpack(archive, Path(folder))
            options = baseimage.options_from(self._environ, self._mirror)
            with self._building:
                return image.build_environment(client, Path(folder), base=options, on_line=on_line)

    # --- Applications -------------------------------------------------------------------------------------------------

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
            new = _Served(version_id, apps, (), None, crashes)
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
        except _Unwanted:
            containers.remove(apps)
        except Exception as error:
            logs = containers.lines(apps)
            containers.remove(apps)
            self._failed(application_id, version_id, error, logs, build_log, built=built is not None)
            if not isinstance(error, ToolkitError | StoreError | context.BadContext | _NotReady):
                raise
        finally:
            with self._lock:
                if self._starting.get(application_id) is apps:
                    del self._starting[application_id]

    def _serve(self, application_id: str, new: _Served, build_log: list[str]) -> None:
        """Let the new containers serve from now on, and end the old ones. Raises _Unwanted."""
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
        """Raise _Unwanted when the application is gone or rests, has to serve another version, or the platform ends."""
        if self._unwanted(application_id, version_id):
            raise _Unwanted

    def _unwanted(self, application_id: str, version_id: str) -> bool:
        if self._over.is_set():
            return True
        try:
            application = self._store.get("application", application_id)
        except NotFound:
            return True
        return application["customApplicationSourceVersionId"] != version_id or application["status"] in RESTING

    def _app_image(self, version: Body, resources: Body, build_log: list[str]) -> AppImage:
        from toolkit import baseimage, image
        from toolkit.source import SourceFile

        client, _, _ = self._engine()
        environment = self._environment_image(version["baseEnvironmentVersionId"], lambda _line: None)
        files = [
            SourceFile(item["filePath"], 0o644, self._store.blob(item["storagePath"])) for item in version["items"]
        ]
        with self._building:
            return image.build_app(
                client,
                environment,
                files,
                bundle=bundles.find(resources["resourceLabel"]),
                base=baseimage.options_from(self._environ, self._mirror),
                on_line=build_log.append,
            )

    def _plan(self, application: Body, version: Body, built: AppImage, resources: Body) -> _Plan:
        from toolkit import container

        client, _, _ = self._engine()
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
            extra_hosts={containers.HOST_NAME: containers.bridge_address(client)},
            labels={"bun-to-datarobot.application": application["id"]},
        )
        mode: Literal["keep", "strip"] = "keep" if keep else "strip"
        return _Plan(spec, resources["replicas"], mode, resources.get("healthEndpointPath") or None)

    def _run(
        self, application_id: str, version_id: str, plan: _Plan, count: int, apps: list[RunningApp]
    ) -> tuple[Target, ...]:
        """Start so many replicas; each is added to `apps` as soon as it is there. Raises _Unwanted."""
        from toolkit import container

        client, host, cpus = self._engine()
        while not self._swept.wait(PROBE_EVERY):
            self._check_wanted(application_id, version_id)
        started = []
        for _ in range(count):
            with self._creating:
                self._check_wanted(application_id, version_id)
                started.append(container.start(client, plan.spec, host=host, cpus=cpus))
                apps.append(started[-1])
        return tuple(Target(app.host, app.port, application_id, plan.mode) for app in started)

    def _wait(
        self, version_id: str, apps: list[RunningApp], targets: tuple[Target, ...], health: str | None
    ) -> tuple[Target, ...]:
        """Probe every replica as Kubernetes does, until each has answered well; give where visitors are sent.

        Raises _NotReady, _Unwanted.
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
                    raise _NotReady(f"The application ended with exit code {state.exit_code}{memory}.")
                if time.monotonic() > deadline:
                    raise _NotReady(f"The application was not ready within {PATIENCE:.0f} s: {answer}.")
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
        from toolkit.image import BuildFailed

        with suppress(_Unwanted, NotFound):
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

    # --- Watching -----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Start what crashed again, each time after a longer pause, and pause what nobody visits."""
        while not self._over.wait(WATCH_EVERY):
            self._do_what_is_due()
            with self._lock:
                everything = list(self._served.items())
            for application_id, served in everything:
                with suppress(Exception):
                    self._look_at(application_id, served)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [one for one in self._later if one[0] <= now]
            self._later = [one for one in self._later if one[0] > now]
        for _, application_id, work in due:
            self._starts.submit(self._guarded, work, application_id)

    def _look_at(self, application_id: str, served: _Served) -> None:
        dead = [app for app in list(served.apps) if not app.state().running]
        if dead:
            self._crashed(application_id, served, dead)
            return
        if served.crashes and time.monotonic() - served.ready_at > HEALTHY:
            served.crashes = 0
        after = self._switches().pause_after
        if after and self._visits.idle(application_id, served.ready_at) > after:
            application = self._store.get("application", application_id)
            if application["allowAutoStopping"] and application["status"] == "running":
                self._log(f"application {application_id} is paused, nobody has visited it for {after:.0f} s")
                self.rest_application(application_id, "paused")

    def _crashed(self, application_id: str, served: _Served, dead: list[RunningApp]) -> None:
        """Serve with the replicas that are left, and replace the others; without any the application starts anew."""
        with self._lock:
            if self._served.get(application_id) is not served:
                return
            served.crashes += 1
            left = [pair for pair in zip(served.apps, served.targets, strict=True) if pair[0] not in dead]
            served.apps = [app for app, _ in left]
            served.targets = tuple(target for _, target in left)
            if not served.apps:
                del self._served[application_id]
        logs = containers.lines(dead)
        containers.remove(dead)
        self._log(f"application {application_id} crashed ({served.crashes})")
        pause = BACK_OFF[min(served.crashes - 1, len(BACK_OFF) - 1)]
        if served.apps:
            self._do_later(pause, application_id, lambda: self._replace(application_id, served))
            return
        with suppress(_Unwanted):
            self._check_wanted(application_id, served.version)
            if served.crashes >= MOST_CRASHES:
                error = _NotReady("The application crashed again and again.")
                self._failed(application_id, served.version, error, logs, [], built=True)
                return
            self._store.set_application(application_id, status="initializing", _logs=logs)
            self._do_later(pause, application_id, lambda: self._start(application_id, served.crashes))

    def _do_later(self, pause: float, application_id: str, work: Callable[[], None]) -> None:
        with self._lock:
            self._later.append((time.monotonic() + pause, application_id, work))

    def _replace(self, application_id: str, served: _Served) -> None:
        """Start the replicas that are missing, beside those that still serve."""
        plan = served.plan
        with self._lock:
            current = self._served.get(application_id) is served
            missing = plan.replicas - len(served.apps) if plan else 0
        if plan is None or not current or missing <= 0:
            return
        apps: list[RunningApp] = []
        try:
            started = self._run(application_id, served.version, plan, missing, apps)
            targets = self._wait(served.version, apps, started, plan.health)
        except _Unwanted:
            containers.remove(apps)
        except Exception as error:
            containers.remove(apps)
            served.crashes += 1
            self._log(f"a replica of application {application_id} did not come back: {error}")
            pause = BACK_OFF[min(served.crashes - 1, len(BACK_OFF) - 1)]
            self._do_later(pause, application_id, lambda: self._replace(application_id, served))
        else:
            with self._lock:
                current = self._served.get(application_id) is served
                if current:
                    served.apps = [*served.apps, *apps]
                    served.targets = (*served.targets, *targets)
                    served.ready_at = time.monotonic()
            if not current:
                containers.remove(apps)


class _NotReady(Exception):
    """The application did not become ready; the text says why."""


class _Unwanted(Exception):
    """What is being started is not wanted any more."""

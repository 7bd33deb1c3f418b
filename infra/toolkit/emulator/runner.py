"""Build environments and run applications for the local platform, with the same rooms as smoke.

Work is done in threads; what comes of it goes to the store. Which containers serve an application is only known here.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from toolkit import bundles
from toolkit.emulator import context
from toolkit.emulator.fields import NotFound, StoreError
from toolkit.emulator.store import MOST_LOG_LINES, Body, Store
from toolkit.errors import ToolkitError, ToolMissing
from toolkit.front import Target
from toolkit.source import SourceFile

if TYPE_CHECKING:
    import docker

    from toolkit.container import RunningApp
    from toolkit.image import AppImage, EnvironmentImage

OWNER = "emulator"
PATIENCE = 300.0  # platform-contract 3: the platform's own has been measured as about five minutes
PROBE_EVERY = 0.1
WATCH_EVERY = 1.0
MOST_CRASHES = 5
BACK_OFF = (1.0, 2.0, 4.0, 8.0, 16.0)
DRAIN = 2.0  # how long requests to the containers of an old version may still take
STOP_GRACE = 10
STARTS_AT_ONCE = 8
HOST_NAME = "host.docker.internal"


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
    crashes: int = 0
    ready_at: float = field(default_factory=time.monotonic)


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
    ) -> None:
        self._store = store
        self._environ = dict(environ)
        self._home = home
        self._instance = instance
        self._port = port
        self._mirror = mirror
        self._on_bridge = on_bridge
        self._log = log
        self._served: dict[str, _Served] = {}
        self._lock = threading.RLock()
        self._starting: dict[str, list[RunningApp]] = {}
        self._building = threading.Lock()
        self._creating = threading.Lock()
        self._over = threading.Event()
        self._builds = ThreadPoolExecutor(1, "build")
        self._starts = ThreadPoolExecutor(STARTS_AT_ONCE, "start")
        self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._connection: tuple[docker.DockerClient, str, int] | None = None

    # --- What is asked of it ------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Bring back what ran when the platform ended, and take up builds that it was cut off from."""
        for version in self._store.find("environmentVersion")[0]:
            if version["buildStatus"] in ("submitted", "processing"):
                self.build_environment(version["id"])
        applications = [
            app
            for app in self._store.find("application")[0]
            if app["status"] in ("running", "initializing") or app.get("_noEngine")
        ]
        for application in applications:
            self._store.set_application(application["id"], status="initializing")
        self._starts.submit(self._guarded, self._sweep, "sweep")
        for application in applications:
            self.start_application(application["id"])
        self._watcher.start()

    def build_environment(self, version_id: str) -> None:
        """Build the environment of a version, some time soon."""
        self._builds.submit(self._guarded, lambda: self._build(version_id), version_id)

    def start_application(self, application_id: str) -> None:
        """Serve the application's wanted version, some time soon; the old one serves until it is ready."""
        self._starts.submit(self._guarded, lambda: self._start(application_id), application_id)

    def remove_application(self, application_id: str) -> None:
        """Stop serving an application, some time soon."""
        with self._lock:
            served = self._served.pop(application_id, None)
        if served is not None:
            self._starts.submit(self._guarded, lambda: _remove(served.apps), application_id)

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
        return kept if application["status"] == "failed" else _lines(apps) or kept

    def close(self) -> None:
        """Remove all containers and end; what ran is brought back at the next start."""
        self._over.set()
        self._builds.shutdown(wait=False, cancel_futures=True)
        self._starts.shutdown(wait=False, cancel_futures=True)
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
                self._on_bridge(_bridge_address(client))
            return self._connection

    def _sweep(self) -> None:
        from toolkit.container import sweep

        client, _, _ = self._engine()
        for name in sweep(client, OWNER, lambda run: run != self._instance):
            self._log(f"removed {name}, which an earlier run left behind")

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

    def _build(self, version_id: str) -> None:
        lines: list[str] = []
        self._store.set_build(version_id, "processing")
        try:
            self._environment_image(version_id, lines.append)
        except (ToolkitError, context.BadContext) as error:
            details = [*lines, *getattr(error, "details", ())]
            self._store.set_build(version_id, "failed", log="\n".join(details), error=str(error))
        except Exception as error:
            self._store.set_build(version_id, "failed", log="\n".join(lines), error=f"{type(error).__name__}: {error}")
            raise
        else:
            self._store.set_build(version_id, "success", log="\n".join(lines))

    def _environment_image(self, version_id: str, on_line: Callable[[str], None]) -> EnvironmentImage:
        from toolkit import baseimage, image

        client, _, _ = self._engine()
        version = self._store.get("environmentVersion", version_id)
        with tempfile.TemporaryDirectory(prefix="bun-to-datarobot-") as folder:
            context.unpack(self._store.blob(version["_context"]).read_bytes(), Path(folder))
            options = baseimage.options_from(self._environ, self._mirror)
            with self._building:
                return image.build_environment(client, Path(folder), base=options, on_line=on_line)

    # --- Applications -------------------------------------------------------------------------------------------------

    def _start(self, application_id: str, crashes: int = 0) -> None:
        application = self._store.get("application", application_id)
        version_id = application["customApplicationSourceVersionId"]
        resources = self._store.application_resources(application)
        build_log: list[str] = []
        built: AppImage | None = None
        apps: list[RunningApp] = []
        try:
            version = self._store.get("sourceVersion", version_id)
            built = self._app_image(version, resources, build_log)
            with self._lock:
                self._starting[application_id] = apps
            targets = self._run(application, version, built, resources, apps)
            self._wait(version_id, apps, targets, resources)
            self._serve(application_id, _Served(version_id, apps, targets, crashes), build_log)
        except _Unwanted:
            _remove(apps)
        except Exception as error:
            logs = _lines(apps)
            _remove(apps)
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
            self._served[application_id] = new
        try:
            log = {"_buildLog": "\n".join(build_log)} if build_log else {}
            self._store.set_application(
                application_id,
                status="running",
                _serving=new.version,
                _buildStatus="success",
                _buildError="",
                _noEngine=False,
                **log,
            )
        finally:
            if before is not None:
                self._starts.submit(self._guarded, lambda: self._retire(before.apps), application_id)

    def _retire(self, apps: list[RunningApp]) -> None:
        """End containers that nothing is sent to any more, after what they were asked before."""
        self._over.wait(DRAIN)
        for app in apps:
            with suppress(Exception):
                app.stop(STOP_GRACE)
        _remove(apps)

    def _check_wanted(self, application_id: str, version_id: str) -> None:
        """Raise _Unwanted when the application is gone, has to serve another version, or the platform ends."""
        if self._over.is_set():
            raise _Unwanted
        try:
            application = self._store.get("application", application_id)
        except NotFound:
            raise _Unwanted from None
        if application["customApplicationSourceVersionId"] != version_id:
            raise _Unwanted

    def _app_image(self, version: Body, resources: Body, build_log: list[str]) -> AppImage:
        from toolkit import baseimage, image

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

    def _run(
        self, application: Body, version: Body, built: AppImage, resources: Body, apps: list[RunningApp]
    ) -> tuple[Target, ...]:
        """Start the replicas; each is added to `apps` as soon as it is there."""
        from toolkit import container

        client, host, cpus = self._engine()
        keep = not resources["serviceWebRequestsOnRootPath"]
        spec = container.RunSpec(
            image=built,
            env=self._container_environment(application, version, keep=keep),
            bundle=bundles.find(resources["resourceLabel"]),
            owner=OWNER,
            run_id=self._instance,
            extra_hosts={HOST_NAME: _bridge_address(client)},
            labels={"bun-to-datarobot.application": application["id"]},
        )
        for _ in range(resources["replicas"]):
            with self._creating:
                self._check_wanted(application["id"], version["id"])
                apps.append(container.start(client, spec, host=host, cpus=cpus))
        mode: Literal["keep", "strip"] = "keep" if keep else "strip"
        return tuple(Target(app.host, app.port, application["id"], mode) for app in apps)

    def _container_environment(self, application: Body, version: Body, *, keep: bool) -> dict[str, str]:
        """Give the variables that the platform sets (platform-contract 3); PORT is not among them."""
        identity = application["id"]
        environment = {
            "DATAROBOT_ENDPOINT": f"http://{HOST_NAME}:{self._port}/api/v2",
            "DATAROBOT_API_TOKEN": application["_restrictedToken"],
            "APPLICATION_ID": identity,
            "BASE_PATH": f"custom_applications/{identity}",
            "DR_CUSTOM_APP_EXTERNAL_URL": f"http://127.0.0.1:{self._port}/custom_applications/{identity}/",
        }
        if keep:
            environment["SCRIPT_NAME"] = f"/apps/{identity}"
        for parameter in version["runtimeParameters"]:
            if parameter["currentValue"] is None:
                continue
            environment[f"MLOPS_RUNTIME_PARAM_{parameter['fieldName']}"] = self._parameter_value(parameter)
        return environment

    def _parameter_value(self, parameter: Body) -> str:
        value = parameter["currentValue"]
        if parameter["type"] == "credential":
            secret = self._store.get("credential", str(value))["_secret"]
            payload = {"credentialType": "api_token", "apiToken": secret}
            return json.dumps({"type": "credential", "payload": payload})
        return json.dumps({"type": parameter["type"], "payload": value})

    def _wait(self, version_id: str, apps: list[RunningApp], targets: tuple[Target, ...], resources: Body) -> None:
        """Probe every replica as Kubernetes does, until each has answered well. Raises _NotReady, _Unwanted."""
        deadline = time.monotonic() + PATIENCE
        for app, target in zip(apps, targets, strict=True):
            path = resources.get("healthEndpointPath") or target.upstream_path("/")
            answer = "nothing listens on port 8080"
            while True:
                status = _probe(app.host, app.port, path)
                if 200 <= status < 400:
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

    def _watch(self) -> None:
        """Start crashed applications again, each time after a longer pause; after five crashes they have failed."""
        while not self._over.wait(WATCH_EVERY):
            with self._lock:
                everything = list(self._served.items())
            for application_id, served in everything:
                with suppress(Exception):
                    if all(app.state().running for app in served.apps):
                        if served.crashes and time.monotonic() - served.ready_at > 60:
                            served.crashes = 0
                        continue
                    self._crashed(application_id, served)

    def _crashed(self, application_id: str, served: _Served) -> None:
        with self._lock:
            if self._served.get(application_id) is not served:
                return
            del self._served[application_id]
        logs = _lines(served.apps)
        _remove(served.apps)
        self._log(f"application {application_id} crashed ({served.crashes + 1})")
        if served.crashes + 1 >= MOST_CRASHES:
            error = _NotReady("The application crashed again and again.")
            self._failed(application_id, served.version, error, logs, [], built=True)
            return
        self._store.set_application(application_id, status="initializing", _logs=logs)
        pause = BACK_OFF[min(served.crashes, len(BACK_OFF) - 1)]

        def again() -> None:
            if not self._over.wait(pause):
                self._start(application_id, served.crashes + 1)

        self._starts.submit(self._guarded, again, application_id)


def _remove(apps: list[RunningApp]) -> None:
    for app in apps:
        with suppress(Exception):  # an engine that is gone; what is left then is swept at the next start
            app.remove()


def _lines(apps: list[RunningApp]) -> list[str]:
    """Give the last lines that these containers wrote, as far as the engine can tell."""
    lines: list[str] = []
    for app in apps:
        with suppress(Exception):
            lines += app.logs(MOST_LOG_LINES)
    return lines[-MOST_LOG_LINES:]


class _NotReady(Exception):
    """The application did not become ready; the text says why."""


class _Unwanted(Exception):
    """What is being started is not wanted any more."""


def _probe(host: str, port: int, path: str) -> int:
    """Ask as kube-probe does; give the status, 0 when nothing answers."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path, headers={"User-Agent": "kube-probe/1.30", "Accept": "*/*"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _bridge_address(client: docker.DockerClient) -> str:
    """Give the address under which containers reach the engine's host: the bridge's gateway.

    Engines that were not told a gateway do not say which one they use; it is then the first address of the subnet.
    """
    from docker.errors import NotFound as NoNetwork

    for name in ("bridge", "podman"):
        with suppress(NoNetwork):
            return _gateway(client.networks.get(name).attrs["IPAM"]["Config"] or ())
    return "host-gateway"


def _gateway(configs: Iterable[Mapping[str, str]]) -> str:
    for config in configs:
        if config.get("Gateway"):
            return str(config["Gateway"])
        if config.get("Subnet"):
            return str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
    return "host-gateway"

"""Which containers serve the applications of the local platform; the engine and the threads for what is done.

Work is done in threads; what comes of it goes to the store. Which containers serve an application is only known here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from toolkit.emulator import containers
from toolkit.emulator.fields import NotFound
from toolkit.emulator.presence import Reads, Visits
from toolkit.emulator.store import Store
from toolkit.emulator.switches import Switches
from toolkit.front import Target

if TYPE_CHECKING:
    import docker

    from toolkit.container import RunningApp, RunSpec

STARTS_AT_ONCE = 8
OWNER = "emulator"


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
class Served:
    """The containers of one application: what they serve, and how often they have crashed since it was ready."""

    version: str
    apps: list[RunningApp]
    targets: tuple[Target, ...]
    plan: Plan | None
    crashes: int = 0
    ready_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Plan:
    """How the containers of a version are run, so that one of them can be replaced."""

    spec: RunSpec
    replicas: int
    mode: Literal["keep", "strip"]
    health: str | None


@dataclass(frozen=True)
class Connection:
    """The engine: its client, the host of published ports, how many CPUs it has, this machine's address on its bridge.

    `bridge` is empty where the bridge ends on another machine.
    """

    client: docker.DockerClient
    host: str
    cpus: int
    bridge: str


class Serving:
    """The engine, what it serves, and what is due; `instance` marks its containers, `port` is the platform's own."""

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
        self._served: dict[str, Served] = {}
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
        self._connection: Connection | None = None

    def _engine(self) -> Connection:
        """Connect to the engine, once. Raises ToolMissing."""
        from toolkit import engine

        with self._lock:
            if self._connection is None:
                client, address = engine.connect(self._environ, self._home)
                cpus = int(client.info().get("NCPU", 1))
                self._connection = Connection(client, address.host, cpus, containers.bridge(client))
                if self._connection.bridge:
                    self._on_bridge(self._connection.bridge)
            return self._connection

    def _guarded(self, work: Callable[[], Any], what: str) -> None:
        """Do some work; an error that nothing foresaw goes to the log, not into the void."""
        try:
            work()
        except NotFound:
            self._log(f"{what} was removed meanwhile")
        except Exception as error:
            if not self._over.is_set():
                self._log(f"{what}: {type(error).__name__}: {error}")

    def remove_application(self, application_id: str) -> None:
        """Stop serving an application, some time soon."""
        with self._lock:
            served = self._served.pop(application_id, None)
        if served is not None:
            self._ends.submit(self._guarded, lambda: containers.remove(served.apps), application_id)

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

    def _do_later(self, pause: float, application_id: str, work: Callable[[], None]) -> None:
        with self._lock:
            self._later.append((time.monotonic() + pause, application_id, work))

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [one for one in self._later if one[0] <= now]
            self._later = [one for one in self._later if one[0] > now]
        for _, application_id, work in due:
            self._starts.submit(self._guarded, work, application_id)

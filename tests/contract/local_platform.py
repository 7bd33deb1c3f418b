"""A local platform inside the test's own process: real store, routes and edge over HTTP, a runner that only notes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from toolkit.emulator import identity
from toolkit.emulator.identity import Identity
from toolkit.emulator.objects import Body
from toolkit.emulator.presence import Reads, Visits
from toolkit.emulator.store import Store
from toolkit.emulator.wiring import Parts, wired
from toolkit.front import Target
from toolkit.upstream import Upstream


@dataclass
class FakeRunner:
    """Notes what it is asked for; a test says with `become` what comes of it."""

    store: Store
    builds: list[str] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    served: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    at_once: bool = False

    def build_environment(self, version_id: str) -> None:
        self.builds.append(version_id)
        if self.at_once:
            self.store.set_build(version_id, "success", log="built")

    def start_application(self, application_id: str) -> None:
        self.starts.append(application_id)
        if self.at_once:
            self.become(application_id, "running")

    def remove_application(self, application_id: str) -> None:
        self.removed.append(application_id)

    def targets(self, application_id: str) -> tuple[Target, ...]:
        return self.served.get(application_id, ())

    def logs(self, application_id: str) -> list[str]:
        logs: list[str] = self.store.get("application", application_id)["_logs"]
        return logs

    def rest_application(self, application_id: str, status: str) -> None:
        self.served.pop(application_id, None)
        self.store.set_application(application_id, status=status)

    def start_over(self) -> None:
        self.served.clear()

    def become(self, application_id: str, status: str, *logs: str) -> None:
        self.store.set_application(application_id, status=status, _logs=list(logs))


@dataclass
class LocalPlatform:
    """What a test needs to know of the platform that it talks to."""

    url: str
    store: Store
    runner: FakeRunner
    identity: Identity
    requests: deque[Body]

    def client(self, token: str | None = None, scheme: str = "Bearer") -> httpx.Client:
        """Give a client of the API that brings a token (the full one unless told) and follows no redirect."""
        headers = {"Authorization": f"{scheme} {self.identity.full.reveal() if token is None else token}"}
        return httpx.Client(base_url=f"{self.url}/api/v2/", headers=headers, timeout=20, trust_env=False)


@contextmanager
def local_platform(data: Path) -> Iterator[LocalPlatform]:
    """Serve a new platform on a free port in a thread; its organisation is empty."""
    store, who = Store(data), identity.load(data)
    runner = FakeRunner(store)
    platform = LocalPlatform("", store, runner, who, deque())
    ready = threading.Event()
    over: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    failures: list[BaseException] = []

    async def serve() -> None:
        ended = asyncio.Event()
        over.append((asyncio.get_running_loop(), ended))
        async with Upstream() as upstream:
            parts = Parts(
                data=data,
                store=store,
                runner=runner,
                identity=who,
                requests=platform.requests,
                visits=Visits(),
                reads=Reads(),
                base=lambda: platform.url,
                plant=lambda: None,
                log=lambda text: failures.append(AssertionError(text)),
            )
            listener, _ = wired(parts, upstream, shutdown_timeout=0.2)
            await listener.setup()
            try:
                platform.url = f"http://127.0.0.1:{await listener.listen('127.0.0.1', 0)}"
                ready.set()
                await ended.wait()
            finally:
                await listener.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield platform
    finally:
        if over:
            over[0][0].call_soon_threadsafe(over[0][1].set)
        thread.join()
        store.close()
    if failures:
        raise failures[0]

"""Look at the platform while Pulumi waits for it: new lines of its logs, the moment it fails, and signs of life.

The provider only waits and says nothing (platform-contract 1.1: up to ten seconds between two looks).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit.bench import Event, OnEvent
from toolkit.errors import ToolkitError
from toolkit.plan import KINDS
from toolkit.settings import Secret, masked

if TYPE_CHECKING:
    from toolkit.datarobot import Client

EVERY = 1.0  # seconds between two looks
SILENCE = 15.0  # seconds without an event, after which a sign of life is given
MOST_LINES = 200  # of a log at one look
WATCHED = {"ExecutionEnvironment": "environment", "CustomApplication": "application"}
OPERATIONS = {"create", "update", "replace", "create-replacement"}


@dataclass
class _Work:
    """A resource that Pulumi works on: since when, and how much of its log has been shown."""

    kind: str
    operation: str
    since: float
    version: str = ""  # whose log that was
    shown: int = 0
    failed: bool = False
    over: bool = False  # Pulumi has given it up: one more look, for the reason


@dataclass
class _Watch:
    base_name: str
    on_event: OnEvent
    secrets: Sequence[Secret] = ()
    now: Callable[[], float] = time.monotonic
    works: dict[str, _Work] = field(default_factory=dict)
    failed_before: dict[str, str] = field(default_factory=dict)  # the version that had failed when this began
    last: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)
    wake: threading.Event = field(default_factory=threading.Event)

    def pass_on(self, event: Event) -> None:
        """Pass an event on, and see from it what Pulumi works on."""
        kind = str(event.get("type", "")).rsplit(":", 1)[-1]
        with self.lock:
            self.last = self.now()
            if event["event"] in ("preview", "up"):
                self.works.clear()  # what a preview begins is not being done
            elif event["event"] == "start" and event.get("op") in OPERATIONS and kind in KINDS:
                self.works[kind] = _Work(kind, str(event["op"]), self.now())
            elif event["event"] == "done":
                self.works.pop(kind, None)
            elif event["event"] == "failed" and kind in self.works:
                self.works[kind].over = True
                self.wake.set()
            self.on_event(event)

    def begin(self, client: Client) -> None:
        """Remember what has failed before: its log and its state are no news."""
        for kind in WATCHED:
            with suppress(ToolkitError):
                version, status, _ids = _seen(client, kind, self.base_name)
                if status == "failed":
                    self.failed_before[kind] = version

    def look(self, client: Client) -> None:
        """Look once: show what is new."""
        with self.lock:
            works = [work for work in self.works.values() if work.kind in WATCHED]
        for work in works:
            with suppress(ToolkitError):
                version, status, ids = _seen(client, work.kind, self.base_name)
                if version != self.failed_before.get(work.kind):  # else the new one is still to come
                    self._tell(work, version, status, _log(client, work.kind, ids))
        self.forget(over=True)
        with self.lock:
            if self.works and self.now() - self.last >= SILENCE:
                self.pass_on({"event": "heartbeat", "text": "; ".join(map(self._life, self.works.values()))})

    def forget(self, *, over: bool) -> None:
        """Look no more at what is over, or at what is not."""
        with self.lock:
            for kind in [kind for kind, work in self.works.items() if work.over is over]:
                del self.works[kind]

    def _tell(self, work: _Work, version: str, status: str, text: str) -> None:
        if version != work.version:
            work.version, work.shown, work.failed = version, 0, False
        lines = masked(text, self.secrets).splitlines()
        fresh = lines[work.shown :]
        if len(lines) < work.shown:  # the log of another version
            fresh = lines
        work.shown = len(lines)
        with self.lock:
            if work.kind not in self.works:
                return
            for line in fresh[-MOST_LINES:]:
                self.pass_on({"event": "line", "text": f"{WATCHED[work.kind]}: {line}", "of": WATCHED[work.kind]})
            if status == "failed" and not work.failed:
                work.failed = True
                told = f"The platform says that the {KINDS[work.kind]} failed."
                self.pass_on({"event": "platform-failed", "of": WATCHED[work.kind], "text": told, "at": time.time()})

    def _life(self, work: _Work) -> str:
        return f"{KINDS[work.kind]}: {work.operation} goes on since {self.now() - work.since:.0f} s"


def _seen(client: Client, kind: str, base_name: str) -> tuple[str, str, tuple[str, ...]]:
    """Give the version of what is being built or started, its status, and the ids by which its log is asked for."""
    if kind == "ExecutionEnvironment":
        for environment in client.environments(f"{base_name}-environment")[-1:]:
            latest: dict[str, Any] = environment.get("latestVersion") or {}
            if latest.get("id"):
                version = str(latest["id"])
                return version, str(latest.get("buildStatus")), (str(environment["id"]), version)
        return "", "", ()
    for application in client.applications(base_name)[-1:]:
        version = str(application.get("customApplicationSourceVersionId") or application["id"])
        return version, str(application.get("status")), (str(application["id"]),)
    return "", "", ()


def _log(client: Client, kind: str, ids: Sequence[str]) -> str:
    if not ids:
        return ""
    if kind == "ExecutionEnvironment":
        return str(client.build_log(*ids).get("log") or "")
    return "\n".join(client.application_logs(*ids).get("logs") or ())


@contextmanager
def watched(
    connect: Callable[[], AbstractContextManager[Client]],
    base_name: str,
    on_event: OnEvent,
    *,
    secrets: Sequence[Secret] = (),
    every: float = EVERY,
) -> Iterator[OnEvent]:
    """Give a callback for Pulumi's events; while it works on something, the platform is looked at beside it.

    What it has logged is shown without the `secrets`.

    Whatever goes wrong with the looking is not told: it is no part of the deployment.
    """
    watch = _Watch(base_name, on_event, secrets)
    over = threading.Event()

    def run() -> None:
        with suppress(ToolkitError), connect() as client:
            watch.begin(client)
            while not over.is_set():
                watch.wake.wait(every)
                watch.wake.clear()
                watch.look(client)

    thread = threading.Thread(target=run, name="watch", daemon=True)
    thread.start()
    try:
        yield watch.pass_on
    finally:
        watch.forget(over=False)
        over.set()
        watch.wake.set()
        thread.join(every + 1.0)
        with watch.lock:
            watch.works.clear()

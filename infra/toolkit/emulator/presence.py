"""What was asked of which object: visits of applications, and reads of objects whose pace depends on them."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from toolkit.emulator.switches import Pace

MOST_PAGES = 1000  # of each application
ID = re.compile(r"[0-9a-f]{24}")
LOOK_EVERY = 0.02


class Visits:
    """Who is at an application, and since when nobody is. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._last: dict[str, float] = {}
        self._pages: dict[str, deque[float]] = {}

    @contextmanager
    def visit(self, application: str, *, page: bool = False, entered: bool = False) -> Iterator[None]:
        """Count a visitor of an application for as long as the request takes; one that `entered` is counted already."""
        if not entered:
            self.enter(application, page=page)
        try:
            yield
        finally:
            self.leave(application)

    def enter(self, application: str, *, page: bool = False) -> None:
        """Count a visitor who stays until `leave`; a `page` is what a person asks for."""
        with self._lock:
            self._here[application] += 1
            self._count[application] += 1
            if page:
                self._pages.setdefault(application, deque(maxlen=MOST_PAGES)).append(time.time())

    def leave(self, application: str) -> None:
        """Note that a visitor has what they came for."""
        with self._lock:
            self._here[application] -= 1
            self._last[application] = time.monotonic()

    def idle(self, application: str, since: float) -> float:
        """Give for how many seconds nobody has visited an application that is ready since `since` (monotonic)."""
        with self._lock:
            if self._here[application] > 0:
                return 0.0
            return time.monotonic() - max(since, self._last.get(application, since))

    def count(self, application: str) -> int:
        """Give how many requests an application has had since the platform's start."""
        with self._lock:
            return self._count[application]

    def pages(self, application: str) -> list[float]:
        """Give when people asked an application for a page since the platform's start (seconds since 1970)."""
        with self._lock:
            return list(self._pages.get(application, ()))

    def forget(self, application: str) -> None:
        """Drop what is known of an application that is gone."""
        with self._lock:
            for known in (self._here, self._count, self._last, self._pages):
                known.pop(application, None)


class Reads:
    """Counts reads of objects whose pace depends on them, and lets their builder wait. Safe for several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: Counter[str] = Counter()

    def note(self, method: str, path: str) -> None:
        """Count a read of every object whose id is in the path, where its pace depends on it."""
        if method != "GET" or not self._waiting:
            return
        with self._changed:
            for found in set(ID.findall(path)) & self._waiting.keys():
                self._waiting[found] += 1
            self._changed.notify_all()

    def hold(self, pace: Pace, id: str, began: float, give_up: Callable[[], bool]) -> None:  # noqa: A002
        """Wait until the pace allows that `id`, asked for at `began` (monotonic), is seen as done; or `give_up`."""
        if not pace.reads and not pace.seconds:
            return
        with self._changed:
            self._waiting.setdefault(id, 0)
        try:
            while not give_up():
                with self._changed:
                    left = began + pace.seconds - time.monotonic()
                    if left <= 0 and self._waiting[id] >= pace.reads:
                        return
                    self._changed.wait(min(max(left, LOOK_EVERY), 0.5))
        finally:
            with self._changed:
                self._waiting.pop(id, None)

"""A second container of the release beside the first one: does it come up, and does it serve the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from toolkit.checks.context import Again
from toolkit.container import RunningApp
from toolkit.crawl import Answer
from toolkit.fetch import HttpFetch
from toolkit.places import PLATFORM_ORIGIN, VISITOR
from toolkit.references.model import Kind
from toolkit.waiting import wait

if TYPE_CHECKING:
    from toolkit.front import Target

MOST_COMPARED = 300
_PAGES = frozenset({Kind.PAGE, Kind.FRAME, Kind.LINK})


class Replica:
    """Starts with `start`, in the background, when it is entered; is removed at the end, whatever happens.

    `target` is the first container's, `probe_path` and `patience` (seconds) are as for `toolkit.waiting.wait`.
    """

    def __init__(self, start: Callable[[], RunningApp], target: Target, probe_path: str, patience: float) -> None:
        self._start = start
        self._target = target
        self._probe_path = probe_path
        self._patience = patience
        self._app: RunningApp | None = None
        self._over = False
        self._pool = ThreadPoolExecutor(1, "replica")
        self._coming: Future[Again] | None = None

    def __enter__(self) -> Replica:
        self._coming = self._pool.submit(self._come_up)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._app is not None:
            self._app.remove()  # ends the waiting for it, too
        self._pool.shutdown()

    def _come_up(self) -> Again:
        self._app = app = self._start()
        if self._over:
            app.remove()
        waited = wait(app, f"http://{app.host}:{app.port}{self._probe_path}", self._patience)
        return Again(waited, logs=tuple(app.logs()) if waited.response is None else ())

    def come_up(self) -> Again:
        """Wait until it has come up, or has not; raises ContainerFailed when the engine cannot start it."""
        assert self._coming is not None, "it was not entered"
        return self._coming.result()

    def compared(self, again: Again, answers: Iterable[Answer]) -> Again:
        """Ask it for all files that the first one served; `again` is what `come_up` gave."""
        if self._app is None or again.waited.response is None or again.waited.response.status >= 400:
            return again
        from toolkit.front import Front

        asked = [one for one in answers if one.status == 200 and one.kind not in _PAGES][:MOST_COMPARED]
        target = replace(self._target, host=self._app.host, port=self._app.port)
        missing = []
        with Front(target, visitor=VISITOR) as entrance, HttpFetch(through=("127.0.0.1", entrance.port)) as fetch:
            for one in asked:
                got = fetch(f"{PLATFORM_ORIGIN}{target.prefix}/{one.path}")
                if got.status >= 400 or (got.content_type == "text/html" != one.content_type):
                    missing.append(f"./{one.path}")
        return replace(again, missing=tuple(missing))

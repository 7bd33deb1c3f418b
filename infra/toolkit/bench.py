"""Where a command works: folders, environment, and the callback that its events go to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from toolkit.tools import Places

Event = dict[str, Any]
OnEvent = Callable[[Event], None]


@dataclass
class Outcome:
    """What came out of a phase: a word on it, and whether it went well."""

    text: str = ""
    ok: bool = True

    def __call__(self, text: str, *, ok: bool = True) -> None:
        """Say it."""
        self.text, self.ok = text, ok


@dataclass(frozen=True)
class Bench:
    """Where a command works: folders, the environment that its programs get, and where its events go."""

    places: Places
    environ: Mapping[str, str]
    on_event: OnEvent

    def line(self, text: str) -> None:
        """Pass on a line of output of the phase that runs."""
        self.on_event({"event": "line", "text": text})

    @contextmanager
    def phase(self, name: str, detail: str = "") -> Iterator[Outcome]:
        """Announce a phase, and at its end what the outcome that this yields says."""
        started = time.monotonic()
        self.on_event({"event": "phase", "name": name, "status": "start", "detail": detail})
        outcome = Outcome()
        try:
            yield outcome
        except BaseException:
            outcome.ok, outcome.text = False, ""
            raise
        finally:
            self.on_event(
                {
                    "event": "phase",
                    "name": name,
                    "status": "ok" if outcome.ok else "failed",
                    "detail": outcome.text,
                    "seconds": round(time.monotonic() - started, 3),
                }
            )

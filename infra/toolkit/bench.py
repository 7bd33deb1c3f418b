"""Where a command works: folders, environment, and the callback that its events go to."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolkit import limits
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


@dataclass
class Pulse:
    """Remembers the last sign of life: a line, or the steps that Pulumi is at."""

    line: str = ""
    steps: dict[str, str] = field(default_factory=dict)

    def hear(self, event: Event) -> None:
        """Take note of an event."""
        what = str(event.get("type", "")).rsplit(":", 1)[-1]
        if event["event"] in ("line", "heartbeat", "check"):
            self.line = str(event.get("text") or event.get("title") or "").strip()
        elif event["event"] == "start":
            self.steps[what] = f"{event.get('op')} of {what}"
        elif event["event"] in ("done", "failed"):
            self.steps.pop(what, None)
        elif event["event"] in ("phase", "up"):
            self.line, self.steps = "", {}

    def __str__(self) -> str:
        return "; ".join(filter(None, (*self.steps.values(), self.line)))


class Asking:
    """Two phases with a question between them: whoever is asked may take any time."""

    def __init__(self, bench: Bench, first: str, second: str, detail: str, phases: ExitStack) -> None:
        self._phases, self._second = phases, functools.partial(bench.phase, second, detail)
        self.say = phases.enter_context(bench.phase(first, detail))  # of the phase that goes on

    def ask(self, text: str, question: Callable[[], bool]) -> bool:
        """End the first phase with a word on what came out of it, ask, and begin the second one."""
        self.say(text)
        self._phases.pop_all().close()
        answer = question()
        self.say = self._phases.enter_context(self._second())
        return answer


@dataclass(frozen=True)
class Bench:
    """Where a command works: folders, the environment that its programs get, and where its events go.

    `limits` is how many seconds each phase may take; a phase that is not there takes as long as it takes.
    """

    places: Places
    environ: Mapping[str, str]
    on_event: OnEvent
    limits: Mapping[str, float] = field(default_factory=dict)
    pulse: Pulse = field(default_factory=Pulse)

    @property
    def pulumi_home(self) -> Path:
        """Where Pulumi keeps its login (and, by itself, its plugins)."""
        return Path(self.environ.get("PULUMI_HOME") or self.places.home / ".pulumi")

    def limited(self, limits: Mapping[str, float]) -> Bench:
        """Give a bench whose phases end when their time is over."""
        pulse = Pulse()

        def on_event(event: Event) -> None:
            pulse.hear(event)
            self.on_event(event)

        return replace(self, on_event=on_event, limits=limits, pulse=pulse)

    def noting(self, wanted: Callable[[Event], bool], noted: list[Event]) -> Bench:
        """Give a bench that also adds the events that are `wanted` to `noted`."""

        def on_event(event: Event) -> None:
            if wanted(event):
                noted.append(event)
            self.on_event(event)

        return replace(self, on_event=on_event)

    def line(self, text: str) -> None:
        """Pass on a line of output of the phase that runs."""
        self.on_event({"event": "line", "text": text})

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Bound what the block takes, without announcing it. Raises TimedOut that says what it waited for."""
        if name not in self.limits:
            yield
            return
        seconds = self.limits[name]
        with limits.within(seconds, lambda: limits.over(name, seconds, str(self.pulse))):
            yield

    @contextmanager
    def asking(self, first: str, second: str, detail: str = "") -> Iterator[Asking]:
        """Begin a phase that `Asking.ask` may end; the block ends in the one that goes on then."""
        with ExitStack() as phases:
            yield Asking(self, first, second, detail, phases)

    @contextmanager
    def phase(self, name: str, detail: str = "") -> Iterator[Outcome]:
        """Announce a phase, bound it, and announce at its end what the outcome that this yields says."""
        started = time.monotonic()
        self.on_event({"event": "phase", "name": name, "status": "start", "detail": detail})
        outcome = Outcome()
        try:
            with self.within(name):
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

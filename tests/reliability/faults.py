"""Every call of the platform goes wrong once, in every way; after that the next plain command has to converge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.reliability.bed import COMMANDS, Bed
from toolkit import datarobot

CLIENT_TIMEOUT = 2.0  # seconds after which our own requests give up; the provider has no such limit
LATE = CLIENT_TIMEOUT + 0.5
WAYS: dict[str, dict[str, Any]] = {
    "500": {"status": 500, "body": {"message": "internal error"}},
    "429": {"status": 429, "body": {"message": "too many requests"}},
    "403": {"status": 403, "body": {"message": "forbidden"}},
    "time-out": {"delay": LATE, "cut": True, "when": "after"},
    "cut before": {"cut": True},
    "cut after": {"cut": True, "when": "after"},
}


@dataclass(frozen=True)
class Case:
    """The `call`-th call of a command goes wrong in one way."""

    command: str
    call: int
    way: str

    def __str__(self) -> str:
        return f"{self.command}, call {self.call}, {self.way}"


@dataclass(frozen=True)
class Outcome:
    """What came of a case: the exit code of the command that met the fault, and what was wrong after the next one."""

    case: Case
    code: int
    fired: bool
    removed: int
    trouble: str
    seconds: float


def cases(bed: Bed, commands: tuple[str, ...] = COMMANDS) -> Iterator[Case]:
    """Count the calls of each command where nothing goes wrong, and give every case."""
    for command in commands:
        bed.prepare(command)
        before = bed.calls()
        ran = bed.run(command)
        assert ran.code == 0, ran.error
        for call in range(1, bed.calls() - before + 1):
            for way in WAYS:
                yield Case(command, call, way)


@contextmanager
def _giving_up_after(seconds: float) -> Iterator[None]:
    before, datarobot.PATIENCE = datarobot.PATIENCE, seconds
    try:
        yield
    finally:
        datarobot.PATIENCE = before


def meet(bed: Bed, case: Case) -> Outcome:
    """Let one call go wrong, run the plain command again, and look whether all is in order."""
    started = time.monotonic()
    bed.prepare(case.command)
    bed.ask("POST", "faults", {"rules": [{"hit": case.call, **WAYS[case.way]}]})
    with _giving_up_after(CLIENT_TIMEOUT if "delay" in WAYS[case.way] else datarobot.PATIENCE):
        first = bed.run(case.command)
    fired = any(rule["fired"] for rule in bed.ask("GET", "faults")["faults"])
    bed.ask("DELETE", "faults")
    again = bed.run(case.command)
    trouble = bed.trouble(case.command)
    if again.code:
        trouble = f"exit code {again.code}: {again.error}; {trouble}"
    lines = (*first.lines, *again.lines)
    removed = sum(line.startswith("Removed the") for line in lines)
    return Outcome(case, first.code, fired, removed, trouble, time.monotonic() - started)

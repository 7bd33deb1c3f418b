"""How the local platform behaves where a run may choose: pace of builds and starts, encodings, pauses. Pure.

Switches live in memory only: a restart and a reset bring back the defaults, so that nothing leaks into a later run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from toolkit.emulator.fields import Invalid, wrong

Encoding = Literal["json", "raw"]
MOST_SECONDS = 24 * 3600.0
MOST_READS = 10_000


@dataclass(frozen=True)
class Pace:
    """When something is seen as done: not before `reads` reads of it and `seconds` after it was asked for.

    Without `engine` nothing is built or run at all: it counts as done as soon as reads and seconds allow.
    """

    engine: bool = True
    reads: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Switches:
    """All that can be chosen. Runtime parameters come as JSON with type and payload, or raw (contract 6.12).

    Applications without visitors are paused after `pause_after` seconds, 0 for never (contract 3, allowAutoStopping).
    """

    parameter_encoding: Encoding = "json"
    pause_after: float = 0.0
    builds: Pace = field(default_factory=Pace)
    starts: Pace = field(default_factory=Pace)

    def shown(self) -> dict[str, Any]:
        """Give them as the control API names them."""
        return {
            "parameterEncoding": self.parameter_encoding,
            "pauseAfterSeconds": self.pause_after,
            "builds": asdict(self.builds),
            "starts": asdict(self.starts),
        }


def changed(before: Switches, given: Mapping[str, Any]) -> Switches:
    """Give the switches with some of them set anew. Raises Invalid that names what cannot be."""
    after = before
    for name, value in given.items():
        if name == "parameterEncoding":
            if value not in get_args(Encoding):
                raise wrong(parameterEncoding=f"has to be one of {', '.join(get_args(Encoding))}")
            after = replace(after, parameter_encoding=value)
        elif name == "pauseAfterSeconds":
            after = replace(after, pause_after=seconds(name, value))
        elif name == "builds":
            after = replace(after, builds=pace(name, value, before.builds))
        elif name == "starts":
            after = replace(after, starts=pace(name, value, before.starts))
        else:
            raise Invalid(f"There is no switch {name[:50]!r}.", {name[:50]: f"known are {', '.join(before.shown())}"})
    return after


def pace(name: str, given: Any, before: Pace) -> Pace:
    """Read a pace: an object with engine, reads, seconds; or the words "immediate" and "engine". Raises Invalid."""
    if given == "immediate":
        return Pace(engine=False)
    if given == "engine":
        return Pace()
    if not isinstance(given, dict) or given.keys() - {"engine", "reads", "seconds"}:
        raise wrong(**{name: 'has to be "immediate", "engine", or an object with engine, reads, seconds'})
    engine, reads = given.get("engine", before.engine), given.get("reads", before.reads)
    if not isinstance(engine, bool):
        raise wrong(**{name: "engine has to be true or false"})
    if not isinstance(reads, int) or isinstance(reads, bool) or not 0 <= reads <= MOST_READS:
        raise wrong(**{name: f"reads has to be a whole number from 0 to {MOST_READS}"})
    return Pace(engine, reads, seconds(name, given.get("seconds", before.seconds)))


def seconds(name: str, value: Any) -> float:
    """Read a number of seconds. Raises Invalid."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MOST_SECONDS:
        raise wrong(**{name: f"seconds have to be a number from 0 to {MOST_SECONDS:.0f}"})
    return float(value)

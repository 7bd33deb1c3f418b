"""How long each phase of a deployment may take, and what ends one whose time is over."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from toolkit.errors import Cancelled, ConfigurationError, TimedOut

SETTING = "PHASE_SECONDS"
MOST = 7 * 24 * 3600
AT_ONCE = 0.001  # seconds
ON = "What was done so far is kept: the same command goes on from there."


class TimeIsOver(KeyboardInterrupt):
    """What ends a block whose time is over: whoever cleans up need not hurry as after Ctrl-C."""


@dataclass(frozen=True)
class Phase:
    """A phase: its usual limit in seconds (0: it follows from other settings), what it waits for, and the next step."""

    seconds: int
    waits_for: str
    hint: str


PHASES: Mapping[str, Phase] = {
    "platform": Phase(180, "the local platform to start", "Its log tells more: invoke emulator.logs."),
    "preflight": Phase(30, "the checks of this machine and of the platform", "invoke doctor says which one hangs."),
    "stage": Phase(600, "the files that ship to be read and copied", "invoke stage shows what ships: leave some out."),
    "environment image": Phase(
        1800, "the engine to build the Dockerfile", "Its output stands above; invoke build shows it again."
    ),
    "app image": Phase(1800, "build-app.sh to end", "Its output stands above; invoke build shows it again."),
    "smoke": Phase(900, "the checks of the app in its container", "invoke smoke shows what it does meanwhile."),
    "pulumi": Phase(1800, "Pulumi, its plugin and its Python packages", "invoke doctor says what is there."),
    "preview": Phase(
        300, "Pulumi to say what would change", "Does the state's backend answer? invoke doctor says where it is."
    ),
    "deploy": Phase(0, "Pulumi and the platform to carry the changes out", f"{ON} invoke status shows what is there."),
    "verify": Phase(0, "the public URL to serve this release", "See what runs: invoke status, invoke logs."),
    "leftovers": Phase(300, "the platform to tell the reason, and to let go of what was left", ON),
    "keep": Phase(
        300, "the platform to keep this release for a rollback", "The app is deployed; the next deployment keeps it."
    ),
    "rollback": Phase(
        0, "the release from before to serve again", "See what runs with invoke status, then: invoke rollback."
    ),
    "destroy": Phase(1800, "Pulumi and the platform to remove everything", f"{ON} invoke status shows what is left."),
    "refresh": Phase(600, "Pulumi to read what the platform has", "Does the platform answer? invoke doctor says so."),
}


def key(phase: str) -> str:
    """Give the name of a phase as the setting knows it."""
    return phase.replace(" ", "-")


def read(text: str) -> Mapping[str, int]:
    """Read the setting, `smoke=300,deploy=5400`: seconds by phase. Raises ConfigurationError for what is none."""
    names = {key(name): name for name in PHASES}
    found: dict[str, int] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, _, seconds = word.partition("=")
        if name not in names:
            raise ConfigurationError(f"there is no phase {name!r}.", hint=f"Expected: one of {', '.join(names)}.")
        if not seconds.isdecimal() or not 1 <= int(seconds) <= MOST:
            expected = f"Expected: a whole number of seconds from 1 to {MOST}, for example {name}=300."
            raise ConfigurationError(f"found {word!r}.", hint=expected)
        found[names[name]] = int(seconds)
    return found


def by_phase(chosen: Mapping[str, int], *, timeout_minutes: int, verify_seconds: int) -> Mapping[str, int]:
    """Give the limit of each phase in seconds: what was chosen, else the usual one.

    `deploy` has time for a build and a start (`timeout_minutes` each), `verify` a minute more than it waits anyway,
    and `rollback` what its parts may take.
    """
    limits = {name: phase.seconds for name, phase in PHASES.items()}
    limits |= {"deploy": 2 * 60 * timeout_minutes + 600, "verify": verify_seconds + 60, **chosen}
    if "rollback" not in chosen:
        limits["rollback"] = sum(limits[name] for name in ("stage", "preview", "deploy", "verify", "keep"))
    return limits


def over(name: str, seconds: float, last: str = "") -> TimedOut:
    """Give the error that says so; `last` is the last sign of life."""
    phase = PHASES[name]
    longer = math.ceil(2 * seconds)
    return TimedOut(
        f"The phase {name} was not over within {seconds:g} s. It waited for {phase.waits_for}.",
        hint=f"{phase.hint} Or give it longer: {SETTING}={key(name)}={longer}",
        details=(f"last sign of life: {last}",) if last else (),
    )


@contextmanager
def within(seconds: float, error: Callable[[], TimedOut]) -> Iterator[None]:
    """End the block as Ctrl-C would when it takes longer, and raise `error`.

    So whatever cleans up after Ctrl-C does it here too: locks go, and children end. Only the main thread can be ended
    like that; elsewhere the block has no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    rang = over = False

    def ring(_number: int, _frame: FrameType | None) -> None:
        nonlocal rang
        if not over:
            rang = True
            raise TimeIsOver

    begun = time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except (KeyboardInterrupt, Cancelled) as interrupted:
        if not rang:
            raise
        raise error() from interrupted
    else:
        if rang:
            raise error()
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # of a block around this one
            signal.setitimer(signal.ITIMER_REAL, max(AT_ONCE, left - (time.monotonic() - begun)))

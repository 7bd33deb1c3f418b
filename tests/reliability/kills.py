"""A command is killed (SIGKILL) at a moment taken by chance; after that the next plain command has to converge."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.bed import COMMANDS, Bed

ORPHANS_END = 10.0  # seconds that processes may live whose parent was killed
# Who is killed: everything at once (as when a machine dies), the command alone, its child, or Pulumi itself.
VICTIMS = ("all", "command", "driver", "pulumi")


@dataclass(frozen=True)
class Kill:
    """`victim` of `command` is killed when `share` of its usual time has passed."""

    command: str
    victim: str
    share: float

    def __str__(self) -> str:
        return f"{self.command}, {self.victim} killed at {self.share:.0%}"


@dataclass(frozen=True)
class Outcome:
    """What came of a kill: after how many seconds, what was put in order, and what was wrong after the next command."""

    kill: Kill
    at: float
    ended_before: bool
    left: int
    put_in_order: int
    trouble: str
    seconds: float


def kills(count: int, seed: int) -> list[Kill]:
    """Give as many kills, the same ones for the same seed."""
    dice = random.Random(seed)
    return [Kill(COMMANDS[n % 3], VICTIMS[n // 3 % 4], dice.uniform(0.02, 1.05)) for n in range(count)]


def usual(bed: Bed, command: str) -> float:
    """Give how long a command takes when nobody kills it, in seconds."""
    bed.prepare(command)
    started = time.monotonic()
    assert start(bed, command).wait() == 0
    return time.monotonic() - started


def meet(bed: Bed, kill: Kill, takes: float) -> Outcome:
    """Kill a command, wait for what it leaves to end, run it again, and look whether all is in order."""
    started = time.monotonic()
    bed.prepare(kill.command)
    child = start(bed, kill.command)
    time.sleep(takes * kill.share)
    at = takes * kill.share
    family = descendants(child.pid)
    ended = child.poll() is not None
    for pid in victims(kill.victim, child.pid, family):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + ORPHANS_END
    child.wait()
    while (left := [pid for pid in family if lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    again = bed.run(kill.command)
    trouble = bed.trouble(kill.command)
    if again.code:
        trouble = f"exit code {again.code}: {again.error}; {trouble}"
    if left:
        trouble = f"{len(left)} processes outlive it: {[words(pid) for pid in left]}; {trouble}"
    order = sum(line.startswith(("Removed the", "The platform lacks")) for line in again.lines)
    return Outcome(kill, at, ended, len(left), order, trouble, time.monotonic() - started)


def start(bed: Bed, command: str) -> subprocess.Popen[bytes]:
    """Start a command as a process of its own."""
    program = Path(__file__).with_name("bed.py")
    return subprocess.Popen(
        [sys.executable, str(program), str(bed.root), command, "--more", json.dumps(bed.more)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def victims(victim: str, command: int, family: list[int]) -> list[int]:
    """Give the processes that a victim's name stands for."""
    if victim == "all":
        return [command, *family]
    if victim == "driver":
        return [pid for pid in family if "toolkit.automation" in words(pid)]
    if victim == "pulumi":
        return [pid for pid in family if words(pid).split(" ")[0].endswith("/pulumi")]
    return [command]


def descendants(pid: int) -> list[int]:
    """Give the processes that a process has started, and those that they have."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            fields = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(") ")[2].split()
            parents[int(name)] = int(fields[1])
    found: list[int] = []
    new = [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


def words(pid: int) -> str:
    """Give the command line of a process; empty for one that is dead."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def lives(pid: int) -> bool:
    """Say whether a process runs; the dead whom nobody has collected do not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False

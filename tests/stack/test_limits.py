"""Every phase that hangs ends within its limit: with an error that says so, no lock, no child, and a way on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reliability import kills
from tests.reliability.bed import Bed, bed
from toolkit import limits

pytestmark = [pytest.mark.stack, pytest.mark.engine]

API = "/api/v2/"
HANGS = {"delay": 60, "times": 0}
SLOW = {"engine": False, "seconds": 120}
# Which call of the platform hangs in which phase of which command; `builds` and `starts` hang as the platform does.
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "preflight": ("deploy", {"path": f"{API}version/"}),
    "preview": ("update", {"path": f"{API}customApplicationSources/", "method": "GET", "agent": "python-httpx"}),
    "deploy": ("deploy", {"path": f"{API}executionEnvironments/", "method": "POST"}),
    "destroy": ("destroy", {"path": f"{API}customApplications/*", "method": "DELETE"}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path) -> Iterator[Bed]:
    del pulumi_cli
    with bed(tmp_path_factory.mktemp("limits") / "bed") as ready:
        ready.immediate()
        yield ready


def _ended_in_order(made: Bed, phase: str, command: str, seconds: float) -> None:
    """Run the command with that limit for the phase; look that it ends as it should, and that the next one works."""
    made.more["PHASE_SECONDS"] = f"{limits.key(phase)}={seconds}"
    before = set(kills.descendants(_own_pid()))
    ran = made.run(command)
    assert ran.code == 9, (ran.code, ran.error, ran.lines)
    assert f"The phase {phase} was not over within {seconds} s. It waited for {limits.PHASES[phase].waits_for}" in (
        ran.error
    )
    assert made.locks() == []
    left = [pid for pid in set(kills.descendants(_own_pid())) - before if kills.lives(pid)]
    assert left == [], [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]


def _own_pid() -> int:
    return int(Path("/proc/self").readlink().name)


def _healed(made: Bed, command: str) -> None:
    made.more.pop("PHASE_SECONDS", None)
    made.immediate()
    again = made.run(command)
    assert (again.code, again.error) == (0, "")
    assert made.trouble(command) == ""


@pytest.mark.parametrize("phase", CALLS)
def test_a_phase_in_which_the_platform_hangs_ends(made: Bed, phase: str) -> None:
    command, rule = CALLS[phase]
    made.prepare(command)
    made.ask("POST", "faults", {"rules": [{**rule, **HANGS}]})
    _ended_in_order(made, phase, command, 2 if phase == "preflight" else 6)
    _healed(made, command)


@pytest.mark.parametrize("slow", ["builds", "starts"])
def test_a_build_or_a_start_that_never_ends_is_not_waited_for(made: Bed, slow: str) -> None:
    made.prepare("deploy")
    made.ask("PUT", "settings", {slow: SLOW})
    _ended_in_order(made, "deploy", "deploy", 8)
    _healed(made, "deploy")

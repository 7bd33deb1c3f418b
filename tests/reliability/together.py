"""Several people and machines with one state: who is first works, the others are told who holds it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.reliability import kills
from tests.reliability.bed import Bed
from toolkit import deploy

LOCKED = 7


def history(bed: Bed) -> list[dict[str, Any]]:
    """What was done to the stack, the last first, as this checkout sees it."""
    found = deploy.history(bed.settings(), bed.bench, most=20)
    return [dict(one) for one in found.updates]


def one_works_and_one_is_told(first: Bed, second: Bed) -> None:
    """Two deployments of one stack at once, from two checkouts; then the second one finds nothing to do."""
    first.ask("PUT", "settings", {"builds": {"engine": False, "seconds": 20}})
    child = kills.start(first, "deploy")
    deadline = time.monotonic() + 120
    while not any(
        one["method"] == "POST" for one in first.ask("GET", "requests")["requests"] if "/api/" in one["path"]
    ):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    told = second.run("deploy")
    assert told.code == LOCKED, told
    assert "is locked by" in told.error, told
    assert f"(process {pulumi_of(child.pid)})" in told.error, told
    first.immediate()
    assert child.wait(300) == 0
    assert first.trouble("deploy") == "" if not first.more else True
    before = len(history(second))
    nothing = second.run("deploy")
    assert (nothing.code, nothing.error) == (0, "")
    assert len(history(second)) == before == 1


def pulumi_of(command: int) -> int:
    """The process id of the Pulumi that a command drives."""
    (found,) = kills.victims("pulumi", command, kills.descendants(command))
    return found


def platform_is_empty(bed: Bed) -> bool:
    return not any(bed.platform().values())


def shared(first: Bed, folder: Path) -> Bed:
    """The checkout of somebody else, in another folder."""
    return first.beside(folder / "somewhere" / "else")

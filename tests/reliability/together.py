"""Several people and machines with one state: who is first works, the others are told who holds it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.reliability import kills
from tests.reliability.bed import LISTS, Bed
from toolkit import observe, tools
from toolkit.emulator import control
from toolkit.settings import Settings

LOCKED = 7
STILL_BUILDING = {
    "method": "GET",
    "path": "/api/v2/executionEnvironments/*/versions/*",
    "status": 200,
    "body": {"id": "0", "buildStatus": "processing"},
    "times": 0,  # until the faults are removed
}


def history(bed: Bed) -> list[dict[str, Any]]:
    """What was done to the stack, the last first, as this checkout sees it."""
    found = observe.history(bed.settings(), bed.bench, most=20)
    return [dict(one) for one in found.updates]


def start_building(bed: Bed) -> subprocess.Popen[bytes]:
    """Start a deployment, and wait until Pulumi makes the environment, whose build does not end: it holds the lock."""
    bed.ask("POST", "faults", {"rules": [STILL_BUILDING]})
    before = len(bed.requests())
    child = kills.start(bed, "deploy")
    deadline = time.monotonic() + 120
    while not any(_makes_environment(one) for one in bed.requests()[before:]):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return child


def _makes_environment(request: dict[str, Any]) -> bool:
    return request["method"] == "POST" and request["path"].endswith("/executionEnvironments/")


def one_works_and_one_is_told(first: Bed, second: Bed) -> None:
    """Two deployments of one stack at once, from two checkouts; then the second one finds nothing to do."""
    child = start_building(first)
    told = second.run("deploy")
    assert told.code == LOCKED, told
    assert "is locked by" in told.error, told
    assert f"(process {pulumi_of(child.pid)})" in told.error, told
    first.immediate()
    assert child.wait(300) == 0
    assert len(history(second)) == 1
    nothing = second.run("deploy")
    assert (nothing.code, nothing.error) == (0, "")
    assert len(history(second)) == 1


class OtherStack(Bed):
    """The same checkout with another stack on the same local platform, which only a test can have.

    Its plugin is the stand-in under the guise of a real one: no other stack than `local` takes it as it is.
    """

    @property
    def environ(self) -> dict[str, str]:
        programs = self.root / "programs"
        programs.mkdir(exist_ok=True)
        launcher = programs / tools.PLUGIN
        python = self.bench_places.deploy_python
        words = f'#!/bin/sh\nPYTHONPATH={self.root / "infra"} exec {python} -m toolkit.emulator.provider "$@"\n'
        launcher.write_text(words)
        launcher.chmod(0o755)
        return {**super().environ, "DATAROBOT_PROVIDER": "real", "PATH": f"{programs}:{os.environ['PATH']}"}

    def settings(self) -> Settings:
        info = control.status(self.data)
        assert info is not None
        return dataclasses.replace(
            super().settings(), stack="other", endpoint=info.endpoint, token=info.token, runtime_endpoint=info.endpoint
        )


def two_stacks_work_at_once(first: Bed) -> None:
    """Deploy two stacks from one checkout to one platform at the same time, and remove one of them."""
    first.ask("PUT", "settings", {"builds": {"engine": False, "seconds": 8}})
    other = OtherStack(first.root, first.more)
    child = kills.start(first, "deploy")
    beside = other.run("deploy")
    assert (beside.code, beside.error) == (0, "")
    assert child.wait(300) == 0
    assert {kind: len(ids) for kind, ids in first.platform().items()} == dict.fromkeys(LISTS, 2)
    gone = other.run("destroy")
    assert (gone.code, gone.error) == (0, "")
    assert first.trouble("deploy") == ""
    first.immediate()


def pulumi_of(command: int) -> int:
    """The process id of the Pulumi that a command drives."""
    family = kills.descendants(command)
    found = kills.victims("pulumi", command, family)
    assert len(found) == 1, {pid: kills.words(pid) for pid in family}
    return found[0]


def platform_is_empty(bed: Bed) -> bool:
    return not any(bed.platform().values())


def shared(first: Bed, folder: Path) -> Bed:
    """The checkout of somebody else, in another folder."""
    return first.beside(folder / "somewhere" / "else")

"""A sample of what `nox -s reliability` does in full: a call goes wrong, a run is killed or cancelled; all heals."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reliability import faults, kills
from tests.reliability.bed import Bed, bed
from tests.reliability.way_out import listening

pytestmark = [pytest.mark.stack, pytest.mark.engine]

API = "/api/v2/"
ONE = "[0-9a-f]" * 24
CUT_AFTER = {"cut": True, "when": "after"}
# An answer that is lost makes the provider send a POST again: there are two. What fails in the middle of a create is
# left behind. What fails in an update or a removal has to be done again.
SAMPLE: dict[str, tuple[str, dict[str, Any]]] = {
    "an environment twice": ("deploy", {"method": "POST", "path": f"{API}executionEnvironments/", **CUT_AFTER}),
    "half a source": ("update", {"method": "PATCH", "path": f"{API}customApplicationSources/*", "status": 500}),
    "a replaced source stays": (
        "update",
        {"method": "DELETE", "path": f"{API}customApplicationSources/*", "status": 500},
    ),
    "an application stays": ("destroy", {"method": "DELETE", "path": f"{API}customApplications/*", "status": 403}),
}


OTHERS = ("execution_environment_id", "execution_environment_version_id", "source_version_id")


@pytest.fixture(scope="module")
def way_out() -> Iterator[list[str]]:
    """The proxy that every program is told to use for the world; gives what it was asked for."""
    with listening() as (port, asked), pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("NO_PROXY", "no_proxy"):
            patch.delenv(name, raising=False)
        yield asked


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path, way_out: list[str]) -> Iterator[Bed]:
    del pulumi_cli, way_out
    with bed(tmp_path_factory.mktemp("recovery") / "bed") as ready:
        ready.immediate()
        yield ready


@pytest.mark.parametrize("name", SAMPLE)
def test_after_a_call_that_went_wrong_the_next_plain_command_converges(made: Bed, name: str) -> None:
    command, rule = SAMPLE[name]
    made.prepare(command)
    made.ask("POST", "faults", {"rules": [rule]})
    made.run(command)
    assert [one["fired"] for one in made.ask("GET", "faults")["faults"]] == [1]
    again = made.run(command)
    assert (again.code, again.error) == (0, "")
    assert made.trouble(command) == ""
    audit = made.toolkit / "audit.log"
    if name == "an environment twice":
        assert "Removed the" in audit.read_text()


def test_every_call_of_a_command_is_a_case(made: Bed) -> None:
    found = list(faults.cases(made, ("destroy",)))
    # Three are looked at in two ways, credentials in one; three go.
    assert len(found) == 10 * len(faults.WAYS)


def _phase(made: Bed, child: Any, ready: str) -> None:
    """Wait until the platform has been asked for something."""
    deadline = time.monotonic() + 60
    while not any(one["path"].startswith(API + ready) and one["method"] == "POST" for one in made.requests()):
        assert child.poll() is None, child.returncode
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "slow", "ready"),
    [
        (signal.SIGINT, "builds", "executionEnvironments/"),
        (signal.SIGTERM, "starts", "customApplications/"),
    ],
)
def test_a_cancelled_deployment_ends_within_seven_seconds_and_leaves_no_lock(
    made: Bed, number: signal.Signals, slow: str, ready: str
) -> None:
    made.prepare("deploy")
    made.ask("PUT", "settings", {slow: {"engine": False, "seconds": 120}})
    child = kills.start(made, "deploy")
    _phase(made, child, ready)
    time.sleep(0.2)
    family = kills.descendants(child.pid)
    assert len(family) >= 3  # the child, Pulumi, the plugin
    began = time.monotonic()
    os.kill(child.pid, number)
    assert child.wait(30) == 8
    assert time.monotonic() - began < 7
    assert [pid for pid in family if kills.lives(pid)] == []
    assert made.locks() == []
    made.immediate()
    again = made.run("deploy")
    assert (again.code, again.error) == (0, "")
    assert made.trouble("deploy") == ""


@pytest.mark.parametrize("victim", ["command", "all"])
def test_after_a_kill_the_next_plain_deployment_converges(made: Bed, victim: str) -> None:
    made.prepare("deploy")
    made.ask("PUT", "settings", {"builds": {"engine": False, "seconds": 120}})
    child = kills.start(made, "deploy")
    _phase(made, child, "executionEnvironments/")
    time.sleep(0.3)
    family = kills.descendants(child.pid)
    for pid in kills.victims(victim, child.pid, family):
        os.kill(pid, signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + kills.ORPHANS_END
    while any(kills.lives(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in family if kills.lives(pid)] == []
    made.immediate()
    again = made.run("deploy")
    assert (again.code, again.error) == (0, "")
    assert made.trouble("deploy") == ""
    assert any(line.startswith("Removed the execution environment") for line in again.lines)


def test_the_local_stack_has_not_reached_beyond_this_machine(made: Bed, way_out: list[str]) -> None:
    """After all of the above: nobody asked for a way out. That one would have been seen is seen here."""
    assert way_out == []
    with pytest.raises(OSError):
        urllib.request.urlopen("http://app.datarobot.com/api/v2/version/", timeout=10)
    assert way_out == ["GET http://app.datarobot.com/api/v2/version/ HTTP/1.1"]

"""Every phase that hangs ends within its limit: with an error that says so, no lock, no child, and a way on."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.reliability import bed as beds
from tests.reliability import kills
from tests.reliability.bed import Bed, bed
from tests.stack.checkout import Checkout
from toolkit import beside, evidence, gate, limits, preflight, source, verify
from toolkit.bench import Bench
from toolkit.errors import Cancelled
from toolkit.report import SmokeReport

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
    over = f"The phase {phase} was not over within {seconds} s. It waited for {limits.PHASES[phase].waits_for}"
    if phase == "leftovers":  # the reason for which the deployment failed matters more
        assert (ran.code, over in "\n".join(ran.lines)) == (5, True), (ran.code, ran.error, ran.lines)
        assert "500 Internal Server" in ran.error
    else:
        assert (ran.code, over in ran.error) == (9, True), (ran.code, ran.error, ran.lines)
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
    _ended_in_order(made, phase, command, 2 if phase == "preflight" else 4)
    _healed(made, command)


@pytest.mark.parametrize("slow", ["builds", "starts"])
def test_a_build_or_a_start_that_never_ends_is_not_waited_for(made: Bed, slow: str) -> None:
    made.prepare("deploy")
    made.ask("PUT", "settings", {slow: SLOW})
    _ended_in_order(made, "deploy", "deploy", 5)
    _healed(made, "deploy")


# --- doubles that hang ------------------------------------------------------------------------------------------------


def _hangs(*_args: Any, **_options: Any) -> Any:
    time.sleep(120)


def _waits_for_tools(_settings: Any, bench: Bench) -> Any:
    """As what makes the tools does: it ends when it is told to."""
    bench.places.stop.wait(120)
    raise Cancelled("nobody wants the tools any more")


def _proves(phase: str) -> Callable[..., SmokeReport]:
    def prove(_settings: Any, _release: Any, bench: Bench, **_options: Any) -> SmokeReport:
        with bench.phase(phase):
            _hangs()
        return PASSED

    return prove


PASSED = SmokeReport({}, 0.0, ())
DOUBLES: dict[str, tuple[Any, str, Any]] = {
    "platform": (preflight, "start_emulator", _hangs),
    "stage": (source, "stage", _hangs),
    "environment image": (gate, "prove", _proves("environment image")),
    "app image": (gate, "prove", _proves("app image")),
    "smoke": (gate, "prove", _proves("smoke")),
    "pulumi": (beside, "driver", _waits_for_tools),
    "verify": (verify, "verify", _hangs),
    "leftovers": (evidence, "gather", _hangs),
}


@pytest.mark.parametrize("phase", DOUBLES)
def test_a_phase_whose_work_hangs_ends(made: Bed, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    made.prepare("deploy")
    if phase == "leftovers":
        made.ask(
            "POST", "faults", {"rules": [{"path": f"{API}executionEnvironments/", "method": "POST", "status": 500}]}
        )
    with monkeypatch.context() as patch:
        patch.setattr(beds, "_without_smoke", contextlib.nullcontext)
        patch.setattr(gate, "prove", lambda *_args, **_options: PASSED)
        patch.setattr(*DOUBLES[phase])
        _ended_in_order(made, phase, "deploy", 2)
    _healed(made, "deploy")


# --- real containers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "file", "text"),
    [
        ("app-image", "build-app.sh", "#!/bin/sh\necho building on\nsleep 100\n"),
        ("smoke", "start-app.sh", "#!/bin/sh\nsleep 100\n"),
    ],
)
def test_what_runs_in_a_container_is_ended_too(checkout: Checkout, phase: str, file: str, text: str) -> None:
    checkout.write(f"custom_application/{file}", text)
    engine = docker.from_env()
    before = {one.id for one in engine.containers.list()}
    try:
        ended = checkout.invoke("deploy", "--stack", "local", "--yes", PHASE_SECONDS=f"{phase}=6")
        assert ended.code == 9, ended.stdout + ended.stderr
        assert f"The phase {phase.replace('-', ' ')} was not over within 6 s." in ended.stderr
        if phase == "app-image":
            assert "last sign of life: building on" in ended.stderr
        deadline = time.monotonic() + 30
        while left := [one for one in engine.containers.list() if one.id not in before and _sleeps(one)]:
            assert time.monotonic() < deadline, left
            time.sleep(0.2)
    finally:
        engine.close()


def _sleeps(container: Any) -> bool:
    """Whether a container runs what hangs here: others run tests beside this one."""
    with contextlib.suppress(docker.errors.APIError):
        return any("sleep 100" in " ".join(row) for row in container.top()["Processes"])
    return False


def test_ctrl_c_while_the_app_is_smoked_ends_what_was_made_ready_beside(checkout: Checkout) -> None:
    checkout.write("custom_application/start-app.sh", "#!/bin/sh\nsleep 100\n")
    command = [sys.executable, "-m", "invoke", "deploy", "--stack", "local", "--yes", "--json"]
    child = subprocess.Popen(
        command, cwd=checkout.root, env=checkout.environ(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            event = json.loads(line)
            if event["event"] == "phase" and event["name"] == "smoke":
                break
        family: list[int] = []
        deadline = time.monotonic() + 60
        while not any(_is_pulumis_child(pid) for pid in family):
            assert time.monotonic() < deadline
            time.sleep(0.1)
            family = kills.descendants(child.pid)
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        child.stdout.read()
        assert child.wait(30) == 8
        assert time.monotonic() - began < 7
    assert [pid for pid in family if kills.lives(pid) and not _is_emulator(pid)] == []


def _is_pulumis_child(pid: int) -> bool:
    return b"toolkit.automation" in _command_line(pid)


def _is_emulator(pid: int) -> bool:
    return b"toolkit.emulator.server" in _command_line(pid)


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""

"""Limits of phases: what they are, how they are set, and that a phase whose time is over ends as after Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolkit import limits
from toolkit.bench import Bench
from toolkit.errors import Cancelled, ConfigurationError, DeploymentFailed, TimedOut
from toolkit.tools import Places

events: list[dict[str, Any]] = []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    events.clear()
    before = signal.getsignal(signal.SIGALRM)
    yield Bench(Places(tmp_path, tmp_path, tmp_path, tmp_path), {}, events.append)
    assert signal.getsignal(signal.SIGALRM) is before


def test_limits_follow_from_settings_or_are_chosen() -> None:
    usual = limits.by_phase({}, timeout_minutes=30, verify_seconds=120)
    assert set(usual) == set(limits.PHASES)
    assert all(usual.values())
    assert (usual["deploy"], usual["verify"]) == (4200, 180)
    assert usual["rollback"] == sum(usual[name] for name in ("stage", "preview", "deploy", "verify", "keep"))
    chosen = limits.by_phase(limits.read("app-image=5, deploy=7"), timeout_minutes=30, verify_seconds=120)
    assert (chosen["app image"], chosen["deploy"], chosen["smoke"]) == (5, 7, usual["smoke"])


@pytest.mark.parametrize("text", ["lunch=3", "smoke", "smoke=", "smoke=0", "smoke=-1", "smoke=1.5", "smoke=99999999"])
def test_what_is_no_limit_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        limits.read(text)
    assert "Expected:" in caught.value.hint


@pytest.mark.parametrize("phase", limits.PHASES)
def test_every_phase_says_how_long_what_it_waited_for_and_what_next(phase: str, bench: Bench) -> None:
    made = bench.limited({phase: 0.05})
    with pytest.raises(TimedOut) as caught, made.phase(phase):
        made.line("the last word")
        time.sleep(10)
    error, waited = caught.value, limits.PHASES[phase].waits_for
    assert error.message == f"The phase {phase} was not over within 0.05 s. It waited for {waited}."
    assert f"PHASE_SECONDS={limits.key(phase)}=1" in error.hint
    assert error.details == ("last sign of life: the last word",)
    assert error.exit_code == 9
    assert (events[-1]["name"], events[-1]["status"]) == (phase, "failed")


def test_the_steps_that_pulumi_is_at_are_the_last_sign_of_life(bench: Bench) -> None:
    made = bench.limited({"deploy": 0.05})
    with pytest.raises(TimedOut) as caught, made.phase("deploy"):
        kind = "datarobot:index/executionEnvironment:ExecutionEnvironment"
        made.on_event({"event": "start", "op": "create", "type": "pulumi:pulumi:Stack"})
        made.on_event({"event": "start", "op": "create", "type": kind})
        made.on_event({"event": "done", "op": "create", "type": "pulumi:pulumi:Stack"})
        time.sleep(10)
    assert caught.value.details == ("last sign of life: create of ExecutionEnvironment",)


def test_a_phase_that_ends_in_time_or_has_no_limit_is_left_alone(bench: Bench) -> None:
    made = bench.limited({"smoke": 0.05})
    with made.phase("smoke"):
        pass
    with made.phase("stage"):
        time.sleep(0.1)
    with pytest.raises(DeploymentFailed), made.phase("smoke"):
        raise DeploymentFailed("no")
    with pytest.raises(KeyboardInterrupt), made.phase("smoke"):
        raise KeyboardInterrupt
    time.sleep(0.1)


def test_what_turns_ctrl_c_into_an_error_of_its_own_does_not_hide_it(bench: Bench) -> None:
    made = bench.limited({"deploy": 0.05})
    with pytest.raises(TimedOut), made.phase("deploy"):
        try:
            time.sleep(10)
        except KeyboardInterrupt:
            raise Cancelled("deploy was cancelled") from None
    with pytest.raises(TimedOut), made.phase("deploy"):
        try:
            time.sleep(10)
        except KeyboardInterrupt:
            made.line("swallowed")


def test_limits_within_limits(bench: Bench) -> None:
    made = bench.limited({"rollback": 0.4, "deploy": 0.05, "verify": 30})
    with pytest.raises(TimedOut, match="The phase deploy"), made.within("rollback"), made.phase("deploy"):
        time.sleep(10)
    begun = time.monotonic()
    with pytest.raises(TimedOut, match="The phase rollback"), made.within("rollback"):
        with made.phase("verify"):
            time.sleep(0.1)
        time.sleep(10)
    assert time.monotonic() - begun < 5


def test_another_thread_has_no_limit(bench: Bench) -> None:
    made = bench.limited({"stage": 0.05})
    ended: list[bool] = []

    def work() -> None:
        with made.phase("stage"):
            time.sleep(0.1)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]

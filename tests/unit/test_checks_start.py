from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.apps.contexts import OK, RUNNING, context, exited
from toolkit.checks import lifecycle, start
from toolkit.checks.context import Waited
from toolkit.container import ContainerState, Listener, StopResult

BUN = Listener("0.0.0.0", 8080, 7, "bun index.ts", {})


@pytest.mark.parametrize(
    ("state", "logs", "title"),
    [
        (exited(1), ("a", "error: no database"), "The app exited with code 1: error: no database"),
        (exited(0), (), "The app exited with code 0"),
        (exited(127), (), "The app exited with code 127 (command not found)"),
        (exited(139), (), "The app exited by SIGSEGV (exit code 139)"),
        (exited(137, oom=True), (), "The app ran out of memory and was killed"),
    ],
)
def test_an_exit_is_told_with_its_cause(
    tmp_path: Path, state: ContainerState, logs: tuple[str, ...], title: str
) -> None:
    check = start.listens(context(tmp_path, waited=Waited(None, 2.0, state), logs=logs))
    assert (check.status, check.title) == ("fail", title)
    assert check.evidence == logs


@pytest.mark.parametrize(
    ("listeners", "accepted", "title"),
    [
        ((), False, "The app does not listen on any port"),
        ((BUN,), True, "The app accepts connections on port 8080 but does not answer"),
        (
            (replace(BUN, address="127.0.0.1"),),
            False,
            "The app listens on 127.0.0.1:8080 only, where nobody outside the container reaches it",
        ),
        (
            (replace(BUN, address="::1"), replace(BUN, port=9229)),
            False,
            "The app listens on ::1:8080 only, where nobody outside the container reaches it",
        ),
        ((replace(BUN, port=3000),), False, "The app listens on 0.0.0.0:3000 instead of port 8080"),
    ],
)
def test_not_answering_is_told_with_what_listens(
    tmp_path: Path, listeners: tuple[Listener, ...], accepted: bool, title: str
) -> None:
    check = start.listens(context(tmp_path, waited=Waited(None, 2.0, RUNNING, listeners, accepted), logs=()))
    assert (check.status, check.title) == ("fail", title)
    if listeners:
        assert "process 7: bun index.ts" in check.evidence[0]


@pytest.mark.parametrize(
    ("status", "answer"), [(200, "pass"), (302, "pass"), (401, "fail"), (404, "fail"), (500, "fail")]
)
def test_the_probe_wants_2xx_or_3xx(tmp_path: Path, status: int, answer: str) -> None:
    waited = Waited(replace(OK, status=status), 0.1, RUNNING)
    assert start.probe(context(tmp_path, waited=waited)).status == answer


def test_an_app_that_dies_while_it_is_used_is_told(tmp_path: Path) -> None:
    check = start.stable(context(tmp_path, state=exited(9), logs=("TypeError: x",)))
    assert (check.status, check.title) == ("fail", "The app exited with code 9 while it was being used: TypeError: x")
    assert start.stable(context(tmp_path)).status == "pass"


def test_what_cannot_be_asked_is_skipped_with_the_reason(tmp_path: Path) -> None:
    down = context(tmp_path, waited=Waited(None, 2.0, exited(1)), stopped=None)
    for check in (start.probe(down), start.stable(down), lifecycle.sigterm(down)):
        assert check.status == "skip"
        assert check.title


def test_stopping_is_judged_by_how_it_ended(tmp_path: Path) -> None:
    assert lifecycle.sigterm(context(tmp_path)).status == "pass"
    killed = lifecycle.sigterm(context(tmp_path, stopped=StopResult(10.1, 137, True)))
    assert (killed.status, killed.title) == ("warn", "The app ignores SIGTERM and had to be killed")


def test_what_is_left_behind_is_named(tmp_path: Path) -> None:
    assert lifecycle.left_behind(context(tmp_path)).status == "pass"
    left = lifecycle.left_behind(context(tmp_path, left_behind=("bun-to-datarobot-smoke-1",)))
    assert (left.status, left.evidence) == ("fail", ("bun-to-datarobot-smoke-1",))

"""A platform that is in trouble is no release that does not serve, and no proof that it does."""

from __future__ import annotations

import time
from typing import Any

import pytest

from toolkit import proof
from toolkit.datarobot import NotThere, PlatformError
from toolkit.errors import PermissionDenied, TimedOut, ToolkitError, VerificationFailed


def running(monkeypatch: pytest.MonkeyPatch, *answers: str | ToolkitError, patience: float = 5.0) -> str:
    told = list(answers)

    def runs_another_version(*_arguments: Any) -> str:
        answer = told.pop(0) if len(told) > 1 else told[0]
        if isinstance(answer, ToolkitError):
            raise answer
        return answer

    monkeypatch.setattr(proof, "AGAIN", 0.01)
    monkeypatch.setattr(proof, "runs_another_version", runs_another_version)
    any_: Any = None
    return proof._running(any_, any_, time.monotonic() + patience)


def test_trouble_of_the_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert running(monkeypatch, PlatformError("502"), TimedOut("late"), "another") == "another"


def test_trouble_that_stays_is_a_proof_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the release from before serves again, as far as that can be done."""
    with pytest.raises(VerificationFailed, match="cannot be asked: in trouble"):
        running(monkeypatch, PlatformError("in trouble"), patience=0.1)


@pytest.mark.parametrize("answer", [PermissionDenied("no"), NotThere("gone")])
def test_what_waiting_does_not_change_is_told_at_once(answer: ToolkitError, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(answer)):
        running(monkeypatch, answer)

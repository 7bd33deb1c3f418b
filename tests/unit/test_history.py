"""What the history of a stack says of a deployment, and what is read from it again."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit import history, stack
from toolkit.errors import StackLocked
from toolkit.history import Entry
from toolkit.stack import StackResult

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
SEALS = ("1" * 32, "2" * 32, "3" * 32)


def _told(monkeypatch: pytest.MonkeyPatch, *updates: tuple[str, str]) -> Any:
    told = tuple({"message": message, "result": result} for message, result in updates)
    monkeypatch.setattr(stack, "run", lambda _drive, _action, **_options: StackResult({}, None, updates=told))
    return object()


def test_what_was_deployed_is_read_from_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = _told(
        monkeypatch,
        ("removed leftovers of earlier runs", "succeeded"),
        (history.message(C, SEALS[2], ""), "failed"),
        (history.message(A, SEALS[0], "1234567890+", "rollback"), "succeeded"),
        ("", "succeeded"),
        ("release candidate", "succeeded"),
        (history.message(B, SEALS[1], "1234567890", "smoke skipped"), "succeeded"),
    )
    assert history.entries(drive) == [
        Entry(C[:12], SEALS[2], succeeded=False),
        Entry(A[:12], SEALS[0], succeeded=True),
        Entry(B[:12], SEALS[1], succeeded=True),
    ]


def test_a_history_that_cannot_be_read_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_arguments: Any, **_options: Any) -> StackResult:
        raise StackLocked("no")

    monkeypatch.setattr(stack, "run", run)
    assert history.entries(object()) == []  # type: ignore[arg-type]


def test_people_read_of_a_message_what_they_can_use() -> None:
    told = history.shown(history.message(A, SEALS[0], "1234567890", "rollback"))
    assert told.startswith("aaaaaaaaaaaa, commit 1234567890, rollback, by ")
    assert history.shown("removed leftovers of earlier runs") == "removed leftovers of earlier runs"

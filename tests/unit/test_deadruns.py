"""A lock is removed without a question only when it is from the time of a run of this folder that has died."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit import deadruns
from toolkit.deadruns import covers, noted

NOBODY = 2**22 + 1  # no process has this number


def moment(after: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_time_of_a_run_that_was_killed_is_known_to_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "dev.runs"
    path.write_text(json.dumps([[time.time() - 60, None, NOBODY]]))
    assert covers(path, moment(-30))  # before the next one begins, too
    with noted(path):
        assert covers(path, moment(-30))
        assert not covers(path, moment(-90))
        assert not covers(path, moment(5))  # somebody else, while this one works
    assert covers(path, moment(-30))
    assert not covers(path, moment(5))


def test_a_run_that_ended_well_leaves_nothing_and_one_that_failed_its_time(tmp_path: Path) -> None:
    path = tmp_path / "dev.runs"
    with noted(path):
        pass
    assert not covers(path, moment())
    with pytest.raises(KeyboardInterrupt), noted(path):
        raise KeyboardInterrupt
    assert covers(path, moment())
    assert not covers(path, moment(5))


def test_a_run_that_lives_is_not_dead(tmp_path: Path) -> None:
    path = tmp_path / "dev.runs"
    path.write_text(json.dumps([[time.time() - 60, None, os.getppid()]]))
    assert not covers(path, moment(-30))


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[[1, 2]]", '[["a", null, 1]]'])
def test_a_damaged_note_says_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dev.runs"
    path.write_text(text)
    assert not covers(path, moment())
    assert not covers(path, "yesterday")
    with noted(path):
        pass
    assert json.loads(path.read_text()) == []


def test_the_last_ones_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "dev.runs"
    for _ in range(deadruns.MOST + 5):
        with pytest.raises(RuntimeError), noted(path):
            raise RuntimeError
    assert len(json.loads(path.read_text())) == deadruns.MOST + 1

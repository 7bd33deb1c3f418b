"""A lock is removed without a question only when Pulumi took it for a run of this folder that has died."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit import deadruns
from toolkit.deadruns import TAKES, begin, covers, end

NOBODY = 2**22 + 1  # no process has this number


def moment(after: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "dev.runs"


def test_while_it_lives_and_when_it_has_ended_in_order_a_lock_is_not_that_of_a_dead_one(path: Path) -> None:
    since = begin(path)
    assert not covers(path, moment())
    end(path, since, in_order=True)
    assert not covers(path, moment())


def test_one_that_may_have_left_its_lock_covers_its_own_time_only(path: Path) -> None:
    since = begin(path)
    end(path, since, in_order=False)
    assert covers(path, moment())
    assert not covers(path, moment(-30))
    assert not covers(path, moment(5))


def test_one_that_was_killed_covers_the_moments_in_which_pulumi_takes_the_lock(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps([[time.time() - 600, None, NOBODY]]))
    assert covers(path, moment(-590))
    assert not covers(path, moment(-610))
    assert not covers(path, moment(-600 + TAKES + 5))  # somebody else, long after


def test_only_what_ended_is_taken_back(path: Path) -> None:
    first = begin(path)
    end(path, first, in_order=False)
    end(path, begin(path), in_order=True)
    assert [one[0] for one in json.loads(path.read_text())] == [first]


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[[1, 2]]", '[["a", null, 1]]'])
def test_a_damaged_note_says_nothing(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert not covers(path, moment())
    assert not covers(path, "yesterday")
    end(path, begin(path), in_order=True)
    assert json.loads(path.read_text()) == []


def test_the_last_ones_are_remembered(path: Path) -> None:
    for _ in range(deadruns.MOST + 5):
        end(path, begin(path), in_order=False)
    assert len(json.loads(path.read_text())) == deadruns.MOST

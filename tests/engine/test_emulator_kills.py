"""A few rounds of the kill loop: no acknowledged write is lost, nothing is left over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine import kill_loop

pytestmark = [
    pytest.mark.engine,
    # docker-py leaves the sockets of its streams to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


ROUNDS = 4


def test_kills_lose_no_acknowledged_write_and_leave_no_container(tmp_path: Path) -> None:
    figures = kill_loop.run(tmp_path / "data", rounds=ROUNDS, seed=7)
    assert figures.good, figures.problems
    assert (figures.rounds, figures.acknowledged > 100) == (ROUNDS, True)

"""What is made ready beside the smoke test: it is there when it is wanted, and nothing of it is left when not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from toolkit import beside as besides
from toolkit.bench import Bench
from toolkit.errors import SmokeFailed, ToolMissing
from toolkit.tools import Places


class _Warm:
    def __init__(self, _drive: object) -> None:
        self.ended = threading.Event()
        made.append(self)

    def end(self) -> None:
        self.ended.set()


made: list[_Warm] = []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made.clear()
    monkeypatch.setattr(besides, "Warm", _Warm)
    monkeypatch.setattr(besides, "driver", lambda _settings, _bench: "drive")
    return Bench(Places(tmp_path, tmp_path, tmp_path, tmp_path, threading.Event()), {}, lambda _event: None)


def test_what_was_made_ready_is_given(bench: Bench) -> None:
    settings: Any = None
    with besides.beside(settings, bench) as work:
        assert work.ready() == ("drive", made[0], "")
    assert not bench.places.stop.is_set()


def test_when_the_smoke_test_fails_the_child_is_ended_and_the_making_of_tools_stopped(bench: Bench) -> None:
    settings: Any = None
    with pytest.raises(SmokeFailed), besides.beside(settings, bench):
        raise SmokeFailed("no")
    assert bench.places.stop.is_set()
    assert [one.ended.is_set() for one in made] == [True]


def test_tools_that_cannot_be_made_are_told_where_they_are_wanted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_settings: object, _bench: object) -> None:
        raise ToolMissing("no Pulumi")

    monkeypatch.setattr(besides, "driver", fails)
    settings: Any = None
    with pytest.raises(ToolMissing, match="no Pulumi"), besides.beside(settings, bench) as work:
        work.ready()
    assert made == []

"""A copy of a state comes back as it was, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit import backup
from toolkit.backup import Backup
from toolkit.commands.looking import fresh
from toolkit.errors import ConfigurationError

STATE = {"version": 3, "deployment": {"resources": [{"type": "datarobot:index/x:X"}, {"type": "pulumi:pulumi:Stack"}]}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dev.json"
    path.write_text(backup.render(Backup("dev", "2026-01-02T03:04:05+00:00", STATE)))
    return path


def _changed(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def test_it_comes_back_as_it_was(file: Path) -> None:
    found = backup.read(file, "dev")
    assert found == Backup("dev", "2026-01-02T03:04:05+00:00", STATE)
    assert found.resources == 1


def test_another_order_of_keys_is_no_damage(file: Path) -> None:
    turned = dict(reversed(list(STATE.items())))
    assert backup.read(_changed(file, state=turned), "dev").state == STATE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": {**STATE, "version": 4}}, "is damaged"),
        ({"state": []}, "is damaged"),
        ({"sha256": "0"}, "is damaged"),
        ({"backup_version": 2}, "is of version 2"),
        ({"stack": "prod"}, "is the state of bun-to-datarobot/prod"),
        ({"project": "another"}, "is the state of another/dev"),
    ],
)
def test_what_is_damaged_or_belongs_elsewhere_is_refused(file: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        backup.read(_changed(file, **changes), "dev")
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"text"', "\x00"])
def test_what_is_no_backup_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigurationError, match="is no whole backup"):
        backup.read(tmp_path / "x.json", "dev")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.json cannot be read: No such file"):
        backup.read(tmp_path / "gone.json", "dev")


def test_a_cut_file_is_refused_wherever_it_is_cut(file: Path) -> None:
    whole = file.read_text().rstrip()
    for length in range(0, len(whole), 7):
        file.write_text(whole[:length])
        with pytest.raises(ConfigurationError):
            backup.read(file, "dev")


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ([], ["a"], ["a"]),
        (["a"], ["a"], []),
        (["a"], ["a", "b"], ["b"]),
        (["a", "b", "c"], ["b", "c", "d"], ["d"]),
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["a", "b"], [], []),
    ],
)
def test_of_a_log_only_what_is_new_is_shown(before: list[str], now: list[str], new: list[str]) -> None:
    assert list(fresh(before, now)) == new

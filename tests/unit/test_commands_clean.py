"""What `invoke clean` removes, and what it leaves to those who work with it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from invoke.exceptions import Exit

from toolkit import settings as configuration
from toolkit import staging, statefiles
from toolkit.commands import cleaning


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> configuration.Settings:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    made = configuration.load({}, tmp_path / ".env", stack="dev", root=tmp_path, defaults={})
    for name in ("stage/dev/source", "pulumi/dev", "smoke"):
        (made.toolkit_dir / name).mkdir(parents=True)
    return made


@pytest.mark.parametrize("everything", [False, True])
def test_a_deployment_that_is_under_way_keeps_what_it_works_with(
    settings: configuration.Settings, capsys: pytest.CaptureFixture[str], everything: bool
) -> None:
    with statefiles.locked(settings), pytest.raises(Exit) as ended:
        cleaning.clean(settings.root, everything=everything, yes=True)
    assert ended.value.code == 7
    assert "Another command works on the stack 'dev'" in capsys.readouterr().err
    assert (settings.toolkit_dir / "stage" / "dev" / "source").exists()
    assert (settings.toolkit_dir / "pulumi" / "dev").exists()


def test_what_is_not_the_local_platforms_stays_in_its_folder(
    settings: configuration.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(settings.root / "cache"))
    shared, own = settings.root / "shared", ("emulator.sqlite", "emulator.log", "tokens.json", "port", "blobs/ab")
    monkeypatch.setenv("EMULATOR_DATA", str(shared))
    for name in (*own, "mine.txt", "more/of-mine.txt"):
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).write_text("")
    cleaning.clean(settings.root, everything=True, yes=True)
    assert sorted(path.name for path in shared.iterdir()) == ["mine.txt", "more"]
    shutil.rmtree(shared / "more")
    (shared / "mine.txt").unlink()
    cleaning.clean(settings.root, everything=True, yes=True)
    assert not shared.exists()


def test_a_smoke_test_that_is_under_way_keeps_its_files(settings: configuration.Settings) -> None:
    with statefiles.locked(dataclasses.replace(settings, stack="prod")):
        pass
    with staging.workroom(settings) as room:
        name, _, rest = room.name.rpartition(".")
        dead = room.with_name(f"{name.rpartition('.')[0]}.{2**22 + 1}.{rest}")
        dead.mkdir()
        cleaning.clean(settings.root, everything=False, yes=True)
        assert (room.exists(), dead.exists()) == (True, False)
        assert sorted(path.name for path in settings.toolkit_dir.iterdir()) == ["locks", "stage"]
    assert not list((settings.toolkit_dir / "stage").iterdir())

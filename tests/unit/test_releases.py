from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit import releases
from toolkit.errors import ConfigurationError
from toolkit.source import SourceFile, StagedSource


def keep(folder: Path, name: str) -> releases.Kept:
    source = folder / "staged"
    source.mkdir(parents=True, exist_ok=True)
    (source / "start-app.sh").write_text(f"#!/bin/sh\n# {name}\n")
    (source / ".env").write_text("DATAROBOT_API_TOKEN=secret\n")
    (folder / "context.zip").write_bytes(b"zip")
    files = tuple(SourceFile(path, 0o755, source / path) for path in (".env", "start-app.sh"))
    staged = StagedSource(source, files, (), "0" * 64, 0)
    shelf, archive = folder / "shelf", folder / "context.zip"
    return releases.keep(shelf, "shop", (name * 64)[:64], staged, archive, {"": name}, commit="c")


def test_the_last_three_are_kept_without_the_runtime_env(tmp_path: Path) -> None:
    for name in "abcd":
        keep(tmp_path, name)
    there = releases.kept(tmp_path / "shelf")
    assert [one.digest[0] for one in there] == ["d", "c", "b"]
    assert [path.name for path in there[0].source.iterdir()] == ["start-app.sh"]
    assert (there[0].source / "start-app.sh").stat().st_mode & 0o777 == 0o755
    assert (there[0].commit, dict(there[0].served), there[0].archive.read_bytes()) == ("c", {"": "d"}, b"zip")
    assert not [path for path in (tmp_path / "shelf").iterdir() if path.name.startswith(".")]


def test_its_seal_is_that_of_what_was_staged(tmp_path: Path) -> None:
    kept = keep(tmp_path, "a")
    source = tmp_path / "staged"
    files = [SourceFile(path, 0o755, source / path) for path in ("start-app.sh", ".env")]

    def seal(*files: SourceFile, archive: bytes = b"zip") -> str:
        (tmp_path / "context.zip").write_bytes(archive)
        return releases.seal(StagedSource(source, files, (), "0" * 64, 0), tmp_path / "context.zip")

    assert seal(*files) == kept.seal
    others = [seal(SourceFile("start-app.sh", 0o644, source / "start-app.sh")), seal(*files, archive=b"other"), seal()]
    assert len({kept.seal, *others}) == 4


def test_one_that_is_proved_again_becomes_the_newest(tmp_path: Path) -> None:
    for name in "aba":
        keep(tmp_path, name)
    assert [one.digest[0] for one in releases.kept(tmp_path / "shelf")] == ["a", "b"]


def test_what_to_go_back_to(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    with pytest.raises(ConfigurationError, match="no earlier release"):
        releases.choose(shelf, "")
    current = keep(tmp_path, "a").id
    with pytest.raises(ConfigurationError, match="no earlier release") as error:
        releases.choose(shelf, current)
    assert "aaaaaaaaaaaa" in error.value.hint
    newer = keep(tmp_path, "b").id
    assert releases.choose(shelf, newer).id == current
    assert releases.choose(shelf, newer, to="bbb").id == newer
    with pytest.raises(ConfigurationError, match="no release 'x'"):
        releases.choose(shelf, newer, to="x")


def test_what_served_before_comes_before_what_was_proved_last(tmp_path: Path) -> None:
    for name in "abc":
        keep(tmp_path, name)
    assert releases.choose(tmp_path / "shelf", "d" * 12, before="a" * 12).id == "a" * 12
    assert releases.choose(tmp_path / "shelf", "d" * 12, before="e" * 12).id == "c" * 12
    assert releases.choose(tmp_path / "shelf", "c" * 12, before="c" * 12).id == "b" * 12


def test_a_damaged_one_does_not_count(tmp_path: Path) -> None:
    keep(tmp_path, "a")
    other = keep(tmp_path, "b")
    (other.folder / "release.json").write_text(json.dumps({"digest": "b"}))
    assert [one.digest[0] for one in releases.kept(tmp_path / "shelf")] == ["a"]


def test_one_whose_files_are_not_what_they_were_is_no_release_to_go_back_to(tmp_path: Path) -> None:
    older, spoilt, current = (keep(tmp_path, name) for name in "abc")
    (spoilt.source / "start-app.sh").write_text("cut o")
    assert releases.choose(tmp_path / "shelf", current.id) == older
    with pytest.raises(ConfigurationError, match="no release"):
        releases.choose(tmp_path / "shelf", current.id, to=spoilt.id)
    (older.source / "start-app.sh").chmod(0o644)
    with pytest.raises(ConfigurationError, match="no earlier release"):
        releases.choose(tmp_path / "shelf", current.id)
    assert keep(tmp_path, "b").is_whole  # proved again, it is put there again

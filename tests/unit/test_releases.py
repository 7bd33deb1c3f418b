from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from toolkit import releases
from toolkit.errors import ConfigurationError
from toolkit.source import SourceFile, StagedSource


def keep(folder: Path, name: str, digest: str = "") -> releases.Kept:
    source = folder / "staged"
    source.mkdir(parents=True, exist_ok=True)
    (source / "start-app.sh").write_text(f"#!/bin/sh\n# {name}\n")
    (source / ".env").write_text("DATAROBOT_API_TOKEN=secret\n")
    (folder / "context.zip").write_bytes(b"zip")
    files = tuple(SourceFile(path, 0o755, source / path) for path in (".env", "start-app.sh"))
    staged = StagedSource(source, files, (), "0" * 64, 0)
    shelf, archive = folder / "shelf", folder / "context.zip"
    return releases.keep(shelf, "shop", ((digest or name) * 64)[:64], staged, archive, {"": name}, commit="c")


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

    def seal(*files: SourceFile, archive: bytes = b"zip", app: str = "shop") -> str:
        (tmp_path / "context.zip").write_bytes(archive)
        return releases.seal(StagedSource(source, files, (), "0" * 64, 0), tmp_path / "context.zip", app)

    assert seal(*files) == kept.seal
    other = [seal(SourceFile("start-app.sh", 0o644, source / "start-app.sh")), seal(*files, archive=b"other"), seal()]
    assert len({kept.seal, *other, seal(*files, app="store")}) == 5


def test_one_that_holds_the_same_with_another_token_takes_its_place(tmp_path: Path) -> None:
    """There is nothing to go back to in it: it would be staged with the token of today, too."""
    older, first = keep(tmp_path, "a"), keep(tmp_path, "b")
    second = keep(tmp_path, "b", "c")
    assert (first.seal, first.id) != (older.seal, second.id)
    assert [one.id for one in releases.kept(tmp_path / "shelf")] == ["c" * 12, "a" * 12]
    assert releases.choose(tmp_path / "shelf", second.seal, [("c" * 12, second.seal), ("b" * 12, first.seal)]) == older
    assert releases.choose(tmp_path / "shelf", "", [("b" * 12, first.seal)], to="bbb").id == second.id


def test_twins_of_two_people_are_one_and_each_goes_by_its_own_id(tmp_path: Path) -> None:
    first = keep(tmp_path, "a")
    second = keep(tmp_path / "elsewhere", "a", "b")
    shutil.move(second.folder, first.folder.parent)  # as it is fetched from the platform
    deployed = [("b" * 12, first.seal), ("a" * 12, first.seal), ("c" * 12, first.seal)]
    for to, found in (("aaa", "a"), ("bbb", "b")):
        assert releases.choose(tmp_path / "shelf", "", deployed, to=to).digest[0] == found
    assert releases.choose(tmp_path / "shelf", "", deployed, to="ccc").seal == first.seal


def test_one_that_is_proved_again_becomes_the_newest(tmp_path: Path) -> None:
    for name in "aba":
        keep(tmp_path, name)
    assert [one.digest[0] for one in releases.kept(tmp_path / "shelf")] == ["a", "b"]


def test_what_to_go_back_to(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    with pytest.raises(ConfigurationError, match="no earlier release"):
        releases.choose(shelf, "", [])
    current = keep(tmp_path, "a")
    with pytest.raises(ConfigurationError, match="no earlier release") as error:
        releases.choose(shelf, current.seal, [])
    assert "aaaaaaaaaaaa" in error.value.hint
    newer = keep(tmp_path, "b")
    assert releases.choose(shelf, newer.seal, []) == current
    assert releases.choose(shelf, newer.seal, [], to="bbb") == newer
    with pytest.raises(ConfigurationError, match="no release 'x'"):
        releases.choose(shelf, newer.seal, [], to="x")


def test_what_served_before_comes_before_what_was_proved_last(tmp_path: Path) -> None:
    seals = {name: keep(tmp_path, name).seal for name in "abc"}

    def chosen(current: str, *deployed: str) -> str:
        order = [(name * 12, seals.get(name, "unknown")) for name in deployed]
        return releases.choose(tmp_path / "shelf", seals.get(current, ""), order).id[0]

    assert chosen("d", "a", "b") == "a"
    assert chosen("d", "e", "b", "a") == "b"  # what served before is not kept
    assert chosen("d", "e") == "c"
    assert chosen("c", "c", "a") == "a"


def test_a_damaged_one_does_not_count(tmp_path: Path) -> None:
    keep(tmp_path, "a")
    other = keep(tmp_path, "b")
    (other.folder / "release.json").write_text(json.dumps({"digest": "b"}))
    assert [one.digest[0] for one in releases.kept(tmp_path / "shelf")] == ["a"]


def test_one_whose_files_are_not_what_they_were_is_no_release_to_go_back_to(tmp_path: Path) -> None:
    older, spoilt, current = (keep(tmp_path, name) for name in "abc")
    (spoilt.source / "start-app.sh").write_text("cut o")
    assert releases.choose(tmp_path / "shelf", current.seal, []) == older
    with pytest.raises(ConfigurationError, match="no release"):
        releases.choose(tmp_path / "shelf", current.seal, [], to=spoilt.id)
    (older.source / "start-app.sh").chmod(0o644)
    with pytest.raises(ConfigurationError, match="no earlier release"):
        releases.choose(tmp_path / "shelf", current.seal, [])
    assert keep(tmp_path, "b").is_whole  # proved again, it is put there again

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from toolkit import archive


def _fill(folder: Path, *, mtime: int, order: int) -> None:
    (folder / "sub").mkdir(parents=True)
    for name in ["Dockerfile", "sub/run.sh"][::order]:
        (folder / name).write_text(f"content of {name}\n")
        os.utime(folder / name, (mtime, mtime))
    (folder / "sub" / "run.sh").chmod(0o700)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    _fill(tmp_path / "a", mtime=1_000_000_000, order=1)
    _fill(tmp_path / "elsewhere" / "b", mtime=1_700_000_000, order=-1)
    archive.write_zip(tmp_path / "a", tmp_path / "1.zip")
    archive.write_zip(tmp_path / "elsewhere" / "b", tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_names_are_sorted_and_relative_and_modes_kept(tmp_path: Path) -> None:
    _fill(tmp_path / "a", mtime=1, order=-1)
    archive.write_zip(tmp_path / "a", tmp_path / "1.zip")
    with zipfile.ZipFile(tmp_path / "1.zip") as packed:
        assert packed.namelist() == ["Dockerfile", "sub/run.sh"]
        assert [entry.external_attr >> 16 for entry in packed.infolist()] == [0o100644, 0o100755]


def test_a_rename_changes_the_bytes(tmp_path: Path) -> None:
    _fill(tmp_path / "a", mtime=1, order=1)
    archive.write_zip(tmp_path / "a", tmp_path / "1.zip")
    (tmp_path / "a" / "sub" / "run.sh").rename(tmp_path / "a" / "sub" / "go.sh")
    archive.write_zip(tmp_path / "a", tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() != (tmp_path / "2.zip").read_bytes()

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from toolkit.emulator import provider_files as files


def folder(root: Path) -> Path:
    for path, text in {"b.txt": "b", ".env": "e", "a/z.txt": "z", "a/y.txt": "y"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_a_folder_is_sent_in_the_order_of_its_paths(tmp_path: Path) -> None:
    found = files.uploads(str(folder(tmp_path)), None)
    assert [(upload.path, upload.name) for upload in found] == [
        (".env", ".env"),
        ("a/y.txt", "y.txt"),
        ("a/z.txt", "z.txt"),
        ("b.txt", "b.txt"),
    ]


def test_relative_folders_have_the_real_provider_s_traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "sub")
    monkeypatch.chdir(tmp_path)
    assert files.uploads("./sub", None)[0].path == "sub/.env"
    assert files.uploads("sub", None)[0].path == ".env"
    monkeypatch.chdir(tmp_path / "sub")
    assert files.uploads(".", None)[0].path == "env"
    assert files.uploads("../sub", None)[0].path == ".env"


def test_a_listed_file_may_have_a_target_or_not(tmp_path: Path) -> None:
    folder(tmp_path)
    listed = [[f"{tmp_path}/a/z.txt", "c/z.txt"], f"{tmp_path}/b.txt", [f"{tmp_path}/.env"]]
    found = files.uploads(None, listed)
    assert [(upload.name, upload.path) for upload in found] == [
        ("z.txt", "c/z.txt"),
        ("b.txt", "b.txt"),
        (".env", ".env"),
    ]
    assert files.hashes(listed) == [files.sha256(b"z"), files.sha256(b"b"), files.sha256(b"e")]
    assert files.hashes(None) == []


def test_the_hash_of_a_folder_does_not_see_renames(tmp_path: Path) -> None:
    before = files.folder_hash(str(folder(tmp_path)))
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    assert files.folder_hash(str(tmp_path)) == before
    (tmp_path / "c.txt").write_text("changed")
    assert files.folder_hash(str(tmp_path)) != before


def test_missing_files_are_worded_as_go_words_them(tmp_path: Path) -> None:
    with pytest.raises(files.FileProblem, match=r"^stat .*/x.zip: no such file or directory$"):
        files.docker_context(f"{tmp_path}/x.zip")
    with pytest.raises(files.FileProblem, match=r"^open .*/x: no such file or directory$"):
        files.hashes([f"{tmp_path}/x"])
    with pytest.raises(files.FileProblem, match=r"^lstat .*/x: no such file or directory$"):
        files.folder_hash(f"{tmp_path}/x")


def test_a_context_archive_is_sent_as_it_is_and_a_folder_zipped(tmp_path: Path) -> None:
    archive = tmp_path / "context.tar.gz"
    archive.write_bytes(b"any bytes")
    assert files.docker_context(str(archive)) == files.Upload("context.tar.gz", b"any bytes", field="docker_context")
    context = folder(tmp_path / "env")
    (context / "b.txt").chmod(0o755)
    upload = files.docker_context(str(context))
    assert upload.name == "env.zip"
    with zipfile.ZipFile(io.BytesIO(upload.content)) as zipped:
        assert sorted(zipped.namelist()) == [".env", "a/", "a/y.txt", "a/z.txt", "b.txt"]
        assert zipped.getinfo("b.txt").external_attr >> 16 & 0o777 == 0o755
    assert files.docker_context(str(context)) == upload
    os.utime(context / "b.txt", (1_700_000_000, 1_700_000_000))
    assert files.docker_context(str(context)).content != upload.content

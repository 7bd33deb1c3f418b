"""Contexts of environments: what is unpacked, and what is refused."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from toolkit.emulator import context
from toolkit.emulator.context import BadContext, unpack

FILES = {"Dockerfile": b"FROM x\n", "scripts/run.sh": b"#!/bin/sh\n", "ä ö/b": b""}


def zipped(
    files: dict[str, bytes], *, mode: int = stat.S_IFREG | 0o644, compression: int = zipfile.ZIP_DEFLATED
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = compression
            entry.external_attr = (mode | (0o111 if name.endswith(".sh") else 0)) << 16
            archive.writestr(entry, content)
    return stream.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w", *, kind: bytes = tarfile.REGTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            member.mode = 0o755 if name.endswith(".sh") else 0o600
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "archive",
    [
        zipped(FILES),
        zipped(FILES, mode=0),
        zipped(FILES, mode=0o644),
        zipped(FILES, compression=zipfile.ZIP_STORED),
        zipped(FILES, compression=zipfile.ZIP_LZMA),
        tarred(FILES),
        tarred(FILES, "w:gz"),
        tarred(FILES, "w:bz2"),
        tarred(FILES, "w:xz"),
        tarred({f"./{name}": content for name, content in FILES.items()}),
    ],
    ids=["zip", "zip, no mode", "zip, no type", "stored", "lzma", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar with ./"],
)
def test_every_kind_of_archive_is_unpacked(archive: bytes, tmp_path: Path) -> None:
    unpack(io.BytesIO(archive), tmp_path)
    assert below(tmp_path) == FILES
    assert stat.S_IMODE((tmp_path / "scripts/run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "Dockerfile").stat().st_mode) == 0o644


def test_folders_in_an_archive_are_no_files(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.mkdir("empty")
        archive.writestr("empty/a", b"1")
    unpack(io.BytesIO(stream.getvalue()), tmp_path)
    assert below(tmp_path) == {"empty/a": b"1"}


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "..", "x/.."])
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    for archive in (zipped({name: b"x"}), tarred({name: b"x"}), tarred({name: b"x"}, "w:gz")):
        target.mkdir(exist_ok=True)
        with pytest.raises(BadContext, match="leads out of the context"):
            unpack(io.BytesIO(archive), target)
        assert below(tmp_path) == {}


@pytest.mark.parametrize(
    "archive",
    [
        zipped({"link": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777),
        zipped({"pipe": b""}, mode=stat.S_IFIFO | 0o644),
        tarred({"link": b""}, kind=tarfile.SYMTYPE),
        tarred({"hard": b""}, kind=tarfile.LNKTYPE),
        tarred({"device": b""}, kind=tarfile.CHRTYPE),
        tarred({"pipe": b""}, kind=tarfile.FIFOTYPE),
    ],
    ids=["zip symlink", "zip pipe", "symlink", "hard link", "device", "pipe"],
)
def test_links_and_special_files_are_refused(archive: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadContext, match="link or a special file"):
        unpack(io.BytesIO(archive), tmp_path)


@pytest.mark.parametrize("make", [zipped, lambda files: tarred(files, "w:gz")], ids=["zip", "tar.gz"])
def test_bombs_are_refused_before_they_are_unpacked(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(make)
    monkeypatch.setattr(context, "MOST_BYTES", 10_000)
    monkeypatch.setattr(context, "MOST_FILES", 20)
    unpack(io.BytesIO(make({str(number): bytes(500) for number in range(20)})), tmp_path)
    for files in ({"a": bytes(10_001)}, {str(n): bytes(4000) for n in range(3)}, {str(n): b"" for n in range(21)}):
        with pytest.raises(BadContext, match="is larger than"):
            unpack(io.BytesIO(make(files)), tmp_path)


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"hello",
        b"PK\x03\x04" + bytes(100),
        b"\x1f\x8b" + bytes(50),
        tarred(FILES, "w:gz")[:60],
        zipped(FILES)[:-30],
        zipped({"a": b"hello world" * 10}).replace(b"\xcbH\xcd", b"\xff\xff\xff", 1),
        zipped({"a": b"", "a/b": b""}),
        zipped({"": b"x"}),
        zipped({".": b"x"}),
        zipped({"x" * 300: b""}),
        tarred({"a": b"", "a/b": b""}),
    ],
    ids=[
        "empty",
        "text",
        "only a zip's start",
        "only gzip's start",
        "cut tar.gz",
        "cut zip",
        "damaged zip",
        "file and folder, zip",
        "no name",
        "dot",
        "long name",
        "file and folder, tar",
    ],
)
def test_what_is_no_good_archive_is_refused(archive: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadContext):
        unpack(io.BytesIO(archive), tmp_path)


def test_large_files_are_no_bombs(tmp_path: Path) -> None:
    large = bytes(range(256)) * 2**17  # 32 MB, more than is ever read at once
    for number, archive in enumerate((zipped({"a": large}), tarred({"a": large}), tarred({"a": large}, "w:gz"))):
        target = tmp_path / str(number)
        target.mkdir()
        unpack(io.BytesIO(archive), target)
        assert below(target) == {"a": large}

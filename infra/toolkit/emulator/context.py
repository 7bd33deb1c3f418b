"""Unpack the context archive of an execution environment (zip or tar, compressed or not) without trusting it."""

from __future__ import annotations

import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MOST_BYTES = 512 * 2**20
MOST_FILES = 10_000
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    IndexError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


class BadContext(Exception):
    """The archive cannot be used; the text says why."""


def unpack(archive: bytes, target: Path) -> None:
    """Unpack `archive` into the folder `target`.

    Raises BadContext for what is no archive, for names that lead out of the folder, links, special files, and for more
    than 512 MB or 10,000 files.
    """
    for name, mode, content in _members(archive):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise BadContext(f"the name {name!r} leads out of the context")
        local = target / path
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
            local.write_bytes(content)
        except (OSError, UnicodeError) as error:
            raise BadContext(f"{name[:200]!r} cannot be unpacked: {error}") from error
        local.chmod(0o755 if mode & 0o100 else 0o644)


def _members(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Give name, mode and content of every file; nothing is unpacked before its size has been looked at."""
    stream = io.BytesIO(archive)
    limit = _Limit()
    try:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as packed:
                for entry in packed.infolist():
                    limit.count(entry.file_size)
                    mode = entry.external_attr >> 16
                    if entry.is_dir():
                        continue
                    # Packers that are not for Unix leave the mode, or its file type, empty.
                    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                        raise BadContext(f"{entry.filename!r} is a link or a special file")
                    yield entry.filename, mode, packed.read(entry)
            return
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:*") as packed_tar:
            for member in packed_tar:
                limit.count(member.size)
                if member.isdir():
                    continue
                if not member.isreg():
                    raise BadContext(f"{member.name!r} is a link or a special file")
                extracted = packed_tar.extractfile(member)
                assert extracted is not None
                yield member.name, member.mode, extracted.read()
    except BROKEN as error:
        raise BadContext(f"the context is not a whole zip or tar archive: {error}") from error


class _Limit:
    """How much of an archive is taken."""

    def __init__(self) -> None:
        self._bytes = 0
        self._files = 0

    def count(self, size: int) -> None:
        self._bytes += size
        self._files += 1
        if self._bytes > MOST_BYTES or self._files > MOST_FILES:
            raise BadContext(f"the context is larger than {MOST_BYTES // 2**20} MB or {MOST_FILES} files")

"""Unpack the context archive of an execution environment (zip or tar, compressed or not) without trusting it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

MOST_BYTES = 512 * 2**20
MOST_FILES = 10_000
LARGEST_READ = 16 * 2**20
PIECE = 2**20
MOST_UNPACKED = 2 * MOST_BYTES  # headers and padding included
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


def unpack(archive: IO[bytes], target: Path) -> None:
    """Unpack `archive` into the folder `target`.

    Raises BadContext for what is no archive, for names that lead out of the folder, links, special files, and for more
    than 512 MB or 10,000 files.
    """
    for name, mode, member in _members(archive):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise BadContext(f"the name {name!r} leads out of the context")
        local = target / path
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
            with local.open("wb") as file:
                shutil.copyfileobj(member, file, PIECE)
        except (OSError, UnicodeError) as error:
            raise BadContext(f"{name[:200]!r} cannot be unpacked: {error}") from error
        except BROKEN as error:
            raise _no_archive(error) from error
        local.chmod(0o755 if mode & 0o100 else 0o644)


def _members(archive: IO[bytes]) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Give name, mode and content of every file in turn; nothing is unpacked before its size has been looked at."""
    limit = _Limit()
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for entry in packed.infolist():
                    limit.count(entry.file_size)
                    mode = entry.external_attr >> 16
                    if entry.is_dir():
                        continue
                    # Packers that are not for Unix leave the mode, or its file type, empty.
                    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                        raise BadContext(f"{entry.filename!r} is a link or a special file")
                    with packed.open(entry) as content:
                        yield entry.filename, mode, content
            return
        archive.seek(0)
        # Not tarfile's own way of unpacking: it reads extended headers of any size into memory.
        with tarfile.open(fileobj=_unpacked(archive), mode="r:") as packed_tar:
            for member in packed_tar:
                limit.count(member.size)
                if member.isdir():
                    continue
                if not member.isreg():
                    raise BadContext(f"{member.name!r} is a link or a special file")
                extracted = packed_tar.extractfile(member)
                assert extracted is not None
                yield member.name, member.mode, extracted
    except BROKEN as error:
        raise _no_archive(error) from error


class _Metered(io.RawIOBase):
    """What comes out of a compressed stream, as long as it is not read in pieces that no archive needs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and offset > MOST_UNPACKED:
            raise BadContext(_too_large())
        return self._stream.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0 or size > LARGEST_READ or self._stream.tell() > MOST_UNPACKED:
            raise BadContext(_too_large())
        return self._stream.read(size)


def _unpacked(archive: IO[bytes]) -> IO[bytes]:
    """Give a tar archive's bytes, whether it is compressed or not."""
    unpacked: Any = archive
    head = archive.read(6)
    archive.seek(0)
    for start, unpack_with in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open)):
        if head.startswith(start):
            unpacked = cast(Any, unpack_with)(archive, "rb")
    return cast(IO[bytes], _Metered(unpacked))


def _no_archive(error: Exception) -> BadContext:
    return BadContext(f"the context is not a whole zip or tar archive: {error}")


def _too_large() -> str:
    return f"the context is larger than {MOST_BYTES // 2**20} MB or {MOST_FILES} files, or a header of it is huge"


class _Limit:
    """How much of an archive is taken."""

    def __init__(self) -> None:
        self._bytes = 0
        self._files = 0

    def count(self, size: int) -> None:
        self._bytes += size
        self._files += 1
        if self._bytes > MOST_BYTES or self._files > MOST_FILES:
            raise BadContext(_too_large())

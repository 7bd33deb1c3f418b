"""Unpack the context archive of an execution environment (zip or tar, compressed or not) without trusting it."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MOST_BYTES = 512 * 2**20
MOST_FILES = 10_000


class BadContext(Exception):
    """The archive cannot be used; the text says why."""


def unpack(archive: bytes, target: Path) -> None:
    """Unpack `archive` into the folder `target`.

    Raises BadContext for what is no archive, for names that lead out of the folder, links, special files, and for more
    than 512 MB or 10,000 files.
    """
    total = 0
    for count, (name, mode, content) in enumerate(_members(archive)):
        total += len(content)
        if total > MOST_BYTES or count >= MOST_FILES:
            raise BadContext(f"the context is larger than {MOST_BYTES // 2**20} MB or {MOST_FILES} files")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise BadContext(f"the name {name!r} leads out of the context")
        local = target / path
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(content)
        local.chmod(0o755 if mode & 0o100 else 0o644)


def _members(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    stream = io.BytesIO(archive)
    try:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as packed:
                for entry in packed.infolist():
                    mode = entry.external_attr >> 16
                    if entry.is_dir():
                        continue
                    if mode and not stat.S_ISREG(mode):
                        raise BadContext(f"{entry.filename!r} is a link or a special file")
                    _bounded(entry.file_size)
                    yield entry.filename, mode, packed.read(entry)
            return
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:*") as packed_tar:
            for member in packed_tar:
                if member.isdir():
                    continue
                if not member.isreg():
                    raise BadContext(f"{member.name!r} is a link or a special file")
                _bounded(member.size)
                extracted = packed_tar.extractfile(member)
                assert extracted is not None
                yield member.name.removeprefix("./"), member.mode, extracted.read()
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise BadContext(f"the context is neither a zip nor a tar archive: {error}") from error


def _bounded(size: int) -> None:
    if size > MOST_BYTES:
        raise BadContext(f"the context holds a file of more than {MOST_BYTES // 2**20} MB")

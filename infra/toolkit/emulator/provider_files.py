"""What the stand-in provider reads from disk: contexts, files, and their hashes (platform-contract 1.2, 2.2, 5).

Problems are worded as the Go standard library words them, because that is what users of the real provider see.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class FileProblem(Exception):
    """A file or folder that the program names could not be read."""


@dataclass(frozen=True)
class Upload:
    """One file of an upload: its name, its bytes, where it goes (or nowhere in particular), and its part's name."""

    name: str
    content: bytes
    path: str = ""
    field: str = "file"


def sha256(content: bytes) -> str:
    """The hash as the provider stores it: lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def docker_context(path: str) -> Upload:
    """The archive that is sent as Docker context: an archive as it is, a folder zipped with modes and times."""
    try:
        is_folder = Path(path).stat() and Path(path).is_dir()
    except OSError as error:
        raise FileProblem(f"stat {path}: {_reason(error)}") from error
    if is_folder:
        return Upload(posixpath.basename(path) + ".zip", _zip(Path(path)), field="docker_context")
    return Upload(posixpath.basename(path), _read(path), field="docker_context")


def docker_image(path: str) -> Upload:
    """The image tarball that is sent as it is."""
    return Upload(posixpath.basename(path), _read(path), field="docker_image")


def pairs(files: Any) -> list[tuple[str, str]]:
    """Local path and target path of every entry of `files`; a plain string goes to its base name."""
    found: list[tuple[str, str]] = []
    for index, entry in enumerate(files or ()):
        row = entry if isinstance(entry, list) else [entry]
        if not 1 <= len(row) <= 2 or not all(isinstance(item, str) for item in row):
            raise FileProblem(f"files[{index}] has element that is not a string")
        found.append((row[0], row[1] if len(row) == 2 else posixpath.basename(row[0])))
    return found


def hashes(files: Any) -> list[str]:
    """One hash per entry of `files`, in its order."""
    return [sha256(_read(local)) for local, _ in pairs(files)]


def folder_hash(folder: str) -> str:
    """The hash of its files' hashes in the order of their paths; names do not count, so a rename goes unnoticed."""
    return sha256("".join(sha256(_read(path)) for path in sorted(_walk(folder))).encode())


def uploads(folder: str | None, files: Any) -> list[Upload]:
    """All files of a source in the order in which they are sent, first the folder's, then the list's."""
    found = []
    for path in _walk(folder) if folder else ():
        target = path.removeprefix(str(folder)).removeprefix("/")
        found.append(Upload(posixpath.basename(path), _read(path), target))
    found.extend(Upload(posixpath.basename(local), _read(local), target) for local, target in pairs(files))
    return found


def _walk(folder: str) -> Iterator[str]:
    """Files below `folder`, sorted within each folder; paths are cleaned as Go does ("./x" and "." lose their dot)."""
    try:
        names = sorted(entry.name for entry in Path(folder).iterdir())
    except OSError as error:
        raise FileProblem(f"lstat {folder}: {_reason(error)}") from error
    for name in names:
        path = posixpath.normpath(posixpath.join(folder, name))
        if Path(path).is_dir():
            yield from _walk(path)
        else:
            yield path


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FileProblem(f"open {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _zip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in sorted(folder.rglob("*")):
            status = entry.stat()
            name = entry.relative_to(folder).as_posix() + ("/" if entry.is_dir() else "")
            info = zipfile.ZipInfo(name, max(time.localtime(status.st_mtime)[:6], (1980, 1, 1, 0, 0, 0)))
            info.external_attr = (status.st_mode & 0xFFFF) << 16
            info.compress_type = zipfile.ZIP_STORED if entry.is_dir() else zipfile.ZIP_DEFLATED
            archive.writestr(info, b"" if entry.is_dir() else entry.read_bytes())
    return buffer.getvalue()

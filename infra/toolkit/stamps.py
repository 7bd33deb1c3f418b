"""Remember what files held, by the stamps of their inodes: who asks again need not read what has not changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FORMAT = 1
SETTLED = 2_000_000_000  # ns: a younger file may change again within one tick of the file system's clock

Stamp = tuple[int, ...]


def stamp_of(stat: os.stat_result) -> Stamp:
    """Give what changes whenever somebody changes a file: inode, size, mode, and both times in nanoseconds."""
    return (stat.st_ino, stat.st_size, stat.st_mode, stat.st_mtime_ns, stat.st_ctime_ns)


class Stamps:
    """SHA-256 of files by name and stamp, kept in the JSON file `path`; an unreadable one is as good as none.

    What was noted under another `key` (whatever else the notes depend on) does not count.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._before: dict[str, list[object]] = {}
        with suppress(OSError, ValueError, AttributeError):
            kept = json.loads(path.read_bytes())
            if (kept.get("format"), kept.get("key")) == (FORMAT, key):
                self._before = kept["files"]
        self._now: dict[str, list[object]] = {}

    def find(self, name: str, stamp: Stamp) -> bytes | None:
        """Give the SHA-256 that was noted for this name when its file had this stamp; None when it had not."""
        noted = self._before.get(name)
        if noted is None or noted[1:] != list(stamp):
            return None
        self._now[name] = noted
        return bytes.fromhex(str(noted[0]))

    def note(self, name: str, stamp: Stamp, sha256: bytes) -> None:
        """Note what a file with this stamp holds; one that was changed just now is not noted."""
        if time.time_ns() - max(stamp[-2:]) > SETTLED:
            self._now[name] = [sha256.hex(), *stamp]

    def save(self) -> None:
        """Keep what was found or noted, and nothing else. It is only a shortcut: a disk that is full does no harm."""
        if self._now != self._before:
            _write(self._path, {"format": FORMAT, "key": self._key, "files": self._now})


def seal(path: Path, key: str, files: Iterable[str | Path]) -> None:
    """Note in the file `path` that `files` are the copies that `key` names."""
    _write(path, {"format": FORMAT, "key": key, "stamps": _stamps(files)})


def is_sealed(path: Path, key: str, files: Iterable[str | Path]) -> bool:
    """Whether `files` are the copies that were sealed under `key`, and nobody has touched them since."""
    try:
        sealed = json.loads(path.read_bytes())
        if (sealed["format"], sealed["key"]) != (FORMAT, key):
            return False
        return bool(sealed["stamps"] == _stamps(files))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _stamps(files: Iterable[str | Path]) -> list[list[int]]:
    return [list(stamp_of(os.stat(file))) for file in files]  # noqa: PTH116 - of thousands of files


def _write(path: Path, content: object) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(content))
        draft.replace(path)

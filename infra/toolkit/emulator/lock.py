"""One local platform per data folder: a lock that ends with its process, and who has it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from toolkit.emulator.objects import now

LOCK_FILE, OWNER_FILE = "emulator.lock", "emulator.owner"
PATIENCE = 5.0  # seconds for a platform that is just ending


class FolderTaken(Exception):
    """Another local platform has the folder; the text names it."""


@contextmanager
def owned(data: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Have the data folder for as long as the context lasts, at most until the process ends. Raises FolderTaken."""
    data.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data / LOCK_FILE)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise FolderTaken(f"another local platform has the folder {data}: {owner(data)}") from None
    try:
        draft = data / f".{OWNER_FILE}.{os.getpid()}"
        draft.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now()}))
        draft.replace(data / OWNER_FILE)
        yield
    finally:
        (data / OWNER_FILE).unlink(missing_ok=True)
        lock.release()


def owner(data: Path) -> str:
    """Say which process has the folder, as far as it has told."""
    try:
        found = json.loads((data / OWNER_FILE).read_text())
        return f"process {int(found['pid'])} on {found['host']}, since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said which process it is"

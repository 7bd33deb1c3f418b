"""File contents by their SHA-256, each once, in one folder. Large ones never lie in memory as a whole."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

IN_MEMORY = 2**20  # what is larger than this goes to the disk as it comes


class Draft:
    """A content that is still coming. It is kept, or discarded; what a crash leaves is swept at the next start."""

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self._folder = folder
        self._path = folder / f".draft.{secrets.token_hex(8)}"
        self._digest = hashlib.sha256()
        self._memory = bytearray()
        self._file: BinaryIO | None = None

    def write(self, piece: bytes | bytearray) -> None:
        """Add a piece at the end."""
        self.size += len(piece)
        self._digest.update(piece)
        if self._file is None and self.size <= IN_MEMORY:
            self._memory += piece
            return
        self._to_disk().write(piece)

    def text(self) -> str:
        """Give what has come as text, for fields that are small. Raises ValueError for what is none."""
        if self._file is not None:
            raise ValueError(f"a field is larger than {IN_MEMORY // 2**20} MB")
        return self._memory.decode()

    def keep(self) -> str:
        """Put the content on the disk for good, under its SHA-256; give that."""
        digest = self._digest.hexdigest()
        target = self._folder / digest
        if not target.exists():
            stream = self._to_disk()
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            self._path.replace(target)
        self.discard()
        return digest

    def discard(self) -> None:
        """Forget the content."""
        self._memory.clear()
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def _to_disk(self) -> BinaryIO:
        if self._file is None:
            self._file = self._path.open("wb")
            self._file.write(self._memory)
            self._memory.clear()
        return self._file


def keep(folder: Path, content: bytes | Draft) -> str:
    """Keep a content in the folder; give its SHA-256."""
    if isinstance(content, Draft):
        return content.keep()
    draft = Draft(folder)
    draft.write(content)
    return draft.keep()

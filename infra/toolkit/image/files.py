"""Files on their way into containers, and those that a container has changed."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from toolkit.source import SourceFile

HOOKS = ("build-app.sh", "start-app.sh")
# What programs keep to be faster, and make anew when it is gone; and their logs.
CACHES = re.compile(r"/(?:\.bun|\.cache|\.npm|@t@|__pycache__)(?:/|$)|/bun-node-[^/]*|\.log$")


def changed_files(container: Any) -> tuple[str, ...]:
    """Give the paths that were made, changed or removed in a container since it was created, without their folders."""
    paths = {str(change["Path"]) for change in container.diff() or []}
    folders = {path.rpartition("/")[0] for path in paths}
    mounted = {"/etc", "/run"}  # Podman lists the folders of what it puts there itself
    return tuple(sorted(path for path in paths - folders - mounted if not path.startswith("/dev/")))


def source_archive(files: Iterable[SourceFile], masked: Mapping[str, bytes]) -> Iterator[bytes]:
    """Pack the app's files as one tar archive, piece by piece: none of them has to fit into memory."""
    for file in files:
        member = tarfile.TarInfo(file.path)
        member.mode = 0o755 if file.path in HOOKS else 0o644
        member.size = len(masked[file.path]) if file.path in masked else file.local.stat().st_size
        yield member.tobuf(format=tarfile.PAX_FORMAT)
        yield from [masked[file.path]] if file.path in masked else file.blocks(member.size)
        yield b"\0" * (-member.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def late_archive(files: Mapping[str, bytes]) -> bytes:
    """Pack the files that go into a container just before it starts, readable by every user of the image."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)  # 0644
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()

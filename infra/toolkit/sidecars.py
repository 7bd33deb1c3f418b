"""Side files of a state that lies in a folder: Pulumi keeps one, with attributes, beside each file.

It writes a state in one piece, but not what stands beside it. A Pulumi that is killed at that moment leaves an empty
side file, and from then on no Pulumi can read the state ("failed to load checkpoint: EOF"). Without a side file it can.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

SUFFIX = ".attrs"


def folder(address: str) -> Path | None:
    """The folder that the address of a state names; None when it is none of this machine."""
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def mend(address: str, project: str, stack: str) -> list[str]:
    """Remove the empty side files of a stack; give their names.

    One that is just being written is in nobody's way either: whoever writes it goes on, and nobody needs it.
    """
    state = folder(address)
    removed: list[str] = []
    if state is None:
        return removed
    for place in (
        "*",
        f"stacks/{project}/{stack}.json*",
        f"history/{project}/{stack}/*",
        f"locks/organization/{project}/{stack}/*",
    ):
        for path in (state / ".pulumi").glob(place + SUFFIX):
            with suppress(OSError):
                if not path.stat().st_size:
                    path.unlink()
                    removed.append(path.name)
    return removed

"""Whether a process of this machine lives."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def lives(process: int) -> bool:
    """Whether a process lives. The dead whom nobody has collected do not: in many containers nobody ever does."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(") ")[2][:1] not in ("Z", "X")
    return True

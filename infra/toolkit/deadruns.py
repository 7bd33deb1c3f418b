"""When runs of this folder died while Pulumi held the lock of a stack for them: a lock from such a moment is theirs.

A lock of Pulumi's names host and process. Where several machines share a state that proves nothing: two of them may
have one name, and in a container the numbers of processes mean something else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from toolkit.liveness import lives

MOST = 20  # that are remembered
ROUNDED = 1.0  # seconds: Pulumi tells the time of a lock without its fraction
TAKES = 120.0  # seconds from the note within which Pulumi has the lock; a later one is somebody else's

_Run = tuple[float, float | None, int]  # since, until, process


def begin(path: Path) -> float:
    """Note that Pulumi takes the lock for this process now; only for whoever keeps others of the folder away.

    Gives what `end` wants. A run that is noted when its process is gone has died.
    """
    now = time.time()
    _write(path, [*_read(path), (now, None, os.getpid())])
    return now


def end(path: Path, since: float, *, in_order: bool) -> None:
    """Take the note back when Pulumi has let go of the lock; else it may be there, and is from before now."""
    others = [one for one in _read(path) if one[0] != since]
    _write(path, others if in_order else [*others, (since, time.time(), os.getpid())])


def covers(path: Path, moment: str) -> bool:
    """Whether at a moment (ISO 8601) Pulumi took the lock for a run of this folder that died."""
    try:
        at = datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return False
    return any(
        since - ROUNDED <= at <= min(until or at, since + TAKES) and (until is not None or not lives(process))
        for since, until, process in _read(path)
    )


def _read(path: Path) -> list[_Run]:
    with suppress(OSError, ValueError, TypeError):
        return [(float(since), until and float(until), int(who)) for since, until, who in json.loads(path.read_text())]
    return []


def _write(path: Path, runs: Sequence[_Run]) -> None:
    with suppress(OSError):  # a lock then has to be removed by hand
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(runs[-MOST:]))
        draft.replace(path)

"""Which runs of this folder have died while they worked on a stack: a lock from their time is theirs.

A lock of Pulumi's names host and process. Where several machines share a state that proves nothing: two of them may
have one name, and in a container the numbers of processes mean something else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from toolkit.liveness import lives

MOST = 20  # that are remembered
ROUNDED = 1.0  # seconds: Pulumi tells the time of a lock without its fraction

_Run = tuple[float, float | None, int]  # since, until, process


@contextmanager
def noted(path: Path) -> Iterator[None]:
    """Note that this process works on a stack, until the block ends; only for whoever keeps the others away.

    A run that is still noted has died: it was over when this one began. One that fails may leave a lock, too.
    """
    now = time.time()
    died = [(since, until or now, process) for since, until, process in _read(path)][-MOST:]
    _write(path, [*died, (now, None, os.getpid())])
    try:
        yield
    except BaseException:
        _write(path, [*died, (now, time.time(), os.getpid())])
        raise
    _write(path, died)


def covers(path: Path, moment: str) -> bool:
    """Whether a run of this folder that is dead now was at work at a moment (ISO 8601)."""
    try:
        at = datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return False
    return any(
        since - ROUNDED <= at and (at <= until if until else not lives(process))
        for since, until, process in _read(path)
    )


def _read(path: Path) -> list[_Run]:
    with suppress(OSError, ValueError, TypeError):
        return [(float(since), until and float(until), int(who)) for since, until, who in json.loads(path.read_text())]
    return []


def _write(path: Path, runs: Sequence[_Run]) -> None:
    with suppress(OSError):  # a lock then has to be removed by hand
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(runs))
        draft.replace(path)

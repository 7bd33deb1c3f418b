"""Choosing, looking through and naming 20,000 files, compared with `tar | sha256sum` on the same folder."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from toolkit import source

FILES, FOLDERS = 20_000, 200
LINE = "export const value = { token: request.headers.get('authorization') };\n"


def write(app: Path) -> None:
    """Write the folder, and wait until its files count as settled."""
    for folder in range(FOLDERS):
        (app / f"src/{folder}").mkdir(parents=True)
    for number in range(FILES):
        (app / f"src/{number % FOLDERS}/{number}.ts").write_text(LINE * (1 + number % 20))
    (app / "start-app.sh").write_text("#!/bin/sh\nexec bun index.ts\n")
    (app / "build-app.sh").write_text("bun install\n")
    time.sleep(2.1)


def by_us(app: Path, room: Path, notes: Path | None) -> Callable[[], float]:
    """Choose as smoke does; with `notes` what has not changed since is not read again."""

    def measured() -> float:
        started = time.monotonic()
        assert len(source.choose(app, room, notes=notes).files) == FILES + 2
        return time.monotonic() - started

    return measured


def by_tar(app: Path) -> float:
    started = time.monotonic()
    command = f"tar -cf - -C {app} . | sha256sum"
    subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started

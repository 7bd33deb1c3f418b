"""actionlint, which reads GitHub's workflows as GitHub does: built once from its Go module, into the cache folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from filelock import FileLock

from toolkit import tools
from toolkit.tools import Places

VERSION = "1.7.12"
MODULE = f"github.com/rhysd/actionlint/cmd/actionlint@v{VERSION}"
PATIENCE = 600.0  # seconds that the build may take


def program(places: Places) -> Path:
    """Give the program; make it where it is missing."""
    folder = places.cache / f"actionlint-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "building.lock"):
        if not (folder / "actionlint").exists():
            go = tools.ensure_go(places, os.environ, print)
            environ = {**os.environ, "GOBIN": str(folder), "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
            done = subprocess.run(
                [go, "install", MODULE], env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            assert done.returncode == 0, done.stderr[-2000:]
    return folder / "actionlint"

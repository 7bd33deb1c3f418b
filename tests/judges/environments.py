"""Environments of clients that are no dependencies of this project, made once in a cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
PATIENCE = 600.0


def environment(name: str) -> Path:
    """Give the folder of programs of the environment with the packages of `<name>.txt`; make it where it is missing."""
    packages = HERE / f"{name}.txt"
    seed = packages.read_bytes() + sys.version.encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bun-to-datarobot" / "judges"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{name}-{hashlib.sha256(seed).hexdigest()[:12]}"
    with FileLock(f"{folder}.lock"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(folder))
            python = str(folder / "bin" / "python")
            _run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, "-r", str(packages))
            (folder / "complete").touch()
    return folder / "bin"


def clean_environ(home: Path, **more: str) -> dict[str, str]:
    """Give the variables for a client: no settings, proxies or home folder of whoever runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "NO_PROXY": "*", **more}


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        raise AssertionError(f"{' '.join(command[:4])} failed: {done.stderr[-2000:]}")

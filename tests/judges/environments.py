"""Environments of clients that are no dependencies of this project, made once in a cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from filelock import FileLock

from tests.contract.local_platform import LocalPlatform

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


def context(folder: Path) -> Path:
    """Write the archive of an environment; give its path."""
    path = folder / "context.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Dockerfile", "FROM oven/bun:1-debian\n")
    return path


def client_environ(home: Path, platform: LocalPlatform) -> dict[str, str]:
    """Give the variables for a client of a platform: its address and the full token, and nothing of this machine's."""
    return clean_environ(
        home, DATAROBOT_ENDPOINT=f"{platform.url}/api/v2", DATAROBOT_API_TOKEN=platform.identity.full.reveal()
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        raise AssertionError(f"{' '.join(command[:4])} failed: {done.stderr[-2000:]}")

"""The container recipe of docs/deploy-to-datarobot.md, with a base that can be had everywhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from toolkit import baseimage
from toolkit.engine import LABEL

BASE = "python:3.12-slim"
STAND_IN = "bun-to-datarobot/python-for-tests:bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"  # what the recipe's base has
PATIENCE = 600.0  # seconds that debootstrap may take


def recipe(page: Path) -> list[str]:
    """Give the words of the command that the page names."""
    found = re.search(r"```sh\n(docker run .*?)\n```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"{page.name} has no command that starts with `docker run`"
    return shlex.split(found[1].replace("\\\n", " "))


def base(engine: docker.DockerClient) -> str:
    """Give an image with Python: Debian's own, made by debootstrap once for each engine."""
    try:
        engine.images.get(STAND_IN)
    except ImageNotFound:
        with tempfile.TemporaryDirectory() as name:
            tree, archive = Path(name, "root"), Path(name, "root.tar")
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", baseimage.DEBIAN_SUITE, str(tree)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
            assert done.returncode == 0, done.stdout[-2000:]
            subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "--one-file-system", "."], check=True)
            baseimage.import_archive(engine, archive, STAND_IN, [f"LABEL {LABEL}.test=python"])
    return STAND_IN


def ways_out(environ: Mapping[str, str]) -> list[str]:
    """Give the options of `docker run` that let a container reach what this machine reaches.

    These are certificates, proxies, and the places that pip is told to look at; on most machines there are none.
    """
    words: list[str] = []
    files = {environ[key] for key in baseimage.CA_KEYS if Path(environ.get(key, "")).is_file()}
    for path in sorted({*files, "/etc/pip.conf"}):
        if Path(path).is_file():
            words += ["-v", f"{Path(path).resolve()}:{path}:ro"]
    keys = (*baseimage.CA_KEYS, "PIP_CERT", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "GOPROXY", "HTTPS_PROXY", "NO_PROXY")
    for key in keys:
        if environ.get(key):
            words += ["-e", key]
    return words


def cache(environ: Mapping[str, str]) -> Path:
    """Give the folder that stands in for the recipe's volume: with what was built for other tests."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def command(words: list[str], engine: docker.DockerClient, stack: str) -> list[str]:
    """Put in what differs here: no terminal, the base, the cache, the stack; the rest is the recipe, word for word."""
    assert BASE in words
    replaced = {BASE: base(engine), "toolkit-cache:/cache": f"{cache(os.environ)}:/cache", "dev": stack}
    changed = [replaced.get(word, word) for word in words if word != "-it"]
    at = changed.index("--rm") + 1
    return [*changed[:at], *ways_out(os.environ), "-e", "DATAROBOT_PROVIDER=stand-in", *changed[at:]]

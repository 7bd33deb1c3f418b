"""The build step of the app, as the platform runs it: what it is told, and the container that it runs in."""

from __future__ import annotations

import io
import shlex
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from dotenv import dotenv_values

from toolkit import baseimage
from toolkit.bundles import Bundle
from toolkit.engine import LABEL, OWNER_LABEL, RUN_LABEL, new_run
from toolkit.image.files import HOOKS
from toolkit.image.model import PROXY_KEYS, EnvironmentImage
from toolkit.settings import is_secret

BUILD_FOLDER = "/run/bun-to-datarobot"
BUILD_OWNER = "build"
PLACEHOLDER = "placeholder-of-"
# The last line of the build step, on an output that it kept for itself: build-app.sh did not `exit` before its end.
TO_ITS_END = "@build-app.sh-came-to-its-end@"


def mask(content: bytes) -> bytes:
    """Give the runtime `.env` with placeholders for secrets (`is_secret`), for the build step to see."""
    values = dotenv_values(stream=io.StringIO(content.decode("utf-8", "replace")), interpolate=False)
    lines = []
    for key, value in values.items():
        shown = PLACEHOLDER + key if is_secret(key, value or "") else (value or "")
        lines.append(f"{key}={shlex.quote(shown)}\n")
    return "".join(lines).encode()


def build_command(has_hook: bool, has_ca: bool, environ: Mapping[str, str]) -> list[str]:
    """Give the command of the build container: the variables that only the build step gets, then the sourced hook."""
    setup = [f"export {key}={shlex.quote(environ[key])}" for key in PROXY_KEYS if environ.get(key)]
    if has_ca:
        bundle = f"{BUILD_FOLDER}/ca.crt"
        setup += [f"export {key}={bundle}" for key in ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE")]
    # Nothing follows what is sourced but a word that it came to its end; its exit code stays what it was.
    hook = ["exec 9>&1", f". ./{HOOKS[0]}", 'set -- "$?"', f"echo {TO_ITS_END} >&9", 'exit "$1"'] if has_hook else []
    return ["/bin/sh", "-c", "\n".join([*setup, *hook]) or ":"]


@contextmanager
def container_for(
    engine: docker.DockerClient,
    environment: EnvironmentImage,
    command: list[str],
    bundle: Bundle,
    ca_bundle: Path | None,
) -> Iterator[Any]:
    """Give a created container for the build step; it and its volume are removed in every case.

    The CA bundle lies on a volume, not in the container's own files: a commit leaves volumes out, and unlike a bind
    mount it also works with an engine on another host.
    """
    labels = {OWNER_LABEL: BUILD_OWNER, RUN_LABEL: new_run()}
    volume = engine.volumes.create(labels=labels) if ca_bundle else None
    container = None
    try:
        mounts = [docker.types.Mount(BUILD_FOLDER, volume.name)] if volume else []
        container = engine.containers.create(
            environment.tag,
            entrypoint=command,
            command=[],
            name=f"{LABEL}-build-{uuid.uuid4().hex[:12]}",
            labels=labels,
            mounts=mounts,
            mem_limit=bundle.memory,
            memswap_limit=bundle.memory,
            nano_cpus=_cpus(engine, bundle) * 10**9,
            stdin_open=False,
        )
        if ca_bundle:
            container.put_archive(BUILD_FOLDER, baseimage.ca_archive(ca_bundle, "ca.crt"))
        yield container
    finally:
        if container is not None:
            container.remove(force=True)
        if volume is not None:
            volume.remove(force=True)


def _cpus(engine: docker.DockerClient, bundle: Bundle) -> int:
    """The bundle's CPUs, but not more than the engine has (it would refuse)."""
    return min(bundle.cpus, int(engine.info().get("NCPU", bundle.cpus)))

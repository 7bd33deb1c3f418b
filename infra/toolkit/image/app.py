"""Build the image of the app on top of its environment's, as the platform does, or find it again.

The app's files are copied to the environment's working directory, and build-app.sh is sourced there by sh
(platform-contract 3). The image is named by the digest of what went into it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError

from toolkit.baseimage import BaseImageOptions
from toolkit.bundles import Bundle
from toolkit.engine import LABEL, OWNER_LABEL, RUN_LABEL
from toolkit.image.files import CACHES, HOOKS, changed_files, source_archive
from toolkit.image.following import Gauge, follow
from toolkit.image.model import (
    DIGEST_LABEL,
    FACTS_LABEL,
    LOG_LABEL,
    RECIPE,
    TAIL,
    AppImage,
    BuildFacts,
    EnvironmentImage,
    HookFailed,
    OnLine,
    digest_of,
    find,
    silent,
)
from toolkit.image.step import BUILD_FOLDER, TO_ITS_END, build_command, container_for, mask
from toolkit.image.tidying import prune
from toolkit.source import SourceFile

RUNTIME_ENV = ".env"
KEPT_LOG = 64 * 1024
MOST_OUTSIDE = 20


def build_app(
    engine: docker.DockerClient,
    environment: EnvironmentImage,
    files: Sequence[SourceFile],
    *,
    bundle: Bundle,
    base: BaseImageOptions,
    fresh: bool = False,
    on_line: OnLine = silent,
) -> AppImage:
    """Copy `files` into the environment's working directory and source build-app.sh there, within the bundle's limits.

    Uploads carry no mode bits (platform-contract 3), so every file gets 0644 and the two hooks 0755. Raises BuildFailed
    with the last lines of the build.
    """
    started = time.monotonic()
    late = {file.path: file.local.read_bytes() for file in files if file.path == RUNTIME_ENV}
    masked = {path: mask(content) for path, content in late.items()}
    digest = _app_digest(environment, bundle, files, masked)
    tag = f"{LABEL}/app:{digest[:12]}"
    image = None if fresh else find(engine, tag)
    if image is not None:
        log = _unpack_log(image.labels.get(LOG_LABEL, ""))
        facts = _unpack_facts(image.labels.get(FACTS_LABEL, ""))
    else:
        output = _Output(on_line)
        has_hook = any(file.path == HOOKS[0] for file in files)
        command = build_command(has_hook, base.ca_bundle is not None, base.environ)
        with container_for(engine, environment, command, bundle, base.ca_bundle) as container:
            container.put_archive(environment.workdir, source_archive(files, masked))
            facts = _carried_out(container, output, bundle, environment.workdir)
            facts = replace(facts, exited=has_hook and not output.to_its_end)
            _commit(container, digest, output.lines, facts)
        log = list(output.lines)
        prune(engine)
    return AppImage(tag, digest, environment, late, image is None, time.monotonic() - started, tuple(log), facts)


class _Output:
    """Keeps the end of what a build says, and passes it on; `to_its_end` when build-app.sh did not `exit` before."""

    def __init__(self, on_line: OnLine) -> None:
        self.lines: deque[str] = deque(maxlen=5000)
        self.to_its_end = False
        self._on_line = on_line

    def __call__(self, line: str) -> None:
        if line.endswith(TO_ITS_END):
            self.to_its_end = True
            line = line.removesuffix(TO_ITS_END)
            if not line:
                return
        self.lines.append(line)
        self._on_line(line)


def _carried_out(container: Any, output: _Output, bundle: Bundle, workdir: str) -> BuildFacts:
    """Let the container build; give what was seen of it. Raises HookFailed."""
    began = time.monotonic()
    container.start()
    with Gauge(container) as gauge:
        status = follow(container, output)
    seconds = round(time.monotonic() - began, 1)
    facts = BuildFacts(seconds, _outside(container, workdir), gauge.most)
    if status != 0:
        raise _build_failure(status, output.lines, bundle, container)
    return facts


def _commit(container: Any, digest: str, log: Iterable[str], facts: BuildFacts) -> None:
    """Make an image of what was built.

    A commit takes over the container's labels: emptied, so that a container which somebody starts by hand from this
    image is not taken for a leftover of the build.
    """
    labels = {DIGEST_LABEL: digest, LOG_LABEL: _pack_log(log), FACTS_LABEL: json.dumps(asdict(facts))}
    container.commit(
        repository=f"{LABEL}/app",
        tag=digest[:12],
        changes=['ENTRYPOINT ["./start-app.sh"]', "CMD []"],
        conf={"Labels": {**labels, OWNER_LABEL: "", RUN_LABEL: ""}},
    )


def _pack_log(log: Iterable[str]) -> str:
    """Pack the end of the build's log for a label: whoever finds the image again sees the same log as its builder."""
    return base64.b64encode(zlib.compress("\n".join(log).encode()[-KEPT_LOG:])).decode()


def _unpack_facts(label: str) -> BuildFacts:
    facts = json.loads(label) if label else {}
    return BuildFacts(
        float(facts.get("seconds", 0)),
        tuple(facts.get("outside", ())),
        int(facts.get("memory", 0)),
        exited=bool(facts.get("exited", False)),
    )


def _outside(container: Any, workdir: str) -> tuple[str, ...]:
    """The first files that a build wrote where its caches are not, outside the working directory."""
    passed_over = (f"{workdir.rstrip('/')}/", BUILD_FOLDER, "/tmp/")  # noqa: S108 - in the container
    with suppress(APIError):
        found = (path for path in changed_files(container) if not path.startswith(passed_over))
        return tuple(islice((path for path in found if not CACHES.search(path)), MOST_OUTSIDE))
    return ()


def _unpack_log(label: str) -> list[str]:
    return zlib.decompress(base64.b64decode(label)).decode("utf-8", "replace").splitlines() if label else []


def _app_digest(
    environment: EnvironmentImage, bundle: Bundle, files: Iterable[SourceFile], masked: Mapping[str, bytes]
) -> str:
    """Name what is built by all that decides about it: with less memory the same build may fail."""
    names, contents = [RECIPE, environment.digest, str(bundle.memory)], []
    for file in sorted(files, key=lambda file: file.path):
        names.append(file.path)
        contents.append(masked[file.path] if file.path in masked else file.sha256 or _file_digest(file.local))
    return digest_of(names, contents)


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _build_failure(status: int, log: Iterable[str], bundle: Bundle, container: Any) -> HookFailed:
    container.reload()
    state = container.attrs["State"]
    whole = tuple(log)
    tail = whole[-TAIL:]
    if state.get("OOMKilled"):
        megabytes = bundle.memory // 2**20
        return HookFailed(
            f"build-app.sh ran out of memory: the bundle {bundle.id} gives it {megabytes} MB.",
            hint="Build with less memory, or choose a larger bundle with APP_BUNDLE.",
            details=tail,
            log=whole,
        )
    return HookFailed(
        f"build-app.sh failed with exit code {status}.",
        hint="Read the last lines of its output; the platform would fail at the same place.",
        details=tail,
        log=whole,
    )

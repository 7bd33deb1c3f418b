"""Build the image of the environment from its Dockerfile, or find it again by what went into it."""

from __future__ import annotations

import io
import tarfile
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import docker
from docker.errors import APIError, BuildError

from toolkit import baseimage
from toolkit.baseimage import BaseImage, BaseImageOptions
from toolkit.engine import LABEL, with_credentials
from toolkit.errors import ConfigurationError
from toolkit.image.model import (
    DIGEST_LABEL,
    PROXY_KEYS,
    RECIPE,
    TAIL,
    BuildFailed,
    EnvironmentImage,
    OnLine,
    digest_of,
    find,
    silent,
)


def build_environment(
    engine: docker.DockerClient,
    context: Path,
    *,
    base: BaseImageOptions,
    fresh: bool = False,
    on_line: OnLine = silent,
) -> EnvironmentImage:
    """Build the environment image from the folder `context` with its Dockerfile.

    Raises ConfigurationError without a Dockerfile, ToolMissing without its base image, and BuildFailed with the
    last lines of the build.
    """
    started = time.monotonic()
    bases = [baseimage.ensure(engine, name, base, on_line=on_line) for name in _base_names(context)]
    archive = _context_archive(context)
    digest = _digest(bases, archive)
    tag = f"{LABEL}/environment:{digest[:12]}"
    image = None if fresh else find(engine, tag)
    built = image is None
    if image is None:
        _build(engine, archive, tag, digest, base, on_line, fresh=fresh)
        image = find(engine, tag)
    assert image is not None
    workdir = image.attrs["Config"].get("WorkingDir") or "/"
    return EnvironmentImage(tag, digest, bases[-1], workdir, built, time.monotonic() - started)


def digest_now(engine: docker.DockerClient, context: Path) -> str:
    """Give the digest that an image of the folder `context` would have now; empty while a base image is not there.

    Raises ConfigurationError as build_environment.
    """
    bases = [baseimage.present(engine, name) for name in _base_names(context)]
    return "" if None in bases else _digest(filter(None, bases), _context_archive(context))


def _digest(bases: Iterable[BaseImage], archive: bytes) -> str:
    return digest_of([RECIPE, *(base.id for base in bases)], [archive])


def _base_names(context: Path) -> tuple[str, ...]:
    dockerfile = require_dockerfile(context)
    names = baseimage.names_in(dockerfile.read_text(errors="replace"))
    if not names:
        raise ConfigurationError(f"{dockerfile} has no FROM line.", hint="Start it with: FROM oven/bun:1-debian")
    return names


def require_dockerfile(context: Path) -> Path:
    """Give the Dockerfile of the environment. Raises ConfigurationError when there is none."""
    dockerfile = context / "Dockerfile"
    if not dockerfile.is_file():
        raise ConfigurationError(
            f"There is no Dockerfile in {context}.",
            hint="The environment is a folder with a Dockerfile; name it with ENVIRONMENT_DIR or --environment.",
        )
    return dockerfile


def _context_archive(context: Path) -> bytes:
    """Pack a Docker context so that the same content gives the same bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path in sorted(context.rglob("*"), key=lambda path: path.relative_to(context).as_posix()):
            member = tar.gettarinfo(path, path.relative_to(context).as_posix())
            member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
            member.mode = 0o755 if path.is_dir() or member.mode & 0o100 else 0o644
            if member.isreg():
                with path.open("rb") as content:
                    tar.addfile(member, content)
            else:
                tar.addfile(member)
    return stream.getvalue()


def _build(
    engine: docker.DockerClient,
    archive: bytes,
    tag: str,
    digest: str,
    base: BaseImageOptions,
    on_line: OnLine,
    *,
    fresh: bool,
) -> None:
    lines: deque[str] = deque(maxlen=TAIL)
    proxies = {key: base.environ[key] for key in PROXY_KEYS if base.environ.get(key)}
    try:
        build = partial(
            engine.api.build,
            custom_context=True,
            tag=tag,
            labels={DIGEST_LABEL: digest},
            buildargs=proxies,
            rm=True,
            forcerm=True,
            nocache=fresh,
            decode=True,
        )
        for event in with_credentials(engine, lambda: build(fileobj=io.BytesIO(archive))):
            text = str(event.get("stream") or event.get("error") or "")
            for line in filter(None, (line.strip() for line in text.splitlines())):
                lines.append(line)
                on_line(line)
            if "error" in event:
                raise BuildError(event["error"], ())
    except (APIError, BuildError) as error:
        reason = str(getattr(error, "explanation", None) or getattr(error, "msg", None) or error)
        raise BuildFailed(
            f"The environment image could not be built: {reason.splitlines()[0]}",
            hint="Correct the Dockerfile of the environment (ENVIRONMENT_DIR); DataRobot would build the same one.",
            details=tuple(lines),
        ) from error

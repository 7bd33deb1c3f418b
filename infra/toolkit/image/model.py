"""What an image is: its name, what went into it, and how a build of it can fail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker
from docker.errors import ImageNotFound

from toolkit.baseimage import BaseImage
from toolkit.engine import LABEL
from toolkit.errors import SmokeFailed

RECIPE = "3"  # part of both digests: raise it when the way of building changes
TAIL = 20
DIGEST_LABEL, LOG_LABEL, FACTS_LABEL = f"{LABEL}.digest", f"{LABEL}.build-log", f"{LABEL}.build-facts"
PROXY_KEYS = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")

OnLine = Callable[[str], None]


def silent(_line: str) -> None:
    """Pass on no line of a build."""


class BuildFailed(SmokeFailed):
    """An image could not be built; `details` are the last lines of the build."""


class HookFailed(BuildFailed):
    """build-app.sh failed; `log` is its whole output, as far as it is kept."""

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] = (), log: Iterable[str] = ()) -> None:
        super().__init__(message, hint=hint, details=details)
        self.log = tuple(log) or details


@dataclass(frozen=True)
class EnvironmentImage:
    """The image of the environment: its tag, the digest of what went into it, and its base."""

    tag: str
    digest: str
    base: BaseImage
    workdir: str
    built: bool
    seconds: float


@dataclass(frozen=True)
class BuildFacts:
    """How long build-app.sh took, the first files that it wrote outside the working directory, and its memory.

    `memory` is the most that was seen in use (bytes); 0 when the build was over before anybody looked. `exited` says
    that it ended itself with `exit`, so that nothing tells whether all of it has run.
    """

    seconds: float = 0.0
    outside: tuple[str, ...] = ()
    memory: int = 0
    exited: bool = False


@dataclass(frozen=True)
class AppImage:
    """The image of the app. `late_files` (path -> bytes) hold secrets: they go into containers, never into an image."""

    tag: str
    digest: str
    environment: EnvironmentImage
    late_files: Mapping[str, bytes] = field(repr=False)
    built: bool
    seconds: float
    log: tuple[str, ...] = field(repr=False)
    build: BuildFacts = BuildFacts()


def find(engine: docker.DockerClient, tag: str) -> Any | None:
    """Give the image that bears a tag; None when there is none."""
    try:
        return engine.images.get(tag)
    except ImageNotFound:
        return None


def digest_of(names: Iterable[str], contents: Iterable[bytes]) -> str:
    """Give the SHA-256 over names and contents, each with its length in front."""
    whole = hashlib.sha256()
    for part in (*(name.encode() for name in names), *contents):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()

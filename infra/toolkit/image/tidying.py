"""Remove images that nobody needs any more."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from toolkit.engine import LABEL
from toolkit.image.model import DIGEST_LABEL

KEPT_IMAGES, KEPT_FOR = 20, 3600.0  # newest ones, and seconds
MOST_PRUNED = 30  # at once: nobody waits for the rest


def superfluous(images: Iterable[Mapping[str, Any]], now: float) -> list[str]:
    """Give the tags of app images that are neither among the newest nor younger than an hour; pure.

    `images` are as the engine lists them (Created in seconds, RepoTags).
    """
    newest = sorted(images, key=lambda one: -float(one.get("Created", 0)))
    old = [one for one in newest[KEPT_IMAGES:] if now - float(one.get("Created", 0)) > KEPT_FOR]
    return [tag for one in old for tag in one.get("RepoTags") or () if tag.startswith(f"{LABEL}/app:")]


def prune(engine: docker.DockerClient) -> None:
    """Remove old images of apps: each change of an app makes one. What a container uses stays."""
    with suppress(APIError):
        for tag in superfluous(engine.api.images(name=f"{LABEL}/app"), time.time())[:MOST_PRUNED]:
            with suppress(APIError):
                engine.api.remove_image(tag)


def remove_unused(engine: docker.DockerClient, *, label: str = DIGEST_LABEL) -> tuple[list[str], list[str]]:
    """Remove the images of this tool that no container uses; give the tags that went and the tags that stay."""
    removed, kept = [], []
    for found in engine.images.list(filters={"label": label}):
        for tag in found.tags or [found.id]:
            try:
                engine.images.remove(tag)
            except ImageNotFound:
                continue
            except APIError as error:
                if error.status_code != HTTPStatus.CONFLICT:
                    raise
                kept.append(tag)
            else:
                removed.append(tag)
    return removed, kept

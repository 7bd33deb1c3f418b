from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import ImageNotFound

from toolkit import baseimage
from toolkit.baseimage import BaseImageOptions


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM oven/bun:1-debian\n", ("oven/bun:1-debian",)),
        ("# FROM no\nfrom --platform=linux/amd64 a:1 as build\nFROM build\nFROM b AS c\n", ("a:1", "b")),
        ("ARG TAG=1-debian\nFROM oven/bun:${TAG}\n", ("oven/bun:1-debian",)),
        ("FROM \\\n  a:2\nRUN echo FROM me\nFROM scratch\n", ("a:2",)),
        ("RUN true\n", ()),
    ],
)
def test_images_that_a_dockerfile_starts_from(dockerfile: str, expected: tuple[str, ...]) -> None:
    assert baseimage.names_in(dockerfile) == expected


class Engine:
    """An engine that can pull nothing, and has what was made for it."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.images, self.api = self, self

    def get(self, name: str) -> SimpleNamespace:
        if name not in self.made:
            raise ImageNotFound(name)
        return SimpleNamespace(id="sha256:1", labels={baseimage.STAND_IN_LABEL: "stand-in"})

    def pull(self, *_words: str, **_options: object) -> list[dict[str, str]]:
        return [{"error": "no registry"}]


def test_two_commands_at_once_make_one_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()

    def make(_engine: Engine, name: str, *_more: object) -> None:
        time.sleep(0.3)
        engine.made.append(name)

    monkeypatch.setattr(baseimage, "_make_stand_in", make)
    options = BaseImageOptions(environ={"XDG_CACHE_HOME": str(tmp_path)})
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: baseimage.ensure(engine, "oven/bun:1-debian", options), range(2)))  # type: ignore[arg-type]
    assert engine.made == ["oven/bun:1-debian"]
    assert [one.origin for one in both] == ["stand-in", "stand-in"]

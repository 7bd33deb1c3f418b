from __future__ import annotations

import pytest

from toolkit import baseimage


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

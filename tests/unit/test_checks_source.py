from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps.contexts import context
from toolkit.checks import build, source


def test_sound_hooks_pass(tmp_path: Path) -> None:
    assert source.hooks(context(tmp_path)).status == "pass"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exec bun index.ts\n", "does not begin with a line that names its interpreter"),
        ("\n#!/bin/sh\n", "does not begin with a line that names its interpreter"),
        ("#!/bin/sh\r\nexec bun index.ts\r\n", "Windows line endings"),
        ("", "does not begin"),
    ],
)
def test_a_start_hook_that_cannot_be_run_is_told(tmp_path: Path, script: str, words: str) -> None:
    check = source.hooks(context(tmp_path, {"start-app.sh": script}))
    assert check.status == "fail"
    assert words in check.title
    assert check.evidence == ("start-app.sh:1",)


def test_a_build_that_printed_errors_is_doubtful(tmp_path: Path) -> None:
    log = ("bun install", "/bin/sh: 2: ./build-app.sh: npm: not found", "done")
    check = build.output(context(tmp_path, build_log=log))
    assert (check.status, check.evidence) == ("warn", (log[1],))
    assert build.output(context(tmp_path, build_log=("0 errors", "404 pages not found: none"))).status == "pass"

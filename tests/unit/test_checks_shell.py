from __future__ import annotations

import pytest

from toolkit.checks.shell import End, early_ends


@pytest.mark.parametrize(
    ("script", "ends"),
    [
        ("#!/bin/sh\nexit 0\nbun build a.ts\n", [End(2, "exit 0", 0, certain=True)]),
        ("bun build a.ts\nexit 0\n", []),
        ("bun build a.ts\nexit 0\n# exit 1\n", []),
        ("[ -d dist ] && exit 0\nbun build a.ts\n", [End(1, "exit 0", 0, certain=False)]),
        ("if [ -d dist ]; then\n  echo there\n  exit\nfi\nbun x\n", [End(3, "exit", None, certain=False)]),
        ("x || { echo no; exit 3; }\nbun x\n", [End(1, "exit 3", 3, certain=False)]),
        ("command -v npm || return 0\nnpm x\n", [End(1, "return 0", 0, certain=False)]),
        ("f() { return 1; }\nf\nbun x\n", []),
        ("f() {\n  exit 1\n}\nf\nbun x\n", [End(2, "exit 1", 1, certain=False)]),
        ("(exit 3)\necho $(exit 4)\ncat x | while read y; do exit 5; done\nbun x\n", []),
        ("echo 'exit 0'\ncat <<END\nexit 0\nEND\ntrap 'exit 0' TERM\nbun x\n", []),
        ("exit $status\nbun x\n", [End(1, "exit $status", None, certain=True)]),
        ("", []),
    ],
)
def test_what_ends_a_script_before_its_last_command(script: str, ends: list[End]) -> None:
    assert early_ends(script) == ends

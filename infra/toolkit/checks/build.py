"""Build: did build-app.sh do what it was meant to? (That it fails is told before any check.)"""

from __future__ import annotations

import re

from toolkit.checks.context import Context
from toolkit.report import Check, passed, warned

_SWALLOWED = re.compile(r"(?:^|: )[^\s:]+: (?:command )?not found$|^error: |^error\[|Module not found", re.IGNORECASE)


def output(context: Context) -> Check:
    """A hook without `set -e` goes on after an error; its last command alone decides the exit code."""
    suspicious = [line.strip() for line in context.build_log if _SWALLOWED.search(line.strip())]
    if suspicious:
        return warned(
            "build.output",
            "build-app.sh printed errors, but ended with success",
            suspicious[0],
            evidence=suspicious[:5],
            hint="Begin build-app.sh with `set -e`, so that an error ends the build.",
        )
    return passed("build.output", "build-app.sh ended without errors")

"""Lines that a test has to say to whoever reads the end of a run: counts, not verdicts."""

from __future__ import annotations

import pytest

LINES = pytest.StashKey[list[str]]()


def say(config: pytest.Config, line: str) -> None:
    """Show a line at the end of the run."""
    config.stash.setdefault(LINES, []).append(line)

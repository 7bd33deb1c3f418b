"""What the documents say of the judges of the local platform is what the judges are."""

from __future__ import annotations

import re
from pathlib import Path

from tests.engine import test_emulator_kills
from tests.stack import recorded_calls, recordings
from tests.unit import test_emulator_described, test_emulator_walk


def rows(root: Path) -> dict[str, str]:
    """Give the table of judges: judge -> how much."""
    text = (root / "docs" / "local-platform.md").read_text()
    table = text.partition("| Judge | What it does | How much |")[2].partition("\n\n")[0]
    return {cells[1].strip(): cells[3].strip() for line in table.splitlines() if len(cells := line.split("|")) == 5}


def test_the_counts_are_those_of_the_tests(root: Path) -> None:
    found = rows(root)
    scenarios, with_calls = len(recordings.names()), len(recorded_calls.names())
    assert found["recordings of the real provider"] == (
        f"{scenarios} of {scenarios} scenarios, {with_calls} of them with every call of the engine"
    )
    assert found["a walk by chance"] == f"at least {test_emulator_walk.LEAST:,} steps"
    assert found["the published description"] == f"{test_emulator_described.REQUESTS} requests"
    assert found["kills"].startswith(f"{test_emulator_kills.ROUNDS} rounds;")
    assert set(recorded_calls.names()) <= set(recordings.names())


def test_the_clients_are_those_that_are_installed(root: Path) -> None:
    pinned = "".join(path.read_text() for path in (root / "tests" / "judges").glob("*.txt"))
    clients = [judge for judge in rows(root) if judge.startswith("`")]
    assert len(clients) == 2
    for client in clients:
        name, version = re.fullmatch(r"`(.+)` (.+)", client).groups()  # type: ignore[union-attr]
        assert f"\n{name}=={version}\n" in pinned

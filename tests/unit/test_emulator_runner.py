"""What the local platform builds one after the other, without an engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.emulator.runner import EngineRunner
from toolkit.emulator.store import Store
from toolkit.emulator.switches import Pace, Switches


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "data")
    yield made
    made.close()


def test_the_build_of_what_was_removed_holds_up_no_other(store: Store, tmp_path: Path) -> None:
    pace = [Pace(engine=False, seconds=600.0)]
    runner = EngineRunner(
        store, environ={}, home=tmp_path, instance="here", port=1, on_bridge=lambda _address: None,
        log=lambda _line: None, switches=lambda: Switches(builds=pace[0]),
    )  # fmt: skip
    try:
        slow = store.create_environment("slow", "", "other", [])["id"]
        runner.build_environment(store.create_environment_version(slow, "", b"zip", "context.zip")["id"])
        time.sleep(0.3)  # it has begun
        store.delete_environment(slow)
        pace[0] = Pace(engine=False)
        next_one = store.create_environment("next", "", "other", [])["id"]
        built = store.create_environment_version(next_one, "", b"zip", "context.zip")["id"]
        runner.build_environment(built)
        until = time.monotonic() + 5
        while store.get("environmentVersion", built)["buildStatus"] != "success":
            assert time.monotonic() < until, store.get("environmentVersion", built)["buildStatus"]
            time.sleep(0.05)
    finally:
        runner.close()

"""Two checkouts with one state backend: locks and history are shared, and the same commit is no change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability import together
from tests.reliability.bed import bed

pytestmark = [pytest.mark.stack, pytest.mark.engine]


def test_two_deployments_of_one_stack_at_once(tmp_path: Path, pulumi_cli: Path) -> None:
    del pulumi_cli
    with bed(tmp_path / "bed") as first:
        first.immediate()
        second = together.shared(first, tmp_path)
        together.one_works_and_one_is_told(first, second)
        assert second.run("destroy").code == 0
        assert together.platform_is_empty(first)

"""Two stacks at once; then two checkouts with one state: locks and history are shared, the same commit is no change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability import together
from tests.reliability.bed import bed

pytestmark = [pytest.mark.stack, pytest.mark.engine]


def test_two_stacks_at_once_work_and_of_two_deployments_of_one_stack_one_does(tmp_path: Path, pulumi_cli: Path) -> None:
    del pulumi_cli
    with bed(tmp_path / "bed") as first:
        first.immediate()
        together.two_stacks_work_at_once(first)
        assert first.run("destroy").code == 0
        second = together.shared(first, tmp_path)
        together.one_works_and_one_is_told(first, second)
        assert second.run("destroy").code == 0
        assert together.platform_is_empty(first)

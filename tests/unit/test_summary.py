"""What tests have counted comes to the end of the run, also from another process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests import conftest
from tests.summary import LINES, say


def test_what_was_counted_in_another_process_is_shown() -> None:
    there = SimpleNamespace(stash=pytest.Stash(), workeroutput={})
    say(there, "2 cases")  # type: ignore[arg-type]
    conftest.pytest_sessionfinish(SimpleNamespace(config=there))  # type: ignore[arg-type]
    here = SimpleNamespace(stash=pytest.Stash())
    say(here, "1 case")  # type: ignore[arg-type]
    conftest.pytest_testnodedown(SimpleNamespace(config=here, workeroutput=there.workeroutput))
    conftest.pytest_testnodedown(SimpleNamespace(config=here))  # a process that was killed gives nothing
    assert here.stash[LINES] == ["1 case", "2 cases"]

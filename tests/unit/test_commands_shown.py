"""What commands say at their end: words of what was done, and the history in few columns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from toolkit.commands import deploying, looking
from toolkit.console import Console


def test_what_a_deployment_did_is_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = SimpleNamespace(app_url="http://h/custom_applications/1/")
    done = SimpleNamespace(changes={"create": 3}, verified=4, seconds=1.25, outputs=outputs, release="f" * 64)
    deploying._show_deployed(Console(), SimpleNamespace(stack="dev"), done)  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines()[1] == "3 created; 4 files proved; 1.2 s"


def test_the_history_says_what_changed_and_who_did_it() -> None:
    update = {
        "kind": "update",
        "started": 0,
        "seconds": 3.6,
        "result": "succeeded",
        "changes": {"update": 2, "same": 3},
        "message": "release a0a5df9dc3b8, by you@vm",
    }
    row = looking._update_row(update)
    assert row[1:] == ("update", "succeeded", "4 s", "2 updated", "a0a5df9dc3b8, by you@vm")
    assert looking._update_row({**update, "changes": {"same": 5}, "message": None})[4:] == ("no changes", "")

"""What every command makes of errors that no room has turned into its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from docker.errors import APIError
from invoke.exceptions import Exit

from toolkit.commands.frame import command


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (APIError("500 Server Error", explanation="crun: no cgroups"), "refused a request: crun: no cgroups"),
        (requests.exceptions.ConnectionError("reset by peer"), "does not answer any more: reset by peer"),
        (requests.exceptions.ReadTimeout("no answer in 60 s"), "does not answer any more: no answer in 60 s"),
    ],
)
def test_an_engine_that_fails_is_no_traceback(
    error: Exception, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @command
    def failing(_root: Path) -> None:
        raise error

    with pytest.raises(Exit) as ended:
        failing(tmp_path)
    assert ended.value.code == 10
    said = capsys.readouterr().err
    assert words in " ".join(said.split())
    assert "next: " in said
    assert "Traceback" not in said

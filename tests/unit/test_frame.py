"""What every command makes of errors that no room has turned into its own."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from docker.errors import APIError
from invoke.exceptions import Exit

from tests.transcript import terminal
from tests.transcript.terminal import Typed
from toolkit.commands import frame
from toolkit.commands.frame import command
from toolkit.errors import Cancelled, ConfigurationError, Stopped, ToolkitError


def test_ctrl_c_on_a_terminal_begins_a_new_line(root: Path, tmp_path: Path) -> None:
    program = (
        "import pathlib, time; from toolkit.commands.frame import command\n"
        "@command\ndef wait(_root): print('ready', end='', flush=True); time.sleep(60)\n"
        "wait(pathlib.Path())"
    )
    shown = terminal.run(
        [sys.executable, "-c", program],
        shown="wait",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root / "infra"), "TERM": "xterm-256color"},
        typed=[Typed("ready", b"\x03")],
    )
    assert shown.lines[:2] == ["ready^C", "error: Cancelled."]


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


def test_a_file_that_is_not_there_is_no_traceback(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    @frame.command
    def reads(root: Path) -> None:
        (root / "nofile.json").read_text()

    with pytest.raises(Exit) as ended:
        reads(tmp_path)
    assert ended.value.code == 2
    assert "nofile.json" in capsys.readouterr().err


def test_commands_of_the_local_platform_do_not_change_the_stack_used_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    frame.load_settings(tmp_path, "staging", needs_platform=False)
    frame.local_settings(tmp_path, "", 0)
    assert frame.load_settings(tmp_path, "", needs_platform=False).stack == "staging"


@pytest.mark.parametrize("asked", [{"as_json": True}, {"json_to": "-"}])
def test_who_reads_json_gets_the_error_as_json_too(
    asked: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @command
    def failing(_root: Path, **_options: object) -> None:
        raise ConfigurationError("Not so.", hint="But so.")

    with pytest.raises(Exit) as ended:
        failing(tmp_path, **asked)
    assert ended.value.code == 2
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == {"version": 1, "event": "result", "ok": False, "exit_code": 2, "error": "Not so."}


def test_ctrl_c_passes_what_gets_over_errors_and_says_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @command
    def failing(_root: Path) -> None:
        with suppress(ToolkitError):
            raise Stopped(Cancelled("deploy was cancelled; Pulumi has finished its step."))

    with pytest.raises(Exit) as ended:
        failing(tmp_path)
    assert ended.value.code == 8
    assert "Pulumi has finished its step" in " ".join(capsys.readouterr().err.split())


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As under nohup: the deployment goes on when the connection drops."""

    @command
    def look(_root: Path) -> None:
        seen.append(signal.getsignal(signal.SIGHUP))

    seen: list[object] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        look(tmp_path)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        look(tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert seen[0] is signal.SIG_IGN
    assert callable(seen[1])
    assert seen[1] is not signal.SIG_DFL

"""The recorded transcript: the terminal that commands run in, and the page and the pictures that came of it."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.transcript import run, terminal
from tests.transcript.terminal import Typed


def test_a_terminal_shows_what_a_person_sees() -> None:
    first, second, *rest = terminal.rows(b"\x1b[1mwide \x1b[0m\x1b[31m" + b"x" * 80 + b"\x1b[0m\r\n\r\nlast\r\n\r\n")
    assert (first.plain, second.plain) == ("wide " + "x" * 75, "x" * 5)
    assert {str(span.style) for span in first.spans} >= {"bold", "red"}
    assert [row.plain for row in rest] == ["", "last"]


def test_what_is_typed_arrives_once_it_is_asked_for(tmp_path: Path) -> None:
    script = 'printf "on? "; read answer; echo "$(tput cols) $answer"; exit 3'
    shown = terminal.run(
        ["sh", "-c", script],
        shown="ask",
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm-256color"},
        typed=[Typed("on? ", b"yes\n")],
    )
    assert (shown.command, shown.code, shown.lines) == ("ask", 3, ["on? yes", "80 yes"])


def test_ctrl_c_reaches_the_command_and_what_it_started(tmp_path: Path) -> None:
    script = "trap 'echo stopped; exit 8' INT; echo ready; sleep 60 & wait"
    shown = terminal.run(
        ["sh", "-c", script], shown="wait", cwd=tmp_path, env=os.environ, typed=[Typed("ready", run.CTRL_C)]
    )
    assert shown.code == 8
    assert shown.lines == ["ready", "^Cstopped"]


def test_a_command_that_never_asks_fails_the_recording(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="never showed 'on'"):
        terminal.run(["true"], shown="true", cwd=tmp_path, env=os.environ, typed=[Typed("on", b"y")])


def test_paths_of_this_machine_and_keys_are_replaced(tmp_path: Path) -> None:
    home = str(Path.home())
    written = f"{tmp_path}/a {run.ROOT}/.nox {home}/.cache http://h/sign-in?key=aB-_9&next=x".encode()
    assert run.anonymous(written, tmp_path) == (
        b"/path/to/bun-to-datarobot/a /path/to/.nox /path/to/.cache http://h/sign-in?key=...&next=x"
    )


def test_the_page_has_every_scene_with_its_exit_code_in_eighty_columns() -> None:
    text = run.PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^## (.+?)\n.*?```text\n\$ (.+?)\n(.+?)\n```\n(?:\nExit code (\d+)\.)?", text, re.S | re.M)
    assert [(title, command, int(code or 0)) for title, command, _, code in blocks] == [
        (scene.title, scene.command, scene.code) for scene in run.SCENES
    ]
    assert max(len(line) for *_, shown, _ in blocks for line in shown.splitlines()) <= terminal.COLUMNS
    assert not re.search(r"/tmp/|/root/|/work/|key=\w", text)


@pytest.mark.parametrize("name", run.PICTURES)
def test_a_picture_is_whole_and_asks_no_host(name: str) -> None:
    text = (run.DOCS / name).read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"url\(['\"]?http|@import|<image|/tmp/|/root/", text)
    assert f"]({name})" in run.PAGE.read_text(encoding="utf-8")
    assert "invoke" in text

"""The console: what people and programs see, on a terminal and without one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit import plan as planning
from toolkit.console import Console
from toolkit.errors import ConfigurationError, ToolkitError
from toolkit.report import SmokeReport, failed, passed, skipped, warned
from toolkit.settings import Secret

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;)")
NASTY = [
    "[red]not red[/red]",
    "[/]",
    "[bold",
    "a[0]",
    "[id].ts",
    "\\[x]",
    "ends in \\",
    "ends in \\\\",
    "C:\\[a]\\",
    ":smile: :warning:",
    "http://[::1]:8080/",
    "[link=x]y[/link]",
    "日本語 é",
]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def on_terminal(
    root: Path, code: str, *, columns: int = 80, typed: bytes = b"", environ: dict[str, str] | None = None
) -> str:
    """Run code with a real terminal as its input and output; give all that it showed."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    program = "from toolkit.console import Console\nfrom toolkit.errors import *\nconsole = Console()\n" + code
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={"PATH": os.defpath, "TERM": "xterm-256color", "PYTHONPATH": str(root / "infra"), **(environ or {})},
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    if typed:
        os.write(master, typed)
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    assert child.wait(10) == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")


def report(*checks: Any) -> SmokeReport:
    return SmokeReport({"digest": "d" * 64}, 1.25, checks)


# --- text of others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", NASTY)
def test_text_of_others_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(verbose=True)
    places: list[Callable[[], None]] = [
        lambda: console.line(text),
        lambda: console.event({"event": "line", "text": text}),
        lambda: console.event({"event": "phase", "name": "x", "status": "ok", "detail": text, "seconds": 1}),
        lambda: console.event({"event": "diagnostic", "severity": "warning", "text": text}),
        lambda: console.table("t", ("a", "b"), [(text, "x"), ("x", text)]),
        lambda: console.report(report(failed("a.b", text, text, evidence=[text], hint=text))),
        lambda: console.error(ToolkitError(text, hint=text, details=(text,))),
    ]
    for number, show in enumerate(places):
        show()
        seen = capsys.readouterr()
        assert text in seen.out + seen.err, number
        assert text.count("\\") * (seen.out + seen.err).count(text) == (seen.out + seen.err).count("\\"), number


def test_a_phase_without_words_has_no_gap(capsys: pytest.CaptureFixture[str]) -> None:
    Console().event({"event": "phase", "name": "verify", "status": "failed", "detail": "", "seconds": 7.5})
    assert capsys.readouterr().out == "verify            failed (7.5 s)\n"


def test_the_beginning_of_a_phase_is_shown_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.event({"event": "phase", "name": "stage", "status": "start", "detail": "my [app]"})
    assert capsys.readouterr().out == ""
    console.event({"event": "line", "text": "copying"})
    assert capsys.readouterr().out == "stage             my [app]\n    copying\n"
    console.event({"event": "phase", "name": "stage", "status": "ok", "detail": "12 files", "seconds": 0.04})
    assert capsys.readouterr().out == "stage             ok     12 files (0.0 s)\n"
    console.event({"event": "phase", "name": "smoke", "status": "start"})
    console.event({"event": "phase", "name": "smoke", "status": "failed", "seconds": 3.21})
    assert re.fullmatch(r"smoke +failed +\(3\.2 s\)\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b[31mred\x1b[0m", "a\x1b]0;title\x07b", "over\rwritten", "bell\x07", "\x9b2J", "a\x08b"]
)
def test_others_cannot_steer_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.event({"event": "line", "text": text})
    console.error(ToolkitError(text, details=(text,)))
    seen = capsys.readouterr()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", seen.out + seen.err)


def test_names_that_are_no_text_are_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.line("bad-\udcff")
    console.error(ToolkitError("bad-\udcff"))
    console.event({"event": "line", "text": "bad-\udcff"})
    seen = capsys.readouterr()
    assert seen.out.count("bad-\\udcff") == 2
    assert seen.err.count("bad-\\udcff") == 1


def test_a_terminal_without_unicode_is_no_reason_to_fail(root: Path) -> None:
    code = (
        "console.line('é 日本'); console.event({'event': 'done', 'op': 'replace', 'type': 'datarobot:index:App'});"
        "console.error(ToolkitError('é'))"
    )
    shown = on_terminal(root, code, environ={"PYTHONIOENCODING": "ascii"})
    assert "\\xe9" in shown
    assert "App" in shown


# --- without a terminal, in colour, in 80 columns ---------------------------------------------------------------------


def show_all(console: Console) -> None:
    console.event({"event": "phase", "name": "image", "status": "ok", "detail": "built", "seconds": 1.0})
    console.event({"event": "phase", "name": "smoke", "status": "failed", "seconds": 1.0})
    for op in ("create", "update", "replace", "delete", "create-replacement", "same"):
        console.event({"event": "done", "op": op, "type": "datarobot:index/customApplication:CustomApplication"})
    console.event({"event": "failed", "op": "create", "type": "datarobot:index:ApplicationSource"})
    console.event({"event": "done", "op": "create", "type": "pulumi:pulumi:Stack"})
    console.report(report(passed("a.x", "fine"), warned("b.x", "odd"), failed("c.x", "bad"), skipped("d.x", "no")))
    console.error(ToolkitError("it broke", hint="mend it", details=("because",)))


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_all(Console())
    seen = capsys.readouterr()
    assert "\x1b" not in seen.out + seen.err
    lines = seen.out.splitlines()
    assert "    + CustomApplication create" in lines
    assert "    ~ CustomApplication update" in lines
    assert "    - CustomApplication delete" in lines
    assert any("ApplicationSource failed" in line for line in lines)
    assert not any("Stack" in line or "same" in line for line in lines)
    assert seen.err == "error: it broke\n  because\nnext: mend it\n"


def test_long_lines_are_neither_cut_nor_broken(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    path = "/a/very/long/path" * 12
    console = Console()
    console.line(path)
    console.event({"event": "line", "text": path})
    console.error(ToolkitError(path, hint=path, details=(path,)))
    seen = capsys.readouterr()
    assert seen.out.count(path) == 2
    assert seen.err.count(path) == 3
    assert path in ANSI.sub("", on_terminal(root, f"console.line({path!r})"))


def test_a_table_without_a_terminal_keeps_each_row_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"custom_application/src/components/deep/{'x' * number}.tsx", "reason " * 20) for number in (1, 50, 120)]
    Console().table("Ships", ("file", "why"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "Ships"
    assert lines[1].split() == ["file", "why"]
    assert len(lines) == 5
    for (path, reason), line in zip(rows, lines[2:], strict=True):
        assert path in line
        assert reason.strip() in line
        assert line == line.rstrip()


def test_a_table_on_a_terminal_fits_into_it(root: Path) -> None:
    code = "console.table('Ships', ('file', 'why'), [('x' * 100 + '.ts', 'reason ' * 30), ('short', 'y')])"
    shown = ANSI.sub("", on_terminal(root, code, columns=80))
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert shown.replace("\n", "").replace(" ", "").count("x") == 100


def test_lines_on_a_terminal_are_folded_at_words_below_where_their_text_begins(root: Path) -> None:
    code = """
words = "seven whole words " * 9
console.findings([("state", "ok", words, words)])
console.event({"event": "phase", "name": "smoke", "status": "ok", "detail": words, "seconds": 1})
console.event({"event": "line", "text": words})
console.line("  - " + words)
console.line("    GET  " + words)
console.error(ToolkitError(words, hint=words, details=("at " + words,)))
"""
    shown = ANSI.sub("", on_terminal(root, code)).splitlines()
    assert max(len(line) for line in shown) <= 80
    first = re.compile(r" *(state|next|smoke|error|GET|at|-)")
    starts = [len(line) - len(line.lstrip()) for line in shown if not first.match(line)]
    assert set(starts) == {2, 4, 6, 7, 19, 25}
    assert " ".join(" ".join(shown).split()).count("seven whole words") == 9 * 9


@pytest.mark.parametrize("length", (46, 47, 48, 49, 52))
def test_a_time_is_never_folded(root: Path, length: int) -> None:
    event = {"event": "phase", "name": "verify", "status": "ok", "detail": "x" * length, "seconds": 0.3}
    assert "(0.3 s)" in ANSI.sub("", on_terminal(root, f"console.event({event!r})"))


def test_a_terminal_gets_colours_unless_it_does_not_want_any(root: Path) -> None:
    code = (
        "console.event({'event': 'phase', 'name': 'x', 'status': 'ok', 'seconds': 1}); console.error(ToolkitError('e'))"
    )
    assert COLOUR.search(on_terminal(root, code))
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = on_terminal(root, code, environ=environ)
        assert not COLOUR.search(shown), environ
        assert "error: e" in ANSI.sub("", shown)


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_lines_and_nothing_else_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=True)
    show_all(console)
    console.event({"event": "line", "text": "chatter"})
    console.line("for people")
    console.table("t", ("a",), [("b",)])
    console.event({"event": "output", "text": "é\udcff\n[x]", "path": Path("/x"), "token": Secret("sesame-sesame")})
    console.result({"ok": True, "exit_code": 0})
    seen = capsys.readouterr()
    assert seen.out.isascii()
    documents = [json.loads(line) for line in seen.out.splitlines()]
    assert all(document["version"] == 1 for document in documents)
    assert documents[-1] == {"version": 1, "event": "result", "ok": True, "exit_code": 0}
    assert documents[-2] == {"version": 1, "event": "output", "text": "é\udcff\n[x]", "path": "/x", "token": "****"}
    assert "line" not in {document["event"] for document in documents}
    for words in ("chatter", "for people", "image", "error: it broke"):
        assert words in seen.err


def test_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    Console(as_json=True).document({"files": [{"path": "[a].ts"}]})
    assert json.loads(capsys.readouterr().out) == {"version": 1, "files": [{"path": "[a].ts"}]}


def test_people_get_no_result_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().result({"ok": True})
    seen = capsys.readouterr()
    assert seen.out + seen.err == ""


def test_events_that_nobody_knows_are_passed_on_and_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    for event in ({"event": "new"}, {"event": "diagnostic"}, {"event": "done"}, {"event": "platform", "version": "2"}):
        Console(verbose=True).event(event)
        assert capsys.readouterr().out == ""
        Console(as_json=True).event(event)
        assert json.loads(capsys.readouterr().out) == {"version": 1, **event}


def test_warnings_of_pulumi_are_for_the_curious(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"event": "diagnostic", "severity": "warning", "text": "careful\n"}
    Console().event(event)
    assert capsys.readouterr().out == ""
    Console(verbose=True).event(event)
    assert capsys.readouterr().out == "    careful\n"


# --- reports and errors -----------------------------------------------------------------------------------------------


def test_a_report_shows_what_failed_and_counts_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    Console().report(
        report(
            passed("start.port", "listens"),
            passed("start.host", "on all addresses"),
            failed(
                "front.assets", "a file is missing", "found 404", evidence=["src/a.ts:3", "GET ./x.js"], hint="add it"
            ),
            passed("front.page", "answers"),
            warned("image.size", "is large"),
            skipped("browser.page", "no Chromium"),
        )
    )
    assert capsys.readouterr().out.splitlines() == [
        "fail a file is missing front.assets",
        "     found 404",
        "     src/a.ts:3",
        "     GET ./x.js",
        "     next: add it",
        "warn is large image.size",
        "pass start (2 checks)",
        "skip browser: no Chromium",
        "fail in 1.2 s",
    ]


def test_an_error_without_details_or_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(ToolkitError("it broke"))
    assert capsys.readouterr().err == "error: it broke\n"
    Console().error(ToolkitError("it broke", details=("hidden",)), details=False)
    assert capsys.readouterr().err == "error: it broke\n"


def test_details_of_several_lines_stay_indented(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(ToolkitError("it broke", details=("one\ntwo", "", "three")))
    assert capsys.readouterr().err == "error: it broke\n  one\n  two\n  three\n"


# --- questions --------------------------------------------------------------------------------------------------------


SHOWN_LIVE = """
console.event({"event": "line", "text": "could not resolve ./Ap.tsx"})
details = ("server.ts:3", "could not resolve ./Ap.tsx\\nand more")
Console().error(ToolkitError("It failed.", details=details, hint="Look."))
"""


def test_output_that_stands_above_is_not_shown_again(root: Path) -> None:
    shown = ANSI.sub("", on_terminal(root, SHOWN_LIVE))
    assert shown.splitlines() == [
        "    could not resolve ./Ap.tsx",
        "error: It failed.",
        "  server.ts:3",
        "  and more",
        "next: Look.",
    ]


def test_in_files_an_error_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    Console().event({"event": "line", "text": "could not resolve ./Ap.tsx"})
    Console().error(ToolkitError("It failed.", details=("could not resolve ./Ap.tsx",)))
    assert capsys.readouterr().err == "error: It failed.\n  could not resolve ./Ap.tsx\n"


def test_a_report_does_not_show_again_what_stands_above(root: Path) -> None:
    code = """
from toolkit.report import SmokeReport, failed
console.event({"event": "line", "text": "line 1"})
console.report(SmokeReport({}, 1.0, (failed("a.b", "It fails", evidence=["line 1", "line 2"]),)))
"""
    shown = ANSI.sub("", on_terminal(root, code))
    assert shown.count("line 1") == 1
    assert shown.count("line 2") == 1


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Console().ask("Go on?")
    assert "--yes" in caught.value.hint
    monkeypatch.setattr(sys, "stdin", None)
    assert not Console().interactive
    with pytest.raises(ConfigurationError):
        Console().ask("Go on?")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [(b"y\n", True), (b"YES\n", True), (b"n\n", False), (b"\n", False), (b"yo\n", False), (b"\x04", False)],
)
def test_only_a_yes_is_a_yes(root: Path, typed: bytes, answer: bool) -> None:
    shown = on_terminal(root, "print('answer', console.ask('Remove [all] of it?'))", typed=typed)
    assert "Remove [all] of it? [y/N]" in ANSI.sub("", shown)
    assert f"answer {answer}" in shown


def test_programs_are_never_asked(root: Path) -> None:
    shown = on_terminal(root, "print('asks', console.interactive, Console(as_json=True).interactive)")
    assert "asks True False" in shown


@pytest.mark.parametrize(
    ("kind", "op", "diffs", "line"),
    [
        (
            "executionEnvironment:ExecutionEnvironment",
            "update",
            ["dockerContextHash", "versionId"],
            "Dockerfile or its files",
        ),
        ("applicationSource:ApplicationSource", "replace", ["files[3]", "filesHashes"], "replace: files"),
        ("customApplication:CustomApplication", "update", ["sourceVersionId"], "version of the source; it restarts"),
        ("customApplication:CustomApplication", "replace", ["name"], "replace: name; its address changes"),
        ("customApplication:CustomApplication", "create", [], "CustomApplication create"),
    ],
)
def test_why_a_resource_changes_is_said_in_words(
    kind: str, op: str, diffs: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Console().event({"event": "done", "op": op, "type": f"datarobot:index/{kind}", "diffs": diffs})
    assert line in capsys.readouterr().out


def test_the_steps_of_a_replacement_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for op in ("create-replacement", "replace", "delete-replaced"):
        Console().event({"event": "done", "op": op, "type": "datarobot:index/applicationSource:ApplicationSource"})
    assert capsys.readouterr().out.splitlines() == ["    ± ApplicationSource replace"]


def test_quiet_shows_what_failed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.event({"event": "phase", "name": "stage", "status": "start", "detail": ""})
    console.event({"event": "line", "text": "a line"})
    console.event({"event": "phase", "name": "stage", "status": "ok", "detail": "6 files", "seconds": 0.1})
    console.event({"event": "done", "op": "update", "type": "datarobot:index/x:CustomApplication", "diffs": []})
    console.event({"event": "heartbeat", "text": "goes on"})
    assert capsys.readouterr().out == ""
    console.event({"event": "failed", "op": "update", "type": "datarobot:index/x:CustomApplication", "diffs": []})
    console.event({"event": "platform-failed", "text": "The platform says so."})
    console.event({"event": "phase", "name": "deploy", "status": "failed", "detail": "", "seconds": 0.1})
    console.line("https://app.example/")
    shown = capsys.readouterr().out
    assert "CustomApplication failed" in shown
    assert "The platform says so." in shown
    assert "deploy" in shown
    assert shown.endswith("https://app.example/\n")


def test_the_trace_of_an_error_names_its_causes(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            raise OSError("the disk")
        except OSError as cause:
            raise ToolkitError("It failed.") from cause
    except ToolkitError as error:
        Console().trace(error)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "OSError: the disk" in shown.err
    assert "ToolkitError: It failed." in shown.err


def test_how_long_a_resource_took_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    step = {"op": "update", "type": "datarobot:index/x:CustomApplication", "name": "application", "diffs": []}
    console.event({"event": "start", **step, "at": 10.0})
    console.event({"event": "done", **step, "at": 12.5})
    assert "(2.5 s)" in capsys.readouterr().out


def test_a_plan_says_which_files_differ_and_what_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    files = planning.Files(added=("more.txt",), changed=("notes.txt",))
    change = planning.Change("application", "update")
    calls = (planning.Call("PATCH", "customApplications/{id}/"),)
    plan = planning.Plan((change,), files, upload_files=8, upload_bytes=1200, calls=calls, restarts=True)
    console = Console()
    console.plan(plan)
    shown = capsys.readouterr().out
    assert "files: 1 changed: notes.txt; 1 new: more.txt" in shown
    assert "uploads: 8 files, 1 kB" in shown
    assert "PATCH  customApplications/{id}/" in shown
    assert "its address stays" in shown
    console.event({"event": "plan", **plan.to_json()})
    assert "files: 1 changed: notes.txt; 1 new: more.txt" in capsys.readouterr().out
    console.plan(planning.Plan())
    assert capsys.readouterr().out == ""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.apps.contexts import OK, RUNNING, context, exited
from toolkit.checks import lifecycle, start
from toolkit.checks.context import Again, Waited
from toolkit.container import ContainerState, StopResult
from toolkit.processes import Inside, Listener, Process
from toolkit.selection import LeftOut

BUN = Listener("0.0.0.0", 8080, 7, "bun index.ts", {})


@pytest.mark.parametrize(
    ("state", "logs", "title"),
    [
        (exited(1), ("a", "error: no database"), "The app exited with code 1: error: no database"),
        (exited(0), (), "The app exited with code 0"),
        (exited(127), (), "The app exited with code 127 (command not found)"),
        (exited(139), (), "The app exited by SIGSEGV (exit code 139)"),
        (exited(137, oom=True), (), "The app ran out of memory and was killed"),
    ],
)
def test_an_exit_is_told_with_its_cause(
    tmp_path: Path, state: ContainerState, logs: tuple[str, ...], title: str
) -> None:
    check = start.listens(context(tmp_path, waited=Waited(None, 2.0, state), logs=logs))
    assert (check.status, check.title) == ("fail", title)
    assert check.evidence == logs


@pytest.mark.parametrize(
    ("listeners", "accepted", "title"),
    [
        ((), False, "The app does not listen on any port"),
        ((BUN,), True, "The app accepts connections on port 8080 but does not answer"),
        (
            (replace(BUN, address="127.0.0.1"),),
            False,
            "The app listens on 127.0.0.1:8080 only, where nobody outside the container reaches it",
        ),
        (
            (replace(BUN, address="::1"), replace(BUN, port=9229)),
            False,
            "The app listens on ::1:8080 only, where nobody outside the container reaches it",
        ),
        ((replace(BUN, port=3000),), False, "The app listens on 0.0.0.0:3000 instead of port 8080"),
    ],
)
def test_not_answering_is_told_with_what_listens(
    tmp_path: Path, listeners: tuple[Listener, ...], accepted: bool, title: str
) -> None:
    check = start.listens(
        context(tmp_path, waited=Waited(None, 2.0, RUNNING, Inside((), listeners), accepted), logs=())
    )
    assert (check.status, check.title) == ("fail", title)
    if listeners:
        assert "process 7: bun index.ts" in check.evidence[0]


def test_an_app_that_speaks_no_http_is_told_with_what_it_speaks(tmp_path: Path) -> None:
    waited = Waited(None, 4.0, RUNNING, Inside((), (BUN,)), spoken="HTTP/2 only")
    check = start.listens(context(tmp_path, waited=waited, logs=("up",)))
    assert check.title == "The app speaks HTTP/2 only on port 8080, and the platform asks in plain HTTP/1.1"
    assert check.evidence == ("0.0.0.0:8080 (process 7: bun index.ts)", "up")


def test_a_unix_socket_is_named_when_nothing_else_listens(tmp_path: Path) -> None:
    inside = Inside(unix_sockets=("/tmp/app.sock",))
    check = start.listens(context(tmp_path, waited=Waited(None, 2.0, RUNNING, inside), logs=()))
    assert check.title == "The app listens on the Unix socket /tmp/app.sock instead of port 8080"


def test_an_error_that_does_not_end_the_process_is_why_nothing_listens(tmp_path: Path) -> None:
    logs = ("$ bun --hot server.ts", "error: no queue", "      at /opt/code/server.ts:1:7")
    check = start.listens(context(tmp_path, waited=Waited(None, 2.0, RUNNING), logs=logs))
    assert check.title == "The app does not listen on any port: error: no queue"


@pytest.mark.parametrize(("found", "said"), [(1, "dist does not ship, and build-app.sh did not make it"), (0, "404")])
def test_a_folder_that_never_ships_is_named_when_its_files_are_missed(tmp_path: Path, found: int, said: str) -> None:
    class App:
        def exec(self, argv: list[str]) -> tuple[int, str]:
            assert argv == ["test", "-e", "dist"]
            return found, ""

    sound = context(tmp_path, waited=Waited(replace(OK, status=404), 0.1, RUNNING), app=App())
    left = (LeftOut("node_modules", "never ships: node_modules"), LeftOut("dist", "never ships: dist"))
    check = start.probe(replace(sound, staged=replace(sound.staged, left_out=left)))
    assert check.title.endswith(said)


def test_an_error_of_the_server_is_told_with_its_answer(tmp_path: Path) -> None:
    waited = Waited(replace(OK, status=500), 0.1, RUNNING)
    check = start.probe(context(tmp_path, waited=waited, logs=("listening", "TypeError: db is null")))
    assert check.title == "The platform's probe GET / is answered with 500: TypeError: db is null"


@pytest.mark.parametrize(
    ("status", "answer"), [(200, "pass"), (302, "pass"), (401, "fail"), (404, "fail"), (500, "fail")]
)
def test_the_probe_wants_2xx_or_3xx(tmp_path: Path, status: int, answer: str) -> None:
    waited = Waited(replace(OK, status=status), 0.1, RUNNING)
    assert start.probe(context(tmp_path, waited=waited)).status == answer


def test_an_app_that_dies_while_it_is_used_is_told(tmp_path: Path) -> None:
    check = start.stable(context(tmp_path, state=exited(9), logs=("TypeError: x",)))
    assert (check.status, check.title) == ("fail", "The app exited with code 9 while it was being used: TypeError: x")
    assert start.stable(context(tmp_path)).status == "pass"


def test_an_app_that_dies_later_or_answers_no_more_is_told_with_the_time(tmp_path: Path) -> None:
    later = start.stable(context(tmp_path, state=exited(9), ran=1.04))
    assert (later.status, later.detail) == ("fail", "1.0 s after its first answer.")
    mute = start.stable(context(tmp_path, ran=3.0, still=Waited(None, 5.0, RUNNING, accepted=True)))
    blocked = context(tmp_path, ran=3.0, still=Waited(None, 5.0, RUNNING, accepted=True), stopped=None)
    assert lifecycle.sigterm(blocked).status == "skip"  # what is blocked hears no signal either: one cause, one finding
    assert mute.title == "The app stopped answering: its probe GET / gets no answer any more 3 s after the first one"
    assert start.stable(context(tmp_path, ran=3.0, still=context(tmp_path).waited)).status == "pass"


def test_what_cannot_be_asked_is_skipped_with_the_reason(tmp_path: Path) -> None:
    down = context(tmp_path, waited=Waited(None, 2.0, exited(1)), stopped=None)
    for check in (start.probe(down), start.stable(down), lifecycle.sigterm(down)):
        assert check.status == "skip"
        assert check.title


def test_stopping_is_judged_by_how_it_ended(tmp_path: Path) -> None:
    assert lifecycle.sigterm(context(tmp_path)).status == "pass"
    killed = lifecycle.sigterm(context(tmp_path, stopped=StopResult(10.1, 137, True)))
    assert (killed.status, killed.title) == (
        "warn",
        "The app ignores SIGTERM and had to be killed: bun index.ts handles it, but goes on",
    )


def test_what_is_left_behind_is_named(tmp_path: Path) -> None:
    assert lifecycle.left_behind(context(tmp_path)).status == "pass"
    left = lifecycle.left_behind(context(tmp_path, left_behind=("bun-to-datarobot-smoke-1",)))
    assert (left.status, left.evidence) == ("fail", ("bun-to-datarobot-smoke-1",))


HOOK = "#!/bin/sh\nset -a\n. ./.env\nset +a\n"


@pytest.mark.parametrize(
    ("hook", "code", "title", "place"),
    [
        (HOOK + "bun index.ts &\n", 0, "start-app.sh ends while the server runs in the background", "start-app.sh:5"),
        (HOOK + "nohup bun index.ts\n", 0, "start-app.sh ends while the server runs", "start-app.sh:5"),
        (HOOK + "bun index.ts > log 2>&1\n", 0, "The app exited with code 0", ""),
        (HOOK + "bun a.ts && bun index.ts\n", 0, "The app exited with code 0", ""),
        (HOOK + "set -e\nread answer\nexec bun index.ts\n", 1, "start-app.sh waits for input", "start-app.sh:6"),
        (HOOK + "exit 0\nexec bun a.ts\n", 0, "start-app.sh ends at line 5 (exit 0), before", "start-app.sh:5  exit 0"),
        (
            HOOK + 'if [ -z "$URL" ]; then exit; fi\nexec bun a.ts\n',
            0,
            "The app exited with code 0, it seems by start-app.sh:5 (exit)",
            "start-app.sh:5  exit",
        ),
        (
            HOOK + 'f() {\n[ -n "$URL" ] || exit 4\n}\nf\nexec bun a.ts\n',
            4,
            "The app exited with code 4, it seems by start-app.sh:6 (exit 4)",
            "start-app.sh:6  exit 4",
        ),
        (HOOK + "[ -d x ] || exit 3\nexec bun a.ts\n", 0, "The app exited with code 0", ""),
        (HOOK + "exec bun a.ts\nexit 0\n", 0, "The app exited with code 0", ""),
    ],
)
def test_an_end_without_an_error_has_its_reason_in_the_hook(
    tmp_path: Path, hook: str, code: int, title: str, place: str
) -> None:
    waited = Waited(None, 0.3, exited(code))
    check = start.listens(context(tmp_path, {"start-app.sh": hook}, waited=waited, logs=()))
    assert check.title.startswith(title)
    assert place in ("", *check.evidence)


def test_an_end_that_some_condition_decides_about_is_blamed_only_when_the_last_word_is_the_hooks_own(
    tmp_path: Path,
) -> None:
    hook = {"start-app.sh": HOOK + 'if [ -z "$URL" ]; then echo "no address"; exit 0; fi\nexec bun a.ts\n'}
    waited = Waited(None, 0.3, exited(0))
    said = {
        word: start.listens(context(tmp_path, hook, waited=waited, logs=(word,))).title
        for word in ("no address", "the queue is empty")
    }
    assert said == {
        "no address": "The app exited with code 0, it seems by start-app.sh:5 (exit 0): no address",
        "the queue is empty": "The app exited with code 0: the queue is empty",
    }


def test_a_loop_around_a_server_that_fails_is_named(tmp_path: Path) -> None:
    logs = ("error: no database", "restarting") * 5
    inside = Inside((Process(1, 0, "sh ./start-app.sh", handles_sigterm=False),))
    check = start.listens(context(tmp_path, waited=Waited(None, 40.0, RUNNING, inside), logs=logs))
    assert check.title == "The app starts over and over: error: no database"
    assert "process 1: sh ./start-app.sh" in check.evidence


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (Process(1, 0, "/bin/sh ./start-app.sh", handles_sigterm=False), "the shell of start-app.sh does not pass it"),
        (Process(1, 0, "bun index.ts", handles_sigterm=False), "bun index.ts has no handler"),
        (Process(1, 0, "bun index.ts", handles_sigterm=True), "bun index.ts handles it, but goes on"),
    ],
)
def test_who_ignores_sigterm_is_named(tmp_path: Path, first: Process, words: str) -> None:
    server = Listener("0.0.0.0", 8080, 9 if "sh " in first.command else 1, "bun index.ts", {})
    check = lifecycle.sigterm(
        context(tmp_path, stopped=StopResult(10, 137, killed=True), inside=Inside((first,), (server,)))
    )
    assert check.status == "warn"
    assert words in check.title


def test_what_another_start_shows(tmp_path: Path) -> None:
    up, down = Waited(OK, 0.4, RUNNING), Waited(None, 0.4, exited(1))
    assert lifecycle.replica(context(tmp_path)).status == "pass"
    assert lifecycle.replica(context(tmp_path, replica=Again(up))).status == "pass"
    moved = lifecycle.replica(context(tmp_path, replica=Again(up, ("./c-1.js", "./c-2.js"))))
    assert (moved.status, moved.evidence) == ("warn", ("./c-1.js", "./c-2.js"))
    assert "./c-1.js is not there at a second replica (and 1 more)" in moved.title
    failed = lifecycle.replica(context(tmp_path, replica=Again(down, logs=("error: held by another",))))
    assert failed.status == "fail"
    assert failed.title.endswith("it exited with code 1: error: held by another")
    locked = context(tmp_path, written=("/opt/code/app.lock",), restarted=Again(down, logs=("EEXIST: error",)))
    assert lifecycle.restart(locked).status == "warn"
    assert "/opt/code/app.lock" in lifecycle.restart(locked).evidence
    assert lifecycle.restart(context(tmp_path, restarted=Again(up))).status == "pass"
    assert lifecycle.restart(context(tmp_path, stopped=None)).status == "skip"


def test_a_start_that_takes_long_is_a_warning(tmp_path: Path) -> None:
    check = start.listens(context(tmp_path, waited=Waited(OK, 70.0, RUNNING)))
    assert (check.status, check.title) == ("warn", "It takes 70 s until the app answers on port 8080")


def test_a_log_that_nobody_can_read_is_warned_of(tmp_path: Path) -> None:
    assert start.log(context(tmp_path, log_size=10_000)).status == "pass"
    assert start.log(context(tmp_path, log_size=start.MUCH_LOG + 1)).status == "warn"


ZOD = """\
ZodError: [
  {
    "expected": "string",
    "code": "invalid_type",
    "path": [
      "DATABASE_URL"
    ],
    "message": "Invalid input: expected string, received undefined"
  }
]

Bun v1.4.4 (Linux x64)
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            'error: DATABASE_URL is not set\n\nBun v1.4.4\nerror: script "start" exited with code 1',
            "error: DATABASE_URL is not set",
        ),
        (ZOD, "ZodError: DATABASE_URL: Invalid input: expected string, received undefined"),
        ("Error: invalid environment:\n  PORT is no number", "Error: invalid environment: PORT is no number"),
        ("listening\nready", "ready"),
        ('error: script "start" exited with code 1', 'error: script "start" exited with code 1'),
        ("", ""),
    ],
)
def test_the_reason_comes_before_who_tells_that_there_was_one(log: str, said: str) -> None:
    assert start.last(tuple(log.splitlines())) == said


@pytest.mark.parametrize(
    ("loop", "waits"),
    [
        ('while read -r line; do export "$line"; done < .env\n', False),
        ('while read -r line\ndo\n  export "$line"\ndone < .env\n', False),
        ("read -r first < VERSION\n", False),
        ('while read -r line; do echo "$line"; done\n', True),
    ],
)
def test_a_hook_that_reads_a_file_waits_for_nobody(tmp_path: Path, loop: str, waits: bool) -> None:
    hook = {"start-app.sh": HOOK + loop + "exec bun a.ts\n"}
    waited = Waited(None, 0.3, exited(1))
    check = start.listens(context(tmp_path, hook, waited=waited, logs=()))
    assert ("waits for input" in check.title) == waits

"""Pulumi's child: what it is given, what its lines mean, and that it never outlives us. Here it is a small script."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from toolkit import child, deadruns, stack
from toolkit.child import Driver, environment
from toolkit.errors import (
    ConfigurationError,
    DeploymentFailed,
    StackLocked,
    Stopped,
    ToolkitError,
    ToolMissing,
)
from toolkit.stack import StackMissing, StackResult, run
from toolkit.stackconfig import StackInputs
from toolkit.tools import Plugin, Tool

TOKEN = "NjZmYWtlMTIzNDU2Nzg5MGFiY2RlZjpQbGVhc2VEb05vdFNob3dNZQ=="
ENDPOINT = "https://app.datarobot.com/api/v2"
INPUTS = StackInputs("app", "dev", "../context.zip", (("../a.ts", "a.ts"),))
OUTPUTS = {
    "app_id": "a1",
    "app_url": "https://x/custom_applications/a1/",
    "execution_environment_id": "e1",
    "execution_environment_version_id": "v1",
    "source_version_id": "s1",
}
DeployBy = Callable[..., StackResult]


@pytest.fixture
def driver(tmp_path: Path) -> Callable[[str], Driver]:
    """Make a driver whose interpreter is a script with this body; `say` writes an event, `hear` reads a line."""

    def make(body: str, **changes: Any) -> Driver:
        script = tmp_path / "python"
        script.write_text(
            f"#!{sys.executable} -IS\n"
            "import json, os, signal, sys, time\n"
            "def say(**event): print(json.dumps(event), flush=True)\n"
            "def hear(): return sys.stdin.readline()\n"
            "request = json.loads(hear())\n" + textwrap.dedent(body)
        )
        script.chmod(0o755)
        pulumi = tmp_path / "tools" / "bin" / "pulumi"
        pulumi.parent.mkdir(parents=True, exist_ok=True)
        pulumi.touch(mode=0o755)
        (tmp_path / "infra").mkdir(exist_ok=True)
        values: dict[str, Any] = {
            "python": script,
            "pulumi": Tool(pulumi, "3.250.0", "test"),
            "plugin": Plugin("0.10.43", "test", stand_in=True, folder=tmp_path / "plugin"),
            "infra": tmp_path / "infra",
            "work_dir": tmp_path / "work" / "dev",
            "stack": "dev",
            "environ": {"PATH": os.defpath, "DATAROBOT_API_TOKEN": TOKEN},
        }
        return Driver(**{**values, **changes})

    return make


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else True


# --- the environment of the child -------------------------------------------------------------------------------------

PARENT = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "HTTPS_PROXY": "http://proxy:3128",
    "no_proxy": "localhost",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "PULUMI_HOME": "/opt/pulumi",
    "AWS_SECRET_ACCESS_KEY": "for-the-state",
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "AZURE_STORAGE_KEY": "for-the-state",
    "DATAROBOT_TIMEOUT_MINUTES": "7",
    "DATAROBOT_API_TOKEN": "another-token-of-the-shell",
    "DATAROBOT_ENDPOINT": "https://elsewhere",
    "DATAROBOT_TRACE_CONTEXT": "x",
    "GITHUB_TOKEN": "a-secret",
    "MY_PASSWORD": "a-secret",
    "NPM_TOKEN": "a-secret",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "PYTHONPATH": "/evil",
    "PYTHONSTARTUP": "/evil.py",
    "VIRTUAL_ENV": "/venv",
    "LD_PRELOAD": "/evil.so",
    "TF_LOG": "TRACE",
    "BASH_ENV": "/evil.sh",
    "PULUMI_DEBUG_GRPC": "/tmp/grpc.json",
    "PULUMI_CONFIG": "{}",
    "PULUMI_ACCESS_TOKEN": "pul-of-the-shell",
    "PULUMI_STACK": "other",
    "PULUMI_BACKEND_URL": "https://api.pulumi.com",
    "PULUMI_CONFIG_PASSPHRASE": "of-the-shell",
    "EMPTY": "",
}


def child_environment(parent: Mapping[str, str] = PARENT, folder: Path | None = None, **backend: str) -> dict[str, str]:
    tools = (Tool(Path("/tools/bin/pulumi"), "3", ""), Plugin("0", "", stand_in=folder is not None, folder=folder))
    return environment(parent, tools, endpoint=ENDPOINT, token=TOKEN, backend=backend)


def test_the_child_is_given_what_programs_need_and_nothing_else() -> None:
    found = child_environment(PULUMI_BACKEND_URL="file:///state", PULUMI_CONFIG_PASSPHRASE_FILE="/p")
    assert set(found) == {
        *("PATH", "HOME", "LANG", "HTTPS_PROXY", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "PULUMI_HOME"),
        *("AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_KEY", "DATAROBOT_TIMEOUT_MINUTES"),
        *("DATAROBOT_API_TOKEN", "DATAROBOT_ENDPOINT", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"),
        *("PULUMI_SKIP_UPDATE_CHECK", "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK", "PYTHONUNBUFFERED"),
        "PULUMI_ENABLE_LEGACY_REFRESH_DIFF",
    }
    assert found["PULUMI_BACKEND_URL"] == "file:///state"
    assert (found["DATAROBOT_API_TOKEN"], found["DATAROBOT_ENDPOINT"]) == (TOKEN, ENDPOINT)
    assert "" not in found.values()


def test_no_proxy_stands_between_pulumi_and_its_program() -> None:
    """gRPC would ask the proxy for 127.0.0.1, too."""
    found = child_environment()
    assert found["NO_PROXY"] == found["no_proxy"] == "localhost,127.0.0.1,::1"
    found = child_environment({"http_proxy": "http://proxy:3128", "NO_PROXY": ".corp,localhost"})
    assert found["NO_PROXY"] == found["no_proxy"] == ".corp,localhost,127.0.0.1,::1"
    assert "NO_PROXY" not in child_environment({"PATH": "/usr/bin"})


def test_nothing_of_the_shells_account_or_secrets_gets_through() -> None:
    found = child_environment()
    for value in ("another-token-of-the-shell", "https://elsewhere", "a-secret", "/evil", "/evil.so", "TRACE"):
        assert value not in found.values()


def test_a_passphrase_of_the_shell_does_not_beat_the_chosen_one() -> None:
    """Pulumi takes the variable before the file; so one that nobody chose must not be there."""
    found = child_environment(PULUMI_CONFIG_PASSPHRASE_FILE="/p", PULUMI_BACKEND_URL="file:///state")
    assert "PULUMI_CONFIG_PASSPHRASE" not in found
    assert "PULUMI_ACCESS_TOKEN" not in found


def test_tools_come_first_on_the_path() -> None:
    assert child_environment()["PATH"] == f"/tools/bin{os.pathsep}/usr/bin"
    assert child_environment(folder=Path("/plug"))["PATH"].split(os.pathsep) == ["/plug", "/tools/bin", "/usr/bin"]
    assert child_environment({})["PATH"] == f"/tools/bin{os.pathsep}{os.defpath}"


def test_the_child_really_gets_that_environment_and_no_secret_in_its_arguments(driver: Any) -> None:
    result = run(
        driver("say(event='seen', environ=dict(os.environ), argv=sys.argv, cwd=os.getcwd()); say(event='result')"),
        "preview",
    )
    (seen,) = result.events
    assert set(seen["environ"]) - {"LC_CTYPE"} == {"PATH", "DATAROBOT_API_TOKEN", "PYTHONPATH"}
    assert TOKEN not in str(seen["argv"])
    assert seen["cwd"].endswith("/infra")


# --- what is asked and answered ---------------------------------------------------------------------------------------


def test_the_request_names_everything(driver: Any, tmp_path: Path) -> None:
    result = run(driver("say(event='seen', **request); say(event='result')"), "preview", INPUTS)
    (seen,) = result.events
    assert (seen["action"], seen["stack"]) == ("preview", "dev")
    assert seen["work_dir"] == str(tmp_path / "work" / "dev")
    assert seen["program_dir"] == str(tmp_path / "infra")
    assert seen["pulumi_root"] == str(tmp_path / "tools")
    assert seen["inputs"]["files"] == [["../a.ts", "a.ts"]]
    assert TOKEN not in json.dumps(seen)


def test_a_cli_of_another_name_is_linked_where_pulumi_looks(driver: Any, tmp_path: Path) -> None:
    odd = tmp_path / "opt" / "pulumi-3.250"
    odd.parent.mkdir()
    odd.touch(mode=0o755)
    for _ in range(2):
        made = driver("say(event='seen', **request); say(event='result')", pulumi=Tool(odd, "3", ""))
        root = Path(run(made, "preview").events[0]["pulumi_root"])
        assert (root / "bin" / "pulumi").resolve() == odd
    other = odd.with_name("other")
    other.touch(mode=0o755)
    made = driver("say(event='seen', **request); say(event='result')", pulumi=Tool(other, "3", ""))
    assert (Path(run(made, "preview").events[0]["pulumi_root"]) / "bin" / "pulumi").resolve() == other


def test_the_result_has_changes_outputs_and_events(driver: Any) -> None:
    heard: list[dict[str, Any]] = []
    body = f"""
        say(event='start', op='create'); say(event='done', op='create')
        say(event='result', changes={{'create': 2, 'same': 1}}, outputs={OUTPUTS!r}, resources=[{{'type': 'x'}}])
    """
    result = run(driver(body), "deploy", INPUTS, on_event=heard.append)
    assert (result.changes, result.changed, result.stopped) == ({"create": 2, "same": 1}, 2, False)
    assert result.outputs is not None
    assert result.outputs.app_id == "a1"
    assert [event["event"] for event in result.events] == ["start", "done"]
    assert [event["event"] for event in heard] == ["start", "done"]
    assert result.resources == ({"type": "x"},)
    assert run(driver("say(event='result')"), "destroy").outputs is None


ASKING = """
    say(event='preview', changes={'create': 3})
    answer = hear().strip()
    say(event='result', changes={'create': 3 if answer == 'go' else 0}, stopped=answer != 'go', heard=answer)
"""


@pytest.mark.parametrize("yes", [True, False])
def test_the_person_decides_after_the_preview(driver: Any, yes: bool) -> None:
    asked: list[Mapping[str, int]] = []

    def decide(changes: Mapping[str, int]) -> bool:
        asked.append(changes)
        return yes

    result = run(driver(ASKING), "deploy", INPUTS, decide=decide)
    assert asked == [{"create": 3}]
    assert result.stopped is not yes
    assert result.changed == (3 if yes else 0)


def test_nobody_is_asked_where_nothing_changes(driver: Any) -> None:
    def decide(_changes: Mapping[str, int]) -> bool:
        pytest.fail("asked")

    assert run(driver("say(event='result', changes={'same': 4})"), "deploy", decide=decide).changed == 0


def test_lines_that_are_no_events_are_output(driver: Any) -> None:
    body = """
        for line in ("a warning of some library", '"a string"', "[1]", "null", "{broken", ""):
            print(line, flush=True)
        sys.stdout.buffer.write(b"caf\\xe9\\n"); sys.stdout.flush()
        say(event='result')
    """
    result = run(driver(body), "preview")
    assert [event["event"] for event in result.events] == ["output"] * 7
    assert result.events[0]["text"] == "a warning of some library"
    assert "caf" in result.events[-1]["text"]


def test_events_without_a_kind_are_output(driver: Any) -> None:
    result = run(
        driver("print('{}'); print('{\"x\": 1}'); say(event='result')"), "preview", on_event=lambda e: e["event"]
    )
    assert [event["event"] for event in result.events] == ["output", "output"]


def test_output_after_the_result_does_not_hide_it(driver: Any) -> None:
    body = "say(event='result', changes={'create': 1}); print('a farewell of some library')"
    assert run(driver(body), "preview").changed == 1


def test_much_on_both_pipes_blocks_nobody(driver: Any) -> None:
    body = """
        for number in range(3000):
            sys.stderr.write("e" * 200 + "\\n")
            say(event='done', op='same', filler='o' * 200)
        say(event='result')
    """
    assert len(run(driver(body), "preview").events) == 3000


# --- what goes wrong --------------------------------------------------------------------------------------------------


def failing(driver: Any, body: str, kind: type[ToolkitError] = DeploymentFailed) -> ToolkitError:
    with pytest.raises(kind) as caught:
        run(driver(body), "deploy", INPUTS)
    assert type(caught.value) is kind
    assert caught.value.hint
    assert TOKEN not in f"{caught.value.message} {caught.value.hint} {caught.value.details}"
    return caught.value


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("sys.exit('ModuleNotFoundError: no pulumi')", "no pulumi"),
        ("sys.exit(0)", ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("say(event='start'); sys.exit('Traceback: it broke')", "it broke"),
        ("say(event='preview', changes={}); sys.exit('died before it heard')", "died before it heard"),
        ("sys.stdin.close(); say(event='preview', changes={}); time.sleep(.1); sys.exit('deaf')", "deaf"),
    ],
)
def test_a_child_that_dies_is_told_with_its_last_words(driver: Any, body: str, word: str) -> None:
    error = failing(driver, body)
    assert error.exit_code == 5
    assert error.details
    assert word in "\n".join(error.details)


def test_an_error_shows_pulumis_own_diagnostics(driver: Any) -> None:
    body = """
        say(event='diagnostic', severity='warning', text='never mind')
        say(event='diagnostic', severity='error', text='409 Conflict\\n  name already in use\\n')
        say(event='diagnostic', severity='error', text='update failed')
        say(event='error', kind='pulumi', text='code: 255\\nstdout: long\\n')
    """
    assert failing(driver, body).details == ("409 Conflict", "  name already in use", "update failed")


@pytest.mark.parametrize(
    ("text", "kind", "code", "words"),
    [
        ("Error creating X: POST u : response 401 Unauthorized {}", stack.DeploymentDenied, 3, "not know this token"),
        ("Custom Application is not ready: application is not ready", stack.DeploymentTimedOut, 9, "not ready in time"),
        ("Error creating X: POST u : response 503 Service Unavailable {}", DeploymentFailed, 5, "is in trouble"),
        ("something that nobody knows", DeploymentFailed, 5, "could not carry out"),
    ],
)
def test_a_known_cause_is_part_of_the_message_and_of_the_exit_code(
    driver: Any, text: str, kind: type[ToolkitError], code: int, words: str
) -> None:
    body = f"say(event='diagnostic', severity='error', text={text!r}); say(event='error', kind='pulumi', text='x')"
    error = failing(driver, body, kind)
    assert error.exit_code == code
    assert words in error.message
    assert isinstance(error, DeploymentFailed)
    assert error.hint


def test_an_error_without_diagnostics_shows_the_end_of_the_text(driver: Any) -> None:
    text = "\\n".join(f"line {number}" for number in range(100))
    details = failing(driver, f"say(event='error', kind='pulumi', text='{text}')").details
    assert details[-1] == "line 99"
    assert len(details) == 20


def test_the_token_is_starred_in_what_pulumi_says(driver: Any) -> None:
    body = f"say(event='error', kind='pulumi', text='curl -H Bearer {TOKEN} failed')"
    assert "****" in failing(driver, body).details[0]


@pytest.mark.parametrize(
    ("event", "kind", "exit_code", "word"),
    [
        ({"kind": "no-stack", "text": "no stack"}, StackMissing, 2, "--stack dev"),
        ({"kind": "locked", "text": "the stack is currently locked by 1 lock(s)"}, StackLocked, 7, "cancel"),
        ({"kind": "pulumi", "text": "error: the stack is currently locked by 1 lock(s)"}, StackLocked, 7, "cancel"),
        ({"kind": "version", "text": "Minimum version is 3.1\nmore"}, ToolMissing, 10, "Update"),
        ({"kind": "version", "text": ""}, ToolMissing, 10, "Update"),
        ({"kind": "pulumi", "text": "error: incorrect passphrase"}, ConfigurationError, 2, "PASSPHRASE"),
        ({"kind": "pulumi", "text": "something else"}, DeploymentFailed, 5, ""),
    ],
)
def test_errors_have_their_classes(
    driver: Any, event: dict[str, str], kind: type[ToolkitError], exit_code: int, word: str
) -> None:
    error = failing(driver, f"say(event='error', **{event!r})", kind)
    assert error.exit_code == exit_code
    assert word in error.hint
    assert error.message.strip()


def test_an_interpreter_that_is_not_there_is_named(driver: Any, tmp_path: Path) -> None:
    with pytest.raises(ToolMissing) as caught:
        run(driver("", python=tmp_path / "gone"), "preview")
    assert "gone" in caught.value.message
    assert "nox -s deploy" in caught.value.hint


def test_an_error_in_a_callback_leaves_no_child(driver: Any) -> None:
    pids: list[int] = []

    def on_event(event: dict[str, Any]) -> None:
        pids.append(event["pid"])
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        run(driver("say(event='start', pid=os.getpid()); time.sleep(60)"), "deploy", on_event=on_event)
    assert not alive(pids[0])


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


def interrupting(driver: Any, body: str) -> list[int]:
    """Run a child that says its process ids, and interrupt when it has said them."""
    pids: list[int] = []

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "pids":
            pids.extend(event["pids"])
            raise KeyboardInterrupt

    with pytest.raises(Stopped) as caught:
        run(driver(body), "deploy", INPUTS, on_event=on_event)
    assert caught.value.error.exit_code == 8
    return pids


def test_ctrl_c_ends_the_child_and_its_children(driver: Any) -> None:
    body = """
        import subprocess
        child = subprocess.Popen(["sleep", "60"])
        say(event='pids', pids=[os.getpid(), child.pid])
        time.sleep(60)
    """
    started = time.monotonic()
    pids = interrupting(driver, body)
    assert time.monotonic() - started < 5
    assert len(pids) == 2
    for pid in pids:
        deadline = time.monotonic() + 2
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not alive(pid)


def test_ctrl_c_lets_pulumi_finish_its_step(driver: Any, tmp_path: Path) -> None:
    body = f"""
        def finish(*_):
            time.sleep(0.3)
            open({str(tmp_path / "finished")!r}, "w").close()
            sys.exit(1)
        signal.signal(signal.SIGINT, finish)
        say(event='pids', pids=[os.getpid()])
        time.sleep(60)
    """
    (pid,) = interrupting(driver, body)
    assert (tmp_path / "finished").exists()
    assert not alive(pid)


def test_a_child_that_writes_while_it_finishes_is_not_stuck(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds, with nobody reading any more: the child must get rid of it to end in order."""
    body = """
        def finish(*_):
            for _ in range(2000):
                say(event='done', filler='x' * 200)
            sys.exit(1)
        signal.signal(signal.SIGINT, finish)
        say(event='pids', pids=[os.getpid()])
        time.sleep(60)
    """
    started = time.monotonic()
    (pid,) = interrupting(driver, body)
    assert time.monotonic() - started < 4
    assert not alive(pid)


def test_a_child_that_will_not_listen_is_killed(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "CANCEL_GRACE", 0.2)
    monkeypatch.setattr(child, "KILL_GRACE", 0.2)
    body = """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        say(event='pids', pids=[os.getpid()])
        while True:
            time.sleep(1)
    """
    (pid,) = interrupting(driver, body)
    assert not alive(pid)


def test_a_second_ctrl_c_while_waiting_still_leaves_no_child(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = time.sleep

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            raise KeyboardInterrupt
        real(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(child, "KILL_GRACE", 0.2)
    body = """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say(event='pids', pids=[os.getpid()])
        time.sleep(60)
    """
    (pid,) = interrupting(driver, body)
    assert not alive(pid)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "no changes"),
        ({"same": 4}, "no changes"),
        ({"create": 1, "same": 3}, "1 to create, 3 unchanged"),
        ({"delete": 1, "update": 2, "create": 3, "replace": 1}, "3 to create, 2 to update, 1 to replace, 1 to delete"),
        ({"read": 1}, "no changes"),
    ],
)
def test_numbers_in_words(changes: dict[str, int], words: str) -> None:
    assert stack.counted(changes) == words


def test_what_was_done_in_words() -> None:
    changes = {"create": 1, "update": 2, "replace": 1, "delete": 3, "same": 4}
    assert stack.counted(changes, done=True) == "1 created, 2 updated, 1 replaced, 3 removed, 4 unchanged"


def test_when_no_answer_can_be_had_the_child_stops_in_order_and_at_once(driver: Any) -> None:
    body = """
    signal.signal(signal.SIGINT, lambda *_: None)
    say(event="preview", changes={"create": 1})
    answer = hear().strip()
    open("../answer", "w").write(answer)
    """
    started = time.monotonic()
    made = driver(body)
    with pytest.raises(ConfigurationError):
        run(made, "deploy", INPUTS, decide=lambda _changes: (_ for _ in ()).throw(ConfigurationError("nobody there")))
    assert time.monotonic() - started < 5
    assert (made.infra.parent / "answer").read_text() == "stop"


def test_the_childs_last_line_is_no_event_for_others(driver: Any) -> None:
    seen: list[str] = []
    run(
        driver('say(event="up"); say(event="result", changes={}, outputs={})'),
        "deploy",
        INPUTS,
        on_event=lambda event: seen.append(event["event"]),
    )
    assert seen == ["up"]


HERE = socket.gethostname()
LOCKED = """error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or
  file:///state/.pulumi/locks/organization/x/local/1.json: created by ann@{host} (pid {pid}) at 2026-11-23T10:00:00Z"""


@pytest.mark.parametrize(
    ("host", "pid", "dead"),
    [
        (socket.gethostname(), 2**22 + 1, True),
        (socket.gethostname(), os.getpid(), True),
        ("elsewhere", 2**22 + 1, False),
    ],
    ids=["no process", "another process", "another machine"],
)
def test_whether_the_owner_of_a_lock_is_dead(host: str, pid: int, dead: bool) -> None:
    owner = stack.lock_owner(LOCKED.format(host=host, pid=pid))
    assert owner is not None
    assert str(owner) == f"ann@{host} (process {pid}) since 2026-11-23T10:00:00Z"
    assert owner.is_gone is dead  # this process has the number, but it is no Pulumi
    assert stack.is_dead(owner, None) is dead
    assert stack.lock_owner("nothing of the kind") is None


def test_a_pulumi_that_is_dead_and_that_nobody_has_collected_is_gone(tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\nread line\n")
    program.chmod(0o755)
    running = subprocess.Popen([program], stdin=subprocess.PIPE)
    owner = stack.LockOwner("ann", HERE, running.pid, "2026-11-23T10:00:00Z")
    until = time.monotonic() + 5
    while owner.is_gone and time.monotonic() < until:  # it is another program until it has become this one
        time.sleep(0.01)
    assert not owner.is_gone
    running.kill()
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{running.pid}").exists()
    assert owner.is_gone
    running.communicate()


# --- what the child asks beside the preview ---------------------------------------------------------------------------

HOLDING = """
    say(event='state', mark='0a1b', pending=1)
    first = hear().strip()
    say(event='held', mark='0a1b')
    say(event='result', changes={}, heard=first + ', ' + hear().strip(), mark='0a1b')
"""


def test_what_the_child_asks_is_answered_and_shown_to_nobody(driver: Any) -> None:
    seen: list[str] = []
    answers = {"state": lambda event: f"go {event['pending']}", "held": lambda event: f"let go of {event['mark']}"}
    body = HOLDING + "    assert first == 'go 1', first\n"
    result = run(driver(body), "deploy", INPUTS, on_event=lambda event: seen.append(event["event"]), answers=answers)
    assert (result.mark, seen) == ("0a1b", [])


def test_without_answers_it_goes_on(driver: Any) -> None:
    assert run(driver(HOLDING + "    assert first == 'go', first\n"), "destroy").mark == "0a1b"


@pytest.mark.parametrize("locks", [True, False], ids=["it may hold one", "it only previews"])
def test_the_lock_of_a_pulumi_that_had_to_be_killed_is_removed_and_nobody_elses(
    driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    monkeypatch.setattr(child, "CANCEL_GRACE", 0.2)
    monkeypatch.setattr(child, "KILL_GRACE", 0.2)
    says = "say(event='locks'); " if locks else ""
    made = driver(f"signal.signal(signal.SIGINT, signal.SIG_IGN); {says}say(event='start'); time.sleep(60)")
    made.work_dir.mkdir(parents=True)
    made.pulumi.path.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\n')

    def on_event(_event: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Stopped):
        run(made, "deploy", INPUTS, on_event=on_event)
    asked = tmp_path / "asked"
    assert (asked.read_text() if asked.exists() else "") == ("cancel --yes --stack dev\n" if locks else "")


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("say(event='locks'); say(event='result')", False),
        ("say(event='locks'); say(event='error', kind='pulumi', text='killed'); sys.exit(1)", True),
        ("say(event='error', kind='pulumi', text='no'); sys.exit(1)", False),
        ("say(event='locks'); say(event='error', kind='locked', text='by ann'); sys.exit(1)", False),
        ("say(event='locks'); say(event='error', kind='pulumi', text='currently locked by ann'); sys.exit(1)", False),
    ],
    ids=["it ends well", "it fails while Pulumi holds it", "it never took it", "refused", "refused in other words"],
)
def test_when_pulumi_may_have_left_its_lock_that_is_noted(driver: Any, tmp_path: Path, body: str, left: bool) -> None:
    runs = tmp_path / "locks" / "dev.runs"
    made = driver(body, runs=runs)
    with suppress(DeploymentFailed, StackLocked):
        run(made, "deploy", INPUTS)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert deadruns.covers(runs, now) is left


def test_while_pulumi_holds_the_lock_that_is_noted_and_who_removes_it_takes_the_note_back(
    driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "CANCEL_GRACE", 0.2)
    monkeypatch.setattr(child, "KILL_GRACE", 0.2)
    runs = tmp_path / "locks" / "dev.runs"
    body = "signal.signal(signal.SIGINT, signal.SIG_IGN); say(event='locks'); say(event='start'); time.sleep(60)"
    made = driver(body, runs=runs)
    made.work_dir.mkdir(parents=True)
    made.pulumi.path.write_text("#!/bin/sh\n")
    noted: list[Any] = []

    def on_event(_event: dict[str, Any]) -> None:
        noted.extend(json.loads(runs.read_text()))
        raise KeyboardInterrupt

    with pytest.raises(Stopped):
        run(made, "deploy", INPUTS, on_event=on_event)
    assert [one[2] for one in noted] == [os.getpid()]
    assert json.loads(runs.read_text()) == []


def test_cancelling_takes_seven_seconds_at_most() -> None:
    assert child.CANCEL_GRACE + 2 * child.KILL_GRACE + child.UNLOCK_GRACE < 7


# --- a child that is started beforehand -------------------------------------------------------------------------------

WAITS = """
    def said(*names):
        for name in names: say(event=name, pid=os.getpid(), changes={})
    said('state')
    answer = hear().strip()
    if answer != 'go': sys.exit(3)
    said('preview')
    answer = hear().strip()
    say(event='result', changes={'same': 3}, mark=answer)
"""


def test_a_child_that_was_asked_ahead_is_carried_on_with(driver: Any) -> None:
    drive = driver(WAITS)
    warm = child.Warm(drive)
    states: list[Mapping[str, Any]] = []

    def settled(state: Mapping[str, Any]) -> bool:
        states.append(state)
        return True

    stack.ask_ahead(drive, warm, INPUTS, "hello", settled)
    assert [one["event"] for one in states] == ["state"]
    told: list[Mapping[str, Any]] = []
    answers = {"state": lambda event: pytest.fail("it was answered before")}
    result = run(drive, "deploy", INPUTS, message="hello", on_event=told.append, answers=answers, warm=warm)
    assert (result.changes, result.mark) == ({"same": 3}, "go")
    assert {one["pid"] for one in (*states, *told)} == {warm.process.pid}
    assert not alive(warm.process.pid)


def test_what_is_not_settled_is_answered_by_whoever_carries_on(driver: Any) -> None:
    drive = driver(WAITS)
    warm = child.Warm(drive)
    stack.ask_ahead(drive, warm, INPUTS, "", lambda _state: False)
    asked: list[str] = []

    def answer(event: Mapping[str, Any]) -> str:
        asked.append(event["event"])
        return "go"

    assert run(drive, "deploy", INPUTS, answers={"state": answer}, warm=warm).mark == "go"
    assert asked == ["state"]


def test_a_child_that_was_asked_for_something_else_is_ended(driver: Any) -> None:
    drive = driver(WAITS)
    warm = child.Warm(drive)
    stack.ask_ahead(drive, warm, INPUTS, "one", lambda _state: True)
    told: list[Mapping[str, Any]] = []
    assert run(drive, "deploy", INPUTS, message="another", on_event=told.append, warm=warm).mark == "go"
    assert not alive(warm.process.pid)
    assert {one["pid"] for one in told} != {warm.process.pid}


@pytest.mark.parametrize("asked", [False, True])
def test_a_child_that_nobody_wants_is_ended_at_once(driver: Any, asked: bool) -> None:
    drive = driver("signal.signal(signal.SIGINT, lambda *_: None)\n" + textwrap.dedent(WAITS))
    warm = child.Warm(drive)
    if asked:
        stack.ask_ahead(drive, warm, INPUTS, "", lambda _state: False)
    started = time.monotonic()
    warm.end()
    assert time.monotonic() - started < child.CANCEL_GRACE
    assert not alive(warm.process.pid)
    warm.end()  # once more is no error


def test_a_child_that_nobody_wants_and_that_does_not_listen_is_killed(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "CANCEL_GRACE", 0.2)
    drive = driver("signal.signal(signal.SIGINT, signal.SIG_IGN)\nsay(event='state')\ntime.sleep(60)")
    warm = child.Warm(drive)
    stack.ask_ahead(drive, warm, INPUTS, "", lambda _state: False)
    started = time.monotonic()
    warm.end()
    assert time.monotonic() - started < child.CANCEL_GRACE + child.KILL_GRACE + 2
    assert not alive(warm.process.pid)

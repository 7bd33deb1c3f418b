"""Drive Pulumi: start the child in the deploy environment, pass its events on, and give typed results or errors."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolkit import explain, stackconfig
from toolkit.errors import (
    Cancelled,
    ConfigurationError,
    DeploymentFailed,
    PermissionDenied,
    StackLocked,
    TimedOut,
    ToolMissing,
)
from toolkit.settings import SHORTEST_SECRET
from toolkit.stackconfig import StackInputs, StackOutputs
from toolkit.tools import Plugin, Tool

Action = Literal["preview", "deploy", "destroy", "tidy", "describe", "history", "refresh", "cancel", "export", "import"]
Event = dict[str, Any]
OnEvent = Callable[[Event], None]
Decide = Callable[[Mapping[str, int]], bool]
Answer = Callable[[Event], str]
UNDER_LOCK = ("deploy", "destroy", "refresh", "tidy")
CHANGING = ("create", "update", "replace", "delete")
# Seconds, 7 in all as GitHub gives them: Pulumi may finish or undo its step, then it has to stop, then it is killed and
# its lock removed.
CANCEL_GRACE, KILL_GRACE, UNLOCK_GRACE = 3.5, 0.8, 1.5
# What the settings decide; whatever the shell says about these is already in the settings.
DECIDED = {
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_BACKEND_URL",
    "PULUMI_CONFIG",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "PULUMI_STACK",
}
HERE = ("127.0.0.1", "localhost", "::1")
_LOCKED_BY = re.compile(r"created by (\S+?)@(\S+) \(pid (\d+)\) at (\S+)")
ENDS = {"result", "error"}  # the last line of the child
INNER = {"state", "held"}  # between child and parent only
DONE = {"create": "created", "update": "updated", "replace": "replaced", "delete": "removed"}
SHOWN_NOWHERE = ("DATAROBOT_API_TOKEN", "PULUMI_ACCESS_TOKEN")


def _silent(_event: Event) -> None:
    return


def _always(_changes: Mapping[str, int]) -> bool:
    return True


def _go(_event: Event) -> str:
    return "go"


class StackMissing(ConfigurationError):
    """The stack does not exist in the state backend."""


class DeploymentDenied(DeploymentFailed):
    """A deployment that failed because the platform refused the token."""

    exit_code = PermissionDenied.exit_code


class DeploymentTimedOut(DeploymentFailed):
    """A deployment that failed because something did not come about in time."""

    exit_code = TimedOut.exit_code


FAILURES: Mapping[explain.Kind, type[DeploymentFailed]] = {
    "failed": DeploymentFailed,
    "denied": DeploymentDenied,
    "timeout": DeploymentTimedOut,
}
UNKNOWN = "The reason stands above. What was done so far is kept, and the same command goes on from there."


def missing(name: str) -> StackMissing:
    """Give the error that says so."""
    return StackMissing(f"There is no stack {name!r}.", hint=f"Deploy it first: invoke deploy --stack {name}")


@dataclass(frozen=True)
class Driver:
    """What every call needs: interpreter of the deploy environment, CLI, plugin, folders, and the child's environment.

    `environ` holds endpoint, token, state backend and passphrase; nothing else reaches Pulumi.
    """

    python: Path
    pulumi: Tool
    plugin: Plugin
    infra: Path
    work_dir: Path
    stack: str
    environ: Mapping[str, str]


@dataclass(frozen=True)
class StackResult:
    """What an action did: number of resources per operation, outputs, and the events on the way.

    `stopped` says that the person did not want what the preview showed.
    """

    changes: Mapping[str, int]
    outputs: StackOutputs | None
    resources: tuple[Mapping[str, str], ...] = ()
    updates: tuple[Mapping[str, Any], ...] = ()
    stopped: bool = False
    mark: str = ""
    state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    events: tuple[Event, ...] = field(default=(), repr=False)

    @property
    def changed(self) -> int:
        """How many resources are created, updated, replaced or deleted."""
        return sum(self.changes.get(kind, 0) for kind in CHANGING)


def run(
    driver: Driver,
    action: Action,
    inputs: StackInputs | None = None,
    *,
    refresh: bool = False,
    message: str = "",
    most: int = 20,
    state: Mapping[str, Any] | None = None,
    on_event: OnEvent = _silent,
    decide: Decide = _always,
    answers: Mapping[str, Answer] | None = None,
) -> StackResult:
    """Carry out one action on the stack; `deploy` asks `decide` (with the number of changes) after its preview.

    `answers` answer other events after which the child waits (`state`, `held`: see `automation`); `go` when missing.

    With `refresh` it first reads into the state what the platform really has. `message` is what the history shows of a
    deployment, `most` how many entries of it are wanted. `state` is what `import` brings back. A lock whose owner has
    died on this machine is removed, with an event that says so.

    Raises StackMissing, StackLocked, ToolMissing or DeploymentFailed (its details are Pulumi's own diagnostics), and
    Cancelled when the person ended it; the child is never left behind.
    """
    request: dict[str, Any] = {
        "action": action,
        "stack": driver.stack,
        "work_dir": str(driver.work_dir),
        "program_dir": str(driver.infra),
        "pulumi_root": str(_pulumi_root(driver)),
        "inputs": stackconfig.to_json(inputs) if inputs else None,
        "refresh": refresh,
        "message": message or None,
        "most": most,
    }
    if state is not None:
        request["state"] = state
    if inputs and inputs.token_parameter:
        request["token"] = driver.environ.get("DATAROBOT_API_TOKEN", "")
    replies: dict[str, Answer] = {
        "state": _go,
        "held": _go,
        "preview": lambda event: "go" if decide(event.get("changes", {})) else "stop",
        **(answers or {}),
    }
    try:
        return _carried_out(driver, request, on_event, replies)
    except StackLocked as locked:
        owner = lock_owner("\n".join(locked.details))
        if owner is None or not owner.is_dead:
            raise
        on_event({"event": "line", "text": f"Removed the lock of {owner}: that process is gone.", "audit": True})
        _carried_out(driver, {**request, "action": "cancel", "inputs": None}, _silent, {})
        return _carried_out(driver, request, on_event, replies)


@dataclass(frozen=True)
class LockOwner:
    """Who holds the lock of a stack, as Pulumi tells it."""

    user: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (process {self.pid}) since {self.since}"

    @property
    def is_dead(self) -> bool:
        """Whether that is certain: it ran on this machine, and no Pulumi has its number any more."""
        if self.host != socket.gethostname():
            return False
        try:
            name = Path(f"/proc/{self.pid}/comm").read_text().strip()
        except FileNotFoundError:
            return Path("/proc/self").exists()
        except OSError:
            return False
        return name != "pulumi"


def lock_owner(text: str) -> LockOwner | None:
    """Read from what Pulumi says who holds the lock; None when it does not say."""
    found = _LOCKED_BY.search(text)
    return LockOwner(found[1], found[2], int(found[3]), found[4]) if found else None


def _carried_out(
    driver: Driver, request: Mapping[str, Any], on_event: OnEvent, replies: Mapping[str, Answer]
) -> StackResult:
    """Let the child do what `request` says, and read what it answers."""
    action: Action = request["action"]
    secrets = [value for name in SHOWN_NOWHERE if len(value := driver.environ.get(name, "")) >= SHORTEST_SECRET]
    events: list[Event] = []
    with _child(driver) as child:
        assert child.stdout is not None
        stderr = _collect(child)
        try:
            _send(child, json.dumps(request))
            for line in child.stdout:
                event = _parse(_without(secrets, line))
                events.append(event)
                if event["event"] not in ENDS | INNER:
                    on_event(event)
                if reply := replies.get(event["event"]):
                    _answer(child, event, reply)
        except BaseException as error:
            in_order = _end(child)
            if not in_order and action in UNDER_LOCK:
                _unlock(driver)
            if isinstance(error, KeyboardInterrupt):
                raise _cancelled(action, in_order) from None
            raise
        child.wait()
    last = next((event for event in reversed(events) if event["event"] in ENDS), {})
    if last.get("event") == "result":
        return StackResult(
            last.get("changes", {}),
            stackconfig.outputs_from(last.get("outputs", {})),
            tuple(last.get("resources", ())),
            tuple(last.get("updates", ())),
            bool(last.get("stopped")),
            str(last.get("mark", "")),
            last.get("state", {}),
            tuple(event for event in events if event is not last),
        )
    said = str(last.get("text", "")) or _without(secrets, stderr()) or _ending(child.returncode)
    raise _error(driver, action, last, events, said)


def counted(changes: Mapping[str, int], *, done: bool = False) -> str:
    """Put numbers of operations into words: what is to be done, or what was done."""
    words = [f"{changes[kind]} {DONE[kind] if done else f'to {kind}'}" for kind in CHANGING if changes.get(kind)]
    unchanged = changes.get("same", 0)
    return ", ".join([*words, *([f"{unchanged} unchanged"] if unchanged else [])]) if words else "no changes"


def environment(
    parent: Mapping[str, str],
    driver_tools: tuple[Tool, Plugin],
    *,
    endpoint: str,
    token: str,
    backend: Mapping[str, str],
) -> dict[str, str]:
    """Give the environment of the child: what programs need to run, then the platform, then the state backend; pure."""
    pulumi, plugin = driver_tools
    kept = (
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "USER",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "DATAROBOT_TIMEOUT_MINUTES",
    )
    prefixes = ("PULUMI_", "AWS_", "AZURE_", "GOOGLE_", "SSL_", "DATAROBOT_STANDIN_")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    child = {
        key: value
        for key, value in parent.items()
        if key in kept
        or key in proxies
        or key.endswith("_CA_CERTS")
        or (key.startswith(prefixes) and key not in DECIDED)
    }
    folders = [str(plugin.folder)] if plugin.folder else []
    child["PATH"] = os.pathsep.join([*folders, str(pulumi.path.parent), parent.get("PATH", os.defpath)])
    child.update(
        DATAROBOT_ENDPOINT=endpoint,
        DATAROBOT_API_TOKEN=token,
        PULUMI_SKIP_UPDATE_CHECK="true",
        PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK="true",
        PULUMI_DEBUG_GRPC="",
        PYTHONUNBUFFERED="1",
        PYTHONDONTWRITEBYTECODE=parent.get("PYTHONDONTWRITEBYTECODE", ""),
    )
    if any(child.get(name) for name in proxies):
        # The CLI, the program and the plugin talk to each other on this machine, which is no business of a proxy.
        around = child.get("NO_PROXY") or child.get("no_proxy") or ""
        child["NO_PROXY"] = child["no_proxy"] = ",".join(dict.fromkeys([*filter(None, around.split(",")), *HERE]))
    child.update(backend)
    return {key: value for key, value in child.items() if value != ""}


def _pulumi_root(driver: Driver) -> Path:
    """PulumiCommand wants the folder above bin/; a CLI that lies elsewhere is linked into such a folder."""
    folder = driver.pulumi.path.parent
    if folder.name == "bin" and driver.pulumi.path.name == "pulumi":
        return folder.parent
    root = driver.work_dir.parent / "pulumi-cli"
    link = root / "bin" / "pulumi"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists() or link.resolve() != driver.pulumi.path.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(driver.pulumi.path.resolve())
    return root


def _child(driver: Driver) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            [str(driver.python), "-m", "toolkit.automation"],
            cwd=driver.infra,
            env={**driver.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolMissing(
            f"The deploy environment does not start: {error}", hint="Make it anew: nox -s deploy"
        ) from error


def _send(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(line + "\n")
        child.stdin.flush()
    except BrokenPipeError:  # the child has died: what it said last tells why
        with suppress(BrokenPipeError):
            child.stdin.close()  # now, or the end of the block would try to send the rest


def _answer(child: subprocess.Popen[str], event: Event, reply: Answer) -> None:
    """Tell the child what it waits for; when no answer can be had it stops in order too."""
    answer = "stop"
    try:
        answer = reply(event)
    finally:
        _send(child, answer)


def _collect(child: subprocess.Popen[str]) -> Callable[[], str]:
    """Read the child's standard error beside its output, so that neither pipe fills up."""
    lines: list[str] = []

    def read() -> None:
        assert child.stderr is not None
        lines.extend(child.stderr)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def collected() -> str:
        thread.join(5)
        return "".join(lines)

    return collected


def _end(child: subprocess.Popen[str]) -> bool:
    """Interrupt the child's whole process group (the CLI then finishes its step and unlocks), kill it in the end.

    Gives whether it ended in order. A second interrupt lets the CLI stop in the middle of its step, but unlock. Another
    Ctrl-C goes on to the next, harder signal.
    """
    assert child.stdout is not None
    # Nobody reads the events any more; a full pipe would keep the child from ending.
    threading.Thread(target=_drain, args=(child.stdout,), daemon=True).start()
    for number, patience in ((signal.SIGINT, CANCEL_GRACE), (signal.SIGINT, KILL_GRACE), (signal.SIGKILL, KILL_GRACE)):
        try:
            os.killpg(child.pid, number)
            if _ended(child, patience):
                return number == signal.SIGINT
        except ProcessLookupError:
            return number == signal.SIGINT
        except KeyboardInterrupt:
            continue
    return False


def _unlock(driver: Driver) -> None:
    """Remove the lock of a Pulumi that had to be killed; when that fails, the next run on this machine does it."""
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [str(driver.pulumi.path), "cancel", "--yes", "--stack", driver.stack],
            cwd=driver.work_dir,
            env=dict(driver.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=UNLOCK_GRACE,
            check=False,
        )


def _drain(stream: Iterable[str]) -> None:
    with suppress(ValueError):  # closed meanwhile
        for _ in stream:
            pass


def _ended(child: subprocess.Popen[str], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while child.poll() is None or _group_lives(child.pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _group_lives(group: int) -> bool:
    """Whether a process of the group still runs. The dead whom nobody has collected yet do not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, its_group = path.read_text(errors="replace").rpartition(") ")[2].split()[:3]
            if its_group == str(group) and state not in {"Z", "X"}:
                return True
    return False


def _cancelled(action: Action, in_order: bool) -> Cancelled:
    if in_order:
        return Cancelled(
            f"{action} was cancelled; Pulumi has finished or undone its current step.",
            hint="Run the same command again: it goes on from what is there.",
        )
    return Cancelled(
        f"{action} was cancelled; Pulumi did not end by itself and was killed.",
        hint="Run the same command again. When it says that the stack is locked: docs/troubleshooting.md, 'locked'.",
    )


def _ending(code: int) -> str:
    if code < 0:
        return f"The deploy environment's Python was ended by {signal.Signals(-code).name} without a word."
    return f"The deploy environment's Python ended with exit code {code} and without a result."


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "****")
    return text


def _parse(line: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and isinstance(event.get("event"), str):
        return event
    return {"event": "output", "text": line.rstrip()}


def _error(driver: Driver, action: Action, last: Event, events: list[Event], text: str) -> Exception:
    diagnostics = tuple(
        line
        for event in events
        if event["event"] == "diagnostic" and event.get("severity") == "error"
        for line in str(event.get("text", "")).strip().splitlines()
    )
    if last.get("kind") == "no-stack":
        return missing(driver.stack)
    if last.get("kind") == "locked" or "currently locked by" in text:
        owner = lock_owner(text)
        by = f" by {owner}" if owner else ""
        return StackLocked(
            f"The stack {driver.stack!r} is locked{by}.",
            hint=f"Wait for it to end. When it is certainly dead: invoke cancel --stack {driver.stack}",
            details=_tail(text),
        )
    if last.get("kind") == "version":
        return ToolMissing(
            text.strip().splitlines()[0] if text.strip() else "This Pulumi is too old.",
            hint="Update Pulumi, or remove it from PATH.",
        )
    if "incorrect passphrase" in text:
        return ConfigurationError(
            f"The passphrase does not fit the state of the stack {driver.stack!r}.",
            hint="Set PULUMI_CONFIG_PASSPHRASE (or _FILE) to the one the stack was made with.",
        )
    told = diagnostics or _tail(text)
    known = explain.causes(told)
    failure = FAILURES[known[0].kind] if known else DeploymentFailed
    could_not = f"Pulumi could not carry out {action} of the stack {driver.stack!r}."
    return failure(
        f"{could_not} {known[0].what}" if known else could_not, hint=known[0].hint if known else UNKNOWN, details=told
    )


def _tail(text: str, lines: int = 20) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())[-lines:]

"""Drive Pulumi: start the child in the deploy environment, pass its events on, and give typed results or errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolkit import stackconfig
from toolkit.errors import Cancelled, ConfigurationError, DeploymentFailed, StackLocked, ToolMissing
from toolkit.stackconfig import StackInputs, StackOutputs
from toolkit.tools import Plugin, Tool

Action = Literal["preview", "deploy", "destroy", "describe", "cancel"]
Event = dict[str, Any]
OnEvent = Callable[[Event], None]
Decide = Callable[[Mapping[str, int]], bool]
CHANGING = ("create", "update", "replace", "delete")
CANCEL_GRACE = 20.0


def _silent(_event: Event) -> None:
    return


def _always(_changes: Mapping[str, int]) -> bool:
    return True


class StackMissing(ConfigurationError):
    """The stack does not exist in the state backend."""


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
    stopped: bool = False
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
    on_event: OnEvent = _silent,
    decide: Decide = _always,
) -> StackResult:
    """Carry out one action on the stack; `deploy` asks `decide` (with the number of changes) after its preview.

    Raises StackMissing, StackLocked, ToolMissing or DeploymentFailed (its details are Pulumi's own diagnostics), and
    Cancelled when the person ended it; the child is never left behind.
    """
    request = {
        "action": action,
        "stack": driver.stack,
        "work_dir": str(driver.work_dir),
        "program_dir": str(driver.infra),
        "pulumi_root": str(_pulumi_root(driver)),
        "inputs": stackconfig.to_json(inputs) if inputs else None,
    }
    events: list[Event] = []
    with _child(driver) as child:
        assert child.stdout is not None
        stderr = _collect(child)
        try:
            _send(child, json.dumps(request))
            for line in child.stdout:
                event = _parse(line)
                events.append(event)
                on_event(event)
                if event.get("event") == "preview":
                    _send(child, "go" if decide(event["changes"]) else "stop")
        except BaseException as error:
            _end(child)
            if isinstance(error, KeyboardInterrupt):
                raise Cancelled(
                    f"{action} was cancelled; Pulumi has finished or undone its current step.",
                    hint="Run the same command again: it goes on from what is there.",
                ) from None
            raise
        child.wait()
    last = events[-1] if events else {}
    if last.get("event") == "result":
        return StackResult(
            last.get("changes", {}),
            stackconfig.outputs_from(last.get("outputs", {})),
            tuple(last.get("resources", ())),
            bool(last.get("stopped")),
            tuple(events[:-1]),
        )
    raise _error(driver, action, last, events, stderr())


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
        if key in kept or key in proxies or key.startswith(prefixes) or key.endswith("_CA_CERTS")
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
            text=True,
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
    except BrokenPipeError:
        return  # the child has died: what it said last tells why


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


def _end(child: subprocess.Popen[str]) -> None:
    """Interrupt the child's whole process group (the CLI then finishes its step and unlocks), kill it in the end."""
    for number, patience in ((signal.SIGINT, CANCEL_GRACE), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def _parse(line: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        return {"event": "output", "text": line.rstrip()}
    return event if isinstance(event, dict) else {"event": "output", "text": line.rstrip()}


def _error(driver: Driver, action: Action, last: Event, events: list[Event], stderr: str) -> Exception:
    text = str(last.get("text", "")) or stderr
    diagnostics = tuple(
        line
        for event in events
        if event.get("event") == "diagnostic" and event["severity"] == "error"
        for line in str(event["text"]).strip().splitlines()
    )
    if last.get("kind") == "no-stack":
        return StackMissing(
            f"There is no stack {driver.stack!r}.", hint=f"Deploy it first: invoke deploy --stack {driver.stack}"
        )
    if last.get("kind") == "locked" or "currently locked by" in text:
        return StackLocked(
            f"Another run holds the stack {driver.stack!r}.",
            hint="Wait for it to end. When it is certainly dead: pulumi cancel (docs/troubleshooting.md, 'locked').",
            details=_tail(text),
        )
    if last.get("kind") == "version":
        return ToolMissing(text.splitlines()[0], hint="Update Pulumi, or remove it from PATH.")
    if "incorrect passphrase" in text:
        return ConfigurationError(
            f"The passphrase does not fit the state of the stack {driver.stack!r}.",
            hint="Set PULUMI_CONFIG_PASSPHRASE (or _FILE) to the one the stack was made with.",
        )
    return DeploymentFailed(
        f"Pulumi could not carry out {action} of the stack {driver.stack!r}.",
        hint="Read the reason below; what was done so far is kept, and the same command goes on from there.",
        details=diagnostics or _tail(text),
    )


def _tail(text: str, lines: int = 20) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())[-lines:]

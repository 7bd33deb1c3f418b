"""Drive Pulumi: start the child in the deploy environment, pass its events on, and give typed results or errors."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolkit import child, deadruns, explain, sidecars, stackconfig
from toolkit.child import Driver, Event, Warm
from toolkit.errors import (
    Cancelled,
    ConfigurationError,
    DeploymentFailed,
    PermissionDenied,
    StackLocked,
    Stopped,
    TimedOut,
    ToolMissing,
)
from toolkit.liveness import lives
from toolkit.stackconfig import StackInputs, StackOutputs

Action = Literal["preview", "deploy", "destroy", "tidy", "describe", "history", "refresh", "cancel", "export", "import"]
OnEvent = Callable[[Event], None]
Decide = Callable[[Mapping[str, int]], bool]
Answer = Callable[[Event], str]
CHANGING = ("create", "update", "replace", "delete")
_LOCKED_BY = re.compile(r"created by (\S+?)@(\S+) \(pid (\d+)\) at (\S+)")
ENDS = {"result", "error"}  # the last line of the child
INNER = {"state", "held", "locks"}  # between child and parent only
DONE = {"create": "created", "update": "updated", "replace": "replaced", "delete": "removed"}


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
    warm: Warm | None = None,
) -> StackResult:
    """Carry out one action on the stack; `deploy` asks `decide` (with the number of changes) after its preview.

    `answers` answer other events after which the child waits (`state`, `held`: see `automation`); `go` when missing.

    With `refresh` it first reads into the state what the platform really has. `message` is what the history shows of a
    deployment, `most` how many entries of it are wanted. `state` is what `import` brings back. The lock of a run that
    has died (`is_dead`) is removed, with an event that says so. `warm` is a child that was started beforehand, and
    perhaps asked for the same (`ask_ahead`).

    Raises StackMissing, StackLocked, ToolMissing or DeploymentFailed (its details are Pulumi's own diagnostics), and
    Stopped when the person ended it; the child is never left behind.
    """
    mend(driver.environ.get("PULUMI_BACKEND_URL", ""), driver.stack, on_event)
    request = _request(driver, action, inputs, refresh=refresh, message=message, most=most)
    if state is not None:
        request["state"] = state
    replies: dict[str, Answer] = {
        "state": _go,
        "held": _go,
        "preview": lambda event: "go" if decide(event.get("changes", {})) else "stop",
        **(answers or {}),
    }
    try:
        return _carried_out(driver, request, on_event, replies, warm)
    except StackLocked as locked:
        owner = lock_owner("\n".join(locked.details))
        if owner is None or not is_dead(owner, driver.runs):
            raise
        on_event(unlocked(owner))
        _carried_out(driver, {**request, "action": "cancel", "inputs": None}, _silent, {})
        return _carried_out(driver, request, on_event, replies)


def mend(address: str, stack: str, on_event: OnEvent) -> None:
    """Remove what keeps Pulumi from reading a state: empty side files of a Pulumi that was killed (`sidecars`)."""
    for name in sidecars.mend(address, stackconfig.PROJECT, stack):
        text = f"A Pulumi that was killed has left {name} empty, which keeps the state from being read: it was removed."
        on_event({"event": "line", "text": text, "audit": True})


def ask_ahead(driver: Driver, warm: Warm, inputs: StackInputs, message: str, settled: Callable[[Event], bool]) -> None:
    """Ask a warm child for a deployment, which `run` carries on with: it begins to preview when all is `settled`."""
    warm.ask(_request(driver, "deploy", inputs, message=message), settled)


def _request(
    driver: Driver,
    action: Action,
    inputs: StackInputs | None,
    *,
    refresh: bool = False,
    message: str = "",
    most: int = 20,
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "action": action,
        "stack": driver.stack,
        "work_dir": str(driver.work_dir),
        "program_dir": str(driver.infra),
        "pulumi_root": str(child.pulumi_root(driver)),
        "inputs": stackconfig.to_json(inputs) if inputs else None,
        "refresh": refresh,
        "message": message or None,
        "most": most,
    }
    if inputs and inputs.token_parameter:
        request["token"] = driver.environ.get("DATAROBOT_API_TOKEN", "")
    return request


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
    def is_gone(self) -> bool:
        """Whether it ran on a machine of this name, and no Pulumi of this one has its number any more."""
        if self.host != socket.gethostname():
            return False
        if not lives(self.pid):
            return True
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/comm").read_text().strip() != "pulumi"
        return False


def is_dead(owner: LockOwner, runs: Path | None) -> bool:
    """Whether the owner of a lock has certainly died: it is gone, and it was one of the `runs` of this folder.

    None stands for a state that only this folder has.
    """
    return owner.is_gone and (runs is None or deadruns.covers(runs, owner.since))


def unlocked(owner: LockOwner) -> Event:
    """Give the event that tells that the lock of a dead one was removed."""
    return {"event": "line", "text": f"Removed the lock of {owner}: that process is gone.", "audit": True}


def unlocking(name: str, owner: LockOwner | None) -> str:
    """Say what to do about a lock that nobody removes by itself."""
    if owner and owner.is_gone:
        return f"Unless it runs on another machine that is called {owner.host}: invoke cancel --stack {name}"
    return f"Wait for it to end. When it is certainly dead: invoke cancel --stack {name}"


def lock_owner(text: str) -> LockOwner | None:
    """Read from what Pulumi says who holds the lock; None when it does not say."""
    found = _LOCKED_BY.search(text)
    return LockOwner(found[1], found[2], int(found[3]), found[4]) if found else None


def _carried_out(
    driver: Driver,
    request: Mapping[str, Any],
    on_event: OnEvent,
    replies: Mapping[str, Answer],
    warm: Warm | None = None,
) -> StackResult:
    """Let the child do what `request` says, and read what it answers."""
    action: Action = request["action"]

    def hear(event: Event) -> Answer | None:
        if event["event"] not in ENDS | INNER:
            on_event(event)
        return replies.get(event["event"])

    try:
        said = child.talk(driver, request, hear, warm=warm)
    except child.Interrupted as interrupted:
        raise Stopped(_cancelled(action, interrupted.in_order)) from None
    last = next((event for event in reversed(said.events) if event["event"] in ENDS), {})
    if last.get("event") == "result":
        return StackResult(
            last.get("changes", {}),
            stackconfig.outputs_from(last.get("outputs", {})),
            tuple(last.get("resources", ())),
            tuple(last.get("updates", ())),
            bool(last.get("stopped")),
            str(last.get("mark", "")),
            last.get("state", {}),
            tuple(event for event in said.events if event is not last),
        )
    raise _error(driver, action, last, said.events, str(last.get("text", "")) or said.last_words)


def counted(changes: Mapping[str, int], *, done: bool = False) -> str:
    """Put numbers of operations into words: what is to be done, or what was done."""
    words = [f"{changes[kind]} {DONE[kind] if done else f'to {kind}'}" for kind in CHANGING if changes.get(kind)]
    unchanged = changes.get("same", 0)
    return ", ".join([*words, *([f"{unchanged} unchanged"] if unchanged else [])]) if words else "no changes"


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


def _error(driver: Driver, action: Action, last: Event, events: Sequence[Event], text: str) -> Exception:
    diagnostics = tuple(
        line
        for event in events
        if event["event"] == "diagnostic" and event.get("severity") == "error"
        for line in str(event.get("text", "")).strip().splitlines()
    )
    if last.get("kind") == "no-stack":
        return missing(driver.stack)
    if child.is_refusal({**last, "text": text}):
        owner = lock_owner(text)
        by = f" by {owner}" if owner else ""
        return StackLocked(
            f"The stack {driver.stack!r} is locked{by}.",
            hint=unlocking(driver.stack, owner),
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

"""The child process in the deploy environment that drives Pulumi's Automation API.

It reads one request (a line of JSON) from standard input and writes JSON lines to standard output: events while Pulumi
works, and a last line with the result or the error. After some of these events it waits for a line that answers:

- `state`: what the state holds, before `deploy` or `destroy` does anything; `go`, `go refresh` or `stop`
- `preview`: what would be done; `go` or `stop`
- `held`: the same as `state`, while Pulumi holds the lock of the stack: the moment to remove leftovers; `go` or `stop`

Before Pulumi takes the lock of the stack it says `locks`: who kills it after that has to remove the lock.

When its parent dies the input ends: then it interrupts Pulumi, which finishes or undoes its step and unlocks. Secrets
come in the environment, never in the arguments.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any, TextIO

import pulumi
from pulumi import automation
from pulumi.automation import errors

from toolkit import stackconfig

# A replacement has three steps; the one called `replace` stands for them.
COUNTED = ("create", "update", "replace", "delete", "same")

# Where a plugin was found is no warning: we put it there.
USUAL = re.compile(r"using pulumi-\S+ from \$PATH")

ORPHAN_GRACE = 5.0  # seconds for Pulumi to end in order when nobody is there any more

WRITTEN = 1.0  # seconds within which a state that is being written is there again

Emit = Callable[[dict[str, Any]], None]
Hear = Callable[[], str]


def main(stdin: TextIO, stdout: TextIO) -> int:
    """Carry out the request on `stdin`; 0 when it went through, 1 when the last line is an error."""

    def emit(event: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # nobody reads any more: what is under way is ended by the end of the input
            stdout.write(json.dumps(event) + "\n")
            stdout.flush()

    # Ctrl-C reaches the CLI too, which then ends its step and unlocks; this process has to stay to serve the program.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    line = stdin.readline()
    if not line:  # it was started beforehand, and is not wanted any more
        return 0
    request = json.loads(line)
    try:
        result = ACTIONS[request["action"]](request, emit, _listen(stdin))
    except errors.ConcurrentUpdateError as error:
        emit({"event": "error", "kind": "locked", "text": str(error)})
    except errors.StackNotFoundError as error:
        emit({"event": "error", "kind": "no-stack", "text": str(error)})
    except errors.CommandError as error:
        emit({"event": "error", "kind": "pulumi", "text": str(error)})
    except automation.InvalidVersionError as error:
        emit({"event": "error", "kind": "version", "text": str(error)})
    else:
        emit({"event": "result", **result})
        return 0
    return 1


def _listen(stdin: TextIO) -> Hear:
    """Read answers beside the work; when the input ends, so does the work."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in stdin:
            lines.put(line.strip())
        lines.put("stop")
        with suppress(ProcessLookupError):
            os.killpg(0, signal.SIGINT)
            time.sleep(ORPHAN_GRACE)
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=read, daemon=True).start()
    return lines.get


class _Workspace(automation.LocalWorkspace):
    """A workspace without a stack of its own choice: every command names the stack, so none has to be selected."""

    def select_stack(self, stack_name: str) -> None:
        """Do nothing."""


class _Stack(automation.Stack):
    """A stack whose state tells what `up` and `destroy` would ask the CLI for afterwards (two calls and more)."""

    def outputs(self) -> automation.OutputMap:
        """Give nothing: read the state."""
        return {}

    def info(self, show_secrets: bool = True) -> Any:
        """Give no summary, but not None either: the history is a command of its own."""
        del show_secrets
        return ()


def _stack(request: dict[str, Any], program: Callable[[], None] = lambda: None) -> _Stack:
    work = Path(request["work_dir"])
    work.mkdir(parents=True, exist_ok=True)
    workspace = _Workspace(
        work_dir=str(work),
        program=program,
        project_settings=automation.ProjectSettings(
            name=stackconfig.PROJECT, runtime="python", main=request["program_dir"]
        ),
        pulumi_command=automation.PulumiCommand(root=request["pulumi_root"]),
    )
    return _Stack(request["stack"], workspace, automation._stack.StackInitMode.SELECT)


def _state(stack: automation.Stack, *, create: bool = False) -> dict[str, Any]:
    """Give what the state holds: outputs, resources, operations that a dead run has not ended, and the mark.

    `replaced` are the ids of resources that have been replaced but could not be removed so far; the next `up` does it.
    With `create`, a stack that is not there is made.
    """
    try:
        deployment = _exported(stack, again=not create)
    except errors.StackNotFoundError:
        if not create:
            raise
        try:
            stack.workspace.create_stack(stack.name)
            deployment = {}
        except errors.StackAlreadyExistsError:  # somebody else is just making it, or writing it
            deployment = _exported(stack, again=True)
    resources = deployment.get("resources") or []
    root: dict[str, Any] = next((found for found in resources if found["type"] == "pulumi:pulumi:Stack"), {})
    marks = [_named(found) for found in resources if found["type"] == stackconfig.MARK_TYPE]
    return {
        "outputs": root.get("outputs", {}),
        "resources": [
            {"type": found["type"].rsplit(":", 1)[-1], "id": found.get("id", ""), "name": _name(found)}
            for found in resources
            if found.get("custom") and not found["type"].startswith("pulumi:")
        ],
        "replaced": [found.get("id", "") for found in resources if found.get("delete")],
        "pending": len(deployment.get("pending_operations") or []),
        "mark": marks[0] if marks else "",
    }


def _exported(stack: automation.Stack, *, again: bool) -> dict[str, Any]:
    """Give the state as it is kept. Raises StackNotFoundError.

    While Pulumi writes a state to a bucket, it is not there for a moment: `again` looks a second time.
    """
    try:
        return dict(stack.export_stack().deployment or {})
    except errors.StackNotFoundError:
        if not again:
            raise
        time.sleep(WRITTEN)
        return dict(stack.export_stack().deployment or {})


def _declared(request: dict[str, Any], mark: str) -> Callable[[], None]:
    from toolkit.program import declare

    inputs = dataclasses.replace(stackconfig.from_json(request["inputs"]), mark=mark)
    return lambda: declare(inputs, request.get("token") or "")


def _new_mark() -> str:
    return secrets.token_hex(4)


def _preview(request: dict[str, Any], emit: Emit, _hear: Hear) -> dict[str, Any]:
    stack = _stack(request)
    state = _state(stack, create=True)
    stack.workspace.program = _declared(request, state["mark"] or _new_mark())
    return {"changes": _plan(stack, emit, state)}


def _deploy(request: dict[str, Any], emit: Emit, hear: Hear) -> dict[str, Any]:
    """Tell the state, preview, ask, and carry out; without a change there is nothing to ask and to carry out."""
    stack = _stack(request)
    state = _state(stack, create=True)
    emit({"event": "state", **state})
    if (answer := hear()) == "stop":
        return {"changes": {}, "stopped": True}
    if request.get("refresh") or answer == "go refresh":
        emit({"event": "locks"})
        stack.refresh(suppress_progress=True)
    mark = state["mark"] or _new_mark()
    stack.workspace.program = _declared(request, mark)
    planned = _plan(stack, emit, state)
    if set(planned) == {"same"} and state["outputs"]:
        return {**state, "changes": planned}
    emit({"event": "preview", "changes": planned})
    if hear() != "go":
        return {"changes": {}, "stopped": True}
    emit({"event": "up"})
    emit({"event": "locks"})
    watch = _Watch(emit, state["replaced"])
    stack.up(on_event=watch, suppress_progress=True, show_secrets=False, message=request.get("message"))
    return {**_state(stack), "changes": watch.changes}


def _destroy(request: dict[str, Any], emit: Emit, hear: Hear) -> dict[str, Any]:
    stack = _stack(request)
    emit({"event": "state", **_state(stack)})
    if hear() == "stop":
        return {"changes": {}, "stopped": True}
    watch = _Watch(emit)
    emit({"event": "locks"})
    stack.destroy(on_event=watch, suppress_progress=True, remove=True)
    return {"changes": watch.changes}


def _tidy(request: dict[str, Any], emit: Emit, hear: Hear) -> dict[str, Any]:
    """Bring state and platform together: end what a dead run began, and let leftovers be removed under the lock.

    The lock is that of an update which touches the mark alone: its program asks, and goes on when all is removed.
    """
    stack = _stack(request)
    state = _state(stack)
    emit({"event": "locks"})
    if state["pending"]:
        stack.refresh(suppress_progress=True, clear_pending_creates=True)
    mark = state["mark"] or _new_mark()

    def program() -> None:
        from toolkit.program import Mark

        Mark(mark)
        for name, value in state["outputs"].items():  # what is not exported again is not in the state any more
            pulumi.export(name, value)
        emit({"event": "held", **_state(stack), "mark": mark})
        if hear() != "go":
            raise pulumi.RunError("The leftovers could not be removed.")

    stack.workspace.program = program
    urn = f"urn:pulumi:{stack.name}::{stackconfig.PROJECT}::{stackconfig.MARK_TYPE}::{mark}"
    stack.up(suppress_progress=True, show_secrets=False, target=[urn], message="removed leftovers of earlier runs")
    return {"changes": {}}


def _describe(request: dict[str, Any], _emit: Emit, _hear: Hear) -> dict[str, Any]:
    return _state(_stack(request))


def _export(request: dict[str, Any], _emit: Emit, _hear: Hear) -> dict[str, Any]:
    """Give the whole state; what is secret in it stays encrypted."""
    found = _stack(request).export_stack()
    return {"state": {"version": found.version, "deployment": found.deployment}}


def _import(request: dict[str, Any], _emit: Emit, _hear: Hear) -> dict[str, Any]:
    """Put a state that was exported in the place of the one that is there; a stack that is not there is made."""
    stack = _stack(request)
    _state(stack, create=True)
    stack.import_stack(automation.Deployment(request["state"]["version"], request["state"]["deployment"]))
    return _state(stack)


def _history(request: dict[str, Any], _emit: Emit, _hear: Hear) -> dict[str, Any]:
    """Give what was done to the stack, the last first; the state backend keeps it, so a team shares it."""
    return {"updates": [_update(one) for one in _stack(request).history(page_size=request["most"])]}


def _update(summary: Any) -> dict[str, Any]:
    return {
        "number": summary.version,
        "kind": summary.kind,
        "started": summary.start_time.replace(tzinfo=UTC).timestamp(),  # the CLI's "Z" is lost on the way
        "seconds": (summary.end_time - summary.start_time).total_seconds() if summary.end_time else None,
        "result": summary.result,
        "message": summary.message,
        "changes": {str(getattr(op, "value", op)): n for op, n in (summary.resource_changes or {}).items()},
    }


def _refresh(request: dict[str, Any], emit: Emit, hear: Hear) -> dict[str, Any]:
    """Show what differs between the platform and the state, ask, and take it over into the state."""
    stack = _stack(request)
    watch = _Drift(emit)
    stack.preview_refresh(on_event=watch, suppress_progress=True)
    drifted = {kind: count for kind, count in watch.changes.items() if kind != "same"}
    if not drifted:
        return {"changes": watch.changes}
    emit({"event": "preview", "changes": drifted})
    if hear() != "go":
        return {"changes": {}, "stopped": True}
    emit({"event": "locks"})
    stack.refresh(suppress_progress=True)
    return {"changes": watch.changes}


def _cancel(request: dict[str, Any], _emit: Emit, _hear: Hear) -> dict[str, Any]:
    _stack(request).cancel()
    return {}


ACTIONS: dict[str, Callable[[dict[str, Any], Emit, Hear], dict[str, Any]]] = {
    "preview": _preview,
    "deploy": _deploy,
    "destroy": _destroy,
    "tidy": _tidy,
    "describe": _describe,
    "history": _history,
    "refresh": _refresh,
    "cancel": _cancel,
    "export": _export,
    "import": _import,
}


def _plan(stack: automation.Stack, emit: Emit, state: dict[str, Any]) -> dict[str, int]:
    watch = _Watch(emit, state["replaced"])
    stack.preview(on_event=watch, suppress_progress=True)
    return watch.changes


def _name(resource: dict[str, Any]) -> str:
    """The name on the platform, else the one in the program."""
    return str(resource.get("outputs", {}).get("name") or _named(resource))


def _named(resource: dict[str, Any]) -> str:
    return str(resource["urn"]).rsplit("::", 1)[-1]


class _Watch:
    """Turns engine events into our lines, and counts what happens to the platform's own resources.

    To Pulumi the removal of what was `replaced` by an earlier run is a part of that replacement; here it is a removal.
    """

    def __init__(self, emit: Emit, replaced: Collection[str] = ()) -> None:
        self.changes: dict[str, int] = {}
        self._emit = emit
        self._replaced = replaced

    def __call__(self, event: Any) -> None:
        now = {"at": round(time.time(), 3)}
        if event.resource_pre_event:
            step = _step(event.resource_pre_event.metadata, self._replaced)
            if step["type"].startswith("datarobot:") and step["op"] in COUNTED:
                self.changes[step["op"]] = self.changes.get(step["op"], 0) + 1
            self._emit({"event": "start", **step, **now})
        elif event.res_outputs_event:
            self._emit({"event": "done", **_step(event.res_outputs_event.metadata, self._replaced), **now})
        elif event.res_op_failed_event:
            self._emit({"event": "failed", **_step(event.res_op_failed_event.metadata, self._replaced), **now})
        elif event.diagnostic_event and event.diagnostic_event.severity in {"error", "warning"}:
            found = event.diagnostic_event
            if USUAL.search(found.message):
                return
            text = {"severity": found.severity, "urn": found.urn or "", "text": found.message}
            self._emit({"event": "diagnostic", **text, **now})


class _Drift(_Watch):
    """Counts what a refresh finds: only the end of each step tells it."""

    def __call__(self, event: Any) -> None:
        if event.res_outputs_event:
            step = _step(event.res_outputs_event.metadata)
            if step["type"].startswith("datarobot:"):
                self.changes[step["op"]] = self.changes.get(step["op"], 0) + 1
                if step["op"] != "same":
                    self._emit({"event": "done", **step, "at": round(time.time(), 3)})


def _step(metadata: Any, replaced: Collection[str] = ()) -> dict[str, Any]:
    op = str(getattr(metadata.op, "value", metadata.op))
    left = op == "delete-replaced" and metadata.old is not None and metadata.old.id in replaced
    return {
        "op": "delete" if left else op,
        "type": metadata.type,
        "name": metadata.urn.rsplit("::", 1)[-1],
        "diffs": list(metadata.diffs or []),
        "keys": list(metadata.keys or []),
        **_before(metadata),
    }


def _before(metadata: Any) -> dict[str, Any]:
    """Give of a source which inputs differ from those before, and name and digest of the files that it had."""
    if not metadata.type.endswith(":ApplicationSource") or metadata.old is None:
        return {}
    was, new = metadata.old.inputs or {}, (metadata.new.inputs if metadata.new else {}) or {}
    inputs = sorted(name for name in was.keys() | new.keys() if was.get(name) != new.get(name))
    outputs = metadata.old.outputs or {}
    named = [pair[1] if isinstance(pair, list) else pair for pair in outputs.get("files") or ()]
    return {
        "inputs": inputs,
        "files": [list(pair) for pair in zip(named, outputs.get("filesHashes") or (), strict=False)],
    }


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout))

"""The child process in the deploy environment that drives Pulumi's Automation API.

It reads one request (a line of JSON) from standard input and writes JSON lines to standard output: events while Pulumi
works, and a last line with the result or the error. `deploy` is the only action that asks back: after its preview it
waits for a line `go` or `stop`. Secrets come in the environment, never in the arguments.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from pulumi import automation
from pulumi.automation import errors

from toolkit import stackconfig

# A replacement has three steps; the one called `replace` stands for them.
COUNTED = ("create", "update", "replace", "delete", "same")

# Where a plugin was found is no warning: we put it there.
USUAL = re.compile(r"using pulumi-\S+ from \$PATH")

Emit = Callable[[dict[str, Any]], None]
Go = Callable[[], bool]


def main(stdin: TextIO, stdout: TextIO) -> int:
    """Carry out the request on `stdin`; 0 when it went through, 1 when the last line is an error."""

    def emit(event: dict[str, Any]) -> None:
        stdout.write(json.dumps(event) + "\n")
        stdout.flush()

    # Ctrl-C reaches the CLI too, which then ends its step and unlocks; this process has to stay to serve the program.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    request = json.loads(stdin.readline())
    try:
        result = ACTIONS[request["action"]](request, emit, lambda: stdin.readline().strip() == "go")
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


def _stack(request: dict[str, Any], *, create: bool) -> automation.Stack:
    from toolkit.program import declare

    inputs = stackconfig.from_json(request["inputs"]) if request.get("inputs") else None

    def program() -> None:
        if inputs is not None:
            declare(inputs)

    work = Path(request["work_dir"])
    work.mkdir(parents=True, exist_ok=True)
    workspace = automation.LocalWorkspace(
        work_dir=str(work),
        program=program,
        project_settings=automation.ProjectSettings(
            name=stackconfig.PROJECT, runtime="python", main=request["program_dir"]
        ),
        pulumi_command=automation.PulumiCommand(root=request["pulumi_root"]),
    )
    name = request["stack"]
    return automation.Stack.create_or_select(name, workspace) if create else automation.Stack.select(name, workspace)


def _preview(request: dict[str, Any], emit: Emit, _go: Go) -> dict[str, Any]:
    return {"changes": _plan(_stack(request, create=True), emit)}


def _deploy(request: dict[str, Any], emit: Emit, go: Go) -> dict[str, Any]:
    """Preview, ask, and carry out; without a change there is nothing to ask and nothing to carry out."""
    stack = _stack(request, create=True)
    if request.get("refresh"):
        stack.refresh(suppress_progress=True)
    planned = _plan(stack, emit)
    if set(planned) == {"same"} and (outputs := _values(stack.outputs())):
        return {"changes": planned, "outputs": outputs}
    emit({"event": "preview", "changes": planned})
    if not go():
        return {"changes": {}, "stopped": True}
    emit({"event": "up"})
    watch = _Watch(emit)
    result = stack.up(on_event=watch, suppress_progress=True, show_secrets=False, message=request.get("message"))
    return {"changes": watch.changes, "outputs": _values(result.outputs)}


def _destroy(request: dict[str, Any], emit: Emit, _go: Go) -> dict[str, Any]:
    stack = _stack(request, create=False)
    watch = _Watch(emit)
    stack.destroy(on_event=watch, suppress_progress=True, remove=True)
    return {"changes": watch.changes}


def _describe(request: dict[str, Any], _emit: Emit, _go: Go) -> dict[str, Any]:
    """Give what the state holds: outputs and resources."""
    stack = _stack(request, create=False)
    deployment = stack.export_stack().deployment or {}
    resources = deployment.get("resources", [])
    root: dict[str, Any] = next((found for found in resources if found["type"] == "pulumi:pulumi:Stack"), {})
    return {
        "outputs": root.get("outputs", {}),
        "resources": [
            {"type": found["type"].rsplit(":", 1)[-1], "id": found.get("id", ""), "name": _name(found)}
            for found in resources
            if found.get("custom") and not found["type"].startswith("pulumi:")
        ],
    }


def _history(request: dict[str, Any], _emit: Emit, _go: Go) -> dict[str, Any]:
    """Give what was done to the stack, the last first; the state backend keeps it, so a team shares it."""
    return {"updates": [_update(one) for one in _stack(request, create=False).history(page_size=request["most"])]}


def _update(summary: Any) -> dict[str, Any]:
    return {
        "number": summary.version,
        "kind": summary.kind,
        "started": summary.start_time.timestamp(),
        "seconds": (summary.end_time - summary.start_time).total_seconds() if summary.end_time else None,
        "result": summary.result,
        "message": summary.message,
        "changes": {str(getattr(op, "value", op)): n for op, n in (summary.resource_changes or {}).items()},
    }


def _refresh(request: dict[str, Any], emit: Emit, go: Go) -> dict[str, Any]:
    """Show what differs between the platform and the state, ask, and take it over into the state."""
    stack = _stack(request, create=False)
    watch = _Drift(emit)
    stack.preview_refresh(on_event=watch, suppress_progress=True)
    drifted = {kind: count for kind, count in watch.changes.items() if kind != "same"}
    if not drifted:
        return {"changes": watch.changes}
    emit({"event": "preview", "changes": drifted})
    if not go():
        return {"changes": {}, "stopped": True}
    stack.refresh(suppress_progress=True)
    return {"changes": watch.changes}


def _cancel(request: dict[str, Any], _emit: Emit, _go: Go) -> dict[str, Any]:
    _stack(request, create=False).cancel()
    return {}


ACTIONS: dict[str, Callable[[dict[str, Any], Emit, Go], dict[str, Any]]] = {
    "preview": _preview,
    "deploy": _deploy,
    "destroy": _destroy,
    "describe": _describe,
    "history": _history,
    "refresh": _refresh,
    "cancel": _cancel,
}


def _plan(stack: automation.Stack, emit: Emit) -> dict[str, int]:
    watch = _Watch(emit)
    stack.preview(on_event=watch, suppress_progress=True)
    return watch.changes


def _name(resource: dict[str, Any]) -> str:
    """The name on the platform, else the one in the program."""
    return str(resource.get("outputs", {}).get("name") or resource["urn"].rsplit("::", 1)[-1])


def _values(outputs: automation.OutputMap) -> dict[str, Any]:
    return {name: value.value for name, value in outputs.items()}


class _Watch:
    """Turns engine events into our lines, and counts what happens to the platform's own resources."""

    def __init__(self, emit: Emit) -> None:
        self.changes: dict[str, int] = {}
        self._emit = emit

    def __call__(self, event: Any) -> None:
        now = {"at": round(time.time(), 3)}
        if event.resource_pre_event:
            step = _step(event.resource_pre_event.metadata)
            if step["type"].startswith("datarobot:") and step["op"] in COUNTED:
                self.changes[step["op"]] = self.changes.get(step["op"], 0) + 1
            self._emit({"event": "start", **step, **now})
        elif event.res_outputs_event:
            self._emit({"event": "done", **_step(event.res_outputs_event.metadata), **now})
        elif event.res_op_failed_event:
            self._emit({"event": "failed", **_step(event.res_op_failed_event.metadata), **now})
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


def _step(metadata: Any) -> dict[str, Any]:
    return {
        "op": str(getattr(metadata.op, "value", metadata.op)),
        "type": metadata.type,
        "name": metadata.urn.rsplit("::", 1)[-1],
        "diffs": list(metadata.diffs or []),
        "keys": list(metadata.keys or []),
    }


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout))

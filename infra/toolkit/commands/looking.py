"""Commands that look at what is deployed and change nothing: outputs, status, logs, history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit import deploy as deployment
from toolkit import preflight
from toolkit import stack as stacks
from toolkit.commands.frame import command, load_settings, make_bench, quiet
from toolkit.console import Console


@command
def outputs(root: Path, stack: str, *, as_json: bool) -> None:
    """Show the outputs of a stack."""
    console = Console(as_json=as_json)
    settings = load_settings(root, stack, needs_platform=False)
    found = deployment.describe(settings, make_bench(root, quiet(console)))
    if found.outputs is None:
        raise stacks.StackMissing(
            f"Nothing is deployed on the stack {settings.stack!r}.", hint=f"invoke deploy --stack {settings.stack}"
        )
    if as_json:
        console.document({"outputs": vars(found.outputs)})
        return
    for name, value in vars(found.outputs).items():
        console.line(f"{name:<34}{value}")


@command
def status(root: Path, stack: str, *, as_json: bool) -> None:
    """Show resources and the application's state on the platform."""
    console = Console(as_json=as_json)
    bench = make_bench(root, quiet(console))
    settings = load_settings(root, stack, needs_platform=True)
    found = deployment.describe(settings, bench)
    settings = preflight.with_local_platform(settings, bench)
    application: Mapping[str, Any] = {}
    if found.outputs is not None and settings.endpoint and settings.token:
        with preflight.platform_client(settings) as client:
            application = client.application(found.outputs.app_id)
    if as_json:
        console.document({"resources": list(found.resources), "application": dict(application)})
        return
    console.table("", ("resource", "name", "id"), ((r["type"], r["name"], r["id"]) for r in found.resources))
    if application:
        console.line(f"application is {application['status']}: {application['applicationUrl']}")


@command
def logs(root: Path, stack: str, *, build: bool) -> None:
    """Show the application's log, or that of its build."""
    console = Console()
    found = deployment.application_logs(
        load_settings(root, stack, needs_platform=True), make_bench(root, quiet(console))
    )
    lines = (found.get("buildLog") or "").splitlines() if build else list(found.get("logs") or ())
    for line in lines:
        console.line(line)


@command
def history(root: Path, stack: str, *, most: int, as_json: bool) -> None:
    """Show what was done to a stack, the last first."""
    console = Console(as_json=as_json)
    settings = load_settings(root, stack, needs_platform=False)
    found = deployment.history(settings, make_bench(root, quiet(console)), most=most)
    if as_json:
        console.document({"updates": list(found.updates)})
        return
    console.table(
        "", ("when", "what", "result", "took", "changes", "release, commit, who"), map(_update_row, found.updates)
    )


def _update_row(update: Mapping[str, Any]) -> tuple[str, ...]:
    when = datetime.fromtimestamp(update["started"], tz=UTC).astimezone()
    took = f"{update['seconds']:.0f} s" if update["seconds"] is not None else ""
    changes = stacks.counted(update["changes"], done=True)
    return f"{when:%Y-%m-%d %H:%M}", update["kind"], update["result"], took, changes, update["message"] or ""

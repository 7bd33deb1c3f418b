"""Commands that look at what is deployed and change nothing: outputs, status, logs, history, open, backup."""

from __future__ import annotations

import time
import webbrowser
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit import backup as backups
from toolkit import history as histories
from toolkit import observe, preflight, stackconfig
from toolkit import stack as stacks
from toolkit.commands.frame import command, control, load_settings, make_bench, quiet
from toolkit.console import Console, number
from toolkit.report import write_whole
from toolkit.settings import Settings, masked

FOLLOW_EVERY = 2.0  # seconds


@command
def outputs(root: Path, stack: str, *, as_json: bool) -> None:
    """Show the outputs of a stack."""
    console = Console(as_json=as_json)
    settings = load_settings(root, stack, needs_platform=False)
    found = observe.describe(settings, make_bench(root, quiet(console)))
    if found.outputs is None:
        raise _nothing_deployed(settings)
    if as_json:
        console.document({"outputs": vars(found.outputs)})
        return
    for name, value in vars(found.outputs).items():
        console.line(f"{name:<34}{value}")


@command
def status(root: Path, stack: str, *, as_json: bool) -> None:
    """Show resources, the application's state on the platform, and where the two differ."""
    console = Console(as_json=as_json)
    found = observe.look(load_settings(root, stack, needs_platform=True), make_bench(root, quiet(console)))
    if as_json:
        differs = {"wanted": found.wanted, "running": found.running, "missing": found.missing, "strays": found.strays}
        console.document(
            {
                "resources": list(found.resources),
                "application": dict(found.application),
                "replicas": found.replicas,
                "drift": {"drifted": found.drifted, **differs},
            }
        )
        return
    console.table("", ("resource", "name", "id"), ((r["type"], r["name"], r["id"]) for r in found.resources))
    if found.application:
        many = f", {number(found.replicas, 'replica')}" if found.replicas else ""
        console.line(f"application is {found.application['status']}{many}: {found.application['applicationUrl']}")
        console.line(f"version served: {found.running}")
    if found.running != found.wanted:
        console.line(f"drift: the state says version {found.wanted}. Somebody else has published one.")
    for words, ones in (("not on the platform any more", found.missing), ("left by an earlier run", found.strays)):
        for one in ones:
            console.line(f"drift: {words}: {one}")
    if found.drifted:
        console.line("The next deployment puts that in order: invoke deploy")


@command
def open_app(root: Path, stack: str, *, only_print: bool) -> None:
    """Show the application in the browser of whoever sits here; without a terminal only its address is printed."""
    console = Console()
    bench = make_bench(root, quiet(console))
    settings = load_settings(root, stack, needs_platform=False)
    found = observe.describe(settings, bench)
    if found.outputs is None:
        raise _nothing_deployed(settings)
    url = found.outputs.app_url
    if settings.stack == stackconfig.LOCAL:
        settings = preflight.with_local_platform(settings, bench)
        url = control().sign_in_link(settings.emulator_data, url)
    console.line(url)
    if console.interactive and not only_print:
        webbrowser.open(url)


@command
def logs(root: Path, stack: str, *, build: bool, follow: bool) -> None:
    """Show the application's log, or that of its build; with `follow` also what comes, until Ctrl-C."""
    console = Console()
    settings = load_settings(root, stack, needs_platform=True)
    bench = make_bench(root, quiet(console))
    app_id, settings = observe.deployed_application(settings, bench)
    shown: list[str] = []
    with preflight.platform_client(settings) as client:
        while True:
            told = client.application_logs(app_id)
            lines = (told.get("buildLog") or "").splitlines() if build else list(told.get("logs") or ())
            for line in fresh(shown, lines):
                console.line(masked(line, settings.secrets))
            shown = lines
            if not follow:
                return
            time.sleep(FOLLOW_EVERY)


def fresh(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """Give the lines of `now` that were not there before.

    The platform keeps the last thousand (platform-contract 1.4): what fell out at the front is no new line.
    """
    for length in range(min(len(before), len(now)), 0, -1):
        if list(before[-length:]) == list(now[:length]):
            return now[length:]
    return now


def _nothing_deployed(settings: Settings) -> stacks.StackMissing:
    return stacks.StackMissing(
        f"Nothing is deployed on the stack {settings.stack!r}.", hint=f"invoke deploy --stack {settings.stack}"
    )


@command
def backup(root: Path, stack: str, *, to: str, as_json: bool) -> None:
    """Write a copy of the stack's state to a file that only its owner may read."""
    console = Console(as_json=as_json)
    settings = load_settings(root, stack, needs_platform=False)
    saved = observe.save_state(settings, make_bench(root, quiet(console)))
    name = f"{settings.stack}-{saved.at[:19].replace(':', '').replace('-', '')}.json"
    path = Path(to) if to else settings.toolkit_dir / "backups" / name
    write_whole(path, backups.render(saved))
    if as_json:
        console.document({"backup": str(path), "stack": settings.stack, "resources": saved.resources})
        return
    console.line(f"{number(saved.resources, 'resource')} of the stack {settings.stack} saved: {path}")
    console.line("Keep the passphrase with it: without it nobody can use the copy.")


@command
def history(root: Path, stack: str, *, most: int, as_json: bool) -> None:
    """Show what was done to a stack, the last first."""
    console = Console(as_json=as_json)
    settings = load_settings(root, stack, needs_platform=False)
    found = observe.history(settings, make_bench(root, quiet(console)), most=most)
    if as_json:
        console.document({"updates": list(found.updates)})
        return
    console.table("", ("when", "what", "result", "took", "changes", "release"), map(_update_row, found.updates))


def _update_row(update: Mapping[str, Any]) -> tuple[str, ...]:
    when = datetime.fromtimestamp(update["started"], tz=UTC).astimezone()
    took = f"{update['seconds']:.0f} s" if update["seconds"] is not None else ""
    changed = {kind: count for kind, count in update["changes"].items() if kind != "same"}
    return (
        f"{when:%Y-%m-%d %H:%M}",
        update["kind"],
        update["result"],
        took,
        stacks.counted(changed, done=True),
        histories.shown(update["message"] or ""),
    )

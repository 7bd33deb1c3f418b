"""Commands of the local platform."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from toolkit import preflight, statefiles
from toolkit.commands.frame import command, control, local_settings, make_bench, quiet
from toolkit.console import Console
from toolkit.errors import Cancelled, ConfigurationError

if TYPE_CHECKING:
    from toolkit.emulator.control import EmulatorInfo


@command
def emulator_start(root: Path, data: str, port: int, *, host: str, expose: bool, as_json: bool) -> None:
    """Start the local platform and say where it is."""
    console = Console(as_json=as_json)
    settings = local_settings(root, data, port)
    info = preflight.start_emulator(settings, make_bench(root, quiet(console)), host=host, expose=expose)
    _show_emulator(console, info)


@command
def emulator_stop(root: Path, data: str) -> None:
    """Stop the local platform."""
    stopped = control().stop(_folder(root, data))
    Console().line("The local platform is stopped; its data stays." if stopped else "The local platform does not run.")


@command
def emulator_status(root: Path, data: str, *, as_json: bool) -> None:
    """Say whether the local platform runs."""
    console = Console(as_json=as_json)
    info = control().status(_folder(root, data))
    if info is None:
        raise ConfigurationError("The local platform does not run.", hint="Start it: invoke emulator.start")
    _show_emulator(console, info)


@command
def emulator_reset(root: Path, data: str, *, yes: bool) -> None:
    """Empty the local platform. Raises StackLocked while the stack `local` is worked on."""
    console = Console()
    _confirm(console, "Remove all applications of the local platform?", "Nothing was removed.", yes=yes)
    settings = local_settings(root, data, 0)
    if data:
        control().reset(settings.emulator_data)
    else:
        with statefiles.locked(settings):
            control().reset(settings.emulator_data)
            statefiles.forget(settings)
    console.line("The local platform is empty again.")


@command
def emulator_logs(root: Path, data: str) -> None:
    """Show the local platform's log."""
    console = Console()
    for line in control().logs(_folder(root, data)):
        console.line(line)


@command
def emulator_settings(root: Path, data: str, given: str) -> None:
    """Show the local platform's switches, after setting some where `given` (JSON) says so."""
    body = _json(given) if given else None
    folder = _folder(root, data)
    _show_json(control().ask(folder, "PUT" if given else "GET", "settings", body))


@command
def emulator_faults(root: Path, data: str, add: str, *, clear: bool) -> None:
    """List the local platform's faults, after adding those of a file or removing all."""
    folder = _folder(root, data)
    if clear:
        control().ask(folder, "DELETE", "faults")
    if add:
        told = _json(sys.stdin.read() if add == "-" else Path(add).read_text())
        control().ask(folder, "POST", "faults", {"rules": told} if isinstance(told, list) else told)
    _show_json(control().ask(folder, "GET", "faults"))


@command
def emulator_snapshot(root: Path, data: str, name: str) -> None:
    """Copy what the local platform keeps under a name; list the copies."""
    folder = _folder(root, data)
    if name:
        control().ask(folder, "POST", "snapshots", {"name": name})
    _show_json(control().ask(folder, "GET", "snapshots"))


@command
def emulator_restore(root: Path, data: str, name: str, *, yes: bool) -> None:
    """Bring back a copy of what the local platform kept."""
    console = Console()
    question = f"Replace all that the local platform keeps by the snapshot {name}?"
    _confirm(console, question, "Nothing was replaced.", yes=yes)
    control().ask(_folder(root, data), "POST", f"snapshots/{quote(name, safe='')}/restore")
    console.line(f"The local platform is as it was at the snapshot {name}.")


def _folder(root: Path, data: str) -> Path:
    """Give the folder of the local platform's data."""
    return local_settings(root, data, 0).emulator_data


def _confirm(console: Console, question: str, otherwise: str, *, yes: bool) -> None:
    """Go on only when somebody says yes, now or beforehand. Raises Cancelled."""
    if not (yes or console.ask(question)):
        raise Cancelled(otherwise, hint="Answer yes, or use --yes.")


def _show_emulator(console: Console, info: EmulatorInfo) -> None:
    if console.as_json:
        console.document(
            {
                "endpoint": info.endpoint,
                "token": info.token.reveal(),
                "restricted_token": info.restricted_token.reveal(),
                "console": info.console,
                "pid": info.pid,
            }
        )
        return
    console.line(f"The local platform runs: {info.endpoint} (pid {info.pid})")
    console.line(f"Its console: {info.console}")
    if info.faults:
        console.line(f"{info.faults} faults are on, asked for by somebody: invoke emulator.faults --clear")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as problem:
        raise ConfigurationError(f"This is not JSON: {problem}.", hint="It has to be a JSON object.") from None


def _show_json(document: Mapping[str, Any]) -> None:
    console = Console()
    for line in json.dumps(document, indent=2, ensure_ascii=False).splitlines():
        console.line(line)

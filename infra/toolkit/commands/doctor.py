"""Check this machine and the platform."""

from __future__ import annotations

from pathlib import Path

from invoke.exceptions import Exit

from toolkit import doctor as checking
from toolkit.commands.frame import command, load_settings, make_bench, quiet
from toolkit.console import Console


@command
def doctor(root: Path, stack: str, *, as_json: bool) -> None:
    """Show every finding with its next step. The exit code is that of the first error; warnings do not count."""
    console = Console(as_json=as_json)
    bench = make_bench(root, quiet(console))
    found = checking.examine(bench, lambda: load_settings(root, stack, needs_platform=False), root)
    if as_json:
        console.document({"checks": [one.to_json() for one in found]})
    else:
        console.findings((one.id, one.status, one.detail, one.hint) for one in found)
    worst = next((one.exit_code for one in found if one.status == "error"), 0)
    if worst:
        raise Exit(code=worst)

"""Remove what runs have left."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from toolkit import engine as engines
from toolkit import staging, statefiles
from toolkit.bench import Bench
from toolkit.commands.frame import command, control, load_settings, local_settings, make_bench
from toolkit.console import Console
from toolkit.container import sweep
from toolkit.errors import Cancelled, ToolkitError
from toolkit.image.step import BUILD_OWNER
from toolkit.image.tidying import remove_unused
from toolkit.settings import Settings


@command
def clean(root: Path, *, everything: bool, yes: bool) -> None:
    """Remove leftovers of dead runs, this tool's images and caches. Raises StackLocked while a stack is worked on."""
    console = Console()
    bench = make_bench(root, console)
    settings = load_settings(root, "", needs_platform=False)
    question = "Remove the local platform with its data, and the tools that were built for all checkouts?"
    if everything and not (yes or console.ask(question)):
        raise Cancelled("Nothing was removed.", hint="Answer yes, or use --yes.")
    with statefiles.all_locked(settings):
        _remove(settings, bench, console, everything=everything)
    console.line("Clean.")


def _remove(settings: Settings, bench: Bench, console: Console, *, everything: bool) -> None:
    local = local_settings(settings.root, "", 0)
    if everything:
        control().stop(local.emulator_data)
    with suppress(ToolkitError):
        engine, _ = engines.connect(bench.environ, bench.places.home)
        removed = [name for owner in ("smoke", BUILD_OWNER) for name in sweep(engine, owner, engines.is_alive)]
        images, used = remove_unused(engine)
        for name in (*removed, *images):
            console.line(f"removed {name}")
        for name in used:
            console.line(f"kept {name}: a container uses it")
    staging.clear(settings)
    folders = [settings.toolkit_dir / name for name in ("smoke", "pulumi")]
    if everything:  # the state of stacks elsewhere stays: without it nobody could destroy them
        folders.append(bench.places.cache)
        control().forget(local.emulator_data)
        statefiles.forget(local)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)

"""Check this machine and the platform."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from invoke.exceptions import Exit

from toolkit import engine as engines
from toolkit import preflight, stackconfig, tools
from toolkit.bench import Bench
from toolkit.commands.frame import command, control, load_settings, make_bench
from toolkit.console import Console
from toolkit.errors import ConfigurationError, ToolkitError
from toolkit.settings import Settings


@command
def doctor(root: Path, stack: str, *, as_json: bool) -> None:
    """Check engine, settings, tools and platform; every problem with its next step. Exit code of the first one."""
    console = Console(as_json=as_json)
    bench = make_bench(root, console)
    found: list[tuple[str, str, str, str]] = []
    first_error: ToolkitError | None = None

    def check(name: str, probe: Callable[[], str]) -> None:
        nonlocal first_error
        try:
            found.append((name, "ok", probe(), ""))
        except ToolkitError as error:
            first_error = first_error or error
            found.append((name, "error", " ".join([error.message, *error.details]), error.hint))

    settings = functools.cache(lambda: load_settings(root, stack, needs_platform=True))
    check("python", lambda: sys.version.split()[0])
    check("settings", lambda: f"stack {settings().stack}")
    check("engine", lambda: _engine_line(bench))
    check("disk", lambda: _disk_line(root))
    check("pulumi", lambda: _pulumi_line(bench))
    check("platform", lambda: _platform_line(settings()))
    if as_json:
        console.document({"checks": [dict(zip(("id", "status", "detail", "hint"), row, strict=True)) for row in found]})
    else:
        for name, status, detail, hint in found:
            console.line(f"{name:<10} {status:<6} {detail}")
            if hint:
                console.line(f"{'':<17} next: {hint}")
    if first_error is not None:
        raise Exit(code=first_error.exit_code)


def _engine_line(bench: Bench) -> str:
    engine, address = engines.connect(bench.environ, bench.places.home, timeout=10)
    with_version = engine.version().get("Version", "")
    engine.close()
    return f"{with_version} at {address.address}: {address.reason}"


def _disk_line(root: Path) -> str:
    free = shutil.disk_usage(root).free
    if free < 3 * 10**9:
        raise ConfigurationError(
            f"Only {free / 1e9:.1f} GB of disk are free at {root}.", hint="Images and tools need about 3 GB."
        )
    return f"{free / 1e9:.0f} GB free"


def _pulumi_line(bench: Bench) -> str:
    found = tools.find_pulumi(bench.places, bench.environ)
    return f"{found.version} ({found.origin})" if found else "not there yet: the first deployment installs or builds it"


def _platform_line(settings: Settings) -> str:
    if settings.stack == stackconfig.LOCAL:
        info = control().status(settings.emulator_data)
        return f"emulator at {info.endpoint}" if info else "emulator: the first deployment starts it"
    with preflight.platform_client(settings) as client:
        return f"DataRobot {client.check_access()} at {settings.endpoint}"

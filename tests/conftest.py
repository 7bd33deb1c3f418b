"""What every test gets. A test without a marker can reach neither the container engine nor Pulumi."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.summary import LINES

pytest_plugins = ["tests.stack.tools"]

ROOT = Path(__file__).resolve().parents[1]
GUARDED = ("docker", "dockerd", "pulumi")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the recordings be asked of another provider."""
    parser.addoption(
        "--provider",
        choices=("stand-in", "real"),
        default="stand-in",
        help="the provider that tests/stack/test_provider_recordings.py compares with the recordings",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what tests have counted."""
    if lines := config.stash.get(LINES, []):
        terminalreporter.section("counted")
        for line in lines:
            terminalreporter.line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was counted to the process that started this one, where the tests run in several."""
    if (given := getattr(session.config, "workeroutput", None)) is not None:
        given["counted"] = session.config.stash.get(LINES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what was counted in a process that has ended."""
    node.config.stash.setdefault(LINES, []).extend(getattr(node, "workeroutput", {}).get("counted", []))


def pytest_configure() -> None:
    """Take Ctrl-C and hang-ups again: started in the background they may be ignored here and in every child.

    Commands that tests start may write bytecode: a thousand starts need not compile the same modules each time.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Commands take signals for themselves until they end, and here the process goes on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _fast_tests_stay_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make reaching for the engine or Pulumi fail in every test that is not marked for it."""
    if any(request.node.get_closest_marker(name) for name in ("engine", "stack", "browser")):
        yield
        return
    connect, popen = socket.socket.connect, subprocess.Popen.__init__

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX and "docker" in str(address):
            pytest.fail(f"a unit test reaches for the container engine: {address}")
        connect(self, address)

    def guarded_popen(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        words = [args] if isinstance(args, str | Path) else list(args)
        program = Path(str(words[0]))
        if program.name in GUARDED and program.parts[:2] in (("/", "usr"), ("/", "bin"), ("/", "root")):
            pytest.fail(f"a unit test starts {program}")
        popen(self, args, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(subprocess.Popen, "__init__", guarded_popen)
    yield

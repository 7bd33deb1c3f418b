"""Isolated environments for tests, checks and deployment. `nox -l` lists them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests"]
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False

# Where Python may not write bytecode (PYTHONDONTWRITEBYTECODE), every start would compile all that it imports anew.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")

ROOT = Path(__file__).parent
SCRIPTS = ["bootstrap", ".ci/run", "custom_application/build-app.sh", "custom_application/start-app.sh"]
WORKFLOWS = sorted(str(path) for path in Path(".github", "workflows").glob("*.yml"))
# All tests at once wait more than they work: two processes, each with whole files, so that what a file shares stays so.
# In the order of their names, so that the many short ones come last and neither waits for the other.
TOGETHER = ("--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder")
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
TEST_REQUIREMENTS = ("-r", "requirements.txt", "-r", "tests/requirements.txt")


def _may_install() -> tuple[str, ...] | None:
    """Give what stands before apt-get here: nothing for root, else sudo; None where neither may install.

    sudo may ask for its password only at a terminal.
    """
    if not shutil.which("apt-get"):
        return None
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return ()
    sudo = ("sudo",) if sys.stdin.isatty() else ("sudo", "-n")
    able = shutil.which("sudo") and subprocess.run([*sudo, "true"], check=False).returncode == 0
    return sudo if able else None


def _programs(session: nox.Session, packages: dict[str, str]) -> None:
    """See to it that programs are there: installed on Debian and Ubuntu where one may, elsewhere it says what to do."""
    missing = {program: package for program, package in packages.items() if not shutil.which(program)}
    if not missing:
        return
    names = sorted({name for packages_of in missing.values() for name in packages_of.split()})
    sudo = _may_install()
    if sudo is not None:
        session.log(f"Installing with apt-get: {', '.join(names)}")
        apt = (*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get")
        patient = ("-qq", "-o", "DPkg::Lock::Timeout=300")  # seconds that another apt-get may take
        session.run_install(*apt, "update", *patient, external=True)
        session.run_install(*apt, "install", "-y", "--no-install-recommends", *patient, *names, external=True)
    else:
        session.error(f"{', '.join(missing)} not found. Install {', '.join(names)} and run this again.")


def _browser(session: nox.Session) -> None:
    """See to it that there is a browser; where Debian has one without a screen, it starts in half of the time."""
    if not any(map(shutil.which, BROWSERS)):
        look = ("apt-cache", "show", BROWSERS[0])
        known = shutil.which(look[0]) and subprocess.run(look, capture_output=True, check=False).returncode == 0
        program = BROWSERS[0] if known else BROWSERS[1]
        _programs(session, {program: program})


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests (unit, engine, app, stack, contract, judges), then lint and types. Arguments go to pytest."""
    _browser(session)
    _programs(session, {"dash": "dash", "bash": "bash", "podman": "podman netavark"})
    session.install(*TEST_REQUIREMENTS)
    session.run("pytest", *(session.posargs or TOGETHER))
    if not session.posargs:
        session.notify("lint")
        session.notify("types")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style (ruff), the direction of imports (import-linter), shell scripts and workflows."""
    _programs(session, {"shellcheck": "shellcheck"})
    session.install(*TEST_REQUIREMENTS)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", env={"PYTHONPATH": "infra"})
    session.run("shellcheck", *SCRIPTS, external=True)
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


@nox.session
def types(session: nox.Session) -> None:
    """Check types (mypy): strictly those of infra/toolkit, and in the tests whether what they use is there."""
    session.install(*TEST_REQUIREMENTS, "-r", "infra/requirements.txt")
    session.run("mypy")


@nox.session
def deploy(session: nox.Session) -> None:
    """Make the environment in which Pulumi's program runs; `invoke deploy` uses it."""
    session.install("-r", "infra/requirements.txt")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the tool against bare scripts that do the same, as ratios in one run. Arguments go to the benchmark."""
    session.install(*TEST_REQUIREMENTS)
    session.run("python", "tests/bench/run.py", *session.posargs)


@nox.session(default=False)
def reliability(session: nox.Session) -> None:
    """Let every call go wrong, kill commands and the local platform, smoke the corpus five times; count (two hours).

    Arguments go to the first of these, which then runs alone.
    """
    session.install(*TEST_REQUIREMENTS)
    session.run("python", "tests/reliability/run.py", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "tests.engine.kill_loop", "--rounds", "100", "--write", env={"PYTHONPATH": "infra"})
        session.run("python", "-m", "tests.apps.measure", "--rounds", "5", env={"PYTHONPATH": "infra"})


@nox.session(default=False)
def backends(session: nox.Session) -> None:
    """Deploy with the state in an S3-compatible store, which runs in an environment of its own."""
    session.install(*TEST_REQUIREMENTS)
    session.run("python", "tests/reliability/backends.py", *session.posargs)


@nox.session(default=False)
def transcript(session: nox.Session) -> None:
    """Record docs/transcript.md, the pictures of the terminal and of a smoke report: real commands, a few minutes."""
    _browser(session)
    session.install(*TEST_REQUIREMENTS)
    session.run("python", "tests/transcript/run.py")


@nox.session(default=False, venv_backend="none")
def check(session: nox.Session) -> None:
    """Run what belongs before a commit: lint, types and the fast tests."""
    for name in ("lint", "types"):
        session.run(sys.executable, "-m", "nox", "-s", name, external=True)
    session.run(
        sys.executable,
        "-m",
        "nox",
        "-s",
        "tests",
        "--",
        "-m",
        "not engine and not stack and not browser and not judge",
        external=True,
    )

"""Build, prove and deploy a Bun web app on DataRobot: `invoke --list`, `invoke --help NAME`."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from pathlib import Path
from typing import Any

from invoke import Collection, Context, task

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "infra"))

STACK = {"stack": "Stack: local (an emulator, no account needed), dev, staging, prod or any other name."}
JSON = {"json": "Print JSON for programs on standard output; words for people go to standard error."}
YES = {"yes": "Do not ask."}
LOUD = {
    "quiet": "Show only what failed, and the result.",
    "debug": "Show warnings of Pulumi's, and where an error comes from.",
}
EMULATOR = {"data": "Folder of its data (default: EMULATOR_DATA)."}
CONFIRM = {"confirm": "Name of the stack: says yes beforehand, also where the stack is protected."}


def _commands(name: str) -> Any:
    """Import what a family of commands does only when one of them runs: `invoke --list` stays fast."""
    # What is loaded stays: looking for garbage in it, now and at the end, took a fifth of the time of a short command.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    sys.setswitchinterval(0.001)  # what is loaded beside lets those go on soon who have an answer of the engine's
    return importlib.import_module(f"toolkit.commands.{name}")


@task(help=STACK | JSON)
def doctor(_c: Context, stack: str = "", json: bool = False) -> None:
    """Check this machine and the platform, and say what to do about each problem."""
    _commands("doctor").doctor(ROOT, stack, as_json=json)


@task(help=STACK | JSON)
def stage(_c: Context, stack: str = "", json: bool = False) -> None:
    """Show what ships and what does not, with the reason."""
    _commands("proving").stage(ROOT, stack, as_json=json)


@task(help=STACK | {"fresh": "Build again even when nothing changed."})
def build(_c: Context, stack: str = "", fresh: bool = False) -> None:
    """Build the environment image and the app image as the platform would."""
    _commands("proving").build(ROOT, stack, fresh=fresh)


@task(
    help=STACK
    | {
        "app": "Folder of the app (default: APP_DIR).",
        "environment": "Folder of the environment's Dockerfile (default: ENVIRONMENT_DIR).",
        "env_file": "File with settings instead of .env.",
        "runtime_env": "generated, verbatim or credential: how the app gets its token.",
        "mode": "strip (root path, the default) or keep (below /apps/<id>).",
        "browser": "auto (when there is a Chromium), on or off (default: SMOKE_BROWSER).",
        "only": "Ask one family only, or several: source,front.",
        "bundle": "Resource bundle, for example cpu.8xlarge.",
        "fresh": "Build again even when nothing changed.",
        "keep": "Leave the app running at its end, and print its URL (Ctrl-C ends it).",
        "watch": "Smoke again whenever a file of app or environment changes.",
        "json": "Write the report as JSON to this file ('-' for standard output).",
        "junit": "Write the report as JUnit XML to this file.",
        "prove": "Break the app in known ways instead, and say which of them smoke notices.",
        "html": "Write the report as an HTML page to this file (always: .toolkit/smoke/report.html).",
    }
)
def smoke(
    _c: Context,
    stack: str = "",
    app: str = "",
    environment: str = "",
    env_file: str = "",
    runtime_env: str = "",
    mode: str = "strip",
    browser: str = "",
    only: str = "",
    bundle: str = "",
    fresh: bool = False,
    keep: bool = False,
    watch: bool = False,
    prove: bool = False,
    json: str = "",
    junit: str = "",
    html: str = "",
) -> None:
    """Prove on this machine that the app would work on the platform."""
    changed = {"APP_DIR": app, "ENVIRONMENT_DIR": environment, "RUNTIME_ENV": runtime_env, "APP_BUNDLE": bundle}
    if prove:
        judged = {"mode": mode, "only": only, "fresh": fresh, "json_to": json}
        named = {"--browser": browser, "--keep": keep, "--watch": watch, "--junit": junit, "--html": html}
        beside = [option for option, value in named.items() if value]
        _commands("proving").prove(ROOT, stack, overrides=changed, env_file=env_file, beside=beside, **judged)
        return
    how = {"mode": mode, "browser": browser, "only": only, "fresh": fresh, "keep": keep, "watch": watch}
    files = {"json_to": json, "junit": junit, "html": html}
    _commands("proving").smoke(ROOT, stack, overrides=changed, env_file=env_file, **how, **files)


@task(help=STACK | JSON | LOUD | {"exit-code": "End with exit code 11 when something would change."})
def preview(
    _c: Context,
    stack: str = "",
    json: bool = False,
    exit_code: bool = False,
    quiet: bool = False,
    debug: bool = False,
) -> None:
    """Show what a deployment would change, upload and ask of the platform."""
    _commands("deploying").preview(ROOT, stack, as_json=json, exit_code=exit_code, quiet=quiet, debug=debug)


@task(
    help=STACK
    | YES
    | CONFIRM
    | JSON
    | LOUD
    | {
        "fresh": "Build and smoke again even when nothing changed.",
        "no-rollback": "Keep a release whose proof fails; otherwise the one from before serves again.",
        "skip-smoke": "Deploy without proving the app first; asks, and is told in the history.",
    }
)
def deploy(
    _c: Context,
    stack: str = "",
    yes: bool = False,
    confirm: str = "",
    json: bool = False,
    fresh: bool = False,
    no_rollback: bool = False,
    skip_smoke: bool = False,
    quiet: bool = False,
    debug: bool = False,
) -> None:
    """Smoke the app, deploy it, and prove that this very release is serving."""
    asked = {"yes": yes, "confirm": confirm, "as_json": json, "quiet": quiet, "debug": debug}
    _commands("deploying").deploy(ROOT, stack, fresh=fresh, roll_back=not no_rollback, skip_smoke=skip_smoke, **asked)


@task(
    help=STACK
    | YES
    | CONFIRM
    | JSON
    | LOUD
    | {"to": "The release, as history shows it (default: the last proved one that is not deployed)."}
)
def rollback(
    _c: Context,
    stack: str = "",
    to: str = "",
    yes: bool = False,
    confirm: str = "",
    json: bool = False,
    quiet: bool = False,
    debug: bool = False,
) -> None:
    """Let a release that was proved before serve again."""
    asked = {"yes": yes, "confirm": confirm, "as_json": json, "quiet": quiet, "debug": debug}
    _commands("deploying").rollback(ROOT, stack, to=to, **asked)


@task(help=STACK | JSON | {"most": "How many entries."})
def history(_c: Context, stack: str = "", most: int = 20, json: bool = False) -> None:
    """Show what was done to a stack: when, which release, with what result, by whom."""
    _commands("looking").history(ROOT, stack, most=most, as_json=json)


@task(help=STACK | YES | CONFIRM | JSON | LOUD | {"exit-code": "Take nothing over; exit code 11 tells drift."})
def refresh(
    _c: Context,
    stack: str = "",
    yes: bool = False,
    confirm: str = "",
    json: bool = False,
    exit_code: bool = False,
    quiet: bool = False,
    debug: bool = False,
) -> None:
    """Show what differs between platform and state, and take it over."""
    asked = {"yes": yes, "confirm": confirm, "as_json": json, "quiet": quiet, "debug": debug}
    _commands("deploying").refresh(ROOT, stack, exit_code=exit_code, **asked)


@task(help=STACK | YES)
def cancel(_c: Context, stack: str = "", yes: bool = False) -> None:
    """Remove the lock that a dead run has left on a stack."""
    _commands("deploying").cancel(ROOT, stack, yes=yes)


@task(help=STACK | JSON)
def outputs(_c: Context, stack: str = "", json: bool = False) -> None:
    """Show the ids and the URL of a deployed stack."""
    _commands("looking").outputs(ROOT, stack, as_json=json)


@task(help=STACK | JSON)
def status(_c: Context, stack: str = "", json: bool = False) -> None:
    """Show what a stack has and the state of its application."""
    _commands("looking").status(ROOT, stack, as_json=json)


@task(help=STACK | {"build": "Show the log of the build instead.", "follow": "Go on with what comes, until Ctrl-C."})
def logs(_c: Context, stack: str = "", build: bool = False, follow: bool = False) -> None:
    """Show the logs of the deployed application."""
    _commands("looking").logs(ROOT, stack, build=build, follow=follow)


@task(name="open", help=STACK | {"print-only": "Print the address; open no browser."})
def open_app(_c: Context, stack: str = "", print_only: bool = False) -> None:
    """Open the deployed application in a browser."""
    _commands("looking").open_app(ROOT, stack, only_print=print_only)


@task(help=STACK | JSON | {"to": "File to write (default: .toolkit/backups/<stack>-<time>.json)."})
def backup(_c: Context, stack: str = "", to: str = "", json: bool = False) -> None:
    """Save a copy of a stack's state."""
    _commands("looking").backup(ROOT, stack, to=to, as_json=json)


@task(help=STACK | YES | CONFIRM | {"file": "The copy."})
def restore(_c: Context, file: str, stack: str = "", yes: bool = False, confirm: str = "") -> None:
    """Bring back a copy of a stack's state, after a look at its integrity."""
    _commands("deploying").restore(ROOT, stack, file=file, yes=yes, confirm=confirm)


@task(
    help=STACK
    | {
        "app": "Folder of the app (default: APP_DIR).",
        "environment": "Folder of the environment's Dockerfile (default: ENVIRONMENT_DIR).",
        "bundle": "Resource bundle, for example cpu.8xlarge.",
    }
)
def run(_c: Context, stack: str = "", app: str = "", environment: str = "", bundle: str = "") -> None:
    """Run the app in its container, with a URL to click, until Ctrl-C."""
    _commands("proving").run(ROOT, stack, app=app, environment=environment, bundle=bundle)


@task(help=STACK | YES | CONFIRM | JSON | LOUD)
def destroy(
    _c: Context,
    stack: str = "",
    yes: bool = False,
    confirm: str = "",
    json: bool = False,
    quiet: bool = False,
    debug: bool = False,
) -> None:
    """Remove everything that a stack has on the platform."""
    asked = {"yes": yes, "confirm": confirm, "as_json": json, "quiet": quiet, "debug": debug}
    _commands("deploying").destroy(ROOT, stack, **asked)


@task(help={"everything": "Also the local platform with its data, and tools built for all checkouts."} | YES)
def clean(_c: Context, everything: bool = False, yes: bool = False) -> None:
    """Remove leftover containers, images of this tool and caches; state and local platform stay."""
    _commands("cleaning").clean(ROOT, everything=everything, yes=yes)


@task(
    name="start",
    help=JSON
    | EMULATOR
    | {
        "port": "Port (default: the last one, else 8085, else any free one).",
        "host": "Address to listen on besides the loopback one.",
        "expose": "Listen there although other machines reach it.",
    },
)
def emulator_start(
    _c: Context, data: str = "", port: int = 0, host: str = "", expose: bool = False, json: bool = False
) -> None:
    """Start the local DataRobot."""
    _commands("emulated").emulator_start(ROOT, data, port, host=host, expose=expose, as_json=json)


@task(name="stop", help=EMULATOR)
def emulator_stop(_c: Context, data: str = "") -> None:
    """Stop the local DataRobot; its data stays."""
    _commands("emulated").emulator_stop(ROOT, data)


@task(name="status", help=JSON | EMULATOR)
def emulator_status(_c: Context, data: str = "", json: bool = False) -> None:
    """Show whether the local DataRobot runs, and where."""
    _commands("emulated").emulator_status(ROOT, data, as_json=json)


@task(name="reset", help=YES | EMULATOR)
def emulator_reset(_c: Context, data: str = "", yes: bool = False) -> None:
    """Empty the local DataRobot: no applications, the seeded organisation anew."""
    _commands("emulated").emulator_reset(ROOT, data, yes=yes)


@task(name="logs", help=EMULATOR)
def emulator_logs(_c: Context, data: str = "") -> None:
    """Show the log of the local DataRobot."""
    _commands("emulated").emulator_logs(ROOT, data)


@task(name="settings", help=EMULATOR | {"set": 'Switches as JSON, for example \'{"builds": "immediate"}\'.'})
def emulator_settings(_c: Context, data: str = "", set: str = "") -> None:  # noqa: A002
    """Show or set the switches of the local DataRobot: pace of builds and starts, encodings, pauses."""
    _commands("emulated").emulator_settings(ROOT, data, set)


@task(name="faults", help=EMULATOR | {"add": "File with rules as JSON; - for standard input.", "clear": "Remove all."})
def emulator_faults(_c: Context, data: str = "", add: str = "", clear: bool = False) -> None:
    """List, add or remove faults of the local DataRobot."""
    _commands("emulated").emulator_faults(ROOT, data, add, clear=clear)


@task(name="snapshot", help=EMULATOR | {"name": "Name of the copy; without one all are listed."})
def emulator_snapshot(_c: Context, name: str = "", data: str = "") -> None:
    """Copy everything that the local DataRobot keeps."""
    _commands("emulated").emulator_snapshot(ROOT, data, name)


@task(name="restore", help=YES | EMULATOR | {"name": "Name of the copy."})
def emulator_restore(_c: Context, name: str, data: str = "", yes: bool = False) -> None:
    """Bring back what the local DataRobot kept at a snapshot."""
    _commands("emulated").emulator_restore(ROOT, data, name, yes=yes)


namespace = Collection(
    doctor,
    stage,
    build,
    smoke,
    run,
    preview,
    deploy,
    rollback,
    history,
    outputs,
    status,
    logs,
    open_app,
    refresh,
    backup,
    restore,
    cancel,
    destroy,
    clean,
)
namespace.add_collection(
    Collection(
        "emulator",
        emulator_start,
        emulator_stop,
        emulator_status,
        emulator_reset,
        emulator_logs,
        emulator_settings,
        emulator_faults,
        emulator_snapshot,
        emulator_restore,
    )
)

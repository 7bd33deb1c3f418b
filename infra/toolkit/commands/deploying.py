"""Commands that change what is deployed: deploy, rollback, refresh, destroy; and preview, which only shows it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from invoke.exceptions import Exit

from toolkit import backup as backups
from toolkit import deploy as deployment
from toolkit import observe, stackconfig
from toolkit import stack as stacks
from toolkit.commands.frame import agreed, command, control, load_settings, make_bench, quiet
from toolkit.console import Console, number
from toolkit.errors import Cancelled
from toolkit.settings import Settings

CHANGES = 11  # exit code of a preview that was asked whether anything would change


@command
def preview(root: Path, stack: str, *, as_json: bool, exit_code: bool, quiet: bool, debug: bool) -> None:
    """Show what a deployment would change and send. With `exit_code` changes end it with code 11."""
    console = Console(as_json=as_json, quiet=quiet, verbose=debug)
    result, plan = deployment.preview(load_settings(root, stack, needs_platform=True), make_bench(root, console))
    console.plan(plan)
    told = {"changes": dict(result.changes), "changed": result.changed, "plan": plan.to_json()}
    console.result({"ok": True, "exit_code": CHANGES if exit_code and result.changed else 0, **told})
    if exit_code and result.changed:
        raise Exit(code=CHANGES)


@command
def deploy(
    root: Path,
    stack: str,
    *,
    yes: bool,
    confirm: str,
    as_json: bool,
    fresh: bool,
    roll_back: bool,
    skip_smoke: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Deploy, and end with a short summary and the URL."""
    console = Console(as_json=as_json, quiet=quiet, verbose=debug)
    settings = load_settings(root, stack, needs_platform=True)
    if skip_smoke and not settings.protected:  # the gate refuses it there
        agree = functools.partial(agreed, console, settings, yes=yes, confirm=confirm)
        if not agree("Deploy a release that nobody has proved? The history will say so."):
            raise Cancelled("Nothing was changed.", hint="Leave --skip-smoke out: the app is proved first.")
    done = deployment.deploy(
        settings,
        make_bench(root, console),
        confirm=_confirm(console, settings, yes=yes, confirm=confirm),
        fresh=fresh,
        roll_back=roll_back,
        skip_smoke=skip_smoke,
    )
    _show_deployed(console, settings, done)


@command
def rollback(
    root: Path, stack: str, *, to: str, yes: bool, confirm: str, as_json: bool, quiet: bool, debug: bool
) -> None:
    """Let an earlier release serve again, and end with a short summary and the URL."""
    console = Console(as_json=as_json, quiet=quiet, verbose=debug)
    settings = load_settings(root, stack, needs_platform=True)
    ask = _confirm(console, settings, yes=yes, confirm=confirm)
    done = deployment.rollback(settings, make_bench(root, console), confirm=ask, to=to)
    _show_deployed(console, settings, done)


def _confirm(console: Console, settings: Settings, *, yes: bool, confirm: str) -> Callable[[Mapping[str, int]], bool]:
    """Give what asks whether changes are wanted. A `confirm` that names another stack is refused at once."""
    if confirm:
        agreed(console, settings, "", yes=yes, confirm=confirm)

    def ask(changes: Mapping[str, int]) -> bool:
        question = f"{stacks.counted(changes)} on the stack {settings.stack}. Go on?"
        return agreed(console, settings, question, yes=yes, confirm=confirm)

    return ask


def _show_deployed(console: Console, settings: Settings, done: deployment.Deployed) -> None:
    console.line()
    console.line(
        f"{stacks.counted(done.changes, done=True)}; {number(done.verified, 'file')} proved; {done.seconds:.1f} s"
    )
    if settings.stack == stackconfig.LOCAL:
        link = control().sign_in_link(settings.emulator_data, done.outputs.app_url)
        console.line(f"The app runs on the local platform. Sign in and see it: {link}")
    console.line(done.outputs.app_url)
    outcome = {
        "release": done.release,
        "outputs": vars(done.outputs),
        "changes": dict(done.changes),
        "seconds": round(done.seconds, 3),
    }
    console.result({"ok": True, "exit_code": 0, **outcome})


@command
def refresh(
    root: Path, stack: str, *, yes: bool, confirm: str, as_json: bool, exit_code: bool, quiet: bool, debug: bool
) -> None:
    """Show what differs between platform and state, ask, and take it over. With `exit_code` only tell: 11 for drift."""
    console = Console(as_json=as_json, quiet=quiet, verbose=debug)
    settings = load_settings(root, stack, needs_platform=True)
    drift: dict[str, int] = {}

    def ask(changes: Mapping[str, int]) -> bool:
        drift.update(changes)
        question = f"Drift: {stacks.counted(changes)}. Take it over into the state?"
        return not exit_code and agreed(console, settings, question, yes=yes, confirm=confirm)

    result = observe.refresh(settings, make_bench(root, console), confirm=ask)
    code = CHANGES if exit_code and drift else 0
    console.result({"ok": True, "exit_code": code, "changes": dict(result.changes), "drift": drift})
    if code:
        raise Exit(code=code)


@command
def cancel(root: Path, stack: str, *, yes: bool) -> None:
    """Remove the lock that a dead run has left on a stack."""
    console = Console()
    settings = load_settings(root, stack, needs_platform=False)
    if not (yes or console.ask(f"Is no other run working on the stack {settings.stack}? Its lock is removed.")):
        raise Cancelled("Nothing was changed.", hint="Answer yes, or use --yes.")
    observe.cancel(settings, make_bench(root, quiet(console)))
    console.line(f"The stack {settings.stack} is not locked any more. Next: invoke deploy --stack {settings.stack}")


@command
def restore(root: Path, stack: str, *, file: str, yes: bool, confirm: str) -> None:
    """Put a copy of the stack's state in the place of the one that is there. The platform is not touched."""
    console = Console()
    settings = load_settings(root, stack, needs_platform=False)
    saved = backups.read(Path(file), settings.stack)
    question = (
        f"Put the state of {saved.at} ({number(saved.resources, 'resource')}) in the place of that of {settings.stack}?"
    )
    if not agreed(console, settings, question, yes=yes, confirm=confirm):
        raise Cancelled("Nothing was changed.", hint="Answer yes, or use --yes.")
    observe.restore_state(settings, make_bench(root, quiet(console)), saved)
    console.line(f"The state is that of {saved.at}. What changed on the platform since then is not in it.")
    console.line(f"Next: invoke refresh --stack {settings.stack}")


@command
def destroy(root: Path, stack: str, *, yes: bool, confirm: str, as_json: bool, quiet: bool, debug: bool) -> None:
    """Show what goes, ask, remove it, and say so."""
    console = Console(as_json=as_json, quiet=quiet, verbose=debug)
    settings = load_settings(root, stack, needs_platform=True)

    def ask(found: stacks.StackResult) -> bool:
        for resource in found.resources:
            console.line(f"  - {resource['type']} {resource['name']} {resource['id']}")
        question = f"Remove {number(len(found.resources), 'resource')} of {settings.stack}?"
        return agreed(console, settings, question, yes=yes, confirm=confirm)

    try:
        result = deployment.destroy(settings, make_bench(root, console), confirm=ask)
    except stacks.StackMissing:
        console.line(f"There is nothing to remove: nothing is deployed on the stack {settings.stack}.")
        console.result({"ok": True, "exit_code": 0, "changes": {}})
        return
    console.line(f"The stack {settings.stack} is gone: {number(result.changes.get('delete', 0), 'resource')} removed.")
    console.result({"ok": True, "exit_code": 0, "changes": dict(result.changes)})

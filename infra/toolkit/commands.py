"""What each command does: put rooms together, show what comes out, and turn errors into exit codes."""

from __future__ import annotations

import errno
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast
from urllib.parse import quote

from invoke.exceptions import Exit

from toolkit import deploy as deployment
from toolkit import engine as engines
from toolkit import settings as configuration
from toolkit import smoke as smoking
from toolkit import stack as stacks
from toolkit import stackconfig, statefiles, tools
from toolkit.browser import VARIABLES, find_chromium
from toolkit.checks import catalog
from toolkit.console import Console, number
from toolkit.container import sweep
from toolkit.deploy import Bench
from toolkit.errors import Cancelled, ConfigurationError, SmokeFailed, ToolkitError, ToolMissing
from toolkit.image import BUILD_OWNER, remove_unused
from toolkit.report import SmokeReport, write_whole
from toolkit.settings import Secret, Settings
from toolkit.tools import Places

if TYPE_CHECKING:
    from toolkit.emulator.control import EmulatorInfo

P = ParamSpec("P")
DEFAULT_STACK = "dev"
# Looks like a token, so that searching for parts of it finds nothing that is no leak; opens nothing.
PLACEHOLDER_TOKEN = Secret(hashlib.sha256(b"smoke without an account").hexdigest())
PLACEHOLDER_ENDPOINT = "https://app.datarobot.com/api/v2"
NO_CHROMIUM = "no Chromium was found, so no browser looked at the page: install one, or name it with CHROMIUM=…"


def command(function: Callable[Concatenate[Path, P], None]) -> Callable[Concatenate[Path, P], None]:
    """Wrap a command: expected errors become a message and an exit code, a signal becomes exit code 8."""

    @functools.wraps(function)
    def run(root: Path, *args: P.args, **options: P.kwargs) -> None:
        for wanted in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(wanted, _interrupt)
        try:
            try:
                function(root, *args, **options)
            except KeyboardInterrupt:
                hint = "Run the same command again: it goes on from what is there."
                raise Cancelled("Cancelled.", hint=hint) from None
            except OSError as error:
                raise _file_problem(error) from error
        except ToolkitError as error:
            Console().error(error)
            if options.get("as_json"):
                Console(as_json=True).result({"ok": False, "exit_code": error.exit_code, "error": error.message})
            raise Exit(code=error.exit_code) from None

    return cast(Callable[Concatenate[Path, P], None], run)


@command
def doctor(root: Path, stack: str, *, as_json: bool) -> None:
    """Check engine, settings, tools and platform; every problem with its next step. Exit code of the first one."""
    console = Console(as_json=as_json)
    bench = _bench(root, console)
    found: list[tuple[str, str, str, str]] = []
    first_error: ToolkitError | None = None

    def check(name: str, probe: Callable[[], str]) -> None:
        nonlocal first_error
        try:
            found.append((name, "ok", probe(), ""))
        except ToolkitError as error:
            first_error = first_error or error
            found.append((name, "error", " ".join([error.message, *error.details]), error.hint))

    settings = functools.cache(lambda: _settings(root, stack, needs_platform=True))
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


@command
def stage(root: Path, stack: str, *, as_json: bool) -> None:
    """Show what ships and what does not."""
    console = Console(as_json=as_json)
    settings = _settings(root, stack, needs_platform=False)
    with statefiles.locked(settings):
        release = deployment.stage(settings, _bench(root, _quiet(console)), full_token=PLACEHOLDER_TOKEN)
    staged = release.staged
    if as_json:
        console.document(
            {
                "digest": release.digest,
                "files": [{"path": file.path, "mode": oct(file.mode)} for file in staged.files],
                "left_out": [{"path": left.path, "reason": left.reason} for left in staged.left_out],
            }
        )
        return
    console.table("Ships", ("file", "mode"), ((file.path, f"{file.mode:o}") for file in staged.files))
    console.table("Stays", ("file", "reason"), ((left.path, left.reason) for left in staged.left_out))
    console.line(f"{len(staged.files)} files, {staged.total_bytes / 1000:.0f} kB, release {release.digest[:12]}")


@command
def build(root: Path, stack: str, *, fresh: bool) -> None:
    """Build both images."""
    console = Console()
    bench = _bench(root, console)
    settings = _settings(root, stack, needs_platform=False)
    engine, _ = engines.connect(bench.environ, bench.places.home)
    with deployment.workroom(settings) as room:
        release = deployment.stage(settings, bench, full_token=PLACEHOLDER_TOKEN, folder=room)
        app = deployment.build(engine, settings, release, bench, fresh=fresh)
    console.line(f"{app.environment.tag}\n{app.tag}")


@command
def smoke(
    root: Path,
    stack: str,
    *,
    overrides: Mapping[str, str],
    env_file: str,
    mode: str,
    browser: str,
    only: str,
    fresh: bool,
    keep: bool,
    watch: bool,
    json_to: str,
    junit: str,
    html: str,
) -> None:
    """Smoke any app, once or at every change. Ends with exit code 4 when a check failed."""
    families = frozenset(filter(None, re.split(r"[,\s]+", only)))
    chosen = [("--mode", mode, ("strip", "keep")), ("--browser", browser, ("auto", "on", "off"))]
    chosen += [("--only", family, catalog.FAMILIES) for family in sorted(families)]
    for option, value, known in chosen:
        if value not in known:
            raise ConfigurationError(f"{option} {value} is not understood.", hint=f"{option} {'|'.join(known)}")
    console = Console(as_json=json_to == "-")
    bench = _bench(root, _quiet(console) if json_to == "-" else console)
    chromium = _chromium(browser, bench)

    def once() -> SmokeReport:
        settings = _settings(root, stack, needs_platform=False, overrides=overrides, env_file=env_file)
        options = smoking.SmokeOptions(
            mode="keep" if mode == "keep" else "strip",
            bundle=settings.bundle,
            health_path=settings.health_path,
            full_token=settings.token or PLACEHOLDER_TOKEN,
            endpoint=settings.runtime_endpoint or PLACEHOLDER_ENDPOINT,
            browser=chromium,
            only=families,
            keep=functools.partial(_hold, console) if keep else None,
        )
        with deployment.workroom(settings) as room:
            release = deployment.stage(settings, bench, full_token=PLACEHOLDER_TOKEN, folder=room)
            report = deployment.prove(settings, release, bench, options=options, fresh=fresh, reuse=False)
        if chromium is None and browser == "auto" and (not families or "browser" in families):
            report = replace(report, notes=(*report.notes, NO_CHROMIUM))
        _write_reports(settings, report, json_to="" if json_to == "-" else json_to, junit=junit, html=html)
        if json_to == "-":
            console.document(report.to_json())
        else:
            console.report(report)
            console.line(f"report: {html or settings.toolkit_dir / 'smoke' / 'report.html'}")
        return report

    if watch:
        _at_every_change(console, once, lambda: _settings(root, stack, needs_platform=False, overrides=overrides))
    elif once().verdict == "fail":
        raise Exit(code=SmokeFailed.exit_code)


@command
def prove(
    root: Path,
    stack: str,
    *,
    overrides: Mapping[str, str],
    env_file: str,
    mode: str,
    only: str,
    as_json: bool,
) -> None:
    """Break the app in known ways, and show which of them smoke notices. Ends with exit code 4 when it missed one."""
    from toolkit import prove as proving

    if mode not in ("strip", "keep"):
        raise ConfigurationError(f"--mode {mode} is not understood.", hint="--mode strip|keep")
    families = frozenset(filter(None, re.split(r"[,\s]+", only)))
    console = Console(as_json=as_json)
    bench = _bench(root, _quiet(console))
    settings = _settings(root, stack, needs_platform=False, overrides=overrides, env_file=env_file)
    options = smoking.SmokeOptions(
        mode="keep" if mode == "keep" else "strip",
        bundle=settings.bundle,
        health_path=settings.health_path,
        full_token=settings.token or PLACEHOLDER_TOKEN,
        endpoint=settings.runtime_endpoint or PLACEHOLDER_ENDPOINT,
        only=families,
    )
    engine, address = engines.connect(bench.environ, bench.places.home)

    def show(event: Mapping[str, Any]) -> None:
        if not as_json:
            console.line(f"{event['status']:<15} {event['id']}" + (f"  ({event['title']})" if event["title"] else ""))

    try:
        with deployment.workroom(settings) as room:
            release = deployment.stage(settings, bench, full_token=PLACEHOLDER_TOKEN, folder=room)
            app = deployment.build(engine, settings, release, bench)
            found = proving.prove(engine, app, release.staged, options, host=address.host, on_event=show)
    finally:
        engine.close()
    outcomes = {name: found.count(name) for name in proving.OUTCOMES}
    if as_json:
        console.document({"rate": found.rate, "proofs": [vars(proof) for proof in found.proofs], "outcomes": outcomes})
    else:
        said = ", ".join(f"{count} {name}" for name, count in outcomes.items())
        console.line(f"{len(found.proofs)} mutations: {said}. Of those that apply, smoke noticed {found.rate:.0%}.")
    if found.count("survived"):
        raise Exit(code=SmokeFailed.exit_code)


def _chromium(browser: str, bench: Bench) -> Path | None:
    """Find the browser that is wanted. Raises ToolMissing when there has to be one and is none."""
    if browser == "off":
        return None
    found = find_chromium(bench.environ) if importlib.util.find_spec("playwright") else None
    if found is None and browser == "on":
        named = next((f"{name}={bench.environ[name]}" for name in VARIABLES if bench.environ.get(name)), "")
        problem = f"{named} is no browser." if named else "there is no Chromium."
        raise ToolMissing(f"--browser on: {problem}", hint="Install one, or name it: CHROMIUM=/path/to/it")
    return found


def _hold(console: Console, url: str) -> None:
    """Leave the app running until Ctrl-C."""
    console.line(f"The app runs until Ctrl-C: {url}")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _write_reports(settings: Settings, report: SmokeReport, *, json_to: str, junit: str, html: str) -> None:
    """Write the report in every form that is wanted, and always as a page of the toolkit's own folder."""
    from toolkit.reports import html as page

    if json_to:
        report.write(Path(json_to))
    if junit:
        from toolkit.reports import junit as xml

        write_whole(Path(junit), xml.render(report))
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = page.render(report, app=settings.app.resolve().name, when=when)
    for path in filter(None, (html, str(settings.toolkit_dir / "smoke" / "report.html"))):
        write_whole(Path(path), text)


def _at_every_change(console: Console, once: Callable[[], object], settings: Callable[[], Settings]) -> None:
    """Do it again whenever something changes in the folders of app and environment, until Ctrl-C."""
    from watchfiles import watch

    while True:
        try:
            once()
        except ToolkitError as error:
            console.error(error)
        console.line("Waiting for a change: Ctrl-C ends it.")
        folders = settings()
        if not next(watch(folders.app, folders.environment, raise_interrupt=True), None):
            return


@command
def preview(root: Path, stack: str, *, as_json: bool) -> None:
    """Show what a deployment would change."""
    console = Console(as_json=as_json)
    result = deployment.preview(_settings(root, stack, needs_platform=True), _bench(root, console))
    console.result({"ok": True, "exit_code": 0, "changes": dict(result.changes)})


@command
def deploy(root: Path, stack: str, *, yes: bool, as_json: bool, fresh: bool, roll_back: bool) -> None:
    """Deploy, and end with a short summary and the URL."""
    console = Console(as_json=as_json)
    settings = _settings(root, stack, needs_platform=True)
    confirm = _confirm(console, settings, yes=yes)
    done = deployment.deploy(settings, _bench(root, console), confirm=confirm, fresh=fresh, roll_back=roll_back)
    _show_deployed(console, settings, done)


@command
def rollback(root: Path, stack: str, *, to: str, yes: bool, as_json: bool) -> None:
    """Let an earlier release serve again, and end with a short summary and the URL."""
    console = Console(as_json=as_json)
    settings = _settings(root, stack, needs_platform=True)
    confirm = _confirm(console, settings, yes=yes)
    done = deployment.rollback(settings, _bench(root, console), confirm=confirm, to=to)
    _show_deployed(console, settings, done)


def _confirm(console: Console, settings: Settings, *, yes: bool) -> Callable[[Mapping[str, int]], bool]:
    def confirm(changes: Mapping[str, int]) -> bool:
        return yes or console.ask(f"{stacks.counted(changes)} on the stack {settings.stack}. Go on?")

    return confirm


def _show_deployed(console: Console, settings: Settings, done: deployment.Deployed) -> None:
    console.line()
    console.line(f"{stacks.counted(done.changes)}; {number(done.verified, 'file')} proved; {done.seconds:.1f} s")
    if settings.stack == stackconfig.LOCAL:
        link = _control().sign_in_link(settings.emulator_data, done.outputs.app_url)
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
def history(root: Path, stack: str, *, most: int, as_json: bool) -> None:
    """Show what was done to a stack, the last first."""
    console = Console(as_json=as_json)
    settings = _settings(root, stack, needs_platform=False)
    found = deployment.history(settings, _bench(root, _quiet(console)), most=most)
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


@command
def refresh(root: Path, stack: str, *, yes: bool, as_json: bool) -> None:
    """Show what differs between platform and state, ask, and take it over."""
    console = Console(as_json=as_json)
    settings = _settings(root, stack, needs_platform=True)

    def confirm(changes: Mapping[str, int]) -> bool:
        return yes or console.ask(f"Drift: {stacks.counted(changes)}. Take it over into the state?")

    result = deployment.refresh(settings, _bench(root, console), confirm=confirm)
    console.result({"ok": True, "exit_code": 0, "changes": dict(result.changes)})


@command
def cancel(root: Path, stack: str, *, yes: bool) -> None:
    """Remove the lock that a dead run has left on a stack."""
    console = Console()
    settings = _settings(root, stack, needs_platform=False)
    if not (yes or console.ask(f"Is no other run working on the stack {settings.stack}? Its lock is removed.")):
        raise Cancelled("Nothing was changed.", hint="Answer yes, or use --yes.")
    deployment.cancel(settings, _bench(root, _quiet(console)))
    console.line(f"The stack {settings.stack} is not locked any more. Next: invoke deploy --stack {settings.stack}")


@command
def outputs(root: Path, stack: str, *, as_json: bool) -> None:
    """Show the outputs of a stack."""
    console = Console(as_json=as_json)
    settings = _settings(root, stack, needs_platform=False)
    found = deployment.describe(settings, _bench(root, _quiet(console)))
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
    bench = _bench(root, _quiet(console))
    settings = _settings(root, stack, needs_platform=True)
    found = deployment.describe(settings, bench)
    settings = deployment.with_local_platform(settings, bench)
    application: Mapping[str, Any] = {}
    if found.outputs is not None and settings.endpoint and settings.token:
        with deployment.platform_client(settings) as client:
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
    found = deployment.application_logs(_settings(root, stack, needs_platform=True), _bench(root, _quiet(console)))
    lines = (found.get("buildLog") or "").splitlines() if build else list(found.get("logs") or ())
    for line in lines:
        console.line(line)


@command
def destroy(root: Path, stack: str, *, yes: bool, as_json: bool) -> None:
    """Show what goes, ask, remove it, and say so."""
    console = Console(as_json=as_json)
    settings = _settings(root, stack, needs_platform=True)

    def confirm(found: stacks.StackResult) -> bool:
        for resource in found.resources:
            console.line(f"  - {resource['type']} {resource['name']} {resource['id']}")
        return yes or console.ask(f"Remove {number(len(found.resources), 'resource')} of {settings.stack}?")

    try:
        result = deployment.destroy(settings, _bench(root, console), confirm=confirm)
    except stacks.StackMissing:
        console.line(f"There is nothing to remove: nothing is deployed on the stack {settings.stack}.")
        console.result({"ok": True, "exit_code": 0, "changes": {}})
        return
    console.line(f"The stack {settings.stack} is gone: {number(result.changes.get('delete', 0), 'resource')} removed.")
    console.result({"ok": True, "exit_code": 0, "changes": dict(result.changes)})


@command
def clean(root: Path, *, everything: bool, yes: bool) -> None:
    """Remove leftovers of dead runs, this tool's images and caches."""
    console = Console()
    bench = _bench(root, console)
    settings = _settings(root, "", needs_platform=False)
    question = "Remove the local platform with its data, and the tools that were built for all checkouts?"
    if everything and not (yes or console.ask(question)):
        raise Cancelled("Nothing was removed.", hint="Answer yes, or use --yes.")
    local = _emulator_settings(root, "", 0)
    if everything:
        _control().stop(local.emulator_data)
    with suppress(ToolkitError):
        engine, _ = engines.connect(bench.environ, bench.places.home)
        removed = [name for owner in ("smoke", BUILD_OWNER) for name in sweep(engine, owner, engines.is_alive)]
        images, used = remove_unused(engine)
        for name in (*removed, *images):
            console.line(f"removed {name}")
        for name in used:
            console.line(f"kept {name}: a container uses it")
    folders = [settings.toolkit_dir / name for name in ("smoke", "stage", "pulumi")]
    if everything:  # the state of stacks elsewhere stays: without it nobody could destroy them
        folders += [local.emulator_data, bench.places.cache]
        statefiles.forget(local)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    console.line("Clean.")


@command
def emulator_start(root: Path, data: str, port: int, *, as_json: bool) -> None:
    """Start the local platform and say where it is."""
    console = Console(as_json=as_json)
    settings = _emulator_settings(root, data, port)
    info = deployment.start_emulator(settings, _bench(root, _quiet(console)))
    _show_emulator(console, info)


@command
def emulator_stop(root: Path, data: str) -> None:
    """Stop the local platform."""
    stopped = _control().stop(_emulator_settings(root, data, 0).emulator_data)
    Console().line("The local platform is stopped; its data stays." if stopped else "The local platform does not run.")


@command
def emulator_status(root: Path, data: str, *, as_json: bool) -> None:
    """Say whether the local platform runs."""
    console = Console(as_json=as_json)
    info = _control().status(_emulator_settings(root, data, 0).emulator_data)
    if info is None:
        raise ConfigurationError("The local platform does not run.", hint="Start it: invoke emulator.start")
    _show_emulator(console, info)


@command
def emulator_reset(root: Path, data: str, *, yes: bool) -> None:
    """Empty the local platform."""
    console = Console()
    if not (yes or console.ask("Remove all applications of the local platform?")):
        raise Cancelled("Nothing was removed.", hint="Answer yes, or use --yes.")
    settings = _emulator_settings(root, data, 0)
    _control().reset(settings.emulator_data)
    if not data:
        statefiles.forget(settings)
    console.line("The local platform is empty again.")


@command
def emulator_logs(root: Path, data: str) -> None:
    """Show the local platform's log."""
    console = Console()
    for line in _control().logs(_emulator_settings(root, data, 0).emulator_data):
        console.line(line)


@command
def emulator_settings(root: Path, data: str, given: str) -> None:
    """Show the local platform's switches, after setting some where `given` (JSON) says so."""
    body = _json(given) if given else None
    folder = _emulator_settings(root, data, 0).emulator_data
    _show_json(_control().ask(folder, "PUT" if given else "GET", "settings", body))


@command
def emulator_faults(root: Path, data: str, add: str, *, clear: bool) -> None:
    """List the local platform's faults, after adding those of a file or removing all."""
    folder = _emulator_settings(root, data, 0).emulator_data
    if clear:
        _control().ask(folder, "DELETE", "faults")
    if add:
        _control().ask(folder, "POST", "faults", _json(sys.stdin.read() if add == "-" else Path(add).read_text()))
    _show_json(_control().ask(folder, "GET", "faults"))


@command
def emulator_snapshot(root: Path, data: str, name: str) -> None:
    """Copy what the local platform keeps under a name; list the copies."""
    folder = _emulator_settings(root, data, 0).emulator_data
    if name:
        _control().ask(folder, "POST", "snapshots", {"name": name})
    _show_json(_control().ask(folder, "GET", "snapshots"))


@command
def emulator_restore(root: Path, data: str, name: str, *, yes: bool) -> None:
    """Bring back a copy of what the local platform kept."""
    console = Console()
    if not (yes or console.ask(f"Replace all that the local platform keeps by the snapshot {name}?")):
        raise Cancelled("Nothing was replaced.", hint="Answer yes, or use --yes.")
    _control().ask(_emulator_settings(root, data, 0).emulator_data, "POST", f"snapshots/{quote(name, safe='')}/restore")
    console.line(f"The local platform is as it was at the snapshot {name}.")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as problem:
        raise ConfigurationError(f"This is not JSON: {problem}.", hint="It has to be a JSON object.") from None


def _show_json(document: Mapping[str, Any]) -> None:
    console = Console()
    for line in json.dumps(document, indent=2, ensure_ascii=False).splitlines():
        console.line(line)


def _control() -> Any:
    """Import what starts and stops the local platform (with httpx) only where it is needed."""
    from toolkit.emulator import control

    return control


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _bench(root: Path, console: Console) -> Bench:
    home = Path.home()
    places = Places(root, home, tools.cache_folder(os.environ, home), root / ".toolkit")
    return Bench(places, dict(os.environ), console.event)


def _quiet(console: Console) -> Console:
    """Give a console that shows no progress: for commands whose answer is the only output."""

    class Quiet(Console):
        def event(self, event: Mapping[str, Any]) -> None:
            del event

    return Quiet(as_json=console.as_json)


def _settings(
    root: Path,
    stack: str,
    *,
    needs_platform: bool,
    overrides: Mapping[str, str] | None = None,
    env_file: str = "",
) -> Settings:
    """Load the settings of a stack; a stack that was named is remembered as the last one used."""
    remembered = root / ".toolkit" / "last-stack"
    environ = {**os.environ, **{key: value for key, value in (overrides or {}).items() if value}}
    dotenv = Path(env_file) if env_file else root / ".env"
    chosen = stackconfig.check_stack_name(
        stack or configuration.stack_of(environ, dotenv) or _read(remembered) or DEFAULT_STACK
    )
    if env_file and not dotenv.is_file():
        raise ConfigurationError(f"There is no file {env_file}.", hint="Name a file with KEY=value lines.")
    defaults = stackconfig.file_settings(_read(root / "infra" / f"Pulumi.{chosen}.yaml"))
    settings = configuration.load(environ, dotenv, stack=chosen, root=root, defaults=defaults)
    if needs_platform:
        configuration.require_platform(settings)
    if stack:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        remembered.write_text(chosen + "\n")
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _emulator_settings(root: Path, data: str, port: int) -> Settings:
    overrides = {"EMULATOR_DATA": str(Path(data).resolve()) if data else "", "EMULATOR_PORT": str(port) if port else ""}
    return _settings(root, stackconfig.LOCAL, needs_platform=False, overrides=overrides)


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
        info = _control().status(settings.emulator_data)
        return f"emulator at {info.endpoint}" if info else "emulator: the first deployment starts it"
    with deployment.platform_client(settings) as client:
        return f"DataRobot {client.check_access()} at {settings.endpoint}"


def _file_problem(error: OSError) -> ConfigurationError:
    """Say what is wrong with a file or the disk; what no person can act on keeps its traceback."""
    hints = {
        errno.ENOSPC: "The disk is full: free some space, for example with invoke clean.",
        errno.EDQUOT: "Your quota of disk space is used up: free some space.",
        errno.EROFS: "This checkout is read-only, and the toolkit keeps its state in .toolkit/: clone it elsewhere.",
        errno.EACCES: "Is this checkout writable for you? The toolkit keeps its state in .toolkit/.",
        errno.EPERM: "Is this checkout writable for you? The toolkit keeps its state in .toolkit/.",
        errno.ENOTDIR: "Something is in the way there that is no folder: move it.",
        errno.EEXIST: "Something is in the way there: move it.",
        errno.EISDIR: "A folder is in the way there: move it.",
    }
    if error.errno not in hints:
        raise error
    where = f": {error.filename}" if error.filename else ""
    return ConfigurationError(f"{error.strerror}{where}", hint=hints[error.errno])

"""Commands that prove an app on this machine: stage, build, smoke, prove."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from invoke.exceptions import Exit

from toolkit import accepted, gate, staging
from toolkit import engine as engines
from toolkit import smoke as smoking
from toolkit.checks import catalog
from toolkit.commands.frame import command, load_settings, make_bench, quiet
from toolkit.console import Console
from toolkit.errors import ConfigurationError, SmokeFailed, ToolkitError
from toolkit.options import SmokeOptions
from toolkit.report import SmokeReport, write_whole
from toolkit.settings import Secret, Settings
from toolkit.source import NotShippable

# Looks like a token, so that searching for parts of it finds nothing that is no leak; opens nothing.
PLACEHOLDER_TOKEN = Secret(hashlib.sha256(b"smoke without an account").hexdigest())
PLACEHOLDER_ENDPOINT = "https://app.datarobot.com/api/v2"
MODES = ("strip", "keep")
LOOKS_EVERY = 200  # milliseconds between two looks for a change
NO_CHROMIUM = "no Chromium was found, so no browser looked at the page: install one, or name it with CHROMIUM=…"


@command
def stage(root: Path, stack: str, *, as_json: bool) -> None:
    """Show what ships and what does not."""
    from toolkit import statefiles

    console = Console(as_json=as_json)
    settings = load_settings(root, stack, needs_platform=False)
    with statefiles.locked(settings):
        release = staging.stage(settings, make_bench(root, quiet(console)), full_token=PLACEHOLDER_TOKEN)
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
    bench = make_bench(root, console)
    settings = load_settings(root, stack, needs_platform=False)
    engine, _ = engines.connect(bench.environ, bench.places.home)
    with staging.workroom(settings) as room:
        release = staging.stage(settings, bench, full_token=PLACEHOLDER_TOKEN, folder=room)
        app = gate.build(engine, settings, release, bench, fresh=fresh)
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
    families = _families(only)
    _require("--mode", mode, MODES)
    _require("--browser", browser or "auto", ("auto", "on", "off"))
    console = Console(as_json=json_to == "-")
    bench = make_bench(root, quiet(console) if json_to == "-" else console)

    def once() -> SmokeReport:
        told = {**overrides, "SMOKE_BROWSER": browser}
        settings = load_settings(root, stack, needs_platform=False, overrides=told, env_file=env_file)
        chromium = gate.find_browser(settings.browser, bench)
        hold = functools.partial(_hold, console) if keep else None
        options = replace(_options(settings, mode, families), browser=chromium, keep=hold, meanwhile=_prepare_page)
        with staging.workroom(settings) as room:
            try:
                release = staging.stage(settings, bench, full_token=PLACEHOLDER_TOKEN, folder=room)
            except NotShippable as refusal:
                report = smoking.refused(refusal)
            else:
                report = gate.prove(settings, release, bench, options=options, fresh=fresh, reuse=False)
        if chromium is None and settings.browser == "auto" and (not families or "browser" in families):
            report = replace(report, notes=(*report.notes, NO_CHROMIUM))
        _write_reports(settings, report, json_to="" if json_to == "-" else json_to, junit=junit, html=html)
        if json_to == "-":
            console.document(report.to_json())
        else:
            console.report(report)
            console.line(f"report: {html or settings.toolkit_dir / 'smoke' / 'report.html'}")
        return report

    if watch:
        load = functools.partial(
            load_settings, root, stack, needs_platform=False, overrides=overrides, env_file=env_file
        )
        _at_every_change(console, once, load)
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
    fresh: bool,
    json_to: str,
    beside: Sequence[str] = (),
) -> None:
    """Break the app in known ways, and show which of them smoke notices. Ends with exit code 4 when it missed one.

    `beside` names options that were given, too, and that say nothing here.
    """
    from toolkit import prove as proving

    if beside:
        raise ConfigurationError(
            f"--prove does not go with {', '.join(beside)}.",
            hint="It breaks the app many times, without a browser and without a report of each: leave that out.",
        )
    as_json = json_to == "-"
    _require("--mode", mode, MODES)
    families = _families(only)
    console = Console(as_json=as_json)
    bench = make_bench(root, quiet(console))
    settings = load_settings(root, stack, needs_platform=False, overrides=overrides, env_file=env_file)
    options = _options(settings, mode, families)
    engine, address = engines.connect(bench.environ, bench.places.home)

    def show(event: Mapping[str, Any]) -> None:
        if not as_json:
            console.line(f"{event['status']:<15} {event['id']}" + (f"  ({event['title']})" if event["title"] else ""))

    try:
        with staging.workroom(settings) as room:
            release = staging.stage(settings, bench, full_token=PLACEHOLDER_TOKEN, folder=room)
            app = gate.build(engine, settings, release, bench, fresh=fresh)
            accept = accepted.read(settings.app)
            found = proving.prove(engine, app, release.staged, options, host=address.host, accept=accept, on_event=show)
    finally:
        engine.close()
    outcomes = {name: found.count(name) for name in proving.OUTCOMES}
    told = {"rate": found.rate, "proofs": [vars(proof) for proof in found.proofs], "outcomes": outcomes}
    if as_json:
        console.document(told)
    else:
        if json_to:
            write_whole(Path(json_to), json.dumps(told, indent=2) + "\n")
        said = ", ".join(f"{count} {name}" for name, count in outcomes.items())
        console.line(f"{len(found.proofs)} mutations: {said}. Of those that apply, smoke noticed {found.rate:.0%}.")
    if found.count("survived"):
        raise Exit(code=SmokeFailed.exit_code)


@command
def run(root: Path, stack: str, *, app: str, environment: str, bundle: str) -> None:
    """Run the app in its container as the platform would, and say where it is, until Ctrl-C."""
    console = Console()
    bench = make_bench(root, console)
    changed = {"APP_DIR": app, "ENVIRONMENT_DIR": environment, "APP_BUNDLE": bundle}
    settings = load_settings(root, stack, needs_platform=False, overrides=changed)
    options = replace(_options(settings, "strip", frozenset({"start"})), keep=functools.partial(_hold, console))
    with staging.workroom(settings) as room:
        release = staging.stage(settings, bench, full_token=PLACEHOLDER_TOKEN, folder=room)
        gate.require_pass(gate.prove(settings, release, bench, options=options, reuse=False))


def _require(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigurationError(f"{option} {value} is not understood.", hint=f"{option} {'|'.join(known)}")


def _families(only: str) -> frozenset[str]:
    families = frozenset(filter(None, re.split(r"[,\s]+", only)))
    for family in sorted(families):
        _require("--only", family, catalog.FAMILIES)
    return families


def _options(settings: Settings, mode: str, families: frozenset[str]) -> SmokeOptions:
    """What a smoke test is told that needs no account: a token and an endpoint stand in where there are none."""
    return gate.smoke_options(
        settings,
        mode="keep" if mode == "keep" else "strip",
        token=PLACEHOLDER_TOKEN,
        endpoint=PLACEHOLDER_ENDPOINT,
        only=families,
    )


def _hold(console: Console, url: str) -> None:
    """Leave the app running until Ctrl-C."""
    console.line(f"The app runs until Ctrl-C: {url}")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _prepare_page() -> None:
    from toolkit.reports import html as page

    page.template()


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

    wanted, watched = settings(), None
    changes: Iterator[object] = iter(())
    while True:
        if watched != (wanted.app, wanted.environment):
            watched = (wanted.app, wanted.environment)
            changes = watch(*watched, raise_interrupt=True, yield_on_timeout=True, rust_timeout=LOOKS_EVERY)
            next(changes)  # from now on: what changes during a run has to be seen after it
        try:
            once()
        except ToolkitError as error:
            console.error(error)
        console.line("Waiting for a change: Ctrl-C ends it.")
        if not next(filter(None, changes), None):
            return
        with suppress(ToolkitError):  # `once` tells what is wrong with them
            wanted = settings()

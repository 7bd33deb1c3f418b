"""Nothing is deployed that was not smoked: build the release, smoke it, or find the proof of an earlier run."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import docker
from docker.errors import DockerException

from toolkit import accepted, baseimage, runtime_env, smoke
from toolkit import engine as engines
from toolkit.bench import Bench
from toolkit.browsing.finding import VARIABLES, find_chromium
from toolkit.checks.masking import Masks
from toolkit.errors import ConfigurationError, SmokeFailed, ToolMissing
from toolkit.image.app import build_app
from toolkit.image.environment import build_environment, digest_now
from toolkit.image.model import AppImage, HookFailed
from toolkit.options import SmokeOptions
from toolkit.report import SmokeReport
from toolkit.settings import BrowserChoice, Secret, Settings
from toolkit.staging import Release

SMOKE_VALID = 24 * 3600.0
JUDGING = {".py", ".js"}  # the files of the toolkit that decide what a smoke test says
LOOK = 2.0  # seconds that an engine has to answer before its word on a proof is done without


def build(
    engine: docker.DockerClient, settings: Settings, release: Release, bench: Bench, *, fresh: bool = False
) -> AppImage:
    """Build both images as the platform would, or find them again."""
    options = baseimage.options_from(bench.environ, settings.bun_image)
    with bench.phase("environment image") as say:
        environment = build_environment(engine, release.context, base=options, fresh=fresh, on_line=bench.line)
        origin = "a stand-in" if environment.base.origin == "stand-in" else environment.base.origin
        say(f"{'built' if environment.built else 'unchanged'}; base {environment.base.name} is {origin}")
    with bench.phase("app image", "build-app.sh") as say:
        app = build_app(
            engine,
            environment,
            release.staged.files,
            bundle=settings.bundle,
            base=options,
            fresh=fresh,
            on_line=bench.line,
        )
        say("built" if app.built else "unchanged")
    return app


def prove(
    settings: Settings,
    release: Release,
    bench: Bench,
    *,
    options: SmokeOptions | None = None,
    fresh: bool = False,
    reuse: bool = True,
) -> SmokeReport:
    """Build the release and run the smoke test on it; a passed test of the very same release is used again.

    A check that failed is in the report, which is written in every case: `require_pass` makes an error of it. Raises
    ToolMissing without an engine (or a browser that has to be there), ToolkitError when an image cannot be built.
    """
    chosen = options or _deployed_options(settings, bench)
    accept = accepted.read(settings.app)
    path = settings.toolkit_dir / "smoke" / f"{_proof_key(release, chosen)}.json"
    found = None if fresh else _valid_report(path, accept)
    if reuse and found and _stands(found, release, bench):
        with bench.phase("smoke") as say:
            say(f"passed before: {len(found.checks)} checks on this release")
        return found
    begun = time.monotonic()
    with ExitStack() as stack:
        masks = Masks((chosen.full_token, *chosen.secrets))
        report = smoke.before_build(release.staged, accept=accept, masks=masks)
        app: AppImage | None = None
        if report.verdict != "fail" and not chosen.only_of("source"):
            client, address = engines.connect(bench.environ, bench.places.home)
            stack.callback(client.close)
            try:
                app = build(client, settings, release, bench, fresh=fresh)
                report = smoke.after_build(release.staged, app, accept=accept, masks=masks)
                if found and found.release.get("image") == app.digest:
                    # This very image was seen before: that it stays up, and what it leaves on its disk.
                    chosen = dataclasses.replace(chosen, settle=0.0, writes=found.wrote)
            except HookFailed as error:
                report = smoke.before_build(release.staged, error, accept=accept, masks=masks)
        with bench.phase("smoke", f"{settings.bundle.id}, {chosen.mode}") as say:
            if app is None or chosen.only_of("source", "build"):
                wanted = tuple(
                    one for one in report.checks if one.status == "fail" or one.family in (chosen.only or one.family)
                )
                mode = {"mode": chosen.mode, "bundle": settings.bundle.id}
                report = dataclasses.replace(report, release=mode, checks=wanted)
            else:
                report = smoke.run(
                    client, app, release.staged, chosen, host=address.host, accept=accept, on_event=bench.on_event
                )
            report = dataclasses.replace(
                report,
                release={**report.release, "digest": release.digest},
                seconds=time.monotonic() - begun,
            )
            report.write(path)
            say(outcome(report), ok=report.verdict != "fail")
    return report


def outcome(report: SmokeReport) -> str:
    """Say in a few words how a smoke test ended."""
    failed = sum(check.status == "fail" and check.counts for check in report.checks)
    return f"{failed} of {len(report.checks)} checks" if failed else f"{len(report.checks)} checks, {report.verdict}"


def skip(settings: Settings, release: Release, bench: Bench) -> SmokeReport:
    """Give the proof that there is of this release, or an empty report: somebody wants it deployed unproved.

    Raises ConfigurationError on a protected stack.
    """
    if settings.protected:
        raise ConfigurationError(
            f"The stack {settings.stack} is protected: nothing is deployed there that was not proved.",
            hint="Leave --skip-smoke out.",
        )
    with bench.phase("smoke") as say:
        path = settings.toolkit_dir / "smoke" / f"{_proof_key(release, _deployed_options(settings, bench))}.json"
        found = _valid_report(path, accepted.read(settings.app))
        if found and _stands(found, release, bench):
            say(f"passed before: {len(found.checks)} checks on this release")
            return found
        say("SKIPPED: nobody has proved this release")
    return SmokeReport({"digest": release.digest}, 0.0, ())


def require_pass(report: SmokeReport) -> None:
    """Raise SmokeFailed when the report has a failed check: nothing that failed here is deployed."""
    failed = [check for check in report.checks if check.status == "fail" and check.counts]
    if failed:
        first, *others = failed
        raise SmokeFailed(
            f"The app would not work on DataRobot: {first.title}.",
            hint=first.hint or "Correct it and try again: invoke smoke",
            details=(*filter(None, (first.detail,)), *first.evidence, *(f"{one.id}: {one.title}" for one in others)),
        )


def find_browser(choice: BrowserChoice, bench: Bench) -> Path | None:
    """Find the browser that is wanted; None when none looks. Raises ToolMissing when one has to and there is none."""
    if choice == "off":
        return None
    found = find_chromium(bench.environ) if importlib.util.find_spec("playwright") else None
    if found is None and choice == "on":
        named = next((f"{name}={bench.environ[name]}" for name in VARIABLES if bench.environ.get(name)), "")
        problem = f"{named} is no browser." if named else "there is no Chromium."
        raise ToolMissing(f"A browser is wanted: {problem}", hint="Install one, or name it: CHROMIUM=/path/to/it")
    return found


def smoke_options(
    settings: Settings,
    *,
    mode: Literal["strip", "keep"] = "strip",
    token: Secret | None = None,
    endpoint: str = "",
    browser: Path | None = None,
    only: frozenset[str] = frozenset(),
) -> SmokeOptions:
    """Give the options of the smoke test as the stack configures the app: on the root path, unless `mode` says else.

    `token` and `endpoint` stand in for those of the settings where there are none, so that no account is needed.
    """
    full_token = settings.token or token
    return SmokeOptions(
        mode=mode,
        bundle=settings.bundle,
        health_path=settings.health_path,
        full_token=full_token,
        secrets=settings.secrets,
        endpoint=settings.runtime_endpoint or endpoint,
        browser=browser,
        settle=settings.settle_seconds,
        env=runtime_env.parameters(settings, full_token),
        only=only,
    )


def _deployed_options(settings: Settings, bench: Bench) -> SmokeOptions:
    """Give the options of the smoke test before a deployment. Raises as find_browser."""
    return smoke_options(settings, browser=find_browser(settings.browser, bench))


def _proof_key(release: Release, options: SmokeOptions) -> str:
    """Name a proof by everything it depends on: the release, how it was run, and the toolkit itself."""
    whole = hashlib.sha256(release.digest.encode())
    whole.update(
        json.dumps(
            [
                options.mode,
                options.bundle.id,
                options.health_path,
                options.endpoint,
                options.settle,
                _which(options.browser),
                sorted(options.only),
            ]
        ).encode()
    )
    for path in sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in JUDGING):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _which(program: Path | None) -> list[str | int]:
    """Tell one version of a program from the next without running it."""
    if program is None:
        return []
    seen = program.stat()
    return [str(program), seen.st_size, seen.st_mtime_ns]


def _stands(found: SmokeReport, release: Release, bench: Bench) -> bool:
    """Whether a proof speaks of the environment as it would be built now: its base image may be another since.

    Where no engine answers, nothing is built either, and the proof stands as it is.
    """
    try:
        engine, _ = engines.connect(bench.environ, bench.places.home, timeout=LOOK)
        with closing(engine):
            now = digest_now(engine, release.context)
    except (ToolMissing, DockerException, OSError):
        return True
    return now in ("", found.release.get("environment"))


def _valid_report(path: Path, accept: Sequence[accepted.Acceptance]) -> SmokeReport | None:
    """Give the report of an app that ran and passed; what has failed is no proof, whatever is accepted since."""
    try:
        if time.time() - path.stat().st_mtime > SMOKE_VALID:
            return None
        told = SmokeReport.read(path)
        if told.verdict == "fail" or "environment" not in told.release:
            return None
        report = accepted.apply(told, accept)
    except (OSError, ValueError, KeyError):
        return None
    return report if report.verdict != "fail" else None

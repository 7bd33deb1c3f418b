"""The recipe of a deployment and of its undoing.

    stage -> images -> smoke -> preview -> up -> verify

Everything is handed forward once. The local platform is no special case here: it is reached through the endpoint and
the token in Settings like any other (`with_local_platform` puts them there).
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from toolkit import (
    converge,
    doctor,
    gate,
    history,
    preflight,
    proof,
    recovery,
    releases,
    shelf,
    stack,
    staging,
    statefiles,
)
from toolkit import plan as planning
from toolkit.bench import Bench, Event
from toolkit.beside import beside
from toolkit.child import Driver
from toolkit.driving import driver
from toolkit.errors import (
    Cancelled,
    ConfigurationError,
    DeploymentFailed,
    ToolkitError,
    VerificationFailed,
)
from toolkit.plan import Plan
from toolkit.releases import Kept
from toolkit.settings import Settings
from toolkit.stack import StackResult, counted
from toolkit.stackconfig import StackOutputs
from toolkit.staging import Release

KEEP = "To keep a release that does not serve: --no-rollback."


@dataclass(frozen=True)
class Deployed:
    """The end of a deployment: outputs, number of resources per operation, and what was proved."""

    outputs: StackOutputs
    changes: Mapping[str, int]
    release: str
    verified: int
    seconds: float


def deploy(
    settings: Settings,
    bench: Bench,
    *,
    confirm: Callable[[Mapping[str, int]], bool],
    fresh: bool = False,
    roll_back: bool = True,
    skip_smoke: bool = False,
) -> Deployed:
    """Deploy the app to the stack of these settings.

    With `skip_smoke` the release need not be proved: the history says so, and no rollback leads to it. When the proof
    fails, or the new release does not start, and `roll_back` holds, the one that was proved before serves again.
    Raises the first error of `doctor`, SmokeFailed, Cancelled (nothing was changed), DeploymentFailed with the
    platform's own reason, VerificationFailed, or what the steps raise.
    """
    started = time.monotonic()
    attempts: list[Event] = []
    bench = bench.limited(settings.phase_seconds).noting(lambda event: event["event"] == "up", attempts)
    with _at_work(settings, bench):
        settings = preflight.with_local_platform(settings, bench)
        with beside(settings, bench) as work:
            platform_version = _checked(settings, bench, builds=not skip_smoke)
            release = staging.stage(settings, bench)
            skipped = gate.skip(settings, release, bench) if skip_smoke else None
            work.preview(release, "smoke skipped" if skipped and not skipped.checks else "")
            report = skipped or gate.prove(settings, release, bench, fresh=fresh)
            gate.require_pass(report)
            with bench.phase("pulumi") as say:
                drive, warm, told = work.ready()
                say(drive.described)
            try:
                outputs, changes = converge.converge(settings, drive, release, bench, confirm, told, warm=warm)
                verified = proof.require(settings, outputs, report.served, bench)
            except (DeploymentFailed, VerificationFailed) as error:
                if not roll_back or not attempts:
                    raise  # without an attempt nothing is other than before
                if isinstance(error, DeploymentFailed) and not _is_down(settings, drive, bench):
                    raise
                raise _rolled_back(settings, drive, release, bench, error, len(attempts)) from error
        if report.served:
            changed = any(kind != "same" for kind in changes)
            shelf.keep(settings, drive, release, report.served, bench, changed=changed)
    bench.on_event({"event": "platform", "platform_version": platform_version})
    return Deployed(outputs, changes, release.digest, verified, time.monotonic() - started)


def rollback(
    settings: Settings, bench: Bench, *, confirm: Callable[[Mapping[str, int]], bool], to: str = ""
) -> Deployed:
    """Let a release that was proved before serve again: the last that is not deployed now, or the one of `to`.

    Raises ConfigurationError when there is none, and whatever `deploy` raises; it is not smoked again.
    """
    started = time.monotonic()
    bench = bench.limited(settings.phase_seconds)
    with _at_work(settings, bench):
        statefiles.require_stack(settings, bench.pulumi_home)
        settings = preflight.with_local_platform(settings, bench)
        _checked(settings, bench, builds=False)
        drive = _pulumi(settings, bench)
        with bench.within("preview"):
            told = history.entries(drive)
            there = shelf.there(settings, drive, bench, told)
        last = told[0].seal if told else next((one.seal for one in releases.kept(there)), "")
        kept = releases.choose(there, last, _order(told), to=to)
        release, outputs, changes, verified = _serve_again(settings, drive, kept, bench, confirm)
    return Deployed(outputs, changes, release.digest, verified, time.monotonic() - started)


@contextmanager
def _at_work(settings: Settings, bench: Bench) -> Iterator[None]:
    """Keep other runs away from the stack; the lock of one that has died is in nobody's way."""
    with statefiles.locked(settings):
        statefiles.forget_the_dead(settings, bench.pulumi_home, bench.on_event)
        yield


def _checked(settings: Settings, bench: Bench, *, builds: bool) -> str:
    """Ask all that `invoke doctor` asks; give the platform's version. Doubts are told, the first error is raised."""
    with bench.phase("preflight", settings.endpoint or "") as say:
        found = doctor.require(bench, settings, builds=builds)
        doubts = [one for one in found if one.status == "warning"]
        for one in doubts:
            bench.line(f"warning: {one}")
        told = next((one.detail for one in found if one.id == "platform"), "")
        many = f", {len(doubts)} doubtful" if doubts else ""
        say(f"{told} ({len(found)} checks{many})")
    return next((one.fact for one in found if one.fact), "")


def _serve_again(
    settings: Settings,
    drive: Driver,
    kept: Kept,
    bench: Bench,
    confirm: Callable[[Mapping[str, int]], bool],
) -> tuple[Release, StackOutputs, Mapping[str, int], int]:
    """Deploy a kept release, with the name that the app had then, and prove that it serves."""
    settings = dataclasses.replace(settings, app_name=kept.app)
    release = shelf.staged_again(settings, kept, bench)
    told = history.message(release.digest, kept.seal, kept.commit, "rollback")
    outputs, changes = converge.converge(settings, drive, release, bench, confirm, told)
    verified = proof.require(settings, outputs, kept.served, bench)
    shelf.keep(settings, drive, release, kept.served, bench, again=kept)
    return release, outputs, changes, verified


def _is_down(settings: Settings, drive: Driver, bench: Bench) -> bool:
    """Whether the stack has no application that runs, as the platform says."""
    with bench.within("leftovers"), suppress(ToolkitError), preflight.platform_client(settings) as client:
        there = stack.run(drive, "describe").resources
        ids = [one["id"] for one in there if one["type"] == "CustomApplication"]
        running = [found for found in ids if client.has("application", found)]
        return not running or any(client.application(found).get("status") == "failed" for found in running)
    return False


def _order(entries: Sequence[history.Entry]) -> list[tuple[str, str]]:
    return [(one.id, one.seal) for one in entries if one.succeeded]


def _rolled_back(
    settings: Settings,
    drive: Driver,
    failed: Release,
    bench: Bench,
    error: DeploymentFailed | VerificationFailed,
    attempts: int,
) -> ToolkitError:
    """Let the release from before serve again; give the error, of the same kind, that says what is so now.

    `attempts` is how often this run has let Pulumi carry something out. It is the error itself where there is nothing
    to go back to, or what was proved last holds the same: then another setting is the matter.
    """
    try:
        with bench.within("rollback"):
            seal = releases.seal(failed.staged, failed.archive, settings.app_name)
            told = history.entries(drive)
            there = shelf.there(settings, drive, bench, told)
            if told and told[0].id != failed.digest[: releases.SHORT]:
                return type(error)(
                    f"{error.message} Somebody else has deployed release {told[0].id} since, and that stays.",
                    hint=f"See what serves: invoke status --stack {settings.stack}",
                    details=error.details,
                )
            while attempts and told and told[0].id == failed.digest[: releases.SHORT]:
                attempts, told = attempts - 1, told[1:]  # these are of this very run
            order = _order(told)
            proved = {one.seal for one in releases.kept(there)}
            if next((one for _, one in order if one in proved), "") == seal:
                return error
            try:
                kept = releases.choose(there, seal, order)
            except ConfigurationError:
                return error  # a first deployment: there is nothing to go back to
            bench.line(f"Going back to release {kept.id}: {error.message}")
            _serve_again(settings, drive, kept, bench, lambda _changes: True)
    except ToolkitError as problem:
        return type(error)(
            f"{error.message} Going back to the release from before failed too: {problem.message}",
            hint=f"See what is there: invoke status --stack {settings.stack}. Then: invoke deploy, or invoke rollback.",
            details=(*error.details, *problem.details),
        )
    return type(error)(
        f"{error.message} Release {kept.id} serves again.",
        hint=" ".join(filter(None, (error.hint and f"{error.hint.rstrip('.')}.", KEEP))),
        details=error.details,
    )


def _pulumi(settings: Settings, bench: Bench) -> Driver:
    """Make Pulumi ready, without a word when it is there already."""
    with bench.within("pulumi"):
        return driver(settings, bench)


def preview(settings: Settings, bench: Bench) -> tuple[StackResult, Plan]:
    """Show what a deployment would change; nothing is changed and nothing is smoked."""
    bench = bench.limited(settings.phase_seconds)
    with statefiles.locked(settings):
        settings = preflight.with_local_platform(settings, bench)
        release = staging.stage(settings, bench)
        drive = _pulumi(settings, bench)
        with bench.phase("preview", settings.stack) as say:
            result = stack.run(drive, "preview", staging.inputs(settings, release), on_event=bench.on_event)
            say(counted(result.changes))
        steps = [event for event in result.events if event["event"] == "start"]
    return result, planning.plan(steps, staging.shipment(settings, release))


def destroy(settings: Settings, bench: Bench, *, confirm: Callable[[StackResult], bool]) -> StackResult:
    """Remove everything the stack has on the platform, and the stack.

    Raises Cancelled when `confirm` says no, StackMissing when there is no such stack.
    """
    bench = bench.limited(settings.phase_seconds)
    with _at_work(settings, bench):
        statefiles.require_stack(settings, bench.pulumi_home)
        settings = preflight.with_local_platform(settings, bench)
        drive = _pulumi(settings, bench)
        with bench.within("preview"):
            found = stack.run(drive, "describe")
        if not confirm(found):
            raise Cancelled("Nothing was removed.", hint="Answer yes, or use --yes.")
        with bench.phase("destroy", settings.stack) as say, preflight.platform_client(settings) as client:
            on_event = statefiles.audited(settings, bench.on_event)
            try:
                result = recovery.run(drive, "destroy", client=client, on_event=on_event)
            except DeploymentFailed as error:
                raise _with_what_is_left(settings, drive, error) from error
            say(counted(result.changes, done=True))
        shutil.rmtree(settings.toolkit_dir / "stage" / settings.stack, ignore_errors=True)
        shutil.rmtree(drive.work_dir, ignore_errors=True)
        shutil.rmtree(statefiles.shelf(settings, bench.pulumi_home)[0], ignore_errors=True)
    return result


def _with_what_is_left(settings: Settings, drive: Driver, error: DeploymentFailed) -> DeploymentFailed:
    """Name in the error what is still there, and the request that removes it by hand."""
    left: list[str] = []
    with suppress(ToolkitError):
        left = [
            f"still there: {one['type']} {one['name']} {one['id']}"
            f" (by hand: DELETE {settings.endpoint}/{planning.PATHS.get(one['type'], '')}{one['id']}/)"
            for one in stack.run(drive, "describe").resources
        ]
    return type(error)(error.message, hint=error.hint, details=(*error.details, *left))

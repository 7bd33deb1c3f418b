"""The recipe of a deployment and of its undoing.

    stage -> images -> smoke -> preview -> up -> verify

Everything is handed forward once. The local platform is no special case here: it is reached through the endpoint and
the token in Settings like any other (`with_local_platform` puts them there).
"""

from __future__ import annotations

import dataclasses
import functools
import getpass
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from toolkit import (
    evidence,
    gate,
    preflight,
    recovery,
    releases,
    retained,
    runtime_env,
    source,
    stack,
    staging,
    statefiles,
    verify,
    watching,
)
from toolkit import plan as planning
from toolkit.bench import Bench, Event
from toolkit.driving import driver
from toolkit.errors import (
    Cancelled,
    ConfigurationError,
    DeploymentFailed,
    ToolkitError,
    VerificationFailed,
)
from toolkit.plan import Plan, Shipment
from toolkit.releases import Kept
from toolkit.settings import Settings
from toolkit.stack import Driver, StackResult, counted
from toolkit.stackconfig import StackInputs, StackOutputs
from toolkit.staging import Release

KEEP = "To keep a release that does not serve: --no-rollback."
NAME_TAKEN = re.compile(r"must be unique|already (?:in use|exists)", re.IGNORECASE)


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
    Raises SmokeFailed, Cancelled (nothing was changed), DeploymentFailed with the platform's own reason,
    VerificationFailed, or what the steps raise.
    """
    started = time.monotonic()
    with statefiles.locked(settings):
        settings = preflight.with_local_platform(settings, bench)
        platform_version = preflight.check_access(settings, bench)
        release = staging.stage(settings, bench)
        with _beside(bench, lambda: driver(settings, _told_as(bench, "pulumi"))) as prepared:
            proof = gate.skip(settings, release, bench) if skip_smoke else None
            report = proof or gate.prove(settings, release, bench, fresh=fresh)
            gate.require_pass(report)
            with bench.phase("pulumi") as say:
                drive = prepared()
                stand_in = " (stand-in)" if drive.plugin.stand_in else ""
                say(f"{drive.pulumi.version} ({drive.pulumi.origin}), provider {drive.plugin.version}{stand_in}")
        note = "" if report.checks else "smoke skipped"
        try:
            outputs, changes = _converge(settings, drive, release, bench, confirm, note=note)
            verified = _verify(settings, outputs, report.served, bench)
        except (DeploymentFailed, VerificationFailed) as error:
            if not roll_back or (isinstance(error, DeploymentFailed) and not _is_down(settings, drive)):
                raise
            raise _rolled_back(settings, drive, release, bench, error) from error
        if report.served:
            _keep(settings, drive, release, report.served, bench)
    bench.on_event({"event": "platform", "platform_version": platform_version})
    return Deployed(outputs, changes, release.digest, verified, time.monotonic() - started)


def rollback(
    settings: Settings, bench: Bench, *, confirm: Callable[[Mapping[str, int]], bool], to: str = ""
) -> Deployed:
    """Let a release that was proved before serve again: the last but one, or the one that `to` begins to name.

    Raises ConfigurationError when there is none, and whatever `deploy` raises; it is not smoked again.
    """
    started = time.monotonic()
    with statefiles.locked(settings):
        statefiles.require_stack(settings, bench.places.home)
        settings = preflight.with_local_platform(settings, bench)
        preflight.check_access(settings, bench)
        drive = driver(settings, bench)
        there = _there(settings, drive, bench)
        kept = releases.choose(there, next((one.digest for one in releases.kept(there)), ""), to)
        release, outputs, changes, verified = _serve_again(settings, drive, kept, bench, confirm)
    return Deployed(outputs, changes, release.digest, verified, time.monotonic() - started)


def _serve_again(
    settings: Settings,
    drive: Driver,
    kept: Kept,
    bench: Bench,
    confirm: Callable[[Mapping[str, int]], bool],
) -> tuple[Release, StackOutputs, Mapping[str, int], int]:
    """Deploy a kept release and prove that it serves."""
    release = _staged_again(settings, kept, bench)
    outputs, changes = _converge(settings, drive, release, bench, confirm)
    verified = _verify(settings, outputs, kept.served, bench)
    _keep(settings, drive, release, kept.served, bench)
    return release, outputs, changes, verified


def _staged_again(settings: Settings, kept: Kept, bench: Bench) -> Release:
    """Put a kept release where releases are deployed from, with a runtime `.env` of today's settings."""
    folder = settings.toolkit_dir / "stage" / settings.stack
    with bench.phase("stage", f"release {kept.id}") as say:
        staged = source.stage(
            kept.source,
            folder / "source",
            runtime_env=runtime_env.from_settings(settings),
            known_secrets=settings.secrets,
        )
        packed = folder / "context.zip"
        shutil.copyfile(kept.archive, packed)
        release = Release(staged, kept.folder, packed, staging.named(staged, packed))
        staging.tell(settings, release, folder)
        say(f"{len(staged.files)} files of release {kept.id}")
    return release


def _is_down(settings: Settings, drive: Driver) -> bool:
    """Whether the application that the stack had before does not run any more, as the platform says."""
    with suppress(ToolkitError), preflight.platform_client(settings) as client:
        before = stack.run(drive, "describe").resources
        ids = [one["id"] for one in before if one["type"] == "CustomApplication"]
        return any(client.application(found).get("status") == "failed" for found in ids)
    return False


def _rolled_back(
    settings: Settings, drive: Driver, failed: Release, bench: Bench, error: DeploymentFailed | VerificationFailed
) -> ToolkitError:
    """Let the release from before serve again; give the error, of the same kind, that says what is so now."""
    try:
        kept = releases.choose(_there(settings, drive, bench), failed.digest)
    except ConfigurationError:
        return error  # a first deployment: there is nothing to go back to
    bench.line(f"Going back to release {kept.id}: {error.message}")
    try:
        _serve_again(settings, drive, kept, bench, lambda _changes: True)
    except ToolkitError as problem:
        return type(error)(
            f"{error.message} Going back to release {kept.id} failed too: {problem.message}",
            hint=f"See what is there: invoke status --stack {settings.stack}. Then: invoke deploy, or invoke rollback.",
            details=(*error.details, *problem.details),
        )
    return type(error)(
        f"{error.message} Release {kept.id} serves again.",
        hint=" ".join(filter(None, (error.hint and f"{error.hint.rstrip('.')}.", KEEP))),
        details=error.details,
    )


def _there(settings: Settings, drive: Driver, bench: Bench) -> Path:
    """Give the shelf with the releases to go back to, also those that another machine has proved."""
    shelf, shared = statefiles.shelf(settings, bench.places.home)
    if not shared:
        mark = stack.run(drive, "describe").mark
        with suppress(ToolkitError), preflight.platform_client(settings) as client:
            if fetched := retained.pull(client, mark, shelf):
                bench.line(f"{fetched} of the releases to go back to came from the platform")
    return shelf


def _keep(settings: Settings, drive: Driver, release: Release, served: Mapping[str, str], bench: Bench) -> None:
    """Keep what was proved, for other machines too; what cannot be kept does not undo a deployment."""
    shelf, shared = statefiles.shelf(settings, bench.places.home)
    try:
        commit = _commit(settings.root)
        kept = releases.keep(shelf, release.digest, release.staged, release.archive, served, commit=commit)
        if not shared and not (kept.folder / retained.SENT).exists():
            mark = stack.run(drive, "describe").mark
            with preflight.platform_client(settings) as client:
                retained.push(client, staging.inputs(settings, release).base_name, mark, kept)
    except (OSError, ToolkitError) as error:
        bench.line(f"This release could not be kept to go back to it from anywhere: {error}")


def _commit(root: Path) -> str:
    """Give the commit of the checkout, with a `+` when files differ from it; empty without git."""
    git = ("git", "-C", str(root))
    with suppress(OSError, subprocess.SubprocessError):
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, timeout=5)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, timeout=10)
        if head.returncode == 0:
            return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
    return ""


def _converge(
    settings: Settings,
    drive: Driver,
    release: Release,
    bench: Bench,
    confirm: Callable[[Mapping[str, int]], bool],
    *,
    note: str = "",
) -> tuple[StackOutputs, Mapping[str, int]]:
    """Carry out the release; what somebody else has changed on the platform meanwhile is read anew and put right."""
    wanted = staging.inputs(settings, release)
    message = _message(settings, release, note)
    bench = _planning(bench, staging.shipment(settings, release))
    outputs, changes = _up(settings, drive, wanted, bench, confirm, message)
    if _runs_another_version(settings, outputs):
        bench.line("The platform runs another version than the state says: the state is read anew.")
        outputs, changes = _up(settings, drive, wanted, bench, confirm, message, refresh=True)
    return outputs, changes


def _message(settings: Settings, release: Release, note: str = "") -> str:
    """What the history says of a deployment: release, commit, and who."""
    commit = _commit(settings.root)
    parts = [f"release {release.digest[:12]}", f"commit {commit}" if commit else "", note, f"by {_person()}"]
    return ", ".join(filter(None, parts))


def _person() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()


def preview(settings: Settings, bench: Bench) -> tuple[StackResult, Plan]:
    """Show what a deployment would change; nothing is changed and nothing is smoked."""
    with statefiles.locked(settings):
        settings = preflight.with_local_platform(settings, bench)
        release = staging.stage(settings, bench)
        drive = driver(settings, bench)
        with bench.phase("preview", settings.stack) as say:
            result = stack.run(drive, "preview", staging.inputs(settings, release), on_event=bench.on_event)
            say(counted(result.changes))
        steps = [event for event in result.events if event["event"] == "start"]
    return result, planning.plan(steps, staging.shipment(settings, release))


def destroy(settings: Settings, bench: Bench, *, confirm: Callable[[StackResult], bool]) -> StackResult:
    """Remove everything the stack has on the platform, and the stack.

    Raises Cancelled when `confirm` says no, StackMissing when there is no such stack.
    """
    with statefiles.locked(settings):
        statefiles.require_stack(settings, bench.places.home)
        settings = preflight.with_local_platform(settings, bench)
        drive = driver(settings, bench)
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


@contextmanager
def _beside(bench: Bench, work: Callable[[], Driver]) -> Iterator[Callable[[], Driver]]:
    """Make the tools ready beside the smoke test; when that fails, what makes them is stopped and not waited for."""
    with ThreadPoolExecutor(1, "tools") as pool:
        prepared = pool.submit(work)
        try:
            yield prepared.result
        except BaseException:
            bench.places.stop.set()
            raise


def _told_as(bench: Bench, name: str) -> Bench:
    """Give a bench whose lines say what they belong to: they come up between those of other phases."""

    def on_event(event: Event) -> None:
        bench.on_event({**event, "text": f"{name}: {event['text'].strip()}"} if event["event"] == "line" else event)

    return dataclasses.replace(bench, on_event=on_event)


def _planning(bench: Bench, shipment: Shipment) -> Bench:
    """Give a bench that says after the preview, before anybody is asked, what will be sent: the event `plan`."""
    steps: list[Event] = []

    def on_event(event: Event) -> None:
        if event["event"] == "start":
            steps.append(event)
        elif event["event"] == "preview":
            bench.on_event({"event": "plan", **planning.plan(steps, shipment).to_json()})
        bench.on_event(event)

    return dataclasses.replace(bench, on_event=on_event)


def _up(
    settings: Settings,
    drive: Driver,
    wanted: StackInputs,
    bench: Bench,
    confirm: Callable[[Mapping[str, int]], bool],
    message: str,
    *,
    refresh: bool = False,
) -> tuple[StackOutputs, Mapping[str, int]]:
    """Preview, ask, and carry out; a failed attempt's leftovers are removed, and when they were in the way, again."""
    try:
        result = _try(settings, drive, wanted, bench, confirm, message, refresh=refresh)
    except DeploymentFailed as error:
        explained = _explained(settings, wanted, error, bench)
        removed = _tidy(settings, drive, bench)
        if not (removed and NAME_TAKEN.search("\n".join(error.details))):
            raise explained from error
        result = _try(settings, drive, wanted, bench, confirm, message, refresh=refresh)
    if result.stopped:
        raise Cancelled("Nothing was changed.", hint="Answer yes, or use --yes.")
    if result.outputs is None:
        raise DeploymentFailed(
            "Pulumi ended without the outputs of the stack.", hint="Run it again; when it stays: invoke status"
        )
    return result.outputs, result.changes


def _try(
    settings: Settings,
    drive: Driver,
    wanted: StackInputs,
    bench: Bench,
    confirm: Callable[[Mapping[str, int]], bool],
    message: str,
    *,
    refresh: bool,
) -> StackResult:
    """Let Pulumi preview and carry out: one phase each, the second one only when there is something to do."""
    with ExitStack() as phases:
        say = phases.enter_context(bench.phase("preview", settings.stack))

        def decide(changes: Mapping[str, int]) -> bool:
            nonlocal say
            say(counted(changes))
            phases.pop_all().close()
            answer = confirm(changes)
            say = phases.enter_context(bench.phase("deploy", settings.stack))
            return answer

        connect = functools.partial(preflight.platform_client, settings)
        with connect() as client, watching.watched(connect, wanted.base_name, bench.on_event) as on_event:
            result = recovery.run(
                drive,
                "deploy",
                wanted,
                client=client,
                on_event=statefiles.audited(settings, on_event),
                refresh=refresh,
                message=message,
                decide=decide,
            )
        staging.remember(settings, result.mark)
        say("nothing was changed" if result.stopped else counted(result.changes, done=True))
    return result


def _tidy(settings: Settings, drive: Driver, bench: Bench) -> bool:
    """Remove at once what the failed attempt has left; what cannot be removed now is tried again by the next run."""
    with suppress(ToolkitError), preflight.platform_client(settings) as client:
        return bool(recovery.tidy(drive, client=client, on_event=statefiles.audited(settings, bench.on_event)))
    return False


def _verify(settings: Settings, outputs: StackOutputs, served: Mapping[str, str], bench: Bench) -> int:
    """Ask the public URL for what smoke saw; give how many files were equal. Raises VerificationFailed."""
    assert settings.token
    with bench.phase("verify", outputs.app_url) as say:
        if running := _runs_another_version(settings, outputs):
            raise VerificationFailed(
                f"The application runs the source version {running}, not {outputs.source_version_id} of this release.",
                hint=f"Somebody else published another version. Deploy again: invoke deploy --stack {settings.stack}",
            )
        result = verify.verify(
            outputs.app_url,
            served,
            token=settings.token,
            deadline=time.monotonic() + settings.verify_seconds,
            proxy=_proxy_for(outputs.app_url, bench.environ),
            ca_bundle=bench.environ.get("SSL_CERT_FILE"),
        )
        verify.require(result)
        say(f"this very release is serving: {len(result.matched)} of {len(served)} files equal")
    return len(result.matched)


def _runs_another_version(settings: Settings, outputs: StackOutputs) -> str:
    """Give the source version that the application runs when it is not the one of the outputs."""
    with preflight.platform_client(settings) as client:
        running = str(client.application(outputs.app_id).get("customApplicationSourceVersionId"))
    return running if running != outputs.source_version_id else ""


def _proxy_for(url: str, environ: Mapping[str, str]) -> str:
    """Give the proxy that the environment names for `url`; empty for none."""
    parts = urlsplit(url)
    no_proxy = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    host = parts.hostname or ""
    if host in ("127.0.0.1", "localhost") or proxy_bypass_environment(host, {"no": no_proxy}):
        return ""
    name = f"{parts.scheme}_proxy"
    return environ.get(name) or environ.get(name.upper()) or ""


def _explained(settings: Settings, wanted: StackInputs, error: DeploymentFailed, bench: Bench) -> DeploymentFailed:
    """Give the error with what the platform itself has logged; a platform that does not answer is no second failure."""
    logs: list[evidence.Log] = []
    with suppress(ToolkitError), preflight.platform_client(settings) as client:
        folder = settings.toolkit_dir / "logs" / settings.stack
        logs = evidence.keep(evidence.gather(client, wanted), folder, settings.secrets)
    bench.on_event(
        {
            "event": "failure",
            "at": round(time.time(), 3),
            "causes": [dataclasses.asdict(cause) for cause in evidence.causes(error, logs)],
            "logs": [{"about": log.about, "path": str(log.path or "")} for log in logs],
        }
    )
    return evidence.explained(error, logs)

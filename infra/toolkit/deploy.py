"""The recipe of a deployment and of its undoing.

    stage -> images -> smoke -> preview -> up -> verify

Everything is handed forward once. The local platform is no special case here: it is reached through the endpoint and
the token in Settings like any other (`with_local_platform` puts them there).
"""

from __future__ import annotations

import dataclasses
import getpass
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import docker

from toolkit import (
    accepted,
    archive,
    baseimage,
    image,
    releases,
    runtime_env,
    smoke,
    source,
    stack,
    stackconfig,
    statefiles,
    tools,
    verify,
)
from toolkit import engine as engines
from toolkit.errors import (
    Cancelled,
    ConfigurationError,
    DeploymentFailed,
    SmokeFailed,
    ToolkitError,
    VerificationFailed,
)
from toolkit.image import AppImage, HookFailed
from toolkit.releases import Kept
from toolkit.report import Check, SmokeReport
from toolkit.settings import Secret, Settings
from toolkit.source import StagedSource
from toolkit.stack import Driver, StackResult, counted
from toolkit.stackconfig import StackInputs, StackOutputs
from toolkit.tools import Places

if TYPE_CHECKING:
    from toolkit.datarobot import Client
    from toolkit.emulator.control import EmulatorInfo

SMOKE_VALID = 24 * 3600.0
WORKROOM = "run."
NAME_TAKEN = re.compile(r"must be unique|already (?:in use|exists)", re.IGNORECASE)

Event = dict[str, Any]
OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class Release:
    """What is deployed: the staged source and the archive of the environment; `digest` names both."""

    staged: StagedSource
    context: Path
    archive: Path
    digest: str


@dataclass(frozen=True)
class Deployed:
    """The end of a deployment: outputs, number of resources per operation, and what was proved."""

    outputs: StackOutputs
    changes: Mapping[str, int]
    release: str
    verified: int
    seconds: float


@dataclass
class Outcome:
    """What came out of a phase: a word on it, and whether it went well."""

    text: str = ""
    ok: bool = True

    def __call__(self, text: str, *, ok: bool = True) -> None:
        """Say it."""
        self.text, self.ok = text, ok


@dataclass(frozen=True)
class Bench:
    """Where a command works: folders, the environment that its programs get, and where its events go."""

    places: Places
    environ: Mapping[str, str]
    on_event: OnEvent

    def line(self, text: str) -> None:
        """Pass on a line of output of the phase that runs."""
        self.on_event({"event": "line", "text": text})

    @contextmanager
    def phase(self, name: str, detail: str = "") -> Iterator[Outcome]:
        """Announce a phase, and at its end what the outcome that this yields says."""
        started = time.monotonic()
        self.on_event({"event": "phase", "name": name, "status": "start", "detail": detail})
        outcome = Outcome()
        try:
            yield outcome
        except BaseException:
            outcome.ok, outcome.text = False, ""
            raise
        finally:
            self.on_event(
                {
                    "event": "phase",
                    "name": name,
                    "status": "ok" if outcome.ok else "failed",
                    "detail": outcome.text,
                    "seconds": round(time.monotonic() - started, 3),
                }
            )


def with_local_platform(settings: Settings, bench: Bench) -> Settings:
    """Give the settings with a platform to talk to: the stack `local` gets the emulator, started when needed."""
    if settings.stack != stackconfig.LOCAL:
        return settings
    with bench.phase("platform", "local DataRobot") as say:
        info = start_emulator(settings, bench)
        say(f"{info.endpoint} (emulator, no account needed)")
    return dataclasses.replace(
        settings, endpoint=info.endpoint, token=info.token, runtime_endpoint=info.runtime_endpoint
    )


def start_emulator(settings: Settings, bench: Bench) -> EmulatorInfo:
    """Start the local platform of these settings, or give the one that runs."""
    from toolkit.emulator import control

    client, address = engines.connect(bench.environ, bench.places.home)
    client.close()
    return control.start(
        settings.emulator_data,
        settings.emulator_port,
        engine_address=address.address,
        environ=bench.environ,
        mirror=settings.bun_image,
    )


@contextmanager
def workroom(settings: Settings) -> Iterator[Path]:
    """Give a folder to stage into for a run that deploys nothing: runs side by side keep their files apart.

    It goes at the end, and so do those that killed runs have left.
    """
    stages = settings.toolkit_dir / "stage"
    stages.mkdir(parents=True, exist_ok=True)
    for left in stages.glob(f"{WORKROOM}*"):
        if not engines.is_alive(left.name.removeprefix(WORKROOM)):
            shutil.rmtree(left, ignore_errors=True)
    folder = stages / f"{WORKROOM}{engines.new_run()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stage(settings: Settings, bench: Bench, *, full_token: Secret | None = None, folder: Path | None = None) -> Release:
    """Choose what ships, pack the environment, write what the program is told.

    `full_token` stands in for the token where there is none (a smoke test without an account). What is to be deployed
    is copied to `.toolkit/stage/<stack>`: only for whoever holds the lock of the stack. With `folder`, which gets all
    that is written, the app's files stay where they are.
    """
    take = source.choose if folder else source.stage
    folder = folder or settings.toolkit_dir / "stage" / settings.stack
    with bench.phase("stage", settings.app.name) as say:
        chosen = settings if settings.token or not full_token else dataclasses.replace(settings, token=full_token)
        staged = take(
            settings.app,
            folder / "source",
            runtime_env=runtime_env.from_settings(chosen),
            known_secrets=settings.secrets,
            notes=settings.toolkit_dir / "notes",
        )
        context = settings.environment
        image.require_dockerfile(context)
        packed = folder / "context.zip"
        archive.write_zip(context, packed)
        release = Release(staged, context, packed, _named(staged, packed))
        _tell(settings, release, folder)
        say(f"{len(staged.files)} files, {staged.total_bytes / 1000:.0f} kB, release {release.digest[:12]}")
    return release


def _named(staged: StagedSource, packed: Path) -> str:
    return hashlib.sha256(staged.digest.encode() + packed.read_bytes()).hexdigest()


def _tell(settings: Settings, release: Release, folder: Path) -> None:
    """Write what `pulumi up` by hand is told."""
    told = json.dumps(stackconfig.to_json(inputs(settings, release)), indent=1)
    (folder / "inputs.json").write_text(told + "\n")


def build(
    engine: docker.DockerClient, settings: Settings, release: Release, bench: Bench, *, fresh: bool = False
) -> AppImage:
    """Build both images as the platform would, or find them again."""
    options = baseimage.options_from(bench.environ, settings.bun_image)
    with bench.phase("environment image") as say:
        environment = image.build_environment(engine, release.context, base=options, fresh=fresh, on_line=bench.line)
        origin = "a stand-in" if environment.base.origin == "stand-in" else environment.base.origin
        say(f"{'built' if environment.built else 'unchanged'}; base {environment.base.name} is {origin}")
    with bench.phase("app image", "build-app.sh") as say:
        app = image.build_app(
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
    options: smoke.SmokeOptions | None = None,
    fresh: bool = False,
    reuse: bool = True,
) -> SmokeReport:
    """Build the release and run the smoke test on it; a passed test of the very same release is used again.

    Raises SmokeFailed when a check fails; the report is written in every case.
    """
    chosen = options or smoke_options(settings)
    accept = accepted.read(settings.app)
    path = settings.toolkit_dir / "smoke" / f"{_proof_key(release, chosen)}.json"
    if reuse and not fresh and (found := _valid_report(path, accept)):
        with bench.phase("smoke") as say:
            say(f"passed before: {len(found.checks)} checks on this release")
        return found
    if not fresh and _valid_report(path, accept):
        chosen = dataclasses.replace(chosen, settle=0.0)  # this very image was seen to stay up before
    begun = time.monotonic()
    with ExitStack() as stack:
        asked = smoke.before_build(release.staged)
        app: AppImage | None = None
        if not _fails(asked, accept) and not chosen.only_of("source"):
            client, address = engines.connect(bench.environ, bench.places.home)
            stack.callback(client.close)
            try:
                app = build(client, settings, release, bench, fresh=fresh)
                asked = smoke.after_build(release.staged, app)
            except HookFailed as error:
                asked = smoke.before_build(release.staged, error)
        with bench.phase("smoke", f"{settings.bundle.id}, {chosen.mode}") as say:
            if app is None or chosen.only_of("source", "build"):
                wanted = tuple(
                    one for one in asked if one.status == "fail" or one.family in (chosen.only or one.family)
                )
                report = SmokeReport({"mode": chosen.mode, "bundle": settings.bundle.id}, 0.0, wanted)
            else:
                report = smoke.run(client, app, release.staged, chosen, host=address.host, on_event=bench.on_event)
            report = dataclasses.replace(
                accepted.apply(report, accept),
                release={**report.release, "digest": release.digest},
                seconds=time.monotonic() - begun,
            )
            report.write(path)
            say(f"{len(report.checks)} checks, {report.verdict}", ok=report.verdict != "fail")
    return report


def _fails(checks: tuple[Check, ...], accept: Sequence[accepted.Acceptance]) -> bool:
    return accepted.apply(SmokeReport({}, 0.0, checks), accept).verdict == "fail"


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


def smoke_options(settings: Settings) -> smoke.SmokeOptions:
    """Give the options of the smoke test as the stack configures the app: on the root path."""
    return smoke.SmokeOptions(
        mode="strip",
        bundle=settings.bundle,
        health_path=settings.health_path,
        full_token=settings.token,
        endpoint=settings.runtime_endpoint or "",
    )


def inputs(settings: Settings, release: Release) -> StackInputs:
    """Give what the Pulumi program is told; paths are relative to infra/."""
    infra = settings.root / "infra"
    files = tuple((_relative(file.local, infra), file.path) for file in release.staged.files)
    return StackInputs(
        app_name=settings.app_name,
        stack=settings.stack,
        context_archive=_relative(release.archive, infra),
        files=files,
        bundle=settings.bundle.id,
        replicas=settings.replicas,
        allow_auto_stopping=settings.auto_stop,
        health_path=settings.health_path,
        key_scope=settings.key_scope,
        use_cases=settings.use_cases,
    )


def driver(settings: Settings, bench: Bench) -> Driver:
    """Make sure that Pulumi and the plugin are there, and give what drives them."""
    python = tools.ensure_deploy_python(bench.places, bench.environ, on_line=bench.line)
    pulumi = tools.ensure_pulumi(bench.places, bench.environ, on_line=bench.line)
    plugin = tools.ensure_plugin(
        bench.places,
        bench.environ,
        pulumi,
        choice=settings.provider,
        may_stand_in=settings.stack == stackconfig.LOCAL,
        on_line=bench.line,
    )
    token = settings.token.reveal() if settings.token else ""
    environ = {**bench.environ, "DATAROBOT_TIMEOUT_MINUTES": str(settings.timeout_minutes)}
    return Driver(
        python=python,
        pulumi=pulumi,
        plugin=plugin,
        infra=settings.root / "infra",
        work_dir=settings.toolkit_dir / "pulumi" / settings.stack,
        stack=settings.stack,
        environ=stack.environment(
            environ,
            (pulumi, plugin),
            endpoint=settings.endpoint or "",
            token=token,
            backend=statefiles.state_backend(settings, bench.places.home),
        ),
    )


def deploy(
    settings: Settings,
    bench: Bench,
    *,
    confirm: Callable[[Mapping[str, int]], bool],
    fresh: bool = False,
    roll_back: bool = True,
) -> Deployed:
    """Deploy the app to the stack of these settings.

    When the proof fails and `roll_back` holds, the release that was proved before serves again. Raises SmokeFailed,
    Cancelled (nothing was changed), DeploymentFailed with the platform's own reason, VerificationFailed, or what the
    steps raise.
    """
    started = time.monotonic()
    with statefiles.locked(settings):
        settings = with_local_platform(settings, bench)
        platform_version = _preflight(settings, bench)
        release = stage(settings, bench)
        with _beside(bench, lambda: driver(settings, _told_as(bench, "pulumi"))) as prepared:
            report = prove(settings, release, bench, fresh=fresh)
            require_pass(report)
            with bench.phase("pulumi") as say:
                drive = prepared()
                stand_in = " (stand-in)" if drive.plugin.stand_in else ""
                say(f"{drive.pulumi.version} ({drive.pulumi.origin}), provider {drive.plugin.version}{stand_in}")
        outputs, changes = _converge(settings, drive, release, bench, confirm)
        try:
            verified = _verify(settings, outputs, report.served, bench)
        except VerificationFailed as error:
            if not roll_back:
                raise
            raise _rolled_back(settings, drive, release, bench, error) from error
        _keep(settings, release, report.served)
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
        there = releases.kept(_shelf(settings))
        kept = releases.choose(_shelf(settings), there[0].digest if there else "", to)
        settings = with_local_platform(settings, bench)
        _preflight(settings, bench)
        drive = driver(settings, bench)
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
    _keep(settings, release, kept.served)
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
        release = Release(staged, kept.folder, packed, _named(staged, packed))
        _tell(settings, release, folder)
        say(f"{len(staged.files)} files of release {kept.id}")
    return release


def _rolled_back(
    settings: Settings, drive: Driver, failed: Release, bench: Bench, error: VerificationFailed
) -> VerificationFailed:
    """Let the release from before serve again; give the error that says what is so now."""
    try:
        kept = releases.choose(_shelf(settings), failed.digest)
    except ConfigurationError:
        return error  # a first deployment: there is nothing to go back to
    bench.line(f"The proof failed: {error.message}")
    try:
        _serve_again(settings, drive, kept, bench, lambda _changes: True)
    except ToolkitError as problem:
        return VerificationFailed(
            f"{error.message} Going back to release {kept.id} failed too: {problem.message}",
            hint=f"See what is there: invoke status --stack {settings.stack}. Then: invoke deploy, or invoke rollback.",
            details=(*error.details, *problem.details),
        )
    return VerificationFailed(
        f"{error.message} Release {kept.id} serves again.",
        hint=f"{error.hint} To keep a release that fails its proof: --no-rollback.".strip(),
        details=error.details,
    )


def _shelf(settings: Settings) -> Path:
    return settings.toolkit_dir / "releases" / settings.stack


def _keep(settings: Settings, release: Release, served: Mapping[str, str]) -> None:
    """Keep what was proved; a disk that is full does not undo a deployment."""
    with suppress(OSError):
        commit = _commit(settings.root)
        releases.keep(_shelf(settings), release.digest, release.staged, release.archive, served, commit=commit)


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
) -> tuple[StackOutputs, Mapping[str, int]]:
    """Carry out the release; what somebody else has changed on the platform meanwhile is read anew and put right."""
    wanted = inputs(settings, release)
    message = _message(settings, release)
    outputs, changes = _up(settings, drive, wanted, bench, confirm, message)
    if _runs_another_version(settings, outputs):
        bench.line("The platform runs another version than the state says: the state is read anew.")
        outputs, changes = _up(settings, drive, wanted, bench, confirm, message, refresh=True)
    return outputs, changes


def _message(settings: Settings, release: Release) -> str:
    """What the history says of a deployment: release, commit, and who."""
    commit = _commit(settings.root)
    parts = [f"release {release.digest[:12]}", f"commit {commit}" if commit else "", f"by {_person()}"]
    return ", ".join(filter(None, parts))


def _person() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()


def history(settings: Settings, bench: Bench, *, most: int) -> StackResult:
    """Give what was done to the stack, from the state backend. Raises StackMissing."""
    statefiles.require_stack(settings, bench.places.home)
    return stack.run(driver(settings, bench), "history", most=most)


def refresh(settings: Settings, bench: Bench, *, confirm: Callable[[Mapping[str, int]], bool]) -> StackResult:
    """Show what differs between platform and state, and take it over when `confirm` agrees. Raises StackMissing."""
    with statefiles.locked(settings):
        statefiles.require_stack(settings, bench.places.home)
        settings = with_local_platform(settings, bench)
        drive = driver(settings, bench)
        with bench.phase("refresh", settings.stack) as say:
            result = stack.run(drive, "refresh", on_event=bench.on_event, decide=confirm)
            drift = {kind: count for kind, count in result.changes.items() if kind != "same"}
            say("nothing was changed" if result.stopped else counted(drift, done=True) if drift else "no drift")
    return result


def cancel(settings: Settings, bench: Bench) -> None:
    """Remove the lock that a run has left on the stack. Raises StackLocked while a run of this folder works on it."""
    with statefiles.locked(settings):
        statefiles.require_stack(settings, bench.places.home)
        stack.run(driver(settings, bench), "cancel")


def preview(settings: Settings, bench: Bench) -> StackResult:
    """Show what a deployment would change; nothing is changed and nothing is smoked."""
    with statefiles.locked(settings):
        settings = with_local_platform(settings, bench)
        release = stage(settings, bench)
        drive = driver(settings, bench)
        with bench.phase("preview", settings.stack) as say:
            result = stack.run(drive, "preview", inputs(settings, release), on_event=bench.on_event)
            say(counted(result.changes))
    return result


def describe(settings: Settings, bench: Bench) -> StackResult:
    """Give outputs and resources of the stack as its state has them. Raises StackMissing."""
    statefiles.require_stack(settings, bench.places.home)
    return stack.run(driver(settings, bench), "describe")


def destroy(settings: Settings, bench: Bench, *, confirm: Callable[[StackResult], bool]) -> StackResult:
    """Remove everything the stack has on the platform, and the stack.

    Raises Cancelled when `confirm` says no, StackMissing when there is no such stack.
    """
    with statefiles.locked(settings):
        statefiles.require_stack(settings, bench.places.home)
        settings = with_local_platform(settings, bench)
        drive = driver(settings, bench)
        found = stack.run(drive, "describe")
        if not confirm(found):
            raise Cancelled("Nothing was removed.", hint="Answer yes, or use --yes.")
        with bench.phase("destroy", settings.stack) as say:
            _remove_strays(settings, found.resources, bench)
            result = stack.run(drive, "destroy", on_event=bench.on_event)
            say(counted(result.changes, done=True))
        shutil.rmtree(settings.toolkit_dir / "stage" / settings.stack, ignore_errors=True)
        shutil.rmtree(drive.work_dir, ignore_errors=True)
    return result


def application_logs(settings: Settings, bench: Bench) -> Mapping[str, Any]:
    """Give the logs that the platform has of the deployed application."""
    statefiles.require_stack(settings, bench.places.home)
    settings = with_local_platform(settings, bench)
    found = describe(settings, bench)
    if found.outputs is None:
        raise stack.StackMissing(
            f"Nothing is deployed on the stack {settings.stack!r}.", hint=f"invoke deploy --stack {settings.stack}"
        )
    with platform_client(settings) as client:
        return client.application_logs(found.outputs.app_id)


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


def platform_client(settings: Settings) -> Client:
    """Give a client for the platform of these settings, which have to be complete."""
    from toolkit.datarobot import Client  # brings httpx along, which a smoke test can do without

    assert settings.endpoint and settings.token
    return Client(settings.endpoint, settings.token)


def _preflight(settings: Settings, bench: Bench) -> str:
    with bench.phase("preflight", settings.endpoint or "") as say, platform_client(settings) as client:
        version = client.check_access()
        say(f"DataRobot {version}: the token may read use cases and notebooks")
    return version


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
        reason = _platform_reason(settings, wanted)
        removed = _remove_orphans(settings, drive, bench)
        if not (removed and NAME_TAKEN.search("\n".join(error.details))):
            details = (*error.details, *reason)
            raise DeploymentFailed(error.message, hint=error.hint, details=details) from error
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

        result = stack.run(
            drive, "deploy", wanted, refresh=refresh, message=message, on_event=bench.on_event, decide=decide
        )
        say("nothing was changed" if result.stopped else counted(result.changes, done=True))
    return result


def _remove_orphans(settings: Settings, drive: Driver, bench: Bench) -> int:
    """Remove applications that run a source of this stack without being in its state; give how many there were.

    The provider saves an id only when all of a create went well: an application that failed to start is left behind,
    and keeps the name and the environment in use.
    """
    with suppress(ToolkitError):
        found = stack.run(drive, "describe").resources
        return _remove_strays(settings, found, bench)
    return 0


def _remove_strays(settings: Settings, resources: Sequence[Mapping[str, str]], bench: Bench) -> int:
    known = {resource["id"] for resource in resources}
    removed = 0
    with platform_client(settings) as client:
        for source_id in (resource["id"] for resource in resources if resource["type"] == "ApplicationSource"):
            for application in client.applications_of(source_id):
                if application["id"] not in known:
                    client.delete_application(str(application["id"]))
                    bench.line(f"Removed the application {application['id']}, which a failed deployment left behind")
                    removed += 1
    return removed


def _platform_reason(settings: Settings, wanted: StackInputs) -> tuple[str, ...]:
    """Fetch what the platform itself logged of a failed build or start: the provider throws it away."""
    lines: list[str] = []
    with suppress(ToolkitError), platform_client(settings) as client:
        for environment in client.environments(f"{wanted.base_name}-environment")[-1:]:
            latest = environment.get("latestVersion") or {}
            if latest.get("buildStatus") == "failed":
                log = client.build_log(str(environment["id"]), str(latest["id"]))
                lines += [
                    "The platform's build log of the environment:",
                    *_last(log.get("log")),
                    *_last(log.get("error")),
                ]
        for application in client.applications(wanted.base_name)[-1:]:
            if application.get("status") == "failed":
                logs = client.application_logs(str(application["id"]))
                lines += ["The platform's log of the application:", *_last("\n".join(logs.get("logs") or ()))]
                lines += [*_last(logs.get("buildLog")), *_last(logs.get("buildError"))] if not logs.get("logs") else []
    return tuple(lines)


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
    with platform_client(settings) as client:
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


def _proof_key(release: Release, options: smoke.SmokeOptions) -> str:
    """Name a proof by everything it depends on: the release, how it was run, and the toolkit itself."""
    whole = hashlib.sha256(release.digest.encode())
    whole.update(
        json.dumps(
            [options.mode, options.bundle.id, options.health_path, options.endpoint, sorted(options.only)]
        ).encode()
    )
    here = Path(__file__).parent
    for path in sorted(here.rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _valid_report(path: Path, accept: Sequence[accepted.Acceptance]) -> SmokeReport | None:
    try:
        if time.time() - path.stat().st_mtime > SMOKE_VALID:
            return None
        report = accepted.apply(SmokeReport.read(path), accept)
    except (OSError, ValueError, KeyError):
        return None
    return report if report.verdict != "fail" else None


def _relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()


def _last(text: Any, count: int = 20) -> list[str]:
    return [f"  {line}" for line in str(text or "").splitlines() if line.strip()][-count:]

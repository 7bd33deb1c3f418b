"""Look at everything that a deployment needs, all at once and within a time, and say what to do about each problem.

`invoke doctor` shows it all; before a deployment an error ends it, and a doubt is a line.
"""

from __future__ import annotations

import platform
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolkit import baseimage, preflight, recovery, stack, stackconfig, statefiles, tools
from toolkit import engine as engines
from toolkit import settings as configuration
from toolkit.bench import Bench
from toolkit.errors import ConfigurationError, TimedOut, ToolkitError
from toolkit.settings import Settings

Status = Literal["ok", "warning", "error"]
LIMIT = 3.5  # seconds that all checks together may take
PATIENCE = 3.0  # seconds for one answer of engine or platform
BUSY = 15.0  # seconds before a deployment: who is dead is known by PATIENCE, and a busy machine is no error
LEAST_DISK, NO_DISK = 3 * 10**9, 5 * 10**8  # bytes: images and tools fit; nothing can be built
BUNDLES = "ENABLE_MLOPS_RESOURCE_REQUEST_BUNDLES"  # platform-contract 5.16
X86 = {"x86_64", "amd64", "x64"}
ASK_THE_PLATFORM = {"bundles", "leftovers"}  # they say nothing new when it cannot be asked
ADVICE = {*ASK_THE_PLATFORM, "pulumi", "plugin", "base-image"}  # late, they are a doubt: the deployment asks itself
BUILD_HERE = {"engine", "base-image"}  # what nobody needs who builds nothing here


@dataclass(frozen=True)
class Finding:
    """What one check found. `hint` is the next step, `exit_code` that of a command which meets this problem.

    `fact` is what a program wants of the detail (the platform's version); `error` is what stops a deployment.
    """

    id: str
    status: Status
    detail: str
    hint: str = ""
    exit_code: int = 0
    fact: str = ""
    error: ToolkitError | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, object]:
        """Give what `doctor --json` shows of it."""
        return {name: getattr(self, name) for name in ("id", "status", "detail", "hint", "exit_code")}

    def __str__(self) -> str:
        return f"{self.id}: {' '.join(filter(None, (self.detail, self.hint)))}"


@dataclass(frozen=True)
class Answer:
    """What a check says when it is no error: fine, or doubtful with a next step."""

    detail: str
    hint: str = ""
    doubtful: bool = False
    fact: str = ""


Probe = Callable[[], Answer]


def require(bench: Bench, settings: Settings, *, builds: bool = True) -> list[Finding]:
    """Ask everything before a deployment of whoever holds the stack's lock here; give what was found.

    Without `builds` nothing is built on this machine, so no engine is asked for. Raises the error of the first check
    that found one, with what the others found in its details.
    """
    leave_out = set() if builds or settings.stack == stackconfig.LOCAL else BUILD_HERE
    found = examine(bench, lambda: settings, settings.root, limit=BUSY, leave_out=leave_out, holding=True)
    errors = [one for one in found if one.error is not None]
    if errors:
        first, *others = errors
        assert first.error is not None
        error = first.error
        raise type(error)(error.message, hint=error.hint, details=(*error.details, *map(str, others)))
    return found


def examine(
    bench: Bench,
    load: Callable[[], Settings],
    root: Path,
    *,
    limit: float = LIMIT,
    leave_out: Collection[str] = (),
    holding: bool = False,
) -> list[Finding]:
    """Ask everything beside each other, but for what is in `leave_out`; `load` reads the settings.

    What does not answer within `limit` seconds is an error too, or a doubt where it only advises. `holding` says that
    the lock of this folder is the asker's own.
    """
    probes: dict[str, Probe] = {
        "python": lambda: Answer(f"{sys.version.split()[0]} on {platform.machine()}"),
        "engine": lambda: _engine(bench),
        "disk": lambda: _disk(root),
        "pulumi": lambda: _pulumi(bench),
    }
    try:
        settings = load()
    except ToolkitError as error:
        return [*gather(probes, limit), _failed("settings", error)]
    needing: dict[str, Probe] = {
        "settings": lambda: Answer(f"stack {settings.stack}{', protected' if settings.protected else ''}"),
        "base-image": lambda: _base_image(bench, settings),
        "plugin": lambda: _plugin(bench, settings),
        "platform": lambda: _platform(settings),
        "bundles": lambda: _bundles(settings),
        "leftovers": lambda: _leftovers(settings, bench),
        "state": lambda: _state(settings, bench),
        "lock": lambda: _lock(settings, bench, holding=holding),
    }
    found = gather({name: probe for name, probe in {**probes, **needing}.items() if name not in leave_out}, limit)
    unreachable = any(one.id == "platform" and one.status == "error" for one in found)
    return [one for one in found if not (unreachable and one.id in ASK_THE_PLATFORM)]


def gather(probes: Mapping[str, Probe], limit: float) -> list[Finding]:
    """Run the probes beside each other for at most `limit` seconds, and give what they found in their order."""
    found: dict[str, Finding] = {}

    def run(name: str, probe: Probe) -> None:
        try:
            answer = probe()
            status: Status = "warning" if answer.doubtful else "ok"
            found[name] = Finding(name, status, answer.detail, answer.hint, fact=answer.fact)
        except ToolkitError as error:
            found[name] = _failed(name, error)
        except engines.FAILURES as error:
            found[name] = _failed(name, engines.failure(error))
        except Exception as error:  # a check that breaks must not take the other answers with it
            found[name] = _failed(name, ToolkitError(f"{type(error).__name__}: {error}"))

    # Daemons: whoever hangs must not keep the command from ending.
    threads = [threading.Thread(target=run, args=item, daemon=True) for item in probes.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = TimedOut(f"no answer within {limit:g} s", hint="Check the network (proxy, VPN), and try again.")
    return [found.get(name) or _failed(name, late) for name in probes]


def _failed(name: str, error: ToolkitError) -> Finding:
    detail = " ".join([error.message, *error.details])
    if name in ASK_THE_PLATFORM or (name in ADVICE and isinstance(error, TimedOut)):
        return Finding(name, "warning", detail, error.hint)
    return Finding(name, "error", detail, error.hint, error.exit_code, error=error)


def _engine(bench: Bench) -> Answer:
    engine, address = engines.connect(bench.environ, bench.places.home, timeout=PATIENCE)
    try:
        told = engine.version()
    finally:
        engine.close()
    machine = str(told.get("Arch", ""))
    detail = f"{told.get('Version', '')} ({machine}) at {address.address}: {address.reason}"
    if machine and machine not in X86:
        return Answer(
            detail,
            "The platform runs linux/amd64: images that are built here may behave otherwise there.",
            doubtful=True,
        )
    return Answer(detail)


def _disk(root: Path) -> Answer:
    hint = "Images and tools need about 3 GB: invoke clean frees some."
    if problem := preflight.little_disk(root, NO_DISK):
        raise ConfigurationError(problem, hint=hint)
    if problem := preflight.little_disk(root, LEAST_DISK):
        return Answer(problem, hint, doubtful=True)
    return Answer(f"{shutil.disk_usage(root).free / 1e9:.0f} GB free")


def _pulumi(bench: Bench) -> Answer:
    found = tools.find_pulumi(bench.places, bench.environ)
    if found is None:
        return Answer("not there yet: the first deployment installs or builds it")
    return Answer(f"{found.version} ({found.origin})")


def _plugin(bench: Bench, settings: Settings) -> Answer:
    local = settings.stack == stackconfig.LOCAL
    if local and settings.provider == "stand-in":
        return Answer("the stand-in provider, as DATAROBOT_PROVIDER says")
    if found := tools.find_plugin(bench.places, bench.environ):
        return Answer(f"datarobot {found.version} ({found.origin})")
    if local:
        return Answer("not there: it is downloaded, or the stand-in provider takes its place")
    return Answer(
        f"datarobot {tools.PROVIDER_VERSION} is not there yet: the first deployment downloads it",
        "Behind a firewall install it from a file: docs/deploy-to-datarobot.md.",
        doubtful=True,
    )


def _base_image(bench: Bench, settings: Settings) -> Answer:
    dockerfile = settings.environment / "Dockerfile"
    names = baseimage.names_in(dockerfile.read_text()) if dockerfile.is_file() else ()
    if not names:
        raise ConfigurationError(
            f"There is no Dockerfile with a FROM in {settings.environment}.", hint="Set ENVIRONMENT_DIR in .env."
        )
    engine, _ = engines.connect(bench.environ, bench.places.home, timeout=PATIENCE)
    try:
        there = {name: baseimage.origin(engine, name) for name in names}
    finally:
        engine.close()
    told = "; ".join(f"{name}: {origin or 'is pulled, or made, at the first build'}" for name, origin in there.items())
    return Answer(told)


def _reachable(settings: Settings) -> Settings | None:
    """Give the settings with a platform that can be asked now; None for a local one that does not run."""
    if settings.stack != stackconfig.LOCAL:
        configuration.require_platform(settings)
        return settings
    return preflight.running_local_platform(settings)


def _platform(settings: Settings) -> Answer:
    reached = _reachable(settings)
    if reached is None:
        return Answer("the local platform: the first deployment starts it")
    with preflight.platform_client(reached, patience=PATIENCE) as client:
        version = client.check_access()
    told = f"DataRobot {version} at {reached.endpoint}: the token may read use cases and notebooks"
    return Answer(told, fact=version)


def _bundles(settings: Settings) -> Answer:
    reached = _reachable(settings)
    if reached is None:
        return Answer(settings.bundle.id)
    with preflight.platform_client(reached, patience=PATIENCE) as client:
        on = client.feature(BUNDLES)
    if on is False:
        hint = f"Ask an administrator of DataRobot to switch {BUNDLES} on."
        return Answer(
            f"Resource bundles are switched off on the platform: {settings.bundle.id} may be refused.",
            hint,
            doubtful=True,
        )
    return Answer(f"{settings.bundle.id}{'' if on else ' (the platform does not say whether bundles are on)'}")


def _leftovers(settings: Settings, bench: Bench) -> Answer:
    """Compare the state with the platform where that needs no Pulumi: the state lies in our own folder."""
    reached = _reachable(settings)
    if reached is None:
        return Answer("nothing is deployed on the local platform")
    state = statefiles.own_state(settings, bench.pulumi_home)
    name = f"{settings.app_name}-{settings.stack}"
    with preflight.platform_client(reached, patience=PATIENCE) as client:
        taken = [str(one["id"]) for one in client.applications(name)]
        if state is None:
            told = f"there is an application {name}" if taken else f"the name {name} is free"
            return Answer(f"{told} (the state lies elsewhere, and says whether it is ours)")
        found = recovery.look(client, state)
    ours = {one["id"] for one in state["resources"]} | {one.id for one in found.strays}
    if others := [one for one in taken if one not in ours]:
        return Answer(
            f"the name {name} belongs to the application {others[0]}, which this state does not know",
            "Was it deployed from another checkout? Use that state (PULUMI_BACKEND_URL), or choose another APP_NAME.",
            doubtful=True,
        )
    problems = [*(f"left by an earlier run: {stray}" for stray in found.strays)]
    problems += [f"in the state, but not on the platform: {one}" for one in found.missing]
    if found.pending:
        problems.append(f"{found.pending} operations of a dead run have no known end")
    if problems:
        return Answer("; ".join(problems), "The next deploy or destroy puts that in order.", doubtful=True)
    return Answer("state and platform agree" if state["resources"] else f"nothing is deployed; the name {name} is free")


def _state(settings: Settings, bench: Bench) -> Answer:
    where = statefiles.describe_backend(settings, bench.pulumi_home)
    if where.passphrase_missing:
        raise ConfigurationError(
            f"The state in {where.address} is encrypted, and its passphrase {where.passphrase} is not there.",
            hint="Bring that file back, or set PULUMI_CONFIG_PASSPHRASE.",
        )
    return Answer(f"{where.address}; passphrase: {where.passphrase}")


def _lock(settings: Settings, bench: Bench, *, holding: bool = False) -> Answer:
    if not holding and statefiles.is_locked(settings):
        return Answer("a command of this checkout works on the stack", "Wait for it to end.", doubtful=True)
    with suppress(OSError, ValueError):
        if (owner := statefiles.lock_owner(settings, bench.pulumi_home)) is not None:
            dead = stack.is_dead(owner, statefiles.dead_runs(settings, bench.pulumi_home))
            return Answer(
                f"held by {owner}{', which is gone' if owner.is_gone else ''}",
                "The next command removes it." if dead else stack.unlocking(settings.stack, owner),
                doubtful=True,
            )
    return Answer("free")

"""What a stack has, and how state and platform differ: seen, copied and taken over, without a deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from toolkit import preflight, recovery, stack, stackconfig, statefiles
from toolkit.backup import Backup
from toolkit.bench import Bench
from toolkit.driving import driver
from toolkit.settings import Settings
from toolkit.stack import StackResult, counted


def history(settings: Settings, bench: Bench, *, most: int) -> StackResult:
    """Give what was done to the stack, from the state backend, and to which resources. Raises StackMissing."""
    statefiles.require_stack(settings, bench.pulumi_home)
    found = stack.run(driver(settings, bench), "history", most=most)
    own = stackconfig.own_changes
    updates = ({**one, "changes": own(one["kind"], one["result"], one["changes"])} for one in found.updates)
    return replace(found, updates=tuple(updates))


def describe(settings: Settings, bench: Bench) -> StackResult:
    """Give outputs and resources of the stack as its state has them. Raises StackMissing."""
    statefiles.require_stack(settings, bench.pulumi_home)
    return stack.run(driver(settings, bench), "describe")


@dataclass(frozen=True)
class Status:
    """What a stack has: its resources, the application as the platform tells it, and how the two differ.

    `running` is the version of the source that the application runs; `missing` is what the platform lacks, `strays`
    what earlier runs left there.
    """

    resources: tuple[Mapping[str, str], ...]
    application: Mapping[str, Any]
    wanted: str = ""
    running: str = ""
    missing: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether platform and state differ, as far as that is seen without a refresh."""
        return bool(self.missing or self.strays or self.running != self.wanted)

    @property
    def replicas(self) -> int:
        """How many replicas the application has; 0 when it is not told."""
        return int((self.application.get("resources") or {}).get("replicas") or 0)


def look(settings: Settings, bench: Bench) -> Status:
    """Compare what the state has with the platform. Raises StackMissing, and what the client raises."""
    found = describe(settings, bench)
    settings = preflight.with_local_platform(settings, bench)
    application: Mapping[str, Any] = {}
    with preflight.platform_client(settings) as client:
        differs = recovery.look(client, {"resources": found.resources, "mark": found.mark})
        if found.outputs is not None and client.has("application", found.outputs.app_id):
            application = client.application(found.outputs.app_id)
    return Status(
        found.resources,
        application,
        wanted=found.outputs.source_version_id if found.outputs and application else "",
        running=str(application.get("customApplicationSourceVersionId") or ""),
        missing=differs.missing,
        strays=tuple(map(str, differs.strays)),
    )


def save_state(settings: Settings, bench: Bench) -> Backup:
    """Give a copy of the stack's state. Raises StackMissing."""
    with statefiles.locked(settings):
        statefiles.require_stack(settings, bench.pulumi_home)
        state = stack.run(driver(settings, bench), "export").state
    return Backup(settings.stack, datetime.now(UTC).isoformat(timespec="seconds"), state)


def restore_state(settings: Settings, bench: Bench, saved: Backup) -> StackResult:
    """Put a copy in the place of the stack's state; the platform stays as it is."""
    with statefiles.locked(settings):
        return stack.run(driver(settings, bench), "import", state=saved.state)


def deployed_application(settings: Settings, bench: Bench) -> tuple[str, Settings]:
    """Give the id of the deployed application, and settings with a platform to ask. Raises StackMissing."""
    statefiles.require_stack(settings, bench.pulumi_home)
    settings = preflight.with_local_platform(settings, bench)
    found = describe(settings, bench)
    if found.outputs is None:
        raise stack.StackMissing(
            f"Nothing is deployed on the stack {settings.stack!r}.", hint=f"invoke deploy --stack {settings.stack}"
        )
    return found.outputs.app_id, settings


def refresh(settings: Settings, bench: Bench, *, confirm: Callable[[Mapping[str, int]], bool]) -> StackResult:
    """Show what differs between platform and state, and take it over when `confirm` agrees. Raises StackMissing."""
    bench = bench.limited(settings.phase_seconds)
    with statefiles.locked(settings):
        statefiles.require_stack(settings, bench.pulumi_home)
        settings = preflight.with_local_platform(settings, bench)
        with bench.within("pulumi"):
            drive = driver(settings, bench)
        with bench.asking("refresh", "refresh", settings.stack) as phases:

            def decide(changes: Mapping[str, int]) -> bool:
                return phases.ask(f"drift: {counted(changes)}", lambda: confirm(changes))

            result = stack.run(drive, "refresh", on_event=bench.on_event, decide=decide)
            drift = {kind: count for kind, count in result.changes.items() if kind != "same"}
            phases.say("nothing was changed" if result.stopped else counted(drift, done=True) if drift else "no drift")
    return result


def cancel(settings: Settings, bench: Bench) -> None:
    """Remove the lock that a run has left on the stack. Raises StackLocked while a run of this folder works on it."""
    with statefiles.locked(settings):
        statefiles.require_stack(settings, bench.pulumi_home)
        stack.run(driver(settings, bench), "cancel")

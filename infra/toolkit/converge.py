"""Bring a stack to a release: preview, ask, carry out; explain a failure, and tidy up what it left."""

from __future__ import annotations

import dataclasses
import functools
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from toolkit import evidence, preflight, proof, recovery, staging, statefiles, watching
from toolkit import plan as planning
from toolkit.bench import Bench, Event
from toolkit.child import Driver, Warm
from toolkit.errors import Cancelled, DeploymentFailed, TimedOut, ToolkitError
from toolkit.plan import Shipment
from toolkit.settings import Settings
from toolkit.stack import StackResult, counted
from toolkit.stackconfig import StackInputs, StackOutputs
from toolkit.staging import Release

NAME_TAKEN = re.compile(r"must be unique|already (?:in use|exists)", re.IGNORECASE)


def converge(
    settings: Settings,
    drive: Driver,
    release: Release,
    bench: Bench,
    confirm: Callable[[Mapping[str, int]], bool],
    told: str,
    *,
    warm: Warm | None = None,
) -> tuple[StackOutputs, Mapping[str, int]]:
    """Carry out the release; what somebody else has changed on the platform meanwhile is read anew and put right.

    `told` is what the history says of it (`history.message`); `warm` is a child that may have been asked already.
    """
    wanted = staging.inputs(settings, release)
    bench = _planning(bench, staging.shipment(settings, release))
    outputs, changes = _up(settings, drive, wanted, bench, confirm, told, warm=warm)
    if _runs_another(settings, outputs):
        bench.line("The platform runs another version than the state says: the state is read anew.")
        outputs, changes = _up(settings, drive, wanted, bench, confirm, told, refresh=True)
    return outputs, changes


def _runs_another(settings: Settings, outputs: StackOutputs) -> bool:
    """Whether another version runs, as far as the platform says; the proof asks with more patience."""
    with suppress(ToolkitError):
        return bool(proof.runs_another_version(settings, outputs))
    return False


def _planning(bench: Bench, shipment: Shipment) -> Bench:
    """Give a bench that says after the preview, before anybody is asked, what will be sent: the event `plan`."""
    steps: list[Event] = []

    def on_event(event: Event) -> None:
        if event["event"] == "start":
            steps.append(event)
        elif event["event"] == "preview":
            bench.on_event({"event": "plan", **planning.plan(steps, shipment).to_json()})
        if event["event"] in ("preview", "up"):  # there may be another attempt, with a preview of its own
            steps.clear()
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
    warm: Warm | None = None,
) -> tuple[StackOutputs, Mapping[str, int]]:
    """Preview, ask, and carry out; a failed attempt's leftovers are removed, and when they were in the way, again."""
    again = False
    put_in_order: list[Event] = []
    bench = bench.noting(lambda event: bool(event.get("audit")), put_in_order)
    while True:
        try:
            result = _try(settings, drive, wanted, bench, confirm, message, refresh=refresh, warm=warm)
            break
        except DeploymentFailed as error:
            explained, removed = error, False
            try:
                with bench.within("leftovers"):
                    explained = _explained(settings, wanted, error, bench)
                    removed = _tidy(settings, drive, bench)
            except TimedOut as late:
                bench.line(f"warning: {late.message}")
            if again or not (removed and NAME_TAKEN.search("\n".join(error.details))):
                raise explained from error
        again, warm = True, None
    if result.stopped:
        more = "more " if again or refresh or put_in_order else ""
        raise Cancelled(f"Nothing {more}was changed.", hint="Answer yes, or use --yes.")
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
    warm: Warm | None = None,
) -> StackResult:
    """Let Pulumi preview and carry out: one phase each, the second one only when there is something to do."""
    with bench.asking("preview", "deploy", settings.stack) as phases:

        def decide(changes: Mapping[str, int]) -> bool:
            return phases.ask(counted(changes), lambda: confirm(changes))

        connect = functools.partial(preflight.platform_client, settings)
        with (
            connect() as client,
            watching.watched(connect, wanted.base_name, bench.on_event, secrets=settings.secrets) as on_event,
        ):
            result = recovery.run(
                drive,
                "deploy",
                wanted,
                client=client,
                on_event=statefiles.audited(settings, on_event),
                refresh=refresh,
                message=message,
                decide=decide,
                warm=warm,
            )
        staging.remember(settings, result.mark)
        phases.say("nothing was changed" if result.stopped else counted(result.changes, done=True))
    return result


def _tidy(settings: Settings, drive: Driver, bench: Bench) -> bool:
    """Remove at once what the failed attempt has left; what cannot be removed now is tried again by the next run."""
    with suppress(ToolkitError), preflight.platform_client(settings) as client:
        return bool(recovery.tidy(drive, client=client, on_event=statefiles.audited(settings, bench.on_event)))
    return False


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

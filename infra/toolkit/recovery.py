"""What earlier runs left behind, found and removed before Pulumi goes on: the next plain command converges.

The provider saves an id only when all of a create went well, and sends a POST again whose answer was lost: then
environments, sources and applications are on the platform that no state knows (platform-contract 5.3, recordings
18-29). They are told from other people's by the stack's mark: it is in an environment's description and in a source's
name, and an application is ours when it runs a source of ours and no other account has made it.

Nothing is removed but while Pulumi holds the lock of the stack, with the state as it is then: what another run is just
making is in nobody's way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit import retained, stack, stackconfig
from toolkit.child import Driver, Event, Warm
from toolkit.errors import DeploymentFailed, PermissionDenied, ToolkitError
from toolkit.stack import Action, OnEvent, StackResult
from toolkit.stackconfig import StackInputs

if TYPE_CHECKING:
    from toolkit.datarobot import Client, Kind  # brings httpx along, which a smoke test can do without

WORDS: Mapping[Kind, str] = {
    "application": "application",
    "source": "source",
    "environment": "execution environment",
    "credential": "credential",
}
KINDS: Mapping[str, Kind] = {
    "CustomApplication": "application",
    "ApplicationSource": "source",
    "ExecutionEnvironment": "environment",
    "ApiTokenCredential": "credential",
}


@dataclass(frozen=True)
class Stray:
    """Something of ours on the platform that the state does not know."""

    kind: Kind
    id: str
    name: str

    def __str__(self) -> str:
        return f"the {WORDS[self.kind]} {self.name} ({self.id})"


@dataclass(frozen=True)
class Found:
    """How state and platform differ.

    `strays` are in the order in which they can be removed, `missing` is what the platform lacks, and `pending` how many
    operations a dead run has begun and not ended. `others` runs our source, but somebody else has made it.
    """

    strays: tuple[Stray, ...] = ()
    missing: tuple[str, ...] = ()
    pending: int = 0
    others: tuple[Stray, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing has to be removed or ended first."""
        return not self.strays and not self.pending


@dataclass
class _Watch:
    """Looks at the state once, when the child tells it, and remembers what was found."""

    client: Client
    on_event: OnEvent
    refresh: bool
    goes_on: bool
    for_good: bool
    found: Found = field(default_factory=Found)

    def __call__(self, state: Event) -> str:
        try:
            self.found = look(self.client, state, for_good=self.for_good)
        except ToolkitError as error:
            if self.for_good and not isinstance(error, PermissionDenied):
                raise  # with the stack goes its mark, the only way to find them
            note(self.on_event, f"Leftovers of earlier runs could not be looked for: {error.message}", audit=False)
        if not self.found.is_clean and not self.goes_on:
            return "stop"
        for other in self.found.others:
            text = f"{other} runs this stack's source too, and somebody else has made it: it is left alone."
            note(self.on_event, text[:1].upper() + text[1:], audit=False)
        if self.found.missing:
            gone = ", ".join(self.found.missing)
            note(self.on_event, f"The platform lacks what the state knows ({gone}): the state is read anew.")
        return "go refresh" if self.refresh or self.found.missing else "go"


def run(
    driver: Driver,
    action: Action,
    inputs: StackInputs | None = None,
    *,
    client: Client,
    on_event: OnEvent,
    refresh: bool = False,
    warm: Warm | None = None,
    **options: Any,
) -> StackResult:
    """Carry out `deploy` or `destroy` as `stack.run` does, after what earlier runs left has been put in order.

    A `warm` child may have gone on already where there is nothing to put in order (`is_settled`).
    """
    for goes_on in (False, True):
        watch = _Watch(client, on_event, refresh, goes_on, for_good=action == "destroy")
        result = stack.run(driver, action, inputs, on_event=on_event, answers={"state": watch}, warm=warm, **options)
        warm = None
        if goes_on or watch.found.is_clean:
            break
        if watch.found.pending:
            pending = watch.found.pending
            note(on_event, f"An earlier run has not ended what it began ({pending}): the state is read anew.")
        tidy(driver, client=client, on_event=on_event, for_good=action == "destroy")
    return result


def is_settled(client: Client, state: Event) -> bool:
    """Whether state and platform agree: nothing has to be put in order before a deployment goes on."""
    try:
        found = look(client, state)
    except ToolkitError:
        return False
    return found.is_clean and not found.missing


def tidy(driver: Driver, *, client: Client, on_event: OnEvent, for_good: bool = False) -> tuple[Stray, ...]:
    """End what a dead run has begun, and remove what failed ones have left; give what was removed.

    `for_good`, the stack goes: the releases that are kept on the platform are removed, too.

    Raises DeploymentFailed that names what the platform does not let go of.
    """
    removed: list[Stray] = []
    problems: list[str] = []

    def clean(state: Event) -> str:
        try:
            strays = look(client, state, for_good=for_good).strays
        except ToolkitError as error:
            problems.append(error.message)
            strays = ()
        for stray in strays:
            try:
                client.delete(stray.kind, stray.id)
            except ToolkitError as error:
                problems.append(f"{stray}: {error.message}")
            else:
                removed.append(stray)
                kept = retained.words(str(state.get("mark", ""))) in stray.name
                why = "a release to go back to" if kept else "which an earlier run left behind"
                note(on_event, f"Removed {stray}, {why}.")
        return "stop" if problems else "go"

    try:
        stack.run(
            driver,
            "tidy",
            on_event=lambda event: _audits(event, on_event),
            answers={"held": clean},
        )
    except DeploymentFailed as error:
        if problems:
            raise DeploymentFailed(
                "What an earlier run left on the platform could not be removed.",
                hint="Run the same command again. When it stays: remove it by hand, in DataRobot.",
                details=tuple(problems),
            ) from error
        raise
    return tuple(removed)


def look(client: Client, state: Mapping[str, Any], *, for_good: bool = False) -> Found:
    """Compare the platform with what the state holds (`resources`, `mark`, `pending`).

    Releases that are kept there are no strays, unless the stack goes `for_good`.
    Raises what the client raises: then nothing is known.
    """
    resources: Sequence[Mapping[str, str]] = state.get("resources", ())
    mark = str(state.get("mark", ""))
    known = {resource["id"] for resource in resources if resource.get("id")}
    held = [(KINDS[one["type"]], one["id"]) for one in resources if one.get("type") in KINDS and one.get("id")]
    with ThreadPoolExecutor(8, "look") as pool:
        gone = [pool.submit(_gone, client, kind, found) for kind, found in held]
        environments = pool.submit(client.environments_marked, stackconfig.marking(mark)) if mark else None
        sources = pool.submit(client.sources_marked, f"-{mark}-") if mark else None
        credentials = pool.submit(client.credentials_marked, f"-token-{mark}-") if mark else None
        own = [pool.submit(client.applications_of, found) for kind, found in held if kind == "source"]
        wanted = (f"-source-{mark}-", *([retained.words(mark)] if for_good else []))
        marked = [one for one in (sources.result() if sources else ()) if any(word in one["name"] for word in wanted)]
        stray_sources = _strays("source", marked, known)
        beside = [one for each in own for one in each.result()]
        foreign = _of_others(client, beside, known)
        applications = [one for one in beside if one not in foreign]
        more = [pool.submit(client.applications_of, one.id) for one in stray_sources]
        applications += [one for each in more for one in each.result()]
        strays = (
            *_strays("application", applications, known),
            *stray_sources,
            *_strays("environment", environments.result() if environments else (), known),
            *_strays("credential", credentials.result() if credentials else (), known),
        )
        missing = tuple(text for each in gone if (text := each.result()))
    return Found(strays, missing, int(state.get("pending", 0)), _strays("application", foreign, known))


def _of_others(client: Client, applications: Sequence[Mapping[str, Any]], known: set[str]) -> list[Mapping[str, Any]]:
    """Those that neither this account has made, nor who made what the state knows: a colleague may try our source."""
    unknown = [one for one in applications if one["id"] not in known and one.get("userId")]
    if not unknown:
        return []
    ours = {one.get("userId") for one in applications if one["id"] in known} | {client.account()}
    return [one for one in unknown if one["userId"] not in ours]


def note(on_event: OnEvent, text: str, *, audit: bool = True) -> None:
    """Say what was put in order; with `audit` it is also kept."""
    on_event({"event": "line", "text": text, **({"audit": True} if audit else {})})


def _audits(event: Event, on_event: Callable[[Event], None]) -> None:
    if event.get("audit"):
        on_event(event)


def _gone(client: Client, kind: Kind, id: str) -> str:  # noqa: A002
    return "" if client.has(kind, id) else f"{WORDS[kind]} {id}"


def _strays(kind: Kind, found: Sequence[Mapping[str, Any]], known: set[str]) -> tuple[Stray, ...]:
    strays = [Stray(kind, str(one["id"]), str(one.get("name", ""))) for one in found]
    return tuple(dict.fromkeys(one for one in strays if one.id not in known))

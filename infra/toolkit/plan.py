"""What a deployment is going to do, in people's words: changes and their reasons, uploads, calls to the platform. Pure.

Pulumi says which resources change; what the provider then asks of the platform is known from its recorded traffic
(platform-contract 2). Tests compare the calls with those that the local platform really got.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

BATCH = 100  # files in one request of the provider (platform-contract 1.1)
STEPS = {"create-replacement", "delete-replaced"}  # of a replacement; the step called `replace` stands for all
KINDS = {
    "ExecutionEnvironment": "execution environment",
    "ApplicationSource": "application source",
    "CustomApplication": "application",
    "ApiTokenCredential": "credential",
}
DONE = {"create": "is created", "update": "is updated", "replace": "is replaced", "delete": "is removed"}
# What the properties of resources are called by people; what follows from others is left out.
WORDS = {
    "dockerContextHash": "Dockerfile or its files",
    "dockerContextPath": "Dockerfile or its files",
    "dockerImage": "image",
    "files": "files",
    "filesHashes": "files",
    "baseEnvironmentId": "",
    "baseEnvironmentVersionId": "environment",
    "resources": "bundle or replicas",
    "runtimeParameterValues": "runtime parameters",
    "sourceVersionId": "version of the source",
    "allowAutoStopping": "pauses",
    "apiToken": "token",
    "requiredKeyScopeLevel": "key scope",
    "useCaseIds": "use cases",
    "name": "name",
    "versionId": "",
}
CONTEXT = {"dockerContextHash", "dockerContextPath"}
FILES = {"files", "filesHashes"}


@dataclass(frozen=True)
class Files:
    """How the files that ship differ from those that are deployed; names are sorted."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Put it into words; empty when nothing differs."""
        told = [
            f"{len(names)} {what}: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
            for what, names in (("changed", self.changed), ("new", self.added), ("gone", self.removed))
            if names
        ]
        return "; ".join(told)


@dataclass(frozen=True)
class Shipment:
    """What there is to send: digest and size of each file that ships (by name), and the bytes of the environment."""

    files: Mapping[str, str] = field(default_factory=dict)
    file_bytes: int = 0
    archive_bytes: int = 0
    use_cases: int = 0
    parameters: bool = False


@dataclass(frozen=True)
class Change:
    """What happens to one resource: `why` it does, and what visitors notice of it (`consequence`)."""

    kind: str
    operation: str
    why: str = ""
    consequence: str = ""

    def __str__(self) -> str:
        told = f"{self.kind} {DONE[self.operation]}"
        return "; ".join(filter(None, (f"{told}: {self.why}" if self.why else told, self.consequence)))


@dataclass(frozen=True)
class Call:
    """A request to the platform; several equal ones in a row (a wait) count as one. Ids are `{id}`."""

    method: str
    path: str


@dataclass(frozen=True)
class Plan:
    """Everything that a deployment would do."""

    changes: tuple[Change, ...] = ()
    files: Files = Files()
    upload_files: int = 0
    upload_bytes: int = 0
    calls: tuple[Call, ...] = ()
    address_changes: bool = False
    restarts: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


def plan(steps: Iterable[Mapping[str, Any]], shipment: Shipment) -> Plan:
    """Put the steps of Pulumi's preview (its `start` events) into words, and say what they will send."""
    own = [step for step in steps if str(step.get("type", "")).startswith("datarobot:")]
    told = [step for step in own if step["op"] in DONE]
    source = next((step for step in told if _kind(step) == "ApplicationSource" and step["op"] != "delete"), None)
    files = _differences(source, shipment)
    changes = tuple(_change(step, files) for step in told)
    sent = [step for step in told if _sends_files(step)]
    packed = [step for step in told if _sends_archive(step)]
    application = [step for step in told if _kind(step) == "CustomApplication"]
    return Plan(
        changes,
        files,
        upload_files=len(shipment.files) * len(sent) + len(packed),
        upload_bytes=shipment.file_bytes * len(sent) + shipment.archive_bytes * len(packed),
        calls=collapsed(itertools.chain.from_iterable(_calls(step, shipment) for step in _in_order(told))),
        address_changes=any(step["op"] == "replace" for step in application),
        restarts=any(step["op"] == "update" and "sourceVersionId" in _properties(step) for step in application),
    )


def reasons(step: Mapping[str, Any]) -> str:
    """Put the properties that differ into words, each once.

    The provider computes `resources` anew with every change: it is a reason only where the program changed it.
    """
    inputs = step.get("inputs")
    real = [
        name for name in step.get("diffs") or () if _property(name) != "resources" or inputs is None or name in inputs
    ]
    words = [WORDS.get(_property(name), name) for name in real]
    return ", ".join(dict.fromkeys(filter(None, words)))


def consequence(step: Mapping[str, Any]) -> str:
    """Say what visitors of the application notice of a step."""
    if _kind(step) != "CustomApplication":
        return ""
    if step.get("op") == "replace":
        return "its address changes"
    restarts = step.get("op") == "update" and "sourceVersionId" in _properties(step)
    return "it restarts, its address stays" if restarts else ""


def collapsed(calls: Iterable[Call]) -> tuple[Call, ...]:
    """Leave of equal GETs in a row only one: how often is asked while something is built depends on the platform."""
    kept: list[Call] = []
    for call in calls:
        if not (kept and call.method == "GET" and kept[-1] == call):
            kept.append(call)
    return tuple(kept)


def _change(step: Mapping[str, Any], files: Files) -> Change:
    why = reasons(step) if step["op"] in ("update", "replace") else ""
    if _kind(step) == "ApplicationSource" and why and str(files):
        why = why.replace("files", f"files ({files})", 1) if "files" in why else why
    return Change(KINDS.get(_kind(step), _kind(step)), step["op"], why, consequence(step))


def _differences(source: Mapping[str, Any] | None, shipment: Shipment) -> Files:
    before = dict((source or {}).get("files") or ())
    if not before:
        return Files()
    now = shipment.files
    return Files(
        added=tuple(sorted(now.keys() - before.keys())),
        changed=tuple(sorted(name for name in now.keys() & before.keys() if now[name] != before[name])),
        removed=tuple(sorted(before.keys() - now.keys())),
    )


def _in_order(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Order the steps as they are carried out; what is removed, and the old one of a replaced source, comes last."""
    order = ("ApiTokenCredential", "ExecutionEnvironment", "ApplicationSource", "CustomApplication")

    def place(step: Mapping[str, Any]) -> tuple[int, int]:
        kind = _kind(step)
        number = order.index(kind) if kind in order else len(order)
        return (1, -number) if step["op"] == "delete" else (0, number)

    whole = sorted(steps, key=place)
    old = [
        {**step, "op": "delete"}
        for step in reversed(whole)
        if step["op"] == "replace" and _kind(step) != "CustomApplication"
    ]
    removed = [step for step in whole if step["op"] == "delete"]
    return [step for step in whole if step["op"] != "delete"] + sorted([*removed, *old], key=place)


PATHS = {
    "ExecutionEnvironment": "executionEnvironments/",
    "ApplicationSource": "customApplicationSources/",
    "CustomApplication": "customApplications/",
    "ApiTokenCredential": "credentials/",
}


def _calls(step: Mapping[str, Any], shipment: Shipment) -> list[Call]:
    """Give the requests of one step, in their order (platform-contract 2.1 to 2.4)."""
    kind, operation = _kind(step), step["op"]
    if kind not in PATHS:
        return []
    base = PATHS[kind]
    one = f"{base}{{id}}/"
    if operation == "delete":
        return [Call("DELETE", one)]
    made = {
        "ExecutionEnvironment": _environment_calls,
        "ApplicationSource": _source_calls,
        "CustomApplication": _application_calls,
        "ApiTokenCredential": _credential_calls,
    }[kind](step, shipment, base, one)
    before = [Call("DELETE", one)] if operation == "replace" and kind == "CustomApplication" else []
    return [*before, *made]


def _environment_calls(step: Mapping[str, Any], _shipment: Shipment, base: str, one: str) -> list[Call]:
    begin = Call("POST", base) if step["op"] != "update" else Call("PATCH", one)
    version = [Call("POST", f"{one}versions/")] if _sends_archive(step) else []
    return [begin, *version, Call("GET", one), Call("GET", f"{one}versions/{{id}}/"), Call("GET", one)]


def _source_calls(step: Mapping[str, Any], shipment: Shipment, base: str, one: str) -> list[Call]:
    version = Call("PATCH", f"{one}versions/{{id}}/")
    upload = [version] * _batches(len(shipment.files)) if _sends_files(step) else []
    parameters = [version] if shipment.parameters else []
    if step["op"] != "update":
        return [Call("POST", base), Call("POST", f"{one}versions/"), *upload, *parameters, Call("GET", one)]
    properties = _properties(step)
    renamed = [Call("PATCH", one)] if "name" in properties else []
    removed = [version] * _batches(len(step.get("files") or shipment.files)) if upload else []
    again = parameters if upload or "runtimeParameterValues" in properties else []
    return [
        *renamed,
        Call("GET", one),
        Call("POST", f"{one}versions/"),
        *removed,
        *upload,
        version,
        *again,
        Call("GET", one),
    ]


def _application_calls(step: Mapping[str, Any], shipment: Shipment, base: str, one: str) -> list[Call]:
    begin = [Call("POST", base)] if step["op"] != "update" else []
    linked = step["op"] != "update" or "useCaseIds" in _properties(step)
    links = [Call("POST", f"useCases/{{id}}/{one}")] * (shipment.use_cases if linked else 0)
    return [*begin, Call("PATCH", one), Call("GET", one), *links]


def _credential_calls(step: Mapping[str, Any], _shipment: Shipment, base: str, one: str) -> list[Call]:
    return [Call("POST", base)] if step["op"] != "update" else [Call("PATCH", one)]


def _batches(files: int) -> int:
    return -(-files // BATCH)


def _sends_files(step: Mapping[str, Any]) -> bool:
    """Whether all files are sent: a new source, or one whose files differ. One file that changed sends them all."""
    if _kind(step) != "ApplicationSource":
        return False
    return step["op"] in ("create", "replace") or (step["op"] == "update" and bool(FILES & _properties(step)))


def _sends_archive(step: Mapping[str, Any]) -> bool:
    if _kind(step) != "ExecutionEnvironment":
        return False
    return step["op"] in ("create", "replace") or (step["op"] == "update" and bool(CONTEXT & _properties(step)))


def _kind(step: Mapping[str, Any]) -> str:
    return str(step.get("type", "")).rsplit(":", 1)[-1]


def _properties(step: Mapping[str, Any]) -> set[str]:
    return {_property(name) for name in step.get("diffs") or ()}


def _property(name: str) -> str:
    return name.partition(".")[0].partition("[")[0]

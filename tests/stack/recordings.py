"""Brings what the stand-in provider did into the form of the recordings in `data/recordings`, and compares.

Ids get their names in order of creation, folders and the server's address become WORK and BASE, automatic
names `x-AUTO1`. Where the order is not defined (text fields of an upload, dependencies, environment before
credential) both sides are sorted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data" / "recordings"
SECRET_KEY = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
ENGINE_STEPS = ("up", "preview", "refresh", "destroy")
GAP = re.compile(r"^\.\.\. (\d+) (?:parts )?in all$")
STATE_KEYS = ("external", "delete", "dependencies", "additionalSecretOutputs")


def load(name: str) -> list[dict[str, Any]]:
    """The engine's steps of one recording."""
    recording = json.loads((FOLDER / f"{name}.json").read_text())
    return [step for step in recording["steps"] if step["step"] in ENGINE_STEPS]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded_form(step: str, answer: Mapping[str, Any], requests: list[Any], before: list[Any]) -> dict[str, Any]:
    """One step as the recordings have it, ids still raw."""
    state = answer["state"]
    diagnostics = []
    for diagnostic in answer["diagnostics"]:
        if diagnostic["severity"] in ("error", "warning") and "$PATH" not in diagnostic["message"]:
            entry = {"severity": diagnostic["severity"], "message": diagnostic["message"]}
            resource = short(diagnostic["urn"])["resource"] if diagnostic["urn"] else None
            diagnostics.append(entry | ({"resource": resource} if resource and resource != "stack" else {}))
    stack = next((resource for resource in state if resource["type"] == "pulumi:pulumi:Stack"), {})
    return {
        "step": step,
        "result": "failed" if answer["problem"] else "succeeded",
        "requests": requests,
        "resources": events(step, answer["steps"]),
        "summary": answer["summary"],
        "diagnostics": diagnostics,
        "outputs": opened(stack.get("outputs", {})),
        "state": [stored(resource) for resource in state if watched(resource) not in [None, *map(watched, before)]],
        "state_removed": sorted(
            {short(resource["urn"])["resource"] for resource in before}
            - {short(resource["urn"])["resource"] for resource in state}
            - {"stack"}
        ),
    }


def short(urn: str) -> dict[str, str]:
    kind, name = urn.split("::")[2].split("$")[-1], urn.rpartition("::")[2]
    if kind.startswith("pulumi:providers:"):
        return {"resource": "provider", "type": "datarobot"}
    if kind == "pulumi:pulumi:Stack":
        return {"resource": "stack", "type": kind}
    return {"resource": name, "type": kind.rpartition(":")[2]}


def events(step: str, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for event in steps:
        entry: dict[str, Any] = short(event["urn"])
        if entry["resource"] == "stack":
            continue
        entry["op"] = event["op"]
        if event.get("outcome"):
            if step != "refresh" or entry["resource"] == "provider":
                continue
            entry["op"] = f"refreshed:{event['op']}"
        if event.get("failed"):
            entry["failed"] = True
        if event.get("keys"):
            entry["replaceKeys"] = event["keys"]
        if event.get("diffs"):
            entry["diffs"] = event["diffs"]
        if event.get("detailedDiff"):
            entry["detailedDiff"] = event["detailedDiff"]
        found.append(entry)
    return found


def watched(resource: dict[str, Any]) -> Any:
    """What makes a stored resource count as changed; the stack itself never does."""
    is_stack = short(resource["urn"])["resource"] == "stack"
    return None if is_stack else canonical(stored(resource))


def stored(resource: dict[str, Any]) -> dict[str, Any]:
    who = short(resource["urn"])
    entry: dict[str, Any] = who | {"id": resource.get("id")}
    for name in ("inputs", "outputs"):
        if resource.get(name):
            entry[name] = opened(resource[name])
    for name in STATE_KEYS:
        if resource.get(name):
            entry[name] = resource[name]
    return entry


def opened(value: Any) -> Any:
    if isinstance(value, dict):
        return "[secret]" if value.get(SECRET_KEY) == SECRET else {key: opened(item) for key, item in value.items()}
    return [opened(item) for item in value] if isinstance(value, list) else value


def normalised(steps: list[dict[str, Any]], ids: Mapping[str, str], texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Replace everything that differs from run to run by its name."""
    document = json.dumps(steps)
    for raw, name in {**texts, **ids}.items():
        document = document.replace(json.dumps(raw)[1:-1], name)
    document = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", document)
    document = re.sub(r"urn:pulumi:dev::demo::", "urn:...::", document)
    automatic: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        return f"{match[1]}-{automatic.setdefault(match[0], f'AUTO{len(automatic) + 1}')}"

    document = re.sub(r"\b(env|source|app|cred)-([0-9a-f]{7})\b", named, document)
    found: list[dict[str, Any]] = json.loads(document)
    return found


def canonical(value: Any) -> Any:
    if isinstance(value, dict):
        value = {key: canonical(item) for key, item in value.items()}
        if "parts" in value:
            parts = value["parts"]
            files = [isinstance(part, dict) and "filename" in part for part in parts]
            count = files.index(True) if True in files else len(parts)
            value["parts"] = sorted(parts[:count], key=lambda part: part["name"]) + parts[count:]
        if "dependencies" in value:
            value["dependencies"] = sorted(value["dependencies"])
        return value
    return [canonical(item) for item in value] if isinstance(value, list) else value


def comparable(step: Mapping[str, Any]) -> dict[str, Any]:
    """What of a step is compared: everything but the texts of the answers, which are the server's choice."""
    kept = {name: value for name, value in step.items() if name not in ("note", "args", "cli_text")}
    if "requests" in kept:
        kept["requests"] = [
            request | {"fault": None, "response": {key: request["response"].get(key) for key in ("status", "dropped")}}
            for request in kept["requests"]
        ]
    if kept["step"] in ("refresh", "destroy") or step.get("args"):
        for name, order in (("resources", "resource"), ("requests", "path"), ("diagnostics", "message")):
            if name in kept:
                kept[name] = sorted(kept[name], key=partial(_said_at, order))
    for name, key, pair in (
        ("resources", "resource", ("env", "cred")),
        ("requests", "path", ("executionEnvironments", "credentials")),
    ):
        if name in kept:
            kept[name] = independent(kept[name], key, pair)
    if "state" in kept:
        kept["state"] = sorted(kept["state"], key=lambda entry: str(entry["resource"]))
    found: dict[str, Any] = canonical(kept)
    return found


def _said_at(key: str, entry: Mapping[str, Any]) -> str:
    return str(entry[key])


def independent(entries: list[dict[str, Any]], key: str, pair: tuple[str, str]) -> list[dict[str, Any]]:
    """Among neighbours of environment and credential put the environment's first: neither depends on the other."""
    found: list[dict[str, Any]] = []
    for belongs, group in itertools.groupby(entries, lambda entry: any(part in entry[key] for part in pair)):
        neighbours = list(group)
        found.extend(sorted(neighbours, key=lambda entry: pair[1] in entry[key]) if belongs else neighbours)
    return found


def difference(expected: Any, actual: Any, place: str = "") -> str:
    """The first place where the two differ, or nothing."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in [*expected, *(key for key in actual if key not in expected)]:
            if key not in expected or key not in actual:
                return f"{place}/{key}: {shown(expected.get(key))} != {shown(actual.get(key))}"
            if found := difference(expected[key], actual[key], f"{place}/{key}"):
                return found
        return ""
    if isinstance(expected, list) and isinstance(actual, list):
        gap = next((i for i, item in enumerate(expected) if isinstance(item, str) and GAP.match(item)), None)
        if gap is not None:
            tail = len(expected) - gap - 1
            count = GAP.match(expected[gap])
            if count and int(count[1]) != len(actual):
                return f"{place}: {count[1]} entries != {len(actual)}"
            expected, actual = expected[:gap] + expected[gap + 1 :], actual[:gap] + actual[len(actual) - tail :]
        for index, (one, other) in enumerate(zip(expected, actual, strict=False)):
            if found := difference(one, other, f"{place}[{index}]"):
                return found
        if len(expected) != len(actual):
            more = expected[len(actual) :] or actual[len(expected) :]
            return f"{place}: {len(expected)} entries != {len(actual)}; {shown(more[0])}"
        return ""
    return "" if expected == actual or expected == "VARIES" else f"{place}: {shown(expected)} != {shown(actual)}"


def shown(value: Any) -> str:
    return json.dumps(value)[:400]


def compare(expected: list[dict[str, Any]], actual: list[dict[str, Any]]) -> str:
    """Compare the engine's steps of a recording with ours; the text names the first difference."""
    for index, (recorded, ours) in enumerate(zip(expected, actual, strict=False)):
        if found := difference(comparable(recorded), comparable(ours)):
            return f"step {index} ({recorded['step']}, {recorded.get('note')}) {found}"
    return "" if len(expected) == len(actual) else f"{len(expected)} steps recorded, {len(actual)} made"


def cut(recorded: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave in our steps what the recording has, in its order (automatic names are numbered by first appearance)."""
    found = []
    with_state = any("state" in step for step in recorded)  # left out of 33, where it would be long
    for expected, actual in zip(recorded, ours, strict=False):
        kept: dict[str, Any] = {}
        for name in expected:
            if name == "requests_made":
                kept[name] = len(actual["requests"])
            elif name in actual:
                kept[name] = actual[name]
        for name in ("diagnostics", "state", "state_removed"):
            if name not in expected and actual[name] and with_state and "requests_made" not in expected:
                kept[name] = actual[name]
        found.append(kept | ({"args": expected["args"]} if "args" in expected else {}))
    return found + ours[len(recorded) :]

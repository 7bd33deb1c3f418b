"""Compares what the stand-in plugin answered the engine, call by call, with `data/recordings/grpc`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stack.recordings import FOLDER, SECRET, SECRET_KEY, difference, load, normalised

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SERVICE = "/pulumirpc.ResourceProvider/"


def names() -> list[str]:
    return sorted(path.stem for path in (FOLDER / "grpc").glob("*.json"))


def compare_calls(name: str, work: Path, ids: Mapping[str, str], texts: Mapping[str, str]) -> str:
    """The first differing answer of scenario `name`, whose calls the engine logged to `work`, if any are recorded."""
    path = FOLDER / "grpc" / f"{name}.json"
    if not path.exists():
        return ""
    steps = [(step["step"], step.get("note")) for step in load(name)]
    for recorded in json.loads(path.read_text())["steps"]:
        index = steps.index((recorded["step"], recorded["note"]))
        ours = answers(normalised(logged(work / f"calls-{index}.jsonl"), ids, texts))
        expected = answers(recorded["calls"])
        if found := difference(expected, ours):
            return f"calls of step {index} ({recorded['step']}, {recorded['note']}) {found}"
    return ""


def logged(path: Path) -> list[dict[str, Any]]:
    calls = []
    for line in path.read_text().splitlines():
        call = json.loads(line.replace(UNKNOWN, "[unknown]"))
        if call["method"].startswith(SERVICE) and call.get("progress") != "request_started":
            calls.append(call | {"method": call["method"].removeprefix(SERVICE)})
    return calls


def answers(calls: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Per method and resource, the answers in order; between resources the order is the engine's choice."""
    found: dict[str, list[Any]] = {}
    for call in calls:
        request, response = call.get("request", {}), call.get("response")
        if call["method"] in ("Handshake", "Cancel"):
            continue
        if isinstance(response, dict) and response.get("inputs") is not None:
            same = response["inputs"] == request.get("news") and call["method"] == "Check"
            response = "inputs = news" if same else response
        key = f"{call['method']} {request.get('name', '') if isinstance(request, dict) else ''}"
        answer = {"response": response, "errors": call.get("errors")}
        found.setdefault(key, []).append(json.loads(plain(json.dumps(opened(answer)))))
    return found


def opened(value: Any) -> Any:
    if isinstance(value, dict):
        return "[secret]" if value.get(SECRET_KEY) == SECRET else {key: opened(item) for key, item in value.items()}
    return [opened(item) for item in value] if isinstance(value, list) else value


def plain(document: str) -> str:
    """Automatic names are numbered otherwise in these recordings."""
    return re.sub(r"\b(env|source|app|cred)-AUTO\d+", r"\1-AUTO", document)

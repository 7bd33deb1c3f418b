"""What the fields of a request may hold (platform-contract 1.2-1.7), and the errors that refuse one. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from toolkit.bundles import BUNDLES

RESOURCE_KEYS = ("replicas", "resourceLabel", "sessionAffinity", "serviceWebRequestsOnRootPath", "healthEndpointPath")
SCOPE_LEVELS = ("viewer", "user", "admin")
PARAMETER_TYPES = ("boolean", "credential", "deployment", "numeric", "string")
MOST_REPLICAS = 4
LONGEST_PATH, LONGEST_PART = 1024, 255
PARAMETER_NAME = re.compile(r"[^=\s\x00-\x1f\x7f]{1,255}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class StoreError(Exception):
    """An operation that cannot be carried out; `errors` names fields."""

    def __init__(self, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.errors = dict(errors or {})


class NotFound(StoreError):
    """There is no such object."""


class Conflict(StoreError):
    """The name is taken, or the object is in use."""


class Invalid(StoreError):
    """A field has a value that the platform does not take."""


class NotEmulated(StoreError):
    """The real platform may do this, the local one does not."""


def wrong(**errors: str) -> Invalid:
    """Make the error for fields that are wrong, each with the reason."""
    return Invalid("Invalid field data.", errors)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Read a JSON object; nothing counts as an empty one. Raises Invalid, also for fields of a wrong type."""
    if not raw:
        return {}
    try:
        data = json.loads(raw, parse_constant=_no_number)
        json.dumps(data, ensure_ascii=False).encode()  # refuses halves of surrogate pairs, which SQLite cannot keep
    except (ValueError, RecursionError):
        raise Invalid("The body is not JSON.") from None
    if not isinstance(data, dict):
        raise Invalid("The body is not a JSON object.")
    check(data)
    return data


def check(given: Mapping[str, Any]) -> None:
    """Refuse known fields that hold what the platform does not take; null counts as not given. Raises Invalid."""
    problems = {name: reason for name, value in given.items() if (reason := _problem(name, value))}
    if problems:
        raise wrong(**problems)


def check_required(**fields: Any) -> None:
    """Refuse fields that are missing or empty. Raises Invalid."""
    missing = {name: "is required" for name, value in fields.items() if not value}
    if missing:
        raise wrong(**missing)


def check_path(path: str) -> None:
    """Refuse a path of a file in a source that leads out of it or names no file. Raises Invalid."""
    parts = path.split("/")
    if "\\" in path or CONTROL.search(path) or any(part in ("", ".", "..") for part in parts):
        raise wrong(filePath=f"{path[:100]!r} is not a path inside the source")
    if len(path.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_PART for part in parts):
        raise wrong(filePath=f"{path[:100]!r} is too long")


def wanted_resources(given: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a checked `resources` sets; an empty healthEndpointPath counts as not given (contract 1.3)."""
    return {key: given[key] for key in RESOURCE_KEYS if given.get(key) not in (None, "")}


def parameter_problem(name: str, kind: Any, value: Any) -> str:
    """Tell what is wrong with a runtime parameter; an empty text when nothing is."""
    if not PARAMETER_NAME.fullmatch(name):
        return f"{name[:50]!r} cannot be the name of a variable"
    if kind not in PARAMETER_TYPES:
        return f"the type of {name} has to be one of {', '.join(PARAMETER_TYPES)}"
    if value is None:
        return ""
    if kind == "boolean":
        return "" if isinstance(value, bool) else f"{name} has to be true or false"
    if kind == "numeric":
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else f"{name} has to be a number"
    return "" if isinstance(value, str) and "\0" not in value else f"{name} has to be a text"


def _no_number(text: str) -> float:
    raise ValueError(text)


def _problem(name: str, value: Any) -> str:
    return CHECKS[name](value) if name in CHECKS and value is not None else ""


def _text(most: int, least: int = 0) -> Callable[[Any], str]:
    def problem(value: Any) -> str:
        if not isinstance(value, str) or "\0" in value:
            return "has to be a text"
        if len(value) < least:
            return "is required"
        return f"has more than {most} characters" if len(value) > most else ""

    return problem


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "has to be true or false"


def _texts(value: Any) -> str:
    return "" if isinstance(value, list) and all(isinstance(one, str) for one in value) else "has to be a list of texts"


def _features(value: Any) -> str:
    good = isinstance(value, list) and all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in value)
    return "" if good else "has to be a list of objects with a name"


def _scope_level(value: Any) -> str:
    return "" if value in SCOPE_LEVELS else f"has to be one of {', '.join(SCOPE_LEVELS)}"


def _replicas(value: Any) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_REPLICAS
    return "" if good else f"has to be a whole number from 1 to {MOST_REPLICAS}"


def _bundle(value: Any) -> str:
    return "" if isinstance(value, str) and value in ("", *BUNDLES) else f"has to be one of {', '.join(BUNDLES)}"


def _health_path(value: Any) -> str:
    good = isinstance(value, str) and (not value or value.startswith("/")) and not re.search(r"[\s\x00-\x1f]", value)
    return "" if good else "has to be a path that starts with a slash"


RESOURCE_CHECKS: dict[str, Callable[[Any], str]] = {
    "replicas": _replicas,
    "resourceLabel": _bundle,
    "sessionAffinity": _flag,
    "serviceWebRequestsOnRootPath": _flag,
    "healthEndpointPath": _health_path,
}


def _resources(value: Any) -> str:
    if not isinstance(value, dict):
        return "has to be an object"
    found = [
        f"{key} {reason}"
        for key, problem in RESOURCE_CHECKS.items()
        if value.get(key) is not None and (reason := problem(value[key]))
    ]
    return "; ".join(found)


CHECKS: dict[str, Callable[[Any], str]] = {
    "name": _text(255, least=1),
    "description": _text(10_000),
    "label": _text(50),
    "programmingLanguage": _text(50),
    "credentialType": _text(50),
    "apiToken": _text(100_000),
    "user": _text(255),
    "password": _text(100_000),
    "baseVersion": _text(100),
    "baseEnvironmentId": _text(100),
    "baseEnvironmentVersionId": _text(100),
    "applicationSourceId": _text(100),
    "applicationSourceVersionId": _text(100),
    "customApplicationSourceVersionId": _text(100),
    "useCases": _texts,
    "filesToDelete": _texts,
    "externalAccessRecipients": _texts,
    "allowAutoStopping": _flag,
    "externalAccessEnabled": _flag,
    "requiredKeyScopeLevel": _scope_level,
    "resources": _resources,
    "entitlements": _features,
}

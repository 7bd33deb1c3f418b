"""What the Pulumi program is told, and what it answers: inputs, names of resources, names of outputs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from toolkit.bundles import DEFAULT_BUNDLE
from toolkit.errors import ConfigurationError

PROJECT = "bun-to-datarobot"
STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
LOCAL = "local"
# A component that stands in the state only. Its name is the stack's mark: what an earlier run left on the platform
# without its state knowing bears it, and so is told from what other people have made.
MARK_TYPE = "bun-to-datarobot:index:Mark"
FILE_KEYS = {
    "appName": "APP_NAME",
    "bundle": "APP_BUNDLE",
    "replicas": "APP_REPLICAS",
    "healthPath": "APP_HEALTH_PATH",
    "autoStop": "APP_AUTO_STOP",
    "keyScope": "APP_KEY_SCOPE",
    "useCases": "APP_USE_CASES",
    "runtimeEnv": "RUNTIME_ENV",
}
PROTECTED = "protected"  # only the file says so: an environment variable must not take it away


@dataclass(frozen=True)
class StackInputs:
    """Everything that decides what a stack looks like.

    `token_parameter` names the runtime parameter through which the app gets its token; empty: there is none.
    `mark` is made by chance at the first deployment, and kept in the state (`MARK_TYPE`).
    `context_archive` and the local halves of `files` are paths relative to infra/, where the program runs: an absolute
    path would make another checkout of the same commit a change (platform-contract 5.7). `files` pairs each with its
    name on the platform.
    """

    app_name: str
    stack: str
    context_archive: str
    files: tuple[tuple[str, str], ...]
    bundle: str = DEFAULT_BUNDLE
    replicas: int = 1
    allow_auto_stopping: bool = True
    health_path: str = ""
    key_scope: str = ""
    use_cases: tuple[str, ...] = ()
    mark: str = ""
    token_parameter: str = ""

    @property
    def base_name(self) -> str:
        """What the names of all resources start with; the stack is part of it."""
        return f"{self.app_name}-{self.stack}"

    @property
    def source_name(self) -> str:
        """What the name of the source starts with: Pulumi adds a hyphen and seven hexadecimal digits."""
        return f"{self.base_name}-source" + (f"-{self.mark}" if self.mark else "")

    @property
    def credential_name(self) -> str:
        """What the name of the token's credential starts with, in the same way."""
        return f"{self.base_name}-token" + (f"-{self.mark}" if self.mark else "")


@dataclass(frozen=True)
class StackOutputs:
    """What a deployed stack exports."""

    app_id: str
    app_url: str
    execution_environment_id: str
    execution_environment_version_id: str
    source_version_id: str


def marking(mark: str) -> str:
    """Give the words by which an environment is known as the stack's own: its description."""
    return f"bun-to-datarobot {mark}" if mark else ""


def to_json(inputs: StackInputs) -> dict[str, Any]:
    """Give the inputs as plain data."""
    return asdict(inputs)


def from_json(data: Mapping[str, Any]) -> StackInputs:
    """Read what `to_json` gave."""
    files = tuple((str(local), str(name)) for local, name in data["files"])
    return StackInputs(**{**data, "files": files, "use_cases": tuple(data.get("use_cases", ()))})


def outputs_from(data: Mapping[str, Any]) -> StackOutputs | None:
    """Read a stack's outputs; None when nothing is deployed."""
    names = StackOutputs.__dataclass_fields__
    if not all(data.get(name) for name in names):
        return None
    return StackOutputs(**{name: str(data[name]) for name in names})


def file_settings(text: str) -> dict[str, str]:
    """Give the settings that a committed stack file (Pulumi.<stack>.yaml) holds, under their names in `.env`.

    Raises ConfigurationError when it is no such file.
    """
    found = _config(text)
    return {name: found[f"{PROJECT}:{key}"] for key, name in FILE_KEYS.items() if f"{PROJECT}:{key}" in found}


def is_protected(text: str) -> bool:
    """Say whether a stack file protects its stack. Raises ConfigurationError for a value that is no true or false."""
    value = _config(text).get(f"{PROJECT}:{PROTECTED}", "false")
    if value not in ("true", "false"):
        raise ConfigurationError(
            f"The stack's file says {PROJECT}:{PROTECTED}: {value!r}.", hint="Expected: true or false."
        )
    return value == "true"


def _config(text: str) -> dict[str, str]:
    try:
        document = yaml.safe_load(text) or {}
        config = document.get("config") or {}
        return {str(key): _as_written(value) for key, value in config.items() if value is not None}
    except (yaml.YAMLError, AttributeError) as error:
        raise ConfigurationError(
            f"The stack's file cannot be read: {str(error).splitlines()[0]}",
            hint="Expected: config: with lines like bun-to-datarobot:replicas: 2",
        ) from error


def _as_written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def check_stack_name(stack: str) -> str:
    """Give the stack's name back. Raises ConfigurationError when Pulumi or a file system could not carry it."""
    if not STACK_NAME.fullmatch(stack) or stack in {".", ".."}:
        raise ConfigurationError(
            f"{stack!r} cannot be the name of a stack.",
            hint="Use letters, digits, '-', '_' and '.', at most 100 of them; for example: --stack dev",
        )
    return stack


def own_changes(kind: str, result: str, changes: Mapping[str, int]) -> dict[str, int]:
    """Give of what Pulumi's history counts (by operation) what happened to resources of the platform.

    Pulumi counts two more: the stack itself, and its mark. The first update creates them, later ones leave them as they
    are. A removal takes the mark away at once, and the stack when all else is gone.
    """
    if kind == "destroy":
        more = {"delete": 2 if result == "succeeded" else 1}
    else:
        same = min(2, changes.get("same", 0))
        more = {"same": same, "create": 2 - same}
    left = {operation: count - more.get(operation, 0) for operation, count in changes.items()}
    return {operation: count for operation, count in left.items() if count > 0}

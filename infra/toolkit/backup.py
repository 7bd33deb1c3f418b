"""Copies of a stack's state: one JSON file with a digest, so that a damaged or foreign one is never brought back. Pure.

What is secret in a state is encrypted in the copy too; the passphrase is no part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import stackconfig
from toolkit.errors import ConfigurationError

VERSION = 1


@dataclass(frozen=True)
class Backup:
    """A copy of the state of `stack`; `at` is when it was made (ISO 8601), `state` is as Pulumi exports it."""

    stack: str
    at: str
    state: Mapping[str, Any]

    @property
    def resources(self) -> int:
        """How many resources of the platform it has."""
        found = (self.state.get("deployment") or {}).get("resources") or ()
        return sum(str(one.get("type", "")).startswith("datarobot:") for one in found)


def render(backup: Backup) -> str:
    """Write a backup down."""
    whole = {
        "backup_version": VERSION,
        "project": stackconfig.PROJECT,
        "stack": backup.stack,
        "at": backup.at,
        "sha256": _digest(backup.state),
        "state": backup.state,
    }
    return json.dumps(whole, indent=1) + "\n"


def read(path: Path, stack: str) -> Backup:
    """Read a backup of `stack`.

    Raises ConfigurationError when it cannot be read, is none, is damaged, or belongs to another stack or project.
    """
    another = "Name a file that invoke backup has written, or take an older one."
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        version, project, name = whole["backup_version"], whole["project"], whole["stack"]
        digest, state, at = whole["sha256"], whole["state"], str(whole["at"])
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", hint=another) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{path} is no whole backup of a state.", hint=another) from None
    if version != VERSION:
        raise ConfigurationError(f"{path} is of version {version}; expected {VERSION}.", hint=another)
    if not isinstance(state, dict) or digest != _digest(state):
        raise ConfigurationError(f"{path} is damaged: its content does not have the digest in it.", hint=another)
    if project != stackconfig.PROJECT or name != stack:
        raise ConfigurationError(
            f"{path} is the state of {project}/{name}, not of {stackconfig.PROJECT}/{stack}.",
            hint=f"Restore it where it belongs: --stack {name}",
        )
    return Backup(name, at, state)


def _digest(state: Any) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

"""What the history of a stack says of a deployment, written and read: the state backend keeps it for everybody."""

from __future__ import annotations

import getpass
import re
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from toolkit import stack
from toolkit.child import Driver
from toolkit.errors import ToolkitError
from toolkit.releases import SHORT

_RELEASE = re.compile(rf"release ([0-9a-f]{{{SHORT}}})(?:,|$)")


def message(digest: str, commit: str, note: str = "") -> str:
    """Give what the history says of a deployment: release, commit, and who."""
    parts = [f"release {digest[:SHORT]}", f"commit {commit}" if commit else "", note, f"by {_person()}"]
    return ", ".join(filter(None, parts))


def deployed(drive: Driver, *, succeeded: bool = False) -> list[str]:
    """Give the ids of the releases that were deployed, the last first; with `succeeded` of whole deployments only.

    A history that cannot be read gives none.
    """
    with suppress(ToolkitError):
        told = [
            _RELEASE.match(str(one.get("message") or ""))
            for one in stack.run(drive, "history").updates
            if one.get("result") == "succeeded" or not succeeded
        ]
        return [found[1] for found in told if found]
    return []


def commit(root: Path) -> str:
    """Give the commit of the checkout, with a `+` when files differ from it; empty without git."""
    git = ("git", "-C", str(root))
    with suppress(OSError, subprocess.SubprocessError):
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, timeout=5)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, timeout=10)
        if head.returncode == 0:
            return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
    return ""


def _person() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()

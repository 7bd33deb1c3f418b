"""What the history of a stack says of a deployment, written and read: the state backend keeps it for everybody."""

from __future__ import annotations

import getpass
import re
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit import stack
from toolkit.child import Driver
from toolkit.errors import ToolkitError
from toolkit.releases import SEAL, SHORT

MOST = 200  # entries that are looked at
_CONTENT = rf", content ([0-9a-f]{{{SEAL}}})(?=,|$)"
_TOLD = re.compile(rf"release ([0-9a-f]{{{SHORT}}}){_CONTENT}")


def message(digest: str, seal: str, commit: str, note: str = "") -> str:
    """Give what the history says of a deployment: release, its content (`releases.seal`), commit, and who."""
    parts = [
        f"release {digest[:SHORT]}",
        f"content {seal}",
        f"commit {commit}" if commit else "",
        note,
        f"by {_person()}",
    ]
    return ", ".join(filter(None, parts))


def shown(message: str) -> str:
    """Give what people want to read of a message."""
    return re.sub(_CONTENT, "", message.removeprefix("release "))


@dataclass(frozen=True)
class Entry:
    """A deployment: the id of its release, the seal of what that holds, and whether it went through."""

    id: str
    seal: str
    succeeded: bool


def entries(drive: Driver) -> list[Entry]:
    """Give the deployments, the last first, as far as the history is looked at. One that cannot be read gives none."""
    with suppress(ToolkitError):
        updates = stack.run(drive, "history", most=MOST).updates
        told = [(_TOLD.match(str(one.get("message") or "")), one.get("result")) for one in updates]
        return [Entry(found[1], found[2], result == "succeeded") for found, result in told if found]
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

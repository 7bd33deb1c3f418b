"""What the history of a stack says of a deployment, written and read: the state backend keeps it for everybody."""

from __future__ import annotations

import getpass
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from toolkit import stack
from toolkit.child import Driver
from toolkit.errors import ToolkitError
from toolkit.releases import SEAL, SHORT

MOST = 200  # deployments that are looked at for what was deployed once
_RELEASE = re.compile(rf"release ([0-9a-f]{{{SHORT}}})(?:,|$)")
_SEAL = re.compile(rf", content ([0-9a-f]{{{SEAL}}})(?=,|$)")


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
    return _SEAL.sub("", message.removeprefix("release "))


def deployed(drive: Driver, *, succeeded: bool = False) -> list[str]:
    """Give the ids of the releases that were deployed, the last first; with `succeeded` of whole deployments only.

    A history that cannot be read gives none.
    """
    told = (_RELEASE.match(message) for message in _messages(drive, succeeded=succeeded))
    return [found[1] for found in told if found]


def contents(drive: Driver) -> frozenset[str]:
    """Give the seals of what was deployed, as far as the history goes back. One that cannot be read gives none."""
    told = (_SEAL.search(message) for message in _messages(drive, most=MOST) if _RELEASE.match(message))
    return frozenset(found[1] for found in told if found)


def _messages(drive: Driver, *, succeeded: bool = False, most: int = 20) -> Iterator[str]:
    with suppress(ToolkitError):
        for one in stack.run(drive, "history", most=most).updates:
            if one.get("result") == "succeeded" or not succeeded:
                yield str(one.get("message") or "")


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

"""Where the state of stacks is, and the lock that keeps two runs of one folder apart."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from toolkit import sidecars, stack, stackconfig
from toolkit.child import Event
from toolkit.errors import StackLocked
from toolkit.settings import Settings
from toolkit.stack import OnEvent

CLOUD = "https://api.pulumi.com"


def state_backend(settings: Settings, pulumi_home: Path) -> dict[str, str]:
    """Give Pulumi's variables for the state: PULUMI_BACKEND_URL, else where Pulumi is logged in, else a folder of ours.

    A passphrase is made once (mode 0600) where none is set. The stack `local` never goes anywhere else by itself.
    """
    chosen: dict[str, str] = {}
    address = _address(settings, pulumi_home)
    if _is_own(settings, pulumi_home):
        folder = _own_state(settings)
        folder.mkdir(parents=True, exist_ok=True)
        address = folder.resolve().as_uri()
    if address:
        chosen["PULUMI_BACKEND_URL"] = address
    elif _elsewhere(_login(pulumi_home)):
        chosen["PULUMI_BACKEND_URL"] = CLOUD  # whose token is set; the CLI would go by the login
    if settings.access_token:
        chosen["PULUMI_ACCESS_TOKEN"] = settings.access_token.reveal()
    if settings.passphrase:
        chosen["PULUMI_CONFIG_PASSPHRASE"] = settings.passphrase.reveal()
    elif settings.passphrase_file:
        chosen["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(settings.passphrase_file)
    elif address:
        chosen["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase_file(settings.toolkit_dir / "passphrase"))
    return chosen


def has_own_state(settings: Settings, pulumi_home: Path) -> bool | None:
    """Say whether the stack has a state, when that can be told without Pulumi (it is a folder of ours); else None."""
    backend = state_backend(settings, pulumi_home).get("PULUMI_BACKEND_URL", "")
    if backend != _own_state(settings).resolve().as_uri():
        return None
    return (_stack_files(settings) / f"{settings.stack}.json").exists()


def require_stack(settings: Settings, pulumi_home: Path) -> None:
    """Raise StackMissing where that is known before anything is installed or started."""
    if has_own_state(settings, pulumi_home) is False:
        raise stack.missing(settings.stack)


def shelf(settings: Settings, pulumi_home: Path) -> tuple[Path, bool]:
    """Give the folder for releases to go back to, and whether everybody who has the state has it, too.

    It lies beside a state that is in a folder, for whoever shares that. Where the state is somewhere else this folder
    is this checkout's own.
    """
    own = _own_shelf(settings)
    folder = sidecars.folder(state_backend(settings, pulumi_home).get("PULUMI_BACKEND_URL", ""))
    if folder is None:
        return own, False
    if folder == _own_state(settings).resolve():
        return own, True
    return folder / "bun-to-datarobot-releases" / settings.stack, True


def forget(settings: Settings) -> None:
    """Remove the state of a stack that lies in our own folder, and its releases: what they were deployed to is gone."""
    for path in _stack_files(settings).glob(f"{settings.stack}.json*"):
        path.unlink(missing_ok=True)
    shutil.rmtree(_own_shelf(settings), ignore_errors=True)


def _own_shelf(settings: Settings) -> Path:
    return settings.toolkit_dir / "releases" / settings.stack


def _own_state(settings: Settings) -> Path:
    return settings.toolkit_dir / "state"


def _stack_files(settings: Settings) -> Path:
    return _own_state(settings) / ".pulumi" / "stacks" / stackconfig.PROJECT


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Keep other runs away from the stack's folders. Raises StackLocked."""
    folder = settings.toolkit_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{settings.stack}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StackLocked(
            f"Another command works on the stack {settings.stack!r} in this folder.",
            hint="Wait for it to end; the lock goes with its process.",
        ) from None
    try:
        yield
    finally:
        lock.release()


def dead_runs(settings: Settings, pulumi_home: Path) -> Path | None:
    """Give where the runs of this folder that died are noted (`deadruns`); None when nobody else has the state."""
    return None if _is_own(settings, pulumi_home) else settings.toolkit_dir / "locks" / f"{settings.stack}.runs"


@contextmanager
def all_locked(settings: Settings) -> Iterator[None]:
    """Keep other runs away from the folders of every stack. Raises StackLocked when one of them is worked on."""
    with ExitStack() as held:
        for path in sorted((settings.toolkit_dir / "locks").glob("*.lock")):
            held.enter_context(locked(replace(settings, stack=path.stem)))
        yield


def audited(settings: Settings, on_event: OnEvent) -> OnEvent:
    """Give a callback that passes events on, and keeps those of recovery in `.toolkit/audit.log` with their time."""

    def keep(event: Event) -> None:
        if event.get("audit"):
            when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            with suppress(OSError), (settings.toolkit_dir / "audit.log").open("a") as stream:
                stream.write(f"{when} {settings.stack}: {event['text']}\n")
        on_event(event)

    return keep


def _passphrase_file(path: Path) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as stream:
                stream.write(secrets.token_urlsafe(32))
    return path


def _address(settings: Settings, pulumi_home: Path) -> str:
    """Give the address of a state that is neither our own folder nor in Pulumi Cloud: as set, or as logged in."""
    if settings.backend_url or settings.access_token:
        return settings.backend_url or ""
    current = _login(pulumi_home)
    return current if _elsewhere(current) else ""


def _elsewhere(login: str) -> bool:
    """Whether a login is to a folder or a bucket."""
    return bool(login) and urlsplit(login).scheme not in ("http", "https")


def _login(pulumi_home: Path) -> str:
    """Give where `pulumi login` was last, which Pulumi keeps in its folder; empty when nowhere."""
    try:
        return str(json.loads((pulumi_home / "credentials.json").read_text()).get("current") or "")
    except (OSError, ValueError, AttributeError):
        return ""


@dataclass(frozen=True)
class Backend:
    """Where the state of a stack is kept, and what encrypts it: words for people, no secrets."""

    address: str
    passphrase: str
    passphrase_missing: bool = False


def describe_backend(settings: Settings, pulumi_home: Path) -> Backend:
    """Say where the state is; nothing is made that is not there yet."""
    own, elsewhere = _is_own(settings, pulumi_home), _address(settings, pulumi_home)
    chosen = _own_state(settings).as_uri() if own else elsewhere or "Pulumi Cloud"
    address = f"{urlsplit(chosen).scheme}://{urlsplit(chosen).path}" if chosen.startswith("file:") else _bare(chosen)
    if settings.passphrase:
        return Backend(address, "PULUMI_CONFIG_PASSPHRASE")
    file = settings.passphrase_file or settings.toolkit_dir / "passphrase"
    if not settings.passphrase_file and not own and not elsewhere:
        return Backend(address, "kept by Pulumi Cloud")
    expected = bool(settings.passphrase_file) or (_stack_files(settings) / f"{settings.stack}.json").exists()
    made = str(file) if file.exists() or expected else "is made at the first deployment"
    return Backend(address, made, passphrase_missing=expected and not file.exists())


def own_state(settings: Settings, pulumi_home: Path) -> dict[str, Any] | None:
    """Read the state that lies in our own folder, in the form that `stack.run` gives; None when it lies elsewhere.

    A stack that was never deployed has an empty one. Raises ValueError for a file that is no state.
    """
    if not _is_own(settings, pulumi_home):
        return None
    try:
        text = (_stack_files(settings) / f"{settings.stack}.json").read_text()
    except FileNotFoundError:
        return {"resources": [], "mark": "", "pending": 0}
    latest = json.loads(text).get("checkpoint", {}).get("latest") or {}
    resources = latest.get("resources") or []
    marks = [str(one["urn"]).rsplit("::", 1)[-1] for one in resources if one["type"] == stackconfig.MARK_TYPE]
    return {
        "resources": [
            {"type": one["type"].rsplit(":", 1)[-1], "id": one["id"]}
            for one in resources
            if one.get("id") and one["type"].startswith("datarobot:")
        ],
        "mark": marks[0] if marks else "",
        "pending": len(latest.get("pending_operations") or []),
    }


def is_locked(settings: Settings) -> bool:
    """Whether a command of this folder works on the stack now."""
    path = settings.toolkit_dir / "locks" / f"{settings.stack}.lock"
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def lock_owner(settings: Settings, pulumi_home: Path) -> stack.LockOwner | None:
    """Give who holds Pulumi's lock of the stack, where the state lies in a folder; None when nobody does."""
    return next((owner for _, owner in _locks(settings, pulumi_home)), None)


def forget_the_dead(settings: Settings, pulumi_home: Path, on_event: OnEvent) -> None:
    """Remove what a run that died on this machine has left of its lock and beside it, where the state is in a folder.

    Elsewhere the lock goes when somebody needs it (`stack.run`); a command that finds nothing to do needs none.
    """
    on_event = audited(settings, on_event)
    stack.mend(state_backend(settings, pulumi_home).get("PULUMI_BACKEND_URL", ""), settings.stack, on_event)
    with suppress(OSError, ValueError, KeyError):
        for path, owner in _locks(settings, pulumi_home):
            if stack.is_dead(owner, dead_runs(settings, pulumi_home)):
                path.unlink(missing_ok=True)
                on_event(stack.unlocked(owner))


def _locks(settings: Settings, pulumi_home: Path) -> Iterator[tuple[Path, stack.LockOwner]]:
    """Pulumi's locks of the stack, where the state lies in a folder, with those who hold them."""
    state = _own_state(settings) if _is_own(settings, pulumi_home) else sidecars.folder(_address(settings, pulumi_home))
    if state is None:
        return
    folder = state / ".pulumi" / "locks" / "organization" / stackconfig.PROJECT / settings.stack
    for path in sorted(folder.glob("*.json")):
        told = json.loads(path.read_text())
        yield path, stack.LockOwner(told["username"], told["hostname"], int(told["pid"]), told["timestamp"])


def _is_own(settings: Settings, pulumi_home: Path) -> bool:
    elsewhere = settings.stack != stackconfig.LOCAL and (settings.access_token or _login(pulumi_home))
    return not settings.backend_url and not elsewhere


def _bare(url: str) -> str:
    """Give a backend's address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else url

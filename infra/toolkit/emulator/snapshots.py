"""Named copies of everything that a local platform keeps, and the way back to one."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from toolkit.emulator.fields import NotFound, wrong
from toolkit.emulator.objects import DATABASE, now
from toolkit.emulator.store import Store

FOLDER = "snapshots"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def save(store: Store, data: Path, name: str) -> dict[str, Any]:
    """Copy everything under a name; one of the same name is replaced. Raises Invalid for a bad name."""
    target = _folder(data, name)
    draft = target.with_name(f".{name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "blobs").mkdir(parents=True, mode=0o700)
    store.copy_to(draft / DATABASE)
    for blob in store.blobs.iterdir():
        if not blob.name.startswith("."):
            with suppress(FileNotFoundError):
                _link(blob, draft / "blobs" / blob.name)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return {"name": name, "created": now()}


def restore(store: Store, data: Path, name: str) -> None:
    """Replace everything by what was copied under a name, in one step. Raises NotFound."""
    source = _folder(data, name)
    if not (source / DATABASE).is_file():
        raise NotFound(f"There is no snapshot {name!r}. There are: {', '.join(listed(data)) or 'none'}.")
    for blob in (source / "blobs").iterdir():
        if not store.blob(blob.name).exists():
            _link(blob, store.blob(blob.name))
    store.replace_by(source / DATABASE)


def listed(data: Path) -> list[str]:
    """Give the names of all snapshots, in order."""
    folder = data / FOLDER
    return sorted(one.name for one in folder.iterdir() if NAME.fullmatch(one.name)) if folder.is_dir() else []


def remove(data: Path, name: str) -> None:
    """Remove a snapshot. Raises NotFound."""
    if name not in listed(data):
        raise NotFound(f"There is no snapshot {name!r}.")
    shutil.rmtree(_folder(data, name))


def _folder(data: Path, name: object) -> Path:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise wrong(name="has to be made of letters, digits, dots, hyphens and underscores, at most 64")
    return data / FOLDER / name


def _link(source: Path, target: Path) -> None:
    """Contents never change, so both may be the same file on disk; where that cannot be, it is copied."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

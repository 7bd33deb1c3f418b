"""The releases of a stack that were proved, kept so that one of them can serve again.

A replaced source takes its versions on the platform with it, so what a rollback needs is kept here: the files that
shipped (without the runtime `.env`, which is written anew), the archive of the environment, and what was served.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import ConfigurationError
from toolkit.runtime_env import NAME as RUNTIME_ENV
from toolkit.source import StagedSource

KEPT = 3
ABOUT = "release.json"
SHORT = 12  # characters of a digest that name a release


@dataclass(frozen=True)
class Kept:
    """A proved release in `folder`: `served` maps paths below the app's URL to digests, `at` is when (seconds)."""

    digest: str
    at: float
    commit: str
    served: Mapping[str, str]
    folder: Path

    @property
    def id(self) -> str:
        """What people call it."""
        return self.digest[:SHORT]

    @property
    def source(self) -> Path:
        """The files of the app."""
        return self.folder / "source"

    @property
    def archive(self) -> Path:
        """The archive of the environment."""
        return self.folder / "context.zip"


def keep(
    shelf: Path, digest: str, staged: StagedSource, archive: Path, served: Mapping[str, str], *, commit: str = ""
) -> Kept:
    """Keep a release that was proved, as the newest of its shelf; what is older than the last three goes."""
    shelf.mkdir(parents=True, exist_ok=True)
    folder = shelf / digest[:SHORT]
    if (found := _read(folder)) is None or dict(found.served) != dict(served):
        draft = shelf / f".{secrets.token_hex(6)}"
        for file in staged.files:
            if file.path != RUNTIME_ENV:
                target = draft / "source" / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.local, target)
                target.chmod(file.mode)
        shutil.copyfile(archive, draft / "context.zip")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    at = time.time()
    about = {"digest": digest, "at": at, "commit": commit, "served": dict(served)}
    draft_about = folder / f".{ABOUT}"
    draft_about.write_text(json.dumps(about, indent=1) + "\n")
    draft_about.replace(folder / ABOUT)
    for old in kept(shelf)[KEPT:]:
        shutil.rmtree(old.folder, ignore_errors=True)
    return Kept(digest, at, commit, dict(served), folder)


def kept(shelf: Path) -> list[Kept]:
    """Give the releases of a shelf, the one that was proved last first."""
    found = [one for folder in (shelf.iterdir() if shelf.is_dir() else ()) if (one := _read(folder)) is not None]
    return sorted(found, key=lambda one: -one.at)


def choose(shelf: Path, current: str, to: str = "") -> Kept:
    """Give the release to go back to: the one that `to` begins to name, else the last one that is not `current`.

    Raises ConfigurationError that lists what there is.
    """
    there = kept(shelf)
    fitting = [one for one in there if (one.digest.startswith(to) if to else one.digest != current)]
    if len(fitting) == 1 or (fitting and not to):
        return fitting[0]
    names = ", ".join(one.id for one in there) or "none"
    if to:
        raise ConfigurationError(
            f"There is no release {to!r} to go back to." if not fitting else f"{to!r} names several releases.",
            hint=f"Kept are: {names}. invoke history shows what was deployed.",
        )
    raise ConfigurationError(
        "There is no earlier release to go back to.",
        hint=f"Kept are: {names}. Each deployment that was proved is kept in this folder, the last {KEPT} of them.",
    )


def _read(folder: Path) -> Kept | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text())
        if (folder / "context.zip").is_file():
            return Kept(str(about["digest"]), float(about["at"]), str(about["commit"]), about["served"], folder)
    return None

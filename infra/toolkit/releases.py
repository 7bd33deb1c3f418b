"""The releases of a stack that were proved, kept so that one of them can serve again.

A replaced source takes its versions on the platform with it, so what a rollback needs is kept here: the files that
shipped (without the runtime `.env`, which is written anew), the archive of the environment, and what was served.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
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
SEAL = 32  # characters of a seal


@dataclass(frozen=True)
class Kept:
    """A proved release of `app` in `folder`: `served` maps paths below its URL to digests, `at` is when (seconds).

    `seal` names the files as they were when they were put there.
    """

    app: str
    digest: str
    at: float
    commit: str
    served: Mapping[str, str]
    folder: Path
    seal: str

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

    @property
    def is_whole(self) -> bool:
        """Whether all files are there as they were."""
        return _seal_of(self.folder, self.app) == self.seal


def keep(
    shelf: Path,
    app: str,
    digest: str,
    staged: StagedSource,
    archive: Path,
    served: Mapping[str, str],
    *,
    commit: str = "",
) -> Kept:
    """Keep a release of `app` that was proved, as the newest of its shelf; what is older than the last three goes.

    One that differs from it in nothing but the runtime `.env` goes, too: there is nothing to go back to in it.
    """
    shelf.mkdir(parents=True, exist_ok=True)
    folder = shelf / digest[:SHORT]
    if (found := read(folder)) is None or dict(found.served) != dict(served) or not found.is_whole:
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
    at, sealed = time.time(), _seal_of(folder, app)
    about = {"app": app, "digest": digest, "at": at, "commit": commit, "served": dict(served), "seal": sealed}
    draft_about = folder / f".{ABOUT}"
    draft_about.write_text(json.dumps(about, indent=1) + "\n")
    draft_about.replace(folder / ABOUT)
    for twin in twins(shelf, sealed, digest):
        shutil.rmtree(twin.folder, ignore_errors=True)
    for old in kept(shelf)[KEPT:]:
        shutil.rmtree(old.folder, ignore_errors=True)
    return Kept(app, digest, at, commit, dict(served), folder, sealed)


def kept(shelf: Path) -> list[Kept]:
    """Give the releases of a shelf, the one that was proved last first."""
    found = [one for folder in (shelf.iterdir() if shelf.is_dir() else ()) if (one := read(folder)) is not None]
    return sorted(found, key=lambda one: -one.at)


def twins(shelf: Path, seal: str, digest: str) -> list[Kept]:
    """Give the kept releases that hold what the release `digest` holds, and differ in the runtime `.env` only."""
    return [one for one in kept(shelf) if one.seal == seal and one.digest != digest]


def choose(shelf: Path, current: str, deployed: Sequence[tuple[str, str]], *, to: str = "") -> Kept:
    """Give the release to go back to: the one that `to` begins to name, else one whose seal is not `current`.

    That is the first of `deployed` (ids and seals, the last deployment first) that is kept, else the one that was
    proved last. One whose files are not what they were is passed over. Raises ConfigurationError that lists what there
    is.
    """
    there = [one for one in kept(shelf) if one.is_whole]
    if to:
        named = {seal for id, seal in deployed if id.startswith(to)}  # noqa: A001
        meant = [one for one in there if one.digest.startswith(to)] or [one for one in there if one.seal in named]
        fitting = list({one.seal: one for one in meant}.values())
    else:
        order = [seal for _, seal in deployed]
        others = [one for one in there if one.seal != current]
        fitting = sorted(others, key=lambda one: order.index(one.seal) if one.seal in order else len(order))[:1]
    if len(fitting) == 1:
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


def read(folder: Path) -> Kept | None:
    """Give what is kept in a folder; None where that is no release."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text())
        if (folder / "context.zip").is_file():
            return Kept(
                str(about["app"]),
                str(about["digest"]),
                float(about["at"]),
                str(about["commit"]),
                about["served"],
                folder,
                str(about["seal"]),
            )
    return None


def seal(staged: StagedSource, archive: Path, app: str) -> str:
    """Name what a release holds wherever it lies: paths, modes and bytes of the app's files, the archive, its name.

    The runtime `.env` is not a part of it: that is written anew. `digest` names what is deployed, with it.
    """
    files = (file for file in staged.files if file.path != RUNTIME_ENV)
    return _seal(((file.path, file.mode, file.sha256 or _sha256(file.local)) for file in files), archive, app)


def _seal_of(folder: Path, app: str) -> str:
    source, archive = folder / "source", folder / "context.zip"
    files = (path for path in source.rglob("*") if path.is_file())
    entries = ((path.relative_to(source).as_posix(), path.stat().st_mode & 0o777, _sha256(path)) for path in files)
    return _seal(entries, archive, app) if archive.is_file() else ""


def _seal(entries: Iterable[tuple[str, int, bytes]], archive: Path, app: str) -> str:
    whole = hashlib.sha256()
    for path, mode, sha256 in sorted(entries):
        whole.update(f"{path}\0{mode:o}\0".encode() + sha256)
    whole.update(_sha256(archive) + app.encode())
    return whole.hexdigest()[:SEAL]


def _sha256(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()

"""Choose and pack what ships, and give it a name: the release."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import archive, runtime_env, source, stackconfig
from toolkit import engine as engines
from toolkit.bench import Bench
from toolkit.image.environment import require_dockerfile
from toolkit.plan import Shipment
from toolkit.settings import Secret, Settings
from toolkit.source import StagedSource
from toolkit.stackconfig import StackInputs

WORKROOM = "run."

TOLD = "inputs.json"


@dataclass(frozen=True)
class Release:
    """What is deployed: the staged source and the archive of the environment; `digest` names both."""

    staged: StagedSource
    context: Path
    archive: Path
    digest: str


@contextmanager
def workroom(settings: Settings) -> Iterator[Path]:
    """Give a folder to stage into for a run that deploys nothing: runs side by side keep their files apart.

    It goes at the end, and so do those that killed runs have left.
    """
    stages = settings.toolkit_dir / "stage"
    stages.mkdir(parents=True, exist_ok=True)
    for left in stages.glob(f"{WORKROOM}*"):
        _leave(left)
    folder = stages / f"{WORKROOM}{engines.new_run()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear(settings: Settings) -> None:
    """Remove all that was staged, but not what a run that deploys nothing works with just now.

    Only for whoever holds the locks of all stacks.
    """
    for folder in (settings.toolkit_dir / "stage").glob("*"):
        _leave(folder)


def _leave(folder: Path) -> None:
    if not (folder.name.startswith(WORKROOM) and engines.is_alive(folder.name.removeprefix(WORKROOM))):
        shutil.rmtree(folder, ignore_errors=True)


def stage(settings: Settings, bench: Bench, *, full_token: Secret | None = None, folder: Path | None = None) -> Release:
    """Choose what ships, pack the environment, write what the program is told.

    `full_token` stands in for the token where there is none (a smoke test without an account). What is to be deployed
    is copied to `.toolkit/stage/<stack>`: only for whoever holds the lock of the stack. With `folder`, which gets all
    that is written, the app's files stay where they are.
    """
    take = source.choose if folder else source.stage
    folder = folder or settings.toolkit_dir / "stage" / settings.stack
    with bench.phase("stage", settings.app.name) as say:
        chosen = settings if settings.token or not full_token else dataclasses.replace(settings, token=full_token)
        staged = take(
            settings.app,
            folder / "source",
            runtime_env=runtime_env.from_settings(chosen),
            known_secrets=settings.secrets,
            notes=settings.toolkit_dir / "notes",
        )
        context = settings.environment
        require_dockerfile(context)
        packed = folder / "context.zip"
        archive.write_zip(context, packed)
        release = Release(staged, context, packed, named(staged, packed))
        tell(settings, release, folder)
        say(f"{len(staged.files)} files, {staged.total_bytes / 1000:.0f} kB, release {release.digest[:12]}")
    return release


def named(staged: StagedSource, packed: Path) -> str:
    """Give the digest that names a release: of what ships, and of the archive of the environment."""
    return hashlib.sha256(staged.digest.encode() + packed.read_bytes()).hexdigest()


def tell(settings: Settings, release: Release, folder: Path) -> None:
    """Write what `pulumi up` by hand is told; the stack's mark stays as the last deployment has said it."""
    path = folder / TOLD
    wanted = dataclasses.replace(inputs(settings, release), mark=str(_told(path).get("mark", "")))
    path.write_text(json.dumps(stackconfig.to_json(wanted), indent=1) + "\n")


def remember(settings: Settings, mark: str) -> None:
    """Write down the stack's mark, which the state has, for `pulumi up` by hand."""
    path = settings.toolkit_dir / "stage" / settings.stack / TOLD
    if mark and (told := _told(path)) and told.get("mark") != mark:
        path.write_text(json.dumps({**told, "mark": mark}, indent=1) + "\n")


def _told(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def inputs(settings: Settings, release: Release) -> StackInputs:
    """Give what the Pulumi program is told; paths are relative to infra/."""
    infra = settings.root / "infra"
    files = tuple((_relative(file.local, infra), file.path) for file in release.staged.files)
    return StackInputs(
        app_name=settings.app_name,
        stack=settings.stack,
        context_archive=_relative(release.archive, infra),
        files=files,
        bundle=settings.bundle.id,
        replicas=settings.replicas,
        allow_auto_stopping=settings.auto_stop,
        health_path=settings.health_path,
        key_scope=settings.key_scope,
        use_cases=settings.use_cases,
        token_parameter=runtime_env.PARAMETER if settings.runtime_env == "credential" else "",
    )


def _relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()


def shipment(settings: Settings, release: Release) -> Shipment:
    """Give what there is to send of a release."""
    return Shipment(
        files={file.path: file.sha256.hex() for file in release.staged.files},
        file_bytes=release.staged.total_bytes,
        archive_bytes=release.archive.stat().st_size,
        use_cases=len(settings.use_cases),
        parameters=settings.runtime_env == "credential",
    )

"""The releases to go back to: what was proved is kept, found again and staged once more."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from toolkit import preflight, releases, retained, runtime_env, source, stack, staging, statefiles
from toolkit.bench import Bench
from toolkit.child import Driver
from toolkit.errors import ToolkitError
from toolkit.releases import Kept
from toolkit.settings import Settings
from toolkit.staging import Release


def there(settings: Settings, drive: Driver, bench: Bench) -> Path:
    """Give the shelf with the releases to go back to, also those that another machine has proved."""
    folder, shared = statefiles.shelf(settings, bench.places.home)
    if not shared:
        mark = stack.run(drive, "describe").mark
        with suppress(ToolkitError), preflight.platform_client(settings) as client:
            if fetched := retained.pull(client, mark, folder):
                bench.line(f"{fetched} of the releases to go back to came from the platform")
    return folder


def keep(settings: Settings, drive: Driver, release: Release, served: Mapping[str, str], bench: Bench) -> None:
    """Keep what was proved, for other machines too; what cannot be kept does not undo a deployment."""
    folder, shared = statefiles.shelf(settings, bench.places.home)
    try:
        with bench.within("keep"):
            kept = releases.keep(
                folder, release.digest, release.staged, release.archive, served, commit=commit(settings.root)
            )
            if not shared and not (kept.folder / retained.SENT).exists():
                mark = stack.run(drive, "describe").mark
                with preflight.platform_client(settings) as client:
                    retained.push(client, staging.inputs(settings, release).base_name, mark, kept)
    except (OSError, ToolkitError) as error:
        bench.line(f"This release could not be kept to go back to it from anywhere: {error}")


def staged_again(settings: Settings, kept: Kept, bench: Bench) -> Release:
    """Put a kept release where releases are deployed from, with a runtime `.env` of today's settings."""
    folder = settings.toolkit_dir / "stage" / settings.stack
    with bench.phase("stage", f"release {kept.id}") as say:
        staged = source.stage(
            kept.source,
            folder / "source",
            runtime_env=runtime_env.from_settings(settings),
            known_secrets=settings.secrets,
        )
        packed = folder / "context.zip"
        shutil.copyfile(kept.archive, packed)
        release = Release(staged, kept.folder, packed, staging.named(staged, packed))
        staging.tell(settings, release, folder)
        say(f"{len(staged.files)} files of release {kept.id}")
    return release


def commit(root: Path) -> str:
    """Give the commit of the checkout, with a `+` when files differ from it; empty without git."""
    git = ("git", "-C", str(root))
    with suppress(OSError, subprocess.SubprocessError):
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, timeout=5)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, timeout=10)
        if head.returncode == 0:
            return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
    return ""

"""The releases to go back to: what was proved is kept, found again and staged once more."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from toolkit import history, preflight, releases, retained, runtime_env, source, stack, staging, statefiles
from toolkit.bench import Bench
from toolkit.child import Driver
from toolkit.errors import ToolkitError
from toolkit.releases import Kept
from toolkit.settings import Settings
from toolkit.staging import Release


def there(settings: Settings, drive: Driver, bench: Bench, told: Iterable[history.Entry]) -> Path:
    """Give the shelf with the releases to go back to, also those that another machine has proved (as was `told`).

    Raises what the client raises: without them an older one would be taken for the last.
    """
    folder, shared = statefiles.shelf(settings, bench.pulumi_home)
    if not shared:
        mark = stack.run(drive, "describe").mark
        with preflight.platform_client(settings) as client:
            if fetched := retained.pull(client, mark, folder, {(one.id, one.seal) for one in told}):
                bench.line(f"{fetched} of the releases to go back to came from the platform")
    return folder


def keep(
    settings: Settings,
    drive: Driver,
    release: Release,
    served: Mapping[str, str],
    bench: Bench,
    *,
    again: Kept | None = None,
    changed: bool = True,
) -> None:
    """Keep what was proved, for other machines too; what cannot be kept does not undo a deployment.

    `again` is what the release was kept as when it was deployed first: other machines are told that it serves again.
    Where nothing has `changed`, what was sent once is not looked for on the platform.
    """
    folder, shared = statefiles.shelf(settings, bench.pulumi_home)
    try:
        with bench.within("keep"):
            seal = releases.seal(release.staged, release.archive, settings.app_name)
            instead = [one.id for one in releases.twins(folder, seal, release.digest)]
            kept = releases.keep(
                folder,
                settings.app_name,
                release.digest,
                release.staged,
                release.archive,
                served,
                commit=again.commit if again else history.commit(settings.root),
            )
            if not shared and (changed or not retained.is_sent(kept)):
                mark = stack.run(drive, "describe").mark
                with preflight.platform_client(settings) as client:
                    name = staging.inputs(settings, release).base_name
                    retained.push(client, name, mark, kept, again=bool(again), instead=instead)
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
            again=True,
        )
        packed = folder / "context.zip"
        shutil.copyfile(kept.archive, packed)
        release = Release(staged, kept.folder, packed, staging.named(staged, packed))
        staging.tell(settings, release, folder)
        say(f"{len(staged.files)} files of release {kept.id}")
    return release

"""Build the images of environments and applications for the local platform, with the same rooms as smoke."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit import bundles
from toolkit.emulator import context
from toolkit.emulator.fields import NotFound
from toolkit.emulator.objects import Body
from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    from toolkit.image.model import AppImage, EnvironmentImage
from toolkit.emulator.serving import Serving

WITHOUT_ENGINE = "Nothing was built or run: the platform was told to go without the engine (switches)."


class Builds(Serving):
    """Builds one image after the other."""

    def _build(self, version_id: str, began: float) -> None:
        lines: list[str] = []
        pace = self._switches().builds
        self._store.set_build(version_id, "processing")
        try:
            if pace.engine:
                self._environment_image(version_id, lines.append)
            else:
                lines.append(WITHOUT_ENGINE)
            self._reads.hold(pace, version_id, began, lambda: self._removed(version_id))
            if self._removed(version_id):
                return
        except (ToolkitError, context.BadContext) as error:
            details = [*lines, *getattr(error, "details", ())]
            self._store.set_build(version_id, "failed", log="\n".join(details), error=str(error))
        except Exception as error:
            self._store.set_build(version_id, "failed", log="\n".join(lines), error=f"{type(error).__name__}: {error}")
            raise
        else:
            self._store.set_build(version_id, "success", log="\n".join(lines))

    def _removed(self, version_id: str) -> bool:
        """Whether nobody waits for this build any more: others are waiting behind it."""
        try:
            self._store.get("environmentVersion", version_id)
        except NotFound:
            return True
        return self._over.is_set()

    def _environment_image(self, version_id: str, on_line: Callable[[str], None]) -> EnvironmentImage:
        from toolkit import baseimage
        from toolkit.image.environment import build_environment

        client = self._engine().client
        version = self._store.get("environmentVersion", version_id)
        with tempfile.TemporaryDirectory(dir=self._store.contexts) as folder:
            with self._store.blob(version["_context"]).open("rb") as archive:
                context.unpack(archive, Path(folder))
            options = baseimage.options_from(self._environ, self._mirror)
            with self._building:
                return build_environment(client, Path(folder), base=options, on_line=on_line)

    def _app_image(self, version: Body, resources: Body, build_log: list[str]) -> AppImage:
        from toolkit import baseimage
        from toolkit.image.app import build_app
        from toolkit.source import SourceFile

        client = self._engine().client
        environment = self._environment_image(version["baseEnvironmentVersionId"], lambda _line: None)
        files = [
            SourceFile(item["filePath"], 0o644, self._store.blob(item["storagePath"])) for item in version["items"]
        ]
        with self._building:
            return build_app(
                client,
                environment,
                files,
                bundle=bundles.find(resources["resourceLabel"]),
                base=baseimage.options_from(self._environ, self._mirror),
                on_line=build_log.append,
            )

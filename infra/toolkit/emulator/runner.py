"""Build environments and run applications for the local platform, with the same rooms as smoke.

Here is what the API asks for; `runner_builds`, `runner_starts` and `runner_watch` do it.
"""

from __future__ import annotations

import threading
import time

from toolkit.emulator.runner_watch import Watch
from toolkit.emulator.serving import OWNER


class EngineRunner(Watch):
    """Runs everything on the container engine; `Serving` says what it is made with."""

    def resume(self) -> None:
        """Bring back what ran when the platform ended, and take up builds that it was cut off from."""
        # Nothing is created before this is over: what an earlier run left carries the same label as what is new.
        self._ends.submit(self._guarded, self._sweep, "sweep")
        self._take_up()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _take_up(self) -> None:
        for version in self._store.every("environmentVersion"):
            if version["buildStatus"] in ("submitted", "processing"):
                self.build_environment(version["id"])
        applications = [
            app
            for app in self._store.every("application")
            if app["status"] in ("running", "initializing") or app.get("_noEngine")
        ]
        for application in applications:
            self._store.set_application(application["id"], status="initializing")
        for application in applications:
            self.start_application(application["id"])

    def start_over(self) -> None:
        """Stop serving everything, and serve what the store holds by now."""
        with self._lock:
            everything = list(self._served)
        for application_id in everything:
            self.remove_application(application_id)
        self._take_up()

    def build_environment(self, version_id: str) -> None:
        """Build the environment of a version, some time soon."""
        began = time.monotonic()
        self._builds.submit(self._guarded, lambda: self._build(version_id, began), version_id)

    def start_application(self, application_id: str) -> None:
        """Serve the application's wanted version, some time soon; the old one serves until it is ready."""
        self._starts.submit(self._guarded, lambda: self._start(application_id), application_id)

    def close(self) -> None:
        """Remove all containers and end; what ran is brought back at the next start."""
        self._over.set()
        for pool in (self._builds, self._starts, self._ends):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None:
            from toolkit.container import sweep

            with self._creating:  # nothing is created any more once this is had
                sweep(self._connection.client, OWNER, lambda run: run != self._instance)
        with self._lock:
            self._served.clear()

    def _sweep(self) -> None:
        """Remove what an earlier run of this platform left, and what builds left whose process is gone."""
        from toolkit import engine
        from toolkit.container import sweep
        from toolkit.image.step import BUILD_OWNER

        try:
            client = self._engine().client
            left = sweep(client, OWNER, lambda run: run != self._instance)
            left += sweep(client, BUILD_OWNER, engine.is_alive)
            for name in left:
                self._log(f"removed {name}, which an earlier run left behind")
        finally:
            self._swept.set()

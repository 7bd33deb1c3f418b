"""Watch over what runs on the local platform: restarts with back-off after crashes, and a pause where nobody visits."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from toolkit.emulator import containers

if TYPE_CHECKING:
    from toolkit.container import RunningApp
from toolkit.emulator.runner_starts import NotReady, Starts, Unwanted
from toolkit.emulator.serving import Served

WATCH_EVERY = 0.5
MOST_CRASHES = 5
BACK_OFF = (1.0, 2.0, 4.0, 8.0, 16.0)
HEALTHY = 60.0  # seconds after which earlier crashes are forgotten


class Watch(Starts):
    """Looks at all applications again and again."""

    def _watch(self) -> None:
        """Start what crashed again, each time after a longer pause, and pause what nobody visits."""
        while not self._over.wait(WATCH_EVERY):
            self._do_what_is_due()
            with self._lock:
                everything = list(self._served.items())
            for application_id, served in everything:
                with suppress(Exception):
                    self._look_at(application_id, served)

    def _look_at(self, application_id: str, served: Served) -> None:
        dead = [app for app in list(served.apps) if not app.state().running]
        if dead:
            self._crashed(application_id, served, dead)
            return
        if served.crashes and time.monotonic() - served.ready_at > HEALTHY:
            served.crashes = 0
        after = self._switches().pause_after
        if after and self._visits.idle(application_id, served.ready_at) > after:
            application = self._store.get("application", application_id)
            if application["allowAutoStopping"] and application["status"] == "running":
                self._log(f"application {application_id} is paused, nobody has visited it for {after:.0f} s")
                self.rest_application(application_id, "paused")

    def _crashed(self, application_id: str, served: Served, dead: list[RunningApp]) -> None:
        """Serve with the replicas that are left, and replace the others; without any the application starts anew."""
        with self._lock:
            if self._served.get(application_id) is not served:
                return
            served.crashes += 1
            left = [pair for pair in zip(served.apps, served.targets, strict=True) if pair[0] not in dead]
            served.apps = [app for app, _ in left]
            served.targets = tuple(target for _, target in left)
            if not served.apps:
                del self._served[application_id]
        logs = containers.lines(dead)
        containers.remove(dead)
        self._log(f"application {application_id} crashed ({served.crashes})")
        pause = BACK_OFF[min(served.crashes - 1, len(BACK_OFF) - 1)]
        if served.apps:
            self._do_later(pause, application_id, lambda: self._replace(application_id, served))
            return
        with suppress(Unwanted):
            self._check_wanted(application_id, served.version)
            if served.crashes >= MOST_CRASHES:
                error = NotReady("The application crashed again and again.")
                self._failed(application_id, served.version, error, logs, [], built=True)
                return
            self._store.set_application(application_id, status="initializing", _logs=logs)
            self._do_later(pause, application_id, lambda: self._start(application_id, served.crashes))

    def _replace(self, application_id: str, served: Served) -> None:
        """Start the replicas that are missing, beside those that still serve."""
        plan = served.plan
        with self._lock:
            current = self._served.get(application_id) is served
            missing = plan.replicas - len(served.apps) if plan else 0
        if plan is None or not current or missing <= 0:
            return
        apps: list[RunningApp] = []
        try:
            started = self._run(application_id, served.version, plan, missing, apps)
            targets = self._wait(served.version, apps, started, plan.health)
        except Unwanted:
            containers.remove(apps)
        except Exception as error:
            containers.remove(apps)
            served.crashes += 1
            self._log(f"a replica of application {application_id} did not come back: {error}")
            pause = BACK_OFF[min(served.crashes - 1, len(BACK_OFF) - 1)]
            self._do_later(pause, application_id, lambda: self._replace(application_id, served))
        else:
            with self._lock:
                current = self._served.get(application_id) is served
                if current:
                    served.apps = [*served.apps, *apps]
                    served.targets = (*served.targets, *targets)
                    served.ready_at = time.monotonic()
            if not current:
                containers.remove(apps)

    def rest_application(self, application_id: str, status: str) -> None:
        """Stop an application, or pause it: its containers are gone, its last lines are kept. Raises NotFound."""
        with self._lock:
            serving = self._served.get(application_id)
        kept = containers.lines(serving.apps) if serving else []
        logs: dict[str, Any] = {"_logs": kept} if kept else {}
        # The state comes first: whatever is just about to serve sees it, or is found below.
        self._store.set_application(application_id, status=status, **logs)
        with self._lock:
            served = self._served.pop(application_id, None)
        if served is not None:
            self._ends.submit(self._guarded, lambda: containers.stop(served.apps), application_id)

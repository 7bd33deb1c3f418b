"""The control API under /__emulator__/: what a run may ask of the local platform that the real one does not offer.

Everything but `health` needs the full token.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from aiohttp import web

from toolkit.emulator import snapshots
from toolkit.emulator.answers import STATUS, answer, bearer, body, error
from toolkit.emulator.faults import Faults
from toolkit.emulator.fields import Conflict, NotFound, StoreError
from toolkit.emulator.objects import Body
from toolkit.emulator.routes import Routes
from toolkit.emulator.runner_starts import RESTING
from toolkit.emulator.serving import Runner
from toolkit.emulator.store import Store
from toolkit.emulator.switches import Switches, changed

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ROOT = "/__emulator__"


class Steered(Runner, Protocol):
    """What steering needs of a runner besides."""

    def rest_application(self, application_id: str, status: str) -> None:
        """Stop an application, or pause it."""

    def start_over(self) -> None:
        """Serve what the store holds by now, and nothing else."""


class Steering:
    """Holds the switches and faults of a platform, and answers the control API."""

    def __init__(
        self,
        store: Store,
        runner: Callable[[], Steered],
        routes: Routes,
        data: Path,
        *,
        plant: Callable[[], None],
        requests: deque[Body],
    ) -> None:
        self._store = store
        self._runner = runner
        self._routes = routes
        self._data = data
        self._plant = plant
        self._requests = requests
        self.switches = Switches()
        self.faults = Faults()

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get(f"{ROOT}/health", self.health)
        for method, path, handler in (
            ("GET", "requests", self.requests),
            ("POST", "reset", self.reset),
            ("GET", "settings", self.get_switches),
            ("PUT", "settings", self.set_switches),
            ("GET", "faults", self.get_faults),
            ("POST", "faults", self.add_faults),
            ("DELETE", "faults", self.remove_faults),
            ("DELETE", "faults/{number}", self.remove_faults),
            ("GET", "snapshots", self.get_snapshots),
            ("POST", "snapshots", self.save),
            ("POST", "snapshots/{name}/restore", self.restore),
            ("DELETE", "snapshots/{name}", self.remove_snapshot),
            ("POST", "applications/{id}/{action}", self.steer),
        ):
            app.router.add_route(method, f"{ROOT}/{path}", self._guarded(handler))
        app.router.add_route("*", f"{ROOT}/{{rest:.*}}", self._guarded(self.unknown))

    def _guarded(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            level = self._routes.level(bearer(request))
            if level != "full":
                return error(403 if level else 401, "This needs the full API token of the local platform.")
            try:
                return await handler(request)
            except StoreError as problem:
                return error(STATUS.get(type(problem), 422), problem.message, problem.errors)

        return handle

    async def health(self, _request: web.Request) -> web.Response:
        """GET health: who answers, and whether faults are on; without a token."""
        return answer({"pid": os.getpid(), "data": str(self._data), "faults": len(self.faults.listed())})

    async def requests(self, _request: web.Request) -> web.Response:
        """GET requests: the last ones, oldest first."""
        return answer({"requests": list(self._requests)})

    async def reset(self, _request: web.Request) -> web.Response:
        """POST reset: as new, but for tokens and snapshots; switches and faults go too."""
        self.calm()
        for application in self._store.find("application")[0]:
            self._runner().remove_application(application["id"])
        self._store.clear()
        self._requests.clear()
        self._plant()
        return answer({"reset": True})

    def calm(self) -> None:
        """Bring back the defaults: no faults, all switches as at the start."""
        self.faults.remove()
        self.switches = Switches()

    async def get_switches(self, _request: web.Request) -> web.Response:
        """GET settings."""
        return answer(self.switches.shown())

    async def set_switches(self, request: web.Request) -> web.Response:
        """PUT settings: only those that are given change."""
        self.switches = changed(self.switches, await body(request))
        return answer(self.switches.shown())

    async def get_faults(self, _request: web.Request) -> web.Response:
        """GET faults: every rule that still counts."""
        return answer({"faults": self.faults.listed()})

    async def add_faults(self, request: web.Request) -> web.Response:
        """POST faults {rules, seed}."""
        return answer({"faults": self.faults.add(await body(request))}, 201)

    async def remove_faults(self, request: web.Request) -> web.Response:
        """DELETE faults, or one of them."""
        text = request.match_info.get("number")
        if text is None:
            return answer({"removed": self.faults.remove()})
        if not (text.isascii() and text.isdigit()) or not self.faults.remove(int(text)):
            raise NotFound(f"There is no fault {text[:20]}.")
        return answer({"removed": 1})

    async def get_snapshots(self, _request: web.Request) -> web.Response:
        """GET snapshots."""
        return answer({"snapshots": snapshots.listed(self._data)})

    async def save(self, request: web.Request) -> web.Response:
        """POST snapshots {name}."""
        name = (await body(request)).get("name") or ""
        return answer(await asyncio.to_thread(snapshots.save, self._store, self._data, name), 201)

    async def restore(self, request: web.Request) -> web.Response:
        """POST snapshots/{name}/restore: what runs then is what ran at the snapshot."""
        name = request.match_info["name"]
        await asyncio.to_thread(snapshots.restore, self._store, self._data, name)
        self._runner().start_over()
        return answer({"restored": name})

    async def remove_snapshot(self, request: web.Request) -> web.Response:
        """DELETE snapshots/{name}."""
        snapshots.remove(self._data, request.match_info["name"])
        return answer({"removed": 1})

    async def steer(self, request: web.Request) -> web.Response:
        """POST applications/{id}/stop, pause, start: as somebody does in the real platform's own pages."""
        application = self._store.get("application", request.match_info["id"])
        action, status = request.match_info["action"], application["status"]
        if action == "start":
            if status in (*RESTING, "failed"):
                self._store.set_application(application["id"], status="initializing")
                self._runner().start_application(application["id"])
        elif action == "stop":
            await asyncio.to_thread(self._runner().rest_application, application["id"], "stopped")
        elif action == "pause":
            if status not in ("running", "paused"):
                raise Conflict(f"Only an application that runs can be paused; this one is {status}.")
            await asyncio.to_thread(self._runner().rest_application, application["id"], "paused")
        else:
            raise NotFound(f"There is no action {action[:50]!r}; there are start, stop and pause.")
        return answer({"id": application["id"], "status": self._store.get("application", application["id"])["status"]})

    async def unknown(self, request: web.Request) -> web.Response:
        """Say what there is."""
        raise NotFound(
            f"There is no {request.method} {request.path[:200]}. There are health, requests, reset, settings, faults, "
            "snapshots, applications/{id}/start|stop|pause, sign-in-link, not-emulated, openapi.json."
        )

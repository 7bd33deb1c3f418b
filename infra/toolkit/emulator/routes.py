"""The API of the local platform: parse the request, call the store and the runner, shape the answer (contract 1).

Here is who may ask for what, and where all handlers are registered.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from toolkit.emulator.answers import STATUS, answer, bearer, error
from toolkit.emulator.fields import SCOPE_LEVELS, NotEmulated, NotFound, StoreError
from toolkit.emulator.identity import same
from toolkit.emulator.routes_applications import ApplicationRoutes
from toolkit.emulator.routes_catalogue import API, ENDPOINTS, openapi
from toolkit.emulator.routes_environments import EnvironmentRoutes
from toolkit.emulator.routes_general import GeneralRoutes
from toolkit.emulator.routes_organisation import OrganisationRoutes
from toolkit.emulator.routes_sources import SourceRoutes
from toolkit.settings import Secret

MOST_MISSED = 1000
# What the key of a visitor may ask for (platform-contract 1.3: requiredKeyScopeLevel).
METHODS = {
    "viewer": frozenset({"GET", "HEAD", "OPTIONS"}),
    "user": frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"}),
}
ID = re.compile(r"[0-9a-f]{24}")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes(GeneralRoutes, EnvironmentRoutes, SourceRoutes, ApplicationRoutes, OrganisationRoutes):
    """All handlers of the API. `base` gives the platform's own address for URLs in answers."""

    def add_to(self, app: web.Application) -> None:
        """Register every route; each also without its last slash, since redirects are errors to the clients."""
        for endpoint in ENDPOINTS:
            guarded = self._guarded(getattr(self, endpoint.handler), organisation=endpoint.organisation)
            app.router.add_route(endpoint.method, endpoint.path, guarded)
            app.router.add_route(endpoint.method, endpoint.path.rstrip("/"), guarded)
        app.router.add_get("/__emulator__/openapi.json", self.description)
        app.router.add_get("/__emulator__/not-emulated", self._guarded(self.missed))
        app.router.add_route("*", f"{API}/{{rest:.*}}", self._guarded(self.not_emulated))
        app.router.add_route("*", "/api-gw/{rest:.*}", self._guarded(self.not_emulated))

    def _guarded(self, handler: Handler, *, organisation: bool = False) -> Handler:
        """Check the token, and turn what the store raises into the platform's error bodies."""

        async def handle(request: web.Request) -> web.StreamResponse:
            level = self.level(bearer(request))
            if level is None:
                return error(401, "Invalid API token.")
            if request.method not in METHODS.get(level, {request.method}):
                return error(403, f"This key of level {level} may not {request.method}.")
            if level == "restricted" and organisation:
                return error(403, "This token may read neither use cases nor notebooks.")
            try:
                return await handler(request)
            except NotEmulated as problem:
                if problem.message in self._missed or len(self._missed) < MOST_MISSED:
                    self._missed[problem.message] += 1
                return error(501, f"not emulated: {problem.message}")
            except StoreError as problem:
                return error(STATUS[type(problem)], problem.message, problem.errors)
            except HttpProcessingError as problem:
                return error(400, f"The body cannot be read: {problem.message}")
            except (aiohttp.ClientPayloadError, web.RequestPayloadError) as problem:
                return error(400, f"The body cannot be read: {problem}")

        return handle

    def level(self, token: str) -> str | None:
        """Tell what a token may; None for an unknown one.

        `full`, `restricted` (as applications get), or the level of a visitor's key: viewer, user, admin.
        """
        if not token:
            return None
        if same(token, self._identity.full):
            return "full"
        if same(token, self._identity.restricted):
            return "restricted"
        for level in SCOPE_LEVELS:
            if same(token, self._identity.visitor_key(level)):
                return level
        return "restricted" if self._of_an_application(token) else None

    def _of_an_application(self, token: str) -> bool:
        application, _, _ = token.partition(".")  # by which the one is found that it has to be compared with
        if not ID.fullmatch(application):
            return False
        try:
            found = self._store.glance("application", application)
        except NotFound:
            return False
        return same(token, Secret(found["_restrictedToken"]))

    async def not_emulated(self, request: web.Request) -> web.Response:
        """Say that the real platform may have this route, but not this one."""
        raise NotEmulated(f"{request.method} {request.path}")

    async def missed(self, _request: web.Request) -> web.Response:
        """GET /__emulator__/not-emulated: what was asked for and is not there, with how often, most first."""
        return answer({"notEmulated": [{"what": what, "count": n} for what, n in self._missed.most_common()]})

    async def description(self, _request: web.Request) -> web.Response:
        """GET /__emulator__/openapi.json: the API as OpenAPI describes it; no secret, so without a token."""
        return answer(openapi())

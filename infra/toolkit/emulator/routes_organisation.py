"""The API of credentials (platform-contract 1.6), use cases (1.7) and notebooks (1.8)."""

from __future__ import annotations

from aiohttp import web

from toolkit.emulator.answers import answer, body, visible
from toolkit.emulator.objects import Body, now
from toolkit.emulator.routes_shared import Handlers


class OrganisationRoutes(Handlers):
    """Handlers of credentials/, useCases/ and notebooks."""

    async def create_credential(self, request: web.Request) -> web.Response:
        """POST credentials/: the secret never comes back."""
        return answer(_credential(self._store.create_credential(await body(request))), 201)

    async def list_credentials(self, request: web.Request) -> web.Response:
        """GET credentials/."""
        return self._stored(request, "credential", _credential)

    async def get_credential(self, request: web.Request) -> web.Response:
        """GET credentials/{id}/."""
        return answer(_credential(self._store.get("credential", request.match_info["id"])))

    async def update_credential(self, request: web.Request) -> web.Response:
        """PATCH credentials/{id}/."""
        return answer(_credential(self._store.update_credential(request.match_info["id"], await body(request))))

    async def delete_credential(self, request: web.Request) -> web.Response:
        """DELETE credentials/{id}/."""
        self._store.remove("credential", request.match_info["id"])
        return web.Response(status=204)

    async def create_use_case(self, request: web.Request) -> web.Response:
        """POST useCases/."""
        given = await body(request)
        made = self._store.create_use_case(given.get("name") or "", given.get("description") or "")
        return answer(self._use_case(made), 201)

    async def list_use_cases(self, request: web.Request) -> web.Response:
        """GET useCases/: all of the organisation; the restricted token of an application may not."""
        return self._stored(request, "useCase", self._use_case, sort=request.query.get("orderBy", "name"))

    async def get_use_case(self, request: web.Request) -> web.Response:
        """GET useCases/{id}/."""
        return answer(self._use_case(self._store.get("useCase", request.match_info["id"])))

    async def update_use_case(self, request: web.Request) -> web.Response:
        """PATCH useCases/{id}/."""
        given = await body(request)
        changes = {key: given[key] for key in ("name", "description") if given.get(key) is not None}
        changed = self._store.change("useCase", request.match_info["id"], lambda found: found.update(changes))
        return answer(self._use_case(changed))

    async def delete_use_case(self, request: web.Request) -> web.Response:
        """DELETE useCases/{id}/."""
        self._store.remove("useCase", request.match_info["id"])
        return web.Response(status=204)

    async def link(self, request: web.Request) -> web.Response:
        """POST useCases/{id}/{type}/{entity}/."""
        info = request.match_info
        return answer(self._link(self._store.link(info["id"], info["type"], info["entity"])), 201)

    async def unlink(self, request: web.Request) -> web.Response:
        """DELETE useCases/{id}/{type}/{entity}/."""
        self._store.unlink(request.match_info["id"], request.match_info["entity"])
        return web.Response(status=204)

    async def list_notebooks(self, request: web.Request) -> web.Response:
        """GET /api-gw/nbx/notebooks/: of the organisation, or of one use case."""
        sort = request.query.get("orderBy", "-updated")
        return self._stored(request, "notebook", visible, parent=request.query.get("useCaseId"), sort=sort)

    def _use_case(self, found: Body) -> Body:
        """Shape a use case; one client demands people and all counts (contract 1.7)."""
        owners: list[Body] = found.get("owners") or [self._person()]
        counts = dict.fromkeys(("modelsCount", "projectsCount", "datasetsCount", "filesCount", "playgroundsCount"), 0)
        return {
            **counts,
            "vectorDatabasesCount": 0,
            "applicationsCount": self._store.count("link", parent=found["id"]),
            **visible(found),
            "created": owners[0],
            "updated": owners[0],
            "owners": owners,
            "members": found.get("members") or owners,
        }

    def _link(self, found: Body) -> Body:
        return {
            **visible(found),
            "experimentContainerId": found["useCaseId"],
            "createdAt": found.get("createdAt") or now(),
            "created": self._person(),
            "isDeleted": False,
        }

    def _person(self) -> Body:
        identity = self._identity
        return {
            "id": identity.user_id,
            "fullName": "Local Admin",
            "email": identity.email,
            "userhash": "4f9d2c7a1b3e5d6f8a0b1c2d3e4f5a6b",
            "username": identity.email,
        }


def _credential(found: Body) -> Body:
    shaped = visible(found)
    shaped["credentialId"] = shaped.pop("id")
    return shaped

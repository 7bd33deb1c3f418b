"""The API of application sources, their versions and files (platform-contract 1.3)."""

from __future__ import annotations

from aiohttp import web

from toolkit.emulator.answers import answer, body, visible
from toolkit.emulator.fields import NotFound, wrong
from toolkit.emulator.objects import Body
from toolkit.emulator.routes_shared import Handlers
from toolkit.emulator.uploads import fields_and_files


class SourceRoutes(Handlers):
    """Handlers of customApplicationSources/."""

    async def create_source(self, request: web.Request) -> web.Response:
        """POST customApplicationSources/."""
        return answer(self._source(self._store.create_source((await body(request)).get("name"))), 201)

    async def list_sources(self, request: web.Request) -> web.Response:
        """GET customApplicationSources/."""
        return self._stored(request, "source", self._source, name=request.query.get("name"), sort=ordering(request))

    async def get_source(self, request: web.Request) -> web.Response:
        """GET customApplicationSources/{id}/: latestVersion is null until there is one."""
        return answer(self._source(self._store.get("source", request.match_info["id"])))

    async def update_source(self, request: web.Request) -> web.Response:
        """PATCH customApplicationSources/{id}/."""
        self._store.update_source(request.match_info["id"], await body(request))
        return await self.get_source(request)

    async def delete_source(self, request: web.Request) -> web.Response:
        """DELETE customApplicationSources/{id}/."""
        self._store.delete_source(request.match_info["id"])
        return web.Response(status=204)

    async def create_source_version(self, request: web.Request) -> web.Response:
        """POST …/versions/: JSON, or multipart with files."""
        async with fields_and_files(request, self._store) as (fields, files):
            made = self._store.create_source_version(request.match_info["id"], fields, files)
        return answer(self._source_version(made), 201)

    async def list_source_versions(self, request: web.Request) -> web.Response:
        """GET …/versions/."""
        self._store.get("source", request.match_info["id"])
        shape = self._source_version
        return self._stored(request, "sourceVersion", shape, parent=request.match_info["id"], newest_first=True)

    async def get_source_version(self, request: web.Request) -> web.Response:
        """GET …/versions/{version}/."""
        return answer(self._source_version(self._below("sourceVersion", request)))

    async def update_source_version(self, request: web.Request) -> web.Response:
        """PATCH …/versions/{version}/: JSON fields, or multipart with files and fields."""
        self._below("sourceVersion", request)
        async with fields_and_files(request, self._store) as (fields, files):
            changed = self._store.update_source_version(request.match_info["version"], fields, files)
        return answer(self._source_version(changed))

    async def delete_source_version(self, request: web.Request) -> web.Response:
        """DELETE …/versions/{version}/."""
        self._below("sourceVersion", request)
        self._store.delete_source_version(request.match_info["version"])
        return web.Response(status=204)

    async def source_roles(self, request: web.Request) -> web.Response:
        """GET customApplicationSources/{id}/sharedRoles/."""
        self._store.get("source", request.match_info["id"])
        return self._page(request, [self._role()], 1)

    async def get_item(self, request: web.Request) -> web.Response:
        """GET …/items/{item}/: one file with its content."""
        version = self._below("sourceVersion", request)
        for item in version["items"]:
            if item["id"] == request.match_info["item"]:
                content = self._store.blob(item["storagePath"]).read_bytes()
                return answer({**item, "content": content.decode("utf-8", "replace")})
        raise NotFound("The item was not found.")

    def _source(self, found: Body) -> Body:
        shaped = {**visible(found), **self._owner()}
        if shaped["latestVersion"] is not None:
            shaped["latestVersion"] = self._source_version(self._store.get("sourceVersion", shaped["latestVersion"]))
        return shaped

    def _source_version(self, found: Body) -> Body:
        return {**visible(found), "userId": self._identity.user_id, "createdBy": self._identity.email}


def ordering(request: web.Request) -> str:
    """Read orderBy of sources and applications. Raises Invalid."""
    wanted = request.query.get("orderBy", "")
    if wanted.lstrip("-") not in ("", "name", "createdAt", "updatedAt"):
        raise wrong(orderBy="has to be name, createdAt or updatedAt, with a minus for descending")
    return wanted

"""The API of execution environments (platform-contract 1.2)."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from toolkit.emulator.answers import answer, body, visible
from toolkit.emulator.fields import NotEmulated, wrong
from toolkit.emulator.objects import Body
from toolkit.emulator.routes_shared import Handlers
from toolkit.emulator.uploads import multipart


class EnvironmentRoutes(Handlers):
    """Handlers of executionEnvironments/."""

    async def create_environment(self, request: web.Request) -> web.Response:
        """POST executionEnvironments/."""
        given = await body(request)
        made = self._store.create_environment(
            given.get("name") or "",
            given.get("description") or "",
            given.get("programmingLanguage") or "other",
            given.get("useCases") or [],
        )
        return answer(self._environment(made), 201)

    async def list_environments(self, request: web.Request) -> web.Response:
        """GET executionEnvironments/: searchFor is a part of name or description, useCases a filter."""
        found, _ = self._store.find("environment")
        text, use_case = request.query.get("searchFor", ""), request.query.get("useCases")
        chosen = [
            self._environment(one)
            for one in found
            if (text in one["name"] or text in one["description"])
            and (not use_case or use_case in one["useCases"])
            and not (
                request.query.get("isPublic", "").lower() == "true" or request.query.get("isOwn", "").lower() == "false"
            )
        ]
        return self._page(request, chosen, len(chosen))

    async def get_environment(self, request: web.Request) -> web.Response:
        """GET executionEnvironments/{id}/."""
        return answer(self._environment(self._store.get("environment", request.match_info["id"])))

    async def update_environment(self, request: web.Request) -> web.Response:
        """PATCH executionEnvironments/{id}/."""
        changed = self._store.update_environment(request.match_info["id"], await body(request))
        return answer(self._environment(changed))

    async def delete_environment(self, request: web.Request) -> web.Response:
        """DELETE executionEnvironments/{id}/."""
        self._store.delete_environment(request.match_info["id"])
        return web.Response(status=204)

    async def environment_access(self, request: web.Request) -> web.Response:
        """GET …/accessControl/: the administrator owns everything."""
        self._store.get("environment", request.match_info["id"])
        who = {"username": self._identity.email, "userId": self._identity.user_id}
        return self._page(request, [{**who, "role": "OWNER", "canShare": True}], 1)

    async def create_environment_version(self, request: web.Request) -> web.Response:
        """POST executionEnvironments/{id}/versions/: multipart with the context, built from now on."""
        if not request.content_type.startswith("multipart/"):
            if (await body(request)).get("dockerImageUri"):
                raise NotEmulated("environments from the address of an image")
            raise wrong(docker_context="is required")
        async with multipart(request, self._store) as (fields, files):
            if fields.get("dockerImageUri") or any(file.field in ("docker_image", "dockerImage") for file in files):
                raise NotEmulated("environments from an image")
            given = next((file for file in files if file.field in ("docker_context", "dockerContext")), None)
            if given is None:
                raise wrong(docker_context="is required")
            description, label = fields.get("description", ""), fields.get("label")
            made = self._store.create_environment_version(
                request.match_info["id"], description, given.content, given.path, label
            )
        self._runner.build_environment(made["id"])
        return answer(visible(made), 202)

    async def list_environment_versions(self, request: web.Request) -> web.Response:
        """GET executionEnvironments/{id}/versions/."""
        self._store.get("environment", request.match_info["id"])
        status = request.query.get("buildStatus")
        where = (lambda one: one["buildStatus"] == status) if status is not None else None
        parent = request.match_info["id"]
        return self._stored(request, "environmentVersion", visible, parent=parent, newest_first=True, where=where)

    async def get_environment_version(self, request: web.Request) -> web.Response:
        """GET executionEnvironments/{id}/versions/{version}/."""
        return answer(visible(self._below("environmentVersion", request)))

    async def build_log(self, request: web.Request) -> web.Response:
        """GET …/buildLog/."""
        found = self._below("environmentVersion", request)
        return answer({"log": found["_log"], "error": found["_error"]})

    async def download_context(self, request: web.Request) -> web.StreamResponse:
        """GET …/download/: the context as it was uploaded."""
        found = self._below("environmentVersion", request)
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(found['_filename'], safe='')}"}
        return web.FileResponse(self._store.blob(found["_context"]), headers=headers)

    def _environment(self, found: Body) -> Body:
        shaped = visible(found)
        for key in ("latestVersion", "latestSuccessfulVersion"):
            if shaped[key] is not None:
                shaped[key] = visible(self._store.get("environmentVersion", shaped[key]))
        return shaped

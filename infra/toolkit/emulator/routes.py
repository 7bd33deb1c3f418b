"""The API of the local platform: parse the request, call the store and the runner, shape the answer (contract 1)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from toolkit.bundles import BUNDLES
from toolkit.emulator.blobs import Draft
from toolkit.emulator.fields import (
    SCOPE_LEVELS,
    Conflict,
    Invalid,
    NotEmulated,
    NotFound,
    StoreError,
    check,
    check_path,
    parse_object,
    wrong,
)
from toolkit.emulator.identity import Identity, same
from toolkit.emulator.presence import Visits
from toolkit.emulator.routes_catalogue import API, ENDPOINTS, openapi
from toolkit.emulator.runner import Runner
from toolkit.emulator.store import Body, Store, as_written, now
from toolkit.settings import Secret

VERSION = {"major": 2, "minor": 49, "versionString": "2.49.0", "releasedVersion": "2.49.0"}
MOST_PAGE, DEFAULT_PAGE = 100, 20
PERMISSIONS = ["CAN_DELETE", "CAN_SHARE", "CAN_UPDATE", "CAN_VIEW"]
STATUS = {NotFound: 404, Conflict: 409, Invalid: 422}
LARGEST_JSON = 16 * 2**20
LARGEST_UPLOAD = 2**30
UPLOAD_CHUNK = 2**18
FURTHEST_OFFSET = 2**31
MOST_MISSED = 1000
# What the key of a visitor may ask for (platform-contract 1.3: requiredKeyScopeLevel).
METHODS = {
    "viewer": frozenset({"GET", "HEAD", "OPTIONS"}),
    "user": frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"}),
}

ID = re.compile(r"[0-9a-f]{24}")
FEATURE = re.compile(r"[A-Z][A-Z0-9_]{2,120}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes:
    """All handlers of the API. `base` gives the platform's own address for URLs in answers."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        identity: Identity,
        base: Callable[[], str],
        visits: Visits | None = None,
    ) -> None:
        self._visits = visits or Visits()
        self._store = store
        self._runner = runner
        self._identity = identity
        self._base = base
        self._missed: Counter[str] = Counter()

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

    # --- Who may ----------------------------------------------------------------------------------------------------

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

    # --- General ------------------------------------------------------------------------------------------------------

    async def not_emulated(self, request: web.Request) -> web.Response:
        """Say that the real platform may have this route, but not this one."""
        raise NotEmulated(f"{request.method} {request.path}")

    async def missed(self, _request: web.Request) -> web.Response:
        """GET /__emulator__/not-emulated: what was asked for and is not there, with how often, most first."""
        return answer({"notEmulated": [{"what": what, "count": n} for what, n in self._missed.most_common()]})

    async def description(self, _request: web.Request) -> web.Response:
        """GET /__emulator__/openapi.json: the API as OpenAPI describes it; no secret, so without a token."""
        return answer(openapi())

    async def version(self, _request: web.Request) -> web.Response:
        """GET version/ (1.8)."""
        return answer(VERSION)

    async def account_info(self, _request: web.Request) -> web.Response:
        """GET account/info/ (1.8)."""
        identity = self._identity
        return answer(
            {
                "uid": identity.user_id,
                "email": identity.email,
                "firstName": "Local",
                "lastName": "Admin",
                "orgId": identity.org_id,
                "tenantId": identity.org_id,
                "permissions": {},
                "language": "en",
            }
        )

    async def client_config(self, _request: web.Request) -> web.Response:
        """GET clientConfig/ (1.8)."""
        return answer({"EXTERNAL_WEB_SERVER_URL": self._base()})

    async def bundles(self, request: web.Request) -> web.Response:
        """GET mlops/compute/bundles/ (1.8)."""
        found = [
            {
                "id": bundle.id,
                "name": bundle.id.removeprefix("cpu.").upper(),
                "description": f"{bundle.cpus} CPU, {bundle.memory // 2**20} MB",
                "cpuCount": bundle.cpus,
                "memoryBytes": bundle.memory,
                "gpuMemoryBytes": 0,
                "useCases": ["customApplication"],
                "isDefault": bundle.id == "cpu.small",
                "isDeleted": False,
                "hasGpu": False,
            }
            for bundle in BUNDLES.values()
        ]
        return self._page(request, found, len(found))

    async def entitlements(self, request: web.Request) -> web.Response:
        """POST entitlements/evaluate/ (1.8): every feature is there."""
        names = [one["name"] for one in (await body(request)).get("entitlements") or ()]
        if unknown := next((name for name in names if not FEATURE.fullmatch(name)), None):
            raise wrong(any=unknown[:100])
        return answer({"entitlements": [{"name": name, "value": True} for name in names]})

    async def list_templates(self, request: web.Request) -> web.Response:
        """GET customTemplates/ (1.8): there are none."""
        return self._page(request, [], 0)

    async def status(self, request: web.Request) -> web.Response:
        """GET status/{id}/ (1.5): 200 while the application starts, then 303 to it. Its id is the application's."""
        application = self._store.get("application", request.match_info["id"])
        location = f"{self._base()}{API}/customApplications/{application['id']}/"
        if application["status"] == "running":
            return web.Response(status=303, headers={"Location": location})
        failed = application["status"] == "failed"
        return answer(
            {
                "statusId": application["id"],
                "status": "ERROR" if failed else "RUNNING",
                "message": "The application failed, see its logs." if failed else "",
                "code": 1 if failed else 0,
                "description": "",
                "statusType": "Custom Application Creation",
                "created": application["createdAt"],
            }
        )

    # --- Execution environments (1.2) ---------------------------------------------------------------------------------

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

    # --- Application sources (1.3) ------------------------------------------------------------------------------------

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

    # --- Applications (1.4) -------------------------------------------------------------------------------------------

    async def create_application(self, request: web.Request) -> web.Response:
        """POST customApplications/: 202, and a place to ask how it goes."""
        given = await body(request)
        if given.get("environmentId") and not given.keys() & {"applicationSourceId", "applicationSourceVersionId"}:
            raise NotEmulated("applications from an image (environmentId)")
        made = self._store.create_application(given)
        self._runner.start_application(made["id"])
        response = answer(self._application(made), 202)
        response.headers["Location"] = f"{self._base()}{API}/status/{made['id']}/"
        return response

    async def list_applications(self, request: web.Request) -> web.Response:
        """GET customApplications/: `name` is an exact filter."""
        wanted = application_filter(request, self._store.application_resources)
        name = request.query.get("name")
        return self._stored(request, "application", self._application, name=name, where=wanted, sort=ordering(request))

    async def get_application(self, request: web.Request) -> web.Response:
        """GET customApplications/{id}/."""
        return answer(self._application(self._store.get("application", request.match_info["id"])))

    async def update_application(self, request: web.Request) -> web.Response:
        """PATCH customApplications/{id}/: accepted while it starts; another version takes it out of `running`."""
        changed, moved = self._store.update_application(request.match_info["id"], await body(request))
        if moved:
            self._runner.start_application(changed["id"])
        return answer(self._application(changed))

    async def delete_application(self, request: web.Request) -> web.Response:
        """DELETE customApplications/{id}/."""
        self._store.delete_application(request.match_info["id"])
        self._runner.remove_application(request.match_info["id"])
        self._visits.forget(request.match_info["id"])
        return web.Response(status=204)

    async def application_logs(self, request: web.Request) -> web.Response:
        """GET …/logs/."""
        found = self._store.get("application", request.match_info["id"])
        return answer(
            {
                "logs": self._runner.logs(found["id"]),
                "buildLog": found["_buildLog"],
                "buildStatus": found["_buildStatus"],
                "buildError": found["_buildError"],
            }
        )

    async def application_history(self, request: web.Request) -> web.Response:
        """GET …/history/: newest first."""
        found = self._store.get("application", request.match_info["id"])
        history: list[Body] = found["_history"]
        return self._page(request, history, len(history))

    async def application_usages(self, request: web.Request) -> web.Response:
        """GET …/usages/: who asked for a page and when, newest first; since the platform's start."""
        found = self._store.get("application", request.match_info["id"])
        who = {"userId": self._identity.user_id, "username": self._identity.email, "userType": "CREATOR"}
        visits = [{**who, "visitTimestamp": as_written(at)} for at in reversed(self._visits.pages(found["id"]))]
        return self._page(request, visits, len(visits))

    async def application_roles(self, request: web.Request) -> web.Response:
        """GET customApplications/{id}/sharedRoles/."""
        self._store.get("application", request.match_info["id"])
        return self._page(request, [self._role()], 1)

    async def name_check(self, request: web.Request) -> web.Response:
        """GET customApplications/nameCheck/."""
        return answer({"inUse": bool(self._store.find("application", name=request.query.get("name", ""))[1])})

    def _application(self, found: Body) -> Body:
        resources = self._store.application_resources(found)
        bundle = BUNDLES.get(resources["resourceLabel"], BUNDLES["cpu.small"])
        limits = {
            "memoryRequest": bundle.memory,
            "memoryLimit": bundle.memory,
            "cpuRequest": float(bundle.cpus),
            "cpuLimit": float(bundle.cpus),
        }
        return {
            **visible(found),
            **self._owner(),
            "resources": {**resources, **limits},
            "applicationUrl": f"{self._base()}/custom_applications/{found['id']}/",
        }

    # --- Credentials (1.6), use cases (1.7), notebooks (1.8) ----------------------------------------------------------

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

    # --- Shapes -------------------------------------------------------------------------------------------------------

    def _owner(self) -> Body:
        identity = self._identity
        return {
            "userId": identity.user_id,
            "orgId": identity.org_id,
            "createdBy": identity.email,
            "creatorUserhash": "4f9d2c7a1b3e5d6f8a0b1c2d3e4f5a6b",
            "creatorFirstName": "Local",
            "creatorLastName": "Admin",
            "permissions": PERMISSIONS,
        }

    def _role(self) -> Body:
        who = {"id": self._identity.user_id, "name": self._identity.email, "shareRecipientType": "user"}
        return {**who, "role": "OWNER"}

    def _person(self) -> Body:
        identity = self._identity
        return {
            "id": identity.user_id,
            "fullName": "Local Admin",
            "email": identity.email,
            "userhash": "4f9d2c7a1b3e5d6f8a0b1c2d3e4f5a6b",
            "username": identity.email,
        }

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

    def _below(self, kind: str, request: web.Request) -> Body:
        """Give a version, which has to be one of the object that the path names."""
        above = kind.removesuffix("Version")
        self._store.get(above, request.match_info["id"])
        found = self._store.get(kind, request.match_info["version"])
        if found[f"{above}Id"] != request.match_info["id"]:
            raise NotFound(f"{kind} {found['id']} was not found.")
        return found

    def _stored(
        self,
        request: web.Request,
        kind: str,
        shape: Callable[[Body], Body],
        *,
        parent: str | None = None,
        name: str | None = None,
        newest_first: bool = False,
        sort: str = "",
        where: Callable[[Body], bool] | None = None,
    ) -> web.Response:
        """Answer with a page of stored objects; filtering by `where` and sorting by a field read them all."""
        offset, limit = paging(request)
        if not sort and where is None:
            found, total = self._store.find(
                kind, parent=parent, name=name, offset=offset, limit=limit, newest_first=newest_first
            )
            return self._envelope(request, [shape(one) for one in found], total, offset, limit)
        found, _ = self._store.find(kind, parent=parent, name=name, newest_first=newest_first)
        found = [one for one in found if where is None or where(one)]
        if sort:
            key = sort.lstrip("-")
            found.sort(key=lambda one: _sortable(one.get(key)), reverse=sort.startswith("-"))
        page = [shape(one) for one in found[offset : offset + limit]]
        return self._envelope(request, page, len(found), offset, limit)

    def _page(self, request: web.Request, found: list[Body], total: int) -> web.Response:
        offset, limit = paging(request)
        return self._envelope(request, found[offset : offset + limit], total, offset, limit)

    def _envelope(self, request: web.Request, data: list[Body], total: int, offset: int, limit: int) -> web.Response:
        """Wrap a page (1.1): next and previous are absolute addresses or null."""

        def link(start: int) -> str:
            query = {**request.query, "offset": str(start), "limit": str(limit)}
            return f"{self._base()}{request.path}?{urlencode(query)}"

        return answer(
            {
                "count": len(data),
                "next": link(offset + limit) if offset + limit < total else None,
                "previous": link(max(0, offset - limit)) if offset > 0 else None,
                "totalCount": total,
                "data": data,
            }
        )


def visible(found: Body) -> Body:
    """Give an object without what only the emulator itself knows."""
    return {key: value for key, value in found.items() if not key.startswith("_")}


def _credential(found: Body) -> Body:
    shaped = visible(found)
    shaped["credentialId"] = shaped.pop("id")
    return shaped


def _sortable(value: Any) -> tuple[bool, float, str]:
    if isinstance(value, dict):
        value = value.get("at") or json.dumps(value, sort_keys=True)
    number = float(value) if isinstance(value, int | float) else 0.0
    return (value is not None, number, str(value).lower())


def bearer(request: web.BaseRequest) -> str:
    """Give the token of a request: the SDK says Token, everybody else Bearer (1.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else ""


def ordering(request: web.Request) -> str:
    """Read orderBy of sources and applications. Raises Invalid."""
    wanted = request.query.get("orderBy", "")
    if wanted.lstrip("-") not in ("", "name", "createdAt", "updatedAt"):
        raise wrong(orderBy="has to be name, createdAt or updatedAt, with a minus for descending")
    return wanted


def application_filter(request: web.Request, resources: Callable[[Body], Body]) -> Callable[[Body], bool] | None:
    """Read the filters of the list of applications (1.4); None without any. Raises Invalid."""
    query = request.query
    same = {key: query[key] for key in ("status", "customApplicationSourceId") if key in query}
    external, label = query.get("externalAccessEnabled", "").lower(), query.get("resourceLabel")
    if external not in ("", "true", "false"):
        raise wrong(externalAccessEnabled="has to be true or false")
    try:
        least, most = int(query.get("replicasMin", 0)), int(query.get("replicasMax", 2**31))
    except ValueError:
        raise wrong(replicasMin="replicasMin and replicasMax have to be whole numbers") from None
    of_resources = label is not None or query.keys() & {"replicasMin", "replicasMax"}
    if not same and not external and not of_resources:
        return None

    def wanted(one: Body) -> bool:
        if any(one.get(key) != value for key, value in same.items()):
            return False
        if external and one["externalAccessEnabled"] is not (external == "true"):
            return False
        if not of_resources:
            return True
        found = resources(one)
        return least <= found["replicas"] <= most and label in (None, found["resourceLabel"])

    return wanted


def paging(request: web.Request) -> tuple[int, int]:
    """Read offset and limit. Raises Invalid."""
    try:
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", DEFAULT_PAGE))
    except ValueError:
        raise wrong(limit="offset and limit have to be whole numbers") from None
    if not 0 <= offset <= FURTHEST_OFFSET or limit < 1:
        raise wrong(limit="offset cannot be negative or huge, limit has to be at least 1")
    return offset, min(limit, MOST_PAGE)


def answer(data: Any, status: int = 200) -> web.Response:
    """Answer with JSON; the content type is exactly application/json, as one client demands (1.1)."""
    return web.Response(status=status, body=json.dumps(data).encode(), content_type="application/json")


def error(status: int, message: str, errors: Mapping[str, str] | None = None) -> web.Response:
    """Answer with an error as the platform shapes it (1.1)."""
    return answer({"message": message, **({"errors": dict(errors)} if errors else {})}, status)


async def body(request: web.Request) -> dict[str, Any]:
    """Read a JSON object; an empty body counts as an empty object. Raises Invalid."""
    return parse_object(await _read(request.content, request.content_length, LARGEST_JSON))


async def _read(stream: aiohttp.StreamReader, length: int | None, most: int) -> bytes:
    """Read a body that may be so large at most, whether its length is announced or not. Raises Invalid."""
    content = bytearray()
    while (length or 0) <= most and len(content) <= most:
        if not (chunk := await stream.readany()):
            return bytes(content)
        content += chunk
    raise Invalid(f"The body is larger than {most // 2**20} MB.")


@dataclass(frozen=True)
class Part:
    """A file of a multipart body: the field it came in, its filename or filePath, its content."""

    field: str
    path: str
    content: Draft


@asynccontextmanager
async def multipart(request: web.Request, store: Store) -> AsyncIterator[tuple[dict[str, str], list[Part]]]:
    """Read a multipart body: text fields and files. What nobody has kept by the end is discarded. Raises Invalid."""
    drafts: list[Draft] = []
    try:
        yield await _parts(request, store, drafts)
    finally:
        for draft in drafts:
            draft.discard()


async def _parts(request: web.Request, store: Store, drafts: list[Draft]) -> tuple[dict[str, str], list[Part]]:
    too_large = f"The upload is larger than {LARGEST_UPLOAD // 2**20} MB."
    if not request.content_type.startswith("multipart/"):
        raise Invalid("The body is not multipart/form-data.")
    if (request.content_length or 0) > LARGEST_UPLOAD:
        raise Invalid(too_large)
    fields: dict[str, str] = {}
    paths: list[tuple[int, str]] = []
    files: list[Part] = []
    size = 0
    try:
        async for part in await request.multipart():
            if not isinstance(part, aiohttp.BodyPartReader):
                raise Invalid("The multipart body is nested.")
            drafts.append(draft := store.draft())
            while chunk := await part.read_chunk(UPLOAD_CHUNK):
                draft.write(chunk)
                size += len(chunk)
                if size > LARGEST_UPLOAD:
                    raise Invalid(too_large)
            if part.filename is not None:
                files.append(Part(part.name or "", part.filename, draft))
            elif part.name == "filePath":
                paths.append((len(files), draft.text()))
            else:
                fields[part.name or ""] = draft.text()
    except (ValueError, AssertionError, RuntimeError) as problem:
        raise Invalid(f"The multipart body cannot be read: {problem}") from None
    check({key: value for key, value in fields.items() if key != "resources"})
    return fields, _named(files, paths)


def _named(files: list[Part], paths: list[tuple[int, str]]) -> list[Part]:
    """Give every file its filePath; `paths` come with the number of files before them.

    The n-th path belongs to the n-th file, whether it follows its file or all come first (contract 1.1). Where there
    are fewer paths than files, a path belongs to the file before it.
    """
    if len(paths) > len(files):
        raise wrong(filePath="there are more of them than files")
    if len(paths) == len(files) or any(before == 0 for before, _ in paths):
        chosen = dict(enumerate(path for _, path in paths))
    else:
        chosen = {before - 1: path for before, path in paths}
    return [replace(file, path=chosen.get(number, file.path)) for number, file in enumerate(files)]


@asynccontextmanager
async def fields_and_files(
    request: web.Request, store: Store
) -> AsyncIterator[tuple[dict[str, Any], list[tuple[str, Draft]]]]:
    """Read a version's fields and files, from JSON or multipart. Raises Invalid, also for paths that lead out."""
    if not request.content_type.startswith("multipart/"):
        yield await body(request), []
        return
    async with multipart(request, store) as (text, parts):
        fields: dict[str, Any] = {key: value for key, value in text.items() if key not in ("resources", "replicas")}
        resources = parse_object(text.get("resources", "").encode())
        if "replicas" in text:
            resources["replicas"] = (
                int(text["replicas"]) if text["replicas"].isascii() and text["replicas"].isdigit() else 0
            )
        check({"resources": resources})
        if resources:
            fields["resources"] = resources
        files = [(part.path, part.content) for part in parts if part.field == "file"]
        for path, _ in files:
            check_path(path)
        yield fields, files

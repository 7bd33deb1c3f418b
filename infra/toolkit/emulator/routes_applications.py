"""The API of applications (platform-contract 1.4)."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from toolkit.bundles import BUNDLES
from toolkit.emulator.answers import answer, body, visible
from toolkit.emulator.fields import NotEmulated, wrong
from toolkit.emulator.objects import Body, as_written
from toolkit.emulator.routes_catalogue import API
from toolkit.emulator.routes_shared import Handlers
from toolkit.emulator.routes_sources import ordering


class ApplicationRoutes(Handlers):
    """Handlers of customApplications/."""

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

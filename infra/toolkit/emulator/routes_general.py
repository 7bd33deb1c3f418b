"""The API of what belongs to the platform itself (platform-contract 1.5 and 1.8)."""

from __future__ import annotations

import re

from aiohttp import web

from toolkit.bundles import BUNDLES
from toolkit.emulator.answers import answer, body
from toolkit.emulator.fields import wrong
from toolkit.emulator.routes_catalogue import API
from toolkit.emulator.routes_shared import Handlers

VERSION = {"major": 2, "minor": 49, "versionString": "2.49.0", "releasedVersion": "2.49.0"}
FEATURE = re.compile(r"[A-Z][A-Z0-9_]{2,120}")


class GeneralRoutes(Handlers):
    """Handlers of the version, the account, bundles, features, and the progress of an application."""

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

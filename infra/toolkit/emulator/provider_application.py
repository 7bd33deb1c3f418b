"""CustomApplication in the stand-in provider (platform-contract 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.emulator.provider_plan import Attribute, ResourceType, Values
from toolkit.emulator.provider_resource import OperationFailed, VanishedError, known, name_taken, without_unknown
from toolkit.emulator.provider_rest import ApiError, NotFoundError, Platform

BASE = "/customApplications/"
RESOURCE_FIELDS = ("replicas", "resourceLabel", "sessionAffinity", "serviceWebRequestsOnRootPath", "healthEndpointPath")
SIZES = ("nano", "micro", "small", "medium", "large", *(f"{size}xlarge" for size in ("", *range(2, 8))))
ACCESS = ("externalAccessEnabled", "externalAccessRecipients")


class CustomApplication:
    """A running application made from one version of a source."""

    kind = ResourceType(
        token="datarobot:index/customApplication:CustomApplication",  # noqa: S106 - a type token
        attributes=(
            Attribute("id", computed=True, keep=True),
            Attribute("sourceId", computed=True, keep=True),
            Attribute("sourceVersionId", required=True),
            Attribute("name", optional=True, computed=True),
            Attribute("applicationUrl", computed=True, keep=True),
            Attribute("externalAccessEnabled", optional=True, computed=True, keep=True),
            Attribute("externalAccessRecipients", optional=True, computed=True, keep=True),
            Attribute("allowAutoStopping", optional=True, computed=True, default=True),
            Attribute(
                "resources",
                optional=True,
                computed=True,
                keep=True,
                nested=tuple(
                    Attribute(
                        name,
                        optional=True,
                        # the biggest bundle, cpu.8xlarge, is missing here (platform-contract 5, 1)
                        allowed=tuple(f"cpu.{size}" for size in SIZES) if name == "resourceLabel" else (),
                    )
                    for name in RESOURCE_FIELDS
                ),
            ),
            Attribute("useCaseIds", optional=True),
            Attribute("requiredKeyScopeLevel", optional=True, replace=True),
        ),
    )

    def facts(self, config: Mapping[str, Any]) -> Values:
        """Nothing of an application comes from disk."""
        del config
        return {}

    def create(self, platform: Platform, planned: Values) -> Values:
        """Start the application, give it its name and wait until it runs."""
        body: Values = {"applicationSourceVersionId": planned["sourceVersionId"]}
        if isinstance(planned.get("resources"), dict):
            body["resources"] = without_unknown(planned["resources"])
        if known(planned.get("requiredKeyScopeLevel")):
            body["requiredKeyScopeLevel"] = planned["requiredKeyScopeLevel"]
        try:
            identifier = str(platform.post(BASE, body)["id"])
        except ApiError as error:
            raise OperationFailed("Error creating Custom Application", error) from error
        details = without_unknown({name: planned.get(name) for name in ("name", *ACCESS)})
        stopping = planned["allowAutoStopping"]
        if details or not stopping:
            try:
                platform.patch(f"{BASE}{identifier}/", details | {"allowAutoStopping": stopping})
            except ApiError as error:
                problem = name_taken(error, "Application", str(planned.get("name")))
                raise OperationFailed("Error adding details to Custom Application", problem) from error
        application = self._running(platform, identifier)
        for use_case in planned.get("useCaseIds") or ():
            try:
                self._link(platform, use_case, identifier)
            except ApiError as error:
                summary = f'Error adding Custom Application to Use Case "{use_case}"'
                raise OperationFailed(summary, error) from error
        return planned | _answered(application) | {"name": application.get("name")}

    def read(self, platform: Platform, state: Values) -> Values | None:
        """Take everything from the platform except key scope and use cases."""
        try:
            application = platform.get(f"{BASE}{state['id']}/")
        except NotFoundError:
            return None
        except ApiError as error:
            raise OperationFailed(f"Error getting Custom Application with ID {state['id']}", error) from error
        return (
            state
            | _answered(application)
            | {
                "name": application.get("name"),
                "sourceVersionId": application.get("customApplicationSourceVersionId"),
                "allowAutoStopping": application.get("allowAutoStopping"),
            }
        )

    def update(self, platform: Platform, planned: Values, prior: Values, config: Values) -> Values:
        """Rename it, move it to another source version, change its access; `resources` are never sent."""
        identifier = str(prior["id"])
        body: Values = {}
        if planned.get("name") != prior.get("name"):
            body["name"] = planned.get("name")
        if planned.get("sourceVersionId") != prior.get("sourceVersionId"):
            body["customApplicationSourceVersionId"] = planned.get("sourceVersionId")
        body |= without_unknown({name: config.get(name) for name in ACCESS})
        body["allowAutoStopping"] = planned["allowAutoStopping"]
        try:
            platform.patch(f"{BASE}{identifier}/", body)
        except NotFoundError as error:
            raise VanishedError from error
        except ApiError as error:
            problem = name_taken(error, "Application", str(planned.get("name")))
            raise OperationFailed("Error updating Custom Application", problem) from error
        application = self._running(platform, identifier)
        try:
            self._relink(platform, identifier, prior.get("useCaseIds") or (), planned.get("useCaseIds") or ())
        except ApiError as error:
            raise OperationFailed("Error updating Use Cases for Custom Application", error) from error
        return planned | _answered(application)

    def delete(self, platform: Platform, state: Values) -> None:
        """Delete it without waiting until it is gone."""
        try:
            platform.delete(f"{BASE}{state['id']}/")
        except ApiError as error:
            raise OperationFailed("Error deleting Custom Application", error) from error

    def _running(self, platform: Platform, identifier: str) -> Values:
        path = f"{BASE}{identifier}/"

        def not_ready() -> str:
            status = platform.get(path).get("status")
            if status == "failed":
                raise ApiError("application failed to create, review the logs for more details")
            return "" if status == "running" else "application is not ready"

        try:
            platform.wait(not_ready)
            application: Values = platform.get(path)
        except ApiError as error:
            raise OperationFailed("Custom Application is not ready", error) from error
        return application

    def _link(self, platform: Platform, use_case: str, identifier: str) -> None:
        try:
            platform.post(f"/useCases/{use_case}/customApplications/{identifier}/", {})
        except ApiError as error:
            if "already linked to this Use Case" not in str(error):
                raise

    def _relink(self, platform: Platform, identifier: str, before: Sequence[str], after: Sequence[str]) -> None:
        """All wanted links are made, then all old ones removed, also those still wanted (platform-contract 5, 11)."""
        if list(before) == list(after):
            return
        for use_case in after:
            self._link(platform, use_case, identifier)
        for use_case in before:
            platform.delete(f"/useCases/{use_case}/customApplications/{identifier}/")


def _answered(application: Mapping[str, Any]) -> Values:
    resources = application.get("resources")
    return {
        "id": application.get("id"),
        "sourceId": application.get("customApplicationSourceId"),
        "applicationUrl": application.get("applicationUrl"),
        "externalAccessEnabled": bool(application.get("externalAccessEnabled")),
        "externalAccessRecipients": application.get("externalAccessRecipients") or [],
        "resources": {name: resources[name] for name in RESOURCE_FIELDS if resources.get(name) is not None}
        if resources
        else None,
    }

"""ApiTokenCredential and UseCase in the stand-in provider (platform-contract 2.4, 1.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.emulator.provider_plan import Attribute, ResourceType, Values
from toolkit.emulator.provider_resource import OperationFailed, VanishedError, name_taken
from toolkit.emulator.provider_rest import ApiError, NotFoundError, Platform


class _Described:
    """What has a name and a description below `path`; `what` is what the provider's sentences call it."""

    path: str
    what: str

    def facts(self, config: Mapping[str, Any]) -> Values:
        """Nothing of it comes from disk."""
        del config
        return {}

    def reason(self, error: ApiError, planned: Values) -> object:
        """Give what a failed write is explained with."""
        del planned
        return error

    def changes(self, planned: Values) -> Values:
        """Give the body of an update."""
        return _described(planned)

    def make(self, platform: Platform, planned: Values, body: Values) -> Any:
        """Make it; give the platform's answer."""
        try:
            return platform.post(self.path, body)
        except ApiError as error:
            raise OperationFailed(f"Error creating {self.what}", self.reason(error, planned)) from error

    def read(self, platform: Platform, state: Values) -> Values | None:
        """Take name and description."""
        try:
            answer = platform.get(f"{self.path}{state['id']}/")
        except NotFoundError:
            return None
        except ApiError as error:
            raise OperationFailed(f"Error getting {self.what} with ID {state['id']}", error) from error
        return state | {
            "name": answer.get("name"),
            "description": answer.get("description") or state.get("description"),
        }

    def update(self, platform: Platform, planned: Values, prior: Values, config: Values) -> Values:
        """Change name and description."""
        del config
        try:
            platform.patch(f"{self.path}{prior['id']}/", self.changes(planned))
        except NotFoundError as error:
            raise VanishedError from error
        except ApiError as error:
            raise OperationFailed(f"Error updating {self.what}", self.reason(error, planned)) from error
        return planned

    def delete(self, platform: Platform, state: Values) -> None:
        """Delete it."""
        try:
            platform.delete(f"{self.path}{state['id']}/")
        except ApiError as error:
            raise OperationFailed(f"Error deleting {self.what}", error) from error


class ApiTokenCredential(_Described):
    """A secret text; its value is write-only, so a changed value is a new credential."""

    path, what = "/credentials/", "Api Token Credential"
    kind = ResourceType(
        token="datarobot:index/apiTokenCredential:ApiTokenCredential",  # noqa: S106 - a type token
        attributes=(
            Attribute("id", computed=True, keep=True),
            Attribute("name", required=True),
            Attribute("description", optional=True),
            Attribute("apiToken", required=True, replace=True, secret=True),
        ),
    )

    def reason(self, error: ApiError, planned: Values) -> object:
        """Give the provider's own sentence where the name is taken."""
        return name_taken(error, "Credential", planned["name"])

    def create(self, platform: Platform, planned: Values) -> Values:
        """Make it."""
        body = _described(planned) | {"credentialType": "api_token", "apiToken": planned["apiToken"]}
        return planned | {"id": self.make(platform, planned, body)["credentialId"]}


class UseCase(_Described):
    """A use case that applications can be linked to. Not recorded; follows platform-contract 1.7."""

    path, what = "/useCases/", "Use Case"
    kind = ResourceType(
        token="datarobot:index/useCase:UseCase",  # noqa: S106 - a type token
        attributes=(
            Attribute("id", computed=True, keep=True),
            Attribute("name", optional=True, computed=True, keep=True),
            Attribute("description", optional=True),
        ),
    )

    def changes(self, planned: Values) -> Values:
        """Give name and description, also an empty one."""
        return {"name": planned.get("name"), "description": planned.get("description", "")}

    def create(self, platform: Platform, planned: Values) -> Values:
        """Make it."""
        return planned | {"id": self.make(platform, planned, _described(planned))["id"]}


def _described(planned: Mapping[str, Any]) -> Values:
    body = {"name": planned["name"]}
    if planned.get("description"):
        body["description"] = planned["description"]
    return body

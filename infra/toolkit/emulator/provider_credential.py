"""ApiTokenCredential and UseCase in the stand-in provider (platform-contract 2.4, 1.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.emulator.provider_plan import Attribute, ResourceType, Values
from toolkit.emulator.provider_resource import OperationFailed, VanishedError, name_taken
from toolkit.emulator.provider_rest import ApiError, NotFoundError, Platform


class ApiTokenCredential:
    """A secret text; its value is write-only, so a changed value is a new credential."""

    kind = ResourceType(
        token="datarobot:index/apiTokenCredential:ApiTokenCredential",  # noqa: S106 - a type token
        attributes=(
            Attribute("id", computed=True, keep=True),
            Attribute("name", required=True),
            Attribute("description", optional=True),
            Attribute("apiToken", required=True, replace=True, secret=True),
        ),
    )

    def facts(self, config: Mapping[str, Any]) -> Values:
        """Nothing of a credential comes from disk."""
        del config
        return {}

    def create(self, platform: Platform, planned: Values) -> Values:
        """Make it."""
        body = _described(planned) | {"credentialType": "api_token", "apiToken": planned["apiToken"]}
        try:
            answer = platform.post("/credentials/", body)
        except ApiError as error:
            problem = name_taken(error, "Credential", planned["name"])
            raise OperationFailed("Error creating Api Token Credential", problem) from error
        return planned | {"id": answer["credentialId"]}

    def read(self, platform: Platform, state: Values) -> Values | None:
        """Take name and description."""
        try:
            answer = platform.get(f"/credentials/{state['id']}/")
        except NotFoundError:
            return None
        except ApiError as error:
            raise OperationFailed(f"Error getting Api Token Credential with ID {state['id']}", error) from error
        return state | {
            "name": answer.get("name"),
            "description": answer.get("description") or state.get("description"),
        }

    def update(self, platform: Platform, planned: Values, prior: Values, config: Values) -> Values:
        """Change name and description."""
        del config
        try:
            platform.patch(f"/credentials/{prior['id']}/", _described(planned))
        except NotFoundError as error:
            raise VanishedError from error
        except ApiError as error:
            problem = name_taken(error, "Credential", planned["name"])
            raise OperationFailed("Error updating Api Token Credential", problem) from error
        return planned

    def delete(self, platform: Platform, state: Values) -> None:
        """Delete it."""
        try:
            platform.delete(f"/credentials/{state['id']}/")
        except ApiError as error:
            raise OperationFailed("Error deleting Api Token Credential", error) from error


class UseCase:
    """A use case that applications can be linked to. Not recorded; follows platform-contract 1.7."""

    kind = ResourceType(
        token="datarobot:index/useCase:UseCase",  # noqa: S106 - a type token
        attributes=(
            Attribute("id", computed=True, keep=True),
            Attribute("name", optional=True, computed=True, keep=True),
            Attribute("description", optional=True),
        ),
    )

    def facts(self, config: Mapping[str, Any]) -> Values:
        """Nothing of a use case comes from disk."""
        del config
        return {}

    def create(self, platform: Platform, planned: Values) -> Values:
        """Make it."""
        try:
            answer = platform.post("/useCases/", _described(planned))
        except ApiError as error:
            raise OperationFailed("Error creating Use Case", error) from error
        return planned | {"id": answer["id"]}

    def read(self, platform: Platform, state: Values) -> Values | None:
        """Take name and description."""
        try:
            answer = platform.get(f"/useCases/{state['id']}/")
        except NotFoundError:
            return None
        except ApiError as error:
            raise OperationFailed(f"Error getting Use Case with ID {state['id']}", error) from error
        return state | {
            "name": answer.get("name"),
            "description": answer.get("description") or state.get("description"),
        }

    def update(self, platform: Platform, planned: Values, prior: Values, config: Values) -> Values:
        """Change name and description."""
        del config
        body = {"name": planned.get("name"), "description": planned.get("description", "")}
        try:
            platform.patch(f"/useCases/{prior['id']}/", body)
        except NotFoundError as error:
            raise VanishedError from error
        except ApiError as error:
            raise OperationFailed("Error updating Use Case", error) from error
        return planned

    def delete(self, platform: Platform, state: Values) -> None:
        """Delete it."""
        try:
            platform.delete(f"/useCases/{state['id']}/")
        except ApiError as error:
            raise OperationFailed("Error deleting Use Case", error) from error


def _described(planned: Mapping[str, Any]) -> Values:
    body = {"name": planned["name"]}
    if planned.get("description"):
        body["description"] = planned["description"]
    return body

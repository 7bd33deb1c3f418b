"""ExecutionEnvironment in the stand-in provider (platform-contract 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.emulator import provider_files as files
from toolkit.emulator.provider_plan import UNKNOWN, Attribute, ResourceType, Values
from toolkit.emulator.provider_resource import OperationFailed, PlanProblem, VanishedError, known
from toolkit.emulator.provider_rest import ApiError, NotFoundError, Platform

BASE = "/executionEnvironments/"
NEW_VERSION = (
    "versionDescription",
    "dockerContextPath",
    "dockerContextHash",
    "dockerImage",
    "dockerImageHash",
    "dockerImageUri",
)


def _finish(values: Values, prior: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> Values:
    finished = values | dict(facts)
    changed = prior is not None and any(finished[name] != prior.get(name) for name in facts)
    return finished | {"versionId": UNKNOWN} if changed else finished


class ExecutionEnvironment:
    """An environment with one image build per changed context."""

    kind = ResourceType(
        token="datarobot:index/executionEnvironment:ExecutionEnvironment",  # noqa: S106 - a type token
        attributes=(
            Attribute("id", computed=True, keep=True),
            Attribute("name", required=True),
            Attribute(
                "programmingLanguage",
                required=True,
                replace=True,
                allowed=("python", "java", "julia", "r", "legacy", "other"),
            ),
            Attribute("description", optional=True),
            Attribute("useCases", required=True, allowed=("customApplication", "customModel", "notebook")),
            Attribute("versionId", computed=True),
            Attribute("versionDescription", optional=True),
            Attribute("dockerContextPath", optional=True),
            Attribute("dockerContextHash", computed=True),
            Attribute("dockerImage", optional=True),
            Attribute("dockerImageHash", computed=True),
            Attribute("dockerImageUri", optional=True),
            Attribute("buildStatus", computed=True),
        ),
        one_of=("dockerContextPath", "dockerImage", "dockerImageUri"),
        finish=_finish,
    )

    def facts(self, config: Mapping[str, Any]) -> Values:
        """Hashes of the context archive and of the image file; a missing one has the hash of nothing."""
        context = image = b""
        try:
            if known(config.get("dockerContextPath")):
                context = files.docker_context(config["dockerContextPath"]).content
        except files.FileProblem as problem:
            raise PlanProblem("Error getting Docker context", problem) from problem
        try:
            if known(config.get("dockerImage")):
                image = files.docker_image(config["dockerImage"]).content
        except files.FileProblem as problem:
            raise PlanProblem("Error getting Docker image", problem) from problem
        return {"dockerContextHash": files.sha256(context), "dockerImageHash": files.sha256(image)}

    def create(self, platform: Platform, planned: Values) -> Values:
        """Make the environment, upload its first version and wait for the build."""
        body = {"name": planned["name"]}
        if planned.get("description"):
            body["description"] = planned["description"]
        body |= {"programmingLanguage": planned["programmingLanguage"], "useCases": planned["useCases"]}
        try:
            identifier = str(platform.post(BASE, body)["id"])
        except ApiError as error:
            raise OperationFailed("Error creating Execution Environment", error) from error
        try:
            self._new_version(platform, identifier, planned)
        except ApiError as error:
            raise OperationFailed("Error creating Execution Environment Version", error) from error
        return planned | self._built(platform, identifier)

    def read(self, platform: Platform, state: Values) -> Values | None:
        """Take name, language, use cases and the build status of the version in the state (else of the latest)."""
        path = f"{BASE}{state['id']}/"
        try:
            environment = platform.get(path)
        except NotFoundError:
            return None
        except ApiError as error:
            raise OperationFailed(f"Error getting Execution Environment with ID {state['id']}", error) from error
        version = environment.get("latestVersion") or {}
        if state.get("versionId"):
            try:
                version = platform.get(f"{path}versions/{state['versionId']}/")
            except ApiError as error:
                raise OperationFailed("Error getting Execution Environment Version", error) from error
        seen = {
            "name": environment.get("name"),
            "programmingLanguage": environment.get("programmingLanguage"),
            "useCases": environment.get("useCases"),
            "versionId": version.get("id"),
            "buildStatus": version.get("buildStatus"),
            "description": environment.get("description") or state.get("description"),
            "versionDescription": version.get("description") or state.get("versionDescription"),
            "dockerImageUri": version.get("sourceDockerImageUri") or state.get("dockerImageUri"),
        }
        return state | seen

    def update(self, platform: Platform, planned: Values, prior: Values, config: Values) -> Values:
        """Change the environment; a new version only for a changed context, image or version description."""
        del config
        identifier = str(prior["id"])
        body = {
            "name": planned["name"],
            "description": planned.get("description", ""),
            "useCases": planned["useCases"],
        }
        try:
            platform.patch(f"{BASE}{identifier}/", body)
        except NotFoundError as error:
            raise VanishedError from error
        except ApiError as error:
            raise OperationFailed("Error updating Execution Environment", error) from error
        if any(planned.get(name) != prior.get(name) for name in NEW_VERSION):
            try:
                self._new_version(platform, identifier, planned)
            except ApiError as error:
                raise OperationFailed("Error creating new Execution Environment Version", error) from error
        return planned | self._built(platform, identifier)

    def delete(self, platform: Platform, state: Values) -> None:
        """Delete the environment with its versions."""
        try:
            platform.delete(f"{BASE}{state['id']}/")
        except ApiError as error:
            raise OperationFailed("Error deleting Execution Environment", error) from error

    def find(self, platform: Platform, name: str) -> Values:
        """The data source getExecutionEnvironment: the environment with exactly this name."""
        try:
            page = platform.get(BASE)
        except ApiError as error:
            raise OperationFailed("Error getting Execution Environment", error) from error
        for environment in page["data"]:
            if environment["name"] == name:
                version = environment.get("latestVersion") or {}
                found = {key: environment.get(key) for key in ("id", "name", "description", "programmingLanguage")}
                return found | {"versionId": version.get("id")}
        raise OperationFailed(
            "Execution Environment not found", f"Execution Environment with name {name} is not found."
        )

    def _new_version(self, platform: Platform, identifier: str, planned: Values) -> None:
        fields = {"description": planned.get("versionDescription", "")}
        parts = []
        if known(planned.get("dockerImageUri")):
            fields["dockerImageUri"] = planned["dockerImageUri"]
        if known(planned.get("dockerContextPath")):
            parts.append(files.docker_context(planned["dockerContextPath"]))
        if known(planned.get("dockerImage")):
            parts.append(files.docker_image(planned["dockerImage"]))
        platform.upload("POST", f"{BASE}{identifier}/versions/", fields, parts)

    def _built(self, platform: Platform, identifier: str) -> Values:
        path = f"{BASE}{identifier}/"

        def not_ready() -> str:
            status = platform.get(f"{path}versions/{version}/").get("buildStatus")
            if status == "failed":
                raise ApiError("execution environment failed to create, review the logs for more details")
            return "" if status == "success" else "execution environment is not ready"

        try:
            version = (platform.get(path).get("latestVersion") or {}).get("id", "")
            platform.wait(not_ready)
            latest = platform.get(path).get("latestVersion") or {}
        except ApiError as error:
            raise OperationFailed("Execution Environment failed to build", error) from error
        return {"id": identifier, "versionId": latest.get("id"), "buildStatus": latest.get("buildStatus")}

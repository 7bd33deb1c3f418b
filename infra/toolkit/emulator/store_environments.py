"""What the store does with execution environments and their versions (platform-contract 1.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.emulator.blobs import Draft
from toolkit.emulator.fields import Conflict, check_required
from toolkit.emulator.objects import Body, Users, new_id, now


class Environments(Users):
    """Execution environments, each with its versions."""

    def create_environment(self, name: str, description: str, language: str, use_cases: Sequence[str]) -> Body:
        """Create an execution environment, without a version yet; names need not be unique."""
        check_required(name=name)
        body = {
            "name": name,
            "description": description,
            "programmingLanguage": language,
            "useCases": list(use_cases),
            "isPublic": False,
            "created": now(),
            "latestVersion": None,
            "latestSuccessfulVersion": None,
            "requiredMetadataKeys": [],
        }
        return self.add("environment", body)

    def update_environment(self, environment_id: str, fields: Mapping[str, Any]) -> Body:
        """Change name, description, use cases."""
        changes = {key: fields[key] for key in ("name", "description", "useCases") if fields.get(key) is not None}
        return self.change("environment", environment_id, lambda body: body.update(changes))

    def delete_environment(self, environment_id: str) -> None:
        """Remove an environment with its versions. Raises Conflict while an application runs on one of them."""
        with self.transaction():
            for version in self.find("environmentVersion", parent=environment_id)[0]:
                if (user := self._user("envVersionId", version["id"])) is not None:
                    raise Conflict(f"The execution environment is used by the application {user!r}.")
            self.remove("environment", environment_id)

    def create_environment_version(
        self, environment_id: str, description: str, context: bytes | Draft, filename: str, label: str | None = None
    ) -> Body:
        """Add a version; it is the environment's latest at once, whatever becomes of its build."""
        self.get("environment", environment_id)
        body = {
            "id": new_id(),
            "environmentId": environment_id,
            "label": label,
            "description": description,
            "buildStatus": "submitted",
            "imageId": new_id(),
            "created": now(),
            "dockerContextSize": context.size if isinstance(context, Draft) else len(context),
            "dockerImageSize": None,
            "sourceDockerImageUri": None,
            "_context": self.put_blob(context),
            "_filename": filename,
            "_log": "",
            "_error": "",
        }
        with self.transaction():
            self.change("environment", environment_id, lambda found: found.update(latestVersion=body["id"]))
            return self.add("environmentVersion", body, parent=environment_id)

    def set_build(self, version_id: str, status: str, *, log: str = "", error: str = "") -> Body:
        """Note how the build of an environment's version goes."""

        def change(body: Body) -> None:
            body.update(buildStatus=status, _log=log or body["_log"], _error=error)

        with self.transaction():
            version = self.change("environmentVersion", version_id, change)
            if status == "success":
                self.change(
                    "environment",
                    version["environmentId"],
                    lambda found: found.update(latestSuccessfulVersion=version_id),
                )
        return version

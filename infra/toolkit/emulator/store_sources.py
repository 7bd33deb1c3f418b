"""What the store does with application sources, their versions and files (platform-contract 1.3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolkit.emulator.blobs import Draft
from toolkit.emulator.fields import Conflict, Invalid, NotEmulated, parameter_problem, wanted_resources, wrong
from toolkit.emulator.objects import Body, Users, new_id, now

DEFAULT_RESOURCES = {
    "replicas": 1,
    "resourceLabel": "cpu.small",
    "sessionAffinity": False,
    "serviceWebRequestsOnRootPath": False,
}


class Sources(Users):
    """Application sources, each with its versions."""

    def create_source(self, name: str | None) -> Body:
        """Create a source, without a version yet. Raises Conflict when the name is taken."""
        name = name or "CustomApplicationSource"
        with self.transaction():
            self._free_name("source", name, "Application source")
            return self.add("source", {"name": name, "latestVersion": None, "createdAt": now(), "updatedAt": now()})

    def update_source(self, source_id: str, fields: Mapping[str, Any]) -> Body:
        """Rename a source, or change the resources of its latest version."""
        with self.transaction():
            name = fields.get("name")
            if name:
                self._free_name("source", name, "Application source", but=source_id)
                self.change("source", source_id, lambda body: body.update(name=name, updatedAt=now()))
            found = self.get("source", source_id)
            if fields.get("resources") and found["latestVersion"]:
                self.update_source_version(found["latestVersion"], {"resources": fields["resources"]})
        return found

    def delete_source(self, source_id: str) -> None:
        """Remove a source with its versions. An application that runs from one of them keeps running."""
        with self.transaction():
            self.get("source", source_id)
            # What an application runs from is kept, hidden, so that it can be started again.
            for version in self.find("sourceVersion", parent=source_id)[0]:
                if self._user("customApplicationSourceVersionId", version["id"]) is not None:
                    self._db.execute("UPDATE object SET parent = '' WHERE id = ?", (version["id"],))
            self.remove("source", source_id)

    def delete_source_version(self, version_id: str) -> None:
        """Remove a version of a source. Raises Conflict while an application runs from it."""
        with self.transaction():
            version = self.get("sourceVersion", version_id)
            if (user := self._user("customApplicationSourceVersionId", version_id)) is not None:
                raise Conflict(f"The version is used by the application {user!r}.")
            self.remove("sourceVersion", version_id)
            left = self.find("sourceVersion", parent=version["sourceId"], newest_first=True, limit=1)[0]
            latest = left[0]["id"] if left else None
            self.change("source", version["sourceId"], lambda body: body.update(latestVersion=latest, updatedAt=now()))

    def _drop_hidden_versions(self) -> None:
        for version in self.find("sourceVersion", parent="")[0]:
            if self._user("customApplicationSourceVersionId", version["id"]) is None:
                self.remove("sourceVersion", version["id"])

    def create_source_version(
        self, source_id: str, fields: Mapping[str, Any], files: Iterable[tuple[str, bytes | Draft]] = ()
    ) -> Body:
        """Add a version to a source: from `baseVersion` with its files, environment and key scope, or an empty one."""
        self.get("source", source_id)
        base = (
            self._existing("sourceVersion", fields["baseVersion"], "baseVersion") if fields.get("baseVersion") else None
        )
        if base and base["sourceId"] != source_id:
            raise wrong(baseVersion="belongs to another source")
        body: Body = {
            "id": new_id(),
            "label": fields.get("label") or "v1",
            "sourceId": source_id,
            "baseEnvironmentId": base["baseEnvironmentId"] if base else None,
            "baseEnvironmentVersionId": base["baseEnvironmentVersionId"] if base else None,
            "isFrozen": False,
            "items": [{**item, "id": new_id()} for item in base["items"]] if base else [],
            "resources": {**DEFAULT_RESOURCES, **(base["resources"] if base else {})},
            "runtimeParameters": list(base["runtimeParameters"]) if base else [],
            "requiredKeyScopeLevel": base["requiredKeyScopeLevel"] if base else None,
            "createdAt": now(),
            "updatedAt": now(),
        }
        if "requiredKeyScopeLevel" in fields:
            body["requiredKeyScopeLevel"] = fields["requiredKeyScopeLevel"]
        self._apply(body, fields)
        _put(body, [(path, self.put_blob(content)) for path, content in files])
        with self.transaction():
            self.change("source", source_id, lambda found: found.update(latestVersion=body["id"], updatedAt=now()))
            return self.add("sourceVersion", body, parent=source_id)

    def update_source_version(
        self, version_id: str, fields: Mapping[str, Any], files: Iterable[tuple[str, bytes | Draft]] = ()
    ) -> Body:
        """Change a version: environment, resources, files to delete, parameters; then add or replace `files`."""
        stored = [(path, self.put_blob(content)) for path, content in files]

        def change(body: Body) -> None:
            if body["isFrozen"]:
                raise Conflict("The version is frozen: an application was made from it.")
            self._apply(body, fields)
            gone = set(fields.get("filesToDelete") or ())
            body["items"] = [item for item in body["items"] if item["id"] not in gone]
            _put(body, stored)
            body["updatedAt"] = now()

        return self.change("sourceVersion", version_id, change)

    def _apply(self, body: Body, fields: Mapping[str, Any]) -> None:
        if version_id := fields.get("baseEnvironmentVersionId"):
            version = self._existing("environmentVersion", version_id, "baseEnvironmentVersionId")
            body.update(baseEnvironmentVersionId=version_id, baseEnvironmentId=version["environmentId"])
        elif environment_id := fields.get("baseEnvironmentId"):
            environment = self._existing("environment", environment_id, "baseEnvironmentId")
            latest = environment["latestSuccessfulVersion"] or environment["latestVersion"]
            body.update(baseEnvironmentVersionId=latest, baseEnvironmentId=environment_id)
        if fields.get("resources"):
            body["resources"] = {**body["resources"], **wanted_resources(fields["resources"])}
        if "requiredKeyScopeLevel" in fields and fields["requiredKeyScopeLevel"] != body["requiredKeyScopeLevel"]:
            raise Invalid("requiredKeyScopeLevel cannot be changed.", {"requiredKeyScopeLevel": "cannot be changed"})
        for key in ("runtimeParameters", "runtimeParameterValues"):
            if key in fields:
                body["runtimeParameters"] = _parameters(fields[key], body["runtimeParameters"], key)
                for one in body["runtimeParameters"]:
                    if one["type"] == "credential" and one["currentValue"] is not None:
                        credential = self._existing("credential", one["currentValue"], key)
                        if credential["credentialType"] != "api_token":
                            raise NotEmulated(
                                f"parameters with a credential of the type {credential['credentialType']}"
                            )


def _put(body: Body, stored: Sequence[tuple[str, str]]) -> None:
    """Put files (path, digest) into a version; a path that is there already, or comes twice, is replaced."""
    new = dict(stored)
    kept = [item for item in body["items"] if item["filePath"] not in new]
    body["items"] = kept + [_item(path, digest) for path, digest in new.items()]
    paths = {item["filePath"] for item in body["items"]}
    for path in paths:
        parts = path.split("/")
        if any("/".join(parts[:count]) in paths for count in range(1, len(parts))):
            raise wrong(filePath=f"a folder of {path[:100]!r} is a file too")


def _item(path: str, digest: str) -> Body:
    return {
        "id": new_id(),
        "fileName": path.rsplit("/", 1)[-1],
        "filePath": path,
        "fileSource": "local",
        "created": now(),
        "commitSha": None,
        "ref": None,
        "repositoryFilePath": None,
        "repositoryLocation": None,
        "repositoryName": None,
        "storagePath": digest,
        "workspaceId": None,
    }


def _parameters(raw: Any, before: list[Body], key: str) -> list[Body]:
    """Read parameters, which come as a string that holds JSON: the whole list, or (…Values) single new values."""
    try:
        wanted = json.loads(raw) if isinstance(raw, str) else raw
        if not isinstance(wanted, list):
            raise TypeError
        named = {str(one["fieldName"]): one for one in wanted}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Invalid(f"{key} is not a list of parameters.", {key: "is not a list of parameters"}) from None
    value_key = "currentValue" if key == "runtimeParameters" else "value"
    for name, one in named.items():
        if problem := parameter_problem(name, one.get("type", "string"), one.get(value_key)):
            raise wrong(**{key: problem})
    if key == "runtimeParameters":
        return [_parameter(name, one, one.get(value_key)) for name, one in named.items()]
    merged = {one["fieldName"]: one for one in before}
    for name, one in named.items():
        if one.get(value_key) is None:
            merged.pop(name, None)
        else:
            merged[name] = _parameter(name, one, one[value_key])
    return list(merged.values())


def _parameter(name: str, given: Mapping[str, Any], value: Any) -> Body:
    return {
        "fieldName": name,
        "type": given.get("type", "string"),
        "defaultValue": None,
        "credentialType": None,
        "allowEmpty": True,
        "description": None,
        "overrideValue": value,
        "currentValue": value,
    }

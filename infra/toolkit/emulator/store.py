"""What the local platform keeps: objects in SQLite, file contents as blobs. Knows no HTTP.

Methods are named for the operations of the API. A write is on disk when its method returns: with WAL and
synchronous=NORMAL a commit survives the end of the process at any moment (only a crash of the machine may cost the last
ones, which is no promise of an emulator).
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.emulator import migrations
from toolkit.emulator.blobs import Draft, keep
from toolkit.emulator.fields import (
    Conflict,
    Invalid,
    NotEmulated,
    NotFound,
    check_required,
    parameter_problem,
    wanted_resources,
    wrong,
)

DATABASE = "emulator.sqlite"
DEFAULT_RESOURCES = {
    "replicas": 1,
    "resourceLabel": "cpu.small",
    "sessionAffinity": False,
    "serviceWebRequestsOnRootPath": False,
}
MOST_LOG_LINES = 1000
MOST_GLANCES = 1000
AT_ONCE = 500
# The provider and the SDK name applications differently in the paths of use cases (platform-contract 1.7).
APPLICATION_TYPES = ("customApplications", "applications")

# The fields of each type of credential that is emulated; the last one is the secret.
SECRETS = {"api_token": ("apiToken",), "basic": ("user", "password")}

Body = dict[str, Any]


def new_id() -> str:
    """Make an id as the platform's are: 24 hexadecimal digits, the first eight of them the time."""
    return f"{int(datetime.now(UTC).timestamp()):08x}{secrets.token_hex(8)}"


def now() -> str:
    """Give the time as the API writes it."""
    return as_written(time.time())


def as_written(seconds: float) -> str:
    """Write a time (seconds since 1970) as the API does."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Store:
    """The objects of one local platform, in the folder `data`; safe to use from several threads."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.blobs = data / "blobs"
        # Both hold secrets: credentials and tokens of applications, and what was uploaded (.env among it).
        self.blobs.mkdir(mode=0o700, exist_ok=True)
        (data / DATABASE).touch(mode=0o600)
        self._lock = threading.RLock()
        self._glances: dict[tuple[str, str], Body] = {}
        self.writes = 0  # how many there were; what was seen before the last one may be different now
        self._db = sqlite3.connect(data / DATABASE, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            migrations.upgrade(self._db, data / DATABASE)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    @property
    def is_new(self) -> bool:
        """Whether nothing has been stored yet."""
        return bool(self._db.execute("SELECT NOT EXISTS (SELECT 1 FROM object)").fetchone()[0])

    # --- Objects of any kind ------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Carry out several writes as one."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.rollback()  # no error where a full disk has ended the transaction already
                raise
            finally:
                self._glances.clear()
                self.writes += 1

    def get(self, kind: str, id: str) -> Body:  # noqa: A002
        """Give an object. Raises NotFound."""
        with self._lock:
            row = self._db.execute("SELECT body FROM object WHERE id = ? AND kind = ?", (id, kind)).fetchone()
        if row is None:
            raise NotFound(f"{kind} {id} was not found.")
        body: Body = json.loads(row[0])
        return body

    def glance(self, kind: str, id: str) -> Body:  # noqa: A002
        """Give an object as `get` does, for looking only: it is shared until the next write. Raises NotFound."""
        if not self._db.in_transaction and (found := self._glances.get((kind, id))) is not None:
            return found
        with self._lock:
            found = self.get(kind, id)
            if not self._db.in_transaction and len(self._glances) < MOST_GLANCES:
                self._glances[kind, id] = found
        return found

    def find(
        self,
        kind: str,
        *,
        parent: str | None = None,
        name: str | None = None,
        offset: int = 0,
        limit: int = -1,
        newest_first: bool = False,
    ) -> tuple[list[Body], int]:
        """Give a page of the objects of a kind, in order of creation, and how many there are in all."""
        where, values = "kind = ?", [kind]
        for column, value in (("parent", parent), ("name", name)):
            if value is not None:
                where += f" AND {column} = ?"
                values.append(value)
        order = "DESC" if newest_first else "ASC"
        with self._lock:
            total = self._db.execute(f"SELECT count(*) FROM object WHERE {where}", values).fetchone()[0]  # noqa: S608
            rows = self._db.execute(
                f"SELECT body FROM object WHERE {where} ORDER BY number {order} LIMIT ? OFFSET ?",  # noqa: S608
                (*values, limit, offset),
            ).fetchall()
        return [json.loads(row[0]) for row in rows], int(total)

    def every(self, kind: str) -> Iterator[Body]:
        """Give all objects of a kind one after the other, in order of creation, without holding all of them at once."""
        last = -1
        while True:
            with self._lock:
                rows = self._db.execute(
                    "SELECT number, body FROM object WHERE kind = ? AND number > ? ORDER BY number LIMIT ?",
                    (kind, last, AT_ONCE),
                ).fetchall()
            for last, body in rows:  # noqa: B007 - where the next ones begin
                yield json.loads(body)
            if len(rows) < AT_ONCE:
                return

    def count(self, kind: str, *, parent: str) -> int:
        """Tell how many objects of a kind hang below another one."""
        with self._lock:
            row = self._db.execute(
                "SELECT count(*) FROM object WHERE kind = ? AND parent = ?", (kind, parent)
            ).fetchone()
        return int(row[0])

    def add(self, kind: str, body: Body, *, parent: str = "") -> Body:
        """Store a new object; it gets an id where it has none."""
        body.setdefault("id", new_id())
        with self.transaction():
            number = self._db.execute("UPDATE counter SET number = number + 1 RETURNING number").fetchone()[0]
            self._db.execute(
                "INSERT INTO object VALUES (?, ?, ?, ?, ?, ?)",
                (body["id"], kind, parent, str(body.get("name") or ""), number, json.dumps(body)),
            )
        return body

    def change(self, kind: str, id: str, change: Callable[[Body], None]) -> Body:  # noqa: A002
        """Read an object, let `change` alter it, and store it, as one step. Raises NotFound."""
        with self.transaction():
            body = self.get(kind, id)
            change(body)
            self._db.execute(
                "UPDATE object SET name = ?, body = ? WHERE id = ?",
                (str(body.get("name") or ""), json.dumps(body), id),
            )
        return body

    def remove(self, kind: str, id: str) -> None:  # noqa: A002
        """Remove an object and what hangs below it. Raises NotFound."""
        with self.transaction():
            self.get(kind, id)
            self._db.execute("DELETE FROM object WHERE id = ? OR parent = ?", (id, id))

    def clear(self) -> None:
        """Remove everything."""
        with self.transaction():
            self._db.execute("DELETE FROM object")
        for blob in self.blobs.iterdir():
            blob.unlink(missing_ok=True)

    def copy_to(self, path: Path) -> None:
        """Write a copy of all objects to a new database at `path`."""
        with self._lock:
            self._db.execute("VACUUM INTO ?", (str(path),))
        path.chmod(0o600)

    def replace_by(self, path: Path) -> None:
        """Replace all objects by those of the database at `path`, in one step; its file contents are there already."""
        other = sqlite3.connect(path)
        try:
            migrations.upgrade(other, path)
        finally:
            other.close()
        with self._lock:
            self._db.execute("ATTACH ? AS other", (str(path),))
            try:
                with self.transaction():
                    self._db.execute("DELETE FROM object")
                    self._db.execute("INSERT INTO object SELECT * FROM other.object")
                    self._db.execute("UPDATE counter SET number = max(number, (SELECT number FROM other.counter))")
            finally:
                self._db.execute("DETACH other")

    def sweep_blobs(self) -> int:
        """Remove file contents that nothing refers to any more; give how many. Only for before anything is served."""
        used = {version["_context"] for version in self.every("environmentVersion")}
        used.update(item["storagePath"] for version in self.every("sourceVersion") for item in version["items"])
        unused = [blob for blob in self.blobs.iterdir() if blob.name not in used]
        for blob in unused:
            blob.unlink(missing_ok=True)
        return len(unused)

    def blob(self, digest: str) -> Path:
        """Give the file that holds the content with this SHA-256."""
        return self.blobs / digest

    def draft(self) -> Draft:
        """Begin a content that is still coming."""
        return Draft(self.blobs)

    def put_blob(self, content: bytes | Draft) -> str:
        """Keep a file's content; give its SHA-256."""
        return keep(self.blobs, content)

    # --- Execution environments (platform-contract 1.2) ---------------------------------------------------------------

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

    # --- Application sources (platform-contract 1.3) ------------------------------------------------------------------

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

    def _user(self, field: str, id: str) -> str | None:  # noqa: A002
        """Give the name of an application that has this id in the field; None when there is none."""
        row = self._db.execute(
            f"SELECT name FROM object WHERE kind = 'application' AND json_extract(body, '$.{field}') = ?",  # noqa: S608
            (id,),
        ).fetchone()
        return None if row is None else str(row[0])

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

    # --- Applications (platform-contract 1.4) -------------------------------------------------------------------------

    def create_application(self, fields: Mapping[str, Any]) -> Body:
        """Create an application from a version, or from the latest one of a source. Raises Conflict for its name."""
        given = [key for key in ("applicationSourceVersionId", "applicationSourceId") if fields.get(key)]
        if len(given) != 1:
            raise Invalid("Give either applicationSourceVersionId or applicationSourceId.")
        if given == ["applicationSourceId"]:
            latest = self._existing("source", fields["applicationSourceId"], "applicationSourceId")["latestVersion"]
            if latest is None:
                raise Invalid("The source has no version yet.", {"applicationSourceId": "has no version"})
        else:
            latest = fields["applicationSourceVersionId"]
        version = self._existing("sourceVersion", latest, "applicationSourceVersionId")
        if version["baseEnvironmentVersionId"] is None:
            raise wrong(applicationSourceVersionId="has no execution environment")
        with self.transaction():
            application_id = new_id()
            name = fields.get("name") or f"Custom Application {application_id[-6:]}"
            self._free_name("application", name, "Custom application")
            body = {
                "id": application_id,
                "name": name,
                "status": "initializing",
                "allowAutoStopping": True,
                "externalAccessEnabled": False,
                "externalAccessRecipients": [],
                "requiredKeyScopeLevel": fields.get("requiredKeyScopeLevel") or version["requiredKeyScopeLevel"],
                "customApplicationSourceId": version["sourceId"],
                "customApplicationSourceVersionId": version["id"],
                "envVersionId": version["baseEnvironmentVersionId"],
                "lrsId": new_id(),
                "createdAt": now(),
                "updatedAt": now(),
                "expiresAt": None,
                "_resources": wanted_resources(fields.get("resources") or {}) or None,
                "_restrictedToken": f"{application_id}.{secrets.token_urlsafe(36)}",
                "_history": [{"sourceVersionId": version["id"], "createdAt": now()}],
                "_serving": None,
                "_logs": [],
                "_buildLog": "",
                "_buildStatus": "submitted",
                "_buildError": "",
            }
            return self.add("application", body)

    def update_application(self, application_id: str, fields: Mapping[str, Any]) -> tuple[Body, bool]:
        """Change an application; also says whether it is to be started: for another version, or after a failure."""
        version_id = fields.get("customApplicationSourceVersionId")
        version = (
            self._existing("sourceVersion", version_id, "customApplicationSourceVersionId") if version_id else None
        )
        moved = False

        def change(body: Body) -> None:
            nonlocal moved
            level = fields.get("requiredKeyScopeLevel")
            if level is not None and level != body["requiredKeyScopeLevel"]:
                raise wrong(requiredKeyScopeLevel="cannot be changed")
            other = version is not None and body["customApplicationSourceVersionId"] != version["id"]
            moved = version is not None and (other or body["status"] == "failed")
            for key in ("name", "allowAutoStopping", "externalAccessEnabled", "externalAccessRecipients"):
                if fields.get(key) is not None:
                    body[key] = fields[key]
            if moved and version is not None:
                body.update(
                    customApplicationSourceVersionId=version["id"],
                    customApplicationSourceId=version["sourceId"],
                    envVersionId=version["baseEnvironmentVersionId"],
                    status="initializing",
                )
                if other:
                    body["_history"] = [{"sourceVersionId": version["id"], "createdAt": now()}, *body["_history"]]
            body["updatedAt"] = now()

        with self.transaction():
            if fields.get("name"):
                self._free_name("application", fields["name"], "Custom application", but=application_id)
            changed = self.change("application", application_id, change)
            self._drop_hidden_versions()
            return changed, moved

    def set_application(self, application_id: str, **fields: Any) -> Body:
        """Note how an application fares (status, logs, what it serves). Raises NotFound."""
        if "_logs" in fields:
            fields["_logs"] = list(fields["_logs"])[-MOST_LOG_LINES:]
        return self.change("application", application_id, lambda body: body.update(fields))

    def delete_application(self, application_id: str) -> None:
        """Remove an application."""
        with self.transaction():
            self.remove("application", application_id)
            self._drop_hidden_versions()

    def application_resources(self, application: Body) -> Body:
        """Give the resources of an application: its own, else those of its version."""
        try:
            version = self.get("sourceVersion", application["customApplicationSourceVersionId"])
            inherited = version["resources"]
        except NotFound:
            inherited = DEFAULT_RESOURCES
        return {**DEFAULT_RESOURCES, **inherited, **(application["_resources"] or {})}

    # --- Credentials (1.6), use cases (1.7) ---------------------------------------------------------------------------

    def create_credential(self, fields: Mapping[str, Any]) -> Body:
        """Keep a credential. Raises Conflict when the name is taken."""
        kind = fields.get("credentialType") or "api_token"
        if kind not in SECRETS:
            raise NotEmulated(f"credentials of the type {kind[:50]}")
        check_required(name=fields.get("name"), **{key: fields.get(key) for key in SECRETS[kind]})
        with self.transaction():
            self._free_name("credential", fields["name"], "Credential")
            body = {
                "name": fields["name"],
                "description": fields.get("description") or "",
                "credentialType": kind,
                "creationDate": now(),
                "_secret": fields[SECRETS[kind][-1]],
            }
            return self.add("credential", body)

    def update_credential(self, credential_id: str, fields: Mapping[str, Any]) -> Body:
        """Change name and description."""
        changes = {key: fields[key] for key in ("name", "description") if fields.get(key) is not None}
        with self.transaction():
            if "name" in changes:
                self._free_name("credential", changes["name"], "Credential", but=credential_id)
            return self.change("credential", credential_id, lambda body: body.update(changes))

    def create_use_case(self, name: str, description: str) -> Body:
        """Create a use case."""
        check_required(name=name)
        body = {"name": name, "description": description, "createdAt": now(), "updatedAt": now(), "notebooksCount": 0}
        return self.add("useCase", body)

    def link(self, use_case_id: str, entity_type: str, entity_id: str) -> Body:
        """Put an object into a use case. Raises Conflict when it is there already."""
        self.get("useCase", use_case_id)
        if entity_type in APPLICATION_TYPES:
            self.get("application", entity_id)
        with self.transaction():
            for found in self.find("link", parent=use_case_id)[0]:
                if found["entityId"] == entity_id:
                    raise Conflict("The entity is already linked to this Use Case.")
            return self.add(
                "link",
                {"useCaseId": use_case_id, "entityType": entity_type, "entityId": entity_id, "createdAt": now()},
                parent=use_case_id,
            )

    def unlink(self, use_case_id: str, entity_id: str) -> None:
        """Take an object out of a use case. Raises NotFound."""
        for found in self.find("link", parent=use_case_id)[0]:
            if found["entityId"] == entity_id:
                self.remove("link", found["id"])
                return
        raise NotFound("The entity is not linked to this Use Case.")

    def _free_name(self, kind: str, name: str, what: str, *, but: str = "") -> None:
        if any(found["id"] != but for found in self.find(kind, name=name)[0]):
            raise Conflict(f"{what} name {name!r} is already in use.")

    def _existing(self, kind: str, id: str, field: str) -> Body:  # noqa: A002
        try:
            return self.get(kind, id)
        except NotFound:
            raise Invalid(f"{field} {id} does not exist.", {field: "does not exist"}) from None


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

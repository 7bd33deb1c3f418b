"""What the store does with applications (platform-contract 1.4)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from toolkit.emulator.fields import Invalid, NotFound, wanted_resources, wrong
from toolkit.emulator.objects import Body, new_id, now
from toolkit.emulator.store_sources import DEFAULT_RESOURCES, Sources

MOST_LOG_LINES = 1000


class Applications(Sources):
    """Applications, each with the version that it has to serve."""

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

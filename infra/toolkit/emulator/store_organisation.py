"""What the store does with credentials (platform-contract 1.6) and use cases (1.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.emulator.fields import Conflict, NotEmulated, NotFound, check_required
from toolkit.emulator.objects import Body, Users, now

# The provider and the SDK name applications differently in the paths of use cases (platform-contract 1.7).
APPLICATION_TYPES = ("customApplications", "applications")
# The fields of each type of credential that is emulated; the last one is the secret.
SECRETS = {"api_token": ("apiToken",), "basic": ("user", "password")}


class Organisation(Users):
    """What belongs to an organisation and not to one application."""

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

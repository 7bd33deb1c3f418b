"""Every endpoint of the local platform, with what its behaviour rests on; routes, documentation and OpenAPI use it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Evidence(StrEnum):
    """What the behaviour of an endpoint or field rests on, strongest first."""

    RECORDED = "recorded from the real provider"
    SOURCE = "read in client source"
    DOCUMENTED = "documented"
    INFERRED = "inferred"
    GUESSED = "guessed"


@dataclass(frozen=True)
class FieldGroup:
    """Fields of an endpoint, in a request or an answer, that rest on the same evidence."""

    fields: str
    evidence: Evidence


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: `path` below the host, `handler` the name of its method, `organisation` = not for app tokens."""

    method: str
    path: str
    handler: str
    evidence: Evidence
    groups: tuple[FieldGroup, ...] = ()
    status: int = 200
    query: tuple[str, ...] = ()
    upload: bool = False
    organisation: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(re.findall(r"{(\w+)}", self.path))


API = "/api/v2"
R, C, D, I, G = Evidence.RECORDED, Evidence.SOURCE, Evidence.DOCUMENTED, Evidence.INFERRED, Evidence.GUESSED  # noqa: E741
PAGE = ("offset", "limit")
FILTERS = (
    "status",
    "customApplicationSourceId",
    "externalAccessEnabled",
    "resourceLabel",
    "replicasMin",
    "replicasMax",
)
ENVIRONMENT, SOURCE = f"{API}/executionEnvironments/", f"{API}/customApplicationSources/"
APPLICATION, CREDENTIAL, USE_CASE = f"{API}/customApplications/", f"{API}/credentials/", f"{API}/useCases/"


def _group(fields: str, evidence: Evidence) -> FieldGroup:
    return FieldGroup(fields, evidence)


_ENVIRONMENT = (
    _group("name, description, programmingLanguage, useCases, latestVersion", R),
    _group("isPublic, created, latestSuccessfulVersion, requiredMetadataKeys", C),
)
_BUILD = (_group("id, buildStatus", R), _group("imageId, environmentId, label, created, sizes", C))
_SOURCE = (
    _group("id, name, latestVersion (null until there is one)", R),
    _group("userId, orgId, permissions, createdAt, updatedAt, createdBy, creatorUserhash", C),
)
_SOURCE_VERSION = (
    _group("label, baseVersion, base environment, items, resources, runtimeParameters, requiredKeyScopeLevel", R),
    _group("default of serviceWebRequestsOnRootPath (false), new item ids in copies, labels twice", G),
    _group("isFrozen (always false)", G),
)
_APPLICATION = (
    _group("id, name, status, source and version ids, applicationUrl, external access, allowAutoStopping", R),
    _group("lrsId, owner, permissions, times, resources with limits", C),
    _group("states other than running and failed; the default name", G),
)
_CREDENTIAL = (_group("credentialId, name, description, credentialType", R), _group("creationDate", C))
_USE_CASE = (
    _group("id, name, description", C),
    _group("created, updated, members, counts", C),
    _group("owners", I),
)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", f"{API}/version/", "version", C, (_group("major, minor, versionString", C),)),
    Endpoint("GET", f"{API}/account/info/", "account_info", C),
    Endpoint("GET", f"{API}/clientConfig/", "client_config", C),
    Endpoint("GET", f"{API}/customTemplates/", "list_templates", C, (_group("no templates", G),), query=PAGE),
    Endpoint("GET", f"{API}/mlops/compute/bundles/", "bundles", C, query=PAGE),
    Endpoint(
        "POST", f"{API}/entitlements/evaluate/", "entitlements", C, (_group("every well-formed feature is on", G),)
    ),
    Endpoint("GET", f"{API}/status/{{id}}/", "status", D, (_group("200 while starting, 303 with Location after", D),)),
    Endpoint("POST", ENVIRONMENT, "create_environment", R, _ENVIRONMENT, status=201),
    Endpoint("GET", ENVIRONMENT, "list_environments", C, query=("searchFor", "useCases", "isOwn", "isPublic", *PAGE)),
    Endpoint("GET", f"{ENVIRONMENT}{{id}}/", "get_environment", R, _ENVIRONMENT),
    Endpoint("PATCH", f"{ENVIRONMENT}{{id}}/", "update_environment", R),
    Endpoint("DELETE", f"{ENVIRONMENT}{{id}}/", "delete_environment", R, (_group("409 while in use", G),), status=204),
    Endpoint("GET", f"{ENVIRONMENT}{{id}}/accessControl/", "environment_access", C, query=PAGE),
    Endpoint(
        "POST", f"{ENVIRONMENT}{{id}}/versions/", "create_environment_version", R, _BUILD, status=202, upload=True
    ),
    Endpoint("GET", f"{ENVIRONMENT}{{id}}/versions/", "list_environment_versions", C, query=("buildStatus", *PAGE)),
    Endpoint("GET", f"{ENVIRONMENT}{{id}}/versions/{{version}}/", "get_environment_version", R, _BUILD),
    Endpoint("GET", f"{ENVIRONMENT}{{id}}/versions/{{version}}/buildLog/", "build_log", C),
    Endpoint("GET", f"{ENVIRONMENT}{{id}}/versions/{{version}}/download/", "download_context", C),
    Endpoint("POST", SOURCE, "create_source", R, (*_SOURCE, _group("409 for a taken name", R)), status=201),
    Endpoint("GET", SOURCE, "list_sources", D, query=("name", "orderBy", *PAGE)),
    Endpoint("GET", f"{SOURCE}{{id}}/", "get_source", R, _SOURCE),
    Endpoint("PATCH", f"{SOURCE}{{id}}/", "update_source", R, (_group("resources of the latest version", C),)),
    Endpoint("DELETE", f"{SOURCE}{{id}}/", "delete_source", R, status=204, query=("hardDelete",)),
    Endpoint("GET", f"{SOURCE}{{id}}/sharedRoles/", "source_roles", I, query=PAGE),
    Endpoint("POST", f"{SOURCE}{{id}}/versions/", "create_source_version", R, _SOURCE_VERSION, status=201, upload=True),
    Endpoint("GET", f"{SOURCE}{{id}}/versions/", "list_source_versions", C, query=PAGE),
    Endpoint("GET", f"{SOURCE}{{id}}/versions/{{version}}/", "get_source_version", R, _SOURCE_VERSION),
    Endpoint("PATCH", f"{SOURCE}{{id}}/versions/{{version}}/", "update_source_version", R, upload=True),
    Endpoint(
        "DELETE",
        f"{SOURCE}{{id}}/versions/{{version}}/",
        "delete_source_version",
        D,
        (_group("409 while an application runs from it", G),),
        status=204,
    ),
    Endpoint("GET", f"{SOURCE}{{id}}/versions/{{version}}/items/{{item}}/", "get_item", C),
    Endpoint("GET", f"{APPLICATION}nameCheck/", "name_check", C, query=("name",)),
    Endpoint("POST", APPLICATION, "create_application", R, _APPLICATION, status=202),
    Endpoint(
        "GET",
        APPLICATION,
        "list_applications",
        C,
        (_group("name is an exact filter", C), _group("the other filters, orderBy", D)),
        query=("name", *FILTERS, "orderBy", *PAGE),
    ),
    Endpoint("GET", f"{APPLICATION}{{id}}/", "get_application", R, _APPLICATION),
    Endpoint(
        "PATCH",
        f"{APPLICATION}{{id}}/",
        "update_application",
        R,
        (_group("another version leaves `running` at once", I), _group("409 for a taken name", R)),
    ),
    Endpoint("DELETE", f"{APPLICATION}{{id}}/", "delete_application", R, status=204, query=("hardDelete",)),
    Endpoint("GET", f"{APPLICATION}{{id}}/logs/", "application_logs", C),
    Endpoint(
        "GET",
        f"{APPLICATION}{{id}}/history/",
        "application_history",
        C,
        (_group("index 0 is the running version", G),),
        query=PAGE,
    ),
    Endpoint(
        "GET",
        f"{APPLICATION}{{id}}/usages/",
        "application_usages",
        D,
        (_group("visitTimestamp, userId, username, userType", G),),
        query=PAGE,
    ),
    Endpoint("GET", f"{APPLICATION}{{id}}/sharedRoles/", "application_roles", I, query=PAGE),
    Endpoint("POST", CREDENTIAL, "create_credential", R, _CREDENTIAL, status=201),
    Endpoint("GET", CREDENTIAL, "list_credentials", C, query=PAGE),
    Endpoint("GET", f"{CREDENTIAL}{{id}}/", "get_credential", R, _CREDENTIAL),
    Endpoint("PATCH", f"{CREDENTIAL}{{id}}/", "update_credential", R),
    Endpoint("DELETE", f"{CREDENTIAL}{{id}}/", "delete_credential", R, status=204),
    Endpoint("POST", USE_CASE, "create_use_case", C, _USE_CASE, status=201, organisation=True),
    Endpoint("GET", USE_CASE, "list_use_cases", C, query=("orderBy", *PAGE), organisation=True),
    Endpoint("GET", f"{USE_CASE}{{id}}/", "get_use_case", C, _USE_CASE, organisation=True),
    Endpoint("PATCH", f"{USE_CASE}{{id}}/", "update_use_case", C, organisation=True),
    Endpoint("DELETE", f"{USE_CASE}{{id}}/", "delete_use_case", C, status=204, organisation=True),
    Endpoint("POST", f"{USE_CASE}{{id}}/{{type}}/{{entity}}/", "link", R, status=201, organisation=True),
    Endpoint("DELETE", f"{USE_CASE}{{id}}/{{type}}/{{entity}}/", "unlink", R, status=204, organisation=True),
    Endpoint(
        "GET",
        "/api-gw/nbx/notebooks/",
        "list_notebooks",
        C,
        query=("useCaseId", "orderBy", *PAGE),
        organisation=True,
    ),
)

# What no source settles, and what is done here instead.
UNSETTLED = (
    ("The success codes of POST and PATCH", "201, for application and environment versions 202, PATCH 200"),
    ("isFrozen", "always false; nothing is refused as frozen"),
    ("Item ids in a version made by baseVersion", "new ones, which breaks a client that keeps the old"),
    ("Labels of versions", "need not be unique"),
    ("Removing what is in use", "environments answer 409, sources may go while their application keeps running"),
    ("Position 0 of history/", "the version that runs, so that the one before it is position 1"),
    ("The default of serviceWebRequestsOnRootPath", "false"),
    ("Features asked for at entitlements/evaluate/", "on when well-formed, else 422"),
)


def markdown() -> str:
    """Write the page that says what is emulated, and what each endpoint rests on."""
    lines = [
        "# What the local platform emulates",
        "",
        "Made from the declarations of the routes by `python -m toolkit.emulator.routes_catalogue`; do not edit.",
        "Everything else below `/api/v2` and `/api-gw` answers 501 `not emulated: …` and is counted at",
        "`/__emulator__/not-emulated`. A description for machines is at `/__emulator__/openapi.json`.",
        "",
        "| Endpoint | Rests on | Field groups |",
        "|---|---|---|",
    ]
    for one in ENDPOINTS:
        path = one.path.removeprefix(API)
        groups = "; ".join(f"{group.fields}: *{group.evidence}*" for group in one.groups)
        lines.append(f"| `{one.method} {path}` | {one.evidence} | {groups} |")
    lines += ["", "## Not settled by any source", "", "| Question | Here |", "|---|---|"]
    lines += [f"| {question} | {choice} |" for question, choice in UNSETTLED]
    return "\n".join([*lines, ""])


def openapi() -> dict[str, object]:
    """Describe the API as OpenAPI 3.1."""
    paths: dict[str, dict[str, object]] = {}
    for one in ENDPOINTS:
        operation: dict[str, object] = {
            "operationId": one.handler,
            "x-evidence": str(one.evidence),
            "parameters": [
                *(_parameter(name, "path") for name in one.parameters),
                *(_parameter(name, "query") for name in one.query),
            ],
            "responses": {
                str(one.status): {"description": "Done."},
                "default": {
                    "description": "Refused.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                },
            },
        }
        if one.method in ("POST", "PATCH"):
            kinds = ("application/json", *(("multipart/form-data",) if one.upload else ()))
            operation["requestBody"] = {"content": {kind: {"schema": {"type": "object"}} for kind in kinds}}
        paths.setdefault(one.path, {})[one.method.lower()] = operation
    failure = {
        "type": "object",
        "required": ["message"],
        "properties": {"message": {"type": "string"}, "errors": {"type": "object"}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "The local platform", "version": "2.49.0"},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": failure},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _parameter(name: str, place: str) -> dict[str, object]:
    whole = {"type": "integer", "minimum": 0 if name == "offset" else 1}
    schema = whole if name in PAGE else {"type": "string"}
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())

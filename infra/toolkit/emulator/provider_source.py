"""ApplicationSource in the stand-in provider (platform-contract 2.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from toolkit.emulator import provider_files as files
from toolkit.emulator.provider_plan import UNKNOWN, Attribute, Nesting, ResourceType, Values
from toolkit.emulator.provider_resource import OperationFailed, PlanProblem, VanishedError, known, without_unknown
from toolkit.emulator.provider_rest import ApiError, NotFoundError, Platform, go_json

BASE = "/customApplicationSources/"
BATCH = 100
SCOPES = ("viewer", "user", "admin")
RESOURCE_FIELDS = ("replicas", "resourceLabel", "sessionAffinity", "serviceWebRequestsOnRootPath", "healthEndpointPath")
OLD_PLATFORM = (
    "runtimeParameters is not allowed key",
    "requires the RUNTIME_PARAMETERS_IMPROVEMENTS feature to be enabled",
)
FILE_FIELDS = ("files", "filesHashes", "folderPath", "folderPathHash")


def _finish(values: Values, prior: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> Values:
    finished = {name: value for name, value in values.items() if name not in ("filesHashes", "folderPathHash")}
    finished |= {name: value for name, value in facts.items() if value is not None}
    if prior is None:
        return finished
    if finished.get("requiredKeyScopeLevel") is UNKNOWN:
        del finished["requiredKeyScopeLevel"]
    for one, other in (
        ("baseEnvironmentId", "baseEnvironmentVersionId"),
        ("baseEnvironmentVersionId", "baseEnvironmentId"),
    ):
        if finished.get(one) is UNKNOWN and finished.get(other) == prior.get(other) and known(prior.get(one)):
            finished[one] = prior[one]
    if any(finished.get(name) != prior.get(name) for name in ("filesHashes", "folderPathHash")):
        finished["versionId"] = UNKNOWN
    if not known(finished.get("runtimeParameterValues")):
        finished["runtimeParameterValues"] = []
    return finished


class ApplicationSource:
    """A source: its files, base environment, resources and runtime parameters, a new version for every change."""

    kind = ResourceType(
        token="datarobot:index/applicationSource:ApplicationSource",  # noqa: S106 - a type token
        attributes=(
            Attribute("id", computed=True, keep=True),
            Attribute("versionId", computed=True),
            Attribute("name", optional=True, computed=True, keep=True),
            Attribute("baseEnvironmentId", optional=True, computed=True),
            Attribute("baseEnvironmentVersionId", optional=True, computed=True),
            Attribute("folderPath", optional=True),
            Attribute("folderPathHash", computed=True),
            Attribute("files", optional=True),
            Attribute("filesHashes", computed=True),
            Attribute(
                "resources",
                optional=True,
                computed=True,
                keep=True,
                nested=tuple(Attribute(name, optional=True, computed=True) for name in RESOURCE_FIELDS),
            ),
            Attribute(
                "runtimeParameterValues",
                optional=True,
                computed=True,
                nesting=Nesting.LIST,
                nested=(
                    Attribute("key", required=True),
                    Attribute(
                        "type", required=True, allowed=("boolean", "credential", "deployment", "numeric", "string")
                    ),
                    Attribute("value", required=True),
                ),
            ),
            Attribute("requiredKeyScopeLevel", optional=True, computed=True, keep=True, replace=True),
        ),
        one_of=("baseEnvironmentId", "baseEnvironmentVersionId"),
        finish=_finish,
    )

    def facts(self, config: Mapping[str, Any]) -> Values:
        """Hashes of the listed files, and of the folder when there is one."""
        try:
            listed = config.get("files")
            hashes: Any = UNKNOWN if _has_unknown(listed) else files.hashes(listed)
        except files.FileProblem as problem:
            raise PlanProblem("Error calculating files hashes", problem) from problem
        try:
            folder = config.get("folderPath")
            folder_hash = files.folder_hash(folder) if isinstance(folder, str) else None
        except files.FileProblem as problem:
            raise PlanProblem("Error calculating folder path hash", problem) from problem
        return {"filesHashes": hashes, "folderPathHash": UNKNOWN if folder is UNKNOWN else folder_hash}

    def create(self, platform: Platform, planned: Values) -> Values:
        """Make the source, its first version, its files and its parameters."""
        try:
            source = platform.post(BASE, {"name": planned["name"]} if known(planned.get("name")) else {})
        except ApiError as error:
            raise OperationFailed("Error creating Application source", error) from error
        path = f"{BASE}{source['id']}/"
        body = {"label": "v1"} | _environment(planned) | _resources(planned)
        if known(planned.get("requiredKeyScopeLevel")):
            body["requiredKeyScopeLevel"] = planned["requiredKeyScopeLevel"]
        try:
            version = _version(platform.post(f"{path}versions/", body))
        except ApiError as error:
            raise OperationFailed("Error creating Application source version", error) from error
        version_path = f"{path}versions/{version['id']}/"
        try:
            self._send_files(platform, version_path, planned)
        except (ApiError, files.FileProblem) as error:
            raise OperationFailed("Error adding files to Application Source", error) from error
        if known(planned.get("runtimeParameterValues")) and planned["runtimeParameterValues"]:
            summary = "Error adding runtime parameter values to Application Source version"
            self._send_parameters(platform, version_path, planned, {}, version.get("requiredKeyScopeLevel"), summary)
        latest = self._latest(platform, path)
        return planned | {
            "id": source["id"],
            "name": planned["name"] if known(planned.get("name")) else source["name"],
            "versionId": version["id"],
            "baseEnvironmentId": version.get("baseEnvironmentId"),
            "baseEnvironmentVersionId": version.get("baseEnvironmentVersionId"),
            "requiredKeyScopeLevel": version.get("requiredKeyScopeLevel"),
            "resources": _answered_resources(latest, planned),
            "runtimeParameterValues": _answered_parameters(latest, planned),
        }

    def read(self, platform: Platform, state: Values) -> Values | None:
        """Take everything from the latest version except its id (platform-contract 2.2, "Refresh")."""
        try:
            source = platform.get(f"{BASE}{state['id']}/")
        except NotFoundError:
            return None
        except ApiError as error:
            raise OperationFailed(f"Error getting Application Source with ID {state['id']}", error) from error
        latest = _version(source.get("latestVersion") or {})
        parameters = _answered_parameters(latest, state)
        if not parameters and state.get("runtimeParameterValues") is None:
            parameters = None
        return state | {
            "name": source.get("name"),
            "baseEnvironmentId": latest.get("baseEnvironmentId"),
            "baseEnvironmentVersionId": latest.get("baseEnvironmentVersionId"),
            "requiredKeyScopeLevel": latest.get("requiredKeyScopeLevel"),
            "resources": _answered_resources(latest, state),
            "runtimeParameterValues": parameters,
        }

    def update(self, platform: Platform, planned: Values, prior: Values, config: Values) -> Values:
        """Make the next version from the latest one and bring it to the plan; the platform copies unchanged files."""
        del config
        path = f"{BASE}{prior['id']}/"
        scope = planned.get("requiredKeyScopeLevel")
        try:
            if planned.get("name") != prior.get("name"):
                platform.patch(path, {"name": planned.get("name")})
        except NotFoundError as error:
            raise VanishedError from error
        except ApiError as error:
            raise OperationFailed("Error updating Application Source", error) from error
        before = self._latest(platform, path)
        body = {"label": next_label(before.get("label")), "baseVersion": before.get("id", "")} | _resources(planned)
        try:
            version = _version(platform.post(f"{path}versions/", body))
        except ApiError as error:
            raise OperationFailed("Error creating Application Source version", error) from error
        version_path = f"{path}versions/{version['id']}/"
        resend = any(planned.get(name) != prior.get(name) for name in FILE_FIELDS)
        try:
            if resend:
                self._drop_files(platform, version_path, version, scope)
                self._send_files(platform, version_path, planned)
        except (ApiError, files.FileProblem) as error:
            raise OperationFailed("Error updating Application Source files", error) from error
        body = _environment(planned) | _resources(planned) | {"requiredKeyScopeLevel": scope}
        try:
            platform.patch(version_path, body)
        except ApiError as error:
            raise OperationFailed("Error updating Application Source version", error) from error
        parameters = planned["runtimeParameterValues"]
        if parameters != prior.get("runtimeParameterValues") or (resend and parameters):
            summary = "Error updating Application Source version"
            self._send_parameters(platform, version_path, planned, prior, scope, summary)
        latest = self._latest(platform, path)
        return planned | {
            "versionId": latest.get("id"),
            "baseEnvironmentId": latest.get("baseEnvironmentId"),
            "baseEnvironmentVersionId": latest.get("baseEnvironmentVersionId"),
            "requiredKeyScopeLevel": latest.get("requiredKeyScopeLevel"),
            "resources": _answered_resources(latest, planned),
            "runtimeParameterValues": _answered_parameters(latest, planned),
        }

    def delete(self, platform: Platform, state: Values) -> None:
        """Delete the source with its versions."""
        try:
            platform.delete(f"{BASE}{state['id']}/")
        except ApiError as error:
            raise OperationFailed("Error deleting Application Source", error) from error

    def _latest(self, platform: Platform, path: str) -> Values:
        try:
            return _version(platform.get(path).get("latestVersion") or {})
        except ApiError as error:
            raise OperationFailed("Error getting Application Source", error) from error

    def _send_files(self, platform: Platform, version_path: str, planned: Values) -> None:
        found = files.uploads(planned.get("folderPath"), planned.get("files"))
        for start in range(0, len(found), BATCH):
            batch = found[start : start + BATCH]
            try:
                _version(platform.upload("PATCH", version_path, {}, batch))
            except ApiError as error:
                text = f"failed to upload file batch {start + 1}-{start + len(batch)}: {error}"
                raise ApiError(text) from error

    def _drop_files(self, platform: Platform, version_path: str, version: Values, scope: str | None) -> None:
        local = [item["id"] for item in version.get("items") or () if item.get("fileSource") == "local"]
        for start in range(0, len(local), BATCH):
            batch = local[start : start + BATCH]
            try:
                platform.patch(version_path, {"filesToDelete": batch, "requiredKeyScopeLevel": scope})
            except ApiError as error:
                text = f"failed to delete file batch {start + 1}-{start + len(batch)}: {error}"
                raise ApiError(text) from error

    def _send_parameters(
        self, platform: Platform, version_path: str, planned: Values, prior: Values, scope: str | None, summary: str
    ) -> None:
        """Send the list in the new form, and in the old one where the platform does not know the new one yet."""
        wanted = [(row["key"], row["type"], _typed(row)) for row in planned["runtimeParameterValues"]]
        new = [{"fieldName": key, "type": kind, "currentValue": value} for key, kind, value in wanted]
        try:
            try:
                platform.patch(version_path, {"runtimeParameters": go_json(new), "requiredKeyScopeLevel": scope})
            except ApiError as error:
                if not any(phrase in str(error) for phrase in OLD_PLATFORM):
                    raise
                old = [{"fieldName": key, "type": kind, "value": value} for key, kind, value in wanted]
                kept = {key for key, _, _ in wanted}
                old += [
                    {"fieldName": row["key"], "type": row["type"], "value": None}
                    for row in prior.get("runtimeParameterValues") or ()
                    if row["key"] not in kept
                ]
                body = {"runtimeParameterValues": go_json(old), "requiredKeyScopeLevel": scope}
                platform.patch(version_path, body)
        except ApiError as error:
            raise OperationFailed(summary, error) from error


def next_label(latest: Any) -> str:
    """The label after `latest`: v2 after v1 or 1, and v1 after anything that is not a number."""
    match = re.fullmatch(r"v?(\d+)", str(latest))
    return f"v{int(match.group(1)) + 1}" if match else "v1"


def go_text(value: Any) -> str:
    """A value in Go's default format: true, and 1e+06 for 1000000 (platform-contract 5, 10)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        power = len(digits) + int(exponent) - 1
        if value != 0 and (power < -4 or power >= max(6, 0)):
            text = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
            return f"{'-' if sign else ''}{text}e{'-' if power < 0 else '+'}{abs(power):02d}"
        return f"{int(value)}" if float(value).is_integer() else repr(value)
    return str(value)


def _typed(row: Mapping[str, Any]) -> Any:
    text = go_text(row["value"]) if not isinstance(row["value"], str) else row["value"]
    if row["type"] == "boolean":
        if text in ("1", "t", "T", "true", "TRUE", "True"):
            return True
        if text in ("0", "f", "F", "false", "FALSE", "False"):
            return False
        problem = f'strconv.ParseBool: parsing "{text}": invalid syntax'
        raise OperationFailed("Error formatting runtime parameter value", problem)
    if row["type"] == "numeric":
        try:
            number = float(text)
        except ValueError as error:
            problem = f'strconv.ParseFloat: parsing "{text}": invalid syntax'
            raise OperationFailed("Error formatting runtime parameter value", problem) from error
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text


def _environment(planned: Mapping[str, Any]) -> Values:
    if known(planned.get("baseEnvironmentVersionId")):
        return {"baseEnvironmentVersionId": planned["baseEnvironmentVersionId"]}
    return {"baseEnvironmentId": planned["baseEnvironmentId"]} if known(planned.get("baseEnvironmentId")) else {}


def _resources(planned: Mapping[str, Any]) -> Values:
    given = planned.get("resources")
    return {"resources": without_unknown(given)} if isinstance(given, dict) else {}


def _version(answer: Any) -> Values:
    """Decode a version; an unknown key scope is an error while decoding (platform-contract 1.3)."""
    version: Values = answer if isinstance(answer, dict) else {}
    level = version.get("requiredKeyScopeLevel")
    if level and level not in SCOPES:
        raise ApiError(f"failed to unmarshal response: invalid level: {level}, choices: [{' '.join(SCOPES)} ]")
    return version


def _answered_resources(latest: Mapping[str, Any], before: Mapping[str, Any]) -> Any:
    answered = latest.get("resources") or {}
    found = {name: answered[name] for name in RESOURCE_FIELDS if answered.get(name) is not None}
    before_resources = before.get("resources")
    return found or (before_resources if before_resources is not UNKNOWN else None)


def _answered_parameters(latest: Mapping[str, Any], before: Mapping[str, Any]) -> Any:
    """The parameters in the plan's order with the platform's values, then those that only the platform has, by name."""
    answered = {row["fieldName"]: row for row in latest.get("runtimeParameters") or ()}
    given = before.get("runtimeParameterValues")
    rows = []
    for row in given if isinstance(given, list) else ():
        current = answered.pop(row["key"], {}).get("currentValue")
        rows.append(row | {"value": go_text(current)} if current is not None else row)
    for name, row in sorted(answered.items()):
        usual = (
            {"numeric": 0, "boolean": False}.get(row["type"])
            if row.get("defaultValue") is None
            else row["defaultValue"]
        )
        if row.get("currentValue") not in (None, usual):
            rows.append({"key": name, "type": row["type"], "value": go_text(row["currentValue"])})
    return rows


def _has_unknown(value: Any) -> bool:
    if isinstance(value, list):
        return any(_has_unknown(item) for item in value)
    return value is UNKNOWN

from __future__ import annotations

from typing import Any

import pytest

from toolkit.emulator.provider_application import CustomApplication
from toolkit.emulator.provider_credential import ApiTokenCredential
from toolkit.emulator.provider_environment import ExecutionEnvironment
from toolkit.emulator.provider_plan import UNKNOWN, Behaviour, inputs_from_state, plan, problems, snake_case
from toolkit.emulator.provider_source import ApplicationSource

RESOURCES = {
    "replicas": 1,
    "resourceLabel": "cpu.8xlarge",
    "serviceWebRequestsOnRootPath": True,
    "sessionAffinity": True,
}
INPUTS: dict[str, Any] = {
    "name": "demo-source",
    "baseEnvironmentVersionId": "EEV1",
    "files": [["/app/index.ts", "index.ts"]],
    "resources": RESOURCES,
}
FACTS = {"filesHashes": ["one"], "folderPathHash": None}
STATE: dict[str, Any] = INPUTS | {
    "id": "SRC1",
    "baseEnvironmentId": "EE1",
    "filesHashes": ["one"],
    "runtimeParameterValues": [],
    "versionId": "SRCV1",
}
SCOPE = {"requiredKeyScopeLevel": "viewer"}


def source(config: dict[str, Any], state: dict[str, Any] | None = STATE, **options: Any) -> Any:
    facts = FACTS | options.get("facts", {})
    return plan(ApplicationSource.kind, config, state, facts, options.get("behaviour", Behaviour.RECORDED))


def test_nothing_changes_when_nothing_changed() -> None:
    planned = source(INPUTS)
    assert (planned.diffs, planned.replaces) == ((), ())
    assert planned.values == STATE


def test_changed_contents_update_in_place() -> None:
    planned = source(INPUTS, facts={"filesHashes": ["two"]})
    assert planned.diffs == ("filesHashes", "versionId")
    assert planned.replaces == ()
    assert planned.values["versionId"] is UNKNOWN


@pytest.mark.parametrize(
    ("change", "diffs"),
    [
        ({"name": "other"}, ("name", "resources", "versionId")),
        ({"files": []}, ("files", "resources", "versionId")),
        ({"resources": RESOURCES | {"replicas": 2}}, ("resources", "versionId")),
        (
            {"baseEnvironmentVersionId": "EEV2"},
            ("baseEnvironmentId", "baseEnvironmentVersionId", "resources", "versionId"),
        ),
        (
            {"baseEnvironmentVersionId": UNKNOWN},
            ("baseEnvironmentId", "baseEnvironmentVersionId", "resources", "versionId"),
        ),
        (
            {"runtimeParameterValues": [{"key": "A", "type": "string", "value": "b"}]},
            ("resources", "runtimeParameterValues", "versionId"),
        ),
    ],
)
def test_any_changed_input_replaces_a_source_without_key_scope(change: dict[str, Any], diffs: tuple[str, ...]) -> None:
    assert source(INPUTS | change).replaces == ("requiredKeyScopeLevel",)
    assert source(INPUTS | change).diffs == diffs
    scoped = source(INPUTS | change | SCOPE, STATE | SCOPE)
    assert (scoped.replaces, scoped.diffs) == ((), diffs)
    in_place = source(INPUTS | change, behaviour=Behaviour.IN_PLACE)
    assert (in_place.replaces, in_place.diffs) == ((), diffs)


@pytest.mark.parametrize("behaviour", list(Behaviour))
def test_another_key_scope_replaces_in_both_behaviours(behaviour: Behaviour) -> None:
    changed = source(INPUTS | {"requiredKeyScopeLevel": "user"}, STATE | SCOPE, behaviour=behaviour)
    added = source(INPUTS | SCOPE, STATE, behaviour=behaviour)
    assert changed.replaces == added.replaces == ("requiredKeyScopeLevel",)
    assert "requiredKeyScopeLevel" in changed.diffs
    assert "requiredKeyScopeLevel" in added.diffs


@pytest.mark.parametrize("removed", ["resources", "requiredKeyScopeLevel"])
def test_what_the_platform_answers_too_can_be_removed_from_the_program_without_a_change(removed: str) -> None:
    config = {name: value for name, value in (INPUTS | SCOPE).items() if name != removed}
    assert source(config, STATE | SCOPE).diffs == ()


def test_removed_parameters_are_a_change() -> None:
    row = {"key": "A", "type": "string", "value": "b"}
    planned = source(INPUTS | SCOPE, STATE | SCOPE | {"runtimeParameterValues": [row]})
    assert planned.diffs == ("resources", "runtimeParameterValues", "versionId")
    assert planned.values["runtimeParameterValues"] == []


def test_a_new_source_knows_only_its_inputs_and_hashes() -> None:
    values = source(INPUTS, None).values
    unknown = {name for name, value in values.items() if value is UNKNOWN}
    assert unknown == {"id", "versionId", "baseEnvironmentId", "requiredKeyScopeLevel", "runtimeParameterValues"}
    assert values["resources"] == RESOURCES | {"healthEndpointPath": UNKNOWN}
    assert values["filesHashes"] == ["one"]


def environment(config: dict[str, Any], state: dict[str, Any], context: str = "hash") -> Any:
    facts = {"dockerContextHash": context, "dockerImageHash": "none"}
    return plan(ExecutionEnvironment.kind, config, state, facts, Behaviour.RECORDED)


def test_environment_changes() -> None:
    config = {
        "name": "e",
        "programmingLanguage": "other",
        "useCases": ["customApplication"],
        "dockerContextPath": "/context.zip",
    }
    built = {"id": "EE1", "versionId": "EEV1", "buildStatus": "success"}
    state = config | built | {"dockerContextHash": "hash", "dockerImageHash": "none"}
    assert environment(config, state).diffs == ()
    assert environment(config, state, "other").diffs == ("dockerContextHash", "versionId")
    assert environment(config | {"name": "f"}, state).diffs == ("buildStatus", "name", "versionId")
    described = environment(config, state | {"description": "d"})
    assert described.diffs == ("buildStatus", "description", "versionId")
    language = environment(config | {"programmingLanguage": "python"}, state)
    assert language.replaces == ("programmingLanguage",)


def test_application_changes() -> None:
    config = {"name": "a", "sourceVersionId": "SRCV1"}
    answered = {"id": "APP1", "sourceId": "SRC1", "applicationUrl": "u", "allowAutoStopping": True}
    access = {"externalAccessEnabled": True, "externalAccessRecipients": ["a@example.com"]}
    state = config | answered | access | {"resources": RESOURCES}

    def diffs(change: dict[str, Any]) -> tuple[str, ...]:
        return plan(CustomApplication.kind, config | change, state, {}, Behaviour.RECORDED).diffs

    assert diffs({}) == ()
    assert diffs({"allowAutoStopping": False}) == ("allowAutoStopping",)
    assert diffs({"sourceVersionId": UNKNOWN}) == ("sourceVersionId",)
    assert diffs({"externalAccessEnabled": False}) == ("externalAccessEnabled",)
    assert diffs({"resources": {"replicas": 1}}) == ("resources",)


def test_a_changed_secret_replaces_the_credential_and_a_changed_name_does_not() -> None:
    state = {"id": "CRED1", "name": "c", "apiToken": "one"}
    secret = plan(ApiTokenCredential.kind, {"name": "c", "apiToken": "two"}, state, {}, Behaviour.RECORDED)
    name = plan(ApiTokenCredential.kind, {"name": "d", "apiToken": "one"}, state, {}, Behaviour.RECORDED)
    assert (secret.diffs, secret.replaces) == (("apiToken",), ("apiToken",))
    assert (name.diffs, name.replaces) == (("name",), ())
    assert ApiTokenCredential.kind.secrets == {"apiToken"}


def test_refused_inputs_are_named_in_the_provider_s_words() -> None:
    parameters = [{"key": "A", "type": "text", "value": "b"}]
    assert problems(ApplicationSource.kind, "source", INPUTS | {"runtimeParameterValues": parameters}) == [
        "Invalid Attribute Value Match. Attribute runtime_parameter_values[0].type value must be one of: "
        '["boolean" "credential" "deployment" "numeric" "string"], got: "text". '
        "Examine values at 'source.runtimeParameterValues[0].type'."
    ]
    (too_big,) = problems(CustomApplication.kind, "app", {"sourceVersionId": "v", "resources": RESOURCES})
    assert 'Attribute resources.resource_label value must be one of: ["cpu.nano"' in too_big
    assert "got: \"cpu.8xlarge\". Examine values at 'app.resources.resourceLabel'." in too_big
    assert problems(ApplicationSource.kind, "source", {"name": "n"}) == [
        "Missing Attribute Configuration. At least one of these attributes must be configured: "
        "[base_environment_id,base_environment_version_id]"
    ]
    assert problems(ApplicationSource.kind, "source", INPUTS | {"baseEnvironmentVersionId": UNKNOWN}) == []


def test_inputs_of_a_refresh_keep_the_program_s_shape() -> None:
    state = STATE | {"name": "renamed", "resources": RESOURCES | {"replicas": 3}}
    old = {"name": "demo-source", "resources": {"replicas": 1}}
    assert inputs_from_state(ApplicationSource.kind, state, old) == {"name": "renamed", "resources": {"replicas": 3}}
    assert set(inputs_from_state(ApplicationSource.kind, STATE, None)) == {
        "name",
        "baseEnvironmentId",
        "baseEnvironmentVersionId",
        "files",
        "resources",
    }


def test_snake_case() -> None:
    assert snake_case("serviceWebRequestsOnRootPath") == "service_web_requests_on_root_path"

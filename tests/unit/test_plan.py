"""The plan in words; and the calls that it foretells are those that the real provider made when it was recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from toolkit import plan as planning
from toolkit.plan import Call, Plan, Shipment

RECORDINGS = Path(__file__).parents[1] / "stack" / "data" / "recordings"
SIX = Shipment({f"file{number}": "0" for number in range(6)}, file_bytes=600, archive_bytes=50)
# Recordings in which the program is ours: environment, source, application, perhaps a credential as a parameter.
ALIKE = (
    "01-create",
    "02-noop",
    "04-file-changed",
    "05-file-added-removed-scoped",
    "06-context-changed-autonamed",
    "06-context-changed-scoped",
    "08-replicas-autonamed",
    "08-replicas-scoped",
    "11-credential-scoped",
    "13-auto-stopping",
    "17-destroy",
)


def _steps(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "type": f"datarobot:index/x:{one['type']}"} for one in found]


def _recorded(name: str) -> list[tuple[list[dict[str, Any]], list[str], bool]]:
    """Every recorded step that went through: what the engine did, what was asked for, whether parameters were sent."""
    cases = []
    for step in json.loads((RECORDINGS / f"{name}.json").read_text())["steps"]:
        if step["step"] in ("up", "destroy") and step.get("result") == "succeeded" and "requests" in step:
            asked = [
                Call(one["method"], re.sub(r"/[A-Z]+\d+/", "/{id}/", one["path"].removeprefix("/api/v2/")))
                for one in step["requests"]
            ]
            asked = [Call(one.method, re.sub(r"/[A-Z]+\d+/", "/{id}/", one.path)) for one in asked]
            sent = any("runtimeParameters" in (one.get("json") or {}) for one in step["requests"])
            told = [f"{one.method} {one.path}" for one in planning.collapsed(asked)]
            cases.append((_steps(step["resources"]), told, sent))
    return cases


@pytest.mark.parametrize("name", ALIKE)
def test_the_calls_foretold_are_those_that_the_real_provider_made(name: str) -> None:
    cases = _recorded(name)
    assert cases
    for steps, asked, parameters in cases:
        found = planning.plan(steps, Shipment(SIX.files, parameters=parameters))
        assert [f"{one.method} {one.path}" for one in found.calls] == asked


def _plan(*steps: tuple[str, str, list[str]], shipment: Shipment = SIX, **more: Any) -> Plan:
    made = [{"op": op, "type": f"datarobot:index/x:{kind}", "diffs": diffs, **more} for op, kind, diffs in steps]
    return planning.plan([*made, {"op": "create", "type": "pulumi:pulumi:Stack", "diffs": []}], shipment)


def test_a_first_deployment_sends_everything() -> None:
    found = _plan(("create", "ExecutionEnvironment", []), ("create", "ApplicationSource", []))
    assert [str(change) for change in found.changes] == [
        "execution environment is created",
        "application source is created",
    ]
    assert (found.upload_files, found.upload_bytes) == (7, 650)


def test_one_changed_file_sends_all_and_restarts_the_app() -> None:
    before = [[name, "0"] for name in SIX.files]
    now = Shipment({**SIX.files, "file1": "1"}, file_bytes=600)
    found = _plan(
        ("same", "ExecutionEnvironment", []),
        ("update", "ApplicationSource", ["filesHashes", "versionId"]),
        ("update", "CustomApplication", ["sourceVersionId"]),
        shipment=now,
        files=before,
    )
    assert str(found.changes[0]) == "application source is updated: files (1 changed: file1)"
    assert str(found.changes[1]) == "application is updated: version of the source; it restarts, its address stays"
    assert (found.upload_files, found.upload_bytes, found.restarts, found.address_changes) == (6, 600, True, False)


def test_new_and_removed_files_are_named() -> None:
    found = _plan(("replace", "ApplicationSource", ["files", "filesHashes"]), files=[["file0", "0"], ["old", "0"]])
    assert found.files.removed == ("old",)
    assert len(found.files.added) == 5
    assert "5 new: file1, file2, file3, …; 1 gone: old" in str(found.changes[0])


def test_a_replaced_application_gets_another_address() -> None:
    found = _plan(("replace", "CustomApplication", ["requiredKeyScopeLevel"]))
    assert found.address_changes
    assert str(found.changes[0]) == "application is replaced: key scope; its address changes"
    assert [call.method for call in found.calls] == ["DELETE", "POST", "PATCH", "GET"]


def test_another_environment_does_not_send_the_files_of_a_source_that_is_updated_in_place() -> None:
    found = _plan(
        ("update", "ExecutionEnvironment", ["dockerContextHash"]),
        ("update", "ApplicationSource", ["baseEnvironmentVersionId"]),
    )
    assert (found.upload_files, found.upload_bytes) == (1, 50)


def test_what_the_provider_only_computes_anew_is_no_reason() -> None:
    (change,) = _plan(("update", "ApplicationSource", ["filesHashes", "resources"]), inputs=[]).changes
    assert change.why == "files"
    (change,) = _plan(("update", "ApplicationSource", ["resources"]), inputs=["resources"]).changes
    assert change.why == "bundle or replicas"


def test_many_files_go_in_batches_of_a_hundred() -> None:
    many = Shipment({str(number): "0" for number in range(250)})
    found = _plan(("create", "ApplicationSource", []), shipment=many)
    assert [call.method for call in found.calls] == ["POST", "POST", "PATCH", "PATCH", "PATCH", "GET"]


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert _plan(("same", "CustomApplication", [])) == Plan()
    assert json.loads(json.dumps(Plan().to_json()))["calls"] == []

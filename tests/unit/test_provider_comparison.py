"""The comparison with the recordings must notice what it is there to notice."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.stack import recorded_calls, recordings


def test_a_recording_equals_itself() -> None:
    shortened = {"33-many-files"}  # its long lists are not recorded in full
    for name in sorted(set(recordings.names()) - shortened):
        assert recordings.compare(recordings.load(name), recordings.load(name)) == ""


def change_a_header(step: dict[str, Any]) -> None:
    step["requests"][0]["headers"] = "upload-client"


def leave_out_a_request(step: dict[str, Any]) -> None:
    del step["requests"][3]


def swap_requests(step: dict[str, Any]) -> None:
    step["requests"][10:12] = reversed(step["requests"][10:12])


def swap_files(step: dict[str, Any]) -> None:
    parts = step["requests"][8]["parts"]
    parts[0:4] = [*parts[2:4], *parts[0:2]]


def change_an_output(step: dict[str, Any]) -> None:
    step["state"][2]["outputs"]["versionId"] = "SRCV2"


def add_an_output(step: dict[str, Any]) -> None:
    step["state"][2]["outputs"]["requiredKeyScopeLevel"] = "viewer"


def change_an_event(step: dict[str, Any]) -> None:
    step["resources"][2]["op"] = "update"


def fail(step: dict[str, Any]) -> None:
    step["result"] = "failed"


def complain(step: dict[str, Any]) -> None:
    step["diagnostics"] = [{"severity": "error", "message": "boom"}]


CHANGES = [
    change_a_header,
    leave_out_a_request,
    swap_requests,
    swap_files,
    change_an_output,
    add_an_output,
    change_an_event,
    fail,
    complain,
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_difference_is_noticed(change: Any) -> None:
    recorded = recordings.load("01-create")
    ours = deepcopy(recorded)
    change(ours[0])
    assert recordings.compare(recorded, ours).startswith("step 0 (up, None) /")


def test_a_long_list_is_compared_at_both_ends_and_in_length() -> None:
    expected = ["a", "... 4 in all", "d"]
    assert recordings.difference(expected, ["a", "b", "c", "d"]) == ""
    assert recordings.difference(expected, ["a", "b", "d"]) != ""
    assert recordings.difference(expected, ["a", "b", "c", "x"]) != ""


def test_automatic_names_are_numbered_and_ids_named() -> None:
    steps = [{"name": "source-0a1b2c3", "id": "f" * 24}, {"name": "source-0a1b2c3", "other": "env-fffffff"}]
    assert recordings.normalised(steps, {"f" * 24: "SRC1"}, {}) == [
        {"name": "source-AUTO1", "id": "SRC1"},
        {"name": "source-AUTO1", "other": "env-AUTO2"},
    ]


def test_calls_are_compared_by_method_and_resource() -> None:
    check = {"method": "Check", "request": {"name": "env", "news": {"a": 1}}, "response": {"inputs": {"a": 1}}}
    recorded = {"method": "Check", "request": {"name": "env"}, "response": "inputs = news"}
    assert recorded_calls.answers([check]) == recorded_calls.answers([recorded])
    other = check | {"response": {"inputs": {"a": 2}}}
    assert recorded_calls.answers([other]) != recorded_calls.answers([recorded])

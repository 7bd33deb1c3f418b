from __future__ import annotations

from typing import Any

import pytest

from toolkit.emulator.provider_resource import OperationFailed, name_taken
from toolkit.emulator.provider_rest import ApiError
from toolkit.emulator.provider_source import _answered_parameters, _typed, go_text, next_label


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1000000, "1e+06"),
        (20250101, "2.0250101e+07"),
        (123456, "123456"),
        (3.0, "3"),
        (0.1, "0.1"),
        (-0.00001, "-1e-05"),
        (0, "0"),
        (True, "true"),
        ("a", "a"),
    ],
)
def test_values_come_back_in_go_s_default_format(value: Any, text: str) -> None:
    assert go_text(value) == text


@pytest.mark.parametrize(
    ("latest", "label"),
    [("v1", "v2"), ("9", "v10"), ("v99", "v100"), ("", "v1"), ("alpha", "v1"), ("v", "v1"), (None, "v1")],
)
def test_labels(latest: Any, label: str) -> None:
    assert next_label(latest) == label


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "1", "1"),
        ("boolean", "True", True),
        ("boolean", "0", False),
        ("numeric", "1000000", 1000000),
        ("numeric", "0.5", 0.5),
        ("credential", "CRED1", "CRED1"),
    ],
)
def test_parameters_are_sent_typed(kind: str, text: str, value: Any) -> None:
    sent = _typed({"key": "K", "type": kind, "value": text})
    assert sent == value
    assert type(sent) is type(value)


@pytest.mark.parametrize(("kind", "text"), [("boolean", "yes"), ("numeric", "many")])
def test_values_of_the_wrong_type_are_errors(kind: str, text: str) -> None:
    with pytest.raises(
        OperationFailed, match=f'^Error formatting runtime parameter value: .*"{text}": invalid syntax$'
    ):
        _typed({"key": "K", "type": kind, "value": text})


def test_answered_parameters_keep_the_program_s_order_and_add_the_platform_s() -> None:
    def row(name: str, kind: str, value: Any) -> dict[str, Any]:
        return {"fieldName": name, "type": kind, "defaultValue": None, "currentValue": value}

    answered = [
        row("A", "string", "added"),
        row("B", "numeric", 1000000),
        row("C", "boolean", True),
        row("D", "boolean", False),
        row("E", "string", None),
    ]
    given = [{"key": "C", "type": "boolean", "value": "True"}, {"key": "B", "type": "numeric", "value": "1000000"}]
    assert _answered_parameters({"runtimeParameters": answered}, {"runtimeParameterValues": given}) == [
        {"key": "C", "type": "boolean", "value": "true"},
        {"key": "B", "type": "numeric", "value": "1e+06"},
        {"key": "A", "type": "string", "value": "added"},
    ]


@pytest.mark.parametrize("phrase", ["already in use", "already exists", "is already used"])
def test_a_name_conflict_is_worded_by_the_provider(phrase: str) -> None:
    text = name_taken(ApiError(f"POST ...: response 409 ... {phrase}"), "Application", "demo")
    assert text == "Application name must be unique, and name 'demo' is already in use"
    assert name_taken(ApiError("something else"), "Application", "demo") == "something else"

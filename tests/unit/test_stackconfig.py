from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit import stackconfig
from toolkit.errors import ConfigurationError
from toolkit.stackconfig import StackInputs


def test_inputs_survive_json() -> None:
    inputs = StackInputs(
        "viewer", "dev", "../.toolkit/context.zip", (("../a", "a"), ("../b", "b")), replicas=2, use_cases=("c",)
    )
    assert stackconfig.from_json(json.loads(json.dumps(stackconfig.to_json(inputs)))) == inputs
    assert inputs.base_name == "viewer-dev"


@pytest.mark.parametrize("name", ["", "..", "a b", "dev/../x", "ü", "a" * 101, "dev;rm"])
def test_odd_stack_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a stack"):
        stackconfig.check_stack_name(name)


@pytest.mark.parametrize("name", ["dev", "local", "pr-12.preview_x"])
def test_plain_stack_names_pass(name: str) -> None:
    assert stackconfig.check_stack_name(name) == name


@pytest.mark.parametrize(
    ("kind", "result", "counted", "own"),
    [
        ("update", "succeeded", {"create": 5}, {"create": 3}),
        ("update", "failed", {"create": 3}, {"create": 1}),
        ("update", "succeeded", {"create": 2, "same": 3}, {"create": 2, "same": 1}),
        ("update", "succeeded", {"replace": 1, "same": 2, "update": 2}, {"replace": 1, "update": 2}),
        ("update", "succeeded", {"same": 2}, {}),
        ("update", "succeeded", {"create": 3, "same": 1, "update": 1}, {"create": 2, "update": 1}),
        ("refresh", "succeeded", {"delete": 1, "same": 4}, {"delete": 1, "same": 2}),
        ("destroy", "failed", {"delete": 3}, {"delete": 2}),
        ("destroy", "succeeded", {"delete": 5}, {"delete": 3}),
        ("refresh", "succeeded", {}, {}),
    ],
)
def test_the_history_counts_what_is_on_the_platform(
    kind: str, result: str, counted: dict[str, int], own: dict[str, int]
) -> None:
    """The numbers on the left are those that Pulumi gave in such a case."""
    assert stackconfig.own_changes(kind, result, counted) == own


def test_outputs_are_none_until_everything_is_there() -> None:
    assert stackconfig.outputs_from({"app_id": "a"}) is None
    everything = {name: name for name in stackconfig.StackOutputs.__dataclass_fields__}
    found = stackconfig.outputs_from({**everything, "more": 1})
    assert found is not None
    assert found.app_url == "app_url"


def test_a_stack_file_gives_settings_under_their_names_in_dotenv() -> None:
    text = "config:\n  bun-to-datarobot:replicas: 2\n  bun-to-datarobot:bundle: cpu.small\n  other:key: x\n"
    assert stackconfig.file_settings(text) == {"APP_BUNDLE": "cpu.small", "APP_REPLICAS": "2"}
    assert stackconfig.file_settings("config:\n  bun-to-datarobot:runtimeEnv: credential\n") == {
        "RUNTIME_ENV": "credential"
    }
    assert stackconfig.file_settings("") == {}
    assert stackconfig.file_settings("config:\n  bun-to-datarobot:appName:\n") == {}


def test_a_stack_file_may_hold_booleans_and_lists() -> None:
    text = "config:\n  bun-to-datarobot:autoStop: false\n  bun-to-datarobot:useCases: [a, b]\n"
    assert stackconfig.file_settings(text) == {"APP_AUTO_STOP": "false", "APP_USE_CASES": "a,b"}


@pytest.mark.parametrize("text", ["config: [1", "- a", "config: text"])
def test_a_stack_file_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="stack's file cannot be read"):
        stackconfig.file_settings(text)


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("", False),
        ("config:\n  bun-to-datarobot:protected: true\n", True),
        ('config:\n  bun-to-datarobot:protected: "true"\n', True),
        ("config:\n  bun-to-datarobot:protected: false\n", False),
    ],
)
def test_a_stack_file_may_protect_its_stack(text: str, protected: bool) -> None:
    assert stackconfig.is_protected(text) is protected
    assert "protected" not in stackconfig.file_settings(text)


def test_a_protection_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="maybe"):
        stackconfig.is_protected("config:\n  bun-to-datarobot:protected: maybe\n")


def test_of_the_stacks_that_come_along_only_prod_is_protected(root: Path) -> None:
    files = sorted((root / "infra").glob("Pulumi.*.yaml"))
    assert [path.name for path in files if stackconfig.is_protected(path.read_text())] == ["Pulumi.prod.yaml"]

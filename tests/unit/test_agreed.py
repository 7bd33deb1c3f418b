"""What is asked before a stack changes: yes, or the name of a protected stack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from toolkit import settings as configuration
from toolkit.commands.frame import agreed
from toolkit.console import Console
from toolkit.errors import ConfigurationError
from toolkit.settings import Settings


class Person(Console):
    """A console with somebody in front of it."""

    interactive = True  # type: ignore[assignment]

    def __init__(self, answer: str) -> None:
        super().__init__()
        self._answer = answer
        self._rich.input = self._typed  # type: ignore[method-assign]
        self.asked: list[str] = []

    def _typed(self, prompt: object = "", **_options: object) -> str:
        self.asked.append(str(prompt))
        return self._answer


@pytest.fixture
def prod(tmp_path: Path) -> Settings:
    return configuration.load({}, None, stack="prod", root=tmp_path, protected=True)


def _agreed(console: Console, settings: Settings, *, yes: bool = False, confirm: str = "") -> bool:
    return agreed(console, settings, "Go on?", yes=yes, confirm=confirm)


def test_a_protected_stack_wants_its_name(prod: Settings) -> None:
    for answer, fits in (("prod", True), (" prod ", True), ("y", False), ("yes", False), ("dev", False), ("", False)):
        person = Person(answer)
        assert _agreed(person, prod) is fits, answer
        assert "Type the name of the stack" in person.asked[0]


def test_yes_is_not_enough_on_a_protected_stack(prod: Settings) -> None:
    assert _agreed(Person("no"), prod, yes=True) is False
    with pytest.raises(ConfigurationError) as caught:
        _agreed(Console(), prod, yes=True)
    assert "--confirm prod" in caught.value.hint
    assert caught.value.exit_code == 2


def test_the_name_said_beforehand_is_a_yes(prod: Settings) -> None:
    assert _agreed(Console(), prod, confirm="prod")
    assert _agreed(Console(), replace(prod, protected=False), confirm="prod")


@pytest.mark.parametrize("protected", [True, False])
def test_another_name_is_refused(prod: Settings, protected: bool) -> None:
    with pytest.raises(ConfigurationError, match="--confirm says staging, but this is the stack prod"):
        _agreed(Console(), replace(prod, protected=protected), yes=True, confirm="staging")


def test_other_stacks_take_yes(prod: Settings) -> None:
    free = replace(prod, protected=False)
    assert _agreed(Console(), free, yes=True)
    assert _agreed(Person("y"), free)
    assert not _agreed(Person("prod"), free)

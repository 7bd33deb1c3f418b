"""`.env.template` and the settings name the same keys, with the same words and the same defaults."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from toolkit.settings import KEYS, load


@pytest.fixture
def template(root: Path) -> Path:
    return root / ".env.template"


def shown(template: Path) -> dict[str, str | None]:
    """Every key, also those whose line shows a default behind a #."""
    text = re.sub(r"^#(?=[A-Z_]+=)", "", template.read_text(), flags=re.MULTILINE)
    return dotenv_values(stream=StringIO(text), interpolate=False)


def test_template_lists_every_key_in_order_with_its_default(template: Path) -> None:
    assert list(shown(template).items()) == [(key.name, key.default) for key in KEYS]


def test_defaults_are_shown_and_not_set_so_that_a_stack_file_still_counts(template: Path) -> None:
    assert set(dotenv_values(template, interpolate=False).values()) == {""}


def test_secrets_have_no_default(template: Path) -> None:
    values = shown(template)
    assert {values[key.name] for key in KEYS if key.secret} == {""}


def test_each_key_stands_below_its_comment(template: Path) -> None:
    lines = template.read_text().splitlines()
    for key in KEYS:
        place = lines.index(f"{'#' if key.default else ''}{key.name}={key.default}")
        comment: list[str] = []
        while place > 0 and lines[place - 1].startswith("#"):
            place -= 1
            comment.insert(0, lines[place].removeprefix("#").strip())
        assert 1 <= len(comment) <= 2, key.name
        assert " ".join(comment) == key.comment, key.name


def test_every_key_is_explained_in_words() -> None:
    for key in KEYS:
        assert key.comment.endswith((".", "/api/v2")), key.name
        assert len(key.comment) > 20, key.name
    assert len({key.comment for key in KEYS}) == len(KEYS)


def test_a_shell_reads_the_template_as_the_settings_do(template: Path) -> None:
    for line in template.read_text().splitlines():
        if line and not line.startswith("#"):
            assert not set(line) & set(" \t'\"$`;&|<>()\\"), line


def test_copying_the_template_changes_nothing(template: Path, tmp_path: Path) -> None:
    for stack in ("local", "dev"):
        assert load({}, template, stack=stack, root=tmp_path) == load({}, None, stack=stack, root=tmp_path)

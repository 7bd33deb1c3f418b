"""`.deployignore` means what git would mean by it: the same patterns over the same tree, and git as the judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.errors import ConfigurationError
from toolkit.selection import IGNORE_FILE, read_ignore_file, select

NAMES = ("a", "b", "d", "a.c", "b.c")


def grow(folder: Path, depth: int = 2) -> None:
    for name in NAMES:
        if "." in name or depth == 0:
            (folder / name).write_text("x")
        else:
            (folder / name).mkdir()
            grow(folder / name, depth - 1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders three deep, with the same few names everywhere, so that patterns meet."""
    folder = tmp_path_factory.mktemp("tree") / "app"
    folder.mkdir()
    grow(folder)
    quiet = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", folder], check=True, env=quiet)
    return folder


def by_git(tree: Path, text: str) -> set[str]:
    patterns = tree.parent / "patterns"
    patterns.write_text(text)
    done = subprocess.run(
        ["git", "-c", "core.excludesFile=/dev/null", "ls-files", "--others", "-z", f"--exclude-from={patterns}"],
        cwd=tree,
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tree.parent), "GIT_CONFIG_NOSYSTEM": "1"},
    )
    return {name for name in done.stdout.decode().split("\0") if name}


def by_us(tree: Path, text: str) -> set[str]:
    ignore_file = tree.parent / IGNORE_FILE
    ignore_file.write_text(text)
    chosen = select(tree, read_ignore_file(ignore_file))
    assert chosen.problems == ()
    assert list(chosen.files) == sorted(chosen.files)
    return set(chosen.files)


WORDS = st.sampled_from(("a", "b", "d", "*", "**", "a*", "*.c", "?", "[ab]", "[!a]", "a.c", "b.c", "\\a"))


@st.composite
def patterns(draw: st.DrawFn) -> str:
    body = "/".join(draw(st.lists(WORDS, min_size=1, max_size=3)))
    end = draw(st.sampled_from(("", "", "/", " ")))
    if body.endswith("**"):
        end = ""  # `x/**/`, the folders anywhere below x, is the one thing that the library reads otherwise
    return draw(st.sampled_from(("", "", "!"))) + draw(st.sampled_from(("", "", "/"))) + body + end


@given(st.lists(patterns(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_patterns_choose_the_files_that_git_would(tree: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    assert by_us(tree, text) == by_git(tree, text)


@pytest.mark.parametrize(
    "text",
    [
        "*.c\n!d/\n",
        "d\n!a/\n",
        "/a/**\n!/a/b\n",
        "a/*\n!a/b.c\n",
        "*/\n**\n!d\n",
        "# a\n\\#a\n \n!b\n",
        "a \nb\\ \n",
    ],
)
def test_patterns_that_are_easily_read_wrong(tree: Path, text: str) -> None:
    assert by_us(tree, text) == by_git(tree, text)


def test_without_a_file_everything_is_chosen(tree: Path) -> None:
    assert set(select(tree, read_ignore_file(tree / "none")).files) == by_git(tree, "")


def test_the_line_and_the_pattern_are_named(tree: Path) -> None:
    (tree.parent / IGNORE_FILE).write_text("# words\n\n!nothing\n  \n/a/b\n")
    chosen = select(tree, read_ignore_file(tree.parent / IGNORE_FILE))
    reasons = {left.path: left.reason for left in chosen.left_out if left.path != ".git"}
    assert reasons == {"a/b": f"{IGNORE_FILE} line 5: /a/b"}


@pytest.mark.parametrize("line", ["!", "\\"])
def test_a_pattern_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / IGNORE_FILE
    path.write_text(f"*.md\n{line}\n")
    with pytest.raises(ConfigurationError) as caught:
        read_ignore_file(path)
    assert f"{path}:2" in caught.value.message
    assert caught.value.hint


def test_allowed_patterns_are_comments_for_git(tmp_path: Path) -> None:
    path = tmp_path / IGNORE_FILE
    path.write_text("# toolkit: allow-secret data/*.json\n#toolkit: allow-secret\n# toolkit: allow-secrets x\n")
    ignored = read_ignore_file(path)
    assert ignored.patterns == ()
    assert ignored.allows_secrets("data/a.json")
    assert not ignored.allows_secrets("a.json")
    assert not ignored.allows_secrets("x")

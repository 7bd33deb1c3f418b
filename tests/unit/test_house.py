"""House rules that no linter knows."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest


def _tasks(root: Path) -> list[ast.FunctionDef]:
    tree = ast.parse((root / "tasks.py").read_text())
    return [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("task" in ast.unparse(one) for one in node.decorator_list)
    ]


def test_a_task_is_a_thin_recipe_with_a_line_for_the_list(root: Path) -> None:
    tasks = _tasks(root)
    assert len(tasks) >= 16
    for function in tasks:
        assert len(function.body) <= 15, function.name
        assert (ast.get_docstring(function) or "").strip(), function.name


def test_every_option_of_every_task_is_explained(root: Path) -> None:
    # A fresh copy: asking a task for its arguments takes the help out of it.
    namespace = runpy.run_path(str(root / "tasks.py"))["namespace"]
    for name in namespace.task_names:
        task = namespace[name]
        unexplained = {argument.name for argument in task.get_arguments() if not argument.help}
        assert not unexplained, f"{name}: {unexplained}"


def test_listing_the_tasks_imports_nothing_heavy(root: Path) -> None:
    heavy = "docker pulumi rich aiohttp httpx playwright jinja2 junitparser watchfiles toolkit.commands"
    code = (
        f"import sys; sys.path.insert(0, '.'); import tasks; print(sorted(set('{heavy}'.split()) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_what_only_some_commands_need_is_not_imported_by_all(root: Path) -> None:
    code = (
        "import importlib, pathlib, sys; sys.path.insert(0, 'infra'); "
        "names = [path.stem for path in pathlib.Path('infra/toolkit/commands').glob('[a-z]*.py')]; "
        "assert len(names) > 5; "
        "[importlib.import_module(f'toolkit.commands.{name}') for name in names]; "
        "print(sorted({'playwright', 'jinja2', 'junitparser', 'watchfiles', 'httpx'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_nothing_writes_the_environment_of_this_process(root: Path) -> None:
    offenders = [
        f"{path.relative_to(root)}:{number}"
        for path in (root / "infra").rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"os\.environ\[[^\]]+\]\s*=|os\.putenv|environ\.setdefault", line)
    ]
    assert offenders == []


def test_only_the_front_doors_read_the_environment(root: Path) -> None:
    allowed = {"frame.py", "server.py", "provider.py", "__main__.py"}
    readers = {path.name for path in (root / "infra").rglob("*.py") if "os.environ" in path.read_text()}
    assert readers <= allowed


def test_package_files_are_empty(root: Path) -> None:
    assert all(path.read_text() == "" for path in (root / "infra").rglob("__init__.py"))


def test_nothing_but_the_package_lies_beside_the_program(root: Path) -> None:
    modules = {path.name for path in (root / "infra").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules - {"__pycache__"} == {"__main__.py", "toolkit"}


def test_the_toolkit_does_not_know_the_app_it_ships_with(root: Path) -> None:
    names = ("nb-admin", "admin_viewer")
    offenders = [
        path.name
        for path in (root / "infra" / "toolkit").rglob("*.py")
        if path.name != "settings.py" and any(name in path.read_text() for name in names)
    ]
    assert offenders == []


@pytest.mark.parametrize("name", ["requirements.txt", "infra/requirements.txt", "tests/requirements.txt"])
def test_requirements_are_pinned_exactly(root: Path, name: str) -> None:
    lines = [line for line in (root / name).read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+]+", line)] == []


def test_the_version_is_the_newest_of_the_changelog(root: Path) -> None:
    version = re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(), re.MULTILINE)
    newest = re.search(r"^## \[?(\d[^\]\s]*)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version is not None
    assert newest is not None
    assert version[1] == newest[1]

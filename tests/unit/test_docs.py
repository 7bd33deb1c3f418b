"""The documents: links and anchors resolve, tables and commands equal the code, nothing of one machine is in them."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from invoke import Task
from invoke.parser import ParserContext
from markdown_it import MarkdownIt
from markdown_it.token import Token

from toolkit import errors, limits, settings
from toolkit.checks.catalog import QUESTIONS

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"node_modules", "dist"}
CORE_OPTIONS = {"--list", "--help", "--version", "--print-completion-script"}
MACHINE_PATHS = re.compile(r"(?<![\w.~$}/…-])/(?:work|root|tmp/w|home/\w+)(?![\w-])")
REGISTRY_HOSTS = re.compile(
    r"npmjs|pypi\.org|pythonhosted|proxy\.golang\.org|deb\.debian\.org|registry-1\.docker", re.I
)
ISSUE_NUMBERS = re.compile(r"(?<![\w&/])#\d+\b|\bissues? \d+", re.IGNORECASE)
CHECK_ID = re.compile(r"(?:source|build|start|environment|front|crawl|lifecycle)\.[a-z-]+")


@dataclass
class Document:
    """A Markdown file, parsed: links, slugs of headings, tables by heading, code, and all that readers see."""

    path: Path
    links: list[str] = field(default_factory=list)
    slugs: set[str] = field(default_factory=set)
    headings: list[str] = field(default_factory=list)
    tables: dict[str, list[list[Token]]] = field(default_factory=dict)  # heading -> rows of inline tokens
    code: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def cells(self, heading: str) -> list[list[str]]:
        """The rows below a heading, without the header, as readers see them."""
        return [[_seen(cell) for cell in row] for row in self.tables[heading]]

    def spans(self, heading: str, column: int = 0) -> list[str]:
        """What is set as code in a column of the tables below a heading."""
        return [
            child.content
            for row in self.tables[heading]
            for child in row[column].children or ()
            if child.type == "code_inline"
        ]


def _seen(inline: Token) -> str:
    return "".join(child.content for child in inline.children or () if child.type in {"text", "code_inline"})


def _slug(title: str) -> str:
    """As GitHub makes anchors of headings."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


@cache
def document(path: Path) -> Document:
    found = Document(path)
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    heading, row, in_head = "", [], False
    for number, token in enumerate(tokens):
        if token.type in {"fence", "code_block"}:
            found.code += token.content.splitlines()
            found.texts.append(token.content)
        elif token.type in {"thead_open", "thead_close"}:
            in_head = token.type == "thead_open"
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and not in_head:
            found.tables.setdefault(heading, []).append(row)
        elif token.type == "inline":
            seen = _seen(token)
            found.texts.append(seen)
            found.code += [child.content for child in token.children or () if child.type == "code_inline"]
            found.links += _targets(token)
            if tokens[number - 1].type == "heading_open":
                heading = seen
                found.headings.append(seen)
                slug, again = _slug(seen), 1
                while slug in found.slugs:
                    slug, again = f"{_slug(seen)}-{again}", again + 1
                found.slugs.add(slug)
            elif tokens[number - 1].type in {"td_open", "th_open"}:
                row.append(token)
    return found


def _targets(inline: Token) -> Iterator[str]:
    for child in inline.children or ():
        target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
        if target is not None:
            yield str(target)


def _documents() -> list[Path]:
    found = []
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if not name.startswith(".") and name not in NOT_OURS]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


DOCUMENTS = _documents()
every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@pytest.fixture(scope="module")
def reference() -> Document:
    return document(ROOT / "docs" / "reference.md")


@cache
def tasks() -> Mapping[str, set[str]]:
    """Every task with its long options."""
    sys.path.insert(0, str(ROOT))
    try:
        import tasks as module
    finally:
        sys.path.remove(str(ROOT))
    return {name: _options(name, module.namespace[name]) for name in module.namespace.task_names}


def _options(name: str, task: Task) -> set[str]:
    flags = ParserContext(name, args=task.get_arguments()).flags
    return {str(flag) for flag in flags if str(flag).startswith("--")}


# --- What is there ----------------------------------------------------------------------------------------------------


def test_the_documents_are_there() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    wanted = {"architecture", "deploy-to-datarobot", "reference", "local-platform", "troubleshooting", "security"}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{name}.md" for name in wanted)} <= names


@every_document
def test_links_and_anchors_resolve(path: Path) -> None:
    wrong = []
    for link in document(path).links:
        parts = urlsplit(link)
        if parts.scheme in {"http", "https", "mailto"}:
            continue
        target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
        there = not parts.scheme and target.is_relative_to(ROOT) and _exists(target)
        if not there or (parts.fragment and parts.fragment not in document(target).slugs):
            wrong.append(link)
    assert not wrong


def _exists(target: Path) -> bool:
    """Whether it is there under exactly this name, also where the file system takes any case."""
    return target.exists() and (target == ROOT or target.name in os.listdir(target.parent))


def test_every_document_in_docs_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        path = pending.pop()
        seen.add(path)
        targets = (Path(os.path.normpath(path.parent / urlsplit(link).path)) for link in document(path).links)
        pending += [target for target in targets if target.suffix == ".md" and target.is_file() and target not in seen]
    assert {path for path in DOCUMENTS if path.parent == ROOT / "docs"} <= seen


def test_pictures_are_shown() -> None:
    assert "docs/app.png" in document(ROOT / "README.md").links
    assert "rooms.svg" in document(ROOT / "docs" / "architecture.md").links
    shown = {
        Path(os.path.normpath(path.parent / link))
        for path in DOCUMENTS
        for link in document(path).links
        if "//" not in link
    }
    pictures = {path for path in (ROOT / "docs").iterdir() if path.suffix in {".png", ".svg"}}
    assert pictures <= shown


# --- Commands ---------------------------------------------------------------------------------------------------------


def test_the_readme_begins_with_two_commands_that_exist() -> None:
    lines = [
        line.partition("#")[0].strip() for line in document(ROOT / "README.md").code if line.startswith("./bootstrap")
    ]
    assert lines[:2] == ["./bootstrap invoke deploy --stack local --yes", "./bootstrap nox -s tests"]
    assert os.access(ROOT / "bootstrap", os.X_OK)
    assert {"--stack", "--yes"} <= tasks()["deploy"]
    assert "tests" in _sessions()


def test_the_reference_has_every_task_with_every_option(reference: Document) -> None:
    documented = {
        heading.removeprefix("invoke "): {span.split()[0] for span in reference.spans(heading)}
        for heading in reference.headings
        if heading.startswith("invoke ")
    }
    assert documented == dict(tasks())


def test_the_readme_lists_every_task() -> None:
    listed = document(ROOT / "README.md").spans("Commands")
    assert sorted(span.removeprefix("invoke ") for span in listed) == sorted(tasks())


@every_document
def test_every_command_that_is_written_exists(path: Path) -> None:
    wrong = []
    for line in document(path).code:
        for match in re.finditer(r"(?:^|[\s/(])invoke((?:[ \t]+[\w.-]+)+)", line):
            words = match[1].split()
            if words[0] in CORE_OPTIONS:
                words = words[2:] if words[0] == "--help" and words[1:2] == ["NAME"] else words[1:]
            if not words:
                continue
            known = tasks().get(words[0].rstrip("."))
            options = {word for word in words if word.startswith("--")}
            if line.startswith("$ invoke deploy --bogus"):
                continue  # it shows what happens then
            if known is None or not options <= known:
                wrong.append(match[0].strip())
    assert not wrong


# --- Tables -----------------------------------------------------------------------------------------------------------


def test_the_settings_are_those_of_the_code(reference: Document) -> None:
    shown = [(row[0], row[1], "secret" in row[2]) for row in reference.cells("Settings")]
    assert shown == [(key.name, key.default, key.secret) for key in settings.KEYS]


def test_the_exit_codes_are_those_of_the_code(reference: Document) -> None:
    classes: list[type[errors.ToolkitError]] = [errors.ToolkitError, *errors.ToolkitError.__subclasses__()]
    own = {one.__name__: one.exit_code for one in classes if one.__module__ == errors.__name__}
    shown = {row[1]: int(row[0]) for row in reference.cells("Exit codes")}
    assert shown == {"": 0, **own}
    problems = document(ROOT / "docs" / "troubleshooting.md").headings
    assert [int(one.split(":")[0]) for one in problems if re.match(r"\d+:", one)] == list(range(1, 11))


def test_the_checks_are_those_of_the_code(reference: Document) -> None:
    assert reference.spans("Checks of the smoke test") == list(QUESTIONS)


@cache
def _sessions() -> frozenset[str]:
    code = "import json, nox.registry, runpy; runpy.run_path('noxfile.py'); print(json.dumps([*nox.registry.get()]))"
    listed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(json.loads(listed.stdout))


@pytest.mark.parametrize("name", ["docs/reference.md", "CONTRIBUTING.md"])
def test_the_sessions_are_those_of_nox(name: str) -> None:
    assert set(document(ROOT / name).spans("Nox sessions")) == _sessions()


def test_the_bundles_are_those_of_the_code() -> None:
    from toolkit.bundles import BUNDLES, MEGABYTE

    shown = [
        (row[0], row[1], row[2])
        for row in document(ROOT / "docs" / "deploy-to-datarobot.md").cells("Size and replicas")
        if row[0].startswith("cpu.")
    ]
    assert shown == [(one.id, str(one.cpus), _memory(one.memory // MEGABYTE)) for one in BUNDLES.values()]


def _memory(megabytes: int) -> str:
    return f"{megabytes} MB" if megabytes < 1024 else f"{megabytes / 1024:g} GB"


def test_the_picture_of_the_rooms_is_drawn_from_the_contract() -> None:
    rooms = runpy.run_path(str(ROOT / "docs" / "rooms.py"))
    assert (ROOT / "docs" / "rooms.svg").read_text() == rooms["draw"](rooms["layers"]()), "python docs/rooms.py"
    assert set(rooms["DOES"]) == {room for layer in rooms["layers"]() for room in layer}


def test_the_picture_of_the_rooms_is_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    layers = [{name.strip().removeprefix("toolkit.") for name in layer.split("|")} for layer in contract]
    drawn: dict[float, set[str]] = {}
    for text in ElementTree.parse(ROOT / "docs" / "rooms.svg").iter("{http://www.w3.org/2000/svg}text"):
        if text.get("class") == "room":
            drawn.setdefault(float(text.get("y", "0")), set()).add(text.text or "")
    assert [drawn[y] for y in sorted(drawn)] == layers


# --- What must not be in them -----------------------------------------------------------------------------------------


@every_document
def test_nothing_of_one_machine_and_of_how_it_was_made(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not MACHINE_PATHS.findall(source)
    assert not REGISTRY_HOSTS.findall(source)
    assert not [found for text in document(path).texts for found in ISSUE_NUMBERS.findall(text)]


OURS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
WRAPPED = [path for path in DOCUMENTS if path.parent == ROOT / "docs" or path in OURS]


@pytest.mark.parametrize("path", WRAPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_of_readable_length(path: Path) -> None:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    assert not [number for number, line in lines if len(line) > 120 and not line.startswith("|")]


def test_the_limits_of_phases_are_those_of_the_code(reference: Document) -> None:
    usual = limits.by_phase({}, timeout_minutes=30, verify_seconds=120)
    shown = [(row[0], int(row[1]), row[2]) for row in reference.cells("Limits of phases")]
    assert shown == [(limits.key(name), usual[name], phase.waits_for) for name, phase in limits.PHASES.items()]

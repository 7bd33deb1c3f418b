"""Findings that a person has judged and accepts: `smoke.toml`, or `[tool.smoke]` in `pyproject.toml`.

[[accept]]                       # in pyproject.toml: [[tool.smoke.accept]]
id = "crawl.links"
pattern = "old-page"             # optional: a regular expression that the title must contain
reason = "The old page is served by another app."
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.checks.catalog import QUESTIONS
from toolkit.errors import ConfigurationError
from toolkit.report import Check, SmokeReport

_SEVERAL = re.compile(r"^\d+ |\(and \d+ more\)")


@dataclass(frozen=True)
class Acceptance:
    """One entry: which finding, an optional pattern, the reason, and the file that holds it."""

    id: str
    reason: str
    pattern: str = ""
    place: str = ""

    def takes(self, check: Check) -> bool:
        """Whether this entry means the answer `check`.

        The pattern must be in its title; where the answer tells of several things, in all of its evidence too, so
        that what comes on top is no part of what was accepted.
        """
        if check.id != self.id:
            return False
        pattern = re.compile(self.pattern)
        whole = not self.pattern or not _SEVERAL.search(check.title)
        return bool(pattern.search(check.title)) and (whole or all(pattern.search(line) for line in check.evidence))

    def __str__(self) -> str:
        return f"{self.place}: {self.id}" + (f" (pattern {self.pattern!r})" if self.pattern else "")


def read(app: Path) -> tuple[Acceptance, ...]:
    """Read the accept-list of the app in folder `app`: of the nearest smoke.toml or pyproject.toml that has one.

    Looks in the folder and above it, up to the root of the repository. Raises ConfigurationError for an entry without
    a reason, or one that cannot be understood.
    """
    for folder in _folders(app.resolve()):
        for name, keys in (("smoke.toml", ()), ("pyproject.toml", ("tool", "smoke"))):
            path = folder / name
            if path.is_file() and (entries := _entries(path, keys)):
                return entries
    return ()


def apply(report: SmokeReport, entries: Sequence[Acceptance]) -> SmokeReport:
    """Mark what is accepted, and say which entries are unknown or accept nothing any more."""
    checks = tuple(_marked(check, entries) for check in report.checks)
    answers: dict[str, list[Check]] = {}
    for check in report.checks:
        answers.setdefault(check.id, []).append(check)
    notes = []
    for entry in entries:
        asked = [check for check in answers.get(entry.id, ()) if check.status != "skip"]
        if entry.id not in QUESTIONS:
            notes.append(f"{entry}: there is no such check, correct its id")
        elif asked and not any(entry.takes(check) for check in asked if check.status != "pass"):
            notes.append(f"{entry}: accepts nothing any more, remove it")
    return replace(report, checks=checks, notes=(*_without_old(report.notes, entries), *notes))


def _without_old(notes: Iterable[str], entries: Sequence[Acceptance]) -> list[str]:
    return [note for note in notes if not any(note.startswith(f"{entry}: ") for entry in entries)]


def taken(check: Check, entries: Iterable[Acceptance]) -> bool:
    """Whether somebody has accepted this answer."""
    return any(entry.takes(check) for entry in entries)


def _marked(check: Check, entries: Sequence[Acceptance]) -> Check:
    found = next((entry for entry in entries if check.status in {"warn", "fail"} and entry.takes(check)), None)
    return replace(check, accepted=found.reason if found else "")


def _folders(app: Path) -> list[Path]:
    """The app's folder and those above it up to the repository's root; without a repository only the one above."""
    above = [app, *app.parents]
    root = next((number for number, folder in enumerate(above) if (folder / ".git").exists()), 1)
    return above[: root + 1]


def _entries(path: Path, keys: Sequence[str]) -> tuple[Acceptance, ...]:
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{path} is no TOML: {problem}", hint="Correct the file.") from problem
    for key in keys:
        table = table.get(key, {}) if isinstance(table, dict) else {}
    entries = table.get("accept", []) if isinstance(table, dict) else []
    if not isinstance(entries, list):
        raise ConfigurationError(f"{path}: accept is no list of tables.", hint="Write [[accept]] above each entry.")
    return tuple(_entry(path, number, entry) for number, entry in enumerate(entries, 1))


def _entry(path: Path, number: int, entry: Any) -> Acceptance:
    where = f"{path}: entry {number} of accept"
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise ConfigurationError(f"{where} is no table of texts.", hint='id = "…", reason = "…"')
    if unknown := sorted(set(entry) - {"id", "pattern", "reason"}):
        raise ConfigurationError(f"{where} has the unknown key {unknown[0]}.", hint="Known: id, pattern, reason.")
    if not entry.get("id"):
        raise ConfigurationError(f"{where} has no id.", hint="The id of the check, as the report shows it.")
    if not entry.get("reason", "").strip():
        raise ConfigurationError(
            f"{where} ({entry['id']}) has no reason.", hint="Say in one sentence why this is accepted."
        )
    try:
        re.compile(entry.get("pattern", ""))
    except re.error as problem:
        raise ConfigurationError(
            f"{where} ({entry['id']}): the pattern is no regular expression: {problem}",
            hint="Put a backslash before . ( [ * + ?",
        ) from problem
    return Acceptance(entry["id"], entry["reason"].strip(), entry.get("pattern", ""), path.name)

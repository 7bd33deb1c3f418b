"""Why a build failed, as its own output tells: the line that names the cause, the place, and what stands around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHOWN = 20  # lines of evidence
LONGEST = 160  # characters of the line that goes into the title
PLACE_WITHIN = 4  # lines below the cause in which bundlers put its place

# A line that says why: bun, shells, compilers; esbuild and rolldown put a name in brackets, rollup a mark, parcel its
# own name.
_CAUSE = re.compile(
    r"(?:\w*error\b(?! during| in \S)|(?:Resolve|Build)Message: |.*: (?:command )?not found$|.*Syntax error"
    r"|(?:\W{1,3} )?\[(?:ERROR|[A-Z]+_[A-Z_]+)\] |\[!\] |@parcel/[\w-]+: |Module not found"
    r"|.*\berror TS\d+: |.*(?:Could not|Can't|Failed to) resolve\b|.*Cannot find (?:module|package)\b)",
    re.IGNORECASE,
)
# What is said besides, because of it: by whoever started the program that failed, or as a sum.
CONSEQUENCE = re.compile(
    r'error: script "[^"]*" exited with code \d+|error during build:|\W*Build failed\b|Failed to compile'
    r"|(?:Found )?\d+ errors?\b|webpack \S+ compiled with|npm (?:ERR!|error) (?:code|path|command|errno|Lifecycle)\b"
    r"|\W*Build failed because|.*ELIFECYCLE",
    re.IGNORECASE,
)
_DOUBTFUL = re.compile(r"error|not found", re.IGNORECASE)
_FRAME = re.compile(r"\s*at .*(?:node_modules/|node:internal|bun:|\(native)")
_PLACE = re.compile(r"(?:at |╭─\[ )?(?P<path>[^\s\[\]()╭]+\.\w+):(?P<line>\d+)(?::\d+)?(?: ?\])?:?$")
_ABOVE = re.compile(r"(?:ERROR in )?(?P<path>\.{0,2}/\S+\.\w+)(?:[ :](?P<line>\d+)\S*)?$")
_HAS_PLACE = re.compile(r"[\w/-]\.\w+(?::\d+|\(\d+,\d+\))")


@dataclass(frozen=True)
class Reason:
    """The line that most likely says why (empty when none does), its place `path:line`, and the lines around it."""

    text: str
    place: str
    around: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.text} ({self.place})" if self.place else self.text


def reason(log: Sequence[str], paths: Iterable[str]) -> Reason:
    """Find the reason in a whole log; a place counts when it is in one of the app's files, `paths`."""
    lines = [line for line in log if not _FRAME.match(line)]
    found = _index(lines)
    if found is None:
        return Reason("", "", tuple(lines[-SHOWN:]))
    start = min(max(0, found - 2), max(0, len(lines) - SHOWN))
    text = lines[found].strip()[:LONGEST]
    place = "" if _HAS_PLACE.search(text) else _place(lines[:found], lines[found + 1 :], paths)
    return Reason(text, place, tuple(lines[start : start + SHOWN]))


def _index(lines: Sequence[str]) -> int | None:
    """Where the reason stands: the first cause, else the last line that speaks of an error, else a consequence."""
    doubtful = consequence = None
    for number, line in enumerate(map(str.strip, lines)):
        if CONSEQUENCE.match(line):
            consequence = number
        elif _CAUSE.match(line):
            return number
        elif _DOUBTFUL.search(line):
            doubtful = number
    return consequence if doubtful is None else doubtful


def _place(above: Sequence[str], below: Sequence[str], paths: Iterable[str]) -> str:
    """The place that stands in one of the next lines, else (webpack) in the one before."""
    after = [line.strip() for line in below if line.strip()][:PLACE_WITHIN]
    before = [line.strip() for line in above[-1:]]
    for match in filter(None, (*map(_PLACE.search, after), *map(_ABOVE.match, before))):
        named = f"/{match['path'].lstrip('./')}"
        if path := max((path for path in paths if named.endswith(f"/{path}")), key=len, default=""):
            return f"{path}:{match['line']}" if match["line"] else path
    return ""

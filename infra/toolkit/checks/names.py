"""Names that differ in case or Unicode form only: one file on macOS and Windows, two on the platform's Linux."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

# How Bun, node and shells put that a file is missing.
_MISSING = re.compile(
    r"""(?:Cannot\ find\ module|Could\ not\ resolve:?|Can't\ resolve|[Ff]ailed\ to\ resolve(?:\ import)?
        |Module\ not\ found(?:(?!Can't)[^"']){0,40}?|ENOENT[^"']{0,80}?|No\ such\ file[^"']{0,40}?)
        \s*["'`]([^"'`]+)["'`]""",
    re.VERBOSE | re.IGNORECASE,
)
_SUFFIXES = ("", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".json", ".css", "/index.ts", "/index.tsx", "/index.js")


def same_but_for_form(wanted: str, paths: Iterable[str]) -> str:
    """Give the path that is written like `wanted` but for case or Unicode form; empty when there is none.

    `wanted` may be relative to anything: as many of its last parts as it has must be those of the path.
    """
    parts = [part for part in PurePosixPath(unquote(wanted.split("?")[0])).parts if part not in ("/", ".", "..")]
    if not parts:
        return ""
    tail = "/".join(parts)
    folded = _folded(tail)
    found = ""
    for path in paths:
        end = "/".join(PurePosixPath(path).parts[-len(parts) :])
        if end == tail:
            return ""
        if _folded(end) == folded:
            found = found or path
    return found


def named_otherwise(lines: Iterable[str], paths: Iterable[str]) -> tuple[str, str] | None:
    """Find a line that misses a file which is there under a name of another form: what was asked for, and its path."""
    known = list(paths)
    for line in lines:
        for match in _MISSING.finditer(line):
            for suffix in _SUFFIXES:
                if path := same_but_for_form(match[1] + suffix, known):
                    return match[1], path
    return None


def difference(wanted: str, path: str) -> str:
    """Put into words how two names differ."""
    if unicodedata.normalize("NFC", unquote(wanted)).endswith(unicodedata.normalize("NFC", PurePosixPath(path).name)):
        return "in the Unicode form of its name (NFC or NFD)"
    return "in upper and lower case"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()

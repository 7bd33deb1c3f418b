"""Choose the files of the app's folder that ship, and say of each other one why it does not."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from toolkit.errors import ConfigurationError
from toolkit.runtime_env import NAME as RUNTIME_ENV

EXCLUDED = (
    ".venv",
    "node_modules",
    ".git",
    ".github",
    ".vscode",
    ".idea",
    "dist",
    "reference",
    "uploads",
    "coverage",
    ".pytest_cache",
    "__pycache__",
)
TOOLKIT_DIR = ".toolkit"
IGNORE_FILE = ".deployignore"
ALLOW_LINE = re.compile(r"#\s*toolkit: allow-secret\s+(\S.*)")


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that does not ship, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """What ships (name on the platform -> file, sorted by name), what does not, and what must not stay as it is."""

    files: dict[str, str]
    left_out: tuple[LeftOut, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Pattern:
    line: int
    text: str
    excludes: bool
    matches: Callable[[str], bool] = field(repr=False)


@dataclass(frozen=True)
class IgnoreFile:
    """The app's `.deployignore`: gitignore syntax, and `# toolkit: allow-secret PATTERN` for false alarms."""

    patterns: tuple[_Pattern, ...]
    allowed: GitIgnoreSpec
    allowed_lines: tuple[str, ...] = ()

    def excluded_by(self, path: str) -> _Pattern | None:
        """Give the pattern that excludes a path (folders end with '/'); the last one that matches decides, as in git.

        Whoever asks does not descend into excluded folders, so nothing below them comes back, as in git.
        """
        for pattern in reversed(self.patterns):
            if pattern.matches(path):
                return pattern if pattern.excludes else None
        return None

    def allows_secrets(self, path: str) -> bool:
        """Whether what looks like a secret in this file is none."""
        return self.allowed.match_file(path)


def read_ignore_file(path: Path) -> IgnoreFile:
    """Read a `.deployignore`; none is as good as an empty one.

    Raises ConfigurationError with the line when there is a pattern that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{path} cannot be read: {why}.", hint="It is written like a .gitignore.") from None
    patterns: list[_Pattern] = []
    allowed: list[str] = []
    for number, line in enumerate((raw.removesuffix("\r") for raw in text.split("\n")), 1):
        if found := ALLOW_LINE.fullmatch(line.strip()):
            allowed.append(found[1])
        try:
            (pattern,) = GitIgnoreSpec.from_lines([line]).patterns or (None,)
        except ValueError as error:
            raise ConfigurationError(
                f"{path}:{number}: the pattern {line.strip()!r} cannot be read.",
                hint="It is written like a .gitignore.",
            ) from error
        if pattern is not None and pattern.include is not None and pattern.regex is not None:
            patterns.append(_Pattern(number, line.strip(), pattern.include, _matches_itself(pattern.regex)))
    return IgnoreFile(tuple(patterns), GitIgnoreSpec.from_lines(allowed), tuple(allowed))


def _matches_itself(regex: re.Pattern[str]) -> Callable[[str], bool]:
    """Whether a pattern matches a path itself; the library's expressions also match all that lies below a match.

    Git asks folder by folder: `*.md` with `!docs/` after it still excludes docs/a.md. A test compares with git.
    """
    if "ps_d" in regex.groupindex:
        whole = re.compile(f"(?:{regex.pattern})\\Z")
        return lambda path: whole.search(path) is not None

    def matches_below(path: str) -> bool:
        match = regex.search(path)
        return match is not None and (match.end() < len(path) or regex.pattern == ".")

    return matches_below


def select(app: Path, ignored: IgnoreFile, *, never: Path | None = None) -> Selection:
    """Walk the folder. Links that stay inside are followed; `never` (where the copy goes) is passed over."""
    walk = _Walk(app, ignored, os.path.realpath(never) if never else None)
    files = dict(sorted(walk.files()))
    left_out = tuple(sorted(walk.left_out, key=lambda left: left.path))
    return Selection(files, left_out, tuple(sorted(walk.problems)))


class _Walk:
    def __init__(self, app: Path, ignored: IgnoreFile, never: str | None) -> None:
        self.left_out: list[LeftOut] = []
        self.problems: list[str] = []
        self._app = app
        self._inside = os.path.realpath(app)
        self._ignored = ignored
        self._never = never

    def files(self) -> Iterator[tuple[str, str]]:
        # Each folder to look into, with what its names begin with and the real folders that it lies in.
        pending: list[tuple[str, str, tuple[str, ...]]] = [(self._inside, "", (self._inside,))]
        while pending:
            folder, prefix, above = pending.pop()
            try:
                with os.scandir(folder) as scan:
                    entries = list(scan)
            except OSError as error:
                self.problems.append(f"{prefix or '.'}: the folder cannot be read ({error.strerror})")
                continue
            if not entries and prefix:
                self.left_out.append(LeftOut(prefix, "an empty folder: only files ship"))
            for entry in entries:
                path = prefix + entry.name
                kind, real = self._look(entry, folder)
                if reason := self._exclusion(path, entry, is_folder=kind == "folder", real=real):
                    self.left_out.append(LeftOut(path.encode("utf-8", "backslashreplace").decode(), reason))
                elif problem := self._problem(path, entry, kind, real, above):
                    self.problems.append(problem)
                elif kind == "folder":
                    pending.append((real, path + "/", (*above, real)))
                else:
                    yield path, real

    def _look(self, entry: os.DirEntry[str], folder: str) -> tuple[str, str]:
        """Give what an entry is, and where it really lies."""
        if not entry.is_symlink():
            real = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                return "folder", real
            return ("file" if entry.is_file(follow_symlinks=False) else "special"), real
        real = os.path.realpath(entry.path)
        try:
            mode = Path(real).stat().st_mode
        except OSError:
            return ("circle" if Path(real).is_symlink() else "nothing"), real
        return ("folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "special"), real

    def _exclusion(self, path: str, entry: os.DirEntry[str], *, is_folder: bool, real: str) -> str:
        """Give why an entry does not ship; empty when it does."""
        name = entry.name
        if name in EXCLUDED and (is_folder or entry.is_symlink() or name.startswith(".")):
            return f"never ships: {name}"
        if name == RUNTIME_ENV:
            return "never ships: the .env for the platform is written from the settings (RUNTIME_ENV)"
        if name == TOOLKIT_DIR or real == self._never:
            return "never ships: the toolkit's own files"
        if path == IGNORE_FILE:
            return "never ships: it says what does not ship"
        pattern = self._ignored.excluded_by(path + "/" if is_folder else path)
        return f"{IGNORE_FILE} line {pattern.line}: {pattern.text}" if pattern else ""

    def _problem(self, path: str, entry: os.DirEntry[str], kind: str, real: str, above: tuple[str, ...]) -> str:
        if problem := _name_problem(path):
            return problem
        if entry.is_symlink():
            if kind == "circle":
                return f"{path}: a link that leads in a circle"
            if not f"{real}/".startswith(self._inside.rstrip("/") + "/"):
                return f"{path}: a link that leaves the app's folder"
            if kind == "nothing":
                return f"{path}: a link to nothing"
            if real in above:
                return f"{path}: a link to a folder that it lies in"
            target = os.path.relpath(real, self._inside)
            if {RUNTIME_ENV, TOOLKIT_DIR, *EXCLUDED}.intersection(target.split("/")):
                return f"{path}: a link to {target}, which never ships"
        if kind == "special":
            return f"{path}: neither a file nor a folder"
        return ""


_ODD = re.compile(r"[\x00-\x1f\x7f\\]")


def _name_problem(path: str) -> str:
    if not path.isascii():
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            return f"{path.encode('utf-8', 'backslashreplace').decode()}: the name is not valid UTF-8"
    if _ODD.search(path):
        return f"{path!r}: the name has a control character or a backslash"
    if not path.isascii() and unicodedata.normalize("NFC", path) != path:
        return f"{path}: the name is in a decomposed Unicode form (NFD), which other systems write differently"
    return ""

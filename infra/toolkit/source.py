"""Stage what ships: choose the files of the app's folder, check them, copy them, and name them by a digest."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from toolkit import leaks
from toolkit.errors import ConfigurationError
from toolkit.runtime_env import NAME as RUNTIME_ENV
from toolkit.runtime_env import RuntimeEnv
from toolkit.settings import Secret

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
OWN_FOLDER = ".toolkit"
IGNORE_FILE = ".deployignore"
HOOKS = ("build-app.sh", "start-app.sh")


@dataclass(frozen=True)
class SourceFile:
    """A file that ships: its name on the platform (relative, with '/'), its mode (0o644 or 0o755), its local copy."""

    path: str
    mode: int
    local: Path


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that does not ship, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class StagedSource:
    """What ships, sorted by path; `digest` (SHA-256) covers names, modes and bytes."""

    root: Path
    files: tuple[SourceFile, ...]
    left_out: tuple[LeftOut, ...]
    digest: str
    total_bytes: int


def stage(
    app: Path, target: Path, *, runtime_env: RuntimeEnv | None = None, known_secrets: Iterable[Secret] = ()
) -> StagedSource:
    """Copy what ships of the folder `app` to `target`, which is replaced in one step.

    Raises ConfigurationError whose details name every problem with file and line: missing hooks, Windows line ends,
    links that leave the folder, special files, odd names, secrets.
    """
    if not app.is_dir():
        raise ConfigurationError(
            f"There is no folder {app}.", hint="Name the app's folder with APP_DIR in .env, or with --app."
        )
    _require_outside(target, app)
    problems: list[str] = []
    left_out: list[LeftOut] = []
    found = dict(_select(app, _ignored(app), left_out, problems))
    if not found and not problems:
        raise ConfigurationError(
            f"Nothing in {app} would ship.", hint="The app needs start-app.sh and build-app.sh; see `invoke stage`."
        )
    problems += _hook_problems(app, found)
    secrets = tuple(known_secrets)
    for path, local in found.items():
        problems += (str(leak) for leak in leaks.find(path, local, secrets))
    if problems:
        count = "One problem keeps" if len(problems) == 1 else f"{len(problems)} problems keep"
        raise ConfigurationError(
            f"{count} {app.name} from shipping.",
            hint=f"Correct them, or list files that need not ship in {app.name}/{IGNORE_FILE}.",
            details=tuple(problems),
        )
    files = _copy(found, target, runtime_env)
    return StagedSource(target, files, tuple(left_out), digest(files), sum(file.local.stat().st_size for file in files))


def digest(files: Iterable[SourceFile]) -> str:
    """Give the SHA-256 over names, modes and bytes; names carry their length, so none runs into the next."""
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        with file.local.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()
        name = file.path.encode()
        whole.update(len(name).to_bytes(4, "big") + name + file.mode.to_bytes(4, "big") + content)
    return whole.hexdigest()


def _require_outside(target: Path, app: Path) -> None:
    """Refuse to stage into what ships: the next run would ship the copy too."""
    where = Path(os.path.realpath(target))
    inside = app.resolve()
    if where.is_relative_to(inside) and not _never_ships(where.relative_to(inside)):
        raise ConfigurationError(f"{target} lies inside {app}.", hint="Stage into a folder outside the app.")


def _ignored(app: Path) -> tuple[GitIgnoreSpec, list[str]]:
    path = app / IGNORE_FILE
    try:
        text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
        lines = [line or "#" for line in text.splitlines()]  # the library does not count empty lines
        return GitIgnoreSpec.from_lines(lines), lines
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8.", hint="Save it in the encoding UTF-8.") from None
    except ValueError as error:
        raise ConfigurationError(
            f"{path} has a pattern that cannot be read: {error}", hint="It is written like a .gitignore."
        ) from error


def _select(
    app: Path, ignored: tuple[GitIgnoreSpec, list[str]], left_out: list[LeftOut], problems: list[str]
) -> Iterator[tuple[str, Path]]:
    """Walk the folder, links followed as long as they stay inside; give name and file of what ships."""
    spec, lines = ignored
    inside = app.resolve()
    pending = [(app, "", frozenset({inside}))]
    while pending:
        folder, prefix, above = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"{prefix or '.'}: cannot be read ({error.strerror})")
            continue
        for entry in entries:
            path = prefix + entry.name
            if reason := _exclusion(path, entry, spec, lines):
                left_out.append(LeftOut(path, reason))
                continue
            if problem := _name_problem(path):
                problems.append(problem)
                continue
            real = Path(os.path.realpath(entry.path))
            if entry.is_symlink() and not real.is_relative_to(inside):
                problems.append(f"{path}: a link that leaves the app's folder")
            elif entry.is_symlink() and _never_ships(real.relative_to(inside)):
                problems.append(f"{path}: a link to {real.relative_to(inside).as_posix()}, which never ships")
            elif not real.exists():
                problems.append(f"{path}: a link to nothing")
            elif real.is_dir():
                if real in above:
                    problems.append(f"{path}: a link to a folder that it lies in")
                else:
                    pending.append((Path(entry.path), path + "/", above | {real}))
            elif not stat.S_ISREG(real.stat().st_mode):
                problems.append(f"{path}: neither a file nor a folder")
            elif not os.access(real, os.R_OK):
                problems.append(f"{path}: cannot be read (permission denied)")
            else:
                yield path, real


def _exclusion(path: str, entry: os.DirEntry[str], spec: GitIgnoreSpec, lines: list[str]) -> str:
    """Give why an entry does not ship; empty when it does."""
    if entry.name in EXCLUDED:
        return f"never ships: {entry.name}"
    if entry.name == OWN_FOLDER:
        return "never ships: this tool's own files"
    if entry.name == RUNTIME_ENV:
        return "never ships: the .env for the platform is generated (RUNTIME_ENV)"
    if path == IGNORE_FILE:
        return "says what does not ship"
    result = spec.check_file(path + "/" if Path(entry.path).is_dir() else path)
    if result.include and result.index is not None:
        return f"{IGNORE_FILE} line {result.index + 1}: {lines[result.index].strip()}"
    return ""


def _never_ships(path: Path) -> bool:
    return bool({*EXCLUDED, OWN_FOLDER, RUNTIME_ENV} & set(path.parts))


def _name_problem(path: str) -> str:
    shown = path.encode("utf-8", "backslashreplace").decode()
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return f"{shown}: the name is not valid UTF-8"
    if re.search(r"[\x00-\x1f\x7f\\]", path):
        return f"{shown!r}: the name has a control character or a backslash"
    if unicodedata.normalize("NFC", path) != path:
        return f"{shown}: the name is in a decomposed Unicode form, which other systems write differently"
    return ""


def _hook_problems(app: Path, found: dict[str, Path]) -> Iterator[str]:
    for hook in HOOKS:
        if hook not in found:
            lies = "does not ship" if (app / hook).exists() else "is missing"
            yield f"{hook}: {lies}; the platform needs it at the top of the app's folder"
    for path, local in found.items():
        if not path.endswith(".sh"):
            continue
        with local.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.endswith(b"\r\n"):
                    yield f"{path}:{number}: ends like a Windows line (CRLF); save the file with LF"
                    break
    start = found.get(HOOKS[1])
    if start is not None:
        with start.open("rb") as stream:
            if not re.match(rb"#! */", stream.read(100)):
                yield f"{HOOKS[1]}:1: does not begin with '#!/', for example #!/bin/sh"


def _copy(found: dict[str, Path], target: Path, runtime_env: RuntimeEnv | None) -> tuple[SourceFile, ...]:
    """Copy into a new folder beside `target` and put it in its place, so that a run cut short leaves the old one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        files = []
        for path, local in sorted(found.items()):
            copy = draft / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(local, copy)
            mode = 0o755 if local.stat().st_mode & 0o100 else 0o644
            copy.chmod(mode)
            files.append(SourceFile(path, mode, target / path))
        if runtime_env is not None and runtime_env.content is not None:
            copy = draft / RUNTIME_ENV
            copy.touch(mode=0o600)
            copy.write_bytes(runtime_env.content)
            files.append(SourceFile(RUNTIME_ENV, 0o644, target / RUNTIME_ENV))
        _swap(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return tuple(sorted(files, key=lambda file: file.path))


def _swap(draft: Path, target: Path) -> None:
    """Put the new folder into the place of the old one, which comes back when that fails."""
    old = draft.with_name(draft.name + ".old")
    if target.exists():
        target.replace(old)
    try:
        draft.replace(target)
    except BaseException:
        if old.exists():
            old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)

"""Stage what ships: choose the files of the app's folder, check them, copy them, and name them by a digest."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolkit import leaks
from toolkit.errors import ConfigurationError
from toolkit.runtime_env import NAME as RUNTIME_ENV
from toolkit.runtime_env import RuntimeEnv
from toolkit.selection import EXCLUDED, IGNORE_FILE, LeftOut, Selection, read_ignore_file, select
from toolkit.settings import Secret

HOOKS = ("build-app.sh", "start-app.sh")
SHEBANG = re.compile(rb"#![ \t]*/")
BLOCK = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file that ships: its name on the platform (relative, with '/'), its mode (0o644 or 0o755), its local copy."""

    path: str
    mode: int
    local: Path


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
    links that leave the folder, special files, odd names, secrets. `target` is then left as it was.
    """
    if not app.is_dir():
        raise ConfigurationError(
            f"There is no folder {app}.", hint="Name the app's folder with APP_DIR in .env, or with --app."
        )
    ignored = read_ignore_file(app / IGNORE_FILE)
    secrets = tuple(known_secrets)
    selection = select(app, ignored, never=target)
    if not selection.files and not selection.problems:
        raise _nothing_ships(app, selection)
    problems = list(selection.problems)
    with _draft_of(target) as draft:
        copies = _copy(selection.files, draft, problems)
        problems += _hook_problems(selection, copies, draft)
        for path in copies:  # the very bytes that ship are looked through
            found = leaks.find(path, draft / path, secrets, allowed=ignored.allows_secrets(path))
            problems += (str(leak) for leak in found)
        if problems:
            raise _refusal(app, problems)
        if runtime_env is not None and runtime_env.content is not None:
            copies[RUNTIME_ENV] = _write_runtime_env(draft / RUNTIME_ENV, runtime_env.content)
        _put_in_place(draft, target)
    names = sorted(copies)
    return StagedSource(
        root=target,
        files=tuple(SourceFile(name, copies[name].mode, target / name) for name in names),
        left_out=selection.left_out,
        digest=_digest((name, copies[name].mode, copies[name].sha256) for name in names),
        total_bytes=sum(copy.size for copy in copies.values()),
    )


def digest(files: Iterable[SourceFile]) -> str:
    """Give the SHA-256 over names, modes and bytes of files, in whatever order they come."""

    def content(path: Path) -> bytes:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()

    return _digest((file.path, file.mode, content(file.local)) for file in sorted(files, key=lambda file: file.path))


def _digest(entries: Iterable[tuple[str, int, bytes]]) -> str:
    """Names carry their length, so that none runs into what follows it; the rest has a fixed length."""
    whole = hashlib.sha256()
    for path, mode, sha256 in entries:
        name = path.encode()
        whole.update(len(name).to_bytes(4, "big") + name + mode.to_bytes(4, "big") + sha256)
    return whole.hexdigest()


@dataclass(frozen=True)
class _Copy:
    mode: int
    size: int
    sha256: bytes


def _copy(files: Mapping[str, Path], draft: Path, problems: list[str]) -> dict[str, _Copy]:
    copies: dict[str, _Copy] = {}
    folders = {""}
    for path, local in files.items():
        folder = path.rpartition("/")[0]
        try:
            stream = local.open("rb", buffering=0)
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
            continue
        with stream, _writing(draft):
            if folder not in folders:
                (draft / folder).mkdir(parents=True, exist_ok=True)
                folders.add(folder)
            with (draft / path).open("xb", buffering=0) as copy:
                mode = 0o755 if os.fstat(stream.fileno()).st_mode & 0o100 else 0o644
                sha256, size = hashlib.sha256(), 0
                while block := stream.read(BLOCK):
                    sha256.update(block)
                    size += len(block)
                    while block:  # a nearly full disk takes only a part of it
                        block = block[copy.write(block) :]
                os.fchmod(copy.fileno(), mode)
        copies[path] = _Copy(mode, size, sha256.digest())
    return copies


def _write_runtime_env(path: Path, content: bytes) -> _Copy:
    """Write the app's `.env`, which this user alone may read; on the platform it is a file like any other."""
    with _writing(path.parent):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return _Copy(0o644, len(content), hashlib.sha256(content).digest())


def _hook_problems(selection: Selection, copies: Iterable[str], draft: Path) -> Iterator[str]:
    left_out = {left.path: left.reason for left in selection.left_out}
    for hook in HOOKS:
        if hook in selection.files or any(problem.startswith(f"{hook}:") for problem in selection.problems):
            continue
        nested = [path for path in selection.files if path.endswith(f"/{hook}")]
        if hook in left_out:
            yield f"{hook}: does not ship; {left_out[hook]}"
        elif nested:
            yield f"{hook}: is not at the top of the app's folder, but in {nested[0]} (is APP_DIR the right folder?)"
        else:
            yield f"{hook}: is missing; the platform needs it at the top of the app's folder"
    for path in copies:
        if not path.endswith(".sh"):
            continue
        with (draft / path).open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.endswith(b"\r\n"):
                    yield f"{path}:{number}: ends like a Windows line (CRLF); save the file with LF"
                    break
            stream.seek(0)
            if path == HOOKS[1] and not SHEBANG.match(stream.read(200)):
                yield f"{path}:1: does not begin with '#!/'; its first line must name its shell, for example #!/bin/sh"


def _nothing_ships(app: Path, selection: Selection) -> ConfigurationError:
    if not selection.left_out:
        return ConfigurationError(
            f"The folder {app} is empty.",
            hint="It needs start-app.sh, build-app.sh and the app; or name another one with APP_DIR in .env or --app.",
        )
    return ConfigurationError(
        f"Nothing in {app} would ship.",
        hint=f"Look at {app.name}/{IGNORE_FILE}; these never ship: {' '.join(EXCLUDED)}.",
        details=tuple(f"{left.path}: {left.reason}" for left in selection.left_out[:20]),
    )


def _refusal(app: Path, problems: list[str]) -> ConfigurationError:
    count = "One problem keeps" if len(problems) == 1 else f"{len(problems)} problems keep"
    return ConfigurationError(
        f"{count} {app.name} from shipping.",
        hint=f"Correct them, or list what need not ship in {app.name}/{IGNORE_FILE}. Is something no secret after all? "
        f"Say so on its line (toolkit: allow-secret), or in {IGNORE_FILE}: # toolkit: allow-secret PATTERN",
        details=tuple(problems),
    )


@contextmanager
def _draft_of(target: Path) -> Iterator[Path]:
    """Give a new folder beside `target`, and remove it (and those of runs that were killed) in the end."""
    with _writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{target.name}.*.draft"):
            if not _is_alive(left.name.split(".")[-3]):
                shutil.rmtree(left, ignore_errors=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}.{os.getpid()}.", suffix=".draft", dir=target.parent))
    try:
        draft = room / "new"
        draft.mkdir()
        yield draft
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _put_in_place(draft: Path, target: Path) -> None:
    """Swap the draft for what is there, so that a run cut short leaves the old one or the new one, never a mix."""
    old = draft.with_name("old")
    with _writing(target.parent):
        for _ in range(100):  # a run at the same time may be faster, again and again
            try:
                draft.rename(target)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            try:
                target.rename(old)
                draft.rename(target)
                return
            except OSError:
                shutil.rmtree(old, ignore_errors=True)
            except BaseException:
                if old.exists() and not target.exists():
                    old.rename(target)
                raise
        draft.rename(target)


@contextmanager
def _writing(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The files that ship cannot be copied to {where}: {error.strerror}.",
            hint="Make room on the disk, or use a checkout that you may write to.",
        ) from error

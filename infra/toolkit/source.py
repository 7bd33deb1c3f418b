"""Choose what ships of the app's folder, look through it, name it by a digest, and copy it for a deployment."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from toolkit import leaks
from toolkit.errors import ConfigurationError
from toolkit.liveness import lives
from toolkit.runtime_env import NAME as RUNTIME_ENV
from toolkit.runtime_env import RuntimeEnv
from toolkit.selection import EXCLUDED, IGNORE_FILE, IgnoreFile, LeftOut, Selection, read_ignore_file, select
from toolkit.settings import Secret
from toolkit.stamps import Stamps, is_sealed, stamp_of
from toolkit.stamps import seal as write_seal

HOOKS = ("build-app.sh", "start-app.sh")
SHEBANG = re.compile(rb"#![ \t]*/")
BLOCK = 1 << 20
ATTEMPTS = 3  # somebody may save a file just now


@dataclass(frozen=True)
class SourceFile:
    """A file that ships: its name on the platform (relative, with '/'), its mode (0o644 or 0o755), and where it lies.

    `sha256` is what it held when it was chosen; empty when nobody has looked yet.
    """

    path: str
    mode: int
    at: str | Path
    sha256: bytes = b""

    @property
    def local(self) -> Path:
        """The file on this machine; made when it is asked for, since there may be thousands."""
        return Path(self.at)

    def blocks(self, size: int) -> Iterator[bytes]:
        """Give its bytes, block by block. Raises ConfigurationError unless they are the chosen ones."""
        sha256, left = hashlib.sha256(), size
        with self.local.open("rb", buffering=0) as stream:
            while block := stream.read(BLOCK):
                sha256.update(block)
                left -= len(block)
                if left < 0:
                    break
                yield block
        if left or (self.sha256 and sha256.digest() != self.sha256):
            raise _Changed(self.path)


@dataclass(frozen=True)
class StagedSource:
    """What ships, sorted by path; `digest` (SHA-256) covers names, modes and bytes."""

    root: Path
    files: tuple[SourceFile, ...]
    left_out: tuple[LeftOut, ...]
    digest: str
    total_bytes: int


class _Changed(ConfigurationError):
    """A file is no longer what it was when it was looked through."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} was changed while it was being read.", hint="Run the command again.")


def choose(
    app: Path,
    room: Path,
    *,
    runtime_env: RuntimeEnv | None = None,
    known_secrets: Iterable[Secret] = (),
    notes: Path | None = None,
) -> StagedSource:
    """Choose what ships of the folder `app` and look through it, where it lies; only a runtime `.env` is written.

    The `.env` goes into the folder `room`. `notes` is a folder that remembers what was looked through before. Raises
    ConfigurationError whose details name every problem with file and line: missing hooks, Windows line ends, links
    that leave the folder, special files, odd names, secrets.
    """
    chosen = _choose(app, tuple(known_secrets), notes, never=room)
    files = [SourceFile(name, one.mode, one.local, one.sha256) for name, one in chosen.contents.items()]
    content = runtime_env.content if runtime_env is not None else None
    if content is not None:
        room.mkdir(parents=True, exist_ok=True)
        _write_runtime_env(room / RUNTIME_ENV, content)
        files.append(_runtime_env(room / RUNTIME_ENV, content))
    return _staged(app, files, chosen, content)


def stage(
    app: Path,
    target: Path,
    *,
    runtime_env: RuntimeEnv | None = None,
    known_secrets: Iterable[Secret] = (),
    notes: Path | None = None,
    again: bool = False,
) -> StagedSource:
    """Copy what ships of the folder `app` to `target`, which is replaced in one step; an equal copy stays.

    Else as `choose`. With `again` it has shipped before: its `.deployignore`, which says what only looks like a secret,
    stayed behind, so nothing but `known_secrets` is looked for. When something is wrong, `target` is left as it was.
    """
    secrets = tuple(known_secrets)
    seal = _note(notes, "copies", target)
    for attempt in range(ATTEMPTS):
        chosen = _choose(app, secrets, notes, never=target, again=again)
        files = [SourceFile(name, one.mode, f"{target}/{name}", one.sha256) for name, one in chosen.contents.items()]
        content = runtime_env.content if runtime_env is not None else None
        if content is not None:
            files.append(_runtime_env(target / RUNTIME_ENV, content))
        staged = _staged(target, files, chosen, content)
        copies = [file.at for file in staged.files]
        if seal and is_sealed(seal, staged.digest, copies):
            break
        try:
            with _draft_of(target) as draft:
                _copy(chosen.contents, draft)
                if content is not None:
                    _write_runtime_env(draft / RUNTIME_ENV, content)
                _put_in_place(draft, target)
            if seal:
                write_seal(seal, staged.digest, copies)
            break
        except _Changed:
            if attempt == ATTEMPTS - 1:
                raise
    return staged


@dataclass(frozen=True)
class _Content:
    local: str
    mode: int
    size: int
    sha256: bytes


@dataclass(frozen=True)
class _Chosen:
    """The contents of what ships, by name, and what stays."""

    contents: Mapping[str, _Content]
    left_out: tuple[LeftOut, ...]


def _choose(app: Path, secrets: tuple[Secret, ...], notes: Path | None, *, never: Path, again: bool = False) -> _Chosen:
    if not app.is_dir():
        raise ConfigurationError(
            f"{app} is no folder." if app.exists() else f"There is no folder {app}.",
            hint="Name the app's folder with APP_DIR in .env, or with --app.",
        )
    ignored = read_ignore_file(app / IGNORE_FILE)
    selection = select(app, ignored, never=never)
    if not selection.files and not selection.problems:
        raise _nothing_ships(app, selection)
    problems = list(selection.problems)
    noted = _note(notes, "looked-through", app)
    known = Stamps(noted, _key(ignored, secrets)) if noted else None
    contents: dict[str, _Content] = {}
    for path, local in selection.files.items():
        try:
            allowed = again or ignored.allows_secrets(path)
            content, leaked = _look(path, local, secrets, known, allowed=allowed)
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
            continue
        contents[path] = content
        problems += leaked
    problems += _hook_problems(selection, contents)
    if known is not None:
        known.save()
    if problems:
        raise _refusal(app, problems)
    return _Chosen(contents, selection.left_out)


def _note(notes: Path | None, kind: str, about: Path) -> Path | None:
    name = hashlib.sha256(os.fsencode(about.absolute())).hexdigest()[:12]
    return notes / f"{kind}-{name}.json" if notes else None


def _key(ignored: IgnoreFile, secrets: Iterable[Secret]) -> str:
    """Name all that decides whether a file is clean, apart from the file: rules, exceptions, tokens."""
    parts = [leaks.rules_digest(), *ignored.allowed_lines, *(secret.reveal() for secret in secrets)]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _look(
    path: str, local: str, secrets: Iterable[Secret], known: Stamps | None, *, allowed: bool
) -> tuple[_Content, list[str]]:
    """Give what a file holds, and the secrets in it; a clean one that has not changed since is not read again."""
    if known is not None:
        stat = os.stat(local)  # noqa: PTH116 - of thousands of files
        sha256 = known.find(path, stamp_of(stat))
        if sha256 is not None:
            return _Content(local, _shipped_mode(stat), stat.st_size, sha256), []
    with Path(local).open("rb", buffering=0) as stream:
        stat = os.fstat(stream.fileno())
        sha256 = hashlib.file_digest(stream, "sha256").digest()
        stream.seek(0)
        found = [str(leak) for leak in leaks.find(path, stream, secrets, allowed=allowed)]
    if known is not None and not found:
        known.note(path, stamp_of(stat), sha256)
    return _Content(local, _shipped_mode(stat), stat.st_size, sha256), found


def _shipped_mode(stat: os.stat_result) -> int:
    return 0o755 if stat.st_mode & 0o100 else 0o644


def _staged(root: Path, files: Iterable[SourceFile], chosen: _Chosen, runtime_env: bytes | None) -> StagedSource:
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return StagedSource(
        root=root,
        files=ordered,
        left_out=chosen.left_out,
        digest=_digest((file.path, file.mode, file.sha256) for file in ordered),
        total_bytes=sum(one.size for one in chosen.contents.values()) + len(runtime_env or b""),
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


def _copy(contents: Mapping[str, _Content], draft: Path) -> None:
    folders = {""}
    for path, content in contents.items():
        folder = path.rpartition("/")[0]
        with _opened(path, content) as stream, _writing(draft):
            if folder not in folders:
                (draft / folder).mkdir(parents=True, exist_ok=True)
                folders.add(folder)
            with (draft / path).open("xb", buffering=0) as copy:
                sha256 = hashlib.sha256()
                while block := stream.read(BLOCK):
                    sha256.update(block)
                    while block:  # a nearly full disk takes only a part of it
                        block = block[copy.write(block) :]
                os.fchmod(copy.fileno(), content.mode)
        if sha256.digest() != content.sha256:
            raise _Changed(path)


def _opened(path: str, content: _Content) -> FileIO:
    try:
        return Path(content.local).open("rb", buffering=0)
    except OSError:
        raise _Changed(path) from None


def _write_runtime_env(path: Path, content: bytes) -> None:
    """Write the app's `.env`, which this user alone may read; on the platform it is a file like any other."""
    with _writing(path.parent):
        path.touch(mode=0o600)
        path.write_bytes(content)


def _runtime_env(path: Path, content: bytes) -> SourceFile:
    return SourceFile(RUNTIME_ENV, 0o644, path, hashlib.sha256(content).digest())


def _hook_problems(selection: Selection, contents: Mapping[str, _Content]) -> Iterator[str]:
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
    for path, content in contents.items():
        if not path.endswith(".sh"):
            continue
        with Path(content.local).open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.endswith(b"\r\n"):
                    yield f"{path}:{number}: ends like a Windows line (CRLF); save the file with LF"
                    break
            stream.seek(0)
            begins = stream.read(200)
            if path in HOOKS and begins.startswith(codecs.BOM_UTF8):
                yield f"{path}:1: begins with a byte order mark, which no shell understands; save it as plain UTF-8"
            elif path == HOOKS[1] and not SHEBANG.match(begins):
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


class NotShippable(ConfigurationError):
    """Files of the app keep it from shipping; `details` names them, `path:line: why` each."""


def _refusal(app: Path, problems: list[str]) -> NotShippable:
    count = "One problem keeps" if len(problems) == 1 else f"{len(problems)} problems keep"
    if all(problem.partition(":")[0] in HOOKS for problem in problems):
        hint = "Correct that in the script: without both hooks the platform can neither build nor start the app."
    else:
        hint = (
            f"Correct them, or list what need not ship in {app.name}/{IGNORE_FILE}. Is something no secret after all? "
            f"Say so on its line (toolkit: allow-secret), or in {IGNORE_FILE}: # toolkit: allow-secret PATTERN"
        )
    return NotShippable(f"{count} {app.name} from shipping.", hint=hint, details=tuple(problems))


@contextmanager
def _draft_of(target: Path) -> Iterator[Path]:
    """Give a new folder beside `target`, and remove it (and those of runs that were killed) in the end."""
    with _writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{target.name}.*.draft"):
            owner = left.name.split(".")[-3]
            if not (owner.isdigit() and lives(int(owner))):
                shutil.rmtree(left, ignore_errors=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}.{os.getpid()}.", suffix=".draft", dir=target.parent))
    try:
        draft = room / "new"
        draft.mkdir()
        yield draft
    finally:
        shutil.rmtree(room, ignore_errors=True)


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

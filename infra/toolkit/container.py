"""Run the app in its container as the platform does (platform-contract 3).

The container's command is start-app.sh itself, in the image's working directory and as the image's user, within the
limits of the bundle. Nothing else is added that the platform does not have: no init process, no mounts.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import docker
from docker.errors import APIError, NotFound

from toolkit.bundles import Bundle
from toolkit.engine import LABEL, OWNER_LABEL, RUN_LABEL
from toolkit.errors import ToolkitError
from toolkit.image.files import changed_files, late_archive
from toolkit.image.model import AppImage
from toolkit.processes import END, SCRIPT, Inside, parse

PORT = 8080
CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"]
PIDS_LIMIT = 4096

LOOKS = 3
LONGEST_LINE = 4096  # bytes of a line of the log that are kept


class ContainerFailed(ToolkitError):
    """The engine could not create or start the container."""

    exit_code = 10


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides how a container runs.

    `owner` and `run_id` are its labels; `late_files` are copied into the working directory before the start;
    `extra_hosts` maps names to addresses; `port_on` is the host address on which port 8080 is published, and `near` one
    more, where that is wanted: the host's end of the engine's bridge, where the kernel itself leads to the container.
    """

    image: AppImage
    env: Mapping[str, str]
    bundle: Bundle
    owner: str
    run_id: str
    name: str = ""
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    port_on: str = "127.0.0.1"
    near: str = ""


@dataclass(frozen=True)
class ContainerState:
    """What the engine says of a container; times are those of the engine, `exit_code` counts once it has exited."""

    status: str
    running: bool
    exit_code: int
    oom_killed: bool
    error: str


@dataclass(frozen=True)
class StopResult:
    """How long a container took to stop (seconds), its exit code, and whether it had to be killed after the grace."""

    seconds: float
    exit_code: int
    killed: bool


def run_options(spec: RunSpec, cpus: int) -> dict[str, Any]:
    """Give the engine's options for `spec`; pure. `cpus` is what the engine has: it refuses to promise more."""
    return {
        "image": spec.image.tag,
        "name": spec.name or f"{LABEL}-{spec.owner}-{uuid.uuid4().hex[:12]}",
        "entrypoint": ["./start-app.sh"],
        "command": [],
        "environment": dict(spec.env),
        "labels": {**spec.labels, RUN_LABEL: spec.run_id, OWNER_LABEL: spec.owner},
        "ports": {f"{PORT}/tcp": [(address, None) for address in (spec.port_on, spec.near) if address]},
        "extra_hosts": dict(spec.extra_hosts),
        "mem_limit": spec.bundle.memory,
        "memswap_limit": spec.bundle.memory,
        "nano_cpus": min(spec.bundle.cpus, cpus) * 10**9,
        "pids_limit": PIDS_LIMIT,
        "cap_drop": ["ALL"],
        "cap_add": CAPABILITIES,
        "security_opt": ["no-new-privileges"],
        "stdin_open": False,
        "tty": False,
        "init": False,
    }


class RunningApp:
    """A started container of the app; port 8080 is reached at `host`:`port`, and at `near` if that is not None."""

    def __init__(self, container: Any, host: str, port: int, near: tuple[str, int] | None = None) -> None:
        self._container = container
        self.id: str = container.id
        self.name: str = container.name
        self.host = host
        self.port = port
        self.near = near

    def logs(self, tail: int = 200) -> list[str]:
        """Give the last lines of standard output and error, in order; what is longer than a page is cut."""
        try:
            return last_lines(
                self._container.logs(stdout=True, stderr=True, tail=tail, stream=True, follow=False), tail
            )
        except APIError as error:
            if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):  # gone, or being removed
                raise
            return []

    def log_size(self, most: int) -> int:
        """Give the bytes that were written to standard output and error; it stops counting beyond `most`."""
        size = 0
        with closing(self._container.logs(stdout=True, stderr=True, stream=True, follow=False)) as chunks:
            for chunk in chunks:
                size += len(chunk)
                if size > most:
                    break
        return size

    def state(self) -> ContainerState:
        """Ask the engine for the state; a container that is gone counts as exited."""
        try:
            self._container.reload()
        except NotFound:
            return ContainerState("removed", False, -1, False, "the container was removed")
        state = self._container.attrs["State"]
        return ContainerState(
            str(state["Status"]),
            bool(state["Running"]),
            int(state["ExitCode"]),
            bool(state.get("OOMKilled")),
            str(state.get("Error") or ""),
        )

    def exec(self, argv: list[str], *, user: str = "0") -> tuple[int, str]:
        """Run a command in the container; give its exit code and its output."""
        result = self._container.exec_run(argv, user=user)
        return int(result.exit_code or 0), result.output.decode("utf-8", "replace")

    def look_inside(self) -> Inside:
        """Give the processes and the listening TCP sockets; nothing when the container has stopped.

        Root may not look into processes of other users there (no CAP_SYS_PTRACE), but each user may into its own.
        """
        inside = self._look_as("0")
        for user in inside.users_unseen:
            inside = inside.with_more(self._look_as(user))
        return inside

    def _look_as(self, user: str) -> Inside:
        output = ""
        with suppress(APIError):
            # The engine loses the output of an exec now and then (seen with 20.10): what is whole ends with a marker.
            for _ in range(LOOKS):
                _, output = self.exec(["/bin/sh", "-c", SCRIPT], user=user)
                if output.endswith(END):
                    break
        return parse(output)

    def written(self) -> tuple[str, ...]:
        """Give the paths that the app has made, changed or removed since it was created, without their folders."""
        try:
            return changed_files(self._container)
        except APIError as error:
            if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise
            return ()

    def start_again(self) -> None:
        """Start the stopped container once more, with the disk that it left behind."""
        self._container.start()
        self.port = next(iter(_published_ports(self._container).values()), 0)

    def stop(self, grace: float = 10) -> StopResult:
        """Send SIGTERM, and SIGKILL after `grace` seconds, as the platform does."""
        started = time.monotonic()
        with suppress(NotFound):
            self._container.stop(timeout=int(grace))
        seconds = time.monotonic() - started
        state = self.state()
        return StopResult(seconds, state.exit_code, killed=seconds >= grace and state.exit_code == 137)

    def remove(self) -> None:
        """Remove the container with its anonymous volumes, running or not."""
        _removed(partial(self._container.remove, force=True, v=True))


class NeverStarted:
    """A container that the engine could not run, seen as one that exited at once."""

    port = 0

    def __init__(self, error: str) -> None:
        self._error = error

    def logs(self, tail: int) -> list[str]:  # noqa: ARG002
        """What the engine said."""
        return [self._error]

    def state(self) -> ContainerState:
        """It is not running, and never did."""
        return ContainerState("created", False, 127, False, self._error)

    def look_inside(self) -> Inside:
        """Nothing is to be seen."""
        return Inside()

    def exec(self, argv: list[str]) -> tuple[int, str]:  # noqa: ARG002
        """No command can be run in it."""
        return 126, ""

    def stop(self, grace: float) -> StopResult:  # noqa: ARG002
        """There is nothing to be stopped."""
        return StopResult(0.0, 127, killed=False)


App = RunningApp | NeverStarted


def start(engine: docker.DockerClient, spec: RunSpec, *, host: str = "127.0.0.1", cpus: int = 1024) -> RunningApp:
    """Start the app's container. `host` is where published ports are reached, `cpus` how many the engine has.

    Raises ContainerFailed when the engine refuses; nothing is left behind then.
    """
    container = None
    try:
        container = engine.containers.create(**run_options(spec, cpus))
        if spec.image.late_files:
            container.put_archive(spec.image.environment.workdir, late_archive(spec.image.late_files))
        container.start()
        ports = _published_ports(container)
        near = ports.pop(spec.near, 0)
    except BaseException as error:
        if container is not None:
            _removed(partial(container.remove, force=True, v=True))
        if isinstance(error, APIError):
            raise ContainerFailed(
                f"The engine could not start the app's container: {error.explanation or error}",
                hint="Is start-app.sh there, with a first line (#!/bin/sh) whose interpreter the image has?",
            ) from error
        raise
    return RunningApp(container, host, next(iter(ports.values()), 0), (spec.near, near) if near else None)


def last_lines(chunks: Iterable[bytes], most: int) -> list[str]:
    """Give the last lines of a stream, each cut at LONGEST_LINE bytes: memory stays bounded whatever comes."""
    lines: deque[bytes] = deque(maxlen=most)
    rest, dropped = b"", 0
    for chunk in chunks:
        *whole, rest_of_chunk = chunk.split(b"\n")
        for part in whole:
            lines.append(_cut(rest + part[:LONGEST_LINE], dropped + max(0, len(part) - LONGEST_LINE)))
            rest, dropped = b"", 0
        room = max(0, LONGEST_LINE - len(rest))
        rest, dropped = rest + rest_of_chunk[:room], dropped + max(0, len(rest_of_chunk) - room)
    if rest:
        lines.append(_cut(rest, dropped))
    return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]


def _cut(line: bytes, dropped: int) -> bytes:
    left_out = dropped + max(0, len(line) - LONGEST_LINE)
    return line[:LONGEST_LINE] + (f" … ({left_out} more bytes)".encode() if left_out else b"")


@contextmanager
def running(
    engine: docker.DockerClient, spec: RunSpec, *, host: str = "127.0.0.1", cpus: int = 1024
) -> Iterator[RunningApp]:
    """Start the app's container and remove it at the end, whatever happens in between."""
    app = start(engine, spec, host=host, cpus=cpus)
    try:
        yield app
    finally:
        app.remove()


def sweep(engine: docker.DockerClient, owner: str, is_alive: Callable[[str], bool]) -> list[str]:
    """Remove the containers and volumes of `owner` whose run (its id is given to `is_alive`) is over; give their names.

    What another sweep removes at the same moment is left to it; what names no run was made by somebody else.
    """
    mine = {"label": f"{OWNER_LABEL}={owner}"}
    removed = []
    for found in engine.api.containers(all=True, filters=mine):
        run = (found.get("Labels") or {}).get(RUN_LABEL, "")
        if (
            run
            and not is_alive(run)
            and _removed(partial(engine.api.remove_container, found["Id"], force=True, v=True))
        ):
            removed.append(str(found["Names"][0]).lstrip("/"))
    for volume in engine.volumes.list(filters=mine):
        run = (volume.attrs.get("Labels") or {}).get(RUN_LABEL, "")
        if run and not is_alive(run) and _removed(volume.remove):
            removed.append(volume.name)
    return removed


def _removed(remove: Callable[[], object]) -> bool:
    """Whether it was we who removed it: somebody else may have done so, or be at it (409)."""
    try:
        remove()
    except APIError as error:
        if isinstance(error, NotFound) or error.status_code == HTTPStatus.CONFLICT:
            return False
        raise
    return True


def _published_ports(container: Any) -> dict[str, int]:
    """Ask the engine on which ports of which of its addresses it has published 8080."""
    container.reload()
    ports = container.attrs["NetworkSettings"]["Ports"].get(f"{PORT}/tcp") or []
    return {str(port["HostIp"]): int(port["HostPort"]) for port in ports}

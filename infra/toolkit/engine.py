"""Find the container engine, and say why this one.

An address is always resolved here and handed to docker-py explicitly: which address docker-py picks by itself
(contexts, DOCKER_CONTEXT) changed between its versions.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import socket
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker.auth import AuthConfig
from docker.credentials.errors import StoreError
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig
from requests.exceptions import RequestException

from toolkit.errors import ToolMissing
from toolkit.liveness import lives

T = TypeVar("T")
LABEL = "bun-to-datarobot"
RUN_LABEL, OWNER_LABEL = f"{LABEL}.run", f"{LABEL}.owner"
START_HINT = (
    "Start the engine, or let ./bootstrap do it (Debian and Ubuntu, as root or with sudo): ./bootstrap invoke doctor. "
    "Another engine is chosen with DOCKER_HOST."
)

# What docker-py raises: the engine's own answers, and what its HTTP library says of the connection.
FAILURES = (DockerException, RequestException)


def failure(error: Exception) -> ToolMissing:
    """Put what an engine said, or that it went away, into an error for people."""
    if isinstance(error, APIError):
        said = str(error.explanation or error).strip()
        hint = "Its own log says more; ./bootstrap keeps that of an engine it started in .toolkit/engine/dockerd.log."
        return ToolMissing(f"The container engine refused a request: {said}", hint=hint)
    return ToolMissing(f"The container engine does not answer any more: {error}", hint=START_HINT)


def with_credentials(engine: docker.DockerClient, ask: Callable[[], T]) -> T:
    """Ask what may need a login; without one where the program that keeps the logins is gone: most images need none.

    A desktop that was removed leaves its name in docker's configuration, and docker-py asks it for every login.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="docker-credential-")
        try:
            return ask()
        except (StoreError, DockerException) as error:
            if not isinstance(error, StoreError) and not isinstance(error.__cause__ or error.__context__, StoreError):
                raise
    # One that is empty makes docker-py read the file again.
    engine.api._auth_configs = AuthConfig({"auths": {**engine.api._auth_configs.auths, "none.invalid": {}}})
    return ask()


@dataclass(frozen=True)
class EngineAddress:
    """Where an engine listens (`address`, a docker-py base URL) and why it was chosen."""

    address: str
    reason: str
    tls: TLSConfig | None = None

    @property
    def host(self) -> str:
        """The host on which ports that the engine publishes are reached."""
        if self.address.startswith(("tcp://", "http://", "https://", "ssh://")):
            authority = self.address.split("://", 1)[1].split("/", 1)[0]
            return authority.rsplit("@", 1)[-1].rsplit(":", 1)[0] or "127.0.0.1"
        return "127.0.0.1"


class _OwnApi(docker.APIClient):  # type: ignore[misc]
    """Trusts the authority of the engine's keys: requests would take that of REQUESTS_CA_BUNDLE instead."""

    trust_env = property(lambda _self: False, lambda _self, _value: None)


class _OwnAuthority(docker.DockerClient):  # type: ignore[misc]
    def __init__(self, **options: Any) -> None:
        self.api = _OwnApi(**options)


def published_on(host: str) -> str:
    """Give the address on which an engine at `host` has to publish ports: as narrow as can be."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(host))
    except ValueError:
        return "0.0.0.0"  # a name: which of its addresses is meant is not known here


def candidates(environ: Mapping[str, str], home: Path) -> Iterator[EngineAddress]:
    """Give the addresses to try, best first: DOCKER_HOST, docker context, then the well-known sockets that exist.

    An address that was asked for by name (DOCKER_HOST or a context) ends the list: falling back from it to another
    engine would surprise.
    """
    if environ.get("DOCKER_HOST"):
        yield EngineAddress(environ["DOCKER_HOST"], "DOCKER_HOST is set", _tls_from_environment(environ))
        return
    config = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    context = environ.get("DOCKER_CONTEXT") or _current_context(config)
    if context and context != "default":
        why = "DOCKER_CONTEXT is set" if environ.get("DOCKER_CONTEXT") else f"current context of {config}"
        yield _context_address(config, context, why)
        return
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    for path, reason in (
        ("/var/run/docker.sock", "the default socket of Docker"),
        (f"{runtime}/docker.sock", "the socket of rootless Docker"),
        (f"{home}/.docker/run/docker.sock", "the socket of Docker Desktop"),
        (f"{runtime}/podman/podman.sock", "the socket of rootless Podman"),
        ("/run/podman/podman.sock", "the socket of Podman"),
    ):
        if Path(path).is_socket():
            yield EngineAddress(f"unix://{path}", reason)


def connect(
    environ: Mapping[str, str], home: Path, *, timeout: float = 600
) -> tuple[docker.DockerClient, EngineAddress]:
    """Connect to the first engine that answers.

    Raises ToolMissing that lists every address tried and what it answered.
    """
    tried = []
    for found in candidates(environ, home):
        client = None
        if found.address.startswith("ssh://") and importlib.util.find_spec("paramiko") is None:
            raise ToolMissing(
                f"The engine {found.address} ({found.reason}) is reached over ssh, which needs the package paramiko.",
                hint=f"{sys.executable} -m pip install paramiko",
            )
        try:
            _knock(found.address)
            kind = _OwnAuthority if found.tls is not None else docker.DockerClient
            client = kind(
                base_url=found.address,
                tls=found.tls or False,
                version="auto",
                timeout=int(timeout),
                use_ssh_client=found.address.startswith("ssh://"),
            )
            if found.address.startswith("unix://"):
                client.api.trust_env = False  # no proxy stands before a socket: looking for one costs at each request
            client.ping()
            return client, found
        except Exception as error:  # docker-py lets errors of requests, urllib3 and paramiko through
            if client is not None:
                client.close()
            tried.append(f"{found.address} ({found.reason}): {_reason(error)}")
    if not tried:
        raise ToolMissing("No container engine was found on this machine.", hint=START_HINT)
    raise ToolMissing("No container engine answers.", hint=START_HINT, details=tuple(tried))


def _knock(address: str) -> None:
    """Try a local socket first: docker-py leaves its own socket open when the engine does not answer."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            probe.connect(address.removeprefix("unix://"))


def _reason(error: BaseException) -> str:
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    if isinstance(cause, PermissionError):
        return "permission denied (is this user in the group docker?)"
    if isinstance(cause, FileNotFoundError):
        return "the socket does not exist"
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _current_context(config: Path) -> str | None:
    try:
        value = json.loads((config / "config.json").read_text()).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, str) and value else None


def _context_address(config: Path, name: str, why: str) -> EngineAddress:
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / digest / "meta.json"
    try:
        endpoint = json.loads(meta.read_text())["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ToolMissing(
            f"The docker context {name!r} ({why}) cannot be read: {meta}.",
            hint="Choose another one with `docker context use default`, or set DOCKER_HOST.",
        ) from None
    keys = config / "contexts" / "tls" / digest / "docker"
    tls = _tls(keys, verify=not endpoint.get("SkipTLSVerify")) if keys.is_dir() else None
    return EngineAddress(host, f"docker context {name!r}: {why}", tls)


def _tls_from_environment(environ: Mapping[str, str]) -> TLSConfig | None:
    folder = environ.get("DOCKER_CERT_PATH")
    if not folder or not environ["DOCKER_HOST"].startswith("tcp://"):
        return None
    return _tls(Path(folder), verify=bool(environ.get("DOCKER_TLS_VERIFY")))


def _tls(folder: Path, *, verify: bool) -> TLSConfig:
    ca = folder / "ca.pem"
    cert, key = folder / "cert.pem", folder / "key.pem"
    return TLSConfig(
        client_cert=(str(cert), str(key)) if cert.exists() and key.exists() else None,
        ca_cert=str(ca) if ca.exists() else None,
        verify=verify,
    )


def machine() -> str:
    """Name where numbers of processes mean the same: this machine, and its PID namespace.

    A container with the host's network has the host's name, too, but processes of its own.
    """
    with suppress(OSError):
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def new_run() -> str:
    """Name a run of this process: the value of `RUN_LABEL` on all that the run makes in the engine."""
    return f"{machine()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"


def is_alive(run_id: str) -> bool:
    """Whether the process that a run belongs to still lives; one elsewhere counts as alive."""
    host, _, rest = run_id.rpartition(".")[0].rpartition(".")
    return host != machine() or not rest.isdigit() or lives(int(rest))

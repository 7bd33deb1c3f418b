"""What the platform gives the containers of an application, and how it asks whether they are well (contract 3)."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from toolkit.emulator.objects import Body
from toolkit.emulator.store_applications import MOST_LOG_LINES
from toolkit.emulator.switches import Encoding

if TYPE_CHECKING:
    import docker

    from toolkit.container import RunningApp

HOST_NAME = "host.docker.internal"
HOST_GATEWAY = "host-gateway"  # the engine's word for the host, where it knows a way to it that we do not
DESKTOP = "Docker Desktop"  # its machine has a bridge with the same address as that of an engine beside it
STOP_GRACE = 10  # seconds between SIGTERM and SIGKILL


def environment(
    application: Body,
    version: Body,
    *,
    port: int,
    keep: bool,
    encoding: Encoding,
    secret: Callable[[str], str],
) -> dict[str, str]:
    """Give the variables that the platform sets (platform-contract 3); PORT is not among them.

    `port` is the platform's own, `keep` says that the app sees /apps/<id>/, `secret` gives what a credential holds.
    """
    identity = application["id"]
    found = {
        "DATAROBOT_ENDPOINT": f"http://{HOST_NAME}:{port}/api/v2",
        "DATAROBOT_API_TOKEN": application["_restrictedToken"],
        "APPLICATION_ID": identity,
        "BASE_PATH": f"custom_applications/{identity}",
        "DR_CUSTOM_APP_EXTERNAL_URL": f"http://127.0.0.1:{port}/custom_applications/{identity}/",
    }
    if keep:
        found["SCRIPT_NAME"] = f"/apps/{identity}"
    for parameter in version["runtimeParameters"]:
        if parameter["currentValue"] is not None:
            name = f"MLOPS_RUNTIME_PARAM_{parameter['fieldName']}"
            found[name] = parameter_value(parameter, encoding, secret)
    return found


def parameter_value(parameter: Body, encoding: Encoding, secret: Callable[[str], str]) -> str:
    """Write a runtime parameter as the app reads it; credentials are always JSON, with the secret in it."""
    kind, value = parameter["type"], parameter["currentValue"]
    if kind == "credential":
        payload = {"credentialType": "api_token", "apiToken": secret(str(value))}
        return json.dumps({"type": "credential", "payload": payload})
    if encoding == "raw":
        return value if isinstance(value, str) else json.dumps(value)
    return json.dumps({"type": kind, "payload": value})


def probe(host: str, port: int, path: str, timeout: float = 5) -> int:
    """Ask as kube-probe does; give the status, 0 when nothing answers."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"User-Agent": "kube-probe/1.30", "Accept": "*/*"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def nearest(app: RunningApp, path: str) -> tuple[str, int]:
    """Give where this machine reaches an app that is ready and answers to `path`: host and port.

    A port that is published on the loopback address leads through a process of the engine, which needs more time than
    many an app; on the bridge the kernel leads to the container. Its own address would be as near, but belongs to
    another container as soon as this one has crashed.
    """
    if app.near is not None and 200 <= probe(*app.near, path, timeout=1) < 400:
        return app.near
    return app.host, app.port


def is_ours(address: str) -> bool:
    """Whether an address is one of this machine's own, as that of a bridge's gateway is where the bridge is here."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
            trial.bind((str(ipaddress.IPv4Address(address)), 0))
    except (OSError, ValueError):
        return False
    return True


def remove(apps: Iterable[RunningApp]) -> None:
    """Remove containers as far as the engine answers; what is left then is swept at the next start."""
    for app in apps:
        with suppress(Exception):
            app.remove()


def stop(apps: list[RunningApp]) -> None:
    """Let containers end in their own time, all at once, and remove them."""

    def end(app: RunningApp) -> None:
        with suppress(Exception):
            app.stop(STOP_GRACE)
        remove([app])

    if apps:
        with ThreadPoolExecutor(len(apps), "end") as pool:
            list(pool.map(end, apps))


def lines(apps: Iterable[RunningApp]) -> list[str]:
    """Give the last lines that these containers wrote, as far as the engine can tell."""
    found: list[str] = []
    for app in apps:
        with suppress(Exception):
            found += app.logs(MOST_LOG_LINES)
    return found[-MOST_LOG_LINES:]


def bridge(client: docker.DockerClient) -> str:
    """Give this machine's address on the engine's bridge, where its containers reach it; empty where there is none.

    There is none where the bridge ends elsewhere: in the machine of its own that Docker Desktop has, or in the network
    of an engine without root. Engines that were not told a gateway do not say which one they use; it is then the first
    address of the subnet.
    """
    from docker.errors import NotFound as NoNetwork

    if DESKTOP in str(client.info().get("OperatingSystem", "")):
        return ""
    for name in ("bridge", "podman"):
        with suppress(NoNetwork):
            found = gateway(client.networks.get(name).attrs["IPAM"]["Config"] or ())
            return found if is_ours(found) else ""
    return ""


def gateway(configs: Iterable[Mapping[str, str]]) -> str:
    """Give the first address of a network's configuration that belongs to the host; empty when there is none."""
    for config in configs:
        if config.get("Gateway"):
            return str(config["Gateway"])
        if config.get("Subnet"):
            return str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
    return ""

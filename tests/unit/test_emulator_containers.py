"""How the local platform reaches the containers of an application, and they it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from toolkit.container import RunningApp
from toolkit.emulator import containers
from toolkit.emulator.containers import bridge, is_ours, nearest


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def port() -> Iterator[int]:
    """An app inside of a container, which is this machine here."""
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def app(near: tuple[str, int] | None) -> RunningApp:
    return RunningApp(SimpleNamespace(id="1", name="one"), "published", 1, near)


def test_a_container_whose_network_ends_here_is_reached_over_the_bridge(port: int) -> None:
    assert nearest(app(("127.0.0.1", port)), "/health") == ("127.0.0.1", port)


def test_otherwise_it_is_the_port_on_the_loopback_address(port: int) -> None:
    assert nearest(app(None), "/health") == ("published", 1)
    assert nearest(app(("127.0.0.1", port)), "/elsewhere") == ("published", 1)
    assert nearest(app(("127.0.0.9", port)), "/health") == ("published", 1)


class Engine:
    """An engine that tells of itself and its networks."""

    def __init__(self, system: str, networks: dict[str, list[dict[str, str]]]) -> None:
        self.info = lambda: {"OperatingSystem": system}
        self.networks = self
        self._networks = networks

    def get(self, name: str) -> Any:
        if name not in self._networks:
            raise NotFound(name)
        return SimpleNamespace(attrs={"IPAM": {"Config": self._networks[name]}})


@pytest.mark.parametrize(
    ("system", "networks", "address"),
    [
        ("Debian", {"bridge": [{"Gateway": "172.17.0.1"}]}, "172.17.0.1"),
        ("Debian", {"bridge": [{"Subnet": "172.17.0.0/16"}]}, "172.17.0.1"),
        ("Fedora", {"podman": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]}, "172.17.0.1"),
        ("Docker Desktop", {"bridge": [{"Gateway": "172.17.0.1"}]}, ""),
        ("Debian", {"bridge": [{"Gateway": "172.20.0.1"}]}, ""),  # of an engine without root, or on another machine
        ("Debian", {"bridge": []}, ""),
        ("Debian", {}, ""),
    ],
)
def test_containers_reach_this_machine_over_the_bridge_where_it_ends_here(
    system: str, networks: dict[str, list[dict[str, str]]], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "is_ours", "172.17.0.1".__eq__)
    engine: Any = Engine(system, networks)
    assert bridge(engine) == address


@pytest.mark.parametrize("address", ["", "x", "192.0.2.1", "::1", "10.88.0.1/16", "0x7f000001"])
def test_what_is_no_address_of_this_machine(address: str) -> None:
    assert not is_ours(address)

"""How the local platform reaches the containers of an application."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit import container
from toolkit.container import RunningApp
from toolkit.emulator.containers import is_ours, nearest


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """An app inside of a container, which is this machine here."""
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setattr(container, "PORT", server.server_address[1])
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def app(address: str, gateway: str) -> RunningApp:
    networks = {"bridge": {"IPAddress": address, "Gateway": gateway}} if address else {}
    attrs = {"NetworkSettings": {"Networks": networks}}
    return RunningApp(SimpleNamespace(id="1", name="one", attrs=attrs), "published", 1)


def test_a_container_whose_network_ends_here_is_reached_itself(port: int) -> None:
    assert nearest(app("127.0.0.1", "127.0.0.1"), "/health") == ("127.0.0.1", port)


@pytest.mark.parametrize(
    ("address", "gateway", "path"),
    [
        ("", "", "/health"),
        ("127.0.0.1", "", "/health"),
        ("127.0.0.1", "192.0.2.1", "/health"),  # a network of another machine, or of an engine without root
        ("127.0.0.1", "127.0.0.1", "/elsewhere"),  # whoever has the address, it is not the app
        ("127.0.0.9", "127.0.0.1", "/health"),
    ],
)
def test_otherwise_it_is_its_published_port(port: int, address: str, gateway: str, path: str) -> None:
    assert nearest(app(address, gateway), path) == ("published", 1)


@pytest.mark.parametrize("address", ["", "x", "192.0.2.1", "::1", "10.88.0.1/16", "0x7f000001"])
def test_what_is_no_address_of_this_machine(address: str) -> None:
    assert not is_ours(address)

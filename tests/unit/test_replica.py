"""The second container of a release is asked as the first one is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from toolkit.container import ContainerState
from toolkit.crawl import Answer
from toolkit.front import Target
from toolkit.processes import UNSEEN
from toolkit.references.model import Kind
from toolkit.replica import Replica

APP_ID = "66aa00000000000000000001"


class ForVisitors(BaseHTTPRequestHandler):
    """An app that answers the platform's probe, and besides whoever the platform says who it is."""

    def do_GET(self) -> None:
        allowed = self.path == "/healthz" or "x-user-email" in self.headers
        body = b"{}" if allowed else b"who are you?"
        self.send_response(200 if allowed else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class Started:
    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port

    def state(self) -> ContainerState:
        return ContainerState("running", True, 0, False, "")

    def look_inside(self) -> Any:
        return UNSEEN

    def logs(self) -> list[str]:
        return []

    def remove(self) -> None:
        """It goes with the test."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), ForVisitors) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_it_knows_its_visitors_like_the_first_one(port: int) -> None:
    served = Answer("https://host/x.json", "x.json", Kind.DATA_FILE, 200, "application/json", 2, 0.0, "0" * 64)
    target = Target("127.0.0.1", port, APP_ID)
    with Replica(lambda: Started(port), target, "/healthz", 10) as beside:  # type: ignore[arg-type,return-value]
        again = beside.compared(beside.come_up(), [served])
    assert again.missing == ()

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.apps.contexts import RUNNING, exited
from toolkit import waiting
from toolkit.container import ContainerState
from toolkit.options import SmokeOptions
from toolkit.processes import Inside, Listener


class FakeApp:
    """A container whose state changes after `lives` seconds."""

    def __init__(self, *, lives: float = 1e9, listeners: list[Listener] | None = None) -> None:
        self.ends = time.monotonic() + lives
        self.listening = listeners or []
        self.state_calls = 0

    def state(self) -> ContainerState:
        self.state_calls += 1
        return RUNNING if time.monotonic() < self.ends else exited(3)

    def look_inside(self) -> Inside:
        return Inside((), tuple(self.listening))


@contextmanager
def server(answer: Callable[[str], int]) -> Iterator[tuple[str, list[str]]]:
    agents: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            agents.append(self.headers["User-Agent"])
            status = answer(self.path)
            if status:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/", agents
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def unused() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def test_it_waits_for_a_good_answer_as_the_platform_s_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "BAD_STATUS_PATIENCE", 0.0)
    answers = iter([0, 503, 502, 504, 503, 200])
    with server(lambda _path: next(answers)) as (url, agents):
        waited = waiting.wait(FakeApp(), url, 10)  # type: ignore[arg-type]
    assert waited.response is not None
    assert waited.response.status == 200
    assert set(agents) == {"kube-probe/1.30"}
    assert waited.seconds < 2


def test_a_bad_status_is_given_time_but_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "BAD_STATUS_PATIENCE", 0.2)
    with server(lambda _path: 404) as (url, _agents):
        waited = waiting.wait(FakeApp(), url, 10)  # type: ignore[arg-type]
    assert waited.response is not None
    assert (waited.response.status, waited.seconds < 2) == (404, True)


def test_an_exit_is_noticed_within_a_second() -> None:
    waited = waiting.wait(FakeApp(lives=0.3), unused(), 60)  # type: ignore[arg-type]
    assert waited.response is None
    assert waited.state.exit_code == 3
    assert waited.seconds < 1.3


def test_patience_ends_and_says_what_listens() -> None:
    listener = Listener("0.0.0.0", 3000, 7, "bun", {})
    app = FakeApp(listeners=[listener])
    waited = waiting.wait(app, unused(), 0.3)  # type: ignore[arg-type]
    assert (waited.response, waited.inside.listeners) == (None, (listener,))
    assert app.state_calls <= 3, "the engine is asked now and then, not at every poll"


def test_who_speaks_no_http_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_LOOK", 0.1)
    monkeypatch.setattr(waiting, "spoken", lambda _host, _port: "TLS (https)")
    app = FakeApp(listeners=[Listener("0.0.0.0", 8080, 7, "bun", {})])
    waited = waiting.wait(app, unused(), 60)  # type: ignore[arg-type]
    assert (waited.response, waited.spoken, waited.seconds < 5) == (None, "TLS (https)", True)


def look(seconds: float, *listening: tuple[str, int]) -> tuple[float, frozenset[tuple[str, int]]]:
    return seconds, frozenset(listening)


@pytest.mark.parametrize(
    ("looks", "given_up"),
    [
        ([look(3, ("127.0.0.1", 8080))], False),
        ([look(3, ("127.0.0.1", 8080)), look(6, ("127.0.0.1", 8080))], True),
        ([look(3, ("::1", 8080)), look(6, ("::1", 8080))], True),
        ([look(3, ("127.0.0.1", 8080)), look(6, ("127.0.0.1", 8080), ("0.0.0.0", 8080))], False),
        ([look(3, ("0.0.0.0", 3000)), look(6, ("0.0.0.0", 3000))], False),
        ([look(18, ("0.0.0.0", 3000)), look(21, ("0.0.0.0", 3000))], True),
        ([look(18), look(21)], False),
        ([look(18, ("0.0.0.0", 8080)), look(21, ("0.0.0.0", 8080))], False),
    ],
)
def test_it_gives_up_only_when_the_app_has_settled_elsewhere(
    looks: list[tuple[float, frozenset[tuple[str, int]]]], given_up: bool
) -> None:
    assert waiting.hopeless(looks) is given_up


def test_families_that_need_no_running_app() -> None:
    assert not SmokeOptions().only_of("source", "build")
    assert SmokeOptions(only=frozenset({"source"})).only_of("source", "build")
    assert not SmokeOptions(only=frozenset({"source", "front"})).only_of("source", "build")

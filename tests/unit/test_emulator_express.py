"""The short way through the edge: whoever takes it gets and gives the same bytes as on the long way."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from tests.unit.test_emulator_edge import make, serve
from toolkit.emulator.edge import Edge
from toolkit.emulator.express import LONGEST_HEAD, MOST_KNOWN, whole

OK = b"HTTP/1.1 200 OK\r\nX-Odd: caf\xe9\r\nContent-Length: 2\r\n\r\nok"
Pieces = list[bytes | float]


class App:
    """An application that says to each path what was planned: bytes, and pauses (seconds) between them."""

    def __init__(self) -> None:
        self.plans: dict[str, Pieces] = {}
        self.heads: list[bytes] = []
        self.connections = 0
        self.holds = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError), connection.makefile("rb") as stream:
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = stream.readline()
                    if not line:
                        return
                    head += line
                self.heads.append(head)
                if size := re.search(rb"Content-Length: (\d+)", head):
                    stream.read(int(size[1]))
                while b"Transfer-Encoding: chunked" in head and stream.readline() != b"0\r\n":
                    pass
                if b"Transfer-Encoding: chunked" in head:
                    stream.readline()
                for piece in self.plans.get(head.split(b" ")[1].decode(), [OK]):
                    if piece == b"close":
                        return
                    if isinstance(piece, float):
                        self.holds.set()
                        time.sleep(piece)
                    else:
                        connection.sendall(piece)


@pytest.fixture
def app() -> Iterator[App]:
    with closing(App()) as made:
        yield made


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path) as running:
        yield running


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What went the long way."""
    seen: list[str] = []
    visit = Edge.visit

    async def noting(self: Edge, request: Any) -> Any:
        seen.append(request.raw_path)
        return await visit(self, request)

    monkeypatch.setattr(Edge, "visit", noting)
    return seen


class Talk:
    """One connection of a visitor, as bytes."""

    def __init__(self, platform: LocalPlatform, application: str, *headers: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", httpx.URL(platform.url).port or 0), timeout=10)
        self._prefix = f"/custom_applications/{application}"
        self._headers = ["Host: here", f"Authorization: Bearer {platform.identity.full.reveal()}", *headers]

    def head(self, path: str, method: str = "GET", *extra: str) -> bytes:
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", *self._headers, *extra, "", ""]
        return "\r\n".join(lines).encode()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self, until: Callable[[bytes], bool]) -> bytes:
        """Read until enough is there, or the platform has closed."""
        found = b""
        while not until(found):
            try:
                more = self._socket.recv(2**20)
            except ConnectionResetError:
                more = b""
            if not more:
                return found + b"<closed>"
            found += more
        return found

    def ask(self, path: str, method: str = "GET", *extra: str, answers: int = 1) -> bytes:
        self.send(self.head(path, method, *extra))
        return self.read(lambda found: _complete(found, answers))

    def close(self) -> None:
        self._socket.close()


def _complete(found: bytes, answers: int = 1) -> bool:
    """Whether so many answers are there, by their length or their last chunk."""
    for _ in range(answers):
        head, end, rest = found.partition(b"\r\n\r\n")
        if not end:
            return False
        if b"Transfer-Encoding: chunked" in head:
            _, last, found = rest.partition(b"0\r\n\r\n")
            if not last:
                return False
            continue
        bodiless = head.split(b" ")[1] in (b"100", b"204", b"304")
        lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        size = 0 if bodiless or not lengths else int(lengths[0].split(b":")[1])
        if (not lengths and not bodiless) or len(rest) < size:
            return False
        found = rest[size:]
    return True


@pytest.fixture
def running(platform: LocalPlatform, app: App) -> str:
    application = make(platform)
    serve(platform, application, app.port)
    return application


@pytest.fixture
def talk(platform: LocalPlatform, running: str) -> Iterator[Talk]:
    with closing(Talk(platform, running, "User-Agent: me")) as made:
        yield made


def test_the_second_time_is_like_the_first(
    platform: LocalPlatform, running: str, talk: Talk, app: App, long_ways: list[str]
) -> None:
    assert [talk.ask("/a"), talk.ask("/a"), talk.ask("/b%20c?d=e+f"), talk.ask("/d//")] == [OK] * 4
    assert long_ways == [f"/custom_applications/{running}/a"]
    assert app.heads[0] == app.heads[1]
    assert app.heads[2] == app.heads[0].replace(b"GET /a ", b"GET /b%20c?d=e+f ")
    assert app.connections == 1
    asked = [(one["method"], one["path"], one["query"], one["agent"], one["status"]) for one in platform.requests]
    prefix = f"/custom_applications/{running}"
    assert asked == [
        ("GET", f"{prefix}/a", "", "me", 200),
        ("GET", f"{prefix}/a", "", "me", 200),
        ("GET", f"{prefix}/b c", "d=e f", "me", 200),
        ("GET", f"{prefix}/d//", "", "me", 200),
    ]


@pytest.mark.parametrize("mode", ["strip", "keep"])
def test_both_modes_of_paths(platform: LocalPlatform, app: App, mode: str) -> None:
    application = make(platform)
    serve(platform, application, app.port, mode=mode)
    with closing(Talk(platform, application)) as talk:
        assert [talk.ask("/x?y"), talk.ask("/x?y")] == [OK, OK]
    wanted = b"/x?y" if mode == "strip" else f"/apps/{application}/x?y".encode()
    assert [head.split(b" ")[1] for head in app.heads] == [wanted, wanted]


ANSWERS: dict[str, Pieces] = {
    "a length": [OK],
    "no reason": [b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"],
    "in two pieces": [OK[:-1], 0.05, OK[-1:]],
    "a head in two pieces": [OK[:20], 0.05, OK[20:]],
    "large": [b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000],
    "chunks": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
    "events": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"2\r\na\n\r\n",
        0.05,
        b"2\r\nb\n\r\n0\r\n\r\n",
    ],
    "not modified": [b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5\r\n\r\n'],
    "no content": [b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"],
    "an error": [b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"],
    "said before": [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK],
    "headers for one hop": [
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nX: y\r\nContent-Length: 2\r\n\r\nok"
    ],
    "named for one hop": [b"HTTP/1.1 200 OK\r\nConnection: x-mine\r\nX-Mine: y\r\nContent-Length: 2\r\n\r\nok"],
    "closing": [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"close"],
    "without a length": [b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nok", b"close"],
    "without a length, later": [b"HTTP/1.1 200 OK\r\nX: y\r\n\r\no", 0.05, b"k", b"close"],
    "an old one": [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"close"],
    "two lengths": [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", b"close"],
    "cut": [b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", b"close"],
    "no HTTP": [b"hello\r\n\r\n", b"close"],
    "a folded header": [b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok", b"close"],
}


@pytest.mark.parametrize("plan", ANSWERS.values(), ids=ANSWERS.keys())
def test_every_kind_of_answer_is_the_same_on_both_ways(
    platform: LocalPlatform, running: str, app: App, plan: Pieces
) -> None:
    app.plans = {"/p": plan}
    with closing(Talk(platform, running)) as first:
        expected = first.ask("/p")
    with closing(Talk(platform, running)) as talk:
        assert talk.ask("/ready") == OK
        before = len(app.heads)
        assert _without_framing(talk.ask("/p")) == _without_framing(expected)
        assert len(app.heads) == before + 1  # nothing was asked twice
        if not expected.endswith(b"<closed>"):
            assert talk.ask("/more") == OK


def test_other_headers_take_the_long_way_and_are_known_then(talk: Talk, long_ways: list[str]) -> None:
    for _ in range(2):
        assert [talk.ask("/", "GET", f"Accept: {kind}") for kind in ("text/html", "a/b")] == [OK, OK]
    assert len(long_ways) == 2
    for number in range(2 * MOST_KNOWN):
        assert talk.ask("/", "GET", f"Accept: {number}") == OK
    assert talk.ask("/", "GET", "Accept: a/b") == OK  # forgotten by now
    assert len(long_ways) == 3 + 2 * MOST_KNOWN


def test_long_headers_take_the_long_way(talk: Talk, long_ways: list[str]) -> None:
    assert [talk.ask("/", "GET", f"X-Long: {'x' * LONGEST_HEAD}") for _ in range(2)] == [OK, OK]
    assert len(long_ways) == 2


def test_what_expects_a_word_takes_the_long_way(talk: Talk, app: App) -> None:
    for _ in range(2):
        assert talk.ask("/", "GET", "Expect: 100-continue", answers=2) == b"HTTP/1.1 100 Continue\r\n\r\n" + OK
    assert len(app.heads) == 2


def test_who_closes_is_let_go(talk: Talk) -> None:
    assert talk.ask("/") == OK
    talk.send(talk.head("/", "GET", "Connection: close"))
    assert talk.read(lambda found: False).endswith(b"ok<closed>")


def test_after_any_write_everything_is_decided_anew(
    platform: LocalPlatform, running: str, talk: Talk, long_ways: list[str]
) -> None:
    assert [talk.ask("/"), talk.ask("/")] == [OK, OK]
    platform.store.set_application(running, _logs=["x"])
    assert [talk.ask("/"), talk.ask("/")] == [OK, OK]
    assert len(long_ways) == 2
    platform.store.delete_application(running)
    assert talk.ask("/").startswith(b"HTTP/1.1 404 ")


def test_an_app_that_rests_is_not_reached(platform: LocalPlatform, running: str, talk: Talk, app: App) -> None:
    assert [talk.ask("/"), talk.ask("/")] == [OK, OK]
    platform.runner.served.clear()
    assert talk.ask("/").startswith(b"HTTP/1.1 501 ")
    assert len(app.heads) == 2


def test_with_faults_nothing_is_short(platform: LocalPlatform, talk: Talk, long_ways: list[str]) -> None:
    assert talk.ask("/") == OK
    with platform.client() as api:
        rule = {"path": "/custom_applications/**", "status": 418}
        made = api.post(f"{platform.url}/__emulator__/faults", json={"rules": [rule]})
        assert made.is_success, made.text
    assert talk.ask("/").startswith(b"HTTP/1.1 418 ")


def test_writes_go_the_long_way_and_reads_are_short_again_behind_them(talk: Talk, long_ways: list[str]) -> None:
    assert [talk.ask("/"), talk.ask("/", "DELETE")] == [OK, OK]
    assert [talk.ask("/"), talk.ask("/x")] == [OK, OK]
    talk.send(talk.head("/", "POST", "Content-Length: 3") + b"abc")
    assert talk.read(_complete) == OK
    assert talk.ask("/") == OK
    assert len(long_ways) == 3


def test_behind_a_body_that_came_later_or_in_chunks_all_is_long(talk: Talk, long_ways: list[str]) -> None:
    assert talk.ask("/") == OK
    talk.send(talk.head("/", "POST", "Content-Length: 3") + b"a")
    time.sleep(0.02)
    talk.send(b"bc")
    assert talk.read(_complete) == OK
    assert talk.ask("/") == OK
    talk.send(talk.head("/", "POST", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n")
    assert talk.read(_complete) == OK
    assert talk.ask("/") == OK
    assert len(long_ways) == 5


def test_requests_in_one_piece_are_answered_in_order(talk: Talk, app: App, long_ways: list[str]) -> None:
    app.plans = {"/a": [OK.replace(b"ok", b"aa")], "/b": [OK.replace(b"ok", b"bb")]}
    assert talk.ask("/") == OK
    talk.send(talk.head("/a") + talk.head("/b") + talk.head("/a"))
    found = talk.read(lambda found: _complete(found, 3))
    assert found == OK.replace(b"ok", b"aa") + OK.replace(b"ok", b"bb") + OK.replace(b"ok", b"aa")
    assert talk.ask("/b").endswith(b"bb")


def test_a_request_that_is_followed_by_the_next_one_goes_on_the_long_way(
    talk: Talk, app: App, long_ways: list[str]
) -> None:
    app.plans = {"/slow": [0.2, OK.replace(b"ok", b"sl")]}
    assert talk.ask("/") == OK
    talk.send(talk.head("/slow"))
    assert app.holds.wait(5)
    talk.send(talk.head("/next")[:30])
    time.sleep(0.02)
    talk.send(talk.head("/next")[30:])
    assert talk.read(lambda found: _complete(found, 2)) == OK.replace(b"ok", b"sl") + OK
    assert [head.split(b" ")[1] for head in app.heads] == [b"/", b"/slow", b"/next"]
    assert talk.ask("/again") == OK


def test_an_app_that_closes_without_an_answer_is_asked_again(talk: Talk, app: App, long_ways: list[str]) -> None:
    app.plans = {"/": [OK, b"close"]}
    assert [talk.ask("/") for _ in range(5)] == [OK] * 5
    app.plans = {"/never": [b"close"]}
    assert talk.ask("/other") == OK
    assert talk.ask("/never").startswith(b"HTTP/1.1 502 ")


def test_a_visitor_who_leaves_ends_the_request(
    platform: LocalPlatform, running: str, talk: Talk, app: App, long_ways: list[str]
) -> None:
    app.plans = {"/slow": [0.5, OK, 0.5, OK]}
    assert talk.ask("/") == OK
    talk.send(talk.head("/slow"))
    assert app.holds.wait(5)
    talk.close()
    assert _soon(lambda: platform.requests[-1]["status"] == 499)
    assert platform.requests[-1]["path"].endswith("/slow")
    assert len(long_ways) == 1
    with closing(Talk(platform, running)) as other:
        assert other.ask("/") == OK
        assert other.ask("/") == OK  # and not what the one who left would have got


def test_who_is_refused_by_now_gets_nothing_of_what_was_begun(
    platform: LocalPlatform, running: str, talk: Talk, app: App
) -> None:
    app.plans = {"/slow": [0.3, OK, 5.0]}
    assert talk.ask("/") == OK
    talk.send(talk.head("/slow"))
    assert app.holds.wait(5)
    platform.store.delete_application(running)
    talk.send(talk.head("/next"))
    found = talk.read(lambda found: found.count(b"HTTP/1.1 404 ") == 2)
    assert b"ok" not in found.replace(b"token", b"")


def test_the_next_one_does_not_get_what_was_begun_for_one_who_is_refused(
    platform: LocalPlatform, running: str, talk: Talk, app: App
) -> None:
    with closing(App()) as other:
        other.plans = {"/mine": [OK.replace(b"ok", b"bb")]}
        theirs = make(platform)
        serve(platform, theirs, other.port)
        app.plans = {"/mine": [0.3, OK.replace(b"ok", b"aa"), 5.0]}
        assert talk.ask("/") == OK
        talk.send(talk.head("/mine"))
        assert app.holds.wait(5)
        platform.store.delete_application(running)
        talk.send(talk.head("/mine").replace(running.encode(), theirs.encode()))
        found = talk.read(lambda found: found.endswith((b"bb", b"aa")))
    assert found.startswith(b"HTTP/1.1 404 ")
    assert found.endswith(b"bb")


def test_replicas_by_turns(platform: LocalPlatform, app: App, long_ways: list[str]) -> None:
    with closing(App()) as other:
        application = make(platform, replicas=2)
        serve(platform, application, app.port, other.port)
        with closing(Talk(platform, application)) as talk:
            assert [talk.ask("/") for _ in range(8)] == [OK] * 8
        assert (len(app.heads), len(other.heads)) == (4, 4)
    assert len(long_ways) == 2  # each replica has to be met once


def test_with_affinity_always_the_same_one(platform: LocalPlatform, app: App) -> None:
    with closing(App()) as other:
        application = make(platform, replicas=2, sessionAffinity=True)
        serve(platform, application, app.port, other.port)
        with closing(Talk(platform, application)) as talk:
            assert [talk.ask("/") for _ in range(6)] == [OK] * 6
        assert {len(app.heads), len(other.heads)} == {0, 6}


def test_what_is_under_way_when_the_platform_ends_is_answered(tmp_path: Path, app: App, long_ways: list[str]) -> None:
    app.plans = {"/slow": [0.1, OK]}
    with local_platform(tmp_path) as platform:
        application = make(platform)
        serve(platform, application, app.port)
        talk = Talk(platform, application)
        assert talk.ask("/") == OK
        talk.send(talk.head("/slow"))
        assert app.holds.wait(5)
    with closing(talk):
        assert talk.read(_complete).startswith(OK)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (OK, (200, OK)),
        (OK + b"x", None),
        (OK[:-1], None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", None),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", None),
        (b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", (304, b"HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n")),
        (
            b"HTTP/1.1 200 OK\r\nconnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
            (200, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ),
    ],
)
def test_only_whole_answers_are_short(answer: bytes, found: tuple[int, bytes] | None) -> None:
    assert whole(answer) == found


def _without_framing(answer: bytes) -> bytes:
    """Join what chunks there are, which a network may cut differently each time, and leave out the edge's own date."""
    answer = re.sub(rb"Date: [^\r]*GMT\r\n", b"", answer)
    head, end, rest = answer.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" not in head:
        return answer
    text = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        text, rest = text + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return head + end + text


def _soon(holds: Callable[[], bool], patience: float = 5) -> bool:
    deadline = time.monotonic() + patience
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()

"""The front: what the app is asked and what the visitor gets, byte for byte, against small servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import resource
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from toolkit.front import OUTSIDE_HEADER, Front, Target, certificate

APP_ID = "6650a1b2c3d4e5f601234567"
PREFIX = f"/custom_applications/{APP_ID}"
MEGABYTE = 1024 * 1024


@dataclass
class Asked:
    """One request as the app saw it."""

    method: str
    path: str
    headers: CIMultiDict[str]
    body: bytes = b""


@dataclass
class Upstream:
    """An app on a free port of loopback, in a thread of its own."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    events: dict[str, threading.Event] = field(default_factory=dict)
    closed_with: list[tuple[int | None, str]] = field(default_factory=list)

    def event(self, name: str) -> threading.Event:
        return self.events.setdefault(name, threading.Event())

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.split("?")[0].removeprefix(f"/apps/{APP_ID}")
        if path == "/swallow":
            total = 0
            async for chunk in request.content.iter_any():
                total += len(chunk)
            return web.Response(text=str(total))
        if path.startswith("/ws"):
            return await self.websocket(request, path)
        self.asked.append(Asked(request.method, request.raw_path, request.headers.copy(), await request.read()))
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = getattr(
            self, "do_" + path.strip("/").replace("-", "_"), self.do_ok
        )
        return await handler(request)

    async def do_ok(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="ok")

    async def do_redirect(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/somewhere?x=%2F#y"}, text="moved")

    async def do_gzip(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b"squeezed", mtime=0), headers={"Content-Encoding": "gzip"})

    async def do_cookies(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = web.Response(text="x")
        for value in ("a=1; Path=/", "b=2; HttpOnly", "c=3, d"):
            answer.headers.add("Set-Cookie", value)
        return answer

    async def do_hops(self, request: web.BaseRequest) -> web.StreamResponse:
        names = ("Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Trailer", "X-Private")
        return web.Response(text="x", headers={"Connection": "X-Private", **dict.fromkeys(names, "y"), "X-Public": "z"})

    async def do_nothing(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=204, headers={"ETag": '"1"'})

    async def do_unchanged(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=304, headers={"ETag": '"1"'})

    async def do_part(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Range"] == "bytes=2-4"
        return web.Response(status=206, body=b"cde", headers={"Content-Range": "bytes 2-4/26"})

    async def do_odd_status(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=499, reason="Gone fishing", text="x")

    async def do_events(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        try:
            for number in range(100):
                await answer.write(f"data: {number}\n\n".encode())
                while not self.event(f"next {number}").is_set():
                    await asyncio.sleep(0.01)
        finally:
            self.event("events over").set()
        return answer

    async def do_large(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        if "length" in request.query_string:
            answer.content_length = 64 * MEGABYTE
        await answer.prepare(request)
        for _ in range(64):
            await answer.write(bytes(MEGABYTE))
        return answer

    async def do_cut(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        if "length" in request.query_string:
            answer.content_length = 1000
        await answer.prepare(request)
        await answer.write(b"half of it")
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return answer

    async def websocket(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if path == "/ws-refused":
            return web.Response(status=403, text="no")
        if path == "/ws-page":
            return web.Response(text="a page")
        sock = web.WebSocketResponse(protocols=("v2", "v1"), autoclose=True, max_msg_size=0)
        await sock.prepare(request)
        self.asked.append(Asked("WEBSOCKET", request.raw_path, request.headers.copy()))
        while True:
            message = await sock.receive()
            if message.type is aiohttp.WSMsgType.TEXT and message.data.startswith("close "):
                await sock.close(code=int(message.data.split()[1]), message=b"as you like")
            elif message.type is aiohttp.WSMsgType.TEXT and message.data == "die":
                assert request.transport is not None
                request.transport.abort()
            elif message.type is aiohttp.WSMsgType.TEXT:
                await sock.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await sock.send_bytes(message.data)
            else:
                code = message.data if message.type is aiohttp.WSMsgType.CLOSE else None
                self.closed_with.append((code, str(message.extra or "")))
                self.event("closed").set()
                return sock


@contextlib.contextmanager
def serving(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> Iterator[int]:
    ready, over = threading.Event(), asyncio.Event()
    found: dict[str, Any] = {}

    async def main() -> None:
        options = {"auto_decompress": False, "max_line_size": 2**16, "max_field_size": 2**16}
        server = web.Server(answer, access_log=None, handler_cancellation=True, **options)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.update(port=runner.addresses[0][1], loop=asyncio.get_running_loop())
        ready.set()
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield found["port"]
    finally:
        found["loop"].call_soon_threadsafe(over.set)
        thread.join(10)


@pytest.fixture(scope="module")
def shared_upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    with serving(upstream.answer) as port:
        upstream.port = port
        yield upstream


@pytest.fixture(scope="module")
def shared_front(shared_upstream: Upstream) -> Iterator[Front]:
    with Front(Target("127.0.0.1", shared_upstream.port, APP_ID)) as front:
        yield front


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    for kept in (shared_upstream.asked, shared_upstream.events, shared_upstream.closed_with):
        kept.clear()
    return shared_upstream


@pytest.fixture
def front(shared_front: Front, upstream: Upstream) -> Front:
    shared_front.outside.clear()
    return shared_front


@dataclass
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def ask(front: Front, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """Ask with a client that touches nothing: the path goes out as it is written here."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if isinstance(body, bytes):
            connection.send(body)
        response = connection.getresponse()
        return Answer(response.status, response.reason, response.getheaders(), response.read())
    finally:
        connection.close()


def raw(port: int, data: bytes, *, until_close: bool = True) -> bytes:
    """Send bytes and give all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            if not until_close:
                break
        return received


# --- the path ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "stripped"),
    [
        (f"{PREFIX}/", "/"),
        (f"{PREFIX}", "/"),
        (f"{PREFIX}/a/b.js?x=1", "/a/b.js?x=1"),
        (f"{PREFIX}?x", "/?x"),
        (f"{PREFIX}//double", "//double"),
        (f"{PREFIX}/x{PREFIX}/y", f"/x{PREFIX}/y"),
    ],
)
def test_the_path_for_the_app(asked: str, stripped: str) -> None:
    assert Target("h", 1, APP_ID, "strip").upstream_path(asked) == stripped
    assert Target("h", 1, APP_ID, "keep").upstream_path(asked) == f"/apps/{APP_ID}{stripped}"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a%2Fb%20c",
        "/a/../b/./c",
        "/a//b",
        "/%E6%97%A5%C3%A9",
        "/%e6%97%a5",
        "/a+b;c=d@e:f!$&'()*,",
        "/x?a=1&a=2&b=%26&c=a+b&d=%2B&e",
        "/x?url=https://h/p?q=1",
        "/x?a=[1]&b={2}|",
        "/~user/%7Euser",
        "/x/" + "y" * 9000,
        "/x?" + "y" * 30_000,
    ],
)
def test_the_bytes_of_path_and_query_are_untouched(front: Front, upstream: Upstream, path: str) -> None:
    answer = ask(front, "GET", PREFIX + path)
    assert answer.status == 200
    assert [asked.path for asked in upstream.asked] == [path]


def test_in_the_other_mode_the_inner_prefix_stays(upstream: Upstream) -> None:
    with Front(Target("127.0.0.1", upstream.port, APP_ID, "keep")) as front:
        assert front.url == f"http://127.0.0.1:{front.port}{PREFIX}/"
        ask(front, "GET", f"{PREFIX}/a%2Fb?x=%20")
    (asked,) = upstream.asked
    assert asked.path == f"/apps/{APP_ID}/a%2Fb?x=%20"
    assert asked.headers["X-Forwarded-Prefix"] == PREFIX


@pytest.mark.parametrize(("query", "expected"), [("", ""), ("?a=%2F&b", "?a=%2F&b")])
def test_without_a_slash_at_the_end_the_visitor_is_sent_there(
    front: Front, upstream: Upstream, query: str, expected: str
) -> None:
    answer = ask(front, "GET", PREFIX + query)
    assert answer.status in (301, 302)
    assert answer.all("Location") == [f"{PREFIX}/{expected}"]
    assert (upstream.asked, front.outside) == ([], [])


@pytest.mark.parametrize(
    "path", ["/", "/api/x?y=1", f"{PREFIX}x/", f"{PREFIX}%2F", "/custom_applications/", PREFIX[:-1] + "/"]
)
def test_outside_the_prefix_is_the_platform_and_not_the_app(front: Front, upstream: Upstream, path: str) -> None:
    answer = ask(front, "POST", path, b"x")
    assert answer.status == 404
    assert answer.all(OUTSIDE_HEADER) == ["1"]
    assert b"DataRobot" in answer.body
    assert front.outside == [f"POST {path}"]
    assert upstream.asked == []


# --- headers ----------------------------------------------------------------------------------------------------------


def test_the_app_is_told_where_it_is_seen(front: Front, upstream: Upstream) -> None:
    ask(front, "GET", f"{PREFIX}/x", headers={"Cookie": "a=1; b=2", "X-Own": "kept", "Accept-Encoding": "br"})
    headers = upstream.asked[0].headers
    assert headers["X-Forwarded-Prefix"] == PREFIX
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["X-Forwarded-Host"] == f"127.0.0.1:{front.port}"
    assert headers["Host"] == f"127.0.0.1:{front.port}"
    assert (headers["Cookie"], headers["X-Own"], headers["Accept-Encoding"]) == ("a=1; b=2", "kept", "br")


def test_nothing_is_made_up(front: Front, upstream: Upstream) -> None:
    ask(front, "GET", f"{PREFIX}/x")
    assert {name.lower() for name in upstream.asked[0].headers} <= {
        "host",
        "x-forwarded-prefix",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "connection",
    }


def test_what_an_outer_proxy_said_is_continued_but_the_prefix_is_ours(front: Front, upstream: Upstream) -> None:
    said = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "app.datarobot.com",
        "X-Forwarded-Prefix": "/forged",
    }
    ask(front, "GET", f"{PREFIX}/x", headers=said)
    headers = upstream.asked[0].headers
    assert headers["X-Forwarded-For"] == "203.0.113.9, 127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["X-Forwarded-Host"] == "app.datarobot.com"
    assert headers.getall("X-Forwarded-Prefix") == [PREFIX]


def test_headers_for_one_hop_stay_behind(front: Front, upstream: Upstream) -> None:
    sent = {
        "Connection": "close, X-Mine",
        "X-Mine": "1",
        "Keep-Alive": "timeout=9",
        "TE": "trailers",
        "Proxy-Authorization": "Basic eA==",
        "Proxy-Connection": "close",
        "X-Other": "2",
    }
    answer = ask(front, "GET", f"{PREFIX}/hops", headers=sent)
    names = {name.lower() for name in upstream.asked[0].headers}
    assert not names & {"x-mine", "keep-alive", "te", "proxy-authorization", "proxy-connection"}
    assert "x-other" in names
    back = {name.lower() for name, _ in answer.headers}
    assert not back & {"keep-alive", "proxy-authenticate", "proxy-connection", "trailer", "x-private"}
    assert "x-public" in back


def test_every_cookie_of_the_app_arrives(front: Front) -> None:
    assert ask(front, "GET", f"{PREFIX}/cookies").all("Set-Cookie") == ["a=1; Path=/", "b=2; HttpOnly", "c=3, d"]


def test_an_answer_carries_no_header_that_the_app_did_not_set(front: Front) -> None:
    app = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: caf\xe9\r\nX-Utf: \xc3\xa9\r\nDate: now\r\n\r\nhi"
    with plain_server(app) as port, Front(Target("127.0.0.1", port, APP_ID)) as own:
        received = raw(own.port, f"GET {PREFIX}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, body = received.split(b"\r\n\r\n", 1)
    assert body == b"hi"
    names = {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert names == {b"content-length", b"x-name", b"x-utf", b"date", b"connection"}
    assert b"X-Utf: \xc3\xa9" in head


def test_requests_with_headers_that_are_no_text_pass(front: Front, upstream: Upstream) -> None:
    request = f"GET {PREFIX}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Name: caf".encode() + b"\xe9\r\n\r\n"
    assert raw(front.port, request).startswith(b"HTTP/1.1 200")
    assert upstream.asked[0].headers["X-Name"].startswith("caf")


def test_large_cookies_pass(front: Front, upstream: Upstream) -> None:
    assert ask(front, "GET", f"{PREFIX}/x", headers={"Cookie": "a=" + "b" * 12_000}).status == 200
    assert len(upstream.asked[0].headers["Cookie"]) == 12_002


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_redirect_is_the_visitors_business(front: Front, upstream: Upstream) -> None:
    answer = ask(front, "GET", f"{PREFIX}/redirect")
    assert (answer.status, answer.body) == (302, b"moved")
    assert answer.all("Location") == ["/somewhere?x=%2F#y"]
    assert len(upstream.asked) == 1


def test_compressed_bodies_pass_untouched_both_ways(front: Front, upstream: Upstream) -> None:
    squeezed = gzip.compress(b"body", mtime=0)
    answer = ask(front, "POST", f"{PREFIX}/gzip", squeezed, {"Content-Encoding": "gzip"})
    assert answer.body == gzip.compress(b"squeezed", mtime=0)
    assert answer.all("Content-Encoding") == ["gzip"]
    assert upstream.asked[0].body == squeezed
    assert upstream.asked[0].headers["Content-Encoding"] == "gzip"


def test_head_gives_the_length_and_no_body(front: Front, upstream: Upstream) -> None:
    received = raw(front.port, f"HEAD {PREFIX}/ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, body = received.split(b"\r\n\r\n", 1)
    assert body == b""
    assert b"content-length: 2" in head.lower()
    assert upstream.asked[0].method == "HEAD"


def test_a_range_is_passed_on(front: Front) -> None:
    answer = ask(front, "GET", f"{PREFIX}/part", headers={"Range": "bytes=2-4"})
    assert (answer.status, answer.body, answer.all("Content-Range")) == (206, b"cde", ["bytes 2-4/26"])


@pytest.mark.parametrize(("path", "status"), [("nothing", 204), ("unchanged", 304)])
def test_answers_without_a_body_keep_the_connection_usable(front: Front, path: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    try:
        for _ in range(2):
            connection.request("GET", f"{PREFIX}/{path}")
            response = connection.getresponse()
            assert (response.status, response.read(), response.getheader("ETag")) == (status, b"", '"1"')
            assert response.getheader("Transfer-Encoding") is None
            connection.request("GET", f"{PREFIX}/ok")
            assert connection.getresponse().read() == b"ok"
    finally:
        connection.close()


def test_odd_status_lines_pass(front: Front) -> None:
    answer = ask(front, "GET", f"{PREFIX}/odd-status")
    assert (answer.status, answer.reason) == (499, "Gone fishing")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_every_method_passes(front: Front, upstream: Upstream, method: str) -> None:
    assert ask(front, method, f"{PREFIX}/x", b"body" if method != "GET" else None).status == 200
    assert upstream.asked[0].method == method
    assert upstream.asked[0].body == (b"body" if method != "GET" else b"")


def test_visitors_of_http_1_0_are_served(front: Front) -> None:
    received = raw(front.port, f"GET {PREFIX}/large?length HTTP/1.0\r\nHost: x\r\n\r\n".encode(), until_close=False)
    assert received.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
    received = raw(front.port, f"GET {PREFIX}/ok HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    assert received.endswith(b"ok")


def test_an_answer_without_length_to_http_1_0_ends_with_the_connection() -> None:
    app = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with plain_server(app) as port, Front(Target("127.0.0.1", port, APP_ID)) as front:
        received = raw(front.port, f"GET {PREFIX}/ HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    assert received.split(b"\r\n\r\n", 1)[1] == b"abc"


# --- streams ----------------------------------------------------------------------------------------------------------


def test_server_sent_events_arrive_one_by_one(front: Front, upstream: Upstream) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=5)
    connection.request("GET", f"{PREFIX}/events")
    response = connection.getresponse()
    for number in range(3):
        assert response.readline() == f"data: {number}\n".encode()
        assert response.readline() == b"\n"
        assert not upstream.event("events over").is_set()
        upstream.event(f"next {number}").set()
    response.close()
    connection.close()
    # The visitor has gone: so the app hears of it, although it sends nothing.
    assert upstream.event("events over").wait(3)


def test_chunked_request_bodies_arrive_whole(front: Front, upstream: Upstream) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=5)
    connection.request("POST", f"{PREFIX}/x", iter([b"one", b"two", b"", b"three"]), encode_chunked=True)
    assert connection.getresponse().read() == b"ok"
    connection.close()
    assert upstream.asked[0].body == b"onetwothree"


def test_a_body_with_a_length_keeps_it(front: Front, upstream: Upstream) -> None:
    ask(front, "POST", f"{PREFIX}/x", b"12345")
    assert upstream.asked[0].headers["Content-Length"] == "5"
    assert "Transfer-Encoding" not in upstream.asked[0].headers
    ask(front, "POST", f"{PREFIX}/x", b"")
    assert upstream.asked[1].headers["Content-Length"] == "0"


def test_large_bodies_stream_both_ways_in_little_memory(front: Front) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for query in ("", "?length"):
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
        connection.request("GET", f"{PREFIX}/large{query}")
        response = connection.getresponse()
        total = 0
        while chunk := response.read(MEGABYTE):
            total += len(chunk)
        connection.close()
        assert total == 64 * MEGABYTE
    for chunked in (False, True):
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
        headers = {} if chunked else {"Content-Length": str(64 * MEGABYTE)}
        body = (bytes(MEGABYTE) for _ in range(64))
        connection.request("POST", f"{PREFIX}/swallow", body, headers, encode_chunked=chunked)
        assert connection.getresponse().read() == str(64 * MEGABYTE).encode()
        connection.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 48 * 1024, f"{grown} kB more"


@pytest.mark.parametrize("connection_header", ["", "Connection: close\r\n"])
def test_expect_100_continue_is_answered_before_the_body(
    front: Front, upstream: Upstream, connection_header: str
) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=3) as connection:
        head = f"POST {PREFIX}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
        connection.sendall(f"{head}{connection_header}\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(b"body")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert upstream.asked[0].body == b"body"
    assert "Expect" not in upstream.asked[0].headers


# --- an app that fails ------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def plain_server(answer: bytes) -> Iterator[int]:
    """A server that reads one request for each connection, sends these bytes and closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_an_app_that_does_not_listen_gives_502() -> None:
    with Front(Target("127.0.0.1", free_port(), APP_ID)) as front:
        answer = ask(front, "GET", f"{PREFIX}/")
        assert answer.status == 502
        assert answer.all("X-Front-Error") == ["upstream"]
        assert ask(front, "POST", f"{PREFIX}/", b"x" * 100_000).status == 502
        upgrade = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
        )
        request = f"GET {PREFIX}/ws HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n"
        assert raw(front.port, request.encode(), until_close=False).startswith(b"HTTP/1.1 502")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"SSH-2.0-OpenSSH\r\n"])
def test_an_app_that_does_not_speak_http_gives_502(answer: bytes) -> None:
    with plain_server(answer) as port, Front(Target("127.0.0.1", port, APP_ID)) as front:
        assert ask(front, "GET", f"{PREFIX}/").status == 502


@pytest.mark.parametrize("query", ["", "?length"])
def test_an_answer_cut_in_the_middle_is_cut_for_the_visitor_too(front: Front, query: str) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(front, "GET", f"{PREFIX}/cut{query}")
    assert ask(front, "GET", f"{PREFIX}/ok").body == b"ok"


# --- WebSocket --------------------------------------------------------------------------------------------------------


def visit(
    front: Front, path: str, visitor: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[Any]], **options: Any
) -> Any:
    async def main() -> Any:
        async with aiohttp.ClientSession() as session, asyncio.timeout(10):
            url = f"http://127.0.0.1:{front.port}{PREFIX}{path}"
            async with session.ws_connect(URL(url, encoded=True), max_msg_size=0, **options) as sock:
                return await visitor(sock)

    return asyncio.run(main())


def test_messages_pass_both_ways_in_order(front: Front, upstream: Upstream) -> None:
    async def visitor(sock: aiohttp.ClientWebSocketResponse) -> list[Any]:
        sent: list[str | bytes] = ["hello", b"\0\xff", "é日本", "", b"", "x" * 300_000, b"y" * 3_000_000, "last"]
        for message in sent:
            await (sock.send_str(message) if isinstance(message, str) else sock.send_bytes(message))
        received = [(await sock.receive()).data for _ in sent]
        return [one == two for one, two in zip(sent, received, strict=True)]

    assert visit(front, "/ws?x=%2F", visitor) == [True] * 8
    (asked,) = upstream.asked
    assert asked.path == "/ws?x=%2F"
    assert asked.headers["X-Forwarded-Prefix"] == PREFIX
    assert "permessage-deflate" not in asked.headers.get("Sec-WebSocket-Extensions", "")


@pytest.mark.parametrize(("offered", "chosen"), [(("v1", "v3"), "v1"), (("v2", "v1"), "v2"), ((), None)])
def test_the_subprotocol_is_the_apps_choice(front: Front, offered: tuple[str, ...], chosen: str | None) -> None:
    async def visitor(sock: aiohttp.ClientWebSocketResponse) -> str | None:
        return sock.protocol

    assert visit(front, "/ws", visitor, protocols=offered) == chosen


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4001])
def test_the_apps_close_code_reaches_the_visitor(front: Front, code: int) -> None:
    async def visitor(sock: aiohttp.ClientWebSocketResponse) -> tuple[Any, Any]:
        await sock.send_str(f"close {code}")
        message = await sock.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        return message.data, message.extra

    assert visit(front, "/ws", visitor) == (code, "as you like")


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4001])
def test_the_visitors_close_code_reaches_the_app(front: Front, upstream: Upstream, code: int) -> None:
    async def visitor(sock: aiohttp.ClientWebSocketResponse) -> None:
        started = time.monotonic()
        await sock.close(code=code, message=b"bye")
        assert time.monotonic() - started < 2

    visit(front, "/ws", visitor)
    deadline = time.monotonic() + 5  # an earlier socket may still be closing: its code comes first then
    while (code, "bye") not in upstream.closed_with:
        assert time.monotonic() < deadline, upstream.closed_with
        time.sleep(0.01)


def test_an_app_that_dies_breaks_the_socket_off(front: Front) -> None:
    async def visitor(sock: aiohttp.ClientWebSocketResponse) -> Any:
        await sock.send_str("die")
        await sock.receive()
        return sock.close_code

    assert visit(front, "/ws", visitor) in (1006, None)


def test_a_visitor_who_dies_is_noticed_by_the_app(front: Front, upstream: Upstream) -> None:
    async def visitor(sock: aiohttp.ClientWebSocketResponse) -> None:
        await sock.send_str("x")
        await sock.receive()
        transport = sock._response.connection
        assert transport is not None
        assert transport.transport is not None
        transport.transport.abort()

    visit(front, "/ws", visitor)
    assert upstream.event("closed").wait(3)


@pytest.mark.parametrize(("path", "status"), [("/ws-refused", 403), ("/ws-page", 502)])
def test_a_refused_socket_is_refused(front: Front, path: str, status: int) -> None:
    async def visitor(sock: aiohttp.ClientWebSocketResponse) -> None:
        raise AssertionError("the socket was opened")

    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        visit(front, path, visitor)
    assert caught.value.status == status


def test_many_visitors_at_once(front: Front) -> None:
    async def main() -> list[str]:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):

            async def one(number: int) -> str:
                async with session.get(f"{front.url}x?{number}") as answer:
                    return await answer.text()

            return list(await asyncio.gather(*(one(number) for number in range(200))))

    assert asyncio.run(main()) == ["ok"] * 200


# --- the thread -------------------------------------------------------------------------------------------------------


def test_a_front_leaves_nothing_behind(upstream: Upstream) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with Front(Target("127.0.0.1", upstream.port, APP_ID)) as front:
        port = front.port
        hanging = socket.create_connection(("127.0.0.1", port))
        hanging.sendall(f"GET {PREFIX}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert hanging.recv(100)
        started = time.monotonic()
    assert time.monotonic() - started < 3
    hanging.close()
    assert {thread.name for thread in threading.enumerate()} <= before  # what others began may end meanwhile
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_browsers_come_by_tls_and_are_sent_there_when_they_come_without(upstream: Upstream) -> None:
    believing = ssl.create_default_context()
    believing.check_hostname, believing.verify_mode = False, ssl.CERT_NONE
    target = Target("127.0.0.1", upstream.port, APP_ID)
    with Front(target, public_host="host.invalid", tls=certificate("host.invalid")) as own:
        secure = http.client.HTTPSConnection("127.0.0.1", own.secure_port, context=believing)
        secure.request("GET", f"{target.prefix}/echo", headers={"Host": "host.invalid"})
        assert secure.getresponse().read()
        secure.close()
        assert upstream.asked[-1].headers["X-Forwarded-Proto"] == "https"
        assert upstream.asked[-1].headers["Host"] == "host.invalid"
        plain = http.client.HTTPConnection("127.0.0.1", own.port)
        plain.request("GET", f"{target.prefix}/echo?a=1", headers={"Host": "host.invalid"})
        moved = plain.getresponse()
        moved.read()
        assert (moved.status, moved.headers["Location"]) == (301, f"https://host.invalid{target.prefix}/echo?a=1")
        plain.request("GET", f"{target.prefix}/echo", headers={"Host": "127.0.0.1"})  # somebody who uses --keep
        plain.getresponse().read()
        plain.close()
        assert upstream.asked[-1].headers["X-Forwarded-Proto"] == "http"

"""The prefix proxy under which an app is visible (platform-contract 4); smoke and emulator use the same one.

The edge removes `/custom_applications/<id>` and says so in X-Forwarded-Prefix. In mode `strip` (requests on the root
path) the app sees `/...`; in mode `keep` it sees `/apps/<id>/...`.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Literal

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from toolkit.upstream import LONGEST_LINE, Connection, Exchange, Upstream

HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
# Besides those the WebSocket's own, which every hop says for itself, and Expect, which the front has answered.
NOT_PASSED = HOP_BY_HOP | {
    b"expect",
    b"sec-websocket-accept",
    b"sec-websocket-extensions",
    b"sec-websocket-key",
    b"sec-websocket-protocol",
    b"sec-websocket-version",
}
OUTSIDE_HEADER = "X-Outside-Prefix"
MOST_OUTSIDE = 1000
Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Target:
    """Where the app listens, the id it is visible under, and which path it is asked for."""

    host: str
    port: int
    app_id: str
    mode: Literal["strip", "keep"] = "strip"

    @property
    def prefix(self) -> str:
        """The path below which the app is visible, without a slash at the end."""
        return f"/custom_applications/{self.app_id}"

    def upstream_path(self, raw_path: str) -> str:
        """Give the path (with query) that the app is asked for, from the one that the visitor asked for."""
        rest = raw_path.removeprefix(self.prefix)
        if not rest.startswith("/"):
            rest = "/" + rest
        return rest if self.mode == "strip" else f"/apps/{self.app_id}{rest}"


class _Passed(web.StreamResponse):
    """An answer that has been written already, as the bytes that the app sent and with no header of aiohttp's own."""

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._stays = keep_alive

    @property
    def prepared(self) -> bool:
        return True

    @property
    def keep_alive(self) -> bool:
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: it is written."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: it is written."""


async def forward(
    request: web.BaseRequest,
    target: Target,
    upstream: Upstream,
    fields: Fields,
    *,
    begun: Connection | None = None,
) -> web.StreamResponse:
    """Pass a request on to the app and its answer back, both as streams; WebSockets too. Redirects are not followed.

    `fields` are the headers that the app gets (`request_fields`). A request that has `begun` already on a kept
    connection goes on there. An app that does not answer gives 502.
    """
    path, sent = target.upstream_path(request.raw_path), list(fields)
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await _websocket(request, f"http://{target.host}:{target.port}{path}", sent, upstream.sockets)
    body = request.content.iter_any() if request.body_exists and request.can_read_body else None
    if body is not None and not any(name.lower() == b"content-length" for name, _ in sent):
        sent.append((b"Transfer-Encoding", b"chunked"))
    head = head_of(f"{request.method} {path} HTTP/1.1".encode("utf-8", "surrogateescape"), sent)
    try:
        exchange = await upstream.ask(target.host, target.port, head, body, begun)
    except OSError as error:
        return _bad_gateway(error)
    async with exchange:
        return await _pass_back(request, exchange)


async def _pass_back(request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
    """Write an app's answer to the visitor."""
    keep_alive, chunked, sent = _framing(request, exchange)
    head = head_of(b"HTTP/1.1 %d %b" % (exchange.status, exchange.reason.encode("utf-8", "surrogateescape")), sent)
    writer, content = request.writer, exchange.content
    try:
        if content.is_eof():  # small answers are there at once, and go out as one piece
            whole = content.read_nowait(-1)
            _write(request, head + (b"%x\r\n%b\r\n" % (len(whole), whole) if chunked and whole else whole))
        else:
            _write(request, head)
            async for piece in content.iter_any():
                _write(request, b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await writer.drain()
        if chunked:
            _write(request, b"0\r\n\r\n")
        await writer.drain()
    except (aiohttp.ClientError, OSError):
        # Either the visitor has gone, or the app was cut off in the middle of its answer: cutting the connection is
        # then the only way to tell the visitor that the answer is not whole.
        exchange.end()
        if request.transport is not None:
            request.transport.abort()
    return _Passed(exchange.status, keep_alive=keep_alive)


def _write(request: web.BaseRequest, data: bytes) -> None:
    """Write to the visitor. Raises ConnectionResetError when they have gone."""
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError
    request.writer.output_size += len(data)  # by which aiohttp knows that an answer has begun
    request.transport.write(data)


def _framing(request: web.BaseRequest, exchange: Exchange) -> tuple[bool, bool, Fields]:
    """Give whether the visitor's connection stays, whether the body goes out in chunks, and the headers of the answer.

    Without a length the end of the body is told by chunks, to HTTP/1.0 by the end of the connection.
    """
    status, without_body = exchange.status, request.method == "HEAD" or exchange.status in (204, 304)
    removed = HOP_BY_HOP | _named_in_connection(exchange.headers)
    if status == 204:
        removed |= {b"content-length"}
    sent = [(name, value) for name, value in exchange.headers if name.lower() not in removed]
    open_ended = not without_body and not any(name.lower() == b"content-length" for name, _ in sent)
    modern = request.version >= aiohttp.HttpVersion11
    keep_alive = request.keep_alive and (modern or not open_ended)
    if open_ended and modern:
        sent.append((b"Transfer-Encoding", b"chunked"))
    if modern != keep_alive:
        sent.append((b"Connection", b"keep-alive" if keep_alive else b"close"))
    return keep_alive, open_ended and modern, sent


def head_of(first: bytes, headers: Fields) -> bytes:
    """Write the head of a request or of an answer, with the empty line at its end."""
    return b"\r\n".join([first, *[b"%b: %b" % header for header in headers], b"", b""])


def _named_in_connection(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Give the headers that are meant for the next hop only because Connection says so."""
    said = [value for name, value in headers if name.lower() == b"connection"]
    return {word.strip().lower() for value in said for word in value.split(b",")}


def request_fields(
    request: web.BaseRequest,
    target: Target,
    *,
    added: Mapping[str, str] | None = None,
    drop: Collection[bytes] = (),
) -> Fields:
    """Give the headers that the app gets: the visitor's, as their bytes, and what the platform says of the visit.

    Headers named in `drop` (in lower case) do not reach the app, then those of `added` come.
    """
    before = request.headers
    said = {
        "X-Forwarded-For": ", ".join(filter(None, (before.get("X-Forwarded-For"), request.remote))),
        "X-Forwarded-Proto": before.get("X-Forwarded-Proto", request.scheme),
        "X-Forwarded-Host": before.get("X-Forwarded-Host", request.host),
        "X-Forwarded-Prefix": target.prefix,
        **(added or {}),
    }
    if "Host" not in before:  # HTTP/1.0 does without
        said["Host"] = f"{target.host}:{target.port}"
    ours = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in said.items()]
    removed = NOT_PASSED.union(drop, (name.lower() for name, _ in ours))
    if "Connection" in before:
        removed |= _named_in_connection(request.raw_headers)
    return [header for header in request.raw_headers if header[0].lower() not in removed] + ours


async def _websocket(
    request: web.BaseRequest, url: str, headers: Fields, client: aiohttp.ClientSession
) -> web.StreamResponse:
    protocols = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if word.strip()]
    sent = CIMultiDict((name.decode(), value.decode("latin-1")) for name, value in headers)
    try:
        upstream = await client.ws_connect(
            URL(url, encoded=True), headers=sent, protocols=protocols, autoclose=False, max_msg_size=0, compress=0
        )
    except aiohttp.WSServerHandshakeError as error:
        status = error.status if error.status >= 400 else 502
        return web.Response(status=status, text=f"The app refused the WebSocket: {error.message} ({error.status})\n")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return _bad_gateway(error)
    async with upstream:
        visitor = web.WebSocketResponse(
            protocols=[upstream.protocol] if upstream.protocol else (),
            autoclose=False,
            max_msg_size=0,
            compress=False,
        )
        await visitor.prepare(request)
        ways = [asyncio.create_task(_pump(visitor, upstream)), asyncio.create_task(_pump(upstream, visitor))]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            goodbye = done.pop().result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        if goodbye is None:
            # One side has gone without a word, so the other one hears none either.
            if request.transport is not None:
                request.transport.abort()
            return visitor
        code, reason = goodbye
        await asyncio.gather(
            visitor.close(code=code, message=reason), upstream.close(code=code, message=reason), return_exceptions=True
        )
        return visitor


Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pump(source: Socket, sink: Socket) -> tuple[int, bytes] | None:
    """Pass messages on until one side closes; give its code and reason, None when it broke off."""
    while True:
        message = await source.receive()
        try:
            if message.type is aiohttp.WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.CLOSE:
                return message.data or aiohttp.WSCloseCode.OK, (message.extra or "").encode()
            else:
                return None
        except ConnectionError:
            return None


def _bad_gateway(error: BaseException) -> web.Response:
    reason = str(error) or type(error).__name__
    return web.Response(status=502, text=f"The app does not answer: {reason}\n", headers={"X-Front-Error": "upstream"})


def certificate(host: str) -> ssl.SSLContext:
    """Make a certificate for `host` that nobody vouches for, to serve TLS with."""
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(host).configure_cert(context)
    return context


class Front:
    """A front of its own for one app, on a free port of 127.0.0.1; use it as a context manager.

    What is asked outside the prefix is answered with 404, as the platform itself would be there and not the app, and
    kept in `outside` (`METHOD path`). With `tls` there is a second port (`secure_port`) for browsers, which believe
    to be at `https://<public_host>`; as at the platform, they are sent there when they come by http. `visitor` are the
    headers that tell the app who comes (platform-contract 4).
    """

    def __init__(
        self,
        target: Target,
        *,
        public_host: str = "",
        tls: ssl.SSLContext | None = None,
        visitor: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.target = target
        self._visitor = visitor
        self.outside: list[str] = []
        self.port = 0
        self.secure_port = 0
        self._public_host = public_host
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)

    @property
    def url(self) -> str:
        """The address of the app below the front, with a slash at the end."""
        return f"http://127.0.0.1:{self.port}{self.target.prefix}/"

    def __enter__(self) -> Front:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # handed to the thread that waits in __enter__
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with Upstream() as upstream:

            async def handle(request: web.BaseRequest) -> web.StreamResponse:
                return await self._answer(request, upstream)

            server = web.Server(
                handle,
                access_log=None,
                handler_cancellation=True,
                auto_decompress=False,
                max_line_size=LONGEST_LINE,
                max_field_size=LONGEST_LINE,
            )
            runner = web.ServerRunner(server, shutdown_timeout=0.2)
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                self.port = runner.addresses[0][1]
                if self._tls is not None:
                    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls).start()
                    self.secure_port = runner.addresses[1][1]
                self._ready.set()
                await self._over.wait()
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.BaseRequest, upstream: Upstream) -> web.StreamResponse:
        raw_path = request.raw_path
        path = raw_path.split("?", 1)[0]
        if self._tls is not None and request.host == self._public_host and _plain(request):
            return web.Response(status=301, headers={"Location": f"https://{self._public_host}{raw_path}"})
        if path == self.target.prefix:
            query = raw_path[len(path) :]
            return web.Response(status=302, headers={"Location": f"{self.target.prefix}/{query}"})
        if not path.startswith(self.target.prefix + "/"):
            if len(self.outside) < MOST_OUTSIDE:
                self.outside.append(f"{request.method} {raw_path}")
            text = "This is DataRobot, not the app: the path lies outside the app's prefix.\n"
            return web.Response(status=404, text=text, headers={OUTSIDE_HEADER: "1"})
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await forward(request, self.target, upstream, request_fields(request, self.target, added=self._visitor))


def _plain(request: web.BaseRequest) -> bool:
    """Whether the visitor came by http; another proxy may say that it was not so."""
    return request.headers.get("X-Forwarded-Proto", request.scheme) == "http"

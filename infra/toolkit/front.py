"""The prefix proxy under which an app is visible (platform-contract 4); smoke and emulator use the same one.

The edge removes `/custom_applications/<id>` and says so in X-Forwarded-Prefix. In mode `strip` (requests on the root
path) the app sees `/...`; in mode `keep` it sees `/apps/<id>/...`.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

CHUNK = 64 * 1024
LONGEST_LINE = 64 * 1024
# Shorter than that of any server for apps: a request never meets a connection that its server is just closing.
KEEP_ALIVE = 4.0
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
WEBSOCKET_HEADERS = {
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
}
OUTSIDE_HEADER = "X-Outside-Prefix"
MOST_OUTSIDE = 1000


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


def session() -> aiohttp.ClientSession:
    """Make the client session that `forward` needs: bodies pass untouched, no time-out of its own, no cookies kept."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=10),
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
    )


class _Verbatim(web.StreamResponse):
    """An answer that carries the app's headers and none of aiohttp's own."""

    async def _prepare_headers(self) -> None:
        own = [name for name in ("Content-Type", "Server") if name in self.headers]
        await super()._prepare_headers()
        for name in {"Content-Type", "Server"} - set(own):
            self.headers.popall(name, None)


async def forward(
    request: web.BaseRequest,
    target: Target,
    client: aiohttp.ClientSession,
    *,
    headers: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
) -> web.StreamResponse:
    """Pass a request on to the app and its answer back, both as streams; WebSockets too. Redirects are not followed.

    Headers named in `drop` (in lower case) do not reach the app, then `headers` are added. An app that does not answer
    gives 502.
    """
    url = f"http://{target.host}:{target.port}{target.upstream_path(request.raw_path)}"
    sent = _request_headers(request, target, headers or {}, drop)
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await _websocket(request, url, sent, client)
    has_body = request.body_exists and request.can_read_body
    try:
        upstream = await client.request(
            request.method,
            _verbatim(url),
            headers=sent,
            data=request.content.iter_chunked(CHUNK) if has_body else None,
            allow_redirects=False,
        )
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return _bad_gateway(error)
    async with upstream:
        response = _Verbatim(status=upstream.status, reason=upstream.reason)
        hop_by_hop = HOP_BY_HOP | _named_in_connection(upstream.headers)
        for name, value in upstream.headers.items():
            if name.lower() not in hop_by_hop:
                response.headers.add(name, _encodable(value))
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
            await response.write_eof()
        except (aiohttp.ClientError, OSError):
            # Either the visitor has gone, or the app was cut off in the middle of its answer: cutting the connection is
            # then the only way to tell the visitor that the answer is not whole.
            if request.transport is not None:
                request.transport.abort()
        return response


def _verbatim(url: str) -> URL:
    """Keep the path byte for byte as the visitor wrote it."""
    return URL(url, encoded=True)


def _named_in_connection(headers: Mapping[str, str]) -> set[str]:
    """Give the headers that are meant for the next hop only because Connection says so."""
    return {word.strip().lower() for word in headers.get("Connection", "").split(",")}


def _encodable(value: str) -> str:
    """Make a header of bytes that are not UTF-8 one that can be sent on; they stand for Latin-1."""
    return "".join(chr(ord(one) - 0xDC00) if "\udc80" <= one <= "\udcff" else one for one in value)


def _request_headers(
    request: web.BaseRequest, target: Target, added: Mapping[str, str], drop: Collection[str]
) -> CIMultiDict[str]:
    removed = HOP_BY_HOP | WEBSOCKET_HEADERS | {"expect", *drop} | _named_in_connection(request.headers)
    sent: CIMultiDict[str] = CIMultiDict()
    for name, value in request.headers.items():
        if name.lower() not in removed:
            sent.add(name, _encodable(value))
    peer = request.remote or ""
    before = request.headers.get("X-Forwarded-For")
    sent["X-Forwarded-For"] = f"{before}, {peer}" if before else peer
    sent["X-Forwarded-Proto"] = request.headers.get("X-Forwarded-Proto", request.scheme)
    sent["X-Forwarded-Host"] = request.headers.get("X-Forwarded-Host", request.host)
    sent["X-Forwarded-Prefix"] = target.prefix
    for name, value in added.items():
        sent[name] = value
    return sent


async def _websocket(
    request: web.BaseRequest, url: str, headers: CIMultiDict[str], client: aiohttp.ClientSession
) -> web.StreamResponse:
    protocols = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if word.strip()]
    try:
        upstream = await client.ws_connect(
            _verbatim(url), headers=headers, protocols=protocols, autoclose=False, max_msg_size=0, compress=0
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
    to be at `https://<public_host>`; as at the platform, they are sent there when they come by http.
    """

    def __init__(self, target: Target, *, public_host: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.target = target
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
        async with session() as client:

            async def handle(request: web.BaseRequest) -> web.StreamResponse:
                return await self._answer(request, client)

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

    async def _answer(self, request: web.BaseRequest, client: aiohttp.ClientSession) -> web.StreamResponse:
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
        return await forward(request, self.target, client)


def _plain(request: web.BaseRequest) -> bool:
    """Whether the visitor came by http; another proxy may say that it was not so."""
    return request.headers.get("X-Forwarded-Proto", request.scheme) == "http"

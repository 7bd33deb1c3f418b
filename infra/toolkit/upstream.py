"""The way from a front to its apps: HTTP/1.1 over kept connections, heads and bodies as the bytes that they are.

A general client would read every answer into objects and write them anew, which costs several times what a small app
needs for the answer itself. Here only the answer is parsed, by aiohttp, which refuses what is no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol

import aiohttp
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

LONGEST_LINE = 64 * 1024
CONNECT_SECONDS = 10.0
# Shorter than that of any server for apps: a request never meets a connection that its server is just closing.
KEEP_ALIVE = 4.0
MOST_KEPT = 64  # for each app
SAFE_TO_REPEAT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
Place = tuple[str, int]


class Ear(Protocol):
    """Somebody who reads an answer as the bytes that it is."""

    def heard(self, so_far: bytes) -> None:
        """Take note of all that the app has said until now."""
        ...

    def lost(self) -> None:
        """Take note that the app has closed the connection."""
        ...


class Connection(ResponseHandler):
    """A connection to an app. Its next answer is parsed by aiohttp, or goes to an `Ear` first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._ear: Ear | None = None
        self._heard = b""

    def tell(self, ear: Ear, head: bytes) -> None:
        """Send a request without a body; its answer goes to `ear`, until `hush` or `go_on`."""
        self._ear, self._heard = ear, b""
        if self.transport is not None:
            self.transport.write(head)

    def hush(self) -> None:
        """Nobody hears what comes from now on: the answer is over."""
        self._ear, self._heard = None, b""

    def go_on(self) -> None:
        """Let aiohttp parse the answer, with what was heard of it already."""
        heard = self._heard
        self.hush()
        self.expect(skip_payload=False)
        if heard:
            super().data_received(heard)

    def expect(self, *, skip_payload: bool) -> None:
        """Make ready for the answer to a request; that to HEAD has no body (`skip_payload`)."""
        self.set_response_params(
            skip_payload=skip_payload,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
        )

    def data_received(self, data: bytes) -> None:
        """Hand on what the app says."""
        if self._ear is None:
            super().data_received(data)
        else:
            self._heard += data
            self._ear.heard(self._heard)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hand on that the app has closed."""
        ear, self._ear = self._ear, None
        super().connection_lost(exc)
        if ear is not None:
            ear.lost()


class Exchange:
    """An answer of which the head is there; a context manager that gives its connection back, or ends it.

    `headers` are the app's bytes, `content` is the body without its framing.
    """

    def __init__(
        self,
        upstream: Upstream,
        place: Place,
        connection: Connection,
        message: RawResponseMessage,
        content: aiohttp.StreamReader,
        sending: asyncio.Task[None] | None,
    ) -> None:
        self.status, self.reason, self.headers = message.code, message.reason, message.raw_headers
        self.content = content
        self._upstream = upstream
        self._place = place
        self._connection = connection
        self._sending = sending

    async def __aenter__(self) -> Exchange:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unsent = self._sending is not None and not self._sending.done()
        if error is not None or unsent or self._connection.should_close:
            self.end()
        else:
            self._upstream.keep(self._place, self._connection)

    def end(self) -> None:
        """End the connection, so that the app hears that nobody listens any more."""
        if self._sending is not None:
            self._sending.cancel()
        self._connection.abort()


class Upstream:
    """Kept connections to apps, and a client for their WebSockets; an asynchronous context manager."""

    def __init__(self) -> None:
        self._kept: dict[Place, deque[tuple[float, Connection]]] = {}
        self._sockets: aiohttp.ClientSession | None = None
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for kept in self._kept.values():
            for _, connection in kept:
                connection.abort()
        self._kept.clear()
        if self._sockets is not None:
            await self._sockets.close()

    async def ask(
        self,
        host: str,
        port: int,
        head: bytes,
        body: AsyncIterator[bytes] | None = None,
        begun: Connection | None = None,
    ) -> Exchange:
        """Send a request and wait for the head of its answer.

        `head` is the whole head with its empty line, and says how `body` is framed: with a length, or in chunks. It is
        on its way already where a kept connection has `begun` with it and goes on. Raises OSError when the app does not
        answer, or not with HTTP.
        """
        place, method = (host, port), head.partition(b" ")[0]
        connection, is_new = (begun, False) if begun is not None else await self._connection(place)
        try:
            return await self._exchange(place, connection, head, body, written=begun is not None)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as died:
            # A kept connection may end in the moment in which it is used again.
            if is_new or body is not None or method not in SAFE_TO_REPEAT:
                raise ConnectionError(str(died)) from died
        connection, _ = await self._connection(place, fresh=True)
        try:
            return await self._exchange(place, connection, head, body)
        except aiohttp.ServerDisconnectedError as died:
            raise ConnectionError(str(died)) from died

    async def _exchange(
        self,
        place: Place,
        connection: Connection,
        head: bytes,
        body: AsyncIterator[bytes] | None,
        *,
        written: bool = False,
    ) -> Exchange:
        sending = None
        try:
            if not written:
                connection.expect(skip_payload=head.startswith(b"HEAD "))
                if connection.transport is None:
                    raise aiohttp.ServerDisconnectedError
                connection.transport.write(head)
            if body is not None:
                chunked = b"\r\nTransfer-Encoding: chunked\r\n" in head
                sending = asyncio.create_task(_send(connection, body, chunked=chunked))
            message, content = await _final(connection)
            return Exchange(self, place, connection, message, content, sending)
        except BaseException as problem:
            if sending is not None:
                sending.cancel()
            connection.abort()
            if isinstance(problem, HttpProcessingError):
                raise ConnectionError(f"this is no HTTP: {problem.message}") from problem
            raise

    @property
    def sockets(self) -> aiohttp.ClientSession:
        """The client for WebSockets, made when the first one is wanted."""
        if self._sockets is None:
            self._sockets = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
                connector=aiohttp.TCPConnector(limit=0),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                max_line_size=LONGEST_LINE,
                max_field_size=LONGEST_LINE,
            )
        return self._sockets

    def at_once(self, place: Place) -> Connection | None:
        """Give a kept connection that can be used; whoever takes it gives it back with `keep`, or ends it."""
        kept = self._kept.get(place)
        while kept:
            until, connection = kept.pop()  # the one that was used last
            if until > self._loop.time() and connection.is_connected() and not connection.should_close:
                return connection
            connection.close()
        return None

    async def _connection(self, place: Place, *, fresh: bool = False) -> tuple[Connection, bool]:
        """Give a connection, and whether it is a new one. Raises OSError."""
        if not fresh and (kept := self.at_once(place)) is not None:
            return kept, False
        async with asyncio.timeout(CONNECT_SECONDS):
            _, made = await self._loop.create_connection(lambda: Connection(self._loop), *place)
        return made, True

    def keep(self, place: Place, connection: Connection) -> None:
        """Take a connection back whose exchange is over."""
        if place not in self._kept:
            # Apps come and go on ports of their own: what is kept for those that are gone goes with them.
            for old in [old for old, kept in self._kept.items() if not kept or kept[-1][0] < self._loop.time()]:
                for _, gone in self._kept.pop(old):
                    gone.close()
        kept = self._kept.setdefault(place, deque())
        kept.append((self._loop.time() + KEEP_ALIVE, connection))
        while len(kept) > MOST_KEPT or kept[0][0] < self._loop.time():
            kept.popleft()[1].close()


async def _final(connection: Connection) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    """Give the answer's head and body; what an app says on the way to it (100, 103) is for its next hop."""
    while True:
        message, content = await connection.read()
        if message.code == 101:
            raise ConnectionError("it changes the protocol without having been asked")
        if message.code >= 200:
            return message, content


async def _send(connection: Connection, body: AsyncIterator[bytes], *, chunked: bool) -> None:
    """Send a body as it comes; an app may answer, or go, before it is over."""
    try:
        async for piece in body:
            if connection.transport is None:
                return
            connection.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await connection._drain_helper()
        if chunked and connection.transport is not None:
            connection.transport.write(b"0\r\n\r\n")
    except (OSError, aiohttp.ClientError, web.RequestPayloadError):
        connection.abort()  # the visitor has gone in the middle of it, and the app hears so

"""How the local platform listens: what it takes of a request, and clear answers to what is no request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from toolkit.emulator.answers import error
from toolkit.emulator.express import Express, ShortWay, short_way

LONGEST_HEADER = 64 * 2**10
BACKLOG = 1024
# As at the front: bodies pass as they are, a visitor who leaves ends his request, long headers are allowed.
OPTIONS: dict[str, Any] = {
    "auto_decompress": False,
    "handler_cancellation": True,
    "max_line_size": LONGEST_HEADER,
    "max_field_size": LONGEST_HEADER,
    "access_log": None,
}


class _Connection(web.RequestHandler):
    """Answers what cannot be read as HTTP with the platform's errors, instead of a text and a traceback."""

    __slots__ = ("short_way",)

    def __init__(self, express: Express | None, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.short_way = ShortWay(express, self) if express is not None else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered, and nothing waits to be."""
        return not self._messages and self._current_request is None and not self._paused

    def data_received(self, data: bytes) -> None:
        """Send a request on its way, or read it here."""
        way = self.short_way if data else None  # without data aiohttp only goes on with what it has
        if way is None or self._force_close or self._close or not way.takes(data):
            super().data_received(data)

    def take_long_way(self, data: bytes) -> None:
        """Read bytes of the visitor as HTTP, and answer them."""
        super().data_received(data)

    def write(self, data: bytes) -> None:
        """Write to the visitor, unless they have gone."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self.transport is not None:
            self.transport.write(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what is under way."""
        if self.short_way is not None:
            self.short_way.end()
        super().connection_lost(exc)

    def close(self) -> None:
        """Take no more requests; what is on its way is answered on the long way, which knows how to end."""
        if self.short_way is not None:
            self.short_way.go_long()
        super().close()

    def _process_keepalive(self) -> None:
        if self.short_way is not None and self.short_way.is_busy:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if isinstance(exc, LineTooLong):
            status, message = 431, f"The address or a header is longer than {LONGEST_HEADER // 2**10} KB."
        response = error(status, f"This is no HTTP request: {message or exc}" if status == 400 else str(message))
        response.force_close()
        return response


Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Shortcut = Callable[[web.BaseRequest], Awaitable[web.StreamResponse] | None]


class Listener:
    """Serves an application on one or several addresses.

    A request that `shortcut` answers does not go through the application: its routing and middlewares cost about as
    much as it takes to pass a small request on to the app behind the edge. With `express` some do not even become one.
    """

    def __init__(
        self,
        app: web.Application,
        shutdown_timeout: float = 2.0,
        shortcut: Shortcut = lambda _request: None,
        express: Express | None = None,
    ) -> None:
        self._express = express
        self._shortcut = shortcut
        self._runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout, **OPTIONS)
        self._servers: list[asyncio.Server] = []

    async def setup(self) -> None:
        """Make everything ready, but listen nowhere yet."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        server.request_handler = self._handler(server.request_handler)

    def _handler(self, otherwise: Answering) -> Answering:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if (way := short_way(request)) is not None:
                way.settle(request)
            answering = self._shortcut(request)
            return await (otherwise(request) if answering is None else answering)

        return handle

    async def listen(self, host: str, port: int) -> int:
        """Listen on an address; give the port. Raises OSError."""
        loop, server = asyncio.get_running_loop(), self._runner.server
        assert server is not None
        options = {key: value for key, value in OPTIONS.items() if key != "handler_cancellation"}
        made = await loop.create_server(
            lambda: _Connection(self._express, server, loop=loop, **options),
            host,
            port,
            backlog=BACKLOG,
            reuse_address=True,
        )
        self._servers.append(made)
        return int(made.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take no more connections, and end those that there are."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

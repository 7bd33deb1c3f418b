"""The way from the front to an app: connections are kept and used again, and what goes wrong is told or repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from toolkit.upstream import MOST_KEPT, Upstream

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nX-Odd: caf\xe9\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[["App", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class App:
    """A server whose every connection is handled by `serve`; counts connections and heads."""

    def __init__(self, serve: Serve) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self.port = 0
        self.ended = asyncio.Event()
        self._serve = serve

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            writer.close()

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        return self.heads[-1]


@asynccontextmanager
async def app(serve: Serve) -> AsyncIterator[App]:
    made = App(serve)
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


def run(serve: Serve, ask: Callable[[Upstream, App], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), app(serve) as made, Upstream() as upstream:
            await ask(upstream, made)

    asyncio.run(main())


async def always(made: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await made.head(reader)
        writer.write(OK)


async def once(made: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, and close without a word when the next request comes."""
    await made.head(reader)
    writer.write(OK)
    await made.head(reader)


async def text(upstream: Upstream, made: App, head: bytes = HEAD, body: AsyncIterator[bytes] | None = None) -> bytes:
    async with await upstream.ask("127.0.0.1", made.port, head, body) as exchange:
        return await exchange.content.read()


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for one in given:
        yield one


def test_one_connection_serves_requests_in_turn_and_headers_stay_bytes() -> None:
    async def ask(upstream: Upstream, made: App) -> None:
        for _ in range(5):
            assert await text(upstream, made) == b"ok"
        async with await upstream.ask("127.0.0.1", made.port, HEAD) as exchange:
            assert (b"X-Odd", b"caf\xe9") in exchange.headers
            await exchange.content.read()
        assert made.connections == 1
        assert made.heads == [HEAD] * 6

    run(always, ask)


def test_requests_at_once_have_connections_of_their_own_and_not_all_are_kept() -> None:
    async def ask(upstream: Upstream, made: App) -> None:
        wanted = MOST_KEPT + 20
        assert await asyncio.gather(*(text(upstream, made) for _ in range(wanted))) == [b"ok"] * wanted
        assert made.connections <= wanted
        await asyncio.gather(*(text(upstream, made) for _ in range(MOST_KEPT)))
        assert made.connections <= wanted + MOST_KEPT

    run(always, ask)


def test_a_read_that_meets_a_dying_connection_is_repeated_on_a_new_one() -> None:
    async def ask(upstream: Upstream, made: App) -> None:
        for _ in range(4):
            assert await text(upstream, made) == b"ok"
        assert made.connections == 4

    run(once, ask)


def test_a_write_that_meets_a_dying_connection_is_not_repeated() -> None:
    async def ask(upstream: Upstream, made: App) -> None:
        assert await text(upstream, made) == b"ok"
        with pytest.raises(OSError):
            await text(upstream, made, POST, pieces(b"x"))
        with pytest.raises(OSError):
            await text(upstream, made, b"DELETE" + HEAD[3:])
            await text(upstream, made, b"DELETE" + HEAD[3:])

    run(once, ask)


def test_what_comes_before_the_answer_is_left_out() -> None:
    async def early(made: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.head(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK)
        await made.head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        await reader.read()

    async def ask(upstream: Upstream, made: App) -> None:
        assert await text(upstream, made) == b"ok"
        with pytest.raises(ConnectionError, match="without having been asked"):
            await text(upstream, made)

    run(early, ask)


def test_an_app_may_answer_before_the_body_is_over() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield b"x" * 1000
            sent += 1
            await asyncio.sleep(0.001)

    async def refuse(made: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        while await reader.read(65536):
            pass
        made.ended.set()

    async def ask(upstream: Upstream, made: App) -> None:
        async with await upstream.ask("127.0.0.1", made.port, POST, endless()) as exchange:
            assert (exchange.status, await exchange.content.read()) == (413, b"no")
        await asyncio.wait_for(made.ended.wait(), 5)
        after = sent
        await asyncio.sleep(0.05)
        assert sent <= after + 1  # nobody goes on sending

    run(refuse, ask)


def test_a_body_in_pieces_is_framed() -> None:
    async def echo(made: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.head(reader)
        body = await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read()

    async def ask(upstream: Upstream, made: App) -> None:
        assert await text(upstream, made, POST, pieces(b"one", b"x" * 17)) == (
            b"3\r\none\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
        )

    run(echo, ask)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_told(answer: bytes) -> None:
    async def broken(made: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.head(reader)
        writer.write(answer)

    async def ask(upstream: Upstream, made: App) -> None:
        with pytest.raises(OSError):
            await text(upstream, made)

    run(broken, ask)


def test_whoever_leaves_in_the_middle_ends_the_connection() -> None:
    async def slow(made: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await reader.read()
        made.ended.set()

    async def ask(upstream: Upstream, made: App) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await text(upstream, made)
        await asyncio.wait_for(made.ended.wait(), 5)
        made.ended.clear()
        async with await upstream.ask("127.0.0.1", made.port, HEAD) as exchange:
            assert await exchange.content.readany() == b"half"
        await asyncio.wait_for(made.ended.wait(), 5)  # what was not read to its end is not used again

    run(slow, ask)

"""The short way through the edge: a read that is like one before goes to the app and back as the bytes that it is.

Most of what a small request costs is to read its headers, to decide who comes, and to write them anew. Who keeps a
connection sends the same headers again and again. So a read whose headers are, byte for byte, those of one that was let
in before on the same connection goes the short way: the app gets the same headers as then. Nothing is decided here, and
any write to the store makes everything forgotten. What is not as simple takes the long way through `Edge.visit`, even
in the middle of it: an answer in pieces or without a length, an app that closes, a visitor who sends more meanwhile.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from aiohttp import web

from toolkit.emulator.presence import Visits
from toolkit.emulator.recording import Requests
from toolkit.emulator.serving import Runner
from toolkit.emulator.store import Store
from toolkit.front import HOP_BY_HOP, Fields, Target, head_of
from toolkit.upstream import Connection, Upstream

MOST_KNOWN = 16  # kinds of requests for each connection: a browser asks differently for pages, scripts and data
LONGEST_HEAD = 8 * 2**10
MOST_HEADS = 256  # of answers that are remembered: within a second those for one address are mostly the same
LINE = re.compile(rb"GET (/custom_applications/([0-9a-f]{24})/[!\"$-~]*) HTTP/1\.1\r\n")
FIELD = rb"[!#-'*+.^-z|~0-9A-Z-]+: [!-~\x80-\xff][^\r\n\0]*\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 ([2-5]\d\d) [^\r\n\0]*\r\n(?:%b)+\r\n" % FIELD)


class Visitor(Protocol):
    """The connection of a visitor."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is being answered on the long way, and nothing waits to be."""
        ...

    def take_long_way(self, data: bytes) -> None:
        """Read bytes of the visitor as HTTP, and answer them."""
        ...

    def write(self, data: bytes) -> None:
        """Write to the visitor, unless they have gone."""
        ...


@dataclass(frozen=True)
class Known:
    """What was found of a request, and holds for the next one with the same headers until the store changes."""

    fields: bytes  # the headers that the app gets, with the empty line
    agent: str
    page: bool
    replica: int | None  # which one of them, counted on over their number; None for the next one in turn
    writes: int


@dataclass(frozen=True)
class Begun:
    """What the short way has done of a request that goes on the long way: where to, and where its answer comes."""

    target: Target
    connection: Connection | None = None  # None where it was not sent yet, or where that was in vain
    entered: bool = False  # whether the visit is counted


class Express:
    """What the short ways of all connections share. `is_open` tells whether there are any at the moment."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        upstream: Upstream,
        visits: Visits,
        requests: Requests,
        turn: Callable[[], int],
        is_open: Callable[[], bool] = lambda: True,
    ) -> None:
        self.store = store
        self.visits = visits
        self.requests = requests
        self.upstream = upstream
        self.is_open = is_open
        self._runner = runner
        self._turn = turn

    def target(self, application: str, known: Known) -> Target | None:
        """Give the replica that answers; None when there is none or when something has changed since."""
        if known.writes != self.store.writes or not self.is_open():
            return None
        targets = self._runner.targets(application)
        if not targets:
            return None
        return targets[(self._turn() if known.replica is None else known.replica) % len(targets)]


class ShortWay:
    """The short way of one visitor's connection."""

    def __init__(self, express: Express, visitor: Visitor) -> None:
        self._express = express
        self._visitor = visitor
        self._known: dict[bytes, Known] = {}
        self._trip: _Trip | None = None
        self._begun: Begun | None = None  # of the request that is read next on the long way
        self._going_on: Begun | None = None  # of the one that is answered there
        self._at_start = True  # of a request: all before it has been read to its end
        self._rest = -1  # what came behind the head of the request that was begun last; -1 when that is not known
        self._block = b""

    @property
    def is_busy(self) -> bool:
        """Whether a request is on its way."""
        return self._trip is not None

    def takes(self, data: bytes) -> bool:
        """Whether what a visitor has sent goes the short way; it is on its way then."""
        if self._trip is not None:
            self._trip.take_long_way()
            self._rest = -1
            return False
        at_start, self._at_start, self._rest = self._at_start and self._visitor.is_idle, False, -1
        end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD) + 4 if at_start else 0
        if end < 4:
            return False
        line = LINE.match(data)
        self._rest = len(data) - end
        self._block = data[line.start(2) : line.end(2)] + data[line.end() :] if line and not self._rest else b""
        return line is not None and self._sets_out(data, line)

    def _sets_out(self, data: bytes, line: re.Match[bytes]) -> bool:
        known, application = self._known.get(self._block), line[2].decode()
        if known is None or (target := self._express.target(application, known)) is None:
            return False
        connection = self._express.upstream.at_once((target.host, target.port))
        if connection is None:
            self._begun = Begun(target)
            return False
        self._trip = _Trip(self, self._express, data, line[1].decode(), known, target, connection)
        return True

    def settle(self, request: web.BaseRequest) -> None:
        """Note that a request has been read on the long way, and whether the next one begins behind it."""
        self._drop(self._going_on)  # nobody has gone on with it: the request before was refused by then
        self._going_on, self._begun = self._begun, None
        size = request.content_length or 0
        plain = request.keep_alive and not {"Transfer-Encoding", "Upgrade", "Expect"} & request.headers.keys()
        self._at_start = plain and self._rest == size

    def learn(self, request: web.BaseRequest, fields: Fields, *, page: bool, replica: int | None, writes: int) -> None:
        """Know requests with these headers from now on: this one was let in when the store had so many `writes`."""
        if self._at_start and self._block and "Host" in request.headers:
            while len(self._known) >= MOST_KNOWN:
                del self._known[next(iter(self._known))]
            agent = request.headers.get("User-Agent", "")
            self._known[self._block] = Known(head_of(b"", fields)[2:], agent, page, replica, writes)

    def take_begun(self) -> Begun | None:
        """Give what was done already of the request that is on the long way now."""
        begun, self._going_on = self._going_on, None
        return begun

    def end(self) -> None:
        """The visitor has gone."""
        if self._trip is not None:
            self._trip.end()
        for begun in (self._begun, self._going_on):
            self._drop(begun)
        self._begun = self._going_on = None

    def go_long(self) -> None:
        """Let a request that is on its way go on the long way."""
        if self._trip is not None:
            self._trip.take_long_way()

    def write(self, answer: bytes) -> None:
        """Hand an answer to the visitor."""
        self._visitor.write(answer)

    def arrive(self) -> None:
        """Be ready for the next request."""
        self._trip, self._at_start = None, True

    def turn_back(self, data: bytes, begun: Begun) -> None:
        """Read a request on the long way after all; there it goes on with what was `begun`."""
        self._trip, self._begun = None, begun
        self._visitor.take_long_way(data)

    def _drop(self, begun: Begun | None) -> None:
        """End what was begun in vain."""
        if begun is None:
            return
        if begun.connection is not None:
            begun.connection.abort()
        if begun.entered:
            self._express.visits.leave(begun.target.app_id)


def short_way(request: web.BaseRequest) -> ShortWay | None:
    """Give the short way of the connection on which a request came; None where there is none."""
    way = getattr(request.protocol, "short_way", None)
    return way if isinstance(way, ShortWay) else None


class _Trip:
    """One request on the short way."""

    __slots__ = ("_agent", "_connection", "_data", "_express", "_path", "_started", "_target", "_way")

    def __init__(
        self,
        way: ShortWay,
        express: Express,
        data: bytes,
        path: str,
        known: Known,
        target: Target,
        connection: Connection,
    ) -> None:
        self._way, self._express, self._data, self._path, self._agent = way, express, data, path, known.agent
        self._target, self._connection = target, connection
        self._started = time.monotonic()
        express.visits.enter(target.app_id, page=known.page)
        connection.tell(self, f"GET {target.upstream_path(path)} HTTP/1.1\r\n".encode() + known.fields)

    def heard(self, so_far: bytes) -> None:
        """Pass the answer on when it is there as a whole; otherwise it takes the long way."""
        found = whole(so_far)
        if found is None:
            self.take_long_way()
            return
        status, answer = found
        self._connection.hush()
        self._express.upstream.keep((self._target.host, self._target.port), self._connection)
        self._over(status)
        self._way.write(answer)

    def lost(self) -> None:
        """The app has closed before it has answered: the long way tries again."""
        self._way.turn_back(self._data, Begun(self._target, entered=True))

    def take_long_way(self) -> None:
        """Go on through `Edge.visit`, on the connection on which the answer comes."""
        self._connection.go_on()
        self._way.turn_back(self._data, Begun(self._target, self._connection, entered=True))

    def end(self) -> None:
        """Nobody waits for the answer any more, and the app hears so."""
        self._connection.hush()
        self._connection.abort()
        self._over(499)

    def _over(self, status: int) -> None:
        self._express.visits.leave(self._target.app_id)
        self._way.arrive()
        self._express.requests.note_raw("GET", self._path, self._agent, status, self._started)


def whole(so_far: bytes) -> tuple[int, bytes] | None:
    """Give status and bytes of an answer for the next hop; None where that needs more than a look.

    It has to be there to its last byte, with a length, and to leave its connection open.
    """
    end = so_far.find(b"\r\n\r\n", 0, LONGEST_HEAD) + 4
    head = read_head(so_far[:end]) if end > 3 else None
    if head is None or len(so_far) != end + head.size:
        return None
    return head.status, so_far if head.passed is None else head.passed + so_far[end:]


@dataclass(frozen=True)
class Head:
    """What the head of an answer says. `passed` is what the next hop gets, None when that is the whole of it."""

    status: int
    size: int
    passed: bytes | None


@lru_cache(maxsize=MOST_HEADS)
def read_head(head: bytes) -> Head | None:
    """Read the head of an answer; None where it needs more than a look."""
    start = ANSWER.fullmatch(head)
    if start is None:
        return None
    status, size = int(start[1]), -1
    lines = head[:-4].split(b"\r\n")
    kept = lines[:1]
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if name in HOP_BY_HOP:
            if name != b"keep-alive" and (name, value.lower()) != (b"connection", b"keep-alive"):
                return None
            continue
        kept.append(line)
        if name == b"content-length":
            if size >= 0 or not value.isdigit():
                return None
            size = int(value)
    if (size < 0 and status != 304) or status == 204:
        return None
    # 304 never has a body, and may tell the length of what it stands for.
    passed = None if len(kept) == len(lines) else b"\r\n".join([*kept, b"", b""])
    return Head(status, 0 if status == 304 else size, passed)

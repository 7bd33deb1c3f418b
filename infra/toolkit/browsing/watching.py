"""Write down what happens in the browser while the page is used, and tell when nothing is under way any more."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from toolkit.browsing.model import Asked, Blocked, BrowserResult, Cookie, Said, Sheet, Socket, Visit, Where

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, CDPSession, Page, Request, Response

QUIET = 0.06  # seconds without any event of the network
_LOADING = frozenset({"document", "script", "stylesheet", "font", "image"})
_MOST_BODIES, _LARGEST_BODY = 200, 2**20
_LONGEST_CALL = 0.6  # seconds that a call of the app is waited for: a platform that is not there never answers
_SLOWEST = 6.0  # times as long, at most, on a machine that is busy with other things
_RUNNABLE = "/proc/loadavg"
_AS_HTTP = {"ws": "http", "wss": "https"}


class Watch:
    """All that is seen of one look at the page at `url`, whose app is below `prefix`; `step` is what is being done."""

    def __init__(self, url: str, prefix: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.prefix = prefix
        self.step = "on load"
        self.steps: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.visits: list[Visit] = []
        self.strayed: list[tuple[str, str]] = []
        self.untouched: dict[str, None] = {}
        self.cookies: tuple[Cookie, ...] = ()
        self.problem = ""
        self.hangs = ""
        self.version = ""
        self.complete = True
        self.start_body = b""
        self.screenshot: bytes | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._links: dict[str, None] = {}
        self._sheets: dict[str, Sheet] = {}
        self._streams: dict[str, dict[str, Any]] = {}
        self._heard: set[str] = set()  # of the streams: those of which an event came
        self._by_request: dict[Request, dict[str, Any]] = {}
        self._pending: dict[Request, float] = {}
        self._slow: set[str] = set()
        self._last_event = time.monotonic()
        self._said: list[Said] = []
        self._rejections: set[str] = set()
        self._heeded: set[str] = set()
        self._blocked: list[Blocked] = []
        self._sockets: dict[str, Socket] = {}
        self._dialogs: list[str] = []
        self._bodies: dict[str, bytes] = {}

    def result(self, seconds: float) -> BrowserResult:
        """Give what was seen in these seconds."""
        said = tuple(Said(one.kind, one.text, one.place, one.step, one.text in self._rejections) for one in self._said)
        return BrowserResult(
            self.url,
            self.prefix,
            self.version,
            self.problem,
            self.hangs,
            tuple(self.visits),
            tuple(Asked(**{**one, **self._streamed(one)}, heeded=one["url"] in self._heeded) for one in self.asked),
            said,
            tuple(self._blocked),
            tuple(self._sheets.values()),
            tuple(self._sockets.values()),
            self.cookies,
            tuple(self._links),
            tuple(self.strayed),
            tuple(self.steps),
            tuple(self.untouched),
            tuple(self._dialogs),
            self.complete,
            self.screenshot,
            {url.removeprefix(self._origin + self.prefix): body for url, body in self._bodies.items()},
            seconds,
        )

    def begin(self, step: str) -> None:
        """Take note of what is done next: all that happens from now on belongs to it."""
        self.step = step
        self.steps.append(step)

    def shown(self, url: str) -> str:
        """Give a URL as a path of the app, where it is one."""
        path = urlsplit(url).path
        return f"./{path[len(self.prefix) :]}" if path.startswith(self.prefix) else path

    def held_back(self, request: Request) -> None:
        """Take note that a request was not let through."""
        if (asked := self._by_request.get(request)) is not None:
            asked["held_back"] = True

    def attach(self, context: BrowserContext, page: Page) -> None:
        """Write down everything that happens in `page` from now on; what it opens beside itself is closed."""
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        context.on("requestfinished", self._on_finished)
        context.on("requestfailed", self._on_failed)
        context.on("page", lambda other: self.later(self._close(other, page)))
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on("dialog", self._on_dialog)
        page.on("crash", lambda _page: setattr(self, "problem", "the page crashed"))

    async def _close(self, other: Page, page: Page) -> None:
        """Close what `page` has opened beside itself; nobody is told any more what becomes of its requests."""
        await other.close()
        for request in [one for one in self._pending if one.is_navigation_request() and _shown_in(one) is not page]:
            self._pending.pop(request, None)

    def later(self, doing: Awaitable[Any]) -> None:
        """Do something beside what is going on; whether it works out is nobody's concern."""

        async def run() -> None:
            with suppress(Exception):
                await doing

        task = asyncio.ensure_future(run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def where(self, url: str) -> Where:
        """Whether a URL belongs to the app, to the platform around it, or to another host."""
        parts = urlsplit(url)
        scheme = _AS_HTTP.get(parts.scheme, parts.scheme)
        if f"{scheme}://{parts.netloc}" != self._origin:
            return "elsewhere"
        return "inside" if parts.path.startswith(self.prefix) or parts.path == self.prefix[:-1] else "outside"

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(("http:", "https:")):
            return
        self._last_event = time.monotonic()
        frame = False
        with suppress(Exception):
            frame = request.is_navigation_request() and request.frame.parent_frame is not None
        asked = {
            "url": request.url,
            "method": request.method,
            "kind": request.resource_type,
            "where": self.where(request.url),
            "step": self.step,
            "is_frame": frame,
            "status": 0,
            "content_type": "",
            "failure": "",
        }
        self.asked.append(asked)
        self._by_request[request] = asked
        if request.resource_type != "eventsource":
            self._pending[request] = self._last_event

    def _on_response(self, response: Response) -> None:
        self._last_event = time.monotonic()
        asked = self._by_request.get(response.request)
        if asked is None:
            return
        asked["status"] = response.status
        asked["content_type"] = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if asked["kind"] in ("fetch", "xhr") and asked["where"] == "inside" and len(self._bodies) < _MOST_BODIES:
            self.later(self._keep(response, asked))

    async def _keep(self, response: Response, asked: dict[str, Any]) -> None:
        body = await response.body()
        if asked["content_type"] == "text/html":
            asked["like_page"] = bool(body) and body == self.start_body and response.url.split("?")[0] != self.url
        self._bodies[response.url] = body[:_LARGEST_BODY]

    def _on_finished(self, request: Request) -> None:
        self._last_event = time.monotonic()
        self._pending.pop(request, None)

    def _on_failed(self, request: Request) -> None:
        self._on_finished(request)
        if (asked := self._by_request.get(request)) is not None:
            asked["failure"] = request.failure or "failed"

    def _on_console(self, message: Any) -> None:
        if message.type != "error":
            return
        where = message.location or {}
        place = f"{where.get('url', '')}:{where.get('lineNumber', 0) + 1}" if where.get("url") else ""
        self._said.append(Said("console", message.text[:500], place, self.step))

    def _on_error(self, error: Any) -> None:
        place = re.search(r"(https?://[^\s()]+:\d+:\d+)", error.stack or "")
        name = error.name or "Error"
        self._said.append(Said(name, (error.message or name)[:500], place[1] if place else "", self.step))

    def _on_dialog(self, dialog: Any) -> None:
        self._dialogs.append(f"{dialog.type}: {dialog.message[:100]}")
        self.later(dialog.accept() if dialog.type == "beforeunload" else dialog.dismiss())

    def told(self, _source: Any, event: dict[str, Any]) -> None:
        """What the script in the page tells: a rejected promise, a failure it deals with, what a policy kept out."""
        if event.get("what") == "rejection":
            self._rejections.add(str(event.get("text", ""))[:500])
        elif event.get("what") == "heeded" and len(self._heeded) < 1000:
            self._heeded.add(str(event.get("url", "")))
        elif event.get("what") == "policy" and len(self._blocked) < 100:
            place = f"{event.get('source', '')}:{event.get('line', 0)}" if event.get("source") else ""
            self._blocked.append(Blocked(str(event.get("directive")), str(event.get("url")), place, self.step))

    def _streamed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What is known of an event stream; all, when Chromium shows no answer before it has read some of it."""
        if asked["kind"] != "eventsource":
            return {}
        of_it = {key: known for key, known in self._streams.items() if known.get("url") == asked["url"]}
        if not of_it:
            return {}
        held = all(known.get("compressed") and key not in self._heard for key, known in of_it.items())
        known = {} if asked.get("status") else next(iter(of_it.values()))
        return {**known, "compressed": held}

    async def attach_sockets(self, session: CDPSession) -> None:
        """Write down WebSockets and event streams, of which Playwright itself does not tell enough."""

        def sent(event: dict[str, Any]) -> None:
            if event.get("type") == "EventSource":
                self._streams[event["requestId"]] = {"url": str(event["request"]["url"])}

        def headed(event: dict[str, Any]) -> None:
            if (stream := self._streams.get(event["requestId"])) is not None:
                headers = {name.lower(): value for name, value in event["headers"].items()}
                mime = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
                encoded = headers.get("content-encoding", "identity") != "identity"
                stream.update(status=int(event["statusCode"]), content_type=mime, compressed=encoded)

        def told(event: dict[str, Any]) -> None:
            self._heard.add(event["requestId"])

        def created(event: dict[str, Any]) -> None:
            url = str(event["url"])
            self._sockets[event["requestId"]] = Socket(url, self.where(url), self.step)

        def answered(event: dict[str, Any]) -> None:
            change(event["requestId"], status=int(event["response"]["status"]))

        def failed(event: dict[str, Any]) -> None:
            change(event["requestId"], error=str(event.get("errorMessage", "failed")))

        def change(key: str, *, status: int = 0, error: str = "") -> None:
            if (socket := self._sockets.get(key)) is not None:
                self._sockets[key] = Socket(
                    socket.url, socket.where, socket.step, status or socket.status, error or socket.error
                )

        session.on("Network.requestWillBeSent", sent)
        session.on("Network.responseReceivedExtraInfo", headed)
        session.on("Network.eventSourceMessageReceived", told)
        session.on("Network.webSocketCreated", created)
        session.on("Network.webSocketHandshakeResponseReceived", answered)
        session.on("Network.webSocketFrameError", failed)
        await session.send("Network.enable")

    def see(self, url: str, how: str, status: int, shown: Mapping[str, Any]) -> None:
        """Note what the page shows, its stylesheets, and where its links lead."""
        if self.where(url) != "inside":
            self.strayed.append((url, how))
            return
        self.visits.append(
            Visit(
                url,
                how,
                status,
                bool(shown["shown"]),
                str(shown["root"]),
                bool(shown["complains"]),
                str(shown["lost"]),
            )
        )
        types = {one["url"]: one["content_type"] for one in self.asked if one["kind"] == "stylesheet"}
        for sheet in shown["unstyled"]:
            self._sheets.setdefault(sheet, Sheet(sheet, types.get(sheet, ""), how))
        for link in shown["links"]:
            if self.where(link) == "outside" and len(self._links) < 100:
                self._links.setdefault(link)

    async def settle(self, limit: float, quiet: float = QUIET) -> None:
        """Wait until nothing is under way and nothing has happened for `quiet` seconds, at most `limit` seconds.

        Both are longer on a busy machine; being quiet takes no longer on one that was busy a minute ago.
        """
        most, crowds = slowness(), []
        self._last_event = time.monotonic()
        until = self._last_event + limit * most
        while (now := time.monotonic()) < until:
            crowds.append(crowd())
            times = min(max(fmean(crowds), 1.0), most)
            if not self._waits(now) and now - self._last_event > quiet * times:
                return
            await asyncio.sleep(0.01)

    def _waits(self, now: float) -> bool:
        """Whether something is under way that is worth waiting for; what has never answered is not, a second time."""
        for request, since in self._pending.items():
            if request.resource_type in _LOADING:
                return True
            slow = page_of(request.url) in self._slow
            if now - since < (QUIET if slow else _LONGEST_CALL):
                return True
            self._slow.add(page_of(request.url))
        return False


def _shown_in(request: Request) -> Page | None:
    """The page that a request is for; None when it is not known yet."""
    try:
        return request.frame.page
    except Exception:  # Playwright's own, before the first answer to a new page
        return None


def slowness() -> float:
    """How many times as long as usual things take now: more processes want to run than this machine has cores for."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), _SLOWEST)


def crowd() -> float:
    """How many processes want to run at this moment for each core; where that is not told, in the last minute."""
    try:
        running = Path(_RUNNABLE).read_text(encoding="ascii").split()[3].partition("/")[0]
        return int(running) / (os.cpu_count() or 1)
    except (OSError, ValueError, IndexError):
        return slowness()


def page_of(url: str) -> str:
    """The address without what a page keeps its state in: two tabs of it are one page."""
    return urlsplit(url).path

"""Open an app in Chromium through the front and use it as a person would: what the browser saw, not what it means.

The browser reaches the front and nothing else: whatever names another host fails at once and is listed. After the page
is there, requests that would change something (POST and the like) are held back, since a real token may be in play.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import time
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, CDPSession, Page, Request, Response, Route

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
VARIABLES = ("CHROMIUM", "CHROME_PATH")
# Without these the browser asks hosts of its own while it starts.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
VIEWPORT = {"width": 1280, "height": 800}
# Nothing is clicked that may end, remove, send or spend: the app may hold a real token.
DANGEROUS = re.compile(
    r"\b(?:delet|remov|destroy|drop|purge|wipe|erase|reset|revok|kill|terminat|shut|restart|reboot|stop|log ?out"
    r"|sign ?out|unsubscrib|pay|buy|order|checkout|deploy|publish|approv|reject|invit|archiv|cancel|uninstall"
    r"|disconnect|transfer)",
    re.IGNORECASE,
)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CALLS = frozenset({"fetch", "xhr", "ping", "eventsource"})
_LOADING = frozenset({"document", "script", "stylesheet", "font", "image"})
_NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
_MOST_BODIES, _LARGEST_BODY = 200, 2**20
_LOOKS = 4  # at most, when each of them was disturbed
_QUIET = 0.06  # seconds without any event of the network
_LONGEST_CALL = 0.6  # seconds that a call of the app is waited for: a platform that is not there never answers
_ANSWER = 4.0  # seconds that the page may take to answer one question of ours
_SLOWEST = 6.0  # times as long, at most, on a machine that is busy with other things

_NEXT_FRAME = "() => new Promise((done) => { requestAnimationFrame(() => setTimeout(done)); setTimeout(done, 200) })"

_AS_HTTP = {"ws": "http", "wss": "https"}

Where = Literal["inside", "outside", "elsewhere"]


@dataclass(frozen=True)
class Budget:
    """How far the exploration goes. Actions end it, seconds only guard it: the same app gives the same result."""

    actions: int = 20
    reloads: int = 3
    ready: float = 5.0  # seconds until the page has loaded
    seconds: float = 40.0  # altogether


@dataclass(frozen=True)
class Asked:
    """One request of the browser. `status` is 0 when there was no answer, `failure` says why then."""

    url: str
    method: str
    kind: str  # Playwright's resource type: document, script, stylesheet, image, font, fetch, xhr, eventsource, …
    where: Where
    step: str
    status: int = 0
    content_type: str = ""
    failure: str = ""
    is_frame: bool = False
    held_back: bool = False  # it would have changed something, so it was not let through
    like_page: bool = False  # its answer is the start page itself
    heeded: bool = False  # it failed, and the script looked whether it did


@dataclass(frozen=True)
class Said:
    """An error that a script threw (`kind` is its name), or that was written to the console (`kind` "console")."""

    kind: str
    text: str
    place: str  # URL:line:column, as far as known
    step: str
    rejection: bool = False


@dataclass(frozen=True)
class Blocked:
    """What the page's own Content-Security-Policy kept out."""

    directive: str
    url: str
    place: str
    step: str


@dataclass(frozen=True)
class Sheet:
    """A stylesheet that is in the page and has no rules."""

    url: str
    content_type: str
    step: str


@dataclass(frozen=True)
class Socket:
    """A WebSocket: `status` of the handshake (0: none), `error` when it failed."""

    url: str
    where: Where
    step: str
    status: int = 0
    error: str = ""


@dataclass(frozen=True)
class Cookie:
    """A cookie that the app left in the browser."""

    name: str
    path: str


@dataclass(frozen=True)
class Visit:
    """A page that was seen: `how` it was reached, and whether it showed anything."""

    url: str
    how: str
    status: int  # of its document; 0 when the page was reached without loading one
    shown: bool
    root: str = ""  # the element that ought to hold the page and is empty
    complains: bool = False  # it tells the visitor of an error


@dataclass(frozen=True)
class BrowserResult:
    """Everything that the browser saw, in the order in which it saw it."""

    start_url: str
    prefix: str
    version: str = ""
    problem: str = ""  # why the browser could not look at the page at all
    hangs: str = ""  # during which step the page stopped answering
    visits: tuple[Visit, ...] = ()
    asked: tuple[Asked, ...] = ()
    said: tuple[Said, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    sockets: tuple[Socket, ...] = ()
    cookies: tuple[Cookie, ...] = ()
    links: tuple[str, ...] = ()  # hrefs of the rendered pages that leave the prefix
    strayed: tuple[tuple[str, str], ...] = ()  # addresses outside the prefix that the page took on, and the step
    steps: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()  # controls that were not clicked on purpose
    dialogs: tuple[str, ...] = ()
    complete: bool = True
    screenshot: bytes | None = field(default=None, repr=False)
    bodies: Mapping[str, bytes] = field(
        default_factory=dict, repr=False
    )  # answers to scripts, by path below the prefix
    seconds: float = 0.0

    @property
    def origin(self) -> str:
        """Scheme and host of the front."""
        return self.start_url[: self.start_url.index("/", 8)]

    def short(self, url: str) -> str:
        """Give a URL as people know it: relative to the app's prefix, else to the host."""
        path = url.removeprefix(self.origin) if url.startswith(self.origin) else url
        return f"./{path[len(self.prefix) :]}" if path.startswith(self.prefix) else path


def find_chromium(environ: Mapping[str, str]) -> Path | None:
    """Find a Chromium: the one named by CHROMIUM or CHROME_PATH, one on PATH, or one that Playwright has installed.

    None when there is none; what is named and is not there is not replaced by another one.
    """
    for variable in VARIABLES:
        if named := environ.get(variable, ""):
            found = shutil.which(named, path=environ.get("PATH", ""))
            return Path(found) if found else None
    for name in NAMES:
        if found := shutil.which(name, path=environ.get("PATH", "")):
            return Path(found)
    home = Path(environ.get("HOME", "/nonexistent"))
    stores = [
        Path(environ.get("PLAYWRIGHT_BROWSERS_PATH") or home / ".cache" / "ms-playwright"),
        home / "Library" / "Caches" / "ms-playwright",
    ]
    patterns = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium")
    installed = [path for store in stores for pattern in patterns for path in sorted(store.glob(pattern))]
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    return installed[-1] if installed else mac if mac.is_file() else None


@dataclass(frozen=True)
class Ports:
    """The ports of 127.0.0.1 that stand for the http and the https port of the URL's host."""

    plain: int
    secure: int


def explore(
    url: str, *, prefix: str, chromium: Path, budget: Budget = Budget(), ports: Ports | None = None
) -> BrowserResult:
    """Open the page at `url` (with the slash at its end) and use it, within `budget`.

    `prefix` is the app's public path with a slash at both ends; `ports` says where the URL's host really is. Never
    raises for what page or browser do: a browser that does not start is in `problem`. Takes no request to any host but
    that of `url`, whose certificate it does not ask for.
    """
    began = time.monotonic()
    for _ in range(_LOOKS):
        look = _Look(url, prefix, budget, ports)
        with suppress(TimeoutError):
            asyncio.run(look.run(chromium))
        seen = look.result(time.monotonic() - began)
        if not disturbed(seen):
            break
    return seen


def disturbed(seen: BrowserResult) -> bool:
    """Whether the machine's network changed meanwhile, as it does with each container: connections break off then."""
    return _NETWORK_CHANGED in seen.problem or any(_NETWORK_CHANGED in one.failure for one in seen.asked)


class _Look:
    def __init__(self, url: str, prefix: str, budget: Budget, ports: Ports | None) -> None:
        parts = urlsplit(url)
        self._url = url
        self._ports = ports
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._prefix = prefix
        self._budget = budget
        self._step = "on load"
        self._steps: list[str] = []
        self._asked: list[dict[str, Any]] = []
        self._streams: dict[str, dict[str, Any]] = {}
        self._by_request: dict[Request, dict[str, Any]] = {}
        self._pending: dict[Request, float] = {}
        self._slow: set[str] = set()
        self._last_event = time.monotonic()
        self._said: list[Said] = []
        self._rejections: set[str] = set()
        self._heeded: set[str] = set()
        self._blocked: list[Blocked] = []
        self._sheets: dict[str, Sheet] = {}
        self._sockets: dict[str, Socket] = {}
        self._visits: list[Visit] = []
        self._links: dict[str, None] = {}
        self._strayed: list[tuple[str, str]] = []
        self._untouched: dict[str, None] = {}
        self._dialogs: list[str] = []
        self._cookies: tuple[Cookie, ...] = ()
        self._problem = ""
        self._hangs = ""
        self._version = ""
        self._complete = True
        self._start_body = b""
        self._bodies: dict[str, bytes] = {}
        self._screenshot: bytes | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def result(self, seconds: float) -> BrowserResult:
        said = tuple(Said(one.kind, one.text, one.place, one.step, one.text in self._rejections) for one in self._said)
        return BrowserResult(
            self._url,
            self._prefix,
            self._version,
            self._problem,
            self._hangs,
            tuple(self._visits),
            tuple(Asked(**{**one, **self._streamed(one)}, heeded=one["url"] in self._heeded) for one in self._asked),
            said,
            tuple(self._blocked),
            tuple(self._sheets.values()),
            tuple(self._sockets.values()),
            self._cookies,
            tuple(self._links),
            tuple(self._strayed),
            tuple(self._steps),
            tuple(self._untouched),
            tuple(self._dialogs),
            self._complete,
            self._screenshot,
            {url.removeprefix(self._origin + self._prefix): body for url, body in self._bodies.items()},
            seconds,
        )

    async def run(self, chromium: Path) -> None:
        from playwright.async_api import Error, async_playwright

        with _closed_port() as port:
            async with async_playwright() as playwright:
                try:
                    browser = await playwright.chromium.launch(
                        executable_path=str(chromium),
                        headless=True,
                        chromium_sandbox=_sandboxed(),
                        args=[*FLAGS, *_only_to(urlsplit(self._url).netloc, port, self._ports)],
                        timeout=20_000,
                    )
                except Error as problem:
                    self._problem = _first_line(problem.message)
                    return
                try:
                    self._version = browser.version
                    async with asyncio.timeout(self._budget.seconds * _slowness()):
                        await self._use(browser)
                except TimeoutError:
                    self._complete = False
                except Error as problem:
                    self._problem = self._problem or _first_line(problem.message)
                finally:
                    for task in self._tasks:
                        task.cancel()
                    with suppress(Error, TimeoutError):
                        await asyncio.wait_for(browser.close(), 5)

    async def _use(self, browser: Browser) -> None:
        context = await browser.new_context(
            viewport={"width": VIEWPORT["width"], "height": VIEWPORT["height"]},
            locale="en-US",
            timezone_id="UTC",
            reduced_motion="reduce",
            accept_downloads=False,
        )
        context.set_default_timeout(_ANSWER * _slowness() * 1000)
        await context.expose_binding("__smokeTold", self._told)
        await context.add_init_script(_script("watch.js"))
        page = await context.new_page()
        self._watch(context, page)
        await self._watch_sockets(await context.new_cdp_session(page))
        try:
            if await self._open(page):
                await self._explore(context, page)
            found = await self._within(context.cookies())
            self._cookies = tuple(Cookie(str(one.get("name", "")), str(one.get("path", "/"))) for one in found)
        except _PageHangs:
            self._hangs = self._step
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # watching

    def _watch(self, context: BrowserContext, page: Page) -> None:
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        context.on("requestfinished", self._on_finished)
        context.on("requestfailed", self._on_failed)
        context.on("page", lambda other: self._later(other.close()))
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on("dialog", self._on_dialog)
        page.on("crash", lambda _page: setattr(self, "_problem", "the page crashed"))

    def _later(self, doing: Awaitable[Any]) -> None:
        async def run() -> None:
            with suppress(Exception):
                await doing

        task = asyncio.ensure_future(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _where(self, url: str) -> Where:
        parts = urlsplit(url)
        scheme = _AS_HTTP.get(parts.scheme, parts.scheme)
        if f"{scheme}://{parts.netloc}" != self._origin:
            return "elsewhere"
        return "inside" if parts.path.startswith(self._prefix) or parts.path == self._prefix[:-1] else "outside"

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
            "where": self._where(request.url),
            "step": self._step,
            "is_frame": frame,
            "status": 0,
            "content_type": "",
            "failure": "",
        }
        self._asked.append(asked)
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
            self._later(self._keep(response, asked))

    async def _keep(self, response: Response, asked: dict[str, Any]) -> None:
        body = await response.body()
        if asked["content_type"] == "text/html":
            asked["like_page"] = bool(body) and body == self._start_body and response.url.split("?")[0] != self._url
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
        self._said.append(Said("console", message.text[:500], place, self._step))

    def _on_error(self, error: Any) -> None:
        place = re.search(r"(https?://[^\s()]+:\d+:\d+)", error.stack or "")
        name = error.name or "Error"
        self._said.append(Said(name, (error.message or name)[:500], place[1] if place else "", self._step))

    def _on_dialog(self, dialog: Any) -> None:
        self._dialogs.append(f"{dialog.type}: {dialog.message[:100]}")
        self._later(dialog.accept() if dialog.type == "beforeunload" else dialog.dismiss())

    def _told(self, _source: Any, event: dict[str, Any]) -> None:
        """What the script in the page tells: a rejected promise, a failure it deals with, what a policy kept out."""
        if event.get("what") == "rejection":
            self._rejections.add(str(event.get("text", ""))[:500])
        elif event.get("what") == "heeded" and len(self._heeded) < 1000:
            self._heeded.add(str(event.get("url", "")))
        elif event.get("what") == "policy" and len(self._blocked) < 100:
            place = f"{event.get('source', '')}:{event.get('line', 0)}" if event.get("source") else ""
            self._blocked.append(Blocked(str(event.get("directive")), str(event.get("url")), place, self._step))

    def _streamed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What is known of an event stream that Chromium still sniffs: it shows no answer before it has read some."""
        if asked["kind"] != "eventsource" or asked.get("status"):
            return {}
        return next((known for known in self._streams.values() if known.get("url") == asked["url"]), {})

    async def _watch_sockets(self, session: CDPSession) -> None:
        def sent(event: dict[str, Any]) -> None:
            if event.get("type") == "EventSource":
                self._streams[event["requestId"]] = {"url": str(event["request"]["url"])}

        def headed(event: dict[str, Any]) -> None:
            if (stream := self._streams.get(event["requestId"])) is not None:
                headers = {name.lower(): value for name, value in event["headers"].items()}
                mime = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
                stream.update(status=int(event["statusCode"]), content_type=mime)

        def created(event: dict[str, Any]) -> None:
            url = str(event["url"])
            self._sockets[event["requestId"]] = Socket(url, self._where(url), self._step)

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
        session.on("Network.webSocketCreated", created)
        session.on("Network.webSocketHandshakeResponseReceived", answered)
        session.on("Network.webSocketFrameError", failed)
        await session.send("Network.enable")

    # looking

    async def _open(self, page: Page) -> bool:
        """Load the start page; False when there is none to be explored."""
        from playwright.async_api import Error

        try:
            response = await page.goto(self._url, wait_until="commit", timeout=20_000)
        except Error as problem:
            self._problem = _first_line(problem.message)
            return False
        if response is not None:
            self._later(self._keep_start(response))
        shown = await self._ready(page)
        await self._see(page, "on load", response.status if response else 0, shown)
        with suppress(Error):
            self._screenshot = await self._within(page.screenshot(animations="disabled"))
        return self._where(page.url) == "inside"

    async def _keep_start(self, response: Response) -> None:
        self._start_body = await response.body()

    async def _ready(self, page: Page) -> dict[str, Any]:
        """Wait until the page has loaded, the network is quiet and something is to be seen; each of it bounded."""
        from playwright.async_api import Error

        with suppress(Error):
            await page.wait_for_load_state("load", timeout=self._budget.ready * _slowness() * 1000)
        await self._idle(page)
        await self._settle(3.0, quiet=3 * _QUIET)
        shown: dict[str, Any] = await self._ask(page, "shown")
        until = time.monotonic() + 2.0
        while not shown["shown"] and time.monotonic() < until:
            await asyncio.sleep(0.05)
            shown = await self._ask(page, "shown")
        return shown

    async def _idle(self, page: Page) -> None:
        """Wait until the page has done what it has to do at once."""
        from playwright.async_api import Error

        with suppress(Error):
            await self._within(page.evaluate(_NEXT_FRAME))

    async def _settle(self, limit: float, quiet: float = _QUIET) -> None:
        """Wait until nothing is under way and nothing has happened for `quiet` seconds, at most `limit` seconds.

        Both are longer on a busy machine.
        """
        times = _slowness()
        limit, quiet = limit * times, quiet * times
        self._last_event = time.monotonic()
        until = self._last_event + limit
        while (now := time.monotonic()) < until:
            if not self._waits(now) and now - self._last_event > quiet:
                return
            await asyncio.sleep(0.01)

    def _waits(self, now: float) -> bool:
        """Whether something is under way that is worth waiting for; what has never answered is not, a second time."""
        for request, since in self._pending.items():
            if request.resource_type in _LOADING:
                return True
            slow = _page(request.url) in self._slow
            if now - since < (_QUIET if slow else _LONGEST_CALL):
                return True
            self._slow.add(_page(request.url))
        return False

    async def _within(self, doing: Awaitable[Any]) -> Any:
        """Wait for the page; one that does not answer has hung itself up."""
        try:
            return await asyncio.wait_for(doing, _ANSWER * _slowness())
        except TimeoutError as silent:
            raise _PageHangs from silent

    async def _ask(self, page: Page, question: str, given: Mapping[str, Any] | None = None) -> Any:
        """Ask the page; while it is being replaced by another one, that one is asked."""
        from playwright.async_api import Error

        script = _script(f"{question}.js")
        for _ in range(3):
            try:
                return await self._within(page.evaluate(script, dict(given or {})))
            except Error as problem:
                if "context" not in problem.message and "navigat" not in problem.message:
                    raise
                await self._settle(2.0)
        raise _PageHangs

    async def _see(self, page: Page, how: str, status: int, shown: Mapping[str, Any]) -> None:
        """Note what the page shows, its stylesheets, and where its links lead."""
        if self._where(page.url) != "inside":
            self._strayed.append((page.url, how))
            return
        visit = Visit(page.url, how, status, bool(shown["shown"]), str(shown["root"]), bool(shown["complains"]))
        self._visits.append(visit)
        types = {one["url"]: one["content_type"] for one in self._asked if one["kind"] == "stylesheet"}
        for url in shown["unstyled"]:
            self._sheets.setdefault(url, Sheet(url, types.get(url, ""), how))
        for url in shown["links"]:
            if self._where(url) == "outside" and len(self._links) < 100:
                self._links.setdefault(url)

    # using

    async def _explore(self, context: BrowserContext, page: Page) -> None:
        """Click and fill in what there is: controls, fields, links, document order; reload what has its own address."""
        await context.route("**/*", self._hold_back)
        seen: list[str] = [f"a {self._url}"]
        shapes: dict[str, int] = {}
        reloaded: set[str] = {_page(self._url)}
        escaped = False
        for _ in range(self._budget.actions):
            given = {"seen": seen, "shapes": shapes, "prefix": self._prefix, "dangerous": DANGEROUS.pattern}
            found = await self._ask(page, "next", given)
            self._untouched.update(dict.fromkeys(found["untouched"]))
            control = found["control"]
            if control is None:
                if found["covered"] and not escaped:
                    escaped = True
                    await self._within(page.keyboard.press("Escape"))
                    await self._settle(0.5)
                    continue
                if _page(page.url) == _page(self._url):
                    return
                await self._back(page)
                continue
            escaped = False
            seen.append(control["key"])
            shapes[control["shape"]] = shapes.get(control["shape"], 0) + 1
            self._begin(f"{'entry in' if control['text'] else 'click on'} {control['name']}")
            before, asked = page.url, len(self._asked)
            await self._within(page.mouse.click(control["x"], control["y"]))
            if control["text"]:
                await self._within(page.keyboard.type(control["text"]))
                await self._within(page.keyboard.press("Enter"))
            await self._idle(page)
            await self._settle(3.0)
            if page.url != before or _documents(self._asked[asked:]):
                await self._arrived(page, asked, reloaded)
            elif len(self._asked) > asked:
                await self._look_again(page)
        else:
            self._complete = False
        await self._settle(0.5)

    def _begin(self, step: str) -> None:
        self._step = step
        self._steps.append(step)

    async def _look_again(self, page: Page) -> None:
        """A click may have brought a stylesheet, or links."""
        shown = await self._ask(page, "shown")
        before = len(self._visits)
        await self._see(page, self._step, 0, shown)
        del self._visits[before:]

    async def _arrived(self, page: Page, asked: int, reloaded: set[str]) -> None:
        """A click led to another address: see what is there, and whether it comes up by itself."""
        documents = _documents(self._asked[asked:])
        shown = await (self._ready(page) if documents else self._ask(page, "shown"))
        await self._see(page, self._step, documents[-1]["status"] if documents else 0, shown)
        if self._where(page.url) != "inside":
            await self._start_again(page)
            return
        address = _page(page.url)
        if documents or address in reloaded or len(reloaded) > self._budget.reloads:
            reloaded.add(address)
            return
        reloaded.add(address)
        from playwright.async_api import Error

        self._begin(f"reload of {self._shown_path(page.url)}")
        try:
            response = await page.reload(wait_until="commit", timeout=_ANSWER * _slowness() * 1000)
        except Error:
            return
        shown = await self._ready(page)
        await self._see(page, self._step, response.status if response else 0, shown)
        if response is not None and response.status >= 400:
            await self._start_again(page)

    async def _back(self, page: Page) -> None:
        """Go back as a person does; where that leads nowhere, to the start."""
        from playwright.async_api import Error

        before = page.url
        self._begin("back")
        with suppress(Error):
            await page.go_back(wait_until="commit", timeout=_ANSWER * _slowness() * 1000)
        await self._settle(1.0)
        if page.url == before or self._where(page.url) != "inside":
            await self._start_again(page)

    async def _start_again(self, page: Page) -> None:
        from playwright.async_api import Error

        self._step = "on load"
        with suppress(Error):
            await page.goto(self._url, wait_until="commit", timeout=_ANSWER * _slowness() * 1000)
        await self._ready(page)

    async def _hold_back(self, route: Route) -> None:
        from playwright.async_api import Error

        with suppress(Error):
            if route.request.method in SAFE_METHODS:
                await route.continue_()
                return
            if (asked := self._by_request.get(route.request)) is not None:
                asked["held_back"] = True
            await route.abort("blockedbyclient")

    def _shown_path(self, url: str) -> str:
        path = urlsplit(url).path
        return f"./{path[len(self._prefix) :]}" if path.startswith(self._prefix) else path


class _PageHangs(Exception):
    """The page does not answer any more: a script of it never ends."""


class _closed_port:  # noqa: N801
    """A port of this machine that refuses every connection for as long as this lasts."""

    def __enter__(self) -> int:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _only_to(host: str, closed_port: int, ports: Ports | None) -> list[str]:
    """Flags that let the browser reach `host` and nothing else, this machine's other ports included."""
    flags = [f"--proxy-server=http://127.0.0.1:{closed_port}", f"--proxy-bypass-list=<-loopback>;{host}"]
    if ports is not None:
        where = f"MAP {host}:80 127.0.0.1:{ports.plain},MAP {host}:443 127.0.0.1:{ports.secure}"
        flags += [f"--host-resolver-rules={where}", "--ignore-certificate-errors"]
    return flags


def _slowness() -> float:
    """How many times as long as usual things take now: more processes want to run than this machine has cores for."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), _SLOWEST)


def _sandboxed() -> bool:
    """Chromium's sandbox does not work for root."""
    return not (hasattr(os, "geteuid") and os.geteuid() == 0)


def _page(url: str) -> str:
    """The address without what a page keeps its state in: two tabs of it are one page."""
    return urlsplit(url).path


def _documents(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents that the page itself was loaded from; a redirect gives several."""
    return [one for one in asked if one["kind"] == "document" and not one["is_frame"]]


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "failed")[:300]


def _script(name: str) -> str:
    return resources.files("toolkit").joinpath("in_page", name).read_text(encoding="utf-8")

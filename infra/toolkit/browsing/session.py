"""Open an app in Chromium through the front and use it as a person would: what the browser saw, not what it means.

The browser reaches the front and nothing else: whatever names another host fails at once and is listed. After the page
is there, requests that would change something (POST and the like) are held back, since a real token may be in play.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from toolkit.browsing.exploring import ANSWER, PageHangs, Visitor, first_line, script
from toolkit.browsing.model import BrowserResult, Budget, Cookie, Ports
from toolkit.browsing.watching import Watch, slowness

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

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
USUAL = Budget()
_NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
_LOOKS = 4  # at most, when each of them was disturbed


def explore(
    url: str, *, prefix: str, chromium: Path, budget: Budget = USUAL, ports: Ports | None = None
) -> BrowserResult:
    """Look at one page, as `Explorer` does."""
    with Explorer(url, prefix=prefix, chromium=chromium, budget=budget, ports=ports) as explorer:
        return explorer.look()


class Explorer:
    """Opens the page at `url` (with the slash at its end) in a Chromium and uses it, within `budget`.

    `prefix` is the app's public path with a slash at both ends; `ports` says where the URL's host really is. Takes no
    request to any host but that of `url`, whose certificate it does not ask for. A context manager: the browser is gone
    at its end.
    """

    def __init__(
        self, url: str, *, prefix: str, chromium: Path, budget: Budget = USUAL, ports: Ports | None = None
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._chromium = chromium
        self._budget = budget
        self._ports = ports
        self._ready: _Look | None = None
        self._looked = False
        self._one = threading.Lock()  # whoever opens it and whoever looks are two threads

    def open(self, after: Callable[[], object] = lambda: None) -> None:
        """Start the browser in the background once `after` has returned, so that `look` finds it ready.

        Does nothing once somebody has looked. When `after` raises, there is nothing to be looked at.
        """
        with self._one:
            if self._ready is None and not self._looked:
                self._ready = self._look(after)

    def _opened(self) -> _Look:
        """Take the browser that is ready, or start one; nobody else opens one from then on."""
        with self._one:
            look, self._ready, self._looked = self._ready, None, True
        return look or self._look()

    def look(self) -> BrowserResult:
        """Use the page, and say what was seen.

        Never raises for what page or browser do: a browser that does not start is in `problem`.
        """
        began = time.monotonic()
        for _ in range(_LOOKS):
            look = self._opened()
            try:
                seen = look.result(began)
            finally:
                look.end()
            if not disturbed(seen):
                break
        return seen

    def _look(self, after: Callable[[], object] = lambda: None) -> _Look:
        return _Look(Watch(self._url, self._prefix), self._chromium, self._budget, self._ports, after)

    def __enter__(self) -> Explorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._one:
            look, self._ready, self._looked = self._ready, None, True
        if look is not None:
            look.end()


def disturbed(seen: BrowserResult) -> bool:
    """Whether the machine's network changed meanwhile, as it does with each container: connections break off then."""
    return _NETWORK_CHANGED in seen.problem or any(_NETWORK_CHANGED in one.failure for one in seen.asked)


class _Look:
    """One browser, which starts after `after`, in a thread of its own, and looks at the page when it is told to."""

    def __init__(
        self, watch: Watch, chromium: Path, budget: Budget, ports: Ports | None, after: Callable[[], object]
    ) -> None:
        self._watch = watch
        self._chromium = chromium
        self._budget = budget
        self._ports = ports
        self._after = after
        self._wanted = threading.Event()
        self._dropped = False
        self._error: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._using: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._work, name="browser", daemon=True)
        self._thread.start()

    def result(self, began: float) -> BrowserResult:
        """Look at the page, which `began` at this time, and give what was seen."""
        self._wanted.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._watch.result(time.monotonic() - began)

    def end(self) -> None:
        """Close the browser, whatever it is doing; one that is just starting is not torn off, or it would stay."""
        self._dropped = True
        self._wanted.set()
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stop_using)
        self._thread.join()

    def _stop_using(self) -> None:
        if self._using is not None:
            self._using.cancel()

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._run())
        except BaseException as error:  # handed to the thread that waits for the result
            self._error = error

    async def _run(self) -> None:
        from playwright.async_api import Error, async_playwright

        with _closed_port() as port:
            async with async_playwright() as playwright:
                await asyncio.get_running_loop().run_in_executor(None, self._after)
                if self._dropped:
                    return
                try:
                    browser = await playwright.chromium.launch(
                        executable_path=str(self._chromium),
                        headless=True,
                        chromium_sandbox=_sandboxed(),
                        args=[*FLAGS, *_only_to(urlsplit(self._watch.url).netloc, port, self._ports)],
                        timeout=20_000,
                    )
                except Error as problem:
                    self._watch.problem = first_line(problem.message)
                    return
                try:
                    self._using = asyncio.create_task(self._use(browser))
                    with suppress(asyncio.CancelledError):
                        await self._using
                finally:
                    for task in self._watch.tasks:
                        task.cancel()
                    with suppress(Error, TimeoutError):
                        await asyncio.wait_for(browser.close(), 5)

    async def _use(self, browser: Browser) -> None:
        from playwright.async_api import Error

        self._watch.version = browser.version
        try:
            async with asyncio.timeout(self._budget.seconds * slowness()):
                page = await self._page(browser)
            await asyncio.get_running_loop().run_in_executor(None, self._wanted.wait)
            if self._dropped:
                return
            async with asyncio.timeout(self._budget.seconds * slowness()):
                await self._visit(page)
        except TimeoutError:
            self._watch.complete = False
        except Error as problem:
            self._watch.problem = self._watch.problem or first_line(problem.message)

    async def _page(self, browser: Browser) -> Page:
        """Open an empty page, of which everything is written down from now on."""
        context = await browser.new_context(
            viewport={"width": VIEWPORT["width"], "height": VIEWPORT["height"]},
            locale="en-US",
            timezone_id="UTC",
            reduced_motion="reduce",
            accept_downloads=False,
        )
        watch = self._watch
        context.set_default_timeout(ANSWER * slowness() * 1000)
        await context.expose_binding("__smokeTold", watch.told)
        await context.add_init_script(script("watch.js"))
        page = await context.new_page()
        watch.attach(context, page)
        await watch.attach_sockets(await context.new_cdp_session(page))
        return page

    async def _visit(self, page: Page) -> None:
        watch = self._watch
        visitor = Visitor(page, watch, self._budget)
        try:
            await visitor.visit()
            found = await visitor.within(page.context.cookies())
            watch.cookies = tuple(Cookie(str(one.get("name", "")), str(one.get("path", "/"))) for one in found)
        except PageHangs:
            watch.hangs = watch.step
        await asyncio.gather(*watch.tasks, return_exceptions=True)


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


def _sandboxed() -> bool:
    """Chromium's sandbox does not work for root."""
    return not (hasattr(os, "geteuid") and os.geteuid() == 0)

"""Use a page as a person would: look at it, click what can be clicked, go back, come again."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any

from toolkit.browsing.model import Budget
from toolkit.browsing.watching import QUIET, Watch, page_of, slowness

if TYPE_CHECKING:
    from playwright.async_api import Page, Response, Route

# Nothing is clicked that may end, remove, send or spend: the app may hold a real token.
DANGEROUS = re.compile(
    r"\b(?:delet|remov|destroy|drop|purge|wipe|erase|reset|revok|kill|terminat|shut|restart|reboot|stop|log ?out"
    r"|sign ?out|unsubscrib|pay|buy|order|checkout|deploy|publish|approv|reject|invit|archiv|cancel|uninstall"
    r"|disconnect|transfer)",
    re.IGNORECASE,
)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ANSWER = 4.0  # seconds that the page may take to answer one question of ours

_NEXT_FRAME = "() => new Promise((done) => { requestAnimationFrame(() => setTimeout(done)); setTimeout(done, 200) })"


class PageHangs(Exception):
    """The page does not answer any more: a script of it never ends."""


class Visitor:
    """Somebody who uses `page` within `budget`; `watch` writes down what happens."""

    def __init__(self, page: Page, watch: Watch, budget: Budget) -> None:
        self._page = page
        self._watch = watch
        self._budget = budget

    async def visit(self) -> None:
        """Open the start page and use it. Raises PageHangs when it stops answering."""
        if await self._open():
            await self._explore()

    async def _open(self) -> bool:
        """Load the start page; False when there is none to be explored."""
        from playwright.async_api import Error

        try:
            response = await self._page.goto(self._watch.url, wait_until="commit", timeout=20_000)
        except Error as problem:
            self._watch.problem = first_line(problem.message)
            return False
        if response is not None:
            self._watch.later(self._keep_start(response))
        shown = await self._ready()
        self._watch.see(self._page.url, "on load", response.status if response else 0, shown)
        with suppress(Error):
            self._watch.screenshot = await self.within(self._page.screenshot(animations="disabled"))
        return self._watch.where(self._page.url) == "inside"

    async def _keep_start(self, response: Response) -> None:
        self._watch.start_body = await response.body()

    async def _ready(self) -> dict[str, Any]:
        """Wait until the page has loaded, the network is quiet and something is to be seen; each of it bounded."""
        from playwright.async_api import Error

        with suppress(Error):
            await self._page.wait_for_load_state("load", timeout=self._budget.ready * slowness() * 1000)
        await self._idle()
        await self._watch.settle(3.0, quiet=3 * QUIET)
        shown: dict[str, Any] = await self._ask("shown")
        until = time.monotonic() + 2.0
        while not shown["shown"] and time.monotonic() < until:
            await asyncio.sleep(0.05)
            shown = await self._ask("shown")
        return shown

    async def _idle(self) -> None:
        """Wait until the page has done what it has to do at once."""
        from playwright.async_api import Error

        with suppress(Error):
            await self.within(self._page.evaluate(_NEXT_FRAME))

    async def within(self, doing: Awaitable[Any]) -> Any:
        """Wait for the page; one that does not answer has hung itself up."""
        try:
            return await asyncio.wait_for(doing, ANSWER * slowness())
        except TimeoutError as silent:
            raise PageHangs from silent

    async def _ask(self, question: str, given: Mapping[str, Any] | None = None) -> Any:
        """Ask the page; while it is being replaced by another one, that one is asked."""
        from playwright.async_api import Error

        text = script(f"{question}.js")
        for _ in range(3):
            try:
                return await self.within(self._page.evaluate(text, dict(given or {})))
            except Error as problem:
                if "context" not in problem.message and "navigat" not in problem.message:
                    raise
                await self._watch.settle(2.0)
        raise PageHangs

    async def _explore(self) -> None:
        """Click and fill in what there is: controls, fields, links, document order; reload what has its own address."""
        await self._page.context.route("**/*", self._hold_back)
        seen: list[str] = [f"a {self._watch.url}"]
        shapes: dict[str, int] = {}
        reloaded: set[str] = {page_of(self._watch.url)}
        escaped = False
        for _ in range(self._budget.actions):
            given = {"seen": seen, "shapes": shapes, "prefix": self._watch.prefix, "dangerous": DANGEROUS.pattern}
            found = await self._ask("next", given)
            self._watch.untouched.update(dict.fromkeys(found["untouched"]))
            control = found["control"]
            if control is None:
                if found["covered"] and not escaped:
                    escaped = True
                    await self.within(self._page.keyboard.press("Escape"))
                    await self._watch.settle(0.5)
                    continue
                if page_of(self._page.url) == page_of(self._watch.url):
                    return
                await self._back()
                continue
            escaped = False
            seen.append(control["key"])
            shapes[control["shape"]] = shapes.get(control["shape"], 0) + 1
            self._watch.begin(f"{'entry in' if control['text'] else 'click on'} {control['name']}")
            before, asked = self._page.url, len(self._watch.asked)
            await self.within(self._page.mouse.click(control["x"], control["y"]))
            if control["text"]:
                await self.within(self._page.keyboard.type(control["text"]))
                await self.within(self._page.keyboard.press("Enter"))
            await self._idle()
            # An icon is asked for whenever the address changes; anything else may be the first of more.
            begun = bool(control["text"]) or any(one["kind"] != "other" for one in self._watch.asked[asked:])
            await self._watch.settle(3.0, quiet=QUIET if begun else QUIET / 2)
            if self._page.url != before or _documents(self._watch.asked[asked:]):
                await self._arrived(asked, reloaded)
            elif len(self._watch.asked) > asked:
                await self._look_again()
        else:
            self._watch.complete = False
        await self._watch.settle(0.5)

    async def _look_again(self) -> None:
        """A click may have brought a stylesheet, or links."""
        shown = await self._ask("shown")
        before = len(self._watch.visits)
        self._watch.see(self._page.url, self._watch.step, 0, shown)
        del self._watch.visits[before:]

    async def _arrived(self, asked: int, reloaded: set[str]) -> None:
        """A click led to another address: see what is there, and whether it comes up by itself."""
        documents = _documents(self._watch.asked[asked:])
        shown = await (self._ready() if documents else self._ask("shown"))
        self._watch.see(self._page.url, self._watch.step, documents[-1]["status"] if documents else 0, shown)
        if self._watch.where(self._page.url) != "inside":
            await self._start_again()
            return
        address = page_of(self._page.url)
        if documents or address in reloaded or len(reloaded) > self._budget.reloads:
            reloaded.add(address)
            return
        reloaded.add(address)
        from playwright.async_api import Error

        self._watch.begin(f"reload of {self._watch.shown(self._page.url)}")
        try:
            response = await self._page.reload(wait_until="commit", timeout=ANSWER * slowness() * 1000)
        except Error:
            return
        shown = await self._ready()
        self._watch.see(self._page.url, self._watch.step, response.status if response else 0, shown)
        if response is not None and response.status >= 400:
            await self._start_again()

    async def _back(self) -> None:
        """Go back as a person does; where that leads nowhere, to the start."""
        from playwright.async_api import Error

        before = self._page.url
        self._watch.begin("back")
        with suppress(Error):
            await self._page.go_back(wait_until="commit", timeout=ANSWER * slowness() * 1000)
        await self._watch.settle(1.0)
        if self._page.url == before or self._watch.where(self._page.url) != "inside":
            await self._start_again()

    async def _start_again(self) -> None:
        from playwright.async_api import Error

        self._watch.step = "on load"
        with suppress(Error):
            await self._page.goto(self._watch.url, wait_until="commit", timeout=ANSWER * slowness() * 1000)
        await self._ready()

    async def _hold_back(self, route: Route) -> None:
        from playwright.async_api import Error

        with suppress(Error):
            if route.request.method in SAFE_METHODS:
                await route.continue_()
                return
            self._watch.held_back(route.request)
            await route.abort("blockedbyclient")


def first_line(text: str) -> str:
    """Give the first line of a message that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "failed")[:300]


def script(name: str) -> str:
    """Give the text of a script that runs in the page."""
    return resources.files("toolkit").joinpath("in_page", name).read_text(encoding="utf-8")


def _documents(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents that the page itself was loaded from; a redirect gives several."""
    return [one for one in asked if one["kind"] == "document" and not one["is_frame"]]

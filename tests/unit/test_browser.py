from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.browsing import session, watching
from toolkit.browsing.exploring import DANGEROUS
from toolkit.browsing.finding import find_chromium
from toolkit.browsing.model import BrowserResult, Budget


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_named_browser_wins_and_is_not_replaced(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "chromium")
    named = program(tmp_path / "my" / "browser")
    path = str(tmp_path / "bin")
    assert find_chromium({"CHROMIUM": str(named), "PATH": path}) == named
    assert find_chromium({"CHROME_PATH": str(named), "PATH": path}) == named
    assert find_chromium({"CHROMIUM": str(tmp_path / "gone"), "PATH": path}) is None


@pytest.mark.parametrize("name", ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"])
def test_a_browser_on_the_path_is_found(tmp_path: Path, name: str) -> None:
    found = program(tmp_path / name)
    assert find_chromium({"PATH": str(tmp_path)}) == found


def test_a_browser_without_a_screen_comes_first(tmp_path: Path) -> None:
    program(tmp_path / "chromium")
    shell = program(tmp_path / "chromium-headless-shell")
    assert find_chromium({"PATH": str(tmp_path)}) == shell
    store = tmp_path / ".cache" / "ms-playwright"
    program(store / "chromium-1200" / "chrome-linux" / "chrome")
    for place in ("chrome-linux/headless_shell", "chrome-headless-shell-linux64/chrome-headless-shell"):
        shell = program(store / "chromium_headless_shell-1200" / place)
        assert find_chromium({"HOME": str(tmp_path), "PATH": ""}) == shell
        shell.unlink()


def test_the_newest_of_playwright_is_the_last_resort(tmp_path: Path) -> None:
    for version in ("1100", "1200"):
        program(tmp_path / ".cache" / "ms-playwright" / f"chromium-{version}" / "chrome-linux" / "chrome")
    found = find_chromium({"HOME": str(tmp_path), "PATH": ""})
    assert found is not None
    assert "1200" in str(found)


def test_no_browser_is_none(tmp_path: Path) -> None:
    assert find_chromium({"HOME": str(tmp_path), "PATH": str(tmp_path)}) is None


@pytest.mark.parametrize(
    "name", ["Delete all", "Log out", "Sign out", "logout", "Remove item", "Stop server", "Pay now"]
)
def test_what_may_do_harm_is_not_clicked(name: str) -> None:
    assert DANGEROUS.search(name)


@pytest.mark.parametrize("name", ["Details", "Next", "Open", "Show more", "About", "Settings"])
def test_harmless_controls_are(name: str) -> None:
    assert not DANGEROUS.search(name)


def test_urls_are_shown_as_people_know_them() -> None:
    seen = BrowserResult("http://127.0.0.1:4000/custom_applications/a1/", "/custom_applications/a1/")
    assert seen.short("http://127.0.0.1:4000/custom_applications/a1/x/y.js") == "./x/y.js"
    assert seen.short("http://127.0.0.1:4000/api/items") == "/api/items"
    assert seen.short("https://cdn.example/x.js") == "https://cdn.example/x.js"


@pytest.mark.parametrize(("load", "cores", "times"), [(0.5, 2, 1.0), (5.0, 2, 2.5), (90.0, 2, 6.0)])
def test_a_page_gets_more_time_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch, load: float, cores: int, times: float
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert watching.slowness() == times


class Clock:
    """Time that passes when somebody sleeps, and only then."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("running", "least", "most"), [(1, 0.06, 0.08), (12, 0.36, 0.38)])
def test_how_long_nothing_has_to_happen_depends_on_what_goes_on_now_and_not_a_minute_ago(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, running: int, least: float, most: float
) -> None:
    (tmp_path / "loadavg").write_text(f"12.00 12.00 12.00 {running}/130 20402\n")
    monkeypatch.setattr(watching, "_RUNNABLE", str(tmp_path / "loadavg"))
    monkeypatch.setattr("os.getloadavg", lambda: (12.0, 12.0, 12.0))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    monkeypatch.setattr(watching, "asyncio", clock)
    asyncio.run(watching.Watch("https://host/p/", "/p/").settle(3.0))
    assert least <= clock.now <= most


@pytest.mark.parametrize("text", [None, "nothing of the kind"])
def test_where_nothing_tells_what_runs_now_the_last_minute_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "loadavg").write_text(text)
    monkeypatch.setattr(watching, "_RUNNABLE", str(tmp_path / "loadavg"))
    monkeypatch.setattr("os.getloadavg", lambda: (5.0, 5.0, 5.0))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert watching.crowd() == 2.5


def test_a_browser_that_is_opened_while_somebody_looks_is_the_same_or_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made, ended = [], []

    class SlowLook:
        def __init__(self, *_arguments: object) -> None:
            time.sleep(0.05)
            made.append(self)

        def result(self, _began: float) -> BrowserResult:
            return BrowserResult("https://host/p/", "/p/")

        def end(self) -> None:
            ended.append(self)

    monkeypatch.setattr(session, "_Look", SlowLook)
    with session.Explorer("https://host/p/", prefix="/p/", chromium=Path("chromium")) as explorer:
        opening = [threading.Thread(target=explorer.open) for _ in range(3)]
        for thread in opening:
            thread.start()
        explorer.look()
        for thread in opening:
            thread.join()
        explorer.open()  # nobody looks any more
    assert made == ended
    assert len(made) == 1


def test_a_browser_that_opens_no_page_is_not_waited_for_without_end() -> None:
    class Stuck:
        version = "1"

        async def new_context(self, **_options: object) -> None:
            await asyncio.Event().wait()

    watch = watching.Watch("https://host/p/", "/p/")
    look = session._Look.__new__(session._Look)  # without the thread that starts a browser
    look._watch, look._budget = watch, Budget(seconds=0.05)
    asyncio.run(asyncio.wait_for(look._use(Stuck()), 5))
    assert watch.complete is False


def test_what_a_new_window_asked_for_is_not_waited_for_when_it_is_closed() -> None:
    handlers: dict[str, Callable[[Any], None]] = {}
    page, window = FakePage(), FakePage()
    watch = watching.Watch("https://host/p/", "/p/")
    watch.attach(FakeEvents(handlers), page)  # type: ignore[arg-type]
    mine, its = FakeRequest(SimpleNamespace(page=page)), FakeRequest(None)

    async def opened() -> None:
        for request in (mine, its):
            handlers["request"](request)
        handlers["page"](window)
        await asyncio.gather(*watch.tasks)

    asyncio.run(opened())
    assert window.closed
    assert list(watch._pending) == [mine]


class FakeEvents:
    def __init__(self, handlers: dict[str, Callable[[Any], None]]) -> None:
        self._handlers = handlers

    def on(self, name: str, handler: Callable[[Any], None]) -> None:
        self._handlers[name] = handler


class FakePage(FakeEvents):
    def __init__(self) -> None:
        super().__init__({})
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class FakeRequest:
    """A request for a document; Playwright does not say for which page before there is an answer."""

    url, method, resource_type = "https://host/p/second.html", "GET", "document"

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    @property
    def frame(self) -> Any:
        if self._frame is None:
            raise RuntimeError("not available yet")
        return self._frame

    def is_navigation_request(self) -> bool:
        return True

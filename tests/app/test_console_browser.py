"""The local platform's own pages in a browser: the console, which is live, and the way in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app import browsers
from tests.contract.local_platform import LocalPlatform, local_platform

pytestmark = pytest.mark.browser

LOG = """\
Started development server: http://0.0.0.0:8080
connected to the platform as admin@local.example
GET / 200 in 3 ms
GET /assets/index-4f2a.js 200 in 1 ms
GET /api/orders?page=1 200 in 12 ms"""
BUILD_LOG = """\
bun install v1.3
 + react@19.2.0
 + react-dom@19.2.0
14 packages installed [412.00ms]
Bundled 38 modules in 61ms"""
FAILURE = """\
error: connect ECONNREFUSED 10.0.0.7:5432
      at connectToDatabase (/opt/code/server.ts:14:9)
The application exited with code 1."""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path / "data") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh visitor; scripts that fail fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = context.new_page()
    wrong: list[str] = []
    page.on(
        "console", lambda message: wrong.append(message.text) if "Content Security Policy" in message.text else None
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert wrong == []


def deployed(platform: LocalPlatform) -> dict[str, str]:
    """Deploy four applications as a client would, and let each come to another state; give their ids."""
    store, made = platform.store, {}
    with platform.client() as api:
        environment = api.post(
            "executionEnvironments/", json={"name": "bun-1-debian", "description": "Bun on Debian"}
        ).json()["id"]
        versions = f"executionEnvironments/{environment}/versions/"
        files = {"docker_context": ("context.zip", b"PK\x05\x06" + bytes(18))}
        built = api.post(versions, files=files).json()["id"]
        store.set_build(built, "success", log="Step 1/4 : FROM oven/bun:1-debian\nSuccessfully built 4f2a9c01d7e3")
        for name, replicas in (("orders", 1), ("mailer", 1), ("old-demo", 1), ("dashboard", 2)):
            source = api.post("customApplicationSources/", json={"name": f"{name}-source"}).json()["id"]
            resources = {"resourceLabel": "cpu.2xlarge", "replicas": replicas}
            body = {"label": "v1", "baseEnvironmentVersionId": built, "resources": resources}
            version = api.post(f"customApplicationSources/{source}/versions/", json=body).json()["id"]
            parts = [
                ("file", (path, b"x")) for path in ("build-app.sh", "start-app.sh", "package.json", "src/server.ts")
            ]
            api.patch(
                f"customApplicationSources/{source}/versions/{version}/",
                files=parts,
                data={"filePath": [path for _, (path, _) in parts]},
            )
            body = {"applicationSourceVersionId": version, "name": name}
            made[name] = str(api.post("customApplications/", json=body).json()["id"])
            api.get(f"customApplications/{made[name]}/")
        api.get("projects/")
    store.set_application(made["dashboard"], _buildLog=BUILD_LOG)
    platform.runner.become(made["dashboard"], "running", *LOG.splitlines())
    platform.runner.become(made["mailer"], "failed", *FAILURE.splitlines())
    platform.runner.become(made["old-demo"], "paused")
    return made


def picture(page: Page, root: Path, name: str, height: int) -> None:
    """Take the picture for the documents when that is asked for."""
    if os.environ.get("UPDATE_SCREENSHOTS"):
        page.set_viewport_size({"width": 1280, "height": height})
        page.screenshot(path=root / "docs" / name)
    assert (root / "docs" / name).stat().st_size > 5_000


def test_the_console_shows_what_is_there_and_follows_it(platform: LocalPlatform, page: Page, root: Path) -> None:
    made = deployed(platform)
    page.goto(platform.url)
    dashboard, orders = page.locator(f'[id="{made["dashboard"]}"]'), page.locator(f'[id="{made["orders"]}"]')
    expect(dashboard.locator(".state")).to_have_text("running")
    expect(orders.locator(".state")).to_have_text("initializing")
    expect(page.get_by_role("cell", name="501")).to_be_visible()
    dashboard.locator("summary").click()
    expect(dashboard.get_by_text("connected to the platform")).to_be_visible()
    picture(page, root, "console.png", 1240)
    platform.runner.become(made["orders"], "running", "listening")
    expect(orders.locator(".state")).to_have_text("running")
    expect(dashboard.get_by_text("connected to the platform")).to_be_visible()  # what was open stays open
    with platform.client() as api:
        api.delete(f"customApplications/{made['old-demo']}/")
    expect(page.locator(f'[id="{made["old-demo"]}"]')).to_have_count(0)
    expect(page.get_by_role("cell", name="DELETE")).to_be_visible()


def test_a_console_without_its_platform_says_so(tmp_path: Path, page: Page) -> None:
    with local_platform(tmp_path / "gone") as platform:
        page.goto(platform.url)
        expect(page.get_by_role("status")).to_have_text("live")
    expect(page.get_by_role("status")).to_have_text("no answer", timeout=10_000)


def test_a_visitor_signs_in_with_the_token(platform: LocalPlatform, page: Page, root: Path) -> None:
    application = deployed(platform)["orders"]
    page.goto(f"{platform.url}/custom_applications/{application}/")
    token = page.get_by_label("API token of the local platform")
    expect(token).to_be_focused()
    picture(page, root, "sign-in.png", 620)
    token.fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("not known here")).to_be_visible()
    page.get_by_role("link", name="Try again").click()
    page.get_by_label("API token of the local platform").fill(platform.identity.full.reveal())
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{platform.url}/custom_applications/{application}/")
    expect(page.get_by_text("The application is starting")).to_be_visible()


def test_a_link_signs_in_once_and_leads_there(platform: LocalPlatform, browser: Browser) -> None:
    application = deployed(platform)["orders"]
    target = f"/custom_applications/{application}/"
    headers = {"Authorization": f"Bearer {platform.identity.full.reveal()}"}
    made = httpx.post(f"{platform.url}/__emulator__/sign-in-link", json={"next": target}, headers=headers)
    first, second = browser.new_context(), browser.new_context()
    inside, outside = first.new_page(), second.new_page()
    inside.goto(platform.url + made.json()["path"])
    expect(inside.get_by_text("The application is starting")).to_be_visible()
    outside.goto(platform.url + made.json()["path"])
    expect(outside.get_by_text("has been used or is too old")).to_be_visible()
    first.close()
    second.close()

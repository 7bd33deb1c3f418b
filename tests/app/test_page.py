"""The app that comes with the toolkit, deployed to the local platform and looked at with a browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app import browsers
from tests.stack.checkout import Checkout

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.browser]


@pytest.fixture(scope="module")
def deployed(root: Path, tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path) -> Iterator[Checkout]:
    made = Checkout.copy(root, tmp_path_factory.mktemp("page") / "toolkit", with_app=True)
    made.env = {"DATAROBOT_PROVIDER": "stand-in"}
    made.deploy()
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, deployed: Checkout) -> Iterator[Page]:
    """A page that is signed in, at the application; anything that goes wrong in it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on(
        "response",
        lambda response: wrong.append(f"{response.status}: {response.url}") if response.status >= 400 else None,
    )
    page.goto(deployed.sign_in_link())
    yield page
    assert wrong == []
    context.close()


def test_the_page_shows_use_cases_and_notebooks_of_the_organisation(page: Page, root: Path) -> None:
    page.get_by_role("row", name=re.compile("Customer churn 2026")).wait_for()
    views = page.get_by_label("Views")
    # How many there are is known once the last page of either list has come.
    expect(views.get_by_text("Use cases")).to_contain_text("40", timeout=20_000)
    expect(views.get_by_text("Notebooks")).to_contain_text("600", timeout=20_000)
    if os.environ.get("UPDATE_SCREENSHOTS"):
        page.screenshot(path=root / "docs" / "app.png")
    assert (root / "docs" / "app.png").stat().st_size > 10_000


def test_the_notebooks_survive_a_reload(page: Page) -> None:
    page.get_by_label("Views").get_by_text("Notebooks").click()
    table = page.get_by_label("Notebooks", exact=True).get_by_role("row")
    table.nth(10).wait_for()
    page.reload()
    table.nth(10).wait_for()


def test_without_signing_in_the_platform_answers_and_not_the_app(browser: Browser, deployed: Checkout) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(deployed.application_url())
    assert "/sign-in" in page.url
    assert page.get_by_label("API token of the local platform").is_visible()
    context.close()

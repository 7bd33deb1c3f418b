"""The page at the root of the local platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from toolkit.emulator import console_page
from toolkit.emulator.store import Store

EVIL = '"><script>alert(1)</script>'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def test_an_empty_platform_says_so(store: Store) -> None:
    page = HTMLParser(console_page.draw(store, [], "http://127.0.0.1:1/api/v2"))
    assert [one.text() for one in page.css("h2")] == [
        "Applications",
        "Execution environments",
        "Application sources",
        "Last requests",
    ]
    assert [one.text() for one in page.css("p.none")] == ["None yet."] * 4
    assert "http://127.0.0.1:1/api/v2" in page.css_first("header").text()


def test_it_shows_everything_and_trusts_nothing(store: Store) -> None:
    environment = store.create_environment(EVIL, "", "other", [])["id"]
    built = store.create_environment_version(environment, "", b"", "context.zip")["id"]
    store.create_environment("without a version", "", "other", [])
    source = store.create_source(EVIL)["id"]
    store.create_source("without a version")
    version = store.create_source_version(source, {"baseEnvironmentVersionId": built, "label": "v7"}, [("a", b"")])[
        "id"
    ]
    application = store.create_application({"applicationSourceVersionId": version, "name": EVIL})["id"]
    store.set_application(application, status="running")
    asked = [{"at": "2026-04-01T10:11:12.000Z", "method": "GET", "path": f"/api/v2/{EVIL}", "status": 404, "ms": 1.5}]
    page = HTMLParser(console_page.draw(store, asked, "http://x/"))
    assert not page.css("script")
    applications, environments, sources, requests = page.css("section")
    link = applications.css_first("a")
    assert (link.attributes["href"], link.text()) == (f"/custom_applications/{application}/", EVIL)
    assert applications.css_first(".state.running")
    assert [one.text() for one in environments.css(".state")] == ["no version", "submitted"]
    assert "v7, 1 files" in sources.text()
    assert "10:11:12" in requests.text()


def test_what_was_removed_leaves_no_hole(store: Store) -> None:
    environment = store.create_environment("env", "", "other", [])["id"]
    built = store.create_environment_version(environment, "", b"", "context.zip")["id"]
    store.remove("environmentVersion", built)
    assert "no version" in console_page.draw(store, [], "http://x/")

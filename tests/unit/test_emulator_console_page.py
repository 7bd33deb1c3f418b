"""The page at the root of the local platform: what it shows, to whom, and that it trusts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from tests.contract.local_platform import FakeRunner
from toolkit.emulator import console_page
from toolkit.emulator.faults import Faults
from toolkit.emulator.store import Store
from toolkit.emulator.switches import Switches, changed

EVIL = '"><script>alert(1)</script>'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def shown(store: Store, *asked: dict[str, Any], switches: Switches | None = None, faults: Any = ()) -> HTMLParser:
    text = console_page.content(store, FakeRunner(store), asked, switches or Switches(), faults)
    return HTMLParser(console_page.draw("http://127.0.0.1:1/api/v2", "read-only", text))


def request(path: str, *, ago: float = 0, status: int = 200, **more: Any) -> dict[str, Any]:
    at = (datetime.now(UTC) - timedelta(minutes=ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"at": at, "method": "GET", "path": path, "query": "", "status": status, "ms": 1.5, **more}


def test_an_empty_platform_says_so(store: Store) -> None:
    page = shown(store)
    titles = ["Applications", "Execution environments", "Application sources", "Requests"]
    assert [one.text() for one in page.css("h2")] == titles
    assert len(page.css("p.none")) == 4
    assert "http://127.0.0.1:1/api/v2" in page.css_first("header").text()
    assert [one.text() for one in page.css(".figures b")] == ["0"] * 4
    assert not page.css(".notice")


def test_it_shows_everything_and_trusts_nothing(store: Store) -> None:
    environment = store.create_environment(EVIL, EVIL, "other", [])["id"]
    built = store.create_environment_version(environment, "", b"", "context.zip")["id"]
    store.set_build(built, "failed", log=EVIL, error=EVIL)
    store.create_environment("without a version", "", "other", [])
    source = store.create_source(EVIL)["id"]
    store.create_source("without a version")
    fields = {"baseEnvironmentVersionId": built, "label": "v7"}
    version = store.create_source_version(source, fields, [('a"><script>', b"")])["id"]
    application = store.create_application({"applicationSourceVersionId": version, "name": EVIL})["id"]
    store.set_application(application, status="running", _logs=[EVIL], _buildLog=EVIL)
    page = shown(store, request(f"/api/v2/{EVIL}", status=404, query=EVIL, fault=3))
    assert [one.attributes["src"] for one in page.css("script")] == ["/__emulator__/console/console.js"]
    applications, environments, sources, requests = page.css("section")
    assert applications.css_first("a").attributes["href"] == f"/custom_applications/{application}/"
    assert applications.css_first(".name").text() == EVIL
    assert applications.css_first(".state.running")
    assert EVIL in applications.css_first("pre").text()
    assert [one.text() for one in environments.css(".state")] == ["no version", "failed"]
    assert "latest v7" in sources.text()
    assert "1 file" in sources.text()
    assert "404" in requests.text()
    assert "fault 3" in requests.text()


def test_only_the_requests_of_the_last_minutes_count_and_not_its_own(store: Store) -> None:
    page = shown(store, request("/old", ago=20), request("/"), request("/__emulator__/console"), request("/new"))
    assert [one.text() for one in page.css("td.path")] == ["/new"]


def test_what_is_not_as_usual_is_said_at_the_top(store: Store) -> None:
    faults = Faults()
    faults.add({"rules": [{"path": EVIL, "status": 500}]})
    page = shown(store, switches=changed(Switches(), {"builds": "immediate"}), faults=faults.listed())
    first, second = page.css(".notice")
    assert "1 fault asked for" in first.text()
    assert EVIL in first.text()
    assert "builds" in second.text()


def test_what_was_removed_leaves_no_hole(store: Store) -> None:
    environment = store.create_environment("env", "", "other", [])["id"]
    built = store.create_environment_version(environment, "", b"", "context.zip")["id"]
    store.remove("environmentVersion", built)
    assert "no version" in shown(store).text()


@pytest.mark.parametrize(
    ("peer", "host", "local"),
    [
        ("127.0.0.1", "127.0.0.1:8085", True),
        ("127.0.0.1", "localhost:8085", True),
        ("::1", "[::1]:8085", True),
        ("127.0.0.1", "evil.example:8085", False),
        ("172.17.0.2", "127.0.0.1:8085", False),
        ("172.17.0.2", "host.docker.internal:8085", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[", False),
        (None, "localhost", False),
    ],
)
def test_only_this_machine_under_its_own_name_is_local(peer: str | None, host: str, local: bool) -> None:
    assert console_page.is_local(peer, host) is local

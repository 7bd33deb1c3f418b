"""Which refused calls of a page are no defect: those that it is made to go without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.apps.contexts import context
from toolkit.browsing.model import Asked, BrowserResult, Said, Visit
from toolkit.checks import browser, traffic
from toolkit.checks.seen import coped_with

HOST = "https://datarobot.invalid"
PREFIX = "/custom_applications/a1/"
CALL = Asked(f"{HOST}{PREFIX}settings.json", "GET", "fetch", "inside", "on load", 404, heeded=True)
SOUND = BrowserResult(
    HOST + PREFIX, PREFIX, "156", asked=(CALL,), visits=(Visit(HOST + PREFIX, "on load", 200, shown=True),)
)


def test_a_call_that_the_page_goes_without_is_no_defect() -> None:
    assert coped_with(SOUND) == {f"{PREFIX}settings.json"}
    assert coped_with(None) == frozenset()


@pytest.mark.parametrize(
    "changed",
    [
        {"asked": (replace(CALL, heeded=False),)},
        {"asked": (replace(CALL, status=500),)},
        {"said": (Said("TypeError", "x is not iterable", "", "on load", rejection=True),)},
        {"said": (Said("console", "Could not load settings", "", "on load"),)},
        {"visits": (replace(SOUND.visits[0], complains=True),)},
    ],
    ids=["nobody looked", "the server failed", "a script fails", "it is logged as an error", "the visitor is told"],
)
def test_a_call_that_is_missed_stays_one(changed: dict[str, object]) -> None:
    assert coped_with(replace(SOUND, **changed)) == frozenset()


def test_what_chromium_writes_of_a_refused_call_is_no_error_of_the_page() -> None:
    said = Said("console", "Failed to load resource: the server responded with a status of 404 ()", "", "on load")
    assert coped_with(replace(SOUND, said=(said,))) == {f"{PREFIX}settings.json"}


LOST = replace(SOUND.visits[0], lost="404 Not Found")


def test_a_page_that_does_not_know_its_own_address_has_a_router_without_its_base(tmp_path: Path) -> None:
    check = browser.page(context(tmp_path, browser=replace(SOUND, asked=(), visits=(LOST,))))
    assert (check.status, check.title) == ("fail", "The page says “404 Not Found” of its own address")
    assert "base" in check.hint


@pytest.mark.parametrize(
    "changed",
    [
        {"visits": (LOST,)},  # what is not found may be what it asked for
        {"asked": (), "visits": (SOUND.visits[0], replace(LOST, how="click on “More”"))},
    ],
    ids=["a call failed", "another page"],
)
def test_a_page_may_say_that_something_else_was_not_found(tmp_path: Path, changed: dict[str, object]) -> None:
    assert browser.page(context(tmp_path, browser=replace(SOUND, **changed))).status == "pass"


SCRIPT = Asked(f"{HOST}{PREFIX}a.js", "GET", "script", "inside", "on load", 200, "application/octet-stream")
REFUSED = Said("console", "Failed to load module script: Expected a JavaScript module", f"{SCRIPT.url}:1", "on load")


@pytest.mark.parametrize(
    ("kind", "said", "status"),
    [
        ("application/octet-stream", (), "pass"),  # a classic script runs whatever it is called
        ("text/plain", (), "pass"),
        ("text/html", (), "fail"),
        ("image/png", (), "fail"),
        ("application/octet-stream", (REFUSED,), "fail"),
        ("application/octet-stream", (replace(REFUSED, place=f"{HOST}{PREFIX}b.js:1"),), "pass"),
    ],
)
def test_a_script_of_another_type_counts_when_the_browser_does_not_run_it(
    tmp_path: Path, kind: str, said: tuple[Said, ...], status: str
) -> None:
    seen = replace(SOUND, asked=(replace(SCRIPT, content_type=kind),), said=said)
    assert traffic.requests(context(tmp_path, browser=seen)).status == status


def test_an_event_stream_that_a_compressor_holds_back_is_a_warning(tmp_path: Path) -> None:
    stream = Asked(f"{HOST}{PREFIX}events", "GET", "eventsource", "inside", "on load", 200, "text/event-stream")
    for compressed, status in ((False, "pass"), (True, "warn")):
        seen = replace(SOUND, asked=(replace(stream, compressed=compressed),))
        check = traffic.sockets(context(tmp_path, browser=seen))
        assert (check.status, "./events: it is compressed" in check.title) == (status, compressed)

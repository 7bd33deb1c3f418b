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


BLANK = replace(SOUND.visits[0], shown=False)
UNDEFINED = Said("TypeError", "Cannot read properties of undefined (reading 'map')", f"{HOST}{PREFIX}a.js:1", "on load")
NO_PROCESS = Said("ReferenceError", "process is not defined", f"{HOST}{PREFIX}a.js:1", "on load")
BROKEN = Said("SyntaxError", "Unexpected token ';'", f"{HOST}{PREFIX}a.js:1", "on load")
ELSEWHERE = Asked("https://cdn.example.com/x.js", "GET", "script", "elsewhere", "on load")


@pytest.mark.parametrize(
    ("asked", "said", "status"),
    [
        ((replace(CALL, status=502),), (UNDEFINED,), "warn"),  # there is no platform that could answer
        ((replace(CALL, status=0, failure="net::ERR_EMPTY_RESPONSE"),), (UNDEFINED,), "warn"),
        (
            (replace(CALL, method="POST", status=0, held_back=True),),
            (UNDEFINED,),
            "skip",
        ),  # the test itself held it back
        ((replace(CALL, status=502),), (NO_PROCESS,), "fail"),
        ((CALL,), (UNDEFINED,), "fail"),  # the server does not know this path
        ((), (UNDEFINED,), "fail"),
        ((ELSEWHERE,), (UNDEFINED,), "skip"),  # what is missing may come from there
        ((ELSEWHERE,), (NO_PROCESS,), "fail"),
        ((ELSEWHERE,), (BROKEN,), "fail"),
        ((ELSEWHERE,), (replace(BROKEN, place="https://cdn.example.com/x.js:1"),), "skip"),
    ],
)
def test_an_empty_page_is_a_failure_unless_something_is_missing_only_here(
    tmp_path: Path, asked: tuple[Asked, ...], said: tuple[Said, ...], status: str
) -> None:
    seen = replace(SOUND, asked=asked, said=said, visits=(BLANK,))
    assert browser.page(context(tmp_path, browser=seen)).status == status


@pytest.mark.parametrize("said", [NO_PROCESS, BROKEN])
def test_a_script_of_somebody_else_excuses_no_fault_of_the_app(tmp_path: Path, said: Said) -> None:
    seen = replace(SOUND, asked=(ELSEWHERE,), said=(said,))
    assert browser.errors(context(tmp_path, browser=seen)).status == "fail"


@pytest.mark.parametrize(
    "text",
    [
        "Failed to execute 'json' on 'Response': Unexpected end of JSON input",
        "Unexpected non-whitespace character after JSON at position 4",
        "Unexpected token '<', \"<!doctype \"... is not valid JSON",
    ],
)
def test_an_answer_that_is_no_json_is_no_fault_of_the_program(tmp_path: Path, text: str) -> None:
    said = Said("SyntaxError", text, f"{HOST}{PREFIX}a.js:1", "on load", rejection=True)
    seen = replace(SOUND, asked=(replace(CALL, status=502),), said=(said,))
    assert browser.errors(context(tmp_path, browser=seen)).status == "pass"

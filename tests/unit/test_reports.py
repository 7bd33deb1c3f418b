from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from toolkit.report import Check, Moment, SmokeReport, failed, passed, skipped, warned
from toolkit.reports import html, junit

NASTY = "<script>alert(1)</script>\"' onload=x & </pre></style> \x00\x1b[2J \ud800 \ufffe {{ 7*7 }} {% raw %}"
CHECKS = (
    passed("start.listens", "answers", "after 0.3 s"),
    skipped("environment.token", "no token"),
    warned("lifecycle.sigterm", "ignores SIGTERM", hint="exec"),
    failed("front.assets", NASTY, NASTY, evidence=[NASTY], hint=NASTY),
    replace(warned("crawl.links", "./old answers 404"), accepted="known since 2020"),
)


def report(*checks: Check) -> SmokeReport:
    return SmokeReport(
        {"digest": "d1", "base": NASTY},
        2.5,
        checks or CHECKS,
        timeline=(Moment("start", 0.0, 0.5), Moment(NASTY, 0.5, 2.0)),
        log=("listening", NASTY),
        notes=(NASTY,),
        screenshot=b"\x89PNG",
    )


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    return elements


def test_nothing_of_the_app_becomes_markup_and_nothing_is_loaded() -> None:
    page = parsed(html.render(report(), app=NASTY, when=NASTY))
    assert {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed", "base", "form"} == set()
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "{{ 7*7 }}" in page.text
    assert "49" not in page.text


def test_the_page_holds_everything() -> None:
    page = parsed(html.render(report(), app="items", when="today"))
    for words in ("ignores SIGTERM", "known since 2020", "listening", "answers", "no token", "2.5 s", "items", "d1"):
        assert words in page.text
    assert any(tag == "img" and (found.get("src") or "").startswith("data:image/png") for tag, found in page.tags)


@pytest.mark.parametrize("checks", [(passed("start.listens", "fine"),), (skipped("own.check", "x"),)])
def test_a_page_without_findings_or_pictures_is_drawn(checks: tuple[Check, ...]) -> None:
    bare = replace(report(*checks), screenshot=None, timeline=(), log=(), notes=(), release={})
    assert "This app runs on DataRobot" in html.render(bare)


def test_the_timeline_never_leaves_its_track() -> None:
    bars = html._bars([Moment("a", 0, 1), Moment("b", 9, 5)], 3.0)
    assert all(0 <= bar.left <= 100 and bar.left + bar.width <= 100.01 for bar in bars)


def test_junit_is_wellformed_and_counts() -> None:
    document = ElementTree.fromstring(junit.render(report()))
    assert document.attrib["tests"] == "5"
    assert document.attrib["failures"] == "1"
    assert document.attrib["skipped"] == "2"
    cases = {case.attrib["name"]: case for case in document.iter("testcase")}
    assert list(cases) == [check.id for check in CHECKS]
    assert "alert(1)" in cases["front.assets"].find("failure").attrib["message"]  # type: ignore[union-attr]
    assert cases["crawl.links"].find("skipped").attrib["message"] == "accepted: known since 2020"  # type: ignore[union-attr]
    assert "warning: ignores SIGTERM" in cases["lifecycle.sigterm"].findtext("system-out", "")

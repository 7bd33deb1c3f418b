from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.checks.catalog import FAMILIES, QUESTIONS
from toolkit.checks.merge import merge, worst_first
from toolkit.report import Check, failed, passed, skipped, warned

BASE = "http://127.0.0.1:4000/custom_applications/a1/"


def by_id(*checks: Check) -> dict[str, Check]:
    return {check.id: check for check in merge(checks)}


def test_every_answer_carries_its_question_in_the_order_of_the_catalog() -> None:
    merged = merge([passed("lifecycle.sigterm", "stops"), passed("source.hooks", "there"), passed("own.check", "x")])
    assert [check.id for check in merged] == ["source.hooks", "lifecycle.sigterm", "own.check"]
    assert merged[0].question == QUESTIONS["source.hooks"]


def test_every_id_that_a_check_gives_is_in_the_catalog(root: Path) -> None:
    used = set()
    for path in (root / "infra" / "toolkit" / "checks").glob("*.py"):
        if path.name == "merge.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used |= set(re.findall(rf"^(?:{'|'.join(FAMILIES)})\.[a-z-]+$", node.value))
    assert used <= set(QUESTIONS)


@pytest.mark.parametrize(
    "known",
    [
        failed("front.assets", "./app.js answers 404", about=[BASE + "app.js"]),
        failed("front.assets", "3 assets do not work, first ./app.js answers 404"),
        failed("front.assets", "3 assets do not work", evidence=["./:3  ./x.js", "./:4  ./app.js"]),
    ],
)
def test_what_the_crawl_says_already_is_one_finding(known: Check) -> None:
    seen = failed("browser.requests", "./app.js answers 404 (script)", about=[BASE + "app.js"])
    merged = by_id(known, seen)
    assert merged["browser.requests"].status == "skip"
    assert "front.assets" in merged["browser.requests"].title
    assert merged["front.assets"].evidence[-1] == "in the browser: ./app.js answers 404 (script)"


def test_what_somebody_has_accepted_explains_nothing_away() -> None:
    old = failed("front.assets", "./old.js answers 404")
    empty = failed("browser.page", "The page is empty")
    errors = failed("browser.errors", "TypeError: x is undefined")
    accepted = {"front.assets"}
    found = {check.id: check for check in merge([old, empty, errors], lambda check: check.id in accepted)}
    assert {check_id: check.status for check_id, check in found.items()} == {
        "front.assets": "fail",
        "browser.page": "fail",
        "browser.errors": "skip",  # it follows from the empty page
    }
    assert found["front.assets"].evidence == ()


@pytest.mark.parametrize("accepted", ["build.output", "start.listens"])
def test_an_accepted_build_is_not_blamed_nor_for_what_is_accepted(accepted: str) -> None:
    swallowed = warned("build.output", "printed errors", evidence=["error: no such module"])
    lost = failed("start.listens", "Cannot find module dist/server.js")
    found = {check.id: check for check in merge([swallowed, lost], lambda check: check.id == accepted)}
    assert (found["build.output"].status, found["start.listens"].status) == ("warn", "fail")


def test_what_only_the_browser_sees_stays() -> None:
    known = failed("front.assets", "./app.js answers 404", about=[BASE + "app.js"])
    seen = failed("browser.requests", "./lazy.js answers 404", about=[BASE + "app.js", BASE + "lazy.js"])
    assert by_id(known, seen)["browser.requests"].status == "fail"


def test_a_failure_is_not_hidden_behind_a_warning() -> None:
    known = warned("crawl.links", "./app.js answers 404", about=[BASE + "app.js"])
    seen = failed("browser.requests", "./app.js answers 404", about=[BASE + "app.js"])
    assert by_id(known, seen)["browser.requests"].status == "fail"


def test_what_follows_from_a_failure_names_it_and_is_no_finding_of_its_own() -> None:
    merged = by_id(
        failed("front.prefix", "/app.js leaves the prefix"),
        failed("browser.page", "The page stays empty"),
        warned("browser.errors", "A script fails"),
    )
    assert {name: check.status for name, check in merged.items()} == {
        "front.prefix": "fail",
        "browser.page": "skip",
        "browser.errors": "skip",
    }
    assert "in the browser: The page stays empty" in merged["front.prefix"].evidence


def test_the_error_is_told_with_the_page_that_it_leaves_empty() -> None:
    merged = by_id(
        failed("browser.page", "The page stays empty"), failed("browser.errors", "A script fails: process is no")
    )
    assert merged["browser.errors"].status == "skip"
    assert merged["browser.page"].status == "fail"
    assert merged["browser.page"].evidence == ("in the browser: A script fails: process is no",)


def test_good_answers_are_left_as_they_are() -> None:
    checks = [passed("front.assets", "fine"), skipped("browser.page", "no browser")]
    assert [replace(check, question="") for check in merge(checks)] == checks


def test_the_worst_comes_first_and_what_is_accepted_is_no_finding() -> None:
    accepted = replace(failed("front.page", "x"), accepted="known")
    checks = [warned("crawl.links", "w"), accepted, failed("start.probe", "f"), passed("crawl.hosts", "p")]
    assert [check.id for check in worst_first(checks)] == ["start.probe", "crawl.links"]


@pytest.mark.parametrize("output", [warned, passed])
def test_a_build_that_went_on_is_the_cause_of_what_is_missing(output: Callable[..., Check]) -> None:
    said = "cp: cannot stat 'src': No such file or directory"
    merged = by_id(
        output("build.output", "it went on", evidence=[said]),
        failed("start.probe", "The platform's probe GET / is answered with 404", hint="x"),
    )
    assert merged["build.output"].status == "fail"
    assert merged["build.output"].title == (
        f"build-app.sh printed errors, but ended with success ({said}): the platform's probe GET / is answered with 404"
    )
    assert merged["start.probe"].status == "skip"


def test_a_build_that_ended_early_is_the_cause_of_what_is_missing() -> None:
    merged = by_id(
        passed("build.output", "it ended", evidence=["build-app.sh:3  exit 0"]),
        failed("start.probe", "The platform's probe GET / is answered with 404", hint="x"),
    )
    assert merged["build.output"].title == (
        "build-app.sh ended before its last line (build-app.sh:3  exit 0): "
        "the platform's probe GET / is answered with 404"
    )
    assert "did not run" in merged["build.output"].hint
    assert merged["start.probe"].status == "skip"


def test_a_build_that_went_on_is_not_the_cause_of_everything() -> None:
    merged = by_id(
        warned("build.output", "it went on", evidence=["error: x"]),
        failed("start.probe", "The platform's probe GET / is answered with 401", hint="x"),
    )
    assert (merged["build.output"].status, merged["start.probe"].status) == ("warn", "fail")

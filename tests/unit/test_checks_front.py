from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.apps.contexts import OK, RUNNING, START, QuietApp, context, crawled, exited, finding
from toolkit.checks import front
from toolkit.checks.context import Waited
from toolkit.judging import Problem


def test_a_sound_app_passes(tmp_path: Path) -> None:
    sound = context(tmp_path)
    assert [check(sound).status for check in (front.page, front.prefix, front.assets)] == ["pass"] * 3


def test_one_url_that_leaves_the_prefix_is_the_title_and_has_its_places(tmp_path: Path) -> None:
    files = {"public/app.js": 'a();\nfetch("/api/items");\n'}
    outside = finding(
        Problem.OUTSIDE, "/api/items", "fetch() /api/items goes to /api/items, outside", named_by=("./app.js:1",)
    )
    grep = QuietApp('./dist/app.js:1:fetch("/api/items")\n./public/app.js:2:same file as shipped\n')
    check = front.prefix(context(tmp_path, files, crawled=crawled(outside), app=grep))
    assert (check.status, check.title) == ("fail", "fetch() /api/items goes to /api/items, outside")
    places = [line.removesuffix("  /api/items") for line in check.evidence]
    assert places == ["./app.js:1", "public/app.js:2", "index.ts:9", "dist/app.js:1"]


def test_a_wrong_base_comes_first(tmp_path: Path) -> None:
    base = finding(Problem.OUTSIDE, "/", '<base href="/"> moves every relative URL')
    check = front.prefix(context(tmp_path, crawled=crawled(finding(Problem.OUTSIDE, "/x"), base)))
    assert '2 URLs leave the app\'s prefix, first <base href="/">' in check.title
    assert "<base" in check.hint


def test_many_findings_are_counted_and_cut(tmp_path: Path) -> None:
    many = [finding(Problem.MISSING, f"x{n}.png", f"./x{n}.png answers 404") for n in range(30)]
    check = front.assets(context(tmp_path, crawled=crawled(*many)))
    assert check.title == "30 assets do not work, first ./x0.png answers 404"
    assert "… and 20 more" in check.evidence
    assert len(check.evidence) < 20


def test_bun_s_html_imports_get_their_own_hint(tmp_path: Path) -> None:
    check = front.prefix(context(tmp_path, crawled=crawled(finding(Problem.OUTSIDE, "/_bun/asset/x.css"))))
    assert "Bun.build" in check.hint


def test_datarobot_s_own_paths_are_a_warning(tmp_path: Path) -> None:
    check = front.prefix(context(tmp_path, crawled=crawled(finding(Problem.PLATFORM, "/account/profile"))))
    assert (check.status, check.title) == ("warn", "The page asks DataRobot itself for /account/profile")


def test_a_page_that_does_not_come_up_is_one_finding(tmp_path: Path) -> None:
    redirect = finding(Problem.REDIRECT, "/login", "./ redirects to /login, which leaves", url=START, of_start=True)
    down = context(tmp_path, crawled=crawled(redirect))
    assert front.page(down).title == "The page does not come up: ./ redirects to /login, which leaves"
    assert "relative Location" in front.page(down).hint
    assert (front.prefix(down).status, front.assets(down).status) == ("skip", "skip")


def test_what_the_probe_already_told_is_not_told_again(tmp_path: Path) -> None:
    missing = finding(Problem.MISSING, START, "./ answers 401", url=START, of_start=True)
    waited = Waited(replace(OK, status=401), 0.1, RUNNING)
    assert front.page(context(tmp_path, crawled=crawled(missing), waited=waited)).status == "skip"
    assert front.page(context(tmp_path, crawled=crawled(missing))).status == "fail"


@pytest.mark.parametrize("check", [front.page, front.prefix, front.assets])
def test_an_app_that_died_meanwhile_is_not_blamed_twice(tmp_path: Path, check: object) -> None:
    died = context(tmp_path, state=exited(9), crawled=crawled(finding(Problem.MISSING, "a.js")))
    answer = check(died)  # type: ignore[operator]
    assert (answer.status, answer.title) == ("skip", "the app stopped while it was being used")


def test_a_page_that_server_code_imports_is_named_as_the_cause(tmp_path: Path) -> None:
    server = {"index.ts": 'import { serve } from "bun";\nimport page from "./index.html";\nserve({});\n'}
    outside = finding(Problem.OUTSIDE, "/chunk-1.js", "<script src> /chunk-1.js goes to /chunk-1.js, outside")
    check = front.prefix(context(tmp_path, server, crawled=crawled(outside)))
    assert 'index.ts:2  import page from "./index.html";' in check.evidence
    assert "HTML import" in check.hint

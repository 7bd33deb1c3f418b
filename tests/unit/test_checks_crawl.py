from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.apps.contexts import context, crawled, finding
from toolkit.checks import crawl
from toolkit.crawl import Answer
from toolkit.judging import Problem
from toolkit.references.model import Kind


def test_a_sound_app_passes(tmp_path: Path) -> None:
    sound = context(tmp_path)
    assert [check(sound).status for check in (crawl.links, crawl.hosts, crawl.complete)] == ["pass"] * 3


def test_dead_links_are_a_warning(tmp_path: Path) -> None:
    check = crawl.links(context(tmp_path, crawled=crawled(finding(Problem.DEAD_LINK, "gone", "./gone answers 404"))))
    assert (check.status, check.title, check.evidence) == ("warn", "./gone answers 404", ("./:3  gone",))


def test_a_link_that_needs_the_platform_is_not_dead(tmp_path: Path) -> None:
    one = finding(Problem.DEAD_LINK, "use-cases", "./use-cases answers 502", kind=Kind.PAGE)
    answer = Answer(one.url, "use-cases", Kind.PAGE, 502, "text/plain", 0, 0.1, "")
    check = crawl.links(context(tmp_path, crawled=crawled(one, answers=(answer,))))
    assert (check.status, check.evidence) == ("pass", ("./:3  use-cases",))
    check = crawl.links(context(tmp_path, crawled=crawled(one, answers=(replace(answer, status=404),))))
    assert check.status == "warn"


def test_a_call_to_the_visitor_s_machine_fails_and_a_link_warns(tmp_path: Path) -> None:
    call = finding(Problem.LOOPBACK, "http://localhost:3000/", "fetch() …", kind=Kind.CALL)
    link = finding(Problem.LOOPBACK, "http://localhost:3000/", "<a href> …", kind=Kind.PAGE)
    assert crawl.hosts(context(tmp_path, crawled=crawled(link, call))).status == "fail"
    assert crawl.hosts(context(tmp_path, crawled=crawled(link))).status == "warn"


def test_plain_http_fails(tmp_path: Path) -> None:
    check = crawl.hosts(context(tmp_path, crawled=crawled(finding(Problem.INSECURE, "ws://x.test/", kind=Kind.SOCKET))))
    assert (check.status, check.hint) == ("fail", "Use https: or wss:.")


def test_other_hosts_are_listed(tmp_path: Path) -> None:
    check = crawl.hosts(context(tmp_path, crawled=crawled(hosts={"cdn.test": "./:4"})))
    assert (check.status, check.evidence) == ("pass", ("cdn.test (./:4)",))


def test_a_crawl_that_was_cut_is_told(tmp_path: Path) -> None:
    check = crawl.complete(context(tmp_path, crawled=crawled(finding(Problem.LIMIT, "", "More than 5 URLs"))))
    assert (check.status, check.title) == ("warn", "More than 5 URLs")


def test_an_encoding_that_browsers_misread_is_a_warning(tmp_path: Path) -> None:
    wrong = finding(Problem.ENCODING, "./", "./ says nothing of its encoding, so browsers do not read it as UTF-8")
    check = crawl.encoding(context(tmp_path, crawled=crawled(wrong)))
    assert (check.status, check.title.split(":")[0]) == ("warn", wrong.message)
    assert crawl.encoding(context(tmp_path)).status == "pass"

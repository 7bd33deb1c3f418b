from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import accepted
from toolkit.accepted import Acceptance
from toolkit.errors import ConfigurationError
from toolkit.report import Check, SmokeReport, failed, passed, skipped, warned


def report(*checks: Check) -> SmokeReport:
    return SmokeReport({"digest": "d"}, 1.0, checks)


def entry(**changes: str) -> Acceptance:
    return Acceptance(**{"id": "crawl.links", "reason": "known", "place": "smoke.toml", **changes})


def test_an_accepted_finding_stays_in_the_report_and_passes() -> None:
    judged = accepted.apply(report(warned("crawl.links", "./old answers 404")), [entry(pattern="old")])
    assert judged.verdict == "pass"
    assert judged.checks[0].status == "warn"
    assert judged.checks[0].accepted == "known"
    assert judged.notes == ()


def test_another_finding_of_the_same_check_is_not_accepted() -> None:
    judged = accepted.apply(report(warned("crawl.links", "./new answers 404")), [entry(pattern="old")])
    assert judged.verdict == "warn"
    assert "accepts nothing any more" in judged.notes[0]


def test_what_comes_on_top_of_an_accepted_finding_is_not_accepted() -> None:
    two = warned(
        "crawl.links", "2 links lead nowhere, first ./old answers 404", evidence=["./:1  ./old", "./:2  ./new"]
    )
    assert accepted.apply(report(two), [entry(pattern="old")]).verdict == "warn"
    assert accepted.apply(report(two), [entry(pattern="old|new")]).verdict == "pass"
    assert accepted.apply(report(two), [entry()]).verdict == "pass"


def test_unknown_and_stale_entries_are_said() -> None:
    judged = accepted.apply(report(passed("crawl.links", "all fine")), [entry(), entry(id="front.asets")])
    assert len(judged.notes) == 2
    assert "accepts nothing any more" in judged.notes[0]
    assert "no such check" in judged.notes[1]


def test_an_entry_for_what_was_not_asked_is_not_stale() -> None:
    assert accepted.apply(report(skipped("crawl.links", "down")), [entry()]).notes == ()
    assert accepted.apply(report(), [entry()]).notes == ()


def test_judging_again_gives_the_same_and_takes_back_what_was_removed() -> None:
    once = accepted.apply(report(failed("front.page", "x")), [entry(id="front.page"), entry(id="no.such")])
    assert accepted.apply(once, [entry(id="front.page"), entry(id="no.such")]) == once
    assert accepted.apply(once, []).verdict == "fail"


@pytest.mark.parametrize("name", ["smoke.toml", "pyproject.toml"])
@pytest.mark.parametrize("place", [".", "web", "web/app"])
def test_the_list_is_found_beside_or_above_the_app(tmp_path: Path, name: str, place: str) -> None:
    app = tmp_path / "web" / "app"
    app.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    head = "[[accept]]" if name == "smoke.toml" else "[[tool.smoke.accept]]"
    (tmp_path / place / name).write_text(f'{head}\nid = "crawl.links"\nreason = "old"\npattern = "a.b"\n')
    assert accepted.read(app) == (Acceptance("crawl.links", "old", "a.b", name),)


def test_a_list_outside_the_repository_is_not_ours(tmp_path: Path) -> None:
    app = tmp_path / "repository" / "app"
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    app.mkdir()
    (tmp_path / "smoke.toml").write_text('[[accept]]\nid = "crawl.links"\nreason = "x"\n')
    (app / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert accepted.read(app) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[accept]]\nid = "crawl.links"', "has no reason"),
        ('[[accept]]\nid = "crawl.links"\nreason = "  "', "has no reason"),
        ('[[accept]]\nreason = "x"', "has no id"),
        ('[[accept]]\nid = "a.b"\nreason = "x"\npatern = "y"', "unknown key patern"),
        ('[[accept]]\nid = "a.b"\nreason = "x"\npattern = "("', "no regular expression"),
        ("accept = 1", "no list of tables"),
        ("accept = [1]", "no table of texts"),
        ("[[accept", "no TOML"),
    ],
)
def test_a_list_that_cannot_be_understood_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "smoke.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        accepted.read(tmp_path)
    assert caught.value.hint

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.report import Check, Moment, SmokeReport, failed, passed, skipped, warned

CHECKS = (
    passed("start.listens", "answers"),
    skipped("environment.token", "no token"),
    failed("front.assets", "./a.css answers 404", "expected 200", evidence=["./:3"], hint="build it"),
)


def report(*checks: Check) -> SmokeReport:
    return SmokeReport({"digest": "d1"}, 1.23456, checks, {"": "aa", "a.js": "bb"})


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ((), "pass"),
        ((passed("a.b", ""), skipped("a.c", "")), "pass"),
        ((passed("a.b", ""), warned("a.c", "")), "warn"),
        ((warned("a.c", ""), failed("a.d", "")), "fail"),
    ],
)
def test_the_verdict_is_the_worst_status(checks: tuple[Check, ...], verdict: str) -> None:
    assert report(*checks).verdict == verdict


def test_the_document_has_the_published_shape() -> None:
    document = report(*CHECKS).to_json()
    assert {key: document[key] for key in ("report_version", "verdict", "release", "seconds")} == {
        "report_version": 1,
        "verdict": "fail",
        "release": {"digest": "d1"},
        "seconds": 1.235,
    }
    assert document["checks"][2] == {
        "id": "front.assets",
        "family": "front",
        "status": "fail",
        "title": "./a.css answers 404",
        "detail": "expected 200",
        "evidence": ["./:3"],
        "hint": "build it",
        "seconds": 0.0,
        "question": "",
        "accepted": "",
    }


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    written = replace(report(*CHECKS), timeline=(Moment("start", 0.5, 1.25),), log=("listening",), screenshot=b"png")
    written = replace(written, wrote=False)
    written.write(path)
    read = SmokeReport.read(path)
    assert read.to_json() == written.to_json()
    assert read.timeline == written.timeline
    assert (read.log, read.wrote) == (("listening",), False)
    assert read.served == {"": "aa", "a.js": "bb"}
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"report_version": 2}', '{"report_version": 1}', '{"report_version": 1, "checks": [{}]}']
)
def test_anything_else_is_no_report(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        SmokeReport.read(path)


def test_a_failed_write_keeps_the_old_document(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report().write(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        SmokeReport({"digest": object()}, 0.0, ()).write(path)  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert json.loads(before)["verdict"] == "pass"


def test_an_accepted_answer_does_not_count() -> None:
    accepted = replace(failed("front.assets", "./a.css answers 404"), accepted="an old link that nobody follows")
    assert report(accepted).verdict == "pass"
    assert report(accepted, warned("crawl.links", "doubtful")).verdict == "warn"


def test_a_report_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    old = report(*CHECKS).to_json()
    for key in ("timeline", "log", "notes", "wrote"):
        del old[key]
    for check in old["checks"]:
        del check["question"], check["accepted"]
    path.write_text(json.dumps(old))
    assert SmokeReport.read(path).checks == CHECKS
    assert SmokeReport.read(path).wrote

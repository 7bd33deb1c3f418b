"""Which browser a smoke test gets, also the one before a deployment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from toolkit import gate
from toolkit.bench import Bench
from toolkit.errors import ToolMissing
from toolkit.report import SmokeReport, failed, passed, warned
from toolkit.tools import Places


def bench(folder: Path, **environ: str) -> Bench:
    return Bench(Places(folder, folder, folder, folder), environ, lambda _event: None)


def test_a_browser_looks_when_there_is_one_unless_nobody_wants_it(tmp_path: Path) -> None:
    chromium = tmp_path / "chromium"
    chromium.write_text("#!/bin/sh\n")
    chromium.chmod(0o755)
    there, nowhere = bench(tmp_path, CHROMIUM=str(chromium), PATH=""), bench(tmp_path, HOME=str(tmp_path), PATH="")
    assert gate.find_browser("auto", there) == chromium
    assert gate.find_browser("on", there) == chromium
    assert gate.find_browser("off", there) is None
    assert gate.find_browser("auto", nowhere) is None


def test_how_a_smoke_test_ended_is_told_in_numbers() -> None:
    report = SmokeReport({}, 0.0, (passed("start.probe", "y"), warned("crawl.links", "x", hint="h")))
    assert gate.outcome(report) == "2 checks, warn"
    assert gate.outcome(replace(report, checks=(failed("build.hook", "z", hint="h"), *report.checks))) == (
        "1 of 3 checks"
    )


def test_a_browser_that_has_to_be_there_and_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="there is no Chromium"):
        gate.find_browser("on", bench(tmp_path, HOME=str(tmp_path), PATH=""))
    with pytest.raises(ToolMissing, match="CHROMIUM=/nowhere/chrome is no browser"):
        gate.find_browser("on", bench(tmp_path, CHROMIUM="/nowhere/chrome", PATH=""))

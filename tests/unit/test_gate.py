"""Which browser a smoke test gets, also the one before a deployment; and which proof of an earlier run still counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import ImageNotFound

from toolkit import engine as engines
from toolkit import gate
from toolkit import settings as configuration
from toolkit.accepted import Acceptance
from toolkit.bench import Bench
from toolkit.errors import ToolMissing
from toolkit.image.environment import digest_now
from toolkit.options import SmokeOptions
from toolkit.report import Check, SmokeReport, failed, passed, warned
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


def test_how_long_an_app_has_to_stay_up_is_a_setting(tmp_path: Path) -> None:
    def settle(**told: str) -> float:
        return gate.smoke_options(configuration.load(told, None, stack="local", root=tmp_path)).settle

    assert (settle(), settle(SMOKE_SETTLE_SECONDS="60")) == (3.0, 60.0)


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


# --- Which proof counts -----------------------------------------------------------------------------------------------


class Engine:
    """An engine that has these images, by their names."""

    def __init__(self, **images: str) -> None:
        self.images = self
        self._images = images
        self.closed = False

    def get(self, name: str) -> Any:
        if name not in self._images:
            raise ImageNotFound(name)
        return SimpleNamespace(id=self._images[name], labels={})

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def release(tmp_path: Path) -> Any:
    context = tmp_path / "environment"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM base\n")
    return SimpleNamespace(context=context, digest="release")


def stands(release: Any, engine: Engine | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bool:
    def connect(*_given: Any, **_options: Any) -> tuple[Any, None]:
        if engine is None:
            raise ToolMissing("No container engine answers.", hint="")
        return engine, None

    monkeypatch.setattr(engines, "connect", connect)
    first: Any = Engine(base="sha256:1")
    proved = SmokeReport({"environment": digest_now(first, release.context)}, 0.0, ())
    return gate._stands(proved, release, bench(tmp_path))


@pytest.mark.parametrize(
    ("engine", "standing"),
    [
        (Engine(base="sha256:1"), True),
        (Engine(base="sha256:2"), False),  # somebody has pulled a newer one
        (Engine(), True),
    ],
)
def test_a_proof_ends_with_its_base_image(
    engine: Engine, standing: bool, release: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert stands(release, engine, monkeypatch, tmp_path) is standing
    assert engine.closed


def test_a_proof_stands_where_nothing_can_be_built(
    release: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert stands(release, None, monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("check", "release", "counts"),
    [
        (passed("crawl.links", "x"), {"environment": "e"}, True),
        (warned("crawl.links", "x", hint="h"), {"environment": "e"}, True),
        (failed("crawl.links", "x", hint="h"), {"environment": "e"}, False),  # it was not accepted when it ran
        (passed("crawl.links", "x"), {}, False),  # nothing was built
    ],
)
def test_what_has_failed_is_no_proof_whatever_is_accepted_since(
    check: Check, release: dict[str, str], counts: bool, tmp_path: Path
) -> None:
    path = tmp_path / "proof.json"
    SmokeReport(release, 0.0, (check,)).write(path)
    accept = [Acceptance("crawl.links", "known")]
    assert (gate._valid_report(path, accept) is not None) is counts


def test_a_proof_is_that_of_one_browser_and_of_this_toolkit(
    release: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chromium, toolkit = tmp_path / "chromium", tmp_path / "toolkit"
    chromium.write_text("one")
    (toolkit / "in_page").mkdir(parents=True)
    (toolkit / "in_page" / "watch.js").write_text("one")
    monkeypatch.setattr(gate, "__file__", str(toolkit / "gate.py"))

    def key(browser: Path | None = chromium, settle: float = 3.0) -> str:
        return gate._proof_key(release, SmokeOptions(browser=browser, settle=settle))

    before = key()
    assert key() == before
    assert key(None) != before
    assert key(settle=30.0) != before
    chromium.write_text("other")
    newer = key()
    assert newer != before
    (toolkit / "in_page" / "watch.js").write_text("two")
    assert key() not in (before, newer)

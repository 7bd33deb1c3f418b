"""Smoke with a browser: faults that only show when the app is used, and sound apps that do the same things."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.apps import measure
from tests.apps.bun_apps import BunApp
from tests.engine.test_smoke import Ground, at_once, expected, ground, told
from toolkit.browsing.finding import find_chromium
from toolkit.report import SmokeReport

__all__ = ["ground"]
pytestmark = [
    pytest.mark.engine,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
APPS = measure.USED


@pytest.fixture(scope="module")
def reports(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[SmokeReport]]]:
    chromium = find_chromium(os.environ)
    assert chromium is not None
    with at_once(2, ground, APPS, tmp_path_factory.mktemp("apps"), browser=chromium) as reports:
        yield reports


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_what_a_person_would_meet_is_told(app: BunApp, reports: dict[str, Future[SmokeReport]]) -> None:
    report = reports[app.name].result()
    assert expected(told(report, "fail"), app.fails), (told(report, "fail"), told(report, "warn"))
    assert expected(told(report, "warn"), app.warns), told(report, "warn")


def test_nothing_is_left_of_them(ground: Ground, reports: dict[str, Future[SmokeReport]]) -> None:
    for report in reports.values():
        report.result()
    assert not ground.containers()

"""Smoke with a browser: faults that only show when the app is used, and sound apps that do the same things."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.apps import browser_apps, whole_apps
from tests.apps.bun_apps import BunApp
from tests.engine.test_smoke import Ground, expected, ground, told
from toolkit import smoke
from toolkit.browser import find_chromium

__all__ = ["ground"]
pytestmark = [pytest.mark.engine, pytest.mark.browser]


@pytest.mark.parametrize("app", (*browser_apps.ALL, *whole_apps.SEEN), ids=lambda app: app.name)
def test_what_a_person_would_meet_is_told(app: BunApp, ground: Ground, tmp_path: Path) -> None:
    chromium = find_chromium(os.environ)
    assert chromium is not None
    built, staged, options = ground.prepare(app, tmp_path)
    report = smoke.run(ground.engine, built, staged, replace(options, browser=chromium), host=ground.host)
    assert expected(told(report, "fail"), app.fails), (told(report, "fail"), told(report, "warn"))
    assert expected(told(report, "warn"), app.warns), told(report, "warn")
    assert not ground.containers()

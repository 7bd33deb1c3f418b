"""What `invoke smoke` refuses before anything is started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from invoke.exceptions import Exit

from toolkit import settings as configuration
from toolkit.commands import proving
from toolkit.console import Console

ROOT = Path(__file__).resolve().parents[2]
OPTIONS: dict[str, Any] = {
    "overrides": {},
    "env_file": "",
    "mode": "strip",
    "browser": "off",
    "only": "",
    "fresh": False,
    "keep": False,
    "watch": False,
    "json_to": "",
    "junit": "",
    "html": "",
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mode": "both"}, "--mode both is not understood"),
        ({"browser": "firefox"}, "--browser firefox is not understood"),
        ({"only": "front,nonsense"}, "--only nonsense is not understood"),
    ],
)
def test_options_that_are_not_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, str], words: str
) -> None:
    with pytest.raises(Exit) as ended:
        proving.smoke(tmp_path, "", **{**OPTIONS, **changed})
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_what_says_nothing_when_the_app_is_broken_on_purpose_is_refused() -> None:
    command = [sys.executable, "-m", "invoke", "smoke", "--prove", "--browser", "on", "--watch"]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "--prove does not go with --browser, --watch." in ended.stderr


def test_a_browser_that_has_to_be_there_and_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "gone"))
    with pytest.raises(Exit) as ended:
        proving.smoke(tmp_path, "", **{**OPTIONS, "browser": "on"})
    assert ended.value.code == 10
    assert "gone is no browser" in capsys.readouterr().err


def test_what_is_saved_during_a_run_is_smoked_after_it(tmp_path: Path) -> None:
    app, environment = tmp_path / "app", tmp_path / "environment"
    app.mkdir()
    environment.mkdir()
    told = {"APP_DIR": str(app), "ENVIRONMENT_DIR": str(environment)}
    runs = []

    def once() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            (app / "index.ts").write_text("saved meanwhile")
            return
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        proving._at_every_change(
            Console(),
            once,
            lambda: configuration.load(told, tmp_path / ".env", stack="dev", root=tmp_path, defaults={}),
        )
    assert runs == [0, 1]


def test_an_app_that_cannot_ship_gets_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app, environment = tmp_path / "app", tmp_path / "environment"
    app.mkdir()
    environment.mkdir()
    (environment / "Dockerfile").write_text("FROM oven/bun:1-debian\n")
    (app / "start-app.sh").write_bytes(b"#!/bin/sh\r\nexec bun index.ts\r\n")
    (app / "build-app.sh").write_text("#!/bin/sh\n")
    report = tmp_path / "report.json"
    overrides = {"APP_DIR": str(app), "ENVIRONMENT_DIR": str(environment)}
    with pytest.raises(Exit) as ended:
        proving.smoke(tmp_path, "", **{**OPTIONS, "overrides": overrides, "json_to": str(report)})
    assert ended.value.code == 4
    (check,) = json.loads(report.read_text())["checks"]
    assert (check["id"], check["status"]) == ("source.hooks", "fail")
    assert check["title"].startswith("The app cannot ship: start-app.sh:1: ends like a Windows line (CRLF)")

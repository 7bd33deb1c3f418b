"""Every kind of change converges in one deployment, with the application's id and URL kept, in both behaviours.

The provider replaces a source on a change of its inputs (`recorded`, 0.10.43), or updates it (`in-place`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack.checkout import DOCKERFILE, Checkout
from toolkit.plan import Call, collapsed

pytestmark = [pytest.mark.stack, pytest.mark.engine]

Change = Callable[[Checkout], dict[str, str]]


def _content(checkout: Checkout) -> dict[str, str]:
    page = checkout.root / "custom_application" / "index.html"
    page.write_text(page.read_text().replace("first", "second"))
    return {}


def _added(checkout: Checkout) -> dict[str, str]:
    checkout.write("custom_application/more/added.txt", "new\n")
    return {}


def _renamed(checkout: Checkout) -> dict[str, str]:
    folder = checkout.root / "custom_application" / "more"
    (folder / "added.txt").rename(folder / "renamed.txt")
    return {}


def _removed(checkout: Checkout) -> dict[str, str]:
    shutil.rmtree(checkout.root / "custom_application" / "more")
    return {}


def _mode(checkout: Checkout) -> dict[str, str]:
    (checkout.root / "custom_application" / "notes.txt").chmod(0o755)
    return {}


def _dockerfile(checkout: Checkout) -> dict[str, str]:
    checkout.write("custom_environment/Dockerfile", DOCKERFILE + "ENV CHANGED=yes\n")
    return {}


def _replicas(_checkout: Checkout) -> dict[str, str]:
    return {"APP_REPLICAS": "2"}


SIZED = {
    "APP_REPLICAS": "2",
    "APP_BUNDLE": "cpu.small",
    "APP_HEALTH_PATH": "/site.css",
    "APP_AUTO_STOP": "false",
}


def _sized(_checkout: Checkout) -> dict[str, str]:
    return SIZED


def _token(checkout: Checkout) -> dict[str, str]:
    """What a rotated token changes is one line of the .env that ships; here it is a variable of the app's own."""
    return KEPT


KEPT = {**SIZED, "APP_ENV_KEYS": "EXTRA_TOKEN", "EXTRA_TOKEN": "rotated-1"}


def _app_renamed(_checkout: Checkout) -> dict[str, str]:
    return {**KEPT, "APP_NAME": "another-name"}


def _app_renamed_back(_checkout: Checkout) -> dict[str, str]:
    return KEPT


def _nothing(checkout: Checkout) -> dict[str, str]:
    for path in (checkout.root / "custom_application").rglob("*"):
        os.utime(path, (1, 1))
    return KEPT


STEPS: tuple[tuple[str, Change], ...] = (
    ("content of a file", _content),
    ("file added", _added),
    ("file renamed", _renamed),
    ("file removed", _removed),
    ("file mode", _mode),
    ("Dockerfile", _dockerfile),
    ("replicas", _replicas),
    ("bundle, probe and pauses", _sized),
    ("token rotated", _token),
    ("app renamed", _app_renamed),
    ("app renamed back", _app_renamed_back),
    ("nothing", _nothing),
)


@pytest.fixture(params=["recorded", "in-place"])
def behaviour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def deployed(tmp_path: Path, root: Path, behaviour: str, pulumi_cli: Path) -> Iterator[Checkout]:
    made = Checkout.copy(root, tmp_path / "one" / "toolkit")
    made.env = {"DATAROBOT_STANDIN_BEHAVIOUR": behaviour, "DATAROBOT_PROVIDER": "stand-in"}
    yield made
    made.close()


def _served(checkout: Checkout, url: str) -> str:
    token = checkout.platform()["token"]
    return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False).text


def _objects(checkout: Checkout) -> dict[str, int]:
    platform = checkout.platform()
    found = {}
    for kind in ("customApplications", "customApplicationSources", "executionEnvironments"):
        answer = httpx.get(
            f"{platform['endpoint']}/{kind}/",
            headers={"Authorization": f"Bearer {platform['token']}"},
            trust_env=False,
        )
        found[kind] = answer.json()["totalCount"]
    return found


def _calls_as_planned(checkout: Checkout, name: str, seen: int) -> int:
    """Compare the calls that the preview foretold with those that the platform got; give how many it got so far."""
    platform = checkout.platform()
    got = httpx.get(
        f"{platform['console']}__emulator__/requests",
        headers={"Authorization": f"Bearer {platform['token']}"},
        trust_env=False,
    ).json()["requests"]
    made = [
        Call(one["method"], re.sub(r"[0-9a-f]{24}", "{id}", one["path"].removeprefix("/api/v2/")))
        for one in got[seen:]
        if one["agent"].startswith(("DataRobotTerraformClient", "Go-http-client"))
    ]
    foretold = next((event["calls"] for event in checkout.events if event["event"] == "plan"), [])
    assert [f"{one.method} {one.path}" for one in collapsed(made)] == [
        f"{one['method']} {one['path']}" for one in foretold
    ], name
    return len(got)


ONE_OF_EACH = {"customApplications": 1, "customApplicationSources": 1, "executionEnvironments": 1}


def test_every_change_converges(deployed: Checkout, behaviour: str, tmp_path: Path) -> None:
    first = deployed.deploy()
    assert first["changes"] == {"create": 3}
    seen = _calls_as_planned(deployed, "first", 0)
    identity = {key: first["outputs"][key] for key in ("app_id", "app_url")}
    lines = []
    smoked = ("--skip-smoke",) if behaviour == "in-place" else ()  # each of these releases is smoked once
    env: dict[str, str] = {}
    for name, change in STEPS:
        env = change(deployed)
        result = deployed.deploy(*smoked, **env)
        lines.append(_line(behaviour, name, result))
        seen = _calls_as_planned(deployed, name, seen)
        assert {key: result["outputs"][key] for key in identity} == identity, name
        assert _objects(deployed) == ONE_OF_EACH, name
        if name == "content of a file":
            assert "second" in _served(deployed, identity["app_url"])
            assert result["changes"] == {"same": 1, "update": 2}, "the environment stays"
        if name == "Dockerfile":
            assert (
                result["outputs"]["execution_environment_version_id"]
                != first["outputs"]["execution_environment_version_id"]
            )
        if name == "nothing":
            assert _changed(result) == 0
    other = _other_checkout(deployed, tmp_path)
    result = other.deploy(**env)
    lines.append(_line(behaviour, "other checkout", result))
    assert _changed(result) == 0
    assert {key: result["outputs"][key] for key in identity} == identity
    print("\n" + "\n".join(lines))
    _destroy(deployed, env)


def _destroy(checkout: Checkout, env: dict[str, str]) -> None:
    result = checkout.invoke("destroy", "--stack", "local", "--yes", "--json", **env)
    assert result.code == 0, result.stderr
    assert result.last["changes"] == {"delete": 3}
    assert _objects(checkout) == dict.fromkeys(ONE_OF_EACH, 0)
    again = checkout.invoke("outputs", "--stack", "local")
    assert again.code == 2
    assert "There is no stack 'local'" in again.stderr


def _other_checkout(checkout: Checkout, tmp_path: Path) -> Checkout:
    """The same commit in another folder, other times on its files, with the same state and platform."""
    root = tmp_path / "somewhere" / "else" / "clone"
    skip = shutil.ignore_patterns(".toolkit", ".nox", "__pycache__")
    shutil.copytree(checkout.root, root, ignore=skip, copy_function=shutil.copy)
    (root / ".nox").symlink_to((checkout.root / ".nox").resolve())
    state = checkout.root / ".toolkit"
    shared = {
        "PULUMI_BACKEND_URL": (state / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(state / "passphrase"),
        "EMULATOR_DATA": str(state / "emulator"),
    }
    return Checkout(root, {**checkout.env, **shared})


def _changed(result: dict[str, Any]) -> int:
    return sum(count for kind, count in result["changes"].items() if kind != "same")


def _line(behaviour: str, name: str, result: dict[str, Any]) -> str:
    changes = ", ".join(f"{count} {kind}" for kind, count in sorted(result["changes"].items()))
    return f"{behaviour:<9} {name:<18} {changes:<40} {result['seconds']:5.1f} s"

"""After something went wrong the next plain command converges; and commands that deploy nothing touch no stack."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest

from tests.stack.checkout import SERVER, Checkout

pytestmark = [pytest.mark.stack, pytest.mark.engine]

UNSMOKED = "--skip-smoke"  # what the platform and Pulumi do is the matter here
DIES_LATER = """
if (process.env.DR_CUSTOM_APP_EXTERNAL_URL) { console.log("warming up"); await Bun.sleep(6000); process.exit(9); }
"""
DIES_THERE = 'if (process.env.DR_CUSTOM_APP_EXTERNAL_URL) { console.error("cannot live here"); process.exit(9); }\n'


def _applications(checkout: Checkout) -> list[dict[str, str]]:
    result = checkout.invoke("emulator.start", "--json")
    platform = json.loads(result.stdout)
    answer = httpx.get(
        platform["endpoint"] + "/customApplications/", headers={"Authorization": f"Bearer {platform['token']}"}
    )
    return list(answer.json()["data"])


def _fail(checkout: Checkout, **env: str) -> None:
    checkout.write("custom_application/server.ts", DIES_THERE + SERVER)
    result = checkout.invoke("deploy", "--stack", "local", "--yes", UNSMOKED, **env)
    assert result.code == 5, result.stdout + result.stderr
    assert "did not come up on the platform" in result.stderr
    assert "cannot live here" in result.stderr
    kept = sorted((checkout.root / ".toolkit" / "logs" / "local").glob("*-the-application.log"))
    assert "cannot live here" in kept[-1].read_text()
    assert str(kept[-1]) in result.stderr


def test_a_first_deployment_that_failed_leaves_nothing_in_the_way(checkout: Checkout) -> None:
    _fail(checkout)
    assert _applications(checkout) == []
    checkout.write("custom_application/server.ts", SERVER)
    done = checkout.deploy(UNSMOKED)
    assert [one["id"] for one in _applications(checkout)] == [done["outputs"]["app_id"]]
    _fail(checkout)  # an update that fails
    checkout.write("custom_application/server.ts", SERVER)
    assert checkout.deploy(UNSMOKED)["outputs"]["app_id"] == done["outputs"]["app_id"]


def test_after_a_first_deployment_that_failed_everything_can_be_removed(checkout: Checkout) -> None:
    checkout.write("custom_application/server.ts", DIES_LATER + SERVER)
    failed = checkout.invoke("deploy", "--stack", "local", "--yes", UNSMOKED)
    assert failed.code == 5, failed.stdout + failed.stderr
    assert "application: warming up" in failed.stdout
    result = checkout.invoke("destroy", "--stack", "local", "--yes")
    assert result.code == 0, result.stdout + result.stderr
    assert _applications(checkout) == []
    again = checkout.invoke("destroy", "--stack", "local", "--yes", "--json")
    assert again.code == 0, again.stderr
    assert (again.last["ok"], again.last["changes"]) == (True, {})


def test_a_renamed_app_that_failed_and_is_named_back_converges(checkout: Checkout) -> None:
    first = checkout.deploy(UNSMOKED, APP_NAME="one")["outputs"]
    _fail(checkout, APP_NAME="two")
    checkout.write("custom_application/server.ts", SERVER)
    back = checkout.deploy(UNSMOKED, APP_NAME="one")["outputs"]
    assert (back["app_id"], back["app_url"]) == (first["app_id"], first["app_url"])
    assert checkout.deploy(UNSMOKED, APP_NAME="one")["changes"] == {"same": 3}


def test_a_state_beside_which_a_killed_pulumi_has_left_an_empty_file_is_read_again(checkout: Checkout) -> None:
    checkout.deploy()
    folders = checkout.root / ".toolkit" / "state" / ".pulumi"
    beside = [*folders.glob("stacks/*/local.json*.attrs"), *folders.glob("history/*/local/*.attrs")]
    assert len(beside) > 2
    for path in beside:
        path.write_text("")
    told = checkout.invoke("history", "--stack", "local")
    assert told.code == 0, told.stderr
    for path in beside:
        path.write_text("")
    done = checkout.invoke("deploy", "--stack", "local", "--yes", "--json")
    assert done.code == 0, done.stdout + done.stderr
    assert done.last["changes"] == {"same": 3}
    assert "local.json.attrs empty" in (checkout.root / ".toolkit" / "audit.log").read_text()


def test_an_emptied_platform_is_deployed_to_anew(checkout: Checkout) -> None:
    checkout.deploy()
    assert checkout.invoke("emulator.reset", "--yes").code == 0
    assert checkout.deploy()["changes"] == {"create": 3}


def test_a_smoke_test_beside_a_deployment_stages_apart(checkout: Checkout, tmp_path: Path) -> None:
    checkout.deploy()
    staged = checkout.root / ".toolkit" / "stage"
    before = {path: path.read_bytes() for path in sorted(staged.rglob("*")) if path.is_file()}
    other = tmp_path / "other"
    other.mkdir()
    for path in (checkout.root / "custom_application").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "notes.txt").write_text("another app\n")
    for command in ("smoke", "build"):
        result = checkout.invoke(command, "--stack", "local", APP_DIR=str(other))
        assert result.code == 0, result.stdout + result.stderr
    assert {path: path.read_bytes() for path in sorted(staged.rglob("*")) if path.is_file()} == before


def test_cleaning_keeps_the_state_of_stacks_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    checkout.deploy()
    stacks = checkout.root / ".toolkit" / "state" / ".pulumi" / "stacks" / "bun-to-datarobot"
    os.link(stacks / "local.json", stacks / "prod.json")
    result = checkout.invoke(
        "clean", "--everything", "--yes", XDG_CACHE_HOME=str(tmp_path / "cache"), DOCKER_HOST="unix:///nowhere.sock"
    )
    assert result.code == 0, result.stdout + result.stderr
    assert {path.name for path in stacks.glob("*.json")} == {"prod.json"}
    assert (checkout.root / ".toolkit" / "passphrase").exists()
    assert not (checkout.root / ".toolkit" / "emulator").exists()


def test_json_lines_have_one_version_and_one_result(checkout: Checkout) -> None:
    result = checkout.invoke("deploy", "--stack", "local", "--yes", "--json")
    assert result.code == 0, result.stderr
    assert {event["version"] for event in result.events} == {1}
    assert [event["event"] for event in result.events].count("result") == 1
    assert not [event for event in result.events if "from $PATH" in event.get("text", "")]

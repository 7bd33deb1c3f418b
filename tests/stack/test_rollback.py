"""A release that fails its proof makes room for the one before; by hand, too; and dead runs stand in nobody's way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.stack.checkout import APP, FAILS_FOR_VISITORS, SERVER, Checkout

pytestmark = [pytest.mark.stack, pytest.mark.engine]

DIES_THERE = 'if (process.env.DR_CUSTOM_APP_EXTERNAL_URL) { console.error("cannot live here"); process.exit(9); }\n'


@pytest.fixture
def checkout(checkout: Checkout) -> Checkout:
    checkout.env["VERIFY_SECONDS"] = "4"
    return checkout


def _page(checkout: Checkout) -> str:
    token = json.loads(checkout.invoke("emulator.start", "--json").stdout)["token"]
    return httpx.get(checkout.application_url(), headers={"Authorization": f"Bearer {token}"}).text


def _commit(checkout: Checkout) -> str:
    """Make a commit that only names a moment; give it."""
    git = ["git", "-C", str(checkout.root), "-c", "user.name=a", "-c", "user.email=a@localhost"]
    if not (checkout.root / ".git").exists():
        subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "a moment"], check=True)
    return subprocess.check_output([*git, "rev-parse", "--short=10", "HEAD"], text=True).strip()


def _name(checkout: Checkout) -> str:
    resources = json.loads(checkout.invoke("status", "--stack", "local", "--json").stdout)["resources"]
    return next(str(one["name"]) for one in resources if one["type"] == "CustomApplication")


def _write_page(checkout: Checkout, word: str) -> None:
    checkout.write("custom_application/index.html", APP["index.html"].replace("first", word))


def test_a_release_that_fails_its_proof_makes_room_for_the_one_before(checkout: Checkout) -> None:
    # What only looks like a secret, as a file says that stays behind, is no hindrance when it ships once more.
    checkout.write("custom_application/tests.pem", f"-----BEGIN {'PRIVATE'} KEY-----\nfor tests\n")
    checkout.write("custom_application/.deployignore", "# toolkit: allow-secret tests.pem\n")
    first = checkout.deploy()
    checkout.write("custom_application/server.ts", FAILS_FOR_VISITORS)
    broken = checkout.invoke("deploy", "--stack", "local", "--yes")
    assert broken.code == 6, broken.stdout + broken.stderr
    assert f"Release {first['release'][:12]} serves again." in broken.stderr
    assert "invoke logs. To keep a release that does not serve: --no-rollback." in broken.stderr
    assert "first" in _page(checkout)
    assert checkout.application_url() == first["outputs"]["app_url"]
    checkout.write("custom_application/server.ts", DIES_THERE + SERVER)
    dead = checkout.invoke("deploy", "--stack", "local", "--yes")
    assert dead.code == 5, dead.stdout + dead.stderr
    assert "cannot live here" in dead.stderr
    assert f"Release {first['release'][:12]} serves again." in dead.stderr
    assert "first" in _page(checkout)
    checkout.write("custom_application/server.ts", FAILS_FOR_VISITORS)
    renamed = checkout.invoke("deploy", "--stack", "local", "--yes", APP_NAME="another-name")
    assert renamed.code == 6, renamed.stdout + renamed.stderr
    assert f"Release {first['release'][:12]} serves again." in renamed.stderr
    assert "first" in _page(checkout)
    assert _name(checkout) == "dr-nb-admin-viewer-local"
    kept = checkout.invoke("deploy", "--stack", "local", "--yes", "--no-rollback")
    assert kept.code == 6
    assert "serves again" not in kept.stderr
    assert _page(checkout) == "no"
    back = checkout.invoke("rollback", "--stack", "local", "--yes", "--json")
    assert back.code == 0, back.stdout + back.stderr
    assert back.last["release"] == first["release"]
    assert "first" in _page(checkout)
    checkout.write("custom_application/server.ts", SERVER)
    healed = checkout.deploy()
    assert healed["outputs"]["app_id"] == first["outputs"]["app_id"]
    assert checkout.deploy()["changes"] == {"same": 3}


def test_an_earlier_release_serves_again_and_history_tells_of_it(checkout: Checkout) -> None:
    nothing = checkout.invoke("rollback", "--stack", "local", "--yes")
    assert nothing.code == 2, nothing.stderr
    before = _commit(checkout)
    first = checkout.deploy()
    none_before = checkout.invoke("rollback", "--stack", "local", "--yes")
    assert (none_before.code, "no earlier release" in none_before.stderr) == (2, True)
    _write_page(checkout, "second")
    after = _commit(checkout)
    second = checkout.deploy()
    assert second["release"] != first["release"]
    back = checkout.invoke("rollback", "--stack", "local", "--yes", "--json")
    assert back.code == 0, back.stdout + back.stderr
    assert (back.last["release"], back.last["outputs"]["app_id"]) == (first["release"], first["outputs"]["app_id"])
    assert "first" in _page(checkout)
    to = checkout.invoke("rollback", "--stack", "local", "--yes", "--to", second["release"][:8])
    assert to.code == 0, to.stderr
    assert "second" in _page(checkout)
    assert checkout.deploy()["changes"] == {"same": 3}  # what is in the folder is what serves
    wrong = checkout.invoke("rollback", "--stack", "local", "--yes", "--to", "ffff")
    assert (wrong.code, "Kept are:" in wrong.stderr) == (2, True)
    updates = json.loads(checkout.invoke("history", "--stack", "local", "--json").stdout)["updates"]
    assert [(one["kind"], one["result"]) for one in updates] == [("update", "succeeded")] * 4
    assert [one["message"].split(",")[0] for one in updates] == [
        f"release {release[:12]}"
        for release in (second["release"], first["release"], second["release"], first["release"])
    ]
    told = ["rollback" in one["message"].split(", ") for one in updates]
    assert told == [True, True, False, False]
    commits = [one["message"].split(", ")[2].removesuffix("+") for one in updates]
    assert commits == [f"commit {commit}" for commit in (after, before, after, before)]
    shown = checkout.invoke("history", "--stack", "local")
    assert (shown.stdout.count("succeeded"), shown.stdout.count("content")) == (4, 0)
    # Nothing is changed, and its URL does not answer just now: that is no reason to bring back an older release.
    rule = checkout.write("faults.json", json.dumps([{"path": "/custom_applications/*", "status": 502, "times": 0}]))
    assert checkout.invoke("emulator.faults", "--add", str(rule)).code == 0
    unseen = checkout.invoke("deploy", "--stack", "local", "--yes", VERIFY_SECONDS="1")
    assert (unseen.code, "serves again" in unseen.stderr) == (6, False), unseen.stdout + unseen.stderr
    assert checkout.invoke("emulator.faults", "--clear").code == 0
    assert "second" in _page(checkout)
    # With the stack goes what it could go back to: the next one of this name begins anew.
    assert checkout.invoke("destroy", "--stack", "local", "--yes").code == 0
    assert not (checkout.root / ".toolkit" / "releases" / "local").exists()


def test_drift_is_shown_before_it_is_taken_over(checkout: Checkout) -> None:
    app_id = checkout.deploy()["outputs"]["app_id"]
    # As on another machine: what was sent is not there any more.
    shutil.rmtree(checkout.root / ".toolkit" / "stage")
    looked = checkout.invoke("refresh", "--stack", "local", "--exit-code")
    assert (looked.code, "no drift" in looked.stdout) == (0, True), looked.stdout + looked.stderr
    platform = checkout.platform()
    headers = {"Authorization": f"Bearer {platform['token']}"}
    url = f"{platform['endpoint']}/customApplications/{app_id}/"
    assert httpx.patch(url, headers=headers, json={"name": "renamed by hand"}).is_success
    asked = checkout.invoke("refresh", "--stack", "local")
    assert (asked.code, "Drift: 1" in asked.stderr) == (2, True), asked.stdout + asked.stderr
    assert checkout.invoke("refresh", "--stack", "local", "--yes").code == 0
    assert checkout.deploy()["changes"].get("update") == 1
    # A file less, and the application is gone: what the state knows of both is read anew and put right.
    (checkout.root / "custom_application" / "notes.txt").unlink()
    assert httpx.delete(url, headers=headers).is_success
    assert checkout.deploy()["changes"].get("create") == 1
    assert "no drift" in checkout.invoke("refresh", "--stack", "local", "--yes").stdout


def test_a_deployment_that_was_killed_stands_in_nobodys_way(checkout: Checkout) -> None:
    checkout.deploy()
    _write_page(checkout, "second")
    running = subprocess.Popen(
        [sys.executable, "-m", "invoke", "deploy", "--stack", "local", "--yes", "--json"],
        cwd=checkout.root,
        env=checkout.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdout is not None
    locks = checkout.root / ".toolkit" / "state" / ".pulumi" / "locks"
    for line in running.stdout:
        if json.loads(line).get("event") == "up":
            break
    until = time.monotonic() + 20
    while not [path for path in locks.rglob("*.json") if path.is_file()] and time.monotonic() < until:
        time.sleep(0.01)
    children = [int(pid) for pid in _below(running.pid)]
    for pid in (running.pid, *children):
        os.kill(pid, signal.SIGKILL)
    running.wait()
    running.stdout.close()
    assert [path for path in locks.rglob("*.json") if path.is_file()], "it was killed too late to leave a lock"
    again = checkout.invoke("deploy", "--stack", "local", "--yes")
    assert again.code == 0, again.stdout + again.stderr
    assert "Removed the lock of" in again.stdout
    assert "second" in _page(checkout)
    assert checkout.deploy()["changes"] == {"same": 3}
    assert checkout.invoke("cancel", "--stack", "local", "--yes").code == 0


def _below(pid: int) -> list[str]:
    """The processes below one, all generations."""
    found: list[str] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):  # whichever thread has started them
        for child in thread.read_text().split():
            found += [child, *_below(int(child))]
    return found

"""Commands that look: status with drift, open, logs, and copies of the state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.stack.checkout import SERVER, Checkout

pytestmark = [pytest.mark.stack, pytest.mark.engine]

IN_USE = "Execution environment is in use"
SAYS = SERVER.replace("Bun.serve(", 'console.log("the app is up"); Bun.serve(')


@pytest.fixture
def checkout(checkout: Checkout) -> Checkout:
    checkout.write("custom_application/server.ts", SAYS)
    return checkout


def _status(checkout: Checkout) -> dict[str, object]:
    result = checkout.invoke("status", "--stack", "local", "--json")
    assert result.code == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_what_is_deployed_is_seen_saved_and_brought_back(checkout: Checkout) -> None:
    done = checkout.deploy(APP_REPLICAS="2")
    environment = done["outputs"]["execution_environment_id"]
    status = _status(checkout)
    assert status["replicas"] == 2
    assert status["drift"] == {
        "drifted": False,
        "wanted": done["outputs"]["source_version_id"],
        "running": done["outputs"]["source_version_id"],
        "missing": [],
        "strays": [],
    }
    opened = checkout.invoke("open", "--stack", "local")
    assert opened.code == 0, opened.stderr
    with httpx.Client(follow_redirects=True, trust_env=False) as browser:
        assert "first" in browser.get(opened.stdout.strip()).text
    assert "the app is up" in checkout.invoke("logs", "--stack", "local").stdout
    _follow(checkout)

    told = checkout.invoke("history", "--stack", "local", "--json", TZ="America/Los_Angeles")
    (update,) = json.loads(told.stdout)["updates"]
    assert update["changes"] == {"create": 3}
    assert 0 <= time.time() - update["started"] < 600

    copy = checkout.write("copy.json", "of an earlier time")
    copy.chmod(0o644)
    assert checkout.invoke("backup", "--stack", "local", "--to", str(copy)).code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    saved = checkout.invoke("backup", "--stack", "local", "--json")
    assert saved.code == 0, saved.stderr
    copy = Path(json.loads(saved.stdout)["backup"])
    assert copy.stat().st_mode & 0o777 == 0o600
    assert str(checkout.platform()["token"]) not in copy.read_text()

    # The state is lost; with the copy the next deployment changes nothing.
    stacks = checkout.root / ".toolkit" / "state" / ".pulumi" / "stacks" / "bun-to-datarobot"
    for path in stacks.glob("local.json*"):
        path.unlink()
    assert checkout.invoke("outputs", "--stack", "local").code == 2
    refused = checkout.invoke("restore", "--stack", "local", "--file", str(copy))
    assert refused.code == 2
    assert "--yes" in refused.stderr
    back = checkout.invoke("restore", "--stack", "local", "--file", str(copy), "--yes")
    assert back.code == 0, back.stderr
    assert checkout.deploy(APP_REPLICAS="2")["changes"] == {"same": 3}

    # Removed by hand: status says so, and destroy works all the same.
    platform = checkout.platform()
    url = f"{platform['endpoint']}/customApplications/{done['outputs']['app_id']}/"
    assert httpx.delete(url, headers={"Authorization": f"Bearer {platform['token']}"}, trust_env=False).is_success
    drift = _status(checkout)["drift"]
    assert isinstance(drift, dict)
    assert drift["drifted"] is True
    assert done["outputs"]["app_id"] in drift["missing"][0]
    told = checkout.invoke("refresh", "--stack", "local", "--exit-code", "--json")
    assert (told.code, told.last["drift"]) == (11, {"delete": 1}), told.stdout + told.stderr

    # Somebody else still uses the environment: what is left is named, and goes the next time.
    rule = {"method": "DELETE", "path": "*/executionEnvironments/*", "status": 409, "body": {"message": IN_USE}}
    faults = checkout.write("faults.json", json.dumps([rule]))
    assert checkout.invoke("emulator.faults", "--add", str(faults)).code == 0
    failed = checkout.invoke("destroy", "--stack", "local", "--yes")
    assert failed.code == 5, failed.stdout + failed.stderr
    assert "Something still runs on the execution environment" in failed.stderr
    assert f"still there: ExecutionEnvironment dr-nb-admin-viewer-local-environment {environment}" in failed.stderr
    assert f"/executionEnvironments/{environment}/" in failed.stderr
    assert checkout.invoke("destroy", "--stack", "local", "--yes").code == 0


def _follow(checkout: Checkout) -> None:
    """Follow the log until its first line, and end it with Ctrl-C."""
    command = [sys.executable, "-m", "invoke", "logs", "--stack", "local", "--follow"]
    with subprocess.Popen(
        command,
        cwd=checkout.root,
        env={**checkout.environ(), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        try:
            assert "the app is up" in child.stdout.readline()
        finally:
            os.killpg(child.pid, signal.SIGINT)
        assert child.wait(60) == 8

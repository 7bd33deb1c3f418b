"""The unmodified `datarobot` SDK 3.20.0 works with the local platform: environments to errors, in one session."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.contract.local_platform import local_platform
from tests.judges.environments import client_environ, context, environment

pytestmark = pytest.mark.judge


def test_a_session_with_the_sdk(tmp_path: Path) -> None:
    python = environment("sdk") / "python"
    with local_platform(tmp_path / "platform") as platform:
        platform.runner.at_once = True
        script = Path(__file__).with_name("sdk_session.py")
        done = subprocess.run(
            [python, script, context(tmp_path)],
            env=client_environ(tmp_path, platform),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
        assert done.stdout.strip() == "all good"
        assert {one["status"] for one in platform.requests if one["status"] >= 500} == {501}
        assert all(platform.store.find(kind)[1] == 0 for kind in ("application", "source", "environment", "link"))

"""The command of the documents that deploys from inside a container, with the engine of the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import docker
import pytest

from tests.stack import container
from tests.stack.checkout import Checkout

pytestmark = [pytest.mark.stack, pytest.mark.engine]


def test_the_recipe_deploys_from_inside_a_container(root: Path, tmp_path: Path, pulumi_cli: Path) -> None:
    del pulumi_cli
    checkout = Checkout.copy(root, tmp_path / "toolkit", bootstrap=True)
    checkout.write(".env", "APP_NAME=from-a-container\nSMOKE_BROWSER=off\n")
    words = container.recipe(root / "docs" / "deploy-to-datarobot.md")
    engine = docker.from_env()
    try:
        command = container.command(words, engine, "local")
    finally:
        engine.close()
    command = [word.replace("$PWD", str(checkout.root)) for word in command]
    try:
        done = subprocess.run(command, cwd=checkout.root, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert "this very release is serving" in done.stdout
        assert "/custom_applications/" in done.stdout.splitlines()[-1]
    finally:  # the local platform ended with the container, the app in the host's engine did not
        removed = checkout.invoke("destroy", "--stack", "local", "--yes")
        checkout.close()
    assert removed.code == 0, removed.stderr

"""Fixtures for tests with the real Pulumi engine: the deploy environment and the CLI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.stack.checkout import Checkout
from toolkit import tools
from toolkit.tools import Places

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """The folders of this checkout; state goes to a temporary one."""
    home = Path.home()
    return Places(ROOT, home, tools.cache_folder(os.environ, home), tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def deploy_python(places: Places) -> Path:
    """The interpreter of the deploy environment: made once, also when tests run in several processes."""
    with FileLock(ROOT / ".nox" / "deploy.lock"):
        return tools.ensure_deploy_python(places, os.environ, on_line=print)


@pytest.fixture(scope="session")
def pulumi_cli(places: Places, deploy_python: Path) -> Path:
    """The Pulumi CLI, made when it is not there."""
    return tools.ensure_pulumi(places, os.environ, on_line=print).path


@pytest.fixture
def checkout(tmp_path: Path, root: Path, pulumi_cli: Path) -> Iterator[Checkout]:
    """A checkout with a tiny app of its own, and a local platform that ends with the test."""
    del pulumi_cli
    made = Checkout.copy(root, tmp_path / "toolkit")
    made.env["DATAROBOT_PROVIDER"] = "stand-in"
    yield made
    made.close()

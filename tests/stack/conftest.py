"""What tests with the real Pulumi engine need: the deploy environment, the CLI, and checkouts of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
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
    """The interpreter of the deploy environment."""
    return tools.ensure_deploy_python(places, os.environ, on_line=print)


@pytest.fixture(scope="session")
def pulumi_cli(places: Places, deploy_python: Path) -> Path:
    """The Pulumi CLI, made when it is not there."""
    return tools.ensure_pulumi(places, os.environ, on_line=print).path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path) -> Iterator[Checkout]:
    """A copy of this checkout with an app of its own, whose local platform ends with the tests of the module."""
    made = Checkout.copy(ROOT, tmp_path_factory.mktemp("checkout") / "toolkit")
    yield made
    made.close()



"""Where the deploy environment's Python and the Pulumi CLI are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class DeployTools:
    python: Path
    pulumi: Path


def deploy_tools(request: pytest.FixtureRequest) -> DeployTools:
    """From TOOLKIT_DEPLOY_PYTHON and TOOLKIT_PULUMI, else from the fixtures `deploy_python` and `pulumi_cli`."""
    python, pulumi = os.environ.get("TOOLKIT_DEPLOY_PYTHON"), os.environ.get("TOOLKIT_PULUMI")
    return DeployTools(
        Path(python or request.getfixturevalue("deploy_python")), Path(pulumi or request.getfixturevalue("pulumi_cli"))
    )

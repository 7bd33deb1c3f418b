"""Where the deploy environment's Python, the Pulumi CLI and the provider's plugin are."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGIN = "pulumi-resource-datarobot"
VERSION = "0.10.43"  # the one that was recorded


@dataclass(frozen=True)
class DeployTools:
    """The programs of a deployment; `plugin` is the real provider's, None for the stand-in."""

    python: Path
    pulumi: Path
    plugin: Path | None = None


def deploy_tools(request: pytest.FixtureRequest) -> DeployTools:
    """From TOOLKIT_DEPLOY_PYTHON and TOOLKIT_PULUMI, else from the fixtures `deploy_python` and `pulumi_cli`."""
    python, pulumi = os.environ.get("TOOLKIT_DEPLOY_PYTHON"), os.environ.get("TOOLKIT_PULUMI")
    return DeployTools(
        Path(python or request.getfixturevalue("deploy_python")),
        Path(pulumi or request.getfixturevalue("pulumi_cli")),
        real_plugin(os.environ) if request.config.getoption("--provider") == "real" else None,
    )


def real_plugin(environ: os._Environ[str] | dict[str, str]) -> Path:
    """Find the real provider's plugin: in Pulumi's folder, or on PATH. Fails the test when it is not installed."""
    home = Path(environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    installed = home / "plugins" / f"resource-datarobot-v{VERSION}" / PLUGIN
    found = str(installed) if installed.is_file() else shutil.which(PLUGIN, path=environ.get("PATH"))
    if found is None:
        pytest.fail(f"--provider real needs {PLUGIN} {VERSION}: pulumi plugin install resource datarobot {VERSION}")
    return Path(found).resolve()

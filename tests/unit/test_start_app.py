"""start-app.sh of the app: whatever way the full token comes, the server gets it instead of the restricted one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit import runtime_env

SHELLS = [shell for shell in ("dash", "bash", "sh") if shutil.which(shell)]
CREDENTIAL = {"type": "credential", "payload": {"credentialType": "api_token", "apiToken": "full+token/=="}}


def _started(root: Path, folder: Path, shell: str, env: str | None, **variables: str) -> str:
    """The token that the server sees."""
    shutil.copyfile(root / "custom_application" / "start-app.sh", folder / "start-app.sh")
    if env is not None:
        (folder / ".env").write_text(env)
    programs = folder / "programs"
    programs.mkdir()
    (programs / "bun").write_text('#!/bin/sh\nprintf %s "$DATAROBOT_API_TOKEN"\n')
    (programs / "bun").chmod(0o755)
    path = f"{programs}:/usr/bin:/bin"
    told = {"PATH": path, "DATAROBOT_API_TOKEN": "restricted", **variables}
    result = subprocess.run(
        [shell, str(folder / "start-app.sh")], env=told, cwd="/", capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("given", "token"),
    [
        (json.dumps(CREDENTIAL), "full+token/=="),
        (json.dumps(CREDENTIAL, separators=(",", ":")), "full+token/=="),
        (json.dumps(CREDENTIAL, indent=1), "full+token/=="),
        (json.dumps({"type": "string", "payload": "full+token/=="}), "full+token/=="),
        ("full+token/==", "full+token/=="),
        ("", "restricted"),
        (json.dumps({"type": "credential", "payload": {"credentialType": "api_token"}}), "restricted"),
    ],
)
def test_a_runtime_parameter_in_every_form(root: Path, tmp_path: Path, shell: str, given: str, token: str) -> None:
    assert _started(root, tmp_path, shell, None, **{runtime_env.VARIABLE: given}) == token


@pytest.mark.parametrize("shell", SHELLS)
def test_the_env_file_beats_what_the_platform_sets(root: Path, tmp_path: Path, shell: str) -> None:
    assert _started(root, tmp_path, shell, "DATAROBOT_API_TOKEN='from the file'\n") == "from the file"


@pytest.mark.parametrize("shell", SHELLS)
def test_without_either_the_restricted_token_stays(root: Path, tmp_path: Path, shell: str) -> None:
    assert _started(root, tmp_path, shell, None) == "restricted"

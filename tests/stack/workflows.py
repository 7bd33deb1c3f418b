"""The steps of the workflows in .github, so that they can be run as a runner would run them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass(frozen=True)
class Step:
    """A step of a workflow that runs a script, with the variables that workflow, job and step give it."""

    workflow: str
    job: str
    name: str
    script: str
    env: Mapping[str, str]


def steps(folder: Path) -> list[Step]:
    """Give all steps with a script of the workflows in `folder`."""
    found = []
    for path in sorted(folder.glob("*.yml")):
        workflow = YAML(typ="safe").load(path)
        for job, content in workflow["jobs"].items():
            for step in content["steps"]:
                if "run" in step:
                    env = _env(workflow) | _env(content) | _env(step)
                    found.append(Step(path.name, job, step.get("name", ""), step["run"], env))
    return found


def _env(level: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in (level.get("env") or {}).items()}


def start(step: Step, checkout: Path, env: Mapping[str, str], values: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a step as GitHub does: a file for `bash -e`, in the checkout; `values` are its expressions (`${{ … }}`)."""
    known = {key: EXPRESSION.sub(lambda found: values[found[1]], value) for key, value in step.env.items()}
    script = checkout / "step.sh"
    script.write_text(EXPRESSION.sub(lambda found: values[found[1]], step.script) + "\n")
    return subprocess.Popen(
        ["bash", "-e", str(script)],
        cwd=checkout,
        env={**env, **known},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )

"""GitHub's workflows: read by actionlint, and their steps really run, on the stack local."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ruamel.yaml import YAML

from tests.stack import actionlint, workflows
from tests.stack.checkout import APP, Checkout
from tests.stack.workflows import Step
from toolkit.tools import Places

pytestmark = [pytest.mark.stack, pytest.mark.engine]

# What GitHub puts in: a stack that needs no account, and no secrets, as `local` takes none.
VALUES = {
    "inputs.stack": "local",
    "matrix.stack": "local",
    "secrets.DATAROBOT_API_TOKEN": "",
    "secrets.DATAROBOT_ENDPOINT": "",
    "secrets.PULUMI_ACCESS_TOKEN": "",
}
GRACE = 7.5  # seconds between GitHub's SIGINT and its SIGTERM


def _lint(places: Places, *paths: Path) -> subprocess.CompletedProcess[str]:
    command = [str(actionlint.program(places)), "-no-color", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_actionlint_has_nothing_to_say_of_the_workflows(root: Path, places: Places) -> None:
    paths = sorted((root / ".github" / "workflows").glob("*.yml"))
    assert len(paths) == 5
    said = _lint(places, *paths)
    assert (said.returncode, said.stdout) == (0, ""), said.stdout + said.stderr


def test_actionlint_would_see_a_mistake(root: Path, places: Places, tmp_path: Path) -> None:
    text = (root / ".github" / "workflows" / "drift.yml").read_text()
    wrong = tmp_path / "drift.yml"
    wrong.write_text(text.replace("secrets.DATAROBOT_ENDPOINT", "secret.ENDPOINT").replace('"$STACK"', "$STACK"))
    said = _lint(places, wrong)
    assert said.returncode == 1
    assert 'undefined variable "secret"' in said.stdout


@pytest.fixture(scope="module")
def checkout(root: Path, tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path) -> Iterator[Checkout]:
    """A checkout as actions/checkout leaves it: without any environment."""
    made = Checkout.copy(root, tmp_path_factory.mktemp("runner") / "toolkit", bootstrap=True)
    made.env |= {"DATAROBOT_PROVIDER": "stand-in"}
    yield made
    made.close()


def _step(root: Path, workflow: str, job: str, name: str) -> Step:
    return next(
        one
        for one in workflows.steps(root / ".github" / "workflows")
        if (one.workflow, one.job, one.name) == (workflow, job, name)
    )


def _run(checkout: Checkout, step: Step, **env: str) -> tuple[int, str]:
    values = {**VALUES, "github.event.number": "1", "github.event.number || inputs.number": "1"}
    with workflows.start(step, checkout.root, {**checkout.environ(), "CI": "true", **env}, values) as running:
        said, _ = running.communicate(timeout=500)
    return running.returncode, said


def test_every_step_is_run_here(root: Path) -> None:
    names = {(one.workflow, one.job, one.name) for one in workflows.steps(root / ".github" / "workflows")}
    assert names == {
        ("ci.yml", "tests", ""),
        ("deploy.yml", "deploy", "Deploy"),
        ("drift.yml", "drift", "Compare state and platform"),
        ("pull-request.yml", "deploy", "Deploy"),
        ("pull-request.yml", "deploy", "Tell the address"),
        ("pull-request-closed.yml", "remove", "Destroy"),
    }


def test_what_is_run_with_secrets_for_any_pull_request_is_the_code_of_the_target_branch(root: Path) -> None:
    """With pull_request_target whoever opens a pull request would have the secrets, if its code were run."""
    text = (root / ".github" / "workflows" / "pull-request-closed.yml").read_text()
    workflow = YAML(typ="safe").load(text)
    assert workflow["on"]["pull_request_target"] == {"types": ["closed"]}
    (checkout, *_) = (step for step in workflow["jobs"]["remove"]["steps"] if "checkout" in step.get("uses", ""))
    assert "ref" not in checkout["with"]
    assert "pull_request.head.repo.full_name == github.repository" in workflow["jobs"]["remove"]["if"]
    deploys = YAML(typ="safe").load((root / ".github" / "workflows" / "pull-request.yml").read_text())
    groups = {one["concurrency"]["group"].replace("|| inputs.number ", "") for one in (workflow, deploys)}
    assert groups == {"deploy-pr-${{ github.event.number }}"}
    assert "closed" not in deploys["on"]["pull_request"]["types"]


def test_the_step_of_ci_runs_all_tests(root: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text((root / ".ci" / "run").read_text())
    (tmp_path / ".ci" / "run").chmod((root / ".ci" / "run").stat().st_mode)
    (tmp_path / "bootstrap").write_text(f'#!/bin/sh\necho "$PWD" "$@" >{said}\n')
    (tmp_path / "bootstrap").chmod(0o755)
    step = _step(root, "ci.yml", "tests", "")
    with workflows.start(step, tmp_path, os.environ, VALUES) as running:
        assert running.wait(10) == 0
    assert said.read_text() == f"{tmp_path} nox -s tests\n"


def test_a_cancelled_run_ends_in_time_and_leaves_no_lock(checkout: Checkout, root: Path) -> None:
    step = _step(root, "deploy.yml", "deploy", "Deploy")
    assert _run(checkout, step)[0] == 0
    checkout.write("custom_application/index.html", APP["index.html"].replace("first", "second"))
    env = {**checkout.environ(), "PYTHONUNBUFFERED": "1"}
    lines = []
    with workflows.start(step, checkout.root, env, VALUES) as running:
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line)
            if "ApplicationSource" in line:
                break
        asked = time.monotonic()
        running.send_signal(signal.SIGINT)  # to the step's shell alone, as GitHub's runner does
        lines += running.stdout.readlines()
        code = running.wait(30)
    assert time.monotonic() - asked < GRACE, lines
    assert code in (0, 8), lines
    locks = checkout.root / ".toolkit" / "state" / ".pulumi" / "locks"
    assert [path for path in locks.rglob("*.json") if path.is_file()] == []
    code, said = _run(checkout, step)
    assert code == 0, said


def test_a_pull_request_gets_a_stack_that_is_looked_after_and_goes(
    checkout: Checkout, root: Path, tmp_path: Path
) -> None:
    local = {"STACK": "local"}
    step = _step(root, "pull-request.yml", "deploy", "Deploy")
    code, said = _run(checkout, Step(**{**vars(step), "env": {**step.env, **local}}))
    assert code == 0, said
    outputs = tmp_path / "outputs"
    step = _step(root, "pull-request.yml", "deploy", "Tell the address")
    code, said = _run(checkout, Step(**{**vars(step), "env": {**step.env, **local}}), GITHUB_OUTPUT=str(outputs))
    assert code == 0, said
    name, _, url = outputs.read_text().strip().partition("=")
    assert name == "url"
    with httpx.Client(follow_redirects=True, trust_env=False) as visitor:
        assert "<title>App</title>" in visitor.get(url).text

    drift = _step(root, "drift.yml", "drift", "Compare state and platform")
    code, said = _run(checkout, drift)
    assert (code, "no drift" in said) == (0, True), said
    platform = checkout.platform()
    app_id = checkout.application_url().rstrip("/").rpartition("/")[2]
    httpx.patch(
        f"{platform['endpoint']}/customApplications/{app_id}/",
        headers={"Authorization": f"Bearer {platform['token']}"},
        json={"name": "renamed by hand"},
        trust_env=False,
    ).raise_for_status()
    assert _run(checkout, drift)[0] == 11

    step = _step(root, "pull-request-closed.yml", "remove", "Destroy")
    code, said = _run(checkout, Step(**{**vars(step), "env": {**step.env, **local}}))
    assert code == 0, said
    assert checkout.invoke("outputs", "--stack", "local").code == 2

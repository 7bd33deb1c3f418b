"""The unmodified `drapps` 11.1.0 works with the local platform: it judges what the API answers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from tests.judges import environments
from tests.judges.environments import client_environ, environment
from toolkit.emulator.objects import Body

pytestmark = pytest.mark.judge

Drapps = Callable[..., str]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path / "platform") as running:
        running.runner.at_once = True
        yield running


@pytest.fixture
def drapps(platform: LocalPlatform, tmp_path: Path) -> Drapps:
    program = environment("drapps") / "drapps"
    variables = client_environ(tmp_path, platform)

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [program, *words], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, f"drapps {words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return environments.context(tmp_path)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "start-app.sh").write_text("#!/bin/sh\nbun run server.ts\n")
    (folder / "deep" / "er" / "grüße.txt").write_text("hello\n")
    (folder / "metadata.yaml").write_text(
        "name: runtime-params\nruntimeParameterDefinitions:\n"
        "  - fieldName: COLOUR\n    type: string\n  - fieldName: COUNT\n    type: numeric\n"
        "  - fieldName: LOUD\n    type: boolean\n"
    )
    return folder


def only(platform: LocalPlatform, kind: str) -> Body:
    found, total = platform.store.find(kind)
    assert total == 1
    return found[0]


def test_an_environment_is_created_and_listed(platform: LocalPlatform, drapps: Drapps, context: Path) -> None:
    drapps("create-env", "--name", "Bun", "--dockerfilezip", str(context), "--description", "made by drapps")
    made = only(platform, "environment")
    assert (made["name"], made["description"], made["useCases"]) == ("Bun", "made by drapps", ["customApplication"])
    assert made["programmingLanguage"] == "other"
    assert "Bun" in drapps("ls", "envs")
    assert drapps("ls", "--id-only", "envs").strip() == made["id"]


def test_an_application_lives_a_whole_life(platform: LocalPlatform, drapps: Drapps, context: Path, app: Path) -> None:
    drapps("create-env", "--name", "Bun", "--dockerfilezip", str(context))
    said = drapps(
        *("create", "Shop", "--base-env", "Bun", "--path", str(app), "--replicas", "2", "--cpu-size", "medium"),
        *("--use-session-affinity", "--service-requests-on-root-path"),
        *("--stringEnvVar", "COLOUR=light blue", "--numericEnvVar", "COUNT=3", "--booleanEnvVar", "LOUD=true"),
    )
    shop = only(platform, "application")
    assert f"/custom_applications/{shop['id']}/" in said
    version = only(platform, "sourceVersion")
    assert {item["filePath"] for item in version["items"]} == {"start-app.sh", "deep/er/grüße.txt", "metadata.yaml"}
    assert version["resources"] == {
        "replicas": 2,
        "resourceLabel": "cpu.medium",
        "sessionAffinity": True,
        "serviceWebRequestsOnRootPath": True,
    }
    assert {one["fieldName"]: one["currentValue"] for one in version["runtimeParameters"]} == {
        "COLOUR": "light blue",
        "COUNT": 3,
        "LOUD": True,
    }

    listed = drapps("ls", "apps")
    assert "Shop" in listed
    assert "running" in listed
    platform.runner.become(shop["id"], "running", "first line", "second line")
    assert "first line\nsecond line" in drapps("logs", "Shop")

    drapps("create", "Shop two", "--base-env", "Bun", "--path", str(app))
    second = next(one for one in platform.store.find("application")[0] if one["name"] == "Shop two")
    before = shop["customApplicationSourceVersionId"]
    drapps("publish", "-i", "Shop", "-s", "Shop two", "-n", "Shop, renewed")
    renewed = platform.store.get("application", shop["id"])
    assert renewed["name"] == "Shop, renewed"
    assert renewed["customApplicationSourceVersionId"] == second["customApplicationSourceVersionId"]

    drapps("revert-publish", "-i", shop["id"], "-b", "2")
    assert platform.store.get("application", shop["id"])["customApplicationSourceVersionId"] == before

    drapps("external-share", "Shop, renewed", "--set-external-sharing", "True", "--add-external-user", "a@b.example")
    shared = platform.store.get("application", shop["id"])
    assert (shared["externalAccessEnabled"], shared["externalAccessRecipients"]) == (True, ["a@b.example"])

    drapps("terminate", "Shop, renewed", second["id"])
    assert platform.store.find("application")[1] == 0
    assert [one for one in platform.requests if one["status"] >= 500] == []


def test_a_taken_name_and_an_unknown_application_are_told(
    platform: LocalPlatform, drapps: Drapps, context: Path, app: Path
) -> None:
    drapps("create-env", "--name", "Bun", "--dockerfilezip", str(context))
    drapps("create", "Shop", "--base-env", "Bun", "--path", str(app))
    taken = drapps("create", "Shop", "--base-env", "Bun", "--path", str(app), code=2)
    assert "is used by other custom application" in taken
    assert only(platform, "application")["name"] == "Shop"

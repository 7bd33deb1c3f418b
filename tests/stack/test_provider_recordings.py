"""The stand-in provider against everything recorded of the real one: the real engine, and a recorder as platform.

With `--provider real` the installed plugin is compared instead.

Compared are all requests with headers, bodies and order, the engine's events, summaries, error texts, outputs
and stored state; for 36 scenarios also every answer of the plugin to the engine.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.stack import recorded_calls, recordings
from tests.stack.provider_fixtures import PLUGIN, DeployTools, deploy_tools
from tests.stack.provider_scenarios import SCENARIOS, Driver, Run
from tests.stack.recorder import Recorder
from tests.summary import say

pytestmark = pytest.mark.stack

WORKERS = 2
INFRA = Path(__file__).parents[2] / "infra"


@pytest.fixture(scope="module")
def tools(request: pytest.FixtureRequest) -> DeployTools:
    return deploy_tools(request)


def environ(folder: Path, tools: DeployTools, **more: str) -> dict[str, str]:
    """A folder of programs with the CLI and the plugin, and nothing else of this machine's settings."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (folder / "home").mkdir()
    (programs / "pulumi").symlink_to(tools.pulumi)
    launcher = programs / PLUGIN
    if tools.plugin is not None:
        launcher.symlink_to(tools.plugin)
    else:
        launcher.write_text(f'#!/bin/sh\nPYTHONPATH={INFRA} exec {tools.python} -m toolkit.emulator.provider "$@"\n')
        launcher.chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "1",
        "DATAROBOT_STANDIN_POLL_SECONDS": "0.02",
        "DATAROBOT_STANDIN_RETRY_SECONDS": "0.02",
        **more,
    }


def replay(name: str, work: Path, driver: Driver, environment: dict[str, str]) -> str:
    """Run one scenario; the text names the first difference from its recording."""
    with Recorder() as recorder:
        run = Run(work, recorder, driver, environment)
        SCENARIOS[name](run)
    recorded = recordings.load(name)
    ours = recordings.normalised(recordings.cut(recorded, run.steps), recorder.names, run.texts)
    (work / "ours.json").write_text(json.dumps(ours, indent=1))
    return recordings.compare(recorded, ours) or recorded_calls.compare_calls(name, work, recorder.names, run.texts)


@pytest.fixture(scope="module")
def replays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tools: DeployTools
) -> Iterator[dict[str, Future[str]]]:
    """The selected scenarios, two at a time; each worker keeps one driver process."""
    selected: list[Any] = request.session.items
    wanted = [item.callspec.params["name"] for item in selected if "replays" in item.fixturenames]
    idle: queue.SimpleQueue[tuple[Driver, dict[str, str]]] = queue.SimpleQueue()
    drivers: list[Driver] = []
    lock = threading.Lock()

    def replay_with_a_driver(name: str) -> str:
        with lock:
            if idle.empty():
                environment = environ(tmp_path_factory.mktemp("driver"), tools)
                drivers.append(Driver(tools.python, environment))
                idle.put((drivers[-1], environment))
        driver, environment = idle.get()
        try:
            return replay(name, tmp_path_factory.mktemp(name), driver, environment)
        finally:
            idle.put((driver, environment))

    pool = ThreadPoolExecutor(WORKERS)
    found = {name: pool.submit(replay_with_a_driver, name) for name in wanted}
    yield found
    pool.shutdown(cancel_futures=True)
    done = {name for name, one in found.items() if one.done() and not one.cancelled() and one.exception() is None}
    equal = {name for name in done if found[name].result() == ""}
    with_calls = len(equal & set(recorded_calls.names()))
    counts = f"{len(equal)} / {len(found)} scenarios equal, {with_calls} of them with every call of the engine"
    say(request.config, f"recordings of the real provider: {counts}")
    for driver in drivers:
        driver.close()


@pytest.mark.parametrize("name", recordings.names())
def test_same_as_the_real_provider(name: str, replays: dict[str, Future[str]]) -> None:
    assert replays[name].result() == ""


def test_every_recording_has_a_scenario() -> None:
    assert sorted(SCENARIOS) == recordings.names()


@pytest.mark.parametrize(
    ("change", "diffs"),
    [
        ("files", ["files", "filesHashes", "resources", "versionId"]),
        ("context", ["baseEnvironmentId", "baseEnvironmentVersionId", "resources", "versionId"]),
        ("replicas", ["resources", "versionId"]),
    ],
)
def test_in_place_behaviour_updates_a_source_without_key_scope(
    change: str, diffs: list[str], tmp_path: Path, tools: DeployTools
) -> None:
    if tools.plugin is not None:
        pytest.skip("only the stand-in has this switch")
    environment = environ(tmp_path / "driver", tools, DATAROBOT_STANDIN_BEHAVIOUR="in-place")
    driver = Driver(tools.python, environment)
    with Recorder() as recorder:
        run = Run(tmp_path / "work", recorder, driver, environment)
        run.up()
        if change == "files":
            run.write("app/lib/util.ts", "export const x = 1;\n")
            run.source_args["files"] += run.files("lib/util.ts")
        elif change == "context":
            run.change_dockerfile()
        else:
            run.source_args["resources"]["replicas"] = 2
        run.up()
        assert len(recorder.sources) == 1
        assert len(run.only_source["versions"]) == 2
        assert run.only_application["customApplicationSourceVersionId"] == run.only_source["versions"][-1]["id"]
    driver.close()
    last = run.steps[-1]
    assert last["result"] == "succeeded"
    changes = {entry["resource"]: (entry["op"], entry.get("diffs")) for entry in last["resources"]}
    assert changes["source"] == ("update", diffs)
    assert changes["app"] == ("update", ["sourceVersionId"])


def test_a_credential_and_the_token_are_never_in_clear_text_in_the_state(tmp_path: Path, tools: DeployTools) -> None:
    environment = environ(tmp_path / "driver", tools)
    driver = Driver(tools.python, environment)
    with Recorder() as recorder:
        run = Run(tmp_path / "work", recorder, driver, environment)
        run.credential(1)
        run.up()
    driver.close()
    assert run.steps[-1]["result"] == "succeeded"
    stored = "".join(path.read_text() for path in (tmp_path / "work/backend").rglob("*.json*"))
    assert "first-credential-value" not in stored
    assert "recording-token" not in stored
    assert "demo-app" in stored

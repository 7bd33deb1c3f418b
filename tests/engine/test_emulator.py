"""The local platform with the real engine: what the API promises of builds and applications really happens."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tests.engine.emulated import DOCKERFILE, Emulated, app_files, emulated
from toolkit import bundles, container
from toolkit.baseimage import BaseImage
from toolkit.container import CAPABILITIES, PIDS_LIMIT, RunningApp, RunSpec
from toolkit.emulator import containers, control
from toolkit.image.model import AppImage, EnvironmentImage

pytestmark = [
    pytest.mark.engine,
    # docker-py leaves the sockets of its streams to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    with emulated(tmp_path_factory.mktemp("emulated") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def base(platform: Emulated) -> str:
    """An environment's version that has been built."""
    environment, version = platform.environment()
    assert platform.built(environment, version)["buildStatus"] == "success"
    return version


@pytest.fixture
def running(platform: Emulated, base: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An application that runs; removed at the end."""
    source = platform.source(request.node.name)
    application = platform.application(platform.version(source, base, app_files("one")))
    found = platform.settled(application)
    assert found["status"] == "running", platform.api.get(f"customApplications/{application}/logs/").text
    yield application
    platform.api.delete(f"customApplications/{application}/")


def test_an_environment_is_built_and_a_failed_build_says_why(platform: Emulated) -> None:
    environment, version = platform.environment(f"{DOCKERFILE}RUN echo built $((40 + 2))\n", "with a step")
    built = platform.built(environment, version)
    log = platform.api.get(f"executionEnvironments/{environment}/versions/{version}/buildLog/").json()
    assert (built["buildStatus"], log["error"]) == ("success", "")
    found = platform.api.get(f"executionEnvironments/{environment}/").json()
    assert (found["latestVersion"]["id"], found["latestSuccessfulVersion"]["id"]) == (version, version)
    broken = platform.environment_version(environment, "FROM oven/bun:1-debian\nRUN echo about to fail && false\n")
    assert platform.built(environment, broken)["buildStatus"] == "failed"
    log = platform.api.get(f"executionEnvironments/{environment}/versions/{broken}/buildLog/").json()
    assert "could not be built" in log["error"]
    assert "about to fail" in log["log"]
    found = platform.api.get(f"executionEnvironments/{environment}/").json()
    assert (found["latestVersion"]["id"], found["latestSuccessfulVersion"]["id"]) == (broken, version)


def test_an_application_runs_and_is_gone_after_its_deletion(platform: Emulated, base: str) -> None:
    source = platform.source("comes and goes")
    application = platform.application(platform.version(source, base, app_files("one", build="echo building one\n")))
    assert platform.settled(application)["status"] == "running"
    assert platform.visit(application).json()["version"] == "one"
    logs = platform.api.get(f"customApplications/{application}/logs/").json()
    assert logs["logs"] == ["serving one"]
    assert (logs["buildLog"], logs["buildStatus"], logs["buildError"]) == ("building one", "success", "")
    assert platform.api.delete(f"customApplications/{application}/").status_code == 204
    assert platform.visit(application).status_code == 404
    assert platform.has_containers(application, 0)


def test_a_new_version_takes_over_without_a_failed_request(platform: Emulated, running: str) -> None:
    source = platform.api.get(f"customApplications/{running}/").json()["customApplicationSourceId"]
    base = platform.api.get(f"customApplicationSources/{source}/").json()["latestVersion"]["baseEnvironmentVersionId"]
    slow = app_files("two", start="#!/bin/sh\nsleep 2\nexec bun index.ts\n")
    version = platform.version(source, base, slow)
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def visit(path: str) -> None:
        while not over.is_set():
            response = platform.visit(running, path)
            found = response.text.removeprefix("slow ") if path else response.json().get("version", response.text)
            answers.append((response.status_code, found))

    visitors = [threading.Thread(target=visit, args=(path,)) for path in ("", "", "slow")]
    for visitor in visitors:
        visitor.start()
    time.sleep(0.3)
    changed = platform.api.patch(f"customApplications/{running}/", json={"customApplicationSourceVersionId": version})
    assert changed.json()["status"] != "running"
    assert platform.settled(running)["status"] == "running"
    assert platform.visit(running).json()["version"] == "two"
    time.sleep(2)
    over.set()
    for visitor in visitors:
        visitor.join()
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {"one", "two"}
    assert len(answers) > 50
    assert platform.has_containers(running, 1)


def test_a_new_version_that_fails_leaves_the_old_one_serving_and_says_why(platform: Emulated, running: str) -> None:
    found = platform.api.get(f"customApplications/{running}/").json()
    source = found["customApplicationSourceId"]
    base = platform.api.get(f"customApplicationSources/{source}/").json()["latestVersion"]["baseEnvironmentVersionId"]
    version = platform.version(source, base, app_files("x", start="#!/bin/sh\necho cannot go on >&2\nexit 7\n"))
    platform.api.patch(f"customApplications/{running}/", json={"customApplicationSourceVersionId": version})
    assert platform.settled(running)["status"] == "failed"
    logs = platform.api.get(f"customApplications/{running}/logs/").json()["logs"]
    assert "cannot go on" in logs
    assert "exit code 7" in logs[-1]
    assert platform.visit(running).json()["version"] == "one"
    back = found["customApplicationSourceVersionId"]
    platform.api.patch(f"customApplications/{running}/", json={"customApplicationSourceVersionId": back})
    assert platform.settled(running)["status"] == "running"


@pytest.mark.parametrize(
    ("files", "own", "build"),
    [
        ({"start": "#!/bin/sh\necho no way >&2\nexit 4\n"}, "exit code 4", ""),
        ({"build": "echo half way\nexit 5\n"}, "", "half way"),
        ({"start": "no script"}, "exec format error", ""),
    ],
    ids=["start", "build", "no script"],
)
def test_an_app_that_fails_tells_the_reason_in_its_logs(
    platform: Emulated, base: str, files: dict[str, str], own: str, build: str, request: pytest.FixtureRequest
) -> None:
    source = platform.source(request.node.name)
    application = platform.application(platform.version(source, base, app_files("x", **files)))
    assert platform.settled(application)["status"] == "failed"
    logs = platform.api.get(f"customApplications/{application}/logs/").json()
    assert own in "\n".join(logs["logs"])
    assert build in logs["buildLog"]
    assert (logs["buildStatus"], bool(logs["buildError"])) == (("failed", True) if build else ("success", False))
    assert platform.visit(application).status_code == 503
    assert platform.containers(application) == []
    platform.api.delete(f"customApplications/{application}/")


def test_a_crash_is_answered_with_a_restart_each_time_later_and_in_the_end_with_failure(
    platform: Emulated, running: str
) -> None:
    pauses = []
    for _ in range(2):
        before = platform.visit(running).json()["started"]
        platform.visit(running, "crash")
        began = time.monotonic()
        platform.becomes(running, "initializing", patience=10)
        platform.becomes(running, "running", patience=30)
        pauses.append(time.monotonic() - began)
        assert platform.visit(running).json()["started"] != before
    assert pauses[0] < pauses[1], pauses
    for _ in range(3):
        platform.becomes(running, "running", patience=60)
        platform.visit(running, "crash")
        platform.becomes(running, "initializing", "failed", patience=10)
    assert platform.becomes(running, "failed", patience=10)["status"] == "failed"
    assert "crashed again and again" in platform.api.get(f"customApplications/{running}/logs/").json()["logs"][-1]


def test_an_application_stops_starts_pauses_and_wakes(platform: Emulated, running: str) -> None:
    def become(action: str) -> int:
        return platform.control("POST", f"applications/{running}/{action}").status_code

    assert become("stop") == 200
    platform.becomes(running, "stopped", patience=1)
    assert platform.visit(running).status_code == 503
    time.sleep(1)
    assert platform.becomes(running, "stopped", patience=1)["status"] == "stopped"  # a visit does not wake it
    assert become("pause") == 409
    assert become("start") == 200
    assert platform.settled(running)["status"] == "running"
    assert become("pause") == 200
    platform.becomes(running, "paused", patience=1)
    assert platform.has_containers(running, 0)
    waking = platform.visit(running, headers={"Accept": "text/html"})
    assert waking.status_code == 503
    assert "is starting" in waking.text
    assert platform.settled(running)["status"] == "running"
    assert platform.visit(running).json()["version"] == "one"
    assert become("dance") == 404
    assert platform.control("POST", "applications/0123456789abcdef01234567/stop").status_code == 404


def test_an_idle_application_is_paused_unless_it_forbids_that(platform: Emulated, running: str) -> None:
    platform.api.patch(f"customApplications/{running}/", json={"allowAutoStopping": False})
    assert platform.control("PUT", "settings", {"pauseAfterSeconds": 2}).status_code == 200
    try:
        time.sleep(4)
        assert platform.becomes(running, "running", patience=1)
        platform.api.patch(f"customApplications/{running}/", json={"allowAutoStopping": True})
        platform.becomes(running, "paused", patience=10)
    finally:
        platform.control("PUT", "settings", {"pauseAfterSeconds": 0})
    platform.visit(running)
    assert platform.settled(running)["status"] == "running"


def test_replicas_share_the_work_and_one_that_crashes_does_not_take_the_others_along(
    platform: Emulated, base: str
) -> None:
    source = platform.source("replicas")
    version = platform.version(source, base, app_files("many"), resources={"replicas": 4, "sessionAffinity": False})
    application = platform.application(version)
    assert platform.settled(application)["status"] == "running"
    assert len(platform.containers(application)) == 4
    assert len({platform.visit(application).json()["host"] for _ in range(12)}) == 4
    sticky = platform.version(source, base, app_files("many"), resources={"replicas": 2, "sessionAffinity": True})
    platform.api.patch(f"customApplications/{application}/", json={"customApplicationSourceVersionId": sticky})
    assert platform.settled(application)["status"] == "running"
    mine = {platform.visit(application).json()["host"] for _ in range(8)}
    assert len(mine) == 1
    platform.visit(application, "crash")
    deadline, hosts = time.monotonic() + 15, set()
    while time.monotonic() < deadline and not hosts - mine:
        response = platform.visit(application)
        if response.status_code == 200:
            hosts.add(response.json()["host"])
        time.sleep(0.1)
    assert hosts - mine
    assert platform.becomes(application, "running", patience=1)
    assert platform.has_containers(application, 2)
    platform.api.delete(f"customApplications/{application}/")


def test_who_has_the_address_of_a_crashed_container_now_gets_none_of_its_visitors(
    platform: Emulated, running: str
) -> None:
    environment = EnvironmentImage("", "", BaseImage("", "", "local", ""), "/opt/code", False, 0.0)
    (served,) = platform.containers(running)
    image = AppImage(served.image.tags[0], "", environment, {}, False, 0.0, ())
    bridge = containers.bridge(platform.engine)
    assert bridge
    spec = RunSpec(image, {}, bundles.find(bundles.DEFAULT_BUNDLE), "test", platform.instance, near=bridge)
    started: list[RunningApp] = []

    def start() -> str:
        """Start a container; give its own address once it answers there."""
        started.append(container.start(platform.engine, spec))
        network = platform.engine.containers.get(started[-1].id).attrs["NetworkSettings"]
        address = str(network["IPAddress"])
        deadline = time.monotonic() + 20
        while containers.probe(address, container.PORT, "/") != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return address

    try:
        address = start()
        nearest = containers.nearest(started[0], "/")
        assert nearest != (started[0].host, started[0].port)
        assert containers.probe(*nearest, "/") == 200
        started[0].remove()
        assert address in {start() for _ in range(3)}
        assert containers.probe(*nearest, "/") == 0
    finally:
        containers.remove(started)


def test_a_container_has_the_limits_of_the_bundle_and_no_privileges(platform: Emulated, base: str) -> None:
    resources = {"resourceLabel": "cpu.medium"}
    version = platform.version(platform.source("limits"), base, app_files("x"), resources=resources)
    application = platform.application(version)
    assert platform.settled(application)["status"] == "running"
    (container,) = platform.containers(application)
    host, bundle = container.attrs["HostConfig"], bundles.find("cpu.medium")
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (bundle.memory, bundle.memory, 10**9)
    assert host["PidsLimit"] == PIDS_LIMIT
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert {one.removeprefix("CAP_") for one in host["CapAdd"]} == set(CAPABILITIES)
    assert any(one.startswith("no-new-privileges") for one in host["SecurityOpt"])
    assert not host["Binds"]
    assert not container.attrs["Mounts"]
    assert host["NetworkMode"] not in ("host", "none")
    assert (host["PidMode"], host["IpcMode"]) in (("", "private"), ("", ""))
    published = {one["HostIp"] for ports in host["PortBindings"].values() for one in ports}
    assert published == {"127.0.0.1", containers.bridge(platform.engine)}
    status = dict(line.split(":\t", 1) for line in platform.visit(application, "status").text.splitlines())
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16).bit_count() <= len(CAPABILITIES)
    platform.api.delete(f"customApplications/{application}/")


def test_an_app_has_a_token_of_its_own_that_may_read_neither_use_cases_nor_notebooks(
    platform: Emulated, base: str, running: str
) -> None:
    other = platform.application(platform.version(platform.source("other"), base, app_files("two")))
    assert platform.settled(other)["status"] == "running"
    tokens = [platform.visit(one, "environment").json()["DATAROBOT_API_TOKEN"] for one in (running, other)]
    assert len({*tokens, platform.info.token.reveal(), platform.info.restricted_token.reveal()}) == 4
    assert platform.visit(running, "api?path=version/").status_code == 200
    assert platform.visit(running, "api?path=useCases/").status_code == 403
    platform.api.delete(f"customApplications/{other}/")
    gone = {"Authorization": f"Bearer {tokens[1]}"}
    assert platform.api.get("version/", headers=gone).status_code == 401


def test_runtime_parameters_reach_the_app_in_both_encodings(platform: Emulated, base: str) -> None:
    credential = platform.api.post(
        "credentials/", json={"name": "secret", "credentialType": "api_token", "apiToken": "t0p"}
    ).json()["credentialId"]
    parameters = [
        {"fieldName": "TEXT", "type": "string", "currentValue": "one two"},
        {"fieldName": "FLAG", "type": "boolean", "currentValue": True},
        {"fieldName": "COUNT", "type": "numeric", "currentValue": 12},
        {"fieldName": "KEY", "type": "credential", "currentValue": credential},
    ]
    source = platform.source("parameters")
    seen: dict[str, dict[str, str]] = {}
    for encoding in ("json", "raw"):
        platform.control("PUT", "settings", {"parameterEncoding": encoding})
        version = platform.version(source, base, app_files("x"), runtimeParameters=json.dumps(parameters))
        application = platform.application(version)
        assert platform.settled(application)["status"] == "running"
        seen[encoding] = platform.visit(application, "environment").json()
        platform.api.delete(f"customApplications/{application}/")
    platform.control("PUT", "settings", {"parameterEncoding": "json"})
    prefix = "MLOPS_RUNTIME_PARAM_"
    assert json.loads(seen["json"][f"{prefix}TEXT"]) == {"type": "string", "payload": "one two"}
    assert json.loads(seen["json"][f"{prefix}FLAG"]) == {"type": "boolean", "payload": True}
    assert [seen["raw"][f"{prefix}{name}"] for name in ("TEXT", "FLAG", "COUNT")] == ["one two", "true", "12"]
    for found in seen.values():
        assert json.loads(found[f"{prefix}KEY"])["payload"]["apiToken"] == "t0p"
    assert "SCRIPT_NAME" not in seen["json"]
    assert seen["json"]["BASE_PATH"].startswith("custom_applications/")
    assert "PORT" not in seen["json"]


def test_a_stop_removes_the_containers_and_the_next_start_brings_the_apps_back(
    platform: Emulated, running: str
) -> None:
    url = platform.info.console
    control.stop(platform.data)
    assert platform.containers() == []
    platform.start()
    assert platform.info.console == url
    assert platform.settled(running)["status"] == "running"
    assert platform.visit(running).json()["version"] == "one"
    before = {one.id for one in platform.containers(running)}
    os.kill(platform.info.pid, signal.SIGKILL)
    while control._alive(platform.info.pid):
        time.sleep(0.01)
    assert {one.id for one in platform.containers(running)} == before
    platform.start()
    assert platform.settled(running)["status"] == "running"
    assert platform.visit(running).json()["version"] == "one"
    assert len(platform.containers(running)) == 1


def test_a_stop_in_the_middle_of_starts_leaves_nothing(platform: Emulated, base: str, running: str) -> None:
    slow = app_files("slow", start="#!/bin/sh\nsleep 30\n")
    source = platform.source("slow starters")
    starting = [platform.application(platform.version(source, base, slow)) for _ in range(3)]
    for application in starting:
        assert platform.has_containers(application, 1)
    control.stop(platform.data)
    assert platform.has_containers("", 0, patience=3)
    platform.start()
    for application in starting:
        assert platform.api.delete(f"customApplications/{application}/").status_code == 204
    assert platform.settled(running)["status"] == "running"

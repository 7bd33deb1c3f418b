"""doctor: every problem is told apart, has a next step, and nothing hangs."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from toolkit import doctor, preflight, statefiles
from toolkit import settings as configuration
from toolkit.bench import Bench
from toolkit.datarobot import Client
from toolkit.doctor import Answer, Finding
from toolkit.errors import ConfigurationError, PermissionDenied, ToolkitError
from toolkit.settings import Secret, Settings
from toolkit.tools import Places

TOKEN = "NjZmYWtlMTIzNDU2Nzg5MGFiY2RlZg=="


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Places(tmp_path, tmp_path, tmp_path / "cache", tmp_path / ".toolkit"), {}, lambda _event: None)


def _settings(root: Path, **environ: str) -> Settings:
    (root / "env").mkdir(exist_ok=True)
    (root / "env" / "Dockerfile").write_text("FROM oven/bun:1-debian\n")
    told = {"DATAROBOT_ENDPOINT": "https://dr.example/api/v2", "DATAROBOT_API_TOKEN": TOKEN, "ENVIRONMENT_DIR": "env"}
    return configuration.load({**told, **environ}, None, stack="dev", root=root)


def _found(findings: list[Finding]) -> dict[str, Finding]:
    return {one.id: one for one in findings}


def test_probes_run_beside_each_other_and_whoever_hangs_is_told() -> None:
    def slow() -> Answer:
        time.sleep(0.2)
        return Answer("slept")

    def hangs() -> Answer:
        time.sleep(60)
        return Answer("never")

    begun = time.monotonic()
    found = doctor.gather({"a": slow, "b": slow, "c": slow, "d": hangs, "e": slow}, 1.5)
    assert time.monotonic() - begun < 4
    assert [(one.id, one.status) for one in found] == [
        ("a", "ok"), ("b", "ok"), ("c", "ok"), ("d", "error"), ("e", "ok"),
    ]  # fmt: skip
    assert found[3].exit_code == 9
    assert found[3].hint


def test_errors_and_doubts_keep_their_next_step() -> None:
    def denied() -> Answer:
        raise PermissionDenied("no", hint="ask", details=("more",))

    found = _found(doctor.gather({"x": denied, "y": lambda: Answer("so so", "look", doubtful=True)}, 5))
    assert found["x"] == Finding("x", "error", "no more", "ask", 3)
    assert found["y"] == Finding("y", "warning", "so so", "look")


def test_settings_that_are_wrong_do_not_hide_the_rest(bench: Bench, tmp_path: Path) -> None:
    def load() -> Settings:
        raise ConfigurationError("One setting is wrong.", hint="Correct it.", details=("APP_REPLICAS: 9",))

    bench = replace(bench, environ={"DOCKER_HOST": "tcp://127.0.0.1:1"})
    found = _found(doctor.examine(bench, load, tmp_path))
    assert found["settings"].detail == "One setting is wrong. APP_REPLICAS: 9"
    assert found["settings"].exit_code == 2
    assert found["python"].status == "ok"
    assert "platform" not in found


@pytest.fixture
def blackhole() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_with_every_endpoint_dead_all_is_told_within_four_seconds(bench: Bench, tmp_path: Path, blackhole: str) -> None:
    settings = replace(_settings(tmp_path), endpoint=f"http://{blackhole}/api/v2")
    bench = replace(bench, environ={"DOCKER_HOST": f"tcp://{blackhole}", "PATH": os.defpath})
    begun = time.monotonic()
    found = _found(doctor.examine(bench, lambda: settings, tmp_path))
    assert time.monotonic() - begun <= 4
    assert not {"bundles", "leftovers"} & set(found), "they would say the same again"
    for name in ("engine", "base-image", "platform"):
        assert found[name].status == "error", found[name]
        assert found[name].hint, name
    assert found["platform"].exit_code == 9
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (httpx.Response(401, json={"message": "no"}), 3, "does not know this token (401)"),
        (httpx.Response(403, json={"message": "no"}), 3, "(403)"),
        (httpx.Response(404, text="nothing"), 2, "answers 404"),
        (httpx.Response(302, headers={"location": "https://sso.example/sign-in?x=1"}), 2, "wants a sign-in (sso.exam"),
        (httpx.Response(301, headers={"location": "https://other.example/api/v2/"}), 2, "sends to other.example"),
        (httpx.Response(200, text="<html>"), 2, "answers 200 with"),
    ],
)
def test_what_is_wrong_with_the_platform_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, code: int, words: str
) -> None:
    monkeypatch.setattr(preflight, "platform_client", _client(lambda _request: answer))
    finding = doctor.gather({"platform": lambda: doctor._platform(_settings(tmp_path))}, 5)[0]
    assert (finding.status, finding.exit_code) == ("error", code)
    assert words in finding.detail
    assert finding.hint


def test_without_a_token_the_platform_is_the_problem_and_nothing_else(tmp_path: Path) -> None:
    settings = replace(_settings(tmp_path), token=None)
    finding = doctor.gather({"platform": lambda: doctor._platform(settings)}, 5)[0]
    assert finding.exit_code == 2
    assert "DATAROBOT_API_TOKEN is not set" in finding.detail


def _client(handler: object):  # type: ignore[no-untyped-def]
    def made(settings: Settings, *, patience: float = 10) -> Client:
        del patience
        transport = httpx.MockTransport(handler)  # type: ignore[arg-type]
        return Client(str(settings.endpoint), settings.token or Secret("x"), transport=transport)

    return made


@pytest.mark.parametrize(("value", "doubtful"), [(True, False), (False, True), (None, False)])
def test_switched_off_bundles_are_a_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: bool | None, doubtful: bool
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        name = json.loads(request.content)["entitlements"][0]["name"]
        if value is None:
            return httpx.Response(422, json={"message": "unknown", "errors": {"any": name}})
        return httpx.Response(200, json={"entitlements": [{"name": name, "value": value}]})

    monkeypatch.setattr(preflight, "platform_client", _client(handler))
    assert doctor._bundles(_settings(tmp_path)).doubtful is doubtful


def test_a_name_that_somebody_else_has_is_seen_before_the_deployment(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        taken = request.url.path.endswith("/customApplications/") and "name" in request.url.params
        data = [{"id": "a" * 24, "name": "dr-nb-admin-viewer-dev"}] if taken else []
        return httpx.Response(200, json={"data": data, "next": None, "totalCount": len(data)})

    monkeypatch.setattr(preflight, "platform_client", _client(handler))
    answer = doctor._leftovers(_settings(tmp_path), bench)
    assert answer.doubtful
    assert "a" * 24 in answer.detail
    assert "APP_NAME" in answer.hint


def test_a_state_without_its_passphrase_is_an_error(bench: Bench, tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    assert "is made at the first deployment" in doctor._state(settings, bench).detail
    stacks = tmp_path / ".toolkit" / "state" / ".pulumi" / "stacks" / "bun-to-datarobot"
    stacks.mkdir(parents=True)
    (stacks / "dev.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="passphrase"):
        doctor._state(settings, bench)
    (tmp_path / ".toolkit" / "passphrase").write_text("x")
    assert doctor._state(settings, bench).detail.endswith("passphrase")


def test_secrets_of_a_backend_are_not_shown(bench: Bench, tmp_path: Path) -> None:
    settings = _settings(tmp_path, PULUMI_BACKEND_URL="s3://key:secret@bucket/path?awssecret=hidden")
    assert doctor._state(settings, bench).detail.startswith("s3://bucket/path;")


def test_who_holds_the_lock_is_named(bench: Bench, tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    assert doctor._lock(settings, bench).detail == "free"
    folder = tmp_path / ".toolkit" / "state" / ".pulumi" / "locks" / "organization" / "bun-to-datarobot" / "dev"
    folder.mkdir(parents=True)
    told = {"pid": 1, "username": "ann", "hostname": "laptop", "timestamp": "2026-11-23T10:00:00Z"}
    (folder / "x.json").write_text(json.dumps(told))
    answer = doctor._lock(settings, bench)
    assert answer.doubtful
    assert "ann@laptop (process 1)" in answer.detail
    with statefiles.locked(settings):
        assert "works on the stack" in doctor._lock(settings, bench).detail


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_lock_of_a_run_that_has_died_goes_and_no_other(tmp_path: Path, elsewhere: bool) -> None:
    state = tmp_path / "shared" if elsewhere else tmp_path / ".toolkit" / "state"
    settings = _settings(tmp_path, **({"PULUMI_BACKEND_URL": state.as_uri()} if elsewhere else {}))
    folder = state / ".pulumi" / "locks" / "organization" / "bun-to-datarobot" / "dev"
    folder.mkdir(parents=True)
    here = {"pid": 2**22 + 1, "username": "ann", "hostname": socket.gethostname(), "timestamp": "2026-11-23T10:00:00Z"}
    locks = {"dead": here, "far": {**here, "hostname": "laptop"}}
    if elsewhere:  # a machine may have the name of this one: only what was locked in the time of a run here is ours
        locks["namesake"] = {**here, "timestamp": "2026-11-23T11:00:00Z"}
    for name, told in locks.items():
        (folder / f"{name}.json").write_text(json.dumps(told))
    events: list[dict[str, Any]] = []
    (tmp_path / ".toolkit" / "locks").mkdir(parents=True)
    began = datetime.fromisoformat("2026-11-23T09:59:50Z").timestamp()
    (tmp_path / ".toolkit" / "locks" / "dev.runs").write_text(json.dumps([[began, began + 60, 2**22 + 1]]))
    statefiles.forget_the_dead(settings, tmp_path, events.append)
    assert sorted(path.stem for path in folder.iterdir()) == ["far", "namesake"][: 1 + elsewhere]
    assert [event["text"].startswith("Removed the lock of ann@") for event in events] == [True]
    assert "that process is gone" in (tmp_path / ".toolkit" / "audit.log").read_text()


# --- before a deployment ----------------------------------------------------------------------------------------------


def test_before_a_deployment_the_first_error_ends_it_and_names_the_others(
    bench: Bench, tmp_path: Path, blackhole: str
) -> None:
    settings = replace(_settings(tmp_path), endpoint=f"http://{blackhole}/api/v2")
    bench = replace(bench, environ={"DOCKER_HOST": f"tcp://{blackhole}", "PATH": os.defpath})
    begun = time.monotonic()
    with pytest.raises(ToolkitError) as caught:
        doctor.require(bench, settings)
    assert time.monotonic() - begun <= 4
    assert caught.value.hint
    assert any(line.startswith("platform: ") for line in caught.value.details), caught.value.details
    assert TOKEN not in repr(caught.value.details) + caught.value.message


def test_before_a_deployment_all_is_asked_that_doctor_asks(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "platform_client", _client(_sound))
    settings = _settings(tmp_path)
    asked: list[set[str]] = []
    real = doctor.gather

    def gather(probes, limit):  # type: ignore[no-untyped-def]
        asked.append(set(probes))
        return real({name: probe for name, probe in probes.items() if name not in doctor.BUILD_HERE}, limit)

    monkeypatch.setattr(doctor, "gather", gather)
    doctor.examine(bench, lambda: settings, tmp_path)
    with statefiles.locked(settings):
        found = _found(doctor.require(bench, settings))
    assert asked[0] == asked[1] == {*found, *doctor.BUILD_HERE}
    assert len(asked[0]) == 12
    assert found["platform"].fact == "2.37.0"
    assert found["lock"].detail == "free", "the lock of the deployment itself is no doubt"
    doctor.require(bench, settings, builds=False)
    assert asked[2] == asked[0] - doctor.BUILD_HERE, "no engine is needed where nothing is built"


def test_a_busy_machine_ends_no_deployment(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long because of this machine is waited for; doctor itself is not."""

    def slow(_settings: Settings) -> Answer:
        time.sleep(0.5)
        return Answer("slept", fact="2.37.0")

    monkeypatch.setattr(preflight, "platform_client", _client(_sound))
    monkeypatch.setattr(doctor, "LIMIT", 0.1)
    monkeypatch.setattr(doctor, "_platform", slow)
    found = _found(doctor.require(bench, _settings(tmp_path), builds=False))
    assert (found["platform"].status, found["platform"].fact) == ("ok", "2.37.0")
    settings = _settings(tmp_path)
    looked = _found(doctor.examine(bench, lambda: settings, tmp_path, limit=0.1, leave_out=doctor.BUILD_HERE))
    assert (looked["platform"].status, looked["platform"].exit_code) == ("error", 9)


def test_doubts_end_no_deployment(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(("/customApplications/", "/entitlements/evaluate/")):
            return httpx.Response(500, json={"message": "in trouble"})
        return _sound(request)

    monkeypatch.setattr(preflight, "platform_client", _client(handler))
    monkeypatch.setattr(doctor, "LEAST_DISK", 10**18)
    found = _found(doctor.require(bench, _settings(tmp_path), builds=False))
    assert {name for name, one in found.items() if one.status == "warning"} >= {"disk", "leftovers"}
    assert str(found["disk"]).count("\n") == 0
    monkeypatch.setattr(doctor, "NO_DISK", 10**18)
    with pytest.raises(ConfigurationError, match="GB of disk are free"):
        doctor.require(bench, _settings(tmp_path), builds=False)


def _sound(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/version/"):
        return httpx.Response(200, json={"versionString": "2.37.0"})
    return httpx.Response(200, json={"data": [], "next": None, "totalCount": 0})

"""The control API: switches, snapshots, what applications are told to do, and what there is not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from tests.unit.test_emulator_edge import make
from toolkit.emulator import snapshots
from toolkit.emulator.fields import Invalid, NotFound
from toolkit.emulator.presence import Reads, Visits
from toolkit.emulator.store import Store
from toolkit.emulator.switches import Pace, Switches, changed

APP = "0123456789abcdef01234567"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


def control(platform: LocalPlatform, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {platform.identity.full.reveal()}"}
    url = f"{platform.url}/__emulator__/{path}"
    return httpx.request(method, url, headers=headers, json=body, trust_env=False, timeout=20)


def test_switches_are_set_one_by_one_and_go_with_a_reset(platform: LocalPlatform) -> None:
    plain = control(platform, "GET", "settings").json()
    assert plain == Switches().shown()
    wanted = {"parameterEncoding": "raw", "builds": {"reads": 3}, "starts": "immediate"}
    found = control(platform, "PUT", "settings", wanted).json()
    assert found["builds"] == {"engine": True, "reads": 3, "seconds": 0.0}
    assert found["starts"] == {"engine": False, "reads": 0, "seconds": 0.0}
    assert control(platform, "PUT", "settings", {"pauseAfterSeconds": 5}).json()["parameterEncoding"] == "raw"
    assert control(platform, "POST", "reset").json() == {"reset": True}
    assert control(platform, "GET", "settings").json() == plain


@pytest.mark.parametrize(
    "given",
    [
        {"nothing": 1},
        {"parameterEncoding": "xml"},
        {"pauseAfterSeconds": -1},
        {"pauseAfterSeconds": "5"},
        {"builds": "fast"},
        {"builds": {"engine": 1}},
        {"builds": {"reads": 1.5}},
        {"builds": {"reads": True}},
        {"builds": {"seconds": 10**9}},
        {"starts": {"x": 1}},
        {"starts": 7},
    ],
    ids=json.dumps,
)
def test_a_switch_that_makes_no_sense_is_refused(platform: LocalPlatform, given: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        changed(Switches(), given)
    assert caught.value.errors
    assert control(platform, "PUT", "settings", given).status_code == 422
    assert control(platform, "GET", "settings").json() == Switches().shown()


def test_an_application_is_stopped_paused_and_started(platform: LocalPlatform) -> None:
    application = make(platform)
    platform.runner.become(application, "running")
    assert control(platform, "POST", f"applications/{application}/pause").json()["status"] == "paused"
    assert control(platform, "POST", f"applications/{application}/stop").json()["status"] == "stopped"
    refused = control(platform, "POST", f"applications/{application}/pause")
    assert (refused.status_code, "this one is stopped" in refused.json()["message"]) == (409, True)
    assert control(platform, "POST", f"applications/{application}/start").json()["status"] == "initializing"
    assert platform.runner.starts[-1] == application
    assert control(platform, "POST", f"applications/{application}/dance").status_code == 404
    assert control(platform, "POST", f"applications/{APP}/stop").status_code == 404


def test_a_visit_wakes_what_is_paused_and_not_what_is_stopped(platform: LocalPlatform) -> None:
    application = make(platform)
    headers = {"Authorization": f"Bearer {platform.identity.full.reveal()}"}
    url = f"{platform.url}/custom_applications/{application}/"
    platform.runner.become(application, "stopped")
    started = len(platform.runner.starts)
    for accept in ("text/html", "*/*"):
        stopped = httpx.get(url, headers={**headers, "Accept": accept}, trust_env=False)
        assert (stopped.status_code, "was stopped" in stopped.text) == (503, True)
    assert len(platform.runner.starts) == started
    platform.runner.become(application, "paused")
    waking = httpx.get(url, headers=headers, trust_env=False)
    assert (waking.status_code, waking.headers["Retry-After"]) == (503, "2")
    assert platform.runner.starts[started:] == [application]
    assert platform.store.get("application", application)["status"] == "initializing"
    platform.runner.become(application, "running")
    for accept in ("text/html", "*/*"):
        simulated = httpx.get(url, headers={**headers, "Accept": accept}, trust_env=False)
        assert (simulated.status_code, "nothing runs" in simulated.text) == (501, True)


def test_a_snapshot_brings_everything_back(platform: LocalPlatform) -> None:
    with platform.client() as api:
        kept = api.post("customApplicationSources/", json={"name": "kept"}).json()["id"]
        parts: list[tuple[str, Any]] = [("file", ("a", b"content")), ("filePath", (None, "a"))]
        version = api.post(f"customApplicationSources/{kept}/versions/", files=parts).json()["id"]
        assert control(platform, "POST", "snapshots", {"name": "one"}).status_code == 201
        assert api.delete(f"customApplicationSources/{kept}/").status_code == 204
        later = api.post("customApplicationSources/", json={"name": "later"}).json()["id"]
        assert control(platform, "POST", "reset").status_code == 200
        assert control(platform, "GET", "snapshots").json() == {"snapshots": ["one"]}
        for _ in range(2):
            assert control(platform, "POST", "snapshots/one/restore").json() == {"restored": "one"}
            item = api.get(f"customApplicationSources/{kept}/versions/{version}/").json()["items"][0]["id"]
            path = f"customApplicationSources/{kept}/versions/{version}/items/{item}/"
            assert api.get(path).json()["content"] == "content"
            assert api.get(f"customApplicationSources/{later}/").status_code == 404
        assert api.post("customApplicationSources/", json={"name": "new"}).status_code == 201
    missing = control(platform, "POST", "snapshots/two/restore")
    assert (missing.status_code, "There are: one" in missing.json()["message"]) == (404, True)
    assert control(platform, "DELETE", "snapshots/one").status_code == 200
    assert control(platform, "DELETE", "snapshots/one").status_code == 404


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "x" * 65, "a b", 7, None, ".hidden"])
def test_the_name_of_a_snapshot_leads_nowhere_else(tmp_path: Path, name: Any) -> None:
    store = Store(tmp_path)
    with pytest.raises(Invalid):
        snapshots.save(store, tmp_path, name)
    with pytest.raises((Invalid, NotFound)):
        snapshots.restore(store, tmp_path, name)
    store.close()


def test_what_there_is_not_is_said(platform: LocalPlatform) -> None:
    refused = control(platform, "GET", "nothing")
    assert refused.status_code == 404
    assert "snapshots" in refused.json()["message"]
    assert httpx.get(f"{platform.url}/__emulator__/health", trust_env=False).status_code == 200
    for path in ("settings", "faults", "snapshots", "requests", "nothing"):
        assert httpx.get(f"{platform.url}/__emulator__/{path}", trust_env=False).status_code == 401


def test_visits_are_counted_and_idle_time_begins_when_the_last_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    visits = Visits()
    assert visits.idle(APP, 90.0) == 10.0
    with visits.visit(APP):
        clock[0] = 200.0
        assert visits.idle(APP, 90.0) == 0.0
    clock[0] = 203.0
    assert visits.idle(APP, 90.0) == 3.0
    assert visits.idle(APP, 202.0) == 1.0
    assert visits.count(APP) == 1
    visits.forget(APP)
    assert (visits.count(APP), visits.idle(APP, 203.0)) == (0, 0.0)


def test_a_pace_waits_for_reads_and_for_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, looks = Reads(), [0]
    reads.hold(Pace(), APP, 0.0, lambda: pytest.fail("does not wait"))

    def look() -> bool:
        looks[0] += 1
        reads.note("GET", f"/api/v2/customApplications/{APP}/")
        reads.note("POST", f"/api/v2/customApplications/{APP}/")
        reads.note("GET", "/api/v2/version/")
        return False

    reads.hold(Pace(reads=3), APP, 0.0, look)
    assert looks == [3]
    reads.hold(Pace(reads=3), APP, 0.0, lambda: True)
    clock = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def later() -> bool:
        clock[0] += 1
        return False

    reads.hold(Pace(seconds=3), APP, 10.0, later)
    assert clock == [13.0]

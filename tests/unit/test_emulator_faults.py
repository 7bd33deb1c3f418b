"""Faults on demand: which requests they meet, what they do to them, and that they end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from toolkit.emulator import faults as faults_room
from toolkit.emulator.faults import Faults
from toolkit.emulator.fields import Invalid


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture
def platform(shared: LocalPlatform) -> Iterator[LocalPlatform]:
    yield shared
    control(shared, "DELETE", "faults")
    assert control(shared, "GET", "faults").json() == {"faults": []}


@pytest.fixture
def api(platform: LocalPlatform) -> Iterator[httpx.Client]:
    with platform.client() as client:
        yield client


def control(platform: LocalPlatform, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {platform.identity.full.reveal()}"}
    url = f"{platform.url}/__emulator__/{path}"
    return httpx.request(method, url, headers=headers, json=body, trust_env=False, timeout=20)


def ask(platform: LocalPlatform, *rules: dict[str, Any], seed: Any = 0) -> list[dict[str, Any]]:
    response = control(platform, "POST", "faults", {"rules": list(rules), "seed": seed})
    assert response.status_code == 201, response.text
    found: list[dict[str, Any]] = response.json()["faults"]
    return found


def sources(platform: LocalPlatform) -> int:
    return platform.store.find("source")[1]


def test_the_second_request_fails_once_with_what_was_asked_for(platform: LocalPlatform, api: httpx.Client) -> None:
    ask(platform, {"method": "GET", "path": "/api/v2/version/", "hit": 2, "status": 429, "retryAfter": 3})
    answers = [api.get("version/") for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 429, 200, 200]
    refused = answers[1]
    assert (refused.headers["Retry-After"], refused.headers["Content-Type"]) == ("3", "application/json")
    assert "asked for" in refused.json()["message"]
    assert api.get("account/info/").status_code == 200
    (listed,) = control(platform, "GET", "faults").json()["faults"]
    assert (listed["hits"], listed["fired"], listed["retryAfter"]) == (4, 1, 3.0)
    assert [one.get("fault") for one in platform.requests if one["status"] == 429] == [listed["id"]]


def test_a_status_may_come_after_the_server_has_acted(platform: LocalPlatform, api: httpx.Client) -> None:
    before = sources(platform)
    body = {"message": "went away", "errors": {"x": "y"}}
    path = "/api/v2/customApplicationSources/"
    ask(platform, {"method": "POST", "path": path, "status": 503, "body": body, "headers": {"X-Seen": "1"}})
    refused = api.post("customApplicationSources/", json={"name": "not made"})
    assert (refused.status_code, refused.json(), refused.headers["X-Seen"]) == (503, body, "1")
    assert sources(platform) == before
    ask(platform, {"method": "POST", "path": path, "status": 503, "when": "after"})
    assert api.post("customApplicationSources/", json={"name": "made"}).status_code == 503
    assert sources(platform) == before + 1


def test_a_connection_is_cut_before_or_after_the_server_acts(platform: LocalPlatform, api: httpx.Client) -> None:
    before = sources(platform)
    for when, more in (("before", 0), ("after", 1)):
        ask(platform, {"method": "POST", "path": "*Sources/", "cut": True, "when": when})
        with pytest.raises(httpx.TransportError):
            api.post("customApplicationSources/", json={"name": f"cut {when}"})
        assert sources(platform) == before + more
    assert api.get("version/").status_code == 200


def test_a_body_is_truncated(platform: LocalPlatform, api: httpx.Client) -> None:
    ask(platform, {"path": "*/version/", "truncate": 5}, {"path": "*/version/", "truncate": 10**6})
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            api.get("version/")
    assert api.get("version/").status_code == 200


def test_a_delay(platform: LocalPlatform, api: httpx.Client) -> None:
    ask(platform, {"path": "*/version/", "delay": 0.3})
    began = time.monotonic()
    assert api.get("version/").status_code == 200
    assert time.monotonic() - began >= 0.3


def test_reads_lag_behind_writes(platform: LocalPlatform, api: httpx.Client) -> None:
    old = api.post("customApplicationSources/", json={"name": "before"}).json()["id"]
    ask(platform, {"path": "/api/v2/*", "stale": 0.5})
    path = f"customApplicationSources/{old}/"
    assert api.get(path).json()["name"] == "before"
    assert api.patch(path, json={"name": "after"}).json()["name"] == "after"
    new = api.post("customApplicationSources/", json={"name": "young"}).json()["id"]
    assert api.get(path).json()["name"] == "before"
    assert api.get(f"customApplicationSources/{new}/").status_code == 404
    time.sleep(0.6)
    assert api.get(path).json()["name"] == "after"
    assert api.get(f"customApplicationSources/{new}/").json()["name"] == "young"
    assert api.delete(path).status_code == 204
    assert api.get(path).json()["name"] == "after"
    time.sleep(0.6)
    assert api.get(path).status_code == 404


def test_a_fault_may_be_for_one_client_only(platform: LocalPlatform, api: httpx.Client) -> None:
    ask(platform, {"path": "*", "status": 500, "agent": "PoorThing", "times": 0})
    assert api.get("version/").status_code == 200
    assert [api.get("version/", headers={"User-Agent": "PoorThing/1"}).status_code for _ in range(3)] == [500] * 3


def test_the_same_seed_gives_the_same_faults(platform: LocalPlatform, api: httpx.Client) -> None:
    rounds = []
    for seed in ("a", "a", "b"):
        ask(platform, {"path": "*/version/", "status": 500, "chance": 0.5, "times": 0}, seed=seed)
        rounds.append([api.get("version/").status_code for _ in range(24)])
        control(platform, "DELETE", "faults")
    assert rounds[0] == rounds[1] != rounds[2]
    assert set(rounds[0]) == {200, 500}


def test_faults_end_with_their_time_with_a_deletion_and_with_a_reset(
    platform: LocalPlatform, api: httpx.Client
) -> None:
    rule = {"path": "*", "status": 500, "times": 0}
    ask(platform, {**rule, "seconds": 0.2})
    assert api.get("version/").status_code == 500
    time.sleep(0.25)
    assert api.get("version/").status_code == 200
    first, second = ask(platform, rule, rule)
    assert control(platform, "DELETE", f"faults/{first['id']}").json() == {"removed": 1}
    assert control(platform, "DELETE", f"faults/{first['id']}").status_code == 404
    assert control(platform, "DELETE", "faults/x").status_code == 404
    assert [one["id"] for one in control(platform, "GET", "faults").json()["faults"]] == [second["id"]]
    assert control(platform, "GET", "health").json()["faults"] == 1
    assert control(platform, "POST", "reset").status_code == 200
    assert api.get("version/").status_code == 200


def test_faults_need_the_full_token_and_never_block_their_own_removal(platform: LocalPlatform) -> None:
    url = f"{platform.url}/__emulator__/faults"
    assert httpx.post(url, json={}, trust_env=False).status_code == 401
    restricted = {"Authorization": f"Bearer {platform.identity.restricted.reveal()}"}
    assert httpx.delete(url, headers=restricted, trust_env=False).status_code == 403
    ask(platform, {"path": "*", "cut": True, "times": 0})
    assert control(platform, "DELETE", "faults").json() == {"removed": 1}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({}, "says what happens"),
        (7, "has to be an object"),
        ({"status": 99}, "status has to be"),
        ({"status": True}, "status has to be"),
        ({"status": "500"}, "status has to be"),
        ({"delay": -1}, "seconds have to be"),
        ({"delay": "x"}, "seconds have to be"),
        ({"cut": "yes"}, "cut has to be"),
        ({"cut": True, "when": "during"}, "when has to be"),
        ({"cut": True, "method": "get"}, "method has to be"),
        ({"cut": True, "path": 7}, "path has to be"),
        ({"cut": True, "hit": 0}, "hit has to be"),
        ({"cut": True, "times": -1}, "times has to be"),
        ({"cut": True, "chance": 2}, "chance has to be"),
        ({"cut": True, "what": 1}, "'what' is not known"),
        ({"status": 500, "headers": {"a": "b\r\nc: d"}}, "headers has to be"),
        ({"status": 500, "headers": []}, "headers has to be"),
        ({"truncate": -5}, "truncate has to be"),
    ],
    ids=repr,
)
def test_a_rule_that_makes_no_sense_is_refused_with_the_reason(platform: LocalPlatform, rule: Any, reason: str) -> None:
    response = control(platform, "POST", "faults", {"rules": [rule]})
    assert response.status_code == 422
    assert reason in str(response.json()["errors"])


@pytest.mark.parametrize(
    "given", [{}, {"rules": []}, {"rules": [{"cut": True}], "x": 1}, {"rules": [{"cut": True}], "seed": []}]
)
def test_what_is_no_set_of_rules_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        Faults().add(given)


def test_there_is_an_end_to_the_number_of_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults_room, "MOST_RULES", 2)
    faults = Faults()
    faults.add({"rules": [{"cut": True}, {"cut": True}]})
    with pytest.raises(Invalid):
        faults.add({"rules": [{"cut": True}]})

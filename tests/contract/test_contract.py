"""What the platform promises its clients: run on the local platform, and on a real one when it is named.

DATAROBOT_CONTRACT_ENDPOINT (…/api/v2) and DATAROBOT_CONTRACT_TOKEN choose a real platform. What a test makes has a name
of its own and is removed at its end, newest first; nothing else is touched. No image is built here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.contract.account import real_account
from tests.contract.local_platform import local_platform

ID = re.compile(r"[0-9a-f]{24}")
UNKNOWN = "0123456789abcdef01234567"
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    if (account := real_account()) is not None:
        with account.api as client:
            yield client
        return
    with local_platform(tmp_path_factory.mktemp("platform")) as platform, platform.client() as client:
        yield client


@pytest.fixture
def make(api: httpx.Client) -> Iterator[Make]:
    """Create an object; it is removed at the end of the test."""
    made: list[str] = []

    def create(path: str, id_key: str = "id", **body: Any) -> Any:
        response = api.post(path, json=body)
        assert response.is_success, response.text
        answer = response.json()
        assert ID.fullmatch(answer[id_key])
        made.append(f"{path}{answer[id_key]}/")
        return answer

    yield create
    for path in reversed(made):
        assert api.delete(path).status_code in (200, 204, 404), path


def unique() -> str:
    return f"contract {secrets.token_hex(6)}"


def test_the_version(api: httpx.Client) -> None:
    assert api.get("version/").json()["major"] == 2


@pytest.mark.parametrize("kind", ["executionEnvironments", "customApplicationSources", "customApplications"])
def test_lists_have_the_envelope_and_unknown_ids_are_404(api: httpx.Client, kind: str) -> None:
    page = api.get(f"{kind}/?limit=1").json()
    assert {"count", "data", "next", "previous"} <= page.keys()
    assert page["count"] == len(page["data"]) <= 1
    assert api.get(f"{kind}/{UNKNOWN}/").status_code == 404


def test_a_wrong_token_is_401(api: httpx.Client) -> None:
    assert httpx.get(f"{api.base_url}executionEnvironments/", headers={"Authorization": "Bearer x"}).status_code == 401


def test_an_environment(api: httpx.Client, make: Make) -> None:
    name = unique()
    made = make("executionEnvironments/", name=name, programmingLanguage="other", useCases=["customApplication"])
    found = api.get(f"executionEnvironments/{made['id']}/").json()
    assert (found["name"], found["programmingLanguage"], found["latestVersion"]) == (name, "other", None)
    listed = api.get("executionEnvironments/", params={"searchFor": name}).json()["data"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert api.delete(f"executionEnvironments/{made['id']}/").status_code == 204
    assert api.get(f"executionEnvironments/{made['id']}/").status_code == 404


def test_a_source_with_files(api: httpx.Client, make: Make) -> None:
    name = unique()
    source = make("customApplicationSources/", name=name)
    assert api.get(f"customApplicationSources/{source['id']}/").json()["latestVersion"] is None
    assert api.post("customApplicationSources/", json={"name": name}).status_code == 409
    versions = f"customApplicationSources/{source['id']}/versions/"
    first = api.post(versions, json={"label": "v1"}).json()
    parts = [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))]
    changed = api.patch(f"{versions}{first['id']}/", files=parts, data={"filePath": ["a.txt", "deep/b.txt"]}).json()
    assert {item["filePath"] for item in changed["items"]} == {"a.txt", "deep/b.txt"}
    second = api.post(versions, json={"label": "v2", "baseVersion": first["id"]}).json()
    assert {item["filePath"] for item in second["items"]} == {"a.txt", "deep/b.txt"}
    gone = [item["id"] for item in second["items"] if item["filePath"] == "a.txt"]
    left = api.patch(f"{versions}{second['id']}/", json={"filesToDelete": gone}).json()
    assert [item["filePath"] for item in left["items"]] == ["deep/b.txt"]
    assert api.get(f"customApplicationSources/{source['id']}/").json()["latestVersion"]["id"] == second["id"]


def test_a_credential_never_shows_its_secret(api: httpx.Client, make: Make) -> None:
    secret = secrets.token_hex(12)
    made = make("credentials/", "credentialId", name=unique(), credentialType="api_token", apiToken=secret)
    answer = api.get(f"credentials/{made['credentialId']}/")
    assert answer.json()["name"] == made["name"]
    assert secret not in answer.text
    again = api.post("credentials/", json={"name": made["name"], "credentialType": "api_token", "apiToken": secret})
    assert again.is_client_error
    assert any(phrase in again.text for phrase in ("already in use", "already exist", "is already used"))

"""What the local platform says of itself: the page of what is emulated, the OpenAPI description, what was missed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from toolkit.emulator.routes import Routes
from toolkit.emulator.routes_catalogue import ENDPOINTS, Endpoint, markdown, openapi

PAGE = Path(__file__).parents[2] / "docs" / "emulated.md"
UNKNOWN = "0123456789abcdef01234567"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


def test_the_page_is_what_the_routes_declare() -> None:
    assert PAGE.read_text() == markdown(), "python -m toolkit.emulator.routes_catalogue > docs/emulated.md (in infra)"


def test_every_endpoint_is_declared_once_and_has_a_handler() -> None:
    assert len({(one.method, one.path) for one in ENDPOINTS}) == len(ENDPOINTS)
    assert len({one.handler for one in ENDPOINTS}) == len(ENDPOINTS)
    for one in ENDPOINTS:
        assert callable(getattr(Routes, one.handler))
        assert one.path.endswith("/")


def test_the_description_is_published_and_complete(platform: LocalPlatform) -> None:
    published = httpx.get(f"{platform.url}/__emulator__/openapi.json", trust_env=False)
    assert published.status_code == 200
    assert published.json() == openapi()
    operations = [one for path in published.json()["paths"].values() for one in path]
    assert len(operations) == len(ENDPOINTS)


@pytest.mark.parametrize("one", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_each_declared_endpoint_answers_without_failing(platform: LocalPlatform, one: Endpoint) -> None:
    for path in (one.path, one.path.rstrip("/")):
        for name in one.parameters:
            path = path.replace(f"{{{name}}}", UNKNOWN)
        with platform.client() as client:
            # An object that is not there: 404; an empty body where one is needed: 422; lists and reads: 200.
            answer = client.request(one.method, f"{platform.url}{path}")
        assert answer.status_code in {200, 201, 404, 409, 422}, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        without = httpx.request(one.method, f"{platform.url}{path}", trust_env=False)
        assert without.status_code == 401


def test_what_is_not_emulated_is_said_and_counted(platform: LocalPlatform) -> None:
    with platform.client() as client:
        for _ in range(3):
            refused = client.get("projects/")
        image = client.post("customApplications/", json={"environmentId": UNKNOWN})
        kind = client.post("credentials/", json={"name": "n", "credentialType": "gcp"})
        counted = client.get(f"{platform.url}/__emulator__/not-emulated").json()["notEmulated"]
    assert refused.status_code == image.status_code == kind.status_code == 501
    assert refused.json() == {"message": "not emulated: GET /api/v2/projects/"}
    assert counted[0] == {"what": "GET /api/v2/projects/", "count": 3}
    assert len(counted) == 3

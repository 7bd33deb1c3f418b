"""The API of the local platform over HTTP: tokens, envelopes, every group of routes, and what odd input gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from toolkit.emulator import seed
from toolkit.emulator.server import today

ZIP = b"PK\x05\x06" + bytes(18)
UNKNOWN = "0123456789abcdef01234567"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform")) as running:
        seed.plant(running.store, running.identity.org_id, today())
        yield running


@pytest.fixture
def api(platform: LocalPlatform) -> Iterator[httpx.Client]:
    with platform.client() as client:
        yield client


class Names:
    """Gives names that no other test uses."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, text: str = "name") -> str:
        self.count += 1
        return f"{text} {self.count}"


@pytest.fixture(scope="module")
def name() -> Names:
    return Names()


def ok(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, f"{response.status_code} {response.text}"
    return response.json() if response.content else None


def refused(response: httpx.Response, status: int) -> Any:
    """Every refusal has the body and the exact content type that the clients read."""
    assert response.status_code == status, f"{response.status_code} {response.text}"
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert isinstance(body["message"], str)
    assert body["message"]
    return body


def environment(api: httpx.Client, name: str = "env") -> tuple[str, str]:
    made = ok(api.post("executionEnvironments/", json={"name": name, "useCases": ["customApplication"]}), 201)
    files = {"docker_context": ("context.zip", ZIP)}
    version = ok(api.post(f"executionEnvironments/{made['id']}/versions/", data={"description": ""}, files=files), 202)
    return made["id"], version["id"]


def version(api: httpx.Client, name: str, **fields: Any) -> tuple[str, Any]:
    """Make a source with a version on an environment of its own."""
    _, built = environment(api)
    source = ok(api.post("customApplicationSources/", json={"name": name}), 201)["id"]
    body = {"label": "v1", "baseEnvironmentVersionId": built, **fields}
    return source, ok(api.post(f"customApplicationSources/{source}/versions/", json=body), 201)


def application(api: httpx.Client, source_name: str, **fields: Any) -> Any:
    _, made = version(api, f"{source_name} source")
    return ok(api.post("customApplications/", json={"applicationSourceVersionId": made["id"], **fields}), 202)


# --- Tokens, addresses, envelopes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "bearer"])
def test_both_schemes_of_a_token_are_taken(platform: LocalPlatform, scheme: str) -> None:
    with platform.client(scheme=scheme) as client:
        assert ok(client.get("version/"))["versionString"] == "2.49.0"


@pytest.mark.parametrize(
    "header",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}, {"Authorization": "Bearer"}, "latin"],
    ids=str,
)
def test_without_a_good_token_every_route_answers_401(platform: LocalPlatform, header: Any) -> None:
    headers = {"Authorization": b"Bearer \xff\xfe"} if header == "latin" else header
    for path in ("version/", "useCases/", "no/such/route/"):
        response = httpx.get(f"{platform.url}/api/v2/{path}", headers=headers, trust_env=False)
        assert refused(response, 401)["message"] == "Invalid API token."


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/useCases/?limit=1"),
        ("GET", f"/api/v2/useCases/{UNKNOWN}/"),
        ("POST", "/api/v2/useCases/"),
        ("GET", "/api-gw/nbx/notebooks/"),
    ],
)
def test_the_restricted_token_may_not_read_the_organisation(platform: LocalPlatform, method: str, path: str) -> None:
    with platform.client(platform.identity.restricted.reveal()) as client:
        refused(client.request(method, platform.url + path), 403)
        ok(client.get("version/"))


def test_the_token_of_an_application_is_restricted_and_ends_with_it(platform: LocalPlatform, api: httpx.Client) -> None:
    made = application(api, "own token")
    token = platform.store.get("application", made["id"])["_restrictedToken"]
    with platform.client(token) as client:
        ok(client.get("account/info/"))
        refused(client.get("useCases/"), 403)
        ok(api.delete(f"customApplications/{made['id']}/"), 204)
        refused(client.get("account/info/"), 401)


@pytest.mark.parametrize(
    ("level", "methods"),
    [("viewer", {"GET"}), ("user", {"GET", "POST", "PATCH"}), ("admin", {"GET", "POST", "PATCH", "DELETE"})],
)
def test_the_key_of_a_visitor_may_do_what_its_level_says(
    platform: LocalPlatform, level: str, methods: set[str]
) -> None:
    with platform.client(platform.identity.visitor_key(level).reveal()) as client:
        ok(client.get("useCases/?limit=1"))
        for method in ("GET", "POST", "PATCH", "DELETE"):
            response = client.request(method, f"useCases/{UNKNOWN}/nothing/")
            assert response.status_code == (501 if method in methods else 403)


def test_unknown_routes_are_not_emulated_rather_than_missing(api: httpx.Client, platform: LocalPlatform) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        body = refused(api.request(method, "deployments/"), 501)
        assert body["message"] == f"not emulated: {method} /api/v2/deployments/"
    refused(api.put("executionEnvironments/"), 501)
    refused(api.get(f"{platform.url}/api-gw/nbx/other/"), 501)


def test_no_route_redirects_with_or_without_the_last_slash(api: httpx.Client, platform: LocalPlatform) -> None:
    source, made = version(api, "slashes")
    app = ok(api.post("customApplications/", json={"applicationSourceVersionId": made["id"]}), 202)["id"]
    paths = [
        "version/",
        "account/info/",
        "clientConfig/",
        "mlops/compute/bundles/",
        "executionEnvironments/",
        "customApplicationSources/",
        f"customApplicationSources/{source}/",
        f"customApplicationSources/{source}/versions/",
        f"customApplicationSources/{source}/versions/{made['id']}/",
        "customApplications/",
        f"customApplications/{app}/",
        f"customApplications/{app}/logs/",
        f"customApplications/{app}/history/",
        "credentials/",
        "useCases/",
    ]
    for path in paths:
        assert ok(api.get(path)) == ok(api.get(path.rstrip("/"))) or path.count("/") == 1, path
        assert api.post(path.rstrip("/"), json={}).status_code not in range(300, 400)


def pages(api: httpx.Client, address: str) -> tuple[list[Any], int]:
    """Follow `next` to the end as the clients do; gives all items and how many requests that took."""
    items: list[Any] = []
    count = 0
    following: str | None = address
    while following:
        page = ok(api.get(following))
        assert set(page) == {"count", "next", "previous", "totalCount", "data"}
        assert page["count"] == len(page["data"])
        items += page["data"]
        following = page["next"]
        count += 1
    assert page["totalCount"] == len(items)
    return items, count


def test_pages_are_followed_to_the_end_without_gaps(api: httpx.Client, platform: LocalPlatform) -> None:
    use_cases, count = pages(api, f"{platform.url}/api/v2/useCases/?limit=15&orderBy=name&showOrgUseCases=true")
    assert (len({one["id"] for one in use_cases}), count) == (40, 3)
    assert [one["name"].lower() for one in use_cases] == sorted(one["name"].lower() for one in use_cases)
    notebooks, count = pages(api, f"{platform.url}/api-gw/nbx/notebooks/?limit=100&orderBy=-updated")
    assert (len({one["id"] for one in notebooks}), count) == (600, 6)
    changed = [one["updated"]["at"] for one in notebooks]
    assert changed == sorted(changed, reverse=True)


def test_the_pages_before_and_after_keep_the_query(api: httpx.Client, platform: LocalPlatform) -> None:
    page = ok(api.get("useCases/?limit=10&offset=10&orderBy=-name"))
    before, after = httpx.URL(page["previous"]), httpx.URL(page["next"])
    assert str(before).startswith(f"{platform.url}/api/v2/useCases/?")
    assert dict(before.params) == {"limit": "10", "offset": "0", "orderBy": "-name"}
    assert dict(after.params) == {"limit": "10", "offset": "20", "orderBy": "-name"}
    last = ok(api.get("useCases/?limit=10&offset=30"))
    assert (last["next"], last["count"], last["totalCount"]) == (None, 10, 40)
    beyond = ok(api.get("useCases/?limit=10&offset=1000"))
    assert (beyond["data"], beyond["next"], beyond["totalCount"]) == ([], None, 40)
    assert ok(api.get("useCases/?limit=5000"))["count"] == 40


@pytest.mark.parametrize("path", ["useCases/", "customApplications/", "executionEnvironments/", "credentials/"])
@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=0", "limit=x", "offset=-1", "offset=1e3", f"offset={10**30}", f"limit={'9' * 5000}"]
)
def test_odd_paging_is_refused_or_bounded(api: httpx.Client, path: str, query: str) -> None:
    refused(api.get(f"{path}?{query}"), 422)


def test_numbers_are_sorted_as_numbers(api: httpx.Client) -> None:
    found = ok(api.get("useCases/?limit=100&orderBy=-notebooksCount"))["data"]
    counts = [one["notebooksCount"] for one in found]
    assert counts == sorted(counts, reverse=True)
    assert max(counts) > 10


# --- Execution environments ------------------------------------------------------------------------------------------


def test_an_environment_without_and_with_a_version(api: httpx.Client, platform: LocalPlatform) -> None:
    made = ok(api.post("executionEnvironments/", json={"name": "bun", "useCases": ["customApplication"]}), 201)
    assert (made["programmingLanguage"], made["description"], made["latestVersion"]) == ("other", "", None)
    files = {"docker_context": ("context.zip", ZIP)}
    path = f"executionEnvironments/{made['id']}/"
    first = ok(api.post(f"{path}versions/", data={"description": "d", "label": "one"}, files=files), 202)
    assert (first["buildStatus"], first["label"], first["description"]) == ("submitted", "one", "d")
    assert platform.runner.builds[-1] == first["id"]
    found = ok(api.get(path))
    assert (found["latestVersion"]["id"], found["latestSuccessfulVersion"]) == (first["id"], None)
    platform.store.set_build(first["id"], "success", log="step 1\nstep 2")
    second = ok(api.post(f"{path}versions/", files={"dockerContext": ("c.tar.gz", b"x")}), 202)
    found = ok(api.get(path))
    assert (found["latestVersion"]["id"], found["latestSuccessfulVersion"]["id"]) == (second["id"], first["id"])
    assert ok(api.get(f"{path}versions/{first['id']}/buildLog/")) == {"log": "step 1\nstep 2", "error": ""}
    platform.store.set_build(second["id"], "failed", log="RUN false", error="exit code 1")
    assert ok(api.get(f"{path}versions/{second['id']}/"))["buildStatus"] == "failed"
    assert ok(api.get(f"{path}versions/{second['id']}/buildLog/")) == {"log": "RUN false", "error": "exit code 1"}
    listed = ok(api.get(f"{path}versions/"))["data"]
    assert [one["id"] for one in listed] == [second["id"], first["id"]]
    assert [one["id"] for one in ok(api.get(f"{path}versions/?buildStatus=failed"))["data"]] == [second["id"]]
    for one in (first, second, *listed):
        assert all(isinstance(one[key], str) and one[key] for key in ("id", "environmentId", "buildStatus", "imageId"))
    download = api.get(f"{path}versions/{first['id']}/download/")
    assert (download.status_code, download.content) == (200, ZIP)


def test_an_environment_is_changed_found_and_removed(api: httpx.Client, name: Names) -> None:
    called = name("searchable")
    made, built = environment(api, called)
    body = {"name": called, "description": "", "useCases": ["customModel"]}
    changed = ok(api.patch(f"executionEnvironments/{made}/", json={**body, "description": "rusty"}))
    assert (changed["description"], changed["useCases"]) == ("rusty", ["customModel"])
    for query in (f"searchFor={called}", "searchFor=rusty", "searchFor=rusty&useCases=customModel"):
        assert [one["id"] for one in ok(api.get(f"executionEnvironments/?{query}"))["data"]] == [made]
    assert ok(api.get("executionEnvironments/?searchFor=rusty&useCases=notebook"))["data"] == []
    assert ok(api.patch(f"executionEnvironments/{made}/", json=body))["description"] == ""
    ok(api.delete(f"executionEnvironments/{made}/"), 204)
    for path in (f"executionEnvironments/{made}/", f"executionEnvironments/{made}/versions/{built}/"):
        refused(api.get(path), 404)
    refused(api.delete(f"executionEnvironments/{made}/"), 404)


def test_the_filename_of_a_context_cannot_break_its_download(api: httpx.Client) -> None:
    made = ok(api.post("executionEnvironments/", json={"name": "odd file"}), 201)["id"]
    boundary = "b"
    filename = b"filename*=UTF-8''a%22%0d%0aX%3a%20%c3%a9"
    part = b'--b\r\nContent-Disposition: form-data; name="docker_context"; ' + filename + b"\r\n\r\nX\r\n--b--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    built = ok(api.post(f"executionEnvironments/{made}/versions/", content=part, headers=headers), 202)["id"]
    download = api.get(f"executionEnvironments/{made}/versions/{built}/download/")
    assert (download.status_code, download.content) == (200, b"X")


def test_a_version_of_another_environment_is_not_found(api: httpx.Client) -> None:
    one, _ = environment(api)
    _, other = environment(api)
    refused(api.get(f"executionEnvironments/{one}/versions/{other}/"), 404)
    refused(api.get(f"executionEnvironments/{UNKNOWN}/versions/"), 404)
    refused(api.post(f"executionEnvironments/{UNKNOWN}/versions/", files={"docker_context": ("a", b"")}), 404)


# --- Application sources ---------------------------------------------------------------------------------------------


def test_source_names_are_unique_also_the_default_one(api: httpx.Client, name: Names) -> None:
    called = name()
    first = ok(api.post("customApplicationSources/", json={"name": called}), 201)
    assert first["latestVersion"] is None
    assert "already in use" in refused(api.post("customApplicationSources/", json={"name": called}), 409)["message"]
    for left in ok(api.get("customApplicationSources/", params={"name": "CustomApplicationSource"}))["data"]:
        ok(api.delete(f"customApplicationSources/{left['id']}/"), 204)
    unnamed = ok(api.post("customApplicationSources/"), 201)
    assert unnamed["name"] == "CustomApplicationSource"
    refused(api.post("customApplicationSources/", json={}), 409)
    refused(api.patch(f"customApplicationSources/{unnamed['id']}/", json={"name": called}), 409)
    renamed = name()
    assert ok(api.patch(f"customApplicationSources/{first['id']}/", json={"name": renamed}))["name"] == renamed
    ok(api.patch(f"customApplicationSources/{first['id']}/", json={"name": renamed}))
    ok(api.delete(f"customApplicationSources/{unnamed['id']}/?hardDelete=True"), 204)
    refused(api.get(f"customApplicationSources/{unnamed['id']}/"), 404)
    assert [one["id"] for one in ok(api.get("customApplicationSources/", params={"name": renamed}))["data"]] == [
        first["id"]
    ]


def test_either_field_of_the_base_environment_gives_the_other(api: httpx.Client, name: Names) -> None:
    env, built = environment(api)
    source = ok(api.post("customApplicationSources/", json={"name": name()}), 201)["id"]
    path = f"customApplicationSources/{source}/versions/"
    for given in ({"baseEnvironmentVersionId": built}, {"baseEnvironmentId": env}):
        made = ok(api.post(path, json={"label": "v1", **given}), 201)
        assert (made["baseEnvironmentId"], made["baseEnvironmentVersionId"]) == (env, built)
    for given in ({"baseEnvironmentVersionId": UNKNOWN}, {"baseEnvironmentId": UNKNOWN}):
        assert set(refused(api.post(path, json=given), 422)["errors"]) == set(given)


def test_resources_are_filled_up_changed_and_checked(api: httpx.Client, name: Names) -> None:
    source, made = version(api, name())
    assert made["resources"] == {
        "replicas": 1,
        "resourceLabel": "cpu.small",
        "sessionAffinity": False,
        "serviceWebRequestsOnRootPath": False,
    }
    path = f"customApplicationSources/{source}/versions/{made['id']}/"
    wanted = {"replicas": 2, "serviceWebRequestsOnRootPath": True, "healthEndpointPath": "", "resourceLabel": None}
    changed = ok(api.patch(path, json={"resources": wanted, "requiredKeyScopeLevel": None}))["resources"]
    assert (changed["replicas"], changed["serviceWebRequestsOnRootPath"]) == (2, True)
    assert changed["resourceLabel"] == "cpu.small"
    assert changed.get("healthEndpointPath") is None
    assert ok(api.patch(path, json={"resources": {"healthEndpointPath": "/up"}}))["resources"]["replicas"] == 2
    part = {"resources": (None, json.dumps({"replicas": 3}), "application/json")}
    assert ok(api.patch(path, files=part))["resources"]["replicas"] == 3
    found = ok(api.get(f"customApplicationSources/{source}/"))
    assert found["latestVersion"]["resources"]["healthEndpointPath"] == "/up"
    changed = ok(api.patch(f"customApplicationSources/{source}/", json={"resources": {"replicas": 4}}))
    assert changed["latestVersion"]["resources"]["replicas"] == 4


@pytest.mark.parametrize(
    "resources",
    [
        {"replicas": 0},
        {"replicas": 5},
        {"replicas": "2"},
        {"replicas": True},
        {"replicas": 1.5},
        {"resourceLabel": "cpu.huge"},
        {"resourceLabel": ["cpu.small"]},
        {"sessionAffinity": "yes"},
        {"serviceWebRequestsOnRootPath": 1},
        {"healthEndpointPath": 7},
        {"healthEndpointPath": "up"},
        {"healthEndpointPath": "/a b\r\nX: y"},
        [1],
        "cpu.small",
    ],
    ids=str,
)
def test_resources_that_do_not_exist_are_refused(api: httpx.Client, name: Names, resources: Any) -> None:
    source, made = version(api, name())
    path = f"customApplicationSources/{source}/versions/"
    for response in (
        api.post(path, json={"resources": resources}),
        api.patch(f"{path}{made['id']}/", json={"resources": resources}),
        api.patch(f"customApplicationSources/{source}/", json={"resources": resources}),
        api.post("customApplications/", json={"applicationSourceVersionId": made["id"], "resources": resources}),
    ):
        refused(response, 422)
    assert ok(api.get(f"customApplicationSources/{source}/"))["latestVersion"]["id"] == made["id"]


def upload(api: httpx.Client, path: str, parts: list[tuple[str, str | None, bytes]]) -> httpx.Response:
    """Send a multipart body with its parts in exactly this order: (name, filename, content)."""
    body = b""
    for field, filename, content in parts:
        named = "" if filename is None else f'; filename="{filename}"'
        body += (
            f'--frontier\r\nContent-Disposition: form-data; name="{field}"{named}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return api.patch(
        path, content=body + b"--frontier--\r\n", headers={"Content-Type": "multipart/form-data; boundary=frontier"}
    )


INTERLEAVED = [
    ("file", "index.ts", b"one"),
    ("filePath", None, b"src/index.ts"),
    ("file", "index.ts", b"two"),
    ("filePath", None, b"index.ts"),
]
PATHS_FIRST = [INTERLEAVED[1], INTERLEAVED[3], INTERLEAVED[0], INTERLEAVED[2]]
ONE_WITHOUT = [("file", "a.txt", b"one"), ("file", "b.txt", b"two"), ("filePath", None, b"deep/b.txt")]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (INTERLEAVED, {"src/index.ts": "one", "index.ts": "two"}),
        (PATHS_FIRST, {"src/index.ts": "one", "index.ts": "two"}),
        (ONE_WITHOUT, {"a.txt": "one", "deep/b.txt": "two"}),
    ],
    ids=["interleaved", "paths first", "one without a path"],
)
def test_files_go_to_their_paths(api: httpx.Client, name: Names, parts: Any, expected: dict[str, str]) -> None:
    source, made = version(api, name())
    path = f"customApplicationSources/{source}/versions/{made['id']}/"
    items = ok(upload(api, path, parts))["items"]
    contents = {one["filePath"]: ok(api.get(f"{path}items/{one['id']}/"))["content"] for one in items}
    assert contents == expected
    assert all(one["fileSource"] == "local" and one["fileName"] == one["filePath"].rsplit("/")[-1] for one in items)
    refused(api.get(f"{path}items/{UNKNOWN}/"), 404)


def test_a_file_replaces_the_one_at_its_path_also_within_one_request(api: httpx.Client, name: Names) -> None:
    source, made = version(api, name())
    path = f"customApplicationSources/{source}/versions/{made['id']}/"
    twice = [("file", "a", b"1"), ("filePath", None, b"a"), ("file", "a", b"2"), ("filePath", None, b"a")]
    assert [one["filePath"] for one in ok(upload(api, path, twice))["items"]] == ["a"]
    items = ok(upload(api, path, [("file", "a", b"3"), ("filePath", None, b"a")]))["items"]
    assert len(items) == 1
    assert ok(api.get(f"{path}items/{items[0]['id']}/"))["content"] == "3"


def test_a_version_is_copied_and_files_are_deleted(api: httpx.Client, name: Names) -> None:
    source, made = version(api, name(), requiredKeyScopeLevel="viewer", resources={"replicas": 2})
    path = f"customApplicationSources/{source}/versions/"
    ok(upload(api, f"{path}{made['id']}/", INTERLEAVED))
    parameters = json.dumps([{"fieldName": "A", "type": "string", "currentValue": "x"}])
    body = {"runtimeParameters": parameters, "requiredKeyScopeLevel": "viewer"}
    first = ok(api.patch(f"{path}{made['id']}/", json=body))
    copy = ok(api.post(path, json={"label": "v2", "baseVersion": made["id"]}), 201)
    assert copy["id"] != made["id"]
    assert copy["label"] == "v2"
    for key in ("baseEnvironmentId", "baseEnvironmentVersionId", "resources", "runtimeParameters"):
        assert copy[key] == first[key]
    assert copy["requiredKeyScopeLevel"] == "viewer"
    assert [one["filePath"] for one in copy["items"]] == ["src/index.ts", "index.ts"]
    gone = {"filesToDelete": [one["id"] for one in copy["items"]][:1], "requiredKeyScopeLevel": "viewer"}
    assert [one["filePath"] for one in ok(api.patch(f"{path}{copy['id']}/", json=gone))["items"]] == ["index.ts"]
    added = [("baseEnvironmentVersionId", None, first["baseEnvironmentVersionId"].encode()), ("file", "new", b"")]
    changed = ok(upload(api, f"{path}{copy['id']}/", added))
    assert [one["filePath"] for one in changed["items"]] == ["index.ts", "new"]
    assert len(ok(api.get(f"{path}{made['id']}/"))["items"]) == 2
    assert [one["label"] for one in ok(api.get(path))["data"]] == ["v2", "v1"]
    assert ok(api.get(f"customApplicationSources/{source}/"))["latestVersion"]["id"] == copy["id"]


def test_a_base_version_has_to_be_one_of_the_same_source(api: httpx.Client, name: Names) -> None:
    source, _ = version(api, name())
    _, foreign = version(api, name())
    for base in (foreign["id"], UNKNOWN, 7):
        response = api.post(f"customApplicationSources/{source}/versions/", json={"baseVersion": base})
        assert "baseVersion" in refused(response, 422)["errors"]


def test_a_version_is_made_with_files_in_one_request(api: httpx.Client, name: Names) -> None:
    source, made = version(api, name())
    data = {"baseEnvironmentVersionId": made["baseEnvironmentVersionId"], "replicas": "2", "filePath": "start-app.sh"}
    files = {"file": ("start-app.sh", b"#!/bin/sh\n")}
    path = f"customApplicationSources/{source}/versions/"
    full = ok(api.post(path, data=data, files=files), 201)
    assert [one["filePath"] for one in full["items"]] == ["start-app.sh"]
    assert full["resources"]["replicas"] == 2
    assert full["label"]
    for odd in ({"replicas": "many"}, {"resources": "[1]"}, {"resources": "{"}, {"replicas": "2", "resources": "7"}):
        refused(api.post(path, data=odd, files=files), 422)


@pytest.mark.parametrize("level", ["viewer", "user", "admin", None])
def test_the_key_scope_is_set_once(api: httpx.Client, name: Names, level: str | None) -> None:
    source, made = version(api, name(), requiredKeyScopeLevel=level)
    assert made["requiredKeyScopeLevel"] == level
    path = f"customApplicationSources/{source}/versions/{made['id']}/"
    ok(api.patch(path, json={"filesToDelete": [], "requiredKeyScopeLevel": level}))
    other = "user" if level != "user" else "viewer"
    assert "requiredKeyScopeLevel" in refused(api.patch(path, json={"requiredKeyScopeLevel": other}), 422)["errors"]
    refused(api.post(f"customApplicationSources/{source}/versions/", json={"requiredKeyScopeLevel": "owner"}), 422)


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", "a\\b", "..", "", "a/", ".", "a//b", "a/./b", "x\ny", "x" * 5000, "a/" * 200],
)
def test_paths_that_lead_out_of_a_source_are_refused(api: httpx.Client, name: Names, path: str) -> None:
    source, made = version(api, name())
    address = f"customApplicationSources/{source}/versions/{made['id']}/"
    refused(upload(api, address, [("file", "x", b""), ("filePath", None, path.encode())]), 422)
    assert ok(api.get(address))["items"] == []


def test_a_file_cannot_be_a_folder_too(api: httpx.Client, name: Names) -> None:
    source, made = version(api, name())
    address = f"customApplicationSources/{source}/versions/{made['id']}/"
    ok(upload(api, address, [("file", "a", b""), ("filePath", None, b"a")]))
    refused(upload(api, address, [("file", "b", b""), ("filePath", None, b"a/b")]), 422)


def test_runtime_parameters_in_both_forms(api: httpx.Client, name: Names) -> None:
    source, made = version(api, name())
    path = f"customApplicationSources/{source}/versions/{made['id']}/"
    credential = ok(
        api.post("credentials/", json={"name": name(), "credentialType": "api_token", "apiToken": "s3cret"}), 201
    )["credentialId"]
    wanted = [
        {"fieldName": "TEXT", "type": "string", "currentValue": "a=b\n"},
        {"fieldName": "COUNT", "type": "numeric", "currentValue": 3.5},
        {"fieldName": "FLAG", "type": "boolean", "currentValue": False},
        {"fieldName": "KEY", "type": "credential", "currentValue": credential},
    ]
    changed = ok(api.patch(path, json={"runtimeParameters": json.dumps(wanted), "requiredKeyScopeLevel": None}))
    read = [{key: one[key] for key in ("fieldName", "type", "currentValue")} for one in changed["runtimeParameters"]]
    assert read == wanted
    keys = {"defaultValue", "credentialType", "allowEmpty", "description", "overrideValue"}
    assert all(keys <= set(one) for one in changed["runtimeParameters"])
    single = json.dumps([{"fieldName": "TEXT", "value": "new", "type": "string"}])
    assert len(ok(api.patch(path, json={"runtimeParameterValues": single}))["runtimeParameters"]) == 4
    gone = json.dumps([{"fieldName": "COUNT", "value": None, "type": "numeric"}])
    found = ok(api.patch(path, data={"runtimeParameterValues": gone}, files={"file": ("x", b"")}))["runtimeParameters"]
    assert {one["fieldName"]: one["currentValue"] for one in found} == {"TEXT": "new", "FLAG": False, "KEY": credential}
    last = json.dumps([{"fieldName": "ONLY", "type": "string", "currentValue": ""}])
    found = ok(api.patch(path, json={"runtimeParameters": last}))["runtimeParameters"]
    assert [one["fieldName"] for one in found] == ["ONLY"]
    assert ok(api.patch(path, json={"runtimeParameters": "[]"}))["runtimeParameters"] == []


@pytest.mark.parametrize(
    "given",
    [
        "no json",
        "{}",
        "7",
        "null",
        '[{"type": "string"}]',
        '["x"]',
        '[{"fieldName": "A=B", "type": "string", "currentValue": "x"}]',
        '[{"fieldName": "", "type": "string", "currentValue": "x"}]',
        '[{"fieldName": "A\\u0000", "type": "string", "currentValue": "x"}]',
        '[{"fieldName": "A", "type": "blob", "currentValue": "x"}]',
        '[{"fieldName": "A", "type": "boolean", "currentValue": "True"}]',
        '[{"fieldName": "A", "type": "numeric", "currentValue": "3"}]',
        '[{"fieldName": "A", "type": "string", "currentValue": 3}]',
        '[{"fieldName": "A", "type": "string", "currentValue": "a\\u0000b"}]',
        '[{"fieldName": "A", "type": "credential", "currentValue": "0123456789abcdef01234567"}]',
        "[" * 100_000,
    ],
    ids=lambda given: given[:70],
)
def test_parameters_that_cannot_be_read_are_refused(api: httpx.Client, name: Names, given: str) -> None:
    source, made = version(api, name())
    path = f"customApplicationSources/{source}/versions/{made['id']}/"
    refused(api.patch(path, json={"runtimeParameters": given}), 422)
    refused(api.patch(path, json={"runtimeParameterValues": given.replace("currentValue", "value")}), 422)


# --- Applications ----------------------------------------------------------------------------------------------------


def test_an_application_from_its_creation_to_its_end(api: httpx.Client, platform: LocalPlatform, name: Names) -> None:
    called = name("app")
    source, made = version(api, name(), resources={"replicas": 2})
    response = api.post("customApplications/", json={"applicationSourceVersionId": made["id"]})
    found = ok(response, 202)
    path = f"customApplications/{found['id']}/"
    assert response.headers["Location"] == f"{platform.url}/api/v2/status/{found['id']}/"
    assert found["applicationUrl"] == f"{platform.url}/custom_applications/{found['id']}/"
    assert found["status"] == "initializing"
    assert platform.runner.starts[-1] == found["id"]
    # The provider's PATCH comes while the application still starts.
    changed = ok(api.patch(path, json={"name": called, "allowAutoStopping": False, "externalAccessRecipients": []}))
    assert (changed["name"], changed["allowAutoStopping"], changed["status"]) == (called, False, "initializing")
    status = api.get(response.headers["Location"])
    assert (status.status_code, status.json()["status"]) == (200, "RUNNING")
    platform.runner.become(found["id"], "running")
    status = api.get(response.headers["Location"])
    assert (status.status_code, status.headers["Location"]) == (303, f"{platform.url}/api/v2/{path}")
    starts = len(platform.runner.starts)
    ok(api.patch(path, json={}))
    ok(api.patch(path, json={"customApplicationSourceVersionId": made["id"]}))
    assert ok(api.get(path))["status"] == "running"
    assert len(platform.runner.starts) == starts
    newer = ok(api.post(f"customApplicationSources/{source}/versions/", json={"baseVersion": made["id"]}), 201)["id"]
    assert ok(api.patch(path, json={"customApplicationSourceVersionId": newer}))["status"] == "initializing"
    assert len(platform.runner.starts) == starts + 1
    history = ok(api.get(f"{path}history/?limit=1&offset=0"))
    assert (history["data"][0]["sourceVersionId"], history["totalCount"]) == (newer, 2)
    assert ok(api.get(f"{path}history/?limit=1&offset=1"))["data"][0]["sourceVersionId"] == made["id"]
    platform.runner.become(found["id"], "failed", "no such file", "exit code 1")
    assert api.get(response.headers["Location"]).json()["status"] == "ERROR"
    logs = ok(api.get(f"{path}logs/"))
    assert logs["logs"] == ["no such file", "exit code 1"]
    assert {"buildLog", "buildStatus", "buildError"} <= set(logs)
    # Asking a failed application for the same version again is another try.
    assert ok(api.patch(path, json={"customApplicationSourceVersionId": newer}))["status"] == "initializing"
    assert len(platform.runner.starts) == starts + 2
    assert ok(api.get(f"{path}history/"))["totalCount"] == 2
    ok(api.delete(path), 204)
    assert platform.runner.removed[-1] == found["id"]
    for gone in (path, f"{path}logs/", f"{path}history/", f"status/{found['id']}/"):
        refused(api.get(gone), 404)
    refused(api.delete(path), 404)
    refused(api.patch(path, json={"name": "x"}), 404)


def test_application_json_has_what_the_clients_demand(api: httpx.Client, name: Names) -> None:
    found = ok(api.get(f"customApplications/{application(api, name())['id']}/"))
    texts = (
        "id name envVersionId lrsId status userId orgId createdBy creatorUserhash createdAt updatedAt applicationUrl"
    )
    assert all(isinstance(found[key], str) and found[key] for key in texts.split())
    assert found["permissions"]
    assert (found["externalAccessEnabled"], found["externalAccessRecipients"]) == (False, [])
    assert found["allowAutoStopping"] is True
    kinds = {"resourceLabel": str, "memoryRequest": int, "memoryLimit": int, "cpuRequest": float, "cpuLimit": float}
    kinds |= {"replicas": int, "sessionAffinity": bool, "serviceWebRequestsOnRootPath": bool}
    assert all(type(found["resources"][key]) is kind for key, kind in kinds.items())
    assert not [key for key in found if key.startswith("_")]
    for key in ("customApplicationSourceId", "customApplicationSourceVersionId", "expiresAt", "requiredKeyScopeLevel"):
        assert key in found


def test_application_names_are_unique_and_looked_up_exactly(api: httpx.Client, name: Names) -> None:
    called = name("unique")
    made = application(api, called, name=called)
    other = application(api, name())
    response = api.post(
        "customApplications/", json={"applicationSourceVersionId": version(api, name())[1]["id"], "name": called}
    )
    assert "already in use" in refused(response, 409)["message"]
    assert (
        "already in use"
        in refused(api.patch(f"customApplications/{other['id']}/", json={"name": called}), 409)["message"]
    )
    ok(api.patch(f"customApplications/{made['id']}/", json={"name": called}))
    exact = ok(api.get("customApplications/", params={"name": called}))["data"]
    assert [one["id"] for one in exact] == [made["id"]]
    assert ok(api.get("customApplications/", params={"name": called[:-2]}))["data"] == []
    assert ok(api.get("customApplications/nameCheck/", params={"name": called})) == {"inUse": True}
    assert ok(api.get("customApplications/nameCheck/", params={"name": called + "x"})) == {"inUse": False}
    two = [application(api, name()) for _ in range(2)]
    assert two[0]["name"] != two[1]["name"]
    filtered = ok(
        api.get("customApplications/", params={"customApplicationSourceId": two[0]["customApplicationSourceId"]})
    )
    assert [one["id"] for one in filtered["data"]] == [two[0]["id"]]


def test_an_application_from_the_latest_version_of_a_source(api: httpx.Client, name: Names) -> None:
    source, made = version(api, name(), requiredKeyScopeLevel="user")
    found = ok(api.post("customApplications/", json={"applicationSourceId": source, "name": name()}), 202)
    assert found["customApplicationSourceVersionId"] == made["id"]
    assert found["requiredKeyScopeLevel"] == "user"
    empty = ok(api.post("customApplicationSources/", json={"name": name()}), 201)["id"]
    refused(api.post("customApplications/", json={"applicationSourceId": empty}), 422)
    both = {"applicationSourceId": source, "applicationSourceVersionId": made["id"]}
    for body in ({}, both, {"applicationSourceId": UNKNOWN}, {"applicationSourceId": 7}):
        refused(api.post("customApplications/", json=body), 422)
    bare = ok(api.post(f"customApplicationSources/{empty}/versions/", json={"label": "v1"}), 201)["id"]
    refused(api.post("customApplications/", json={"applicationSourceVersionId": bare}), 422)


def test_the_key_scope_of_an_application_does_not_change(api: httpx.Client, name: Names) -> None:
    made = application(api, name(), requiredKeyScopeLevel="viewer")
    assert made["requiredKeyScopeLevel"] == "viewer"
    path = f"customApplications/{made['id']}/"
    ok(api.patch(path, json={"requiredKeyScopeLevel": "viewer"}))
    refused(api.patch(path, json={"requiredKeyScopeLevel": "admin"}), 422)


def test_an_application_outlives_the_source_it_was_made_from(api: httpx.Client, name: Names) -> None:
    source, made = version(api, name(), resources={"replicas": 3, "serviceWebRequestsOnRootPath": True})
    found = ok(api.post("customApplications/", json={"applicationSourceVersionId": made["id"]}), 202)
    ok(api.delete(f"customApplicationSources/{source}/"), 204)
    for path in ("", "versions/", f"versions/{made['id']}/"):
        refused(api.get(f"customApplicationSources/{source}/{path}"), 404)
    refused(api.patch(f"customApplicationSources/{source}/versions/{made['id']}/", json={}), 404)
    assert ok(api.get(f"customApplications/{found['id']}/"))["resources"] == found["resources"]


def test_an_environment_in_use_stays(api: httpx.Client, name: Names) -> None:
    found = application(api, name())
    versions = [
        (one["id"], one["latestVersion"]["id"])
        for one in ok(api.get("executionEnvironments/?limit=100"))["data"]
        if one["latestVersion"] is not None
    ]
    env = next(env for env, built in versions if built == found["envVersionId"])
    refused(api.delete(f"executionEnvironments/{env}/"), 409)
    ok(api.delete(f"customApplications/{found['id']}/"), 204)
    ok(api.delete(f"executionEnvironments/{env}/"), 204)


# --- Credentials, use cases, the rest --------------------------------------------------------------------------------


def test_credentials_never_give_their_secret_back(api: httpx.Client, name: Names) -> None:
    called = name()
    body = {"name": called, "credentialType": "api_token", "apiToken": "very-secret-value"}
    response = api.post("credentials/", json=body)
    made = ok(response, 201)
    assert set(made) == {"credentialId", "name", "description", "credentialType", "creationDate"}
    assert (made["description"], made["credentialType"]) == ("", "api_token")
    path = f"credentials/{made['credentialId']}/"
    assert ok(api.get(path)) == made
    assert made in ok(api.get("credentials/?limit=100"))["data"]
    renamed = name()
    changed = ok(api.patch(path, json={"name": renamed, "description": "new"}))
    assert (changed["name"], changed["description"]) == (renamed, "new")
    assert "already in use" in refused(api.post("credentials/", json={**body, "name": renamed}), 409)["message"]
    for answer in (response, api.get(path), api.get("credentials/")):
        assert "very-secret-value" not in answer.text
    ok(api.delete(path), 204)
    refused(api.get(path), 404)
    for odd in ({"credentialType": "basic"}, {"apiToken": ""}, {"apiToken": 7}, {"name": ""}):
        refused(api.post("credentials/", json={**body, **odd}), 422)


@pytest.mark.parametrize("segment", ["customApplications", "applications"])
def test_an_application_is_put_into_a_use_case_and_taken_out(api: httpx.Client, name: Names, segment: str) -> None:
    case = ok(api.post("useCases/", json={"name": name(), "description": "d"}), 201)["id"]
    app = application(api, name())["id"]
    path = f"useCases/{case}/{segment}/{app}/"
    assert ok(api.post(path, json={}), 201)
    assert "already linked to this Use Case" in refused(api.post(path, json={}), 409)["message"]
    ok(api.delete(path), 204)
    refused(api.delete(path), 404)
    refused(api.post(f"useCases/{UNKNOWN}/{segment}/{app}/", json={}), 404)
    refused(api.post(f"useCases/{case}/{segment}/{UNKNOWN}/", json={}), 404)
    assert ok(api.patch(f"useCases/{case}/", json={"name": "renamed"}))["name"] == "renamed"
    ok(api.delete(f"useCases/{case}/"), 204)
    refused(api.get(f"useCases/{case}/"), 404)


def test_notebooks_of_one_use_case(api: httpx.Client, platform: LocalPlatform) -> None:
    fullest = ok(api.get("useCases/?limit=1&orderBy=-notebooksCount"))["data"][0]
    address = f"{platform.url}/api-gw/nbx/notebooks/?useCaseId={fullest['id']}&limit=100"
    found = ok(api.get(address))
    assert found["totalCount"] == fullest["notebooksCount"]
    assert {one["useCaseId"] for one in found["data"]} == {fullest["id"]}
    keys = {"id", "type", "name", "description", "useCaseId", "created", "updated", "lastViewed", "session"}
    assert keys | {"hasSchedule", "hasEnabledSchedule"} <= set(found["data"][0])
    assert ok(api.get(f"{platform.url}/api-gw/nbx/notebooks/?useCaseId={UNKNOWN}"))["data"] == []


def test_what_clients_ask_first(api: httpx.Client, platform: LocalPlatform) -> None:
    assert ok(api.get("clientConfig/"))["EXTERNAL_WEB_SERVER_URL"] == platform.url
    asked = {"entitlements": [{"name": "ENABLE_MLOPS_RESOURCE_REQUEST_BUNDLES"}]}
    assert ok(api.post("entitlements/evaluate/", json=asked))["entitlements"][0]["value"] is True
    bundles = {one["id"]: one for one in ok(api.get("mlops/compute/bundles/"))["data"]}
    assert (bundles["cpu.8xlarge"]["cpuCount"], bundles["cpu.8xlarge"]["memoryBytes"]) == (2, 14 * 2**30)
    assert ok(api.get("account/info/"))["email"]


# --- Odd input -------------------------------------------------------------------------------------------------------

BODIES: list[tuple[str, bytes]] = [
    ("no JSON", b"{"),
    ("no object", b"[1]"),
    ("a number", b"7"),
    ("no UTF-8", b'{"name": "\xff"}'),
    ("deep", b"[" * 200_000),
    ("deep in a field", b'{"name": "a", "description": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}"),
    ("name is a number", b'{"name": 7}'),
    ("name is a list", b'{"name": ["a"]}'),
    ("name is an object", b'{"name": {"a": 1}}'),
    ("name is empty", b'{"name": ""}'),
    ("name is too long", json.dumps({"name": "x" * 256}).encode()),
    ("half a surrogate", b'{"name": "\\ud800"}'),
    ("NUL", b'{"name": "a\\u0000b"}'),
    ("not a number", b'{"name": NaN}'),
    ("all ids wrong", b'{"applicationSourceVersionId": {"a": 1}, "baseEnvironmentVersionId": [1], "name": 7}'),
    ("odd lists", b'{"name": "odd", "useCases": "x", "filesToDelete": 7, "externalAccessRecipients": {"a": 1}}'),
    ("odd members", b'{"name": "odd", "useCases": [{}], "filesToDelete": [{}], "externalAccessRecipients": [7]}'),
    ("odd flags", b'{"name": true, "allowAutoStopping": "yes", "label": 7, "description": 7, "entitlements": [7]}'),
    ("odd label", b'{"name": "fine", "label": ["x"], "allowAutoStopping": 7, "description": ["x"], "entitlements": 7}'),
]


@pytest.mark.parametrize("content", [raw for _, raw in BODIES], ids=[title for title, _ in BODIES])
def test_a_body_that_makes_no_sense_gets_4xx_or_is_taken(api: httpx.Client, content: bytes, name: Names) -> None:
    source, made = version(api, name())
    app = application(api, name())["id"]
    env, _ = environment(api)
    case = ok(api.post("useCases/", json={"name": name()}), 201)["id"]
    headers = {"Content-Type": "application/json"}
    for method, path in (
        ("POST", "executionEnvironments/"),
        ("PATCH", f"executionEnvironments/{env}/"),
        ("POST", f"executionEnvironments/{env}/versions/"),
        ("POST", "customApplicationSources/"),
        ("PATCH", f"customApplicationSources/{source}/"),
        ("POST", f"customApplicationSources/{source}/versions/"),
        ("PATCH", f"customApplicationSources/{source}/versions/{made['id']}/"),
        ("POST", "customApplications/"),
        ("PATCH", f"customApplications/{app}/"),
        ("POST", "credentials/"),
        ("POST", "useCases/"),
        ("PATCH", f"useCases/{case}/"),
        ("POST", "entitlements/evaluate/"),
    ):
        response = api.request(method, path, content=content, headers=headers)
        assert response.status_code < 500, f"{method} {path}: {response.text}"
        if response.status_code >= 400:
            refused(response, response.status_code)
    # Whatever was taken can be read again by every list and every page.
    for path in ("executionEnvironments/", "customApplicationSources/", "customApplications/", "credentials/"):
        ok(api.get(f"{path}?limit=100"))
    ok(api.get("executionEnvironments/?searchFor=x&useCases=x"))
    ok(api.get("useCases/?limit=100&orderBy=name"))
    ok(api.get(f"customApplications/{app}/"))


MULTIPART: list[tuple[str, str, bytes]] = [
    ("no boundary", "multipart/form-data", b""),
    ("empty", "multipart/form-data; boundary=b", b""),
    ("not multipart inside", "multipart/form-data; boundary=b", b"hello"),
    ("cut off", "multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nab'),
    ("cut off in headers", "multipart/form-data; boundary=b", b"--b\r\nContent-Dispo"),
    (
        "nested",
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
    ),
    ("no name", "multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
    (
        "no UTF-8",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="label"\r\n\r\n\xff\r\n--b--\r\n',
    ),
    (
        "long header",
        "multipart/form-data; boundary=b",
        b"--b\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n",
    ),
    (
        "more paths than files",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="filePath"\r\n\r\na\r\n--b--\r\n',
    ),
    ("long boundary", "multipart/form-data; boundary=" + "b" * 100, b"--" + b"b" * 100 + b"\r\n\r\n"),
]


@pytest.mark.parametrize(("content_type", "content"), [one[1:] for one in MULTIPART], ids=[one[0] for one in MULTIPART])
def test_a_multipart_body_that_makes_no_sense_gets_4xx(
    api: httpx.Client, name: Names, content_type: str, content: bytes
) -> None:
    source, made = version(api, name())
    env, _ = environment(api)
    for method, path in (
        ("POST", f"executionEnvironments/{env}/versions/"),
        ("POST", f"customApplicationSources/{source}/versions/"),
        ("PATCH", f"customApplicationSources/{source}/versions/{made['id']}/"),
    ):
        response = api.request(method, path, content=content, headers={"Content-Type": content_type})
        assert response.status_code < 500, f"{method} {path}: {response.text}"
        if "executionEnvironments" in path:
            refused(response, response.status_code)


def test_a_body_that_is_not_what_its_encoding_says_gets_4xx(api: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = api.post("executionEnvironments/", content=b"not gzip at all", headers=headers)
    refused(response, response.status_code)
    assert response.status_code in (400, 415, 422)


def test_odd_ids_are_not_found(api: httpx.Client) -> None:
    for odd in ("x", "%00", "%ff", "..%2f..", "a" * 3000, "'; DROP TABLE object; --", "%F0%9F%98%80"):
        for path in ("executionEnvironments", "customApplicationSources", "customApplications", "credentials"):
            refused(api.get(f"{path}/{odd}/"), 404)
    refused(api.get("customApplications/?name=%ff&limit=x"), 422)
    assert ok(api.get("customApplications/?name=%ff"))["data"] == []


def test_long_text_within_the_limits_is_kept(api: httpx.Client) -> None:
    body = {"name": "ß" * 255, "description": "\U0001f600" * 10_000, "useCases": ["customApplication"]}
    made = ok(api.post("executionEnvironments/", json=body), 201)
    found = ok(api.get(f"executionEnvironments/{made['id']}/"))
    assert (found["name"], found["description"]) == (body["name"], body["description"])
    refused(api.patch(f"executionEnvironments/{made['id']}/", json={"description": "x" * 10_001}), 422)


def test_the_record_of_requests_has_no_secret(api: httpx.Client, platform: LocalPlatform) -> None:
    api.post("credentials/", json={"name": "recorded", "apiToken": "body-secret", "credentialType": "api_token"})
    httpx.get(f"{platform.url}/sign-in?key=link-secret&next=/", trust_env=False)
    shown = json.dumps(list(platform.requests))
    for secret in (
        platform.identity.full.reveal(),
        platform.identity.restricted.reveal(),
        "body-secret",
        "link-secret",
    ):
        assert secret not in shown
    last = platform.requests[-2]
    assert (last["method"], last["path"], last["status"]) == ("POST", "/api/v2/credentials/", 201)
    assert set(last) == {"at", "method", "path", "query", "status", "ms", "agent"}


def test_lists_of_applications_are_filtered(api: httpx.Client, name: Names) -> None:
    first = application(api, name("filter"), name=name("filtered"), resources={"replicas": 3})
    second = application(api, name("filter"), name=name("filtered"), resources={"resourceLabel": "cpu.xlarge"})
    ok(api.patch(f"customApplications/{second['id']}/", json={"externalAccessEnabled": True}))

    def found(**params: str) -> set[str]:
        listed = ok(api.get("customApplications/", params={"limit": "100", **params}))["data"]
        return {one["id"] for one in listed} & {first["id"], second["id"]}

    assert found() == {first["id"], second["id"]}
    assert found(externalAccessEnabled="true") == {second["id"]}
    assert found(externalAccessEnabled="False") == {first["id"]}
    assert found(replicasMin="2") == {first["id"]}
    assert found(replicasMax="2", resourceLabel="cpu.xlarge") == {second["id"]}
    assert found(customApplicationSourceId=first["customApplicationSourceId"]) == {first["id"]}
    assert found(status="no such state") == set()
    refused(api.get("customApplications/?externalAccessEnabled=perhaps"), 422)
    refused(api.get("customApplications/?replicasMin=some"), 422)

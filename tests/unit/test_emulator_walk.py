"""A random walk over the API beside a small model of it: no failure, and the platform holds what the model holds."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.contract.local_platform import local_platform

UNKNOWN = "0123456789abcdef01234567"
NAMES = st.sampled_from(["a", "b", "c", "ü", "name with spaces", "x" * 255])
BAD_NAMES = st.sampled_from(["", "x" * 256, 7, [], {}, True, "\0"])
PATHS = st.sampled_from(["a", "b.txt", "d/e", "d/f/g", "ü.txt"])
BAD_PATHS = st.sampled_from(["../a", "/a", "a//b", "a/../b", ".", "", "a\\b", "x" * 300])
CHANCES = st.sampled_from(["running", "failed", "paused"])
WALKS, STEPS, LEAST = 60, 50, 2_000


class Walk(RuleBasedStateMachine):
    """Creates, changes and removes at random; the model is the dictionaries below."""

    environments = Bundle("environments")
    sources = Bundle("sources")
    versions = Bundle("versions")
    applications = Bundle("applications")

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.platform = self.stack.enter_context(local_platform(Path(folder)))
        self.platform.runner.at_once = True
        self.api = self.stack.enter_context(self.platform.client())
        self.built: dict[str, str] = {}  # environment -> its latest version
        self.source: dict[str, str] = {}  # source -> name
        self.latest: dict[str, str] = {}  # source -> its latest version
        self.files: dict[str, dict[str, str]] = {}  # version -> path -> id of the item
        self.app: dict[str, tuple[str, str]] = {}  # application -> name, version

    def teardown(self) -> None:
        self.stack.close()

    def ask(self, method: str, path: str, status: int, **more: Any) -> Any:
        response = self.api.request(method, path, **more)
        assert response.status_code == status, f"{method} {path} {more}: {response.status_code} {response.text}"
        if response.content:
            assert response.headers["Content-Type"] == "application/json"
            return response.json()
        return None

    @rule(target=environments, name=NAMES)
    def create_environment(self, name: str) -> str:
        made = self.ask("POST", "executionEnvironments/", 201, json={"name": name, "useCases": []})
        files = {"docker_context": ("c.zip", b"PK\x05\x06" + bytes(18))}
        version = self.ask("POST", f"executionEnvironments/{made['id']}/versions/", 202, files=files)
        self.built[made["id"]] = version["id"]
        return str(made["id"])

    @rule(id=environments)
    def remove_environment(self, id: str) -> None:
        versions = {one["id"]: one for one in self.platform.store.find("environmentVersion", parent=id)[0]}
        used = any(one["envVersionId"] in versions for one in self.platform.store.find("application")[0])
        self.ask("DELETE", f"executionEnvironments/{id}/", 404 if id not in self.built else 409 if used else 204)
        if not used:
            self.built.pop(id, None)

    @rule(target=sources, name=NAMES)
    def create_source(self, name: str) -> Any:
        taken = name in self.source.values()
        made = self.ask("POST", "customApplicationSources/", 409 if taken else 201, json={"name": name})
        if taken:
            assert "already in use" in made["message"]
            return multiple()
        assert made["latestVersion"] is None
        self.source[made["id"]] = name
        return made["id"]

    @rule(id=sources, name=NAMES)
    def rename_source(self, id: str, name: str) -> None:
        taken = any(other != id and used == name for other, used in self.source.items())
        status = 409 if taken else 200
        if id not in self.source:
            status = 404 if not taken else 409
        self.ask("PATCH", f"customApplicationSources/{id}/", status, json={"name": name})
        if status == 200:
            self.source[id] = name

    @rule(target=versions, id=sources, environment=environments, paths=st.lists(PATHS, unique=True))
    def create_version(self, id: str, environment: str, paths: list[str]) -> Any:
        body: dict[str, str] = {"label": "v1", "baseEnvironmentId": environment}
        status = 404 if id not in self.source else 422 if environment not in self.built else 201
        made = self.ask("POST", f"customApplicationSources/{id}/versions/", status, json=body)
        if status != 201:
            return multiple()
        assert made["baseEnvironmentVersionId"] == self.built[environment]
        parts = [("file", (path.rsplit("/", 1)[-1], path.encode())) for path in paths]
        if parts:
            address = f"customApplicationSources/{id}/versions/{made['id']}/"
            made = self.ask("PATCH", address, 200, files=parts, data={"filePath": paths})
        self.latest[id] = made["id"]
        self.files[made["id"]] = {item["filePath"]: item["id"] for item in made["items"]}
        assert set(self.files[made["id"]]) == set(paths)
        return (id, made["id"])

    @rule(target=versions, version=versions)
    def copy_version(self, version: tuple[str, str]) -> Any:
        source, base = version
        status = 404 if source not in self.source else 201
        body = {"label": "v2", "baseVersion": base}
        made = self.ask("POST", f"customApplicationSources/{source}/versions/", status, json=body)
        if status != 201:
            return multiple()
        self.latest[source] = made["id"]
        self.files[made["id"]] = {item["filePath"]: item["id"] for item in made["items"]}
        assert set(self.files[made["id"]]) == set(self.files[base])
        return (source, made["id"])

    @rule(version=versions, path=PATHS)
    def remove_file(self, version: tuple[str, str], path: str) -> None:
        source, number = version
        gone = [self.files[number][path]] if path in self.files[number] else [UNKNOWN]
        status = 404 if source not in self.source else 200
        address = f"customApplicationSources/{source}/versions/{number}/"
        answer = self.ask("PATCH", address, status, json={"filesToDelete": gone, "requiredKeyScopeLevel": None})
        if status == 200:
            self.files[number].pop(path, None)
            assert {item["filePath"] for item in answer["items"]} == set(self.files[number])

    @rule(version=versions, path=BAD_PATHS)
    def add_bad_file(self, version: tuple[str, str], path: str) -> None:
        source, number = version
        address = f"customApplicationSources/{source}/versions/{number}/"
        status = 404 if source not in self.source else 422
        self.ask("PATCH", address, status, files={"file": ("f", b"x")}, data={"filePath": path})

    @rule(id=consumes(sources))
    def remove_source(self, id: str) -> None:
        self.ask("DELETE", f"customApplicationSources/{id}/", 204 if id in self.source else 404)
        self.source.pop(id, None)
        self.latest.pop(id, None)

    @rule(target=applications, version=versions, name=st.none() | NAMES)
    def create_application(self, version: tuple[str, str], name: str | None) -> Any:
        source, number = version
        kept = source in self.source or any(one == number for _, one in self.app.values())
        taken = name is not None and any(used == name for used, _ in self.app.values())
        status = 422 if not kept else 409 if taken else 202
        body = {"applicationSourceVersionId": number, **({"name": name} if name else {})}
        response = self.api.post("customApplications/", json=body)
        assert response.status_code == status, response.text
        if status != 202:
            return multiple()
        made = response.json()
        assert response.headers["Location"].endswith("/")
        done = httpx.get(response.headers["Location"], headers=self.api.headers, trust_env=False)
        assert done.status_code == 303
        assert done.headers["Location"].endswith(f"/customApplications/{made['id']}/")
        self.app[made["id"]] = (made["name"], number)
        return made["id"]

    @rule(id=applications, version=versions, name=NAMES)
    def publish(self, id: str, version: tuple[str, str], name: str) -> None:
        kept = version[0] in self.source or any(one == version[1] for _, one in self.app.values())
        taken = any(other != id and used == name for other, (used, _) in self.app.items())
        # An unknown version is told before a taken name, and both before an unknown application.
        status = 422 if not kept else 409 if taken else 404 if id not in self.app else 200
        body = {"name": name, "customApplicationSourceVersionId": version[1]}
        self.ask("PATCH", f"customApplications/{id}/", status, json=body)
        if status == 200:
            self.app[id] = (name, version[1])

    @rule(id=applications, status=CHANCES)
    def fare(self, id: str, status: str) -> None:
        if id in self.app:
            self.platform.runner.become(id, status, "a line")
            assert self.ask("GET", f"customApplications/{id}/", 200)["status"] == status
            assert self.ask("GET", f"customApplications/{id}/logs/", 200)["logs"] == ["a line"]

    @rule(id=consumes(applications))
    def remove_application(self, id: str) -> None:
        self.ask("DELETE", f"customApplications/{id}/", 204 if id in self.app else 404)
        self.app.pop(id, None)

    @rule(name=BAD_NAMES, kind=st.sampled_from(["executionEnvironments/", "credentials/"]))
    def create_with_a_bad_name(self, name: Any, kind: str) -> None:
        self.ask("POST", kind, 422, json={"name": name, "apiToken": "t"})

    @rule(offset=st.integers(-2, 12), limit=st.integers(-1, 200))
    def page(self, offset: int, limit: int) -> None:
        good = offset >= 0 and limit >= 1
        page = self.ask("GET", f"customApplications/?offset={offset}&limit={limit}", 200 if good else 422)
        if good:
            assert page["totalCount"] == len(self.app)
            assert page["count"] == len(page["data"]) == max(0, min(limit, 100, len(self.app) - offset))
            assert (page["next"] is None) == (offset + min(limit, 100) >= len(self.app))

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        Walk.steps += 1
        store = self.platform.store
        assert {one["id"]: one["name"] for one in store.find("source")[0]} == self.source
        assert {
            one["id"]: one["latestVersion"] for one in store.find("source")[0] if one["latestVersion"]
        } == self.latest
        stored = store.find("application")[0]
        assert {one["id"]: (one["name"], one["customApplicationSourceVersionId"]) for one in stored} == self.app
        assert {one["id"] for one in store.find("environment")[0]} == set(self.built)
        for one in stored:
            assert store.get("sourceVersion", one["customApplicationSourceVersionId"])
        assert all(one["status"] < 500 for one in self.platform.requests)


def test_two_thousand_random_steps_break_nothing() -> None:
    Walk.steps = 0
    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=WALKS,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Walk.steps >= LEAST

"""While Pulumi waits, the platform's logs come up line by line, and its failure is told when it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit import watching
from toolkit.errors import PermissionDenied
from toolkit.settings import Secret


class Platform:
    """Stands for the client; its log grows, and its application fails when it is told to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.status = "initializing"
        self.version = "v1"
        self.asked = 0
        self.broken = False

    def applications(self, name: str) -> list[dict[str, Any]]:
        self.asked += 1
        if self.broken:
            raise PermissionDenied("no")
        return [{"id": "a1", "status": self.status, "customApplicationSourceVersionId": self.version}]

    def application_logs(self, _id: str) -> dict[str, Any]:
        return {"logs": list(self.log)}

    def environments(self, name: str) -> list[dict[str, Any]]:
        assert name == "demo-dev-environment"
        return [{"id": "e1", "latestVersion": {"id": "v1", "buildStatus": "processing"}}]

    def build_log(self, _environment: str, _version: str) -> dict[str, Any]:
        return {"log": "Step 1/2 : FROM x"}


def _event(name: str, kind: str = "CustomApplication", op: str = "update") -> dict[str, Any]:
    return {"event": name, "op": op, "type": f"datarobot:index/x:{kind}"}


def _watch() -> tuple[watching._Watch, list[dict[str, Any]], Platform]:
    events: list[dict[str, Any]] = []
    return watching._Watch("demo-dev", events.append), events, Platform()


def _texts(events: list[dict[str, Any]]) -> list[str]:
    return [one["text"] for one in events if "text" in one]


def test_new_lines_of_the_application_come_up_once() -> None:
    watch, events, platform = _watch()
    watch.look(platform)  # type: ignore[arg-type]
    assert platform.asked == 0, "nothing is asked while nothing is worked on"
    watch.pass_on(_event("start"))
    platform.log = ["one", "two"]
    watch.look(platform)  # type: ignore[arg-type]
    platform.log += ["three"]
    watch.look(platform)  # type: ignore[arg-type]
    assert _texts(events) == ["application: one", "application: two", "application: three"]
    watch.pass_on(_event("done"))
    platform.log += ["four"]
    watch.look(platform)  # type: ignore[arg-type]
    assert _texts(events)[-1] == "application: three"


def test_a_secret_in_the_log_does_not_come_up() -> None:
    events: list[dict[str, Any]] = []
    watch, platform = watching._Watch("demo-dev", events.append, [Secret("s3cret-value"), Secret("short")]), Platform()
    watch.pass_on(_event("start"))
    platform.log = ["key s3cret-value", "a short one"]
    watch.look(platform)  # type: ignore[arg-type]
    assert _texts(events) == ["application: key ****", "application: a short one"]


def test_the_build_of_the_environment_comes_up_too() -> None:
    watch, events, platform = _watch()
    watch.pass_on(_event("start", "ExecutionEnvironment", "create"))
    watch.look(platform)  # type: ignore[arg-type]
    assert _texts(events) == ["environment: Step 1/2 : FROM x"]


def test_a_failure_is_told_once_and_at_once() -> None:
    watch, events, platform = _watch()
    watch.pass_on(_event("start"))
    platform.status, platform.log = "failed", ["boom"]
    for _ in range(3):
        watch.look(platform)  # type: ignore[arg-type]
    told = [one for one in events if one["event"] == "platform-failed"]
    assert [one["text"] for one in told] == ["The platform says that the application failed."]
    assert events.index(told[0]) > [one.get("text") for one in events].index("application: boom")


def test_what_had_failed_before_is_no_news_and_the_new_version_is_told_from_its_first_line() -> None:
    watch, events, platform = _watch()
    platform.status, platform.log, platform.version = "failed", ["old", "boom"], "v1"
    watch.begin(platform)  # type: ignore[arg-type]
    watch.pass_on(_event("start"))
    watch.look(platform)  # type: ignore[arg-type]
    assert _texts(events) == []
    platform.status, platform.log, platform.version = "initializing", ["new", "fine", "so far"], "v2"
    watch.look(platform)  # type: ignore[arg-type]
    platform.status = "failed"
    watch.look(platform)  # type: ignore[arg-type]
    assert _texts(events)[:3] == ["application: new", "application: fine", "application: so far"]
    assert [one["event"] for one in events].count("platform-failed") == 1


def test_what_pulumi_gives_up_is_looked_at_once_more_for_the_reason() -> None:
    watch, events, platform = _watch()
    watch.pass_on(_event("start"))
    platform.log, platform.status = ["no database"], "failed"
    watch.pass_on(_event("failed"))
    assert watch.wake.is_set()
    watch.look(platform)  # type: ignore[arg-type]
    assert _texts(events)[0] == "application: no database"
    watch.look(platform)  # type: ignore[arg-type]
    assert platform.asked == 1, "that was the last look"


def test_the_last_look_is_waited_for() -> None:
    events: list[dict[str, Any]] = []
    platform = Platform()
    platform.log = ["no database"]

    @contextmanager
    def connect() -> Iterator[Any]:
        yield platform

    with watching.watched(connect, "demo-dev", events.append, every=5.0) as pass_on:
        pass_on(_event("start"))
        pass_on(_event("failed"))
    assert _texts(events) == ["application: no database"]


def test_what_the_preview_began_is_not_watched() -> None:
    watch, _events, platform = _watch()
    watch.pass_on(_event("start"))
    watch.pass_on({"event": "preview"})
    watch.look(platform)  # type: ignore[arg-type]
    assert platform.asked == 0


def test_after_a_long_silence_there_is_a_sign_of_life() -> None:
    clock = [0.0]
    events: list[dict[str, Any]] = []
    watch = watching._Watch("demo-dev", events.append, now=lambda: clock[0])
    platform = Platform()
    watch.pass_on(_event("start", "ApplicationSource", "create"))
    for clock[0] in (5.0, 14.0, 16.0, 20.0, 32.0):
        watch.look(platform)  # type: ignore[arg-type]
    lives = [one["text"] for one in events if one["event"] == "heartbeat"]
    assert lives == [
        "application source: create goes on since 16 s",
        "application source: create goes on since 32 s",
    ]


def test_a_platform_that_refuses_to_be_looked_at_is_no_failure() -> None:
    platform = Platform()
    events: list[dict[str, Any]] = []

    @contextmanager
    def connect() -> Iterator[Any]:
        yield platform

    with watching.watched(connect, "demo-dev", events.append, every=0.01) as on_event:
        platform.broken = True
        on_event(_event("start"))
        deadline = time.monotonic() + 10
        while platform.asked < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        platform.broken, platform.log = False, ["back"]
        while len(_texts(events)) < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert _texts(events) == ["application: back"]

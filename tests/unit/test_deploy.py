"""When a failed deployment makes room for the release from before, and for which one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_releases import keep
from toolkit import deploy, history, observe, preflight, releases, shelf, stack, statefiles
from toolkit import settings as configuration
from toolkit.bench import Bench
from toolkit.errors import Cancelled, Stopped, ToolkitError, VerificationFailed
from toolkit.history import Entry
from toolkit.releases import Kept
from toolkit.settings import Settings
from toolkit.source import SourceFile, StagedSource
from toolkit.stack import StackResult
from toolkit.staging import Release
from toolkit.tools import Places

ERROR = VerificationFailed("It does not serve.")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Places(tmp_path, tmp_path, tmp_path, tmp_path), {}, lambda _event: None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = configuration.load({}, None, stack="dev", root=tmp_path)
    return dataclasses.replace(made, app_name="shop")


def release(folder: Path, name: str) -> Release:
    """What was deployed, as `keep` keeps it."""
    keep(folder / "again", name)
    source = folder / "again" / "staged"
    files = tuple(SourceFile(path, 0o755, source / path) for path in (".env", "start-app.sh"))
    staged = StagedSource(source, files, (), "0" * 64, 0)
    return Release(staged, folder, folder / "again" / "context.zip", (name * 64)[:64])


def gone_back(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    settings: Settings,
    bench: Bench,
    entries: list[Entry],
    *,
    attempts: int = 1,
) -> tuple[ToolkitError, list[str]]:
    """Let the release b fail, with c and a on the shelf; give the error, and what was deployed again."""
    for name in "ca":
        keep(folder, name)
    again: list[str] = []

    def serve_again(_settings: Any, _drive: Any, kept: Kept, *_rest: Any) -> None:
        again.append(kept.id)

    monkeypatch.setattr(history, "entries", lambda _drive: entries)
    monkeypatch.setattr(shelf, "there", lambda *_arguments: folder / "shelf")
    monkeypatch.setattr(deploy, "_serve_again", serve_again)
    drive: Any = None
    error = deploy._rolled_back(settings, drive, release(folder, "b"), bench, ERROR, attempts)
    return error, again


def entry(folder: Path, name: str, *, succeeded: bool = True, id: str = "") -> Entry:
    return Entry((id or name) * 12, keep(folder / "known", name).seal, succeeded)


def test_what_served_before_serves_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, bench: Bench
) -> None:
    told = [entry(tmp_path, "b"), entry(tmp_path, "d", succeeded=False), entry(tmp_path, "c"), entry(tmp_path, "a")]
    error, again = gone_back(monkeypatch, tmp_path, settings, bench, told)
    assert again == ["c" * 12]
    assert "cccccccccccc serves again" in error.message


def test_what_somebody_else_has_deployed_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, bench: Bench
) -> None:
    """They look at the URL while this run still waits for its own release there."""
    told = [entry(tmp_path, "g"), entry(tmp_path, "b"), entry(tmp_path, "a")]
    error, again = gone_back(monkeypatch, tmp_path, settings, bench, told)
    assert again == []
    assert "Somebody else has deployed release gggggggggggg since, and that stays." in error.message


@pytest.mark.parametrize("id", ["b", "e"], ids=["with another bundle", "with another token"])
def test_where_the_same_served_before_another_setting_is_the_matter(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    bench: Bench,
    id: str,
) -> None:
    keep(tmp_path, "b", "f")  # it was proved then
    told = [entry(tmp_path, "b"), entry(tmp_path, "b", id=id), entry(tmp_path, "a")]
    assert gone_back(monkeypatch, tmp_path, settings, bench, told) == (ERROR, [])


def test_what_was_never_proved_is_not_what_served_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, bench: Bench
) -> None:
    """As after --no-rollback: the same release fails once more, and the proved one is the one before."""
    told = [entry(tmp_path, "b"), entry(tmp_path, "b"), entry(tmp_path, "a")]
    _, again = gone_back(monkeypatch, tmp_path, settings, bench, told)
    assert again == ["a" * 12]


def test_two_attempts_of_one_run_are_both_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, bench: Bench
) -> None:
    told = [entry(tmp_path, "b"), entry(tmp_path, "b", succeeded=False), entry(tmp_path, "a")]
    _, again = gone_back(monkeypatch, tmp_path, settings, bench, told, attempts=2)
    assert again == ["a" * 12]


def test_without_a_history_the_last_proved_one_serves_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, bench: Bench
) -> None:
    _, again = gone_back(monkeypatch, tmp_path, settings, bench, [])
    assert again == ["a" * 12]


@pytest.mark.parametrize(
    ("resources", "status", "down"),
    [
        (["CustomApplication"], "running", False),
        (["CustomApplication"], "failed", True),
        (["CustomApplication"], "", True),
        (["ExecutionEnvironment"], "", True),
    ],
    ids=["it runs", "it failed", "the state has one that is gone", "the state has none"],
)
def test_whether_nothing_runs_any_more(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, bench: Bench, resources: list[str], status: str, down: bool
) -> None:
    class Platform:
        def has(self, _kind: str, _id: str) -> bool:
            return bool(status)

        def application(self, _id: str) -> dict[str, str]:
            return {"status": status}

    @contextmanager
    def platform_client(_settings: Settings) -> Iterator[Platform]:
        yield Platform()

    there = tuple({"type": kind, "id": "1", "name": ""} for kind in resources)
    monkeypatch.setattr(stack, "run", lambda _drive, _action: StackResult({}, None, resources=there))
    monkeypatch.setattr(preflight, "platform_client", platform_client)
    drive: Any = None
    assert deploy._is_down(settings, drive, bench) is down


def test_who_is_asked_about_drift_may_take_any_time(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, bench: Bench
) -> None:
    def run(_drive: Any, _action: str, *, decide: Callable[[dict[str, int]], bool], **_options: Any) -> StackResult:
        return StackResult({"update": 1}, None, stopped=not decide({"update": 1}))

    def confirm(_changes: Any) -> bool:
        time.sleep(0.3)
        return True

    monkeypatch.setattr(stack, "run", run)
    monkeypatch.setattr(observe, "driver", lambda *_arguments: None)
    monkeypatch.setattr(preflight, "with_local_platform", lambda given, _bench: given)
    monkeypatch.setattr(statefiles, "require_stack", lambda *_arguments: None)
    limits: Any = {"refresh": 0.1}
    settings = dataclasses.replace(settings, phase_seconds=limits)
    assert not observe.refresh(settings, bench, confirm=confirm).stopped


def test_ctrl_c_is_no_history_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_arguments: Any, **_options: Any) -> StackResult:
        raise Stopped(Cancelled("history was cancelled"))

    monkeypatch.setattr(stack, "run", run)
    drive: Any = None
    with pytest.raises(Stopped):
        history.entries(drive)


def test_the_events_that_count_are_noted(bench: Bench) -> None:
    noted: list[dict[str, Any]] = []
    noting = bench.noting(lambda event: event["event"] == "up", noted)
    for name in ("preview", "up", "line", "up"):
        noting.on_event({"event": name, "text": ""})
    assert len(noted) == 2


def test_nothing_differs_between_twins_but_the_runtime_env(tmp_path: Path) -> None:
    kept = keep(tmp_path, "a")
    assert [one.id for one in releases.twins(tmp_path / "shelf", kept.seal, "f" * 64)] == [kept.id]
    assert releases.twins(tmp_path / "shelf", kept.seal, kept.digest) == []

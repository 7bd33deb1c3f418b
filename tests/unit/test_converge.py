from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit import converge
from toolkit.bench import Bench
from toolkit.errors import Cancelled, DeploymentFailed, TimedOut
from toolkit.plan import Shipment
from toolkit.stack import StackResult
from toolkit.tools import Places

STEP = {"event": "start", "op": "create", "type": "datarobot:index/applicationSource:ApplicationSource", "name": "s"}


def test_a_second_attempt_has_a_plan_of_its_own(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    bench = Bench(Places(tmp_path, tmp_path, tmp_path, tmp_path), {}, heard.append)
    planning = converge._planning(bench, Shipment({"a": "1"}, 10, 20, 0, parameters=False))
    for _ in range(2):
        planning.on_event(STEP)
        planning.on_event({"event": "preview", "changes": {"create": 1}})
        planning.on_event({"event": "up"})
        planning.on_event(STEP)  # now it is done
        planning.on_event({"event": "up"})
    first, second = (one for one in heard if one["event"] == "plan")
    assert first == second
    assert first["upload_files"] > 0


def test_the_reason_is_told_also_when_there_is_no_time_to_tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise DeploymentFailed("It failed.")

    def late(*_arguments: Any) -> bool:
        raise TimedOut("The platform does not answer.")

    monkeypatch.setattr(converge, "_try", fail)
    monkeypatch.setattr(converge, "_explained", lambda *_arguments: DeploymentFailed("Explained."))
    monkeypatch.setattr(converge, "_tidy", late)
    heard: list[str] = []
    bench = Bench(
        Places(tmp_path, tmp_path, tmp_path, tmp_path), {}, lambda event: heard.append(str(event.get("text")))
    )
    any_: Any = None
    with pytest.raises(DeploymentFailed, match="Explained"):
        converge._up(any_, any_, any_, bench, lambda _changes: True, "")
    assert heard == ["warning: The platform does not answer."]


@pytest.mark.parametrize(("audits", "words"), [(False, "Nothing was changed."), (True, "Nothing more was changed.")])
def test_who_says_no_is_told_what_was_put_in_order_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audits: bool, words: str
) -> None:
    def stopped(_settings: Any, _drive: Any, _wanted: Any, bench: Bench, *_rest: Any, **_options: Any) -> StackResult:
        bench.on_event({"event": "line", "text": "Removed the application x.", "audit": audits})
        return StackResult({}, None, stopped=True)

    monkeypatch.setattr(converge, "_try", stopped)
    bench = Bench(Places(tmp_path, tmp_path, tmp_path, tmp_path), {}, lambda _event: None)
    any_: Any = None
    with pytest.raises(Cancelled) as caught:
        converge._up(any_, any_, any_, bench, lambda _changes: False, "")
    assert caught.value.message == words


def test_a_second_attempt_that_fails_is_explained_like_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def fail(*_arguments: Any, warm: object = None, **_options: Any) -> Any:
        tried.append(warm)
        raise DeploymentFailed("It failed.", details=("name already in use",))

    def explained(_settings: Any, _wanted: Any, error: DeploymentFailed, _bench: Any) -> DeploymentFailed:
        return DeploymentFailed("Explained.", details=error.details)

    monkeypatch.setattr(converge, "_try", fail)
    monkeypatch.setattr(converge, "_explained", explained)
    monkeypatch.setattr(converge, "_tidy", lambda *_arguments: True)
    bench = Bench(Places(tmp_path, tmp_path, tmp_path, tmp_path), {}, lambda _event: None)
    any_: Any = "warm"
    with pytest.raises(DeploymentFailed, match="Explained"):
        converge._up(any_, any_, any_, bench, lambda _changes: True, "", warm=any_)
    assert tried == ["warm", None]  # the child of the first attempt is used up

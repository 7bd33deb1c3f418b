from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from docker.errors import APIError, NotFound

from toolkit import container
from toolkit.engine import RUN_LABEL


def _engine(*containers: Any, volumes: tuple[Any, ...] = ()) -> Any:
    by_id = {one.attrs["Id"]: one for one in containers}
    api = SimpleNamespace(
        containers=Mock(return_value=[one.attrs for one in containers]),
        remove_container=lambda name, **how: by_id[name].remove(**how),
    )
    return SimpleNamespace(api=api, volumes=Mock(list=Mock(return_value=list(volumes))))


def _thing(name: str, run: str, error: Exception | None = None) -> Any:
    attrs = {"Id": name, "Names": [f"/{name}"], "Labels": {RUN_LABEL: run}}
    thing = Mock(attrs=attrs, remove=Mock(side_effect=error))
    thing.name = name
    return thing


def _refused(status: int) -> APIError:
    return APIError("refused", response=Mock(status_code=status))


def test_only_dead_runs_are_swept() -> None:
    dead, live = _thing("dead", "1"), _thing("live", "2")
    assert container.sweep(_engine(dead, live), "smoke", lambda run: run == "2") == ["dead"]
    live.remove.assert_not_called()


@pytest.mark.parametrize("error", [NotFound("gone"), _refused(409)], ids=["gone", "removal in progress"])
def test_two_sweeps_that_meet_do_not_disturb_each_other(error: Exception) -> None:
    taken, free = _thing("taken", "1", error), _thing("free", "1")
    assert container.sweep(_engine(taken, free), "smoke", lambda _: False) == ["free"]


def test_an_engine_that_fails_is_not_taken_for_a_sweep_that_met_another() -> None:
    with pytest.raises(APIError):
        container.sweep(_engine(_thing("x", "1", _refused(500))), "smoke", lambda _: False)


def test_volumes_of_dead_runs_are_swept_too() -> None:
    dead, live = _thing("dead", "1"), _thing("live", "2")
    assert container.sweep(_engine(volumes=(dead, live)), "build", lambda run: run == "2") == ["dead"]
    live.remove.assert_not_called()


def test_a_thing_of_no_run_is_somebody_elses() -> None:
    """A container started by hand from an app image inherits the image's labels, emptied ones too."""
    by_hand = _thing("by-hand", "")
    assert container.sweep(_engine(by_hand), "build", lambda _: False) == []
    by_hand.remove.assert_not_called()


@pytest.mark.parametrize("error", [NotFound("gone"), _refused(409)], ids=["gone", "removal in progress"])
def test_an_app_that_somebody_else_removes_is_removed(error: Exception) -> None:
    container.RunningApp(_thing("app", "1", error), "127.0.0.1", 1).remove()

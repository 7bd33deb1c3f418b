from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit import converge
from toolkit.bench import Bench
from toolkit.plan import Shipment
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

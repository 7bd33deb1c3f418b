"""The table of the corpus: the worst of each app over all rounds, and who was told differently."""

from __future__ import annotations

from tests.apps import measure
from tests.apps.bun_apps import BunApp
from tests.apps.measure import Measured
from toolkit.report import failed

SOUND, BROKEN = BunApp("sound"), BunApp("broken", fails={"front.prefix": "leaves"})
FOUND = failed("front.prefix", "/app.js leaves the app", hint="Write ./app.js.")
ALARM = failed("start.stable", "The app died", hint="Look into its log.")


def rounds(*firsts: tuple[str, object]) -> list[list[Measured]]:
    return [
        [Measured(SOUND, verdict, first, 1.0), Measured(BROKEN, "fail", FOUND, 1.0)]  # type: ignore[arg-type]
        for verdict, first in firsts
    ]


def test_what_is_the_same_in_every_round_is_a_hit() -> None:
    same = rounds(("pass", None), ("pass", None))
    assert measure.unsteady(same) == []
    assert [row.outcome for row in measure.worst(same)] == ["hit", "hit"]
    assert "Told differently from one round to the next: none." in measure.table(same, 4.0)


def test_one_false_alarm_in_many_rounds_is_shown() -> None:
    once = rounds(("pass", None), ("fail", ALARM), ("pass", None))
    assert measure.unsteady(once) == ["sound"]
    assert [row.outcome for row in measure.worst(once)] == ["false alarm", "hit"]
    assert "| sound | pass | fail | false alarm | start.stable: The app died | 1.0 |" in measure.table(once, 4.0)

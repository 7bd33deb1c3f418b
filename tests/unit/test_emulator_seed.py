"""The organisation of a new local platform: the same for the same day, and believable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit.emulator import seed
from toolkit.emulator.objects import Body
from toolkit.emulator.server import today
from toolkit.emulator.store import Store

DAY = datetime(2026, 4, 1, tzinfo=UTC)
ORG = "6540000000000000000000f1"


def planted(folder: Path, day: datetime = DAY) -> tuple[list[Body], list[Body]]:
    store = Store(folder)
    seed.plant(store, ORG, day)
    found = store.find("useCase")[0], store.find("notebook")[0]
    store.close()
    return found


@pytest.fixture(scope="module")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Body], list[Body]]]:
    yield planted(tmp_path_factory.mktemp("seed"))


Organisation = tuple[list[Body], list[Body]]


def test_the_same_day_gives_the_same_organisation(organisation: Organisation, tmp_path: Path) -> None:
    assert planted(tmp_path / "again") == organisation
    other, _ = planted(tmp_path / "other", DAY + timedelta(days=1))
    assert other != organisation[0]
    assert [one["id"] for one in other] == [one["id"] for one in organisation[0]]


def test_a_day_starts_at_midnight() -> None:
    moment = today()
    assert (moment.hour, moment.minute, moment.second, moment.microsecond, moment.tzinfo) == (0, 0, 0, 0, UTC)


def test_it_has_the_size_of_an_organisation(organisation: Organisation) -> None:
    use_cases, notebooks = organisation
    assert (len(use_cases), len(notebooks)) == (40, 600)
    people = {one[key]["by"]["id"] for one in notebooks for key in ("created", "updated", "lastViewed")}
    assert len(people) == 25
    for found in (use_cases, notebooks):
        ids = {one["id"] for one in found}
        assert len(ids) == len(found)
        assert all(len(one) == 24 and int(one, 16) for one in ids)
    assert len({one["name"] for one in use_cases}) == 40


def test_notebooks_belong_to_use_cases_that_existed_before_them(organisation: Organisation) -> None:
    use_cases, notebooks = organisation
    born = {one["id"]: one["createdAt"] for one in use_cases}
    for one in notebooks:
        times = [born[one["useCaseId"]], *(one[key]["at"] for key in ("created", "updated", "lastViewed"))]
        moments = [datetime.fromisoformat(text) for text in times]
        assert moments == sorted(moments)
        assert moments[-1] <= DAY
    counts = Counter(one["useCaseId"] for one in notebooks)
    assert {one["id"]: one["notebooksCount"] for one in use_cases} == {
        one["id"]: counts[one["id"]] for one in use_cases
    }
    assert 0 in {one["notebooksCount"] for one in use_cases}


def test_its_history_spans_months(organisation: Organisation) -> None:
    use_cases, notebooks = organisation
    assert len({one["createdAt"][:7] for one in use_cases}) >= 8
    assert len({one["created"]["at"][:7] for one in notebooks}) >= 6
    assert {one["type"] for one in notebooks} == {"notebook", "codespace"}
    assert any(one["session"] for one in notebooks)
    assert any(one["hasEnabledSchedule"] for one in notebooks)
    assert not any(one["hasEnabledSchedule"] and not one["hasSchedule"] for one in notebooks)

"""With 10,000 applications stored, lists and changes ask the database through indexes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from toolkit.emulator.store import Store

MANY = 10_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("many"))
    environment = store.create_environment("bun", "", "other", [])
    built = store.create_environment_version(environment["id"], "", b"", "c.zip")
    source = store.create_source("shop")
    version = store.create_source_version(source["id"], {"baseEnvironmentVersionId": built["id"]})
    with store.transaction():
        for number in range(MANY):
            store.create_application({"applicationSourceVersionId": version["id"], "name": f"app {number}"})
    yield store
    store.close()


def seconds(offset: int, store: Store) -> float:
    started = time.perf_counter()
    found, total = store.find("application", offset=offset, limit=100)
    assert (len(found), total) == (100, MANY)
    return time.perf_counter() - started


def test_the_last_page_costs_about_what_the_first_does(store: Store) -> None:
    pairs = [(seconds(0, store), seconds(MANY - 100, store)) for _ in range(40)]
    first, last = (min(times) for times in zip(*pairs, strict=True))
    assert last < 4 * first, f"first page {first * 1000:.2f} ms, last page {last * 1000:.2f} ms, of 100 pages"


def test_names_are_found_without_reading_all(store: Store) -> None:
    started = time.perf_counter()
    for number in range(0, MANY, 100):
        assert store.find("application", name=f"app {number}")[1] == 1
    assert time.perf_counter() - started < 1


def test_changing_one_does_not_read_all(store: Store) -> None:
    ids = [one["id"] for one in store.find("application", limit=20)[0]]
    started = time.perf_counter()
    for number, one in enumerate(ids):
        store.update_application(one, {"name": f"renamed {number}"})
    assert time.perf_counter() - started < 1


def test_all_come_in_order_of_creation_a_few_at_a_time(store: Store) -> None:
    names = [one["name"] for one in store.every("application")]
    assert len(names) == MANY
    assert names[-1] == f"app {MANY - 1}"
    assert list(store.every("nothing of this kind")) == []

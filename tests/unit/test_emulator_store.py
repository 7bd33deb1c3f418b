"""What the local platform keeps: transactions, reopening, file contents, and rules that no route can bend."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolkit.emulator.fields import Conflict, Invalid, NotFound
from toolkit.emulator.objects import DATABASE, new_id
from toolkit.emulator.store import Store
from toolkit.emulator.store_applications import MOST_LOG_LINES


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "data")
    yield made
    made.close()


def version(store: Store, source: str, **fields: Any) -> str:
    environment = store.create_environment("env", "", "other", [])["id"]
    built = store.create_environment_version(environment, "", b"context", "context.zip")["id"]
    return str(store.create_source_version(source, {"baseEnvironmentVersionId": built, **fields})["id"])


def test_ids_are_those_of_the_platform() -> None:
    ids = [new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(len(one) == 24 and one == one.lower() and int(one, 16) for one in ids)


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.is_new
    source = store.create_source("kept")["id"]
    made = version(store, source)
    store.update_source_version(made, {}, [("a.txt", b"content")])
    application = store.create_application({"applicationSourceVersionId": made})["id"]
    store.set_application(application, status="running")
    before = [
        store.find(kind) for kind in ("environment", "environmentVersion", "source", "sourceVersion", "application")
    ]
    store.close()
    again = Store(tmp_path)
    after = [
        again.find(kind) for kind in ("environment", "environmentVersion", "source", "sourceVersion", "application")
    ]
    assert after == before
    assert not again.is_new
    item = again.get("sourceVersion", made)["items"][0]
    assert again.blob(item["storagePath"]).read_bytes() == b"content"
    again.close()


def test_what_was_written_survives_a_process_that_just_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = store.create_source("written")["id"]
    other = sqlite3.connect(tmp_path / DATABASE)  # as a process would find the files after SIGKILL
    assert other.execute("SELECT name FROM object WHERE id = ?", (made,)).fetchone() == ("written",)
    other.close()
    store.close()


def test_data_of_a_newer_toolkit_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    database = sqlite3.connect(tmp_path / DATABASE)
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(Invalid, match="newer than this toolkit"):
        Store(tmp_path)


def test_only_the_owner_may_read_what_holds_secrets(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create_credential({"name": "c", "apiToken": "secret"})
    for path in tmp_path.glob(f"{DATABASE}*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(store.blobs.stat().st_mode) == 0o700
    store.close()


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    kept = store.create_source("kept")["id"]
    with pytest.raises(RuntimeError), store.transaction():
        store.create_source("lost")
        store.change("source", kept, lambda body: body.update(name="changed"))
        with store.transaction():
            store.create_environment("lost too", "", "other", [])
        raise RuntimeError
    assert [one["name"] for one in store.find("source")[0]] == ["kept"]
    assert store.find("environment") == ([], 0)
    store.create_source("lost")


def test_a_change_that_fails_changes_nothing(store: Store) -> None:
    source = store.create_source("s")["id"]
    made = version(store, source)
    store.update_source_version(made, {}, [("a", b"1")])
    before = store.get("sourceVersion", made)
    for fields, files in (
        ({"baseEnvironmentId": "nowhere"}, [("b", b"2")]),
        ({"runtimeParameters": "no list"}, [("b", b"2")]),
        ({"requiredKeyScopeLevel": "viewer"}, [("b", b"2")]),
        ({}, [("a/b", b"2")]),
    ):
        with pytest.raises(Invalid):
            store.update_source_version(made, fields, files)
        assert store.get("sourceVersion", made) == before
    versions = store.find("sourceVersion", parent=source)[1]
    with pytest.raises(Invalid):
        store.create_source_version(source, {}, [("a", b""), ("a/b", b"")])
    assert store.find("sourceVersion", parent=source)[1] == versions
    assert store.get("source", source)["latestVersion"] == made


class FullDisk:
    """A connection that cannot commit, as on a full disk."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(statement, *values)


def test_a_commit_that_fails_is_rolled_back_and_the_next_one_works(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "_db", FullDisk(store._db))
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.create_source("lost")
    store.create_source("kept")
    assert [one["name"] for one in store.find("source")[0]] == ["kept"]


def test_threads_do_not_get_in_each_others_way(store: Store) -> None:
    application = store.create_application(
        {"applicationSourceVersionId": version(store, store.create_source("s")["id"])}
    )
    taken: list[str] = []

    def work(number: int) -> None:
        for count in range(25):
            store.create_source(f"{number} {count}")
            store.set_application(application["id"], **{f"_{number}": count})
            try:
                store.create_source(f"everybody's {count}")
            except Conflict:
                taken.append("conflict")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.find("source")[1] == 1 + 4 * 25 + 25
    assert len(taken) == 3 * 25
    assert [store.get("application", application["id"])[f"_{number}"] for number in range(4)] == [24] * 4


def test_objects_are_told_apart_by_kind(store: Store) -> None:
    source = store.create_source("s")["id"]
    for kind in ("application", "environment", "sourceVersion"):
        with pytest.raises(NotFound):
            store.get(kind, source)
        with pytest.raises(NotFound):
            store.remove(kind, source)
    assert store.get("source", source)["name"] == "s"


def test_pages_come_in_order_of_creation(store: Store) -> None:
    names = [f"{number:02d}" for number in range(7)]
    for name in names:
        store.create_source(name)
    assert [one["name"] for one in store.find("source", offset=2, limit=3)[0]] == names[2:5]
    assert [one["name"] for one in store.find("source", newest_first=True)[0]] == names[::-1]
    assert store.find("source", name="03")[1] == 1


def test_contents_that_nothing_refers_to_are_swept(store: Store) -> None:
    source = store.create_source("s")["id"]
    made = version(store, source)
    kept = store.update_source_version(made, {}, [("a", b"same"), ("b", b"same")])["items"][0]["storagePath"]
    lost = store.put_blob(b"lost")
    (store.blobs / ".draft").write_bytes(b"")
    (store.contexts / "of-a-killed-build").mkdir()
    (store.contexts / "of-a-killed-build" / "Dockerfile").write_text("FROM base\n")
    assert len(list(store.blobs.iterdir())) == 4  # the context of the environment among them
    assert store.sweep() == 3
    assert store.blob(kept).read_bytes() == b"same"
    assert not store.blob(lost).exists()
    assert list(store.contexts.iterdir()) == []
    assert store.sweep() == 0
    store.clear()
    assert store.is_new
    assert list(store.blobs.iterdir()) == []


def test_an_application_keeps_what_it_runs_from_until_it_moves_on(store: Store) -> None:
    source = store.create_source("old")["id"]
    first, unused = version(store, source), version(store, source)
    application = store.create_application({"applicationSourceVersionId": first})["id"]
    store.delete_source(source)
    assert store.get("sourceVersion", first)
    with pytest.raises(NotFound):
        store.get("sourceVersion", unused)
    second = version(store, store.create_source("new")["id"])
    _, moved = store.update_application(application, {"customApplicationSourceVersionId": second})
    assert moved
    with pytest.raises(NotFound):
        store.get("sourceVersion", first)
    store.delete_application(application)
    assert store.get("sourceVersion", second)


def test_logs_are_bounded(store: Store) -> None:
    application = store.create_application(
        {"applicationSourceVersionId": version(store, store.create_source("s")["id"])}
    )
    store.set_application(application["id"], _logs=[str(number) for number in range(3 * MOST_LOG_LINES)])
    logs = store.get("application", application["id"])["_logs"]
    assert (len(logs), logs[-1]) == (MOST_LOG_LINES, str(3 * MOST_LOG_LINES - 1))


def test_a_build_of_what_was_removed_meanwhile_is_not_found(store: Store) -> None:
    environment = store.create_environment("e", "", "other", [])["id"]
    built = store.create_environment_version(environment, "", b"", "c.zip")["id"]
    store.delete_environment(environment)
    with pytest.raises(NotFound):
        store.set_build(built, "success")


def test_the_last_good_build_stays_when_the_next_one_fails(store: Store) -> None:
    environment = store.create_environment("e", "", "other", [])["id"]
    versions = [store.create_environment_version(environment, "", b"", "c.zip")["id"] for _ in range(2)]
    store.set_build(versions[0], "success")
    store.set_build(versions[1], "failed", error="x")
    found = store.get("environment", environment)
    assert (found["latestVersion"], found["latestSuccessfulVersion"]) == (versions[1], versions[0])
    made = store.create_source_version(store.create_source("s")["id"], {"baseEnvironmentId": environment})
    assert made["baseEnvironmentVersionId"] == versions[0]


def test_a_glance_sees_every_write(store: Store) -> None:
    made = store.create_use_case("first", "")
    assert store.glance("useCase", made["id"]) == store.get("useCase", made["id"])
    assert store.glance("useCase", made["id"]) is store.glance("useCase", made["id"])
    store.change("useCase", made["id"], lambda body: body.update(name="second"))
    assert store.glance("useCase", made["id"])["name"] == "second"
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.change("useCase", made["id"], lambda body: body.update(name="never"))
        assert store.glance("useCase", made["id"])["name"] == "never"
        raise ZeroDivisionError
    assert store.glance("useCase", made["id"])["name"] == "second"
    store.remove("useCase", made["id"])
    with pytest.raises(NotFound):
        store.glance("useCase", made["id"])

"""The data folder's versions, and that it belongs to one platform at a time."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.emulator import lock, migrations
from toolkit.emulator.fields import Invalid
from toolkit.emulator.objects import DATABASE
from toolkit.emulator.store import Store

OLD = f"BEGIN; {migrations.STEPS[0]} PRAGMA user_version=1; COMMIT;"


def old_database(folder: Path) -> Path:
    """Make a database as the first version of the toolkit made it, with an object."""
    path = folder / DATABASE
    database = sqlite3.connect(path)
    database.executescript(OLD)
    body = json.dumps({"id": "s1", "name": "kept", "latestVersion": None})
    database.execute("INSERT INTO object VALUES ('s1', 'source', '', 'kept', 1, ?)", (body,))
    database.commit()
    database.close()
    return path


def indexes(path: Path) -> set[str]:
    database = sqlite3.connect(path)
    found = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    database.close()
    return found


def test_an_old_database_is_copied_and_brought_up_to_date(tmp_path: Path) -> None:
    path = old_database(tmp_path)
    store = Store(tmp_path)
    assert store.get("source", "s1")["name"] == "kept"
    store.close()
    assert "object_runs" in indexes(path)
    assert "object_runs" not in indexes(path.with_name(f"{DATABASE}.v1"))
    Store(tmp_path).close()
    new = sqlite3.connect(path)
    assert migrations.version(new) == len(migrations.STEPS)
    new.close()


def test_tokens_of_old_applications_begin_with_their_ids_afterwards(tmp_path: Path) -> None:
    path = old_database(tmp_path)
    database = sqlite3.connect(path)
    body = json.dumps({"id": "a1", "name": "shop", "_restrictedToken": "secret"})
    database.execute("INSERT INTO object VALUES ('a1', 'application', '', 'shop', 2, ?)", (body,))
    database.commit()
    database.close()
    store = Store(tmp_path)
    assert store.get("application", "a1")["_restrictedToken"] == "a1.secret"
    assert store.get("source", "s1") == {"id": "s1", "name": "kept", "latestVersion": None}
    store.close()


def test_a_new_database_is_not_copied(tmp_path: Path) -> None:
    Store(tmp_path).close()
    assert not list(tmp_path.glob("*.v*"))


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = old_database(tmp_path)
    database = sqlite3.connect(path, isolation_level=None)
    steps = (*migrations.STEPS[:1], "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(sqlite3.Error):
        migrations.upgrade(database, path, steps)
    assert migrations.version(database) == 1
    assert not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()
    assert migrations.upgrade(database, path) == 1
    database.close()


def test_a_database_of_the_future_is_left_alone(tmp_path: Path) -> None:
    path = old_database(tmp_path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(Invalid, match="version 99, newer than this toolkit"):
        Store(tmp_path)
    assert path.read_bytes()[100:] == before[100:]


def test_a_folder_has_one_owner_which_is_named(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from toolkit.emulator import lock\n"
        "try:\n    lock.owned(pathlib.Path(sys.argv[1]), 0.1).__enter__()\n"
        "except lock.FolderTaken as problem:\n    sys.exit(str(problem))\n"
    )
    with lock.owned(tmp_path):
        environ = {"PYTHONPATH": str(Path(lock.__file__).parents[2])}
        second = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], env=environ, capture_output=True, text=True
        )
        assert second.returncode == 1
        assert lock.owner(tmp_path) in second.stderr
        assert f"process {__import__('os').getpid()} on " in second.stderr
    with lock.owned(tmp_path, 0.1):
        pass
    assert "has not said" in lock.owner(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": "x"}', "\udcff"])
def test_a_damaged_owner_is_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / lock.OWNER_FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert "has not said" in lock.owner(tmp_path)

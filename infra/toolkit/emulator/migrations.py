"""Versions of the data folder's database, and the steps from each to the next. Knows SQLite and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from toolkit.emulator.fields import Invalid

# Each step is one transaction together with its number, so a crash leaves the version before or the one after it.
# A step that has been released never changes; what is new is added at the end.
STEPS: tuple[str, ...] = (
    """
    CREATE TABLE object (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL,
        number INTEGER NOT NULL, body TEXT NOT NULL
    );
    CREATE INDEX object_kind ON object (kind, parent, number);
    CREATE INDEX object_name ON object (kind, name);
    CREATE TABLE counter (number INTEGER NOT NULL);
    INSERT INTO counter VALUES (0);
    """,
    # Lists and look-ups stay as fast with many objects as with few.
    """
    CREATE INDEX IF NOT EXISTS object_order ON object (kind, number);
    CREATE INDEX IF NOT EXISTS object_named ON object (kind, name, number);
    CREATE INDEX IF NOT EXISTS object_runs ON object (json_extract(body, '$.customApplicationSourceVersionId'))
        WHERE kind = 'application';
    CREATE INDEX IF NOT EXISTS object_base ON object (json_extract(body, '$.envVersionId')) WHERE kind = 'application';
    """,
    # The token of an application begins with its id, so that it is found without reading all applications. Their
    # containers get it anew: none outlives the platform that started it.
    """
    UPDATE object SET body = json_set(
        body, '$._restrictedToken', id || '.' || json_extract(body, '$._restrictedToken')
    ) WHERE kind = 'application';
    """,
)


def upgrade(database: sqlite3.Connection, path: Path, steps: Sequence[str] = STEPS) -> int:
    """Bring the database at `path` to the newest version; give the version that it had before.

    A database that holds data is copied beside itself (NAME.v1) before its first step. Raises Invalid for one that is
    newer than this toolkit.
    """
    before = version(database)
    if before > len(steps):
        raise Invalid(
            f"The data of the local platform is of version {before}, newer than this toolkit ({len(steps)}). "
            "Use the newer toolkit, or another folder (EMULATOR_DATA)."
        )
    if 0 < before < len(steps):
        copy = path.with_name(f"{path.name}.v{before}")
        copy.unlink(missing_ok=True)
        database.execute("VACUUM INTO ?", (str(copy),))
        copy.chmod(0o600)
    for number, step in enumerate(steps[before:], before + 1):
        try:
            database.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version={number}; COMMIT;")
        except sqlite3.Error:
            if database.in_transaction:
                database.rollback()
            raise
    return before


def version(database: sqlite3.Connection) -> int:
    """Give the version of a database; 0 for a new one."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])

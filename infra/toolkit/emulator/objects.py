"""Objects of the local platform in SQLite, and file contents as blobs; of what kind they are is not known here.

A write is on disk when its method returns: with WAL and synchronous=NORMAL a commit survives the end of the process at
any moment (only a crash of the machine may cost the last ones, which is no promise of an emulator).
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolkit.emulator import migrations
from toolkit.emulator.blobs import Draft, keep
from toolkit.emulator.fields import Conflict, Invalid, NotFound

DATABASE = "emulator.sqlite"
MOST_GLANCES = 1000
AT_ONCE = 500
Body = dict[str, Any]


def new_id() -> str:
    """Make an id as the platform's are: 24 hexadecimal digits, the first eight of them the time."""
    return f"{int(datetime.now(UTC).timestamp()):08x}{secrets.token_hex(8)}"


def now() -> str:
    """Give the time as the API writes it."""
    return as_written(time.time())


def as_written(seconds: float) -> str:
    """Write a time (seconds since 1970) as the API does."""
    whole = int(seconds // 1)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Objects:
    """The objects of one local platform, in the folder `data`; safe to use from several threads."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.blobs, self.contexts = data / "blobs", data / "contexts"
        # All hold secrets: credentials and tokens of applications, and what was uploaded (.env among it).
        self.blobs.mkdir(mode=0o700, exist_ok=True)
        self.contexts.mkdir(mode=0o700, exist_ok=True)
        (data / DATABASE).touch(mode=0o600)
        self._lock = threading.RLock()
        self._glances: dict[tuple[str, str], Body] = {}
        self.writes = 0  # how many there were; what was seen before the last one may be different now
        self._db = sqlite3.connect(data / DATABASE, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            migrations.upgrade(self._db, data / DATABASE)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    @property
    def is_new(self) -> bool:
        """Whether nothing has been stored yet."""
        return bool(self._db.execute("SELECT NOT EXISTS (SELECT 1 FROM object)").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Carry out several writes as one."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.rollback()  # no error where a full disk has ended the transaction already
                raise
            finally:
                self._glances.clear()
                self.writes += 1

    def get(self, kind: str, id: str) -> Body:  # noqa: A002
        """Give an object. Raises NotFound."""
        with self._lock:
            row = self._db.execute("SELECT body FROM object WHERE id = ? AND kind = ?", (id, kind)).fetchone()
        if row is None:
            raise NotFound(f"{kind} {id} was not found.")
        body: Body = json.loads(row[0])
        return body

    def glance(self, kind: str, id: str) -> Body:  # noqa: A002
        """Give an object as `get` does, for looking only: it is shared until the next write. Raises NotFound."""
        if not self._db.in_transaction and (found := self._glances.get((kind, id))) is not None:
            return found
        with self._lock:
            found = self.get(kind, id)
            if not self._db.in_transaction and len(self._glances) < MOST_GLANCES:
                self._glances[kind, id] = found
        return found

    def find(
        self,
        kind: str,
        *,
        parent: str | None = None,
        name: str | None = None,
        offset: int = 0,
        limit: int = -1,
        newest_first: bool = False,
    ) -> tuple[list[Body], int]:
        """Give a page of the objects of a kind, in order of creation, and how many there are in all."""
        where, values = "kind = ?", [kind]
        for column, value in (("parent", parent), ("name", name)):
            if value is not None:
                where += f" AND {column} = ?"
                values.append(value)
        order = "DESC" if newest_first else "ASC"
        with self._lock:
            total = self._db.execute(f"SELECT count(*) FROM object WHERE {where}", values).fetchone()[0]  # noqa: S608
            rows = self._db.execute(
                f"SELECT body FROM object WHERE {where} ORDER BY number {order} LIMIT ? OFFSET ?",  # noqa: S608
                (*values, limit, offset),
            ).fetchall()
        return [json.loads(row[0]) for row in rows], int(total)

    def every(self, kind: str) -> Iterator[Body]:
        """Give all objects of a kind one after the other, in order of creation, without holding all of them at once."""
        last = -1
        while True:
            with self._lock:
                rows = self._db.execute(
                    "SELECT number, body FROM object WHERE kind = ? AND number > ? ORDER BY number LIMIT ?",
                    (kind, last, AT_ONCE),
                ).fetchall()
            for last, body in rows:  # noqa: B007 - where the next ones begin
                yield json.loads(body)
            if len(rows) < AT_ONCE:
                return

    def count(self, kind: str, *, parent: str) -> int:
        """Tell how many objects of a kind hang below another one."""
        with self._lock:
            row = self._db.execute(
                "SELECT count(*) FROM object WHERE kind = ? AND parent = ?", (kind, parent)
            ).fetchone()
        return int(row[0])

    def add(self, kind: str, body: Body, *, parent: str = "") -> Body:
        """Store a new object; it gets an id where it has none."""
        body.setdefault("id", new_id())
        with self.transaction():
            number = self._db.execute("UPDATE counter SET number = number + 1 RETURNING number").fetchone()[0]
            self._db.execute(
                "INSERT INTO object VALUES (?, ?, ?, ?, ?, ?)",
                (body["id"], kind, parent, str(body.get("name") or ""), number, json.dumps(body)),
            )
        return body

    def change(self, kind: str, id: str, change: Callable[[Body], None]) -> Body:  # noqa: A002
        """Read an object, let `change` alter it, and store it, as one step. Raises NotFound."""
        with self.transaction():
            body = self.get(kind, id)
            change(body)
            self._db.execute(
                "UPDATE object SET name = ?, body = ? WHERE id = ?",
                (str(body.get("name") or ""), json.dumps(body), id),
            )
        return body

    def remove(self, kind: str, id: str) -> None:  # noqa: A002
        """Remove an object and what hangs below it. Raises NotFound."""
        with self.transaction():
            self.get(kind, id)
            self._db.execute("DELETE FROM object WHERE id = ? OR parent = ?", (id, id))

    def clear(self) -> None:
        """Remove everything."""
        with self.transaction():
            self._db.execute("DELETE FROM object")
        for blob in self.blobs.iterdir():
            blob.unlink(missing_ok=True)

    def copy_to(self, path: Path) -> None:
        """Write a copy of all objects to a new database at `path`."""
        with self._lock:
            self._db.execute("VACUUM INTO ?", (str(path),))
        path.chmod(0o600)

    def replace_by(self, path: Path) -> None:
        """Replace all objects by those of the database at `path`, in one step; its file contents are there already."""
        other = sqlite3.connect(path)
        try:
            migrations.upgrade(other, path)
        finally:
            other.close()
        with self._lock:
            self._db.execute("ATTACH ? AS other", (str(path),))
            try:
                with self.transaction():
                    self._db.execute("DELETE FROM object")
                    self._db.execute("INSERT INTO object SELECT * FROM other.object")
                    self._db.execute("UPDATE counter SET number = max(number, (SELECT number FROM other.counter))")
            finally:
                self._db.execute("DETACH other")

    def sweep(self) -> int:
        """Remove file contents that nothing refers to any more, and what builds have unpacked; give how many.

        Only for before anything is served.
        """
        used = {version["_context"] for version in self.every("environmentVersion")}
        used.update(item["storagePath"] for version in self.every("sourceVersion") for item in version["items"])
        unused = [blob for blob in self.blobs.iterdir() if blob.name not in used]
        for blob in unused:
            blob.unlink(missing_ok=True)
        unpacked = list(self.contexts.iterdir())
        for folder in unpacked:
            shutil.rmtree(folder, ignore_errors=True)
        return len(unused) + len(unpacked)

    def blob(self, digest: str) -> Path:
        """Give the file that holds the content with this SHA-256."""
        return self.blobs / digest

    def draft(self) -> Draft:
        """Begin a content that is still coming."""
        return Draft(self.blobs)

    def put_blob(self, content: bytes | Draft) -> str:
        """Keep a file's content; give its SHA-256."""
        return keep(self.blobs, content)


class Users(Objects):
    """Objects that name and use each other."""

    def _user(self, field: str, id: str) -> str | None:  # noqa: A002
        """Give the name of an application that has this id in the field; None when there is none."""
        row = self._db.execute(
            f"SELECT name FROM object WHERE kind = 'application' AND json_extract(body, '$.{field}') = ?",  # noqa: S608
            (id,),
        ).fetchone()
        return None if row is None else str(row[0])

    def _free_name(self, kind: str, name: str, what: str, *, but: str = "") -> None:
        if any(found["id"] != but for found in self.find(kind, name=name)[0]):
            raise Conflict(f"{what} name {name!r} is already in use.")

    def _existing(self, kind: str, id: str, field: str) -> Body:  # noqa: A002
        try:
            return self.get(kind, id)
        except NotFound:
            raise Invalid(f"{field} {id} does not exist.", {field: "does not exist"}) from None

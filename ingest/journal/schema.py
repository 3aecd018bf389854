"""The journal's file: SQLite (WAL, durable commits), 0600 in a folder of 0700.

An observation is `pending` from its commit, and `delivered` when the service has confirmed it. A
value that the service refuses becomes a row of its own, `rejected`. See `docs/operating.md`.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from ingest.errors import JournalError
from ingest.journal.damage import journal_errors

# "WxJr": tells our file from another program's.
APPLICATION_ID = 0x57784A72
SCHEMA_VERSION = 4

# How long another program may hold the file before the run goes on without it.
BUSY_TIMEOUT_S = 0.5

# One list of statements a version: those at index n lead from version n to n + 1.
_MIGRATIONS = (
    (
        """
        CREATE TABLE observation (
            id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of delivery
            target TEXT NOT NULL,                  -- where it goes: Destination.target
            place TEXT NOT NULL,                   -- as configured
            latitude TEXT NOT NULL,                -- as configured, '' if it is not
            longitude TEXT NOT NULL,
            city TEXT NOT NULL,
            country TEXT NOT NULL,
            city_id INTEGER NOT NULL,
            time_ms INTEGER NOT NULL,
            version INTEGER NOT NULL,
            measures TEXT NOT NULL,                -- JSON: name -> text of the value
            state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'rejected')),
            attempts INTEGER NOT NULL DEFAULT 0,
            reason TEXT NOT NULL DEFAULT '',       -- of the rejection
            existing_version INTEGER,              -- of the record that was there already
            changed_ms INTEGER NOT NULL            -- when it came into this state
        ) STRICT
        """,
        """
        CREATE INDEX observation_pending ON observation (target, id) WHERE state = 'pending'
        """,
        "CREATE INDEX observation_rejected ON observation (id) WHERE state = 'rejected'",
        """
        CREATE INDEX observation_delivered ON observation (changed_ms) WHERE state = 'delivered'
        """,
        """
        CREATE TABLE place (                       -- the last observation of each place
            target TEXT NOT NULL,
            place TEXT NOT NULL,
            time_ms INTEGER NOT NULL DEFAULT 0,    -- 0: polled, and never answered
            version INTEGER NOT NULL DEFAULT 0,
            measures TEXT NOT NULL DEFAULT '',
            asked_ms INTEGER NOT NULL DEFAULT 0,   -- in a run of more places than one
            PRIMARY KEY (target, place)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE call (                        -- weather requests of the last minute
            second INTEGER PRIMARY KEY,            -- epoch
            calls INTEGER NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE run (                         -- how the last runs ended
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            target TEXT NOT NULL,
            ended_ms INTEGER NOT NULL,
            status INTEGER NOT NULL,
            summary TEXT NOT NULL                  -- JSON: the counts of --json
        ) STRICT
        """,
    ),
    (
        # 0 standard, 1 metric, 2 imperial; NULL if that is not known
        "ALTER TABLE observation ADD COLUMN units INTEGER",
        # of the place's clocks, seconds east of UTC; NULL if that is not known
        "ALTER TABLE observation ADD COLUMN utc_offset_s INTEGER",
    ),
    (
        # of a rejection, one of `destination.Kind`
        "ALTER TABLE observation ADD COLUMN kind TEXT NOT NULL DEFAULT ''",
        """
        UPDATE observation SET kind = CASE      -- as the writer decides it from now on
            WHEN reason LIKE '%memory store%' OR reason LIKE '%ingestion window%'
                OR reason LIKE '%outside the time range%'
                THEN CASE WHEN time_ms > changed_ms THEN 'in_future' ELSE 'too_old' END
            WHEN existing_version IS NOT NULL OR reason LIKE '%version%' THEN 'older_version'
            ELSE 'record' END
        WHERE state = 'rejected'
        """,
    ),
    (
        """
        CREATE TABLE said (                        -- warnings of the last day
            cause TEXT NOT NULL PRIMARY KEY,
            said_ms INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)


class JournalFile:
    """An open file. Every method raises JournalError if the file is unusable.

    target: where a run's observations go; those for other targets are left alone.
    read_only: the file must exist, and neither it nor its -wal and -shm are changed.
    """

    def __init__(self, path: Path, target: str = "", *, read_only: bool = False) -> None:
        self.path = path
        self.target = target
        with journal_errors(path):
            self.db = _connect(path, read_only=read_only)
            try:
                _prepare(self.db, path, read_only=read_only)
            except BaseException:
                self.db.close()
                raise

    def rows(self, sql: str, *values: object) -> list[Any]:
        with journal_errors(self.path):
            return self.db.execute(sql, values).fetchall()

    def value(self, sql: str, *values: object) -> Any:  # noqa: ANN401  (one cell)
        """The first cell of the first row."""
        return self.rows(sql, *values)[0][0]

    def last_of(self, places: Sequence[str], columns: str) -> dict[str, list[Any]]:
        """Place -> these columns of its last observation for the target, if there was one."""
        rows = self.rows(
            f"SELECT place, {columns} FROM place "  # noqa: S608  (names of columns)
            "WHERE target = ? AND place IN (SELECT value FROM json_each(?))",
            self.target,
            json.dumps(places),
        )
        return {place: values for place, *values in rows}

    def reading(self) -> AbstractContextManager[None]:
        """To read rows that another program may have written."""
        return journal_errors(self.path)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All of it or nothing. durable: it survives a power cut, not only this process."""
        with journal_errors(self.path):
            try:
                # FULL: a commit is on the disk when it returns, also in WAL mode.
                self.db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self.db.execute("BEGIN IMMEDIATE")
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Not needed for what is committed."""
        with suppress(sqlite3.Error):
            self.db.close()


def make_folder(path: Path) -> None:
    """The file's folder, 0700 if it has to be made."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        make_folder(path)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(
        _read_only_uri(path) if read_only else path,
        uri=read_only,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _read_only_uri(path: Path) -> str:
    """SQLite makes -wal and -shm files for a reader, too, unless it is told that the file is
    immutable (as good as true while no writer has made a -wal) or the -shm read-only."""
    wal, shm = (path.with_name(path.name + ending) for ending in ("-wal", "-shm"))
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if not wal.exists() or not wal.stat().st_size:
        return f"{uri}&immutable=1"
    return f"{uri}&readonly_shm=1" if shm.exists() else uri


def _prepare(db: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    """Check whose file it is, and bring its schema up to date."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != APPLICATION_ID and (application_id or version or tables):
        raise JournalError(
            f"The journal {path} is another program's SQLite file. It was not changed.",
            "Set WEATHER_JOURNAL to a path of its own.",
        )
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"The journal {path} was made by a newer version of this program (schema {version}, "
            f"this one knows {SCHEMA_VERSION}).",
            "Install the newer one, or set WEATHER_JOURNAL to another path.",
        )
    db.execute("PRAGMA trusted_schema = OFF")
    if version < SCHEMA_VERSION and read_only:
        raise JournalError(
            f"The journal {path} was made by an older version of this program (schema {version}).",
            "The next run brings it up to date.",
        )
    if version < SCHEMA_VERSION:
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        _migrate(db)


def _migrate(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    (version,) = db.execute("PRAGMA user_version").fetchone()  # another process may have been first
    for statements in _MIGRATIONS[version:]:
        for statement in statements:
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")

"""The journal: every observation from before it is first sent until it is known to be stored.

An SQLite file (WAL, durable commits), 0600 in a folder of 0700. An observation is `pending` from
its commit, `delivered` when the service has confirmed it, and a record that the service refuses is
set aside as `rejected`, one row a record, until a person decides. `docs/operating.md` has more.
"""

import json
import os
import sqlite3
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ingest.deadline import epoch_ms
from ingest.errors import JournalError
from ingest.observation import DAY_S, MEASURES, Observation, Place, iso_time, place_key

# "WxJr": tells our file from another program's.
APPLICATION_ID = 0x57784A72
SCHEMA_VERSION = 2

# How long another program may hold the file before the run goes on without it.
BUSY_TIMEOUT_S = 0.5

# Delivered observations to prune in one run, at the least; twice what it added, where that is more.
PRUNE_AT_LEAST = 1000

# Runs whose ends are remembered.
RUNS_KEPT = 1000

# One list of statements a version: those at index n lead from version n to n + 1.
_MIGRATIONS = (
    (
        """
        CREATE TABLE observation (
            id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of delivery
            target TEXT NOT NULL,                  -- region/database.table
            place TEXT NOT NULL,                   -- as configured
            latitude TEXT NOT NULL,                -- as configured, '' where it is not
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
            time_ms INTEGER NOT NULL DEFAULT 0,    -- 0: it was asked for, and never answered
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
        # 0 standard, 1 metric, 2 imperial; NULL where that is not known
        "ALTER TABLE observation ADD COLUMN units INTEGER",
        # of the place's clocks, seconds east of UTC; NULL where that is not known
        "ALTER TABLE observation ADD COLUMN utc_offset_s INTEGER",
    ),
)

# WriteRecords' type of a version is a signed 64-bit integer; ours are epoch milliseconds.
HIGHEST_VERSION = 2**63 - 1
HIGHEST_OWN_VERSION = 2**62

# As they are kept: a code takes a byte or none, and there is one in every row.
_UNITS_CODES = {"": None, "standard": 0, "metric": 1, "imperial": 2}
_UNITS = {code: units for units, code in _UNITS_CODES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """An observation with its number in the journal."""

    id: int
    observation: Observation


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """One record that was refused; id is its own row's, or its observation's when it is new."""

    id: int
    measure: str
    reason: str
    existing_version: int | None


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """A rejected record as it is kept: the observation holds that one measure."""

    id: int
    target: str
    observation: Observation
    reason: str
    existing_version: int | None
    attempts: int
    rejected_ms: int

    def version_to_retry(self, now_ms: int) -> int:
        """The same version, unless that is why it was rejected: then one that wins."""
        if self.existing_version is None and "version" not in self.reason.lower():
            return self.observation.version
        return max(now_ms, self.observation.version + 1, (self.existing_version or 0) + 1)


@dataclass(slots=True)
class Retried:
    """What became of rejected records that were to be written again."""

    pending: int = 0
    superseded: int = 0  # dropped, for a later value has followed
    unbeatable: int = 0  # left, for Timestream has them with the highest version there is


@dataclass(frozen=True, slots=True)
class Kept:
    """An observation that was delivered, or is pending still."""

    target: str
    observation: Observation
    pending: bool


@dataclass(frozen=True, slots=True)
class PastRun:
    """How a run ended; summary: the counts that --json prints."""

    target: str
    ended_ms: int
    status: int
    summary: dict[str, Any]


class Journal:
    """The SQLite file. Raises JournalError from every method when the file is unusable.

    target: where its observations go; those for other targets are left alone.
    read_only: the file has to be there, and neither it nor what lies beside it is changed.
    """

    def __init__(self, path: Path, target: str, *, read_only: bool = False) -> None:
        self.path = path
        self.last_id = 0  # of the observation that was added last
        self.target = target
        with journal_errors(path):
            self._db = _connect_read_only(path) if read_only else _connect(path)
            try:
                _prepare(self._db, path, read_only=read_only)
            except BaseException:
                self._db.close()
                raise

    def add(self, observations: Sequence[Observation], now_ms: int) -> int:
        """Commit those that are new as pending; return how many are.

        One that equals the last of its place, in time and values, is not new. A version is the
        time of the fetch, but always higher than the last one of its place, whatever the clock did.
        """
        added = 0
        versions: dict[object, int] = {}
        with journal_errors(self.path), self._transaction():
            for observation in observations:
                added += self._add(observation, now_ms, versions)
        return added

    def _add(self, observation: Observation, now_ms: int, versions: dict[object, int]) -> bool:
        """versions: of what was added with it, by `Observation.series`. Two places can be one city
        to Timestream, and their replies come in the same millisecond."""
        place = observation.place.name
        measures = _dump(observation.values)
        last = self._db.execute(
            "SELECT time_ms, measures, version FROM place WHERE target = ? AND place = ?",
            (self.target, place),
        ).fetchone()
        if last and last[:2] == (observation.time_ms, measures):
            return False
        lowest = max(last[2] if last else 0, versions.get(observation.series, 0)) + 1
        if observation.version < lowest:
            observation = replace(observation, version=lowest)
        versions[observation.series] = observation.version
        self.last_id = self._insert(observation, "pending", now_ms, measures=measures)
        self._db.execute(
            "INSERT INTO place (target, place, time_ms, version, measures) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET time_ms = excluded.time_ms, version = excluded.version, "
            "measures = excluded.measures",
            (self.target, place, observation.time_ms, observation.version, measures),
        )
        return True

    def _insert(
        self,
        observation: Observation,
        state: str,
        now_ms: int,
        *,
        measures: str = "",
        attempts: int = 0,
        reason: str = "",
        existing_version: int | None = None,
    ) -> int:
        """Insert a row; returns its number."""
        latitude, longitude = observation.place.coordinates or ("", "")
        cursor = self._db.execute(
            "INSERT INTO observation (target, place, latitude, longitude, city, country, city_id, "
            "time_ms, version, measures, units, utc_offset_s, state, attempts, reason, "
            "existing_version, changed_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.target,
                observation.place.name,
                latitude,
                longitude,
                observation.city,
                observation.country,
                observation.city_id,
                observation.time_ms,
                observation.version,
                measures or _dump(observation.values),
                _UNITS_CODES[observation.units],
                observation.utc_offset_s,
                state,
                attempts,
                reason,
                existing_version,
                now_ms,
            ),
        )
        return cursor.lastrowid or 0

    def pending(self, after: int, limit: int) -> list[Entry]:
        """The first pending entries for the target with a higher number, oldest first."""
        with journal_errors(self.path):
            rows = self._db.execute(
                f"SELECT id, {_COLUMNS} FROM observation "  # noqa: S608  (names of columns)
                "WHERE state = 'pending' AND target = ? AND id > ? ORDER BY id LIMIT ?",
                (self.target, after, limit),
            ).fetchall()
            return [Entry(row[0], _observation(row[1:])) for row in rows]

    def settle(
        self, delivered: Iterable[Entry], rejected: Sequence[RejectedRecord], now_ms: int
    ) -> None:
        """Commit what the service has confirmed, and what it has refused.

        delivered: entries of which every record was stored or refused.
        """
        by_entry: dict[int, list[RejectedRecord]] = {}
        for record in rejected:
            by_entry.setdefault(record.id, []).append(record)
        with journal_errors(self.path), self._transaction():
            for entry in delivered:
                if entry.id in by_entry:
                    self._set_aside(entry, by_entry[entry.id], now_ms)
                else:
                    self._db.execute(
                        "UPDATE observation SET state = 'delivered', attempts = attempts + 1, "
                        "reason = '', changed_ms = ? WHERE id = ?",
                        (now_ms, entry.id),
                    )

    def _set_aside(self, entry: Entry, rejected: list[RejectedRecord], now_ms: int) -> None:
        """Give each refused record a row of its own; the rest of the observation is delivered."""
        # No row where the journal was begun anew since the entry was read.
        (attempts,) = self._db.execute(
            "SELECT attempts + 1 FROM observation WHERE id = ?", (entry.id,)
        ).fetchone() or (1,)
        stored = dict(entry.observation.values)
        for record in rejected:
            alone = replace(entry.observation, values={record.measure: stored.pop(record.measure)})
            self._insert(
                alone,
                "rejected",
                now_ms,
                attempts=attempts,
                reason=record.reason,
                existing_version=record.existing_version,
            )
        self._db.execute("DELETE FROM observation WHERE id = ?", (entry.id,))
        if stored:
            alone = replace(entry.observation, values=stored)
            self._insert(alone, "delivered", now_ms, attempts=attempts)

    def failed(self, entries: Iterable[Entry], reason: str) -> None:
        """Remember an attempt that brought nothing, and why."""
        with journal_errors(self.path), self._transaction():
            self._db.executemany(
                "UPDATE observation SET attempts = attempts + 1, reason = ? WHERE id = ?",
                [(reason, entry.id) for entry in entries],
            )

    def begin_after(self, number: int) -> None:
        """Give a new journal's entries higher numbers than those of the one that it replaces."""
        with journal_errors(self.path), self._transaction():
            self._db.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES ('observation', ?)", (number,)
            )

    def count_pending(self) -> int:
        with journal_errors(self.path):
            (count,) = self._db.execute(
                "SELECT count(*) FROM observation WHERE state = 'pending' AND target = ?",
                (self.target,),
            ).fetchone()
        return int(count)

    def pending_elsewhere(self, since_ms: int = 0) -> dict[str, int]:
        """target -> pending observations, for the targets that this run does not deliver to, and of
        which one at least was journalled since then."""
        with journal_errors(self.path):
            rows = self._db.execute(
                "SELECT target, count(*) FROM observation WHERE state = 'pending' GROUP BY target "
                "HAVING max(changed_ms) >= ?",
                (since_ms,),
            ).fetchall()
        return {target: count for target, count in rows if target != self.target}

    def prune(self, before_ms: int, added: int) -> None:
        """Forget the oldest observations delivered before that time; bounded, so that a run after
        years of a longer WEATHER_JOURNAL_DAYS takes no longer than any other."""
        with journal_errors(self.path), self._transaction():
            self._db.execute(
                "DELETE FROM observation WHERE id IN (SELECT id FROM observation "
                "WHERE state = 'delivered' AND changed_ms < ? ORDER BY changed_ms LIMIT ?)",
                (before_ms, max(PRUNE_AT_LEAST, 2 * added)),
            )

    def end_run(self, status: int, summary: str, now_ms: int) -> None:
        """Remember how a run ended. Survives this process, not a power cut."""
        with journal_errors(self.path), self._not_durable(), self._transaction():
            self._db.execute(
                "INSERT INTO run (target, ended_ms, status, summary) VALUES (?, ?, ?, ?)",
                (self.target, now_ms, status, summary),
            )
            self._db.execute(
                "DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - ?", (RUNS_KEPT,)
            )

    def runs(self, limit: int) -> list[PastRun]:
        """The last runs of all targets, the latest first."""
        with journal_errors(self.path):
            rows = self._db.execute(
                "SELECT target, ended_ms, status, summary FROM run ORDER BY id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [PastRun(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    def last_delivered_ms(self) -> int:
        """When an observation for the target was last known to be stored; 0: none is kept."""
        with journal_errors(self.path):
            (last,) = self._db.execute(
                "SELECT coalesce(max(changed_ms), 0) FROM observation "
                "WHERE state = 'delivered' AND target = ?",
                (self.target,),
            ).fetchone()
        return int(last)

    def oldest_pending_ms(self) -> int:
        """The time of the oldest observation that is pending for the target; 0: none is."""
        with journal_errors(self.path):
            (oldest,) = self._db.execute(
                "SELECT coalesce(min(time_ms), 0) FROM observation "
                "WHERE state = 'pending' AND target = ?",
                (self.target,),
            ).fetchone()
        return int(oldest)

    def is_sound(self, within_s: float) -> bool | None:
        """Whether SQLite finds no damage in the file; None where it takes longer than that."""
        give_up_at = time.monotonic() + within_s
        self._db.set_progress_handler(lambda: time.monotonic() > give_up_at, 10_000)
        try:
            with journal_errors(self.path):
                (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
                return str(found) == "ok"
        except JournalError as error:
            if getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
                return None
            raise
        finally:
            self._db.set_progress_handler(None, 0)

    def kept(self, since_ms: int) -> list[Kept]:
        """What was observed since then for all targets, delivered or pending, oldest first."""
        # Nothing is delivered long before it was observed, so the index on changed_ms serves; an
        # hour for clocks that disagree.
        return self._kept(
            "((state = 'delivered' AND changed_ms >= ?1 - 3600000) OR state = 'pending') "
            "AND time_ms >= ?1",
            since_ms,
        )

    def latest(self) -> list[Kept]:
        """Of each place the last that was observed, delivered or pending, for all targets; more
        than one where a record of it took a way of its own."""
        return self._kept(
            "state <> 'rejected' AND (place, time_ms) IN (SELECT place, max(time_ms) "
            "FROM observation WHERE state <> 'rejected' GROUP BY place)"
        )

    def _kept(self, condition: str, *values: int) -> list[Kept]:
        with journal_errors(self.path):
            rows = self._db.execute(
                f"SELECT target, state, {_COLUMNS} FROM observation WHERE {condition} "  # noqa: S608
                "ORDER BY time_ms, version, id",
                values,
            ).fetchall()
            return [Kept(row[0], _observation(row[2:]), row[1] == "pending") for row in rows]

    def rejected(
        self, places: Sequence[str] = (), measure: str = "", before_ms: int | None = None
    ) -> list[RejectedEntry]:
        """Rejected records of all targets, oldest first, narrowed by what is given.

        places: as configured, or cities, however they are written. before_ms: observed before that
        time.
        """
        with journal_errors(self.path):
            rows = self._db.execute(
                f"SELECT id, target, reason, existing_version, attempts, changed_ms, {_COLUMNS} "  # noqa: S608
                "FROM observation WHERE state = 'rejected' AND time_ms < ? ORDER BY id",
                (before_ms if before_ms is not None else 2**62,),
            ).fetchall()
            entries = [
                RejectedEntry(
                    id=row[0],
                    target=row[1],
                    observation=_observation(row[6:]),
                    reason=row[2],
                    existing_version=row[3],
                    attempts=row[4],
                    rejected_ms=row[5],
                )
                for row in rows
            ]
        wanted = {place_key(place) for place in places}
        return [
            entry
            for entry in entries
            if measure in ("", *entry.observation.values)
            and (not wanted or wanted & entry.observation.place_keys)
        ]

    def retry(self, entries: Iterable[RejectedEntry], now_ms: int) -> Retried:
        """Put rejected records back as pending. One that a later value of the same measure and time
        has followed is dropped: it would overwrite that. One against which no version can win is
        left where it is."""
        done = Retried()
        with journal_errors(self.path), self._transaction():
            # Before anything is put back: that would supersede what comes after it.
            for entry, is_superseded in [(each, self._is_superseded(each)) for each in entries]:
                version = entry.version_to_retry(now_ms)
                if is_superseded:
                    self._db.execute("DELETE FROM observation WHERE id = ?", (entry.id,))
                    done.superseded += 1
                    continue
                if version > HIGHEST_VERSION:
                    done.unbeatable += 1
                    continue
                done.pending += 1
                if version != entry.observation.version:
                    version = max(version, self._last_version(entry) + 1)
                self._db.execute(
                    "UPDATE observation SET state = 'pending', version = ?, reason = '', "
                    "existing_version = NULL, changed_ms = ? WHERE id = ?",
                    (version, now_ms, entry.id),
                )
                # A version of another program may leave none above it: that is not carried on.
                if version <= HIGHEST_OWN_VERSION:
                    self._db.execute(
                        "UPDATE place SET version = max(version, ?) WHERE target = ? AND place = ?",
                        (version, entry.target, entry.observation.place.name),
                    )
        return done

    def _is_superseded(self, entry: RejectedEntry) -> bool:
        """A later value of it was fetched, and is delivered or will be."""
        seen = entry.observation
        (measure,) = seen.values
        latitude, longitude = seen.place.coordinates or ("", "")
        row = self._db.execute(
            "SELECT 1 FROM observation WHERE target = ? AND time_ms = ? AND version > ? "
            "AND city = ? AND country = ? AND city_id = ? AND latitude = ? AND longitude = ? "
            # As in `kept`: this leaves SQLite an index to use.
            "AND (state = 'pending' OR (state = 'delivered' AND changed_ms >= ? - 3600000)) "
            "AND EXISTS (SELECT 1 FROM json_each(measures) WHERE key = ?)",
            (
                entry.target,
                seen.time_ms,
                seen.version,
                seen.city,
                seen.country,
                seen.city_id,
                latitude,
                longitude,
                seen.time_ms,
                measure,
            ),
        ).fetchone()
        return row is not None

    def _last_version(self, entry: RejectedEntry) -> int:
        row = self._db.execute(
            "SELECT version FROM place WHERE target = ? AND place = ?",
            (entry.target, entry.observation.place.name),
        ).fetchone()
        return int(row[0]) if row else 0

    def discard(self, entries: Iterable[RejectedEntry]) -> None:
        with journal_errors(self.path), self._transaction():
            self._db.executemany(
                "DELETE FROM observation WHERE id = ?", [(entry.id,) for entry in entries]
            )

    def asked(self, places: Iterable[str]) -> "array[int]":
        """When each place was last asked for, epoch milliseconds; 0: never. As an array, for they
        may be many."""
        times = array("q")
        with journal_errors(self.path):
            for place in places:
                row = self._db.execute(
                    "SELECT asked_ms FROM place WHERE target = ? AND place = ?",
                    (self.target, place),
                ).fetchone()
                times.append(row[0] if row else 0)
        return times

    def mark_asked(self, places: Iterable[str], now_ms: int) -> None:
        """Remember that these places were asked for. Survives this process, not a power cut."""
        with journal_errors(self.path), self._not_durable(), self._transaction():
            self._db.executemany(
                "INSERT INTO place (target, place, asked_ms) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET asked_ms = excluded.asked_ms",
                [(self.target, place, now_ms) for place in places],
            )

    def calls(self) -> dict[int, int]:
        """Epoch second -> weather requests in it, for the last minute or more."""
        with journal_errors(self.path):
            return dict(self._db.execute("SELECT second, calls FROM call").fetchall())

    def keep_calls(self, calls: dict[int, int]) -> None:
        """Put these in the place of what was kept. Survives this process, not a power cut."""
        with journal_errors(self.path), self._not_durable(), self._transaction():
            self._db.execute("DELETE FROM call")
            self._db.executemany("INSERT INTO call (second, calls) VALUES (?, ?)", calls.items())

    @contextmanager
    def _not_durable(self) -> Iterator[None]:
        """Spare the disk: what is committed here is of no use once the machine has started anew."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Close the file; what is committed is safe without it."""
        with suppress(sqlite3.Error):
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


_COLUMNS = (
    "place, latitude, longitude, city, country, city_id, time_ms, version, measures, units, "
    "utc_offset_s"
)
_Row = tuple[str, str, str, str, str, int, int, int, str, int | None, int | None]


def _observation(row: _Row) -> Observation:
    place, latitude, longitude, city, country, city_id = row[:6]
    time_ms, version, measures, units, utc_offset_s = row[6:]
    if units not in _UNITS or abs(utc_offset_s or 0) >= DAY_S:
        raise _UnreadableRowError(f"a row has units {units} and UTC offset {utc_offset_s} s")
    coordinates = (latitude, longitude) if latitude else ()
    return Observation(
        Place(place, (), coordinates=coordinates),
        city,
        country,
        city_id,
        time_ms,
        version,
        _load(measures),
        _UNITS[units],
        utc_offset_s,
    )


def _load(measures: str) -> dict[str, str]:
    values: dict[str, str] | None = None
    with suppress(ValueError):
        values = json.loads(measures)
    if not isinstance(values, dict) or not values.keys() <= MEASURES.keys():
        raise _UnreadableRowError(f"a row holds {measures[:40]!r}, which are no measures")
    return values


_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def make_folder(path: Path) -> None:
    """The file's folder, 0700 where it has to be made."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    make_folder(path)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """SQLite makes -wal and -shm files for a reader, too, unless it is told that the file is
    immutable (as good as true while no writer has begun a -wal) or the -shm read-only."""
    wal, shm = (path.with_name(path.name + ending) for ending in ("-wal", "-shm"))
    how = "mode=ro"
    if not wal.exists() or not wal.stat().st_size:
        how += "&immutable=1"
    elif shm.exists():
        how += "&readonly_shm=1"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _prepare(db: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    """Check whose file it is, and bring its schema up to date."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id != APPLICATION_ID and (application_id or version or tables):
        raise JournalError(
            f"The journal {path} is another program's SQLite file, and was left alone. "
            "Set WEATHER_JOURNAL to a path of its own."
        )
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"The journal {path} was made by a newer version of this program (schema {version}, "
            f"this one knows {SCHEMA_VERSION}). Install the newer one, or set WEATHER_JOURNAL to "
            "another path."
        )
    # Durable: a commit is on the disk when it returns, also in WAL mode.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA trusted_schema = OFF")
    if version < SCHEMA_VERSION and read_only:
        raise JournalError(
            f"The journal {path} was made by an older version of this program (schema {version}). "
            "The next run brings it up to date."
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


class _UnreadableRowError(Exception):
    """A row that this program has not written."""


@contextmanager
def journal_errors(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as JournalError, with what to do next."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if "decode to UTF-8" in str(error):  # raised by Python's module, which has no name for it
            name = "SQLITE_CORRUPT"
        if str(error).startswith("no such "):  # of table or column: the schema is not what it says
            name = "SQLITE_CORRUPT"
        corrupt = name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
        raise JournalError(
            f"The journal {path}: {error}. {_help(name)}", corrupt=corrupt
        ) from error
    except _UnreadableRowError as error:
        damage = f"The journal {path}: {error}. {_help('SQLITE_CORRUPT')}"
        raise JournalError(damage, corrupt=True) from error
    except OSError as error:
        raise JournalError(f"The journal {path}: {error.strerror}. {_help('')}") from error


def _help(name: str) -> str:
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return "Free space on its disk, or set WEATHER_JOURNAL to a path on another one."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "Another program holds the file open; close it."
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "The file is damaged."
    return "Let this user write to its folder, or set WEATHER_JOURNAL to a path where it may."


def open_journal(path: Path, target: str) -> tuple[Journal, JournalError | None]:
    """The journal, begun anew where the file is damaged; then also what to tell about it.

    The damaged file is renamed, never deleted. Raises JournalError where there can be no journal.
    """
    try:
        return Journal(path, target), None
    except JournalError as error:
        if not error.corrupt:
            raise
        story = set_aside(path, error)
        return Journal(path, target), story


def set_aside(path: Path, error: JournalError) -> JournalError:
    """Rename a damaged journal; returns what to tell about it."""
    name = f"{path.name}.corrupt-{iso_time(epoch_ms())}"
    with journal_errors(path):
        aside, number = path.with_name(name), 1
        while aside.exists():  # a rename would replace it
            aside, number = path.with_name(f"{name}-{number}"), number + 1
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
    return JournalError(
        f"{error} It was set aside as {aside}, and a new journal was begun. What was pending in it "
        f"can be looked for with: sqlite3 {aside} .recover"
    )

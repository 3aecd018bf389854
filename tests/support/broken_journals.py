"""Statements that fail, and a run that must lose nothing by it."""

import json
import sqlite3
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from sqlite3 import connect
from typing import Any, Literal, NamedTuple

import pytest

from ingest.errors import JournalError
from ingest.journal.fallback import RunJournal
from ingest.journal.queue import FIRST_IN_MEMORY, Entry
from ingest.places import Place
from tests.support.journals import MINUTE_MS, PARIS, T0_MS, TARGET, query, rejection, series

# SQLite's text and name of each kind of error.
USABLE = {
    "full disk": ("database or disk is full", "SQLITE_FULL"),
    "disk error": ("disk I/O error", "SQLITE_IOERR_WRITE"),
    "locked": ("database is locked", "SQLITE_BUSY"),
    "read-only": ("attempt to write a readonly database", "SQLITE_READONLY"),
}
DAMAGED = {
    "malformed": ("database disk image is malformed", "SQLITE_CORRUPT"),
    "not a database": ("file is not a database", "SQLITE_NOTADB"),
    "no table": ("no such table: observation", "SQLITE_ERROR"),
    "no UTF-8": ("Could not decode to UTF-8 column 'place' with text '\\xff'", ""),
}
ERRORS = {**USABLE, **DAMAGED}
Lasting = Literal["once", "one file", "for good"]


class Faults:
    """Makes statements fail on connections that are opened from now on.

    Nothing is flushed to the disk: that takes nearly all the time, and nobody cuts the power.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._error: tuple[str, str] = ("", "")
        self._lasting = "once"
        self._left = self._again = 0  # statements until one fails; 0: none will
        self._broken: sqlite3.Connection | None = None
        self.met = 0  # statements that failed
        faults = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                faults._before_statement(self)
                return super().execute(
                    sql.replace("synchronous = FULL", "synchronous = OFF"), *args
                )

            def executemany(self, *args: Any) -> sqlite3.Cursor:
                faults._before_statement(self)
                return super().executemany(*args)

        def connect_breakable(*args: Any, **options: Any) -> sqlite3.Connection:
            return connect(*args, factory=Connection, **options)

        monkeypatch.setattr(sqlite3, "connect", connect_breakable)

    def arm(
        self, text: str, name: str, at: int = 1, lasting: Lasting = "once", again: int = 0
    ) -> None:
        """Raise SQLite's error of that text and name instead of a statement: 1 for the next.

        lasting: after it, that statement alone failed, all of its connection do, or all that come.
        again: so many statements later one more fails.
        """
        self._error, self._lasting = (text, name), lasting
        self._left, self._again, self._broken, self.met = at, again, None, 0

    def disarm(self) -> None:
        self._left, self._again, self._broken = 0, 0, None

    def _before_statement(self, connection: sqlite3.Connection) -> None:
        if self._left:
            self._left -= 1
            if self._left:
                return
            self._broken = connection
            self._left, self._again = self._again, 0
        elif not self._goes_on(connection):
            return
        self.met += 1
        text, name = self._error
        error = sqlite3.OperationalError(text)
        if name:
            error.sqlite_errorname = name
        raise error

    def _goes_on(self, connection: sqlite3.Connection) -> bool:
        if self._broken is None or self._lasting == "once":
            return False
        return self._lasting == "for good" or connection is self._broken


class Row(NamedTuple):
    id: int
    place: str
    time_ms: int
    version: int
    measures: str
    state: str

    @property
    def values(self) -> set[tuple[str, int, str]]:
        return {(self.place, self.time_ms, name) for name in json.loads(self.measures)}


def rows(path: Path) -> list[Row]:
    """All rows of the file; none if it is not there, or not a journal yet."""
    if not path.exists() or not query(path, "SELECT 1 FROM sqlite_schema"):
        return []
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    columns = "id, place, time_ms, version, measures, state"
    return [Row(*row) for row in query(path, f"SELECT {columns} FROM observation ORDER BY id")]


def quarantined(path: Path) -> list[Row]:
    aside = path.parent.glob("*.corrupt-*")
    return [row for each in aside if not each.name.endswith(("-wal", "-shm")) for row in rows(each)]


class Run:
    """What a run does with its journal; it remembers what it was told, and compares."""

    def __init__(self, path: Path, first_hour: int = 1) -> None:
        self.path = path
        self.left = rows(path)
        self.errors: list[JournalError] = []
        self.handed: dict[int, Entry] = {}
        self.acknowledged: set[int] = set()
        self.refused: set[tuple[str, int, str]] = set()
        self.last_read = 0
        self.released = False
        self.hours = count(first_hour)
        self.journal = RunJournal(path, TARGET, self.errors.append, lambda: T0_MS)

    @property
    def waiting(self) -> list[Entry]:
        return [entry for entry in self.handed.values() if entry.id not in self.acknowledged]

    @property
    def unread(self) -> list[Row]:
        return [row for row in self.left if row.id not in self.handed]

    def enqueue(self, place: Place, how_many: int) -> None:
        fresh = series(how_many, place, T0_MS + next(self.hours) * 60 * MINUTE_MS)
        entries = self.journal.enqueue(fresh, T0_MS)
        assert [entry.observation for entry in entries] == fresh
        self.take(entries)

    def read(self, limit: int) -> None:
        page = self.journal.backlog(self.last_read, limit)
        self.last_read = page[-1].id if page else self.last_read
        self.take(page)

    def take(self, entries: Sequence[Entry]) -> None:
        numbers = {entry.id for entry in entries}
        assert len(numbers) == len(entries)
        assert not self.handed.keys() & numbers, "a number is given twice"
        self.handed.update((entry.id, entry) for entry in entries)

    def acknowledge(self, first: int, how_many: int, *measures: str) -> None:
        """measures: of each of them that were refused."""
        done = self.waiting[first : first + how_many]
        refused = {each.id: [rejection(each, name) for name in measures] for each in done}
        self.journal.acknowledge(done, refused if measures else {}, T0_MS)
        self.acknowledged |= refused.keys()
        for each in done:
            if each.id < FIRST_IN_MEMORY:
                seen = each.observation
                self.refused |= {(seen.place.name, seen.time_ms, name) for name in measures}

    def note_failure(self, how_many: int) -> None:
        self.journal.note_failure(self.waiting[:how_many], "throttled")

    def release(self) -> None:
        self.released = True
        self.journal.release()

    def count(self) -> None:
        pending, waiting = self.journal.count_pending(), len(self.waiting)
        if not self.released:  # the file's, or without one what is in hand
            assert pending in (waiting, waiting + len(self.unread))
            assert self.journal.count_in_hand() == waiting
        assert self.journal.count_unsaved() <= waiting

    def do_the_rest(self) -> None:
        assert len(self.journal.last_polled(["London,GB", "Paris,FR"])) == 2
        self.journal.calls()
        self.journal.mark_polled(["London,GB"], T0_MS)
        self.journal.keep_calls({1: 1})
        self.journal.pending_elsewhere(0)
        self.journal.prune(0, 1)
        self.journal.end_run(0, "{}", T0_MS)

    def check(self) -> None:
        """What must hold, however the file broke."""
        now, aside = rows(self.path), quarantined(self.path)
        self.count()
        pending = {row[:4] for row in now if row.state == "pending"}
        unsaved = [entry for entry in self.waiting if self.row_of(entry) not in pending]
        if self.released:  # most of what the file had was no longer kept in hand
            unsaved = [each for each in unsaved if each.id >= FIRST_IN_MEMORY]
            assert len(unsaved) <= self.journal.count_unsaved()
        else:
            assert len(unsaved) == self.journal.count_unsaved(), "lost"
        held = pending | {row[:4] for row in aside}
        assert all(self.row_of(each) in held for each in self.waiting if each not in unsaved)
        assert all(row in now or row in aside for row in self.unread), "lost unread"
        found = [value for row in now for value in row.values]
        assert len(found) == len(set(found)), "doubled"
        if len(self.errors) < 2:  # a value that was refused is kept, or will be refused again
            kept = {value for row in now if row.state != "delivered" for value in row.values}
            kept |= {value for row in aside if row.state == "rejected" for value in row.values}
            assert self.refused <= kept, "a rejection is lost"
        texts = [str(error) for error in self.errors]
        assert len(set(texts)) == len(texts), "told twice"
        self.check_next_run(now)

    def row_of(self, entry: Entry) -> tuple[int, str, int, int]:
        seen = entry.observation
        return (entry.id, seen.place.name, seen.time_ms, seen.version)

    def check_next_run(self, now: list[Row]) -> None:
        """It finds a journal that works, and all that is pending there."""
        self.journal.close()
        after = Run(self.path, 1000)
        after.read(1000)
        assert [*after.handed] == [row.id for row in now if row.state == "pending"]
        after.enqueue(PARIS, 1)
        assert max(after.handed) > max([0, *(row.id for row in now)])
        after.acknowledge(0, 1000, "Humidity")
        assert (after.journal.count_pending(), after.errors) == (0, [])
        after.journal.close()

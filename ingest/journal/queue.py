"""The queue of pending observations: in the journal's file, or in memory.

A run adds what it fetches and is handed the entries back; it reads from the file only what
earlier runs left there.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from ingest.destination import Rejection
from ingest.journal.rows import (
    HIGHEST_OWN_VERSION,
    INSERT,
    OBSERVATION,
    dump_measures,
    observation_of,
    row_of,
)
from ingest.journal.schema import JournalFile
from ingest.observation import Observation

# Numbers of entries in memory start here: none of a file's are as high.
FIRST_IN_MEMORY = 1 << 62


class Entry(NamedTuple):
    """An observation that is pending, with its number in the queue."""

    id: int
    observation: Observation


# Entry number -> its rejected values.
Rejections = Mapping[int, Sequence[Rejection]]


class Queue(Protocol):
    """A durable queue in the order of delivery; one suite holds for each (tests/unit)."""

    def enqueue(self, observations: Sequence[Observation], now_ms: int) -> list[Entry]:
        """Keep those that are new as pending, and return them; order kept.

        One that equals the last of its place, in time and values, is not new. Places of new ones
        count as polled now. A version is the time of the fetch, but always higher than the last
        one of its place, whatever the clock did.
        """

    def backlog(self, after: int, limit: int) -> list[Entry]:
        """The first entries with a higher number that earlier runs left, oldest first."""

    def acknowledge(self, entries: Collection[Entry], rejections: Rejections, now_ms: int) -> None:
        """Keep what the service has stored, and what it has rejected.

        entries: every value of them was stored or rejected.
        """

    def note_failure(self, entries: Collection[Entry], reason: str) -> None:
        """Remember a failed attempt, and why. The entries stay pending."""

    def count_pending(self) -> int:
        """How many are not acknowledged."""


def _with_version_above(
    observation: Observation, last: int, versions: dict[object, int]
) -> Observation:
    """last: the last version of its place. versions: series -> its last version in this call. Two
    places can be one city, and their replies come in the same millisecond."""
    series = observation.series
    lowest = max(last, versions.get(series, 0)) + 1
    if observation.version < lowest:
        observation = replace(observation, version=lowest)
    versions[series] = observation.version
    return observation


class MemoryQueue:
    """Pending entries that no file has: lost with the process."""

    def __init__(self) -> None:
        self._last_id = FIRST_IN_MEMORY
        self._pending: dict[int, Entry] = {}

    def enqueue(self, observations: Sequence[Observation], now_ms: int) -> list[Entry]:  # noqa: ARG002
        """Each is new: there is nothing to compare it with."""
        versions: dict[object, int] = {}
        entries = [
            Entry(number, _with_version_above(observation, 0, versions))
            for number, observation in enumerate(observations, self._last_id + 1)
        ]
        self._last_id += len(entries)
        self.take_over(entries)
        return entries

    def take_over(self, entries: Collection[Entry]) -> None:
        """Keep the entries of a lost file, under their numbers."""
        self._pending.update((entry.id, entry) for entry in entries)

    def backlog(self, after: int, limit: int) -> list[Entry]:  # noqa: ARG002
        return []

    def acknowledge(self, entries: Collection[Entry], rejections: Rejections, now_ms: int) -> None:  # noqa: ARG002
        for entry in entries:
            self._pending.pop(entry.id, None)

    def note_failure(self, entries: Collection[Entry], reason: str) -> None:
        pass

    def count_pending(self) -> int:
        return len(self._pending)


class FileQueue:
    """The pending rows of the file's target. Every method raises JournalError."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        # Higher numbers are of this run.
        self._last_left = file.value("SELECT coalesce(max(id), 0) FROM observation")

    def enqueue(self, observations: Sequence[Observation], now_ms: int) -> list[Entry]:
        target, entries, rows = self._file.target, [], []
        versions: dict[object, int] = {}
        with self._file.transaction():
            places = [observation.place.name for observation in observations]
            known = self._file.last_of(places, "time_ms, measures, version")
            number = self._highest_id()
            for observation in observations:
                place, measures = observation.place.name, dump_measures(observation.values)
                time_ms, last_measures, last_version = known.get(place, (0, "", 0))
                if (time_ms, last_measures) == (observation.time_ms, measures):
                    continue
                new = _with_version_above(observation, last_version, versions)
                known[place] = [new.time_ms, measures, new.version]
                number += 1
                entries.append(Entry(number, new))
                rows.append(row_of(target, number, new, "pending", now_ms, measures=measures))
            if rows:
                self._insert(rows, now_ms)
        return entries

    def _highest_id(self) -> int:
        """Also of entries that are deleted: no number is given twice."""
        highest: int = self._file.value(
            "SELECT max(coalesce(max(id), 0), coalesce((SELECT seq FROM sqlite_sequence "
            "WHERE name = 'observation'), 0)) FROM observation"
        )
        return highest

    def _insert(self, rows: Sequence[tuple[Any, ...]], now_ms: int) -> None:
        """Pending observations, with higher numbers than all there are, each the last of its
        place."""
        db = self._file.db
        db.executemany(INSERT, rows)
        # Another program's version may leave none above it: that is not carried on.
        db.execute(
            "INSERT INTO place (target, place, time_ms, version, measures, asked_ms) "
            "SELECT target, place, time_ms, version * (version <= ?), measures, ? "
            "FROM observation WHERE id >= ? ORDER BY id "
            "ON CONFLICT (target, place) DO UPDATE SET time_ms = excluded.time_ms, "
            "version = max(version, excluded.version), measures = excluded.measures, "
            "asked_ms = excluded.asked_ms",
            (HIGHEST_OWN_VERSION, now_ms, rows[0][0]),
        )

    def restore(self, entries: Collection[Entry], last_id: int, now_ms: int) -> None:
        """Keep the entries of a lost file, under their numbers.

        last_id: no other entry gets this number or a lower one.
        """
        with self._file.transaction() as db:
            db.execute("INSERT INTO sqlite_sequence VALUES ('observation', ?)", (last_id,))
            target = self._file.target
            rows = [row_of(target, *entry, "pending", now_ms) for entry in sorted(entries)]
            if rows:
                self._insert(rows, now_ms)

    def backlog(self, after: int, limit: int) -> list[Entry]:
        rows = self._file.rows(
            f"SELECT {OBSERVATION} FROM observation "  # noqa: S608  (names of columns)
            "WHERE state = 'pending' AND target = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?",
            self._file.target,
            after,
            self._last_left,
            limit,
        )
        with self._file.reading():
            return [Entry(row[0], observation_of(row)) for row in rows]

    def acknowledge(self, entries: Collection[Entry], rejections: Rejections, now_ms: int) -> None:
        stored = [entry.id for entry in entries if entry.id not in rejections]
        with self._file.transaction() as db:
            db.execute(
                "UPDATE observation SET state = 'delivered', attempts = attempts + 1, "
                "reason = '', changed_ms = ? WHERE id IN (SELECT value FROM json_each(?))",
                (now_ms, json.dumps(stored)),
            )
            for entry in entries:
                if entry.id in rejections:
                    self._reject(entry, rejections[entry.id], now_ms)

    def _reject(self, entry: Entry, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Give each refused value a row of its own; the rest of the observation is delivered."""
        db, target = self._file.db, self._file.target
        # No row if the file was replaced since the entry was read.
        (attempts,) = db.execute(
            "SELECT attempts + 1 FROM observation WHERE id = ?", (entry.id,)
        ).fetchone() or (1,)
        db.execute("DELETE FROM observation WHERE id = ?", (entry.id,))
        rows, stored = [], dict(entry.observation.values)
        for each in rejections:
            alone = replace(entry.observation, values={each.measure: stored.pop(each.measure)})
            why = (each.kind.value, each.reason, each.existing_version)
            rows.append(
                row_of(target, None, alone, "rejected", now_ms, attempts=attempts, rejection=why)
            )
        if stored:
            rest = replace(entry.observation, values=stored)
            rows.append(row_of(target, None, rest, "delivered", now_ms, attempts=attempts))
        db.executemany(INSERT, rows)

    def note_failure(self, entries: Collection[Entry], reason: str) -> None:
        with self._file.transaction() as db:
            db.executemany(
                "UPDATE observation SET attempts = attempts + 1, reason = ? WHERE id = ?",
                [(reason, entry.id) for entry in entries],
            )

    def count_pending(self) -> int:
        count: int = self._file.value(
            "SELECT count(*) FROM observation WHERE state = 'pending' AND target = ?",
            self._file.target,
        )
        return count

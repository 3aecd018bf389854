"""Values that a service rejected: kept with their reason until a person decides."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.destination import Kind
from ingest.journal.rows import HIGHEST_OWN_VERSION, HIGHEST_VERSION, OBSERVATION, observation_of
from ingest.journal.schema import JournalFile
from ingest.observation import Observation


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """A rejected value: its observation holds that one measure."""

    id: int
    target: str
    observation: Observation
    kind: str
    reason: str
    existing_version: int | None
    attempts: int
    rejected_ms: int

    def version_to_retry(self, now_ms: int) -> int:
        """The same version, or a higher one if it was rejected as older."""
        if self.kind != Kind.OLDER_VERSION:
            return self.observation.version
        return max(now_ms, self.observation.version + 1, (self.existing_version or 0) + 1)


@dataclass(slots=True)
class Retried:
    """What became of rejected values that were retried."""

    pending: int = 0
    superseded: int = 0  # deleted, because a later value has followed
    unbeatable: int = 0  # kept, because the table has them with the highest possible version


def rejected(
    file: JournalFile, places: Sequence[str] = (), measure: str = "", before_ms: int | None = None
) -> list[RejectedEntry]:
    """Rejected values of all targets, oldest first, filtered by what is given.

    places: as configured, or cities, in any spelling. before_ms: observed before then.
    """
    rows = file.rows(
        f"SELECT {OBSERVATION}, target, kind, reason, existing_version, attempts, changed_ms "  # noqa: S608
        "FROM observation WHERE state = 'rejected' AND time_ms < ? ORDER BY id",
        before_ms if before_ms is not None else 2**62,
    )
    with file.reading():
        entries = [
            RejectedEntry(row[0], row[-6], observation_of(row[:-6]), *row[-5:]) for row in rows
        ]
    measures = [measure] if measure else []
    return [entry for entry in entries if entry.observation.is_one_of(places, measures)]


def retry(file: JournalFile, entries: Iterable[RejectedEntry], now_ms: int) -> Retried:
    """Make rejected values pending again.

    One that would overwrite a later value of the same measure and time is deleted. One that would
    need a version above the highest possible is kept.
    """
    done = Retried()
    with file.transaction() as db:
        # All are decided before the first is put back, because that one would supersede others.
        for entry, is_superseded in [(each, _is_superseded(file, each)) for each in entries]:
            version = entry.version_to_retry(now_ms)
            if is_superseded:
                db.execute("DELETE FROM observation WHERE id = ?", (entry.id,))
                done.superseded += 1
            elif version > HIGHEST_VERSION:
                done.unbeatable += 1
            else:
                _put_back(file, entry, version, now_ms)
                done.pending += 1
    return done


def _put_back(file: JournalFile, entry: RejectedEntry, version: int, now_ms: int) -> None:
    place = (entry.target, entry.observation.place.name)
    if version != entry.observation.version:
        known = file.rows("SELECT version FROM place WHERE target = ? AND place = ?", *place)
        version = max(version, (known[0][0] if known else 0) + 1)
    file.db.execute(
        "UPDATE observation SET state = 'pending', version = ?, kind = '', reason = '', "
        "existing_version = NULL, changed_ms = ? WHERE id = ?",
        (version, now_ms, entry.id),
    )
    # Another program's version may be the highest possible: later ones must not build on it.
    if version <= HIGHEST_OWN_VERSION:
        file.db.execute(
            "INSERT INTO place (target, place, version) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET version = max(version, excluded.version)",
            (*place, version),
        )


def _is_superseded(file: JournalFile, entry: RejectedEntry) -> bool:
    """Whether a later value was fetched, and is delivered or pending."""
    seen = entry.observation
    rows = file.rows(
        "SELECT 1 FROM observation WHERE target = ? AND time_ms = ? AND version > ? "
        "AND city = ? AND country = ? AND city_id = ? AND latitude = ? AND longitude = ? "
        # As in `history.kept`: SQLite can use the index.
        "AND (state = 'pending' OR (state = 'delivered' AND changed_ms >= ? - 3600000)) "
        "AND EXISTS (SELECT 1 FROM json_each(measures) WHERE key = ?)",
        entry.target,
        seen.time_ms,
        seen.version,
        seen.city,
        seen.country,
        seen.city_id,
        *(seen.place.coordinates or ("", "")),
        seen.time_ms,
        *seen.values,
    )
    return bool(rows)


def discard(file: JournalFile, entries: Iterable[RejectedEntry]) -> None:
    """Delete them permanently."""
    with file.transaction() as db:
        db.executemany("DELETE FROM observation WHERE id = ?", [(entry.id,) for entry in entries])

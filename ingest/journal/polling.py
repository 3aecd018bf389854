"""When places were polled, and the weather requests of the last minute."""

from array import array
from collections.abc import Iterable, Sequence

from ingest.journal.schema import JournalFile

# Places that are looked up in one query.
AT_ONCE = 1000


def last_polled(file: JournalFile, places: Sequence[str]) -> "array[int]":
    """When each place was last polled, epoch milliseconds; 0 for never."""
    times = array("q")
    for first in range(0, len(places), AT_ONCE):
        some = places[first : first + AT_ONCE]
        known = file.last_of(some, "asked_ms")
        times.extend(known[place][0] if place in known else 0 for place in some)
    return times


def mark_polled(file: JournalFile, places: Iterable[str], now_ms: int) -> None:
    """Keep that these places were polled. Survives this process, not a power cut."""
    with file.transaction(durable=False) as db:
        db.executemany(
            "INSERT INTO place (target, place, asked_ms) VALUES (?, ?, ?) "
            "ON CONFLICT (target, place) DO UPDATE SET asked_ms = excluded.asked_ms",
            [(file.target, place, now_ms) for place in places],
        )


def calls(file: JournalFile) -> dict[int, int]:
    """Epoch second -> weather requests in it, for the last minute or more."""
    return dict(file.rows("SELECT second, calls FROM call"))


def keep_calls(file: JournalFile, made: dict[int, int]) -> None:
    """Replace what was kept. Survives this process, not a power cut."""
    with file.transaction(durable=False) as db:
        db.execute("DELETE FROM call")
        db.executemany("INSERT INTO call (second, calls) VALUES (?, ?)", made.items())

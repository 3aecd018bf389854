"""When places were polled, and the weather requests of the last minute."""

from array import array
from collections.abc import Iterable

from ingest.journal.schema import JournalFile


def last_polled(file: JournalFile, places: Iterable[str]) -> "array[int]":
    """When each place was last polled, epoch milliseconds; 0 for never."""
    times = array("q")
    with file.reading():
        for place in places:
            row = file.db.execute(
                "SELECT asked_ms FROM place WHERE target = ? AND place = ?", (file.target, place)
            ).fetchone()
            times.append(row[0] if row else 0)
    return times


def mark_polled(file: JournalFile, places: Iterable[str], now_ms: int) -> None:
    """Keep that these places were polled. Survives this process, not a power cut."""
    with file.transaction(durable=False) as db:
        db.executemany(
            "INSERT INTO place (target, place, asked_ms) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET asked_ms = excluded.asked_ms",
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

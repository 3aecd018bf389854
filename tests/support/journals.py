"""Observations to put into a journal, and a look at what it holds."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import connect
from typing import Any

from ingest.destination import Kind, Rejection
from ingest.journal.queue import Entry
from ingest.journal.schema import JournalFile
from ingest.observation import Observation
from ingest.places import Place

# Opens a journal: `file` and `target`, both with defaults.
Open = Callable[..., JournalFile]

TARGET = "us-east-1/TIMESTREAM-DEMO.london_weather_information"
LONDON = Place("London,GB", (("q", "London,GB"),), country="GB")
PARIS = Place("Paris,FR", (("q", "Paris,FR"),), country="FR")
T0_MS = 1_604_870_976_000
MINUTE_MS = 60_000

TOO_OLD = "The record timestamp is outside the time range [...) of the memory store."
SAME_VERSION = "A record already exists with the same time, dimensions and record version."


def observed(
    place: Place = LONDON, time_ms: int = T0_MS, version: int = T0_MS, **values: str
) -> Observation:
    """An observation of the place; CurrentTemp and Humidity if no values are given."""
    city, _, country = place.name.partition(",")
    values = values or {"CurrentTemp": "12.5", "Humidity": "93"}
    return Observation(place, city, country, 2643743, time_ms, version, values)


def series(count: int, place: Place = LONDON, start_ms: int = T0_MS) -> list[Observation]:
    """One observation every ten minutes, each of four measures and with a value of its own."""
    return [
        observed(
            place,
            start_ms + number * 10 * MINUTE_MS,
            start_ms + number * 10 * MINUTE_MS,
            CurrentTemp=f"{number}.25",
            TempFeelsLike=str(number - 2),
            Humidity=str(number % 100),
            Pressure=str(1000 + number % 30),
        )
        for number in range(count)
    ]


def kept(observation: Observation) -> Observation:
    """As the file gives it back: without the query of its place, which nobody asks for again."""
    place = Place(observation.place.name, (), coordinates=observation.place.coordinates)
    return replace(observation, place=place)


def rejection(
    entry: Entry,
    measure: str = "Humidity",
    kind: Kind = Kind.TOO_OLD,
    reason: str = TOO_OLD,
    existing_version: int | None = None,
) -> Rejection:
    """A service's refusal of one measure of the entry."""
    return Rejection(entry.observation, measure, kind, reason, existing_version)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal's file through a connection of the test's own, which no test breaks."""
    with closing(connect(path, isolation_level=None)) as db:
        yield db


def query(path: Path, sql: str, *values: object) -> list[Any]:
    with opened(path) as db:
        return db.execute(sql, values).fetchall()


def query_plans(file: JournalFile, act: Callable[[], object]) -> list[str]:
    """SQLite's plan, line by line, for each statement that `act` runs on the file."""
    statements: list[str] = []
    file.db.set_trace_callback(statements.append)
    act()
    file.db.set_trace_callback(None)
    return [row[3] for sql in statements for row in file.rows(f"EXPLAIN QUERY PLAN {sql}")]


def states(path: Path) -> dict[str, int]:
    """state -> how many rows; checks the file's integrity on the way."""
    with opened(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(db.execute("SELECT state, count(*) FROM observation GROUP BY state"))

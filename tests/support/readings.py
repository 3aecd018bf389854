"""Journals to show, and pages that Timestream Query answers with."""

import functools
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from embedded.timestream import Row
from ingest.journal.queue import FileQueue
from ingest.journal.schema import JournalFile
from ingest.observation import Observation, iso_time
from ingest.places import Place
from tests.support.journals import LONDON, MINUTE_MS, PARIS, TARGET, observed, rejection

HOUR_MS = 60 * MINUTE_MS

__all__ = ["HOUR_MS", "LONDON", "MINUTE_MS", "PARIS", "TARGET"]


@functools.cache
def now_ms() -> int:
    """The second at which the test first asked: one moment for all of it, and another for the next
    (conftest.py), as a program that is started reads the real clock."""
    return int(time.time()) * 1000


def ago(minutes: float, place: Place = LONDON, **values: str) -> Observation:
    """An observation made so many minutes before now, fetched at once."""
    time_ms = now_ms() - int(minutes * MINUTE_MS)
    return observed(place, time_ms, time_ms, **values)


def fill(
    path: Path, observations: Sequence[Observation], pending: int = 0, target: str = TARGET
) -> None:
    """Add them as delivered, except the last so many."""
    with closing(JournalFile(path, target)) as file:
        queue = FileQueue(file)
        entries = queue.enqueue(observations, now_ms())
        queue.acknowledge(entries[: len(entries) - pending], {}, now_ms())


def reject(path: Path, observation: Observation, measure: str) -> None:
    """Add it, with one of its measures rejected and the others delivered."""
    with closing(JournalFile(path, TARGET)) as file:
        queue = FileQueue(file)
        (entry,) = queue.enqueue([observation], now_ms())
        refused = rejection(entry, measure, reason="too old")
        queue.acknowledge([entry], {entry.id: [refused]}, now_ms())


COLUMNS = ("city", "country", "city_id", "measure_name", "time", "measure_value::double")


def page(rows: Iterable[Row], token: str = "", percent: float = 100.0) -> dict[str, Any]:
    """One page of a Query's answer, as Timestream writes it: doubles with a point, times with
    nanoseconds, and nothing but a flag for what a row lacks."""
    types = {"time": "TIMESTAMP", "measure_value::double": "DOUBLE"}
    more = {"NextToken": token} if token else {}
    return {
        "QueryId": "query-1",
        "ColumnInfo": [
            {"Name": name, "Type": {"ScalarType": types.get(name, "VARCHAR")}} for name in COLUMNS
        ],
        "Rows": [{"Data": [_datum(row, name) for name in COLUMNS]} for row in rows],
        "QueryStatus": {"ProgressPercentage": percent},
        **more,
    }


def _datum(row: Row, column: str) -> dict[str, Any]:
    moment = iso_time(row.time_ms).replace("T", " ").removesuffix("Z")
    texts = {
        **row.dimensions,
        "measure_name": row.measure_name,
        "time": f"{moment}.{row.time_ms % 1000:03d}000000",
        "measure_value::double": str(float(row.value)),
    }
    return {"ScalarValue": texts[column]} if column in texts else {"NullValue": True}


def rows(observations: Iterable[Observation]) -> list[Row]:
    """What the table holds once they are delivered."""
    return [
        Row(
            {"city": seen.city, "country": seen.country, "city_id": str(seen.city_id)},
            name,
            value,
            "DOUBLE",
            seen.time_ms,
            seen.version,
        )
        for seen in observations
        for name, value in seen.values.items()
    ]

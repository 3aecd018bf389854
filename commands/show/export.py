"""Readings for another program: CSV, and what becomes JSON."""

import csv
import sys
from typing import Any

from commands.show.readings import Reading, Shown, json_value
from ingest.observation import iso_time

_COLUMNS = ("time", "time_ms", "place", "city", "country", "measure", "value", "unit", "state")


def print_csv(shown: Shown) -> None:
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_as_dict, shown.readings))


def as_dict(shown: Shown) -> dict[str, Any]:
    latest = [
        {**_as_dict(reading), "age_seconds": (shown.end_ms - reading.time_ms) // 1000}
        for reading in shown.latest
    ]
    fetched_in = {each.units for each in (*shown.readings, *shown.latest)} or {shown.units}
    return {
        "source": shown.source,
        "from": iso_time(shown.start_ms),
        "to": iso_time(shown.end_ms),
        "units": fetched_in.pop() if len(fetched_in) == 1 else "mixed",
        "latest": latest,
        "readings": [_as_dict(reading) for reading in shown.readings],
        "notes": shown.notes,
    }


def _as_dict(reading: Reading) -> dict[str, Any]:
    return {
        "time": iso_time(reading.time_ms),
        "time_ms": reading.time_ms,
        "place": reading.place,
        "city": reading.city,
        "country": reading.country,
        "measure": reading.measure,
        "value": json_value(reading.value, reading.measure),
        "unit": reading.unit,
        "state": "pending" if reading.pending else "delivered",
    }

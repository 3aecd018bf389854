"""Readings of the table in Timestream: settings and secret as for a run, then one query in SQL.

Source: Amazon Timestream for LiveAnalytics, API Reference, Query, and its query language.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from commands.show.from_journal import open_if_any
from commands.show.readings import Reading, Shown, latest_of
from commands.terminal import interruptible, progress
from ingest.aws.session import Aws
from ingest.deadline import Deadline, Task
from ingest.errors import DeliveryError, UsageError
from ingest.journal import history
from ingest.journal.history import Kept
from ingest.observation import MEASURES, TEXT, decimal_text
from ingest.places import parse_place, place_key
from ingest.reporting.logs import RunLog
from ingest.reporting.text import plural
from ingest.settings import Sources, load
from ingest.settings.secret import fetch_secret
from timestream_writer import timestream_error

# Timestream Query answers within a minute, with an empty page if it is not done by then.
QUERY_TIMEOUT_S = 65.0

# Dimensions of our records; a column that no record of the table ever had does not exist there.
_DIMENSIONS = ("city", "country", "city_id", "latitude", "longitude")

Dimensions = dict[str, str]


def from_timestream(sources: Sources, options: argparse.Namespace, log: RunLog) -> Shown:
    table = Table(sources, log)
    with open_if_any(table.settings.journal) as journal:
        known = history.latest(journal) if journal else []
    readings = table.readings(options, dimensions_of(options.place, known))
    units, latest = options.units or table.settings.units, latest_of(readings)
    shown = Shown(table.name, options.start_ms, options.end_ms, units, latest, readings)
    if not readings:
        shown.notes.append(f"{table.name} has no such readings in the {shown.time}.")
    return shown


class Table:
    """The table of the settings, which are read as a run reads them.

    name: with its database. Raises as `load` does.
    """

    def __init__(self, sources: Sources, log: RunLog) -> None:
        sources.export_aws()
        self._log = log
        self._deadline = Deadline(sources.seconds("WEATHER_DEADLINE_SECONDS"))
        timeout_s = max(QUERY_TIMEOUT_S, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
        self.aws = Aws(log.redact, timeout_s)
        self.settings = load(
            sources, lambda secret_id: fetch_secret(self.aws, secret_id, self._deadline), log.redact
        )
        self._deadline.seconds = self.settings.deadline_s
        self.name = f"{self.settings.database}.{self.settings.table}"

    def readings(self, options: argparse.Namespace, places: Sequence[Dimensions]) -> list[Reading]:
        """All that the options ask for of these places. Raises IngestError."""
        units = options.units or self.settings.units
        statement = sql(self.settings.database, self.settings.table, options, places)
        self._log.debug("Timestream query: %s", statement)
        where = f"{self.name} in region {self.aws.region}"

        def ask() -> list[Reading]:
            rows: list[Reading] = []
            with self.aws.within(self._deadline):
                pages: Any = self.aws.timestream_query().get_paginator("query")
                for page in pages.paginate(QueryString=statement):
                    if "Rows" not in page or "ColumnInfo" not in page:
                        # botocore takes a body that breaks off for one without members.
                        raise DeliveryError("Timestream's answer is incomplete.", "Try again.")
                    rows += readings_of_page(page, units)
                    percent = page.get("QueryStatus", {}).get("ProgressPercentage", 0.0)
                    say(f"{plural(len(rows), 'row')}, about {percent:.0f} % done")
            return rows

        with (
            interruptible("SIGINT ended the query; nothing was changed."),
            progress(f"Querying {self.name}") as say,
        ):
            try:
                return Task(ask, f"while querying {where}").result(self._deadline)
            except Exception as error:
                raise timestream_error(error, f"Querying {where}", self.aws.region) from error


def dimensions_of(places: Sequence[str], known: Iterable[Kept] = ()) -> list[Dimensions]:
    """What the records of each place of --place carry: as the journal knows it, else as its name
    says. Raises UsageError if neither says it."""
    seen = [each.observation for each in known]
    dimensions = {place_key(each.place.name): each.dimensions for each in seen}
    return [dimensions.get(place_key(text)) or _dimensions_of_name(text) for text in places]


def _dimensions_of_name(text: str) -> Dimensions:
    try:
        place = parse_place(text)
    except ValueError:
        return {"city": text}
    if place.city_id:
        return {"city_id": str(place.city_id)}
    if place.coordinates:
        return dict(zip(("latitude", "longitude"), place.coordinates, strict=True))
    (kind, query), *_ = place.query
    if kind == "zip":
        raise UsageError(
            f"The table has no post codes, and the journal does not know {text!r} yet.",
            "Use its city instead: --place CITY",
        )
    return {"city": query.partition(",")[0].strip(), "country": place.country}


def identifier(name: str) -> str:
    """A quoted identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal of SQL. Only the quote is special in it: there are no backslash escapes."""
    return "'" + text.replace("'", "''") + "'"


def sql(
    database: str, table: str, options: argparse.Namespace, places: Sequence[Dimensions]
) -> str:
    """All columns, because one that is named has to exist: `measure_value::varchar` exists only in
    a table that ever held a text, and `city` only if a place has a name."""
    start, end = (f"from_milliseconds({each})" for each in (options.start_ms, options.end_ms))
    conditions = [f"time BETWEEN {start} AND {end}"]
    if options.measure:
        conditions.append(f"measure_name IN ({', '.join(map(literal, options.measure))})")
    if places:
        each = (
            " AND ".join(f"{identifier(name)} = {literal(value)}" for name, value in wanted.items())
            for wanted in places
        )
        conditions.append(f"(({') OR ('.join(each)}))")
    return (
        f"SELECT * FROM {identifier(database)}.{identifier(table)} "  # noqa: S608  (quoted)
        f"WHERE {' AND '.join(conditions)} ORDER BY time"
    )


def readings_of_page(page: Any, units: str) -> Iterator[Reading]:  # noqa: ANN401  (botocore's)
    """The rows of a page that are ours. units: what they were fetched in, which no record says."""
    names = [column.get("Name", "") for column in page["ColumnInfo"]]
    for row in page["Rows"]:
        cells = {
            name: datum["ScalarValue"]
            for name, datum in zip(names, row["Data"], strict=True)
            if "ScalarValue" in datum
        }
        measure = cells.get("measure_name", "")
        values = [value for name, value in cells.items() if name.startswith("measure_value::")]
        if measure not in MEASURES or not values or "time" not in cells:
            continue  # another program's
        dimensions = {name: cells[name] for name in _DIMENSIONS if name in cells}
        # such as 2026-11-23 10:20:00.000000000, which is UTC
        time_ms = round(datetime.fromisoformat(f"{cells['time']}Z").timestamp() * 1000)
        value = values[0] if MEASURES[measure].kind == TEXT else decimal_text(float(values[0]))
        yield Reading(place_of(dimensions), dimensions, measure, time_ms, value, units=units)


def place_of(dimensions: Dimensions) -> str:
    """Its coordinates, if it was configured by them; else its city, or else its id."""
    names = ("latitude", "longitude") if "latitude" in dimensions else ("city", "country")
    return ",".join(filter(None, map(dimensions.get, names))) or dimensions.get("city_id", "")

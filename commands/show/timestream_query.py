"""What Timestream is asked in SQL, and the rows of its answers. Pure.

Source: Amazon Timestream for LiveAnalytics, API Reference, Query, and its query language.
"""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from commands.show.readings import Reading
from ingest.errors import UsageError
from ingest.journal.history import Kept
from ingest.observation import MEASURES, TEXT, decimal_text
from ingest.places import parse_place, place_key

# Dimensions of our records; a column that no record of the table ever had does not exist there.
_DIMENSIONS = ("city", "country", "city_id", "latitude", "longitude")

Dimensions = dict[str, str]


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


def sql(database: str, table: str, options: Namespace, places: Sequence[Dimensions]) -> str:
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

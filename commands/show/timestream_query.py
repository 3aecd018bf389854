"""What Timestream is asked in SQL, and the rows of its answers. Pure.

Source: Amazon Timestream for LiveAnalytics, API Reference, Query, and its query language.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from commands.show.readings import Reading
from ingest.errors import UsageError
from ingest.observation import MEASURES, TEXT, Observation, decimal_text, describe_reading
from ingest.places import parse_place, place_key

# Dimensions of our records; a column that no record of the table ever had does not exist there.
_DIMENSIONS = ("city", "country", "city_id", "latitude", "longitude")
_VALUE_COLUMN = "measure_value::"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Dimensions = dict[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. value: as its record had it, a number's shortest exact decimal."""

    dimensions: Dimensions
    measure: str
    time_ms: int
    value: str

    def __str__(self) -> str:
        return describe_reading(self.measure, self.value, self.dimensions, self.time_ms)

    def reading(self, units: str) -> Reading:
        """units: what it was fetched in, which no record says."""
        city, country, city_id, latitude, longitude = (
            self.dimensions.get(name, "") for name in _DIMENSIONS
        )
        name = f"{latitude},{longitude}" if latitude else ",".join(filter(None, (city, country)))
        place = name or city_id
        return Reading(place, city, country, self.measure, self.time_ms, self.value, units=units)


def dimensions_of(places: Sequence[str], known: Iterable[Observation] = ()) -> list[Dimensions]:
    """What the records of each place of --place carry: as the journal knows it, else as its name
    says. Raises UsageError if neither does."""
    of_known = {place_key(seen.place.name): seen.dimensions for seen in known}
    return [of_known.get(place_key(text)) or _dimensions_of_name(text) for text in places]


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
            f"The table holds no post codes, and the journal does not know {text!r} yet: name its "
            "city instead."
        )
    return {"city": query.partition(",")[0].strip(), "country": place.country}


def identifier(name: str) -> str:
    """A quoted identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal of SQL. The quote is all that is special in it: no backslash escapes."""
    return "'" + text.replace("'", "''") + "'"


def sql(
    database: str,
    table: str,
    start_ms: int,
    end_ms: int,
    measures: Sequence[str],
    places: Sequence[Dimensions],
) -> str:
    """All columns, because one that is named has to exist: `measure_value::varchar` does only in a
    table that ever held a text, and `city` only if a place has a name."""
    conditions = [f"time BETWEEN from_milliseconds({start_ms}) AND from_milliseconds({end_ms})"]
    if measures:
        conditions.append(f"measure_name IN ({', '.join(map(literal, measures))})")
    if places:
        each = (
            " AND ".join(f"{identifier(name)} = {literal(value)}" for name, value in wanted.items())
            for wanted in places
        )
        conditions.append("(" + " OR ".join(f"({condition})" for condition in each) + ")")
    return (
        f"SELECT * FROM {identifier(database)}.{identifier(table)} "  # noqa: S608  (quoted)
        f"WHERE {' AND '.join(conditions)} ORDER BY time"
    )


def rows_of_page(page: Any) -> Iterator[Row]:  # noqa: ANN401  (as botocore reads it)
    """The rows of a page that are ours."""
    names = [column.get("Name", "") for column in page["ColumnInfo"]]
    for row in page["Rows"]:
        cells = {
            name: datum["ScalarValue"]
            for name, datum in zip(names, row["Data"], strict=True)
            if "ScalarValue" in datum
        }
        measure = cells.get("measure_name", "")
        values = [value for name, value in cells.items() if name.startswith(_VALUE_COLUMN)]
        if measure not in MEASURES or not values or "time" not in cells:
            continue  # another program's
        yield Row(
            {name: cells[name] for name in _DIMENSIONS if name in cells},
            measure,
            _time_ms(cells["time"]),
            values[0] if MEASURES[measure].kind == TEXT else decimal_text(float(values[0])),
        )


def _time_ms(text: str) -> int:
    """Epoch milliseconds of 2026-11-23 10:20:00.000000000, which is UTC."""
    moment = datetime.fromisoformat(text[:26]).replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)

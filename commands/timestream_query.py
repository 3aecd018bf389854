"""Readings from Amazon Timestream: one SQL query, and all of its pages.

Source: Amazon Timestream for LiveAnalytics, API Reference, Query, and its query language.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from commands.readings import Dimensions, PlaceFilter, Reading
from ingest.aws.session import Aws, aws_error
from ingest.deadline import Task
from ingest.errors import DeliveryError, Interrupted
from ingest.observation import MEASURES, decimal_text
from ingest.reporting.logs import log

if TYPE_CHECKING:
    from mypy_boto3_timestream_query import TimestreamQueryClient

# Dimensions of our records; a column that no record of the table ever had does not exist there.
_DIMENSIONS = ("city", "country", "city_id", "latitude", "longitude")
_VALUE_COLUMN = "measure_value::"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. value: as its record had it, a number's shortest exact decimal."""

    dimensions: Dimensions
    measure: str
    time_ms: int
    value: str

    def reading(self, units: str) -> Reading:
        """units: what it was fetched in, which no record says."""
        city, country = self.dimensions.get("city", ""), self.dimensions.get("country", "")
        latitude, longitude = (self.dimensions.get(each, "") for each in _DIMENSIONS[3:])
        name = f"{latitude},{longitude}" if latitude else ",".join(filter(None, (city, country)))
        place = name or self.dimensions.get("city_id", "")
        return Reading(place, city, country, self.measure, self.time_ms, self.value, units=units)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a query is: percent as Timestream estimates it, rows received so far."""

    percent: float
    rows: int


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
    places: PlaceFilter,
) -> str:
    """All columns, for one that is named has to exist: `measure_value::varchar` does only in a
    table that ever held a text, and `city` only where a place has a name."""
    conditions = [f"time BETWEEN from_milliseconds({start_ms}) AND from_milliseconds({end_ms})"]
    if measures:
        conditions.append(f"measure_name IN ({', '.join(map(literal, measures))})")
    if places.texts:
        each = (
            " AND ".join(f"{identifier(name)} = {literal(value)}" for name, value in wanted.items())
            for wanted in places.dimensions()
        )
        conditions.append("(" + " OR ".join(f"({condition})" for condition in each) + ")")
    return (
        f"SELECT * FROM {identifier(database)}.{identifier(table)} "  # noqa: S608  (quoted)
        f"WHERE {' AND '.join(conditions)} ORDER BY time"
    )


def fetch_rows(
    aws: Aws, statement: str, what: str, on_progress: Callable[[Progress], object]
) -> list[Row]:
    """All rows of the query's answer, page by page. Raises IngestError, at the deadline too.

    what: is being read, for messages.
    """
    log.debug("Timestream query: %s", statement)
    doing = f"Querying {what} in region {aws.region}"

    def ask() -> list[Row]:
        rows: list[Row] = []
        for page in _pages(aws.timestream_query(), statement):
            rows += rows_of_page(page)
            percent = page.get("QueryStatus", {}).get("ProgressPercentage", 0.0)
            on_progress(Progress(percent, len(rows)))
        return rows

    try:
        return Task(ask, f"while querying {what} in region {aws.region}").result(aws.deadline)
    except KeyboardInterrupt:
        raise Interrupted("SIGINT ended the query; nothing was changed.") from None
    except Exception as error:
        raise aws_error(error, doing, aws.region) from error


def _pages(client: "TimestreamQueryClient", statement: str) -> Iterator[Any]:
    """A page can be empty while Timestream is still at work: only the missing token ends them."""
    token = ""
    while True:
        more: Any = {"NextToken": token} if token else {}
        page = client.query(QueryString=statement, **more)
        if "Rows" not in page or "ColumnInfo" not in page:
            # botocore takes a body that breaks off for one without members.
            raise DeliveryError("The answer of Timestream Query broke off. Try again.")
        yield page
        token = page.get("NextToken") or ""
        if not token:
            return


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
            values[0] if MEASURES[measure].type == "VARCHAR" else decimal_text(float(values[0])),
        )


def _time_ms(text: str) -> int:
    """Epoch milliseconds of 2026-11-23 10:20:00.000000000, which is UTC."""
    moment = datetime.fromisoformat(text[:26]).replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)

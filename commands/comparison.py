"""What the journal says was delivered, against what the table holds."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from commands.readings import record_dimensions
from commands.timestream_query import Row
from journal import Kept
from timestream_writer import describe_record

_Key = tuple[frozenset[tuple[str, str]], str, int]


@dataclass
class Comparison:
    """delivered, held: how many records the journal and the table have.

    lacking: delivered, and not in the table. different: in the table with another value, paired
    with that. unknown: in the table, and of no observation in the journal, whatever its state.
    """

    delivered: int
    held: int
    lacking: list[Row] = field(default_factory=list)
    different: list[tuple[Row, str]] = field(default_factory=list)
    unknown: list[Row] = field(default_factory=list)


def compare(kept: Iterable[Kept], rejected: Iterable[Row], rows: Iterable[Row]) -> Comparison:
    """rejected: records that the journal knows, and which the table may have all the same."""
    delivered: dict[_Key, Row] = {}
    known = {_key(row) for row in rejected}
    for each in kept:  # oldest version first, so the highest one stays
        for row in rows_of(each):
            known.add(_key(row))
            if not each.pending:
                delivered[_key(row)] = row
    held = {_key(row): row for row in rows}
    result = Comparison(len(delivered), len(held))
    for key, row in delivered.items():
        if key not in held:
            result.lacking.append(row)
        elif held[key].value != row.value:
            result.different.append((row, held[key].value))
    result.unknown = [row for key, row in held.items() if key not in known]
    return result


def rows_of(kept: Kept) -> list[Row]:
    """What the table should hold of an observation."""
    seen = kept.observation
    dimensions = record_dimensions(seen)
    return [Row(dimensions, name, seen.time_ms, value) for name, value in seen.values.items()]


def _key(row: Row) -> _Key:
    return frozenset(row.dimensions.items()), row.measure, row.time_ms


def describe(row: Row) -> str:
    """Humidity=93 city=London country=GB city_id=2643743 at 2020-11-08T21:29:36Z (1604870976000)"""
    return describe_record(
        {
            "Dimensions": [{"Name": name, "Value": value} for name, value in row.dimensions.items()],
            "MeasureName": row.measure,
            "MeasureValue": row.value,
            "Time": str(row.time_ms),
            "Version": 1,
        }
    )

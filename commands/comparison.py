"""What the journal says was delivered, against what the table holds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from commands.readings import record_dimensions
from commands.timestream_query import Row
from ingest.journal.queue import Kept, RejectedEntry
from ingest.observation import MEASURES, Observation
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


def compare(
    kept: Iterable[Kept],
    rejected: Iterable[RejectedEntry],
    rows: Iterable[Row],
    wanted: Callable[[Row], bool],
) -> Comparison:
    """Compare the wanted records. rejected: the journal knows them; the table may have them, or
    others in their place.

    Where an observation was delivered twice with different values, the one with the higher version
    counts.
    """
    known = {_key(row) for entry in rejected for row in rows_of(entry.observation)}
    delivered: dict[_Key, Row] = {}
    for each in kept:  # of one time the lowest version comes first
        for row in filter(wanted, rows_of(each.observation)):
            known.add(_key(row))
            if not each.pending:
                delivered[_key(row)] = row
    held = {_key(row): row for row in filter(wanted, rows)}
    result = Comparison(len(delivered), len(held))
    for key, row in delivered.items():
        if key not in held:
            result.lacking.append(row)
        elif not _same(row, held[key]):
            result.different.append((row, held[key].value))
    result.unknown = [row for key, row in held.items() if key not in known]
    return result


def rows_of(seen: Observation) -> list[Row]:
    """What the table should hold of an observation."""
    dimensions = record_dimensions(seen)
    return [Row(dimensions, name, seen.time_ms, value) for name, value in seen.values.items()]


def _key(row: Row) -> _Key:
    return frozenset(row.dimensions.items()), row.measure, row.time_ms


def _same(row: Row, other: Row) -> bool:
    """Whether both have one value: 5 is 5.00."""
    if MEASURES[row.measure].type == "VARCHAR":
        return row.value == other.value
    return float(row.value) == float(other.value)


def describe(row: Row) -> str:
    """Humidity=93 city=London country=GB city_id=2643743 at 2020-11-08T21:29:36Z (1604870976000)"""
    return describe_record(
        {
            "Dimensions": [
                {"Name": name, "Value": value} for name, value in row.dimensions.items()
            ],
            "MeasureName": row.measure,
            "MeasureValue": row.value,
            "Time": str(row.time_ms),
            "Version": 1,
        }
    )

"""What the journal says was delivered, against what the table holds."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from commands.show.from_journal import open_if_any, readings_of
from commands.show.from_timestream import Table, dimensions_of
from commands.show.readings import Reading, last_hours
from commands.terminal import print_json, print_lines
from ingest.errors import SettingsError, Status
from ingest.journal import history
from ingest.journal.history import Kept
from ingest.journal.rejected import RejectedEntry, rejected
from ingest.observation import iso_time
from ingest.reporting.logs import RunLog
from ingest.reporting.redaction import one_line
from ingest.reporting.text import plural
from ingest.settings import Sources
from timestream_writer import target_of


@dataclass(frozen=True, slots=True)
class Comparison:
    """delivered, held: how many records the journal and the table have.

    lacking: delivered, and not in the table. different: delivered, and in the table with another
    value. unknown: in the table, and in no observation of the journal, whatever its state.
    """

    delivered: int
    held: int
    lacking: list[Reading]
    different: list[tuple[Reading, Reading]]
    unknown: list[Reading]


def show_comparison(sources: Sources, options: argparse.Namespace, log: RunLog) -> int:
    """Print what is different. Returns an exit status."""
    table = Table(sources, log)
    settings = table.settings
    target = target_of(table.aws.region, settings.database, settings.table)
    with open_if_any(settings.journal) as journal:
        if journal is None:
            why = "WEATHER_JOURNAL is off, or no run has used it yet."
            raise SettingsError(f"There is no journal to compare with: {why}")
        # Read before the table: otherwise what a run delivers in between would seem to be lost.
        kept = [each for each in history.kept(journal, options.start_ms) if each.target == target]
        refused = [each for each in rejected(journal) if each.target == target]
        places = dimensions_of(options.place, history.latest(journal))

    def is_wanted(row: Reading) -> bool:
        return (
            row.time_ms <= options.end_ms
            and (not places or any(each.items() <= row.dimensions.items() for each in places))
            and (not options.measure or row.measure in options.measure)
        )

    result = compare(kept, refused, table.readings(options, places), is_wanted)
    if options.json:
        print_json(_as_dict(result, table.name), indent=2)
    else:
        hours = last_hours(options.start_ms, options.end_ms)
        print_lines([f"The {hours} in the journal and in {table.name}:", *_lines(result)])
    return Status.DATAERR if result.lacking or result.different else Status.OK


def compare(
    kept: Iterable[Kept],
    refused: Iterable[RejectedEntry],
    rows: Iterable[Reading],
    is_wanted: Callable[[Reading], bool],
) -> Comparison:
    """Compare the wanted records. refused: the journal knows them; the table may have them, or
    others in their place.

    If an observation was delivered twice with different values, the higher version counts.
    """
    known = {row.key for entry in refused for row in readings_of(entry, "")}
    delivered: dict[tuple[object, ...], Reading] = {}
    for each in kept:  # of one time the lowest version comes first
        wanted = {row.key: row for row in readings_of(each, "") if is_wanted(row)}
        known |= wanted.keys()
        if not each.pending:
            delivered |= wanted
    held = {row.key: row for row in rows if is_wanted(row)}
    both = [(row, held[key]) for key, row in delivered.items() if key in held]
    return Comparison(
        len(delivered),
        len(held),
        [row for key, row in delivered.items() if key not in held],
        [(row, other) for row, other in both if row.json_value != other.json_value],
        [row for key, row in held.items() if key not in known],
    )


def _lines(result: Comparison) -> Iterator[str]:
    delivered = plural(result.delivered, "record")
    yield f"{delivered} delivered according to the journal; the table has {result.held}."
    different = [f"{row}: the table has {one_line(other.value)}" for row, other in result.different]
    groups: tuple[tuple[str, Sequence[object]], ...] = (
        ("The table does not have {} of them:", result.lacking),
        ("The table has another value for {} of them:", different),
        ("The journal does not have {} of the table:", result.unknown),
    )
    for heading, rows in groups:
        if rows:
            yield heading.format(plural(len(rows), "record"))
            yield from (f"  {row}" for row in rows)
    if not any(rows for _, rows in groups):
        yield "They agree."


def _as_dict(result: Comparison, table: str) -> dict[str, Any]:
    return {
        "table": table,
        "delivered": result.delivered,
        "held": result.held,
        "lacking": list(map(_row_as_dict, result.lacking)),
        "different": [
            {**_row_as_dict(row), "value_in_table": other.json_value}
            for row, other in result.different
        ],
        "unknown": list(map(_row_as_dict, result.unknown)),
    }


def _row_as_dict(row: Reading) -> dict[str, Any]:
    return {
        "dimensions": row.dimensions,
        "measure": row.measure,
        "value": row.json_value,
        "time": iso_time(row.time_ms),
        "time_ms": row.time_ms,
    }

"""What do we have? `ingest_weather.py show`: readings from the journal, or from Timestream.

From the journal it needs neither AWS nor the secret, and changes nothing.
"""

import argparse
import csv
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from commands.command_line import place_option
from commands.readings import (
    HOUR_MS,
    PlaceFilter,
    Reading,
    counted,
    hours_text,
    latest_of,
    readings_of,
)
from commands.screen import print_screen
from ingest.deadline import epoch_ms
from ingest.errors import SettingsError, Status, UsageError
from ingest.journal.queue import Journal, Kept
from ingest.observation import MEASURES, UNITS, iso_time, one_line
from ingest.reporting.logs import start_logging
from ingest.settings.sources import Sources, fetch_secret, read_sources

if TYPE_CHECKING:
    from commands.comparison import Comparison
    from commands.timestream_query import Progress, Row
    from ingest.aws.session import Aws
    from ingest.settings.sources import Settings

# Timestream Query answers within a minute, with an empty page where it is not done by then.
QUERY_TIMEOUT_S = 65.0

_DESCRIPTION = """\
Show the latest reading of each place, and a table of the last hours with a
trend for each measure: from the journal, without asking AWS. What Timestream
rejected is left out.
"""

_EPILOG = """\
examples:
  ingest_weather.py show
  ingest_weather.py show --hours 168 --place London,GB --measure Humidity
  ingest_weather.py show --csv > readings.csv
  ingest_weather.py show --hours 48 --plot weather.png
  ingest_weather.py -v show --from-timestream
  ingest_weather.py show --compare --hours 72

--from-timestream and --compare read settings and secret as a run does, and need
the permissions timestream:Select on the table and timestream:DescribeEndpoints
on *. Each query is billed by what it scans.

exit statuses: 0; 2 wrong usage; 65 --compare found records that the table lacks
or has with another value; 74 the journal is unusable; 75, 77, 78 as for a run.
"""


def make_parser() -> argparse.ArgumentParser:
    """The command's own options."""
    parser = argparse.ArgumentParser(
        prog="ingest_weather.py show",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_argument_group("what is shown")
    which.add_argument(
        "--hours", type=_hours, default=24.0, metavar="N", help="the last N hours; default: 24"
    )
    which.add_argument(
        "--place",
        action="append",
        type=place_option,
        default=[],
        metavar="PLACE",
        help="a place as configured, or a city; may be given more than once",
    )
    which.add_argument(
        "--measure",
        action="append",
        default=[],
        choices=list(MEASURES),
        metavar="NAME",
        help="only this measure, such as Humidity; may be given more than once",
    )
    which.add_argument(
        "--from-timestream", action="store_true", help="ask Timestream instead of the journal"
    )
    which.add_argument(
        "--compare",
        action="store_true",
        help="name what the journal says was delivered and Timestream lacks, and the other way "
        "round",
    )
    how = parser.add_argument_group("how")
    form = how.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print the readings as CSV")
    form.add_argument("--json", action="store_true", help="print all of it as one JSON object")
    form.add_argument(
        "--plot",
        type=_picture,
        metavar="FILE",
        help="draw each measure over time into FILE.png or FILE.svg (needs matplotlib); of "
        "many places the first 20 are named",
    )
    how.add_argument(
        "--time-zone",
        type=_time_zone,
        metavar="ZONE",
        help="of the plot's time axis, such as Europe/London; default: the places' own, by their "
        "country and city or by their distance from UTC; UTC where they share none",
    )
    how.add_argument(
        "--units",
        choices=UNITS,
        help="what readings were fetched in that do not say it: those from Timestream, and what "
        "an older version of the program kept; default: WEATHER_UNITS",
    )
    how.add_argument("-v", "--verbose", action="store_true", help="show the SQL")
    return parser


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 < hours <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours")
    return hours


def _picture(text: str) -> Path:
    from commands.plot import SUFFIXES

    path = Path(text)
    if path.suffix.lower() not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r} ends neither in .png nor in .svg")
    return path


def _time_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time zone such as Europe/London"
        ) from None


@dataclass(frozen=True, slots=True)
class Shown:
    """All that can be shown. readings: from start to end, oldest first; latest: of each place its
    last, also from before. units: of readings that do not say theirs. notes: what a person should
    know of them."""

    source: str
    start_ms: int
    end_ms: int
    units: str
    latest: list[Reading]
    readings: list[Reading]
    notes: list[str]


def main(arguments: Sequence[str], overall: argparse.Namespace) -> int:
    """Show readings, or compare. Returns an exit status.

    overall: the options in front of the command.
    """
    options = make_parser().parse_args(arguments)
    options.place += overall.place or []
    options.json = options.json or (overall.json and not (options.csv or options.plot))
    if options.verbose:
        start_logging("DEBUG")
    if options.compare and (options.csv or options.plot):
        raise UsageError("--compare prints a list or --json: leave --csv and --plot out.")
    now_ms = epoch_ms()
    start_ms = now_ms - round(options.hours * HOUR_MS)
    sources = read_sources(os.environ, overall.env_file)
    if options.compare:
        return _compare(sources, options, start_ms, now_ms)
    if options.from_timestream:
        shown = _from_timestream(sources, options, start_ms, now_ms)
    else:
        shown = _from_journal(sources, options, start_ms, now_ms)
    if options.csv:
        _print_csv(shown)
    elif options.json:
        print(json.dumps(_as_json(shown), indent=2, ensure_ascii=False))
    elif options.plot:
        _plot(shown, options)
    else:
        print_screen(
            shown.latest,
            shown.readings,
            shown.start_ms,
            shown.end_ms,
            source=shown.source,
        )
        for note in shown.notes:
            print(note)
    return Status.OK


def _from_journal(
    sources: Sources, options: argparse.Namespace, start_ms: int, now_ms: int
) -> Shown:
    path = sources.early("WEATHER_JOURNAL")
    if path is None:
        raise SettingsError(
            "WEATHER_JOURNAL is off or wrong: without a journal there is nothing to show. "
            "--from-timestream asks the table."
        )
    places = PlaceFilter(options.place)
    with _opened(path) as journal:
        kept = journal.kept(start_ms) if journal else []
        latest = journal.latest() if journal else []
    notes = []
    if not latest:
        where = f"The journal {path} is empty" if journal else f"There is no journal at {path} yet"
        notes.append(f"{where}: nothing was fetched so far.")
    wanted = [each for each in kept if places.matches(each.observation)]
    last = [each for each in latest if places.matches(each.observation)]
    units = options.units or sources.early("WEATHER_UNITS") or "metric"
    readings = readings_of(wanted, options.measure, units)
    readings = [reading for reading in readings if reading.time_ms <= now_ms]
    last_readings = latest_of(readings_of(last, options.measure, units))
    if latest and not last_readings:
        names = sorted({one_line(each.observation.place.name) for each in latest})
        notes.append(f"The journal has no such reading. Its places: {'; '.join(names)}.")
    if count := _count_pending(wanted, options.measure):
        are = "observation is" if count == 1 else "observations are"
        notes.append(f"{count} {are} pending: fetched, and not yet confirmed by Timestream.")
    known = {each.units for each in (*readings, *last_readings)} - {units}
    if options.units and known:
        notes.append(
            f"The journal knows what was fetched in {' and '.join(sorted(known))} units: --units "
            f"{units} is not for that."
        )
    return Shown("the journal", start_ms, now_ms, units, last_readings, readings, notes)


def _count_pending(kept: Sequence[Kept], measures: Sequence[str]) -> int:
    return sum(
        each.pending and (not measures or not each.observation.values.keys().isdisjoint(measures))
        for each in kept
    )


@contextmanager
def _opened(path: Path) -> Iterator[Journal | None]:
    """The journal, to be read; None where there is none yet."""
    if not path.exists() or not path.stat().st_size:
        yield None
        return
    with closing(Journal(path, target="", read_only=True)) as journal:
        yield journal


def _from_timestream(
    sources: Sources, options: argparse.Namespace, start_ms: int, now_ms: int
) -> Shown:
    settings, aws = _settings(sources)
    with _journal_if_any(settings) as journal:
        known = [each.observation for each in journal.latest()] if journal and options.place else []
    rows = _query(settings, aws, options, PlaceFilter(options.place, known), start_ms, now_ms)
    units = options.units or settings.units
    readings = [row.reading(units) for row in rows]
    notes = []
    table = f"{settings.database}.{settings.table}"
    if not readings:
        notes.append(f"{table} has no such reading of the last {hours_text(options.hours)}.")
    return Shown(table, start_ms, now_ms, units, latest_of(readings), readings, notes)


def _settings(sources: Sources) -> "tuple[Settings, Aws]":
    """The settings as a run has them, and the AWS session that the secret was read with."""
    from ingest.aws.session import Aws
    from ingest.deadline import Deadline

    sources.export_aws()
    deadline = Deadline(sources.seconds("WEATHER_DEADLINE_SECONDS"))
    aws = Aws(deadline, max(QUERY_TIMEOUT_S, sources.seconds("WEATHER_TIMEOUT_SECONDS")))
    settings = sources.settings(lambda secret: fetch_secret(aws, secret, deadline))
    deadline.seconds = settings.deadline_s
    return settings, aws


@contextmanager
def _journal_if_any(settings: "Settings") -> Iterator[Journal | None]:
    if settings.journal is None:
        yield None
        return
    with _opened(settings.journal) as journal:
        yield journal


def _query(
    settings: "Settings",
    aws: "Aws",
    options: argparse.Namespace,
    places: PlaceFilter,
    start_ms: int,
    now_ms: int,
) -> "list[Row]":
    from commands.timestream_query import fetch_rows, sql

    statement = sql(settings.database, settings.table, start_ms, now_ms, options.measure, places)
    what = f"{settings.database}.{settings.table}"
    with _progress(f"Querying {what}") as on_progress:
        return fetch_rows(aws, statement, what, on_progress)


@contextmanager
def _progress(what: str) -> Iterator[Any]:
    """On a terminal, a line on standard error that says how far the query is; gone at the end."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    plain = bool(os.environ.get("NO_COLOR"))
    console = Console(stderr=True, no_color=plain)
    with console.status(what, spinner="line" if plain else "dots") as status:

        def show(progress: "Progress") -> None:
            rows = counted(progress.rows, "row")
            status.update(f"{what}: {rows}, about {progress.percent:.0f} % done")

        yield show


def _compare(sources: Sources, options: argparse.Namespace, start_ms: int, now_ms: int) -> int:
    from commands.comparison import compare

    settings, aws = _settings(sources)
    table = f"{settings.database}.{settings.table}"
    with _journal_if_any(settings) as journal:
        if journal is None:
            raise SettingsError("There is no journal to compare with: see WEATHER_JOURNAL.")
        target = f"{aws.region}/{table}"
        # Read before the table, so that what a run delivers meanwhile cannot be taken for lost.
        kept = [each for each in journal.kept(start_ms) if each.target == target]
        rejected = [each for each in journal.rejected() if each.target == target]
        known = [each.observation for each in journal.latest()] if options.place else []
    places = PlaceFilter(options.place, known)
    rows = _query(settings, aws, options, places, start_ms, now_ms)
    dimensions = places.dimensions()

    def wanted(row: "Row") -> bool:
        return (
            row.time_ms <= now_ms
            and (not dimensions or any(d.items() <= row.dimensions.items() for d in dimensions))
            and (not options.measure or row.measure in options.measure)
        )

    result = compare(kept, rejected, rows, wanted)
    if options.json:
        print(json.dumps(_comparison_as_json(result, table), indent=2, ensure_ascii=False))
    else:
        _print_comparison(result, table, options.hours)
    return Status.DATAERR if result.lacking or result.different else Status.OK


def _print_comparison(result: "Comparison", table: str, hours: float) -> None:
    from commands.comparison import describe

    print(f"The last {hours_text(hours)} in the journal and in {table}:")
    print(
        f"{_records(result.delivered)} delivered, as the journal says; the table has {result.held}."
    )
    if result.lacking:
        print(f"The table lacks {_records(len(result.lacking))} of them:")
        for row in result.lacking:
            print(f"  {describe(row)}")
    if result.different:
        print(f"The table has another value for {_records(len(result.different))} of them:")
        for row, value in result.different:
            print(f"  {describe(row)}: the table has {one_line(value)}")
    if result.unknown:
        print(f"The journal does not know {_records(len(result.unknown))} that the table has:")
        for row in result.unknown:
            print(f"  {describe(row)}")
    if not (result.lacking or result.different or result.unknown):
        print("They agree.")


def _records(count: int) -> str:
    return counted(count, "record")


def _comparison_as_json(result: "Comparison", table: str) -> dict[str, Any]:
    return {
        "table": table,
        "delivered": result.delivered,
        "held": result.held,
        "lacking": [_row_as_json(row) for row in result.lacking],
        "different": [
            {**_row_as_json(row), "value_in_table": _value(value, row.measure)}
            for row, value in result.different
        ],
        "unknown": [_row_as_json(row) for row in result.unknown],
    }


def _row_as_json(row: "Row") -> dict[str, Any]:
    return {
        "dimensions": row.dimensions,
        "measure": row.measure,
        "value": _value(row.value, row.measure),
        "time": iso_time(row.time_ms),
        "time_ms": row.time_ms,
    }


def _value(value: str, measure: str) -> Any:  # noqa: ANN401  (int, float or str, as JSON has it)
    return value if MEASURES[measure].type == "VARCHAR" else json.loads(value)


_COLUMNS = ("time", "time_ms", "place", "city", "country", "measure", "value", "unit", "state")


def _print_csv(shown: Shown) -> None:
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_as_dict, shown.readings))


def _as_dict(reading: Reading) -> dict[str, Any]:
    return {
        "time": iso_time(reading.time_ms),
        "time_ms": reading.time_ms,
        "place": reading.place,
        "city": reading.city,
        "country": reading.country,
        "measure": reading.measure,
        "value": _value(reading.value, reading.measure),
        "unit": reading.unit,
        "state": "pending" if reading.pending else "delivered",
    }


def _as_json(shown: Shown) -> dict[str, Any]:
    latest = []
    for reading in shown.latest:
        about = _as_dict(reading)
        latest.append({**about, "age_seconds": (shown.end_ms - reading.time_ms) // 1000})
    return {
        "source": shown.source,
        "from": iso_time(shown.start_ms),
        "to": iso_time(shown.end_ms),
        "units": _units(shown),
        "latest": latest,
        "readings": [_as_dict(reading) for reading in shown.readings],
        "notes": shown.notes,
    }


def _units(shown: Shown) -> str:
    """What all of it was fetched in, as WEATHER_UNITS names it; "mixed" where that has changed."""
    names = {each.units for each in (*shown.readings, *shown.latest)} or {shown.units}
    return names.pop() if len(names) == 1 else "mixed"


def _plot(shown: Shown, options: argparse.Namespace) -> None:
    from commands.plot import View, save
    from commands.time_zone import zone_of

    if not shown.readings:
        hours = f"the last {hours_text(options.hours)}"
        for note in shown.notes:
            print(note)
        print(f"There are no readings of {hours} to plot: {options.plot} was not written.")
        return
    # The last of each place: its clocks may have changed since.
    places = {each.place: (each.city, each.country, each.utc_offset_s) for each in shown.readings}
    zone = options.time_zone or zone_of(places.values(), shown.start_ms, shown.end_ms)
    view = View(shown.start_ms, shown.end_ms, zone, f"from {shown.source}")
    save(shown.readings, view, options.plot)
    readings = counted(len(shown.readings), "reading")
    measures = counted(len({reading.measure for reading in shown.readings}), "measure")
    print(f"{options.plot}: {readings} of {measures}, {zone} time.")
    for note in shown.notes:
        print(note)

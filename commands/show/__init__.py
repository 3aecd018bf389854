"""What do we have? `ingest_weather.py show`: readings from the journal, or from Timestream."""

import argparse
import csv
import logging
import os
import sys
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from commands.command_line import add_place_option, command_parser
from commands.show.from_journal import from_journal
from commands.show.readings import HOUR_MS, Shown, as_dict
from commands.show.screen import print_screen
from commands.terminal import print_json, print_lines
from ingest.deadline import epoch_ms
from ingest.errors import Status, UsageError
from ingest.observation import MEASURES, UNITS, iso_time
from ingest.reporting.logs import start_logging
from ingest.reporting.text import plural
from ingest.settings import read_sources

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

_COLUMNS = ("time", "time_ms", "place", "city", "country", "measure", "value", "unit", "state")


def main(words: Sequence[str], overall: argparse.Namespace) -> int:
    """Show readings, or compare. Returns an exit status. overall: the options in front of it."""
    options = make_parser().parse_args(words)
    if options.compare and (options.csv or options.plot):
        raise UsageError("--compare prints a list or --json: leave --csv and --plot out.")
    options.place += overall.place
    options.json = options.json or (overall.json and not (options.csv or options.plot))
    options.end_ms = epoch_ms()
    options.start_ms = options.end_ms - round(options.hours * HOUR_MS)
    if options.verbose:
        start_logging(overall.log, "DEBUG")
    sources = read_sources(os.environ, overall.env_file)
    if options.compare:
        from commands.show.comparison import show_comparison

        return show_comparison(sources, options, overall.log)
    if options.from_timestream:
        from commands.show.from_timestream import from_timestream

        shown = from_timestream(sources, options, overall.log)
    else:
        shown = from_journal(sources, options)
    if options.csv:
        writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(as_dict, shown.readings))
    elif options.json:
        print_json(_as_dict(shown), indent=2)
    elif options.plot:
        _plot(shown, options.plot, options.time_zone)
    else:
        print_screen(shown)
    return Status.OK


def _as_dict(shown: Shown) -> dict[str, Any]:
    fetched_in = {each.units for each in (*shown.readings, *shown.latest)} or {shown.units}
    return {
        "source": shown.source,
        "from": iso_time(shown.start_ms),
        "to": iso_time(shown.end_ms),
        "units": fetched_in.pop() if len(fetched_in) == 1 else "mixed",
        "latest": [
            {**as_dict(reading), "age_seconds": (shown.end_ms - reading.time_ms) // 1000}
            for reading in shown.latest
        ],
        "readings": list(map(as_dict, shown.readings)),
        "notes": shown.notes,
    }


def _plot(shown: Shown, path: Path, zone: tzinfo | None) -> None:
    """Draw into a .png or .svg, and say so. zone: None is the places' own.

    Raises UsageError if matplotlib is not there, or the file cannot be written.
    """
    if not shown.readings:
        nothing = f"There are no readings of the {shown.time} to plot: {path} was not written."
        print_lines([*shown.notes, nothing])
        return
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # otherwise it reports its font cache
    try:
        from commands.show.plot import save
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib: pip install -r requirements-plot.txt (or let --csv hand the "
            "readings to another program)."
        ) from error
    from commands.show.time_zone import zone_of

    zone = zone or zone_of(shown)
    save(shown, zone, path)
    readings = plural(len(shown.readings), "reading")
    measures = plural(len({reading.measure for reading in shown.readings}), "measure")
    print_lines([f"{path}: {readings} of {measures}, {zone} time.", *shown.notes])


def make_parser() -> argparse.ArgumentParser:
    """The command's own options."""
    parser = command_parser("show", _DESCRIPTION, _EPILOG)
    which = parser.add_argument_group("what is shown")
    which.add_argument(
        "--hours", type=_hours, default=24.0, metavar="N", help="the last N hours; default: 24"
    )
    add_place_option(which, "a place as configured, or a city")
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
    _add_options_of_form(parser.add_argument_group("how"))
    return parser


def _add_options_of_form(how: argparse._ArgumentGroup) -> None:
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
        "country and city or by their distance from UTC; UTC if they share none",
    )
    how.add_argument(
        "--units",
        choices=UNITS,
        help="what readings were fetched in that do not say it: those from Timestream, and what "
        "an older version of the program kept; default: WEATHER_UNITS",
    )
    how.add_argument("-v", "--verbose", action="store_true", help="show the SQL")


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours")
    return hours


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"{text!r} ends neither in .png nor in .svg")
    return path


def _time_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time zone such as Europe/London"
        ) from None

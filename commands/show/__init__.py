"""What do we have? `ingest_weather.py show`: readings from the journal, or from Timestream."""

import argparse
import csv
import logging
import sys
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from commands.command_line import add_flag, add_list, add_place_option, command_parser
from commands.show.from_journal import from_journal
from commands.show.readings import HOUR_MS, Shown, as_dict
from commands.show.screen import print_screen
from commands.terminal import print_json, print_lines
from ingest.deadline import epoch_ms
from ingest.errors import Status, UsageError
from ingest.observation import MEASURES, UNITS, iso_time
from ingest.reporting.logs import start_logging
from ingest.reporting.text import plural

_DESCRIPTION = """\
Show the latest reading of each place, and a table of the last hours with a
trend for each measure. They come from the journal; AWS is not asked. Values
that Timestream rejected are not shown."""

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
on *. AWS bills each query by the data that it scans.

exit statuses: 0; 2 wrong usage; 65 --compare found records that the table does
not have, or has with another value; 74 the journal is unusable; 75, 77, 78 as
for a run."""

_COLUMNS = ("time", "time_ms", "place", "city", "country", "measure", "value", "unit", "state")


def main(words: Sequence[str], overall: argparse.Namespace) -> int:
    """Show readings, or compare. Returns an exit status. overall: the options in front of it."""
    options = make_parser().parse_args(words)
    if options.compare and (options.csv or options.plot):
        raise UsageError("--compare cannot be used with --csv or --plot.")
    options.place += overall.place
    options.json = options.json or (overall.json and not (options.csv or options.plot))
    options.end_ms = epoch_ms()
    options.start_ms = options.end_ms - round(options.hours * HOUR_MS)
    if options.verbose:
        start_logging(overall.log, "DEBUG")
    if options.compare:
        from commands.show.comparison import show_comparison

        return show_comparison(overall.sources, options, overall.log)
    if options.from_timestream:
        from commands.show.from_timestream import from_timestream

        shown = from_timestream(overall.sources, options, overall.log)
    else:
        shown = from_journal(overall.sources, options)
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
        nothing = f"{path} was not written: there are no readings in the {shown.time}."
        print_lines([*shown.notes, nothing])
        return
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # otherwise it reports its font cache
    try:
        from commands.show.plot import save
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib, which is not installed.",
            "Run: pip install -r requirements-plot.txt (or plot the output of --csv)",
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
    add_place_option(which, "only this place, as configured, or this city")
    does = "only this measure, such as Humidity"
    add_list(which, "--measure", "NAME", does, choices=list(MEASURES))
    add_flag(which, "--from-timestream", "ask Timestream instead of the journal")
    add_flag(which, "--compare", "list records that differ between journal and Timestream")
    how = parser.add_argument_group("how")
    form = how.add_mutually_exclusive_group()
    add_flag(form, "--csv", "print the readings as CSV")
    add_flag(form, "--json", "print all of it as one JSON object")
    form.add_argument(
        "--plot",
        type=_picture,
        metavar="FILE",
        help="draw each measure over time into FILE.png or FILE.svg (needs matplotlib); of "
        "many places only the first 20 are named",
    )
    how.add_argument(
        "--time-zone",
        type=_time_zone,
        metavar="ZONE",
        help="time zone of the plot, such as Europe/London; default: that of the places, or UTC if "
        "it is not known or they have different ones",
    )
    how.add_argument(
        "--units",
        choices=UNITS,
        help="units of readings that do not have their own: those from Timestream, and those "
        "from an older version of the program; default: WEATHER_UNITS",
    )
    add_flag(how, "-v --verbose", "show the SQL")
    return parser


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
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .png or .svg")
    return path


def _time_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time zone like Europe/London"
        ) from None

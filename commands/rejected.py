"""Records that Timestream refused: `ingest_weather.py rejected`, with --retry or --discard."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table

from commands.tables import console
from deadline import epoch_ms
from errors import SettingsError, Status, UsageError
from journal import Journal, RejectedEntry
from run_lock import RunLock
from settings import read_sources
from weather import MEASURES, iso_time, one_line

_EPILOG = """\
examples:
  ingest_weather.py rejected
  ingest_weather.py rejected --retry --measure Humidity
  ingest_weather.py rejected --discard --before 2026-11-01

exit statuses: 0; 2 wrong usage; 74 the journal is unusable; 75 a run is under
way; 78 there is no journal (WEATHER_JOURNAL).
"""


def main(arguments: Sequence[str], overall: argparse.Namespace) -> int:
    """List rejected records; or put them back as pending, or drop them. Returns an exit status.

    overall: the options in front of the command.
    """
    options = make_parser().parse_args(arguments)
    options.json = options.json or overall.json
    if overall.dry_run:
        raise UsageError("rejected has no --dry-run: without --retry and --discard it only lists.")
    options.place = [*options.place, *(overall.place or ())]
    path = read_sources(os.environ, overall.env_file).early("WEATHER_JOURNAL")
    if path is None:
        raise SettingsError("WEATHER_JOURNAL is off or wrong: without a journal nothing is kept.")
    if not path.exists():
        print(
            "[]"
            if options.json
            else f"There is no journal at {path}: nothing is rejected. (WEATHER_JOURNAL is looked "
            "for in the environment and .env, not in the secret.)"
        )
        return Status.OK
    journal = Journal(path, target="")
    try:
        entries = journal.rejected(options.place, options.measure, options.before)
        if not (options.retry or options.discard):
            _show(entries, as_json=options.json)
            return Status.OK
        return _decide(journal, entries, options)
    finally:
        journal.close()


def _decide(journal: Journal, entries: list[RejectedEntry], options: argparse.Namespace) -> int:
    lock = RunLock(journal.path.with_name(f"{journal.path.name}.lock"))
    try:
        if options.retry:
            journal.retry(entries, epoch_ms())
            done = "put back; the next run to their target writes them"
        else:
            if not options.yes:
                _show(entries, as_json=False)
                if not _confirmed(_count(entries)):
                    print("Nothing was discarded.")
                    return Status.OK
            journal.discard(entries)
            done = "discarded"
    finally:
        lock.release()
    if options.json:
        print(json.dumps({"records": len(entries), "action": done.partition(";")[0]}))
    else:
        print(f"{_count(entries)} {done}.")
    return Status.OK


def _confirmed(count: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("There is nobody to ask: say --yes to discard without asking.")
    try:
        answer = input(f"Discard {count} for good? [y/N] ")
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")


def _show(entries: list[RejectedEntry], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_as_dict(entry) for entry in entries], indent=2))
        return
    if not entries:
        print("No rejected records.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("observed", "place", "record", "target", "rejected", "reason"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        (name, value), *_ = entry.observation.values.items()
        table.add_row(
            iso_time(entry.observation.time_ms),
            one_line(entry.observation.place.name),
            f"{name}={one_line(value)}",
            entry.target,
            iso_time(entry.rejected_ms),
            one_line(entry.reason),
        )
    console().print(table)
    print(f"{_count(entries)} rejected. Mend the cause, then --retry; or --discard them.")


def _count(entries: list[RejectedEntry]) -> str:
    return f"{len(entries)} record{'s'[: len(entries) != 1]}"


def _as_dict(entry: RejectedEntry) -> dict[str, object]:
    observation = entry.observation
    (measure, value), *_ = observation.values.items()
    return {
        "target": entry.target,
        "place": observation.place.name,
        "city": observation.city,
        "country": observation.country,
        "city_id": observation.city_id,
        "measure": measure,
        "value": value,
        "time": iso_time(observation.time_ms),
        "time_ms": observation.time_ms,
        "version": observation.version,
        "existing_version": entry.existing_version,
        "reason": entry.reason,
        "attempts": entry.attempts,
        "rejected": iso_time(entry.rejected_ms),
    }


def make_parser() -> argparse.ArgumentParser:
    """The command's own options."""
    parser = argparse.ArgumentParser(
        prog="ingest_weather.py rejected",
        description="List the records that Timestream refused, each with its reason.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--retry", action="store_true", help="put them back: the next run writes")
    action.add_argument("--discard", action="store_true", help="drop them for good, after asking")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        help="only of this place, or city; may be given more than once",
    )
    parser.add_argument(
        "--measure", default="", choices=list(MEASURES), metavar="NAME", help="only this measure"
    )
    parser.add_argument(
        "--before",
        type=_time_ms,
        metavar="TIME",
        help="only observations before this time: 2026-11-23 or 2026-11-23T10:00, UTC",
    )
    return parser


def _time_ms(text: str) -> int:
    """Epoch milliseconds of an ISO 8601 time; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-23") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)

"""Records that Timestream refused: `ingest_weather.py rejected`, with --retry or --discard."""

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from commands.command_line import place_option
from commands.tables import aligned, headed, print_lines, width
from ingest.deadline import epoch_ms
from ingest.errors import SettingsError, Status, UsageError
from ingest.journal.queue import Journal, RejectedEntry, Retried
from ingest.journal.run_lock import RunLock
from ingest.observation import MEASURES, iso_time, one_line
from ingest.settings.sources import read_sources

HEADINGS = ("time", "place", "measure", "value")
INDENT = "    "
WIDEST = 100

_DESCRIPTION = """\
List the records that Timestream refused: what was observed when and where, and
below those that were refused together the reason, and when that was. They stay
in the journal, and block no others, until they are put back or dropped."""

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
        wants_change = options.retry or options.discard
        if not wants_change or not (entries or options.json):
            _show(entries, as_json=options.json)
            return Status.OK
        return _decide(journal, entries, options)
    finally:
        journal.close()


def _decide(journal: Journal, entries: list[RejectedEntry], options: argparse.Namespace) -> int:
    lock = RunLock(journal.path.with_name(f"{journal.path.name}.lock"))
    try:
        if options.retry:
            _tell_of_retry(journal.retry(entries, epoch_ms()), as_json=options.json)
            return Status.OK
        if entries and not options.yes:
            _show(entries, as_json=False)
            if not _confirmed(_count(len(entries))):
                print("Nothing was discarded.")
                return Status.OK
        journal.discard(entries)
    finally:
        lock.release()
    if options.json:
        print(json.dumps({"records": len(entries), "action": "discarded"}))
    else:
        print(f"{_count(len(entries))} discarded.")
    return Status.OK


def _tell_of_retry(done: Retried, *, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {
                    "records": done.pending,
                    "action": "put back",
                    "superseded": done.superseded,
                    "unbeatable": done.unbeatable,
                }
            )
        )
        return
    told = []
    if done.pending:
        told.append(f"{_count(done.pending)} put back; the next run to their target writes them.")
    if done.superseded:
        told.append(f"{_count(done.superseded)} dropped: a later value of each has followed.")
    if done.unbeatable:
        told.append(
            f"{_count(done.unbeatable)} left: Timestream holds another value of each with the "
            "highest version there is."
        )
    print_lines(_wrapped(" ".join(told)))


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
    targets = sorted({entry.target for entry in entries})
    print_lines(_listed(entries, name_targets=len(targets) > 1))
    print()
    where = f"by {targets[0]}" if len(targets) == 1 else f"by {len(targets)} tables"
    told = (
        f"{_count(len(entries))} rejected {where}. Mend the cause, then --retry; or --discard them."
    )
    print_lines(_wrapped(told))


def _listed(entries: list[RejectedEntry], *, name_targets: bool) -> Iterator[str]:
    """A line a record, and below those that were refused together what they have in common."""
    heading, *lines = headed(aligned([HEADINGS, *map(_row, entries)], right=(3,), elastic=1))
    yield heading
    of_entries = zip(entries, lines, strict=True)
    for number, (why, group) in enumerate(
        groupby(of_entries, lambda pair: _why(pair[0], name_target=name_targets))
    ):
        if number:
            yield ""
        yield from (line for _, line in group)
        yield from _wrapped(why, INDENT)


def _row(entry: RejectedEntry) -> tuple[str, ...]:
    (measure, value), *_ = entry.observation.values.items()
    return iso_time(entry.observation.time_ms), entry.observation.place.name, measure, value


def _why(entry: RejectedEntry, *, name_target: bool) -> str:
    """The reason as one sentence or more, then by whom and when."""
    reason = one_line(entry.reason).strip()
    stop = "" if reason.endswith((".", "!", "?")) else "."
    whose = f" by {entry.target}" if name_target else ""
    often = f", attempt {entry.attempts}" if entry.attempts > 1 else ""
    return f"{reason}{stop} (Rejected{whose} {iso_time(entry.rejected_ms)}{often}.)"


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Lines that fit; a longer word, such as a table's name, stays whole to be copied."""
    return textwrap.wrap(
        text,
        min(width(), WIDEST),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count(records: int) -> str:
    return f"{records} record{'s'[: records != 1]}"


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
        description=_DESCRIPTION,
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
        type=place_option,
        default=[],
        metavar="PLACE",
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

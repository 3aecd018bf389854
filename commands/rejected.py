"""Records that Timestream rejected: `ingest_weather.py rejected`, with --retry or --discard."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby

from commands import terminal
from commands.command_line import add_flag, add_place_option, command_parser
from ingest.deadline import epoch_ms
from ingest.errors import SettingsError, Status, UsageError
from ingest.journal.rejected import RejectedEntry, discard, rejected, retry
from ingest.journal.run_lock import RunLock
from ingest.journal.schema import JournalFile
from ingest.observation import MEASURES, iso_time
from ingest.reporting.redaction import one_line
from ingest.reporting.text import plural

_DESCRIPTION = """\
List the records that Timestream rejected. Below records that were rejected
together are the reason and the time of the rejection. Rejected records stay in
the journal until you put them back or discard them. They block no others."""

_EPILOG = """\
examples:
  ingest_weather.py rejected
  ingest_weather.py rejected --retry --measure Humidity
  ingest_weather.py rejected --discard --before 2026-11-01

exit statuses: 0; 2 wrong usage; 74 the journal is unusable; 75 a run is under
way; 78 WEATHER_JOURNAL is off or wrong."""


def main(words: Sequence[str], overall: argparse.Namespace) -> int:
    """Returns an exit status. overall: the options before the command."""
    options = make_parser().parse_args(words, overall)
    if options.dry_run:
        raise UsageError("rejected has no --dry-run.", "To list only: ingest_weather.py rejected")
    path = options.sources.early("WEATHER_JOURNAL")
    if path is None:
        what = "There is no journal, because WEATHER_JOURNAL is off or wrong."
        raise SettingsError(what, "To see which: ingest_weather.py check")
    if not path.exists():
        print("[]" if options.json else f"There is no journal at {path} yet.")
        return Status.OK
    with closing(JournalFile(path)) as journal:
        entries = rejected(journal, options.place, options.measure, options.before)
        if not (options.retry or options.discard) or not (entries or options.json):
            _show(entries, as_json=options.json)
            return Status.OK
        lock = RunLock(path, epoch_ms())
        try:
            change = _retry if options.retry else _discard
            change(journal, entries, options)
        finally:
            lock.release()
    return Status.OK


def _retry(journal: JournalFile, entries: list[RejectedEntry], options: argparse.Namespace) -> None:
    done = retry(journal, entries, epoch_ms())
    if options.json:
        counts = asdict(done)
        terminal.print_json({"records": counts.pop("pending"), "action": "put back", **counts})
        return
    sentences = (
        (done.pending, "put back for the next run that writes to the same table."),
        (done.superseded, "discarded, because a later value was fetched."),
        (done.unbeatable, "not put back: the table has the highest possible version already."),
    )
    text = " ".join(f"{plural(count, 'record')} {what}" for count, what in sentences if count)
    terminal.print_lines(terminal.wrap(text))


def _discard(
    journal: JournalFile, entries: list[RejectedEntry], options: argparse.Namespace
) -> None:
    records = plural(len(entries), "record")
    if entries and not options.yes:
        _show(entries, as_json=False)
        if not _confirmed(records):
            print("Nothing was discarded.")
            return
    discard(journal, entries)
    if options.json:
        terminal.print_json({"records": len(entries), "action": "discarded"})
    else:
        print(f"{records} discarded.")


def _confirmed(records: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask on.", "To discard anyway, add --yes.")
    try:
        answer = input(f"Discard {records} permanently? [y/N] ")
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")


def _show(entries: list[RejectedEntry], *, as_json: bool) -> None:
    if as_json:
        terminal.print_json([_as_dict(entry) for entry in entries], indent=2)
        return
    if not entries:
        print("No rejected records.")
        return
    targets = sorted({entry.target for entry in entries})
    terminal.print_lines(_lines(entries, name_target=len(targets) > 1))
    by = targets[0] if len(targets) == 1 else f"{len(targets)} tables"
    count = f"{plural(len(entries), 'record')} rejected by {by}."
    advice = "Fix the cause and use --retry, or use --discard."
    terminal.print_lines(["", *terminal.wrap(f"{count} {advice}")])


def _lines(entries: list[RejectedEntry], *, name_target: bool) -> Iterator[str]:
    """One line per record; below those that were rejected together their common reason."""
    heading, *lines = terminal.value_table(entry.observation for entry in entries)
    yield heading
    reasons = [_reason(entry, name_target=name_target) for entry in entries]
    groups = groupby(zip(reasons, lines, strict=True), lambda pair: pair[0])
    for number, (reason, group) in enumerate(groups):
        if number:
            yield ""
        yield from (line for _, line in group)
        yield from terminal.wrap(reason, " " * 4, " " * 4)


def _reason(entry: RejectedEntry, *, name_target: bool) -> str:
    """What the service said, then by whom and when the record was rejected."""
    reason = one_line(entry.reason).strip()
    stop = "" if reason.endswith((".", "!", "?")) else "."
    by = f" by {entry.target}" if name_target else ""
    attempt = f", attempt {entry.attempts}" if entry.attempts > 1 else ""
    return f"{reason}{stop} (Rejected{by} at {iso_time(entry.rejected_ms)}{attempt}.)"


def _as_dict(entry: RejectedEntry) -> dict[str, object]:
    observation = entry.observation
    ((measure, value),) = observation.values.items()
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
    parser = command_parser("rejected", _DESCRIPTION, _EPILOG)
    action = parser.add_mutually_exclusive_group()
    add_flag(action, "--retry", "put back: the next run writes them")
    add_flag(action, "--discard", "delete them permanently")
    add_flag(parser, "--yes", "discard without a question")
    add_flag(parser, "--json", "print JSON")
    add_place_option(parser, "only this place or city")
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
    """Epoch milliseconds of an ISO 8601 time; UTC if it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2026-11-23") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)

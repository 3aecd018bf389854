"""Readings of the journal: needs neither AWS nor the secret, and changes nothing."""

import argparse
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from commands.show.readings import Reading, Shown, latest_of
from ingest.errors import SettingsError
from ingest.journal import history
from ingest.journal.history import Kept
from ingest.journal.rejected import RejectedEntry
from ingest.journal.schema import JournalFile
from ingest.reporting.redaction import one_line
from ingest.reporting.text import plural
from ingest.settings import Sources


def from_journal(sources: Sources, options: argparse.Namespace) -> Shown:
    path = sources.early("WEATHER_JOURNAL")
    if path is None:
        raise SettingsError(
            "There is no journal to show, because WEATHER_JOURNAL is off or wrong.",
            "To ask the table: ingest_weather.py show --from-timestream",
        )
    with open_if_any(path) as journal:
        kept = _wanted(history.kept(journal, options.start_ms), options) if journal else []
        latest = history.latest(journal) if journal else []
    units = options.units or sources.early("WEATHER_UNITS") or "metric"
    last_readings = latest_of(_readings(_wanted(latest, options), options, units))
    readings = _readings(kept, options, units)
    readings = [reading for reading in readings if reading.time_ms <= options.end_ms]
    shown = Shown("the journal", options.start_ms, options.end_ms, units, last_readings, readings)
    if not latest:
        where = f"The journal {path} is empty" if journal else f"There is no journal at {path} yet"
        shown.notes.append(f"{where}: nothing was fetched yet.")
    elif not last_readings:
        names = sorted({one_line(each.observation.place.name) for each in latest})
        shown.notes.append(f"The journal has no such readings. Its places: {'; '.join(names)}.")
    if count := sum(each.pending for each in kept):
        observations = f"{plural(count, 'observation')} {'is' if count == 1 else 'are'}"
        shown.notes.append(f"{observations} pending: fetched, and not yet confirmed by Timestream.")
    fetched_in = {each.units for each in (*readings, *last_readings)} - {units}
    if options.units and fetched_in:
        shown.notes.append(
            f"--units {units} does not change readings that were fetched in "
            f"{' and '.join(sorted(fetched_in))} units."
        )
    return shown


def open_if_any(path: Path | None) -> AbstractContextManager[JournalFile | None]:
    """The journal, to be read; None if there is none yet, or WEATHER_JOURNAL is off."""
    if path is None or not path.exists() or not path.stat().st_size:
        return nullcontext()
    return closing(JournalFile(path, read_only=True))


def _wanted(kept: Iterable[Kept], options: argparse.Namespace) -> list[Kept]:
    """Those of --place that have one of --measure."""
    return [each for each in kept if each.observation.is_one_of(options.place, options.measure)]


def readings_of(entry: Kept | RejectedEntry, units: str) -> Iterator[Reading]:
    """units: of an observation that does not say its own."""
    seen, pending = entry.observation, isinstance(entry, Kept) and entry.pending
    place, dimensions, units = seen.place.name, seen.dimensions, seen.units or units
    for name, value in seen.values.items():
        yield Reading(
            place, dimensions, name, seen.time_ms, value, pending, units, seen.utc_offset_s
        )


def _readings(kept: Iterable[Kept], options: argparse.Namespace, units: str) -> list[Reading]:
    """Those of --measure, oldest first. If the journal has several with the same place, measure and
    time, the last one counts: it has the highest version."""
    return list(
        {
            (reading.place, reading.measure, reading.time_ms): reading
            for each in kept
            for reading in readings_of(each, units)
            if not options.measure or reading.measure in options.measure
        }.values()
    )

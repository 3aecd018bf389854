"""Readings of the journal: needs neither AWS nor the secret, and changes nothing."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from commands.show.readings import Reading, Shown, latest_of
from commands.terminal import plural
from ingest.errors import SettingsError
from ingest.journal import history
from ingest.journal.history import Kept
from ingest.journal.schema import JournalFile
from ingest.places import place_key
from ingest.reporting.redaction import one_line
from ingest.settings import Sources


def from_journal(sources: Sources, options: argparse.Namespace) -> Shown:
    path = sources.early("WEATHER_JOURNAL")
    if path is None:
        raise SettingsError(
            "WEATHER_JOURNAL is off or wrong: without a journal there is nothing to show. "
            "--from-timestream asks the table."
        )
    with open_if_any(path) as journal:
        kept = history.kept(journal, options.start_ms) if journal else []
        latest = history.latest(journal) if journal else []
    units = options.units or sources.early("WEATHER_UNITS") or "metric"
    kept = _wanted(kept, options)
    last_readings = latest_of(_readings(_wanted(latest, options), options.measure, units))
    readings = _readings(kept, options.measure, units)
    readings = [reading for reading in readings if reading.time_ms <= options.end_ms]
    shown = Shown("the journal", options.start_ms, options.end_ms, units, last_readings, readings)
    if not latest:
        where = f"The journal {path} is empty" if journal else f"There is no journal at {path} yet"
        shown.notes.append(f"{where}: nothing was fetched so far.")
    elif not last_readings:
        names = sorted({one_line(each.observation.place.name) for each in latest})
        shown.notes.append(f"The journal has no such reading. Its places: {'; '.join(names)}.")
    if count := sum(each.pending for each in kept):
        observations = f"{plural(count, 'observation')} {'is' if count == 1 else 'are'}"
        shown.notes.append(f"{observations} pending: fetched, and not yet confirmed by Timestream.")
    fetched_in = {each.units for each in (*readings, *last_readings)} - {units}
    if options.units and fetched_in:
        shown.notes.append(
            f"The journal knows what was fetched in {' and '.join(sorted(fetched_in))} units: "
            f"--units {units} is not for that."
        )
    return shown


@contextmanager
def open_if_any(path: Path | None) -> Iterator[JournalFile | None]:
    """The journal, to be read; None if there is none yet, or WEATHER_JOURNAL is off."""
    if path is None or not path.exists() or not path.stat().st_size:
        yield None
        return
    with closing(JournalFile(path, read_only=True)) as journal:
        yield journal


def _wanted(kept: Iterable[Kept], options: argparse.Namespace) -> list[Kept]:
    """Those of --place, in any spelling, that have one of --measure."""
    places = set(map(place_key, options.place))
    measures = set(options.measure)
    return [
        each
        for each in kept
        if (not places or places & each.observation.place_keys)
        and (not measures or measures & each.observation.values.keys())
    ]


def _readings(kept: Iterable[Kept], measures: Sequence[str], units: str) -> list[Reading]:
    """Sorted by time, each once: of those with the same place, measure and time the last, which has
    the highest version.

    measures: only these; none: all. units: of observations that do not say theirs.
    """
    readings = {}
    for each in kept:
        seen = each.observation
        for measure, value in seen.values.items():
            if not measures or measure in measures:
                readings[seen.place.name, measure, seen.time_ms] = Reading(
                    seen.place.name,
                    seen.city,
                    seen.country,
                    measure,
                    seen.time_ms,
                    value,
                    each.pending,
                    seen.units or units,
                    seen.utc_offset_s,
                )
    return sorted(readings.values(), key=lambda reading: reading.time_ms)

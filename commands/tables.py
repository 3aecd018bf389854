"""Records as a person reads them, and as a program does."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress

from rich.console import Console
from rich.table import Table

from timestream_writer import Record, records_of
from weather import Observation, iso_time, one_line


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read it has gone; rich would end the program here, with a status of its own."""
        with suppress(SystemExit):
            super().on_broken_pipe()


def console() -> Console:
    """Standard output: as wide as the terminal, or as wide as it takes where there is none."""
    if not sys.stdout.isatty():
        return _Console(width=200, color_system=None)
    return _Console() if fancy() else _Console(color_system=None)


def fancy() -> bool:
    """Whether standard output may have colours and more than ASCII: a terminal, no NO_COLOR."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")
    return wanted and sys.stdout.isatty() and sys.stdout.encoding.lower().startswith("utf")


def print_records(observations: Iterable[Observation]) -> None:
    """Print one line a record."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("time", "place", "measure", "value", "version"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for observation in observations:
        for record in records_of(observation):
            table.add_row(
                iso_time(observation.time_ms),
                one_line(observation.place.name),
                record["MeasureName"],
                one_line(record["MeasureValue"]),
                str(observation.version),
            )
    console().print(table)


def records_as_json(observations: Iterable[Observation]) -> list[Record]:
    return [record for observation in observations for record in records_of(observation)]

"""Records as a person reads them, and as a program does."""

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from ingest.observation import Observation, iso_time, one_line
from timestream_writer import Record, records_of

# Where nobody says how wide it is.
MAIL_WIDTH = 80

GAP = "  "

# Of a column that is cut; enough to tell most places apart.
NARROWEST = 8


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


def width() -> int:
    """Columns that a line may have: the terminal's, or what a mail shows without wrapping."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else MAIL_WIDTH


def aligned(
    rows: Iterable[Sequence[str]], *, right: Collection[int] = (), elastic: int | None = None
) -> list[str]:
    """One line a row, its columns aligned and nothing behind the last one.

    right: numbers of the columns that are aligned to the right. elastic: number of the one that is
    cut where a line would be longer than the terminal; all others, and those that go into a mail
    or a program, stay whole.
    """
    cells = [[one_line(text) for text in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    if elastic is not None and sys.stdout.isatty():
        too_wide = _total(widths) - width()
        widths[elastic] -= max(0, min(too_wide, widths[elastic] - NARROWEST))
    return [
        GAP.join(
            _fitted(text, wide, right=number in right)
            for number, (text, wide) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _fitted(text: str, wide: int, *, right: bool) -> str:
    """The text in so many columns of a terminal, in which 東 takes two."""
    if cell_len(text) > wide:
        dots = "\u2026" if (sys.stdout.encoding or "").lower().startswith("utf") else "..."
        return set_cell_size(text, wide - len(dots)) + dots
    blanks = " " * (wide - cell_len(text))
    return blanks + text if right else text + blanks


def print_lines(lines: Iterable[str]) -> None:
    """What the terminal's encoding has no sign for is shown as a question mark."""
    encoding = sys.stdout.encoding or "ascii"
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding))


def headed(lines: Sequence[str]) -> list[str]:
    """The lines of a table, the first of which has the names of its columns."""
    heading, *others = lines
    return [f"\x1b[1m{heading}\x1b[0m" if fancy() else heading, *others]


def print_records(observations: Iterable[Observation]) -> None:
    """Print one line a record; its version only where the lines stay short enough with it."""
    rows: list[tuple[str, ...]] = [("time", "place", "measure", "value", "version")]
    for observation in observations:
        for record in records_of(observation):
            rows.append(
                (
                    iso_time(observation.time_ms),
                    observation.place.name,
                    record["MeasureName"],
                    record["MeasureValue"],
                    str(observation.version),
                )
            )
    if max(map(cell_len, aligned(rows, right=(3,)))) > width():
        rows = [row[:-1] for row in rows]
    print_lines(headed(aligned(rows, right=(3,), elastic=1)))


def records_as_json(observations: Iterable[Observation]) -> list[Record]:
    return [record for observation in observations for record in records_of(observation)]

"""The terminal, or the mail or file instead of it: its width, what it can show, and how texts,
tables, JSON and progress get there. What a plain run does not need is imported in its function."""

import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from logging import Logger

from ingest.errors import Interrupted, Status
from ingest.observation import Observation, iso_time
from ingest.reporting.redaction import one_line

MAIL_WIDTH = 80  # a mail shows this without wrapping
MAX_TEXT_WIDTH = 100  # longer lines of prose are hard to read
MIN_COLUMN = 8  # of a column that is cut: enough to distinguish most places
GAP = "  "

# Styles: ECMA-48's "select graphic rendition"
BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


def open_streams() -> None:
    """Replace streams that were closed before the start by /dev/null. Characters that standard
    output cannot encode are escaped, as on standard error."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  (stays open)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def write_output(write: Callable[[], int], log: Logger) -> int:
    """Call what writes to standard output, flush it, and return the status.

    OK if the reader is gone, because it has seen enough (head). EX_IOERR if the disk is full.
    """
    try:
        status = write()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        status = Status.OK
    except OSError as error:
        if error.filename is not None:  # of a file, not of standard output
            raise
        log.error("The output cannot be written: %s.", error.strerror)
        status = Status.IOERR
    drop_output()
    return status


def drop_output() -> None:
    """From now on standard output leads nowhere, so that flushing its buffer cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Turn Ctrl-C into an Interrupted with this message."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None


def width() -> int:
    """Columns of a line on standard output."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else MAIL_WIDTH


def supports_color() -> bool:
    """Whether standard output is a terminal that shows colours and more than ASCII."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return sys.stdout.isatty() and supports_unicode()


def supports_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


def styled(text: str, style: str) -> str:
    """style: one of those above, or several with ; between."""
    return f"\x1b[{style}m{text}\x1b[0m" if text and supports_color() else text


def span(seconds: float) -> str:
    """A duration in its largest unit that gives at least 2: 90 s, 12 min, 26 h, 3 d."""
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(time_ms: int) -> str:
    """12 min ago, or in 3 h if it is in the future. time_ms: epoch milliseconds."""
    seconds = time.time() - time_ms / 1000
    return f"in {span(-seconds)}" if seconds < 0 else f"{span(seconds)} ago"


def wrap(text: str, first: str = "", rest: str = "", columns: int = 0) -> list[str]:
    """Lines that fit; a longer word, such as a path or an ARN, stays whole so it can be copied.

    first, rest: indents of the first line and of the others. columns: 0 is the width of prose.
    """
    import textwrap

    return textwrap.wrap(
        one_line(text),
        columns or min(width(), MAX_TEXT_WIDTH),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_lines(lines: Iterable[str]) -> None:
    """Print now, with ? for each character that cannot be encoded: columns stay aligned."""
    encoding = sys.stdout.encoding or "ascii"
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def print_json(value: object, indent: int | None = None) -> None:
    """Characters that the encoding may lack, or that move the cursor, become JSON escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=not supports_unicode())
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[int] = (),
    elastic: int | None = None,
) -> list[str]:
    """The lines of a table with aligned columns, headings in bold, no spaces at the end of a line.

    right: numbers of the columns that are aligned to the right. elastic: number of the column that
    is cut if a line would be wider than the terminal; in a mail or a file nothing is cut.
    """
    cells = [[one_line(text) for text in row] for row in (headings, *rows)]
    widths = column_widths(cells)
    if elastic is not None and sys.stdout.isatty():
        excess = sum(widths) + len(GAP) * (len(widths) - 1) - width()
        widths[elastic] -= max(0, min(excess, widths[elastic] - MIN_COLUMN))
    heading, *lines = (align(row, widths, right).rstrip() for row in cells)
    return [styled(heading, BOLD), *lines]


def value_table(observations: Iterable[Observation], *, with_version: bool = False) -> list[str]:
    """One line per value. with_version: the observation's too, if that fits."""
    headings = ("time", "place", "measure", "value", "version")
    rows = [
        (iso_time(seen.time_ms), seen.place.name, measure, value, str(seen.version))
        for seen in observations
        for measure, value in seen.values.items()
    ]
    widths = column_widths([headings, *rows])
    fits = sum(widths) + 4 * len(GAP) <= width()
    shown = 5 if with_version and fits else 4
    return table(headings[:shown], [row[:shown] for row in rows], right=(3,), elastic=1)


def column_widths(rows: Iterable[Sequence[str]]) -> list[int]:
    """The width of each column's longest text, as a terminal counts it: 東 takes two."""
    from rich.cells import cell_len

    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def align(row: Sequence[str], widths: Sequence[int], right: Collection[int] = ()) -> str:
    """One line of a table, each text cut or padded to the width of its column."""
    from rich.cells import cell_len, set_cell_size

    cells = []
    for number, (text, columns) in enumerate(zip(row, widths, strict=True)):
        if cell_len(text) > columns:
            dots = "…" if supports_unicode() else "..."
            cells.append(set_cell_size(text, columns - len(dots)) + dots)
        else:
            padding = " " * (columns - cell_len(text))
            cells.append(padding + text if number in right else text + padding)
    return GAP.join(cells)


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """On a terminal, a status line on standard error until the end of the block.

    Yields a function that adds to the line how far it is.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    room = console.width - len("- ")
    with console.status(f"{what[: room - 4]} ...", spinner="line") as status:
        yield lambda so_far: status.update(f"{what}: {so_far}"[:room])

"""The terminal, or the mail or file in its place: how wide it is, what it can show, and how texts,
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
from ingest.reporting.redaction import one_line

# What a mail shows without wrapping.
MAIL_WIDTH = 80

# The longest line of prose that is easy to read.
WIDEST_TEXT = 100

GAP = "  "

# Of a column that is cut; enough to distinguish most places.
NARROWEST_COLUMN = 8

# Styles: ECMA-48's "select graphic rendition"
BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


# --- the streams


def open_streams() -> None:
    """Streams that were closed before the start lead nowhere, as after > /dev/null. What standard
    output has no character for is escaped, as on standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (for good)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def write_output(write: Callable[[], int], log: Logger) -> int:
    """Call what writes to standard output, and flush that; returns its status.

    A reader that has gone, such as head, has seen enough: OK. A full disk is EX_IOERR.
    """
    try:
        status = write()
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        return Status.OK
    except OSError as error:
        if error.filename is not None:  # not the output's
            raise
        log.error("The output cannot be written: %s.", error.strerror)
        drop_output()
        return Status.IOERR
    return status


def drop_output() -> None:
    """Standard output leads nowhere from here on: what its buffer still has must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Ctrl-C within ends the command, and this is what it says."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None


# --- what standard output can show


def width() -> int:
    """Columns that a line may have: the terminal's, or a mail's."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else MAIL_WIDTH


def supports_color() -> bool:
    """Whether colours and more than ASCII are welcome: a terminal, no NO_COLOR."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return sys.stdout.isatty() and supports_unicode()


def supports_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


def styled(text: str, style: str) -> str:
    """style: one of those above, or several with ; between."""
    return f"\x1b[{style}m{text}\x1b[0m" if text and supports_color() else text


# --- texts


def plural(count: int, noun: str) -> str:
    """1 record, 2 records"""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def age(milliseconds: int) -> str:
    """just now, 12 min ago, 3 h 5 min ago, 1 d 2 h ago, 40 d ago"""
    minutes = round(milliseconds / 60_000)
    if minutes < 1:
        return "just now"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h ago" if days < 7 else f"{days} d ago"
    return f"{hours} h {minutes} min ago" if hours else f"{minutes} min ago"


def span(seconds: float) -> str:
    """A time in its greatest unit that leaves at least two of it: 90 s, 12 min, 26 h, 3 d."""
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(time_ms: int) -> str:
    """12 min ago; in 3 h for what lies ahead. time_ms: epoch milliseconds."""
    seconds = time.time() - time_ms / 1000
    return f"in {span(-seconds)}" if seconds < 0 else f"{span(seconds)} ago"


def wrap(text: str, first: str = "", rest: str = "", columns: int = 0) -> list[str]:
    """Lines that fit; a longer word, such as a path or an ARN, stays whole to be copied.

    first, rest: what the first line and the others begin with. columns: 0 is the width of prose.
    """
    import textwrap

    return textwrap.wrap(
        one_line(text),
        columns or min(width(), WIDEST_TEXT),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_lines(lines: Iterable[str]) -> None:
    """Print at once, with a question mark for what the encoding lacks: columns stay aligned."""
    encoding = sys.stdout.encoding or "ascii"
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def print_json(value: object, indent: int | None = None) -> None:
    """What the encoding may lack, or what moves the cursor, is escaped as JSON has it."""
    text = json.dumps(value, indent=indent, ensure_ascii=not supports_unicode())
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


# --- tables


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[int] = (),
    elastic: int | None = None,
) -> list[str]:
    """The lines of a table: a bold one with the names of its columns, then as `aligned`."""
    heading, *lines = aligned([headings, *rows], right=right, elastic=elastic)
    return [styled(heading, BOLD), *lines]


def aligned(
    rows: Iterable[Sequence[str]], *, right: Collection[int] = (), elastic: int | None = None
) -> list[str]:
    """One line a row, its columns aligned and nothing after the last one.

    right: numbers of the columns that are aligned to the right. elastic: number of the one that is
    cut if a line would be longer than the terminal; all others, and those that go into a mail or a
    program, stay whole.
    """
    cells = [[one_line(text) for text in row] for row in rows]
    widths = column_widths(cells)
    if elastic is not None and sys.stdout.isatty():
        excess = sum(widths) + len(GAP) * (len(widths) - 1) - width()
        widths[elastic] -= max(0, min(excess, widths[elastic] - NARROWEST_COLUMN))
    return [align(row, widths, right).rstrip() for row in cells]


def column_widths(rows: Iterable[Sequence[str]]) -> list[int]:
    """Columns of a terminal that the longest text of each column takes; 東 takes two."""
    from rich.cells import cell_len

    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def align(row: Sequence[str], widths: Sequence[int], right: Collection[int] = ()) -> str:
    """One line of a table, its texts cut or filled up to the widths of their columns."""
    return GAP.join(
        _fit(text, columns, right=number in right)
        for number, (text, columns) in enumerate(zip(row, widths, strict=True))
    )


def _fit(text: str, columns: int, *, right: bool) -> str:
    from rich.cells import cell_len, set_cell_size

    missing = columns - cell_len(text)
    if missing < 0:
        dots = "…" if supports_unicode() else "..."
        return set_cell_size(text, columns - len(dots)) + dots
    return " " * missing + text if right else text + " " * missing


# --- progress


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """On a terminal, a line on standard error while something slow goes on; gone at the end.

    Yields a function that says how far it is.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    room = console.width - len("- ")
    with console.status(f"{what[: room - 4]} ...", spinner="line") as status:
        yield lambda so_far: status.update(f"{what}: {so_far}"[:room])

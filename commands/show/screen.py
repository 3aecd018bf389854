"""Readings as a person looks at them: the latest of each place, then a table with trends."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from statistics import fmean

from commands import terminal
from commands.show.readings import (
    CODES,
    DIRECTIONS,
    HOUR_MS,
    Reading,
    Series,
    Shown,
    by_place,
    mean_direction,
)
from commands.show.sparkline import BARS, PLAIN, sparkline
from commands.terminal import BOLD, GAP, styled, supports_color
from ingest.observation import MEASURES, NUMBER, TIME, iso_time
from ingest.reporting.redaction import one_line

_PLACE = f"{BOLD};{terminal.CYAN}"
_STALE_MS = 3 * HOUR_MS
_HEADINGS = ("place, measure", "min", "mean", "max", "latest", "unit")
_NUMBERS = range(1, 5)
_TREND_WIDTHS = range(8, 49)
# Of a text in the table; no measure's name or number is as long.
_MAX_CELL = 24


def print_screen(shown: Shown) -> None:
    """Print both parts, if there is any reading at all, and the notes."""
    if shown.latest:
        terminal.print_lines(line.rstrip() for line in _lines(shown))
    terminal.print_lines(shown.notes)


def _lines(shown: Shown) -> Iterator[str]:
    yield styled("Latest readings", BOLD)
    yield from _latest_lines(shown)
    yield ""
    if not shown.readings:
        yield f"No readings in the {shown.time}."
        return
    yield styled(f"The {shown.time}, from {shown.source}", BOLD)
    yield from _table_lines(shown)
    if not supports_color():
        yield f"(trend: {PLAIN} from lowest to highest, blank where nothing is known)"


def _latest_lines(shown: Shown) -> Iterator[str]:
    for place, several in by_place(shown.latest).items():
        readings = [series[-1] for series in several]
        time_ms = readings[0].time_ms
        age_ms = shown.end_ms - time_ms
        color = terminal.YELLOW if age_ms > _STALE_MS else terminal.GREEN
        line = f"{styled(one_line(place), _PLACE)}  {iso_time(time_ms)}  "
        line += styled(terminal.age(age_ms), color)
        if any(reading.pending for reading in readings):
            line += "  " + styled("pending", terminal.YELLOW)
        yield line
        texts = (f"{each.measure} {_value(each)} {_unit(each)}".rstrip() for each in readings)
        for packed in _packed(texts, terminal.width() - 2):
            yield f"  {packed}"


def _packed(items: Iterable[str], columns: int) -> Iterator[str]:
    """As many items on a line as fit."""
    line = ""
    for item in items:
        if line and len(line) + 3 + len(item) > columns:
            yield line
            line = ""
        line += f"   {item}" if line else item
    yield line


def _table_lines(shown: Shown) -> Iterator[str]:
    """A line a place, and below it one for each of its measures, in each unit it came in.

    Rich lays out a table of 60,000 rows in a minute.
    """
    places = {
        place: [(_cells(series), series) for series in several]
        for place, several in by_place(shown.readings).items()
    }
    widths = terminal.column_widths(
        [_HEADINGS, *(cells for rows in places.values() for cells, _ in rows)]
    )
    left = terminal.width() - sum(widths) - len(GAP) * len(widths)
    trend_width = min(max(left, _TREND_WIDTHS[0]), _TREND_WIDTHS[-1])
    yield styled(f"{terminal.align(_HEADINGS, widths, _NUMBERS)}{GAP}trend", BOLD)
    for place, rows in places.items():
        yield styled(one_line(place), _PLACE)
        for cells, series in rows:
            trend = styled(_trend(series, shown, trend_width), terminal.CYAN)
            yield f"{terminal.align(cells, widths, _NUMBERS)}{GAP}{trend}"


def _cells(series: Series) -> tuple[str, ...]:
    """A row below _HEADINGS; numbers are - if they would say nothing."""
    latest = series[-1]
    numbers = [number for _, number in _points(series)]
    decimals = min(2, max(len(reading.value.partition(".")[2]) for reading in series))
    lowest = mean = highest = None
    if numbers and latest.measure in DIRECTIONS:  # the mean of 350 and 10 degrees is not south
        mean = mean_direction(numbers)
    elif numbers:
        lowest, mean, highest = min(numbers), fmean(numbers), max(numbers)
    return (
        f"  {latest.measure}",
        _number(lowest, decimals),
        _number(mean, decimals or 1),
        _number(highest, decimals),
        _value(latest)[:_MAX_CELL],
        _unit(latest),
    )


def _points(series: Series) -> list[tuple[int, float]]:
    """(epoch ms, number); none of what can be neither averaged nor drawn."""
    measure = series[-1].measure
    if MEASURES[measure].kind != NUMBER or measure in CODES:
        return []
    return [(reading.time_ms, float(reading.value)) for reading in series]


def _number(number: float | None, decimals: int) -> str:
    return "-" if number is None else f"{number:.{decimals}f}"


def _value(reading: Reading) -> str:
    """As a person reads it: a time of day, UTC, instead of epoch milliseconds."""
    if MEASURES[reading.measure].kind == TIME:
        return datetime.fromtimestamp(float(reading.value) / 1000, UTC).strftime("%H:%MZ")
    return one_line(reading.value)


def _unit(reading: Reading) -> str:
    if MEASURES[reading.measure].kind == TIME:
        return ""
    if supports_color():
        return reading.unit
    return "deg" if reading.unit == "°" else reading.unit.replace("°", "")


def _trend(series: Series, shown: Shown, columns: int) -> str:
    points = _points(series)
    levels = BARS if supports_color() else PLAIN
    return sparkline(points, shown.start_ms, shown.end_ms, columns, levels) if points else ""

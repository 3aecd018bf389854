"""Readings as a person looks at them: the latest of each place, then a table with trends."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import isclose
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
    gap_limit_ms,
    mean_direction,
)
from commands.terminal import BOLD, GAP, styled, supports_color
from ingest.observation import MEASURES, NUMBER, TIME, iso_time
from ingest.reporting.redaction import one_line

BARS = "▁▂▃▄▅▆▇█"
PLAIN = ".:-=+*#@"

_PLACE = f"{BOLD};{terminal.CYAN}"
_STALE_MS = 3 * HOUR_MS
_HEADINGS = ("place, measure", "min", "mean", "max", "latest", "unit")
_NUMBERS = range(1, 5)
_NARROWEST_TREND, _WIDEST_TREND = 8, 48
# Of a text in the table; no measure's name or number is as long.
_MAX_CELL = 24


def print_screen(shown: Shown) -> None:
    """Print both parts, if there is any reading, and the notes."""
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
        yield f"(trend: {PLAIN} from lowest to highest, blank: no reading)"


def _latest_lines(shown: Shown) -> Iterator[str]:
    for place, several in by_place(shown.latest).items():
        readings = [series[-1] for series in several]
        time_ms = readings[0].time_ms
        age_ms = shown.end_ms - time_ms
        color = terminal.YELLOW if age_ms > _STALE_MS else terminal.GREEN
        line = f"{styled(one_line(place), _PLACE)}  {iso_time(time_ms)}  "
        line += styled(terminal.ago(time_ms), color)
        if any(reading.pending for reading in readings):
            line += "  " + styled("pending", terminal.YELLOW)
        yield line
        texts = (f"{each.measure} {_value(each)} {_unit(each)}".rstrip() for each in readings)
        yield from _packed(texts, terminal.width())


def _packed(items: Iterable[str], columns: int) -> Iterator[str]:
    """As many items on a line as fit."""
    line = ""
    for item in items:
        if line and len(line) + 3 + len(item) > columns:
            yield line
            line = ""
        line += f"   {item}" if line else f"  {item}"
    yield line


def _table_lines(shown: Shown) -> Iterator[str]:
    """For each place a line, and below it one for each of its measures and units.

    Rich needs a minute to lay out a table of 60,000 rows.
    """
    places = {
        place: [(_cells(series), series) for series in several]
        for place, several in by_place(shown.readings).items()
    }
    widths = terminal.column_widths(
        [_HEADINGS, *(cells for rows in places.values() for cells, _ in rows)]
    )
    left = terminal.width() - sum(widths) - len(GAP) * len(widths)
    trend_width = min(max(left, _NARROWEST_TREND), _WIDEST_TREND)
    levels = BARS if supports_color() else PLAIN
    yield styled(f"{terminal.align(_HEADINGS, widths, _NUMBERS)}{GAP}trend", BOLD)
    for place, rows in places.items():
        yield styled(one_line(place), _PLACE)
        for cells, series in rows:
            line = sparkline(_points(series), shown.start_ms, shown.end_ms, trend_width, levels)
            trend = styled(line, terminal.CYAN)
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
        *(
            "-" if number is None else f"{number:.{digits}f}"
            for number, digits in ((lowest, decimals), (mean, decimals or 1), (highest, decimals))
        ),
        _value(latest)[:_MAX_CELL],
        _unit(latest),
    )


def _points(series: Series) -> list[tuple[int, float]]:
    """(epoch ms, number); empty if the measure can be neither averaged nor drawn."""
    measure = series[-1].measure
    if MEASURES[measure].kind != NUMBER or measure in CODES:
        return []
    return [(reading.time_ms, float(reading.value)) for reading in series]


def _value(reading: Reading) -> str:
    """As a person reads it: a time of day, UTC, instead of epoch milliseconds."""
    if MEASURES[reading.measure].kind == TIME:
        return f"{iso_time(int(float(reading.value)))[11:16]}Z"
    return one_line(reading.value)


def _unit(reading: Reading) -> str:
    if MEASURES[reading.measure].kind == TIME:
        return ""
    if supports_color():
        return reading.unit
    return "deg" if reading.unit == "°" else reading.unit.replace("°", "")


def sparkline(
    points: Sequence[tuple[int, float]], start_ms: int, end_ms: int, width: int, levels: str = BARS
) -> str:
    """The points over the time from start to end: each character the mean of its share of it.

    points: (epoch ms, value), oldest first. levels: characters from the lowest to the highest. A
    blank is a gap; between two readings without a gap the line leads from one to the other.
    """
    shares: dict[int, list[float]] = {}
    numbers = []
    for time_ms, value in points:
        number = (time_ms - start_ms) * width // max(1, end_ms - start_ms)
        numbers.append(min(width - 1, max(0, number)))
        shares.setdefault(numbers[-1], []).append(value)
    cells = {number: fmean(values) for number, values in shares.items()}
    times_ms = [time_ms for time_ms, _ in points]
    limit_ms = gap_limit_ms(times_ms)
    for (left, left_ms), (right, right_ms) in pairwise(zip(numbers, times_ms, strict=True)):
        if right_ms - left_ms <= limit_ms:
            first, last = cells[left], cells[right]
            for number in range(left + 1, right):
                cells[number] = first + (last - first) * (number - left) / (right - left)
    lowest, highest = min(cells.values(), default=0), max(cells.values(), default=0)
    # The means of 11.87 alone differ in their last digit, which would be drawn as a full swing.
    is_flat = isclose(highest, lowest, rel_tol=1e-9, abs_tol=1e-9)

    def level(value: float) -> str:
        share = 0.49 if is_flat else (value - lowest) / (highest - lowest)
        return levels[min(int(share * len(levels)), len(levels) - 1)]

    return "".join(level(cells[each]) if each in cells else " " for each in range(width))

"""Readings as a person looks at them: the latest of each place, then a table with trends.

Printed as text of our own making: rich lays out a table of 60,000 rows in a minute.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from commands.readings import (
    CODES,
    HOUR_MS,
    Reading,
    Summary,
    age,
    by_place,
    decimals_of,
    hours_text,
    shown,
    summarize,
)
from commands.sparkline import BARS, PLAIN, sparkline
from commands.tables import GAP, fancy, print_lines, width
from ingest.observation import MEASURES, iso_time, one_line

_TREND_WIDTHS = range(8, 49)
_STALE_MS = 3 * HOUR_MS
_HEADINGS = ("place, measure", "min", "mean", "max", "latest", "unit", "trend")
# Of a text in the table; no measure's name or number is as long.
_MAX_CELL = 24

# ECMA-48's "select graphic rendition"
_BOLD, _CYAN, _GREEN, _YELLOW, _PLACE = "1", "36", "32", "33", "1;36"


@dataclass(frozen=True, slots=True)
class View:
    """The time from start to end, as wide as it may be. fancy: with colours, not in ASCII alone."""

    start_ms: int
    end_ms: int
    source: str
    width: int
    fancy: bool

    def styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.fancy and text else text


def print_screen(
    latest: Sequence[Reading],
    readings: Sequence[Reading],
    start_ms: int,
    end_ms: int,
    *,
    source: str,
) -> None:
    """Print both parts; nothing where there is no reading at all."""
    if not latest:
        return
    view = View(start_ms, end_ms, source, width(), fancy())
    print_lines(line.rstrip() for line in _lines(latest, readings, view))


def _lines(latest: Sequence[Reading], readings: Sequence[Reading], view: View) -> Iterator[str]:
    yield from _latest_lines(latest, view)
    hours = hours_text((view.end_ms - view.start_ms) / HOUR_MS)
    yield ""
    if not readings:
        yield f"No readings in the last {hours}."
        return
    yield view.styled(f"The last {hours}, from {view.source}", _BOLD)
    yield from _table_lines(readings, view)
    if not view.fancy:
        yield f"(trend: {PLAIN} from lowest to highest, blank where nothing is known)"


def _latest_lines(latest: Sequence[Reading], view: View) -> Iterator[str]:
    yield view.styled("Latest readings", _BOLD)
    for place, measured in by_place(latest).items():
        readings = [series[-1] for series in measured.values()]
        time_ms = readings[0].time_ms
        age_ms = view.end_ms - time_ms
        line = f"{view.styled(one_line(place), _PLACE)}  {iso_time(time_ms)}  "
        line += view.styled(age(age_ms), _YELLOW if age_ms > _STALE_MS else _GREEN)
        if any(reading.pending for reading in readings):
            line += "  " + view.styled("pending", _YELLOW)
        yield line
        for packed in _packed((_with_unit(each, view) for each in readings), view.width - 2):
            yield f"  {packed}"


def _with_unit(reading: Reading, view: View) -> str:
    value = one_line(shown(reading.value, reading.measure))
    return f"{reading.measure} {value} {_unit(reading, view)}".rstrip()


def _unit(reading: Reading, view: View) -> str:
    if MEASURES[reading.measure].is_time:
        return ""
    unit = reading.unit
    return unit if view.fancy else {"°": "deg"}.get(unit, unit.replace("°", ""))


def _packed(items: Iterable[str], width: int) -> Iterator[str]:
    """As many items on a line as fit."""
    line = ""
    for item in items:
        if line and len(line) + 3 + len(item) > width:
            yield line
            line = ""
        line += f"   {item}" if line else item
    yield line


def _table_lines(readings: Sequence[Reading], view: View) -> Iterator[str]:
    """A line a place, and below it one for each of its measures, in each unit it came in."""
    places = {
        place: [(_cells(series, view), series) for series in measured.values()]
        for place, measured in by_place(readings).items()
    }
    rows = [_HEADINGS[:-1], *(cells for rows in places.values() for cells, _ in rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = view.width - sum(widths) - len(GAP) * len(widths)
    trend_width = min(max(left, _TREND_WIDTHS[0]), _TREND_WIDTHS[-1])
    yield view.styled(f"{_row(_HEADINGS[:-1], widths)}{GAP}{_HEADINGS[-1]}", _BOLD)
    for place, measured in places.items():
        yield view.styled(one_line(place), _PLACE)
        for cells, series in measured:
            trend = view.styled(_trend(series, view, trend_width), _CYAN)
            yield f"{_row(cells, widths)}{GAP}{trend}"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Name and unit to the left, what lies between to the right."""
    name, *numbers, unit = (
        cell.ljust(width) if number in (0, len(cells) - 1) else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return GAP.join((name, *numbers, unit))


def _cells(readings: Sequence[Reading], view: View) -> tuple[str, ...]:
    """name, min, mean, max, latest, unit"""
    measure = readings[-1].measure
    summary: Summary = summarize(readings)
    extremes = _decimals_of_extreme(readings)
    return (
        f"  {measure}",
        _number(summary.lowest, extremes),
        _number(summary.mean, decimals_of(reading.value for reading in readings)),
        _number(summary.highest, extremes),
        one_line(shown(summary.latest, measure))[:_MAX_CELL],
        _unit(readings[-1], view),
    )


def _decimals_of_extreme(readings: Sequence[Reading]) -> int:
    """As many as the values themselves have, two at the most."""
    return min(2, max(len(reading.value.partition(".")[2]) for reading in readings))


def _number(number: float | None, decimals: int) -> str:
    if number is None:
        return "-"
    return f"{number:.{decimals}f}"


def _trend(readings: Sequence[Reading], view: View, width: int) -> str:
    points = [(each.time_ms, each.number) for each in readings]
    numbers = [(time_ms, number) for time_ms, number in points if number is not None]
    if not numbers or MEASURES[readings[-1].measure].is_time or readings[-1].measure in CODES:
        return ""
    return sparkline(numbers, view.start_ms, view.end_ms, width, BARS if view.fancy else PLAIN)

"""Readings as a person looks at them: the latest of each place, then a table with trends."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from commands.readings import (
    CODES,
    HOUR_MS,
    Reading,
    Summary,
    age,
    by_place,
    decimals_of,
    shown,
    summarize,
    unit_of,
)
from commands.sparkline import BARS, PLAIN, sparkline
from commands.tables import console, fancy
from weather import MEASURES, iso_time, one_line

# What a mail program shows without wrapping.
PLAIN_WIDTH = 80
_TREND_WIDTHS = range(8, 49)
_STALE_MS = 3 * HOUR_MS


@dataclass(frozen=True, slots=True)
class View:
    """The time from start to end, as wide as it may be. units: as WEATHER_UNITS names them."""

    start_ms: int
    end_ms: int
    units: str
    source: str
    width: int


def print_screen(
    latest: Sequence[Reading],
    readings: Sequence[Reading],
    start_ms: int,
    end_ms: int,
    *,
    units: str,
    source: str,
) -> None:
    """Print both parts; nothing where there is no reading at all."""
    if not latest:
        return
    screen = console()
    width = screen.width if sys.stdout.isatty() else PLAIN_WIDTH
    with screen.capture() as captured:
        _print_to(screen, latest, readings, View(start_ms, end_ms, units, source, width))
    for line in captured.get().splitlines():
        print(line.rstrip())


def _print_to(
    screen: Console, latest: Sequence[Reading], readings: Sequence[Reading], view: View
) -> None:
    for line in _latest_lines(latest, view):
        screen.print(line, soft_wrap=True)
    hours = f"{(view.end_ms - view.start_ms) / HOUR_MS:g} hours"
    if not readings:
        screen.print(Text(f"\nNo readings in the last {hours}."), soft_wrap=True)
        return
    screen.print(Text(f"\nThe last {hours}, from {view.source}", style="bold"), soft_wrap=True)
    screen.print(_table(readings, view))
    if not fancy():
        screen.print(Text(f"(trend: {PLAIN} from lowest to highest, blank where nothing is known)"))


def _latest_lines(latest: Sequence[Reading], view: View) -> Iterable[Text]:
    now_ms = view.end_ms
    yield Text("Latest readings", style="bold")
    for place, measured in by_place(latest).items():
        readings = [readings[-1] for readings in measured.values()]
        time_ms = readings[0].time_ms
        old = now_ms - time_ms > _STALE_MS
        line = Text(f"{one_line(place)}  {iso_time(time_ms)}  ")
        line.stylize("bold cyan", 0, len(one_line(place)))
        line.append(age(now_ms - time_ms), style="yellow" if old else "green")
        if any(reading.pending for reading in readings):
            line.append("  pending", style="yellow")
        yield line
        for packed in _packed(
            [_with_unit(reading, view.units) for reading in readings], view.width - 2
        ):
            yield Text(f"  {packed}")


def _with_unit(reading: Reading, units: str) -> str:
    value = one_line(shown(reading.value, reading.measure))
    unit = _unit(reading.measure, units)
    return f"{reading.measure} {value} {unit}".rstrip()


def _unit(measure: str, units: str) -> str:
    if MEASURES[measure].is_time:
        return ""
    unit = unit_of(measure, units)
    return unit if fancy() else {"°": "deg"}.get(unit, unit.replace("°", ""))


def _packed(items: Iterable[str], width: int) -> Iterable[str]:
    """As many items on a line as fit."""
    line = ""
    for item in items:
        if line and len(line) + 3 + len(item) > width:
            yield line
            line = ""
        line += f"   {item}" if line else item
    yield line


def _table(readings: Sequence[Reading], view: View) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("place, measure", no_wrap=True)
    for heading in ("min", "mean", "max", "latest"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("trend", no_wrap=True, overflow="crop")
    rows: list[tuple[str, list[str], Sequence[Reading]]] = []
    places = by_place(readings)
    for place, measured in places.items():
        rows.append((one_line(place), [], ()))
        rows += [
            (f"  {name}", _cells(summarize(each), each, view.units), each)
            for name, each in measured.items()
        ]
    trend_width = _trend_width(rows, view.width)
    for title, cells, each in rows:
        if not each:
            table.add_row(Text(title, style="bold cyan"))
            continue
        trend = Text(_trend(each, view, trend_width), style="cyan")
        table.add_row(Text(title), *map(Text, cells), trend)
    return table


def _trend_width(rows: Iterable[tuple[str, list[str], Sequence[Reading]]], width: int) -> int:
    """What the other columns, two blanks after each, leave of a line."""
    columns = [["place, measure", *(title for title, _, _ in rows)]]
    cells = [each for _, each, _ in rows if each]
    headings = ("min", "mean", "max", "latest", "unit")
    columns += [
        [heading, *column]
        for heading, column in zip(headings, zip(*cells, strict=True), strict=True)
    ]
    taken = sum(max(map(len, column)) + 2 for column in columns)
    return min(max(width - taken, _TREND_WIDTHS[0]), _TREND_WIDTHS[-1])


def _cells(summary: Summary, readings: Sequence[Reading], units: str) -> list[str]:
    """min, mean, max, latest, unit"""
    measure = readings[-1].measure
    decimals = decimals_of(reading.value for reading in readings)
    texts = [
        _number(summary.lowest, _decimals_of_extreme(readings)),
        _number(summary.mean, decimals),
        _number(summary.highest, _decimals_of_extreme(readings)),
    ]
    return [*texts, one_line(shown(summary.latest, measure)), _unit(measure, units)]


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
    return sparkline(numbers, view.start_ms, view.end_ms, width, BARS if fancy() else PLAIN)

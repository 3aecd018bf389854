"""Readings drawn over time: a small panel per measure, a line per place.

The only file that imports matplotlib: import it only to draw a plot.
"""

import math
from collections.abc import Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from commands.show import lines
from commands.show.lines import Look, Point
from commands.show.readings import CODES, DIRECTIONS, HOUR_MS, Quantity, Reading, Series, Shown
from commands.show.time_zone import offsets
from ingest.errors import UsageError
from ingest.observation import MEASURES, TIME
from ingest.reporting.redaction import one_line

_STYLE = Path(__file__).with_suffix(".mplstyle")
_DOTS = ("Condition", *CODES, *DIRECTIONS)
# With more readings than this in a line, dots get smaller.
_MANY = 100
# matplotlib counts days since 1970, and is much slower with a datetime.
_DAY_MS = 24 * HOUR_MS
# By what changes from tick to tick: years, months, days, hours, minutes, seconds; then the same for
# the ticks at which one of them begins.
_TICK_TEXTS: dict[str, Any] = {
    "formats": ["%Y", "%b", "%-d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
    "zero_formats": ["", "%Y", "%-d %b", "%-d %b", "%H:%M", "%H:%M"],
    "show_offset": False,
}
_MAX_WORD_LETTERS = 14
_MAX_NAME_LETTERS = 80

# Inches around the panels.
_LEFT, _RIGHT, _FOOT = 0.72, 0.45, 0.55


@mpl.rc_context(fname=_STYLE)
def save(shown: Shown, zone: tzinfo, path: Path) -> None:
    """Draw into a .png or .svg. Raises UsageError if it cannot be written."""
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    figure = draw(shown, zone)
    try:
        figure.savefig(path, dpi=150, metadata=metadata)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


@mpl.rc_context(fname=_STYLE)
def draw(shown: Shown, zone: tzinfo) -> Figure:
    """The whole picture. shown: with at least one reading."""
    panels = lines.panels_of(shown.readings)
    places = sorted({reading.place for reading in shown.readings}, key=str.casefold)
    newest_ms = max(reading.time_ms for reading in shown.readings)
    looks = lines.looks_of(places)
    legend = [(_short(place), look) for place, look in looks.items()] if len(places) > 1 else []
    if more := len(places) - len(looks):
        legend.append((f"and {more} more", lines.OTHERS))
    columns = 1 if len(panels) <= 4 else 2 if len(panels) <= 10 else 3
    figure, every_axes = _figure(len(panels), columns, legend)
    for axes, (quantity, panel) in zip(every_axes, panels.items(), strict=True):
        latest = panel[places[0]][-1] if len(places) == 1 else None
        if latest and latest.time_ms == newest_ms and latest.measure not in _DOTS:
            _label_latest(axes, latest, zone)
        _draw_panel(axes, quantity, panel, looks, zone)
    _draw_time_axes(every_axes, columns, shown, zone)
    what = f"{len(places)} places" if len(places) > 1 else _short(places[0])
    first, last = (
        f"{datetime.fromtimestamp(each / 1000, zone):%-d %b %Y %H:%M}"
        for each in (shown.start_ms, shown.end_ms)
    )
    title, below = f"Weather of {what}", f"{first} to {last}, from {shown.source}"
    width, height = figure.get_size_inches()
    figure.text(_LEFT / width, 1 - 0.12 / height, title, fontsize=13, fontweight="bold", va="top")
    figure.text(_LEFT / width, 1 - 0.38 / height, below, fontsize=8.5, color="#666666", va="top")
    return figure


def _short(name: str) -> str:
    text = one_line(name)
    return text if len(text) <= _MAX_NAME_LETTERS else f"{text[: _MAX_NAME_LETTERS - 1]}…"


def _figure(panels: int, columns: int, legend: list[tuple[str, Look]]) -> tuple[Figure, list[Axes]]:
    """The legend, and below it empty panels. All lengths are inches."""
    rows = math.ceil(panels / columns)
    width, panel_height = (8.0, 1.5) if columns == 1 else (4.6 * columns, 1.6)
    # As many labels in a row as fit: a letter is 0.07 inches wide, roughly.
    longest = max((len(label) for label, _ in legend), default=0)
    legend_columns = max(1, int((width - 1) / (longest * 0.07 + 0.45)))
    legend_rows = math.ceil(len(legend) / legend_columns)
    head = 0.58 + (0.06 + 0.19 * legend_rows if legend else 0)
    height = rows * panel_height + head + _FOOT
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    figure.subplots_adjust(
        left=_LEFT / width,
        right=1 - _RIGHT / width,
        top=1 - (head + 0.3) / height,
        bottom=_FOOT / height,
        hspace=0.42,
        wspace=0.36,
    )
    if legend:
        styles: Any = [{"linestyle": style, "color": color} for _, (style, color) in legend]
        figure.legend(
            handles=[Line2D([], [], **style) for style in styles],
            labels=[label for label, _ in legend],
            loc="upper left",
            bbox_to_anchor=(_LEFT / width, 1 - 0.61 / height),
            ncols=legend_columns,
        )
    for axes in grid.flat[panels:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:panels])


def _draw_panel(
    axes: Axes, quantity: Quantity, panel: dict[str, Series], looks: dict[str, Look], zone: tzinfo
) -> None:
    measure, unit = quantity
    axes.set_title(measure)
    axes.set_ylabel(_time_name(zone) if MEASURES[measure].kind == TIME else unit)
    words = lines.words_of(measure, panel)
    points = {place: lines.points_of(series, words, zone) for place, series in panel.items()}
    if words:  # side by side: places often have the same word at the same time
        for number, (place, line) in enumerate(points.items()):
            aside = (0.5 + number) / len(points) / 2 - 0.25
            points[place] = [(time_ms, height + aside) for time_ms, height in line]
    dots = measure in _DOTS
    if others := [line for place, line in points.items() if place not in looks]:
        _draw_line(axes, "_others", others, lines.OTHERS, dots=dots)
    for place, line in points.items():
        if place in looks:
            _draw_line(axes, _short(place), [line], looks[place], dots=dots)
    _format_value_axis(axes, quantity, words)


def _time_name(zone: tzinfo) -> str:
    """Whose time it is, short: UTC, UTC-05:00, London time."""
    name = str(zone)
    if name.startswith("UTC"):
        return name
    return f"{name.rpartition('/')[2].replace('_', ' ')} time"


def _draw_line(
    axes: Axes, label: str, parts: Sequence[Sequence[Point]], look: Look, *, dots: bool
) -> None:
    times_ms, heights, alone = lines.joined(parts)
    style, color = look
    form: dict[str, Any] = {"linestyle": style, "marker": "o", "markevery": alone}
    if dots:  # nothing lies between 350 and 10 degrees, or between two words
        form = {"linestyle": "", "marker": "o", "markeredgewidth": 0}
    size = 2 if dots and len(times_ms) > _MANY else 3
    days = [time_ms / _DAY_MS for time_ms in times_ms]
    axes.plot(days, heights, color=color, label=label, markersize=size, **form)


def _label_latest(axes: Axes, latest: Reading, zone: tzinfo) -> None:
    """The last value at the line's end: what a reader looks for first."""
    ((time_ms, height),) = lines.points_of([latest], (), zone)
    is_time = MEASURES[latest.measure].kind == TIME
    day, color = time_ms / _DAY_MS, lines.COLORS[0]
    axes.plot([day], [height], "o", color=color, markersize=3.5, clip_on=False)
    axes.annotate(
        lines.clock_text(height) if is_time else latest.value,
        (day, height),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=color,
        annotation_clip=False,
    )


def _format_value_axis(axes: Axes, quantity: Quantity, words: list[str]) -> None:
    if words:
        axes.set_yticks(range(len(words)), [one_line(word)[:_MAX_WORD_LETTERS] for word in words])
        axes.set_ylim(-0.6, len(words) - 0.4)
        return
    measure, unit = quantity
    if measure in DIRECTIONS:
        axes.set_yticks([0, 90, 180, 270, 360], ["N", "E", "S", "W", "N"])
        axes.set_ylim(-15, 375)
        return
    if MEASURES[measure].kind == TIME:
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lines.clock_text))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    # A series that never changes gets some room; what cannot be negative gets no such axis.
    low, high = axes.get_ylim()
    if high - low < 0.5:
        low, high = (low + high) / 2 - 0.5, (low + high) / 2 + 0.5
    if low < 0 and unit not in ("°C", "°F"):
        low = -0.04 * high
    axes.set_ylim(low, high)


def _draw_time_axes(panels: Sequence[Axes], columns: int, shown: Shown, zone: tzinfo) -> None:
    """One axis, which all panels share; named below the last panel of each column."""
    typed_dates: Any = dates  # its stubs leave these out
    ticks = {"minticks": 5, "maxticks": 9} if columns == 1 else {"minticks": 3, "maxticks": 5}
    locator = typed_dates.AutoDateLocator(tz=zone, **ticks)
    panels[0].xaxis.set_major_locator(locator)
    formatter = typed_dates.ConciseDateFormatter(locator, tz=zone, **_TICK_TEXTS)
    panels[0].xaxis.set_major_formatter(formatter)
    panels[0].set_xlim(shown.start_ms / _DAY_MS, shown.end_ms / _DAY_MS)
    label = str(zone)
    if not label.startswith("UTC"):
        label += f" time ({', then '.join(offsets(zone, shown.start_ms, shown.end_ms))})"
    for axes in panels[-columns:]:
        axes.tick_params(axis="x", labelbottom=True)
        axes.set_xlabel(label)

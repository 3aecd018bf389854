"""Readings drawn over time: a small panel a measure, a line a place. Alone imports matplotlib."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from commands.readings import CODES, DIRECTIONS, Reading, by_place, gap_limit_ms, unit_of
from commands.time_zone import offsets
from errors import UsageError
from weather import MEASURES, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")

# Okabe and Ito's colours, told apart by every kind of eyes; yellow is too pale for a line.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", "--", ":")
_GREY = "#666666"
_FAINT = "#DDDDDD"

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so it looks the same everywhere
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "ingest-weather",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": _GREY,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "ytick.left": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
}
_DOTS = ("Condition", *CODES, *DIRECTIONS)
# Of how many readings in a panel on, dots get smaller.
_MANY = 100
# By what changes from tick to tick: years, months, days, hours, minutes, seconds; then the same for
# the ticks where one of them begins anew.
_TICK_TEXTS: dict[str, Any] = {
    "formats": ["%Y", "%b", "%-d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
    "zero_formats": ["", "%Y", "%-d %b", "%-d %b", "%H:%M", "%H:%M"],
    "show_offset": False,
}
_MAX_CATEGORY_LETTERS = 14
_LEGEND_ROW_INCHES = 0.19


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn: the time from start to end in a zone. units: as WEATHER_UNITS names them."""

    start_ms: int
    end_ms: int
    zone: ZoneInfo
    units: str
    source: str


def save(readings: Sequence[Reading], view: View, path: Path) -> None:
    """Draw into a file of one of SUFFIXES. Raises UsageError where matplotlib is not there, or the
    file cannot be written."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it talks of its font cache
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib: pip install -r requirements-plot.txt (or let --csv hand the "
            "readings to another program)."
        ) from error
    with mpl.rc_context(_STYLE):
        figure = draw(readings, view)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
        try:
            figure.savefig(path, dpi=150, metadata=metadata)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def draw(readings: Sequence[Reading], view: View) -> "Figure":
    """The whole picture; one reading at the least."""
    from matplotlib.figure import Figure

    series = by_place(readings)
    measures = [name for name in MEASURES if any(name in each for each in series.values())]
    columns = 1 if len(measures) <= 4 else 2 if len(measures) <= 10 else 3
    rows = math.ceil(len(measures) / columns)
    width, panel_height = (8.0, 1.5) if columns == 1 else (4.6 * columns, 1.6)
    legend_columns = _legend_columns(list(series), width)
    legend_rows = math.ceil(len(series) / legend_columns) if len(series) > 1 else 0
    head, foot = 0.58 + (legend_rows and 0.06 + _LEGEND_ROW_INCHES * legend_rows), 0.55
    height = rows * panel_height + head + foot
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    figure.subplots_adjust(
        left=0.72 / width,
        right=1 - 0.45 / width,
        top=1 - (head + 0.3) / height,
        bottom=foot / height,
        hspace=0.42,
        wspace=0.36,
    )
    panels = list(grid.flat)
    styles = dict(zip(series, _line_styles(), strict=False))
    for panel, measure in zip(panels, measures, strict=False):
        _draw_panel(panel, measure, series, styles, view)
    _draw_time_axis(panels, len(measures), columns, view)
    left, top = 0.72 / width, 1 / height
    _draw_head(figure, list(series), view, left, top)
    if legend_rows:
        _draw_legend(figure, styles, legend_columns, (left, 1 - 0.61 * top))
    return figure


def _line_styles() -> "cycle[tuple[str, str]]":
    """(line style, colour), colours first: as many places as there are, without an end."""
    return cycle(product(_LINE_STYLES, _COLORS))


def _draw_panel(
    panel: "Axes",
    measure: str,
    series: dict[str, dict[str, list[Reading]]],
    styles: dict[str, tuple[str, str]],
    view: View,
) -> None:
    unit = "local time" if MEASURES[measure].is_time else unit_of(measure, view.units)
    panel.set_title(measure, loc="left", fontsize=9, fontweight="bold", color="#222222")
    panel.set_ylabel(unit, fontsize=8)
    words = sorted(
        {one.value for each in series.values() for one in each.get(measure, ())}
        if MEASURES[measure].type == "VARCHAR" or measure in CODES
        else ()
    )
    for number, (place, measured) in enumerate(series.items()):
        if readings := measured.get(measure):
            # Side by side: places often have the same word at the same time.
            aside = (0.5 + number) / len(series) / 2 - 0.25 if words else 0.0
            points = [(one.time_ms, _height(one, words, view.zone) + aside) for one in readings]
            _draw_line(panel, place, points, styles[place], view, dots=measure in _DOTS)
            newest = max(each[-1].time_ms for each in measured.values())
            if len(series) == 1 and measure not in _DOTS and readings[-1].time_ms == newest:
                _label_latest(panel, points[-1], readings[-1], view)
    _dress_value_axis(panel, measure, words)


def _height(reading: Reading, words: list[str], zone: ZoneInfo) -> float:
    """Where a reading is drawn: its number; of a text its place among the words; of a moment the
    hour of its day."""
    if words:
        return float(words.index(reading.value))
    number = float(reading.value)
    if MEASURES[reading.measure].is_time:
        local = datetime.fromtimestamp(number / 1000, zone)
        return local.hour + local.minute / 60 + local.second / 3600
    return number


def broken(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float], list[int]]:
    """Times and values with a NaN in each gap, where the line breaks; and the indexes of readings
    with a gap on both sides, which a line does not show."""
    limit_ms = gap_limit_ms([time_ms for time_ms, _ in points])
    times, values = [points[0][0]], [points[0][1]]
    for (before_ms, _), (time_ms, value) in pairwise(points):
        if time_ms - before_ms > limit_ms:
            times.append((before_ms + time_ms) // 2)
            values.append(math.nan)
        times.append(time_ms)
        values.append(value)
    around = [math.nan, *values, math.nan]
    alone = [
        index
        for index, (before, value, after) in enumerate(
            zip(around, around[1:], around[2:], strict=False)
        )
        if math.isnan(before) and not math.isnan(value) and math.isnan(after)
    ]
    return times, values, alone


def _draw_line(
    panel: "Axes",
    place: str,
    points: Sequence[tuple[int, float]],
    style: tuple[str, str],
    view: View,
    *,
    dots: bool,
) -> None:
    times, values, alone = broken(points)
    moments: Any = [datetime.fromtimestamp(each / 1000, view.zone) for each in times]
    line_style, color = style
    look: dict[str, Any] = {"linestyle": line_style, "marker": "o", "markevery": alone}
    if dots:  # nothing lies between 350 and 10 degrees, or between two words
        look = {"linestyle": "", "marker": "o", "markeredgewidth": 0}
    size = 2 if dots and len(points) > _MANY else 3
    panel.plot(moments, values, color=color, label=one_line(place), markersize=size, **look)


def _label_latest(panel: "Axes", point: tuple[int, float], reading: Reading, view: View) -> None:
    """The last value at the line's end: what one looks for first."""
    moment: Any = datetime.fromtimestamp(point[0] / 1000, view.zone)
    is_time = MEASURES[reading.measure].is_time
    text = _clock_text(point[1]) if is_time else reading.value
    look: dict[str, Any] = {"marker": "o", "markersize": 3.5, "clip_on": False}
    panel.plot([moment], [point[1]], color=_COLORS[0], label="_latest", **look)
    panel.annotate(
        text,
        (moment, point[1]),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=_COLORS[0],
        annotation_clip=False,
    )


def _clock_text(hours: float, _position: int | None = None) -> str:
    minutes = round(hours * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _dress_value_axis(panel: "Axes", measure: str, words: list[str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    panel.margins(y=0.18)
    if words:
        panel.set_yticks(range(len(words)), [one_line(w)[:_MAX_CATEGORY_LETTERS] for w in words])
        panel.set_ylim(-0.6, len(words) - 0.4)
    elif measure in DIRECTIONS:
        panel.set_yticks([0, 90, 180, 270, 360], ["N", "E", "S", "W", "N"])
        panel.set_ylim(-15, 375)
    elif MEASURES[measure].is_time:
        panel.yaxis.set_major_locator(MaxNLocator(4))
        panel.yaxis.set_major_formatter(FuncFormatter(_clock_text))
    else:
        panel.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        panel.ticklabel_format(axis="y", useOffset=False, style="plain")
    if not words and measure not in DIRECTIONS:
        _mend_limits(panel, measure)


def _mend_limits(panel: "Axes", measure: str) -> None:
    """A series that never changes gets some room; what cannot be negative gets no such axis."""
    low, high = panel.get_ylim()
    if high - low < 0.5:
        low, high = (low + high) / 2 - 0.5, (low + high) / 2 + 0.5
    if low < 0 and unit_of(measure, "metric") != "°C":
        low = -0.04 * high
    panel.set_ylim(low, high)


def _draw_time_axis(panels: "Sequence[Axes]", used: int, columns: int, view: View) -> None:
    from matplotlib import dates

    typed_dates: Any = dates  # its stubs leave these out
    zone: Any = view.zone
    start: Any = datetime.fromtimestamp(view.start_ms / 1000, zone)
    end: Any = datetime.fromtimestamp(view.end_ms / 1000, zone)
    label = (
        f"{view.zone.key} time ({', then '.join(offsets(view.zone, view.start_ms, view.end_ms))})"
    )
    if view.zone.key == "UTC":
        label = "UTC"
    for number, panel in enumerate(panels):
        if number >= used:
            panel.set_visible(False)
            continue
        locator = typed_dates.AutoDateLocator(
            tz=zone, minticks=5 if columns == 1 else 3, maxticks=9 if columns == 1 else 5
        )
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(
            typed_dates.ConciseDateFormatter(locator, tz=zone, **_TICK_TEXTS)
        )
        panel.set_xlim(start, end)
        if number + columns >= used:  # the last of its column
            panel.tick_params(axis="x", labelbottom=True)
            panel.set_xlabel(label, fontsize=8)


def _draw_head(figure: "Figure", places: list[str], view: View, left: float, inch: float) -> None:
    """inch: as a share of the picture's height."""
    what = f"Weather of {one_line(places[0])}"
    if len(places) > 1:
        what = f"Weather of {len(places)} places"
    figure.text(left, 1 - 0.12 * inch, what, fontsize=13, fontweight="bold", va="top")
    below = f"{_span(view)}, {view.source}"
    figure.text(left, 1 - 0.38 * inch, below, fontsize=8.5, color=_GREY, va="top")


def _draw_legend(
    figure: "Figure", styles: dict[str, tuple[str, str]], columns: int, corner: tuple[float, float]
) -> None:
    from matplotlib.lines import Line2D

    looks: list[dict[str, Any]] = [
        {"linestyle": style, "color": color} for style, color in styles.values()
    ]
    figure.legend(
        [Line2D([], [], **look) for look in looks],
        list(map(one_line, styles)),
        loc="upper left",
        bbox_to_anchor=corner,
        ncols=columns,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.6,
        columnspacing=1.4,
        fontsize=8.5,
    )


def _legend_columns(places: list[str], width: float) -> int:
    """As many as fit; a letter is 0.07 inches wide, roughly."""
    return max(1, int((width - 1) / (max(map(len, places)) * 0.07 + 0.45)))


def _span(view: View) -> str:
    """22 Nov 2026 10:20 to 23 Nov 2026 10:20"""
    moments = (datetime.fromtimestamp(each / 1000, UTC) for each in (view.start_ms, view.end_ms))
    first, last = (
        f"{moment.day} {moment:%b %Y %H:%M}"
        for moment in (each.astimezone(view.zone) for each in moments)
    )
    return f"{first} to {last}"

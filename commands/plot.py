"""Readings drawn over time: a small panel a measure, a line a place. Alone imports matplotlib."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from commands.readings import (
    CODES,
    DIRECTIONS,
    HOUR_MS,
    Quantity,
    Reading,
    by_place,
    gap_limit_ms,
)
from commands.time_zone import offsets
from ingest.errors import UsageError
from ingest.observation import MEASURES, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")

# Okabe and Ito's colours, told apart by every kind of eyes; yellow is too pale for a line.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", "--", ":")
_Look = tuple[str, str]  # line style, colour
# Colours first. Places beyond these have no look of their own.
_LOOKS: list[_Look] = [*product(_LINE_STYLES, _COLORS)]
_OTHERS: _Look = ("-", "#C4C4C4")
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
_MAX_NAME_LETTERS = 80

_Point = tuple[int, float]  # epoch ms, value
# place -> quantity -> readings
_Series = dict[str, dict[Quantity, list[Reading]]]


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn: the time from start to end in a zone."""

    start_ms: int
    end_ms: int
    zone: tzinfo
    source: str

    @property
    def time_name(self) -> str:
        """Whose time it is, short: UTC, UTC-05:00, London time."""
        if str(self.zone) == "UTC" or not isinstance(self.zone, ZoneInfo):
            return str(self.zone)
        return f"{self.zone.key.rpartition('/')[2].replace('_', ' ')} time"


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
    quantities = _quantities(series)
    columns = 1 if len(quantities) <= 4 else 2 if len(quantities) <= 10 else 3
    rows = math.ceil(len(quantities) / columns)
    width, panel_height = (8.0, 1.5) if columns == 1 else (4.6 * columns, 1.6)
    looks = _looks(list(series))
    legend = [(_short(place), look) for place, look in looks.items()]
    if len(looks) < len(series):
        legend.append((f"and {len(series) - len(looks)} more", _OTHERS))
    legend_columns = _legend_columns([label for label, _ in legend], width)
    legend_rows = math.ceil(len(legend) / legend_columns) if len(series) > 1 else 0
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
    for panel, quantity in zip(panels, quantities, strict=False):
        _draw_panel(panel, quantity, series, looks, view)
    _draw_time_axis(panels, len(quantities), columns, view)
    left, top = 0.72 / width, 1 / height
    _draw_head(figure, list(series), view, left, top)
    if legend_rows:
        _draw_legend(figure, legend, legend_columns, (left, 1 - 0.61 * top))
    return figure


def _quantities(series: _Series) -> list[Quantity]:
    """What has a panel: measures as in their table, of one in several units the last used last."""
    newest: dict[Quantity, int] = {}
    for measured in series.values():
        for quantity, readings in measured.items():
            newest[quantity] = max(readings[-1].time_ms, newest.get(quantity, 0))
    order = list(MEASURES)
    return sorted(newest, key=lambda each: (order.index(each.measure), newest[each]))


def _looks(places: list[str]) -> dict[str, _Look]:
    """How each place is drawn that has a look, and so a line in the legend, of its own."""
    count = len(_LOOKS) if len(places) <= len(_LOOKS) else len(_LOOKS) - 1
    return dict(zip(places[:count], _LOOKS, strict=False))


def _short(place: str) -> str:
    text = one_line(place)
    return text if len(text) <= _MAX_NAME_LETTERS else f"{text[: _MAX_NAME_LETTERS - 1]}…"


def _draw_panel(
    panel: "Axes", quantity: Quantity, series: _Series, looks: dict[str, _Look], view: View
) -> None:
    measure, unit = quantity
    panel.set_title(measure, loc="left", fontsize=9, fontweight="bold", color="#222222")
    panel.set_ylabel(view.time_name if MEASURES[measure].is_time else unit, fontsize=8)
    words = sorted(
        {one.value for each in series.values() for one in each.get(quantity, ())}
        if MEASURES[measure].type == "VARCHAR" or measure in CODES
        else ()
    )
    lines: dict[str, list[_Point]] = {}
    for number, (place, measured) in enumerate(series.items()):
        if readings := measured.get(quantity):
            # Side by side: places often have the same word at the same time.
            aside = (0.5 + number) / len(series) / 2 - 0.25 if words else 0.0
            lines[place] = [
                (one.time_ms, _height(one, words, view.zone) + aside) for one in readings
            ]
            newest = max(each[-1].time_ms for each in measured.values())
            if len(series) == 1 and measure not in _DOTS and readings[-1].time_ms == newest:
                _label_latest(panel, lines[place][-1], readings[-1])
    dots = measure in _DOTS
    if others := [lines[place] for place in lines if place not in looks]:
        _draw_line(panel, "_others", others, _OTHERS, dots=dots)
    for place, look in looks.items():
        if place in lines:
            _draw_line(panel, _short(place), [lines[place]], look, dots=dots)
    _dress_value_axis(panel, quantity, words)


def _height(reading: Reading, words: list[str], zone: tzinfo) -> float:
    """Where a reading is drawn: its number; of a text its place among the words; of a moment the
    hour of its day."""
    if words:
        return float(words.index(reading.value))
    number = float(reading.value)
    if MEASURES[reading.measure].is_time:
        local = datetime.fromtimestamp(number / 1000, zone)
        return local.hour + local.minute / 60 + local.second / 3600
    return number


def broken(points: Sequence[_Point]) -> tuple[list[int], list[float], list[int]]:
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
    label: str,
    lines: Sequence[Sequence[_Point]],
    look: _Look,
    *,
    dots: bool,
) -> None:
    """lines: drawn as one with gaps between, for a line of its own takes a thousand times longer
    to draw than a point."""
    times: list[int] = []
    values: list[float] = []
    alone: list[int] = []
    for line in lines:
        line_times, line_values, line_alone = broken(line)
        alone += [len(times) + index for index in line_alone]
        times += [*line_times, line_times[-1]]
        values += [*line_values, math.nan]
    moments = [_moment(each) for each in times[:-1]]
    line_style, color = look
    form: dict[str, Any] = {"linestyle": line_style, "marker": "o", "markevery": alone}
    if dots:  # nothing lies between 350 and 10 degrees, or between two words
        form = {"linestyle": "", "marker": "o", "markeredgewidth": 0}
    size = 2 if dots and len(times) > _MANY else 3
    panel.plot(moments, values[:-1], color=color, label=label, markersize=size, **form)


def _moment(time_ms: int) -> float:
    """As matplotlib counts: days since 1970. It takes much longer over a datetime."""
    return time_ms / (24 * HOUR_MS)


def _label_latest(panel: "Axes", point: _Point, reading: Reading) -> None:
    """The last value at the line's end: what one looks for first."""
    moment = _moment(point[0])
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


def _dress_value_axis(panel: "Axes", quantity: Quantity, words: list[str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    measure = quantity.measure
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
        _mend_limits(panel, quantity.unit)


def _mend_limits(panel: "Axes", unit: str) -> None:
    """A series that never changes gets some room; what cannot be negative gets no such axis."""
    low, high = panel.get_ylim()
    if high - low < 0.5:
        low, high = (low + high) / 2 - 0.5, (low + high) / 2 + 0.5
    if low < 0 and unit not in ("°C", "°F"):
        low = -0.04 * high
    panel.set_ylim(low, high)


def _draw_time_axis(panels: "Sequence[Axes]", used: int, columns: int, view: View) -> None:
    from matplotlib import dates

    typed_dates: Any = dates  # its stubs leave these out
    zone: Any = view.zone
    start: Any = datetime.fromtimestamp(view.start_ms / 1000, zone)
    end: Any = datetime.fromtimestamp(view.end_ms / 1000, zone)
    label = str(zone)
    if isinstance(zone, ZoneInfo) and label != "UTC":
        label += f" time ({', then '.join(offsets(zone, view.start_ms, view.end_ms))})"
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
    what = f"Weather of {_short(places[0])}"
    if len(places) > 1:
        what = f"Weather of {len(places)} places"
    figure.text(left, 1 - 0.12 * inch, what, fontsize=13, fontweight="bold", va="top")
    below = f"{_span(view)}, {view.source}"
    figure.text(left, 1 - 0.38 * inch, below, fontsize=8.5, color=_GREY, va="top")


def _draw_legend(
    figure: "Figure", legend: list[tuple[str, _Look]], columns: int, corner: tuple[float, float]
) -> None:
    from matplotlib.lines import Line2D

    looks: list[dict[str, Any]] = [
        {"linestyle": style, "color": color} for _, (style, color) in legend
    ]
    figure.legend(
        [Line2D([], [], **look) for look in looks],
        [label for label, _ in legend],
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


def _legend_columns(labels: list[str], width: float) -> int:
    """As many as fit; a letter is 0.07 inches wide, roughly."""
    return max(1, int((width - 1) / (max(map(len, labels)) * 0.07 + 0.45)))


def _span(view: View) -> str:
    """22 Nov 2026 10:20 to 23 Nov 2026 10:20"""
    moments = (datetime.fromtimestamp(each / 1000, UTC) for each in (view.start_ms, view.end_ms))
    first, last = (
        f"{moment.day} {moment:%b %Y %H:%M}"
        for moment in (each.astimezone(view.zone) for each in moments)
    )
    return f"{first} to {last}"

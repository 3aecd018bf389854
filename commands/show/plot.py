"""Readings drawn over time: a small panel a measure, a line a place. Alone imports matplotlib."""

import logging
import math
from collections.abc import Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from commands.show import lines
from commands.show.lines import Look, Point, View
from commands.show.readings import CODES, DIRECTIONS, HOUR_MS, Quantity, Reading, Series, Shown
from commands.show.time_zone import offsets, zone_of
from commands.terminal import plural, print_lines
from ingest.errors import UsageError
from ingest.observation import MEASURES, TIME
from ingest.reporting.redaction import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = Path(__file__).with_suffix(".mplstyle")
_DOTS = ("Condition", *CODES, *DIRECTIONS)
# Of how many readings in a panel on, dots get smaller.
_MANY = 100
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


def plot(shown: Shown, path: Path, zone: tzinfo | None) -> None:
    """Draw into a .png or .svg, and say so. zone: None is the places' own.

    Raises UsageError if matplotlib is not there, or the file cannot be written.
    """
    if not shown.readings:
        said = f"There are no readings of the {shown.time} to plot: {path} was not written."
        print_lines([*shown.notes, said])
        return
    # The last of each place: its clocks may have changed since.
    places = {each.place: (each.city, each.country, each.utc_offset_s) for each in shown.readings}
    zone = zone or zone_of(places.values(), shown.start_ms, shown.end_ms)
    save(shown.readings, View(shown.start_ms, shown.end_ms, zone, f"from {shown.source}"), path)
    readings = plural(len(shown.readings), "reading")
    measures = plural(len({reading.measure for reading in shown.readings}), "measure")
    print_lines([f"{path}: {readings} of {measures}, {zone} time.", *shown.notes])


def save(readings: Sequence[Reading], view: View, path: Path) -> None:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it talks of its font cache
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib: pip install -r requirements-plot.txt (or let --csv hand the "
            "readings to another program)."
        ) from error
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with mpl.rc_context(fname=_STYLE):
        figure = draw(readings, view)
        try:
            figure.savefig(path, dpi=150, metadata=metadata)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def draw(readings: Sequence[Reading], view: View) -> "Figure":
    """The whole picture; one reading at least."""
    import matplotlib as mpl

    panels = lines.panels_of(readings)
    places = sorted({reading.place for reading in readings}, key=str.casefold)
    newest_ms = max(reading.time_ms for reading in readings)
    looks = lines.looks_of(places)
    legend = _legend(places, looks)
    layout = _layout(len(panels), [label for label, _ in legend])
    with mpl.rc_context(fname=_STYLE):
        figure, axes_of_panels = _empty_figure(layout, len(panels))
        for axes, (quantity, panel) in zip(axes_of_panels, panels.items(), strict=True):
            latest = panel[places[0]][-1] if len(places) == 1 else None
            if latest and latest.time_ms == newest_ms and quantity.measure not in _DOTS:
                _label_latest(axes, latest, view)
            _draw_panel(axes, quantity, panel, looks, view)
        _draw_time_axes(axes_of_panels, layout.columns, view)
        _draw_head(figure, places, view, layout)
        _draw_legend(figure, legend, layout)
    return figure


def _legend(places: Sequence[str], looks: dict[str, Look]) -> list[tuple[str, Look]]:
    """Label and look; one place needs none."""
    if len(places) == 1:
        return []
    more = len(places) - len(looks)
    others = [(f"and {more} more", lines.OTHERS)] if more else []
    return [*((_short(place), look) for place, look in looks.items()), *others]


def _short(name: str) -> str:
    text = one_line(name)
    return text if len(text) <= _MAX_NAME_LETTERS else f"{text[: _MAX_NAME_LETTERS - 1]}…"


class _Layout(NamedTuple):
    """Panels in columns and rows; width, height and the head above the panels in inches."""

    columns: int
    rows: int
    width: float
    height: float
    head: float
    legend_columns: int


def _layout(panels: int, labels: list[str]) -> _Layout:
    columns = 1 if panels <= 4 else 2 if panels <= 10 else 3
    rows = math.ceil(panels / columns)
    width, panel_height = (8.0, 1.5) if columns == 1 else (4.6 * columns, 1.6)
    # As many labels in a row as fit: a letter is 0.07 inches wide, roughly.
    longest = max(map(len, labels), default=0)
    legend_columns = max(1, int((width - 1) / (longest * 0.07 + 0.45)))
    legend_rows = math.ceil(len(labels) / legend_columns)
    head = 0.58 + (0.06 + 0.19 * legend_rows if labels else 0)
    height = rows * panel_height + head + _FOOT
    return _Layout(columns, rows, width, height, head, legend_columns)


def _empty_figure(layout: _Layout, panels: int) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(layout.width, layout.height))
    grid = figure.subplots(layout.rows, layout.columns, sharex=True, squeeze=False)
    figure.subplots_adjust(
        left=_LEFT / layout.width,
        right=1 - _RIGHT / layout.width,
        top=1 - (layout.head + 0.3) / layout.height,
        bottom=_FOOT / layout.height,
        hspace=0.42,
        wspace=0.36,
    )
    every = list(grid.flat)
    for axes in every[panels:]:
        axes.set_visible(False)
    return figure, every[:panels]


def _draw_panel(
    axes: "Axes", quantity: Quantity, panel: dict[str, Series], looks: dict[str, Look], view: View
) -> None:
    is_time = MEASURES[quantity.measure].kind == TIME
    axes.set_title(quantity.measure)
    axes.set_ylabel(view.time_name if is_time else quantity.unit)
    words = lines.words_of(quantity, panel)
    points = {place: lines.points_of(series, words, view.zone) for place, series in panel.items()}
    if words:  # side by side: places often have the same word at the same time
        for number, (place, line) in enumerate(points.items()):
            aside = (0.5 + number) / len(points) / 2 - 0.25
            points[place] = [(time_ms, height + aside) for time_ms, height in line]
    dots = quantity.measure in _DOTS
    if others := [line for place, line in points.items() if place not in looks]:
        _draw_line(axes, "_others", others, lines.OTHERS, dots=dots)
    for place, line in points.items():
        if place in looks:
            _draw_line(axes, _short(place), [line], looks[place], dots=dots)
    _dress_value_axis(axes, quantity, words)


def _draw_line(
    axes: "Axes", label: str, parts: Sequence[Sequence[Point]], look: Look, *, dots: bool
) -> None:
    times_ms, heights, alone = lines.joined(parts)
    style, color = look
    form: dict[str, Any] = {"linestyle": style, "marker": "o", "markevery": alone}
    if dots:  # nothing lies between 350 and 10 degrees, or between two words
        form = {"linestyle": "", "marker": "o", "markeredgewidth": 0}
    size = 2 if dots and len(times_ms) > _MANY else 3
    moments = [_moment(time_ms) for time_ms in times_ms]
    axes.plot(moments, heights, color=color, label=label, markersize=size, **form)


def _moment(time_ms: int) -> float:
    """As matplotlib counts: days since 1970. It takes much longer over a datetime."""
    return time_ms / (24 * HOUR_MS)


def _label_latest(axes: "Axes", latest: Reading, view: View) -> None:
    """The last value at the line's end: what one looks for first."""
    ((time_ms, height),) = lines.points_of([latest], (), view.zone)
    is_time = MEASURES[latest.measure].kind == TIME
    color = lines.COLORS[0]
    axes.plot(
        [_moment(time_ms)],
        [height],
        "o",
        color=color,
        label="_latest",
        markersize=3.5,
        clip_on=False,
    )
    axes.annotate(
        lines.clock_text(height) if is_time else latest.value,
        (_moment(time_ms), height),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=color,
        annotation_clip=False,
    )


def _dress_value_axis(axes: "Axes", quantity: Quantity, words: list[str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if words:
        axes.set_yticks(range(len(words)), [one_line(word)[:_MAX_WORD_LETTERS] for word in words])
        axes.set_ylim(-0.6, len(words) - 0.4)
        return
    if quantity.measure in DIRECTIONS:
        axes.set_yticks([0, 90, 180, 270, 360], ["N", "E", "S", "W", "N"])
        axes.set_ylim(-15, 375)
        return
    if MEASURES[quantity.measure].kind == TIME:
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lines.clock_text))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    # A series that never changes gets some room; what cannot be negative gets no such axis.
    low, high = axes.get_ylim()
    if high - low < 0.5:
        low, high = (low + high) / 2 - 0.5, (low + high) / 2 + 0.5
    if low < 0 and quantity.unit not in ("°C", "°F"):
        low = -0.04 * high
    axes.set_ylim(low, high)


def _draw_time_axes(panels: "Sequence[Axes]", columns: int, view: View) -> None:
    from matplotlib import dates

    typed_dates: Any = dates  # its stubs leave these out
    zone: Any = view.zone
    start: Any = datetime.fromtimestamp(view.start_ms / 1000, zone)
    end: Any = datetime.fromtimestamp(view.end_ms / 1000, zone)
    label = str(zone)
    if isinstance(zone, ZoneInfo) and label != "UTC":
        label += f" time ({', then '.join(offsets(zone, view.start_ms, view.end_ms))})"
    ticks = {"minticks": 5, "maxticks": 9} if columns == 1 else {"minticks": 3, "maxticks": 5}
    for number, axes in enumerate(panels):
        locator = typed_dates.AutoDateLocator(tz=zone, **ticks)
        formatter = typed_dates.ConciseDateFormatter(locator, tz=zone, **_TICK_TEXTS)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(formatter)
        axes.set_xlim(start, end)
        if number + columns >= len(panels):  # the last of its column
            axes.tick_params(axis="x", labelbottom=True)
            axes.set_xlabel(label)


def _draw_head(figure: "Figure", places: list[str], view: View, layout: _Layout) -> None:
    what = f"{len(places)} places" if len(places) > 1 else _short(places[0])
    left, inch = _LEFT / layout.width, 1 / layout.height
    figure.text(
        left, 1 - 0.12 * inch, f"Weather of {what}", fontsize=13, fontweight="bold", va="top"
    )
    below = f"{view.span}, {view.source}"
    figure.text(left, 1 - 0.38 * inch, below, fontsize=8.5, color="#666666", va="top")


def _draw_legend(figure: "Figure", legend: list[tuple[str, Look]], layout: _Layout) -> None:
    from matplotlib.lines import Line2D

    if legend:
        styles: Any = [{"linestyle": style, "color": color} for _, (style, color) in legend]
        figure.legend(
            handles=[Line2D([], [], **style) for style in styles],
            labels=[label for label, _ in legend],
            loc="upper left",
            bbox_to_anchor=(_LEFT / layout.width, 1 - 0.61 / layout.height),
            ncols=layout.legend_columns,
        )

"""What a plot shows before it is drawn: its panels, and the lines in them with their gaps. Pure."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from itertools import pairwise, product

from commands.show.readings import CODES, Quantity, Reading, Series, by_place, gap_limit_ms, rank
from ingest.observation import MEASURES, TEXT, TIME

# Okabe and Ito's colours, distinguished by every kind of eyes; yellow is too pale for a line.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

Look = tuple[str, str]  # line style, colour
# Colours change first. Places beyond these have no look of their own.
LOOKS: list[Look] = [*product(("-", "--", ":"), COLORS)]
OTHERS: Look = ("-", "#C4C4C4")

Point = tuple[int, float]  # epoch ms, height


def panels_of(readings: Iterable[Reading]) -> dict[Quantity, dict[str, Series]]:
    """quantity -> place -> its readings; in the order of `rank`."""
    panels: dict[Quantity, dict[str, Series]] = {}
    for place, several in by_place(readings).items():
        for series in several:
            panels.setdefault(series[0].quantity, {})[place] = series
    return dict(sorted(panels.items(), key=lambda panel: max(map(rank, panel[1].values()))))


def looks_of(places: Sequence[str]) -> dict[str, Look]:
    """The look of each place that has one, and so a line in the legend, of its own."""
    count = len(LOOKS) if len(places) <= len(LOOKS) else len(LOOKS) - 1
    return dict(zip(places[:count], LOOKS, strict=False))


def words_of(measure: str, panel: dict[str, Series]) -> list[str]:
    """The words on the axis of a panel that has words there instead of numbers."""
    if MEASURES[measure].kind != TEXT and measure not in CODES:
        return []
    return sorted({reading.value for series in panel.values() for reading in series})


def points_of(series: Series, words: Sequence[str], zone: tzinfo) -> list[Point]:
    """Heights: a number, of a text its place among the words, of a moment the hour of its day."""
    if words:
        return [(each.time_ms, words.index(each.value)) for each in series]
    points = [(each.time_ms, float(each.value)) for each in series]
    if MEASURES[series[0].measure].kind == TIME:
        return [(time_ms, _hour(moment_ms, zone)) for time_ms, moment_ms in points]
    return points


def _hour(moment_ms: float, zone: tzinfo) -> float:
    local = datetime.fromtimestamp(moment_ms / 1000, zone)
    return local.hour + local.minute / 60 + local.second / 3600


def clock_text(hours: float, _position: int | None = None) -> str:
    """08:30 for 8.5"""
    minutes = round(hours * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def joined(lines: Iterable[Sequence[Point]]) -> tuple[list[int], list[float], list[int]]:
    """Times and heights of all lines as one, with NaN in each gap and between two lines; and the
    indexes of points with a gap on both sides, which a line does not show.

    A line of its own takes a thousand times longer to draw than a point.
    """
    points: list[Point] = []
    for line in lines:
        limit_ms = gap_limit_ms([time_ms for time_ms, _ in line])
        points.append((line[0][0], math.nan))  # ends the line before
        points.append(line[0])
        for (before_ms, _), (time_ms, height) in pairwise(line):
            if time_ms - before_ms > limit_ms:
                points.append(((before_ms + time_ms) // 2, math.nan))
            points.append((time_ms, height))
    times, heights = zip(*points[1:], strict=True)
    is_gap = [True, *map(math.isnan, heights), True]
    alone = [n for n in range(len(heights)) if is_gap[n : n + 3] == [True, False, True]]
    return list(times), list(heights), alone

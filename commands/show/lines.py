"""What a plot shows before it is drawn: its panels, and the lines in them with their gaps. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import pairwise, product
from zoneinfo import ZoneInfo

from commands.show.readings import CODES, Quantity, Reading, Series, by_place, gap_limit_ms, rank
from ingest.observation import MEASURES, TEXT, TIME

# Okabe and Ito's colours, distinguished by every kind of eyes; yellow is too pale for a line.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":")

Look = tuple[str, str]  # line style, colour
# Colours first. Places beyond these have no look of their own.
LOOKS: list[Look] = [*product(_STYLES, COLORS)]
OTHERS: Look = ("-", "#C4C4C4")

Point = tuple[int, float]  # epoch ms, height


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

    @property
    def span(self) -> str:
        """22 Nov 2026 10:20 to 23 Nov 2026 10:20"""
        first, last = (
            datetime.fromtimestamp(each / 1000, UTC).astimezone(self.zone)
            for each in (self.start_ms, self.end_ms)
        )
        return f"{first.day} {first:%b %Y %H:%M} to {last.day} {last:%b %Y %H:%M}"


def panels_of(readings: Iterable[Reading]) -> dict[Quantity, dict[str, Series]]:
    """quantity -> place -> its readings; in the order of `rank`."""
    panels: dict[Quantity, dict[str, Series]] = {}
    for place, several in by_place(readings).items():
        for series in several:
            panels.setdefault(series[0].quantity, {})[place] = series
    order = sorted(panels, key=lambda quantity: max(map(rank, panels[quantity].values())))
    return {quantity: panels[quantity] for quantity in order}


def looks_of(places: Sequence[str]) -> dict[str, Look]:
    """How each place is drawn that has a look, and so a line in the legend, of its own."""
    count = len(LOOKS) if len(places) <= len(LOOKS) else len(LOOKS) - 1
    return dict(zip(places[:count], LOOKS, strict=False))


def words_of(quantity: Quantity, panel: dict[str, Series]) -> list[str]:
    """The words of a panel that has words instead of numbers on its axis."""
    if MEASURES[quantity.measure].kind != TEXT and quantity.measure not in CODES:
        return []
    return sorted({reading.value for series in panel.values() for reading in series})


def points_of(series: Series, words: Sequence[str], zone: tzinfo) -> list[Point]:
    return [(reading.time_ms, _height(reading, words, zone)) for reading in series]


def _height(reading: Reading, words: Sequence[str], zone: tzinfo) -> float:
    """At which height a reading is drawn: its number; of a text its place among the words; of a
    moment the hour of its day."""
    if words:
        return float(words.index(reading.value))
    number = float(reading.value)
    if MEASURES[reading.measure].kind == TIME:
        local = datetime.fromtimestamp(number / 1000, zone)
        return local.hour + local.minute / 60 + local.second / 3600
    return number


def clock_text(hours: float, _position: int | None = None) -> str:
    """08:30 for 8.5"""
    minutes = round(hours * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def joined(lines: Sequence[Sequence[Point]]) -> tuple[list[int], list[float], list[int]]:
    """Times and heights of all lines as one, with NaN in each gap and between two lines; and the
    indexes of points with a gap on both sides, which a line does not show.

    A line of its own takes a thousand times longer to draw than a point.
    """
    points: list[Point] = []
    for line in lines:
        if points:
            points.append((points[-1][0], math.nan))
        points += _broken(line)
    times = [time_ms for time_ms, _ in points]
    heights = [height for _, height in points]
    around = [math.nan, *heights, math.nan]
    alone = [
        index
        for index, height in enumerate(heights)
        if math.isnan(around[index]) and not math.isnan(height) and math.isnan(around[index + 2])
    ]
    return times, heights, alone


def _broken(line: Sequence[Point]) -> list[Point]:
    """The points, and one without a height in the middle of each gap."""
    limit_ms = gap_limit_ms([time_ms for time_ms, _ in line])
    points = [line[0]]
    for (before_ms, _), (time_ms, height) in pairwise(line):
        if time_ms - before_ms > limit_ms:
            points.append(((before_ms + time_ms) // 2, math.nan))
        points.append((time_ms, height))
    return points

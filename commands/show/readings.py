"""Readings: one measure of one place at one time, whichever source they come from."""

import cmath
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from ingest.observation import MEASURES, TEXT, describe_reading, iso_time

HOUR_MS = 3_600_000

# Measures whose sums say nothing.
CODES = ("ConditionId",)
DIRECTIONS = ("WindDirection",)


# What can be compared and averaged: a measure in one unit. WEATHER_UNITS can have changed.
Quantity = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """place: as configured; from Timestream, which does not know that, as its dimensions say.

    dimensions, value: as in its record. units: what it was fetched in, one of UNITS.
    utc_offset_s: of the place's clocks, seconds east of UTC; None if that is not known.
    """

    place: str
    dimensions: dict[str, str]
    measure: str
    time_ms: int
    value: str
    pending: bool = False
    units: str = "metric"
    utc_offset_s: int | None = None

    def __str__(self) -> str:
        return describe_reading(self.measure, self.value, self.dimensions, self.time_ms)

    @property
    def key(self) -> tuple[object, ...]:
        """What distinguishes it in the table."""
        return frozenset(self.dimensions.items()), self.measure, self.time_ms

    @property
    def json_value(self) -> float | str:
        """Equal for 5 and 5.00."""
        return self.value if MEASURES[self.measure].kind == TEXT else json.loads(self.value)

    @property
    def quantity(self) -> Quantity:
        return self.measure, self.unit

    @property
    def unit(self) -> str:
        return MEASURES[self.measure].unit(self.units)


# Readings of one place and quantity, oldest first.
Series = list[Reading]


@dataclass(frozen=True, slots=True)
class Shown:
    """All that can be shown. readings: from start to end, oldest first; latest: the last of each
    place, also from before. units: of readings that do not say theirs. notes: what a person should
    know about them."""

    source: str
    start_ms: int
    end_ms: int
    units: str
    latest: list[Reading]
    readings: list[Reading]
    notes: list[str] = field(default_factory=list)

    @property
    def time(self) -> str:
        return last_hours(self.start_ms, self.end_ms)


def last_hours(start_ms: int, end_ms: int) -> str:
    """last hour, last 24 hours"""
    hours = (end_ms - start_ms) / HOUR_MS
    return "last hour" if hours == 1 else f"last {hours:.12g} hours"


def by_place(readings: Iterable[Reading]) -> dict[str, list[Series]]:
    """place -> its series, one per quantity, in the order of `rank`; places by name."""
    found: dict[str, dict[Quantity, Series]] = {}
    for reading in readings:
        found.setdefault(reading.place, {}).setdefault(reading.quantity, []).append(reading)
    places = sorted(found, key=str.casefold)
    return {place: sorted(found[place].values(), key=rank) for place in places}


def rank(series: Series) -> tuple[int, int]:
    """Sorts measures as in their table; a measure in several units by their last use."""
    return list(MEASURES).index(series[-1].measure), series[-1].time_ms


def latest_of(readings: Sequence[Reading]) -> list[Reading]:
    """The readings of each place's last time. readings: oldest first."""
    newest = {reading.place: reading.time_ms for reading in readings}
    return [reading for reading in readings if reading.time_ms == newest[reading.place]]


def mean_direction(degrees: Iterable[float]) -> float | None:
    """The mean of directions, 0 to 360; None if they cancel each other out."""
    total = sum(cmath.rect(1, math.radians(each)) for each in degrees)
    return math.degrees(cmath.phase(total)) % 360 if abs(total) > 1e-6 else None


def gap_limit_ms(times_ms: Sequence[int]) -> float:
    """How far apart two of these readings can be without a gap between them: three times the usual
    pause, and at least three hours."""
    pauses_ms = [later - earlier for earlier, later in pairwise(times_ms)]
    return 3 * max(median(pauses_ms or [0]), HOUR_MS)


def as_dict(reading: Reading) -> dict[str, object]:
    """For another program: as CSV and JSON have it."""
    return {
        "time": iso_time(reading.time_ms),
        "time_ms": reading.time_ms,
        "place": reading.place,
        "city": reading.dimensions.get("city", ""),
        "country": reading.dimensions.get("country", ""),
        "measure": reading.measure,
        "value": reading.json_value,
        "unit": reading.unit,
        "state": "pending" if reading.pending else "delivered",
    }

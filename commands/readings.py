"""Readings: one measure of one place at one time, whichever source they come from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from ingest.errors import UsageError
from ingest.journal.queue import Kept
from ingest.observation import MEASURES, UNITS, Observation, parse_place, place_key
from timestream_writer import dimensions_of

HOUR_MS = 3_600_000

# Two readings further apart than both of these have a gap between them.
GAP_SPACINGS = 3
GAP_AT_LEAST_MS = 3 * HOUR_MS

# Measures whose sums say nothing.
CODES = ("ConditionId",)
DIRECTIONS = ("WindDirection",)

Dimensions = dict[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """place: as configured; from Timestream, which does not know that, as its dimensions say.

    value: its text in a record. units: what it was fetched in, as WEATHER_UNITS names them.
    utc_offset_s: of the place's clocks, seconds east of UTC; None where that is not known.
    """

    place: str
    city: str
    country: str
    measure: str
    time_ms: int
    value: str
    pending: bool = False
    units: str = "metric"
    utc_offset_s: int | None = None

    @property
    def unit(self) -> str:
        return unit_of(self.measure, self.units)

    @property
    def number(self) -> float | None:
        """None for a text."""
        return None if MEASURES[self.measure].type == "VARCHAR" else float(self.value)


class Quantity(NamedTuple):
    """What can be compared and averaged: a measure in one unit. WEATHER_UNITS can have changed."""

    measure: str
    unit: str


def readings_of(kept: Iterable[Kept], measures: Sequence[str], units: str) -> list[Reading]:
    """The readings of the journal's observations, each once: of those with the same place, measure
    and time the last, which has the highest version. Sorted by time.

    measures: only these; none: all. units: of observations that do not say theirs.
    """
    readings = {}
    for each in kept:
        seen = each.observation
        for name, value in seen.values.items():
            if not measures or name in measures:
                key = (seen.place.name, name, seen.time_ms)
                reading = Reading(
                    seen.place.name,
                    seen.city,
                    seen.country,
                    name,
                    seen.time_ms,
                    value,
                    each.pending,
                    seen.units or units,
                    seen.utc_offset_s,
                )
                readings[key] = reading
    return sorted(readings.values(), key=lambda reading: reading.time_ms)


def by_place(readings: Iterable[Reading]) -> dict[str, dict[Quantity, list[Reading]]]:
    """place -> quantity -> readings, oldest first; places by name, measures as in their table, of
    one in several units the last used last."""
    found: dict[str, dict[Quantity, list[Reading]]] = {}
    for reading in readings:
        quantity = Quantity(reading.measure, reading.unit)
        found.setdefault(reading.place, {}).setdefault(quantity, []).append(reading)
    order = {measure: number for number, measure in enumerate(MEASURES)}

    def rank(item: tuple[Quantity, list[Reading]]) -> tuple[int, int]:
        quantity, series = item
        return order[quantity.measure], series[-1].time_ms

    return {
        place: dict(sorted(found[place].items(), key=rank))
        for place in sorted(found, key=str.casefold)
    }


def latest_of(readings: Iterable[Reading]) -> list[Reading]:
    """Of each place and measure the last, where it is as new as any of its place."""
    readings = list(readings)
    newest: dict[str, int] = {}
    for reading in readings:
        newest[reading.place] = max(reading.time_ms, newest.get(reading.place, 0))
    return [reading for reading in readings if reading.time_ms == newest[reading.place]]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a row of the table says. Numbers are None where they would say nothing."""

    count: int
    lowest: float | None
    mean: float | None
    highest: float | None
    latest: str


def summarize(readings: Sequence[Reading]) -> Summary:
    """Of one place and measure, oldest first, one at the least."""
    measure = readings[-1].measure
    numbers = [number for reading in readings if (number := reading.number) is not None]
    latest = readings[-1].value
    if not numbers or measure in CODES or MEASURES[measure].is_time:
        return Summary(len(readings), None, None, None, latest)
    if measure in DIRECTIONS:  # the mean of 350 and 10 degrees is not south
        return Summary(len(readings), None, mean_direction(numbers), None, latest)
    return Summary(len(readings), min(numbers), fmean(numbers), max(numbers), latest)


def mean_direction(degrees: Iterable[float]) -> float | None:
    """The mean of directions, 0 to 360; None where they cancel each other out."""
    import cmath
    from math import degrees as to_degrees
    from math import radians

    total = sum(cmath.rect(1, radians(each)) for each in degrees)
    return to_degrees(cmath.phase(total)) % 360 if abs(total) > 1e-6 else None


def gap_limit_ms(times_ms: Sequence[int]) -> float:
    """How far apart two readings of these may be before nothing is known of what lies between."""
    spacings = [later - earlier for earlier, later in pairwise(times_ms)]
    return max(GAP_SPACINGS * median(spacings), GAP_AT_LEAST_MS) if spacings else GAP_AT_LEAST_MS


def unit_of(measure: str, units: str) -> str:
    """units: as WEATHER_UNITS names them."""
    return MEASURES[measure].units[UNITS.index(units)]


def decimals_of(values: Iterable[str]) -> int:
    """How many decimals their mean is worth showing with."""
    return min(2, max((len(value.partition(".")[2]) for value in values), default=0) or 1)


def shown(value: str, measure: str) -> str:
    """A value as a person reads it: a time of day, UTC, instead of epoch milliseconds."""
    if MEASURES[measure].is_time:
        return datetime.fromtimestamp(float(value) / 1000, UTC).strftime("%H:%MZ")
    return value


def counted(count: int, noun: str) -> str:
    """1 record, 2 records"""
    return f"{count} {noun}{'s'[: count != 1]}"


def hours_text(hours: float) -> str:
    """As in "the last ...": hour, 24 hours"""
    return "hour" if hours == 1 else f"{hours:.12g} hours"


def age(milliseconds: int) -> str:
    """12 min ago"""
    minutes = round(milliseconds / 60_000)
    if minutes < 1:
        return "just now"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h ago" if days < 7 else f"{days} d ago"
    return f"{hours} h {minutes} min ago" if hours else f"{minutes} min ago"


class PlaceFilter:
    """The places of --place, each as configured, or as a city, in any spelling; none: all.

    known: observations that tell what a place as configured is in Timestream.
    """

    def __init__(self, texts: Sequence[str], known: Iterable[Observation] = ()) -> None:
        self.texts = tuple(texts)
        self._keys = set(map(place_key, texts))
        self._known = {place_key(seen.place.name): record_dimensions(seen) for seen in known}

    def matches(self, observation: Observation) -> bool:
        return not self._keys or not self._keys.isdisjoint(observation.place_keys)

    def dimensions(self) -> list[Dimensions]:
        """What records of each place carry. Raises UsageError where nothing says it."""
        return [self._known.get(place_key(text)) or _dimensions(text) for text in self.texts]


def record_dimensions(observation: Observation) -> Dimensions:
    """name -> value of the dimensions of the observation's records."""
    return {each["Name"]: each["Value"] for each in dimensions_of(observation)}


def _dimensions(text: str) -> Dimensions:
    try:
        place = parse_place(text)
    except ValueError:
        return {"city": text}
    if place.city_id:
        return {"city_id": str(place.city_id)}
    if place.coordinates:
        return dict(zip(("latitude", "longitude"), place.coordinates, strict=True))
    (kind, query), *_ = place.query
    if kind == "zip":
        raise UsageError(
            f"The table holds no post codes, and the journal does not know {text!r} yet: name its "
            "city instead."
        )
    return {"city": query.partition(",")[0].strip(), "country": place.country}

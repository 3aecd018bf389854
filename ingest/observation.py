"""Observations, and the table of measures they are made of.

Pure: no I/O, no clock, no destination.
Source of fields and units: OpenWeatherMap, Current weather data (/data/2.5/weather).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from ingest.places import Place, place_key
from ingest.reporting.redaction import one_line

UNITS = ("standard", "metric", "imperial")

# 9999-12-31T23:59:59Z: the last second that datetime, and so our messages, can name.
MAX_EPOCH_S = 253_402_300_799

DAY_S = 86_400

# Beyond it a double does not hold every whole number.
MAX_EXACT = 2**53

# What the value of a measure is.
NUMBER: Final = "number"
TEXT: Final = "text"
TIME: Final = "time"


class Measure(NamedTuple):
    """One row of the table of measures.

    path: the way to the value in the reply; a number is an index into a list.
    units: by WEATHER_UNITS, in the order of UNITS.
    kind: TIME is epoch seconds in the reply, 0 for 'never' (polar day and night), and epoch
        milliseconds in an observation.
    """

    name: str
    path: tuple[str | int, ...]
    units: tuple[str, str, str]
    kind: Literal["number", "text", "time"] = NUMBER

    def unit(self, units: str) -> str:
        """Its unit, if it was asked for in these of UNITS."""
        return self.units[UNITS.index(units)]


def field_name(path: Iterable[str | int]) -> str:
    """A path as a person writes it: main.temp, weather[0].id."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).lstrip(".")


def _same(unit: str) -> tuple[str, str, str]:
    return (unit, unit, unit)


_TEMPERATURE = ("K", "°C", "°F")
_SPEED = ("m/s", "m/s", "mph")

MEASURES = {
    measure.name: measure
    for measure in (
        Measure("CurrentTemp", ("main", "temp"), _TEMPERATURE),
        Measure("TempFeelsLike", ("main", "feels_like"), _TEMPERATURE),
        Measure("Humidity", ("main", "humidity"), _same("%")),
        Measure("Pressure", ("main", "pressure"), _same("hPa")),
        Measure("TempMin", ("main", "temp_min"), _TEMPERATURE),
        Measure("TempMax", ("main", "temp_max"), _TEMPERATURE),
        Measure("SeaLevelPressure", ("main", "sea_level"), _same("hPa")),
        Measure("GroundLevelPressure", ("main", "grnd_level"), _same("hPa")),
        Measure("Visibility", ("visibility",), _same("m")),
        Measure("WindSpeed", ("wind", "speed"), _SPEED),
        Measure("WindDirection", ("wind", "deg"), _same("°")),
        Measure("WindGust", ("wind", "gust"), _SPEED),
        Measure("Cloudiness", ("clouds", "all"), _same("%")),
        Measure("Rain1h", ("rain", "1h"), _same("mm")),
        Measure("Rain3h", ("rain", "3h"), _same("mm")),
        Measure("Snow1h", ("snow", "1h"), _same("mm")),
        Measure("Snow3h", ("snow", "3h"), _same("mm")),
        Measure("ConditionId", ("weather", 0, "id"), _same("")),
        Measure("Condition", ("weather", 0, "main"), _same(""), TEXT),
        Measure("Sunrise", ("sys", "sunrise"), _same("ms"), TIME),
        Measure("Sunset", ("sys", "sunset"), _same("ms"), TIME),
    )
}
FIELDS = {name: field_name(measure.path) for name, measure in MEASURES.items()}
DEFAULT_MEASURES = ("CurrentTemp", "TempFeelsLike", "Humidity", "Pressure")


@dataclass(frozen=True, slots=True)
class Observation:
    """The weather of one place at one time.

    city, country, city_id: as the reply names them, "" and 0 if it does not.
    time_ms: when it was observed, epoch milliseconds (the reply's dt, times 1000).
    version: when it was fetched, epoch milliseconds.
    values: measure name -> its text in a record: a number's shortest exact decimal, or a string.
    units: what it was asked for in, one of UNITS; "" if that is not known.
    utc_offset_s: of the place's clocks at that time, seconds east of UTC; None if not known.
    """

    place: Place
    city: str
    country: str
    city_id: int
    time_ms: int
    version: int
    values: dict[str, str]
    units: str = ""
    utc_offset_s: int | None = None

    @property
    def dimensions(self) -> dict[str, str]:
        """Name -> value of what says which place it is of; nothing empty, and always this order."""
        found = {}
        if self.city:
            found["city"] = self.city
        if self.country:
            found["country"] = self.country
        if self.city_id:
            found["city_id"] = str(self.city_id)
        if self.place.coordinates:
            found["latitude"], found["longitude"] = self.place.coordinates
        return found

    @property
    def series(self) -> tuple[str, str, int, tuple[str, ...], int]:
        """What distinguishes observations in a destination: dimensions and time."""
        return (self.city, self.country, self.city_id, self.place.coordinates, self.time_ms)

    @property
    def place_keys(self) -> set[str]:
        """What a person finds it by: its place as configured, and its city."""
        return {place_key(self.place.name), place_key(self.city)}

    def is_one_of(self, places: Iterable[str], measures: Iterable[str]) -> bool:
        """Whether it is of one of the places, in any spelling, and has one of the measures. If
        none is named, all are meant."""
        keys, names = {place_key(place) for place in places}, set(measures)
        return bool((not keys or keys & self.place_keys) and (not names or names & {*self.values}))


def describe_value(observation: Observation, measure: str) -> str:
    """Humidity=93 city=London country=GB city_id=2643743 at 2020-11-08T21:29:36Z (1604870976000)"""
    return describe_reading(
        measure, observation.values[measure], observation.dimensions, observation.time_ms
    )


def describe_reading(measure: str, value: str, dimensions: Mapping[str, str], time_ms: int) -> str:
    """As `describe_value`, for a value that was read back from a destination."""
    known = "".join(f" {name}={each}" for name, each in dimensions.items())
    return one_line(f"{measure}={value}{known} at {iso_time(time_ms)} ({time_ms})")


def decimal_text(number: float) -> str:
    """The shortest decimal that reads back as this finite number, never with an exponent."""
    if type(number) is int and abs(number) < MAX_EXACT:
        return str(number)
    text = repr(float(number))
    if "e" in text:
        from decimal import Decimal  # rare, and not needed to start

        text = format(Decimal(text), "f")
    return text.removesuffix(".0").removeprefix("-") if number == 0 else text.removesuffix(".0")


def iso_time(time_ms: int) -> str:
    """2020-11-08T21:29:36Z for 1604870976000."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

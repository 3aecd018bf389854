"""What the program is about: places, the table of measures, and observations read from replies.

Pure: nothing here does I/O, reads a clock or knows of AWS.
Source of fields and units: OpenWeatherMap, Current weather data (/data/2.5/weather).
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ingest.errors import ReplyError

UNITS = ("standard", "metric", "imperial")

# 9999-12-31T23:59:59Z: the last second that datetime, and so our messages, can name.
MAX_EPOCH_S = 253_402_300_799

DAY_S = 86_400

# GeoNames' ids have eight digits; what no 64 bits hold is none.
MAX_CITY_ID = 2**63 - 1


class Measure(NamedTuple):
    """One row of the table of measures.

    path: where the value stands in the reply; a number is an index into a list.
    units: by WEATHER_UNITS, in the order of UNITS.
    type: Timestream's. Every number is a DOUBLE: a measure's type is part of its table's schema,
        and OpenWeatherMap sends the same field as 12 or 12.5.
    is_time: the reply gives epoch seconds, 0 for 'never' (polar day and night); stored as epoch ms.
    """

    name: str
    path: tuple[str | int, ...]
    units: tuple[str, str, str]
    type: str = "DOUBLE"
    is_time: bool = False


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
        Measure("Condition", ("weather", 0, "main"), _same(""), type="VARCHAR"),
        Measure("Sunrise", ("sys", "sunrise"), _same("ms"), is_time=True),
        Measure("Sunset", ("sys", "sunset"), _same("ms"), is_time=True),
    )
}
FIELDS = {name: field_name(measure.path) for name, measure in MEASURES.items()}
DEFAULT_MEASURES = ("CurrentTemp", "TempFeelsLike", "Humidity", "Pressure")


@dataclass(frozen=True, slots=True)
class Place:
    """One place as configured, and the one query it is always asked with.

    OpenWeatherMap caches replies per form of the query, so two forms of one place can disagree.

    name: as configured, white space tidied; what messages say.
    country: the ISO 3166 code asked for, "" where the form has none.
    city_id: the id asked for, 0 where the form has none.
    coordinates: latitude and longitude as configured, () for other forms.
    """

    name: str
    query: tuple[tuple[str, str], ...]
    country: str = ""
    city_id: int = 0
    coordinates: tuple[str, str] | tuple[()] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """The weather of one place at one time.

    city, country, city_id: as the reply names them, "" and 0 where it does not.
    time_ms: when it was observed, epoch milliseconds (the reply's dt, times 1000).
    version: when it was fetched, epoch milliseconds.
    values: measure name -> its text in a record: a number's shortest exact decimal, or a string.
    units: what it was asked for in, one of UNITS; "" where that is not known.
    utc_offset_s: of the place's clocks at that time, seconds east of UTC; None where not known.
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
    def series(self) -> tuple[str, str, int, tuple[str, ...], int]:
        """What Timestream tells observations apart by: dimensions and time."""
        return (self.city, self.country, self.city_id, self.place.coordinates, self.time_ms)

    @property
    def place_keys(self) -> set[str]:
        """What a person finds it by: its place as configured, and its city."""
        return {place_key(self.place.name), place_key(self.city)}


# OpenWeatherMap takes UK for the United Kingdom and answers GB.
_COUNTRY_ALIASES = {"UK": "GB"}

_CITY = re.compile(r"(?P<city>[^,;]+(?:,[^,;]+)?),\s*(?P<country>[A-Za-z]{2})")
_CITY_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_COORDINATES = re.compile(r"([+-]?\d{1,3}(?:\.\d+)?)\s*,\s*([+-]?\d{1,3}(?:\.\d+)?)", re.ASCII)
_ZIP = re.compile(r"zip:\s*(?P<code>[A-Za-z0-9 -]+),\s*(?P<country>[A-Za-z]{2})", re.ASCII)


def place_name(text: str) -> str:
    """How the program writes a place that a person wrote: white space tidied, none at commas."""
    return re.sub(r"\s*,\s*", ",", " ".join(text.split()))


def place_key(text: str) -> str:
    """What the name of a place, or of a city, is found by, however it was written."""
    return place_name(text).casefold()


def parse_place(text: str) -> Place:
    """Read `City,CC`, `City,State,CC`, a city id, `lat,lon` in degrees, or `zip:CODE,CC`.

    Raises ValueError with a sentence that says what is wrong and what is expected.
    """
    name = place_name(text)
    if not name.isprintable():
        raise ValueError(f"{name!r} holds characters that cannot be printed")
    if _CITY_ID.fullmatch(name):
        return Place(name, (("id", name),), city_id=int(name))
    if match := _COORDINATES.fullmatch(name):
        latitude, longitude = match[1], match[2]
        if abs(float(latitude)) > 90 or abs(float(longitude)) > 180:
            raise ValueError(
                f"{name!r} is outside -90..90 degrees of latitude or -180..180 of longitude"
            )
        query = (("lat", latitude), ("lon", longitude))
        return Place(name, query, coordinates=(latitude, longitude))
    if match := _ZIP.fullmatch(name):
        country = _country(match["country"])
        return Place(name, (("zip", f"{match['code'].strip()},{country}"),), country=country)
    match = None if name.startswith("zip:") else _CITY.fullmatch(name)
    if match and any(map(str.isalpha, match["city"])):
        return Place(name, (("q", name),), country=_country(match["country"]))
    raise ValueError(
        f"{name!r} is not a place: write City,CC with the country's two letters (London,GB), "
        "a city id (2643743), lat,lon (51.5085,-0.1257) or zip:CODE,CC"
    )


def _country(code: str) -> str:
    return _COUNTRY_ALIASES.get(code.upper(), code.upper())


def parse_reply(
    body: bytes, place: Place, measures: Sequence[str], version: int, units: str = ""
) -> Observation:
    """Read one Current Weather reply to the asked place: a UTF-8 JSON object, times in epoch s.

    units: what was asked for, which no reply says.

    A measure that is absent, null or not finite is left out. Fields that are not asked for are not
    looked at, so that a change there stops nobody.

    Raises ReplyError naming the first field that is absent or of the wrong type, or in which the
    reply is of another place than the one asked for; with its `cod` where the body is an error.
    """
    reply = _decode(body)
    _check_error_body(reply)
    observed_s = _observed_s(reply)
    city = _text(reply, ("name",)).strip()
    country = _text(reply, ("sys", "country")).strip()
    city_id = _city_id(reply)
    _check_identity(place, city, country, city_id)
    values = dict(_values(reply, measures))
    if not values:
        fields = ", ".join(FIELDS[name] for name in measures)
        raise ReplyError(f"the reply has none of the measures asked for ({fields})")
    return Observation(
        place,
        city,
        country,
        city_id,
        observed_s * 1000,
        version,
        values,
        units,
        _utc_offset_s(reply),
    )


def _decode(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise ReplyError("the reply is empty")
    try:
        reply = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ReplyError(f"the reply is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise ReplyError("the reply is nested too deeply") from error
    except ValueError as error:
        raise ReplyError(f"the reply is not JSON: {error}") from error
    if not isinstance(reply, dict):
        raise ReplyError(f"the reply is {_kind(reply)}; a JSON object was expected")
    return reply


def _check_error_body(reply: dict[str, Any]) -> None:
    """OpenWeatherMap has answered HTTP 200 with an error in the body."""
    for field in ("cod", "code", "error"):
        text = str(reply.get(field))
        if text not in ("200", "None"):
            raise ReplyError(
                f"the reply is an error, {field} {_shown(reply[field])}: {error_message(reply)}",
                cod=int(text) if text.isascii() and text.isdigit() and len(text) == 3 else 0,
            )


def error_message(reply: object) -> str:
    """The `message` of an error's body, tidied to one short line; "no message" without one."""
    message = reply.get("message") if isinstance(reply, dict) else None
    text = one_line(" ".join(str(message or "").split()))
    return text[:200] or "no message"


def _look_up(reply: dict[str, Any], path: tuple[str | int, ...]) -> Any:  # noqa: ANN401  (any JSON)
    """The value at the path; None where it, or anything on the way to it, is absent or null."""
    value: Any = reply
    for depth, step in enumerate(path):
        if value is None:
            return None
        if isinstance(step, int):
            if not isinstance(value, list):
                raise _wrong_type(path[:depth], value, "a list")
            value = value[step] if step < len(value) else None
        else:
            if not isinstance(value, dict):
                raise _wrong_type(path[:depth], value, "an object")
            value = value.get(step)
    return value


def _wrong_type(path: tuple[str | int, ...], value: object, expected: str) -> ReplyError:
    return ReplyError(f"{field_name(path)} is {_kind(value)}; {expected} was expected")


def _number(value: object, field: str) -> float | int | None:
    """The number, or None where it is not finite (NaN, 1e999)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReplyError(f"{field} is {_kind(value)}; a number was expected")
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an int that no double can hold
        return None


def _text(reply: dict[str, Any], path: tuple[str, ...]) -> str:
    value = _look_up(reply, path)
    if value is None:
        return ""
    return _clean_text(value, ".".join(path))


def _clean_text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise ReplyError(f"{field} is {_kind(value)}; a string was expected")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ReplyError(f"{field} holds half a character (a lone surrogate)") from error
    return value


def _observed_s(reply: dict[str, Any]) -> int:
    observed = reply.get("dt")
    if observed is None:
        raise ReplyError("dt, the time of the observation, is missing")
    seconds = _number(observed, "dt")
    if seconds is None or seconds != int(seconds) or not 0 < seconds <= MAX_EPOCH_S:
        raise ReplyError(f"dt is {_shown(observed)}, which is no time in epoch seconds")
    return int(seconds)


def _city_id(reply: dict[str, Any]) -> int:
    value = reply.get("id")
    if value is None:
        return 0
    number = _number(value, "id")
    if number is None or number != int(number) or not 0 <= number <= MAX_CITY_ID:
        raise ReplyError(f"id is {_shown(value)}, which is no city id")
    return int(number)


def _utc_offset_s(reply: dict[str, Any]) -> int | None:
    # No record holds it, so whatever else stands there is no reason to do without the weather.
    offset = reply.get("timezone")
    return offset if type(offset) is int and abs(offset) < DAY_S else None


def _check_identity(place: Place, city: str, country: str, city_id: int) -> None:
    # Only two letters can be compared: replies of 2014 named the country in full.
    if place.country and len(country) == 2 and _country(country) != place.country:
        raise ReplyError(
            f"sys.country is {country}, but {place.country} was asked for: OpenWeatherMap found "
            "another place of that name. Configure its city id or coordinates instead"
        )
    if place.city_id and city_id and city_id != place.city_id:
        raise ReplyError(f"id is {city_id}, but {place.city_id} was asked for")
    if not (city or country or city_id or place.coordinates):
        raise ReplyError("name, sys.country and id are all empty, so the records would be nobody's")


def _values(reply: dict[str, Any], measures: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in measures:
        measure = MEASURES[name]
        value = _look_up(reply, measure.path)
        if value is None:
            continue
        if measure.type == "VARCHAR":
            text = _clean_text(value, FIELDS[name]).strip()
            if text:
                yield name, text
            continue
        number = _number(value, FIELDS[name])
        if number is None or (measure.is_time and not 0 < number <= MAX_EPOCH_S):
            continue
        yield name, decimal_text(number * 1000 if measure.is_time else number)


def decimal_text(number: float) -> str:
    """The shortest decimal that reads back as this finite number, never with an exponent."""
    text = repr(float(number))
    if "e" in text:
        from decimal import Decimal  # rare, and not needed to start

        text = format(Decimal(text), "f")
    return text.removesuffix(".0").removeprefix("-") if number == 0 else text.removesuffix(".0")


def iso_time(time_ms: int) -> str:
    """2020-11-08T21:29:36Z for 1604870976000."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def one_line(text: str) -> str:
    """Text from outside, fit for a terminal: one line, nothing that moves the cursor."""
    return "".join(char if char.isprintable() else " " for char in text)


_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def _kind(value: object) -> str:
    """What a JSON value is, with the value itself where it is short."""
    kind = _KINDS[type(value)]
    return f"{kind} ({_shown(value)})" if isinstance(value, str | int | float) else kind


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

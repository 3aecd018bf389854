"""OpenWeatherMap's Current Weather on loopback, with invented weather.

A place is looked for in the form it was asked for, as the service does, which caches by
the query's form. Queries are named like the program's places: `London,GB`, `2643743`,
`51.5085,-0.1257`, `zip:SW1A,GB`.
"""

import json
import math
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from embedded.cities import City, city_named, city_numbered
from embedded.exchange import Answer, Request
from embedded.loopback import LoopbackService

PATH = "/data/2.5/weather"
ACTION = "weather"
OBSERVED_EVERY_S = 600
KELVIN_AT_0_C = 273.15
MPH_PER_METRE_PER_SECOND = 2.236936
POLAR_CIRCLE_DEGREES = 66.5

INVALID_KEY = "Invalid API key. Please see https://openweathermap.org/faq#error401 for more info."
BLOCKED = (
    "Your account is temporary blocked due to exceeding of requests limitation of your "
    "subscription type. Please choose the proper subscription https://openweathermap.org/price"
)

SECTIONS = {
    "main": (
        "temp",
        "feels_like",
        "temp_min",
        "temp_max",
        "pressure",
        "humidity",
        "sea_level",
        "grnd_level",
    ),
    "wind": ("wind_speed", "wind_deg", "wind_gust"),
    "sys": ("country", "sunrise", "sunset"),
}
SECTION_OF = {name: section for section, names in SECTIONS.items() for name in names}


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""As a field of `set_weather`: the reply has no such member."""


@dataclass(frozen=True, slots=True)
class _RefusedError(Exception):
    status: int
    cod: int | str
    message: str


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the weather is asked for, and how the reply names it."""

    id: int
    name: str
    country: str | None
    latitude: float
    longitude: float
    utc_offset_s: int
    mean_temp_c: float


class EmbeddedOpenWeatherMap(LoopbackService):
    """The service at `url`, for one API key.

    `dt` is the clock rounded down to ten minutes, so that most polls repeat the last one; or
    `observed_s`, once that is set.
    With calls_per_minute, more than that in any 60 seconds are answered 429, and calls
    refused so count too.
    """

    def __init__(
        self,
        *,
        api_key: str = "0123456789abcdef0123456789abcdef",
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        delay_s: float = 0.0,
        port: int = 0,
        calls_per_minute: int | None = None,
    ) -> None:
        super().__init__(clock=clock, delay_s=delay_s, port=port, tls=tls)
        self.api_key = api_key
        self.calls_per_minute = calls_per_minute
        self.observed_s: int | None = None
        self._called_at: deque[float] = deque()
        self._fields: dict[str, dict[str, object]] = {}
        self._replies: dict[str, Answer] = {}
        self._set_lock = threading.Lock()

    @property
    def url(self) -> str:
        """What OPENWEATHERMAP_URL has to be."""
        return self.address + PATH

    def environment(self) -> dict[str, str]:
        """The program's settings for this service."""
        return {"OPENWEATHERMAP_URL": self.url, "OPENWEATHERMAP_API_KEY": self.api_key}

    def set_weather(self, place_query: str, **fields: object) -> None:
        """Override members of the replies to one query; calls add up.

        Names are the reply's own (temp, humidity, dt, name, id, rain, visibility, ...),
        with wind_speed, wind_deg, wind_gust for the wind's. Numbers are sent as they
        are, whatever the units asked for; None is sent as null, ABSENT not at all.
        """
        with self._set_lock:
            self._fields.setdefault(_folded_key(place_query), {}).update(fields)

    def set_reply(self, place_query: str, body: bytes, status: int = 200) -> None:
        """Answer one query with these bytes from now on."""
        answer = Answer(status, body, {"Content-Type": "application/json; charset=utf-8"})
        with self._set_lock:
            self._replies[_folded_key(place_query)] = answer

    def forget_weather(self) -> None:
        """Undo every `set_weather` and `set_reply`."""
        with self._set_lock:
            self._fields.clear()
            self._replies.clear()

    def action_of(self, request: Request) -> str:
        """`weather`, or the path of whatever else was asked."""
        return ACTION if request.path == PATH else request.path

    def respond(self, request: Request) -> Answer:
        """One Current Weather reply, or the service's error."""
        if request.path != PATH:
            return _json_answer(404, {"cod": "404", "message": "Internal error"})
        try:
            self._admit(request.query)
            return self._weather(request.query)
        except _RefusedError as refused:
            body = {"cod": refused.cod, "message": refused.message}
            return _json_answer(refused.status, body)

    def _admit(self, query: Mapping[str, str]) -> None:
        if query.get("appid") != self.api_key:
            raise _RefusedError(401, 401, INVALID_KEY)
        if self.calls_per_minute is None:
            return
        now = self.clock()
        with self._set_lock:
            while self._called_at and self._called_at[0] <= now - 60:
                self._called_at.popleft()
            self._called_at.append(now)
            if len(self._called_at) > self.calls_per_minute:
                raise _RefusedError(429, 429, BLOCKED)

    def _weather(self, query: Mapping[str, str]) -> Answer:
        key = _folded_key(query_key(query))
        with self._set_lock:
            canned, fields = self._replies.get(key), dict(self._fields.get(key, {}))
        if canned is not None:
            return canned
        now = self.clock() if self.observed_s is None else self.observed_s
        reply = _reply(_spot(query), now, query.get("units", "standard"))
        _override(reply, fields)
        return _json_answer(200, reply)


def query_key(query: Mapping[str, str]) -> str:
    """The name of a query, as `set_weather` and `set_reply` take it; empty for none."""
    if "lat" in query and "lon" in query:
        return f"{query['lat']},{query['lon']}"
    if "zip" in query:
        return f"zip:{query['zip']}"
    return query.get("id", query.get("q", ""))


def _folded_key(key: str) -> str:
    return key.casefold().replace(" ", "")


def _spot(query: Mapping[str, str]) -> _Spot:
    if "lat" in query and "lon" in query:
        return _coordinates(query["lat"], query["lon"])
    if "zip" in query:
        return _postal_area(query["zip"])
    if "id" in query:
        return _city(city_numbered(_city_id(query["id"])))
    if query.get("q"):
        return _city(city_named(query["q"]))
    raise _RefusedError(400, "400", "Nothing to geocode")


def _city_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _RefusedError(400, "400", f"{text} is not a city ID")
    return int(text)


def _city(city: City | None) -> _Spot:
    if city is None:
        raise _RefusedError(404, "404", "city not found")
    return _Spot(
        city.id,
        city.name,
        city.country,
        city.latitude,
        city.longitude,
        city.utc_offset_s,
        city.mean_temp_c,
    )


def _coordinates(lat: str, lon: str) -> _Spot:
    latitude = _degrees(lat, 90, "wrong latitude")
    longitude = _degrees(lon, 180, "wrong longitude")
    offset_s = round(longitude / 15) * 3600
    return _Spot(0, "", None, latitude, longitude, offset_s, 27 - abs(latitude) * 0.4)


def _degrees(text: str, limit: float, message: str) -> float:
    try:
        degrees = float(text)
    except ValueError:
        degrees = math.nan
    if not abs(degrees) <= limit:
        raise _RefusedError(400, "400", message)
    return degrees


def _postal_area(text: str) -> _Spot:
    code, _, country = text.partition(",")
    if not code.strip() or code.strip("0") == "":
        raise _RefusedError(404, "404", "city not found")
    return _Spot(0, f"Postal area {code}", (country or "US").upper(), 45.5, 9.25, 3600, 12.0)


def _reply(spot: _Spot, now: float, units: str) -> dict[str, Any]:
    """The weather of ten minutes at a spot; the same whenever it is asked."""
    observed_at = int(now) // OBSERVED_EVERY_S * OBSERVED_EVERY_S
    phase = observed_at / 86400 * math.tau + math.radians(spot.longitude)
    temp_c = spot.mean_temp_c + 4 * math.sin(phase) + math.sin(observed_at / 3001) / 4
    wind_m_s = 4 + 2.5 * math.sin(phase * 3 + spot.latitude)
    pressure_hpa = 1013 + round(9 * math.sin(observed_at / 200_000 + spot.latitude))
    reply: dict[str, Any] = {
        "coord": {"lon": spot.longitude, "lat": spot.latitude},
        "weather": [{"id": 803, "main": "Clouds", "description": "broken clouds", "icon": "04d"}],
        "base": "stations",
        "main": {
            "temp": _temperature(temp_c, units),
            "feels_like": _temperature(temp_c - wind_m_s / 4, units),
            "temp_min": _temperature(temp_c - 1.1, units),
            "temp_max": _temperature(temp_c + 0.9, units),
            "pressure": pressure_hpa,
            "humidity": 72 - round(18 * math.sin(phase)),
            "sea_level": pressure_hpa,
            "grnd_level": pressure_hpa - 4,
        },
        "visibility": 10000,
        "wind": {"speed": _speed(wind_m_s, units), "deg": int(math.degrees(phase)) % 360},
        "clouds": {"all": 68 + round(20 * math.sin(phase * 2))},
        "dt": observed_at,
        "sys": _sys(spot, observed_at),
        "timezone": spot.utc_offset_s,
        "id": spot.id,
        "name": spot.name,
        "cod": 200,
    }
    return reply


def _sys(spot: _Spot, observed_at: int) -> dict[str, Any]:
    midnight = observed_at // 86400 * 86400
    noon = midnight + 43200 - int(spot.longitude * 240)
    polar = abs(spot.latitude) > POLAR_CIRCLE_DEGREES
    country = {} if spot.country is None else {"country": spot.country}
    return {
        **country,
        "sunrise": 0 if polar else noon - 17_400,
        "sunset": 0 if polar else noon + 17_700,
    }


def _temperature(celsius: float, units: str) -> float:
    """Only the exact words metric and imperial are known; all else is kelvin."""
    match units:
        case "metric":
            return round(celsius, 2)
        case "imperial":
            return round(celsius * 1.8 + 32, 2)
        case _:
            return round(celsius + KELVIN_AT_0_C, 2)


def _speed(metres_per_second: float, units: str) -> float:
    factor = MPH_PER_METRE_PER_SECOND if units == "imperial" else 1
    return round(metres_per_second * factor, 2)


def _override(reply: dict[str, Any], fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        section = SECTION_OF.get(name)
        members = reply if section is None else reply[section]
        member = name.removeprefix("wind_") if section == "wind" else name
        if value is ABSENT:
            members.pop(member, None)
        else:
            members[member] = value


def _json_answer(status: int, members: Mapping[str, object]) -> Answer:
    headers = {"Server": "openresty", "Content-Type": "application/json; charset=utf-8"}
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, headers)

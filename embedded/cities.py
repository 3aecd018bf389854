"""The places the embedded OpenWeatherMap knows; their weather is invented."""

import unicodedata
from dataclasses import dataclass

STATION_IDS = range(9_000_000, 10_000_000)
COUNTRY_ALIASES = {"uk": "gb"}


@dataclass(frozen=True, slots=True)
class City:
    """A place and what its weather varies around: a mean temperature in degrees Celsius."""

    id: int
    name: str
    country: str
    latitude: float
    longitude: float
    utc_offset_s: int
    mean_temp_c: float


CITIES = (
    City(2643743, "London", "GB", 51.5085, -0.1257, 0, 11.4),
    City(6058560, "London", "CA", 42.9834, -81.233, -18000, 8.6),
    City(2988507, "Paris", "FR", 48.8534, 2.3488, 3600, 12.7),
    City(2950159, "Berlin", "DE", 52.5244, 13.4105, 3600, 10.1),
    City(3117735, "Madrid", "ES", 40.4165, -3.7026, 3600, 15.3),
    City(2657896, "Zürich", "CH", 47.3667, 8.55, 3600, 9.8),
    City(3413829, "Reykjavik", "IS", 64.1355, -21.8954, 0, 4.9),
    City(5128581, "New York", "US", 40.7143, -74.006, -18000, 13.2),
    City(3448439, "São Paulo", "BR", -23.5475, -46.6361, -10800, 20.4),
    City(184745, "Nairobi", "KE", -1.2833, 36.8167, 10800, 19.1),
    City(1850147, "Tokyo", "JP", 35.6895, 139.6917, 32400, 15.9),
    City(2147714, "Sydney", "AU", -33.8679, 151.2073, 39600, 18.3),
    City(3133895, "Tromsø", "NO", 69.6496, 18.957, 3600, 3.2),
)


def city_named(query: str) -> City | None:
    """The first city of `Name` or `Name,CC`, in any case, with or without its accents."""
    name, _, country = (_folded(part) for part in query.partition(","))
    country = COUNTRY_ALIASES.get(country, country)
    for city in CITIES:
        if _folded(city.name) == name and country in ("", city.country.casefold()):
            return city
    return None


def city_numbered(city_id: int) -> City | None:
    """The city of this id; ids of seven digits from 9000000 are stations without end."""
    for city in CITIES:
        if city.id == city_id:
            return city
    if city_id not in STATION_IDS:
        return None
    number = city_id - STATION_IDS.start
    latitude, longitude = 50 + number % 500 / 100, -5 + number // 500 % 700 / 100
    return City(city_id, f"Station {number}", "GB", latitude, longitude, 0, 9.0 + number % 7)


def _folded(text: str) -> str:
    plain = text.strip().replace("ø", "o").replace("Ø", "o")
    decomposed = unicodedata.normalize("NFKD", plain)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()

"""The time zone of places, as far as what is known of them says it.

No observation holds its place's time zone. The tz database names the zones of each country: where
a country has one, or all of its zones agree for the time in question, or one has the city's name,
that is the place's. Elsewhere nothing is guessed: UTC, or what --time-zone says.
"""

import unicodedata
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

UTC_ZONE = "UTC"


def zone_of(places: Iterable[tuple[str, str]], start_ms: int, end_ms: int) -> ZoneInfo:
    """The zone that all these places share; UTC where they do not, or where it is not known.

    places: (city, ISO 3166 country), "" where it is not known. start and end: the time in question.
    """
    names = {_zone_name(city, country, start_ms, end_ms) for city, country in places}
    return ZoneInfo(names.pop() if len(names) == 1 else UTC_ZONE)


def offsets(zone: ZoneInfo, start_ms: int, end_ms: int) -> list[str]:
    """The zone's distances from UTC from start to end, in their order: UTC+01:00, UTC+00:00."""
    found: list[str] = []
    for moment in _days(start_ms, end_ms):
        offset = moment.astimezone(zone).strftime("%z")
        text = f"UTC{offset[:3]}:{offset[3:5]}"
        if text not in found:
            found.append(text)
    return found


def _zone_name(city: str, country: str, start_ms: int, end_ms: int) -> str:
    zones = _zones().get(country.upper(), ())
    for zone in zones:
        if city and _folded(zone.rpartition("/")[2].replace("_", " ")) == _folded(city):
            return zone
    agreeing = {tuple(_offsets(zone, start_ms, end_ms)) for zone in zones}
    return zones[0] if len(agreeing) == 1 else UTC_ZONE


def _offsets(zone: str, start_ms: int, end_ms: int) -> list[timedelta | None]:
    known = ZoneInfo(zone)
    return [moment.astimezone(known).utcoffset() for moment in _days(start_ms, end_ms)]


def _days(start_ms: int, end_ms: int) -> list[datetime]:
    """Moments from start to end, a day apart at the most."""
    start, end = (datetime.fromtimestamp(each / 1000, UTC) for each in (start_ms, end_ms))
    return [*(start + timedelta(days=day) for day in range((end - start).days + 1)), end]


@cache
def _zones() -> dict[str, tuple[str, ...]]:
    """country -> its zones, from the tz database's zone.tab; empty where there is none."""
    zones: dict[str, tuple[str, ...]] = {}
    for line in _zone_table().splitlines():
        if line and not line.startswith("#"):
            country, _, name, *_ = line.split("\t")
            zones[country] = (*zones.get(country, ()), name)
    return zones


def _zone_table() -> str:
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / "zone.tab").is_file():
            return (folder / "zone.tab").read_text(encoding="utf-8")
    try:
        table = resources.files("tzdata") / "zoneinfo" / "zone.tab"
    except ModuleNotFoundError:
        return ""
    return table.read_text(encoding="utf-8")


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    return plain.casefold()

"""The time zone of places, as far as what is known of them says it.

The tz database names the zones of each country: where a country has one, or all of its zones agree
for the time in question, or one has the city's name, that is the place's. Elsewhere the replies of
OpenWeatherMap say how far its clocks are from UTC, and it is named by that. Where neither is known
nothing is guessed: UTC, or what --time-zone says.
"""

import unicodedata
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

UTC_ZONE = "UTC"


def zone_of(places: Iterable[tuple[str, str, int | None]], start_ms: int, end_ms: int) -> tzinfo:
    """The zone that all these places share; UTC where they do not, or where it is not known.

    places: (city, ISO 3166 country, seconds east of UTC), "" and None where it is not known.
    start and end: the time in question.
    """
    zones = {_zone(*place, start_ms, end_ms) for place in places}
    if len(zones) == 1:
        return zones.pop()
    distances = {_offsets(zone, start_ms, end_ms) for zone in zones}
    same = distances.pop() if len(distances) == 1 else ()
    return _fixed(same[0]) if len(set(same)) == 1 else ZoneInfo(UTC_ZONE)


def offsets(zone: tzinfo, start_ms: int, end_ms: int) -> list[str]:
    """The zone's distances from UTC from start to end, in their order: UTC+01:00, UTC+00:00."""
    found: list[str] = []
    for moment in _days(start_ms, end_ms):
        offset = moment.astimezone(zone).strftime("%z")
        text = f"UTC{offset[:3]}:{offset[3:5]}"
        if text not in found:
            found.append(text)
    return found


def _zone(city: str, country: str, utc_offset_s: int | None, start_ms: int, end_ms: int) -> tzinfo:
    names = _cities(country.upper())
    name = names.get(_folded(city)) or _shared_name(country.upper(), start_ms, end_ms)
    known = None if utc_offset_s is None else timedelta(seconds=utc_offset_s)
    # Juneau in Wisconsin has not Alaska's time.
    if name and (known is None or known in _offsets(ZoneInfo(name), start_ms, end_ms)):
        return ZoneInfo(name)
    return _fixed(known or timedelta())


def _fixed(offset: timedelta) -> tzinfo:
    """A zone without a change of clocks, named as UTC-05:00."""
    return timezone(offset) if offset else ZoneInfo(UTC_ZONE)


@cache
def _cities(country: str) -> dict[str, str]:
    """city as _folded -> the zone of that name"""
    zones = _zones().get(country, ())
    return {_folded(zone.rpartition("/")[2].replace("_", " ")): zone for zone in reversed(zones)}


@cache
def _shared_name(country: str, start_ms: int, end_ms: int) -> str:
    """The name of a zone that has the same time as all others of the country; "" if none has."""
    zones = _zones().get(country, ())
    agreeing = {_offsets(ZoneInfo(zone), start_ms, end_ms) for zone in zones}
    return zones[0] if len(agreeing) == 1 else ""


@cache
def _offsets(zone: tzinfo, start_ms: int, end_ms: int) -> tuple[timedelta, ...]:
    moments = (moment.astimezone(zone) for moment in _days(start_ms, end_ms))
    return tuple(moment.utcoffset() or timedelta() for moment in moments)


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

"""The time zone of places, as far as what is known of them says it.

The tz database names the zones of each country: if a country has one, or all of its zones agree for
the time in question, or one has the city's name, that is the place's. Otherwise the replies of
OpenWeatherMap say how far its clocks are from UTC, and it is named by that. If neither is known
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

_ZERO = timedelta()


def zone_of(places: Iterable[tuple[str, str, int | None]], start_ms: int, end_ms: int) -> tzinfo:
    """The zone that all these places share; UTC if they share none, or it is not known.

    places: (city, ISO 3166 country, seconds east of UTC), "" and None if it is not known.
    start and end: the time in question.
    """
    zones = {_zone(*place, start_ms, end_ms) for place in places}
    if len(zones) == 1:
        return zones.pop()
    distances = {each for zone in zones for each in _distances(zone, start_ms, end_ms)}
    return _fixed(distances.pop() if len(distances) == 1 else _ZERO)


def offsets(zone: tzinfo, start_ms: int, end_ms: int) -> list[str]:
    """The zone's distances from UTC from start to end, in their order: UTC+01:00, UTC+00:00."""
    distances = dict.fromkeys(_distances(zone, start_ms, end_ms))
    return [str(timezone(distance)) if distance else "UTC+00:00" for distance in distances]


def _zone(city: str, country: str, utc_offset_s: int | None, start_ms: int, end_ms: int) -> tzinfo:
    zones = _zones().get(country.upper(), [])
    names = [zone for zone in zones if _folded(zone.rpartition("/")[2]) == _folded(city)]
    if not names and len({_distances(ZoneInfo(zone), start_ms, end_ms) for zone in zones}) == 1:
        names = zones
    known = None if utc_offset_s is None else timedelta(seconds=utc_offset_s)
    # Juneau in Wisconsin has not Alaska's time.
    if names and (known is None or known in _distances(ZoneInfo(names[0]), start_ms, end_ms)):
        return ZoneInfo(names[0])
    return _fixed(known or _ZERO)


def _fixed(distance: timedelta) -> tzinfo:
    """A zone without a change of clocks, named as UTC-05:00."""
    return timezone(distance) if distance else ZoneInfo("UTC")


@cache
def _distances(zone: tzinfo, start_ms: int, end_ms: int) -> tuple[timedelta, ...]:
    """How far from UTC the zone's clocks are, at moments from start to end, at most a day apart."""
    start, end = (datetime.fromtimestamp(each / 1000, UTC) for each in (start_ms, end_ms))
    days = [start + timedelta(days=day) for day in range((end - start).days + 1)]
    return tuple(moment.astimezone(zone).utcoffset() or _ZERO for moment in (*days, end))


@cache
def _zones() -> dict[str, list[str]]:
    """country -> its zones, from the tz database's zone.tab; empty if there is none."""
    zones: dict[str, list[str]] = {}
    for line in _zone_table().splitlines():
        if line and not line.startswith("#"):
            country, _, name, *_ = line.split("\t")
            zones.setdefault(country, []).append(name)
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
    """The same for Sao_Paulo and São Paulo."""
    decomposed = unicodedata.normalize("NFKD", text.replace("_", " "))
    return "".join(each for each in decomposed if not unicodedata.combining(each)).casefold()

"""The time zone of places, as far as it is known.

The tz database names the zones of each country: if a country has one, or all of its zones agree for
the time in question, or one has the city's name, that is the place's. Otherwise the replies of
OpenWeatherMap say how far its clocks are from UTC, and the zone is named by that. If neither is
known nothing is guessed: UTC, or what --time-zone says.
"""

import unicodedata
import zoneinfo
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from zoneinfo import ZoneInfo

from commands.show.readings import Reading, Shown

_ZERO = timedelta()


def zone_of(shown: Shown) -> tzinfo:
    """The zone that all its places share; UTC if they share none, or it is not known."""
    start_ms, end_ms = shown.start_ms, shown.end_ms
    # The last reading of each place: its clocks may have changed since the others.
    last = {reading.place: reading for reading in shown.readings}
    zones = {_zone(reading, start_ms, end_ms) for reading in last.values()}
    if len(zones) == 1:
        return zones.pop()
    distances = {each for zone in zones for each in _distances(zone, start_ms, end_ms)}
    return timezone(distances.pop() if len(distances) == 1 else _ZERO)


def offsets(zone: tzinfo, start_ms: int, end_ms: int) -> list[str]:
    """The zone's distances from UTC from start to end, in their order: UTC+01:00, UTC+00:00."""
    distances = dict.fromkeys(_distances(zone, start_ms, end_ms))
    return [str(timezone(distance)) if distance else "UTC+00:00" for distance in distances]


def _zone(reading: Reading, start_ms: int, end_ms: int) -> tzinfo:
    zones = _zones().get(reading.dimensions.get("country", "").upper(), [])
    city = _folded(reading.dimensions.get("city", ""))
    names = [zone for zone in zones if _folded(zone.rpartition("/")[2]) == city]
    if not names and len({_distances(ZoneInfo(zone), start_ms, end_ms) for zone in zones}) == 1:
        names = zones
    offset_s = reading.utc_offset_s
    known = None if offset_s is None else timedelta(seconds=offset_s)
    # Juneau in Wisconsin does not have Alaska's time.
    if names and (known is None or known in _distances(ZoneInfo(names[0]), start_ms, end_ms)):
        return ZoneInfo(names[0])
    return timezone(known or _ZERO)


@cache
def _distances(zone: tzinfo, start_ms: int, end_ms: int) -> tuple[timedelta, ...]:
    """How far from UTC the zone's clocks are, at moments from start to end, at most a day apart."""
    start, end = (datetime.fromtimestamp(each / 1000, UTC) for each in (start_ms, end_ms))
    days = [start + timedelta(days=day) for day in range((end - start).days + 1)]
    return tuple(moment.astimezone(zone).utcoffset() or _ZERO for moment in (*days, end))


@cache
def _zones() -> dict[str, list[str]]:
    """country -> its zones, from the tz database's zone.tab; empty if there is none."""
    folders: list[Traversable] = [*map(Path, zoneinfo.TZPATH)]
    with suppress(ModuleNotFoundError):
        folders.append(resources.files("tzdata") / "zoneinfo")
    tables = (folder / "zone.tab" for folder in folders)
    table = next((table.read_text(encoding="utf-8") for table in tables if table.is_file()), "")
    zones: dict[str, list[str]] = {}
    for line in table.splitlines():
        if line and not line.startswith("#"):
            country, _, name, *_ = line.split("\t")
            zones.setdefault(country, []).append(name)
    return zones


def _folded(text: str) -> str:
    """The same for Sao_Paulo and São Paulo."""
    decomposed = unicodedata.normalize("NFKD", text.replace("_", " "))
    return "".join(each for each in decomposed if not unicodedata.combining(each)).casefold()

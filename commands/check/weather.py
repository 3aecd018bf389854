"""What `check` asks of OpenWeatherMap: one place's weather, which proves key and place."""

from dataclasses import replace

from commands.check.findings import OK, Finding, failed_by
from commands.check.known import Known
from commands.terminal import ago
from ingest.observation import MEASURES
from ingest.openweathermap.client import Failure, WeatherClient


def api_key(known: Known) -> Finding:
    early = known.sources.early
    units, measures = early("WEATHER_UNITS"), early("WEATHER_MEASURES") or ()
    client = WeatherClient(
        url=early("OPENWEATHERMAP_URL"),
        api_key=early("OPENWEATHERMAP_API_KEY"),
        units=units,
        measures=tuple(dict.fromkeys(("CurrentTemp", *measures))),
        timeout_s=known.timeout_s,
        deadline=known.one_call(),
        on_header=known.clock.hear_openweathermap,
    )
    (seen,) = client.fetch([early("WEATHER_PLACES")[0]])
    known.weather = seen
    if isinstance(seen, Failure):
        if seen.error.kind != "not found":
            raise seen.error
        # A key that is not accepted is refused whatever the place.
        return Finding(OK, "accepted by OpenWeatherMap")
    known.observation_ms = seen.time_ms
    (measure, value), *_ = seen.values.items()
    shown = value if measure == "CurrentTemp" else f"{measure}={value}"
    unit = MEASURES[measure].unit(units)
    age = ago(seen.time_ms)
    return Finding(OK, f"{seen.place.name} {shown} {unit}, observed {age}{_first_of(known)}")


def place(known: Known) -> Finding:
    seen = known.weather
    asked = f"{seen.place.name}{_first_of(known)}"
    if isinstance(seen, Failure):
        finding = failed_by(seen.error)
        return replace(finding, fact=f"{asked}: {finding.fact}")
    city_id = f"id {seen.city_id}" if seen.city_id else ""
    found = ", ".join(filter(None, (seen.city, seen.country, city_id)))
    return Finding(
        OK, f"{seen.place.name} is {found or 'a place without a name'}{_first_of(known)}"
    )


def _first_of(known: Known) -> str:
    count = len(known.sources.early("WEATHER_PLACES"))
    return f" (the first of {count} places)" if count > 1 else ""

"""What `check` asks of OpenWeatherMap: one place's weather, which proves key and place."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from commands.checks_clock import Clock
from commands.findings import Finding, ago, failed_by, failure, fine, needs, two_parts
from commands.limit import Limit
from ingest.observation import MEASURES, UNITS, Observation, Place
from ingest.openweathermap.client import Failure, WeatherClient
from ingest.settings.sources import Sources

KEY, PLACE = "API key", "place"


@dataclass(frozen=True, slots=True)
class WeatherLook:
    """What is to be known of the weather. findings: of the key, then of the place."""

    findings: tuple[Finding, Finding]
    observation: Observation | None = None


def look_at_weather(
    sources: Sources, limit: Limit, clock: Clock, *, secret_read: bool
) -> WeatherLook:
    """Ask for the weather of the first place. clock: hears the time of the answer."""
    wanted = ("OPENWEATHERMAP_API_KEY", "OPENWEATHERMAP_URL", "WEATHER_PLACES", "WEATHER_UNITS")
    values = {each: sources.early(each) for each in wanted}
    lacking = [each for each, value in values.items() if value is None]
    if lacking:
        other = f"settings ({', '.join(lacking)})" if secret_read else "the secret"
        return WeatherLook((needs(KEY, other), needs(PLACE, other)))
    measures = sources.early("WEATHER_MEASURES") or ()
    units, places = values["WEATHER_UNITS"], values["WEATHER_PLACES"]
    client = WeatherClient(
        url=values["OPENWEATHERMAP_URL"],
        api_key=values["OPENWEATHERMAP_API_KEY"],
        units=units,
        measures=tuple(dict.fromkeys(("CurrentTemp", *measures))),
        timeout_s=limit.timeout_s,
        deadline=limit.one(),
        on_header=clock.hear_openweathermap,
    )
    (result,) = client.fetch(places[:1])
    if isinstance(result, Failure):
        return WeatherLook(_without_weather(result, places))
    return WeatherLook((_of_key(result, units, places), _of_place(result, places)), result)


def _without_weather(result: Failure, places: Sequence[Place]) -> tuple[Finding, Finding]:
    error = result.error
    if error.kind != "not found":
        return failed_by(KEY, error), needs(PLACE, "the API key")
    # A key that is not accepted is refused whatever the place.
    accepted = fine(KEY, "accepted: OpenWeatherMap looked for the place")
    fact, step = two_parts(str(error))
    fact = f"{result.place.name}{_first_of(places)}: {fact}"
    return accepted, failure(PLACE, fact, step, error.status)


def _of_key(observation: Observation, units: str, places: Sequence[Place]) -> Finding:
    """London's weather, as the proof."""
    (measure, value), *_ = observation.values.items()
    unit = MEASURES[measure].units[UNITS.index(units)]
    shown = value if measure == "CurrentTemp" else f"{measure}={value}"
    age_s = time.time() - observation.time_ms / 1000
    name = observation.place.name
    return fine(KEY, f"{name} {shown} {unit}, observed {ago(age_s)}{_first_of(places)}")


def _of_place(observation: Observation, places: Sequence[Place]) -> Finding:
    """Which place OpenWeatherMap took it for."""
    known = [observation.city, observation.country]
    if observation.city_id:
        known.append(f"id {observation.city_id}")
    answered = ", ".join(each for each in known if each) or "a place without a name"
    return fine(PLACE, f"{observation.place.name} is {answered}{_first_of(places)}")


def _first_of(places: Sequence[Place]) -> str:
    return f" (the first of {len(places)} places)" if len(places) > 1 else ""

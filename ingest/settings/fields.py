"""The table of settings: each one's name, how its text is read, its default and its help."""

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from ingest.destinations import DESTINATIONS
from ingest.observation import DEFAULT_MEASURES, UNITS
from ingest.places import Places, read_places
from ingest.reporting.logs import FORMATS, LEVELS
from ingest.settings.converters import (
    DEFAULT_JOURNAL,
    one_of,
    read_api_key,
    read_days,
    read_journal,
    read_level,
    read_measures,
    read_name,
    read_seconds,
    read_text,
    read_url,
    up_to,
)

# A name that begins with one of these is a setting of ours, or a mistake.
PREFIXES = ("WEATHER_", "OPENWEATHERMAP_", "TIMESTREAM_", "INFLUXDB_")

DEFAULT_URL = "https://api.openweathermap.org/data/2.5/weather"

# The program's folder: its .env and relative @files are here.
HOME = Path(__file__).resolve().parents[2]
PROGRAM = HOME / "ingest_weather.py"


def _setting(
    name: str,
    read: Callable[..., object],
    default: str | None,
    meaning: str,
    *,
    secret: bool = False,
    local: bool = False,
    empty_counts: bool = False,
    needs_environ: bool = False,
) -> Any:  # noqa: ANN401  (stands for a value of the field's own type)
    """Declare one setting; the arguments are its field's metadata, under the same names.

    default: as it would be written; None if the setting is required. "" is read as "".
    secret: never shown, in a repr or elsewhere.
    local: environment or .env only.
    empty_counts: `NAME=` sets it to "" and not to its default.
    needs_environ: `read` takes the environment after the text.
    """
    return field(metadata=locals(), repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run, read and checked. Times in seconds."""

    secret_id: str = _setting(
        "WEATHER_SECRET_ID",
        read_text,
        "weather-ingest",
        "Name or ARN of the secret in AWS Secrets Manager: a JSON object with the key and any "
        "other setting. Empty: no secret is read. Environment or .env only.",
        local=True,
        empty_counts=True,
    )
    api_key: str = _setting(
        "OPENWEATHERMAP_API_KEY",
        read_api_key,
        None,
        "The key of your OpenWeatherMap account. Required; best kept in the secret.",
        secret=True,
    )
    url: str = _setting(
        "OPENWEATHERMAP_URL",
        read_url,
        DEFAULT_URL,
        "The address of Current Weather: https, or http on loopback.",
    )
    calls_per_minute: int = _setting(
        "OPENWEATHERMAP_CALLS_PER_MINUTE",
        up_to(1_000_000),
        "60",
        "What your plan allows: never exceeded, also by runs that follow each other.",
    )
    places: Places = _setting(
        "WEATHER_PLACES",
        lambda text: read_places(text, HOME),
        "London,GB",
        "Places, with ';' or newlines between: City,CC, a city id, lat,lon, zip:CODE,CC, or @file "
        "with one a line.",
    )
    units: str = _setting(
        "WEATHER_UNITS",
        one_of(UNITS),
        "metric",
        "standard (K, m/s), metric (°C, m/s) or imperial (°F, mph).",
    )
    measures: tuple[str, ...] = _setting(
        "WEATHER_MEASURES",
        read_measures,
        ",".join(DEFAULT_MEASURES),
        "Names of measures with commas between, or all.",
    )
    destination: str = _setting(
        "WEATHER_DESTINATION",
        one_of(DESTINATIONS),
        "timestream",
        f"Where observations are stored: {', '.join(DESTINATIONS)}.",
    )
    database: str = _setting(
        "TIMESTREAM_DATABASE", read_name, "TIMESTREAM-DEMO", "The Timestream database."
    )
    table: str = _setting(
        "TIMESTREAM_TABLE", read_name, "london_weather_information", "The Timestream table."
    )
    endpoint_url: str = _setting(
        "TIMESTREAM_ENDPOINT_URL",
        read_url,
        "",
        "A cell's VPC endpoint for writing; endpoint discovery is skipped. Empty: discovery.",
    )
    journal: Path | None = _setting(
        "WEATHER_JOURNAL",
        read_journal,
        DEFAULT_JOURNAL,
        "The journal's file: an absolute path, ~ allowed; off: no journal, and what cannot be "
        "delivered in its run is lost. Environment or .env only.",
        local=True,
        needs_environ=True,
    )
    journal_days: int = _setting(
        "WEATHER_JOURNAL_DAYS", read_days, "30", "How many days delivered observations are kept."
    )
    concurrency: int = _setting(
        "WEATHER_CONCURRENCY", up_to(500), "32", "Weather requests at once."
    )
    writers: int = _setting("WEATHER_WRITERS", up_to(32), "4", "Write calls at once.")
    timeout_s: float = _setting(
        "WEATHER_TIMEOUT_SECONDS", read_seconds, "10", "Time limit of one request."
    )
    deadline_s: float = _setting(
        "WEATHER_DEADLINE_SECONDS", read_seconds, "120", "Time limit of the whole run."
    )
    healthcheck_url: str = _setting(
        "HEALTHCHECK_URL",
        read_url,
        "",
        "Pinged as URL/STATUS after each run, with the last lines of the log. Empty: no ping.",
        secret=True,
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        read_level,
        "",
        f"{', '.join(LEVELS)}. Empty: INFO on a terminal, else WARNING.",
    )
    log_format: str = _setting(
        "LOG_FORMAT", one_of(FORMATS), "text", "text, or json: one object a line."
    )


DECLARED: dict[str, Field[Any]] = {each.metadata["name"]: each for each in fields(Settings)}

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
    meaning: for README.md and config.example.env, which `make docs` writes.
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
        "Name or ARN of the secret in AWS Secrets Manager. It is a JSON object such as "
        '`{"OPENWEATHERMAP_API_KEY": "..."}`. Empty: no secret is read.',
        local=True,
        empty_counts=True,
    )
    api_key: str = _setting(
        "OPENWEATHERMAP_API_KEY",
        read_api_key,
        None,
        "The key of your OpenWeatherMap account. Best kept in the secret.",
        secret=True,
    )
    url: str = _setting(
        "OPENWEATHERMAP_URL",
        read_url,
        DEFAULT_URL,
        "The address of Current Weather: `https`, or `http` on loopback.",
    )
    calls_per_minute: int = _setting(
        "OPENWEATHERMAP_CALLS_PER_MINUTE",
        up_to(1_000_000),
        "60",
        "What your plan allows in a minute. Runs that follow each other never exceed it together.",
    )
    places: Places = _setting(
        "WEATHER_PLACES",
        lambda text: read_places(text, HOME),
        "London,GB",
        "Places, with `;` or newlines between: `City,CC` (London,GB), `City,State,CC`, a city id "
        "(2643743), `lat,lon` (51.5085,-0.1257), `zip:CODE,CC` (zip:EC1A,GB), or `@file` with one "
        "place on each line. The file is UTF-8. Blank lines and text after a # are ignored; a "
        "relative path starts at the program's folder.",
    )
    units: str = _setting(
        "WEATHER_UNITS",
        one_of(UNITS),
        "metric",
        "`standard` (K, m/s), `metric` (°C, m/s) or `imperial` (°F, mph).",
    )
    measures: tuple[str, ...] = _setting(
        "WEATHER_MEASURES",
        read_measures,
        ",".join(DEFAULT_MEASURES),
        "Names of measures with commas between, or `all`. README.md lists them under Records.",
    )
    destination: str = _setting(
        "WEATHER_DESTINATION",
        one_of(DESTINATIONS),
        "timestream",
        f"Where observations are stored: {', '.join(f'`{name}`' for name in DESTINATIONS)}.",
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
        "A cell's VPC endpoint, for private subnets. Endpoint discovery is then skipped.",
    )
    journal: Path | None = _setting(
        "WEATHER_JOURNAL",
        read_journal,
        DEFAULT_JOURNAL,
        "The journal's file, which keeps every observation until it is stored: an absolute path; "
        "`~` is allowed, and the default honours `$XDG_STATE_HOME`. `off`: no journal; what a run "
        "cannot deliver is lost.",
        local=True,
        needs_environ=True,
    )
    journal_days: int = _setting(
        "WEATHER_JOURNAL_DAYS", read_days, "30", "How many days delivered observations are kept."
    )
    concurrency: int = _setting(
        "WEATHER_CONCURRENCY", up_to(500), "32", "Weather requests in parallel."
    )
    writers: int = _setting("WEATHER_WRITERS", up_to(32), "4", "Write calls in parallel.")
    timeout_s: float = _setting(
        "WEATHER_TIMEOUT_SECONDS", read_seconds, "10", "Time limit of one request, in seconds."
    )
    deadline_s: float = _setting(
        "WEATHER_DEADLINE_SECONDS",
        read_seconds,
        "120",
        "Time limit of the whole run, in seconds. It ends by then in every case.",
    )
    healthcheck_url: str = _setting(
        "HEALTHCHECK_URL",
        read_url,
        "",
        "An `https` URL, pinged as `URL/STATUS` after each run with the last lines of the log. "
        "Empty: no ping.",
        secret=True,
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        read_level,
        "",
        f"One of {', '.join(LEVELS)}. Empty: `INFO` on a terminal, else `WARNING`.",
    )
    log_format: str = _setting(
        "LOG_FORMAT", one_of(FORMATS), "text", "`text`, or `json`: one object on each line."
    )


DECLARED: dict[str, Field[Any]] = {each.metadata["name"]: each for each in fields(Settings)}

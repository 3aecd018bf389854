"""Settings: the environment, the .env file and the secret, checked as one.

Precedence: command line > environment > .env > the secret's JSON > default. Each setting is
declared once, in `Settings`; the same name is used everywhere.
"""

import json
import math
import os
import re
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ingest.deadline import Deadline, Task
from ingest.errors import DeliveryError, IngestError, SettingsError
from ingest.observation import DEFAULT_MEASURES, MEASURES, UNITS
from ingest.places import Places, read_places
from ingest.reporting.logs import FORMATS, LEVELS, redact

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef

    from ingest.aws.session import Aws

T = TypeVar("T")

PREFIXES = ("WEATHER_", "OPENWEATHERMAP_", "TIMESTREAM_", "INFLUXDB_")

DEFAULT_JOURNAL = "~/.local/state/ingest-weather/journal.sqlite3"
DEFAULT_URL = "https://api.openweathermap.org/data/2.5/weather"

# Where the program's own .env and relative @files are looked for.
HOME = Path(__file__).resolve().parents[2]
PROGRAM = HOME / "ingest_weather.py"


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it holds characters that cannot be printed")
    return value


def _api_key(value: str) -> str:
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("a key holds printable ASCII without spaces")
    return value


def _one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        return value

    return read


def _level(value: str) -> str:
    return _one_of(LEVELS)(value.upper())


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a number of seconds") from None
    if not math.isfinite(seconds) or not 0 < seconds <= 86_400:
        raise ValueError(f"{value!r} is not between 0 and 86400 seconds")
    return seconds


def _days(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value):
        raise ValueError(f"{value!r} is not a number of days")
    return int(value)


def _journal(value: str) -> Path | None:
    """None for "off". XDG_STATE_HOME is where it is by default, where that is set."""
    if value == "off":
        return None
    _text(value)
    if value == DEFAULT_JOURNAL and (state := os.environ.get("XDG_STATE_HOME", "")).startswith("/"):
        return Path(state) / Path(value).relative_to("~/.local/state")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError("this user has no home folder: write an absolute path") from None
    if not (path.is_absolute() and path.name):
        raise ValueError(f"{value!r} is neither the absolute path of a file nor 'off'")
    return path


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9_.-]{3,256}", value):
        raise ValueError(f"{value!r} is not 3 to 256 letters, digits, '_', '.' or '-'")
    return value


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or bool(
        re.fullmatch(r"127(\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}", host)
    )


def _url(value: str) -> str:
    """An https URL, or an http one of this very machine; no user, query or fragment."""
    host = r"([A-Za-z0-9][A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])"
    if not re.fullmatch(rf"https?://{host}(:[0-9]*)?(/[A-Za-z0-9._~%/-]*)?", value):
        raise ValueError("it is not an https:// URL without user name, query and fragment")
    parts = urllib.parse.urlsplit(value)
    try:
        host = parts.hostname or ""
        parts.port  # noqa: B018  (raises where it is no port)
    except ValueError as error:
        raise ValueError(f"it is not a URL: {error}") from None
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("http:// would send it unencrypted: use https:// (http on loopback)")
    return value


def _measures(value: str) -> tuple[str, ...]:
    if value == "all":
        return tuple(MEASURES)
    names = list(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    unknown = [_with_suggestion(name, MEASURES) for name in names if name not in MEASURES]
    if unknown:
        raise ValueError(" ".join(f"there is no measure {each}" for each in unknown))
    if not names:
        raise ValueError("it names no measure")
    return tuple(names)


def _places(value: str) -> Places:
    return read_places(value, HOME)


def _count(highest: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,7}", value) or not 1 <= int(value) <= highest:
            raise ValueError(f"{value!r} is not a whole number from 1 to {highest}")
        return int(value)

    return read


def _setting(
    name: str,
    read: Callable[[str], T],
    meaning: str,
    default: str | None = "",
    *,
    secret: bool = False,
    local: bool = False,
) -> Any:  # noqa: ANN401  (stands for a value of the field's own type)
    """Declare one setting.

    default: as it would be written; None where the setting is required. "" reads as "".
    secret: never shown, in a repr or elsewhere.
    local: environment or .env only.
    """
    metadata = {
        "name": name,
        "read": read,
        "meaning": meaning,
        "default": default,
        "secret": secret,
        "local": local,
    }
    return field(metadata=metadata, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run, read and checked. Times in seconds."""

    secret_id: str = _setting(
        "WEATHER_SECRET_ID",
        _text,
        "Name or ARN of the secret in AWS Secrets Manager: a JSON object with the key and any "
        "other setting. Empty: no secret is read. Environment or .env only.",
        "weather-ingest",
        local=True,
    )
    api_key: str = _setting(
        "OPENWEATHERMAP_API_KEY",
        _api_key,
        "The key of your OpenWeatherMap account. Required; best kept in the secret.",
        None,
        secret=True,
    )
    url: str = _setting(
        "OPENWEATHERMAP_URL",
        _url,
        "Where Current Weather is asked for: https, or http on loopback.",
        DEFAULT_URL,
    )
    calls_per_minute: int = _setting(
        "OPENWEATHERMAP_CALLS_PER_MINUTE",
        _count(1_000_000),
        "What your plan allows: never exceeded, also by runs that follow each other.",
        "60",
    )
    places: Places = _setting(
        "WEATHER_PLACES",
        _places,
        "Places, with ';' or newlines between: City,CC, a city id, lat,lon, zip:CODE,CC, or @file "
        "with one a line.",
        "London,GB",
    )
    units: str = _setting(
        "WEATHER_UNITS",
        _one_of(UNITS),
        "standard (K, m/s), metric (°C, m/s) or imperial (°F, mph).",
        "metric",
    )
    measures: tuple[str, ...] = _setting(
        "WEATHER_MEASURES",
        _measures,
        "Names of measures with commas between, or all.",
        ",".join(DEFAULT_MEASURES),
    )
    database: str = _setting(
        "TIMESTREAM_DATABASE", _name, "The Timestream database.", "TIMESTREAM-DEMO"
    )
    table: str = _setting(
        "TIMESTREAM_TABLE", _name, "The Timestream table.", "london_weather_information"
    )
    endpoint_url: str = _setting(
        "TIMESTREAM_ENDPOINT_URL",
        _url,
        "A cell's VPC endpoint for writing; endpoint discovery is skipped. Empty: discovery.",
    )
    journal: Path | None = _setting(
        "WEATHER_JOURNAL",
        _journal,
        "The journal's file: an absolute path, ~ allowed; off: none, and what cannot be delivered "
        "in its run is lost.",
        DEFAULT_JOURNAL,
    )
    journal_days: int = _setting(
        "WEATHER_JOURNAL_DAYS", _days, "How many days delivered observations are kept.", "30"
    )
    concurrency: int = _setting(
        "WEATHER_CONCURRENCY", _count(500), "Weather requests at once.", "32"
    )
    writers: int = _setting("WEATHER_WRITERS", _count(32), "WriteRecords calls at once.", "4")
    timeout_s: float = _setting(
        "WEATHER_TIMEOUT_SECONDS", _seconds, "Time limit of one request.", "10"
    )
    deadline_s: float = _setting(
        "WEATHER_DEADLINE_SECONDS", _seconds, "Time limit of the whole run.", "120"
    )
    healthcheck_url: str = _setting(
        "HEALTHCHECK_URL",
        _url,
        "Pinged as URL/STATUS after each run, with the last lines of the log. Empty: nothing is.",
        secret=True,
    )
    log_level: str = _setting(
        "LOG_LEVEL", _level, f"{', '.join(LEVELS)}. Empty: INFO on a terminal, else WARNING."
    )
    log_format: str = _setting(
        "LOG_FORMAT", _one_of(FORMATS), "text, or json: one object a line.", "text"
    )


DECLARED: dict[str, Field[Any]] = {each.metadata["name"]: each for each in fields(Settings)}


def load_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = None
) -> Settings:
    """Read and check all settings: the environment (os.environ where None), .env, the secret.

    Raises SettingsError that lists every problem; AccessError or DeliveryError where the secret
    cannot be had.
    """
    sources = read_sources(os.environ if environ is None else environ, env_file)
    sources.export_aws()

    def read_secret(secret_id: str) -> dict[str, str]:
        from ingest.aws.session import Aws

        deadline = Deadline(sources.seconds("WEATHER_DEADLINE_SECONDS"))
        aws = Aws(deadline, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
        return fetch_secret(aws, secret_id, deadline)

    return sources.settings(read_secret)


class Sources:
    """Where settings come from, the first that has one wins; and what is wrong with them.

    layers: (how a message names it, name -> text).
    """

    def __init__(self, layers: list[tuple[str, Mapping[str, str]]], problems: list[str]) -> None:
        self.layers = layers
        self.problems = problems

    def settings(self, read_secret: Callable[[str], dict[str, str]]) -> Settings:
        """All settings, with those of the secret, which `read_secret` gets by its name or ARN."""
        for where, values in self.layers:
            self.problems += _unknown_names(where, values)
        secret_id = self.text("WEATHER_SECRET_ID")
        secret: dict[str, str] = {}
        unread: IngestError | None = None
        if secret_id:
            try:
                secret = read_secret(secret_id)
            except IngestError as error:
                unread = error
        where = f"the secret {secret_id!r}"
        self.problems += _unknown_names(where, secret) + _misplaced(where, secret)
        self.layers.append((where, secret))
        read: dict[str, Any] = {name: self._read(name, unread) for name in DECLARED}
        if unread:
            if not self.problems:
                raise unread
            self.problems.append(str(unread))
        if self.problems:
            raise SettingsError(_list(self.problems))
        return Settings(**{DECLARED[name].name: value for name, value in read.items()})

    def text(self, name: str) -> str:
        """The setting's text, white space around it off. An empty one counts as not set, but for
        WEATHER_SECRET_ID, where it says that there is no secret."""
        for _, values in self.layers:
            text = values.get(name, "").strip()
            if text or (name in values and DECLARED[name].metadata["local"]):
                return text
        return DECLARED[name].metadata["default"] or ""

    def seconds(self, name: str) -> float:
        """A time that is needed before the secret is read; its default where it is wrong, which
        `settings` reports."""
        try:
            return _seconds(self.text(name))
        except ValueError:
            return float(DECLARED[name].metadata["default"])

    def early(self, name: str) -> Any:  # noqa: ANN401  (the setting's own type)
        """A setting that is needed before the secret is read; None where it is wrong, which
        `settings` reports."""
        try:
            return DECLARED[name].metadata["read"](self.text(name))
        except ValueError:
            return None

    def names(self, name: str) -> bool:
        """Whether the setting is named anywhere that was read so far."""
        return any(values.get(name, "").strip() for _, values in self.layers)

    def export_aws(self) -> None:
        """Give boto3 the AWS_* of .env, where the environment has none: it reads only that."""
        for where, values in self.layers:
            for name, value in values.items():
                if where != "the environment" and name.startswith("AWS_") and value:
                    os.environ.setdefault(name, value)

    def only_in_environment(self) -> list[str]:
        """Names of settings, AWS's too, that .env has not: what cron starts will not have them."""
        in_file = self.layers[2][1]
        return sorted(
            name
            for name in self.layers[1][1]
            if (name in DECLARED or name.startswith("AWS_")) and name not in in_file
        )

    def _read(self, name: str, unread: IngestError | None) -> object:
        declared = DECLARED[name].metadata
        text = self.text(name)
        if not text:
            if declared["default"] is None and not unread:
                searched = ", nor in ".join(where for where, values in self.layers if values)
                self.problems.append(
                    f"{name} is missing: it is not in {searched}. "
                    + (
                        f'Put it into the secret\'s JSON object, {{"{name}": "..."}}, or let '
                        "ingest_weather.py setup do so."
                        if self.text("WEATHER_SECRET_ID")
                        else "Put it into the environment or .env."
                    )
                )
            return ""
        if declared["secret"]:
            redact.add(text)
        try:
            value: object = declared["read"](text)
            return value
        except ValueError as error:
            where = next(
                (where for where, values in self.layers if values.get(name, "").strip()),
                "its default",
            )
            sentence = str(error).rstrip(".")
            stop = "" if sentence.endswith("?") else "."
            self.problems.append(f"{name} (from {where}): {sentence}{stop}")
            return ""


def read_sources(
    environ: Mapping[str, str],
    env_file: Path | None = None,
    command_line: Mapping[str, str] | None = None,
) -> Sources:
    """What is known before any secret is read. env_file: where None, .env beside the program."""
    problems: list[str] = []
    dotenv: dict[str, str] = {}
    path = env_file or HOME / ".env"
    if env_file or path.exists():
        dotenv = _read_env_file(path, problems)
    layers = [
        ("the command line", command_line or {}),
        ("the environment", environ),
        (str(path), dotenv),
    ]
    return Sources(layers, problems)


def _read_env_file(path: Path, problems: list[str]) -> dict[str, str]:
    import io

    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe could be read for ever
        problems.append(f"{path} is not a file.")
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}.")
        return {}
    except UnicodeDecodeError as error:
        problems.append(f"{path} is not UTF-8 (byte {error.start}).")
        return {}
    if "\0" in text:
        problems.append(f"{path} holds a NUL character; is it a text file?")
        return {}
    # dotenv_values warns of such a line and goes on without it: a setting would be lost.
    bad = [
        binding.original.line
        for binding in parse_stream(io.StringIO(text))
        if binding.error or (binding.key is not None and binding.value is None)
    ]
    if bad:
        problems.extend(f"{path}, line {line}: write NAME=value." for line in bad)
        return {}
    values = dotenv_values(stream=io.StringIO(text))
    if odd := [name for name in values if "=" in name]:
        problems.extend(f"{path}: {name!r} is no name." for name in odd)
        return {}
    return {name: value or "" for name, value in values.items()}


def fetch_secret(
    aws: "Aws",
    secret_id: str,
    deadline: Deadline,
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[str, str]:
    """The secret's JSON object, its values as texts.

    meanwhile: called while the answer is on its way, for what can be done without it.
    """
    from ingest.aws.session import aws_error

    doing = f"reading the secret {secret_id!r} from Secrets Manager"
    failed = f"R{doing[1:]}"
    sent = threading.Event()

    def ask() -> "GetSecretValueResponseTypeDef":
        client = aws.secrets_manager()  # may ask a program or another host for credentials
        client.meta.events.register("before-send", lambda **_: sent.set())
        return client.get_secret_value(SecretId=secret_id)

    task = Task(ask, f"while {doing}")
    try:
        task.wait_for(sent, deadline)
        meanwhile()
        answer = task.result(deadline)
    except Exception as error:
        raise aws_error(
            error,
            f"{failed} in region {aws.region}",
            aws.region,
            missing="Check WEATHER_SECRET_ID and the region, or make the secret: "
            "ingest_weather.py setup",
        ) from error
    if not answer.get("Name"):  # botocore takes a body that breaks off for one without members
        raise DeliveryError(f"{failed} failed: the answer broke off. The next run tries again.")
    return parse_secret(answer.get("SecretString") or answer.get("SecretBinary") or b"", secret_id)


def parse_secret(body: str | bytes, secret_id: str) -> dict[str, str]:
    """Read a secret: a JSON object whose values are strings or numbers; nulls are left out.

    Raises SettingsError that shows nothing of the secret.
    """
    what = f"The secret {secret_id!r} is not a JSON object"
    help_ = 'Store one such as {"OPENWEATHERMAP_API_KEY": "..."}.'
    if not isinstance(body, str | bytes):
        raise SettingsError(f"{what}. {help_}")
    try:
        text = body if isinstance(body, str) else body.decode("utf-8")
        secret = json.loads(text.removeprefix("\ufeff"))  # some editors put it in front
    except (ValueError, RecursionError):
        # Not `from` the cause: it quotes the secret.
        raise SettingsError(f"{what}. {help_}") from None
    if not isinstance(secret, dict):
        raise SettingsError(f"{what}. {help_}")
    texts = {}
    for name, value in secret.items():
        if isinstance(value, str):
            texts[name] = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            texts[name] = json.dumps(value)
        elif value is not None and (name in DECLARED or name.startswith(PREFIXES)):
            raise SettingsError(
                f"In the secret {secret_id!r}, {name} is neither a string nor a number."
            )
    return texts


def _unknown_names(where: str, values: Mapping[str, str]) -> list[str]:
    return [
        f"{where} has an unknown setting {_with_suggestion(name, DECLARED)}"
        for name in values
        if name.startswith(PREFIXES) and name not in DECLARED
    ]


def _misplaced(where: str, secret: Mapping[str, str]) -> list[str]:
    return [
        f"{name} stands in {where}; it belongs into the environment or .env."
        for name in secret
        if name in DECLARED and DECLARED[name].metadata["local"]
    ]


def _with_suggestion(name: str, known: Mapping[str, object]) -> str:
    import difflib  # only for a mistake

    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    suggestion = f": did you mean {by_lower[near[0]]}?" if near else "."
    return f"{ascii(name)[1:-1]}{suggestion}"


def _list(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"The settings are wrong: {problems[0]}"
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return f"The settings have {len(problems)} problems:{lines}"

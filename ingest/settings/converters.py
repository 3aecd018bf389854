"""Converters of a setting's text to its value. Each raises ValueError that says what is wrong."""

import re
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from ingest.observation import MEASURES
from ingest.reporting.logs import LEVELS

STATE_HOME = "~/.local/state"
DEFAULT_JOURNAL = f"{STATE_HOME}/ingest-weather/journal.sqlite3"


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or bool(
        re.fullmatch(r"127(\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}", host)
    )


def read_text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it has characters that cannot be printed")
    return value


def read_api_key(value: str) -> str:
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("a key is printable ASCII without spaces")
    return value


def read_name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9_.-]{3,256}", value):
        raise ValueError(f"{value!r} is not 3 to 256 letters, digits, '_', '.' or '-'")
    return value


def one_of(known: Collection[str]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        return value

    return read


def read_level(value: str) -> str:
    return one_of(LEVELS)(value.upper())


def up_to(highest: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,7}", value) or not 1 <= int(value) <= highest:
            raise ValueError(f"{value!r} is not a whole number from 1 to {highest}")
        return int(value)

    return read


def read_days(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value):
        raise ValueError(f"{value!r} is not a number of days")
    return int(value)


def read_seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a number of seconds") from None
    if not 0 < seconds <= 86_400:
        raise ValueError(f"{value!r} is not between 0 and 86400 seconds")
    return seconds


def read_url(value: str) -> str:
    """An https URL, or an http one on loopback; no user, query or fragment."""
    host = r"([A-Za-z0-9][A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])"
    if not re.fullmatch(rf"https?://{host}(:[0-9]*)?(/[A-Za-z0-9._~%/-]*)?", value):
        raise ValueError("it is not an https:// URL without user name, query and fragment")
    parts = urllib.parse.urlsplit(value)
    try:
        host = parts.hostname or ""
        parts.port  # noqa: B018  (raises if it is not a port)
    except ValueError as error:
        raise ValueError(f"it is not a URL: {error}") from None
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("http:// would send it unencrypted: use https:// (http on loopback)")
    return value


def read_measures(value: str) -> tuple[str, ...]:
    if value == "all":
        return tuple(MEASURES)
    names = list(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    unknown = [with_suggestion(name, MEASURES) for name in names if name not in MEASURES]
    if unknown:
        raise ValueError(" ".join(f"there is no measure {each}" for each in unknown))
    if not names:
        raise ValueError("it names no measure")
    return tuple(names)


def read_journal(value: str, environ: Mapping[str, str]) -> Path | None:
    """None for "off". The default is in $XDG_STATE_HOME, if that is an absolute path."""
    if value == "off":
        return None
    read_text(value)
    if value == DEFAULT_JOURNAL and (state := environ.get("XDG_STATE_HOME", "")).startswith("/"):
        return Path(state) / Path(value).relative_to(STATE_HOME)
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError("this user has no home folder: write an absolute path") from None
    if not (path.is_absolute() and path.name):
        raise ValueError(f"{value!r} is neither the absolute path of a file nor 'off'")
    return path


def with_suggestion(name: str, known: Collection[str]) -> str:
    """The unknown name in ASCII and the known one that may be meant; ends the sentence."""
    import difflib  # only if there is a mistake

    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    suggestion = f": did you mean {by_lower[near[0]]}?" if near else "."
    return f"{ascii(name)[1:-1]}{suggestion}"

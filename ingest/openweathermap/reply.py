"""What a reply of OpenWeatherMap says: an observation, or an error. Pure.

Source of fields, statuses and error bodies: OpenWeatherMap, Current weather data and FAQ.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ingest.errors import AccessError, BlockedError, IngestError, ReplyError, WeatherError
from ingest.observation import (
    DAY_S,
    FIELDS,
    MAX_EPOCH_S,
    MEASURES,
    TEXT,
    TIME,
    Observation,
    decimal_text,
    field_name,
)
from ingest.openweathermap.retry import ADVICE
from ingest.places import Place, country_code
from ingest.reporting.redaction import one_line

# GeoNames' ids have eight digits; a journal's integer has 64 bits.
MAX_CITY_ID = 2**63 - 1


def parse_reply(
    body: bytes, place: Place, measures: Sequence[str], version: int, units: str = ""
) -> Observation:
    """Read one Current Weather reply to the asked place: a UTF-8 JSON object, times in epoch s.

    units: what was asked for, which no reply says.

    A measure that is absent, null or not finite is left out. Fields that are not asked for are not
    read, so that a change there stops nobody.

    Raises ReplyError naming the first field that is absent, of the wrong type, or of another place
    than the one asked for; with its `cod` if the body is an error.
    """
    reply = _decode(body)
    _check_error_body(reply)
    observed_s = _observed_s(reply)
    city = _text(reply, ("name",)).strip()
    country = _text(reply, ("sys", "country")).strip()
    city_id = _city_id(reply)
    _check_identity(place, city, country, city_id)
    values = dict(_values(reply, measures))
    if not values:
        fields = ", ".join(FIELDS[name] for name in measures)
        raise ReplyError(f"the reply has none of the configured measures ({fields})")
    return Observation(
        place,
        city,
        country,
        city_id,
        observed_s * 1000,
        version,
        values,
        units,
        _utc_offset_s(reply),
    )


def status_error(status: int, body: bytes) -> IngestError:
    """What an HTTP status of OpenWeatherMap, or the same as `cod` in a body, means."""
    try:
        message = error_message(json.loads(body))
    except (ValueError, RecursionError):
        message = "no JSON" if body.strip() else "no body"
    what = f"OpenWeatherMap answers {status} ({message})"
    if status == 401:
        return AccessError(
            f"{what}: it does not accept the API key.",
            "A new key works after up to two hours. If it is not new, put the right one into the "
            "secret as OPENWEATHERMAP_API_KEY.",
        )
    if status == 404:
        return WeatherError(
            f"{what}: it does not know this place.",
            "Look the place up on openweathermap.org and configure its city id or coordinates.",
            permanent=True,
            kind="not found",
        )
    if status == 429:
        return BlockedError(
            f"{what}: the account has made more calls than its plan allows and is blocked for a "
            "while.",
            "Run less often or for fewer places; asking again at once makes the block longer.",
        )
    if status >= 500:
        reason = f"{what}: the service has a fault."
        return WeatherError(reason, ADVICE, permanent=False, kind="server error")
    if 300 <= status < 400:
        return WeatherError(
            f"{what}: the server redirects, which is not followed.",
            "Check OPENWEATHERMAP_URL.",
            permanent=True,
        )
    return WeatherError(f"{what}.", "Check the place and OPENWEATHERMAP_URL.", permanent=True)


def error_message(reply: object) -> str:
    """The `message` of an error's body, tidied to one short line; "no message" without one."""
    message = reply.get("message") if isinstance(reply, dict) else None
    text = one_line(" ".join(str(message or "").split()))
    return text[:200] or "no message"


def _decode(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise ReplyError("the reply is empty")
    try:
        reply = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ReplyError(f"the reply is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise ReplyError("the reply is nested too deeply") from error
    except ValueError as error:
        raise ReplyError(f"the reply is not JSON: {error}") from error
    if not isinstance(reply, dict):
        raise ReplyError(f"the reply is {_kind(reply)}; a JSON object was expected")
    return reply


def _check_error_body(reply: dict[str, Any]) -> None:
    """OpenWeatherMap has answered HTTP 200 with an error in the body."""
    for field in ("cod", "code", "error"):
        text = str(reply.get(field))
        if text not in ("200", "None"):
            raise ReplyError(
                f"the reply is an error, {field} {_shown(reply[field])}: {error_message(reply)}",
                cod=int(text) if text.isascii() and text.isdigit() and len(text) == 3 else 0,
            )


def _look_up(reply: dict[str, Any], path: tuple[str | int, ...]) -> Any:  # noqa: ANN401  (any JSON)
    """The value at the path; None if it, or anything on the way to it, is absent or null."""
    value: Any = reply
    try:
        for step in path:
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return _look_closely(reply, path)
    return value


def _look_closely(reply: dict[str, Any], path: tuple[str | int, ...]) -> Any:  # noqa: ANN401
    """Whether something on the way is absent, which is fine, or of the wrong type."""
    value: Any = reply
    for depth, step in enumerate(path):
        if value is None:
            return None
        if isinstance(step, int):
            if not isinstance(value, list):
                raise _wrong_type(path[:depth], value, "a list")
            value = value[step] if step < len(value) else None
        else:
            if not isinstance(value, dict):
                raise _wrong_type(path[:depth], value, "an object")
            value = value.get(step)
    return value


def _wrong_type(path: tuple[str | int, ...], value: object, expected: str) -> ReplyError:
    return ReplyError(f"{field_name(path)} is {_kind(value)}; {expected} was expected")


def _number(value: object, field: str) -> float | int | None:
    """The number, or None if it is not finite (NaN, 1e999)."""
    if not (type(value) is float or type(value) is int):  # a bool is an int to isinstance
        raise ReplyError(f"{field} is {_kind(value)}; a number was expected")
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an int that no double can hold
        return None


def _text(reply: dict[str, Any], path: tuple[str, ...]) -> str:
    value = _look_up(reply, path)
    if value is None:
        return ""
    return _clean_text(value, ".".join(path))


def _clean_text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise ReplyError(f"{field} is {_kind(value)}; a string was expected")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ReplyError(f"{field} holds half a character (a lone surrogate)") from error
    return value


def _observed_s(reply: dict[str, Any]) -> int:
    observed = reply.get("dt")
    if observed is None:
        raise ReplyError("dt, the time of the observation, is missing")
    seconds = _number(observed, "dt")
    if seconds is None or seconds != int(seconds) or not 0 < seconds <= MAX_EPOCH_S:
        raise ReplyError(f"dt is {_shown(observed)}; a time in epoch seconds was expected")
    return int(seconds)


def _city_id(reply: dict[str, Any]) -> int:
    value = reply.get("id")
    if value is None:
        return 0
    number = _number(value, "id")
    if number is None or number != int(number) or not 0 <= number <= MAX_CITY_ID:
        raise ReplyError(f"id is {_shown(value)}; a city id was expected")
    return int(number)


def _utc_offset_s(reply: dict[str, Any]) -> int | None:
    # It is in no record, so an odd value must not cost the weather.
    offset = reply.get("timezone")
    return offset if type(offset) is int and abs(offset) < DAY_S else None


def _check_identity(place: Place, city: str, country: str, city_id: int) -> None:
    # Only two letters can be compared: replies of 2014 named the country in full.
    if place.country and len(country) == 2 and country_code(country) != place.country:
        raise ReplyError(
            f"sys.country is {country}, but {place.country} was asked for: OpenWeatherMap found "
            "another place of that name.",
            "Configure its city id or coordinates instead.",
        )
    if place.city_id and city_id and city_id != place.city_id:
        raise ReplyError(f"id is {city_id}, but {place.city_id} was asked for")
    if not (city or country or city_id or place.coordinates):
        raise ReplyError("name, sys.country and id are all empty, so the records would be nobody's")


def _values(reply: dict[str, Any], measures: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in measures:
        measure = MEASURES[name]
        value = _look_up(reply, measure.path)
        if value is None:
            continue
        kind = measure.kind
        if kind == TEXT:
            text = _clean_text(value, FIELDS[name]).strip()
            if text:
                yield name, text
            continue
        number = _number(value, FIELDS[name])
        if number is None or (kind == TIME and not 0 < number <= MAX_EPOCH_S):
            continue
        yield name, decimal_text(number * 1000 if kind == TIME else number)


_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def _kind(value: object) -> str:
    """What a JSON value is, with the value itself if it is short."""
    kind = _KINDS[type(value)]
    return f"{kind} ({_shown(value)})" if isinstance(value, str | int | float) else kind


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""Observations as rows of the journal, and back."""

import json
from contextlib import suppress
from types import NoneType
from typing import Any

from ingest.journal.damage import UnreadableRowError
from ingest.observation import DAY_S, MAX_EPOCH_S, MEASURES, Observation
from ingest.places import Place

# A version is a signed 64-bit integer; ours are epoch milliseconds.
HIGHEST_VERSION = 2**63 - 1
HIGHEST_OWN_VERSION = 2**62

# As they are kept: a code takes a byte or none, and there is one in every row.
_UNITS_CODES = {"": None, "standard": 0, "metric": 1, "imperial": 2}
_UNITS = {code: units for units, code in _UNITS_CODES.items()}

_OBSERVED = (
    "place, latitude, longitude, city, country, city_id, time_ms, version, measures, units, "
    "utc_offset_s"
)
# The columns that `observation_of` reads.
OBSERVATION = f"id, {_OBSERVED}"

# Of all but the last two of these columns: a damaged row may hold anything.
_TYPES = [int, str, str, str, str, str, int, int, int, str]

# Of the tuples of `row_of`.
INSERT = (
    f"INSERT INTO observation (id, target, state, attempts, kind, reason, existing_version, "  # noqa: S608
    f"changed_ms, {_OBSERVED}) VALUES ({', '.join('?' * 19)})"
)

dump_measures = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def row_of(
    target: str,
    number: int | None,
    observation: Observation,
    state: str,
    now_ms: int,
    *,
    measures: str = "",
    attempts: int = 0,
    rejection: tuple[str, str, int | None] = ("", "", None),
) -> tuple[Any, ...]:
    """What INSERT takes.

    number: None for the next one. measures: the values as text, if the caller has it.
    rejection: kind, reason, existing version.
    """
    return (
        number,
        target,
        state,
        attempts,
        *rejection,
        now_ms,
        observation.place.name,
        *(observation.place.coordinates or ("", "")),
        observation.city,
        observation.country,
        observation.city_id,
        observation.time_ms,
        observation.version,
        measures or dump_measures(observation.values),
        _UNITS_CODES[observation.units],
        observation.utc_offset_s,
    )


def observation_of(row: tuple[Any, ...]) -> Observation:
    """The observation in the columns OBSERVATION; raises UnreadableRowError if it is not ours."""
    *known, units, utc_offset_s = row
    number, place, latitude, longitude, city, country, city_id, time_ms, version, text = known
    if (
        [*map(type, known)] != _TYPES
        or not 0 <= time_ms <= MAX_EPOCH_S * 1000
        or units not in _UNITS
        or type(utc_offset_s) not in (int, NoneType)
        or abs(utc_offset_s or 0) >= DAY_S
    ):
        raise UnreadableRowError(f"row {number} is not an observation")
    values = load_object(text, f"row {number}")
    if not (values.keys() <= MEASURES.keys() and {*map(type, values.values())} <= {str}):
        raise UnreadableRowError(f"row {number} has {text[:40]!r} instead of measures")
    return Observation(
        Place(place, (), coordinates=(latitude, longitude) if latitude else ()),
        city,
        country,
        city_id,
        time_ms,
        version,
        values,
        _UNITS[units],
        utc_offset_s,
    )


def load_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object that was written as such; raises UnreadableRowError if it was not."""
    found = None
    with suppress(ValueError, TypeError):
        found = json.loads(text)
    if not isinstance(found, dict):
        raise UnreadableRowError(f"{where} has {str(text)[:40]!r} instead of a JSON object")
    return found

"""Observations: the table of measures, and how values, times and places are written."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.observation import (
    DEFAULT_MEASURES,
    FIELDS,
    MAX_EPOCH_S,
    MEASURES,
    NUMBER,
    TEXT,
    TIME,
    UNITS,
    Observation,
    decimal_text,
    describe_value,
    iso_time,
)
from ingest.places import parse_place

OBSERVED = Observation(
    place=parse_place("London,GB"),
    city="London",
    country="GB",
    city_id=2643743,
    time_ms=1_604_870_976_000,
    version=1_604_870_999_123,
    values={"Humidity": "93", "Condition": "Clouds"},
)
COORDINATES = parse_place("-33.87,+151.20")


def test_the_table_of_measures_is_consistent() -> None:
    assert set(DEFAULT_MEASURES) <= MEASURES.keys()
    assert len({measure.path for measure in MEASURES.values()}) == len(MEASURES)
    for name, measure in MEASURES.items():
        assert measure.name == name
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", name)
        assert measure.kind in (NUMBER, TEXT, TIME)
        assert len(measure.units) == len(UNITS)
    assert [name for name in MEASURES if MEASURES[name].kind == TEXT] == ["Condition"]
    assert [name for name in MEASURES if MEASURES[name].kind == TIME] == ["Sunrise", "Sunset"]
    assert FIELDS["Condition"] == "weather[0].main"
    assert MEASURES["CurrentTemp"].units == ("K", "°C", "°F")


def test_times_are_named_in_utc() -> None:
    assert iso_time(1_604_870_976_000) == "2020-11-08T21:29:36Z"
    assert iso_time(MAX_EPOCH_S * 1000 + 999) == "9999-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, {"city": "London", "country": "GB", "city_id": "2643743"}),
        ({"city": ""}, {"country": "GB", "city_id": "2643743"}),
        ({"country": ""}, {"city": "London", "city_id": "2643743"}),
        ({"city_id": 0}, {"city": "London", "country": "GB"}),
        ({"city": "", "country": "", "city_id": 0}, {}),
        (
            {"place": COORDINATES},
            {
                "city": "London",
                "country": "GB",
                "city_id": "2643743",
                "latitude": "-33.87",
                "longitude": "+151.20",
            },
        ),
        (
            {"place": COORDINATES, "city": "", "country": "", "city_id": 0},
            {"latitude": "-33.87", "longitude": "+151.20"},
        ),
    ],
)
def test_dimensions_are_what_is_known_in_one_order(
    members: dict[str, Any], expected: dict[str, str]
) -> None:
    assert list(replace(OBSERVED, **members).dimensions.items()) == list(expected.items())


def test_observations_of_one_series_have_one_place_and_time() -> None:
    assert replace(OBSERVED, version=1, values={}, units="metric").series == OBSERVED.series
    for change in (
        {"city": "Paris"},
        {"country": "CA"},
        {"city_id": 1},
        {"time_ms": 1},
        {"place": COORDINATES},
    ):
        assert replace(OBSERVED, **change).series != OBSERVED.series


def test_an_observation_is_found_by_its_place_and_by_its_city_in_any_spelling() -> None:
    seen = replace(OBSERVED, place=parse_place("LONDON, gb"))
    assert seen.place_keys == {"london,gb", "london"}


def test_a_described_value_is_one_printable_line_whatever_the_reply_held() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\n\u202eLondon\x9b1m"
    observation = replace(OBSERVED, city=evil, country="\x1b", values={"Condition": evil})
    assert describe_value(observation, "Condition").isprintable()


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(-0.0)
@example(5e-324)
@example(1.7976931348623157e308)
@example(1e16)
@example(1e22)
@example(-1.5e-7)
@example(100.0)
def test_decimal_text_reads_back_exactly_and_is_plain(number: float) -> None:
    text = decimal_text(number)
    assert float(text) == number
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d*[1-9])?", text)
    assert text != "-0"
    assert Decimal(text) == Decimal(repr(number))


@given(st.integers(-(2**53), 2**53))
def test_decimal_text_of_an_int_is_the_int(number: int) -> None:
    assert decimal_text(number) == str(number)

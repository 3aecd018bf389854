"""Replies: what is read from them, and what the error says if one cannot be read."""

import contextlib
import json
import math
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.errors import AccessError, BlockedError, ReplyError, Status, WeatherError
from ingest.observation import (
    DEFAULT_MEASURES,
    MAX_EPOCH_S,
    MEASURES,
    TEXT,
    Observation,
    iso_time,
)
from ingest.openweathermap.reply import error_message, parse_reply, status_error
from ingest.places import Place, parse_place
from ingest.reporting.redaction import one_line

LONDON = parse_place("London,GB")
LONDON_ID = parse_place("2643743")
OCEAN = parse_place("0.5,-30")
NO_COUNTRY = Place("anywhere", (("q", "anywhere"),))
ZIP = parse_place("zip:EC1A,GB")
ALL = tuple(MEASURES)
OBSERVED_S = 1_700_000_000
FETCHED_MS = 1_700_000_123_456
LEFT_OUT = object()


def reply(**changes: Any) -> bytes:
    """A good reply of London's; `main__temp=1` sets a nested field, LEFT_OUT removes one."""
    body: dict[str, Any] = {
        "coord": {"lon": -0.13, "lat": 51.51},
        "weather": [{"id": 803, "main": "Clouds", "description": "broken clouds", "icon": "04d"}],
        "base": "stations",
        "main": {"temp": 11.5, "feels_like": 10.25, "humidity": 81, "pressure": 1009},
        "visibility": 10000,
        "wind": {"speed": 4.5, "deg": 240},
        "clouds": {"all": 75},
        "dt": OBSERVED_S,
        "sys": {"country": "GB", "sunrise": OBSERVED_S - 20000, "sunset": OBSERVED_S + 9000},
        "timezone": 0,
        "id": 2643743,
        "name": "London",
        "cod": 200,
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner = body
        for step in parents:
            inner = inner.setdefault(step, {})
        if value is LEFT_OUT:
            del inner[last]
        else:
            inner[last] = value
    return json.dumps(body).encode()


def with_literal(field: str, literal: str) -> bytes:
    """A reply with text in it that json.dumps does not write; the field is named as in `reply`."""
    return reply(**{field: "LITERAL"}).replace(b'"LITERAL"', literal.encode())


def read(
    body: bytes, place: Place = LONDON, measures: tuple[str, ...] = DEFAULT_MEASURES
) -> Observation:
    return parse_reply(body, place, measures, FETCHED_MS)


USUAL = {"CurrentTemp": "11.5", "TempFeelsLike": "10.25", "Humidity": "81", "Pressure": "1009"}


def without(*names: str) -> dict[str, str]:
    return {name: text for name, text in USUAL.items() if name not in names}


def test_a_reply_becomes_an_observation() -> None:
    assert read(reply()) == Observation(
        place=LONDON,
        city="London",
        country="GB",
        city_id=2643743,
        time_ms=OBSERVED_S * 1000,
        version=FETCHED_MS,
        values=USUAL,
        utc_offset_s=0,
    )


def test_an_observation_knows_the_units_that_it_was_asked_for_in() -> None:
    assert parse_reply(reply(), LONDON, ("Humidity",), FETCHED_MS, "imperial").units == "imperial"
    assert read(reply()).units == ""


def test_the_distance_from_utc_is_kept_if_the_reply_says_one() -> None:
    distances = (0, -18000, 50400, 20700)
    none: tuple[object, ...] = (LEFT_OUT, None, 86_400, -86_400, 3600.0, True, "Europe/London", [])
    got = [read(reply(timezone=value)).utc_offset_s for value in (*distances, *none)]
    assert got == [*distances, *[None] * len(none)]


GOOD_VALUES = {
    "ints": (reply(main__temp=12), {**USUAL, "CurrentTemp": "12"}),
    "a float without a fraction reads as the int": (
        reply(main__temp=12.0),
        {**USUAL, "CurrentTemp": "12"},
    ),
    "negative": (reply(main__temp=-7.25), {**USUAL, "CurrentTemp": "-7.25"}),
    "zero is a value": (reply(main__temp=0), {**USUAL, "CurrentTemp": "0"}),
    "minus zero is zero": (with_literal("main__temp", "-0.0"), {**USUAL, "CurrentTemp": "0"}),
    "an exponent is written out": (
        with_literal("main__temp", "2.5e-7"),
        {**USUAL, "CurrentTemp": "0.00000025"},
    ),
    "feels_like missing": (reply(main__feels_like=LEFT_OUT), without("TempFeelsLike")),
    "a null measure": (reply(main__humidity=None), without("Humidity")),
    "NaN": (with_literal("main__temp", "NaN"), without("CurrentTemp")),
    "Infinity": (with_literal("main__pressure", "Infinity"), without("Pressure")),
    "-Infinity": (with_literal("main__pressure", "-Infinity"), without("Pressure")),
    "1e999": (with_literal("main__humidity", "1e999"), without("Humidity")),
    "an int that no double can hold": (
        with_literal("main__humidity", "1" + "0" * 400),
        without("Humidity"),
    ),
    "a field that was not asked for may be anything": (reply(wind="calm", rain=[1]), USUAL),
    "unknown fields": (reply(uv_index=3, main__dew_point="x"), USUAL),
    "cod missing": (reply(cod=LEFT_OUT), USUAL),
    "cod as a string": (reply(cod="200"), USUAL),
    "cod null": (reply(cod=None), USUAL),
    "of duplicate keys the last one counts": (
        with_literal("main__temp", '1, "temp": 2'),
        {**USUAL, "CurrentTemp": "2"},
    ),
    "white space around": (b"\r\n  " + reply() + b"\n", USUAL),
}


def test_values_are_read() -> None:
    got = {name: read(body).values for name, (body, _) in GOOD_VALUES.items()}
    assert got == {name: values for name, (_, values) in GOOD_VALUES.items()}


IDENTITIES = {
    "by coordinates, of the ocean": (
        OCEAN,
        reply(id=0, name="", sys__country=LEFT_OUT),
        ("", "", 0),
    ),
    "by coordinates, without sys, id and name": (
        OCEAN,
        reply(id=LEFT_OUT, name=LEFT_OUT, sys=LEFT_OUT),
        ("", "", 0),
    ),
    "by coordinates, all null": (OCEAN, reply(id=None, name=None, sys=None), ("", "", 0)),
    "by zip code, if id is 0": (ZIP, reply(id=0), ("London", "GB", 0)),
    "by id": (LONDON_ID, reply(), ("London", "GB", 2643743)),
    "by id, if the reply has none": (LONDON_ID, reply(id=LEFT_OUT), ("London", "GB", 0)),
    "id as a float": (LONDON_ID, reply(id=2643743.0), ("London", "GB", 2643743)),
    "white space around the name": (LONDON, reply(name="  London "), ("London", "GB", 2643743)),
    "a name that is not ASCII": (OCEAN, reply(name="Київ"), ("Київ", "GB", 2643743)),
    "country missing": (LONDON, reply(sys__country=LEFT_OUT), ("London", "", 2643743)),
    "country in full, as in 2014": (
        LONDON,
        reply(sys__country="United Kingdom"),
        ("London", "United Kingdom", 2643743),
    ),
    "country in small letters": (LONDON, reply(sys__country="gb"), ("London", "gb", 2643743)),
    "asked with UK, answered GB": (parse_place("London,UK"), reply(), ("London", "GB", 2643743)),
    "asked with GB, answered UK": (
        LONDON,
        reply(sys__country="UK"),
        ("London", "UK", 2643743),
    ),
    "by a form without a country": (
        NO_COUNTRY,
        reply(sys__country="CA"),
        ("London", "CA", 2643743),
    ),
}


def test_the_place_is_named_as_the_reply_names_it() -> None:
    got = {}
    for name, (place, body, _) in IDENTITIES.items():
        observation = read(body, place)
        assert observation.place is place, name
        got[name] = (observation.city, observation.country, observation.city_id)
    assert got == {name: identity for name, (_, _, identity) in IDENTITIES.items()}


HUMIDITY = {"Humidity": "81"}
TWO = [{"id": 500, "main": "Rain"}, {"id": 701, "main": "Mist"}]
EXTRA_VALUES = {
    "rain is {}": (reply(rain={}), "Rain1h Rain3h Humidity", HUMIDITY),
    "rain is null": (reply(rain=None), "Rain1h Humidity", HUMIDITY),
    "rain of 3 h only": (reply(rain={"3h": 0.5}), "Rain1h Rain3h", {"Rain3h": "0.5"}),
    "rain of 1 h and 3 h": (
        reply(rain={"1h": 1, "3h": 2.75}),
        "Rain1h Rain3h",
        {"Rain1h": "1", "Rain3h": "2.75"},
    ),
    "no snow is no zero": (reply(snow={"1h": 0}), "Snow1h Snow3h", {"Snow1h": "0"}),
    "wind without deg and gust": (
        reply(wind={"speed": 2}),
        "WindSpeed WindDirection WindGust",
        {"WindSpeed": "2"},
    ),
    "polar night": (reply(sys__sunrise=0, sys__sunset=0), "Sunrise Sunset Humidity", HUMIDITY),
    "a sunrise that is no time": (
        with_literal("sys__sunrise", "1e306"),
        "Sunrise Humidity",
        HUMIDITY,
    ),
    "a sunrise that no double can hold in ms": (
        with_literal("sys__sunrise", "1" + "0" * 306),
        "Sunrise Humidity",
        HUMIDITY,
    ),
    "no condition": (reply(weather=[]), "Condition ConditionId Humidity", HUMIDITY),
    "a condition that is null": (reply(weather=[None]), "Condition Humidity", HUMIDITY),
    "an empty condition": (
        reply(weather=[{"id": 800, "main": " "}]),
        "Condition ConditionId",
        {"ConditionId": "800"},
    ),
    "of several conditions the first": (
        reply(weather=TWO),
        "ConditionId Condition",
        {"ConditionId": "500", "Condition": "Rain"},
    ),
}


def test_measures_on_demand_are_read() -> None:
    got = {
        name: read(body, measures=tuple(measures.split())).values
        for name, (body, measures, _) in EXTRA_VALUES.items()
    }
    assert got == {name: values for name, (_, _, values) in EXTRA_VALUES.items()}


def test_every_measure_is_read_from_its_own_field() -> None:
    body = reply(
        main={
            "temp": 1,
            "feels_like": 2,
            "humidity": 3,
            "pressure": 4,
            "temp_min": 5,
            "temp_max": 6,
            "sea_level": 7,
            "grnd_level": 8,
        },
        visibility=9,
        wind={"speed": 10, "deg": 11, "gust": 12},
        clouds={"all": 13},
        rain={"1h": 14, "3h": 15},
        snow={"1h": 16, "3h": 17},
        weather=[{"id": 18, "main": "Rain"}],
        sys={"country": "GB", "sunrise": 19, "sunset": 20},
    )
    assert read(body, measures=ALL).values == {
        "CurrentTemp": "1",
        "TempFeelsLike": "2",
        "Humidity": "3",
        "Pressure": "4",
        "TempMin": "5",
        "TempMax": "6",
        "SeaLevelPressure": "7",
        "GroundLevelPressure": "8",
        "Visibility": "9",
        "WindSpeed": "10",
        "WindDirection": "11",
        "WindGust": "12",
        "Cloudiness": "13",
        "Rain1h": "14",
        "Rain3h": "15",
        "Snow1h": "16",
        "Snow3h": "17",
        "ConditionId": "18",
        "Condition": "Rain",
        "Sunrise": "19000",
        "Sunset": "20000",
    }


def test_what_cannot_be_read_is_not_asked_for_again() -> None:
    with pytest.raises(ReplyError) as caught:
        read(b"")
    assert (caught.value.cod, caught.value.kind) == (0, "unusable reply")
    assert (caught.value.permanent, caught.value.status) == (True, Status.UNAVAILABLE)


# What is shown of an error's body is its own: the field, the value, the message.
ERROR_BODIES = {
    "cod as a string": ({"cod": "404", "message": "city not found"}, 404, "city not found"),
    "cod as an int": ({"cod": 401, "message": "Invalid API key."}, 401, "Invalid API key."),
    "cod 429": ({"cod": 429, "message": "blocked"}, 429, "blocked"),
    "an error alone": ({"error": "404"}, 404, "'404'"),
    "an empty message": ({"message": "", "cod": "404"}, 404, "'404'"),
    "a null message": ({"message": None, "cod": "500"}, 500, "'500'"),
    "a code of six digits": ({"code": 400001, "message": "Station id is wrong"}, 0, "Station id"),
    "a code in words": ({"cod": "internal", "message": "x"}, 0, "cod 'internal': x"),
    "cod in another script": ({"cod": "٤٠٤"}, 0, "cod"),
    "cod a list": ({"cod": [404]}, 0, "cod [404]"),
    "cod true": ({"cod": True}, 0, "cod True"),
    "an error next to good fields": ({**json.loads(reply()), "cod": "500"}, 500, "cod '500'"),
    "an error in words next to cod 200": ({"cod": 200, "error": "no data"}, 0, "error 'no data'"),
    "a message of several lines": ({"cod": 500, "message": "a\n\tb"}, 500, "a b"),
    "a message that moves the cursor": ({"cod": 500, "message": "a\x1b[2Jb"}, 500, "a [2Jb"),
    "a message that is an object": ({"cod": 500, "message": {"a": 1}}, 500, "{'a': 1}"),
}


def test_an_error_in_the_body_is_reported_whatever_its_shape() -> None:
    wrong = {}
    for name, (body, cod, shown) in ERROR_BODIES.items():
        with pytest.raises(ReplyError) as caught:
            read(json.dumps(body).encode())
        if caught.value.cod != cod or shown not in caught.value.what:
            wrong[name] = (caught.value.cod, caught.value.what)
    assert wrong == {}


def test_an_error_message_is_one_short_printable_line() -> None:
    assert error_message({"message": "x" * 5000}) == "x" * 200
    assert error_message([1]) == error_message({}) == error_message(None)
    assert one_line("a\r\nb\x1b\u202e\ud800c") == "a  b   c"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["main", "temp", "id", "1h", "country", "sunrise"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
MEMBERS = ("dt", "id", "name", "sys", "main", "wind", "rain", "weather", "cod", "error", "message")
SPOILED = st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES, max_size=5)
PLACES = st.sampled_from([LONDON, LONDON_ID, OCEAN, ZIP, NO_COUNTRY])


def well_formed(observation: Observation) -> None:
    assert 0 < observation.time_ms <= MAX_EPOCH_S * 1000
    assert iso_time(observation.time_ms).endswith("Z")
    assert observation.values
    for name, text in observation.values.items():
        assert text
        text.encode()
        if MEASURES[name].kind != TEXT:
            assert re.fullmatch(r"-?\d+(\.\d+)?", text)
            assert math.isfinite(float(text))


@given(st.binary(), PLACES)
@example(b"\xef\xbb\xbf{}", LONDON)
@example(b"[" * 5000, LONDON)
def test_any_bytes_give_a_reply_error_at_worst(body: bytes, place: Place) -> None:
    with pytest.raises(ReplyError):
        read(body, place, ALL)


@given(JSON_VALUES, PLACES)
def test_any_json_gives_a_reply_error_at_worst(value: object, place: Place) -> None:
    with contextlib.suppress(ReplyError):
        well_formed(read(json.dumps(value).encode(), place, ALL))


@given(SPOILED, PLACES)
def test_a_spoiled_reply_gives_an_observation_or_a_reply_error(
    spoiled: dict[str, Any], place: Place
) -> None:
    body = json.dumps({**json.loads(reply()), **spoiled}).encode()
    with contextlib.suppress(ReplyError):
        well_formed(read(body, place, ALL))


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, MAX_EPOCH_S))
def test_what_is_read_is_the_number_that_was_sent(temp: float, observed_s: int) -> None:
    observation = read(reply(main__temp=temp, dt=observed_s))
    assert float(observation.values["CurrentTemp"]) == temp
    assert observation.time_ms == observed_s * 1000


# Statuses


def test_a_status_decides_whether_asking_again_can_help() -> None:
    refused = (WeatherError, True, "refused")
    expected = {
        **dict.fromkeys((204, 301, 400, 403), refused),
        401: (AccessError, None, "key refused"),
        404: (WeatherError, True, "not found"),
        429: (BlockedError, True, "blocked"),
        500: (WeatherError, False, "server error"),
        503: (WeatherError, False, "server error"),
    }
    got = {}
    for status in expected:
        error = status_error(status, b'{"cod":1,"message":"said so"}')
        assert error.advice
        got[status] = (type(error), getattr(error, "permanent", None), error.kind)
    assert got == expected


def test_a_status_is_named_whatever_its_body() -> None:
    bodies = (b"", b" \r\n", b"<html>502</html>", b"\xff", b"[" * 200_000, b"{}", b"[1]")
    assert [body for body in bodies if "500" not in status_error(500, body).what] == []

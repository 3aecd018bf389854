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


@pytest.mark.parametrize(
    ("timezone", "utc_offset_s"),
    [
        (0, 0),
        (-18000, -18000),
        (50400, 50400),
        (20700, 20700),
        (LEFT_OUT, None),
        (None, None),
        (86_400, None),
        (-86_400, None),
        (3600.0, None),
        (True, None),
        ("Europe/London", None),
        ([], None),
    ],
)
def test_the_distance_from_utc_is_kept_if_the_reply_says_one(
    timezone: object, utc_offset_s: int | None
) -> None:
    assert read(reply(timezone=timezone)).utc_offset_s == utc_offset_s


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


@pytest.mark.parametrize(("body", "values"), GOOD_VALUES.values(), ids=GOOD_VALUES.keys())
def test_values_are_read(body: bytes, values: dict[str, str]) -> None:
    assert read(body).values == values


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


@pytest.mark.parametrize(("place", "body", "identity"), IDENTITIES.values(), ids=IDENTITIES.keys())
def test_the_place_is_named_as_the_reply_names_it(
    place: Place, body: bytes, identity: tuple[str, str, int]
) -> None:
    observation = read(body, place)
    assert (observation.city, observation.country, observation.city_id) == identity
    assert observation.place is place


EXTRA_VALUES = {
    "rain is {}": (reply(rain={}), ("Rain1h", "Rain3h", "Humidity"), {"Humidity": "81"}),
    "rain is null": (reply(rain=None), ("Rain1h", "Humidity"), {"Humidity": "81"}),
    "rain of 3 h only": (reply(rain={"3h": 0.5}), ("Rain1h", "Rain3h"), {"Rain3h": "0.5"}),
    "rain of 1 h and 3 h": (
        reply(rain={"1h": 1, "3h": 2.75}),
        ("Rain1h", "Rain3h"),
        {"Rain1h": "1", "Rain3h": "2.75"},
    ),
    "no snow is no zero": (reply(snow={"1h": 0}), ("Snow1h", "Snow3h"), {"Snow1h": "0"}),
    "wind without deg and gust": (
        reply(wind={"speed": 2}),
        ("WindSpeed", "WindDirection", "WindGust"),
        {"WindSpeed": "2"},
    ),
    "polar night": (
        reply(sys__sunrise=0, sys__sunset=0),
        ("Sunrise", "Sunset", "Humidity"),
        {"Humidity": "81"},
    ),
    "a sunrise that is no time": (
        with_literal("sys__sunrise", "1e306"),
        ("Sunrise", "Humidity"),
        {"Humidity": "81"},
    ),
    "a sunrise that no double can hold in ms": (
        with_literal("sys__sunrise", "1" + "0" * 306),
        ("Sunrise", "Humidity"),
        {"Humidity": "81"},
    ),
    "no condition": (
        reply(weather=[]),
        ("Condition", "ConditionId", "Humidity"),
        {"Humidity": "81"},
    ),
    "a condition that is null": (
        reply(weather=[None]),
        ("Condition", "Humidity"),
        {"Humidity": "81"},
    ),
    "an empty condition": (
        reply(weather=[{"id": 800, "main": " "}]),
        ("Condition", "ConditionId"),
        {"ConditionId": "800"},
    ),
    "of several conditions the first": (
        reply(weather=[{"id": 500, "main": "Rain"}, {"id": 701, "main": "Mist"}]),
        ("ConditionId", "Condition"),
        {"ConditionId": "500", "Condition": "Rain"},
    ),
}


@pytest.mark.parametrize(
    ("body", "measures", "values"), EXTRA_VALUES.values(), ids=EXTRA_VALUES.keys()
)
def test_measures_on_demand_are_read(
    body: bytes, measures: tuple[str, ...], values: dict[str, str]
) -> None:
    assert read(body, measures=measures).values == values


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


ERRORS = {
    "empty body": (LONDON, b"", "the reply is empty"),
    "white space alone": (LONDON, b" \r\n\t", "the reply is empty"),
    "HTML": (LONDON, b"<html><body>502 Bad Gateway</body></html>", "the reply is not JSON"),
    "cut off": (LONDON, reply()[:-20], "the reply is not JSON"),
    "two objects": (LONDON, reply() * 2, "the reply is not JSON"),
    "invalid UTF-8": (LONDON, reply(name="L").replace(b'"L"', b'"\xff"'), "the reply is not UTF-8"),
    "Latin-1": (LONDON, b'{"name": "M\xe4nchen"}', "the reply is not UTF-8 (byte 11)"),
    "a byte order mark": (LONDON, b"\xef\xbb\xbf" + reply(), "the reply is not JSON"),
    "UTF-16": (LONDON, reply().decode().encode("utf-16"), "the reply is not UTF-8 (byte 0)"),
    "nested too deeply": (LONDON, b"[" * 200_000, "the reply is nested too deeply"),
    "nested too deeply in objects": (LONDON, b'{"a":' * 200_000, "the reply is nested too deeply"),
    "an int of 5000 digits": (LONDON, with_literal("dt", "1" * 5000), "the reply is not JSON"),
    "a list": (LONDON, b"[1]", "the reply is a list"),
    "null": (LONDON, b"null", "the reply is null"),
    "a string": (LONDON, b'"sunny"', "the reply is a string ('sunny')"),
    "a number": (LONDON, b"42", "the reply is a number (42)"),
    "an empty object": (LONDON, b"{}", "dt, the time of the observation, is missing"),
    "a group of replies": (LONDON, b'{"cnt":0,"list":[]}', "dt, the time of the observation"),
    "dt missing": (LONDON, reply(dt=LEFT_OUT), "dt, the time of the observation, is missing"),
    "dt null": (LONDON, reply(dt=None), "dt, the time of the observation, is missing"),
    "dt a string": (LONDON, reply(dt="1700000000"), "dt is a string ('1700000000')"),
    "dt a boolean": (LONDON, reply(dt=True), "dt is a boolean (True)"),
    "dt an object": (LONDON, reply(dt={}), "dt is an object"),
    "dt negative": (LONDON, reply(dt=-1), "dt is -1"),
    "dt zero": (LONDON, reply(dt=0), "dt is 0"),
    "dt with a fraction": (LONDON, reply(dt=1_700_000_000.5), "dt is 1700000000.5"),
    "dt in milliseconds": (LONDON, reply(dt=OBSERVED_S * 1000), "dt is 1700000000000"),
    "dt NaN": (LONDON, with_literal("dt", "NaN"), "dt is nan"),
    "dt 1e999": (LONDON, with_literal("dt", "1e999"), "dt is inf"),
    "dt a huge int": (LONDON, with_literal("dt", "9" * 400), "dt is 9999"),
    "main missing": (LONDON, reply(main=LEFT_OUT), "none of the configured measures (main.temp"),
    "main null": (LONDON, reply(main=None), "none of the configured measures (main.temp"),
    "main empty": (LONDON, reply(main={}), "none of the configured measures (main.temp"),
    "main a list": (LONDON, reply(main=[1]), "main is a list"),
    "main a string": (LONDON, reply(main="cold"), "main is a string ('cold')"),
    "a string for a number": (LONDON, reply(main__temp="11.5"), "main.temp is a string ('11.5')"),
    "a boolean for a number": (LONDON, reply(main__humidity=True), "main.humidity is a boolean"),
    "a list for a number": (LONDON, reply(main__pressure=[1009]), "main.pressure is a list"),
    "name a number": (LONDON, reply(name=5), "name is a number (5)"),
    "name half a character": (LONDON, reply(name="\ud800"), "name holds half a character"),
    "country half a character": (LONDON, reply(sys__country="\udfff"), "sys.country holds half"),
    "country a number": (LONDON, reply(sys__country=44), "sys.country is a number (44)"),
    "sys a list": (LONDON, reply(sys=[]), "sys is a list"),
    "id a string": (LONDON, reply(id="2643743"), "id is a string ('2643743')"),
    "id a boolean": (LONDON, reply(id=True), "id is a boolean (True)"),
    "id negative": (LONDON, reply(id=-5), "id is -5"),
    "id with a fraction": (LONDON, reply(id=0.5), "id is 0.5"),
    "id NaN": (LONDON, with_literal("id", "NaN"), "id is nan"),
    "another country": (LONDON, reply(sys__country="CA"), "sys.country is CA, but GB was asked"),
    "another country for the zip code": (ZIP, reply(sys__country="US"), "sys.country is US"),
    "another id": (LONDON_ID, reply(id=6058560), "id is 6058560, but 2643743 was asked for"),
    "a city without any name": (
        LONDON,
        reply(id=0, name="", sys__country=""),
        "name, sys.country and id are all empty",
    ),
    "an id without any name": (
        LONDON_ID,
        reply(id=0, name=" ", sys=None),
        "name, sys.country and id are all empty",
    ),
}


@pytest.mark.parametrize(("place", "body", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_names_the_field(place: Place, body: bytes, message: str) -> None:
    with pytest.raises(ReplyError) as caught:
        read(body, place)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.cod == 0
    assert caught.value.permanent
    assert caught.value.status is Status.UNAVAILABLE


ON_DEMAND_ERRORS = {
    "wind a string": (reply(wind="calm"), "WindSpeed", "wind is a string ('calm')"),
    "weather an object": (reply(weather={"id": 1}), "ConditionId", "weather is an object"),
    "weather a list of strings": (reply(weather=["Rain"]), "Condition", "weather[0] is a string"),
    "condition a number": (
        reply(weather=[{"main": 5}]),
        "Condition",
        "weather[0].main is a number",
    ),
    "condition half a character": (
        reply(weather=[{"main": "\ud83d"}]),
        "Condition",
        "weather[0].main holds half a character",
    ),
    "sunrise a string": (reply(sys__sunrise="6:00"), "Sunrise", "sys.sunrise is a string"),
    "rain a number": (reply(rain=3), "Rain1h", "rain is a number (3)"),
    "polar night alone": (reply(sys__sunrise=0), "Sunrise", "configured measures (sys.sunrise)"),
    "all not finite": (
        with_literal("wind__gust", "NaN"),
        "WindGust",
        "none of the configured measures (wind.gust)",
    ),
}


@pytest.mark.parametrize(
    ("body", "measure", "message"), ON_DEMAND_ERRORS.values(), ids=ON_DEMAND_ERRORS.keys()
)
def test_an_error_in_a_measure_on_demand_names_the_field(
    body: bytes, measure: str, message: str
) -> None:
    with pytest.raises(ReplyError, match=re.escape(message)):
        read(body, measures=(measure,))


ERROR_BODIES = {
    "cod as a string": ({"cod": "404", "message": "city not found"}, 404, "city not found"),
    "cod as an int": ({"cod": 401, "message": "Invalid API key."}, 401, "Invalid API key."),
    "cod 429": ({"cod": 429, "message": "blocked"}, 429, "blocked"),
    "an error alone": ({"error": "404"}, 404, "no message"),
    "an empty message": ({"message": "", "cod": "404"}, 404, "no message"),
    "a null message": ({"message": None, "cod": "500"}, 500, "no message"),
    "a code of six digits": ({"code": 400001, "message": "Station id is wrong"}, 0, "Station id"),
    "a code in words": ({"cod": "internal", "message": "x"}, 0, "cod 'internal': x"),
    "cod in another script": ({"cod": "٤٠٤"}, 0, "no message"),
    "cod a list": ({"cod": [404]}, 0, "cod [404]"),
    "cod true": ({"cod": True}, 0, "cod True"),
    "an error next to good fields": ({**json.loads(reply()), "cod": "500"}, 500, "cod '500'"),
    "an error in words next to cod 200": ({"cod": 200, "error": "no data"}, 0, "error 'no data'"),
    "a message of several lines": ({"cod": 500, "message": "a\n\tb"}, 500, "a b"),
    "a message that moves the cursor": ({"cod": 500, "message": "a\x1b[2Jb"}, 500, "a [2Jb"),
    "a message that is an object": ({"cod": 500, "message": {"a": 1}}, 500, "{'a': 1}"),
}


@pytest.mark.parametrize(("body", "cod", "message"), ERROR_BODIES.values(), ids=ERROR_BODIES.keys())
def test_an_error_in_the_body_is_reported_whatever_its_shape(
    body: dict[str, Any], cod: int, message: str
) -> None:
    with pytest.raises(ReplyError) as caught:
        read(json.dumps(body).encode())
    assert caught.value.cod == cod
    assert str(caught.value).startswith("the reply is an error, ")
    assert message in str(caught.value)


def test_an_error_message_is_one_short_printable_line() -> None:
    assert error_message({"message": "x" * 5000}) == "x" * 200
    assert error_message([1]) == error_message({}) == error_message(None) == "no message"
    assert one_line("a\r\nb\x1b\u202e\ud800c") == "a  b   c"


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(ReplyError) as caught:
        read(reply(main__temp="x" * 10_000))
    assert len(str(caught.value)) < 200


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


@pytest.mark.parametrize(
    ("status", "error_type", "permanent", "kind"),
    [
        (204, WeatherError, True, "refused"),
        (301, WeatherError, True, "refused"),
        (400, WeatherError, True, "refused"),
        (401, AccessError, None, "key refused"),
        (403, WeatherError, True, "refused"),
        (404, WeatherError, True, "not found"),
        (429, BlockedError, True, "blocked"),
        (500, WeatherError, False, "server error"),
        (503, WeatherError, False, "server error"),
    ],
)
def test_a_status_decides_whether_asking_again_can_help(
    status: int, error_type: type[Exception], permanent: object, kind: str
) -> None:
    error = status_error(status, b'{"cod":1,"message":"said so"}')
    assert type(error) is error_type
    assert getattr(error, "permanent", None) is permanent
    assert error.kind == kind
    assert error.what.startswith(f"OpenWeatherMap answers {status} (said so)")
    assert error.advice


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no body"),
        (b" \r\n", "no body"),
        (b"<html>502</html>", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b"{}", "no message"),
        (b"[1]", "no message"),
    ],
)
def test_a_status_is_named_whatever_its_body(body: bytes, message: str) -> None:
    assert str(status_error(500, body)).startswith(f"OpenWeatherMap answers 500 ({message}): ")

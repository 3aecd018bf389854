"""The embedded OpenWeatherMap as PycURL meets it over a socket, and the faults of both servers."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pycurl
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from embedded.cities import CITIES
from embedded.exchange import Request
from embedded.faults import (
    Fault,
    answer,
    delay,
    drip,
    empty,
    reset,
    reset_after,
    stall,
    truncate,
)
from embedded.openweathermap import ABSENT, EmbeddedOpenWeatherMap

NOW_S = 1_790_000_123
KEY = "the-key"


class Clock:
    def __init__(self) -> None:
        self.now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[EmbeddedOpenWeatherMap]:
    with EmbeddedOpenWeatherMap(api_key=KEY, clock=clock) as embedded:
        yield embedded


def fetch(url: str, options: dict[int, Any] | None = None) -> tuple[int, bytes]:
    """Status and body; raises pycurl.error where the transfer fails."""
    body = BytesIO()
    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.WRITEDATA, body)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.NOPROXY, "*")
        for option, value in (options or {}).items():
            curl.setopt(option, value)
        curl.perform()
        return curl.getinfo(pycurl.RESPONSE_CODE), body.getvalue()
    finally:
        curl.close()


def ask(service: EmbeddedOpenWeatherMap, **query: str) -> tuple[int, Any]:
    status, body = fetch(f"{service.url}?{urlencode({'appid': KEY, **query})}")
    return status, json.loads(body)


def weather(service: EmbeddedOpenWeatherMap, **query: str) -> Any:
    status, reply = ask(service, **query)
    assert status == 200
    return reply


# Replies


def test_london_is_answered_as_the_service_does(service: EmbeddedOpenWeatherMap) -> None:
    reply = weather(service, q="London,GB", units="metric")
    assert (reply["id"], reply["name"], reply["sys"]["country"]) == (2643743, "London", "GB")
    assert reply["coord"] == {"lon": -0.1257, "lat": 51.5085}
    assert (reply["cod"], reply["base"]) == (200, "stations")
    assert {"temp", "feels_like", "pressure", "humidity"} <= set(reply["main"])
    assert {"speed", "deg"} <= set(reply["wind"])
    assert -40 < reply["main"]["temp"] < 50
    assert 0 <= reply["main"]["humidity"] <= 100


@pytest.mark.parametrize("city", CITIES, ids=lambda city: f"{city.name},{city.country}")
def test_each_city_is_found_by_id_and_by_name(service: EmbeddedOpenWeatherMap, city: Any) -> None:
    by_id = weather(service, id=str(city.id))
    by_name = weather(service, q=f"{city.name},{city.country}")
    assert by_id == by_name
    assert by_id["id"] == city.id


@pytest.mark.parametrize(
    ("query", "city_id"),
    [
        ("london,gb", 2643743),
        ("LONDON", 2643743),
        ("London,UK", 2643743),
        ("London,CA", 6058560),
        ("Zurich,CH", 2657896),
        ("Sao Paulo", 3448439),
        ("Tromso,NO", 3133895),
    ],
)
def test_names_are_matched_in_any_case_and_without_accents(
    service: EmbeddedOpenWeatherMap, query: str, city_id: int
) -> None:
    assert weather(service, q=query)["id"] == city_id


def test_coordinates_name_no_place(service: EmbeddedOpenWeatherMap) -> None:
    reply = weather(service, lat="-89.5", lon="10")
    assert (reply["id"], reply["name"]) == (0, "")
    assert reply["sys"] == {"sunrise": 0, "sunset": 0}
    assert reply["coord"] == {"lon": 10, "lat": -89.5}


def test_a_postal_code_has_a_name_and_no_id(service: EmbeddedOpenWeatherMap) -> None:
    reply = weather(service, zip="SW1A,gb")
    assert (reply["id"], reply["sys"]["country"]) == (0, "GB")
    assert reply["name"]


@given(number=st.integers(0, 999_999))
def test_there_are_a_million_stations(number: int) -> None:
    reply = STATIONS.respond(
        Request("weather", "GET", "/data/2.5/weather", station(number), {}, b"")
    )
    members = json.loads(reply.body)
    assert (members["id"], members["name"]) == (9_000_000 + number, f"Station {number}")
    assert -90 <= members["coord"]["lat"] <= 90


STATIONS = EmbeddedOpenWeatherMap(api_key=KEY)


def station(number: int) -> dict[str, str]:
    return {"id": str(9_000_000 + number), "appid": KEY}


def test_dt_is_the_clock_rounded_down_to_ten_minutes(
    service: EmbeddedOpenWeatherMap, clock: Clock
) -> None:
    first = weather(service, q="London,GB")
    assert first["dt"] == NOW_S - NOW_S % 600
    clock.now_s = first["dt"] + 599
    assert weather(service, q="London,GB") == first
    clock.now_s = first["dt"] + 600
    later = weather(service, q="London,GB")
    assert later["dt"] == first["dt"] + 600
    assert later["main"]["temp"] != first["main"]["temp"]


def test_units_are_honoured_and_case_sensitive(service: EmbeddedOpenWeatherMap) -> None:
    def temp_and_wind(**query: str) -> tuple[float, float]:
        reply = weather(service, q="London,GB", **query)
        return reply["main"]["temp"], reply["wind"]["speed"]

    celsius, metres_per_second = temp_and_wind(units="metric")
    kelvin, _ = temp_and_wind(units="standard")
    fahrenheit, miles_per_hour = temp_and_wind(units="imperial")
    assert kelvin == pytest.approx(celsius + 273.15, abs=0.01)
    assert fahrenheit == pytest.approx(celsius * 1.8 + 32, abs=0.02)
    assert miles_per_hour == pytest.approx(metres_per_second * 2.236936, abs=0.02)
    assert temp_and_wind()[0] == temp_and_wind(units="IMPERIAL")[0] == kelvin


def test_the_date_header_follows_the_clock(service: EmbeddedOpenWeatherMap) -> None:
    headers = BytesIO()
    fetch(f"{service.url}?q=London&appid={KEY}", {pycurl.HEADERFUNCTION: headers.write})
    (date,) = [
        line.partition(": ")[2]
        for line in headers.getvalue().decode().splitlines()
        if line.startswith("Date: ")
    ]
    assert parsedate_to_datetime(date).timestamp() == NOW_S


# Errors


@pytest.mark.parametrize(
    ("query", "status", "cod", "message"),
    [
        ({"q": "Nowhere"}, 404, "404", "city not found"),
        ({"q": "London,FR"}, 404, "404", "city not found"),
        ({"id": "1"}, 404, "404", "city not found"),
        ({"zip": "00000,US"}, 404, "404", "city not found"),
        ({}, 400, "400", "Nothing to geocode"),
        ({"q": ""}, 400, "400", "Nothing to geocode"),
        ({"lat": "90.1", "lon": "0"}, 400, "400", "wrong latitude"),
        ({"lat": "nan", "lon": "0"}, 400, "400", "wrong latitude"),
        ({"lat": "north", "lon": "0"}, 400, "400", "wrong latitude"),
        ({"lat": "0", "lon": "-181"}, 400, "400", "wrong longitude"),
        ({"id": "London"}, 400, "400", "London is not a city ID"),
    ],
)
def test_a_bad_place_is_refused_with_cod_as_a_string(
    service: EmbeddedOpenWeatherMap, query: dict[str, str], status: int, cod: str, message: str
) -> None:
    assert ask(service, **query) == (status, {"cod": cod, "message": message})


def test_a_wrong_key_is_refused_with_cod_as_a_number(service: EmbeddedOpenWeatherMap) -> None:
    status, reply = ask(service, q="London", appid="other")
    assert (status, reply["cod"]) == (401, 401)
    assert reply["message"].startswith("Invalid API key.")


def test_more_calls_a_minute_than_the_plan_has_block_the_account(
    service: EmbeddedOpenWeatherMap, clock: Clock
) -> None:
    service.calls_per_minute = 2
    assert [ask(service, q="London")[0] for _ in range(3)] == [200, 200, 429]
    assert ask(service, q="London")[1]["cod"] == 429
    clock.now_s += 60
    assert ask(service, q="London")[0] == 200


# What a test may set


def test_set_weather_overrides_members_of_one_query(service: EmbeddedOpenWeatherMap) -> None:
    service.set_weather("London,GB", temp=9, rain={"1h": 0.2}, wind_gust=11.5, dt=NOW_S)
    service.set_weather("london,gb", humidity=None, visibility=ABSENT, country=ABSENT)
    reply = weather(service, q="London,GB", units="imperial")
    assert (reply["main"]["temp"], reply["rain"], reply["dt"]) == (9, {"1h": 0.2}, NOW_S)
    assert reply["wind"]["gust"] == 11.5
    assert reply["main"]["humidity"] is None
    assert "visibility" not in reply
    assert "country" not in reply["sys"]
    assert "rain" not in weather(service, q="Paris,FR")


@pytest.mark.parametrize(
    ("place_query", "query"),
    [
        ("London,GB", {"q": "London,GB"}),
        ("2643743", {"id": "2643743"}),
        ("51.5085,-0.1257", {"lat": "51.5085", "lon": "-0.1257"}),
        ("zip:SW1A,GB", {"zip": "SW1A,GB"}),
    ],
)
def test_set_reply_answers_each_form_of_query_with_the_bytes(
    service: EmbeddedOpenWeatherMap, place_query: str, query: dict[str, str]
) -> None:
    service.set_reply(place_query, b"<html>", 502)
    url = f"{service.url}?{urlencode({'appid': KEY, **query})}"
    assert fetch(url) == (502, b"<html>")
    service.forget_weather()
    assert fetch(url)[0] == 200


def test_requests_hold_path_query_and_headers(service: EmbeddedOpenWeatherMap) -> None:
    url = f"{service.url}?q=London%2CGB&units=metric&appid={KEY}"
    fetch(url, {pycurl.USERAGENT: "someone"})
    (request,) = service.requests
    assert request.path == "/data/2.5/weather"
    assert request.query == {"q": "London,GB", "units": "metric", "appid": KEY}
    assert request.headers["user-agent"] == "someone"
    assert service.count("weather") == 1


def test_another_path_is_not_the_weather(service: EmbeddedOpenWeatherMap) -> None:
    assert fetch(f"{service.address}/data/2.5/forecast")[0] == 404
    assert (service.count("weather"), service.count("/data/2.5/forecast")) == (0, 1)


# Faults


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        (empty(), {pycurl.E_GOT_NOTHING}),
        (reset(), {pycurl.E_RECV_ERROR}),
        (reset_after(), {pycurl.E_RECV_ERROR}),
        (truncate(), {pycurl.E_PARTIAL_FILE}),
        (truncate(0), {pycurl.E_PARTIAL_FILE}),
        (stall(), {pycurl.E_OPERATION_TIMEDOUT}),
        (drip(200), {pycurl.E_OPERATION_TIMEDOUT}),
        (delay(3600), {pycurl.E_OPERATION_TIMEDOUT}),
    ],
)
def test_each_fault_is_what_curl_calls_it(
    service: EmbeddedOpenWeatherMap, fault: Fault, codes: set[int]
) -> None:
    service.plan.next("weather", fault)
    url = f"{service.url}?q=London&appid={KEY}"
    with pytest.raises(pycurl.error) as caught:
        fetch(url, {pycurl.TIMEOUT_MS: 200})
    assert caught.value.args[0] in codes
    assert fetch(url)[0] == 200


def test_a_canned_answer_replaces_the_real_one(service: EmbeddedOpenWeatherMap) -> None:
    service.plan.next("weather", answer(503, b"busy", {"Retry-After": "7"}))
    assert fetch(f"{service.url}?q=London&appid={KEY}") == (503, b"busy")


def test_a_delay_ends_in_what_follows_it(service: EmbeddedOpenWeatherMap) -> None:
    service.plan.next("weather", delay(0.001), delay(0.001, answer(500)))
    assert [ask(service, q="London")[0], fetch(service.url)[0]] == [200, 500]


def test_a_dripped_body_arrives_byte_by_byte(service: EmbeddedOpenWeatherMap) -> None:
    service.plan.next("weather", drip(1000))
    received = []

    def stop_after_three(chunk: bytes) -> int:
        received.append(chunk)
        return len(chunk) if len(received) < 3 else 0

    with pytest.raises(pycurl.error) as caught:
        fetch(service.url, {pycurl.WRITEFUNCTION: stop_after_three})
    assert caught.value.args[0] == pycurl.E_WRITE_ERROR
    assert len(received) == 3


def test_a_stalled_call_ends_with_the_server(clock: Clock) -> None:
    service = EmbeddedOpenWeatherMap(api_key=KEY, clock=clock).start()
    arrived = threading.Event()

    def stall_and_tell(_: Request) -> Fault:
        arrived.set()
        return stall()

    service.plan.when("weather", stall_and_tell)
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(b"GET /data/2.5/weather HTTP/1.1\r\nHost: x\r\n\r\n")
        assert arrived.wait(10)
        service.stop()
        assert connection.recv(1) == b""
    service.stop()


# HTTP


def test_a_connection_serves_one_request_after_another(service: EmbeddedOpenWeatherMap) -> None:
    connection = HTTPConnection("127.0.0.1", service.port)
    connection.connect()
    socket_before = connection.sock
    for _ in range(3):
        connection.request("GET", f"/data/2.5/weather?q=London&appid={KEY}")
        assert json.loads(connection.getresponse().read())["name"] == "London"
    assert connection.sock is socket_before
    connection.close()


def test_a_body_is_read_whole_or_in_chunks(service: EmbeddedOpenWeatherMap) -> None:
    connection = HTTPConnection("127.0.0.1", service.port)
    for body in (b"0123456789", iter([b"01234", b"56789"])):
        connection.request("POST", "/ping", body=body)
        connection.getresponse().read()
    connection.close()
    assert [request.body for request in service.requests] == [b"0123456789"] * 2


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x16\x03\x01", id="TLS"),
        pytest.param(b"G" * 70_000, id="endless header"),
        pytest.param(b"GET\r\n\r\n", id="no target"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n", id="no length"),
    ],
)
def test_what_is_not_http_is_hung_up_on(service: EmbeddedOpenWeatherMap, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert service.requests == []


def test_over_tls_the_certificate_and_the_host_name_are_those_given(tmp_path: Path) -> None:
    authority, bundle = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with EmbeddedOpenWeatherMap(api_key=KEY, tls=context) as service:
        assert service.url.startswith("https://localhost:")
        url = f"{service.url}?q=London&appid={KEY}"
        assert fetch(url, {pycurl.CAINFO: str(bundle)})[0] == 200
        with pytest.raises(pycurl.error) as caught:
            fetch(url)
        assert caught.value.args[0] == pycurl.E_PEER_FAILED_VERIFICATION
        service.plan.next("weather", reset())
        with pytest.raises(pycurl.error):
            fetch(url, {pycurl.CAINFO: str(bundle)})
        with pytest.raises(pycurl.error) as caught:
            fetch(url.replace("https", "http"))
    assert caught.value.args[0] in {pycurl.E_GOT_NOTHING, pycurl.E_RECV_ERROR}

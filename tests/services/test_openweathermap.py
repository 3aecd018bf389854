"""Places in, observations out, over real PycURL against a service that can fail in every way."""

import gc
import gzip
import json
import logging
import re
import ssl
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import certifi
import pycurl
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded.exchange import Exchange, Request
from embedded.faults import Fault, answer, empty, reset, stall, truncate
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.deadline import Deadline
from ingest.errors import (
    AccessError,
    BlockedError,
    IngestError,
    Interrupted,
    ReplyError,
    WeatherError,
)
from ingest.observation import DEFAULT_MEASURES, Observation
from ingest.openweathermap import curl as curl_handle
from ingest.openweathermap.client import Failure, WeatherClient
from ingest.openweathermap.retry import ATTEMPTS, MAX_BODY_BYTES
from ingest.places import parse_place
from tests.conftest import API_KEY

NOW_MS = 1_700_000_000_000
OPENRESTY_HTML = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>openresty</center>\r\n"
)
# For what must not end by its time limit: if it does all the same, the message shows it.
NEVER_S = 60.0
SHORT_S = 0.4


@dataclass
class Asker:
    """A WeatherClient for one URL, and how often it paused: one less than its attempts."""

    url: str
    options: dict[str, Any] = field(default_factory=dict)
    pauses: int = 0

    def client(self) -> WeatherClient:
        return WeatherClient(
            **{
                "url": self.url,
                "api_key": API_KEY,
                "units": "metric",
                "measures": DEFAULT_MEASURES,
                "timeout_s": NEVER_S,
                "deadline": Deadline(NEVER_S),
                "now_ms": lambda: NOW_MS,
                "jitter": self._no_pause,
                **self.options,
            }
        )

    def fetch(self, *places: str) -> list[Observation | Failure]:
        return list(self.client().fetch([parse_place(place) for place in places]))

    def observation(self, place: str = "London,GB") -> Observation:
        (result,) = self.fetch(place)
        assert isinstance(result, Observation), result
        return result

    def error(self, place: str = "London,GB") -> IngestError:
        (result,) = self.fetch(place)
        assert isinstance(result, Failure), result
        return result.error

    def _no_pause(self) -> float:
        self.pauses += 1
        return 0.0


def asker(service: EmbeddedOpenWeatherMap, **options: object) -> Asker:
    return Asker(service.url, options)


@dataclass
class Raw(Fault):
    """These bytes, HTTP or not, and the end of the connection."""

    sent: bytes

    def play(self, exchange: Exchange) -> bool:
        exchange.send_bytes(self.sent)
        return False


class Drip(Fault):
    """A reply of believable length that comes a byte at a time."""

    def play(self, exchange: Exchange) -> bool:
        exchange.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        while True:
            exchange.send_bytes(b" ")
            exchange.wait(0.05)


@dataclass
class Noted(Fault):
    """The normal answer; notes the client's port, and can hold it until another request is here."""

    ports: list[int] = field(default_factory=list)
    together: threading.Barrier | None = None

    def play(self, exchange: Exchange) -> bool:
        self.ports.append(exchange._connection.getpeername()[1])
        if self.together:
            self.together.wait(NEVER_S)
        exchange.send(exchange.work())
        return True


def by_city(faults: dict[str, Fault]) -> Callable[[Request], Fault | None]:
    return lambda request: faults.get(request.query.get("q", ""))


def curl_code(error: IngestError) -> int:
    """The code of libcurl that the error names; 0 if it is of something else."""
    found = re.search(r"\(curl (\d+)\)", error.what)
    return int(found[1]) if found else 0


def chunked(*chunks: bytes) -> bytes:
    parts = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts


# What is asked and what comes back


@pytest.mark.parametrize(
    ("place", "query", "identity"),
    [
        ("London,GB", {"q": "London,GB"}, ("London", "GB", 2643743)),
        ("London,CA", {"q": "London,CA"}, ("London", "CA", 6058560)),
        ("Zürich,CH", {"q": "Zürich,CH"}, ("Zürich", "CH", 2657896)),
        ("New York,US", {"q": "New York,US"}, ("New York", "US", 5128581)),
        ("2643743", {"id": "2643743"}, ("London", "GB", 2643743)),
        ("51.5085,-0.1257", {"lat": "51.5085", "lon": "-0.1257"}, ("", "", 0)),
        ("zip:SW1A,GB", {"zip": "SW1A,GB"}, ("Postal area SW1A", "GB", 0)),
    ],
)
def test_each_form_of_a_place_is_asked_for_in_its_own_way(
    weather: EmbeddedOpenWeatherMap,
    place: str,
    query: dict[str, str],
    identity: tuple[str, str, int],
) -> None:
    observation = asker(weather).observation(place)
    assert (observation.city, observation.country, observation.city_id) == identity
    assert observation.place == parse_place(place)
    (request,) = weather.requests
    assert request.method == "GET"
    assert dict(request.query) == {**query, "units": "metric", "appid": API_KEY}


def test_an_observation_holds_the_values_time_and_version(weather: EmbeddedOpenWeatherMap) -> None:
    weather.set_weather(
        "London,GB", dt=1604870976, temp=11.0, feels_like=9.53, humidity=93, pressure=1016
    )
    assert asker(weather).observation() == Observation(
        place=parse_place("London,GB"),
        city="London",
        country="GB",
        city_id=2643743,
        time_ms=1604870976000,
        version=NOW_MS,
        values={
            "CurrentTemp": "11",
            "TempFeelsLike": "9.53",
            "Humidity": "93",
            "Pressure": "1016",
        },
        units="metric",
        utc_offset_s=0,
    )


def test_units_and_measures_are_the_asked_ones(weather: EmbeddedOpenWeatherMap) -> None:
    observation = asker(weather, units="imperial", measures=("WindSpeed",)).observation()
    assert list(observation.values) == ["WindSpeed"]
    assert observation.units == "imperial"
    assert weather.requests[0].query["units"] == "imperial"


def test_no_compressed_reply_is_asked_for(weather: EmbeddedOpenWeatherMap) -> None:
    asker(weather).observation()
    headers = weather.requests[0].headers
    assert "accept-encoding" not in headers
    assert headers["accept"] == "application/json"


def test_no_place_is_no_request(weather: EmbeddedOpenWeatherMap) -> None:
    assert asker(weather).fetch() == []
    assert weather.requests == []


# HTTP statuses


def test_a_refused_key_ends_all_places_after_one_request(weather: EmbeddedOpenWeatherMap) -> None:
    results = asker(weather, api_key="wrong", concurrency=1).fetch(
        "London,GB", "Paris,FR", "2643743"
    )
    assert weather.count("weather") == 1
    assert {result.place.name for result in results} == {"London,GB", "Paris,FR", "2643743"}
    for result in results:
        assert isinstance(result, Failure)
        assert isinstance(result.error, AccessError)


def test_a_refused_key_gives_each_place_one_failure_also_with_others_in_flight(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    places = [str(9_000_000 + number) for number in range(20)]
    results = asker(weather, api_key="wrong", concurrency=8).fetch(*places)
    assert sorted(result.place.name for result in results) == places
    assert all(isinstance(result, Failure) for result in results)


def test_a_status_that_asking_again_cannot_change_is_asked_for_once(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    kinds = {}
    for status in (204, 400, 403, 404, 418, 429):
        weather.forget_requests()
        weather.plan.always("weather", answer(status))
        kinds[status] = (asker(weather).error().kind, weather.count("weather"))
    refused = dict.fromkeys((204, 400, 403, 418), ("refused", 1))
    assert kinds == {**refused, 404: ("not found", 1), 429: ("blocked", 1)}


def test_an_unknown_city_is_named_as_such_by_the_service_itself(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    error = asker(weather).error("Nowhereville,GB")
    assert error.kind == "not found"
    assert "city not found" in error.what


def test_a_service_out_of_order_is_asked_four_times_and_its_page_is_not_shown(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    attempts = {}
    for status in (500, 502, 503, 504):
        weather.forget_requests()
        page = answer(status, OPENRESTY_HTML, {"Content-Type": "text/html"})
        weather.plan.always("weather", page)
        error = asker(weather).error()
        assert str(status) in error.what
        assert "html" not in str(error)
        attempts[status] = (error.kind, weather.count("weather"))
    assert attempts == dict.fromkeys((500, 502, 503, 504), ("server error", ATTEMPTS))
    assert ATTEMPTS == 4


def test_the_third_attempt_can_succeed(weather: EmbeddedOpenWeatherMap) -> None:
    weather.plan.next("weather", answer(502, OPENRESTY_HTML), answer(503))
    assert asker(weather).observation().city == "London"
    assert weather.count("weather") == 3


def test_a_429_among_retries_ends_them(weather: EmbeddedOpenWeatherMap) -> None:
    weather.plan.next("weather", answer(500), answer(429))
    assert isinstance(asker(weather).error(), BlockedError)
    assert weather.count("weather") == 2


def test_a_redirect_is_not_followed(weather: EmbeddedOpenWeatherMap) -> None:
    kinds = {}
    with EmbeddedOpenWeatherMap(api_key=API_KEY) as target:
        for status in (301, 302, 303, 307, 308):
            weather.forget_requests()
            weather.plan.always("weather", answer(status, b"", {"Location": target.url}))
            kinds[status] = (asker(weather).error().kind, weather.count("weather"))
        assert target.requests == []
    assert kinds == dict.fromkeys((301, 302, 303, 307, 308), ("refused", 1))


# HTTP 200 with an error in the body


def test_an_error_in_a_body_of_status_200_is_classified_by_its_cod(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    expected = {
        b'{"cod":"404","message":"city not found"}': (WeatherError, "not found", 1),
        b'{"message":"","cod":"404"}': (WeatherError, "not found", 1),
        b'{"error":"404"}': (WeatherError, "not found", 1),
        b'{"cod":401,"message":"Invalid API key."}': (AccessError, "key refused", 1),
        b'{"cod":429,"message":"blocked"}': (BlockedError, "blocked", 1),
        b'{"cod":"400","message":"Nothing to geocode"}': (WeatherError, "refused", 1),
        b'{"cod":"500","message":"Internal error"}': (WeatherError, "server error", 4),
        b'{"cod":"oops","message":"what"}': (ReplyError, "unusable reply", 1),
        b'{"cod":"200"}': (ReplyError, "unusable reply", 1),
        b"": (ReplyError, "unusable reply", 1),
        b"<html>captive portal</html>": (ReplyError, "unusable reply", 1),
        b"\xff\xfe": (ReplyError, "unusable reply", 1),
    }
    got = {}
    for body in expected:
        weather.forget_requests()
        weather.plan.always("weather", answer(200, body))
        error = asker(weather).error()
        got[body] = (type(error), error.kind, weather.count("weather"))
    assert got == expected


# The network


def test_a_broken_exchange_is_tried_four_times_and_reported_with_libcurls_code(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    broken_chunk = Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    faults: dict[str, tuple[Fault, int]] = {
        "reset": (reset(), 56),
        "empty": (empty(), 52),
        "truncated": (truncate(), 18),
        "no body": (truncate(0), 18),
        "ssh": (Raw(b"SSH-2.0-OpenSSH_9\r\n"), 8),
        "garbage": (Raw(b"\0\1garbage\r\n\r\n"), 8),
        "no status": (Raw(b"HTTP/1.1 x\r\n\r\n"), 8),
        "broken chunk": (broken_chunk, 56),
    }
    got = {}
    for name, (fault, _) in faults.items():
        weather.forget_requests()
        weather.plan.always("weather", fault)
        asking = asker(weather)
        error = asking.error()
        assert "127.0.0.1" in error.what
        got[name] = (error.kind, curl_code(error), weather.count("weather"), asking.pauses)
    assert got == {name: ("network error", code, 4, 3) for name, (_, code) in faults.items()}


@pytest.mark.parametrize("fault", [stall(), Drip()], ids=["stall", "drip"])
def test_a_server_that_does_not_finish_is_tried_four_times_within_the_requests_limit(
    weather: EmbeddedOpenWeatherMap, fault: Fault
) -> None:
    weather.plan.always("weather", fault)
    asking = asker(weather, timeout_s=SHORT_S)
    assert asking.error().kind == "time-out"
    assert asking.pauses == 3


def test_a_refused_connection_is_tried_four_times() -> None:
    with EmbeddedOpenWeatherMap() as gone:
        url = gone.url
    asking = Asker(url)
    assert curl_code(asking.error()) == pycurl.E_COULDNT_CONNECT
    assert asking.pauses == 3


def test_a_name_that_does_not_resolve_is_tried_four_times() -> None:
    asking = Asker("http://weather.invalid/data/2.5/weather")
    error = asking.error()
    assert curl_code(error) == pycurl.E_COULDNT_RESOLVE_HOST
    assert "weather.invalid" in error.what
    assert asking.pauses == 3


def test_a_broken_exchange_is_recovered_from(weather: EmbeddedOpenWeatherMap) -> None:
    weather.plan.next("weather", reset(), truncate(), empty())
    assert asker(weather).observation().city == "London"
    assert weather.count("weather") == 4


def test_what_a_broken_reply_had_is_not_part_of_the_next_one(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    weather.plan.next("weather", truncate(40))
    assert asker(weather).observation().city_id == 2643743


def test_a_pause_is_waited_for(weather: EmbeddedOpenWeatherMap) -> None:
    weather.plan.next("weather", answer(500))
    assert asker(weather, jitter=lambda: 0.01).observation().city == "London"


# The end of the run's time


@pytest.mark.parametrize("fault", [stall(), Drip()], ids=["stall", "drip"])
def test_the_deadline_ends_a_server_that_does_not_finish(
    weather: EmbeddedOpenWeatherMap, fault: Fault
) -> None:
    weather.plan.always("weather", fault)
    results = asker(weather, deadline=Deadline(SHORT_S), concurrency=1).fetch(
        "London,GB", "Paris,FR"
    )
    assert len(results) == 2
    for result in results:
        assert isinstance(result, Failure)
        assert result.error.kind == "out of time"
    assert {r.place.name: r.asked for r in results if isinstance(r, Failure)} == {
        "London,GB": True,
        "Paris,FR": False,
    }
    assert weather.count("weather") == 1


def test_a_request_whose_limit_is_the_deadline_blames_the_deadline(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    weather.plan.always("weather", stall())
    error = asker(weather, deadline=Deadline(SHORT_S), jitter=lambda: 0.99).error()
    assert error.kind == "out of time"


def test_a_signal_ends_a_stalled_request_as_an_interruption(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    deadline = Deadline(NEVER_S)

    def stop(_: Request) -> Fault:
        deadline.stop("SIGTERM")
        return stall()

    weather.plan.when("weather", stop)
    assert isinstance(asker(weather, deadline=deadline).error(), Interrupted)


def test_no_attempt_is_waited_for_that_the_deadline_leaves_no_time_for(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    weather.plan.always("weather", answer(500))
    deadline = Deadline(10, clock=lambda: 0.0)
    longest_pause_s = 1.0
    deadline.seconds = longest_pause_s / 2
    error = asker(weather, deadline=deadline, jitter=lambda: 0.99).error()
    assert error.kind == "server error"
    assert weather.count("weather") == 1


def test_nothing_is_asked_after_the_deadline(weather: EmbeddedOpenWeatherMap) -> None:
    deadline = Deadline(NEVER_S)
    deadline.stop("SIGINT")
    assert isinstance(asker(weather, deadline=deadline).error(), Interrupted)
    assert weather.requests == []


# Closing a CurlMulti waits for a name lookup that was left, however long that takes.


class WatchedMulti(pycurl.CurlMulti):  # type: ignore[misc]  # it has no stubs
    """Knows whether it was closed, or freed, which has the same effect."""

    closed = False
    made: ClassVar[list[weakref.ref[pycurl.CurlMulti]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.made.append(weakref.ref(self))

    def close(self) -> None:
        self.closed = True
        super().close()


@pytest.mark.parametrize("limited_by", ["time-out", "deadline"])
def test_what_was_left_without_an_answer_is_never_waited_for(
    weather: EmbeddedOpenWeatherMap, monkeypatch: pytest.MonkeyPatch, limited_by: str
) -> None:
    monkeypatch.setattr(pycurl, "CurlMulti", WatchedMulti)
    weather.plan.always("weather", stall())
    limit = {"timeout_s": SHORT_S} if limited_by == "time-out" else {"deadline": Deadline(SHORT_S)}
    assert isinstance(asker(weather, **limit).error(), WeatherError)
    gc.collect()
    multi = WatchedMulti.made.pop()()
    assert isinstance(multi, WatchedMulti)
    assert not multi.closed


def test_a_pass_that_had_its_answers_closes_its_connections(
    weather: EmbeddedOpenWeatherMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pycurl, "CurlMulti", WatchedMulti)
    assert asker(weather).observation()
    gc.collect()
    multi = WatchedMulti.made.pop()()
    assert multi is None or (isinstance(multi, WatchedMulti) and multi.closed)


# Bodies that are too large


def whole_reply(size: int) -> bytes:
    """A right reply, padded with white space."""
    reply = {"dt": 1604870976, "name": "London", "main": {"temp": 9.5}}
    return json.dumps(reply).encode().ljust(size)


def test_the_largest_body_allowed_is_read(weather: EmbeddedOpenWeatherMap) -> None:
    weather.set_reply("London,GB", whole_reply(MAX_BODY_BYTES))
    assert asker(weather).observation().values == {"CurrentTemp": "9.5"}


def test_a_body_that_is_too_large_is_refused_and_not_asked_for_again(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    zipped = answer(200, b"\x1f\x8b" * MAX_BODY_BYTES, {"Content-Encoding": "gzip"})
    faults = {
        "announced": answer(200, whole_reply(MAX_BODY_BYTES + 1)),
        "chunked": Raw(chunked(*[b" " * 65536] * 5)),
        "to the end": Raw(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2 * MAX_BODY_BYTES),
        "gzip": zipped,
        "error page": answer(500, b" " * (MAX_BODY_BYTES + 1)),
    }
    too_large = (pycurl.E_WRITE_ERROR, pycurl.E_FILESIZE_EXCEEDED)  # libcurl's releases differ
    got = {}
    for name, fault in faults.items():
        weather.forget_requests()
        weather.plan.always("weather", fault)
        got[name] = (curl_code(asker(weather).error()) in too_large, weather.count("weather"))
    assert got == dict.fromkeys(faults, (True, 1))


def test_a_gzip_bomb_is_not_unpacked(weather: EmbeddedOpenWeatherMap) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < MAX_BODY_BYTES
    weather.plan.always("weather", answer(200, bomb, {"Content-Encoding": "gzip"}))
    assert isinstance(asker(weather).error(), ReplyError)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA) -> Iterator[str]:
    with authority.cert_pem.tempfile() as path:
        yield path


def tls_service(authority: trustme.CA, host: str) -> EmbeddedOpenWeatherMap:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return EmbeddedOpenWeatherMap(api_key=API_KEY, tls=context)


def test_a_certificate_of_an_unknown_authority_is_refused_before_the_key_is_sent(
    authority: trustme.CA,
) -> None:
    with tls_service(authority, "localhost") as service:
        asking = asker(service)
        assert curl_code(asking.error()) == 60
        assert service.requests == []
    assert asking.pauses == 0


def test_a_certificate_of_another_host_is_refused_before_the_key_is_sent(
    authority: trustme.CA, ca_file: str
) -> None:
    with tls_service(authority, "example.org") as service:
        assert curl_code(asker(service, ca_file=ca_file).error()) == 60
        assert service.requests == []


def test_a_certificate_of_this_host_by_a_known_authority_is_accepted(
    authority: trustme.CA, ca_file: str
) -> None:
    with tls_service(authority, "localhost") as service:
        assert asker(service, ca_file=ca_file).observation().city == "London"


def test_the_authorities_are_those_of_certifi(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: ca_file)
    with tls_service(authority, "localhost") as service:
        assert asker(service).observation().city == "London"


def test_the_environment_cannot_name_other_authorities(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, ca_file)
    with tls_service(authority, "localhost") as service:
        assert curl_code(asker(service).error()) == 60


def test_a_server_without_tls_gets_no_key_over_https(weather: EmbeddedOpenWeatherMap) -> None:
    asking = Asker(weather.url.replace("http:", "https:"))
    assert curl_code(asking.error()) == pycurl.E_SSL_CONNECT_ERROR
    assert asking.pauses == 3
    assert weather.requests == []


def test_a_bundle_of_authorities_that_cannot_be_read_is_named(
    authority: trustme.CA, tmp_path: Any
) -> None:
    with tls_service(authority, "localhost") as service:
        error = asker(service, ca_file=str(tmp_path / "none.pem")).error()
    assert curl_code(error) == pycurl.E_SSL_CACERT_BADFILE


# Other protocols, and proxies


def test_no_protocol_but_http_and_https_is_spoken(tmp_path: Any) -> None:
    reply = tmp_path / "weather"
    reply.write_bytes(whole_reply(200))
    got = {}
    for scheme in ("file", "ftp", "gopher", "dict", "smtp", "scp"):
        asking = Asker(f"{scheme}://localhost{reply}")
        got[scheme] = (curl_code(asking.error()), asking.pauses)
    assert got == dict.fromkeys(got, (pycurl.E_UNSUPPORTED_PROTOCOL, 0))


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_no_proxy_of_the_environment_takes_the_key_off_this_machine(
    weather: EmbeddedOpenWeatherMap, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with EmbeddedOpenWeatherMap(api_key=API_KEY) as proxy:
        monkeypatch.setenv(variable, proxy.address)
        assert asker(weather).observation().city == "London"
        assert proxy.requests == []


# The key


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(401, b'{"cod":401,"message":"Invalid API key."}'), id="401"),
        pytest.param(answer(404, b'{"cod":"404"}'), id="404"),
        pytest.param(answer(502, OPENRESTY_HTML), id="502"),
        pytest.param(answer(302, b"", {"Location": "http://127.0.0.1:1/"}), id="302"),
        pytest.param(answer(200, b"{"), id="no JSON"),
        pytest.param(answer(200, b" " * (MAX_BODY_BYTES + 1)), id="too large"),
        pytest.param(reset(), id="reset"),
        pytest.param(Raw(b"garbage\r\n"), id="garbage"),
        pytest.param(None, id="success"),
    ],
)
def test_the_key_is_in_no_error_log_repr_or_output(
    weather: EmbeddedOpenWeatherMap,
    fault: Fault | None,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    if fault is not None:
        weather.plan.always("weather", fault)
    client = asker(weather).client()
    results = list(client.fetch([parse_place("London,GB")]))
    shown = [repr(client), repr(results), caplog.text, *capfd.readouterr()]
    for result in results:
        if isinstance(result, Failure):
            shown += [str(result.error), *traceback.format_exception(result.error)]
    assert weather.requests[0].query["appid"] == API_KEY
    assert API_KEY not in "\n".join(shown)


def test_a_retry_is_logged_with_its_place_and_reason(
    weather: EmbeddedOpenWeatherMap, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="ingest_weather")
    weather.plan.next("weather", answer(503))
    asker(weather).observation()
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert {"London,GB:", "503"} <= set(record.getMessage().split())


class Kept(logging.Logger):
    """Keeps its records, and passes them on to nobody."""

    def __init__(self) -> None:
        super().__init__("kept")
        self.records: list[logging.LogRecord] = []
        self.warned = threading.Event()

    def handle(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if record.levelno == logging.WARNING:
            self.warned.set()


def test_a_client_logs_to_the_logger_that_it_was_given(
    weather: EmbeddedOpenWeatherMap, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    log = Kept()
    weather.plan.next("weather", answer(503), answer(429))
    asking = asker(weather, log=log, concurrency=1, block_pause_s=0.01)
    results = asking.fetch("London,GB", "Paris,FR")
    assert all(isinstance(result, Observation) for result in results)
    assert [record.levelno for record in log.records] == [logging.DEBUG, logging.WARNING]
    assert caplog.records == []


# Several places


def test_one_bad_place_does_not_stop_the_others(weather: EmbeddedOpenWeatherMap) -> None:
    results = asker(weather).fetch("London,GB", "Nowhereville,GB", "Paris,FR")
    assert {r.city for r in results if isinstance(r, Observation)} == {"London", "Paris"}
    assert [r.place.name for r in results if isinstance(r, Failure)] == ["Nowhereville,GB"]


def test_a_stalled_place_delays_no_other(weather: EmbeddedOpenWeatherMap) -> None:
    weather.plan.when("weather", by_city({"London,GB": stall()}))
    places = [parse_place(place) for place in ("London,GB", "Paris,FR", "Berlin,DE")]
    results = asker(weather, concurrency=2).client().fetch(places)
    arrived = {result.place.name for result in (next(results), next(results))}
    assert arrived == {"Paris,FR", "Berlin,DE"}


def test_after_a_block_one_success_is_enough_to_ask_for_two_at_once(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    blocked, under_way, *last_two = places = [str(9_000_000 + number) for number in range(4)]
    first, log, both = iter([answer(429)]), Kept(), threading.Barrier(2)

    def choose(request: Request) -> Fault | None:
        place = request.query["id"]
        if place == blocked:
            return next(first, None)
        if place == under_way:  # it says nothing of the block
            assert log.warned.wait(NEVER_S)
        if place in last_two:
            both.wait(NEVER_S)
        return None

    weather.plan.when("weather", choose)
    results = asker(weather, concurrency=2, block_pause_s=0.01, log=log).fetch(*places)
    assert all(isinstance(result, Observation) for result in results)
    assert len(results) == 4


def test_places_beyond_the_concurrency_wait_their_turn(weather: EmbeddedOpenWeatherMap) -> None:
    # Each request is held until a second one is here, so both connections are busy throughout:
    # a third request at the same time would come over a third connection.
    noted = Noted(together=threading.Barrier(2))
    weather.plan.always("weather", noted)
    places = [str(9_000_000 + number) for number in range(10)]
    results = asker(weather, concurrency=2).fetch(*places)
    assert sorted(result.place.name for result in results) == places
    assert len(noted.ports) == 10
    assert len(set(noted.ports)) == 2


def test_one_connection_serves_one_request_after_the_other(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    noted = Noted()
    weather.plan.next("weather", noted, answer(503), *[noted] * 3)
    asker(weather, concurrency=1).fetch("London,GB", "Paris,FR", "Berlin,DE", "Madrid,ES")
    assert len(noted.ports) == 4
    assert len(set(noted.ports)) == 1


def test_a_place_asked_for_twice_is_answered_twice(weather: EmbeddedOpenWeatherMap) -> None:
    assert len(asker(weather).fetch("London,GB", "London,GB")) == 2


def test_leaving_the_results_early_closes_what_is_open(weather: EmbeddedOpenWeatherMap) -> None:
    places = [parse_place(place) for place in ("London,GB", "Paris,FR", "Berlin,DE")]
    results = asker(weather, concurrency=1).client().fetch(places)
    next(results)
    results.close()  # type: ignore[attr-defined]  # an iterator to its users
    assert next(results, None) is None
    assert weather.count("weather") <= 2


def test_a_kept_connection_that_has_died_costs_no_attempt(
    weather: EmbeddedOpenWeatherMap,
) -> None:
    weather.plan.next("weather", Noted(), reset())
    asking = asker(weather, concurrency=1)
    results = asking.fetch("London,GB", "Paris,FR")
    assert all(isinstance(result, Observation) for result in results)
    assert (weather.count("weather"), asking.pauses) == (3, 0)


# No reset: if a kept connection has died, libcurl asks once more by itself over a new one.
FAULTS = {
    "fine": None,
    "out of order": answer(503),
    "cut": truncate(),
    "unknown": answer(404, b'{"cod":"404","message":"city not found"}'),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(sorted(FAULTS)), max_size=5), max_size=6),
    st.integers(min_value=1, max_value=4),
)
def test_each_place_has_exactly_one_result_whatever_fails(
    troubles: list[list[str]], concurrency: int
) -> None:
    left = {str(9_000_000 + number): list(trouble) for number, trouble in enumerate(troubles)}
    expected = {}
    for place, trouble in left.items():
        decisive = next((t for t in trouble[:ATTEMPTS] if t in ("fine", "unknown")), None)
        ended_by = decisive or ("fine" if len(trouble) < ATTEMPTS else "failed")
        expected[place] = ended_by == "fine"

    def choose(request: Request) -> Fault | None:
        trouble = left[request.query["id"]]
        return FAULTS[trouble.pop(0)] if trouble else None

    with EmbeddedOpenWeatherMap(api_key=API_KEY) as service:
        service.plan.when("weather", choose)
        results = asker(service, concurrency=concurrency).fetch(*left)
    assert len(results) == len(left)
    outcome = {result.place.name: isinstance(result, Observation) for result in results}
    assert outcome == expected


# libcurl's codes


def curl_codes() -> dict[str, int]:
    """All codes of a single transfer that this PycURL knows by name."""
    outside = ("E_MULTI_", "E_OK", "E_CALL_MULTI_PERFORM", "E_ALREADY_COMPLETE")
    return {
        name: getattr(pycurl, name)
        for name in dir(pycurl)
        if name.startswith("E_") and not name.startswith(outside)
    }


def test_every_code_of_libcurl_is_classified() -> None:
    unclassified = {
        name: code for name, code in curl_codes().items() if code not in curl_handle.CURL_ERRORS
    }
    assert curl_codes()
    assert unclassified == {}


def test_every_code_of_libcurl_is_named_with_its_host() -> None:
    host = "api.openweathermap.org"
    unnamed = [
        code
        for code in sorted(set(curl_codes().values()))
        for error in [curl_handle.curl_error(code, f"https://{host}/", host)]
        if host not in error.what or curl_code(error) != (8 if code == 1 else code)
    ]
    assert unnamed == []


def test_codes_that_pycurl_has_no_names_for_are_retried_if_that_can_help() -> None:
    host = "api.openweathermap.org"
    got = {}
    for code in (92, 95, 96, 97, 99, 100, 4711):
        error = curl_handle.curl_error(code, f"https://{host}/", host)
        assert (curl_code(error), bool(error.advice)) == (code, not error.permanent)
        got[code] = error.permanent
    assert got == {**dict.fromkeys((92, 95, 96, 97, 99), False), 100: True, 4711: True}
    assert got.keys() - curl_handle.CURL_ERRORS.keys() == {4711}, "newer than this program"

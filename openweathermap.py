"""Places in, observations out: the Current Weather API over PycURL. The only module that has it.

The key travels in the query, for the API takes it nowhere else. So no URL is ever shown, VERBOSE
stays off, and redirects are not followed.
Source of statuses and error bodies: OpenWeatherMap, Current weather data and FAQ.
"""

import heapq
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import certifi
import pycurl

from deadline import SLICE_S, Deadline
from errors import AccessError, IngestError, Interrupted, ReplyError, WeatherError
from logs import log
from weather import Observation, Place, error_message, parse_reply

ATTEMPTS = 4

# Full jitter: before attempt n+1 a pause of up to 0.5 s * 2**n, at most 8 s.
BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 8.0

# Real replies are about 500 bytes.
MAX_BODY_BYTES = 256 * 1024

CONNECT_TIMEOUT_S = 5.0


class CurlError(NamedTuple):
    """What a code of libcurl means here. permanent: asking again at once is of no use."""

    sentence: str
    permanent: bool


_RETRY = "Nothing to do if it passes; else check the network, and OpenWeatherMap's status."
_CURL_ERRORS = {
    1: CurlError("the protocol of OPENWEATHERMAP_URL is not allowed here", permanent=True),
    3: CurlError("OPENWEATHERMAP_URL is malformed", permanent=True),
    4: CurlError(
        "this libcurl lacks a feature that is needed; install pycurl anew", permanent=True
    ),
    5: CurlError("the proxy's name could not be resolved. Check https_proxy", permanent=False),
    6: CurlError(f"the host name could not be resolved. {_RETRY}", permanent=False),
    7: CurlError(f"the connection was refused or found no way. {_RETRY}", permanent=False),
    8: CurlError("what answers does not speak HTTP", permanent=False),
    16: CurlError("the HTTP/2 connection failed", permanent=False),
    18: CurlError("the reply ended before its announced length", permanent=False),
    23: CurlError("the reply is larger than any weather is; it was cut off", permanent=True),
    27: CurlError("this machine is out of memory", permanent=False),
    28: CurlError(
        "no complete reply came within the time limit (WEATHER_TIMEOUT_SECONDS)", permanent=False
    ),
    35: CurlError("the TLS handshake failed. Check for a proxy that opens TLS", permanent=False),
    47: CurlError("the server redirects, which is not followed", permanent=True),
    52: CurlError("the server closed the connection without a reply", permanent=False),
    55: CurlError(f"the request could not be sent. {_RETRY}", permanent=False),
    56: CurlError("the connection broke while the reply was read", permanent=False),
    58: CurlError("the local TLS certificate is unusable", permanent=True),
    59: CurlError("the server offers no acceptable TLS cipher", permanent=True),
    60: CurlError(
        "the server's certificate is not valid for this host, or not signed by an authority of "
        "certifi's bundle. The key was not sent. Check for a proxy that opens TLS, and the clock",
        permanent=True,
    ),
    61: CurlError("the reply's content encoding is broken", permanent=False),
    63: CurlError("the reply is larger than any weather is; it was refused", permanent=True),
    77: CurlError(
        "certifi's bundle of authorities cannot be read; install certifi", permanent=True
    ),
    90: CurlError("the server's public key is not the pinned one", permanent=True),
    91: CurlError("the server's certificate status is invalid", permanent=True),
}
# Broken by the moment: TLS engine and shutdown, a socket not ready.
_PASSING = CurlError(f"the connection failed. {_RETRY}", permanent=False)
_CURL_ERRORS |= dict.fromkeys((2, 53, 54, 64, 65, 66, 80, 81, 89), _PASSING)
# Files, logins and callbacks, none of which is used.
_UNFORESEEN = CurlError("libcurl failed in a way that was not foreseen", permanent=True)
_CURL_ERRORS |= dict.fromkeys((21, 22, *range(24, 27), 33, 34, 36, 37), _UNFORESEEN)
_CURL_ERRORS |= dict.fromkeys((*range(40, 47), 48, 57, 67, 75, 76, 78, 82, 83, 88), _UNFORESEEN)
# FTP, LDAP, Telnet, TFTP, SSH and RTSP.
_SWITCHED_OFF = CurlError("libcurl used a protocol that is switched off", permanent=True)
_CURL_ERRORS |= dict.fromkeys((*range(9, 16), 17, 19, 20, *range(29, 33), 38, 39), _SWITCHED_OFF)
_CURL_ERRORS |= dict.fromkeys((49, 62, *range(68, 75), 79, *range(84, 88)), _SWITCHED_OFF)


@dataclass(frozen=True, slots=True)
class Failure:
    """A place whose weather could not be had, and why."""

    place: Place
    error: IngestError


class _Try:
    """One place on its way: how often it was asked for, and the reply as it comes in."""

    __slots__ = ("attempt", "body", "place", "version")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.attempt = 0
        self.body = bytearray()
        self.version = 0

    def receive(self, data: bytes) -> int | None:
        if len(self.body) + len(data) > MAX_BODY_BYTES:
            return -1  # libcurl ends the transfer with code 23
        self.body += data
        return None


class WeatherClient:
    """Asks for the weather of places, several at once, each with its own retries.

    timeout_s: time limit for one request from its start to the last byte of its reply.
    now_ms: the wall clock in epoch milliseconds, for the versions of observations.
    jitter: a number in [0, 1).
    ca_file: authorities in PEM; certifi's where None.
    """

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        units: str,
        measures: tuple[str, ...],
        timeout_s: float,
        deadline: Deadline,
        concurrency: int = 32,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        jitter: Callable[[], float] = random.random,
        ca_file: str | None = None,
    ) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""
        self._api_key = api_key
        self._units = units
        self._measures = measures
        self._timeout_s = timeout_s
        self._deadline = deadline
        self._concurrency = concurrency
        self._now_ms = now_ms
        self._jitter = jitter
        self._ca_file = ca_file or certifi.where()

    def fetch(self, places: Iterable[Place]) -> Iterator[Observation | Failure]:
        """Yield one result a place, in the order they arrive.

        A place that fails delays no other. An AccessError ends all: the key is the same for each.
        """
        run = _Run(self, places)
        try:
            yield from run.results()
        finally:
            run.close()

    def new_handle(self) -> pycurl.Curl:
        """A handle with all options but the URL and where the reply goes."""
        curl = pycurl.Curl()
        is_plain = self._url.startswith("http:")
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP if is_plain else pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.CAINFO, self._ca_file)
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        curl.setopt(pycurl.MAXFILESIZE, MAX_BODY_BYTES)
        curl.setopt(pycurl.NOSIGNAL, 1)
        # The deadline is looked at in `_Run`: here it would hide which of the two ended a request.
        timeout_ms = max(1, int(self._timeout_s * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, timeout_ms)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, min(int(CONNECT_TIMEOUT_S * 1000), timeout_ms))
        curl.setopt(pycurl.USERAGENT, "ingest-weather")
        curl.setopt(pycurl.HTTPHEADER, ["Accept: application/json"])
        if is_plain:
            curl.setopt(pycurl.PROXY, "")  # http_proxy would take the key off this machine
        return curl

    def aim(self, curl: pycurl.Curl, attempt: _Try) -> None:
        """Point a handle at a place, for its next attempt."""
        attempt.attempt += 1
        attempt.body = bytearray()
        query = urlencode((*attempt.place.query, ("units", self._units), ("appid", self._api_key)))
        curl.setopt(pycurl.URL, f"{self._url}?{query}")
        curl.setopt(pycurl.WRITEFUNCTION, attempt.receive)

    def read(self, attempt: _Try, status: int) -> Observation:
        """The observation in a complete reply. Raises WeatherError or AccessError."""
        body = bytes(attempt.body)
        if status != 200:
            raise _status_error(status, body)
        try:
            return parse_reply(body, attempt.place, self._measures, self._now_ms())
        except ReplyError as error:
            if error.cod:
                raise _status_error(error.cod, body) from error
            raise

    def pause_s(self, attempt: int) -> float:
        """How long to wait before the next attempt."""
        longest_s: float = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt)
        return self._jitter() * longest_s

    @property
    def concurrency(self) -> int:
        return self._concurrency

    @property
    def deadline(self) -> Deadline:
        return self._deadline

    def curl_error(self, code: int) -> WeatherError:
        if code == pycurl.E_UNSUPPORTED_PROTOCOL and self._url.startswith(("http:", "https:")):
            code = pycurl.E_FTP_WEIRD_SERVER_REPLY  # libcurl's other code for what is not HTTP
        error = _CURL_ERRORS.get(code, CurlError("libcurl failed", permanent=True))
        return WeatherError(
            f"asking {self._host} failed: {error.sentence} (curl {code}).",
            permanent=error.permanent,
        )


def _status_error(status: int, body: bytes) -> IngestError:
    """What an HTTP status of OpenWeatherMap, or the same as `cod` in a body, means."""
    try:
        message = error_message(json.loads(body))
    except (ValueError, RecursionError):
        message = "no JSON" if body.strip() else "no body"
    what = f"OpenWeatherMap answers {status} ({message})"
    if status == 401:
        return AccessError(
            f"{what}: it does not accept the API key. A new key needs up to two hours until it "
            "works; else put the right one into the secret as OPENWEATHERMAP_API_KEY."
        )
    if status == 404:
        return WeatherError(
            f"{what}: it knows no such place. Look the place up on openweathermap.org and "
            "configure its city id or coordinates.",
            permanent=True,
        )
    if status == 429:
        return WeatherError(
            f"{what}: the account has made more calls than its plan allows and is blocked for a "
            "while. Run less often or for fewer places; asking again at once prolongs it.",
            permanent=True,
        )
    if status >= 500:
        return WeatherError(f"{what}: the service is out of order. {_RETRY}", permanent=False)
    if 300 <= status < 400:
        return WeatherError(
            f"{what}: the server redirects, which is not followed. Check OPENWEATHERMAP_URL.",
            permanent=True,
        )
    return WeatherError(f"{what}: check the place and OPENWEATHERMAP_URL.", permanent=True)


class _Run:
    """One pass over places on one CurlMulti, with reused handles and connections."""

    def __init__(self, client: WeatherClient, places: Iterable[Place]) -> None:
        self._client = client
        self._waiting = deque(_Try(place) for place in places)
        self._later: list[tuple[float, int, _Try]] = []
        self._active: dict[pycurl.Curl, _Try] = {}
        self._multi = pycurl.CurlMulti()
        self._idle = [
            client.new_handle() for _ in range(min(client.concurrency, len(self._waiting)))
        ]

    def close(self) -> None:
        for curl in self._active:
            self._multi.remove_handle(curl)
        for curl in (*self._active, *self._idle):
            curl.close()
        self._multi.close()

    def results(self) -> Iterator[Observation | Failure]:
        while self._waiting or self._later or self._active:
            if self._client.deadline.passed():
                yield from self._give_up(_out_of_time(self._client.deadline))
                return
            self._start()
            for attempt, outcome in self._finished():
                if isinstance(outcome, AccessError):
                    yield Failure(attempt.place, outcome)
                    yield from self._give_up(outcome)
                    return
                if isinstance(outcome, WeatherError) and self._again(attempt, outcome):
                    continue
                if isinstance(outcome, IngestError):
                    yield Failure(attempt.place, outcome)
                else:
                    yield outcome
            self._wait()

    def _start(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._waiting.append(heapq.heappop(self._later)[2])
        while self._waiting and self._idle:
            attempt, curl = self._waiting.popleft(), self._idle.pop()
            self._client.aim(curl, attempt)
            self._active[curl] = attempt
            self._multi.add_handle(curl)

    def _finished(self) -> Iterator[tuple[_Try, Observation | IngestError]]:
        """What has ended since the last look: each with its observation or its error."""
        while self._multi.perform()[0] == pycurl.E_CALL_MULTI_PERFORM:
            pass
        _, succeeded, failed = self._multi.info_read(max(1, len(self._active)))
        for curl in succeeded:
            attempt, status = self._release(curl), curl.getinfo(pycurl.RESPONSE_CODE)
            try:
                yield attempt, self._client.read(attempt, status)
            except IngestError as error:
                yield attempt, error
        for curl, code, _message in failed:
            yield self._release(curl), self._client.curl_error(code)

    def _release(self, curl: pycurl.Curl) -> _Try:
        self._multi.remove_handle(curl)
        self._idle.append(curl)
        return self._active.pop(curl)

    def _again(self, attempt: _Try, error: WeatherError) -> bool:
        """Put a place back in line, if another attempt makes sense and there is time for it."""
        if error.permanent or attempt.attempt >= ATTEMPTS:
            return False
        pause_s = self._client.pause_s(attempt.attempt)
        if pause_s >= self._client.deadline.remaining_s():
            return False
        log.debug(
            "%s: %s Attempt %d of %d in %.1f s.",
            attempt.place.name,
            error,
            attempt.attempt + 1,
            ATTEMPTS,
            pause_s,
        )
        heapq.heappush(self._later, (time.monotonic() + pause_s, id(attempt), attempt))
        return True

    def _give_up(self, error: IngestError) -> Iterator[Failure]:
        left = [*self._active.values(), *self._waiting, *(entry[2] for entry in self._later)]
        yield from (Failure(attempt.place, error) for attempt in left)

    def _wait(self) -> None:
        """Until something can have happened: data, a retry's time, the deadline."""
        wait_s = min(SLICE_S, self._client.deadline.remaining_s())
        if self._later:
            wait_s = min(wait_s, max(0.0, self._later[0][0] - time.monotonic()))
        if not self._active:
            if self._later:
                time.sleep(wait_s)
            return
        timeout_ms = self._multi.timeout()
        if timeout_ms >= 0:
            wait_s = min(wait_s, timeout_ms / 1000)
        self._multi.select(wait_s)


def _out_of_time(deadline: Deadline) -> IngestError:
    """A deadline is the weather's fault here; a signal is nobody's, and stays what it is."""
    error = deadline.error("before its weather came")
    return error if isinstance(error, Interrupted) else WeatherError(str(error), permanent=True)

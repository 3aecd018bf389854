"""Places in, observations out: the Current Weather API over PycURL.

The key travels in the query, because the API takes it nowhere else. So no URL is ever shown,
VERBOSE stays off, and redirects are not followed.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote_plus, urlencode, urlsplit

import pycurl

from ingest.deadline import Deadline, epoch_ms
from ingest.errors import ReplyError, WeatherError
from ingest.observation import Observation
from ingest.openweathermap.api_key import key_forms, without_key
from ingest.openweathermap.curl import curl_error, new_handle
from ingest.openweathermap.fetch_loop import Failure, FetchLoop, Result
from ingest.openweathermap.rate_limit import Rate, Unlimited
from ingest.openweathermap.reply import parse_reply, status_error
from ingest.openweathermap.retry import MAX_BODY_BYTES, Request, Retries
from ingest.places import Place

__all__ = ["Failure", "Result", "WeatherClient"]


class WeatherClient:
    """Asks for the weather of places, several at once, each with its own retries.

    timeout_s: time limit for one request from its start to the last byte of its reply.
    concurrency: requests at once.
    now_ms: the wall clock in epoch milliseconds, for the versions of observations.
    jitter: a number in [0, 1).
    ca_file: authorities in PEM; None: certifi's.
    block_pause_s: how long everything stands still after a 429; None: a minute.
    on_header: is called with each line of the heads of all replies.
    log: for what happens on the way; None: the program's own.
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
        now_ms: Callable[[], int] = epoch_ms,
        jitter: Callable[[], float] = random.random,
        ca_file: str | None = None,
        block_pause_s: float | None = None,
        on_header: Callable[[bytes], None] | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self.host = urlsplit(url).hostname or ""
        self.deadline = deadline
        self.log = log or logging.getLogger("ingest_weather")
        self._url = url
        self._units = units
        self._measures = measures
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        self._now_ms = now_ms
        self._jitter = jitter
        self._ca_file = ca_file
        self._block_pause_s = block_pause_s
        self._on_header = on_header
        self._key_forms = key_forms(api_key)
        self._query = urlencode((("units", units), ("appid", api_key)))

    def fetch(self, places: Iterable[Place]) -> Iterator[Result]:
        """Yield one result a place, in the order they arrive.

        A place that fails delays no other. An AccessError ends all: the key is the same for each.
        """
        for results in self.stream(places):
            yield from results

    def stream(
        self,
        places: Iterable[Place],
        rate: Rate | None = None,
        hold: Callable[[], bool] = lambda: False,
    ) -> Iterator[list[Result]]:
        """Yield what has arrived, again and again, at most a fifth of a second apart: often
        nothing, so that the caller can do other work in between.

        rate: no request is started that it does not allow.
        hold: no request is started while it is true.
        """
        retries = Retries(self._concurrency, self._jitter, self._block_pause_s)
        loop = FetchLoop(self, places, retries, rate or Unlimited(), hold)
        try:
            yield from loop.results()
        finally:
            loop.close()

    def new_handle(self) -> pycurl.Curl:
        """A handle with all options but the place and the receiver of the reply."""
        curl = new_handle(self._url, self._timeout_s, self._ca_file)
        curl.setopt(pycurl.MAXFILESIZE, MAX_BODY_BYTES)
        curl.setopt(pycurl.HTTPHEADER, ["Accept: application/json"])
        if self._on_header:
            curl.setopt(pycurl.HEADERFUNCTION, self._on_header)
        # No PIPEWAIT: a first request without an answer would hold up all the others, even if no
        # HTTP/2 is spoken. libcurl offers HTTP/2 all the same, and shares connections it has.
        return curl

    def point_at(self, curl: pycurl.Curl, request: Request) -> None:
        """Point a handle at a place, for its next attempt, which begins now."""
        request.attempts += 1
        request.body = bytearray()
        request.started_s = time.monotonic()
        query = "&".join(f"{name}={quote_plus(text)}" for name, text in request.place.query)
        curl.setopt(pycurl.URL, f"{self._url}?{query}&{self._query}")
        curl.setopt(pycurl.WRITEFUNCTION, request.receive)

    def read(self, request: Request, status: int) -> Observation:
        """The observation in a complete reply. Raises WeatherError or AccessError."""
        body = without_key(bytes(request.body), self._key_forms)
        if status != 200:
            raise status_error(status, body)
        try:
            return parse_reply(body, request.place, self._measures, self._now_ms(), self._units)
        except ReplyError as error:
            if error.cod:
                raise status_error(error.cod, body) from error
            raise

    def broken(self, code: int) -> WeatherError:
        """The error for a transfer that libcurl ended with this code."""
        return curl_error(code, self._url, self.host)

"""Places in, observations out: the Current Weather API over PycURL.

The key travels in the query, for the API takes it nowhere else. So no URL is ever shown, VERBOSE
stays off, and redirects are not followed.
Source of statuses and error bodies: OpenWeatherMap, Current weather data and FAQ.
"""

import heapq
import json
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

import pycurl

from ingest.deadline import SLICE_S, Deadline, epoch_ms
from ingest.errors import (
    AccessError,
    BlockedError,
    IngestError,
    Interrupted,
    ReplyError,
    WeatherError,
)
from ingest.observation import Observation, Place, error_message, parse_reply
from ingest.openweathermap.curl import RETRY, curl_error, new_handle
from ingest.reporting.logs import log

ATTEMPTS = 4

# Full jitter: before attempt n+1 a pause of up to 0.5 s * 2**n, at most 8 s.
BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 8.0

# Real replies are about 500 bytes.
MAX_BODY_BYTES = 256 * 1024

# How long all stand still after a 429. OpenWeatherMap says nothing of when it lifts a block.
BLOCK_PAUSE_S = 60.0


# What JSON can write in two ways: printable ASCII, and the slash.
_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|(.))", re.DOTALL)


def _plain(escape: re.Match[bytes]) -> bytes:
    """The form of an escape that is searched for the key: as json.dumps writes it."""
    char: bytes = bytes.fromhex(escape[1].decode()) if escape[1] else escape[2]
    is_needless = (escape[1] or char == b"/") and char not in b'"\\'
    return char if is_needless else b"\\" + char


@dataclass(frozen=True, slots=True)
class Failure:
    """A place whose weather could not be had, and why. asked: at least one request was made."""

    place: Place
    error: IngestError
    asked: bool = True


Result = Observation | Failure


class Rate(Protocol):
    """How often may be asked; see rate.RateLimit."""

    def take(self) -> bool: ...

    def wait_s(self) -> float: ...


class Unlimited:
    """No limit: for one place, or a plan that has none."""

    def take(self) -> bool:
        return True

    def wait_s(self) -> float:
        return 0.0


class _Try:
    """One place on its way: how often it was asked for, and the reply as it comes in."""

    __slots__ = ("attempt", "body", "place", "started_s")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.attempt = 0
        self.body = bytearray()
        self.started_s = 0.0

    def receive(self, data: bytes) -> int | None:
        if len(self.body) + len(data) > MAX_BODY_BYTES:
            return -1  # libcurl ends the transfer with code 23
        self.body += data
        return None


class WeatherClient:
    """Asks for the weather of places, several at once, each with its own retries.

    timeout_s: time limit for one request from its start to the last byte of its reply.
    concurrency: requests at once.
    now_ms: the wall clock in epoch milliseconds, for the versions of observations.
    jitter: a number in [0, 1).
    ca_file: authorities in PEM; certifi's where None.
    block_pause_s: how long all stand still after a 429.
    on_header: is called with each line of the heads of all replies.
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
        block_pause_s: float = BLOCK_PAUSE_S,
        on_header: Callable[[bytes], None] | None = None,
    ) -> None:
        self.url = url
        self.host = urlsplit(url).hostname or ""
        self.deadline = deadline
        self.concurrency = concurrency
        self._jitter = jitter
        self.block_pause_s = block_pause_s
        self._timeout_s = timeout_s
        self._on_header = on_header
        self._ca_file = ca_file
        self._units = units
        self._measures = measures
        self._now_ms = now_ms
        # A shorter key is none of OpenWeatherMap's, and could stand in a reply by chance.
        forms = (
            {api_key, quote_plus(api_key), json.dumps(api_key)[1:-1]} if len(api_key) > 7 else set()
        )
        self._keys = sorted((form.encode() for form in forms), key=len, reverse=True)
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
        """Yield what has arrived, again and again, a fifth of a second apart at the most: often
        nothing, so that the caller can do other work in between.

        rate: no request is started without its leave.
        hold: no request is started while it is true.
        """
        run = _Run(self, places, rate or Unlimited(), hold)
        try:
            yield from run.results()
        finally:
            run.close()

    def new_handle(self) -> pycurl.Curl:
        """A handle with all options but the place and where the reply goes."""
        curl = new_handle(self.url, self._timeout_s, self._ca_file)
        curl.setopt(pycurl.MAXFILESIZE, MAX_BODY_BYTES)
        curl.setopt(pycurl.HTTPHEADER, ["Accept: application/json"])
        if self._on_header:
            curl.setopt(pycurl.HEADERFUNCTION, self._on_header)
        # No PIPEWAIT: one first request that is not answered would hold up all the others, even
        # where no HTTP/2 is spoken. libcurl asks for it all the same, and shares what is there.
        return curl

    def aim(self, curl: pycurl.Curl, attempt: _Try) -> None:
        """Point a handle at a place, for its next attempt."""
        attempt.attempt += 1
        attempt.body = bytearray()
        attempt.started_s = time.monotonic()
        curl.setopt(pycurl.URL, f"{self.url}?{urlencode(attempt.place.query)}&{self._query}")
        curl.setopt(pycurl.WRITEFUNCTION, attempt.receive)

    def pause_s(self, attempt: int) -> float:
        """How long to wait before the next attempt."""
        longest_s: float = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt)
        return self._jitter() * longest_s

    def read(self, attempt: _Try, status: int) -> Observation:
        """The observation in a complete reply. Raises WeatherError or AccessError."""
        body = _ESCAPE.sub(_plain, bytes(attempt.body))
        for key in self._keys:  # a server that says what it was asked says the key
            body = body.replace(key, b"(redacted)")
        if status != 200:
            raise _status_error(status, body)
        try:
            return parse_reply(body, attempt.place, self._measures, self._now_ms(), self._units)
        except ReplyError as error:
            if error.cod:
                raise _status_error(error.cod, body) from error
            raise


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
            kind="not found",
        )
    if status == 429:
        return BlockedError(
            f"{what}: the account has made more calls than its plan allows and is blocked for a "
            "while. Run less often or for fewer places; asking again at once prolongs it."
        )
    if status >= 500:
        reason = f"{what}: the service is out of order. {RETRY}"
        return WeatherError(reason, permanent=False, kind="server error")
    if 300 <= status < 400:
        return WeatherError(
            f"{what}: the server redirects, which is not followed. Check OPENWEATHERMAP_URL.",
            permanent=True,
        )
    return WeatherError(f"{what}: check the place and OPENWEATHERMAP_URL.", permanent=True)


# libcurl closes what a request left unanswered only once the system's resolver has answered. That
# can take minutes, and holds up all of Python, signals too. These live as long as the process.
_NEVER_CLOSED: list[pycurl.CurlMulti] = []


class _Run:
    """One pass over places on one CurlMulti, with reused handles and connections."""

    def __init__(
        self,
        client: WeatherClient,
        places: Iterable[Place],
        rate: Rate,
        hold: Callable[[], bool],
    ) -> None:
        self._client = client
        self._deadline = client.deadline
        self._places = iter(places)
        self._rate = rate
        self._hold = hold
        self._again: deque[_Try] = deque()
        self._later: list[tuple[float, int, _Try]] = []
        self._active: dict[pycurl.Curl, _Try] = {}
        self._idle: list[pycurl.Curl] = []
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, client.concurrency)
        self._next = self._take_place()
        self._timed_out = False
        self._has_news = False  # replies have come in since the last look
        # After a 429: nothing before this time, and then not all at once.
        self._resume_s = 0.0
        self._blocked_s = 0.0
        self._allowed = client.concurrency

    def close(self) -> None:
        for curl in self._active:
            self._multi.remove_handle(curl)
        for curl in (*self._active, *self._idle):
            curl.close()
        if self._active or self._timed_out:
            _NEVER_CLOSED.append(self._multi)
        else:
            self._multi.close()

    def results(self) -> Iterator[list[Result]]:
        while self._next or self._again or self._later or self._active:
            if error := self._hopeless():
                yield from self._give_up(error)
                return
            self._start()
            done: list[Result] = []
            fatal: IngestError | None = None
            for attempt, outcome in self._finished():
                if isinstance(outcome, Observation):
                    if attempt.started_s > self._blocked_s:  # it says that the block is lifted
                        self._allowed = min(self._client.concurrency, self._allowed * 2)
                    done.append(outcome)
                    continue
                if self._goes_on(attempt, outcome):
                    continue
                done.append(Failure(attempt.place, outcome))
                if isinstance(outcome, AccessError | BlockedError):
                    fatal = fatal or outcome  # what has come in with it still counts
            yield done
            if fatal:
                yield from self._give_up(fatal)
                return
            self._wait()

    def _take_place(self) -> _Try | None:
        place = next(self._places, None)
        return _Try(place) if place else None

    def _hopeless(self) -> IngestError | None:
        """Why nothing more can be fetched in this run, if so."""
        if self._deadline.passed():
            error = self._deadline.error("before its weather came")
            # A deadline is the weather's fault here; a signal is nobody's, and stays what it is.
            is_signal = isinstance(error, Interrupted)
            late = WeatherError(str(error), permanent=True, kind="out of time")
            return error if is_signal else late
        if self._active or self._rate.wait_s() < self._deadline.remaining_s():
            return None
        return WeatherError(
            "not asked for in this run: OPENWEATHERMAP_CALLS_PER_MINUTE is used up, and the run "
            "would be over before it may go on. A later run begins with it.",
            permanent=True,
            kind="left for a later run",
        )

    def _start(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._again.append(heapq.heappop(self._later)[2])
        if now < self._resume_s:
            return
        while (self._again or self._next) and len(self._active) < self._allowed:
            if self._hold() or not self._rate.take():
                return
            if self._again:
                attempt = self._again.popleft()
            else:
                assert self._next  # noqa: S101  (the loop's condition)
                attempt, self._next = self._next, self._take_place()
            curl = self._idle.pop() if self._idle else self._client.new_handle()
            self._client.aim(curl, attempt)
            self._active[curl] = attempt
            self._multi.add_handle(curl)

    def _finished(self) -> Iterator[tuple[_Try, Observation | IngestError]]:
        """What has ended since the last look: each with its observation or its error."""
        while self._multi.perform()[0] == pycurl.E_CALL_MULTI_PERFORM:
            pass
        _, succeeded, failed = self._multi.info_read(max(1, len(self._active)))
        ended = [(self._release(curl), curl.getinfo(pycurl.RESPONSE_CODE)) for curl in succeeded]
        self._timed_out |= any(code == pycurl.E_OPERATION_TIMEDOUT for _, code, _ in failed)
        broken = [
            (self._release(curl), curl_error(code, self._client.url, self._client.host))
            for curl, code, _message in failed
        ]
        if ended and not broken and all(status == 200 for _, status in ended):
            # All is well: the next requests travel while these replies are read and journalled.
            self._start()
            self._has_news = self._multi.perform()[1] < len(self._active)
        for attempt, status in ended:
            try:
                yield attempt, self._client.read(attempt, status)
            except IngestError as error:
                yield attempt, error
        yield from broken

    def _release(self, curl: pycurl.Curl) -> _Try:
        self._multi.remove_handle(curl)
        self._idle.append(curl)
        return self._active.pop(curl)

    def _goes_on(self, attempt: _Try, error: IngestError) -> bool:
        """Put a place back in line, if another attempt makes sense and there is time for it."""
        if isinstance(error, BlockedError):
            return self._stands_still(attempt)
        if not isinstance(error, WeatherError) or error.permanent or attempt.attempt >= ATTEMPTS:
            return False
        pause_s = self._client.pause_s(attempt.attempt)
        if pause_s >= self._deadline.remaining_s():
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

    def _stands_still(self, attempt: _Try) -> bool:
        """After the first 429: a pause for all, then one request at a time until one succeeds. A
        second block, or no time for the pause, ends the run, and so does having nothing else to
        ask for: the next run is soon enough."""
        pause_s = self._client.block_pause_s
        if attempt.started_s <= self._blocked_s:  # it was under way when the block was noticed
            self._again.appendleft(attempt)
            return True
        others = self._next or self._again or self._later or self._active
        if self._blocked_s or not others or pause_s >= self._deadline.remaining_s():
            return False
        log.warning("OpenWeatherMap has blocked the account (429); going on in %.0f s.", pause_s)
        self._blocked_s = time.monotonic()
        self._resume_s = self._blocked_s + pause_s
        self._allowed = 1
        self._again.appendleft(attempt)
        return True

    def _give_up(self, error: IngestError) -> Iterator[list[Result]]:
        """Fail every place that is left, some at a time, for they may be many."""
        left = [*self._active.values(), *self._again, *(entry[2] for entry in self._later)]
        yield [Failure(attempt.place, error, asked=attempt.attempt > 0) for attempt in left]
        while self._next:
            some: list[Result] = []
            while self._next and len(some) < 1000:
                some.append(Failure(self._next.place, error, asked=False))
                self._next = self._take_place()
            yield some

    def _wait(self) -> None:
        """Until something can have happened: data, a retry's time, leave to go on, the deadline."""
        if self._has_news:
            self._has_news = False
            return
        wait_s = min(SLICE_S, self._deadline.remaining_s())
        if self._later:
            wait_s = min(wait_s, max(0.0, self._later[0][0] - time.monotonic()))
        if not self._active:
            if self._next or self._again or self._later:
                time.sleep(min(wait_s, self._idle_s()))
            return
        timeout_ms = self._multi.timeout()
        if timeout_ms >= 0:
            wait_s = min(wait_s, timeout_ms / 1000)
        self._multi.select(wait_s)

    def _idle_s(self) -> float:
        """Seconds until a request may be started, where none is under way."""
        if not (self._next or self._again):
            return SLICE_S
        if self._hold():
            return SLICE_S / 10
        return max(0.0, self._resume_s - time.monotonic(), self._rate.wait_s())

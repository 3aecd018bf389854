"""The loop that keeps many requests under way on one CurlMulti, and yields what has arrived."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import pycurl

from ingest.deadline import SLICE_S, Deadline
from ingest.errors import AccessError, BlockedError, IngestError, Interrupted, WeatherError
from ingest.observation import Observation
from ingest.openweathermap.rate_limit import Rate
from ingest.openweathermap.retry import ATTEMPTS, Request, Retries, Verdict
from ingest.places import Place

# Failures that are yielded at a time when the run cannot go on: the places may be many.
FAILURES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """A place whose weather could not be had, and why. asked: at least one request was made."""

    place: Place
    error: IngestError
    asked: bool = True


Result = Observation | Failure


class Client(Protocol):
    """What the loop asks of a `WeatherClient`, which makes the requests and reads the replies."""

    @property
    def deadline(self) -> Deadline: ...

    @property
    def log(self) -> logging.Logger: ...

    def new_handle(self) -> pycurl.Curl: ...

    def point_at(self, curl: pycurl.Curl, request: Request) -> None: ...

    def read(self, request: Request, status: int) -> Observation: ...

    def broken(self, code: int) -> WeatherError: ...


# When libcurl closes what a request left without an answer, it waits for the system's resolver.
# That can take minutes, and stops all of Python, signals too. These live as long as the process.
_NEVER_CLOSED: list[pycurl.CurlMulti] = []


class FetchLoop:
    """One pass over places on one CurlMulti, with reused handles and connections."""

    def __init__(
        self,
        client: Client,
        places: Iterable[Place],
        retries: Retries,
        rate: Rate,
        hold: Callable[[], bool],
    ) -> None:
        self._client = client
        self._deadline, self._log = client.deadline, client.log
        self._places = iter(places)
        self._rate = rate
        self._hold = hold
        self._retries = retries
        self._active: dict[pycurl.Curl, Request] = {}
        self._idle: list[pycurl.Curl] = []
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, retries.allowed)
        self._next = self._take_place()
        self._timed_out = False
        self._has_news = False  # replies have come in since the last look

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
        while self._next or self._retries or self._active:
            if error := self._stop_reason():
                yield from self._fail_the_rest(error)
                return
            self._start()
            done: list[Result] = []
            fatal: IngestError | None = None
            for request, outcome in self._finished():
                if isinstance(outcome, Observation):
                    self._retries.succeeded(request)
                    done.append(outcome)
                    continue
                if self._goes_on(request, outcome):
                    continue
                done.append(Failure(request.place, outcome))
                if isinstance(outcome, AccessError | BlockedError):
                    fatal = fatal or outcome  # what has come in with it still counts
            yield done
            if fatal:
                yield from self._fail_the_rest(fatal)
                return
            self._wait()

    def _take_place(self) -> Request | None:
        place = next(self._places, None)
        return Request(place) if place else None

    def _stop_reason(self) -> IngestError | None:
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
            "not asked for in this run: the plan (OPENWEATHERMAP_CALLS_PER_MINUTE) allows no more "
            "calls before the deadline.",
            "The next run starts with it.",
            permanent=True,
            kind="left for a later run",
        )

    def _start(self) -> None:
        retries = self._retries
        if not retries.wake(time.monotonic()) or self._hold():
            return
        while (retries.ready or self._next) and len(self._active) < retries.allowed:
            if not self._rate.reserve():
                return
            if retries.ready:
                request = retries.ready.popleft()
            else:
                assert self._next  # noqa: S101  (the loop's condition)
                request, self._next = self._next, self._take_place()
            curl = self._idle.pop() if self._idle else self._client.new_handle()
            self._client.point_at(curl, request)
            self._active[curl] = request
            self._multi.add_handle(curl)

    def _finished(self) -> Iterator[tuple[Request, Observation | IngestError]]:
        """What has ended since the last look: each with its observation or its error."""
        while self._multi.perform()[0] == pycurl.E_CALL_MULTI_PERFORM:
            pass
        _, succeeded, failed = self._multi.info_read(max(1, len(self._active)))
        ended = [(self._release(curl), curl.getinfo(pycurl.RESPONSE_CODE)) for curl in succeeded]
        self._timed_out |= any(code == pycurl.E_OPERATION_TIMEDOUT for _, code, _ in failed)
        broken = [(self._release(curl), self._client.broken(code)) for curl, code, _ in failed]
        if ended and not broken and all(status == 200 for _, status in ended):
            # All is well: the next requests travel while these replies are read and journalled.
            self._start()
            self._has_news = self._multi.perform()[1] < len(self._active)
        for request, status in ended:
            try:
                yield request, self._client.read(request, status)
            except IngestError as error:
                yield request, error
        yield from broken

    def _release(self, curl: pycurl.Curl) -> Request:
        self._multi.remove_handle(curl)
        self._idle.append(curl)
        return self._active.pop(curl)

    def _goes_on(self, request: Request, error: IngestError) -> bool:
        """Whether the place gets another attempt; if so, it is in line for it."""
        verdict, pause_s = self._retries.failed(
            request,
            error,
            time.monotonic(),
            self._deadline.remaining_s(),
            others=bool(self._next or self._active),
        )
        if verdict is Verdict.BACK_OFF:
            self._log.debug(
                "%s: %s Attempt %d of %d in %.1f s.",
                request.place.name,
                error,
                request.attempts + 1,
                ATTEMPTS,
                pause_s,
            )
        elif verdict is Verdict.STAND_STILL:
            self._log.warning(
                "OpenWeatherMap has blocked the account (429). Trying again in %.0f s.", pause_s
            )
        return verdict is not Verdict.FAIL

    def _fail_the_rest(self, error: IngestError) -> Iterator[list[Result]]:
        left = [*self._active.values(), *self._retries.pending()]
        yield [Failure(each.place, error) for each in left]
        while self._next:
            some: list[Result] = []
            while self._next and len(some) < FAILURES_AT_ONCE:
                some.append(Failure(self._next.place, error, asked=False))
                self._next = self._take_place()
            yield some

    def _wait(self) -> None:
        """Until something can happen: data, the end of a pause, a call allowed, the deadline."""
        if self._has_news:
            self._has_news = False
            return
        wake_in_s = self._retries.wake_in_s(time.monotonic())
        wait_s = min(SLICE_S, self._deadline.remaining_s(), wake_in_s)
        if not self._active:
            if self._next or self._retries:
                time.sleep(min(wait_s, self._idle_s()))
            return
        timeout_ms = self._multi.timeout()
        if timeout_ms >= 0:
            wait_s = min(wait_s, timeout_ms / 1000)
        self._multi.select(wait_s)

    def _idle_s(self) -> float:
        """Seconds until a request may be started, if none is under way."""
        if not (self._next or self._retries.ready):
            return SLICE_S
        if self._hold():
            return SLICE_S / 10
        return max(self._retries.standstill_s(time.monotonic()), self._rate.wait_s())

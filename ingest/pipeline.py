"""Replies into the store as they come, and out of it as Timestream takes them, side by side."""

import time
from array import array
from collections.abc import Iterator

from ingest.deadline import epoch_ms
from ingest.delivery import Delivery
from ingest.journal.fallback import Store
from ingest.observation import Observation, Place
from ingest.openweathermap.client import Failure, WeatherClient
from ingest.openweathermap.rate_limit import CHUNK, WINDOW_S, RateLimit
from ingest.places import Places
from ingest.reporting.logs import log
from ingest.reporting.progress import progress
from ingest.reporting.summary import Summary

# Observations are committed together when there are so many, or the first has waited so long.
COMMIT_AT = 100
COMMIT_AFTER_S = 0.1

# Observations that may wait in memory for the writer before no more are fetched.
MOST_IN_MEMORY = 5_000


class Stream:
    """One pass over all places. Counts into the summary what it fetched."""

    def __init__(
        self, client: WeatherClient, store: Store, delivery: Delivery, summary: Summary
    ) -> None:
        self._client = client
        self._store = store
        self._delivery = delivery
        self._summary = summary
        self._uncommitted: list[Observation] = []
        self._asked: list[str] = []
        self._waits_since = 0.0

    def run(self, places: Places, calls_per_minute: int, *, show: bool) -> None:
        """Fetch all places, those longest unseen first, and hand on what comes."""
        clock = _SteadyClock()
        warn_of_a_small_plan(len(places), calls_per_minute, self._client.deadline.seconds)
        rate = RateLimit(
            calls_per_minute,
            clock.now_ms,
            self._store.calls(),
            self._store.keep_calls,
            chunk=min(CHUNK, len(places)),
        )
        self._many = len(places) > 1
        with progress(len(places), wanted=show) as tell:
            for results in self._client.stream(self._in_turn(places), rate, self._is_full):
                for result in results:
                    self._take(result)
                self._commit_in_time()
                self._delivery.pump()
                tell(self._summary, self._delivery.result.stored)
                if self._is_in_vain():
                    break
        rate.release()
        self._commit()

    def _in_turn(self, places: Places) -> Iterator[Place]:
        """Those longest unseen first, so that a list too long for one run is served in turn."""
        if not self._many:
            return iter(places)
        asked, now_ms = self._store.asked(places.names), epoch_ms()
        # A time in the future is from before the clock was put back, and means nothing.
        turn = array("q", (each if each <= now_ms else 0 for each in asked))
        # An array, too: it is kept for the whole run, and a list takes five times as much.
        order = array("L", sorted(range(len(places)), key=turn.__getitem__))
        return (places[index] for index in order)

    def _take(self, result: Observation | Failure) -> None:
        if not self._waits_since:
            self._waits_since = time.monotonic()
        if isinstance(result, Failure):
            self._summary.place_failed(result.place.name, result.error)
            log.debug("%s: %s", result.place.name, result.error)
            if not result.asked:
                return
        else:
            self._summary.fetched += 1
            log.debug("%s: %s", result.place.name, result.values)
            self._uncommitted.append(result)
        if self._many:
            self._asked.append(result.place.name)

    def _commit_in_time(self) -> None:
        waiting = max(len(self._uncommitted), len(self._asked))
        if waiting and (
            waiting >= COMMIT_AT or time.monotonic() - self._waits_since > COMMIT_AFTER_S
        ):
            self._commit()

    def _commit(self) -> None:
        now_ms = epoch_ms()
        if self._uncommitted:
            added = self._store.add(self._uncommitted, now_ms)
            self._summary.unchanged += len(self._uncommitted) - added
        if self._asked:
            self._store.mark_asked(self._asked, now_ms)
        self._uncommitted, self._asked, self._waits_since = [], [], 0.0

    def _is_full(self) -> bool:
        """A slow writer slows the fetching. One that has failed does not, where the journal keeps
        what is fetched."""
        failed = self._delivery.result.failure is not None
        waiting = self._store.count_lost() if failed else self._store.count_unread()
        return waiting + len(self._uncommitted) > MOST_IN_MEMORY

    def _is_in_vain(self) -> bool:
        return self._is_full() and self._delivery.result.failure is not None


class _SteadyClock:
    """The wall clock at its making, and the monotonic one from there on: it never jumps."""

    def __init__(self) -> None:
        self._ahead_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        return (self._ahead_ns + time.monotonic_ns()) // 1_000_000


def warn_of_a_small_plan(places: int, calls_per_minute: int, deadline_s: float) -> None:
    """Say so when one run can never ask for all places."""
    windows = 1 + int(deadline_s / (WINDOW_S + 1))
    at_most = windows * calls_per_minute
    if places > at_most:
        runs = -(-places // at_most)
        log.warning(
            "%d places need %d calls; OPENWEATHERMAP_CALLS_PER_MINUTE=%d allows %d in a run of "
            "%g s (%d x %d), so it takes %d runs to see each place once, those longest unseen "
            "first. Name fewer places, or raise the plan, or WEATHER_DEADLINE_SECONDS.",
            places,
            places,
            calls_per_minute,
            at_most,
            deadline_s,
            windows,
            calls_per_minute,
            runs,
        )

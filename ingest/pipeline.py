"""Replies into the journal as they come, and on to the destination, side by side."""

import time
from array import array
from collections.abc import Callable, Iterator

from ingest.delivery import Delivery
from ingest.journal.fallback import RunJournal
from ingest.observation import Observation
from ingest.openweathermap.client import Failure, WeatherClient
from ingest.openweathermap.rate_limit import CHUNK, WINDOW_S, RateLimit
from ingest.places import Place, Places
from ingest.reporting.observer import Observer
from ingest.reporting.summary import Summary

# Observations are committed together when there are so many, or the first has waited so long.
COMMIT_AT = 100
COMMIT_AFTER_S = 0.1

# When so many observations wait in memory for the writer, fetching pauses.
MOST_IN_MEMORY = 5_000


class Pipeline:
    """One pass over all places. Counts into the summary what it fetched."""

    def __init__(
        self,
        client: WeatherClient,
        journal: RunJournal,
        delivery: Delivery,
        summary: Summary,
        observer: Observer,
        now_ms: Callable[[], int],
    ) -> None:
        self._client = client
        self._journal = journal
        self._delivery = delivery
        self._summary = summary
        self._observer = observer
        self._log = observer.log
        self._now_ms = now_ms
        self._uncommitted: list[Observation] = []
        self._polled: list[str] = []
        self._waits_since = 0.0
        self._many = False

    def run(self, places: Places, calls_per_minute: int) -> None:
        """Fetch all places, those that have waited longest first, and enqueue what arrives."""
        self._many = len(places) > 1
        if warning := small_plan(len(places), calls_per_minute, self._client.deadline.seconds):
            self._log.warning("%s", warning)
        rate = RateLimit(
            calls_per_minute,
            steady(self._now_ms),
            self._journal.calls(),
            self._journal.keep_calls,
            chunk=min(CHUNK, len(places)),
        )
        with self._observer.watch(self._summary) as changed:
            for results in self._client.stream(self._in_turn(places), rate, self._is_full):
                for result in results:
                    self._take(result)
                self._commit_in_time()
                self._delivery.pump()
                changed()
                if self._delivery.failure and self._is_full():
                    break
        rate.release()
        self._commit()

    def _in_turn(self, places: Places) -> Iterator[Place]:
        """Those that have waited longest first: a list too long for one run is fetched in turn."""
        if not self._many:
            return iter(places)
        polled, now_ms = self._journal.last_polled(places.names), self._now_ms()
        # A time in the future is from before the clock was put back, and means nothing.
        turn = array("q", (each if each <= now_ms else 0 for each in polled))
        # An array, too: it is kept for the whole run, and a list takes five times as much.
        order = array("L", sorted(range(len(places)), key=turn.__getitem__))
        return (places[index] for index in order)

    def _take(self, result: Observation | Failure) -> None:
        if not self._waits_since:
            self._waits_since = time.monotonic()
        name = result.place.name
        if isinstance(result, Failure):
            self._summary.place_failed(name, result.error)
            self._log.debug("%s: %s", name, result.error)
            if not result.asked:
                return
        else:
            self._summary.fetched += 1
            self._log.debug("%s: %s", name, result.values)
            self._uncommitted.append(result)
        if self._many:
            self._polled.append(name)

    def _commit_in_time(self) -> None:
        waiting = max(len(self._uncommitted), len(self._polled))
        if waiting and (
            waiting >= COMMIT_AT or time.monotonic() - self._waits_since > COMMIT_AFTER_S
        ):
            self._commit()

    def _commit(self) -> None:
        """Journal what is new, then pass it on to the delivery."""
        now_ms, polled = self._now_ms(), self._polled
        if self._uncommitted:
            entries = self._journal.enqueue(self._uncommitted, now_ms)
            self._summary.unchanged += len(self._uncommitted) - len(entries)
            self._delivery.add(entries)
            new = {entry.observation.place.name for entry in entries}
            polled = [name for name in polled if name not in new]
        if polled:
            self._journal.mark_polled(polled, now_ms)
        self._uncommitted, self._polled, self._waits_since = [], [], 0.0

    def _is_full(self) -> bool:
        """A slow writer slows the fetching. One that has failed does not, if the journal keeps
        what is fetched."""
        journal = self._journal
        waiting = journal.count_unsaved() if self._delivery.failure else journal.count_in_hand()
        return waiting + len(self._uncommitted) > MOST_IN_MEMORY


def steady(now_ms: Callable[[], int]) -> Callable[[], int]:
    """The clock's time now, and the monotonic clock from there on: it never jumps."""
    ahead_ms = now_ms() - time.monotonic_ns() // 1_000_000
    return lambda: ahead_ms + time.monotonic_ns() // 1_000_000


def small_plan(places: int, calls_per_minute: int, deadline_s: float) -> str:
    """What to say if one run can never ask for all places; "" if it can."""
    windows = 1 + int(deadline_s / (WINDOW_S + 1))
    at_most = windows * calls_per_minute
    if places <= at_most:
        return ""
    return (
        f"{places} places need {places} calls; OPENWEATHERMAP_CALLS_PER_MINUTE={calls_per_minute} "
        f"allows {at_most} in a run of {deadline_s:g} s ({windows} x {calls_per_minute}), so it "
        f"takes {-(-places // at_most)} runs to fetch each place once; the places that have waited "
        "longest come first. Configure fewer places, a higher plan, or a longer "
        "WEATHER_DEADLINE_SECONDS."
    )

"""Everything pending to the destination, oldest first, several calls at once."""

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from ingest.deadline import SLICE_S, Deadline
from ingest.destination import Destination, Outcome, Rejection
from ingest.errors import IngestError, ThrottledError
from ingest.journal.fallback import RunJournal
from ingest.journal.queue import Entry
from ingest.reporting.logs import RunLog
from ingest.reporting.summary import Summary
from ingest.reporting.text import plural

# Entries read from the backlog at a time.
PAGE = 500

# What was confirmed is committed this often at the latest, and at the end. A crash in between only
# sends it again.
ACKNOWLEDGE_EVERY_S = 0.5

# Full jitter: the pause after the n-th throttled call in a row is up to this many seconds, doubled
# n - 1 times, and at most the other.
PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0

# Throttled calls in a row after which the service will not have more in this run.
MOST_THROTTLED = 5


class Delivery:
    """Sends entries. `pump` never waits; `finish` waits until all is done.

    summary: counts what was stored and rejected.
    on_rejected: called for each call with rejected values.
    writers: calls at once; fewer for a while after the service has throttled one.
    """

    def __init__(
        self,
        destination: Destination,
        journal: RunJournal,
        deadline: Deadline,
        log: RunLog,
        summary: Summary,
        on_rejected: Callable[[Outcome], None],
        now_ms: Callable[[], int],
        writers: int = 4,
    ) -> None:
        self._destination = destination
        self._journal = journal
        self._deadline = deadline
        self._log = log
        self._summary = summary
        self._on_rejected = on_rejected
        self._now_ms = now_ms
        self._writers = self._at_once = writers
        self._throttled = 0
        self._resume_at = 0.0
        self._waiting: deque[Entry] = deque()
        self._fresh: deque[Entry] = deque()  # behind the backlog
        self._last_read, self._backlog_is_read = 0, False
        self._answered: list[Entry] = []
        self._rejections: dict[int, list[Rejection]] = {}
        # Series -> measures that were sent, and are not acknowledged: those have versions.
        self._unacknowledged: dict[object, set[str]] = {}
        self._acknowledged_at = time.monotonic()
        self._calls: dict[Future[Outcome], list[Entry]] = {}
        self._pool = ThreadPoolExecutor(writers + 1, "writer")
        # Endpoint discovery runs while the weather is fetched.
        self._preparing = self._pool.submit(destination.prepare)
        self.failure: IngestError | None = None

    def add(self, entries: Sequence[Entry]) -> None:
        """Send these after all that is waiting. After a failure, a later run sends them."""
        if not self.failure:
            self._fresh.extend(entries)

    def pump(self, *, all_fetched: bool = False) -> None:
        """Process the answers, and send what is waiting, without blocking.

        all_fetched: send calls that are not full, too.
        """
        for call in [call for call in self._calls if call.done()]:
            self._take(self._calls.pop(call), call.result())
        while self._may_send() and (batch := self._next_batch(all_fetched=all_fetched)):
            self._calls[self._pool.submit(self._write, batch)] = batch
        if time.monotonic() - self._acknowledged_at > ACKNOWLEDGE_EVERY_S:
            self._acknowledge()

    def finish(self) -> None:
        """Send all that is pending and wait for the answers; stop at the deadline, or when a call
        fails for a reason that others would fail for too: `failure` says which."""
        self.pump(all_fetched=True)
        while (self._calls or self._is_waiting()) and not self._deadline.passed():
            self._wait()
            self.pump(all_fetched=True)
        self._acknowledge()
        if self._calls or self._is_waiting():
            name = self._destination.name
            is_ready = self._preparing.done()
            doing = f"{name} was written" if is_ready else f"the endpoint of {name} was looked up"
            self._fail(self._deadline.error(f"while {doing}"), ())

    def close(self) -> None:
        """Abandon the calls that are still in flight."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _write(self, batch: Sequence[Entry]) -> Outcome:
        return self._destination.write([entry.observation for entry in batch])

    def _is_waiting(self) -> bool:
        if not self.failure:
            self._refill()
        return bool(self._waiting)

    def _refill(self) -> None:
        """As much of the backlog as fills a call, by pages, and then what was added."""
        while not self._backlog_is_read and len(self._waiting) < self._destination.capacity:
            page = self._journal.backlog(self._last_read, PAGE)
            self._waiting.extend(page)
            self._last_read = page[-1].id if page else self._last_read
            self._backlog_is_read = len(page) < PAGE
        if self._backlog_is_read and self._fresh:
            self._waiting.extend(self._fresh)
            self._fresh.clear()

    def _may_send(self) -> bool:
        if (
            len(self._calls) >= self._at_once
            or time.monotonic() < self._resume_at
            or self._deadline.passed()
            or not self._is_waiting()
        ):
            return False
        if not self._preparing.done():
            return False
        try:
            self._preparing.result()
        except IngestError as error:
            self._fail(error, ())
        return self.failure is None

    def _next_batch(self, *, all_fetched: bool) -> list[Entry]:
        """As many entries as fill one call; each stands whole in one call, order kept.

        The next version of a value is sent once the one before is acknowledged: a lower version
        that arrives, or is sent again, after a higher one would be rejected.
        """
        capacity, size, batch = self._destination.capacity, 0, 0
        for entry in self._waiting:
            size += self._destination.size(entry.observation)
            if size > capacity:
                break
            batch += 1
        if not (all_fetched or size >= capacity):
            return []
        entries: list[Entry] = []
        for _ in range(batch):
            if self._answered and self._is_overlapping(self._waiting[0]):
                self._acknowledge()
            if self._is_overlapping(self._waiting[0]):
                break
            entries.append(entry := self._waiting.popleft())
            series = self._unacknowledged.setdefault(entry.observation.series, set())
            series.update(entry.observation.values)
        return entries

    def _is_overlapping(self, entry: Entry) -> bool:
        """Another version of it is in this batch, or was sent and is not acknowledged."""
        series = self._unacknowledged.get(entry.observation.series)
        return series is not None and not series.isdisjoint(entry.observation.values)

    def _no_longer_under_way(self, entries: Sequence[Entry]) -> None:
        """These entries are no longer in flight."""
        for entry in entries:
            series = self._unacknowledged[entry.observation.series]
            series.difference_update(entry.observation.values)
            if not series:
                del self._unacknowledged[entry.observation.series]

    def _wait(self) -> None:
        """Until a call is answered, a pause is over, or it is time to look at the deadline."""
        slice_s = min(SLICE_S, self._deadline.remaining_s())
        under_way: set[Future[Any]] = set(self._calls)
        if not self._preparing.done():
            under_way.add(self._preparing)
        if under_way:
            wait(under_way, slice_s, FIRST_COMPLETED)
        else:
            time.sleep(max(0.0, min(slice_s, self._resume_at - time.monotonic())))

    def _take(self, batch: list[Entry], outcome: Outcome) -> None:
        if isinstance(outcome.failure, ThrottledError) and self._may_try_again():
            self._slow_down(batch)
            return
        self._summary.stored += outcome.stored
        if outcome.failure:
            # What was refused in a part of the call will be refused, and named, the next time too.
            self._fail(outcome.failure, batch)
            return
        self._throttled = 0
        self._at_once = min(self._writers, self._at_once + 1)
        self._answered += batch
        if outcome.rejected:
            self._reject(batch, outcome)

    def _reject(self, batch: list[Entry], outcome: Outcome) -> None:
        owners = {id(entry.observation): entry.id for entry in batch}
        self._summary.rejected += len(outcome.rejected)
        for each in outcome.rejected:
            kept = replace(each, reason=self._log.redact(each.reason))
            self._rejections.setdefault(owners[id(each.observation)], []).append(kept)
        self._acknowledge()  # before it is said that they are kept
        self._on_rejected(outcome)

    def _fail(self, failure: IngestError, batch: Sequence[Entry]) -> None:
        """Send nothing more in this run; pending entries stay pending."""
        self.failure = self.failure or failure
        if batch:
            self._journal.note_failure(batch, self._log.redact(str(failure)))
        self._journal.release()
        self._waiting.clear()
        self._fresh.clear()

    def _may_try_again(self) -> bool:
        """Whether to wait for a service that throttles. One that accepts some calls is busy. One
        that accepts none has a fault: a run whose observations are in the journal should end."""
        if self.failure or self._deadline.passed():
            return False
        if self._journal.count_unsaved():
            return True
        return self._summary.stored > 0 and self._throttled < MOST_THROTTLED

    def _slow_down(self, batch: list[Entry]) -> None:
        """Send it again, before all that came after it, in a while and with fewer calls at once."""
        self._throttled += 1
        self._at_once = max(1, len(self._calls) // 2)
        pause_s = min(LONGEST_PAUSE_S, PAUSE_S * 2 ** min(self._throttled - 1, 10))
        self._resume_at = time.monotonic() + random.uniform(0, pause_s)  # noqa: S311  (no secret)
        self._no_longer_under_way(batch)
        self._waiting = deque(sorted([*batch, *self._waiting], key=lambda entry: entry.id))
        self._log.info(
            "%s throttles writes: now %s at once.",
            self._destination.service,
            plural(self._at_once, "call"),
        )

    def _acknowledge(self) -> None:
        if self._answered:
            self._journal.acknowledge(self._answered, self._rejections, self._now_ms())
            self._no_longer_under_way(self._answered)
            self._answered, self._rejections = [], {}
        self._acknowledged_at = time.monotonic()

"""Everything pending to Timestream, oldest first, several calls at once."""

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ingest.deadline import SLICE_S, Deadline, Task, epoch_ms
from ingest.errors import IngestError, ThrottledError
from ingest.journal.fallback import Store
from ingest.journal.queue import Entry, RejectedRecord
from ingest.reporting.logs import log, redact
from timestream_writer import MAX_RECORDS_PER_CALL, Outcome, Record, records_of

# Entries read from the store at a time.
PAGE = 500

# What was confirmed is committed this often at the latest, and at the end. A crash in between only
# sends it again.
SETTLE_EVERY_S = 0.5

# Full jitter: the pause after the n-th throttled call in a row is up to this many seconds, doubled
# n - 1 times, and no longer than the other.
PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0

# Throttled calls in a row after which the service will not have more in this run.
MOST_THROTTLED = 5

# Dimensions, time and measure: what is stored there has versions.
_Point = tuple[object, str]


class Writer(Protocol):
    """One destination."""

    @property
    def target(self) -> str: ...

    def write(self, records: Sequence[Record]) -> Outcome: ...


class _Batch(NamedTuple):
    """The entries of one call, and their records in the order they are sent."""

    entries: list[Entry]
    records: list[Record]


class _Answer(NamedTuple):
    batch: _Batch
    outcome: Outcome | BaseException


@dataclass
class Delivered:
    """What a delivery has come to. stored and rejected count records."""

    stored: int = 0
    rejected: int = 0
    failure: IngestError | None = None


class Delivery:
    """Sends what the store has pending. `pump` never waits; `finish` waits until all is done.

    ready: done when the writer can write; its error is the delivery's failure.
    on_rejected: told of each call in which records were rejected, and of the target.
    writers: calls at once; fewer for a while after the service has throttled one.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        ready: Task[None],
        deadline: Deadline,
        on_rejected: Callable[[Outcome, str], None],
        writers: int = 4,
    ) -> None:
        self._store = store
        self._writer = writer
        self._ready = ready
        self._deadline = deadline
        self._on_rejected = on_rejected
        self._writers = writers
        self._at_once = writers
        self._throttled = 0
        self._resume_at = 0.0
        self._threads = 0
        self._in_flight = 0
        self._jobs: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._page: deque[Entry] = deque()
        self._last_id = 0
        self._settled: list[Entry] = []
        self._unsettled: set[_Point] = set()
        self._refused: list[RejectedRecord] = []
        self._settled_at = time.monotonic()
        self.result = Delivered()

    def pump(self, *, all_fetched: bool = False) -> None:
        """Take what has been answered, and send what there is to send, without waiting.

        all_fetched: send calls that are not full, too.
        """
        while not self._answers.empty():
            self._take(self._answers.get())
        while self._may_send() and (batch := self._next_batch(all_fetched=all_fetched)):
            self._send(batch)
        if time.monotonic() - self._settled_at > SETTLE_EVERY_S:
            self._settle()

    def finish(self) -> Delivered:
        """Send all that is pending and wait for the answers; stop at the deadline, or when a call
        fails for a reason that others would fail for too."""
        self.pump(all_fetched=True)
        while self._is_under_way() and not self._deadline.passed():
            with suppress(queue.Empty):
                self._take(self._answers.get(timeout=min(SLICE_S, self._deadline.remaining_s())))
            self.pump(all_fetched=True)
        self._settle()
        for _ in range(self._threads):
            self._jobs.put(None)
        if not self.result.failure and (self._in_flight or self._unsent()):
            self.result.failure = self._deadline.error(f"while {self._writer.target} was written")
        return self.result

    def _is_under_way(self) -> bool:
        return self._in_flight > 0 or (bool(self._page) and self.result.failure is None)

    def _unsent(self) -> bool:
        return bool(self._page or self._store.pending(self._last_id, 1))

    def _may_send(self) -> bool:
        return (
            self._in_flight < self._at_once
            and self.result.failure is None
            and time.monotonic() >= self._resume_at
            and not self._deadline.passed()
        )

    def _next_batch(self, *, all_fetched: bool) -> _Batch | None:
        """As many entries as fill one call; each stands whole in one call, order kept.

        One observation's next version is sent once the one before is settled: a lower version that
        arrives, or is sent again, after a higher one would be rejected.
        """
        if len(self._page) < MAX_RECORDS_PER_CALL:
            entries = self._store.pending(self._last_id, PAGE)
            self._page.extend(entries)
            if entries:
                self._last_id = entries[-1].id
        count = records = 0
        observed: set[_Point] = set()
        for entry in self._page:
            records += len(entry.observation.values)
            if records > MAX_RECORDS_PER_CALL or self._is_unsettled(entry, observed):
                break
            count += 1
            observed |= _points(entry)
        if not count or (records < MAX_RECORDS_PER_CALL and not all_fetched):
            return None
        self._unsettled |= observed
        entries = [self._page.popleft() for _ in range(count)]
        return _Batch(
            entries, [each for entry in entries for each in records_of(entry.observation)]
        )

    def _is_unsettled(self, entry: Entry, observed: set[_Point]) -> bool:
        """Another version of it is in this batch, or was sent and not settled."""
        points = _points(entry)
        if not points.isdisjoint(self._unsettled):
            self._settle()
        return not (points.isdisjoint(observed) and points.isdisjoint(self._unsettled))

    def _send(self, batch: _Batch) -> None:
        if self._threads < self._writers:
            self._threads += 1
            name = f"writer {self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._in_flight += 1
        self._jobs.put(batch)

    def _work(self) -> None:
        while batch := self._jobs.get():
            outcome: Outcome | BaseException
            try:
                self._ready.result(self._deadline)
                outcome = self._writer.write(batch.records)
            except IngestError as error:
                outcome = Outcome(failure=error)
            except BaseException as error:  # noqa: BLE001  (raised in the main thread)
                outcome = error
            self._answers.put(_Answer(batch, outcome))

    def _take(self, answer: _Answer) -> None:
        self._in_flight -= 1
        batch, outcome = answer
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome.failure, ThrottledError) and self._may_try_again():
            self._slow_down(batch)
            return
        self.result.stored += outcome.stored
        if outcome.failure:
            # What was refused in a part of the call will be refused, and named, the next time too.
            self.result.failure = self.result.failure or outcome.failure
            self._store.failed(batch.entries, redact(str(outcome.failure)))
            self._store.send_no_more()
            return
        self._throttled = 0
        self._at_once = min(self._writers, self._at_once + 1)
        self._settled += batch.entries
        if outcome.rejected:
            self.result.rejected += len(outcome.rejected)
            self._refused += _whose(batch, outcome)
            self._settle()  # before it is said that they are kept
            self._on_rejected(outcome, self._writer.target)

    def _may_try_again(self) -> bool:
        """Whether to wait for a service that throttles. One that takes some calls is busy; one
        that takes none is out of order, and a run that can leave its observations in the journal
        had better end soon."""
        if self.result.failure or self._deadline.passed():
            return False
        if self._store.count_lost():
            return True
        return self.result.stored > 0 and self._throttled < MOST_THROTTLED

    def _slow_down(self, batch: _Batch) -> None:
        """Send it again, before all that came after it, in a while and with fewer calls at once."""
        self._throttled += 1
        self._at_once = max(1, self._in_flight // 2)
        pause_s = min(LONGEST_PAUSE_S, PAUSE_S * 2 ** min(self._throttled - 1, 10))
        self._resume_at = time.monotonic() + random.uniform(0, pause_s)  # noqa: S311  (no secret)
        self._unsettled.difference_update(*map(_points, batch.entries))
        self._page = deque(sorted([*batch.entries, *self._page], key=lambda entry: entry.id))
        log.info("Timestream throttles the writing: %d calls at a time.", self._at_once)

    def _settle(self) -> None:
        if self._settled:
            self._store.settle(self._settled, self._refused, epoch_ms())
            self._unsettled.difference_update(*map(_points, self._settled))
            self._settled, self._refused = [], []
        self._settled_at = time.monotonic()


def _points(entry: Entry) -> set[_Point]:
    series = entry.observation.series
    return {(series, name) for name in entry.observation.values}


def _whose(batch: _Batch, outcome: Outcome) -> list[RejectedRecord]:
    """The refused records with the numbers of their entries."""
    owner = {
        id(record): entry.id
        for entry, record in zip(_owners(batch.entries), batch.records, strict=True)
    }
    return [
        RejectedRecord(
            owner[id(rejection.record)],
            rejection.record["MeasureName"],
            redact(rejection.reason),
            rejection.existing_version,
        )
        for rejection in outcome.rejected
    ]


def _owners(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries for _ in entry.observation.values]

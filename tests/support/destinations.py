"""A destination in memory that keeps the contract, and observations to write to any."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from ingest.deadline import Deadline
from ingest.delivery import Delivery
from ingest.destination import Destination, Kind, Outcome, Rejection
from ingest.errors import AccessError, DeliveryError, IngestError, SettingsError, ThrottledError
from ingest.journal.fallback import RunJournal
from ingest.observation import MEASURES, TEXT, Observation
from ingest.places import Place
from ingest.reporting.logs import RunLog
from ingest.reporting.summary import Summary

NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

# What is never meant to end by its deadline gets this one, so that ending by it shows as its error.
NEVER_S = 60.0

# City, time and measure: what the tests know a value by.
Value = tuple[str, int, str]


def seen_in(city: str, time_ms: int = NOW_MS, version: int = NOW_MS, **values: str) -> Observation:
    """An observation of a city; CurrentTemp and Humidity if no values are given."""
    return seen_with(city, values or {"CurrentTemp": "11.5", "Humidity": "93"}, time_ms, version)


def seen_with(
    city: str, values: dict[str, str], time_ms: int = NOW_MS, version: int = NOW_MS
) -> Observation:
    return Observation(Place(f"{city},GB", ()), city, "GB", 0, time_ms, version, values)


def values_of(observations: Sequence[Observation]) -> list[Value]:
    return [(each.city, each.time_ms, name) for each in observations for name in each.values]


def texts_of(observations: Sequence[Observation]) -> dict[Value, str]:
    """What a table holds once they are stored."""
    return {
        (each.city, each.time_ms, name): text
        for each in observations
        for name, text in each.values.items()
    }


class Trouble(Enum):
    """What can go wrong with a call, whatever the service."""

    THROTTLED = auto()
    UNAVAILABLE = auto()
    DENIED = auto()
    MISSING = auto()  # the table is
    RESET = auto()
    ANSWER_LOST = auto()  # the work is done, and the connection reset
    CUT_OFF = auto()  # the work is done, and half of the answer comes
    PAGE = auto()  # a proxy's own, with status 200


# How each is said if it does not pass.
FAILS_AS: dict[Trouble, type[IngestError]] = {
    Trouble.THROTTLED: ThrottledError,
    Trouble.UNAVAILABLE: DeliveryError,
    Trouble.DENIED: AccessError,
    Trouble.MISSING: SettingsError,
    Trouble.RESET: DeliveryError,
    Trouble.ANSWER_LOST: DeliveryError,
    Trouble.CUT_OFF: DeliveryError,
    Trouble.PAGE: DeliveryError,
}
AFTER_THE_WORK = (Trouble.ANSWER_LOST, Trouble.CUT_OFF)
LASTING = (Trouble.DENIED, Trouble.MISSING)


class TroubleError(Exception):
    """What the table answers, or what becomes of its answer."""


class RefusedCallError(Exception):
    """The table refuses the whole call."""


@dataclass
class MemoryTable:
    """Of each value the highest version.

    oldest_ms, newest_ms: what was observed outside is refused.
    calls: what arrived, refused or not.
    rows: series and measure -> text and version. types: of measures that it holds already.
    on_call: called when a call arrives, before anything is done.
    """

    oldest_ms: int = 0
    newest_ms: int = 2**62
    calls: list[list[Value]] = field(default_factory=list)
    rows: dict[tuple[Any, str], tuple[str, int]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    on_call: Callable[[], object] = lambda: None
    next_troubles: deque[Trouble] = field(default_factory=deque)
    standing: Trouble | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, sent: Sequence[tuple[Observation, str]]) -> Outcome:
        """Store what can be stored. Raises TroubleError, or RefusedCallError."""
        with self._lock:
            self.calls.append([(each.city, each.time_ms, name) for each, name in sent])
        self.on_call()
        with self._lock:
            trouble = self.next_troubles.popleft() if self.next_troubles else self.standing
            if trouble and trouble not in AFTER_THE_WORK:
                raise TroubleError(trouble)
            outcome = self._store(sent)
        if trouble:
            raise TroubleError(trouble)
        return outcome

    def _store(self, sent: Sequence[tuple[Observation, str]]) -> Outcome:
        for observation, name in sent:
            if MEASURES[name].kind != TEXT and not _is_number(observation.values[name]):
                raise RefusedCallError(f"The value of {name} is not a number.")
        rejected = [each for each in (self._refusal(*value) for value in sent) if each]
        refused = {(id(each.observation), each.measure) for each in rejected}
        for each, name in sent:
            if (id(each), name) not in refused:
                key, row = (each.series, name), (each.values[name], each.version)
                self.rows[key] = max(self.rows.get(key, row), row, key=lambda known: known[1])
                self.types.setdefault(name, MEASURES[name].kind)
        return Outcome(len(sent) - len(rejected), rejected)

    def _refusal(self, observation: Observation, name: str) -> Rejection | None:
        kind = MEASURES[name].kind
        text, version = self.rows.get((observation.series, name), ("", -1))
        if observation.time_ms < self.oldest_ms:
            return Rejection(observation, name, Kind.TOO_OLD, "It is too old.")
        if observation.time_ms > self.newest_ms:
            return Rejection(observation, name, Kind.IN_FUTURE, "It lies in the future.")
        if self.types.get(name, kind) != kind:
            return Rejection(observation, name, Kind.SCHEMA, f"{name} is a {self.types[name]}.")
        if observation.version <= version and text != observation.values[name]:
            reason = "Another value is there."
            return Rejection(observation, name, Kind.OLDER_VERSION, reason, version)
        return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def go_on(_: Sequence[Observation], __: int) -> Outcome | None:
    return None


class FakeDestination:
    """The contract over a table in memory: three attempts, halving, one answer for each value.

    respond: asked at each `write`, with its number from 0; what it returns is the outcome, and None
    leaves it to the table.
    writes: the observations of each `write`.
    """

    service = "Memory"
    name = "memory.table"
    target = "memory/table"

    def __init__(
        self,
        table: MemoryTable | None = None,
        deadline: Deadline | None = None,
        respond: Callable[[Sequence[Observation], int], Outcome | None] = go_on,
        capacity: int = 100,
    ) -> None:
        self.table = table or MemoryTable()
        self.respond = respond
        self.capacity = capacity
        self.writes: list[list[Observation]] = []
        self.prepared = 0
        self.cannot_prepare: IngestError | None = None
        self._deadline = deadline or Deadline(NEVER_S)
        self._lock = threading.Lock()

    def size(self, observation: Observation) -> int:
        return len(observation.values)

    def prepare(self) -> None:
        self.prepared += 1
        self._deadline.check(f"before {self.name} was found")
        if self.cannot_prepare:
            raise self.cannot_prepare

    def write(self, observations: Sequence[Observation]) -> Outcome:
        assert self.prepared, "prepare first"
        with self._lock:
            self.writes.append(list(observations))
            number = len(self.writes) - 1
        outcome = self.respond(observations, number)
        if outcome is None:
            sent = [(each, name) for each in observations for name in each.values]
            outcome = self._write(sent) if sent else Outcome()
        return outcome

    def _write(self, sent: Sequence[tuple[Observation, str]]) -> Outcome:
        trouble = Trouble.RESET
        for _ in range(3):
            if self._deadline.passed():
                return Outcome(failure=self._deadline.error(f"while {self.name} was written"))
            try:
                return self.table.take(sent)
            except RefusedCallError as error:
                return self._halves(sent, str(error))
            except TroubleError as error:
                (trouble,) = error.args
                if trouble in LASTING:
                    break
        return Outcome(failure=failure_of(self.name, trouble))

    def _halves(self, sent: Sequence[tuple[Observation, str]], reason: str) -> Outcome:
        if len(sent) == 1:
            observation, name = sent[0]
            return Outcome(rejected=[Rejection(observation, name, Kind.RECORD, reason)])
        middle = len(sent) // 2
        outcome = self._write(sent[:middle])
        if not outcome.failure:
            outcome.add(self._write(sent[middle:]))
        return outcome

    def advice(self, rejection: Rejection) -> str:
        return f"It is {rejection.kind}. To drop it: ingest_weather.py rejected --discard"

    @property
    def sent(self) -> list[tuple[int, str, int]]:
        """What was sent, in order: time, measure, version."""
        return [
            (each.time_ms, name, each.version)
            for observations in self.writes
            for each in observations
            for name in each.values
        ]


def failure_of(name: str, trouble: Trouble) -> IngestError:
    return FAILS_AS[trouble](f"Writing to {name} failed: {trouble.name}. Try again.")


def unexpected(*what: object) -> None:
    raise AssertionError(what)


def deliver_from_memory(
    destination: Destination, observations: Sequence[Observation], writers: int = 1
) -> tuple[Summary, RunJournal]:
    """One delivery without a file; it must not fail, and nothing may be refused."""
    journal = RunJournal(None, destination.target, unexpected)
    summary = Summary("run")
    delivery = Delivery(
        destination,
        journal,
        Deadline(NEVER_S),
        RunLog(),
        summary,
        unexpected,
        lambda: NOW_MS,
        writers,
    )
    try:
        delivery.add(journal.enqueue(observations, NOW_MS))
        delivery.finish()
    finally:
        delivery.close()
    assert delivery.failure is None
    return summary, journal

"""Delivery: oldest first, whole observations, at most 100 records a call, nothing lost."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import delivery as delivery_module
from ingest.deadline import Deadline, Task
from ingest.delivery import Delivered, Delivery
from ingest.errors import DeadlineError, DeliveryError, Interrupted, ThrottledError
from ingest.journal.fallback import Store
from ingest.journal.queue import Journal
from ingest.observation import MEASURES, Observation, Place
from tests.support.journals import LONDON, PARIS, T0_MS, TARGET, observed, query, series, states
from timestream_writer import MAX_RECORDS_PER_CALL, Outcome, Record, Rejection

Respond = Callable[[Sequence[Record], int], Outcome]


def unexpected(*what: object) -> None:
    raise AssertionError(what)


def take_all(records: Sequence[Record], _: int) -> Outcome:
    return Outcome(stored=len(records))


@dataclass
class RecordingWriter:
    """A destination that answers each call as told, by its number from 0, and keeps the calls."""

    respond: Respond = take_all
    calls: list[list[Record]] = field(default_factory=list)
    target: str = "database.table"
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, records: Sequence[Record]) -> Outcome:
        with self._lock:
            self.calls.append(list(records))
            number = len(self.calls) - 1
        return self.respond(records, number)

    @property
    def sent(self) -> list[tuple[str, str, int]]:
        """What was sent, in order: time, measure, version."""
        return [
            (record["Time"], record["MeasureName"], record["Version"])
            for call in self.calls
            for record in call
        ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, TARGET, unexpected)
    yield store
    store.close()


def start(
    store: Store,
    writer: RecordingWriter,
    *,
    writers: int = 1,
    deadline: Deadline | None = None,
    told: list[Outcome] | None = None,
) -> Delivery:
    deadline = deadline or Deadline(60)
    ready = Task(lambda: None, "while nothing was looked up")
    tell = [] if told is None else told
    return Delivery(
        store, writer, ready, deadline, lambda outcome, _: tell.append(outcome), writers
    )


def deliver(
    observations: Sequence[Observation], writer: RecordingWriter, writers: int = 1
) -> tuple[Delivered, Store]:
    """Deliver from memory; of every observation is asked what a journal would be."""
    store = Store(None, TARGET, unexpected)
    store.add(observations, T0_MS)
    return start(store, writer, writers=writers).finish(), store


def records(observations: Sequence[Observation]) -> list[tuple[str, str, int]]:
    return [
        (str(each.time_ms), measure, each.version)
        for each in observations
        for measure in each.values
    ]


sizes = st.lists(st.integers(1, len(MEASURES)), max_size=60)


def of_sizes(counts: list[int]) -> list[Observation]:
    names = list(MEASURES)
    return [
        observed(LONDON, T0_MS + number, 1 + number, **dict.fromkeys(names[:count], str(number)))
        for number, count in enumerate(counts)
    ]


@given(counts=sizes, writers=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_calls_hold_up_to_100_records_and_whole_observations(
    counts: list[int], writers: int
) -> None:
    writer = RecordingWriter()
    observations = of_sizes(counts)
    result, store = deliver(observations, writer, writers)
    assert result == Delivered(stored=sum(counts))
    assert all(1 <= len(call) <= MAX_RECORDS_PER_CALL for call in writer.calls)
    where = [{record["Time"] for record in call} for call in writer.calls]
    assert sum(len(times) for times in where) == len(set().union(*where))
    assert sorted(writer.sent) == sorted(records(observations))
    assert store.count_pending() == 0


@given(counts=sizes)
@settings(max_examples=40, deadline=None)
def test_with_one_writer_the_oldest_goes_first_and_calls_are_as_full_as_they_can_be(
    counts: list[int],
) -> None:
    writer = RecordingWriter()
    observations = of_sizes(counts)
    deliver(observations, writer)
    assert writer.sent == records(observations)
    for call, next_call in zip(writer.calls, writer.calls[1:], strict=False):
        first = next_call[0]["Time"]
        following = sum(record["Time"] == first for record in next_call)
        assert len(call) + following > MAX_RECORDS_PER_CALL


@given(
    counts=sizes.filter(bool),
    refused=st.sets(st.integers(0, 400), max_size=40),
    writers=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_each_rejection_reaches_its_own_observation(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], refused: set[int], writers: int
) -> None:
    observations = of_sizes(counts)
    everything = records(observations)
    bad = {everything[index] for index in refused if index < len(everything)}

    def respond(call: Sequence[Record], _: int) -> Outcome:
        rejected = [
            Rejection(each, f"bad {each['Time']} {each['MeasureName']}", 7)
            for each in call
            if (each["Time"], each["MeasureName"], each["Version"]) in bad
        ]
        return Outcome(stored=len(call) - len(rejected), rejected=rejected)

    path = tmp_path_factory.mktemp("rejections") / "journal.sqlite3"
    store = Store(path, TARGET, unexpected)
    store.add(observations, T0_MS)
    told: list[Outcome] = []
    result = start(store, RecordingWriter(respond), writers=writers, told=told).finish()
    store.close()
    assert result == Delivered(stored=len(everything) - len(bad), rejected=len(bad))
    assert sum(len(outcome.rejected) for outcome in told) == len(bad)
    journal = Journal(path, TARGET)
    kept = {(e.observation.time_ms, *e.observation.values, e.reason) for e in journal.rejected()}
    journal.close()
    assert kept == {(int(time), name, f"bad {time} {name}") for time, name, _ in bad}
    assert states(path).get("pending", 0) == 0
    delivered = query(
        path,
        "SELECT time_ms, key FROM observation, json_each(measures) WHERE state = 'delivered'",
    )
    assert set(delivered) == {(int(time), name) for time, name, _ in set(everything) - bad}


def test_rejections_are_told_once_they_are_kept(path: Path, store: Store) -> None:
    def refuse_all(call: Sequence[Record], _: int) -> Outcome:
        return Outcome(rejected=[Rejection(each, "bad") for each in call])

    def tell(outcome: Outcome, target: str) -> None:
        assert (states(path), len(outcome.rejected), target) == (
            {"rejected": 2},
            2,
            "database.table",
        )

    store.add([observed()], T0_MS)
    ready = Task(lambda: None, "while nothing was looked up")
    delivery = Delivery(store, RecordingWriter(refuse_all), ready, Deadline(60), tell)
    assert delivery.finish().rejected == 2


def test_nothing_is_marked_before_it_is_confirmed(path: Path, store: Store) -> None:
    seen = []

    def look(call: Sequence[Record], _: int) -> Outcome:
        seen.append(states(path))
        return take_all(call, 0)

    store.add(series(60), T0_MS)
    start(store, RecordingWriter(look)).finish()
    assert [each["pending"] for each in seen] == [60, 60, 60]
    assert states(path) == {"delivered": 60}


def test_a_failure_stops_the_sending_and_keeps_what_was_not_confirmed(
    path: Path, store: Store
) -> None:
    failure = DeliveryError("throttled")

    def fail_second(call: Sequence[Record], number: int) -> Outcome:
        return Outcome(failure=failure) if number == 1 else take_all(call, 0)

    store.add(series(100), T0_MS)
    writer = RecordingWriter(fail_second)
    result = start(store, writer).finish()
    assert (result.stored, result.failure) == (100, failure)
    assert len(writer.calls) == 2
    assert states(path) == {"delivered": 25, "pending": 75}
    tried = query(path, "SELECT attempts, reason, count(*) FROM observation GROUP BY 1, 2")
    assert sorted(tried) == [(0, "", 50), (1, "", 25), (1, "throttled", 25)]


# A service that throttles

THROTTLED = ThrottledError("too many calls")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest that each pause could have been; none of them takes time."""
    asked: list[float] = []

    def none(least: float, most: float) -> float:
        assert least == 0
        asked.append(most)
        return 0.0

    monkeypatch.setattr(random, "uniform", none)
    return asked


def throttling(*numbers: int) -> Respond:
    """Throttles the calls of these numbers."""

    def respond(call: Sequence[Record], number: int) -> Outcome:
        return Outcome(failure=THROTTLED) if number in numbers else take_all(call, 0)

    return respond


def test_a_throttled_call_is_sent_again_before_those_that_come_after_it(
    path: Path, store: Store, pauses: list[float]
) -> None:
    store.add(series(100), T0_MS)
    writer = RecordingWriter(throttling(1, 2, 4))
    assert start(store, writer).finish() == Delivered(stored=400)
    first_times = [int(call[0]["Time"]) for call in writer.calls]
    first, second, third, fourth = sorted(set(first_times))
    assert first_times == [first, second, second, second, third, third, fourth]
    assert pauses == [1.0, 2.0, 1.0]
    assert states(path) == {"delivered": 100}


def test_a_service_that_takes_nothing_ends_a_run_that_has_a_journal_at_once(
    path: Path, store: Store, pauses: list[float]
) -> None:
    store.add(series(100), T0_MS)
    writer = RecordingWriter(throttling(*range(1000)))
    assert start(store, writer).finish().failure is THROTTLED
    assert (len(writer.calls), pauses) == (1, [])
    assert states(path) == {"pending": 100}


def test_a_service_that_takes_nothing_any_more_ends_it_after_some_calls(
    path: Path, store: Store, pauses: list[float]
) -> None:
    store.add(series(100), T0_MS)
    writer = RecordingWriter(throttling(*range(1, 1000)))
    result = start(store, writer).finish()
    assert (result.stored, result.failure) == (100, THROTTLED)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0]
    assert len(writer.calls) == 1 + 5 + 1
    assert states(path) == {"delivered": 25, "pending": 75}


def test_what_no_journal_keeps_is_sent_until_it_is_taken(pauses: list[float]) -> None:
    writer = RecordingWriter(throttling(*range(20)))
    result, store = deliver(series(50), writer)
    assert (result, store.count_lost()) == (Delivered(stored=200), 0)
    assert len(pauses) == 20


def test_what_no_journal_keeps_is_sent_until_the_deadline() -> None:
    store = Store(None, TARGET, unexpected)
    store.add(series(50), T0_MS)
    writer = RecordingWriter(throttling(*range(1000)))
    result = start(store, writer, deadline=Deadline(0.5)).finish()
    assert isinstance(result.failure, DeadlineError | ThrottledError)
    assert (result.stored, store.count_lost()) == (0, 50)


def test_after_a_throttled_call_there_are_fewer_at_once_and_then_more_again(
    pauses: list[float],
) -> None:
    four, two = threading.Barrier(4), threading.Barrier(2)
    under_way: list[int] = []
    lock, now = threading.Lock(), [0]

    def meet(call: Sequence[Record], number: int) -> Outcome:
        with lock:
            now[0] += 1
            under_way.append(now[0])
        try:
            if number < 4:
                four.wait(60)
                return Outcome(failure=THROTTLED)
            if number in (5, 6):
                two.wait(60)  # one success, and there are two again
            return take_all(call, 0)
        finally:
            with lock:
                now[0] -= 1

    pauses.clear()
    store = Store(None, TARGET, unexpected)
    store.add(series(25 * 8), T0_MS)
    writer = RecordingWriter(meet)
    assert start(store, writer, writers=4).finish() == Delivered(stored=800)
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    assert under_way[4] == 1
    assert max(under_way[5:7]) == 2


@given(counts=sizes, throttled=st.sets(st.integers(0, 30), max_size=15), writers=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_whatever_is_throttled_every_record_is_taken_once(
    counts: list[int], throttled: set[int], writers: int
) -> None:
    observations = of_sizes(counts)
    taken: list[tuple[str, str, int]] = []
    lock = threading.Lock()

    def respond(call: Sequence[Record], number: int) -> Outcome:
        if number in throttled:
            return Outcome(failure=THROTTLED)
        with lock:
            taken.extend((each["Time"], each["MeasureName"], each["Version"]) for each in call)
        return take_all(call, 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery_module, "PAUSE_S", 0.0)
        result, store = deliver(observations, RecordingWriter(respond), writers)
    assert result == Delivered(stored=sum(counts))
    assert sorted(taken) == sorted(records(observations))
    assert store.count_pending() == 0


def test_calls_under_way_when_another_fails_are_waited_for(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, failed = threading.Barrier(2), threading.Event()

    def remember(entries: object, reason: str) -> None:
        whole(entries, reason)
        failed.set()

    def fail_first(call: Sequence[Record], number: int) -> Outcome:
        both.wait(60)
        if number == 0:
            return Outcome(failure=DeliveryError("reset"))
        failed.wait(60)
        return take_all(call, 0)

    whole: Any = store.failed
    monkeypatch.setattr(store, "failed", remember)
    store.add(series(100), T0_MS)
    writer = RecordingWriter(fail_first)
    result = start(store, writer, writers=2).finish()
    assert (len(writer.calls), result.stored) == (2, 100)
    assert states(path) == {"delivered": 25, "pending": 75}


def test_a_part_that_was_stored_before_a_failure_is_sent_again(path: Path, store: Store) -> None:
    def half(call: Sequence[Record], number: int) -> Outcome:
        if number:
            return take_all(call, 0)
        return Outcome(stored=2, failure=DeliveryError("reset"))

    store.add([observed()], T0_MS)
    writer = RecordingWriter(half)
    assert start(store, writer).finish().failure
    assert states(path) == {"pending": 1}
    assert start(store, writer).finish() == Delivered(stored=2)
    assert writer.calls[0] == writer.calls[1]


def test_where_the_writer_never_gets_ready_that_is_the_failure(path: Path, store: Store) -> None:
    def no_endpoint() -> None:
        raise DeliveryError("no endpoint")

    store.add(series(3), T0_MS)
    writer = RecordingWriter()
    ready = Task(no_endpoint, "while the endpoint was looked up")
    result = Delivery(store, writer, ready, Deadline(60), unexpected).finish()
    assert str(result.failure) == "no endpoint"
    assert writer.calls == []
    assert states(path) == {"pending": 3}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_deadline_stops_between_calls_and_the_next_run_goes_on(
    path: Path, store: Store
) -> None:
    clock = Clock()

    def slow(call: Sequence[Record], _: int) -> Outcome:
        clock.now += 4
        return take_all(call, 0)

    store.add(series(100), T0_MS)
    writer = RecordingWriter(slow)
    result = start(store, writer, deadline=Deadline(7, clock)).finish()
    # The answer of the second call is there, or comes too late to be taken: never half a call.
    assert len(writer.calls) == 2
    assert isinstance(result.failure, DeadlineError)
    delivered = states(path).get("delivered", 0)
    assert delivered in (25, 50)
    rest = RecordingWriter()
    assert start(store, rest).finish() == Delivered(stored=4 * (100 - delivered))
    assert (writer.sent[: 4 * delivered] + rest.sent) == records(series(100))


def test_a_call_that_never_ends_is_left_at_the_deadline_and_stays_pending(
    path: Path, store: Store
) -> None:
    clock, free = Clock(), threading.Event()

    def hang(call: Sequence[Record], _: int) -> Outcome:
        clock.now += 100
        free.wait(60)
        return take_all(call, 0)

    store.add([observed()], T0_MS)
    result = start(store, RecordingWriter(hang), deadline=Deadline(7, clock)).finish()
    free.set()
    assert isinstance(result.failure, DeadlineError)
    assert states(path) == {"pending": 1}


def test_a_signal_stops_between_calls(path: Path, store: Store) -> None:
    deadline = Deadline(60)

    def stop(call: Sequence[Record], _: int) -> Outcome:
        deadline.stop("SIGTERM")
        return take_all(call, 0)

    store.add(series(100), T0_MS)
    writer = RecordingWriter(stop)
    result = start(store, writer, deadline=deadline).finish()
    assert isinstance(result.failure, Interrupted)
    assert len(writer.calls) == 1
    assert states(path)["pending"] in (75, 100)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), KeyboardInterrupt()])
def test_a_bug_in_a_writer_surfaces(path: Path, store: Store, error: BaseException) -> None:
    def fail(_: Sequence[Record], __: int) -> Outcome:
        raise error

    store.add([observed()], T0_MS)
    with pytest.raises(type(error)) as caught:
        start(store, RecordingWriter(fail)).finish()
    assert caught.value is error
    assert states(path) == {"pending": 1}


def test_as_many_calls_are_under_way_as_there_are_writers(store: Store) -> None:
    all_at_once = threading.Barrier(4)

    def meet(call: Sequence[Record], _: int) -> Outcome:
        all_at_once.wait(60)
        return take_all(call, 0)

    store.add(series(25 * 8), T0_MS)
    writer = RecordingWriter(meet)
    assert start(store, writer, writers=4).finish().stored == 800
    assert len(writer.calls) == 8


def test_with_several_writers_calls_still_start_oldest_first(store: Store) -> None:
    store.add(series(25 * 20), T0_MS)
    writer = RecordingWriter()
    start(store, writer, writers=4).finish()
    starts = [int(call[0]["Time"]) for call in writer.calls]
    assert sorted(writer.sent) == sorted(records(series(25 * 20)))
    # Three of the four can still be on their way with older ones, no more.
    for number, first in enumerate(starts):
        assert sum(later < first for later in starts[number:]) <= 3


def test_a_backlog_goes_before_what_is_added_meanwhile(path: Path, store: Store) -> None:
    store.add(series(30), T0_MS)
    writer = RecordingWriter()
    delivery = start(store, writer)
    fresh = series(30, PARIS, T0_MS + 10**10)
    for each in fresh:
        store.add([each], T0_MS)
        delivery.pump()
    delivery.finish()
    assert writer.sent == records(series(30) + fresh)
    assert states(path) == {"delivered": 60}


def test_a_call_that_is_not_full_waits_until_all_is_fetched(store: Store) -> None:
    writer = RecordingWriter()
    delivery = start(store, writer)
    for each in series(24):
        store.add([each], T0_MS)
        delivery.pump()
    assert delivery.finish() == Delivered(stored=96)
    assert [len(call) for call in writer.calls] == [96]


def test_nothing_pending_makes_no_call(store: Store) -> None:
    writer = RecordingWriter()
    assert start(store, writer).finish() == Delivered()
    assert writer.calls == []


def test_a_backlog_of_many_pages_is_delivered_whole(path: Path, store: Store) -> None:
    count = 3 * delivery_module.PAGE + 7
    store.add(series(count), T0_MS)
    writer = RecordingWriter()
    assert start(store, writer).finish().stored == 4 * count
    assert writer.sent == records(series(count))
    assert len(writer.calls) == -(-count // 25)
    assert states(path) == {"delivered": count}


@pytest.mark.parametrize("writers", [1, 4])
def test_a_version_is_sent_once_the_one_before_is_settled(
    path: Path, store: Store, writers: int
) -> None:
    """A crash between would send the lower version again, after the higher: it would be refused."""
    changing = [observed(version=T0_MS + n, CurrentTemp=str(n)) for n in range(5)]
    others = series(40, PARIS)
    pending_lower = []

    def look(call: Sequence[Record], _: int) -> Outcome:
        for record in call:
            if record["Time"] == str(T0_MS) and record["Dimensions"][0]["Value"] == "London":
                pending_lower.extend(
                    query(
                        path,
                        "SELECT version FROM observation WHERE state = 'pending' "
                        "AND city = 'London' AND version < ?",
                        record["Version"],
                    )
                )
        return take_all(call, 0)

    store.add([*changing[:3], *others[1:], *changing[3:]], T0_MS)
    writer = RecordingWriter(look)
    result = start(store, writer, writers=writers).finish()
    assert result == Delivered(stored=5 + 4 * 39)
    assert pending_lower == []
    sent = [version for time, name, version in writer.sent if time == str(T0_MS)]
    assert sent == [T0_MS + n for n in range(5)]


def test_writers_end_with_the_delivery(store: Store) -> None:
    store.add(series(200), T0_MS)
    before = set(threading.enumerate())
    start(store, RecordingWriter(), writers=4).finish()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_places_of_one_name_in_two_countries_are_delivered_apart(path: Path, store: Store) -> None:
    canada = Place("London,CA", (), country="CA")
    store.add([observed(LONDON), observed(canada)], T0_MS)
    writer = RecordingWriter()
    assert start(store, writer).finish() == Delivered(stored=4)
    countries = [record["Dimensions"][1]["Value"] for call in writer.calls for record in call]
    assert countries == ["GB", "GB", "CA", "CA"]
    assert states(path) == {"delivered": 2}

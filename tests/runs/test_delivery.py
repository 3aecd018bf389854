"""Delivery: oldest first, whole observations, calls as full as they may be, nothing lost."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import delivery as delivery_module
from ingest.deadline import SLICE_S, Deadline
from ingest.delivery import Delivery
from ingest.destination import Kind, Outcome, Rejection
from ingest.errors import DeadlineError, DeliveryError, IngestError, Interrupted, ThrottledError
from ingest.journal.fallback import MOST_UNSENT, RunJournal
from ingest.journal.queue import Entry
from ingest.journal.rejected import rejected
from ingest.journal.schema import JournalFile
from ingest.observation import MEASURES, Observation
from ingest.places import Place
from ingest.reporting.logs import RunLog
from ingest.reporting.summary import Summary
from tests.support.destinations import (
    NEVER_S,
    FakeDestination,
    deliver_from_memory,
    unexpected,
)
from tests.support.journals import LONDON, PARIS, T0_MS, TARGET, observed, query, series, states

Respond = Callable[[Sequence[Observation], int], Outcome | None]

# Four measures each: a call holds this many of `series`.
CALL = 25


class Run:
    """A delivery with its journal: `leave` and `add`, then `finish`."""

    def __init__(
        self,
        path: Path | None,
        destination: FakeDestination,
        *,
        writers: int = 1,
        deadline: Deadline | None = None,
        on_rejected: Callable[[Outcome], None] = unexpected,
    ) -> None:
        self.log = RunLog()
        self.summary = Summary(self.log.run_id)
        self.journal = RunJournal(path, TARGET, unexpected)
        self.delivery = Delivery(
            destination,
            self.journal,
            deadline or Deadline(NEVER_S),
            self.log,
            self.summary,
            on_rejected,
            lambda: T0_MS,
            writers,
        )

    def add(self, observations: Sequence[Observation]) -> None:
        """As the pipeline does with what it has fetched."""
        self.delivery.add(self.journal.enqueue(observations, T0_MS))

    def finish(self) -> "Run":
        try:
            self.delivery.finish()
        finally:
            self.close()
        return self

    def close(self) -> None:
        self.delivery.close()
        self.journal.close()

    @property
    def failure(self) -> IngestError | None:
        return self.delivery.failure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def leave(path: Path, observations: Sequence[Observation]) -> None:
    """What an earlier run could not deliver."""
    journal = RunJournal(path, TARGET, unexpected)
    journal.enqueue(observations, T0_MS)
    journal.close()


def deliver(path: Path | None, destination: FakeDestination, **options: Any) -> Run:
    """One run that fetches nothing."""
    return Run(path, destination, **options).finish()


def times(destination: FakeDestination) -> list[int]:
    """The time of the first observation of each write."""
    return [observations[0].time_ms for observations in destination.writes]


def sent(observations: Sequence[Observation]) -> list[tuple[int, str, int]]:
    """As `FakeDestination.sent`: time, measure, version."""
    return [(each.time_ms, name, each.version) for each in observations for name in each.values]


sizes = st.lists(st.integers(1, len(MEASURES)), max_size=60)


def of_sizes(counts: list[int]) -> list[Observation]:
    names = list(MEASURES)
    return [
        observed(LONDON, T0_MS + number, 1 + number, **dict.fromkeys(names[:count], str(number)))
        for number, count in enumerate(counts)
    ]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# What a call holds


@given(counts=sizes, writers=st.integers(1, 4), capacity=st.sampled_from([21, 40, 100, 5000]))
@settings(max_examples=60)
def test_calls_hold_whole_observations_and_at_most_the_capacity(
    counts: list[int], writers: int, capacity: int
) -> None:
    destination = FakeDestination(capacity=capacity)
    observations = of_sizes(counts)
    summary, journal = deliver_from_memory(destination, observations, writers)
    assert (summary.stored, summary.rejected) == (sum(counts), 0)
    assert all(1 <= len(call) <= capacity for call in destination.table.calls)
    assert sorted(destination.sent) == sorted(sent(observations))
    assert journal.count_pending() == 0


@given(counts=sizes)
@settings(max_examples=40)
def test_with_one_writer_the_oldest_goes_first_and_calls_are_as_full_as_they_can_be(
    counts: list[int],
) -> None:
    destination = FakeDestination()
    observations = of_sizes(counts)
    deliver_from_memory(destination, observations)
    assert destination.sent == sent(observations)
    calls = [sum(map(destination.size, write)) for write in destination.writes]
    for size, following in zip(calls, destination.writes[1:], strict=False):
        assert size + destination.size(following[0]) > destination.capacity


@given(counts=sizes, left=st.integers(0, 60))
@settings(max_examples=40)
def test_what_an_earlier_run_left_goes_first_and_shares_calls_with_what_is_new(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], left: int
) -> None:
    path = tmp_path_factory.mktemp("left") / "journal.sqlite3"
    observations = of_sizes(counts)
    leave(path, observations[:left])
    destination = FakeDestination()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery_module, "PAGE", 7)
        run = Run(path, destination)
        run.add(observations[left:])
        assert run.finish().summary.stored == sum(counts)
    assert destination.sent == sent(observations)
    assert len(destination.writes) <= 1 + sum(counts) // (100 - len(MEASURES))
    assert states(path).get("pending", 0) == 0


def test_a_call_that_holds_more_than_a_page_of_the_backlog_is_filled(path: Path) -> None:
    count = 3 * delivery_module.PAGE + 7
    leave(path, series(count))
    destination = FakeDestination(capacity=4 * count)
    assert deliver(path, destination).summary.stored == 4 * count
    assert len(destination.writes) == 1


def test_a_backlog_of_many_pages_is_delivered_whole(path: Path) -> None:
    count = 3 * delivery_module.PAGE + 7
    leave(path, series(count))
    destination = FakeDestination()
    assert deliver(path, destination).summary.stored == 4 * count
    assert destination.sent == sent(series(count))
    assert len(destination.writes) == -(-count // CALL)
    assert states(path) == {"delivered": count}


def test_a_call_that_is_not_full_waits_until_all_is_fetched(path: Path) -> None:
    destination = FakeDestination()
    run = Run(path, destination)
    for each in series(CALL - 1):
        run.add([each])
        run.delivery.pump()
    assert run.finish().summary.stored == 96
    assert [len(write) for write in destination.writes] == [CALL - 1]


def test_a_call_that_is_full_is_sent_while_more_is_fetched(path: Path) -> None:
    destination = FakeDestination()
    run = Run(path, destination)
    wait([run.delivery._preparing], NEVER_S)
    run.add(series(CALL))
    run.delivery.pump()
    wait(run.delivery._calls, NEVER_S)
    assert destination.writes == [series(CALL)]
    run.finish()


def test_a_backlog_goes_before_what_is_added_during_it(path: Path) -> None:
    count = delivery_module.PAGE + 30
    leave(path, series(count))
    destination = FakeDestination()
    run = Run(path, destination)
    fresh = series(30, PARIS, T0_MS + 10**10)
    for each in fresh:
        run.add([each])
        run.delivery.pump()
    run.finish()
    assert destination.sent == sent([*series(count), *fresh])
    assert states(path) == {"delivered": count + 30}


def test_what_was_added_is_not_read_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = FakeDestination()
    run = Run(path, destination)
    read = []
    backlog = run.journal.backlog

    def note(after: int, limit: int) -> list[Entry]:
        read.append(after)
        return backlog(after, limit)

    monkeypatch.setattr(run.journal, "backlog", note)
    for each in series(3 * CALL):
        run.add([each])
        run.delivery.pump()
    assert run.finish().summary.stored == 4 * 3 * CALL
    assert read == [0]


def test_nothing_pending_makes_no_call(path: Path) -> None:
    destination = FakeDestination()
    run = deliver(path, destination)
    assert (run.summary.stored, run.failure, destination.writes) == (0, None, [])


def test_places_of_one_name_in_two_countries_are_delivered_apart(path: Path) -> None:
    canada = Place("London,CA", (), country="CA")
    leave(path, [observed(LONDON), observed(canada)])
    destination = FakeDestination()
    assert deliver(path, destination).summary.stored == 4
    assert [each.country for write in destination.writes for each in write] == ["GB", "CA"]
    assert states(path) == {"delivered": 2}


# What is kept of the answers


@given(
    counts=sizes.filter(bool),
    refused=st.sets(st.integers(0, 400), max_size=40),
    writers=st.integers(1, 3),
    left=st.integers(0, 60),
)
@settings(max_examples=60)
def test_each_rejection_reaches_its_own_observation(
    tmp_path_factory: pytest.TempPathFactory,
    counts: list[int],
    refused: set[int],
    writers: int,
    left: int,
) -> None:
    observations = of_sizes(counts)
    everything = sent(observations)
    bad = {everything[index] for index in refused if index < len(everything)}

    def respond(observations: Sequence[Observation], _: int) -> Outcome:
        rejections = [
            Rejection(each, name, Kind.OLDER_VERSION, f"bad {each.time_ms} {name}", each.version)
            for each in observations
            for name in each.values
            if (each.time_ms, name, each.version) in bad
        ]
        count = sum(len(each.values) for each in observations)
        return Outcome(stored=count - len(rejections), rejected=rejections)

    path = tmp_path_factory.mktemp("rejections") / "journal.sqlite3"
    leave(path, observations[:left])
    told: list[Outcome] = []
    destination = FakeDestination(respond=respond)
    run = Run(path, destination, writers=writers, on_rejected=told.append)
    run.add(observations[left:])
    run.finish()
    assert run.failure is None
    assert (run.summary.stored, run.summary.rejected) == (len(everything) - len(bad), len(bad))
    assert sum(len(outcome.rejected) for outcome in told) == len(bad)
    assert all(outcome.rejected for outcome in told)
    file = JournalFile(path)
    kept = [
        (each.observation.time_ms, *each.observation.values, each.existing_version, each.reason)
        for each in rejected(file)
    ]
    file.close()
    assert sorted(kept) == sorted(
        (time_ms, name, version, f"bad {time_ms} {name}") for time_ms, name, version in bad
    )
    assert states(path).get("pending", 0) == 0
    delivered = query(
        path,
        "SELECT time_ms, key FROM observation, json_each(measures) WHERE state = 'delivered'",
    )
    assert sorted(delivered) == sorted((time, name) for time, name, _ in set(everything) - bad)


def refuse_all(observations: Sequence[Observation], _: int) -> Outcome:
    return Outcome(
        rejected=[
            Rejection(each, name, Kind.TOO_OLD, "too old for hunter2")
            for each in observations
            for name in each.values
        ]
    )


def test_rejections_are_reported_after_they_are_kept(path: Path) -> None:
    told = []

    def tell(outcome: Outcome) -> None:
        assert states(path) == {"rejected": 2}
        told.append(len(outcome.rejected))

    leave(path, [observed()])
    run = deliver(path, FakeDestination(respond=refuse_all), on_rejected=tell)
    assert (told, run.summary.rejected, run.failure) == ([2], 2, None)


def test_no_secret_of_the_run_is_kept_with_a_reason(path: Path) -> None:
    leave(path, [observed()])
    run = Run(path, FakeDestination(respond=refuse_all), on_rejected=lambda _: None)
    run.log.redact.add("hunter2")
    run.finish()
    assert query(path, "SELECT DISTINCT kind, reason FROM observation") == [
        ("too_old", "too old for (redacted)")
    ]


def test_nothing_is_marked_before_it_is_confirmed(path: Path) -> None:
    seen = []

    def look(_: Sequence[Observation], __: int) -> None:
        seen.append(states(path))

    leave(path, series(60))
    deliver(path, FakeDestination(respond=look))
    assert [each["pending"] for each in seen] == [60, 60, 60]
    assert states(path) == {"delivered": 60}


def test_what_was_confirmed_is_committed_now_and_then_while_more_is_fetched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "ACKNOWLEDGE_EVERY_S", -1.0)
    run = Run(path, FakeDestination())
    wait([run.delivery._preparing], NEVER_S)
    run.add(series(CALL + 1))
    run.delivery.pump()
    wait(run.delivery._calls, NEVER_S)
    run.delivery.pump()
    assert states(path) == {"delivered": CALL, "pending": 1}
    run.finish()
    assert states(path) == {"delivered": CALL + 1}


# Failures


def test_a_failure_stops_the_sending_and_keeps_what_was_not_confirmed(path: Path) -> None:
    failure = DeliveryError("no answer to hunter2")

    def fail_second(_: Sequence[Observation], number: int) -> Outcome | None:
        return Outcome(failure=failure) if number == 1 else None

    leave(path, series(100))
    destination = FakeDestination(respond=fail_second)
    run = Run(path, destination)
    run.log.redact.add("hunter2")
    run.finish()
    assert (run.summary.stored, run.failure) == (100, failure)
    assert len(destination.writes) == 2
    assert states(path) == {"delivered": 25, "pending": 75}
    tried = query(path, "SELECT attempts, reason, count(*) FROM observation GROUP BY 1, 2")
    assert sorted(tried) == [(0, "", 50), (1, "", 25), (1, "no answer to (redacted)", 25)]


def failing(*failures: IngestError) -> FakeDestination:
    """Fails its first writes with these."""

    def respond(_: Sequence[Observation], number: int) -> Outcome | None:
        return Outcome(failure=failures[number]) if number < len(failures) else None

    return FakeDestination(respond=respond)


def test_what_is_added_after_a_failure_is_left_to_a_later_run(path: Path) -> None:
    destination = failing(DeliveryError("reset"))
    run = Run(path, destination)
    run.add(series(CALL))
    run.delivery.finish()
    assert run.failure
    run.add(series(CALL, PARIS))
    run.delivery.pump(all_fetched=True)
    run.finish()
    assert len(destination.writes) == 1
    assert states(path) == {"pending": 2 * CALL}
    assert deliver(path, FakeDestination()).summary.stored == 8 * CALL


def test_after_a_failure_little_is_held_in_memory(path: Path) -> None:
    """The run goes on fetching, and the file has it all."""
    leave(path, series(delivery_module.PAGE + 1))
    run = Run(path, failing(DeliveryError("reset")))
    run.add(series(2 * MOST_UNSENT, PARIS))
    run.delivery.finish()
    run.add(series(1, LONDON, T0_MS + 10**11))
    assert not run.delivery._waiting
    assert not run.delivery._fresh
    assert run.journal.count_in_hand() <= MOST_UNSENT
    run.close()
    assert states(path) == {"pending": delivery_module.PAGE + 1 + 2 * MOST_UNSENT + 1}


def test_the_first_failure_is_the_one_that_is_said(path: Path) -> None:
    first, second = DeliveryError("reset"), DeliveryError("another")
    leave(path, series(2 * CALL))
    run = Run(path, failing(first, second), writers=2)
    wait([run.delivery._preparing], NEVER_S)
    run.delivery.pump()
    wait(run.delivery._calls, NEVER_S)
    failures = [call.result().failure for call in run.delivery._calls]
    run.finish()
    assert run.failure is failures[0]
    assert failures[0] in (first, second)
    assert len(failures) == 2


def test_calls_under_way_when_another_fails_are_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, failed = threading.Barrier(2), threading.Event()

    def fail_first(_: Sequence[Observation], number: int) -> Outcome | None:
        both.wait(NEVER_S)
        if number == 0:
            return Outcome(failure=DeliveryError("reset"))
        failed.wait(NEVER_S)
        return None

    leave(path, series(100))
    destination = FakeDestination(respond=fail_first)
    run = Run(path, destination, writers=2)
    note = run.journal.note_failure

    def remember(*what: Any) -> None:
        note(*what)
        failed.set()

    monkeypatch.setattr(run.journal, "note_failure", remember)
    run.finish()
    assert (len(destination.writes), run.summary.stored) == (2, 100)
    assert states(path) == {"delivered": 25, "pending": 75}


def test_a_part_that_was_stored_before_a_failure_is_sent_again(path: Path) -> None:
    def half(_: Sequence[Observation], number: int) -> Outcome | None:
        return None if number else Outcome(stored=2, failure=DeliveryError("reset"))

    leave(path, [observed()])
    destination = FakeDestination(respond=half)
    assert deliver(path, destination).failure
    assert states(path) == {"pending": 1}
    run = deliver(path, destination)
    assert (run.summary.stored, run.failure) == (2, None)
    assert destination.writes[0] == destination.writes[1]


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), KeyboardInterrupt()])
def test_a_bug_in_a_destination_surfaces(path: Path, error: BaseException) -> None:
    def fail(_: Sequence[Observation], __: int) -> Outcome:
        raise error

    leave(path, [observed()])
    with pytest.raises(type(error)) as caught:
        deliver(path, FakeDestination(respond=fail))
    assert caught.value is error
    assert states(path) == {"pending": 1}


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


def throttling(*numbers: int) -> FakeDestination:
    """Throttles the writes of these numbers."""

    def respond(_: Sequence[Observation], number: int) -> Outcome | None:
        return Outcome(failure=THROTTLED) if number in numbers else None

    return FakeDestination(respond=respond)


def test_a_throttled_call_is_sent_again_before_those_that_come_after_it(
    path: Path, pauses: list[float]
) -> None:
    leave(path, series(100))
    destination = throttling(1, 2, 4)
    run = deliver(path, destination)
    assert (run.summary.stored, run.failure) == (400, None)
    first, second, third, fourth = sorted(set(times(destination)))
    assert times(destination) == [first, second, second, second, third, third, fourth]
    assert pauses == [1.0, 2.0, 1.0]
    assert states(path) == {"delivered": 100}


def test_nothing_is_sent_in_a_pause(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, sent_at, slept = Clock(), [], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    def throttle_second(_: Sequence[Observation], number: int) -> Outcome | None:
        sent_at.append(clock.now)
        return Outcome(failure=THROTTLED) if number == 1 else None

    monkeypatch.setattr(random, "uniform", lambda _, most: most)
    leave(path, series(2 * CALL))
    run = Run(path, FakeDestination(respond=throttle_second))
    monkeypatch.setattr(delivery_module, "time", SimpleNamespace(monotonic=clock, sleep=sleep))
    assert run.finish().summary.stored == 8 * CALL
    assert sent_at == [0.0, 0.0, pytest.approx(1.0)]
    assert max(slept) <= SLICE_S


def test_calls_that_are_throttled_together_are_sent_again_oldest_first(
    path: Path, pauses: list[float]
) -> None:
    leave(path, series(4 * CALL))
    destination = throttling(1, 2, 3)
    run = Run(path, destination, writers=3)
    wait([run.delivery._preparing], NEVER_S)
    run.delivery.pump()
    wait(run.delivery._calls, NEVER_S)
    run.finish()
    assert (run.summary.stored, run.failure) == (400, None)
    starts = times(destination)
    assert len(pauses) == 3
    assert starts[-3:] == sorted(starts[-3:])
    assert states(path) == {"delivered": 100}


def test_a_service_that_takes_nothing_ends_a_run_that_has_a_journal_at_once(
    path: Path, pauses: list[float]
) -> None:
    leave(path, series(100))
    destination = throttling(*range(1000))
    assert deliver(path, destination).failure is THROTTLED
    assert (len(destination.writes), pauses) == (1, [])
    assert states(path) == {"pending": 100}


def test_a_service_that_takes_nothing_any_more_ends_it_after_some_calls(
    path: Path, pauses: list[float]
) -> None:
    leave(path, series(100))
    destination = throttling(*range(1, 1000))
    run = deliver(path, destination)
    assert (run.summary.stored, run.failure) == (100, THROTTLED)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0]
    assert len(destination.writes) == 1 + 5 + 1
    assert states(path) == {"delivered": 25, "pending": 75}


def test_what_no_journal_keeps_is_sent_until_it_is_taken(pauses: list[float]) -> None:
    summary, journal = deliver_from_memory(throttling(*range(20)), series(50))
    assert (summary.stored, journal.count_unsaved()) == (200, 0)
    assert len(pauses) == 20


@pytest.mark.usefixtures("pauses")
def test_what_no_journal_keeps_is_sent_until_the_deadline() -> None:
    clock = Clock()

    def throttle(_: Sequence[Observation], __: int) -> Outcome:
        clock.now += 1.0
        return Outcome(failure=THROTTLED)

    destination = FakeDestination(respond=throttle)
    run = Run(None, destination, deadline=Deadline(20.0, clock))
    run.add(series(50))
    run.finish()
    assert isinstance(run.failure, DeadlineError | ThrottledError)
    assert len(destination.writes) == 20
    assert (run.summary.stored, run.journal.count_unsaved()) == (0, 50)


def test_after_a_throttled_call_there_are_fewer_at_once_and_then_more_again(
    pauses: list[float],
) -> None:
    four, two = threading.Barrier(4), threading.Barrier(2)
    under_way: list[int] = []
    lock, now = threading.Lock(), [0]

    def meet(_: Sequence[Observation], number: int) -> Outcome | None:
        with lock:
            now[0] += 1
            under_way.append(now[0])
        try:
            if number < 4:
                four.wait(NEVER_S)
                return Outcome(failure=THROTTLED)
            if number in (5, 6):
                two.wait(NEVER_S)  # one success, and there are two again
            return None
        finally:
            with lock:
                now[0] -= 1

    destination = FakeDestination(respond=meet)
    summary, _ = deliver_from_memory(destination, series(CALL * 8), writers=4)
    assert summary.stored == 800
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    assert under_way[4] == 1
    assert max(under_way[5:7]) == 2


@given(counts=sizes, throttled=st.sets(st.integers(0, 30), max_size=15), writers=st.integers(1, 4))
@settings(max_examples=60)
def test_whatever_is_throttled_every_value_is_taken_once(
    counts: list[int], throttled: set[int], writers: int
) -> None:
    observations = of_sizes(counts)
    destination = throttling(*throttled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery_module, "PAUSE_S", 0.0)
        summary, journal = deliver_from_memory(destination, observations, writers)
    assert summary.stored == sum(counts)
    # What is throttled does not come to the table.
    taken = [(time_ms, name) for call in destination.table.calls for _, time_ms, name in call]
    assert sorted(taken) == sorted((time_ms, name) for time_ms, name, _ in sent(observations))
    assert journal.count_pending() == 0


# The way to the table


def test_prepare_is_called_once_in_a_thread_of_its_own_while_entries_come(path: Path) -> None:
    found, threads = threading.Event(), []

    class Slow(FakeDestination):
        def prepare(self) -> None:
            threads.append(threading.current_thread())
            found.wait(NEVER_S)
            super().prepare()

    destination = Slow()
    run = Run(path, destination)
    for each in series(2 * CALL):
        run.add([each])
        run.delivery.pump()
    assert destination.writes == []
    found.set()
    assert run.finish().summary.stored == 8 * CALL
    assert len(threads) == destination.prepared == 1
    assert threads != [threading.current_thread()]


def test_a_prepare_that_fails_is_the_failure_and_nothing_is_written(path: Path) -> None:
    leave(path, series(3))
    destination = FakeDestination()
    destination.cannot_prepare = DeliveryError("no endpoint")
    run = deliver(path, destination)
    assert run.failure is destination.cannot_prepare
    assert destination.writes == []
    assert states(path) == {"pending": 3}


def test_a_prepare_that_fails_does_not_matter_when_nothing_is_pending(path: Path) -> None:
    destination = FakeDestination()
    destination.cannot_prepare = DeliveryError("no endpoint")
    assert deliver(path, destination).failure is None


def test_a_bug_in_a_prepare_surfaces(path: Path) -> None:
    class Broken(FakeDestination):
        def prepare(self) -> None:
            raise ZeroDivisionError

    leave(path, series(3))
    with pytest.raises(ZeroDivisionError):
        deliver(path, Broken())
    assert states(path) == {"pending": 3}


def test_a_prepare_that_never_ends_is_left_at_the_deadline(path: Path) -> None:
    clock, found = Clock(), threading.Event()

    class Slow(FakeDestination):
        def prepare(self) -> None:
            clock.now += 100
            found.wait(NEVER_S)

    leave(path, series(3))
    destination = Slow()
    try:
        run = deliver(path, destination, deadline=Deadline(7, clock))
    finally:
        found.set()
    assert isinstance(run.failure, DeadlineError)
    assert destination.writes == []
    assert states(path) == {"pending": 3}


# Time


def test_the_deadline_stops_between_calls_and_the_next_run_goes_on(path: Path) -> None:
    clock = Clock()

    def slow(_: Sequence[Observation], __: int) -> None:
        clock.now += 4

    leave(path, series(100))
    destination = FakeDestination(respond=slow)
    run = deliver(path, destination, deadline=Deadline(7, clock))
    # The answer of the second call is there, or comes too late to be taken: never half a call.
    assert len(destination.writes) == 2
    assert isinstance(run.failure, DeadlineError)
    delivered = states(path).get("delivered", 0)
    assert delivered in (25, 50)
    rest = FakeDestination()
    assert deliver(path, rest).summary.stored == 4 * (100 - delivered)
    assert (destination.sent[: 4 * delivered] + rest.sent) == sent(series(100))


def test_a_call_that_never_ends_is_left_at_the_deadline_and_stays_pending(path: Path) -> None:
    clock, free = Clock(), threading.Event()

    def hang(_: Sequence[Observation], __: int) -> None:
        clock.now += 100
        free.wait(NEVER_S)

    leave(path, [observed()])
    try:
        run = deliver(path, FakeDestination(respond=hang), deadline=Deadline(7, clock))
        assert isinstance(run.failure, DeadlineError)
        assert states(path) == {"pending": 1}
    finally:
        free.set()


def test_a_signal_stops_between_calls(path: Path) -> None:
    deadline = Deadline(NEVER_S)

    def stop(_: Sequence[Observation], __: int) -> None:
        deadline.stop("SIGTERM")

    leave(path, series(100))
    destination = FakeDestination(respond=stop)
    run = deliver(path, destination, deadline=deadline)
    assert isinstance(run.failure, Interrupted)
    assert len(destination.writes) == 1
    assert states(path)["pending"] in (75, 100)


# Several writers


def test_as_many_calls_are_under_way_as_there_are_writers(path: Path) -> None:
    all_at_once = threading.Barrier(4)

    def meet(_: Sequence[Observation], __: int) -> None:
        all_at_once.wait(NEVER_S)

    leave(path, series(CALL * 8))
    destination = FakeDestination(respond=meet)
    assert deliver(path, destination, writers=4).summary.stored == 800
    assert len(destination.writes) == 8


def test_with_several_writers_calls_still_start_oldest_first(path: Path) -> None:
    leave(path, series(CALL * 20))
    destination = FakeDestination()
    deliver(path, destination, writers=4)
    assert sorted(destination.sent) == sorted(sent(series(CALL * 20)))
    # At most three of the four can still be on their way with older ones.
    starts = times(destination)
    for number, first in enumerate(starts):
        assert sum(later < first for later in starts[number:]) <= 3


@pytest.mark.parametrize("writers", [1, 4])
def test_a_version_is_sent_once_the_one_before_is_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch, writers: int
) -> None:
    """A crash between would send the lower version again, after the higher: it would be refused."""
    monkeypatch.setattr(delivery_module, "ACKNOWLEDGE_EVERY_S", 10 * NEVER_S)  # but not so late
    changing = [observed(version=T0_MS + n, CurrentTemp=str(n)) for n in range(5)]
    others = series(40, PARIS)
    pending_lower = []

    def look(observations: Sequence[Observation], _: int) -> None:
        for each in observations:
            if each.time_ms == T0_MS:
                pending_lower.extend(
                    query(
                        path,
                        "SELECT version FROM observation WHERE state = 'pending' "
                        "AND city = 'London' AND version < ?",
                        each.version,
                    )
                )

    leave(path, [*changing[:2], *others[1:20]])
    destination = FakeDestination(respond=look)
    run = Run(path, destination, writers=writers)
    run.add([changing[2], *others[20:], *changing[3:]])
    run.finish()
    assert (run.summary.stored, run.failure) == (5 + 4 * 39, None)
    assert pending_lower == []
    versions = [version for time_ms, _, version in destination.sent if time_ms == T0_MS]
    assert versions == [T0_MS + n for n in range(5)]
    assert destination.table.rows[observed().series, "CurrentTemp"] == ("4", T0_MS + 4)


def test_measures_of_one_observation_that_were_put_back_one_by_one_share_a_call(
    path: Path,
) -> None:
    """As after `rejected --retry`."""
    parts = [
        replace(observed(), version=T0_MS + number, values={name: "1"})
        for number, name in enumerate(MEASURES)
    ]
    leave(path, parts)
    destination = FakeDestination()
    run = Run(path, destination)
    run.add(series(10, PARIS))
    assert run.finish().summary.stored == len(MEASURES) + 40
    assert len(destination.writes) == 1
    assert states(path) == {"delivered": len(MEASURES) + 10}


def test_writers_end_with_the_delivery(path: Path) -> None:
    leave(path, series(200))
    before = set(threading.enumerate())
    run = deliver(path, FakeDestination(), writers=4)
    for thread in set(threading.enumerate()) - before:
        thread.join(NEVER_S)
        assert not thread.is_alive()
    assert run.summary.stored == 800

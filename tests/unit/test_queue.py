"""The queue: what is put into it is handed back, in order, once, until it is acknowledged.

One suite over all queues; and what only those with a file can promise, across runs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import JournalError
from ingest.journal import history
from ingest.journal.fallback import RunJournal
from ingest.journal.queue import Entry, FileQueue, MemoryQueue, Queue
from ingest.journal.rejected import discard, rejected
from ingest.journal.schema import JournalFile
from ingest.observation import Observation
from tests.support.journals import (
    LONDON,
    MINUTE_MS,
    PARIS,
    T0_MS,
    TARGET,
    kept,
    observed,
    opened,
    query,
    query_plans,
    rejection,
    series,
    states,
)

LATER_MS = T0_MS + 60 * MINUTE_MS
DURABLE = ("file", "run")
KINDS = ("memory", *DURABLE, "run without a file")

# What makes the queue of the next run.
Next = Callable[[], Queue]


def no_error(error: JournalError) -> None:
    raise error


def opener(kind: str, path: Path, stack: ExitStack) -> Next:
    def file() -> JournalFile:
        file = JournalFile(path, TARGET)
        stack.callback(file.close)
        return file

    def run() -> RunJournal:
        journal = RunJournal(path, TARGET, no_error)
        stack.callback(journal.close)
        return journal

    makers: dict[str, Next] = {
        "memory": MemoryQueue,
        "file": lambda: FileQueue(file()),
        "run": run,
        "run without a file": lambda: RunJournal(None, TARGET, no_error),
    }
    return makers[kind]


@pytest.fixture(params=KINDS)
def queue(request: pytest.FixtureRequest, path: Path) -> Iterator[Queue]:
    with ExitStack() as stack:
        yield opener(request.param, path, stack)()


@pytest.fixture(params=DURABLE)
def next_run(request: pytest.FixtureRequest, path: Path) -> Iterator[Next]:
    """For what outlives a run."""
    with ExitStack() as stack:
        yield opener(request.param, path, stack)


@pytest.fixture
def durable(next_run: Next) -> Queue:
    return next_run()


def observations(entries: Sequence[Entry]) -> list[Observation]:
    return [entry.observation for entry in entries]


def versions(queue: Queue, *seen: Observation) -> list[int]:
    """The versions that they get, each in a call of its own."""
    return [entry.observation.version for one in seen for entry in queue.enqueue([one], T0_MS)]


# Every queue


def test_what_is_enqueued_is_handed_back_as_it_is_and_in_order(queue: Queue) -> None:
    first, second = queue.enqueue(series(3), T0_MS), queue.enqueue(series(2, PARIS), T0_MS)
    assert observations([*first, *second]) == [*series(3), *series(2, PARIS)]
    assert all(one.id < other.id for one, other in pairwise([*first, *second]))


def test_nothing_that_this_run_enqueued_is_in_its_backlog(queue: Queue) -> None:
    entries = queue.enqueue(series(3), T0_MS)
    assert queue.backlog(0, 10) == []
    queue.note_failure(entries, "throttled")
    assert queue.backlog(0, 10) == []


def test_enqueuing_nothing_is_nothing(queue: Queue) -> None:
    assert queue.enqueue([], T0_MS) == []
    assert queue.count_pending() == 0


def test_an_entry_is_pending_until_it_is_acknowledged(queue: Queue) -> None:
    entries = queue.enqueue(series(4), T0_MS)
    assert queue.count_pending() == 4
    queue.acknowledge([entries[0], entries[2]], {}, LATER_MS)
    assert queue.count_pending() == 2
    queue.acknowledge([entries[1], entries[3]], {}, LATER_MS)
    assert queue.count_pending() == 0


def test_an_entry_that_is_refused_is_no_longer_pending(queue: Queue) -> None:
    entries = queue.enqueue(series(3), T0_MS)
    refused = {entries[0].id: [rejection(entries[0])]}
    queue.acknowledge(entries[:2], refused, LATER_MS)
    assert queue.count_pending() == 1


def test_an_attempt_that_failed_leaves_it_pending(queue: Queue) -> None:
    entries = queue.enqueue(series(3), T0_MS)
    queue.note_failure(entries[:2], "throttled")
    assert queue.count_pending() == 3


def test_acknowledging_twice_does_no_harm(queue: Queue) -> None:
    entries = queue.enqueue(series(2), T0_MS)
    for _ in range(2):
        queue.acknowledge(entries[:1], {}, LATER_MS)
        assert queue.count_pending() == 1


def test_acknowledging_nothing_is_nothing(queue: Queue) -> None:
    queue.enqueue(series(2), T0_MS)
    queue.acknowledge([], {}, LATER_MS)
    queue.note_failure([], "throttled")
    assert queue.count_pending() == 2


def test_a_number_is_never_given_twice(queue: Queue) -> None:
    (first,) = queue.enqueue([observed(CurrentTemp="1")], T0_MS)
    queue.acknowledge([first], {}, T0_MS)
    (second,) = queue.enqueue([observed(CurrentTemp="2")], T0_MS)
    assert second.id > first.id


def test_other_values_within_the_same_millisecond_get_a_higher_version(queue: Queue) -> None:
    entries = queue.enqueue([observed(CurrentTemp="1"), observed(CurrentTemp="2")], T0_MS)
    assert [entry.observation.version for entry in entries] == [T0_MS, T0_MS + 1]


def test_two_places_that_are_one_city_never_share_a_version(queue: Queue) -> None:
    """Their replies come in the same millisecond, and to the table they are one series."""
    by_id = replace(observed(CurrentTemp="2"), place=LONDON._replace(name="2643743"))
    entries = queue.enqueue([observed(CurrentTemp="1"), by_id, observed(PARIS)], T0_MS)
    assert [entry.observation.version for entry in entries] == [T0_MS, T0_MS + 1, T0_MS]


@pytest.mark.parametrize("kind", KINDS)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("enqueue"), st.integers(0, 4)),
            st.tuples(st.sampled_from(["acknowledge", "refuse", "fail"]), st.integers(0, 8)),
        )
    )
)
def test_whatever_is_done_with_it_order_is_kept_and_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, kind: str, steps: list[tuple[str, int]]
) -> None:
    with ExitStack() as stack:
        queue = opener(kind, tmp_path_factory.mktemp("any") / "journal.sqlite3", stack)()
        handed: list[Entry] = []
        pending: list[Entry] = []
        for number, (what, count) in enumerate(steps):
            if what == "enqueue":
                fresh = series(count, start_ms=T0_MS + number * 100 * MINUTE_MS)
                entries = queue.enqueue(fresh, T0_MS)
                assert observations(entries) == fresh
                handed += entries
                pending += entries
            elif what == "fail":
                queue.note_failure(pending[count : count + 2], "throttled")
            else:
                done = pending[count : count + 2]
                refused = {entry.id: [rejection(entry)] for entry in done if what == "refuse"}
                queue.acknowledge(done, refused, LATER_MS)
                del pending[count : count + 2]
            assert queue.count_pending() == len(pending)
        numbers = [entry.id for entry in handed]
        assert numbers == sorted(set(numbers))


def test_memory_takes_each_as_new_because_it_has_nothing_to_compare_with() -> None:
    queue = MemoryQueue()
    assert len(queue.enqueue([observed()], T0_MS) + queue.enqueue([observed()], T0_MS)) == 2


# What earlier runs left


def test_what_a_run_leaves_is_the_backlog_of_the_next(next_run: Next) -> None:
    left = next_run().enqueue(series(3), T0_MS)
    again = next_run()
    assert again.backlog(0, 10) == [Entry(each.id, kept(each.observation)) for each in left]
    assert again.count_pending() == 3


def test_the_oldest_comes_first_page_by_page(next_run: Next) -> None:
    left = next_run().enqueue(series(25), T0_MS)
    queue = next_run()
    queue.enqueue(series(5, PARIS), T0_MS)
    pages, after = [], 0
    for _ in range(3):
        pages.append(queue.backlog(after, 10))
        after = pages[-1][-1].id
    assert queue.backlog(after, 10) == []
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [each.id for page in pages for each in page] == [entry.id for entry in left]


def test_what_is_acknowledged_is_not_left(next_run: Next) -> None:
    entries = (queue := next_run()).enqueue(series(4), T0_MS)
    queue.acknowledge([entries[0], entries[2]], {entries[0].id: [rejection(entries[0])]}, LATER_MS)
    queue.note_failure([entries[1]], "throttled")
    again = next_run()
    left = again.backlog(0, 10)
    assert [each.id for each in left] == [entries[1].id, entries[3].id]
    again.acknowledge(left[:1], {}, LATER_MS)
    assert [each.id for each in again.backlog(0, 10)] == [entries[3].id]
    assert [each.id for each in next_run().backlog(0, 10)] == [entries[3].id]


def test_a_number_is_never_given_twice_even_after_all_was_pruned(
    next_run: Next, path: Path
) -> None:
    (first,) = (queue := next_run()).enqueue([observed(CurrentTemp="1")], T0_MS)
    queue.acknowledge([first], {}, T0_MS)
    with opened(path) as db:
        db.execute("DELETE FROM observation")
    (second,) = (queue := next_run()).enqueue([observed(CurrentTemp="2")], T0_MS)
    assert second.id > first.id
    assert queue.backlog(0, 10) == []


def test_targets_are_kept_apart(path: Path) -> None:
    with ExitStack() as stack:
        files = [JournalFile(path, target) for target in ("us-east-1/one", "us-east-1/other")]
        for file in files:
            stack.callback(file.close)
        one, other = map(FileQueue, files)
        (first,) = one.enqueue([observed(version=LATER_MS)], T0_MS)
        (second,) = other.enqueue([observed()], T0_MS)
        assert (first.observation.version, second.observation.version) == (LATER_MS, T0_MS)
        assert (one.count_pending(), other.count_pending()) == (1, 1)
        assert [FileQueue(file).backlog(0, 10)[0].id for file in files] == [first.id, second.id]
        one.acknowledge([first], {}, T0_MS)
        assert (one.count_pending(), other.count_pending()) == (0, 1)


# What is new


def test_the_same_again_is_not_new(durable: Queue, next_run: Next) -> None:
    seen = [observed(), observed(version=LATER_MS)]
    assert observations(durable.enqueue(seen, T0_MS)) == [observed()]
    assert durable.enqueue([observed(version=LATER_MS)], LATER_MS) == []
    assert next_run().enqueue([observed(version=LATER_MS)], LATER_MS) == []


@pytest.mark.parametrize("fate", ["delivered", "rejected", "discarded", "pruned"])
def test_the_same_again_is_not_new_whatever_became_of_it(
    durable: Queue, next_run: Next, path: Path, fate: str
) -> None:
    (entry,) = durable.enqueue([observed()], T0_MS)
    refused = [rejection(entry, measure) for measure in entry.observation.values]
    durable.acknowledge([entry], {} if fate in ("delivered", "pruned") else {entry.id: refused}, 1)
    with closing(JournalFile(path, TARGET)) as file:
        if fate == "discarded":
            discard(file, rejected(file))
        elif fate == "pruned":
            history.prune(file, LATER_MS, 1)
    assert durable.enqueue([observed()], LATER_MS) == []
    assert next_run().enqueue([observed()], LATER_MS) == []


def test_a_measure_more_is_new(durable: Queue) -> None:
    durable.enqueue([observed(CurrentTemp="1")], T0_MS)
    assert len(durable.enqueue([observed(CurrentTemp="1", Humidity="2")], T0_MS)) == 1


def test_other_units_at_the_same_time_are_new_if_they_change_a_value(durable: Queue) -> None:
    metric = replace(observed(CurrentTemp="10", Humidity="93"), units="metric")
    imperial = replace(observed(CurrentTemp="50", Humidity="93"), units="imperial")
    (first,), (second,) = durable.enqueue([metric], T0_MS), durable.enqueue([imperial], T0_MS)
    assert (first.observation.units, second.observation.units) == ("metric", "imperial")
    assert second.observation.version > first.observation.version
    assert durable.enqueue([replace(imperial, units="metric")], T0_MS) == []


def test_a_time_that_goes_back_is_new_and_comes_after(durable: Queue) -> None:
    newer, older = observed(time_ms=T0_MS), observed(time_ms=T0_MS - MINUTE_MS)
    assert versions(durable, newer, older, newer) == [T0_MS, T0_MS + 1, T0_MS + 2]


def test_places_have_their_own_last_observation(durable: Queue) -> None:
    assert versions(durable, observed(LONDON), observed(PARIS)) == [T0_MS, T0_MS]


# Versions


def test_the_version_is_the_time_of_the_fetch(durable: Queue) -> None:
    changed = observed(version=LATER_MS, CurrentTemp="13")
    assert versions(durable, observed(), changed) == [T0_MS, LATER_MS]


@pytest.mark.parametrize("pruned", [False, True])
def test_a_version_never_goes_back_when_the_clock_does(
    next_run: Next, path: Path, pruned: bool
) -> None:
    entries = (queue := next_run()).enqueue([observed(version=LATER_MS)], LATER_MS)
    if pruned:
        queue.acknowledge(entries, {}, T0_MS)
        with closing(JournalFile(path)) as file:
            history.prune(file, LATER_MS, 1)
    for number in (1, 2, 3):
        back = observed(version=T0_MS - number, CurrentTemp=str(number))
        assert versions(next_run(), back) == [LATER_MS + number]


@given(steps=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3), st.integers(0, 3))))
@pytest.mark.parametrize("kind", DURABLE)
def test_versions_of_a_place_only_rise(
    tmp_path_factory: pytest.TempPathFactory, kind: str, steps: list[tuple[int, int, int]]
) -> None:
    with ExitStack() as stack:
        queue = opener(kind, tmp_path_factory.mktemp("rise") / "journal.sqlite3", stack)()
        used: dict[str, list[int]] = {LONDON.name: [], PARIS.name: []}
        for version, time_ms, value in steps:
            for place in (LONDON, PARIS):
                seen = observed(place, time_ms, version, CurrentTemp=str(value))
                used[place.name] += versions(queue, seen)
    for each in used.values():
        assert each == sorted(set(each))


# What the file says of them


def test_the_file_knows_state_attempts_and_reason(durable: Queue, path: Path) -> None:
    sql = "SELECT state, attempts, kind, reason, changed_ms FROM observation ORDER BY id"
    first, second = durable.enqueue(series(2), T0_MS)
    assert query(path, sql) == [("pending", 0, "", "", T0_MS)] * 2
    durable.note_failure([first], "throttled")
    durable.note_failure([first], "reset")
    assert query(path, sql)[0] == ("pending", 2, "", "reset", T0_MS)
    durable.acknowledge([first, second], {}, LATER_MS)
    assert query(path, sql) == [
        ("delivered", 3, "", "", LATER_MS),
        ("delivered", 1, "", "", LATER_MS),
    ]


def test_a_failing_commit_leaves_nothing_half_done(durable: Queue, path: Path) -> None:
    class PowerCut(BaseException):
        pass

    class Failing(list[Observation]):
        def __iter__(self) -> Iterator[Observation]:
            yield observed()
            raise PowerCut

    with pytest.raises(PowerCut):
        durable.enqueue(Failing(), T0_MS)
    assert states(path) == {}
    assert len(durable.enqueue([observed()], T0_MS)) == 1


def test_reading_the_backlog_needs_an_index_alone(file: JournalFile) -> None:
    queue = FileQueue(file)
    (line,) = query_plans(file, lambda: queue.backlog(5, 5))
    assert line.startswith("SEARCH observation USING INDEX observation_pending (target=?")

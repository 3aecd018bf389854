"""What was delivered and how runs ended: kept until it is pruned."""

from contextlib import closing
from pathlib import Path

import pytest

from ingest.errors import JournalError
from ingest.journal import history
from ingest.journal.history import PRUNE_AT_LEAST, RUNS_KEPT, Kept, PastRun
from ingest.journal.queue import FileQueue
from ingest.journal.schema import JournalFile
from tests.support.journals import (
    LONDON,
    MINUTE_MS,
    PARIS,
    T0_MS,
    TARGET,
    Open,
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
OTHER = "us-east-1/other.table"


@pytest.fixture
def queue(file: JournalFile) -> FileQueue:
    return FileQueue(file)


# Pruning


def test_only_what_was_delivered_before_is_pruned(
    path: Path, file: JournalFile, queue: FileQueue
) -> None:
    (entry,) = queue.enqueue([observed(CurrentTemp="1")], T0_MS)
    queue.acknowledge([entry], {entry.id: [rejection(entry, "CurrentTemp")]}, T0_MS)
    entries = queue.enqueue(series(3, PARIS), T0_MS)
    queue.acknowledge([entries[0]], {}, T0_MS)
    queue.acknowledge([entries[1]], {}, LATER_MS)
    history.prune(file, LATER_MS, 1)
    assert states(path) == {"delivered": 1, "pending": 1, "rejected": 1}
    history.prune(file, 2**62, 1)
    assert states(path) == {"pending": 1, "rejected": 1}


def test_pruning_is_bounded_and_takes_the_oldest(
    path: Path, file: JournalFile, queue: FileQueue
) -> None:
    entries = queue.enqueue(series(PRUNE_AT_LEAST + 10), T0_MS)
    queue.acknowledge(entries[5:], {}, LATER_MS)
    queue.acknowledge(entries[:5], {}, T0_MS)
    history.prune(file, 2**62, 1)
    assert query(path, "SELECT count(*), min(id) FROM observation") == [(10, entries[-10].id)]


def test_pruning_keeps_up_with_what_is_added(
    path: Path, file: JournalFile, queue: FileQueue
) -> None:
    entries = queue.enqueue(series(2 * PRUNE_AT_LEAST + 100), T0_MS)
    queue.acknowledge(entries, {}, T0_MS)
    history.prune(file, LATER_MS, PRUNE_AT_LEAST)
    assert states(path) == {"delivered": 100}


def test_pruning_finds_its_rows_by_an_index_without_scanning_or_sorting(
    file: JournalFile,
) -> None:
    plan = query_plans(file, lambda: history.prune(file, LATER_MS, 1))
    assert "SEARCH observation USING INDEX observation_delivered (changed_ms<?)" in plan
    assert not [line for line in plan if "SCAN" in line or "TEMP B-TREE" in line]


# Observations


def test_what_is_delivered_or_pending_is_kept_for_all_targets_oldest_first(
    open_: Open, file: JournalFile, queue: FileQueue
) -> None:
    first, second, third = series(3)
    entries = queue.enqueue([first, second, third], T0_MS)
    queue.acknowledge([entries[1]], {}, third.time_ms)
    elsewhere = observed(PARIS, time_ms=second.time_ms + 1)
    FileQueue(open_(target=OTHER)).enqueue([elsewhere], T0_MS)
    assert history.kept(file, first.time_ms) == [
        Kept(TARGET, kept(first), pending=True),
        Kept(TARGET, kept(second), pending=False),
        Kept(OTHER, kept(elsewhere), pending=True),
        Kept(TARGET, kept(third), pending=True),
    ]
    assert len(history.kept(file, second.time_ms)) == 3
    assert history.kept(file, third.time_ms + 1) == []


def test_a_rejected_value_is_not_kept_with_the_others(file: JournalFile, queue: FileQueue) -> None:
    (entry,) = queue.enqueue([observed(CurrentTemp="1", Humidity="2")], T0_MS)
    queue.acknowledge([entry], {entry.id: [rejection(entry)]}, T0_MS)
    expected = [Kept(TARGET, kept(observed(CurrentTemp="1")), pending=False)]
    assert history.kept(file, 0) == history.latest(file) == expected


def test_what_was_delivered_by_a_clock_that_disagrees_is_found(
    file: JournalFile, queue: FileQueue
) -> None:
    queue.acknowledge(queue.enqueue([observed()], T0_MS), {}, T0_MS - 59 * MINUTE_MS)
    assert len(history.kept(file, T0_MS)) == 1


def test_the_latest_is_the_last_observed_of_each_place(file: JournalFile, queue: FileQueue) -> None:
    london, paris = series(3), series(2, PARIS)
    entries = queue.enqueue([*london, *paris], T0_MS)
    queue.acknowledge(entries[:3], {}, LATER_MS)
    found = history.latest(file)
    assert [each.observation for each in found] == [kept(paris[-1]), kept(london[-1])]
    assert [each.pending for each in found] == [True, False]


def test_when_it_was_last_delivered_and_what_is_pending_is_the_targets_own(
    open_: Open, file: JournalFile, queue: FileQueue
) -> None:
    assert (history.last_delivered_ms(file), history.oldest_pending_ms(file)) == (0, 0)
    entries = queue.enqueue(series(3), T0_MS)
    queue.acknowledge(entries[:1], {}, LATER_MS)
    other = open_(target=OTHER)
    left = FileQueue(other).enqueue(series(2, PARIS, T0_MS - MINUTE_MS), T0_MS)
    FileQueue(other).acknowledge(left[1:], {}, LATER_MS + 1)
    assert history.last_delivered_ms(file) == LATER_MS
    assert history.oldest_pending_ms(file) == entries[1].observation.time_ms
    assert history.last_delivered_ms(other) == LATER_MS + 1
    assert history.oldest_pending_ms(other) == T0_MS - MINUTE_MS


def test_what_is_pending_for_other_targets_is_counted_if_it_came_since_then(
    open_: Open, file: JournalFile, queue: FileQueue
) -> None:
    other = open_(target=OTHER)
    entries = queue.enqueue([observed()], T0_MS)
    FileQueue(other).enqueue(series(2), T0_MS)
    assert history.pending_elsewhere(file) == {OTHER: 2}
    assert history.pending_elsewhere(other) == {TARGET: 1}
    assert history.pending_elsewhere(open_(target="")) == {TARGET: 1, OTHER: 2}
    assert history.pending_elsewhere(file, since_ms=T0_MS) == {OTHER: 2}
    assert history.pending_elsewhere(file, since_ms=T0_MS + 1) == {}
    queue.acknowledge(entries, {}, LATER_MS)
    assert history.pending_elsewhere(other) == {}


# Runs


def test_the_last_runs_of_all_targets_are_listed_latest_first(
    open_: Open, file: JournalFile
) -> None:
    assert history.runs(file, 10) == []
    history.end_run(file, 0, '{"stored":4}', T0_MS)
    history.end_run(open_(target=OTHER), 75, '{"stored":0}', LATER_MS)
    expected = [
        PastRun(OTHER, LATER_MS, 75, {"stored": 0}),
        PastRun(TARGET, T0_MS, 0, {"stored": 4}),
    ]
    assert history.runs(file, 10) == expected
    assert history.runs(file, 1) == expected[:1]


def test_only_so_many_runs_are_remembered(path: Path, file: JournalFile) -> None:
    with opened(path) as db:
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO run (target, ended_ms, status, summary) VALUES (?, ?, 0, '{}')",
            [(TARGET, T0_MS + number) for number in range(RUNS_KEPT)],
        )
        db.execute("COMMIT")
    history.end_run(file, 75, "{}", LATER_MS)
    found = history.runs(file, 2 * RUNS_KEPT)
    assert (len(found), found[0].status, found[-1].ended_ms) == (RUNS_KEPT, 75, T0_MS + 1)


@pytest.mark.parametrize("summary", ["no JSON", "[]", ""])
def test_a_summary_that_this_program_has_not_written_is_damage(
    file: JournalFile, summary: str
) -> None:
    history.end_run(file, 0, summary, T0_MS)
    with pytest.raises(JournalError) as caught:
        history.runs(file, 10)
    assert caught.value.corrupt


def test_the_history_can_be_read_without_changing_anything(
    path: Path, file: JournalFile, queue: FileQueue
) -> None:
    queue.acknowledge(queue.enqueue([observed(LONDON)], T0_MS), {}, LATER_MS)
    history.end_run(file, 0, "{}", LATER_MS)
    with closing(JournalFile(path, TARGET, read_only=True)) as reader:
        assert history.last_delivered_ms(reader) == LATER_MS
        assert len(history.runs(reader, 10)) == len(history.latest(reader)) == 1

"""What the plan of calls needs to know from one run to the next."""

from contextlib import closing
from pathlib import Path

from ingest.journal import polling
from ingest.journal.queue import FileQueue
from ingest.journal.schema import JournalFile
from tests.support.journals import LONDON, PARIS, T0_MS, TARGET, observed


def test_a_place_is_remembered_by_when_it_was_last_polled(path: Path, file: JournalFile) -> None:
    places = [PARIS.name, "Rome,IT", LONDON.name]
    assert [*polling.last_polled(file, places)] == [0, 0, 0]
    polling.mark_polled(file, [LONDON.name, PARIS.name], T0_MS)
    polling.mark_polled(file, [LONDON.name], T0_MS + 5)
    assert [*polling.last_polled(file, places)] == [T0_MS, 0, T0_MS + 5]
    with closing(JournalFile(path, TARGET)) as next_run:
        assert [*polling.last_polled(next_run, places)] == [T0_MS, 0, T0_MS + 5]
    with closing(JournalFile(path, "us-east-1/other.table")) as other:
        assert [*polling.last_polled(other, places)] == [0, 0, 0]


def test_polling_does_not_make_the_same_observation_new(file: JournalFile) -> None:
    queue = FileQueue(file)
    polling.mark_polled(file, [LONDON.name], T0_MS)
    assert len(queue.enqueue([observed()], T0_MS)) == 1
    polling.mark_polled(file, [LONDON.name], T0_MS)
    assert queue.enqueue([observed()], T0_MS) == []
    assert [*polling.last_polled(file, [LONDON.name])] == [T0_MS]


def test_the_place_of_a_new_observation_counts_as_polled(file: JournalFile) -> None:
    queue = FileQueue(file)
    queue.enqueue([observed()], T0_MS)
    assert [*polling.last_polled(file, [LONDON.name, PARIS.name])] == [T0_MS, 0]
    queue.enqueue([observed(), observed(PARIS)], T0_MS + 5)  # the first is not new
    assert [*polling.last_polled(file, [LONDON.name, PARIS.name])] == [T0_MS, T0_MS + 5]
    queue.enqueue([observed(CurrentTemp="1")], T0_MS + 9)
    assert [*polling.last_polled(file, [LONDON.name, PARIS.name])] == [T0_MS + 9, T0_MS + 5]


def test_the_calls_of_the_last_minute_replace_those_before(path: Path, file: JournalFile) -> None:
    assert polling.calls(file) == {}
    polling.keep_calls(file, {1: 5, 2: 1})
    polling.keep_calls(file, {2: 3, 3: 9})
    assert polling.calls(file) == {2: 3, 3: 9}
    with closing(JournalFile(path)) as next_run:
        assert polling.calls(next_run) == {2: 3, 3: 9}
    polling.keep_calls(file, {})
    assert polling.calls(file) == {}

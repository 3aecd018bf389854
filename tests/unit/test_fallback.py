"""A run's journal when its file breaks: what a person sees, case by case.

That nothing is lost or doubled, whichever statement fails, is `test_any_statement_fails.py`.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.destination import Kind
from ingest.errors import JournalError
from ingest.journal import fallback
from ingest.journal.fallback import RunJournal
from ingest.journal.queue import FIRST_IN_MEMORY, Entry, FileQueue
from ingest.journal.rejected import rejected, retry
from ingest.journal.schema import JournalFile
from tests.support.broken_journals import ERRORS, Faults, Run, rows
from tests.support.journals import (
    LONDON,
    PARIS,
    SAME_VERSION,
    T0_MS,
    TARGET,
    observed,
    query,
    rejection,
    series,
    states,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


@pytest.fixture
def run(faults: Faults, path: Path) -> Iterator[Run]:  # noqa: ARG001  (before it is opened)
    run = Run(path)
    yield run
    run.journal.close()


def break_now(faults: Faults, run: Run, kind: str) -> None:
    """The next statement fails; it is one of little interest."""
    faults.arm(*ERRORS[kind])
    run.journal.calls()
    faults.disarm()


def test_a_damaged_file_is_quarantined_whole_and_a_new_one_begun(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(damaged := b"not a database, " * 512)
    errors: list[JournalError] = []
    journal = RunJournal(path, TARGET, errors.append)
    journal.enqueue([observed()], T0_MS)
    assert states(path) == {"pending": 1}
    (aside,) = path.parent.glob("journal.sqlite3.corrupt-*")
    assert aside.read_bytes() == damaged
    (error,) = errors
    assert f"sqlite3 {aside} .recover" in error.advice
    journal.close()


def test_a_usable_file_is_not_quarantined(path: Path) -> None:
    for hour in range(2):
        run = Run(path, hour)
        run.enqueue(LONDON, 1)
        run.journal.close()
        assert run.errors == []
    assert [part.name for part in path.parent.iterdir()] == [path.name]


def test_a_damaged_file_leaves_what_is_in_hand_to_the_new_one_under_its_numbers(
    run: Run, faults: Faults, path: Path
) -> None:
    run.enqueue(LONDON, 3)
    run.acknowledge(1, 1)
    break_now(faults, run, "malformed")
    assert {row.id for row in rows(path)} == {entry.id for entry in run.waiting}
    run.acknowledge(0, 1, "Humidity")
    assert states(path) == {"delivered": 1, "pending": 1, "rejected": 1}
    run.check()


def test_an_unusable_file_keeps_what_it_has_and_memory_takes_what_comes(
    run: Run, faults: Faults, path: Path
) -> None:
    run.enqueue(LONDON, 3)
    break_now(faults, run, "full disk")
    run.enqueue(LONDON, 2)
    assert states(path) == {"pending": 3}
    assert (run.journal.count_pending(), run.journal.count_unsaved()) == (5, 2)
    run.acknowledge(0, 4)
    assert (run.journal.count_pending(), run.journal.count_unsaved()) == (1, 1)
    assert states(path) == {"pending": 3}  # they are sent again, which does no harm
    assert len(run.errors) == 1


def test_what_was_in_hand_is_not_new_in_the_new_file(run: Run, faults: Faults) -> None:
    run.enqueue(LONDON, 3)
    newest = run.waiting[-1].observation
    break_now(faults, run, "malformed")
    assert run.journal.enqueue([newest], T0_MS) == []


def test_versions_rise_above_those_in_hand_though_the_clock_went_back(
    run: Run, faults: Faults
) -> None:
    first = observed(version=T0_MS + 5, CurrentTemp="1")
    second = observed(version=T0_MS + 2, CurrentTemp="2")
    third = observed(version=T0_MS, CurrentTemp="3")
    run.take(run.journal.enqueue([first, second], T0_MS))
    break_now(faults, run, "malformed")
    (entry,) = run.journal.enqueue([third], T0_MS)
    assert entry.observation.version == T0_MS + 7


def test_versions_rise_above_one_that_a_retry_has_raised(tmp_path: Path) -> None:
    """It may have a lower number than an observation of an earlier version."""
    raised = Entry(2, observed(version=T0_MS + 5, CurrentTemp="1"))
    later = Entry(3, observed(version=T0_MS, CurrentTemp="2"))
    with closing(JournalFile(tmp_path / "journal.sqlite3", TARGET)) as file:
        queue = FileQueue(file)
        queue.restore([later, raised], 3, T0_MS)
        (entry,) = queue.enqueue([observed(CurrentTemp="3")], T0_MS)
    assert (entry.id, entry.observation.version) == (4, T0_MS + 6)


def test_a_version_as_high_as_there_is_breaks_no_later_run(path: Path, faults: Faults) -> None:
    """One that `rejected --retry` has made to win against another program's."""
    with closing(JournalFile(path, TARGET)) as file:
        queue = FileQueue(file)
        (entry,) = queue.enqueue([observed()], T0_MS)
        refused = rejection(entry, "Humidity", Kind.OLDER_VERSION, SAME_VERSION, 2**63 - 2)
        queue.acknowledge([entry], {entry.id: [refused]}, T0_MS)
        retry(file, rejected(file), T0_MS)
    run = Run(path)
    run.read(10)
    break_now(faults, run, "malformed")
    run.enqueue(LONDON, 1)
    assert states(path) == {"pending": 2}
    assert run.journal.count_unsaved() == 0
    run.journal.close()


def test_an_unchanged_observation_is_not_sent_when_the_file_breaks(
    run: Run, faults: Faults
) -> None:
    run.take(run.journal.enqueue([observed()], T0_MS))
    run.acknowledge(0, 1)
    assert run.journal.enqueue([observed()], T0_MS) == []
    break_now(faults, run, "full disk")
    assert run.journal.backlog(0, 10) == []
    assert run.journal.count_in_hand() == 0


def test_an_answer_to_what_the_damaged_file_had_acknowledges_nothing_else(
    run: Run, faults: Faults, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not kept in hand any more, because nothing more is sent, may still be on its way."""
    monkeypatch.setattr(fallback, "MOST_UNSENT", 0)
    run.enqueue(LONDON, 3)
    run.release()
    break_now(faults, run, "malformed")
    run.enqueue(PARIS, 3)
    run.acknowledge(0, 3, "Humidity")
    pending = query(path, "SELECT city FROM observation WHERE state = 'pending'")
    assert pending == [("Paris",)] * 3


def test_a_rejection_survives_the_damage_that_was_met_when_it_was_kept(
    run: Run, faults: Faults, path: Path
) -> None:
    """And no number of the old file is given again, in whatever order they were handed out."""
    run.enqueue(LONDON, 2)
    run.journal.close()
    next_run = Run(path, 100)
    next_run.enqueue(PARIS, 3)
    next_run.read(10)
    faults.arm(*ERRORS["malformed"])
    next_run.acknowledge(0, 10, "Humidity")
    faults.disarm()
    assert states(path) == {"delivered": 5, "rejected": 5}
    next_run.enqueue(PARIS, 1)
    next_run.check()


def test_a_file_that_is_damaged_twice_does_not_stop_a_run(
    run: Run, faults: Faults, path: Path
) -> None:
    run.enqueue(LONDON, 2)
    for _ in range(2):
        break_now(faults, run, "malformed")
        run.enqueue(PARIS, 1)
    assert states(path) == {"pending": 4}
    assert len([*path.parent.glob("*.corrupt-*")]) == len(run.errors) == 2


def test_a_file_that_cannot_be_quarantined_does_not_stop_a_run(
    run: Run, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> JournalError:
        raise JournalError("It cannot be renamed.")

    run.enqueue(LONDON, 2)
    monkeypatch.setattr(fallback, "quarantine", fail)
    break_now(faults, run, "malformed")
    assert [str(error) for error in run.errors] == ["It cannot be renamed."]
    run.enqueue(LONDON, 2)
    assert run.journal.count_pending() == run.journal.count_unsaved() == 4
    run.acknowledge(0, 4, "Humidity")
    assert run.journal.count_pending() == run.journal.count_unsaved() == 0


def test_once_nothing_more_is_sent_little_of_what_the_file_has_is_kept_in_hand(
    run: Run, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "MOST_UNSENT", 5)
    run.enqueue(LONDON, 7)
    assert run.journal.count_in_hand() == 7
    run.release()
    assert run.journal.count_in_hand() == 5
    run.enqueue(PARIS, 4)
    assert run.journal.count_in_hand() == 5
    assert run.journal.count_pending() == 11
    break_now(faults, run, "full disk")
    run.enqueue(PARIS, 3)
    assert (run.journal.count_in_hand(), run.journal.count_unsaved()) == (8, 3)


def test_a_journal_that_is_off_reports_no_error_and_counts_all_as_unsaved() -> None:
    errors: list[JournalError] = []
    journal = RunJournal(None, TARGET, errors.append)
    entries = journal.enqueue(series(5), T0_MS)
    assert [entry.id > FIRST_IN_MEMORY for entry in entries] == [True] * 5
    assert (journal.count_pending(), journal.count_unsaved(), journal.count_in_hand()) == (5, 5, 5)
    assert [*journal.last_polled(["London,GB"])] == [0]
    assert (journal.calls(), journal.pending_elsewhere(0)) == ({}, {})
    journal.mark_polled(["London,GB"], T0_MS)
    journal.acknowledge(entries[:2], {}, T0_MS)
    assert journal.count_unsaved() == 3
    journal.close()
    assert errors == []

"""The journal with memory to stand in for it: whatever fails there, everything is delivered."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import JournalError
from ingest.journal import fallback as store_module
from ingest.journal.fallback import MEMORY, Store
from ingest.journal.queue import Entry, Journal, RejectedRecord
from ingest.observation import Observation
from tests.support.journals import PARIS, T0_MS, TARGET, observed, query, series, states

# What a run asks of its journal.
METHODS = sorted(
    set(re.findall(r"\b(?:journal|Journal)\.(\w+)\b", inspect.getsource(Store)))
    - {"close", "last_id"}
)
Broken = Callable[[str, bool], None]


@pytest.fixture
def errors() -> list[JournalError]:
    return []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def store(path: Path, errors: list[JournalError]) -> Iterator[Store]:
    store = Store(path, TARGET, errors.append)
    yield store
    store.close()


@pytest.fixture
def break_(monkeypatch: pytest.MonkeyPatch) -> Broken:
    """Makes one method of the journal fail, for good, or once where the file is damaged."""

    def break_(method: str, corrupt: bool) -> None:
        whole: Any = getattr(Journal, method)

        def fail(*_: Any, **__: Any) -> None:
            if corrupt:
                monkeypatch.setattr(Journal, method, whole)
            raise JournalError("It broke.", corrupt=corrupt)

        monkeypatch.setattr(Journal, method, fail)

    return break_


def times(entries: list[Entry]) -> list[int]:
    return [entry.observation.time_ms for entry in entries]


def deliver(store: Store, observations: list[Observation]) -> list[int]:
    """What a run does with a store; returns the times of what would have been sent, in order."""
    sent, after = [], 0
    store.asked(["London,GB"])
    store.calls()
    store.mark_asked(["London,GB"], T0_MS)
    store.keep_calls({1: 1})
    for observation in observations:
        store.add([observation], T0_MS)
        while entries := store.pending(after, 3):
            after = entries[-1].id
            sent += times(entries)
            store.failed(entries[:1], "once")
            store.settle(entries, [], T0_MS)
    store.count_pending()
    store.pending_elsewhere(0)
    store.prune(0, 1)
    store.end_run(0, "{}", T0_MS)
    return sent


@pytest.mark.parametrize("corrupt", [False, True], ids=["unusable", "damaged"])
@pytest.mark.parametrize("method", [*METHODS, "__init__"])
def test_whichever_method_of_the_journal_fails_everything_is_delivered_once(
    path: Path, break_: Broken, errors: list[JournalError], method: str, corrupt: bool
) -> None:
    break_(method, corrupt)
    store = Store(path, TARGET, errors.append)
    assert deliver(store, series(10)) == times_of(series(10))
    assert store.count_pending() == store.count_lost() == 0
    assert len(errors) == (method != "begin_after")
    store.close()


def times_of(observations: list[Observation]) -> list[int]:
    return [each.time_ms for each in observations]


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"begin_after"}))
def test_a_damaged_journal_is_set_aside_and_the_next_observations_are_kept_in_a_new_one(
    path: Path, store: Store, break_: Broken, errors: list[JournalError], method: str
) -> None:
    break_(method, True)
    deliver(store, series(10))
    store.add([observed(PARIS)], T0_MS)
    assert states(path)["pending"] == 1
    assert len(list(path.parent.glob("*.corrupt-*"))) >= 1
    assert "was set aside" in str(errors[0])


def test_an_observation_that_a_broken_journal_has_is_sent_all_the_same(
    store: Store, break_: Broken
) -> None:
    store.add([observed()], T0_MS)
    break_("pending", False)
    (entry,) = store.pending(0, 10)
    assert entry.observation == observed()
    assert entry.id > MEMORY


def test_an_unchanged_observation_is_not_sent_when_the_journal_breaks(
    store: Store, break_: Broken
) -> None:
    store.add([observed()], T0_MS)
    store.settle(store.pending(0, 10), [], T0_MS)
    assert store.add([observed()], T0_MS) == 0
    break_("pending", False)
    assert store.pending(0, 10) == []


def test_what_was_in_flight_when_the_file_broke_settles_nothing_of_the_new_one(
    path: Path, store: Store, break_: Broken
) -> None:
    store.add(series(3), T0_MS)
    in_flight = store.pending(0, 10)
    break_("add", True)
    store.add([observed(PARIS)], T0_MS)
    refused = [RejectedRecord(in_flight[0].id, "Humidity", "too old", None)]
    store.settle(in_flight, refused, T0_MS)
    pending = query(path, "SELECT city FROM observation WHERE state = 'pending'")
    assert pending == [("Paris",)]
    assert [each.observation.city for each in store.pending(in_flight[-1].id, 10)] == ["Paris"]


def test_a_file_that_breaks_twice_does_not_stop_a_run(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, errors: list[JournalError]
) -> None:
    def fail(*_: Any) -> None:
        raise JournalError("It broke.", corrupt=True)

    monkeypatch.setattr(Journal, "add", fail)
    assert deliver(store, series(4)) == times_of(series(4))
    assert len(errors) >= 2
    assert len(list(path.parent.glob("*.corrupt-*"))) >= 2


def test_a_file_that_can_not_even_be_set_aside_does_not_stop_a_run(
    store: Store, break_: Broken, monkeypatch: pytest.MonkeyPatch, errors: list[JournalError]
) -> None:
    def fail(*_: Any) -> None:
        raise JournalError("It cannot be renamed.")

    monkeypatch.setattr(store_module, "set_aside", fail)
    break_("pending", True)
    assert deliver(store, series(4)) == times_of(series(4))
    assert [str(error) for error in errors] == ["It cannot be renamed."]


def test_what_is_lost_with_the_process_is_counted(store: Store, break_: Broken) -> None:
    break_("add", False)
    for each in series(3):
        store.add([each], T0_MS)
    assert (store.count_pending(), store.count_lost()) == (3, 3)
    store.settle(store.pending(0, 2), [], T0_MS)
    assert (store.count_pending(), store.count_lost()) == (1, 1)


def test_without_a_journal_memory_keeps_order_and_pages(errors: list[JournalError]) -> None:
    store = Store(None, TARGET, errors.append)
    assert store.add(series(5), T0_MS) == 5
    first = store.pending(0, 2)
    rest = store.pending(first[-1].id, 10)
    assert times(first + rest) == times_of(series(5))
    assert deliver(store, []) == []
    store.settle(first + rest, [], T0_MS)
    assert store.count_pending() == 0
    assert errors == []

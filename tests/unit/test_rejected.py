"""Values that a service refused: kept one by one, until a person retries or discards them."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.destination import Kind
from ingest.journal.queue import Entry, FileQueue
from ingest.journal.rejected import RejectedEntry, Retried, discard, rejected, retry
from ingest.journal.schema import JournalFile
from ingest.observation import Observation
from tests.support.journals import (
    LONDON,
    MINUTE_MS,
    PARIS,
    SAME_VERSION,
    T0_MS,
    TARGET,
    TOO_OLD,
    kept,
    observed,
    query,
    rejection,
    series,
    states,
)

LATER_MS = T0_MS + 60 * MINUTE_MS


def reject(
    file: JournalFile,
    observation: Observation,
    kind: Kind = Kind.TOO_OLD,
    existing_version: int | None = None,
) -> list[RejectedEntry]:
    """Enqueue the observation and have every measure of it refused; all that are rejected."""
    queue = FileQueue(file)
    (entry,) = queue.enqueue([observation], T0_MS)
    reason = SAME_VERSION if kind is Kind.OLDER_VERSION else TOO_OLD
    refused = [
        rejection(entry, measure, kind, reason, existing_version)
        for measure in entry.observation.values
    ]
    queue.acknowledge([entry], {entry.id: refused}, LATER_MS)
    return rejected(file)


def pending(file: JournalFile) -> list[Entry]:
    """What the next run reads."""
    return FileQueue(file).backlog(0, 10_000)


def versions(file: JournalFile) -> list[int]:
    return [entry.observation.version for entry in pending(file)]


# Kept


def test_a_value_that_is_refused_is_kept_and_the_rest_is_delivered(
    path: Path, file: JournalFile
) -> None:
    queue = FileQueue(file)
    (entry,) = queue.enqueue([observed(CurrentTemp="1", Humidity="2", Pressure="3")], T0_MS)
    queue.note_failure([entry], "throttled")
    refused = rejection(entry, "Humidity", Kind.OLDER_VERSION, SAME_VERSION, 77)
    queue.acknowledge([entry], {entry.id: [refused]}, LATER_MS)
    (found,) = rejected(file)
    assert found == RejectedEntry(
        found.id,
        TARGET,
        kept(observed(Humidity="2")),
        "older_version",
        SAME_VERSION,
        existing_version=77,
        attempts=2,
        rejected_ms=LATER_MS,
    )
    delivered = query(
        path, "SELECT measures, attempts, kind, reason FROM observation WHERE state = 'delivered'"
    )
    assert delivered == [('{"CurrentTemp":"1","Pressure":"3"}', 2, "", "")]
    assert queue.count_pending() == 0


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_rejection_is_kept(file: JournalFile, kind: Kind) -> None:
    assert {each.kind for each in reject(file, observed(), kind)} == {kind}


def test_an_observation_of_which_all_is_refused_is_only_rejected(
    path: Path, file: JournalFile
) -> None:
    reject(file, observed(CurrentTemp="1", Humidity="2"))
    assert states(path) == {"rejected": 2}


def test_rejections_reach_their_own_entries(path: Path, file: JournalFile) -> None:
    queue = FileQueue(file)
    first, second, third = queue.enqueue(series(3), T0_MS)
    refused = {
        third.id: [rejection(third, "Humidity", reason="b")],
        first.id: [rejection(first, "Pressure", reason="a")],
    }
    queue.acknowledge([first, second, third], refused, LATER_MS)
    found = {(e.observation.time_ms, *e.observation.values, e.reason) for e in rejected(file)}
    assert found == {
        (first.observation.time_ms, "Pressure", "a"),
        (third.observation.time_ms, "Humidity", "b"),
    }
    assert states(path) == {"delivered": 3, "rejected": 2}


@given(refused=st.lists(st.sets(st.sampled_from([*series(1)[0].values])), max_size=5))
def test_every_value_is_either_delivered_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, refused: list[set[str]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "journal.sqlite3"
    with closing(JournalFile(path, TARGET)) as file:
        queue = FileQueue(file)
        entries = queue.enqueue(series(len(refused)), T0_MS)
        rejections = {
            entry.id: [rejection(entry, measure) for measure in sorted(measures)]
            for entry, measures in zip(entries, refused, strict=True)
            if measures
        }
        queue.acknowledge(entries, rejections, LATER_MS)
    found = query(path, "SELECT time_ms, key, value, state FROM observation, json_each(measures)")
    assert sorted(found) == sorted(
        (each.time_ms, name, value, "rejected" if name in measures else "delivered")
        for each, measures in zip(series(len(refused)), refused, strict=True)
        for name, value in each.values.items()
    )


def test_rejected_values_do_not_block_later_ones(file: JournalFile) -> None:
    reject(file, observed())
    FileQueue(file).enqueue([observed(time_ms=LATER_MS)], LATER_MS)
    assert [entry.observation.time_ms for entry in pending(file)] == [LATER_MS]


def test_a_rejection_of_what_the_file_never_had_is_kept_and_changes_nothing_else(
    path: Path, file: JournalFile, tmp_path: Path
) -> None:
    """The answer to a call of before the file was damaged and replaced."""
    entries = FileQueue(file).enqueue(series(2), T0_MS)
    with closing(JournalFile(tmp_path / "new.sqlite3", TARGET)) as new:
        queue = FileQueue(new)
        queue.restore([], entries[-1].id, T0_MS)
        queue.enqueue([observed(PARIS)], T0_MS)
        queue.acknowledge(entries, {entries[0].id: [rejection(entries[0])]}, LATER_MS)
        assert queue.count_pending() == 1
        assert [[*each.observation.values] for each in rejected(new)] == [["Humidity"]]
    assert states(path) == {"pending": 2}


# Retried


def test_a_retry_keeps_the_version_if_that_was_not_the_reason(file: JournalFile) -> None:
    retry(file, reject(file, observed()), LATER_MS)
    assert rejected(file) == []
    assert versions(file) == [T0_MS, T0_MS]
    values = [entry.observation.values for entry in pending(file)]
    assert values == [{"CurrentTemp": "12.5"}, {"Humidity": "93"}]


@pytest.mark.parametrize(
    ("existing", "expected"), [(None, LATER_MS), (LATER_MS + 500, LATER_MS + 501), (5, LATER_MS)]
)
def test_a_retry_wins_if_the_version_was_the_reason(
    file: JournalFile, existing: int | None, expected: int
) -> None:
    found = reject(file, observed(CurrentTemp="1"), Kind.OLDER_VERSION, existing)
    retry(file, found, LATER_MS)
    assert versions(file) == [expected]


@pytest.mark.parametrize("kind", [each for each in Kind if each is not Kind.OLDER_VERSION])
def test_only_the_kind_says_that_the_version_was_the_reason(file: JournalFile, kind: Kind) -> None:
    (found,) = reject(file, observed(CurrentTemp="1"), kind, LATER_MS)
    assert found.version_to_retry(LATER_MS) == T0_MS


def test_a_retry_wins_though_the_clock_went_back(file: JournalFile) -> None:
    found = reject(file, observed(CurrentTemp="1"), Kind.OLDER_VERSION)
    assert found[0].version_to_retry(T0_MS - 99_999_999) == T0_MS + 1
    retry(file, found, T0_MS - 99_999_999)
    assert versions(file) == [T0_MS + 1]


def test_a_retry_at_the_same_moment_never_gives_a_version_twice(file: JournalFile) -> None:
    reject(file, observed(CurrentTemp="1"), Kind.OLDER_VERSION)
    retry(file, reject(file, observed(CurrentTemp="2"), Kind.OLDER_VERSION), LATER_MS)
    assert versions(file) == [LATER_MS, LATER_MS + 1]
    assert [e.observation.values["CurrentTemp"] for e in pending(file)] == ["1", "2"]


def test_an_observation_after_a_retry_gets_a_higher_version_still(file: JournalFile) -> None:
    found = reject(file, observed(CurrentTemp="1"), Kind.OLDER_VERSION, LATER_MS)
    retry(file, found, T0_MS)
    FileQueue(file).enqueue([observed(version=T0_MS + 1, CurrentTemp="2")], T0_MS)
    assert versions(file) == [LATER_MS + 1, LATER_MS + 2]


def test_a_retry_never_overwrites_a_later_value(file: JournalFile) -> None:
    found = reject(file, observed(CurrentTemp="1", Humidity="93"), Kind.OLDER_VERSION)
    FileQueue(file).enqueue([observed(CurrentTemp="2")], T0_MS)
    assert retry(file, found, LATER_MS) == Retried(pending=1, superseded=1)
    assert rejected(file) == []
    (later, back) = sorted(pending(file), key=lambda entry: "Humidity" in str(entry))
    assert later.observation.values == {"CurrentTemp": "2"}
    assert back.observation.values == {"Humidity": "93"}


def test_a_later_value_that_is_delivered_supersedes_as_well(file: JournalFile) -> None:
    found = reject(file, observed(CurrentTemp="3"), Kind.OLDER_VERSION)
    queue = FileQueue(file)
    queue.acknowledge(queue.enqueue([observed(CurrentTemp="4")], T0_MS), {}, LATER_MS)
    assert retry(file, found, LATER_MS) == Retried(superseded=1)


@pytest.mark.parametrize(
    "later", [observed(PARIS, CurrentTemp="2"), observed(time_ms=LATER_MS, CurrentTemp="2")]
)
def test_a_value_of_another_place_or_time_supersedes_nothing(
    file: JournalFile, later: Observation
) -> None:
    found = reject(file, observed(CurrentTemp="1"), Kind.OLDER_VERSION)
    FileQueue(file).enqueue([later], T0_MS)
    assert retry(file, found, LATER_MS) == Retried(pending=1)


def test_a_value_for_another_target_supersedes_nothing(path: Path, file: JournalFile) -> None:
    found = reject(file, observed(CurrentTemp="1"), Kind.OLDER_VERSION)
    with closing(JournalFile(path, "us-east-1/other.table")) as other:
        FileQueue(other).enqueue([observed(version=LATER_MS, CurrentTemp="2")], T0_MS)
    assert retry(file, found, LATER_MS) == Retried(pending=1)


@pytest.mark.parametrize("below", [1, 0])
def test_a_version_as_high_as_there_is_breaks_no_later_run(file: JournalFile, below: int) -> None:
    highest = 2**63 - 1
    found = reject(file, observed(CurrentTemp="1"), Kind.OLDER_VERSION, highest - below)
    expected = Retried(pending=1) if below else Retried(unbeatable=1)
    assert retry(file, found, LATER_MS) == expected
    assert len(rejected(file)) == 1 - below
    late = observed(time_ms=LATER_MS, version=LATER_MS)
    assert len(FileQueue(file).enqueue([late], LATER_MS)) == 1
    assert max(versions(file)) <= highest
    assert LATER_MS in versions(file)


def test_a_retry_counts_on_and_forgets_the_reason(path: Path, file: JournalFile) -> None:
    retry(file, reject(file, observed(CurrentTemp="1")), LATER_MS)
    rows = query(
        path, "SELECT state, attempts, kind, reason, existing_version, changed_ms FROM observation"
    )
    assert rows == [("pending", 1, "", "", None, LATER_MS)]


# Discarded, narrowed, listed


def test_what_is_discarded_is_gone(path: Path, file: JournalFile) -> None:
    first, second = reject(file, observed(CurrentTemp="1", Humidity="2"))
    discard(file, [first])
    assert rejected(file) == [second]
    assert states(path) == {"rejected": 1}


def test_a_retry_or_discard_touches_no_others(path: Path, file: JournalFile) -> None:
    reject(file, observed(LONDON))
    found = reject(file, observed(PARIS))
    retry(file, [each for each in found if each.observation.city == "London"], LATER_MS)
    discard(file, rejected(file, measure="Humidity"))
    assert [e.observation.city for e in pending(file)] == ["London", "London"]
    assert states(path) == {"pending": 2, "rejected": 1}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["London CurrentTemp", "London Humidity", "Paris CurrentTemp", "Paris Humidity"]),
        ({"places": ["Paris,FR"]}, ["Paris CurrentTemp", "Paris Humidity"]),
        ({"places": ["Paris"]}, ["Paris CurrentTemp", "Paris Humidity"]),
        ({"places": [" london ,  gb"]}, ["London CurrentTemp", "London Humidity"]),
        ({"places": ["Rome"]}, []),
        ({"measure": "Humidity"}, ["London Humidity", "Paris Humidity"]),
        ({"before_ms": LATER_MS}, ["London CurrentTemp", "London Humidity"]),
        ({"before_ms": T0_MS}, []),
        ({"before_ms": 0}, []),
        (
            {"before_ms": LATER_MS + 1, "places": ["Paris"], "measure": "Humidity"},
            ["Paris Humidity"],
        ),
    ],
)
def test_rejected_values_can_be_narrowed(
    file: JournalFile, filters: dict[str, Any], expected: list[str]
) -> None:
    reject(file, observed(LONDON))
    reject(file, observed(PARIS, LATER_MS))
    found = rejected(file, **filters)
    assert [f"{e.observation.city} {next(iter(e.observation.values))}" for e in found] == expected


def test_rejected_values_of_every_target_are_listed(path: Path, file: JournalFile) -> None:
    for target in ("us-east-1/one.table", "us-east-1/other.table"):
        with closing(JournalFile(path, target)) as each:
            reject(each, observed(CurrentTemp="1"))
    assert [each.target for each in rejected(file)] == [
        "us-east-1/one.table",
        "us-east-1/other.table",
    ]

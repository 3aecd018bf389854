"""The journal: what is committed stays, in order, once, until it is known to be stored."""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import JournalError, Status
from ingest.journal import queue as journal_module
from ingest.journal.queue import (
    APPLICATION_ID,
    PRUNE_AT_LEAST,
    SCHEMA_VERSION,
    Journal,
    RejectedEntry,
    RejectedRecord,
    Retried,
    open_journal,
    set_aside,
)
from ingest.observation import MEASURES, UNITS, Observation, Place
from tests.support.journals import (
    LONDON,
    PARIS,
    T0_MS,
    TARGET,
    observed,
    opened,
    query,
    series,
    states,
)
from timestream_writer import records_of

LATER_MS = T0_MS + 3_600_000
TOO_OLD = "The record timestamp is outside the time range [...) of the memory store."
SAME_VERSION = "A record already exists with the same time, dimensions and record version."
Open = Callable[..., Journal]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
def open_(path: Path) -> Iterator[Open]:
    """Opens journals, of one file unless told otherwise, and closes them all."""
    journals = []

    def new(target: str = TARGET, file: Path = path) -> Journal:
        journals.append(Journal(file, target))
        return journals[-1]

    yield new
    for each in journals:
        each.close()


@pytest.fixture
def journal(open_: Open) -> Journal:
    return open_()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def reject(
    journal: Journal, observation: Observation, reason: str = TOO_OLD, existing: int | None = None
) -> list[RejectedEntry]:
    """Add the observation and have every measure of it refused."""
    journal.add([observation], T0_MS)
    (*_, entry) = journal.pending(0, 10_000)
    refused = [
        RejectedRecord(entry.id, measure, reason, existing) for measure in entry.observation.values
    ]
    journal.settle([entry], refused, LATER_MS)
    return journal.rejected()


# The file


@pytest.mark.parametrize("umask", [0o022, 0, 0o077])
def test_only_its_owner_can_read_it(path: Path, umask: int, open_: Open) -> None:
    before = os.umask(umask)
    try:
        open_().add([observed()], T0_MS)
        modes = {part.name: mode(part) for part in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {
        "journal.sqlite3": 0o600,
        "journal.sqlite3-wal": 0o600,
        "journal.sqlite3-shm": 0o600,
    }
    assert mode(path.parent) == 0o700


def test_a_folder_that_is_there_keeps_its_mode(path: Path, open_: Open) -> None:
    path.parent.mkdir(mode=0o750)
    open_()
    assert mode(path.parent) == 0o750


def test_folders_that_are_missing_are_made(tmp_path: Path, open_: Open) -> None:
    deep = tmp_path / "a" / "b" / "c" / "journal.sqlite3"
    open_(file=deep)
    assert deep.exists()


@pytest.mark.usefixtures("journal")
def test_it_says_whose_file_it_is_and_of_which_version(path: Path) -> None:
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert len(journal_module._MIGRATIONS) == SCHEMA_VERSION


def test_a_commit_is_durable_and_at_once_seen_by_others(path: Path, journal: Journal) -> None:
    full, wal = 2, "wal"
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (full,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == (wal,)
    journal.add([observed()], T0_MS)
    assert states(path) == {"pending": 1}
    journal.settle(journal.pending(0, 10), [], LATER_MS)
    assert states(path) == {"delivered": 1}


def test_it_is_durable_when_it_is_opened_again(open_: Open) -> None:
    open_().close()
    again = open_()
    assert again._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert again._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_is_written_is_there_when_it_is_opened_again(open_: Open) -> None:
    first = open_()
    first.add(series(3), T0_MS)
    expected = first.pending(0, 10)
    first.close()
    assert open_().pending(0, 10) == expected


def test_a_failing_commit_leaves_nothing_half_done(path: Path, journal: Journal) -> None:
    class PowerCut(BaseException):
        pass

    class Failing(list[Observation]):
        def __iter__(self) -> Iterator[Observation]:
            yield observed()
            raise PowerCut

    with pytest.raises(PowerCut):
        journal.add(Failing(), T0_MS)
    assert states(path) == {}
    assert journal.add([observed()], T0_MS) == 1


# Versions of its schema


def test_an_empty_file_becomes_a_journal(path: Path, open_: Open) -> None:
    path.parent.mkdir()
    path.touch()
    assert open_().add([observed()], T0_MS) == 1


def test_a_newer_schema_is_refused_and_left_alone(path: Path, open_: Open) -> None:
    open_().close()
    with opened(path) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"newer version .*schema 99.*Install the newer") as e:
        Journal(path, TARGET)
    assert not e.value.corrupt
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE t (a)", "PRAGMA user_version = 1", "PRAGMA application_id = 5"]
)
def test_another_programs_file_is_refused_and_left_alone(path: Path, sql: str) -> None:
    path.parent.mkdir()
    with opened(path) as db:
        db.execute(sql)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"another program's.*WEATHER_JOURNAL") as e:
        Journal(path, TARGET)
    assert not e.value.corrupt
    assert path.read_bytes() == before


def add_migration(monkeypatch: pytest.MonkeyPatch, *statements: str) -> None:
    more = (*journal_module._MIGRATIONS, statements)
    monkeypatch.setattr(journal_module, "_MIGRATIONS", more)
    monkeypatch.setattr(journal_module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)


def test_an_older_schema_is_brought_up_to_date_with_all_it_holds(
    path: Path, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_()
    first.add(series(3), T0_MS)
    expected = first.pending(0, 10)
    first.close()
    add_migration(
        monkeypatch,
        "ALTER TABLE observation ADD COLUMN note TEXT NOT NULL DEFAULT 'none'",
        "UPDATE observation SET note = 'old'",
    )
    second = open_()
    assert second.pending(0, 10) == expected
    assert query(path, "SELECT DISTINCT note FROM observation") == [("old",)]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]
    second.close()
    assert open_().pending(0, 10) == expected


def make_version_1(path: Path) -> None:
    """A journal as the first version of the program left it, with a row in each state."""
    path.parent.mkdir()
    with opened(path) as db:
        for statement in journal_module._MIGRATIONS[0]:
            db.execute(statement)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.executemany(
            "INSERT INTO observation (target, place, latitude, longitude, city, country, city_id, "
            "time_ms, version, measures, state, changed_ms) VALUES "
            "(?, 'London,GB', '', '', 'London', 'GB', 2643743, ?, ?, ?, ?, ?)",
            [
                (TARGET, T0_MS, T0_MS, '{"Humidity":"93"}', state, T0_MS)
                for state in ("pending", "delivered", "rejected")
            ],
        )


def test_a_journal_of_version_1_is_brought_up_to_date_its_units_unknown(
    path: Path, open_: Open
) -> None:
    make_version_1(path)
    journal = open_()
    old = kept(observed(Humidity="93"))
    assert (old.units, old.utc_offset_s) == ("", None)
    assert [entry.observation for entry in journal.pending(0, 10)] == [old]
    assert [each.observation for each in journal.kept(0)] == [old, old]
    assert [entry.observation for entry in journal.rejected()] == [old]
    assert query(path, "PRAGMA user_version") == [(2,)]
    new = replace(observed(PARIS), units="imperial", utc_offset_s=-3600)
    journal.add([new], T0_MS)
    assert [entry.observation for entry in journal.pending(0, 10)] == [old, kept(new)]


def test_a_journal_of_version_1_is_left_alone_by_who_only_reads(path: Path) -> None:
    make_version_1(path)
    with pytest.raises(JournalError, match="The next run brings it up to date"):
        Journal(path, TARGET, read_only=True)
    assert query(path, "PRAGMA user_version") == [(1,)]


@pytest.mark.parametrize("units", ["", *UNITS])
@pytest.mark.parametrize("utc_offset_s", [None, 0, -18_000, 50_400])
def test_units_and_utc_offset_are_kept_in_every_state(
    journal: Journal, units: str, utc_offset_s: int | None
) -> None:
    seen = replace(observed(), units=units, utc_offset_s=utc_offset_s)
    journal.add([seen], T0_MS)
    (entry,) = journal.pending(0, 10)
    journal.settle([entry], [RejectedRecord(entry.id, "Humidity", "why", None)], LATER_MS)
    (delivered,) = journal.latest()
    (rejected,) = journal.rejected()
    for each in (entry, delivered, rejected):
        assert (each.observation.units, each.observation.utc_offset_s) == (units, utc_offset_s)


def test_other_units_at_the_same_time_are_new_where_they_change_a_value(
    journal: Journal,
) -> None:
    metric = replace(observed(CurrentTemp="10", Humidity="93"), units="metric")
    imperial = replace(observed(CurrentTemp="50", Humidity="93"), units="imperial")
    assert journal.add([metric], T0_MS) == journal.add([imperial], T0_MS) == 1
    first, second = (entry.observation for entry in journal.pending(0, 10))
    assert (first.units, second.units) == ("metric", "imperial")
    assert second.version > first.version
    assert journal.add([replace(imperial, units="metric")], T0_MS) == 0


@pytest.mark.parametrize("damage", ["units = 3", "utc_offset_s = 86400"])
def test_units_and_offsets_that_are_none_are_damage(
    path: Path, journal: Journal, damage: str
) -> None:
    journal.add([observed()], T0_MS)
    with opened(path) as db:
        db.execute(f"UPDATE observation SET {damage}")
    with pytest.raises(JournalError) as caught:
        journal.pending(0, 10)
    assert caught.value.corrupt


def test_a_new_file_passes_through_every_version(
    path: Path, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_migration(monkeypatch, "CREATE TABLE extra (a TEXT) STRICT")
    open_().add([observed()], T0_MS)
    assert query(path, "SELECT count(*) FROM extra") == [(0,)]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]


def test_an_upgrade_that_fails_changes_nothing(
    path: Path, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_()
    first.add([observed()], T0_MS)
    first.close()
    with monkeypatch.context() as patched:
        add_migration(patched, "CREATE TABLE extra (a TEXT) STRICT", "no SQL at all")
        with pytest.raises(JournalError):
            open_()
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "SELECT name FROM sqlite_schema WHERE name = 'extra'") == []
    assert open_().count_pending() == 1


# Adding


def test_an_observation_is_pending_once_added(path: Path, journal: Journal) -> None:
    assert journal.add([observed()], T0_MS) == 1
    assert [entry.observation for entry in journal.pending(0, 10)] == [kept(observed())]
    rows = query(path, "SELECT state, attempts, reason, changed_ms FROM observation")
    assert rows == [("pending", 0, "", T0_MS)]


def kept(observation: Observation) -> Observation:
    """As the journal gives it back: nobody asks for the weather of a kept place."""
    place = Place(observation.place.name, (), coordinates=observation.place.coordinates)
    return replace(observation, place=place)


def versions(journal: Journal) -> list[int]:
    return [entry.observation.version for entry in journal.pending(0, 1000)]


def test_the_same_again_is_not_added(journal: Journal) -> None:
    assert journal.add([observed(), observed(version=LATER_MS)], T0_MS) == 1
    assert journal.add([observed(version=LATER_MS)], LATER_MS) == 0
    assert versions(journal) == [T0_MS]


@pytest.mark.parametrize("state", ["delivered", "rejected", "discarded"])
def test_the_same_again_is_not_added_whatever_became_of_it(journal: Journal, state: str) -> None:
    if state == "delivered":
        journal.add([observed()], T0_MS)
        journal.settle(journal.pending(0, 10), [], T0_MS)
    else:
        rejected = reject(journal, observed())
        if state == "discarded":
            journal.discard(rejected)
    assert journal.add([observed()], LATER_MS) == 0


def test_the_same_again_is_not_added_even_after_it_was_pruned(journal: Journal) -> None:
    journal.add([observed()], T0_MS)
    journal.settle(journal.pending(0, 10), [], T0_MS)
    journal.prune(LATER_MS, 1)
    assert journal.add([observed()], LATER_MS) == 0


def test_other_values_of_the_same_time_are_added_with_a_higher_version(journal: Journal) -> None:
    changed = observed(version=LATER_MS, CurrentTemp="13")
    assert [journal.add([each], T0_MS) for each in (observed(), changed)] == [1, 1]
    assert versions(journal) == [T0_MS, LATER_MS]


def test_other_values_within_the_same_millisecond_get_a_higher_version(journal: Journal) -> None:
    journal.add([observed(CurrentTemp="1"), observed(CurrentTemp="2")], T0_MS)
    assert versions(journal) == [T0_MS, T0_MS + 1]


def test_a_measure_more_is_another_observation(journal: Journal) -> None:
    journal.add([observed(CurrentTemp="1")], T0_MS)
    assert journal.add([observed(CurrentTemp="1", Humidity="2")], T0_MS) == 1


def test_a_version_never_goes_back_when_the_clock_does(journal: Journal) -> None:
    journal.add([observed(version=LATER_MS)], LATER_MS)
    for number in range(3):
        journal.add([observed(version=T0_MS - number, CurrentTemp=str(number))], T0_MS)
    assert versions(journal) == [LATER_MS, LATER_MS + 1, LATER_MS + 2, LATER_MS + 3]


def test_a_version_never_goes_back_though_all_was_delivered_and_pruned(journal: Journal) -> None:
    journal.add([observed(version=LATER_MS)], LATER_MS)
    journal.settle(journal.pending(0, 10), [], T0_MS)
    journal.prune(LATER_MS, 1)
    journal.add([observed(version=T0_MS, CurrentTemp="1")], T0_MS)
    assert versions(journal) == [LATER_MS + 1]


@given(steps=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3), st.integers(0, 3))))
def test_versions_of_a_place_only_rise(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("rise") / "j", TARGET)
    for version, time, value in steps:
        journal.add([observed(LONDON, time, version, CurrentTemp=str(value))], version)
        journal.add([observed(PARIS, time, version, CurrentTemp=str(value))], version)
    for place in (LONDON, PARIS):
        entries = [e for e in journal.pending(0, 10_000) if e.observation.place.name == place.name]
        used = [entry.observation.version for entry in entries]
        assert used == sorted(set(used))
    journal.close()


def test_a_time_that_goes_back_is_added_and_comes_after(journal: Journal) -> None:
    newer, older = observed(time_ms=T0_MS), observed(time_ms=T0_MS - 600_000)
    assert [journal.add([each], T0_MS) for each in (newer, older, newer)] == [1, 1, 1]
    times = [entry.observation.time_ms for entry in journal.pending(0, 10)]
    assert times == [T0_MS, T0_MS - 600_000, T0_MS]
    assert versions(journal) == [T0_MS, T0_MS + 1, T0_MS + 2]


def test_places_have_their_own_last_observation(journal: Journal) -> None:
    assert journal.add([observed(LONDON), observed(PARIS)], T0_MS) == 2
    assert versions(journal) == [T0_MS, T0_MS]


def test_adding_nothing_is_nothing(path: Path, journal: Journal) -> None:
    assert journal.add([], T0_MS) == 0
    assert states(path) == {}


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
coordinates = st.sampled_from(["51.5", "-0.1257", "0", "-0", "+90.000"])
values = st.dictionaries(
    st.sampled_from(sorted(MEASURES)), text.filter(bool), min_size=1, max_size=len(MEASURES)
)
observations = st.builds(
    Observation,
    st.builds(
        Place,
        text,
        st.just((("q", "x"),)),
        coordinates=st.one_of(st.just(()), st.tuples(coordinates, coordinates)),
    ),
    text,
    text,
    st.integers(0, 2**63 - 1),
    st.integers(0, 253_402_300_799_000),
    st.integers(1, 2**62),
    values,
)


@pytest.fixture(scope="module")
def one_journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    journal = Journal(tmp_path_factory.mktemp("any") / "journal.sqlite3", TARGET)
    yield journal
    journal.close()


@given(observation=observations)
@settings(max_examples=150)
def test_the_records_of_what_comes_back_are_those_of_what_went_in(
    one_journal: Journal, observation: Observation
) -> None:
    one_journal._db.execute("DELETE FROM observation")
    one_journal._db.execute("DELETE FROM place")
    one_journal.add([observation], T0_MS)
    (entry,) = one_journal.pending(0, 2)
    assert records_of(entry.observation) == records_of(observation)
    assert entry.observation.place.name == observation.place.name
    assert list(entry.observation.values) == list(observation.values)


# What is pending


def test_the_oldest_comes_first_page_by_page(journal: Journal) -> None:
    all_of_them = series(25)
    journal.add(all_of_them, T0_MS)
    pages, after = [], 0
    while page := journal.pending(after, 10):
        pages.append([entry.observation.time_ms for entry in page])
        after = page[-1].id
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [time for page in pages for time in page] == [each.time_ms for each in all_of_them]


def test_what_is_settled_is_no_longer_pending(journal: Journal) -> None:
    journal.add(series(4), T0_MS)
    entries = journal.pending(0, 10)
    journal.settle([entries[0], entries[2]], [], LATER_MS)
    assert journal.pending(0, 10) == [entries[1], entries[3]]
    assert journal.count_pending() == 2


def test_a_number_is_never_given_twice(journal: Journal) -> None:
    journal.add([observed(CurrentTemp="1")], T0_MS)
    (first,) = journal.pending(0, 10)
    journal.settle([first], [], T0_MS)
    journal.prune(LATER_MS, 1)
    journal.add([observed(CurrentTemp="2")], T0_MS)
    assert journal.pending(0, 10)[0].id > first.id


def test_targets_are_kept_apart(open_: Open) -> None:
    one, other = open_("us-east-1/one.table"), open_("us-east-1/other.table")
    assert one.add([observed(version=LATER_MS)], T0_MS) == 1
    assert other.add([observed()], T0_MS) == 1
    assert one.pending(0, 10)[0].observation.version == LATER_MS
    assert other.pending(0, 10)[0].observation.version == T0_MS
    assert one.pending_elsewhere() == {"us-east-1/other.table": 1}
    assert (one.count_pending(), other.count_pending()) == (1, 1)
    one.settle(one.pending(0, 10), [], T0_MS)
    assert (one.count_pending(), other.count_pending()) == (0, 1)
    assert other.pending_elsewhere() == {}
    assert one.pending_elsewhere(since_ms=T0_MS) == {"us-east-1/other.table": 1}
    assert one.pending_elsewhere(since_ms=T0_MS + 1) == {}


# Settling


def test_what_is_delivered_is_kept_with_its_time_and_attempts(path: Path, journal: Journal) -> None:
    journal.add([observed()], T0_MS)
    entries = journal.pending(0, 10)
    journal.failed(entries, "throttled")
    journal.settle(entries, [], LATER_MS)
    rows = query(path, "SELECT state, attempts, reason, changed_ms FROM observation")
    assert rows == [("delivered", 2, "", LATER_MS)]


def test_a_failure_keeps_its_reason_and_counts_attempts(path: Path, journal: Journal) -> None:
    journal.add(series(2), T0_MS)
    first, _ = journal.pending(0, 10)
    journal.failed([first], "throttled")
    journal.failed([first], "reset")
    rows = query(path, "SELECT state, attempts, reason FROM observation ORDER BY id")
    assert rows == [("pending", 2, "reset"), ("pending", 0, "")]
    assert journal.count_pending() == 2


def test_a_record_that_is_refused_is_set_aside_and_the_rest_is_delivered(
    path: Path, journal: Journal
) -> None:
    journal.add([observed(CurrentTemp="1", Humidity="2", Pressure="3")], T0_MS)
    (entry,) = journal.pending(0, 10)
    journal.settle([entry], [RejectedRecord(entry.id, "Humidity", SAME_VERSION, 77)], LATER_MS)
    (rejected,) = journal.rejected()
    assert rejected.observation == kept(observed(Humidity="2"))
    assert (rejected.target, rejected.reason, rejected.existing_version) == (
        TARGET,
        SAME_VERSION,
        77,
    )
    assert (rejected.attempts, rejected.rejected_ms) == (1, LATER_MS)
    delivered = query(path, "SELECT measures FROM observation WHERE state = 'delivered'")
    assert delivered == [('{"CurrentTemp":"1","Pressure":"3"}',)]
    assert journal.count_pending() == 0


def test_an_observation_of_which_all_is_refused_is_only_rejected(
    path: Path, journal: Journal
) -> None:
    reject(journal, observed(CurrentTemp="1", Humidity="2"))
    assert states(path) == {"rejected": 2}


def test_rejections_reach_their_own_entries(path: Path, journal: Journal) -> None:
    journal.add(series(3), T0_MS)
    entries = journal.pending(0, 10)
    refused = [
        RejectedRecord(entries[2].id, "Humidity", "b", None),
        RejectedRecord(entries[0].id, "Pressure", "a", None),
    ]
    journal.settle(entries, refused, LATER_MS)
    found = {(e.observation.time_ms, *e.observation.values, e.reason) for e in journal.rejected()}
    assert found == {
        (entries[0].observation.time_ms, "Pressure", "a"),
        (entries[2].observation.time_ms, "Humidity", "b"),
    }
    assert states(path) == {"delivered": 3, "rejected": 2}


def test_rejected_records_do_not_block_later_ones(journal: Journal) -> None:
    reject(journal, observed())
    journal.add([observed(time_ms=LATER_MS)], LATER_MS)
    assert [entry.observation.time_ms for entry in journal.pending(0, 10)] == [LATER_MS]


def test_settling_what_a_new_journal_never_had_changes_nothing_else(
    path: Path, journal: Journal, tmp_path: Path, open_: Open
) -> None:
    journal.add(series(2), T0_MS)
    entries = journal.pending(0, 10)
    other = open_(file=tmp_path / "new.sqlite3")
    other.begin_after(entries[-1].id)
    other.add([observed(PARIS)], T0_MS)
    other.settle(entries, [RejectedRecord(entries[0].id, "Humidity", TOO_OLD, None)], LATER_MS)
    assert other.count_pending() == 1
    assert [list(each.observation.values) for each in other.rejected()] == [["Humidity"]]
    assert states(path) == {"pending": 2}


def test_a_file_that_lacks_a_table_is_damaged(path: Path, journal: Journal) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE place")
    with pytest.raises(JournalError, match=r"no such table.*damaged") as caught:
        journal.add([observed()], T0_MS)
    assert caught.value.corrupt


# Rejected records


def test_a_retry_keeps_the_version_where_that_was_not_the_reason(journal: Journal) -> None:
    journal.retry(reject(journal, observed()), LATER_MS)
    assert journal.rejected() == []
    assert versions(journal) == [T0_MS, T0_MS]
    values = [entry.observation.values for entry in journal.pending(0, 10)]
    assert values == [{"CurrentTemp": "12.5"}, {"Humidity": "93"}]


@pytest.mark.parametrize(
    ("reason", "existing", "expected"),
    [
        (SAME_VERSION, None, LATER_MS),
        ("lower", LATER_MS + 500, LATER_MS + 501),
        ("lower", 5, LATER_MS),
    ],
)
def test_a_retry_wins_where_the_version_was_the_reason(
    journal: Journal, reason: str, existing: int | None, expected: int
) -> None:
    journal.retry(reject(journal, observed(CurrentTemp="1"), reason, existing), LATER_MS)
    assert versions(journal) == [expected]


def test_a_retry_wins_though_the_clock_went_back(journal: Journal) -> None:
    rejected = reject(journal, observed(CurrentTemp="1"), SAME_VERSION)
    journal.retry(rejected, T0_MS - 99_999_999)
    assert versions(journal) == [T0_MS + 1]


def test_a_retry_at_the_same_moment_never_gives_a_version_twice(journal: Journal) -> None:
    reject(journal, observed(CurrentTemp="1"), SAME_VERSION)
    rejected = reject(journal, observed(CurrentTemp="2"), SAME_VERSION)
    journal.retry(rejected, LATER_MS)
    assert versions(journal) == [LATER_MS, LATER_MS + 1]
    assert [e.observation.values["CurrentTemp"] for e in journal.pending(0, 10)] == ["1", "2"]


def test_an_observation_after_a_retry_gets_a_higher_version_still(journal: Journal) -> None:
    journal.retry(reject(journal, observed(CurrentTemp="1"), SAME_VERSION, LATER_MS), T0_MS)
    journal.add([observed(version=T0_MS + 1, CurrentTemp="2")], T0_MS)
    assert versions(journal) == [LATER_MS + 1, LATER_MS + 2]


def test_a_retry_never_overwrites_a_later_value(journal: Journal) -> None:
    rejected = reject(journal, observed(CurrentTemp="1", Humidity="93"), SAME_VERSION)
    journal.add([observed(CurrentTemp="2")], T0_MS)
    assert journal.retry(rejected, LATER_MS) == Retried(pending=1, superseded=1)
    assert journal.rejected() == []
    (later, back) = sorted(journal.pending(0, 10), key=lambda entry: "Humidity" in str(entry))
    assert later.observation.values == {"CurrentTemp": "2"}
    assert back.observation.values == {"Humidity": "93"}
    # Delivered ones count as well, and other places, times and tables do not.
    rejected = reject(journal, observed(PARIS, CurrentTemp="5"), SAME_VERSION)
    assert journal.retry(rejected, LATER_MS) == Retried(pending=1)
    rejected = reject(journal, observed(CurrentTemp="3"), SAME_VERSION)
    journal.add([observed(CurrentTemp="4")], T0_MS)
    journal.settle(journal.pending(0, 10), [], LATER_MS)
    assert journal.retry(rejected, LATER_MS) == Retried(superseded=1)


@pytest.mark.parametrize("below", [1, 0])
def test_a_version_as_high_as_there_is_breaks_no_later_run(journal: Journal, below: int) -> None:
    rejected = reject(journal, observed(CurrentTemp="1"), SAME_VERSION, 2**63 - 1 - below)
    expected = Retried(pending=1) if below else Retried(unbeatable=1)
    assert journal.retry(rejected, LATER_MS) == expected
    assert len(journal.rejected()) == 1 - below
    assert journal.add([observed(time_ms=LATER_MS, version=LATER_MS)], LATER_MS) == 1
    assert max(versions(journal)) <= 2**63 - 1
    assert LATER_MS in versions(journal)


def test_a_retry_counts_on(path: Path, journal: Journal) -> None:
    journal.retry(reject(journal, observed(CurrentTemp="1")), LATER_MS)
    rows = query(path, "SELECT state, attempts, reason, existing_version FROM observation")
    assert rows == [("pending", 1, "", None)]


def test_what_is_discarded_is_gone(path: Path, journal: Journal) -> None:
    first, second = reject(journal, observed(CurrentTemp="1", Humidity="2"))
    journal.discard([first])
    assert journal.rejected() == [second]
    assert states(path) == {"rejected": 1}


def test_a_retry_or_discard_touches_no_others(path: Path, journal: Journal) -> None:
    reject(journal, observed(LONDON))
    rejected = reject(journal, observed(PARIS))
    journal.retry([each for each in rejected if each.observation.city == "London"], LATER_MS)
    journal.discard(journal.rejected(measure="Humidity"))
    assert [e.observation.city for e in journal.pending(0, 10)] == ["London", "London"]
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
def test_rejected_records_can_be_narrowed(
    journal: Journal, filters: dict[str, Any], expected: list[str]
) -> None:
    reject(journal, observed(LONDON))
    reject(journal, observed(PARIS, LATER_MS))
    found = journal.rejected(**filters)
    assert [f"{e.observation.city} {next(iter(e.observation.values))}" for e in found] == expected


def test_rejected_records_of_every_target_are_listed(open_: Open) -> None:
    reject(open_("us-east-1/one.table"), observed(CurrentTemp="1"))
    reject(open_("us-east-1/other.table"), observed(CurrentTemp="1"))
    found = [each.target for each in open_("").rejected()]
    assert found == ["us-east-1/one.table", "us-east-1/other.table"]


# Pruning


def test_only_what_was_delivered_before_is_pruned(path: Path, journal: Journal) -> None:
    reject(journal, observed(CurrentTemp="1"))
    journal.add(series(3, PARIS), T0_MS)
    entries = journal.pending(0, 10)
    journal.settle([entries[0]], [], T0_MS)
    journal.settle([entries[1]], [], LATER_MS)
    journal.prune(LATER_MS, 1)
    assert states(path) == {"delivered": 1, "pending": 1, "rejected": 1}
    journal.prune(2**62, 1)
    assert states(path) == {"pending": 1, "rejected": 1}


def test_pruning_is_bounded_and_takes_the_oldest(path: Path, journal: Journal) -> None:
    count = PRUNE_AT_LEAST + 10
    journal.add(series(count), T0_MS)
    for entry in (entries := journal.pending(0, count)):
        assert entry.observation.place.name == LONDON.name
    journal.settle(entries[5:], [], LATER_MS)
    journal.settle(entries[:5], [], T0_MS)
    journal.prune(2**62, 1)
    assert query(path, "SELECT count(*), min(id) FROM observation") == [(10, entries[-10].id)]


def test_pruning_keeps_up_with_what_is_added(path: Path, journal: Journal) -> None:
    count = 2 * PRUNE_AT_LEAST + 100
    journal.add(series(count), T0_MS)
    journal.settle(journal.pending(0, count), [], T0_MS)
    journal.prune(LATER_MS, PRUNE_AT_LEAST)
    assert states(path) == {"delivered": 100}


def test_pruning_looks_at_an_index_alone(journal: Journal) -> None:
    plan = journal._db.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM observation "
        "WHERE state = 'delivered' AND changed_ms < 5 ORDER BY changed_ms LIMIT 5"
    ).fetchall()
    assert [row[3] for row in plan] == [
        "SEARCH observation USING INDEX observation_delivered (changed_ms<?)"
    ]


# Damage


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database, " * 512)


def damage_pages(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    path.write_bytes(whole)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("damage", [damage_header, damage_pages, cut_short])
def test_a_damaged_file_is_found_out(
    path: Path, open_: Open, damage: Callable[[Path], None]
) -> None:
    first = open_()
    first.add(series(200), T0_MS)
    first.close()
    damage(path)
    with pytest.raises(JournalError, match="damaged") as caught:
        open_().pending(0, 10)
    assert caught.value.corrupt
    assert caught.value.status is Status.IOERR


def test_a_damaged_file_is_set_aside_whole_and_a_new_one_begun(path: Path, open_: Open) -> None:
    open_().close()
    damage_header(path)
    damaged = path.read_bytes()
    journal, told = open_journal(path, TARGET)
    assert journal.add([observed()], T0_MS) == 1
    assert states(path) == {"pending": 1}
    journal.close()
    (aside,) = path.parent.glob("journal.sqlite3.corrupt-*")
    assert aside.read_bytes() == damaged
    assert str(aside) in str(told)
    assert ".recover" in str(told)


def test_a_journal_is_set_aside_with_all_its_parts(path: Path) -> None:
    path.parent.mkdir()
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).write_text(f"part {ending}")
    set_aside(path, JournalError("damaged."))
    aside = sorted(path.parent.iterdir())
    assert [part.name.removeprefix(aside[0].name) for part in aside] == ["", "-shm", "-wal"]
    assert [part.read_text() for part in aside] == ["part ", "part -shm", "part -wal"]


def test_a_journal_set_aside_never_replaces_an_earlier_one(path: Path) -> None:
    path.parent.mkdir()
    for text in ("one", "two", "three"):
        path.write_text(text)
        set_aside(path, JournalError("damaged."))
    kept_files = sorted(part.read_text() for part in path.parent.glob("*.corrupt-*"))
    assert kept_files == ["one", "three", "two"]


def test_a_journal_that_cannot_be_set_aside_is_an_error(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    path.parent.rename(tmp_path / "moved")
    (tmp_path / "state").write_text("a file where the folder was")
    with pytest.raises(JournalError, match="WEATHER_JOURNAL"):
        Journal(path, TARGET)


def test_a_usable_journal_is_not_set_aside(path: Path) -> None:
    for _ in range(2):
        journal, told = open_journal(path, TARGET)
        journal.close()
        assert told is None
    assert [part.name for part in path.parent.iterdir()] == [path.name]


# Errors


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SQLITE_FULL", r"Free space on its disk"),
        ("SQLITE_IOERR_WRITE", r"Free space on its disk"),
        ("SQLITE_BUSY", r"Another program holds the file open; close it\."),
        ("SQLITE_LOCKED_SHAREDCACHE", r"Another program holds the file open; close it\."),
        ("SQLITE_CORRUPT_INDEX", r"The file is damaged\."),
        ("SQLITE_NOTADB", r"The file is damaged\."),
        ("SQLITE_READONLY", r"Let this user write to its folder"),
        ("SQLITE_CANTOPEN", r"Let this user write to its folder"),
    ],
)
def test_an_error_of_sqlite_says_what_to_do(path: Path, name: str, message: str) -> None:
    error = sqlite3.OperationalError("something is wrong")
    error.sqlite_errorname = name
    with (
        pytest.raises(JournalError, match=rf"something is wrong\. {message}") as caught,
        journal_module.journal_errors(path),
    ):
        raise error
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is error
    assert caught.value.corrupt == name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"Let this user write to its folder") as caught:
        Journal(tmp_path / "file" / "journal.sqlite3", TARGET)
    assert not caught.value.corrupt


METHODS: dict[str, Callable[[Journal], object]] = {
    "add": lambda journal: journal.add([observed(PARIS)], T0_MS),
    "pending": lambda journal: journal.pending(0, 1),
    "settle": lambda journal: journal.settle([], [], T0_MS),
    "failed": lambda journal: journal.failed([], ""),
    "begin_after": lambda journal: journal.begin_after(1),
    "count_pending": Journal.count_pending,
    "pending_elsewhere": Journal.pending_elsewhere,
    "prune": lambda journal: journal.prune(0, 0),
    "rejected": Journal.rejected,
    "retry": lambda journal: journal.retry([], 0),
    "discard": lambda journal: journal.discard([]),
    "asked": lambda journal: journal.asked(["London,GB"]),
    "mark_asked": lambda journal: journal.mark_asked(["London,GB"], T0_MS),
    "calls": Journal.calls,
    "last_delivered_ms": Journal.last_delivered_ms,
    "oldest_pending_ms": Journal.oldest_pending_ms,
    "kept": lambda journal: journal.kept(0),
    "latest": Journal.latest,
    "end_run": lambda journal: journal.end_run(0, "{}", T0_MS),
    "runs": lambda journal: journal.runs(1),
    "keep_calls": lambda journal: journal.keep_calls({1: 1}),
}


def test_every_method_is_tried_below() -> None:
    public = {name for name in vars(Journal) if not name.startswith("_")}
    assert public - {"close", "is_sound"} == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_raises_a_journal_error_when_the_file_is_unusable(
    journal: Journal, name: str
) -> None:
    journal._db.close()
    with pytest.raises(JournalError):
        METHODS[name](journal)


def test_a_file_that_another_program_locks_is_an_error_that_says_so(
    path: Path, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "BUSY_TIMEOUT_S", 0.01)
    journal = open_()
    with opened(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="Another program holds the file open"):
            journal.add([observed()], T0_MS)
        other.execute("ROLLBACK")
    assert journal.add([observed()], T0_MS) == 1


def test_closing_twice_is_harmless(journal: Journal) -> None:
    journal.close()
    journal.close()

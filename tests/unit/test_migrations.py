"""Journals of older versions of the program: brought up to date in place, with all they hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import JournalError
from ingest.journal import schema
from ingest.journal.history import kept as kept_in
from ingest.journal.queue import FileQueue
from ingest.journal.rejected import rejected, retry
from ingest.journal.schema import APPLICATION_ID, SCHEMA_VERSION, JournalFile
from tests.support.journals import (
    PARIS,
    SAME_VERSION,
    T0_MS,
    TARGET,
    TOO_OLD,
    Open,
    kept,
    observed,
    opened,
    query,
    states,
)

LATER_MS = T0_MS + 3_600_000


# As the first version of the program made them.
VERSION_1 = """
    CREATE TABLE observation (
        id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, place TEXT NOT NULL,
        latitude TEXT NOT NULL, longitude TEXT NOT NULL, city TEXT NOT NULL, country TEXT NOT NULL,
        city_id INTEGER NOT NULL, time_ms INTEGER NOT NULL, version INTEGER NOT NULL,
        measures TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'rejected')),
        attempts INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
        existing_version INTEGER, changed_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX observation_pending ON observation (target, id) WHERE state = 'pending';
    CREATE INDEX observation_rejected ON observation (id) WHERE state = 'rejected';
    CREATE INDEX observation_delivered ON observation (changed_ms) WHERE state = 'delivered';
    CREATE TABLE place (
        target TEXT NOT NULL, place TEXT NOT NULL, time_ms INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL DEFAULT 0, measures TEXT NOT NULL DEFAULT '',
        asked_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (target, place)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE call (second INTEGER PRIMARY KEY, calls INTEGER NOT NULL) STRICT;
    CREATE TABLE run (
        id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, ended_ms INTEGER NOT NULL,
        status INTEGER NOT NULL, summary TEXT NOT NULL
    ) STRICT;
"""
# And the second.
VERSION_2 = f"""{VERSION_1}
    ALTER TABLE observation ADD COLUMN units INTEGER;
    ALTER TABLE observation ADD COLUMN utc_offset_s INTEGER;
"""
OLD_SCHEMAS = {1: VERSION_1, 2: VERSION_2}

# time, reason, existing version, kind from now on
OLD_REJECTIONS = [
    (T0_MS, TOO_OLD, None, "too_old"),
    (T0_MS, "Outside the Time Range of what is kept.", 5, "too_old"),
    (T0_MS, "The time is before the ingestion window: its version", None, "too_old"),
    (LATER_MS + 1, "The time is after the ingestion window.", None, "in_future"),
    (LATER_MS + 1, "Invalid time for record.", None, "record"),
    (T0_MS, SAME_VERSION, None, "older_version"),
    (T0_MS, "A record with a higher value exists.", 77, "older_version"),
    (T0_MS, "Dimension names must not be empty.", None, "record"),
]


def make_old(path: Path, version: int) -> None:
    """A journal of an older version: a row pending after a failure, one delivered, and rejected
    ones."""
    rows = [
        (T0_MS, "pending", "throttled: version 5", None),
        (T0_MS, "delivered", "", None),
        *((time_ms, "rejected", *why) for time_ms, *why, _ in OLD_REJECTIONS),
    ]
    with opened(path) as db:
        db.executescript(OLD_SCHEMAS[version])
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
        db.executemany(
            "INSERT INTO observation (target, place, latitude, longitude, city, country, city_id, "
            "time_ms, version, measures, changed_ms, state, reason, existing_version) VALUES "
            f"('{TARGET}', 'London,GB', '', '', 'London', 'GB', 2643743, "
            f'?, {T0_MS}, \'{{"Humidity":"93"}}\', {LATER_MS}, ?, ?, ?)',
            rows,
        )
        if version > 1:
            db.execute("UPDATE observation SET units = 1, utc_offset_s = 3600")


@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_an_old_journal_is_brought_up_to_date_with_all_it_holds(
    path: Path, open_: Open, version: int
) -> None:
    make_old(path, version)
    file = open_()
    old = kept(observed(Humidity="93"))
    if version > 1:
        old = replace(old, units="metric", utc_offset_s=3600)
    queue = FileQueue(file)
    assert [entry.observation for entry in queue.backlog(0, 10)] == [old]
    assert [each.observation for each in kept_in(file, 0)] == [old, old]
    assert [each.observation for each in rejected(file)] == [
        replace(old, time_ms=time_ms) for time_ms, *_ in OLD_REJECTIONS
    ]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    new = replace(observed(PARIS), units="imperial", utc_offset_s=-3600)
    queue.enqueue([new], T0_MS)
    file.close()
    backlog = FileQueue(open_()).backlog(0, 10)
    assert [entry.observation for entry in backlog] == [old, kept(new)]


@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_a_rejection_of_an_old_journal_gets_its_kind_from_its_reason(
    path: Path, open_: Open, version: int
) -> None:
    make_old(path, version)
    found = [
        (each.observation.time_ms, each.reason, each.existing_version, each.kind)
        for each in rejected(open_())
    ]
    assert found == OLD_REJECTIONS
    others = query(path, "SELECT state, kind FROM observation WHERE state <> 'rejected'")
    assert others == [("pending", ""), ("delivered", "")]


def test_a_rejection_of_an_old_journal_is_retried_as_before(path: Path, open_: Open) -> None:
    make_old(path, 2)
    file = open_()
    wins = {SAME_VERSION, "A record with a higher value exists."}
    same = [each for each in rejected(file) if each.reason not in wins]
    higher = [each for each in rejected(file) if each.reason in wins]
    retry(file, same, LATER_MS)
    retry(file, higher, LATER_MS)
    versions = {
        each.id: file.value("SELECT version FROM observation WHERE id = ?", each.id)
        for each in (*same, *higher)
    }
    assert {versions[each.id] for each in same} == {T0_MS}
    assert sorted(versions[each.id] for each in higher) == [LATER_MS, LATER_MS + 1]


def columns_and_indices(path: Path) -> list[Any]:
    return query(
        path,
        "SELECT m.name, c.name, c.type, c.'notnull', c.dflt_value, c.pk "
        "FROM sqlite_schema AS m, pragma_table_info(m.name) AS c ORDER BY m.name, c.name",
    ) + query(path, "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index' ORDER BY name")


@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_an_upgraded_file_has_the_schema_of_a_new_one(
    path: Path, open_: Open, version: int
) -> None:
    new = path.with_name("new.sqlite3")
    open_(new)
    make_old(path, version)
    open_()
    assert columns_and_indices(path) == columns_and_indices(new)


@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_an_old_journal_is_left_alone_by_who_only_reads(path: Path, version: int) -> None:
    make_old(path, version)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=rf"\b{version}\b"):
        JournalFile(path, TARGET, read_only=True)
    assert path.read_bytes() == before


def add_migration(monkeypatch: pytest.MonkeyPatch, *statements: str) -> None:
    more = (*schema._MIGRATIONS, statements)
    monkeypatch.setattr(schema, "_MIGRATIONS", more)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)


@pytest.mark.parametrize("version", [0, *OLD_SCHEMAS])
def test_every_file_passes_through_every_version_and_through_none_twice(
    path: Path, open_: Open, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    if version:
        make_old(path, version)
    add_migration(
        monkeypatch,
        "CREATE TABLE extra (a TEXT) STRICT",
        "INSERT INTO extra VALUES ('once')",
    )
    for _ in range(2):
        open_()
        assert query(path, "SELECT a FROM extra") == [("once",)]
        assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]


def test_an_upgrade_that_another_process_has_just_made_is_not_made_again(
    path: Path, open_: Open
) -> None:
    file = open_()
    FileQueue(file).enqueue([observed()], T0_MS)
    schema._migrate(file.db)
    assert states(path) == {"pending": 1}


def test_an_upgrade_that_fails_changes_nothing(
    path: Path, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_()
    FileQueue(first).enqueue([observed()], T0_MS)
    first.close()
    with monkeypatch.context() as patched:
        add_migration(patched, "CREATE TABLE extra (a TEXT) STRICT", "no SQL at all")
        with pytest.raises(JournalError):
            open_()
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "SELECT name FROM sqlite_schema WHERE name = 'extra'") == []
    assert FileQueue(open_()).count_pending() == 1

"""The journal's file: whose it is, which version, and that a commit stays."""

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import JournalError
from ingest.journal import schema
from ingest.journal.queue import FileQueue
from ingest.journal.schema import APPLICATION_ID, SCHEMA_VERSION, JournalFile
from tests.support.journals import T0_MS, TARGET, Open, observed, opened, query, series, states

LATER_MS = T0_MS + 3_600_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def setting(file: JournalFile, name: str) -> Any:
    return file.value(f"PRAGMA {name}")


FULL = 2  # of PRAGMA synchronous


# On the disk


@pytest.mark.parametrize("umask", [0o022, 0, 0o077])
def test_only_its_owner_can_read_it(path: Path, umask: int, open_: Open) -> None:
    before = os.umask(umask)
    try:
        FileQueue(open_()).enqueue([observed()], T0_MS)
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
    open_(deep)
    assert deep.exists()


@pytest.mark.usefixtures("file")
def test_it_is_marked_as_ours_with_its_version(path: Path) -> None:
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert len(schema._MIGRATIONS) == SCHEMA_VERSION


def test_a_reader_needs_the_file_and_changes_nothing(path: Path, open_: Open) -> None:
    with pytest.raises(JournalError):
        JournalFile(path, read_only=True)
    assert not path.exists()
    open_().close()
    before = path.read_bytes()
    with closing(JournalFile(path, read_only=True)) as reader:
        assert reader.rows("SELECT * FROM observation") == []
        with pytest.raises(JournalError), reader.transaction() as db:
            db.execute("DELETE FROM observation")
    assert [part.name for part in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_a_reader_sees_what_a_writer_has_just_committed(path: Path, file: JournalFile) -> None:
    FileQueue(file).enqueue(series(3), T0_MS)
    with closing(JournalFile(path, TARGET, read_only=True)) as reader:
        assert FileQueue(reader).count_pending() == 3


# Commits


def test_a_commit_is_durable_and_at_once_seen_by_others(path: Path, file: JournalFile) -> None:
    assert setting(file, "synchronous") == FULL
    assert setting(file, "journal_mode") == "wal"
    queue = FileQueue(file)
    entries = queue.enqueue([observed()], T0_MS)
    assert states(path) == {"pending": 1}
    queue.acknowledge(entries, {}, LATER_MS)
    assert states(path) == {"delivered": 1}


def test_it_is_durable_when_it_is_opened_again(open_: Open) -> None:
    open_().close()
    again = open_()
    assert setting(again, "synchronous") == FULL
    assert setting(again, "journal_mode") == "wal"


class PowerCut(BaseException):
    pass


def test_a_transaction_that_fails_leaves_nothing_half_done(file: JournalFile) -> None:
    def fail_half_way() -> None:
        with file.transaction() as db:
            db.execute("INSERT INTO call (second, calls) VALUES (1, 1)")
            raise PowerCut

    with pytest.raises(PowerCut):
        fail_half_way()
    assert file.rows("SELECT * FROM call") == []


def test_only_what_need_not_be_durable_is_not(file: JournalFile) -> None:
    with file.transaction(durable=False):
        assert setting(file, "synchronous") < FULL
    with file.transaction():
        assert setting(file, "synchronous") == FULL


@pytest.mark.parametrize("locked", [False, True], ids=["within", "at its beginning"])
def test_the_next_commit_is_durable_though_the_last_one_failed(
    path: Path, open_: Open, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.01)
    file = open_()
    with opened(path) as other:
        if locked:
            other.execute("BEGIN IMMEDIATE")
        with suppress(JournalError, PowerCut), file.transaction(durable=False):
            raise PowerCut
    with file.transaction():
        assert setting(file, "synchronous") == FULL


def test_a_file_that_another_program_locks_is_an_error(
    path: Path, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.01)
    queue = FileQueue(open_())
    with opened(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="database is locked"):
            queue.enqueue([observed()], T0_MS)
        other.execute("ROLLBACK")
    assert len(queue.enqueue([observed()], T0_MS)) == 1


def test_nobody_else_writes_within_a_transaction(path: Path, file: JournalFile) -> None:
    with (
        file.transaction(),
        closing(sqlite3.connect(path, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("INSERT INTO call (second, calls) VALUES (1, 1)")


def test_closing_twice_is_harmless(file: JournalFile) -> None:
    file.close()
    file.close()


# Other programs' files, and newer ones


def test_an_empty_file_becomes_a_journal(path: Path, open_: Open) -> None:
    path.parent.mkdir()
    path.touch()
    assert len(FileQueue(open_()).enqueue([observed()], T0_MS)) == 1


def test_a_newer_schema_is_refused_and_left_alone(path: Path, open_: Open) -> None:
    open_().close()
    with opened(path) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="99") as e:
        open_()
    assert not e.value.corrupt
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE t (a)", "PRAGMA user_version = 1", "PRAGMA application_id = 5"]
)
def test_another_programs_file_is_refused_and_left_alone(path: Path, open_: Open, sql: str) -> None:
    path.parent.mkdir()
    with opened(path) as db:
        db.execute(sql)
    before = path.read_bytes()
    with pytest.raises(JournalError) as e:
        open_()
    assert (e.value.corrupt, "WEATHER_JOURNAL" in e.value.advice) == (False, True)
    assert path.read_bytes() == before


# Errors


def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_to_do(
    tmp_path: Path, open_: Open
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError) as caught:
        open_(tmp_path / "file" / "journal.sqlite3")
    assert (caught.value.corrupt, "WEATHER_JOURNAL" in caught.value.advice) == (False, True)


def test_a_file_that_lacks_a_table_is_damaged(path: Path, file: JournalFile) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE place")
    with pytest.raises(JournalError, match="no such table") as caught:
        FileQueue(file).enqueue([observed()], T0_MS)
    assert caught.value.corrupt

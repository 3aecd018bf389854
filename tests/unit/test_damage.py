"""What is wrong with a file, said so that a person can act; and what becomes of a damaged one."""

import inspect
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, repeat
from pathlib import Path

import pytest

from ingest.errors import JournalError, Status
from ingest.journal import history, polling, rejected
from ingest.journal.damage import is_sound, journal_errors, quarantine
from ingest.journal.queue import FileQueue
from ingest.journal.schema import JournalFile
from tests.support.journals import PARIS, T0_MS, TARGET, observed, series


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "journal.sqlite3"


@pytest.fixture
def file(path: Path) -> Iterator[JournalFile]:
    with closing(JournalFile(path, TARGET)) as file:
        yield file


# Damaged files


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database, " * 512)


def damage_pages(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    path.write_bytes(whole)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


DAMAGES = [damage_header, damage_pages, cut_short]


@pytest.fixture
def filled(path: Path) -> Path:
    with closing(JournalFile(path, TARGET)) as file:
        FileQueue(file).enqueue(series(200), T0_MS)
    return path


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_recognized(filled: Path, damage: Callable[[Path], None]) -> None:
    damage(filled)
    with pytest.raises(JournalError) as caught:
        FileQueue(JournalFile(filled, TARGET)).backlog(0, 10)
    assert caught.value.corrupt
    assert caught.value.status is Status.IOERR


def test_a_whole_file_is_sound(filled: Path) -> None:
    with closing(JournalFile(filled, TARGET)) as file:
        assert is_sound(file.db, filled, 60) is True


def test_damage_that_no_query_has_met_is_found(filled: Path) -> None:
    whole = bytearray(filled.read_bytes())
    page = whole.index(b'"CurrentTemp":"100.25"') // 4096 * 4096
    whole[page : page + 4096] = b"\xff" * 4096
    filled.write_bytes(whole)
    with closing(JournalFile(filled, TARGET)) as file:
        assert FileQueue(file).count_pending() == 200
        assert is_sound(file.db, filled, 60) is False


def test_whether_a_file_is_sound_is_not_known_if_it_takes_too_long(path: Path) -> None:
    with closing(JournalFile(path, TARGET)) as file:
        FileQueue(file).enqueue(series(2000), T0_MS)
        clock = chain([0.0], repeat(60.0))
        assert is_sound(file.db, path, 60, clock.__next__) is True
        clock = chain([0.0], repeat(60.1))
        assert is_sound(file.db, path, 60, clock.__next__) is None
        assert len(history.kept(file, 0)) == 2000  # no time limit is left behind


def test_a_file_too_damaged_to_look_at_is_an_error(filled: Path) -> None:
    damage_header(filled)
    with closing(sqlite3.connect(filled)) as db, pytest.raises(JournalError) as caught:
        is_sound(db, filled, 60)
    assert caught.value.corrupt


# Quarantine


def test_a_file_is_quarantined_with_all_its_parts(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).write_text(f"part {ending}")
    error = quarantine(path, JournalError("It is damaged.", corrupt=True), T0_MS)
    aside = sorted(path.parent.iterdir())
    name = "journal.sqlite3.corrupt-2020-11-08T21:29:36Z"
    assert [part.name for part in aside] == [name, f"{name}-shm", f"{name}-wal"]
    assert [part.read_text() for part in aside] == ["part ", "part -shm", "part -wal"]
    assert f"sqlite3 {path.with_name(name)} .recover" in error.advice


def test_a_quarantined_file_never_replaces_an_earlier_one(path: Path) -> None:
    advice = {}
    for text in ("one", "two", "three"):
        path.write_text(text)
        advice[text] = quarantine(path, JournalError("It is damaged."), T0_MS).advice
    aside = {part.read_text(): part for part in path.parent.glob("*.corrupt-*")}
    assert sorted(aside) == ["one", "three", "two"]
    assert [text for text in aside if f"{aside[text]} .recover" not in advice[text]] == []


def test_a_file_that_cannot_be_quarantined_is_an_error_that_says_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path.touch()
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(JournalError, match="Permission denied") as caught:
        quarantine(path, JournalError("It is damaged.", corrupt=True), T0_MS)
    assert (caught.value.corrupt, "WEATHER_JOURNAL" in caught.value.advice) == (False, True)


# Errors


CORRUPT = ("SQLITE_CORRUPT_INDEX", "SQLITE_NOTADB")
USABLE = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CANTOPEN")


def test_an_error_of_sqlite_is_kept_and_says_whether_the_file_is_damaged(path: Path) -> None:
    corrupt = []
    for name in (*CORRUPT, *USABLE, "no such table: place", "no such column: kind", ""):
        error = sqlite3.OperationalError(name)
        error.sqlite_errorname = name if name.startswith("SQLITE_") else "SQLITE_ERROR"
        with (
            pytest.raises(JournalError, match=re.escape(str(path))) as caught,
            journal_errors(path),
        ):
            raise error
        assert caught.value.__cause__ is error
        corrupt += [name] if caught.value.corrupt else []
    assert corrupt == [*CORRUPT, "no such table: place", "no such column: kind"]


def test_text_that_is_no_utf_8_is_damage(path: Path, file: JournalFile) -> None:
    FileQueue(file).enqueue([observed()], T0_MS)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE observation SET city = CAST(x'ff' AS TEXT)")
        db.commit()
    with pytest.raises(JournalError) as caught:
        FileQueue(file).backlog(0, 10)
    assert caught.value.corrupt


CALLS: dict[str, Callable[[JournalFile, FileQueue], object]] = {
    "enqueue": lambda _, queue: queue.enqueue([observed(PARIS)], T0_MS),
    "restore": lambda _, queue: queue.restore([], 1, T0_MS),
    "backlog": lambda _, queue: queue.backlog(0, 1),
    "acknowledge": lambda _, queue: queue.acknowledge([], {}, T0_MS),
    "note_failure": lambda _, queue: queue.note_failure([], ""),
    "count_pending": lambda _, queue: queue.count_pending(),
    "prune": lambda file, _: history.prune(file, 0, 0),
    "end_run": lambda file, _: history.end_run(file, 0, "{}", T0_MS),
    "runs": lambda file, _: history.runs(file, 1),
    "last_delivered_ms": lambda file, _: history.last_delivered_ms(file),
    "oldest_pending_ms": lambda file, _: history.oldest_pending_ms(file),
    "pending_elsewhere": lambda file, _: history.pending_elsewhere(file),
    "kept": lambda file, _: history.kept(file, 0),
    "latest": lambda file, _: history.latest(file),
    "last_polled": lambda file, _: polling.last_polled(file, ["London,GB"]),
    "mark_polled": lambda file, _: polling.mark_polled(file, ["London,GB"], T0_MS),
    "calls": lambda file, _: polling.calls(file),
    "keep_calls": lambda file, _: polling.keep_calls(file, {1: 1}),
    "rejected": lambda file, _: rejected.rejected(file),
    "retry": lambda file, _: rejected.retry(file, [], 0),
    "discard": lambda file, _: rejected.discard(file, []),
}


def functions_of(owner: object) -> set[str]:
    """Of a module or class: its own, for others to call."""
    module = getattr(owner, "__module__", getattr(owner, "__name__", ""))
    return {
        name
        for name, value in vars(owner).items()
        if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_")
    }


def test_every_function_is_tried_below() -> None:
    owners: tuple[object, ...] = (FileQueue, history, polling, rejected)
    assert set().union(*map(functions_of, owners)) == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_every_function_raises_a_journal_error_if_the_file_is_unusable(
    file: JournalFile, name: str
) -> None:
    queue = FileQueue(file)
    CALLS[name](file, queue)
    file.db.close()
    with pytest.raises(JournalError):
        CALLS[name](file, queue)

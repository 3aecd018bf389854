"""What is wrong with a journal's file, what a person can do, and what becomes of it."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.errors import JournalError
from ingest.observation import iso_time


class UnreadableRowError(Exception):
    """A row that this program has not written."""


@contextmanager
def journal_errors(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as JournalError, with what to do next."""
    try:
        yield
    except (sqlite3.Error, UnreadableRowError, OSError) as error:
        name = _name(error)
        what = error.strerror if isinstance(error, OSError) else error
        corrupt = name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
        raise JournalError(f"The journal {path}: {what}.", _help(name), corrupt=corrupt) from error


def _name(error: Exception) -> str:
    """SQLite's name for it; some damage has no name, or a wrong one."""
    text = str(error)
    if (
        isinstance(error, UnreadableRowError)
        or "decode to UTF-8" in text  # raised by Python's module
        or text.startswith("no such ")  # table or column: the schema is not what its version says
    ):
        return "SQLITE_CORRUPT"
    return getattr(error, "sqlite_errorname", "")


def _help(name: str) -> str:
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return "Free space on its disk, or set WEATHER_JOURNAL to a path on another one."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "Close the other program that uses the file."
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "The file is damaged."
    return "Let this user write to its folder, or set WEATHER_JOURNAL to a path that it can write."


def quarantine(path: Path, error: JournalError, now_ms: int) -> JournalError:
    """Rename a damaged journal, never delete it. Returns what to say about it."""
    name = f"{path.name}.corrupt-{iso_time(now_ms)}"
    with journal_errors(path):
        renamed, number = path.with_name(name), 1
        while renamed.exists():  # a rename would replace it
            renamed, number = path.with_name(f"{name}-{number}"), number + 1
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.rename(renamed.with_name(renamed.name + ending))
    return JournalError(
        f"{error} It was renamed to {renamed}, and a new journal was started.",
        f"To look for what was pending in it: sqlite3 {renamed} .recover",
    )


def is_sound(
    db: sqlite3.Connection, path: Path, within_s: float, clock: Callable[[], float] = time.monotonic
) -> bool | None:
    """Whether SQLite finds no damage in the file; None if it takes longer than `within_s`."""
    ends_at = clock() + within_s
    db.set_progress_handler(lambda: clock() > ends_at, 10_000)
    try:
        with journal_errors(path):
            return db.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]
    except JournalError as error:
        if getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            return None
        raise
    finally:
        db.set_progress_handler(None, 0)

"""One run at a time."""

import fcntl
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TextIO

from ingest.errors import LockedError
from ingest.journal.damage import journal_errors
from ingest.journal.schema import make_folder
from ingest.observation import iso_time


def lock_path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.lock")


class RunLock:
    """Held by one run at a time, for as long as its process lives: flock, not a pid file.

    The file's text names the holder for messages; nothing is decided by it.
    """

    def __init__(self, journal: Path, now_ms: int) -> None:
        """Take the lock next to the journal. Raises LockedError; JournalError if it cannot be."""
        path = lock_path(journal)
        with journal_errors(path):
            make_folder(path)
            self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with closing(os.fdopen(self._file, errors="replace")) as file:
                who = _who(file)
            raise LockedError(
                f"Another run is under way ({who}; lock {path}). This one did nothing.",
                "The next run continues.",
            ) from None
        text = f"pid {os.getpid()}, since {iso_time(now_ms)}\n"
        with suppress(OSError):  # a full disk: the lock holds without its text
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, text.encode(), 0)

    def release(self) -> None:
        os.close(self._file)


def holder(path: Path) -> str:
    """Who holds the lock, "" if nobody does; creates and changes no file.

    It takes the lock, shared, for some microseconds, because flock has no other way to ask. A run
    that begins during that time stops as if another run were under way.
    """
    with journal_errors(path):
        try:
            file = path.open(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _who(file)
    return ""


def _who(file: TextIO) -> str:
    return file.read(200).strip() or "a process that is just starting"

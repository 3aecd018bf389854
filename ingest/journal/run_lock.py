"""One run at a time."""

import fcntl
import os
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TextIO

from ingest.deadline import epoch_ms
from ingest.errors import LockedError
from ingest.journal.queue import journal_errors, make_folder
from ingest.observation import iso_time


class RunLock:
    """Held by one run at a time, for as long as its process lives: flock, not a pid file.

    The file's text says who holds it; nobody reads it to decide.
    """

    def __init__(self, path: Path, patience_s: float = 0.0) -> None:
        """Take the lock. Raises LockedError, or JournalError where it cannot be made.

        patience_s: how long to wait for another process to let go of it.
        """
        self.path = path
        with journal_errors(path):
            make_folder(path)
            self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        give_up_at = time.monotonic() + patience_s
        while not self._is_mine():
            if time.monotonic() >= give_up_at:
                with closing(os.fdopen(self._file, errors="replace")) as file:
                    who = _who(file)
                raise LockedError(
                    f"Another run is under way ({who}; lock {path}). Nothing was done; the next "
                    "run goes on."
                )
            time.sleep(0.05)
        holder_text = f"pid {os.getpid()}, since {iso_time(epoch_ms())}\n"
        with suppress(OSError):  # a full disk: the lock holds without its text
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, holder_text.encode(), 0)

    def _is_mine(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        os.close(self._file)


def holder(path: Path) -> str:
    """Who holds the lock, "" where nobody does; makes and changes nothing.

    It takes the lock for some microseconds, shared: flock has no other way to ask, and a run that
    begins in just these stops as if another run were under way.
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

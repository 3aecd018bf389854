"""The journal of a run: its file, and memory to stand in when that fails.

A broken journal stops no delivery, and loses nothing that is in hand: what a run has enqueued, or
read, and not acknowledged is kept here as well until it is.
"""

from array import array
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from ingest.deadline import epoch_ms
from ingest.errors import JournalError
from ingest.journal import history, polling
from ingest.journal.damage import quarantine
from ingest.journal.queue import FIRST_IN_MEMORY, Entry, FileQueue, MemoryQueue, Rejections
from ingest.journal.said import say_once
from ingest.journal.schema import JournalFile
from ingest.observation import Observation

T = TypeVar("T")

# Entries kept in hand once none of them will be sent in this run: if the file is damaged later,
# they go into the next one.
MOST_UNSENT = 1_000


class RunJournal:
    """A `Queue` that works on without its file, and what else a run keeps in it.

    path: None if the journal is off.
    on_error: called with what is wrong with the file, once for each fault.
    """

    def __init__(
        self,
        path: Path | None,
        target: str,
        on_error: Callable[[JournalError], None],
        now_ms: Callable[[], int] = epoch_ms,
    ) -> None:
        self._path = path
        self._target = target
        self._on_error = on_error
        self._now_ms = now_ms
        self._file: JournalFile | None = None
        self._queue: FileQueue | None = None
        self._memory = MemoryQueue()
        self._in_hand: dict[int, Entry] = {}  # those that the file has
        self._last_id = 0  # the highest that the file has given
        self._sends_more = True
        try:
            self._open()
        except JournalError as error:
            self._break(error)

    def _open(self) -> None:
        if self._path:
            self._file = JournalFile(self._path, self._target)
            self._queue = FileQueue(self._file)

    def _ask(self, question: Callable[[JournalFile], T], otherwise: T) -> T:
        """The file's answer; `otherwise` if there is no file, or none any more."""
        if self._file:
            try:
                return question(self._file)
            except JournalError as error:
                self._break(error)
        return otherwise

    def _ask_queue(self, question: Callable[[FileQueue], T], otherwise: T) -> T:
        return self._ask(lambda _: question(self._queue) if self._queue else otherwise, otherwise)

    def _break(self, error: JournalError) -> None:
        """Continue without the file, or with a new one if it is damaged."""
        self.close()
        self._file = self._queue = None
        if not error.corrupt or not self._path:
            self._on_error(error)
            return
        try:
            self._on_error(quarantine(self._path, error, self._now_ms()))
            self._open()
            if self._queue:
                self._queue.restore(self._in_hand.values(), self._last_id, self._now_ms())
        except JournalError as second:
            self._on_error(second)
            self.close()
            self._file = self._queue = None
            self._memory.take_over(self._in_hand.values())
            self._in_hand.clear()

    def enqueue(self, observations: Sequence[Observation], now_ms: int) -> list[Entry]:
        for _ in range(2):  # once more after a damaged file was replaced
            entries = self._ask_queue(lambda queue: queue.enqueue(observations, now_ms), None)
            if entries is not None:
                self._hold(entries)
                return entries
        return self._memory.enqueue(observations, now_ms)

    def backlog(self, after: int, limit: int) -> list[Entry]:
        none: list[Entry] = []
        entries = self._ask_queue(lambda queue: queue.backlog(after, limit), none)
        self._hold(entries)
        return entries

    def acknowledge(self, entries: Collection[Entry], rejections: Rejections, now_ms: int) -> None:
        """What the file cannot keep stays pending there, and is sent again, which does no harm."""
        self._memory.acknowledge(entries, rejections, now_ms)
        for entry in entries:
            self._in_hand.pop(entry.id, None)
        kept = [entry for entry in entries if entry.id < FIRST_IN_MEMORY]
        for _ in range(2):  # once more after a damaged file was replaced
            file = self._file
            if kept:
                self._ask_queue(lambda queue: queue.acknowledge(kept, rejections, now_ms), None)
            if self._file is file:
                return

    def note_failure(self, entries: Collection[Entry], reason: str) -> None:
        self._ask_queue(lambda queue: queue.note_failure(entries, reason), None)

    def count_pending(self) -> int:
        """How many wait for a later run, or will be lost with this process."""
        pending = self._ask_queue(FileQueue.count_pending, None)
        if pending is None:
            pending = len(self._in_hand)
        return pending + self._memory.count_pending()

    def count_unsaved(self) -> int:
        """How many are pending in memory alone."""
        return self._memory.count_pending()

    def count_in_hand(self) -> int:
        """How many are held in memory until they are acknowledged, in the file or not."""
        return len(self._in_hand) + self._memory.count_pending()

    def release(self) -> None:
        """Hold little of what the file has: nothing more is sent in this run."""
        self._sends_more = False
        self._hold(())

    def _hold(self, entries: Collection[Entry]) -> None:
        for entry in entries:
            self._in_hand[entry.id] = entry
            self._last_id = max(self._last_id, entry.id)
        while not self._sends_more and len(self._in_hand) > MOST_UNSENT:
            del self._in_hand[next(iter(self._in_hand))]

    def last_polled(self, places: Sequence[str]) -> "array[int]":
        never = array("q", bytes(8 * len(places)))
        return self._ask(lambda file: polling.last_polled(file, places), never)

    def mark_polled(self, places: Sequence[str], now_ms: int) -> None:
        self._ask(lambda file: polling.mark_polled(file, places, now_ms), None)

    def calls(self) -> dict[int, int]:
        return self._ask(polling.calls, {})

    def keep_calls(self, made: dict[int, int]) -> None:
        self._ask(lambda file: polling.keep_calls(file, made), None)

    def pending_elsewhere(self, since_ms: int) -> dict[str, int]:
        return self._ask(lambda file: history.pending_elsewhere(file, since_ms), {})

    def say_once(self, cause: str, now_ms: int) -> bool:
        """Whether a warning for this cause is due: at most once a day; always without a file.

        cause: the same text for the same cause; nobody sees it.
        """
        return self._ask(lambda file: say_once(file, cause, now_ms), otherwise=True)

    def prune(self, before_ms: int, added: int) -> None:
        self._ask(lambda file: history.prune(file, before_ms, added), None)

    def end_run(self, status: int, summary: str, now_ms: int) -> None:
        self._ask(lambda file: history.end_run(file, status, summary, now_ms), None)

    def close(self) -> None:
        if self._file:
            self._file.close()

"""Where a run keeps its observations: the journal, or memory where there is no usable one."""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from ingest.errors import JournalError
from ingest.journal.queue import Entry, Journal, RejectedRecord, open_journal, set_aside
from ingest.observation import Observation

T = TypeVar("T")

# Observations that are kept here as well as in the journal once none of them will be sent in this
# run: should the file break, they go into the next one.
MOST_UNSENT = 1_000

# Numbers of entries in memory start here, so that they come after all of the journal's.
MEMORY = 1 << 62


class Store:
    """The journal, with memory to stand in when it fails: a broken journal stops no delivery.

    Each method does what the journal's of that name does.

    path: None where the journal is off.
    on_error: told what is wrong with the journal, once for each thing.
    """

    def __init__(
        self, path: Path | None, target: str, on_error: Callable[[JournalError], None]
    ) -> None:
        self.path = path
        self._target = target
        self._on_error = on_error
        self._journal: Journal | None = None
        self._memory: dict[int, Entry] = {}
        self._last_id = MEMORY
        self._last_read = 0
        # In the journal, and not yet given to be sent: with the number of the last of each commit.
        self._unread: deque[tuple[int, Sequence[Observation]]] = deque()
        self._unread_count = 0
        self._sends_more = True
        if path is not None:
            self._open(path)

    def aim(self, target: str) -> None:
        """Say where observations go, where that was not known when the journal was opened."""
        self._target = target
        if self._journal:
            self._journal.target = target

    def _open(self, path: Path) -> None:
        try:
            self._journal, damage = open_journal(path, self._target)
        except JournalError as error:
            self._on_error(error)
        else:
            if damage:
                self._on_error(damage)

    def _ask(self, question: Callable[[Journal], T], otherwise: T) -> T:
        """What the journal answers; otherwise where there is none, or none any more."""
        if self._journal:
            try:
                return question(self._journal)
            except JournalError as error:
                self._give_up(error)
        return otherwise

    def add(self, observations: Sequence[Observation], now_ms: int) -> int:
        """Keep those that are new as pending; return how many are."""
        for _ in range(2):  # once more after a damaged journal was begun anew
            added = self._ask(lambda journal: journal.add(observations, now_ms), -1)
            if added >= 0:
                if added and self._journal:
                    self._unread.append((self._journal.last_id, observations))
                    self._unread_count += len(observations)
                    self._trim()
                return added
        for observation in observations:
            self._last_id += 1
            self._memory[self._last_id] = Entry(self._last_id, observation)
        return len(observations)

    def pending(self, after: int, limit: int) -> list[Entry]:
        """The first pending entries with a higher number, oldest first; those in memory last."""
        entries: list[Entry] = []
        if after < MEMORY:
            entries = self._ask(lambda journal: journal.pending(after, limit), entries)
        if entries:
            self._last_read = entries[-1].id
            while self._unread and self._unread[0][0] <= self._last_read:
                self._forget_oldest()
        remembered = (entry for number, entry in self._memory.items() if number > after)
        return entries + list(islice(remembered, limit - len(entries)))

    def send_no_more(self) -> None:
        """Say that nothing more is sent in this run: what the journal has is safe there."""
        self._sends_more = False
        self._trim()

    def _trim(self) -> None:
        while not self._sends_more and self._unread_count > MOST_UNSENT:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, observations = self._unread.popleft()
        self._unread_count -= len(observations)

    def settle(
        self, delivered: Sequence[Entry], rejected: Sequence[RejectedRecord], now_ms: int
    ) -> None:
        """Keep what the service has confirmed, and what it has refused. What cannot be kept stays
        pending in the journal and is sent again, which does no harm."""
        for entry in delivered:
            self._memory.pop(entry.id, None)
        if kept := [entry for entry in delivered if entry.id < MEMORY]:
            self._ask(lambda journal: journal.settle(kept, rejected, now_ms), None)

    def failed(self, entries: Iterable[Entry], reason: str) -> None:
        if kept := [entry for entry in entries if entry.id < MEMORY]:
            self._ask(lambda journal: journal.failed(kept, reason), None)

    def prune(self, before_ms: int, added: int) -> None:
        self._ask(lambda journal: journal.prune(before_ms, added), None)

    def asked(self, places: Sequence[str]) -> "array[int]":
        never = array("q", bytes(8 * len(places)))
        return self._ask(lambda journal: journal.asked(places), never)

    def mark_asked(self, places: Iterable[str], now_ms: int) -> None:
        self._ask(lambda journal: journal.mark_asked(places, now_ms), None)

    def calls(self) -> dict[int, int]:
        return self._ask(Journal.calls, {})

    def keep_calls(self, calls: dict[int, int]) -> None:
        self._ask(lambda journal: journal.keep_calls(calls), None)

    def end_run(self, status: int, summary: str, now_ms: int) -> None:
        self._ask(lambda journal: journal.end_run(status, summary, now_ms), None)

    def count_pending(self) -> int:
        """How many wait for a later run, and how many will be lost with this process."""
        return self._ask(Journal.count_pending, 0) + len(self._memory)

    def count_lost(self) -> int:
        """How many are pending in memory alone."""
        return len(self._memory)

    def count_unread(self) -> int:
        """How many are held in memory until they are sent, in the journal or not."""
        return len(self._memory) + self._unread_count

    def pending_elsewhere(self, since_ms: int) -> dict[str, int]:
        return self._ask(lambda journal: journal.pending_elsewhere(since_ms), {})

    def close(self) -> None:
        if self._journal:
            self._journal.close()

    def _give_up(self, error: JournalError) -> None:
        """Go on without the journal; with a new one, where the file is damaged."""
        assert self._journal  # noqa: S101  (who calls has one)
        self._journal.close()
        self._journal = None
        path = self.path
        if not error.corrupt or path is None:
            self._on_error(error)
        else:
            try:
                self._on_error(set_aside(path, error))
                self._open(path)
                if self._journal:
                    self._journal.begin_after(self._last_read)
            except JournalError as second:
                self._journal = None
                self._on_error(second)
        unread = [each for _, observations in self._unread for each in observations]
        self._unread.clear()
        self._unread_count = 0
        if unread:
            self.add(unread, unread[-1].version)

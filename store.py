"""Where a run keeps its observations: the journal, or memory where there is no usable one."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from errors import JournalError
from journal import Entry, Journal, RejectedRecord, open_journal, set_aside
from weather import Observation

# Numbers of entries in memory start here, so that they come after all of the journal's.
MEMORY = 1 << 62


class Store:
    """The journal, with memory to stand in when it fails: a broken journal stops no delivery.

    path: None where the journal is off.
    on_error: told what is wrong with the journal, once for each thing.
    """

    def __init__(
        self, path: Path | None, target: str, on_error: Callable[[JournalError], None]
    ) -> None:
        self._path = path
        self._target = target
        self._on_error = on_error
        self._journal: Journal | None = None
        self._memory: dict[int, Entry] = {}
        self._last_id = MEMORY
        self._last_read = 0
        self._unread: list[Observation] = []  # in the journal, and not yet given to be sent
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            self._journal, damage = open_journal(path, self._target)
        except JournalError as error:
            self._on_error(error)
        else:
            if damage:
                self._on_error(damage)

    def add(self, observations: Sequence[Observation], now_ms: int) -> int:
        """Keep those that are new as pending; return how many are. See Journal.add."""
        for _ in range(2):  # once more after a damaged journal was begun anew
            if self._journal:
                try:
                    added = self._journal.add(observations, now_ms)
                except JournalError as error:
                    self._give_up(error)
                else:
                    self._unread += observations if added else ()
                    return added
        for observation in observations:
            self._last_id += 1
            self._memory[self._last_id] = Entry(self._last_id, observation)
        return len(observations)

    def pending(self, after: int, limit: int) -> list[Entry]:
        """The first pending entries with a higher number, oldest first."""
        entries: list[Entry] = []
        if self._journal and after < MEMORY:
            try:
                entries = self._journal.pending(after, limit)
            except JournalError as error:
                self._give_up(error)
            else:
                if entries:
                    self._last_read = entries[-1].id
                if len(entries) < limit:
                    self._unread.clear()
        remembered = (entry for number, entry in self._memory.items() if number > after)
        return entries + list(islice(remembered, limit - len(entries)))

    def settle(
        self, delivered: Sequence[Entry], rejected: Sequence[RejectedRecord], now_ms: int
    ) -> None:
        """Keep what the service has confirmed, and what it has refused. See Journal.settle."""
        for entry in delivered:
            self._memory.pop(entry.id, None)
        kept = [entry for entry in delivered if entry.id < MEMORY]
        if self._journal and kept:
            try:
                self._journal.settle(kept, rejected, now_ms)
            except JournalError as error:
                # They stay pending there and are sent again, which does no harm.
                self._give_up(error)

    def failed(self, entries: Iterable[Entry], reason: str) -> None:
        """Remember an attempt that brought nothing, and why."""
        kept = [entry for entry in entries if entry.id < MEMORY]
        if self._journal and kept:
            try:
                self._journal.failed(kept, reason)
            except JournalError as error:
                self._give_up(error)

    def tidy(self, before_ms: int, added: int) -> None:
        """Forget what was delivered before that time. See Journal.prune."""
        if self._journal:
            try:
                self._journal.prune(before_ms, added)
            except JournalError as error:
                self._give_up(error)

    def asked(self, places: Sequence[str]) -> "array[int]":
        """When each place was last asked for. See Journal.asked."""
        if self._journal:
            try:
                return self._journal.asked(places)
            except JournalError as error:
                self._give_up(error)
        return array("q", bytes(8 * len(places)))

    def mark_asked(self, places: Iterable[str], now_ms: int) -> None:
        if self._journal:
            try:
                self._journal.mark_asked(places, now_ms)
            except JournalError as error:
                self._give_up(error)

    def calls(self) -> dict[int, int]:
        """Epoch second -> weather requests in it. See Journal.calls."""
        if self._journal:
            try:
                return self._journal.calls()
            except JournalError as error:
                self._give_up(error)
        return {}

    def keep_calls(self, calls: dict[int, int]) -> None:
        if self._journal:
            try:
                self._journal.keep_calls(calls)
            except JournalError as error:
                self._give_up(error)

    def end_run(self, status: int, summary: str, now_ms: int) -> None:
        """Remember how this run ended. See Journal.end_run."""
        if self._journal:
            try:
                self._journal.end_run(status, summary, now_ms)
            except JournalError as error:
                self._give_up(error)

    def count_pending(self) -> int:
        """How many wait for a later run, and how many will be lost with this process."""
        if self._journal:
            try:
                return self._journal.count_pending() + len(self._memory)
            except JournalError as error:
                self._give_up(error)
        return len(self._memory)

    def count_lost(self) -> int:
        """How many are pending in memory alone."""
        return len(self._memory)

    def pending_elsewhere(self) -> dict[str, int]:
        """target -> pending observations for other targets than this run's."""
        if self._journal:
            try:
                return self._journal.pending_elsewhere()
            except JournalError as error:
                self._give_up(error)
        return {}

    def close(self) -> None:
        if self._journal:
            self._journal.close()

    def _give_up(self, error: JournalError) -> None:
        """Go on without the journal; with a new one, where the file is damaged."""
        assert self._journal  # noqa: S101  (who calls has one)
        self._journal.close()
        self._journal = None
        path = self._path
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
        unread, self._unread = self._unread, []
        if unread:
            self.add(unread, unread[-1].version)

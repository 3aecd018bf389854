"""A number of calls in any 60 seconds that is never exceeded, also across runs."""

from collections.abc import Callable
from typing import Protocol

# A call counts through the 60 seconds after its own: any window of 60 s touches 61 of them. The
# part of a second that this is too careful makes up for calls that are slow to arrive.
WINDOW_S = 60

# Calls that are recorded at a time before they are made; a killed run leaves that many unused.
CHUNK = 256


class Rate(Protocol):
    """How often calls may be made."""

    def reserve(self) -> bool:
        """Whether a call may be made now; if so, it counts from here on."""

    def wait_s(self) -> float:
        """Seconds until `reserve` can be true; 0.0 if it can be now."""


class Unlimited:
    """No limit."""

    def reserve(self) -> bool:
        return True

    def wait_s(self) -> float:
        return 0.0


class RateLimit:
    """At most `calls` in any window of 60 seconds; a `Rate`.

    now_ms: a clock that does not jump within the run, epoch milliseconds.
    recent: epoch second -> calls that earlier runs made in it.
    keep: called with all that counts before any call is made that is not in it yet, so that the
        next run knows them even if this one is killed.
    chunk: calls to record at a time, at most.
    """

    def __init__(
        self,
        calls: int,
        now_ms: Callable[[], int],
        recent: dict[int, int],
        keep: Callable[[dict[int, int]], None],
        chunk: int = CHUNK,
    ) -> None:
        self._calls = calls
        self._now_ms = now_ms
        self._keep = keep
        self._chunk = chunk
        self._second = self._now_s()
        self._credit = 0
        self._made: dict[int, int] = {}
        for second, count in recent.items():
            if count and second >= self._second - WINDOW_S:
                known = min(second, self._second)
                self._made[known] = self._made.get(known, 0) + count
        # A second in the future was written before the clock was put back. It counts as now, and
        # is kept as now at once, or every run until then would count it again.
        if max(recent, default=0) > self._second:
            keep(dict(self._made))

    def reserve(self) -> bool:
        self._forget_old_seconds()
        if not self._credit:
            room = self._calls - sum(self._made.values())
            if room <= 0:
                return False
            self._credit = min(room, self._chunk)
            self._made[self._second] = self._made.get(self._second, 0) + self._credit
            self._keep(dict(self._made))
        self._credit -= 1
        return True

    def wait_s(self) -> float:
        self._forget_old_seconds()
        if self._credit or sum(self._made.values()) < self._calls:
            return 0.0
        return (min(self._made) + WINDOW_S + 1) - self._now_ms() / 1000

    def release(self) -> None:
        """Release the calls that were recorded and not made."""
        if self._credit:
            self._drop_credit()
            self._keep(dict(self._made))

    def _forget_old_seconds(self) -> None:
        """Forget what no longer counts; what was not used stops counting in its own second."""
        second = self._now_s()
        if second == self._second:
            return
        self._drop_credit()
        self._second = second
        self._made = {
            each: count for each, count in self._made.items() if each >= second - WINDOW_S and count
        }

    def _drop_credit(self) -> None:
        if self._credit:
            self._made[self._second] -= self._credit
            self._credit = 0

    def _now_s(self) -> int:
        return self._now_ms() // 1000

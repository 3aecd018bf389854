"""Whether a place is asked for again, and when. Pure: the time is an argument, nothing waits here.

A failure that can pass gets another attempt after a pause. After a 429 everything stands still
once; then one request at a time is made, until a reply shows that the block is over.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from ingest.errors import BlockedError, IngestError, WeatherError
from ingest.places import Place

ATTEMPTS = 4

# Real replies are about 500 bytes.
MAX_BODY_BYTES = 256 * 1024

# Full jitter: before attempt n+1 a pause of up to 0.5 s * 2**n, at most 8 s.
BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 8.0

# How long everything stands still after a 429. OpenWeatherMap does not say when it lifts a block.
BLOCK_PAUSE_S = 60.0

# What a person can do about a failure that can pass.
ADVICE = (
    "The next run tries again. If it goes on, check the network and OpenWeatherMap's status page."
)


def backoff_s(attempts: int, jitter: float) -> float:
    """The pause after so many attempts. jitter: in [0, 1)."""
    longest_s: float = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempts)
    return jitter * longest_s


class Request:
    """A place that is asked for, and the reply as it comes in. One object a place: more cost speed.

    attempts: made so far; started_s: when the last one was.
    """

    __slots__ = ("attempts", "body", "place", "started_s")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.attempts = 0
        self.started_s = 0.0
        self.body = bytearray()

    def receive(self, data: bytes) -> int | None:
        if len(self.body) + len(data) > MAX_BODY_BYTES:
            return -1  # libcurl ends the transfer with code 23
        self.body += data
        return None


class Verdict(Enum):
    """What follows an attempt that failed."""

    FAIL = auto()  # the place has failed
    BACK_OFF = auto()  # another attempt, after a pause of its own
    STAND_STILL = auto()  # the account is blocked: a pause for all, then this place first
    REPEAT = auto()  # it was in flight then, and is asked for again with the others


class Retries:
    """The requests that get another attempt, and how many may be under way at once.

    Every time is in seconds of one clock, which never goes back.

    jitter: gives a number in [0, 1) for each pause.
    block_pause_s: how long everything stands still after a 429; None: BLOCK_PAUSE_S.

    ready: these may start again now, in this order; whoever starts one takes it from the left.
    allowed: requests at once.
    """

    def __init__(
        self, concurrency: int, jitter: Callable[[], float], block_pause_s: float | None = None
    ) -> None:
        self.ready: deque[Request] = deque()
        self.allowed = concurrency
        self._concurrency = concurrency
        self._jitter = jitter
        self._block_pause_s = BLOCK_PAUSE_S if block_pause_s is None else block_pause_s
        self._waiting: list[tuple[float, int, Request]] = []  # a heap; ids break ties
        self._blocked_s = 0.0  # 0.0: never
        self._resume_s = 0.0

    def __bool__(self) -> bool:
        """Whether any request is ready or waiting."""
        return bool(self.ready or self._waiting)

    def pending(self) -> list[Request]:
        """The requests that are ready or waiting."""
        return [*self.ready, *(entry[2] for entry in self._waiting)]

    def wake(self, now_s: float) -> bool:
        """Move the requests whose pause is over to `ready`. Returns whether anything may start."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_s:
            self.ready.append(heapq.heappop(waiting)[2])
        return now_s >= self._resume_s

    def wake_in_s(self, now_s: float) -> float:
        """Seconds until `wake` has something to move; infinite if nothing waits."""
        return max(0.0, self._waiting[0][0] - now_s) if self._waiting else math.inf

    def standstill_s(self, now_s: float) -> float:
        """Seconds until anything may start; 0.0 if it may now."""
        return max(0.0, self._resume_s - now_s)

    def succeeded(self, request: Request) -> None:
        """Note a complete reply. One that was asked for after a block says that it is over."""
        if request.started_s > self._blocked_s:
            self.allowed = min(self._concurrency, self.allowed * 2)

    def failed(
        self,
        request: Request,
        error: IngestError,
        now_s: float,
        remaining_s: float,
        *,
        others: bool,
    ) -> tuple[Verdict, float]:
        """Decide what follows, and keep the request if there is another attempt.

        remaining_s: until the run's deadline.
        others: there are more places to ask for than those kept here.

        Returns the verdict, and the seconds of its pause.
        """
        if isinstance(error, BlockedError):
            return self._blocked(request, now_s, remaining_s, others=others)
        if not isinstance(error, WeatherError) or error.permanent or request.attempts >= ATTEMPTS:
            return Verdict.FAIL, 0.0
        pause_s = backoff_s(request.attempts, self._jitter())
        if pause_s >= remaining_s:
            return Verdict.FAIL, 0.0
        heapq.heappush(self._waiting, (now_s + pause_s, id(request), request))
        return Verdict.BACK_OFF, pause_s

    def _blocked(
        self, request: Request, now_s: float, remaining_s: float, *, others: bool
    ) -> tuple[Verdict, float]:
        """A second block, or no time for the pause, ends the run; so does having nothing else to
        ask for: the next run is soon enough."""
        if request.started_s <= self._blocked_s:
            self.ready.appendleft(request)
            return Verdict.REPEAT, self.standstill_s(now_s)
        if self._blocked_s or not (others or self) or self._block_pause_s >= remaining_s:
            return Verdict.FAIL, 0.0
        self._blocked_s = now_s
        self._resume_s = now_s + self._block_pause_s
        self.allowed = 1
        self.ready.appendleft(request)
        return Verdict.STAND_STILL, self._block_pause_s

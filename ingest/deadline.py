"""The time a run may take, and work that can be abandoned when it is over."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ingest.errors import DeadlineError, IngestError, Interrupted

T = TypeVar("T")

# How long anything waits before it checks again whether the run was asked to end.
SLICE_S = 0.2


def epoch_ms() -> int:
    return time.time_ns() // 1_000_000


class Deadline:
    """A point in time: `seconds` after its creation by the monotonic clock, or the call of `stop`.

    seconds may be changed, because the settings are known only some time into the run.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._started = clock()
        self._stopped_by = ""
        self._stopped_at = 0.0

    def stop(self, reason: str) -> None:
        """End the run now. Safe to call from a signal handler."""
        self._stopped_at = self._clock()
        self._stopped_by = reason

    @property
    def stopped(self) -> bool:
        return bool(self._stopped_by)

    def stopped_for_s(self) -> float:
        return self._clock() - self._stopped_at

    def elapsed_s(self) -> float:
        return self._clock() - self._started

    def remaining_s(self) -> float:
        """Seconds left, 0.0 once it has passed."""
        if self._stopped_by:
            return 0.0
        return max(0.0, self.seconds - self.elapsed_s())

    def passed(self) -> bool:
        return self.remaining_s() <= 0.0

    def error(self, doing: str) -> IngestError:
        """Why the run ends once it has passed. doing: what was going on, "while ..."."""
        if self._stopped_by:
            return Interrupted(f"{self._stopped_by} ended the run {doing}.")
        return DeadlineError(
            f"The run's {self.seconds:g} seconds (WEATHER_DEADLINE_SECONDS) were over {doing}."
        )

    def check(self, doing: str) -> None:
        """Raise DeadlineError or Interrupted when it has passed."""
        if self.passed():
            raise self.error(doing)


class Task(Generic[T]):
    """A call that runs in a daemon thread, so that the process can end while it goes on.

    No option of botocore ends every call in time: a server that sends a byte a second resets the
    read time-out each time, and name resolution has no time-out.

    doing: what the call does, "while ...".
    """

    def __init__(self, call: Callable[[], T], doing: str) -> None:
        self._call = call
        self._doing = doing
        self._done = threading.Event()
        self._result: T
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name=doing, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001  (handed to whoever asks for the result)
            self._error = error
        finally:
            self._done.set()

    def is_done(self, wait_s: float) -> bool:
        """Whether the call has ended, within wait_s from now."""
        return self._done.wait(wait_s)

    def wait_for(self, event: threading.Event, deadline: Deadline) -> None:
        """Wait until the event is set or the call has ended. Raises DeadlineError or Interrupted
        if neither happens in time."""
        while not (event.wait(min(SLICE_S, deadline.remaining_s())) or self._done.is_set()):
            deadline.check(self._doing)

    def result(self, deadline: Deadline) -> T:
        """What the call returned or raised; DeadlineError or Interrupted if it takes too long."""
        self.wait_for(self._done, deadline)
        if self._error is not None:
            raise self._error
        return self._result

"""A bound in time on each call that `check` makes, and on all of them together."""

from collections.abc import Callable
from typing import TypeVar

from ingest.deadline import Deadline, Task
from ingest.errors import DeliveryError, IngestError

T = TypeVar("T")


class Limit:
    """timeout_s: time for one call, with all its attempts. deadline: for all of them."""

    def __init__(self, deadline: Deadline, timeout_s: float) -> None:
        self.deadline = deadline
        self.timeout_s = timeout_s

    def call(self, call: Callable[[], T], doing: str) -> T:
        """What the call returned or raised. doing: as in "while ..."."""
        return Task(call, doing).result(self.one())

    def one(self) -> Deadline:
        """The time that one call has from now."""
        return _OneCall(self.deadline, self.timeout_s)


class _OneCall(Deadline):
    def __init__(self, overall: Deadline, timeout_s: float) -> None:
        self._overall = overall
        super().__init__(min(timeout_s, overall.remaining_s()))
        self._is_last = self.seconds < timeout_s

    def error(self, doing: str) -> IngestError:
        if self._is_last:
            seconds, name = self._overall.seconds, "WEATHER_DEADLINE_SECONDS"
        else:
            seconds, name = self.seconds, "WEATHER_TIMEOUT_SECONDS"
        return DeliveryError(
            f"No answer within {seconds:g} s ({name}) {doing}. Nothing to do if it passes; else "
            "check the network: a firewall or a missing route stays silent like this."
        )

"""What can go wrong with a service, to be planned call by call.

Each fault is a small value; `FaultPlan` says which call meets which fault.
"""

import json
import threading
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from embedded.exchange import Answer, Exchange, Request

DRIPPED_BODY_LENGTH = 10_000  # what a client with a limit still begins to read
ANY_ACTION = "*"


class Fault(ABC):
    """Plays instead of the normal answer."""

    @abstractmethod
    def play(self, exchange: Exchange) -> bool:
        """Answer or break the exchange; False ends the connection."""


@dataclass(frozen=True, slots=True)
class _Answered(Fault):
    answer: Answer

    def play(self, exchange: Exchange) -> bool:
        exchange.send(self.answer)
        return True


@dataclass(frozen=True, slots=True)
class _Delayed(Fault):
    seconds: float
    then: Fault | None = None

    def play(self, exchange: Exchange) -> bool:
        exchange.wait(self.seconds)
        if self.then is not None:
            return self.then.play(exchange)
        exchange.send(exchange.work())
        return True


@dataclass(frozen=True, slots=True)
class _Stalled(Fault):
    def play(self, exchange: Exchange) -> bool:
        exchange.wait_for_peer()
        return False


@dataclass(frozen=True, slots=True)
class _Dripping(Fault):
    bytes_per_second: float

    def play(self, exchange: Exchange) -> bool:
        headers = {"Content-Type": "application/json"}
        exchange.send_head(Answer(headers=headers), content_length=DRIPPED_BODY_LENGTH)
        while True:
            exchange.send_bytes(b" ")
            exchange.wait(1 / self.bytes_per_second)


@dataclass(frozen=True, slots=True)
class _Reset(Fault):
    after_the_work: bool

    def play(self, exchange: Exchange) -> bool:
        if self.after_the_work:
            exchange.work()
        exchange.reset()
        return False


@dataclass(frozen=True, slots=True)
class _Truncated(Fault):
    sent_bytes: int | None

    def play(self, exchange: Exchange) -> bool:
        answer = exchange.work()
        whole = len(answer.body)
        sent = whole // 2 if self.sent_bytes is None else min(self.sent_bytes, whole - 1)
        exchange.send(replace(answer, body=answer.body[:sent]), content_length=whole)
        return False


@dataclass(frozen=True, slots=True)
class _Empty(Fault):
    def play(self, exchange: Exchange) -> bool:  # noqa: ARG002 - it says nothing
        return False


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """A canned reply; the real work is not done."""
    return _Answered(Answer(status, body, dict(headers or {})))


def aws_error(code: str, message: str, status: int = 400, **members: object) -> Fault:
    """An error as AWS's JSON protocols send it; members are added to its body."""
    return _Answered(aws_error_answer(code, message, status, members))


def delay(seconds: float, then: Fault | None = None) -> Fault:
    """Wait, then go on as normal, or with another fault."""
    return _Delayed(seconds, then)


def stall() -> Fault:
    """Read the request and never answer."""
    return _Stalled()


def drip(bytes_per_second: float = 1) -> Fault:
    """Answer 200 at once, then a body that comes byte by byte and never ends."""
    return _Dripping(bytes_per_second)


def reset() -> Fault:
    """Close with RST; nothing was done."""
    return _Reset(after_the_work=False)


def reset_after() -> Fault:
    """Close with RST after everything was done: the client can't know."""
    return _Reset(after_the_work=True)


def truncate(sent_bytes: int | None = None) -> Fault:
    """Do the work, promise the whole body, send its first half (or these bytes), and close.

    botocore does not compare lengths, and reads a body that is not JSON as an answer
    without members: a truncated success raises nothing there.
    """
    return _Truncated(sent_bytes)


def empty() -> Fault:
    """Close in order, without a byte of an answer; nothing was done."""
    return _Empty()


def aws_error_answer(
    code: str, message: str, status: int, members: Mapping[str, object] | None = None
) -> Answer:
    """The reply of AWS's JSON 1.0 protocol for an error."""
    body = {"__type": code, "Message": message, **(members or {})}
    headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": code}
    return Answer(status, json.dumps(body).encode(), headers)


Chooser = Callable[[Request], Fault | None]


@dataclass(slots=True)
class _Plans:
    queue: deque[Fault] = field(default_factory=deque)
    chooser: Chooser | None = None
    standing: Fault | None = None


class FaultPlan:
    """Which call meets which fault; may be changed while the server runs.

    For one call: the queue of its action first, then `when`, then `always`; after
    them the same three for "*", which stands for every action.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: defaultdict[str, _Plans] = defaultdict(_Plans)

    def next(self, action: str, *faults: Fault) -> None:
        """One fault for each of the next calls of the action, in this order."""
        with self._lock:
            self._plans[action].queue.extend(faults)

    def always(self, action: str, fault: Fault) -> None:
        """The same fault for every call of the action until `clear`."""
        with self._lock:
            self._plans[action].standing = fault

    def when(self, action: str, chooser: Chooser) -> None:
        """Ask the callable for each call of the action; None means no fault.

        It runs in the call's own thread, before anything is done: it may also wait.
        """
        with self._lock:
            self._plans[action].chooser = chooser

    def clear(self) -> None:
        """Back to normal for every action."""
        with self._lock:
            self._plans.clear()

    def choose(self, request: Request) -> Fault | None:
        """The fault this call meets; uses up what was queued."""
        return self._choose(request.action, request) or self._choose(ANY_ACTION, request)

    def _choose(self, action: str, request: Request) -> Fault | None:
        with self._lock:
            plans = self._plans.get(action, _Plans())
            if plans.queue:
                return plans.queue.popleft()
            chooser, standing = plans.chooser, plans.standing
        return (chooser(request) if chooser else None) or standing

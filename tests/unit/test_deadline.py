"""The deadline of a run, and calls that may be left behind."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ingest.deadline import Deadline, Task
from ingest.errors import DeadlineError, IngestError, Interrupted, Status
from tests.conftest import ROOT


class Clock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def blocked() -> Iterator[threading.Event]:
    """Wait on it in a task that must not end; freed after the test."""
    event = threading.Event()
    yield event
    event.set()


def test_time_runs_out(clock: Clock) -> None:
    deadline = Deadline(5, clock)
    assert (deadline.remaining_s(), deadline.passed()) == (5.0, False)
    clock.now += 4
    assert (deadline.remaining_s(), deadline.elapsed_s(), deadline.passed()) == (1.0, 4.0, False)
    deadline.check("while testing")
    clock.now += 1
    assert (deadline.remaining_s(), deadline.passed()) == (0.0, True)
    clock.now += 100
    assert deadline.remaining_s() == 0.0
    with pytest.raises(DeadlineError) as caught:
        deadline.check("while testing")
    assert caught.value.status is Status.TEMPFAIL


def test_the_time_can_be_changed_from_the_same_start(clock: Clock) -> None:
    deadline = Deadline(120, clock)
    clock.now += 10
    deadline.seconds = 15
    assert deadline.remaining_s() == 5.0
    deadline.seconds = 5
    assert deadline.passed()


def test_a_stop_ends_it_at_once_and_is_named(clock: Clock) -> None:
    deadline = Deadline(120, clock)
    deadline.stop("SIGTERM")
    assert (deadline.remaining_s(), deadline.passed()) == (0.0, True)
    with pytest.raises(Interrupted, match="SIGTERM"):
        deadline.check("while testing")


def test_a_stop_is_named_even_after_the_time_is_over(clock: Clock) -> None:
    deadline = Deadline(1, clock)
    clock.now += 5
    deadline.stop("SIGINT")
    assert isinstance(deadline.error("while testing"), Interrupted)


def test_a_task_gives_what_its_call_returned() -> None:
    assert Task(lambda: 42, "while testing").result(Deadline(60)) == 42


def test_a_result_can_be_asked_for_again() -> None:
    task = Task(lambda: [1], "while testing")
    assert task.result(Deadline(60)) is task.result(Deadline(60))


@pytest.mark.parametrize("error", [ValueError("x"), IngestError("y"), KeyboardInterrupt()])
def test_a_task_raises_what_its_call_raised(error: BaseException) -> None:
    def call() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        Task(call, "while testing").result(Deadline(60))
    assert caught.value is error


def test_a_task_runs_beside_its_maker() -> None:
    met = threading.Barrier(2)
    task = Task(lambda: met.wait(60), "while testing")
    met.wait(60)
    assert task.result(Deadline(60)) in (0, 1)


def test_a_call_that_does_not_end_is_left_at_the_deadline(
    clock: Clock, blocked: threading.Event
) -> None:
    deadline = Deadline(5, clock)
    task = Task(blocked.wait, "while a server was silent")
    clock.now += 5
    with pytest.raises(DeadlineError, match="while a server was silent"):
        task.result(deadline)


def test_a_deadline_that_passes_while_one_waits_is_seen(blocked: threading.Event) -> None:
    class LookedAtTwice(Clock):
        def __call__(self) -> float:
            self.now += 2
            return self.now

    with pytest.raises(DeadlineError):
        Task(blocked.wait, "while testing").result(Deadline(5, LookedAtTwice()))


def test_a_stop_while_one_waits_is_seen(blocked: threading.Event) -> None:
    deadline = Deadline(60)
    Task(lambda: deadline.stop("SIGTERM"), "while stopping")
    with pytest.raises(Interrupted, match="SIGTERM"):
        Task(blocked.wait, "while testing").result(deadline)


def test_a_result_that_is_there_is_given_even_when_the_time_is_over(clock: Clock) -> None:
    task = Task(lambda: "done", "while testing")
    assert task.result(Deadline(60)) == "done"
    deadline = Deadline(1, clock)
    clock.now += 9
    assert task.result(deadline) == "done"


def test_a_call_that_does_not_end_keeps_no_process_alive() -> None:
    code = (
        "import threading; from ingest.deadline import Task\n"
        "Task(threading.Event().wait, 'while testing')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")

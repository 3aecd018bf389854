"""Which places are asked for again, when, and how many at once. No clock, no network."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import AccessError, BlockedError, IngestError, ReplyError, WeatherError
from ingest.openweathermap.retry import (
    ATTEMPTS,
    BACKOFF_CAP_S,
    BLOCK_PAUSE_S,
    Request,
    Retries,
    Verdict,
    backoff_s,
)
from ingest.places import parse_place

NOW_S = 1000.0
LONG_S = 500.0
BLOCKED = BlockedError("blocked")
PASSING = WeatherError("out of order", permanent=False)


class World:
    """A clock that is moved by hand, and the retries at its time."""

    def __init__(self, concurrency: int = 8, jitter: float = 0.5) -> None:
        self.now_s = NOW_S
        self.retries: Retries = Retries(concurrency, lambda: jitter)

    def start(self, name: str = "2643743", attempts: int = 1) -> Request:
        """A request whose attempt of this number starts now."""
        request = Request(parse_place(name))
        request.attempts, request.started_s = attempts, self.now_s
        return request

    def fail(
        self,
        request: Request,
        error: IngestError = PASSING,
        remaining_s: float = LONG_S,
        *,
        others: bool = True,
    ) -> tuple[Verdict, float]:
        return self.retries.failed(request, error, self.now_s, remaining_s, others=others)

    def wake(self) -> list[Request]:
        self.retries.wake(self.now_s)
        return list(self.retries.ready)

    def block(self) -> Request:
        request = self.start()
        assert self.fail(request, BLOCKED) == (Verdict.STAND_STILL, BLOCK_PAUSE_S)
        return request


# Which errors


def test_an_error_that_does_not_pass_gets_no_other_attempt() -> None:
    lasting = WeatherError("not found", permanent=True)
    for error in (lasting, ReplyError("no JSON"), AccessError("the key"), IngestError("else")):
        world = World()
        assert world.fail(world.start(), error) == (Verdict.FAIL, 0.0), error
        assert not world.retries


def test_a_passing_error_gets_four_attempts_and_no_fifth() -> None:
    world = World()
    verdicts = [world.fail(world.start(attempts=number))[0] for number in range(1, ATTEMPTS + 1)]
    assert verdicts == [Verdict.BACK_OFF] * 3 + [Verdict.FAIL]
    assert len(world.retries.pending()) == 3


# Pauses


def test_the_longest_pauses_double_up_to_their_cap() -> None:
    assert [backoff_s(attempts, 1.0) for attempts in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_anything_from_nothing_up_to_the_longest(attempts: int, jitter: float) -> None:
    assert 0.0 <= backoff_s(attempts, jitter) <= backoff_s(attempts, 1.0) <= BACKOFF_CAP_S
    assert backoff_s(attempts, 0.0) == 0.0


def test_a_request_waits_for_its_pause_and_not_longer() -> None:
    world = World(jitter=0.5)
    request = world.start(attempts=2)
    assert world.fail(request) == (Verdict.BACK_OFF, 1.0)
    assert world.retries.wake_in_s(world.now_s) == 1.0
    world.now_s += 0.75
    assert world.wake() == []
    assert world.retries.wake_in_s(world.now_s) == 0.25
    world.now_s += 0.25
    assert world.wake() == [request]


def test_whose_pause_ends_first_is_ready_first() -> None:
    world = World(jitter=1.0)
    late, early, same = (world.start(attempts=attempts) for attempts in (3, 1, 1))
    for request in (late, early, same):
        world.fail(request)
    world.now_s += 2.0
    assert set(world.wake()) == {early, same}
    assert world.retries.wake_in_s(world.now_s) == 2.0
    world.now_s += 10.0
    assert world.retries.wake_in_s(world.now_s) == 0.0
    assert world.wake()[2:] == [late]


def test_nothing_waits_at_first() -> None:
    retries = World().retries
    assert not retries
    assert retries.pending() == []
    assert retries.wake_in_s(NOW_S) == math.inf
    assert retries.standstill_s(NOW_S) == 0.0


def test_what_waits_and_what_is_ready_is_pending() -> None:
    world = World(jitter=1.0)
    soon, later = world.start(attempts=1), world.start(attempts=3)
    world.fail(soon)
    world.fail(later)
    world.now_s += 1.0
    assert world.wake() == [soon]
    assert world.retries.pending() == [soon, later]
    world.retries.ready.popleft()
    assert world.retries
    assert world.retries.pending() == [later]


def test_a_pause_that_does_not_end_before_the_deadline_is_not_begun() -> None:
    for remaining_s, goes_on in ((0.9, False), (1.0, False), (1.1, True)):
        world = World(jitter=1.0)
        verdict, _ = world.fail(world.start(attempts=1), remaining_s=remaining_s)
        assert verdict is (Verdict.BACK_OFF if goes_on else Verdict.FAIL), remaining_s
        assert bool(world.retries) is goes_on, remaining_s


# A blocked account


def test_after_a_429_everything_stands_still_and_the_blocked_place_goes_first() -> None:
    world = World(jitter=0.0)
    other = world.start()
    world.fail(other)
    world.wake()
    request = world.block()
    assert world.retries.standstill_s(world.now_s) == BLOCK_PAUSE_S
    world.now_s += BLOCK_PAUSE_S - 1
    assert world.retries.standstill_s(world.now_s) == 1.0
    assert not world.retries.wake(world.now_s)
    world.now_s += 1
    assert world.retries.standstill_s(world.now_s) == 0.0
    assert world.retries.wake(world.now_s)
    assert world.wake() == [request, other]


def test_the_standstill_takes_as_long_as_it_is_set_to() -> None:
    world = World()
    world.retries = Retries(8, lambda: 0.5, block_pause_s=7.0)
    assert world.fail(world.start(), BLOCKED, remaining_s=8.0) == (Verdict.STAND_STILL, 7.0)
    assert world.retries.standstill_s(world.now_s) == 7.0


def test_after_a_block_one_request_at_a_time_is_made_and_each_success_doubles_that() -> None:
    world = World(concurrency=6)
    world.block()
    allowed = [world.retries.allowed]
    world.now_s += BLOCK_PAUSE_S
    for _ in range(4):
        world.retries.succeeded(world.start())
        allowed.append(world.retries.allowed)
    assert allowed == [1, 2, 4, 6, 6]


def test_without_a_block_successes_do_not_raise_the_number_at_once() -> None:
    world = World(concurrency=6)
    world.retries.succeeded(world.start())
    assert world.retries.allowed == 6


def test_a_success_that_was_asked_for_before_the_block_says_nothing_of_it() -> None:
    world = World()
    earlier = world.start()
    world.now_s += 1
    world.block()
    world.retries.succeeded(earlier)
    assert world.retries.allowed == 1


def test_a_429_that_was_asked_for_before_the_block_belongs_to_it() -> None:
    world = World()
    earlier = world.start()
    world.now_s += 1
    request = world.block()
    world.now_s += 1
    assert world.fail(earlier, BLOCKED) == (Verdict.REPEAT, BLOCK_PAUSE_S - 1)
    assert world.wake() == [earlier, request]
    assert world.retries.standstill_s(world.now_s) == BLOCK_PAUSE_S - 1


def test_a_second_block_ends_the_run() -> None:
    world = World()
    world.block()
    world.now_s += BLOCK_PAUSE_S
    assert world.fail(world.start(), BLOCKED) == (Verdict.FAIL, 0.0)


def test_a_block_that_outlasts_the_deadline_ends_the_run() -> None:
    for remaining_s in (BLOCK_PAUSE_S - 1, BLOCK_PAUSE_S):
        world = World()
        assert world.fail(world.start(), BLOCKED, remaining_s)[0] is Verdict.FAIL
        assert world.retries.standstill_s(world.now_s) == 0.0


def test_a_blocked_place_that_is_the_last_one_waits_for_nothing() -> None:
    world = World()
    assert world.fail(world.start(), BLOCKED, others=False) == (Verdict.FAIL, 0.0)
    world.fail(world.start())  # one that waits is something else to ask for
    assert world.fail(world.start(), BLOCKED, others=False)[0] is Verdict.STAND_STILL


def test_a_passing_error_during_a_block_waits_for_its_own_pause_too() -> None:
    world = World(jitter=1.0)
    other = world.start(attempts=3)
    request = world.block()
    world.fail(other)
    assert world.retries.wake_in_s(world.now_s) == 4.0
    world.now_s += BLOCK_PAUSE_S
    assert world.wake() == [request, other]


@given(
    st.lists(st.tuples(st.sampled_from(["passing", "permanent", "429"]), st.floats(0, 90))),
    st.integers(1, 8),
)
def test_a_request_fails_or_is_kept_exactly_once(
    events: list[tuple[str, float]], concurrency: int
) -> None:
    errors = {
        "passing": PASSING,
        "permanent": WeatherError("x", permanent=True),
        "429": BLOCKED,
    }
    world = World(concurrency)
    kept: list[Request] = []
    for kind, pause_s in events:
        request = world.start()
        world.now_s += pause_s
        verdict, wait_s = world.fail(request, errors[kind])
        assert wait_s >= 0.0
        if verdict is not Verdict.FAIL:
            kept.append(request)
        assert 1 <= world.retries.allowed <= concurrency
        world.wake()
        assert sorted(map(id, world.retries.pending())) == sorted(map(id, kept))

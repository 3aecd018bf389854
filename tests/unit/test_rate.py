"""Never more calls in any 60 seconds than allowed: within a run, across runs, after kills."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.openweathermap.rate_limit import CHUNK, WINDOW_S, RateLimit

T0_MS = 1_700_000_000_000
MINUTE_MS = 60_000


@dataclass
class World:
    """True time, the wall clock's error against it, what is kept between runs, the calls made."""

    calls: int
    true_ms: int = T0_MS
    ahead_ms: int = 0
    kept: dict[int, int] = field(default_factory=dict)
    kept_often: int = 0
    made_ms: list[int] = field(default_factory=list)

    def run(self, chunk: int = CHUNK) -> RateLimit:
        ahead_ms = self.ahead_ms  # within a run the clock is steady
        return RateLimit(
            self.calls, lambda: self.true_ms + ahead_ms, dict(self.kept), self.keep, chunk
        )

    def keep(self, calls: dict[int, int]) -> None:
        self.kept = dict(calls)
        self.kept_often += 1

    def call(self, rate: RateLimit) -> bool:
        if not rate.reserve():
            return False
        self.made_ms.append(self.true_ms)
        return True

    def call_as_often_as_it_goes(self, rate: RateLimit) -> int:
        count = 0
        while self.call(rate):
            count += 1
        return count

    def most_in_a_window(self) -> int:
        """Of all windows of 60 s, ends included, the fullest."""
        return fullest_window(self.made_ms)


def fullest_window(times_ms: Sequence[int]) -> int:
    return max(
        (
            bisect.bisect_right(times_ms, start + MINUTE_MS) - first
            for first, start in enumerate(times_ms)
        ),
        default=0,
    )


# What happens one after the other: time passes, calls are wanted, runs end in one way or another.
pauses = st.tuples(
    st.just("pause"),
    st.one_of(st.integers(0, 2_000), st.integers(58_000, 62_000), st.integers(0, 200_000)),
)
wanted = st.tuples(st.just("call"), st.integers(1, 12))
ended = st.tuples(st.just("end"), st.just(0))
killed = st.tuples(st.just("kill"), st.just(0))
put_back = st.tuples(st.just("put back"), st.integers(0, 100_000_000))
waited = st.tuples(st.just("wait"), st.integers(0, 0))
events = st.lists(st.one_of(wanted, wanted, pauses, waited, ended, killed, put_back), max_size=60)


@settings(max_examples=400, deadline=None)
@given(calls=st.integers(1, 20), chunk=st.integers(1, 30), start=st.integers(0, 999), what=events)
def test_no_60_seconds_ever_hold_more_calls_than_allowed(
    calls: int, chunk: int, start: int, what: list[tuple[str, int]]
) -> None:
    world = World(calls, T0_MS + start)
    rate = world.run(chunk)
    for event, number in what:
        if event == "pause":
            world.true_ms += number
        elif event == "call":
            for _ in range(number):
                world.call(rate)
        elif event == "wait":
            world.true_ms += max(0, round(rate.wait_s() * 1000))
        elif event == "put back":
            world.ahead_ms -= number
            rate = world.run(chunk)
        else:
            if event == "end":
                rate.release()
            rate = world.run(chunk)
    assert world.most_in_a_window() <= calls


@settings(max_examples=200, deadline=None)
@given(calls=st.integers(1, 20), chunk=st.integers(1, 30), what=events)
def test_what_is_kept_covers_at_every_moment_what_was_made(
    calls: int, chunk: int, what: list[tuple[str, int]]
) -> None:
    """So that a run may be killed at any time."""
    world = World(calls)
    rate = world.run(chunk)
    for event, number in what:
        if event == "pause":
            world.true_ms += number
        for _ in range(number if event == "call" else 0):
            world.call(rate)
            still_counts = [ms for ms in world.made_ms if world.true_ms - ms <= MINUTE_MS]
            oldest_s = min(still_counts, default=0) // 1000
            kept = sum(count for second, count in world.kept.items() if second >= oldest_s)
            assert kept >= len(still_counts)


@settings(max_examples=400, deadline=None)
@given(
    calls=st.integers(1, 20),
    chunk=st.integers(1, 30),
    start=st.integers(0, 999),
    recent=st.dictionaries(st.integers(-200, 100), st.integers(0, 30), max_size=8),
    what=events,
)
def test_a_call_is_allowed_once_the_wait_is_over_and_not_before(
    calls: int, chunk: int, start: int, recent: dict[int, int], what: list[tuple[str, int]]
) -> None:
    world = World(calls, T0_MS + start)
    world.kept = {T0_MS // 1000 + second: count for second, count in recent.items()}
    rate = world.run(chunk)
    for event, number in what:
        if event == "pause":
            world.true_ms += number
        elif event == "call":
            for _ in range(number):
                world.call(rate)
        wait_s = rate.wait_s()
        assert 0 <= wait_s <= WINDOW_S + 1
        if wait_s:
            assert not rate.reserve()
            # If more was made than is allowed now, under a larger plan, one wait is not enough.
            if sum(world.kept.values()) <= calls:
                world.true_ms += round(wait_s * 1000)
                assert world.call(rate)
        else:
            assert world.call(rate)


@given(calls=st.integers(1, 50), chunk=st.integers(1, 60))
def test_all_that_is_allowed_can_be_used_every_61_seconds(calls: int, chunk: int) -> None:
    world = World(calls)
    rate = world.run(chunk)
    for _ in range(3):
        assert world.call_as_often_as_it_goes(rate) == calls
        world.true_ms += round(rate.wait_s() * 1000)
    assert world.true_ms == T0_MS + 3 * (WINDOW_S + 1) * 1000


@given(calls=st.integers(2, 50), used=st.integers(1, 50), chunk=st.integers(1, 60))
def test_what_is_released_can_be_used_by_the_next_run(calls: int, used: int, chunk: int) -> None:
    world = World(calls)
    rate = world.run(chunk)
    for _ in range(min(used, calls)):
        assert world.call(rate)
    rate.release()
    assert sum(world.kept.values()) == min(used, calls)
    assert world.call_as_often_as_it_goes(world.run(chunk)) == calls - min(used, calls)


def test_releasing_nothing_keeps_nothing() -> None:
    world = World(5)
    world.run().release()
    rate = world.run(chunk=1)
    assert world.call(rate)
    rate.release()
    assert world.kept_often == 1


def test_what_was_not_used_in_its_second_is_there_in_the_next() -> None:
    world = World(10)
    rate = world.run()
    assert world.call(rate)
    world.true_ms += 1000
    assert world.call_as_often_as_it_goes(rate) == 9


def test_a_killed_run_leaves_at_most_a_chunk_unused() -> None:
    world = World(100)
    assert world.call(world.run(chunk=8))
    assert world.call_as_often_as_it_goes(world.run(chunk=8)) == 92


def test_calls_are_kept_in_chunks_and_not_one_by_one() -> None:
    world = World(1000)
    assert world.call_as_often_as_it_goes(world.run(chunk=100)) == 1000
    assert world.kept_often == 10


def test_what_is_kept_stays_small_however_long_the_run() -> None:
    world = World(1_000_000)
    rate = world.run()
    for _ in range(300):
        assert world.call(rate)
        world.true_ms += 1000
    assert len(world.kept) <= WINDOW_S + 1


def test_calls_of_more_than_a_minute_ago_are_forgotten_from_the_first_moment() -> None:
    world = World(5, kept={T0_MS // 1000 - WINDOW_S - 1: 5})
    rate = world.run()
    assert rate.wait_s() == 0.0
    assert world.call_as_often_as_it_goes(rate) == 5


def test_a_clock_that_was_put_back_makes_no_run_wait_for_longer_than_a_minute() -> None:
    world = World(5, kept={T0_MS // 1000 + 10**9: 5})
    assert world.run().wait_s() == WINDOW_S + 1
    # Runs that are too short to wait for it end, and others follow them.
    world.true_ms += 30_000
    assert world.run().wait_s() == WINDOW_S - 29
    world.true_ms += 31_000
    assert world.call_as_often_as_it_goes(world.run()) == 5


def test_a_plan_that_became_smaller_counts_what_was_made_under_the_larger() -> None:
    world = World(100)
    world.call_as_often_as_it_goes(world.run())
    world.calls = 10
    assert not world.run().reserve()
    world.true_ms += (WINDOW_S + 1) * 1000
    assert world.call_as_often_as_it_goes(world.run()) == 10

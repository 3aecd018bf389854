"""Fetch, journal and write side by side, over many places: in process, all services real."""

import itertools
import json
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from botocore.retries.standard import ExponentialBackoff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, aws_error, reset, stall
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest import delivery as delivery_module
from ingest import pipeline as stream_module
from ingest.aws.session import Aws
from ingest.deadline import Deadline, Task
from ingest.delivery import Delivered, Delivery
from ingest.errors import AccessError, Status
from ingest.journal import fallback as store_module
from ingest.journal.fallback import Store
from ingest.journal.queue import Journal
from ingest.observation import DEFAULT_MEASURES
from ingest.openweathermap import client as openweathermap
from ingest.openweathermap.client import Result, WeatherClient
from ingest.pipeline import Stream, warn_of_a_small_plan
from ingest.places import Places
from ingest.reporting.summary import Summary
from tests.conftest import API_KEY, DATABASE, TABLE
from tests.support.journals import TARGET, query, states
from tests.support.runs import PATIENCE_S, wait_until
from timestream_writer import MAX_RECORDS_PER_CALL, TimestreamWriter

UNLIMITED = 1_000_000
NOT_FOUND = answer(404, b'{"cod":"404","message":"city not found"}')
BLOCKED = answer(429, b'{"cod":429,"message":"blocked"}')


def stations(count: int) -> list[str]:
    return [str(9_000_000 + number) for number in range(count)]


def unexpected(what: object, *_: object) -> None:
    pytest.fail(f"{what}")


class Rig:
    """A stream's surroundings; each `run` is one run of the program's inner part."""

    def __init__(self, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, journal: Path) -> None:
        self.aws = aws
        self.weather = weather
        self.journal = journal
        self.options: dict[str, Any] = {}
        self.deadline_s = PATIENCE_S
        self.calls_per_minute = UNLIMITED
        self.writers = 4
        self.keeps_journal = True
        self.summary = Summary()
        self.delivered = Delivered()
        self.deadline = Deadline(self.deadline_s)
        self.store: Store | None = None

    def client(self, **options: Any) -> WeatherClient:
        return WeatherClient(
            **{
                "url": self.weather.url,
                "api_key": API_KEY,
                "units": "metric",
                "measures": DEFAULT_MEASURES,
                "timeout_s": PATIENCE_S,
                "deadline": self.deadline,
                "concurrency": 8,
                "jitter": lambda: 0.0,
                **self.options,
                **options,
            }
        )

    def run(self, places: Sequence[str], deadline: Deadline | None = None) -> Summary:
        self.deadline = deadline or Deadline(self.deadline_s)
        self.summary = Summary()
        writer = TimestreamWriter(Aws(self.deadline, PATIENCE_S), DATABASE, TABLE, self.aws.url)
        self.store = Store(self.journal if self.keeps_journal else None, TARGET, unexpected)
        ready = Task(writer.discover, "while the endpoint was looked up")
        delivery = Delivery(
            self.store, writer, ready, self.deadline, unexpected, writers=self.writers
        )
        try:
            Stream(self.client(), self.store, delivery, self.summary).run(
                Places(places), self.calls_per_minute, show=False
            )
            self.delivered = delivery.finish()
        finally:
            self.store.close()
        return self.summary

    def begin(self, places: Sequence[str], deadline: Deadline | None = None) -> "Running":
        return Running(self, places, deadline)

    def asked(self) -> list[str]:
        """Which places were asked for, in the order of arrival, since this was last called."""
        ids = [request.query["id"] for request in self.weather.requests]
        self.weather.forget_requests()
        return ids

    def stored(self) -> list[int]:
        """City ids of the rows of the table, sorted: one for each record."""
        rows = self.aws.rows(DATABASE, TABLE)
        return sorted(int(row.dimensions["city_id"]) for row in rows)

    def sent(self) -> list[list[dict[str, Any]]]:
        """The records of each WriteRecords call."""
        requests = self.aws.requests
        return [each.json["Records"] for each in requests if each.action == "WriteRecords"]


class Running:
    """A run in a thread of its own."""

    def __init__(self, rig: Rig, places: Sequence[str], deadline: Deadline | None) -> None:
        self._error: BaseException | None = None
        self._rig = rig
        self._thread = threading.Thread(target=self._go, args=(places, deadline), daemon=True)
        self._thread.start()

    def _go(self, places: Sequence[str], deadline: Deadline | None) -> None:
        try:
            self._rig.run(places, deadline)
        except BaseException as error:  # noqa: BLE001  (raised by whoever waits)
            self._error = error

    def end(self) -> Summary:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "it never ended"
        if self._error:
            raise self._error
        return self._rig.summary


@pytest.fixture(scope="module")
def module_aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as service:
        yield service


@pytest.fixture
def rig(
    module_aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Rig]:
    module_aws.make_table(DATABASE, TABLE)
    module_aws.forget_requests()
    for name, value in module_aws.environment().items():
        monkeypatch.setenv(name, value)
    yield Rig(module_aws, weather, tmp_path / "journal.sqlite3")
    module_aws.plan.clear()


def of_place(faults: dict[str, Fault]) -> Callable[[Request], Fault | None]:
    return lambda request: faults.get(request.query["id"])


def after(count: int, fault: Fault) -> Callable[[Request], Fault | None]:
    numbers = itertools.count()
    return lambda _: fault if next(numbers) >= count else None


def four_of(*ids: str) -> list[int]:
    return sorted(int(each) for each in ids for _ in DEFAULT_MEASURES)


# Many places


@pytest.mark.parametrize("keeps_journal", [True, False], ids=["journal", "memory"])
def test_every_record_of_many_places_is_sent_and_stored_once_in_full_calls(
    rig: Rig, keeps_journal: bool
) -> None:
    rig.keeps_journal = keeps_journal
    summary = rig.run(stations(310))
    assert (summary.fetched, summary.failed, rig.delivered) == (310, 0, Delivered(stored=1240))
    assert rig.stored() == four_of(*stations(310))
    sizes = [len(records) for records in rig.sent()]
    assert sorted(sizes) == [40, *[MAX_RECORDS_PER_CALL] * 12]
    assert sorted(rig.asked()) == stations(310)
    if keeps_journal:
        assert states(rig.journal) == {"delivered": 310}


def test_a_second_run_within_ten_minutes_writes_nothing_again(rig: Rig) -> None:
    for place in stations(60):
        rig.weather.set_weather(place, dt=int(time.time()))
    rig.run(stations(60))
    rig.aws.forget_requests()
    assert rig.run(stations(60)).unchanged == 60
    assert rig.sent() == []


def test_records_leave_while_replies_still_come(rig: Rig) -> None:
    leaving, left_first = threading.Event(), []

    def hold_the_last(request: Request) -> None:
        if request.query["id"] == stations(310)[-1]:
            left_first.append(leaving.wait(PATIENCE_S))

    rig.weather.plan.when("weather", hold_the_last)
    rig.aws.plan.when("WriteRecords", lambda _: leaving.set())
    rig.run(stations(310))
    assert left_first == [True]
    assert rig.stored() == four_of(*stations(310))


def test_a_stalled_place_keeps_no_other_from_being_committed_and_delivered(rig: Rig) -> None:
    free = threading.Event()

    def hold_the_first(request: Request) -> None:
        if request.query["id"] == stations(1)[0]:
            free.wait(PATIENCE_S)

    rig.weather.plan.when("weather", hold_the_first)
    running = rig.begin(stations(301))
    # All that fills a call is delivered meanwhile, and what does not is not waited with either.
    wait_until(lambda: len(rig.stored()) == 1200)
    wait_until(lambda: states(rig.journal) == {"delivered": 300})
    free.set()
    assert running.end().fetched == 301
    assert rig.stored() == four_of(*stations(301))


def test_what_is_too_little_for_a_call_is_committed_while_another_place_stalls(rig: Rig) -> None:
    free = threading.Event()

    def hold_the_first(request: Request) -> None:
        if request.query["id"] == stations(1)[0]:
            free.wait(PATIENCE_S)

    rig.weather.plan.when("weather", hold_the_first)
    running = rig.begin(stations(4))
    wait_until(rig.journal.exists)
    wait_until(lambda: rig.journal.stat().st_size)
    wait_until(lambda: query(rig.journal, "SELECT name FROM sqlite_schema WHERE name = 'call'"))
    wait_until(lambda: states(rig.journal) == {"pending": 3})
    assert rig.sent() == []
    free.set()
    assert running.end().fetched == 4
    assert states(rig.journal) == {"delivered": 4}


def test_commits_hold_many_observations_when_replies_come_quickly(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    add = Journal.add

    def counted(self: Journal, observations: Sequence[Any], now_ms: int) -> int:
        sizes.append(len(observations))
        return add(self, observations, now_ms)

    monkeypatch.setattr(Journal, "add", counted)
    monkeypatch.setattr(stream_module, "COMMIT_AFTER_S", PATIENCE_S)
    rig.run(stations(450))
    assert sum(sizes) == 450
    assert all(size >= stream_module.COMMIT_AT for size in sizes[:-1])
    # No more than what can arrive at once comes on top.
    assert all(size < stream_module.COMMIT_AT + 2 * 8 for size in sizes)


# Places that fail


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(NOT_FOUND, "not found", id="not found"),
        pytest.param(answer(200, b"\0garbage"), "unusable reply", id="garbage"),
        pytest.param(answer(502, b"<html>"), "server error", id="bad gateway"),
        pytest.param(reset(), "network error", id="reset"),
        pytest.param(stall(), "time-out", id="stall"),
    ],
)
def test_one_bad_place_among_many_stops_no_other(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, fault: Fault, kind: str
) -> None:
    monkeypatch.setattr(openweathermap, "ATTEMPTS", 2)
    rig.options["timeout_s"] = 2.0
    bad, *others = stations(60)
    rig.weather.plan.when("weather", of_place({bad: fault}))
    summary = rig.run([*others[:30], bad, *others[30:]])
    assert (summary.fetched, summary.failed) == (59, 1)
    assert {kind: group.names for kind, group in summary.groups.items()} == {kind: [bad]}
    assert summary.status == Status.UNAVAILABLE
    assert rig.stored() == four_of(*others)


def test_a_refused_key_stops_all_at_once(rig: Rig) -> None:
    rig.options["api_key"] = "wrong"
    summary = rig.run(stations(300))
    assert (summary.fetched, summary.failed) == (0, 300)
    assert {kind: group.count for kind, group in summary.groups.items()} == {"key refused": 300}
    assert summary.status == Status.NOPERM
    assert rig.weather.count("weather") <= 2 * 8
    assert isinstance(summary.groups["key refused"].error, AccessError)


def test_what_was_fetched_before_a_key_is_refused_is_stored(rig: Rig) -> None:
    rig.options["concurrency"] = 1
    refused = answer(401, b'{"cod":401,"message":"Invalid API key."}')
    rig.weather.plan.when("weather", of_place({stations(40)[30]: refused}))
    summary = rig.run(stations(40))
    assert (summary.fetched, summary.failed) == (30, 10)
    assert rig.stored() == four_of(*stations(30))


# A blocked account


def log_of_calls(client: WeatherClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the client does, in order: "ask", and "429" or "200" for a reply."""
    log: list[str] = []
    aim, read = client.aim, client.read

    def asking(*args: Any) -> None:
        log.append("ask")
        aim(*args)

    def reading(attempt: Any, status: int) -> Any:
        log.append(str(status))
        return read(attempt, status)

    monkeypatch.setattr(client, "aim", asking)
    monkeypatch.setattr(client, "read", reading)
    return log


def test_after_a_429_all_pause_and_then_go_on_one_at_a_time_until_one_succeeds(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    four, noticed = threading.Barrier(4), threading.Event()
    first = iter([True])

    def block_the_first_of_four(_: Request) -> Fault | None:
        if noticed.is_set():
            return None
        four.wait(PATIENCE_S)
        if next(first, False):
            return BLOCKED
        noticed.wait(PATIENCE_S)
        return None

    rig.weather.plan.when("weather", block_the_first_of_four)
    client = rig.client(concurrency=4, block_pause_s=0.05)
    log = log_of_calls(client, monkeypatch)
    fetched = 0
    for results in client.stream(Places(stations(20))):
        fetched += len(results)
        if "429" in log:
            noticed.set()
    assert fetched == 20
    # The three that were under way come in, and say nothing of the block.
    assert log[:8] == ["ask"] * 4 + ["429"] + ["200"] * 3
    # The next may be on its way before the first success is read, but not the next but one.
    assert log[8] == "ask"
    assert "200" in log[9:11]
    assert log.count("429") == 1
    (warning,) = caplog.records
    assert "has blocked the account (429); going on in 0 s" in warning.getMessage()


def test_every_429_of_what_was_under_way_counts_as_one_block(rig: Rig) -> None:
    rig.options["block_pause_s"] = 0.01
    together = threading.Barrier(8)
    blocked = iter(range(8))

    def block_eight_at_once(_: Request) -> Fault | None:
        if next(blocked, None) is None:
            return None
        together.wait(PATIENCE_S)
        return BLOCKED

    rig.weather.plan.when("weather", block_eight_at_once)
    summary = rig.run(stations(50))
    assert (summary.fetched, summary.failed) == (50, 0)
    assert rig.stored() == four_of(*stations(50))


def test_a_second_block_ends_the_run_and_says_how_many_are_left(rig: Rig) -> None:
    rig.options["block_pause_s"] = 0.01
    rig.weather.plan.when("weather", after(100, BLOCKED))
    summary = rig.run(stations(300))
    assert summary.fetched in range(92, 101)
    assert summary.failed == 300 - summary.fetched
    first_line = summary.describe_failures().splitlines()[0]
    assert first_line.startswith(
        f"{summary.failed} places failed: {summary.failed} blocked (first: "
    )
    assert rig.weather.count("weather") <= 100 + 8 + 1
    assert len(rig.stored()) == 4 * summary.fetched


def test_without_time_for_the_pause_the_run_ends_at_once(rig: Rig) -> None:
    rig.options["block_pause_s"] = rig.deadline_s + 1
    rig.weather.plan.always("weather", BLOCKED)
    summary = rig.run(stations(300))
    assert (summary.fetched, summary.failed) == (0, 300)
    assert rig.weather.count("weather") <= 8


def test_one_place_alone_waits_for_no_block_to_be_lifted(rig: Rig) -> None:
    rig.options["block_pause_s"] = rig.deadline_s - 1
    rig.weather.plan.always("weather", BLOCKED)
    assert rig.run(stations(1)).failed == 1
    assert rig.weather.count("weather") == 1


# A plan that is too small


class FakeTime:
    """A minute passes in no time: whoever sleeps while nothing is under way moves the clock."""

    def __init__(self) -> None:
        self.now_s = float(int(time.time()) // 600 * 600)

    def time(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    namespace = SimpleNamespace(monotonic=time.monotonic, time_ns=time.time_ns, sleep=fake.sleep)
    monkeypatch.setattr(openweathermap, "time", namespace)
    monkeypatch.setattr(stream_module, "_SteadyClock", lambda: fake)
    return fake


def test_a_plan_used_up_ends_a_run_that_could_not_go_on_in_time(
    rig: Rig, fake_time: FakeTime
) -> None:
    rig.calls_per_minute = 40
    began_s = fake_time.now_s
    summary = rig.run(stations(100), Deadline(61, fake_time.time))
    assert (summary.fetched, summary.failed) == (40, 60)
    assert fake_time.now_s - began_s < 1  # nothing was waited for
    assert rig.weather.count("weather") == 40
    left = summary.groups["left for a later run"]
    assert left.count == 60
    assert "OPENWEATHERMAP_CALLS_PER_MINUTE is used up" in str(left.error)
    assert summary.status == Status.UNAVAILABLE
    assert rig.stored() == four_of(*stations(40))


def test_a_run_with_time_enough_goes_on_when_the_minute_is_over(
    rig: Rig, fake_time: FakeTime
) -> None:
    rig.weather.clock, rig.weather.calls_per_minute = fake_time.time, 40
    rig.calls_per_minute = 40
    summary = rig.run(stations(100), Deadline(130, fake_time.time))
    assert (summary.fetched, summary.failed) == (100, 0)
    assert rig.weather.count("weather") == 100


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pauses=st.lists(st.floats(0, 70), min_size=2, max_size=4),
    allowed=st.integers(2, 12),
    failing=st.booleans(),
)
def test_runs_that_follow_each_other_never_exceed_the_plan_together(
    rig: Rig,
    fake_time: FakeTime,
    tmp_path_factory: pytest.TempPathFactory,
    pauses: list[float],
    allowed: int,
    failing: bool,
) -> None:
    """Neither places nor their further attempts; the service itself counts."""
    rig.journal = tmp_path_factory.mktemp("plan") / "journal.sqlite3"
    fake_time.now_s = FakeTime().now_s  # the table takes nothing from the future
    rig.calls_per_minute = allowed
    with EmbeddedOpenWeatherMap(
        api_key=API_KEY, clock=fake_time.time, calls_per_minute=allowed
    ) as rig.weather:
        if failing:
            rig.weather.plan.next("weather", *[answer(503)] * 3)
        for pause_s in pauses:
            summary = rig.run(stations(10), Deadline(30, fake_time.time))
            assert "blocked" not in summary.groups
            fake_time.sleep(pause_s)


def test_places_longest_unseen_go_first_so_that_each_is_served_in_turn(
    rig: Rig, fake_time: FakeTime
) -> None:
    rig.calls_per_minute, rig.options["concurrency"] = 4, 1
    asked = []
    for _ in range(9):
        rig.run(stations(10), Deadline(30, fake_time.time))
        asked.append(rig.asked())
        fake_time.sleep(61)
    assert [len(each) for each in asked] == [4] * 9
    assert list(itertools.chain(*asked[:3])) == [*stations(10), *stations(2)]
    for first in range(6):  # those of one run are equals, so three runs do not do it every time
        assert set().union(*asked[first : first + 4]) == set(stations(10))


def test_a_new_place_goes_before_those_that_were_seen(rig: Rig) -> None:
    rig.options["concurrency"] = 1
    rig.run(stations(4))
    rig.asked()
    rig.run([*stations(4), "2643743"])
    assert rig.asked() == ["2643743", *stations(4)]


@pytest.mark.parametrize(
    "fault", [NOT_FOUND, answer(200, b"garbage"), answer(503)], ids=["404", "garbage", "503"]
)
def test_a_place_that_always_fails_keeps_no_other_from_its_turn(
    rig: Rig, fake_time: FakeTime, fault: Fault
) -> None:
    rig.calls_per_minute, rig.options["concurrency"] = 4, 1
    rig.weather.plan.when("weather", of_place({stations(1)[0]: fault}))
    fetched: Counter[int] = Counter()
    for _ in range(7):
        rig.run(stations(8), Deadline(30, fake_time.time))
        fetched.update({int(place) for place in rig.asked()})
        fake_time.sleep(61)
    assert set(map(str, fetched)) == set(stations(8))
    assert min(fetched.values()) >= 2
    assert rig.stored() == four_of(*stations(8)[1:])


def test_a_place_that_takes_all_the_time_does_not_take_that_of_the_next_run(rig: Rig) -> None:
    slow, *others = stations(3)
    rig.options["concurrency"] = 1
    clock = FakeTime()

    def stall_until_the_end(request: Request) -> Fault | None:
        if request.query["id"] != slow:
            return None
        clock.sleep(100)
        return stall()

    rig.weather.plan.when("weather", stall_until_the_end)
    assert rig.run([slow, *others], Deadline(30, clock.time)).groups["out of time"].count == 3
    assert rig.asked() == [slow]
    assert rig.run([slow, *others], Deadline(30, clock.time)).fetched == 2
    assert rig.asked() == [*others, slow]


def test_runs_that_are_blocked_each_time_still_serve_each_place_in_turn(rig: Rig) -> None:
    """What was given up without having been asked for has not had its turn."""
    rig.options |= {"concurrency": 1, "block_pause_s": 0.0}
    served = []
    for _ in range(3):
        rig.weather.plan.when("weather", after(10, BLOCKED))
        rig.run(stations(33))
        served += list(dict.fromkeys(rig.asked()))
    # Ten are served in each run, and the one that met the block has had its turn, too.
    assert served == stations(33)


def test_a_signal_costs_nobody_their_turn(rig: Rig) -> None:
    rig.options["concurrency"] = 1
    deadline = Deadline(PATIENCE_S)

    def stop_at_the_fifth(request: Request) -> None:
        if request.query["id"] == stations(5)[-1]:
            deadline.stop("SIGTERM")

    rig.weather.plan.when("weather", stop_at_the_fifth)
    rig.run(stations(10), deadline)
    assert rig.asked() == stations(5)
    rig.weather.plan.clear()
    rig.run(stations(10))
    assert rig.asked() == stations(10)[5:] + stations(5)


def test_places_asked_for_before_the_clock_was_put_back_have_their_turn(
    rig: Rig, fake_time: FakeTime
) -> None:
    rig.run(stations(10))
    journal = Journal(rig.journal, TARGET)
    journal.mark_asked(stations(2), time.time_ns() // 1_000_000 + 10**10)
    journal.keep_calls({})
    journal.close()
    rig.asked()
    rig.calls_per_minute = 2
    rig.run(stations(10), Deadline(30, fake_time.time))
    assert sorted(rig.asked()) == stations(2)


@pytest.mark.parametrize(
    ("places", "calls", "deadline_s", "said"),
    [
        (60, 60, 50.0, None),
        (1, 1, 1.0, None),
        (120, 60, 120.0, None),
        (61, 60, 60.0, (60, "60", "1 x 60", 2)),
        (121, 60, 120.0, (120, "120", "2 x 60", 2)),
        (10_000, 60, 120.0, (120, "120", "2 x 60", 84)),
        (10_000, 600, 600.0, (6000, "600", "10 x 600", 2)),
        (10_000, 3000, 182.5, (9000, "182.5", "3 x 3000", 2)),
        (9_001, 3000, 182.5, (9000, "182.5", "3 x 3000", 2)),
        (9_000, 3000, 182.5, None),
    ],
)
def test_a_plan_that_can_never_keep_up_is_pointed_out_with_the_arithmetic(
    caplog: pytest.LogCaptureFixture,
    places: int,
    calls: int,
    deadline_s: float,
    said: tuple[int, str, str, int] | None,
) -> None:
    warn_of_a_small_plan(places, calls, deadline_s)
    if said is None:
        assert caplog.records == []
        return
    at_most, seconds, product, runs = said
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"{places} places need {places} calls; OPENWEATHERMAP_CALLS_PER_MINUTE={calls} allows "
        f"{at_most} in a run of {seconds} s ({product}), so it takes {runs} runs to see each place "
        "once, those longest unseen first. Name fewer places, or raise the plan, or "
        "WEATHER_DEADLINE_SECONDS."
    )


# A writer that is slower than the weather


class Gate:
    """Holds every WriteRecords call until it is opened."""

    def __init__(self, service: EmbeddedAws) -> None:
        self.arrived, self._open = threading.Event(), threading.Event()
        service.plan.when("WriteRecords", self._hold)

    def _hold(self, _: Request) -> None:
        self.arrived.set()
        self._open.wait(PATIENCE_S)

    def open(self) -> None:
        self._open.set()


@pytest.mark.parametrize("keeps_journal", [True, False], ids=["journal", "memory"])
def test_a_slow_writer_holds_the_fetching_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, keeps_journal: bool
) -> None:
    monkeypatch.setattr(stream_module, "MOST_IN_MEMORY", 60)
    monkeypatch.setattr(delivery_module, "PAGE", 30)
    rig.keeps_journal, rig.writers = keeps_journal, 1
    gate, held = Gate(rig.aws), threading.Event()
    # What was read back from the journal is being sent.
    read_back = 30 + 25 if keeps_journal else 0
    in_memory = []
    is_full = Stream._is_full

    def watched(self: Stream) -> bool:
        in_memory.append(self._store.count_unread() + len(self._uncommitted))
        full = is_full(self)
        if full:
            held.set()
        return full

    monkeypatch.setattr(Stream, "_is_full", watched)
    running = rig.begin(stations(400))
    assert held.wait(PATIENCE_S)
    assert rig.weather.count("weather") <= 60 + 1 + 2 * 8 + read_back
    gate.open()
    summary = running.end()
    assert (summary.fetched, rig.delivered) == (400, Delivered(stored=1600))
    assert rig.stored() == four_of(*stations(400))
    # What is under way or being read when it gets full comes on top.
    assert 60 < max(in_memory) <= 60 + 1 + 2 * 8


def test_without_a_journal_nothing_more_is_fetched_than_can_be_kept_once_the_writer_has_failed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MOST_IN_MEMORY", 60)
    rig.keeps_journal = False
    rig.aws.plan.always("WriteRecords", aws_error("AccessDeniedException", "No.", 403))
    summary = rig.run(stations(400))
    assert isinstance(rig.delivered.failure, AccessError)
    assert summary.fetched <= 60 + 1 + 2 * 8


def test_a_service_that_throttles_every_third_call_gets_all_in_one_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(delivery_module, "PAUSE_S", 0.01)
    numbers = itertools.count()
    throttled = aws_error("ThrottlingException", "Rate exceeded", 429)

    def some(_: Request) -> Fault | None:
        # All attempts at a third call, and not the first call.
        return throttled if next(numbers) % 6 in (2, 3, 4) else None

    rig.writers = 1
    rig.aws.plan.when("WriteRecords", some)
    assert rig.run(stations(310)).fetched == 310
    assert rig.delivered == Delivered(stored=1240)
    assert rig.stored() == four_of(*stations(310))


def test_with_a_journal_all_is_fetched_and_kept_in_little_memory_once_the_writer_has_failed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MOST_IN_MEMORY", 120)
    monkeypatch.setattr(store_module, "MOST_UNSENT", 150)
    rig.aws.plan.always("WriteRecords", aws_error("AccessDeniedException", "No.", 403))
    assert rig.run(stations(400)).fetched == 400
    assert isinstance(rig.delivered.failure, AccessError)
    assert states(rig.journal) == {"pending": 400}
    assert rig.store
    assert 50 <= rig.store.count_unread() <= 150
    rig.aws.plan.clear()
    rig.run(stations(1))
    assert rig.stored() == four_of(*stations(400))


# The end in mid-stream


@pytest.mark.parametrize("ended_by", ["deadline", "signal"])
def test_what_was_fetched_before_the_end_is_kept_and_delivered_by_the_next_run(
    rig: Rig, ended_by: str
) -> None:
    clock = FakeTime()
    deadline = Deadline(30, clock.time)

    def end_at_the_150th(_: Request) -> Fault | None:
        if rig.weather.count("weather") < 150:
            return None
        if ended_by == "signal":
            deadline.stop("SIGTERM")
        else:
            clock.sleep(100)
        return stall()

    rig.weather.plan.when("weather", end_at_the_150th)
    summary = rig.run(stations(300), deadline)
    kind, status = {
        "signal": ("interrupted", Status.TEMPFAIL),
        "deadline": ("out of time", Status.UNAVAILABLE),
    }[ended_by]
    assert summary.groups[kind].count == 300 - summary.fetched
    assert summary.status == status
    assert 0 < summary.fetched < 150
    kept = [place for (place,) in query(rig.journal, "SELECT place FROM observation ORDER BY id")]
    assert len(kept) == summary.fetched
    assert states(rig.journal).get("pending")

    rig.weather.plan.clear()
    rig.weather.plan.always("weather", NOT_FOUND)
    rig.run(stations(1))
    assert states(rig.journal) == {"delivered": len(kept)}
    assert rig.stored() == four_of(*kept)


# HTTP/2


class Http2Service:
    """Speaks just enough HTTP/2 over TLS to answer: the first request at once, the others only
    when `together` of them are here over one connection."""

    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    DATA, HEADERS, SETTINGS = 0, 1, 4
    END_STREAM, END_HEADERS, ACK = 1, 4, 1
    STATUS_200 = b"\x88"  # the static table's entry 8

    def __init__(self, tls: ssl.SSLContext, together: int) -> None:
        tls.set_alpn_protocols(["h2"])
        self._tls, self._together = tls, together
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}/data/2.5/weather"
        self.connections = 0
        self.protocols: list[str | None] = []
        self.error: Exception | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: Any) -> None:
        with plain, self._tls.wrap_socket(plain, server_side=True) as connection:
            self.protocols.append(connection.selected_alpn_protocol())
            reader = connection.makefile("rb")
            if reader.read(len(self.PREFACE)) != self.PREFACE:
                return
            connection.sendall(self._frame(self.SETTINGS, 0, 0, b""))
            streams: list[int] = []
            while head := reader.read(9):
                length, kind = int.from_bytes(head[:3]), head[3]
                reader.read(length)
                if kind == self.SETTINGS and not head[4] & self.ACK:
                    connection.sendall(self._frame(self.SETTINGS, self.ACK, 0, b""))
                elif kind == self.HEADERS:
                    streams.append(int.from_bytes(head[5:]))
                    if len(streams) in (1, 1 + self._together):
                        for stream in streams[-self._together :]:
                            connection.sendall(self._answer(stream))

    def _answer(self, stream: int) -> bytes:
        reply = {"dt": 1604870976, "name": "London", "main": {"temp": 9.5}}
        return self._frame(self.HEADERS, self.END_HEADERS, stream, self.STATUS_200) + self._frame(
            self.DATA, self.END_STREAM, stream, json.dumps(reply).encode()
        )

    @staticmethod
    def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        head = len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
        return head + payload

    def close(self) -> None:
        self._listener.close()


class FirstAlone:
    """Lets all others wait for the first result."""

    def __init__(self, results: list[Result]) -> None:
        self._results, self._taken = results, 0

    def take(self) -> bool:
        if self._taken and not self._results:
            return False
        self._taken += 1
        return True

    def wait_s(self) -> float:
        return 0.0


def test_requests_share_an_http_2_connection_where_the_server_speaks_it(rig: Rig) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    service = Http2Service(context, together=8)
    with authority.cert_pem.tempfile() as ca_file:
        client = rig.client(url=service.url, ca_file=ca_file)
        places = Places([f"zip:{number},GB" for number in range(1, 10)])
        results: list[Result] = []
        for some in client.stream(places, FirstAlone(results)):
            results += some
    service.close()
    assert [getattr(result, "city", result) for result in results] == ["London"] * 9
    assert (service.connections, service.protocols) == (1, ["h2"])

"""Fetch, journal and write side by side, over many places: in process, all services real."""

import itertools
import json
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pycurl
import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, aws_error, reset, stall
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest import delivery, pipeline
from ingest import run as run_module
from ingest.deadline import Deadline, Task
from ingest.errors import AccessError, Status
from ingest.journal import fallback, polling
from ingest.journal.fallback import RunJournal
from ingest.journal.queue import Entry, FileQueue
from ingest.journal.schema import JournalFile
from ingest.observation import DEFAULT_MEASURES, Observation
from ingest.openweathermap import client, fetch_loop, retry
from ingest.openweathermap.client import WeatherClient
from ingest.openweathermap.rate_limit import RateLimit
from ingest.openweathermap.retry import Request as Transfer
from ingest.pipeline import small_plan, steady
from ingest.reporting.summary import Summary
from tests.conftest import API_KEY, DATABASE, TABLE
from tests.support.in_process import Runs, repeat_at_once
from tests.support.journals import TARGET, query, states
from tests.support.runs import wait_until
from tests.support.settings import settings_of
from tests.support.terminal import PATIENCE_S
from timestream_writer import MAX_RECORDS_PER_CALL

# Requests at once, if a test says nothing else.
CONCURRENCY = 8

NOT_FOUND = answer(404, b'{"cod":"404","message":"city not found"}')
BLOCKED = answer(429, b'{"cod":429,"message":"blocked"}')

# What no run of this file may end with.
UNEXPECTED = {Status.SOFTWARE, Status.CONFIG, Status.IOERR, Status.DATAERR}


def stations(count: int) -> list[str]:
    return [str(9_000_000 + number) for number in range(count)]


class Rig(Runs):
    """Runs of many places. texts: their settings, by name."""

    def __init__(self, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, journal: Path) -> None:
        super().__init__()
        self.aws = aws
        self.weather = weather
        self.journal = journal
        self.keeps_journal = True
        self.texts = {
            "OPENWEATHERMAP_CALLS_PER_MINUTE": "1000000",
            "WEATHER_CONCURRENCY": str(CONCURRENCY),
            "WEATHER_TIMEOUT_SECONDS": str(PATIENCE_S),
            "WEATHER_DEADLINE_SECONDS": str(PATIENCE_S),
        }

    def run(self, places: Sequence[str], deadline: Deadline | None = None) -> Summary:
        texts = {
            "OPENWEATHERMAP_URL": self.weather.url,
            "WEATHER_JOURNAL": str(self.journal) if self.keeps_journal else "off",
            "WEATHER_PLACES": ";".join(places),
            **self.texts,
        }
        summary = self.run_with(settings_of(**texts), deadline)
        assert not summary.statuses & UNEXPECTED, self.said()
        return summary

    def begin(self, places: Sequence[str]) -> Task[Summary]:
        """A run in a thread of its own."""
        return Task(lambda: self.run(places), "while the test waited")

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


def result_of(running: Task[Summary]) -> Summary:
    return running.result(Deadline(PATIENCE_S))


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
    repeat_at_once(monkeypatch)
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
    assert (summary.fetched, summary.failed) == (310, 0)
    assert (summary.stored, summary.pending, summary.status) == (1240, 0, Status.OK)
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
    # All that fills a call is delivered, and what does not is not waited with either.
    wait_until(lambda: len(rig.stored()) == 1200)
    wait_until(lambda: states(rig.journal) == {"delivered": 300})
    free.set()
    assert result_of(running).fetched == 301
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
    assert result_of(running).fetched == 4
    assert states(rig.journal) == {"delivered": 4}


def test_commits_hold_many_observations_when_replies_come_quickly(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    enqueue = FileQueue.enqueue

    def counted(self: FileQueue, observations: Sequence[Observation], now_ms: int) -> list[Entry]:
        sizes.append(len(observations))
        return enqueue(self, observations, now_ms)

    monkeypatch.setattr(FileQueue, "enqueue", counted)
    monkeypatch.setattr(pipeline, "COMMIT_AFTER_S", PATIENCE_S)
    rig.run(stations(450))
    assert sum(sizes) == 450
    assert all(size >= pipeline.COMMIT_AT for size in sizes[:-1])
    # At most what can arrive at once comes on top.
    assert all(size < pipeline.COMMIT_AT + 2 * CONCURRENCY for size in sizes)


# Places that fail


def limit_requests_of(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other place, and none without a name, fails because the machine is slow."""
    point_at = WeatherClient.point_at

    def pointing(self: WeatherClient, curl: pycurl.Curl, transfer: Transfer) -> None:
        point_at(self, curl, transfer)
        is_bad = transfer.place.name == place
        curl.setopt(pycurl.TIMEOUT_MS, 200 if is_bad else int(PATIENCE_S * 1000))

    monkeypatch.setattr(WeatherClient, "point_at", pointing)


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
    monkeypatch.setattr(retry, "ATTEMPTS", 2)
    bad, *others = stations(60)
    limit_requests_of(bad if kind == "time-out" else None, monkeypatch)
    rig.weather.plan.when("weather", of_place({bad: fault}))
    summary = rig.run([*others[:30], bad, *others[30:]])
    assert (summary.fetched, summary.failed) == (59, 1)
    assert {kind: group.names for kind, group in summary.groups.items()} == {kind: [bad]}
    assert summary.status == Status.UNAVAILABLE
    assert rig.stored() == four_of(*others)


def test_a_refused_key_stops_all_at_once(rig: Rig) -> None:
    rig.texts["OPENWEATHERMAP_API_KEY"] = "wrong"
    summary = rig.run(stations(300))
    assert (summary.fetched, summary.failed) == (0, 300)
    assert {kind: group.count for kind, group in summary.groups.items()} == {"key refused": 300}
    assert summary.status == Status.NOPERM
    assert rig.weather.count("weather") <= 2 * CONCURRENCY
    assert isinstance(summary.groups["key refused"].error, AccessError)


def test_what_was_fetched_before_a_key_is_refused_is_stored(rig: Rig) -> None:
    rig.texts["WEATHER_CONCURRENCY"] = "1"
    refused = answer(401, b'{"cod":401,"message":"Invalid API key."}')
    rig.weather.plan.when("weather", of_place({stations(40)[30]: refused}))
    summary = rig.run(stations(40))
    assert (summary.fetched, summary.failed) == (30, 10)
    assert rig.stored() == four_of(*stations(30))


# A blocked account


def log_of_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What clients do, in order: "ask", and "429" or "200" for a reply."""
    log: list[str] = []
    point_at, read = WeatherClient.point_at, WeatherClient.read

    def asking(self: WeatherClient, curl: pycurl.Curl, transfer: Transfer) -> None:
        log.append("ask")
        point_at(self, curl, transfer)

    def reading(self: WeatherClient, transfer: Transfer, status: int) -> Observation:
        log.append(str(status))
        return read(self, transfer, status)

    monkeypatch.setattr(WeatherClient, "point_at", asking)
    monkeypatch.setattr(WeatherClient, "read", reading)
    return log


def test_after_a_429_all_pause_and_then_go_on_one_at_a_time_until_one_succeeds(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
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
    rig.texts["WEATHER_CONCURRENCY"] = "4"
    monkeypatch.setattr(retry, "BLOCK_PAUSE_S", PATIENCE_S / 2)
    log, ahead_s = log_of_calls(monkeypatch), 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_s, sleep=time.sleep)
    for module in (client, fetch_loop):
        monkeypatch.setattr(module, "time", clock)

    def look() -> None:
        nonlocal ahead_s
        if "429" in log:
            noticed.set()
        if log.count("200") == 3:
            ahead_s = PATIENCE_S / 2  # the pause is over

    rig.on_change = look
    assert rig.run(stations(20)).fetched == 20
    # The three that were under way come in, and say nothing of the block.
    assert log[:8] == ["ask"] * 4 + ["429"] + ["200"] * 3
    # The next may be on its way before the first success is read, but not the next but one.
    assert log[8] == "ask"
    assert "200" in log[9:11]
    assert log.count("429") == 1
    assert rig.said().count("has blocked the account (429). Trying again in 30 s") == 1


def test_every_429_of_what_was_under_way_counts_as_one_block(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BLOCK_PAUSE_S", 0.01)
    together = threading.Barrier(CONCURRENCY)
    blocked = iter(range(CONCURRENCY))

    def block_eight_at_once(_: Request) -> Fault | None:
        if next(blocked, None) is None:
            return None
        together.wait(PATIENCE_S)
        return BLOCKED

    rig.weather.plan.when("weather", block_eight_at_once)
    summary = rig.run(stations(50))
    assert (summary.fetched, summary.failed) == (50, 0)
    assert rig.stored() == four_of(*stations(50))


def test_a_second_block_ends_the_run_and_says_how_many_are_left(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BLOCK_PAUSE_S", 0.01)
    rig.weather.plan.when("weather", after(100, BLOCKED))
    summary = rig.run(stations(300))
    assert summary.fetched in range(100 - CONCURRENCY, 101)
    assert summary.failed == 300 - summary.fetched
    assert {kind: each.count for kind, each in summary.groups.items()} == {
        "blocked": summary.failed
    }
    assert rig.weather.count("weather") <= 100 + CONCURRENCY + 1
    assert len(rig.stored()) == 4 * summary.fetched


def test_without_time_for_the_pause_the_run_ends_at_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BLOCK_PAUSE_S", PATIENCE_S + 1)
    rig.weather.plan.always("weather", BLOCKED)
    summary = rig.run(stations(300))
    assert (summary.fetched, summary.failed) == (0, 300)
    assert set(summary.groups) == {"blocked"}  # and not "out of time", after a wait
    assert rig.weather.count("weather") <= CONCURRENCY


def test_one_place_alone_waits_for_no_block_to_be_lifted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BLOCK_PAUSE_S", PATIENCE_S - 1)
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
def fake_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    rig.now_ms = fake.now_ms
    namespace = SimpleNamespace(monotonic=time.monotonic, time_ns=time.time_ns, sleep=fake.sleep)
    monkeypatch.setattr(fetch_loop, "time", namespace)
    monkeypatch.setattr(pipeline, "steady", lambda now_ms: now_ms)
    return fake


def test_a_plan_used_up_ends_a_run_that_could_not_go_on_in_time(
    rig: Rig, fake_time: FakeTime
) -> None:
    rig.texts["OPENWEATHERMAP_CALLS_PER_MINUTE"] = "40"
    began_s = fake_time.now_s
    summary = rig.run(stations(100), Deadline(61, fake_time.time))
    assert (summary.fetched, summary.failed) == (40, 60)
    assert fake_time.now_s - began_s < 1  # nothing was waited for
    assert rig.weather.count("weather") == 40
    left = summary.groups["left for a later run"]
    assert left.count == 60
    assert "OPENWEATHERMAP_CALLS_PER_MINUTE" in str(left.error)
    assert summary.status == Status.UNAVAILABLE
    assert rig.stored() == four_of(*stations(40))


def test_a_run_with_time_enough_goes_on_when_the_minute_is_over(
    rig: Rig, fake_time: FakeTime
) -> None:
    rig.weather.clock, rig.weather.calls_per_minute = fake_time.time, 40
    rig.texts["OPENWEATHERMAP_CALLS_PER_MINUTE"] = "40"
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
    rig.texts["OPENWEATHERMAP_CALLS_PER_MINUTE"] = str(allowed)
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
    rig.texts |= {"OPENWEATHERMAP_CALLS_PER_MINUTE": "4", "WEATHER_CONCURRENCY": "1"}
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
    rig.texts["WEATHER_CONCURRENCY"] = "1"
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
    rig.texts |= {"OPENWEATHERMAP_CALLS_PER_MINUTE": "4", "WEATHER_CONCURRENCY": "1"}
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
    rig.texts["WEATHER_CONCURRENCY"] = "1"
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


def test_runs_that_are_blocked_each_time_still_serve_each_place_in_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that failed without being asked for has not had its turn."""
    rig.texts["WEATHER_CONCURRENCY"] = "1"
    monkeypatch.setattr(retry, "BLOCK_PAUSE_S", 0.0)
    served = []
    for _ in range(3):
        rig.weather.plan.when("weather", after(10, BLOCKED))
        rig.run(stations(33))
        served += list(dict.fromkeys(rig.asked()))
    # Ten are served in each run, and the one that met the block has had its turn, too.
    assert served == stations(33)


def test_a_signal_costs_nobody_their_turn(rig: Rig) -> None:
    rig.texts["WEATHER_CONCURRENCY"] = "1"
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
    file = JournalFile(rig.journal, TARGET)
    polling.mark_polled(file, stations(2), fake_time.now_ms() + 10**10)
    polling.keep_calls(file, {})
    file.close()
    rig.asked()
    rig.texts["OPENWEATHERMAP_CALLS_PER_MINUTE"] = "2"
    rig.run(stations(10), Deadline(30, fake_time.time))
    assert sorted(rig.asked()) == stations(2)


def test_a_plan_that_can_never_keep_up_is_pointed_out_with_the_arithmetic() -> None:
    for enough in ((60, 60, 50.0), (1, 1, 1.0), (120, 60, 120.0), (9_000, 3000, 182.5)):
        assert small_plan(*enough) == ""
    too_small = {  # places, calls, seconds: at most, in so many minutes; runs
        (61, 60, 60.0): (60, 1, 2),
        (121, 60, 120.0): (120, 2, 2),
        (10_000, 60, 120.0): (120, 2, 84),
        (10_000, 600, 600.0): (6000, 10, 2),
        (10_000, 3000, 182.5): (9000, 3, 2),
        (9_001, 3000, 182.5): (9000, 3, 2),
    }
    for (places, calls, seconds), (at_most, minutes, runs) in too_small.items():
        numbers = re.findall(r"\d+(?:\.\d+)?", small_plan(places, calls, seconds))
        expected = [places, places, calls, at_most, seconds, minutes, calls, runs]
        assert [float(each) for each in numbers] == expected


@pytest.mark.parametrize(("calls", "warnings"), [("2", 1), ("3", 0)])
def test_a_run_warns_of_a_plan_that_can_never_keep_up(
    rig: Rig, fake_time: FakeTime, calls: str, warnings: int
) -> None:
    rig.texts["OPENWEATHERMAP_CALLS_PER_MINUTE"] = calls
    rig.run(stations(3), Deadline(30, fake_time.time))
    assert rig.said().count(" WARNING ") == warnings
    assert rig.said().count(f"OPENWEATHERMAP_CALLS_PER_MINUTE={calls}") == warnings


def test_a_clock_that_jumps_does_not_move_the_plan() -> None:
    """The machine's time is looked at once."""
    times_ms = iter([1_604_870_976_000])
    clock = steady(lambda: next(times_ms))
    first, second = clock(), clock()
    assert 1_604_870_976_000 <= first <= second < 1_604_870_976_000 + 1000 * PATIENCE_S


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


def counts_in_hand(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many observations wait in memory, each time that a run looks."""
    counts: list[int] = []
    count_in_hand = RunJournal.count_in_hand

    def counted(journal: RunJournal) -> int:
        counts.append(count_in_hand(journal))
        return counts[-1]

    monkeypatch.setattr(RunJournal, "count_in_hand", counted)
    return counts


@pytest.mark.parametrize("keeps_journal", [True, False], ids=["journal", "memory"])
def test_a_slow_writer_holds_the_fetching_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, keeps_journal: bool
) -> None:
    monkeypatch.setattr(pipeline, "MOST_IN_MEMORY", 60)
    monkeypatch.setattr(delivery, "ACKNOWLEDGE_EVERY_S", 0.0)
    rig.keeps_journal = keeps_journal
    rig.texts["WEATHER_WRITERS"] = "1"
    # What is under way or being read when it gets full comes on top.
    most = 60 + 1 + 2 * CONCURRENCY
    gate, in_hand = Gate(rig.aws), counts_in_hand(monkeypatch)
    running = rig.begin(stations(400))
    wait_until(lambda: in_hand and in_hand[-1] > 60)
    assert gate.arrived.wait(PATIENCE_S)
    looks = len(in_hand)
    wait_until(lambda: len(in_hand) > looks + 3)
    assert rig.weather.count("weather") <= most
    gate.open()
    summary = result_of(running)
    assert (summary.fetched, summary.stored, summary.pending) == (400, 1600, 0)
    assert rig.stored() == four_of(*stations(400))
    assert max(in_hand) <= most


def test_without_a_journal_nothing_more_is_fetched_than_can_be_kept_once_the_writer_has_failed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MOST_IN_MEMORY", 60)
    rig.keeps_journal = False
    rig.aws.plan.always("WriteRecords", aws_error("AccessDeniedException", "No.", 403))
    summary = rig.run(stations(400))
    assert summary.status == Status.NOPERM
    assert summary.fetched <= 60 + 1 + 2 * CONCURRENCY
    assert summary.failed == 0  # it did not go on until its deadline
    assert f"{summary.fetched} observations" in rig.said()


def test_a_service_that_throttles_every_third_call_gets_all_in_one_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PAUSE_S", 0.01)
    numbers = itertools.count()
    throttled = aws_error("ThrottlingException", "Rate exceeded", 429)

    def some(_: Request) -> Fault | None:
        # All attempts at a third call, and not the first call.
        return throttled if next(numbers) % 6 in (2, 3, 4) else None

    rig.texts["WEATHER_WRITERS"] = "1"
    rig.aws.plan.when("WriteRecords", some)
    summary = rig.run(stations(310))
    assert (summary.fetched, summary.stored, summary.status) == (310, 1240, Status.OK)
    assert rig.stored() == four_of(*stations(310))


def test_with_a_journal_all_is_fetched_and_kept_in_little_memory_once_the_writer_has_failed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MOST_IN_MEMORY", 120)
    monkeypatch.setattr(fallback, "MOST_UNSENT", 150)
    journals: list[RunJournal] = []
    count_pending = RunJournal.count_pending

    def at_the_end(journal: RunJournal) -> int:
        journals.append(journal)
        return count_pending(journal)

    monkeypatch.setattr(RunJournal, "count_pending", at_the_end)
    rig.aws.plan.always("WriteRecords", aws_error("AccessDeniedException", "No.", 403))
    summary = rig.run(stations(400))
    assert (summary.fetched, summary.pending, summary.status) == (400, 400, Status.NOPERM)
    assert states(rig.journal) == {"pending": 400}
    (journal,) = journals
    assert 50 <= journal.count_in_hand() <= 150
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
        name = f"City {stream}"
        reply = {"dt": int(time.time()), "name": name, "main": {"temp": 9.5}}
        return self._frame(self.HEADERS, self.END_HEADERS, stream, self.STATUS_200) + self._frame(
            self.DATA, self.END_STREAM, stream, json.dumps(reply).encode()
        )

    @staticmethod
    def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        head = len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
        return head + payload

    def close(self) -> None:
        self._listener.close()


def test_requests_share_an_http_2_connection_if_the_server_speaks_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FirstAlone(RateLimit):
        """Lets all others wait for the first reply."""

        taken = 0

        def reserve(self) -> bool:
            if self.taken and not rig.watcher.summary.fetched:
                return False
            self.taken += 1
            return super().reserve()

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    service = Http2Service(context, together=8)
    rig.texts |= {"OPENWEATHERMAP_URL": service.url, "WEATHER_MEASURES": "CurrentTemp"}
    monkeypatch.setattr(pipeline, "RateLimit", FirstAlone)
    with authority.cert_pem.tempfile() as ca_file:
        trusting = partial(WeatherClient, ca_file=ca_file)
        monkeypatch.setattr(run_module, "WeatherClient", trusting)
        summary = rig.run([f"zip:{number},GB" for number in range(1, 10)])
    service.close()
    assert (summary.fetched, summary.failed) == (9, 0)
    assert len({row.dimensions["city"] for row in rig.aws.rows(DATABASE, TABLE)}) == 9
    assert (service.connections, service.protocols) == (1, ["h2"])

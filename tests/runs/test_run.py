"""One run as a function: what it does by itself, and that nothing of it is left for the next."""

import json
import logging
import os
import re
import signal
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, reset
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest import destinations
from ingest.clients import Clients
from ingest.deadline import Deadline, epoch_ms
from ingest.errors import Status
from ingest.journal.fallback import RunJournal
from ingest.journal.queue import FileQueue
from ingest.journal.run_lock import RunLock
from ingest.journal.schema import JournalFile
from ingest.openweathermap.client import WeatherClient
from ingest.pipeline import Pipeline
from ingest.reporting.logs import ROOT, RunLog
from ingest.reporting.observer import Observer
from ingest.reporting.summary import Summary
from ingest.run import run, try_out
from ingest.settings import Settings
from tests.conftest import DATABASE
from tests.support.in_process import Runs, Watcher, repeat_at_once
from tests.support.journals import query, series
from tests.support.runs import (
    ACCESS_KEY_ID,
    CREDENTIALS,
    MEASURES,
    SECRET_ACCESS_KEY,
    wait_until,
)
from tests.support.settings import settings_of
from tests.support.terminal import PATIENCE_S
from timestream_writer import TimestreamWriter

KEYS = ("the-first-key-0123456789", "the-second-key-9876543210")
TABLES = ("first_table", "second_table")
CITIES = ("London,GB", "Paris,FR")


@pytest.fixture(scope="module")
def module_aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as service:
        yield service


class Jobs:
    """Two jobs that have nothing in common but AWS: each its own key, place, table and journal."""

    def __init__(
        self, aws: EmbeddedAws, weather: tuple[EmbeddedOpenWeatherMap, ...], folder: Path
    ) -> None:
        self.aws = aws
        self.weather = weather
        self.journals = (folder / "one" / "journal.sqlite3", folder / "other" / "journal.sqlite3")

    def settings(self, number: int, **texts: str) -> Settings:
        given = {
            "OPENWEATHERMAP_API_KEY": KEYS[number],
            "OPENWEATHERMAP_URL": self.weather[number].url,
            "WEATHER_PLACES": CITIES[number],
            "TIMESTREAM_TABLE": TABLES[number],
            "WEATHER_JOURNAL": str(self.journals[number]),
            "WEATHER_TIMEOUT_SECONDS": str(PATIENCE_S),
            "WEATHER_DEADLINE_SECONDS": str(PATIENCE_S),
            "LOG_LEVEL": ("DEBUG", "ERROR")[number],
            **texts,
        }
        return settings_of(**given)

    def stored(self, number: int) -> set[tuple[str, str]]:
        """(place, measure) of each row of the job's table."""
        return {
            (f"{row.dimensions['city']},{row.dimensions['country']}", row.measure_name)
            for row in self.aws.rows(DATABASE, TABLES[number])
        }

    def asked(self) -> tuple[int, ...]:
        return tuple(service.count("weather") for service in self.weather)


def all_of(number: int) -> set[tuple[str, str]]:
    return {(CITIES[number], measure) for measure in MEASURES}


@pytest.fixture
def jobs(
    module_aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Jobs]:
    for table in TABLES:
        module_aws.make_table(DATABASE, table)
    module_aws.forget_requests()
    for name, value in {**module_aws.environment(), **CREDENTIALS}.items():
        monkeypatch.setenv(name, value)
    repeat_at_once(monkeypatch)
    with ExitStack() as stack:
        weather = [stack.enter_context(EmbeddedOpenWeatherMap(api_key=key)) for key in KEYS]
        for service in weather:  # nothing new within a test, though ten minutes may end there
            service.observed_s = int(service.clock())
        yield Jobs(module_aws, tuple(weather), tmp_path)
    module_aws.plan.clear()


@pytest.fixture(params=["one Clients", "two Clients"])
def pair(request: pytest.FixtureRequest) -> tuple[Runs, Runs]:
    """Runs of one job and of another, with the same clients and with separate ones."""
    shared = Clients()
    return Runs(shared), Runs(shared if request.param == "one Clients" else Clients())


# One after the other, in one process


def test_two_runs_fetch_and_store_each_its_own(jobs: Jobs, pair: tuple[Runs, Runs]) -> None:
    summaries = [runs.run_with(jobs.settings(number)) for number, runs in enumerate(pair)]
    assert [summary.status for summary in summaries] == [Status.OK, Status.OK]
    assert jobs.asked() == (1, 1)
    for number, service in enumerate(jobs.weather):
        assert {request.query["appid"] for request in service.requests} == {KEYS[number]}
        assert jobs.stored(number) == all_of(number)
        places = query(jobs.journals[number], "SELECT place, state FROM observation")
        assert places == [(CITIES[number], "delivered")]


def test_two_runs_have_each_its_own_id_and_summary(jobs: Jobs, pair: tuple[Runs, Runs]) -> None:
    one, other = pair
    first = one.run_with(jobs.settings(0, WEATHER_MEASURES="Humidity"))
    before = repr(first)
    second = other.run_with(jobs.settings(1))
    assert (first.places, first.fetched, first.stored) == (1, 1, 1)
    assert (second.places, second.fetched, second.stored) == (1, 1, 4)
    assert repr(first) == before
    assert first.run == one.watcher.log.run_id != second.run == other.watcher.log.run_id
    for summary, journal in zip((first, second), jobs.journals, strict=True):
        ((counts,),) = query(journal, "SELECT summary FROM run")
        assert json.loads(counts) | {"seconds": summary.seconds} == summary.as_dict()


def test_each_run_hides_its_own_key_and_not_that_of_another(
    jobs: Jobs, pair: tuple[Runs, Runs]
) -> None:
    for number, runs in enumerate(pair):
        runs.run_with(jobs.settings(number))
    said = []
    for runs in pair:
        runs.watcher.log.error("%s %s %s %s", *KEYS, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
        said.append(runs.said().splitlines()[-1].split(f"{runs.watcher.log.run_id} ")[1])
    assert said == [
        f"(redacted) {KEYS[1]} (redacted) (redacted)",
        f"{KEYS[0]} (redacted) (redacted) (redacted)",
    ]


def test_credentials_that_the_clients_know_are_hidden_in_a_run_that_asks_for_nothing(
    jobs: Jobs,
) -> None:
    runs = Runs()
    assert runs.run_with(jobs.settings(0)).status == Status.OK
    lock = RunLock(jobs.journals[1], epoch_ms())
    assert runs.run_with(jobs.settings(1)).status == Status.TEMPFAIL
    lock.release()
    assert runs.watcher.log.redact(SECRET_ACCESS_KEY) == "(redacted)"


def test_a_runs_last_lines_are_its_own(jobs: Jobs, pair: tuple[Runs, Runs]) -> None:
    for number, (runs, place) in enumerate(zip(pair, ("zip:0,GB", "zip:00,FR"), strict=True)):
        summary = runs.run_with(jobs.settings(number, WEATHER_PLACES=place))
        assert summary.status == Status.UNAVAILABLE
    one, other = (runs.said() for runs in pair)
    assert one.count("zip:0,GB: OpenWeatherMap answers 404") == len(one.splitlines()) == 1
    assert other.count("zip:00,FR: OpenWeatherMap answers 404") == len(other.splitlines()) == 1


@pytest.mark.parametrize("ended_by", ["deadline", "signal"])
def test_the_end_of_one_runs_time_is_not_that_of_the_next(
    jobs: Jobs, pair: tuple[Runs, Runs], ended_by: str
) -> None:
    one, other = pair
    deadline = Deadline(PATIENCE_S)
    if ended_by == "signal":
        deadline.stop("SIGTERM")
    else:
        deadline.seconds = 0.0
    first = one.run_with(jobs.settings(0), deadline)
    assert first.status in (Status.TEMPFAIL, Status.UNAVAILABLE)
    assert jobs.asked() == (0, 0)
    assert other.run_with(jobs.settings(1)).status == Status.OK
    assert jobs.stored(1) == all_of(1)


def writers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("writer")}


@pytest.mark.parametrize("action", ["DescribeEndpoints", "WriteRecords"])
def test_a_thread_that_a_run_left_behind_sends_nothing_in_the_time_of_the_next(
    jobs: Jobs, action: str
) -> None:
    """Its call breaks then, and botocore would repeat it."""
    runs, go_on = Runs(), threading.Event()
    before = writers()
    now_s = [0.0]
    calls = iter([reset()])

    def hold_the_first(_: Request) -> Fault | None:
        fault = next(calls, None)
        if fault:
            wait_until(lambda: runs.watcher.summary.fetched)
            now_s[0] += 100  # the end of its run
            go_on.wait(PATIENCE_S)
        return fault

    jobs.aws.plan.when(action, hold_the_first)
    first = runs.run_with(jobs.settings(0), Deadline(30, lambda: now_s[0]))
    assert (first.status, first.stored, first.pending) == (Status.TEMPFAIL, 0, 1)
    left = {thread for thread in writers() - before if thread.is_alive()}
    assert left

    def let_it_go_on(_: Request) -> None:
        go_on.set()
        for thread in left:
            thread.join(PATIENCE_S)

    jobs.weather[0].plan.when("weather", let_it_go_on)
    second = runs.run_with(jobs.settings(0))
    assert (second.status, second.stored, second.pending) == (Status.OK, 4, 0)
    assert not any(thread.is_alive() for thread in left)
    assert jobs.aws.count(action) == 2  # the one that broke, and that of the second run
    assert jobs.stored(0) == all_of(0)


def test_runs_with_the_same_clients_look_for_the_way_to_a_table_once(jobs: Jobs) -> None:
    runs = Runs()
    for place in CITIES:
        assert runs.run_with(jobs.settings(0, WEATHER_PLACES=place)).stored == 4
    assert jobs.aws.count("DescribeEndpoints") == 1
    assert jobs.aws.count("WriteRecords") == 2
    assert jobs.aws.count("GetSecretValue") == 0
    assert Runs().run_with(jobs.settings(0, WEATHER_PLACES="Berlin,DE")).stored == 4
    assert jobs.aws.count("DescribeEndpoints") == 2


def process() -> dict[str, Any]:
    """What belongs to the whole process."""
    loggers = (logging.getLogger(), ROOT)
    return {
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "handlers": [list(each.handlers) for each in loggers],
        "levels": [each.level for each in loggers],
        "other logging": (logging.raiseExceptions, warnings.showwarning),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, threading.excepthook),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
    }


@pytest.mark.parametrize("fails", [False, True], ids=["well", "with a bug"])
def test_a_run_changes_nothing_of_its_process_and_writes_nothing_to_standard_output(
    jobs: Jobs,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,
) -> None:
    if fails:
        monkeypatch.setattr(Pipeline, "run", divide_by_zero)
    before = process()
    for number, runs in enumerate((Runs(), Runs())):
        status = runs.run_with(jobs.settings(number)).status
        assert status == (Status.SOFTWARE if fails else Status.OK)
        assert runs.watcher.log.handlers == []
    assert process() == before
    assert capfd.readouterr().out == ""


# Never an exception


def divide_by_zero(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("a bug that nobody knows")


BUGS: dict[str, tuple[object, str]] = {
    "before the run": (destinations, "open_destination"),
    "in the pipeline": (Pipeline, "run"),
    "in a reply": (WeatherClient, "read"),
    "in the observer": (Watcher, "watch"),
    "on the way to the table": (TimestreamWriter, "prepare"),
    "in a writer": (TimestreamWriter, "write"),
    "in the journal": (RunJournal, "enqueue"),
    "at the end": (RunJournal, "prune"),
}


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[JournalFile]:
    """The journals' files that were opened."""
    opened: list[JournalFile] = []
    init = JournalFile.__init__

    def opening(file: JournalFile, *args: Any, **options: Any) -> None:
        init(file, *args, **options)
        opened.append(file)

    monkeypatch.setattr(JournalFile, "__init__", opening)
    return opened


def is_open(file: JournalFile) -> bool:
    try:
        file.db.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


@pytest.mark.parametrize(("owner", "name"), BUGS.values(), ids=BUGS.keys())
def test_a_bug_ends_as_status_70_with_its_traceback_and_the_next_run_goes_on(
    jobs: Jobs,
    files: list[JournalFile],
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
) -> None:
    runs = Runs()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, divide_by_zero)
        assert runs.run_with(jobs.settings(0)).status == Status.SOFTWARE
    said = runs.said()
    assert said.count(" CRITICAL ") == 1
    assert "\nTraceback (most recent call last):\n" in said
    assert "\nZeroDivisionError: a bug that nobody knows" in said
    assert not any(map(is_open, files))
    assert runs.run_with(jobs.settings(0)).status == Status.OK
    assert runs.said() == ""
    assert jobs.stored(0) == all_of(0)


def test_a_bug_in_a_dry_run_ends_as_status_70_too(
    jobs: Jobs, files: list[JournalFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    Runs().run_with(jobs.settings(0))
    monkeypatch.setattr(WeatherClient, "read", divide_by_zero)
    log = RunLog()
    summary, observations = try_out(jobs.settings(0), Deadline(PATIENCE_S), Observer(log))
    assert (summary.status, observations) == (Status.SOFTWARE, [])
    assert "\nZeroDivisionError: a bug that nobody knows" in log.recent_lines()
    assert len(files) == 2
    assert not any(map(is_open, files))


def test_a_dry_run_hides_its_key_and_asks_for_nothing_but_the_weather(jobs: Jobs) -> None:
    log = RunLog()
    summary, observations = try_out(jobs.settings(0), Deadline(PATIENCE_S), Observer(log))
    assert (summary.status, summary.fetched) == (Status.OK, 1)
    assert [seen.place.name for seen in observations] == [CITIES[0]]
    assert log.redact(KEYS[0]) == "(redacted)"
    assert jobs.aws.requests == []
    assert not jobs.journals[0].parent.exists()


def test_without_a_region_nothing_is_fetched(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    runs = Runs()
    assert runs.run_with(jobs.settings(0)).status == Status.CONFIG
    assert " ERROR " in runs.said()
    assert "AWS_REGION" in runs.said()
    assert jobs.asked() == (0, 0)
    assert jobs.aws.requests == []
    assert not jobs.journals[0].exists()


def test_a_run_that_another_ones_lock_keeps_out_fetches_nothing(jobs: Jobs) -> None:
    runs, lock = Runs(), RunLock(jobs.journals[0], epoch_ms())
    assert runs.run_with(jobs.settings(0)).status == Status.TEMPFAIL
    assert f"pid {os.getpid()}," in runs.said()
    assert jobs.asked() == (0, 0)
    assert jobs.aws.requests == []
    assert not jobs.journals[0].exists()
    # Another journal is another job.
    assert runs.run_with(jobs.settings(1)).status == Status.OK
    lock.release()
    assert runs.run_with(jobs.settings(0)).status == Status.OK


def a_folder(journal: Path) -> None:
    journal.mkdir(parents=True)


def below_a_file(journal: Path) -> None:
    journal.parent.write_text("not a folder")


def no_database(journal: Path) -> None:
    journal.parent.mkdir()
    journal.write_text("not a database" * 100)


@pytest.mark.parametrize("spoil", [a_folder, below_a_file, no_database])
def test_without_a_usable_journal_the_weather_is_delivered_all_the_same(
    jobs: Jobs, spoil: Callable[[Path], None]
) -> None:
    spoil(jobs.journals[0])
    runs = Runs()
    summary = runs.run_with(jobs.settings(0))
    assert (summary.status, summary.stored, summary.pending) == (Status.IOERR, 4, 0)
    assert str(jobs.journals[0]) in runs.said()
    assert "Traceback" not in runs.said()
    assert jobs.stored(0) == all_of(0)


# What is pending for another table


def test_what_is_pending_for_another_table_is_warned_of(jobs: Jobs) -> None:
    with closing(JournalFile(jobs.journals[0], "us-east-1/old.table")) as file:
        FileQueue(file).enqueue(series(2), epoch_ms())
    runs = Runs()
    assert runs.run_with(jobs.settings(0)).status == Status.OK
    run_id = runs.watcher.log.run_id
    assert re.search(rf"WARNING  {run_id} 2 .* us-east-1/old\.table", runs.said())


# The clock


def stopped_at(now_ms: int) -> Callable[[], int]:
    return lambda: now_ms


def test_the_clock_is_an_argument(jobs: Jobs) -> None:
    runs = Runs()
    for now_ms, place in zip((1_700_000_000_123, 1_800_000_000_456), CITIES, strict=True):
        runs.now_ms = stopped_at(now_ms)
        assert runs.run_with(jobs.settings(0, WEATHER_PLACES=place)).status == Status.OK
    versions = {(row.dimensions["city"], row.version) for row in jobs.aws.rows(DATABASE, TABLES[0])}
    assert versions == {("London", 1_700_000_000_123), ("Paris", 1_800_000_000_456)}
    ends = query(jobs.journals[0], "SELECT ended_ms FROM run ORDER BY id")
    assert ends == [(1_700_000_000_123,), (1_800_000_000_456,)]


def test_a_damaged_journal_is_quarantined_under_the_clocks_time(jobs: Jobs) -> None:
    journal = jobs.journals[0]
    no_database(journal)
    runs = Runs()
    runs.now_ms = stopped_at(1_604_870_976_000)
    assert runs.run_with(jobs.settings(0)).status == Status.IOERR
    assert journal.with_name(f"{journal.name}.corrupt-2020-11-08T21:29:36Z").exists()


def test_without_one_it_is_the_machines(jobs: Jobs) -> None:
    before_ms = epoch_ms()
    log = RunLog()
    summary: Summary = run(jobs.settings(0), Clients(), Deadline(PATIENCE_S), Observer(log))
    assert summary.status == Status.OK
    (version,) = {row.version for row in jobs.aws.rows(DATABASE, TABLES[0])}
    assert before_ms <= version <= epoch_ms()

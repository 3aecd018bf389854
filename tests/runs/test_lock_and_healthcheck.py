"""One run at a time, and a monitoring service that hears of each."""

import json
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, aws_error, reset, stall
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.deadline import Deadline
from ingest.errors import Status
from ingest.reporting import healthcheck
from ingest.reporting.logs import RunLog
from ingest.reporting.summary import Summary
from tests.conftest import API_KEY, SECRET_ID, Program
from tests.support.runs import (
    CREDENTIALS,
    HealthService,
    all_of,
    assert_clean,
    ended,
    journal_of,
    reached,
    run_so_far,
    states,
    stored,
)


class Gate:
    """Holds every call of an action until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def hold(self, _: Request) -> Fault | None:
        self.reached.set()
        assert self.opened.wait(60)
        return None


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def test_of_ten_runs_at_once_one_works_and_the_others_say_who(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, gate: Gate
) -> None:
    weather.plan.when("weather", gate.hold)
    processes = [program.start() for _ in range(10)]
    with ThreadPoolExecutor(len(processes)) as pool:
        waiting = as_completed({pool.submit(ended, process) for process in processes})
        losers = [next(waiting).result() for _ in range(9)]
        (winner,) = (process for process in processes if process.poll() is None)
        assert gate.reached.wait(60)
        late = program.run()
        gate.opened.set()
        last = next(waiting).result()
    for run in losers:
        assert (run.returncode, run.stdout) == (Status.TEMPFAIL, "")
        # A run that has only just taken the lock may not have written down who it is.
        assert set(re.findall(r"pid (\d+)", run.stderr)) <= {str(winner.pid)}
        assert_clean(run)
    assert late.returncode == Status.TEMPFAIL
    assert f"pid {winner.pid}," in late.stderr
    assert (last.returncode, last.stdout, last.stderr) == (0, "", "")
    assert weather.count("weather") == 1
    assert aws.count("WriteRecords") == 1


def test_runs_with_different_journals_do_not_wait_for_each_other(
    program: Program, weather: EmbeddedOpenWeatherMap, gate: Gate, tmp_path: Path
) -> None:
    weather.plan.when("weather", gate.hold)
    one = program.start()
    assert gate.reached.wait(60)
    weather.plan.clear()
    other = program.run(env={"WEATHER_JOURNAL": str(tmp_path / "other" / "journal")})
    assert (other.returncode, other.stderr) == (0, "")
    gate.opened.set()
    assert ended(one).returncode == 0


def test_the_lock_of_a_killed_run_blocks_nobody_and_its_observation_is_delivered(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    writing = threading.Event()
    aws.plan.when("WriteRecords", reached(writing, stall()))
    process = program.start()
    assert writing.wait(60)
    process.kill()
    assert ended(process).returncode == -signal.SIGKILL
    lock = journal_of(program).with_name("journal.sqlite3.lock")
    assert f"pid {process.pid}," in lock.read_text()
    assert states(journal_of(program)) == [("London", "pending")]

    aws.plan.clear()
    weather.plan.always("weather", answer(404))
    assert program.run().returncode == Status.UNAVAILABLE
    assert stored(aws) == all_of("London")


def test_a_journal_named_in_the_environment_is_locked_too(
    program: Program, weather: EmbeddedOpenWeatherMap, gate: Gate, tmp_path: Path
) -> None:
    journal = tmp_path / "elsewhere" / "journal"
    env = {"WEATHER_JOURNAL": str(journal)}
    weather.plan.when("weather", gate.hold)
    process = program.start(env=env)
    assert gate.reached.wait(60)
    # The other one has another home, so that nothing but the journal is common to both.
    (tmp_path / "home").mkdir()
    late = program.run(env={**env, "HOME": str(tmp_path / "home")})
    assert late.returncode == Status.TEMPFAIL
    assert f"pid {process.pid}," in late.stderr
    assert f"{journal}.lock" in late.stderr
    gate.opened.set()
    assert ended(process).returncode == 0
    assert weather.count("weather") == 1


def test_rejected_changes_nothing_while_a_run_is_under_way(
    program: Program, weather: EmbeddedOpenWeatherMap, gate: Gate
) -> None:
    weather.set_weather("London,GB", dt=1604870976)
    assert program.run().returncode == Status.DATAERR
    weather.plan.when("weather", gate.hold)
    process = program.start()
    assert gate.reached.wait(60)
    listed = program.run("rejected")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "London,GB" in listed.stdout
    refused = program.run("rejected", "--discard", "--yes")
    assert refused.returncode == Status.TEMPFAIL
    assert f"pid {process.pid}," in refused.stderr
    assert states(journal_of(program)) == [("London", "rejected")] * 4
    gate.opened.set()
    assert ended(process).returncode == 0


@pytest.fixture
def health() -> Iterator[HealthService]:
    with HealthService() as service:
        yield service


def test_a_ping_may_take_what_the_handbook_says() -> None:
    assert (healthcheck.LIMIT_S, healthcheck.QUICK_LIMIT_S) == (5.0, 0.5)


def test_success_is_pinged_with_the_summary(program: Program, health: HealthService) -> None:
    run = program.run(env={"HEALTHCHECK_URL": health.url, **CREDENTIALS})
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    status, body = health.ping()
    assert status == "0"
    assert "4 records" in body


def test_a_failure_is_pinged_with_the_lines_that_were_logged(
    program: Program, aws: EmbeddedAws, health: HealthService
) -> None:
    aws.plan.always("WriteRecords", aws_error("AccessDeniedException", "No.", 403))
    run = program.run(env={"HEALTHCHECK_URL": health.url, "LOG_LEVEL": "DEBUG", **CREDENTIALS})
    status, body = health.ping()
    assert int(status) == run.returncode == Status.NOPERM
    assert "AccessDeniedException" in body
    assert API_KEY not in body
    assert health.token not in run.stderr
    assert_clean(run)


def test_settings_errors_are_pinged(program: Program, health: HealthService) -> None:
    run = program.run(env={"HEALTHCHECK_URL": health.url, "WEATHER_UNITS": "kelvin"})
    status, body = health.ping()
    assert int(status) == run.returncode == Status.CONFIG
    assert "WEATHER_UNITS" in body


def test_a_locked_run_is_pinged(
    program: Program, weather: EmbeddedOpenWeatherMap, gate: Gate, health: HealthService
) -> None:
    weather.plan.when("weather", gate.hold)
    process = program.start()
    assert gate.reached.wait(60)
    run = program.run(env={"HEALTHCHECK_URL": health.url})
    status, body = health.ping()
    assert int(status) == run.returncode == Status.TEMPFAIL
    assert f"pid {process.pid}," in body
    gate.opened.set()
    assert ended(process).returncode == 0


def test_a_run_ended_by_a_signal_is_pinged(
    program: Program, weather: EmbeddedOpenWeatherMap, health: HealthService
) -> None:
    asked = threading.Event()
    weather.plan.when("weather", reached(asked, stall()))
    process = program.start(env={"HEALTHCHECK_URL": health.url})
    assert asked.wait(60)
    process.terminate()
    run = ended(process)
    status, body = health.ping()
    assert int(status) == run.returncode == Status.TEMPFAIL
    assert "SIGTERM" in body


def test_the_url_can_stand_in_the_secret(
    program: Program, aws: EmbeddedAws, health: HealthService
) -> None:
    secret = {"OPENWEATHERMAP_API_KEY": API_KEY, "HEALTHCHECK_URL": health.url}
    aws.put_secret(SECRET_ID, json.dumps(secret))
    assert program.run().returncode == 0
    assert health.ping()[0] == "0"


def test_a_dry_run_and_other_commands_are_not_pinged_as_runs(
    program: Program, health: HealthService
) -> None:
    env = {"HEALTHCHECK_URL": health.url}
    assert program.run("rejected", env=env).returncode == 0
    assert program.run("--help", env=env).returncode == 0
    assert health.requests == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [(stall(), "28"), (reset(), "56"), (answer(404), "404")],
    ids=["stall", "reset", "not found"],
)
def test_a_health_check_that_fails_changes_no_status(
    program: Program, aws: EmbeddedAws, health: HealthService, fault: Fault, code: str
) -> None:
    health.plan.always("*", fault)
    run = program.run(env={"HEALTHCHECK_URL": health.url, "LOG_LEVEL": "DEBUG"})
    assert (run.returncode, run.stdout) == (0, "")
    warning = run.stderr.splitlines()[-1]
    assert (" WARNING " in warning, code in warning) == (True, True)
    assert health.token not in run.stderr
    assert stored(aws) == all_of("London")


def test_a_health_check_that_is_refused_changes_no_status(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    run = program.run(env={"HEALTHCHECK_URL": f"http://127.0.0.1:{port}/{HealthService.token}"})
    assert (run.returncode, run.stdout) == (0, "")
    assert "curl 7" in run.stderr
    assert HealthService.token not in run.stderr


def test_a_wrong_url_is_told_without_showing_it(program: Program) -> None:
    run = program.run(env={"HEALTHCHECK_URL": f"http://example.com/{HealthService.token}"})
    assert run.returncode == Status.CONFIG
    assert "HEALTHCHECK_URL" in run.stderr
    assert HealthService.token not in run.stderr


class StalledPing:
    """Stands for `healthcheck.ping`: does not come back before the test is over."""

    def __init__(self) -> None:
        self.begun: Callable[[], None] = lambda: None
        self.over = threading.Event()
        self.gave_up = False
        self.limits_s: list[float] = []

    def __call__(self, url: str, status: int, lines: str, limit_s: float, _: RunLog) -> None:
        assert (url, status) == ("https://example.com/x", 0)
        assert lines.strip()
        self.limits_s.append(limit_s)
        self.begun()
        self.gave_up = not self.over.wait(60)


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[StalledPing]:
    ping = StalledPing()
    monkeypatch.setattr(healthcheck, "ping", ping)
    yield ping
    ping.over.set()


def reported(deadline: Deadline) -> None:
    healthcheck.report("https://example.com/x", Summary("run"), RunLog(), deadline)


def test_a_stalled_health_check_has_what_is_left_of_the_runs_time_but_half_a_second(
    stalled: StalledPing,
) -> None:
    reported(Deadline(0))
    assert not stalled.gave_up
    reported(Deadline(2, clock=lambda: 0.0))
    assert not stalled.gave_up
    assert stalled.limits_s == [healthcheck.QUICK_LIMIT_S, 2]


def test_a_health_check_never_has_more_than_its_own_limit(
    stalled: StalledPing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthcheck, "LIMIT_S", 0.1)
    reported(Deadline(86_400))
    assert stalled.limits_s == [0.1]
    assert not stalled.gave_up


def test_a_signal_ends_a_stalled_health_check(
    stalled: StalledPing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthcheck, "LIMIT_S", 80_000.0)
    deadline = Deadline(86_400)
    stalled.begun = lambda: deadline.stop("SIGTERM")
    reported(deadline)
    assert stalled.limits_s == [80_000.0]
    assert not stalled.gave_up


def test_a_dry_run_is_not_pinged(program: Program, health: HealthService) -> None:
    run = program.run("--dry-run", env={"HEALTHCHECK_URL": health.url})
    assert (run.returncode, run.stderr) == (0, "")
    assert health.requests == []


def test_a_signal_during_the_health_check_changes_no_status(
    program: Program, aws: EmbeddedAws, health: HealthService
) -> None:
    pinged = threading.Event()
    health.plan.when("*", reached(pinged, stall()))
    process = program.start("--json", env={"HEALTHCHECK_URL": health.url})
    assert pinged.wait(60)
    process.terminate()
    run = ended(process)
    assert (run.returncode, json.loads(run.stdout)["status"]) == (0, 0)
    assert_clean(run)
    assert stored(aws) == all_of("London")


def test_a_stalled_health_check_ends_with_the_runs_deadline(
    program: Program, health: HealthService
) -> None:
    health.plan.always("*", stall())
    env = {"HEALTHCHECK_URL": health.url}
    run, _ = run_so_far(lambda: bool(health.requests), program, "--json", env=env)
    assert (run.returncode, json.loads(run.stdout)["stored"]) == (0, 4)
    assert len(health.requests) == 1
    assert_clean(run)


def test_lines_that_are_no_utf_8_are_sent_all_the_same(health: HealthService) -> None:
    healthcheck.ping(health.url, 69, "Place \udcff\ud800: no.", 30, RunLog())
    assert health.ping() == ("69", "Place ??: no.")

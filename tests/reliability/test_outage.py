"""Hours without Timestream: each run keeps what it fetched; the first one after delivers all."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import (
    Fault,
    answer,
    aws_error,
    delay,
    drip,
    empty,
    reset,
    reset_after,
    stall,
    truncate,
)
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.journal.queue import FileQueue
from ingest.journal.schema import JournalFile
from ingest.observation import Observation
from tests.conftest import DATABASE, TABLE, Program
from tests.support.in_process import InProcess, environment
from tests.support.journals import LONDON, TARGET, query, series, states
from tests.support.runs import run_so_far

TEMPFAIL, NOPERM, CONFIG = 75, 77, 78
MEASURES = ("CurrentTemp", "TempFeelsLike", "Humidity", "Pressure")
OUTAGE_RUNS = 500
PARTS = 4  # of the outages, for several workers to share


@dataclass(frozen=True)
class Outage:
    """What every call of one action meets, and the status a run then ends with.

    endless: only the run's deadline ends it.
    """

    fault: Fault
    status: int = TEMPFAIL
    action: str = "WriteRecords"
    endless: bool = False


OUTAGES = {
    "throttling": Outage(aws_error("ThrottlingException", "Rate exceeded", 429)),
    "internal error": Outage(aws_error("InternalServerException", "Try again", 500)),
    "bare 503": Outage(answer(503, b"<html>Service Unavailable</html>")),
    "reset": Outage(reset()),
    "no answer": Outage(empty()),
    "broken answer": Outage(truncate()),
    "stalled": Outage(stall()),
    "dripping": Outage(drip(5), endless=True),
    "moving endpoint": Outage(aws_error("InvalidEndpointException", "elsewhere", 421)),
    "stored, then reset": Outage(reset_after()),
    "discovery": Outage(answer(503), action="DescribeEndpoints"),
    "discovery resets": Outage(reset(), action="DescribeEndpoints"),
    "discovery denied": Outage(
        aws_error("AccessDeniedException", "not authorized", 400), NOPERM, "DescribeEndpoints"
    ),
    "denied": Outage(aws_error("AccessDeniedException", "not authorized", 403), NOPERM),
    "wrong credentials": Outage(
        aws_error("UnrecognizedClientException", "The security token is invalid.", 403), NOPERM
    ),
    "no table": Outage(aws_error("ResourceNotFoundException", "no such table", 404), CONFIG),
}


def start_ms() -> int:
    """Within what the table's memory store keeps, whatever follows in ten-minute steps or less."""
    return (int(time.time()) - 23 * 3600) * 1000


def minutes(count: int) -> list[Observation]:
    """One observation a minute, the last of them before now."""
    first = start_ms()
    return [
        Observation(
            LONDON,
            each.city,
            each.country,
            each.city_id,
            first + number * 60_000,
            first + number * 60_000,
            each.values,
        )
        for number, each in enumerate(series(count))
    ]


def put_aside(path: Path, observations: list[Observation]) -> None:
    """What runs of an outage leave behind."""
    journal = JournalFile(path, TARGET)
    assert len(FileQueue(journal).enqueue(observations, 1)) == len(observations)
    journal.close()


def rows(aws: EmbeddedAws) -> dict[tuple[int, str], str]:
    stored = aws.rows(DATABASE, TABLE)
    table = {(row.time_ms, row.measure_name): row.value for row in stored}
    assert len(table) == len(stored)
    return table


def expected(observations: list[Observation]) -> dict[tuple[int, str], str]:
    return {
        (each.time_ms, name): value for each in observations for name, value in each.values.items()
    }


def written(request: Request) -> list[int]:
    """The times of the records of one WriteRecords call."""
    return [int(record["Time"]) for record in request.json["Records"]]


@pytest.fixture
def programs(
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> InProcess:
    for name, value in environment(aws, weather).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WEATHER_JOURNAL", str(tmp_path / "journal.sqlite3"))
    monkeypatch.setenv("WEATHER_TIMEOUT_SECONDS", "0.2")
    return InProcess(monkeypatch)


def test_after_an_outage_of_500_runs_the_first_run_delivers_all_oldest_first(
    programs: InProcess,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEATHER_TIMEOUT_SECONDS", "60")  # none of these faults is a time-out
    path = tmp_path / "journal.sqlite3"
    all_of_them = minutes(OUTAGE_RUNS + 1)
    real = [outage for name, outage in OUTAGES.items() if name not in ("stalled", "dripping")] * 2
    put_aside(path, all_of_them[: OUTAGE_RUNS - len(real)])
    kept = OUTAGE_RUNS - len(real)
    for outage, observation in zip(real, all_of_them[kept:-1], strict=True):
        aws.plan.always(outage.action, outage.fault)
        serve(weather, observation)
        summary = programs.run()
        assert summary
        kept += 1
        assert (summary.status, summary.pending, summary.stored) == (outage.status, kept, 0)
        assert states(path) == {"pending": kept}
        aws.plan.clear()
    aws.forget_requests()
    serve(weather, all_of_them[-1])
    summary = programs.run()
    assert summary
    assert (summary.status, summary.pending) == (0, 0)
    assert (summary.stored, summary.rejected) == (4 * (OUTAGE_RUNS + 1), 0)
    calls = [written(request) for request in aws.requests if request.action == "WriteRecords"]
    assert [len(call) for call in sorted(calls)] == [100] * (OUTAGE_RUNS // 25) + [4]
    for call in calls:
        assert call == sorted(call)
    # Of four writers three can still be on their way with older ones, no more.
    for number, call in enumerate(calls):
        assert sum(later < call for later in calls[number:]) <= 3
    assert rows(aws) == expected(all_of_them)
    assert states(path) == {"delivered": OUTAGE_RUNS + 1}


def serve(weather: EmbeddedOpenWeatherMap, observation: Observation) -> None:
    names = ("temp", "feels_like", "humidity", "pressure")
    fields = {
        name: float(observation.values[measure])
        for name, measure in zip(names, MEASURES, strict=True)
    }
    weather.set_weather("London,GB", dt=observation.time_ms // 1000, **fields)


def test_a_run_at_its_deadline_stops_between_calls_and_the_next_goes_on(
    programs: InProcess,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "journal.sqlite3"
    all_of_them = minutes(OUTAGE_RUNS)
    put_aside(path, all_of_them[:-1])
    serve(weather, all_of_them[-1])
    answered = iter([None] * 6)

    def hang_from_the_seventh(_: Request) -> Fault | None:
        fault = next(answered, stall())
        if fault:
            programs.let_time_run_out()
        return fault

    aws.plan.when("WriteRecords", hang_from_the_seventh)
    monkeypatch.setenv("WEATHER_TIMEOUT_SECONDS", "60")
    summary = programs.run()
    assert summary
    assert summary.status == TEMPFAIL
    aws.plan.clear()
    delivered = states(path)["delivered"]
    assert 0 < delivered < OUTAGE_RUNS
    assert rows(aws).items() <= expected(all_of_them).items()
    summary = programs.run()
    assert summary
    assert (summary.status, summary.pending) == (0, 0)
    assert rows(aws) == expected(all_of_them)


@pytest.mark.parametrize("name", ["stored, then reset", "broken answer"])
def test_what_was_stored_without_a_confirmation_is_sent_again_and_changes_nothing(
    programs: InProcess,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    name: str,
) -> None:
    path = tmp_path / "journal.sqlite3"
    all_of_them = minutes(30)
    put_aside(path, all_of_them[:-1])
    serve(weather, all_of_them[-1])
    aws.plan.always("WriteRecords", OUTAGES[name].fault)
    summary = programs.run()
    assert summary
    assert (summary.status, summary.stored, summary.pending) == (TEMPFAIL, 0, 30)
    after_the_first = aws.rows(DATABASE, TABLE)
    assert len(after_the_first) >= 100
    aws.plan.clear()
    summary = programs.run()
    assert summary
    assert (summary.status, summary.stored, summary.rejected) == (0, 120, 0)
    assert rows(aws) == expected(all_of_them)
    assert all(row in aws.rows(DATABASE, TABLE) for row in after_the_first)
    assert states(path) == {"delivered": 30}


def test_two_versions_of_one_observation_that_were_stored_unconfirmed_are_not_rejected(
    programs: InProcess, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, tmp_path: Path
) -> None:
    """The lower one, sent again after the higher, would be."""
    path = tmp_path / "journal.sqlite3"
    observation = minutes(1)[0]
    aws.plan.always("WriteRecords", reset())
    for value in ("1", "2", "3"):
        weather.set_weather("London,GB", dt=observation.time_ms // 1000, temp=int(value))
        assert programs.run()
    aws.plan.clear()
    aws.plan.next("WriteRecords", *[reset_after()] * 3)
    assert programs.run()
    summary = programs.run()
    assert summary
    assert (summary.status, summary.pending, summary.rejected) == (0, 0, 0)
    assert rows(aws)[observation.time_ms, "CurrentTemp"] == "3"
    assert states(path) == {"delivered": 3}


def test_a_slow_service_is_no_outage(
    programs: InProcess, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    serve(weather, minutes(1)[0])
    aws.plan.next("WriteRecords", delay(0.05))
    summary = programs.run()
    assert summary
    assert (summary.status, summary.stored) == (0, 4)


@pytest.fixture(params=range(PARTS))
def many_aws(request: pytest.FixtureRequest) -> Iterator[dict[str, EmbeddedAws]]:
    """One AWS for each outage of this part, so that their runs can go side by side."""
    with ExitStack() as stack:
        names = [*OUTAGES][request.param :: PARTS]
        services = {name: stack.enter_context(EmbeddedAws()) for name in names}
        for service in services.values():
            service.make_table(DATABASE, TABLE)
        yield services


def test_a_process_keeps_its_observation_through_any_outage_and_the_next_delivers_it(
    many_aws: dict[str, EmbeddedAws], weather: EmbeddedOpenWeatherMap, tmp_path: Path
) -> None:
    waiting = minutes(3)
    serve(weather, waiting[-1])

    def meet(name: str) -> None:
        service, outage = many_aws[name], OUTAGES[name]
        path = tmp_path / name / "journal.sqlite3"
        put_aside(path, waiting[:-1])
        program = Program(
            {
                **environment(service, weather),
                "HOME": str(tmp_path / name),
                "WEATHER_JOURNAL": str(path),
            }
        )
        service.plan.always(outage.action, outage.fault)
        if outage.endless:
            failed, _ = run_so_far(lambda: service.count(outage.action), program, "--json", env={})
        else:
            failed = program.run("--json", env={"WEATHER_TIMEOUT_SECONDS": "2"})
        assert failed.returncode == outage.status, (name, failed.stderr)
        assert "Traceback" not in failed.stderr
        summary = json.loads(failed.stdout)
        assert (summary["pending"], summary["stored"]) == (3, 0), name
        assert query(path, "SELECT count(*) FROM observation WHERE state = 'pending'") == [(3,)]
        service.plan.clear()
        succeeded = program.run("--json")
        assert (succeeded.returncode, succeeded.stderr) == (0, ""), name
        summary = json.loads(succeeded.stdout)
        assert (summary["pending"], summary["stored"], summary["unchanged"]) == (0, 12, 1), name
        assert rows(service) == expected(waiting), name
        assert states(path) == {"delivered": 3}

    with ThreadPoolExecutor(4) as several:
        for done in [several.submit(meet, name) for name in many_aws]:
            done.result()

"""A run ends by its deadline, or by a signal, while a service still keeps it waiting.

The services here never let go of a connection by themselves: that a run ends at all shows that
it did not wait for them.
"""

import json
import re
import signal
import threading
import time
from collections.abc import Callable

import pytest

from embedded.aws import EmbeddedAws
from embedded.exchange import Answer, Exchange, Request
from embedded.faults import Fault, answer, aws_error, stall
from embedded.loopback import LoopbackService
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import Status
from tests.conftest import Program
from tests.support.runs import (
    CREDENTIALS,
    DEADLINES_S,
    all_of,
    assert_clean,
    ended,
    journal_of,
    run_so_far,
    states,
    stored,
    wait_until,
)

PATIENT = {"WEATHER_TIMEOUT_SECONDS": "60", **CREDENTIALS}
STEPS = ("GetSecretValue", "weather", "DescribeEndpoints", "WriteRecords")
FETCHED_BEFORE = {
    "GetSecretValue": False,
    "weather": False,
    "DescribeEndpoints": True,
    "WriteRecords": True,
}


class SmallDrip(Fault):
    """A byte now and then, of a body that is announced small enough to be waited for."""

    def play(self, exchange: Exchange) -> bool:
        exchange.send_head(Answer(), content_length=100_000)
        while True:
            exchange.send_bytes(b" ")
            exchange.wait(0.5)


def service_of(step: str, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap) -> LoopbackService:
    return weather if step == "weather" else aws


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", [stall(), SmallDrip()], ids=["stall", "drip"])
def test_the_deadline_ends_a_run_whose_service_never_answers(
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    step: str,
    fault: Fault,
) -> None:
    weather.set_weather("London,GB", dt=int(time.time()))
    service = service_of(step, aws, weather)
    service.plan.always(step, fault)
    kept = [("London", "pending")] if FETCHED_BEFORE[step] else []
    run, seconds = run_so_far(
        lambda: bool(service.count(step) and states(journal_of(program)) == kept),
        program,
        env=PATIENT,
        again=service.forget_requests,
    )
    expected = Status.UNAVAILABLE if step == "weather" else Status.TEMPFAIL
    assert (run.returncode, run.stdout) == (expected, "")
    assert re.search(rf"\b{seconds} .*WEATHER_DEADLINE_SECONDS", run.stderr)
    assert_clean(run)
    assert service.count(step) == 1
    assert states(journal_of(program)) == kept

    service.plan.clear()
    assert program.run().returncode == 0
    assert stored(aws) == all_of("London")
    assert states(journal_of(program)) == [("London", "delivered")]


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ("GetSecretValue", Status.TEMPFAIL),
        ("weather", Status.UNAVAILABLE),
        ("DescribeEndpoints", Status.TEMPFAIL),
        ("WriteRecords", Status.TEMPFAIL),
    ],
)
def test_endless_invalid_endpoints_end_after_some_tries(
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    step: str,
    status: Status,
) -> None:
    moved = (
        answer(421, b'{"cod":421,"message":"Misdirected"}')
        if step == "weather"
        else aws_error("InvalidEndpointException", "Not this cell.", 421)
    )
    service_of(step, aws, weather).plan.always(step, moved)
    run = program.run(env=CREDENTIALS)
    assert (run.returncode, run.stdout) == (status, "")
    assert_clean(run)
    assert service_of(step, aws, weather).count(step) <= 11


def test_a_cell_that_sends_us_away_while_no_other_is_named_is_asked_once(
    program: Program, aws: EmbeddedAws
) -> None:
    moved = aws_error("InvalidEndpointException", "Not this cell.", 421)
    aws.plan.always("WriteRecords", moved)
    run = program.run(env=PATIENT)
    assert (run.returncode, run.stdout) == (Status.TEMPFAIL, "")
    assert "Not this cell." in run.stderr
    assert_clean(run)
    assert (aws.count("WriteRecords"), aws.count("DescribeEndpoints")) == (1, 2)
    aws.plan.clear()
    assert program.run().returncode == 0


def test_a_deadline_in_the_secret_counts_as_well(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.plan.always("weather", stall())
    secret = {"OPENWEATHERMAP_API_KEY": weather.api_key}
    for seconds in DEADLINES_S:
        aws.put_secret(
            "weather-ingest", json.dumps({**secret, "WEATHER_DEADLINE_SECONDS": seconds})
        )
        run = program.run()
        if weather.requests:
            break
    assert run.returncode == Status.UNAVAILABLE
    assert re.search(rf"\b{seconds} .*WEATHER_DEADLINE_SECONDS", run.stderr)


def committed(program: Program, city: str) -> Callable[[], bool]:
    """For `wait_until`: the city's observation is in the journal."""
    return lambda: (city, "pending") in states(journal_of(program))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_in_good_order_while_a_service_stalls(
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    step: str,
    number: signal.Signals,
) -> None:
    now_s = int(time.time())
    for place in ("London,GB", "Paris,FR"):
        weather.set_weather(place, dt=now_s)
    waiting = threading.Event()
    service = service_of(step, aws, weather)

    def stall_here(request: Request) -> Fault | None:
        """Of the weather only the second place's; what came before it must be kept."""
        if step == "weather" and request.query["q"] != "Paris,FR":
            return None
        waiting.set()
        return stall()

    service.plan.when(step, stall_here)
    env = {"WEATHER_PLACES": "London,GB;Paris,FR", "WEATHER_TIMEOUT_SECONDS": "60", **CREDENTIALS}
    process = program.start(env=env)
    assert waiting.wait(60)
    if step == "weather":
        # London may also have been delivered by then: the calls go side by side.
        wait_until(lambda: states(journal_of(program)))
    elif step != "GetSecretValue":
        wait_until(committed(program, "London"))
        wait_until(committed(program, "Paris"))
    process.send_signal(number)
    run = ended(process)
    assert (run.returncode, run.stdout) == (Status.TEMPFAIL, "")
    assert number.name in run.stderr
    assert_clean(run)
    kept = {city for city, _ in states(journal_of(program))}
    expected = {
        "GetSecretValue": set[str](),
        "weather": {"London"},
        "DescribeEndpoints": {"London", "Paris"},
        "WriteRecords": {"London", "Paris"},
    }
    assert kept == expected[step]

    service.plan.clear()
    weather.plan.always("weather", answer(404, b'{"cod":"404","message":"city not found"}'))
    assert program.run().returncode == Status.UNAVAILABLE
    assert stored(aws) == all_of(*kept)
    assert {state for _, state in states(journal_of(program))} <= {"delivered"}

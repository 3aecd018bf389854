"""Each failure of a service or a setting, as a person who reads cron's mail meets it."""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, aws_error, empty, reset, truncate
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import Status
from tests.conftest import DATABASE, SECRET_ID, TABLE, Program
from tests.support.runs import CREDENTIALS, all_of, assert_clean, journal_of, states, stored

HTML = b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
NOT_ONBOARDED = (
    "Only existing Timestream for LiveAnalytics customers can access the service. "
    "Reach out to AWS support for more information."
)
NO_ACCESS = "User: arn:aws:iam::1:user/cron is not authorized to perform: {} on resource: *"

Arrange = Callable[[EmbeddedAws, EmbeddedOpenWeatherMap], None]


@dataclass(frozen=True)
class Case:
    """A failure, and how the run has to end.

    arrange: makes the services fail. env: of the run; None is a name that is not set.
    says: values and commands on standard error. calls: action -> how often it was asked.
    """

    name: str
    status: Status
    says: tuple[str, ...]
    arrange: Arrange = lambda _aws, _weather: None
    env: dict[str, str | None] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)


def at_aws(action: str, fault: Fault) -> Arrange:
    return lambda aws, _: aws.plan.always(action, fault)


def at_weather(fault: Fault) -> Arrange:
    return lambda _, weather: weather.plan.always("weather", fault)


def secret(body: str) -> Arrange:
    return lambda aws, _: aws.put_secret(SECRET_ID, body)


def another_key(_: EmbeddedAws, weather: EmbeddedOpenWeatherMap) -> None:
    weather.api_key = "another"


def refused_port() -> str:
    """A port of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/weather"


WEATHER = [
    Case(
        "invalid key",
        Status.NOPERM,
        ("London,GB: ", "401"),
        another_key,
        calls={"weather": 1, "WriteRecords": 0},
    ),
    Case(
        "unknown place",
        Status.UNAVAILABLE,
        ("Atlantis,GR: ", "404", "city not found"),
        env={"WEATHER_PLACES": "Atlantis,GR"},
        calls={"weather": 1, "WriteRecords": 0},
    ),
    Case(
        "blocked account",
        Status.UNAVAILABLE,
        ("429", "Your account is temporary blocked"),
        at_weather(answer(429, b'{"cod":429,"message":"Your account is temporary blocked"}')),
        calls={"weather": 1},
    ),
    Case(
        "out of order",
        Status.UNAVAILABLE,
        ("503",),
        at_weather(answer(503, HTML, {"Content-Type": "text/html"})),
        calls={"weather": 4},
    ),
    Case(
        "connection refused",
        Status.UNAVAILABLE,
        ("127.0.0.1", "curl 7"),
        env={"OPENWEATHERMAP_URL": refused_port()},
        calls={"weather": 0},
    ),
    Case(
        "error in a reply of status 200",
        Status.UNAVAILABLE,
        ("404", "city not found"),
        at_weather(answer(200, b'{"cod":"404","message":"city not found"}')),
        calls={"weather": 1},
    ),
    Case(
        "reply without a time",
        Status.UNAVAILABLE,
        ("London,GB: dt,",),
        at_weather(answer(200, b'{"cod":200,"name":"London","main":{"temp":1}}')),
        calls={"weather": 1},
    ),
]

SECRET = [
    Case(
        "secret missing",
        Status.CONFIG,
        ("'nobody/knows'", "ResourceNotFoundException", "ingest_weather.py setup"),
        env={"WEATHER_SECRET_ID": "nobody/knows"},
        calls={"GetSecretValue": 1, "weather": 0},
    ),
    Case(
        "secret denied",
        Status.NOPERM,
        ("secretsmanager:GetSecretValue",),
        at_aws(
            "GetSecretValue",
            aws_error(
                "AccessDeniedException", NO_ACCESS.format("secretsmanager:GetSecretValue"), 400
            ),
        ),
        calls={"GetSecretValue": 1, "weather": 0},
    ),
    Case(
        "secret without JSON",
        Status.CONFIG,
        ("'weather-ingest'", "OPENWEATHERMAP_API_KEY"),
        secret("0123456789abcdef-not-a-real-key"),
    ),
    Case(
        "secret without the key",
        Status.CONFIG,
        ("OPENWEATHERMAP_API_KEY", "'weather-ingest'", "ingest_weather.py setup"),
        secret('{"WEATHER_UNITS": "metric"}'),
        calls={"weather": 0},
    ),
    Case(
        "unknown setting in the secret",
        Status.CONFIG,
        ("WEATHER_PLACES?",),
        secret('{"WEATHER_PLACE": "London,GB", "OPENWEATHERMAP_API_KEY": "some-key"}'),
        calls={"weather": 0},
    ),
    Case(
        "key of the secret denied",
        Status.NOPERM,
        ("Access to KMS is not allowed", "kms:Decrypt"),
        at_aws(
            "GetSecretValue",
            aws_error("AccessDeniedException", "Access to KMS is not allowed", 400),
        ),
    ),
    Case(
        "secret on its way out",
        Status.CONFIG,
        ("InvalidRequestException",),
        at_aws(
            "GetSecretValue",
            aws_error(
                "InvalidRequestException", "You can't perform this operation on the secret.", 400
            ),
        ),
    ),
    Case(
        "answer with the secret broken off",
        Status.TEMPFAIL,
        ("'weather-ingest'",),
        at_aws("GetSecretValue", truncate()),
        calls={"weather": 0},
    ),
    Case(
        "no credentials",
        Status.NOPERM,
        ("Unable to locate credentials", "AWS_PROFILE"),
        env=dict.fromkeys(CREDENTIALS),
        calls={"GetSecretValue": 0, "weather": 0},
    ),
    Case(
        "expired token",
        Status.NOPERM,
        ("ExpiredTokenException", "aws sso login"),
        at_aws(
            "GetSecretValue",
            aws_error("ExpiredTokenException", "The security token in the request is expired", 400),
        ),
    ),
    Case(
        "unknown profile",
        Status.CONFIG,
        ("nobodys", "AWS_PROFILE"),
        env={"AWS_PROFILE": "nobodys"},
    ),
]

TIMESTREAM = [
    Case(
        "a region without Timestream",
        Status.CONFIG,
        ("eu-west-2", "eu-west-1", "us-east-1", "AWS_REGION"),
        env={
            "AWS_REGION": "eu-west-2",
            "WEATHER_SECRET_ID": "",
            "OPENWEATHERMAP_API_KEY": "0123456789abcdef-not-a-real-key",
        },
        calls={"WriteRecords": 0},
    ),
    Case(
        "account not onboarded",
        Status.NOPERM,
        ("Only existing Timestream",),
        at_aws("DescribeEndpoints", aws_error("AccessDeniedException", NOT_ONBOARDED, 403)),
        calls={"DescribeEndpoints": 1, "WriteRecords": 0},
    ),
    Case(
        "discovery denied",
        Status.NOPERM,
        ("timestream:DescribeEndpoints", "'*'"),
        at_aws(
            "DescribeEndpoints",
            aws_error(
                "AccessDeniedException", NO_ACCESS.format("timestream:DescribeEndpoints"), 403
            ),
        ),
        calls={"DescribeEndpoints": 1, "WriteRecords": 0},
    ),
    Case(
        "writing denied",
        Status.NOPERM,
        ("timestream:WriteRecords",),
        at_aws(
            "WriteRecords",
            aws_error("AccessDeniedException", NO_ACCESS.format("timestream:WriteRecords"), 403),
        ),
        calls={"WriteRecords": 1},
    ),
    Case(
        "table missing",
        Status.CONFIG,
        ("TIMESTREAM-DEMO.no_such_table", "us-east-1", "ingest_weather.py setup"),
        env={"TIMESTREAM_TABLE": "no_such_table"},
        calls={"WriteRecords": 1},
    ),
    Case(
        "database missing",
        Status.CONFIG,
        ("no_such_database.london_weather", "ingest_weather.py setup"),
        env={"TIMESTREAM_DATABASE": "no_such_database"},
        calls={"WriteRecords": 1},
    ),
    Case(
        "throttling",
        Status.TEMPFAIL,
        ("ThrottlingException", "HTTP 429"),
        at_aws("WriteRecords", aws_error("ThrottlingException", "Rate exceeded.", 429)),
        calls={"WriteRecords": 3},
    ),
    Case(
        "internal errors",
        Status.TEMPFAIL,
        ("InternalServerException", "HTTP 500"),
        at_aws("WriteRecords", aws_error("InternalServerException", "Oops.", 500)),
        calls={"WriteRecords": 3},
    ),
    Case(
        "quota exceeded",
        Status.TEMPFAIL,
        ("ServiceQuotaExceededException",),
        at_aws("WriteRecords", aws_error("ServiceQuotaExceededException", "Too much.", 402)),
        calls={"WriteRecords": 1},
    ),
    Case(
        "connections closed",
        Status.TEMPFAIL,
        ("TIMESTREAM-DEMO.london_weather_information",),
        at_aws("WriteRecords", empty()),
        calls={"WriteRecords": 3},
    ),
    Case(
        "discovery broken",
        Status.TEMPFAIL,
        ("Connection reset by peer",),
        at_aws("DescribeEndpoints", reset()),
        calls={"WriteRecords": 0},
    ),
]


def start(
    case: Case, program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> Program:
    """The services made to fail, and a program whose credentials can be told from other text."""
    case.arrange(aws, weather)
    environment = {**program.environment, **CREDENTIALS, "LOG_LEVEL": "DEBUG", **case.env}
    return Program({name: value for name, value in environment.items() if value is not None})


@pytest.mark.parametrize("case", [*WEATHER, *SECRET, *TIMESTREAM], ids=lambda case: case.name)
def test_each_failure_has_its_values_its_status_and_no_more_calls_than_help(
    case: Case, program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    failing = start(case, program, aws, weather)
    run = failing.run()
    assert (run.returncode, run.stdout) == (case.status, ""), run.stderr
    errors = [line for line in run.stderr.splitlines() if " ERROR " in line]
    assert len(errors) == 1, run.stderr
    for fragment in case.says:
        assert fragment in errors[0]
    assert_clean(run)
    for action, count in case.calls.items():
        service = weather if action == "weather" else aws
        assert service.count(action) == count, action
    assert stored(aws) == set()
    kept = states(journal_of(program))
    assert kept == ([("London", "pending")] if case in TIMESTREAM else [])


def test_rejected_records_are_told_with_value_time_reason_and_remedy(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.set_weather(
        "London,GB", dt=1604870976, temp=9.5, feels_like=8, humidity=93, pressure=1009
    )
    run = program.run(env={**CREDENTIALS, "LOG_LEVEL": "DEBUG"})
    assert (run.returncode, run.stdout) == (Status.DATAERR, "")
    assert "TIMESTREAM-DEMO.london_weather_information" in run.stderr
    who = "city=London country=GB city_id=2643743 at 2020-11-08T21:29:36Z (1604870976000)"
    for value in ("CurrentTemp=9.5", "TempFeelsLike=8", "Humidity=93", "Pressure=1009"):
        assert f"\n  {value} {who}: The record timestamp is outside the time range [" in run.stderr
    assert "of the memory store.\n" in run.stderr
    assert "ingest_weather.py rejected --retry" in run.stderr
    assert_clean(run)
    assert states(journal_of(program)) == [("London", "rejected")] * 4


def test_of_half_rejected_records_the_others_are_stored_and_counted(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    observed_s = int(time.time())
    weather.set_weather("London,GB", dt=observed_s, humidity=93)
    version = 9_000_000_000_000
    dimensions = {"city": "London", "country": "GB", "city_id": "2643743"}
    there = {
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "MeasureName": "Humidity",
        "MeasureValue": "50",
        "Time": f"{observed_s}000",
        "Version": version,
    }
    aws.rows(DATABASE, TABLE)  # makes the store know of the table
    aws.store.write(DATABASE, TABLE, {}, [there], observed_s * 1000)
    run = program.run("--json")
    assert run.returncode == Status.DATAERR
    assert f" {version}" in run.stderr
    result = json.loads(run.stdout)
    assert (result["stored"], result["rejected"], result["pending"]) == (3, 1, 0)
    assert stored(aws) == all_of("London")


def test_one_record_that_refuses_the_whole_call_stands_alone_in_the_end(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.set_weather("London,GB", dt=int(time.time()))

    def refuse(request: Request) -> Fault | None:
        names = {record["MeasureName"] for record in request.json["Records"]}
        return (
            aws_error("ValidationException", "Humidity it will not have.", 400)
            if ("Humidity" in names)
            else None
        )

    aws.plan.when("WriteRecords", refuse)
    run = program.run()
    assert (run.returncode, run.stdout) == (Status.DATAERR, "")
    assert "Humidity it will not have." in run.stderr
    assert_clean(run)
    assert stored(aws) == all_of("London") - {("London", "Humidity")}
    calls = aws.count("WriteRecords")
    assert program.run().returncode == 0
    assert aws.count("WriteRecords") == calls


def test_a_passing_failure_of_each_service_ends_in_success(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    aws.plan.next("GetSecretValue", aws_error("InternalServiceError", "Oops.", 500))
    aws.plan.next("DescribeEndpoints", reset())
    aws.plan.next("WriteRecords", aws_error("ThrottlingException", "Rate exceeded.", 429))
    weather.plan.next("weather", answer(502, HTML))
    run = program.run()
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert stored(aws) == all_of("London")

"""The program as cron starts it: one run, its records, its streams, its exit status."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from embedded.aws import EmbeddedAws
from embedded.faults import answer, aws_error, stall
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import Status
from tests.conftest import API_KEY, DATABASE, SECRET_ID, TABLE, Program
from tests.support.runs import (
    ACCESS_KEY_ID,
    CREDENTIALS,
    SECRET_ACCESS_KEY,
    SECRETS,
    SESSION_TOKEN,
    Finished,
    actions,
    all_of,
    assert_clean,
    journal_of,
    reached,
    stored,
    summary,
)

ONE_OF_EACH = ["DescribeEndpoints", "GetSecretValue", "WriteRecords"]
UNKNOWN_PLACE = "Atlantis,GR"


def put_secret(aws: EmbeddedAws, **settings: object) -> None:
    aws.put_secret(SECRET_ID, json.dumps({"OPENWEATHERMAP_API_KEY": API_KEY, **settings}))


def assert_silent_success(run: Finished) -> None:
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_run_stores_four_records_with_one_call_of_each_kind_and_says_nothing(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    observed_s = int(time.time()) - 60
    weather.set_weather(
        "London,GB", dt=observed_s, temp=12.34, feels_like=-0.5, humidity=81, pressure=1012.0
    )
    before_ms = time.time_ns() // 1_000_000
    run = program.run()
    after_ms = time.time_ns() // 1_000_000

    assert_silent_success(run)
    assert actions(aws) == ONE_OF_EACH
    (asked,) = weather.requests
    assert asked.query == {"q": "London,GB", "units": "metric", "appid": API_KEY}
    rows = aws.rows(DATABASE, TABLE)
    assert {row.measure_name: row.value for row in rows} == {
        "CurrentTemp": "12.34",
        "TempFeelsLike": "-0.5",
        "Humidity": "81",
        "Pressure": "1012",
    }
    for row in rows:
        assert row.dimensions == {"city": "London", "country": "GB", "city_id": "2643743"}
        assert row.value_type == "DOUBLE"
        assert row.time_ms == observed_s * 1000
        assert before_ms <= row.version <= after_ms
    (write,) = (each.json for each in aws.requests if each.action == "WriteRecords")
    assert "Dimensions" not in write["CommonAttributes"]
    for record in write["Records"]:
        assert record["Time"] == str(observed_s * 1000)
        assert {"Dimensions", "Version", "MeasureValue"} <= record.keys()
        assert {**write["CommonAttributes"], **record}["TimeUnit"] == "MILLISECONDS"


def test_the_same_observation_is_fetched_again_and_not_written_again(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.set_weather("London,GB", dt=int(time.time()))
    assert_silent_success(program.run())
    again = program.run("--json")
    assert again.returncode == 0
    result = summary(again)
    assert (result["fetched"], result["unchanged"], result["stored"]) == (1, 1, 0)
    assert weather.count("weather") == 2
    assert aws.count("WriteRecords") == 1


def test_changed_values_of_the_same_time_overwrite_the_stored_ones(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.set_weather("London,GB", dt=int(time.time()), humidity=50)
    assert_silent_success(program.run())
    weather.set_weather("London,GB", humidity=60)
    assert_silent_success(program.run())
    rows = {row.measure_name: row.value for row in aws.rows(DATABASE, TABLE)}
    assert len(rows) == 4
    assert rows["Humidity"] == "60"


def test_a_timestream_endpoint_in_the_environment_takes_the_writes_without_discovery(
    program: Program, aws: EmbeddedAws
) -> None:
    cell = f"http://localhost:{aws.port}"
    assert_silent_success(program.run(env={"TIMESTREAM_ENDPOINT_URL": cell}))
    assert actions(aws) == ["GetSecretValue", "WriteRecords"]
    hosts = {request.action: request.host for request in aws.requests}
    assert hosts["WriteRecords"] == f"localhost:{aws.port}"
    assert hosts["GetSecretValue"] == f"127.0.0.1:{aws.port}"
    assert stored(aws) == all_of("London")


def test_a_timestream_endpoint_in_the_secret_takes_the_writes_without_discovery(
    program: Program, aws: EmbeddedAws
) -> None:
    put_secret(aws, TIMESTREAM_ENDPOINT_URL=aws.url)
    assert_silent_success(program.run())
    assert actions(aws) == ["GetSecretValue", "WriteRecords"]
    assert stored(aws) == all_of("London")


def test_a_binary_secret_is_read_like_a_text_one(program: Program, aws: EmbeddedAws) -> None:
    name = "weather/binary"
    aws.put_secret(name, json.dumps({"OPENWEATHERMAP_API_KEY": API_KEY}).encode())
    assert_silent_success(program.run(env={"WEATHER_SECRET_ID": name}))
    assert stored(aws) == all_of("London")


def test_numbers_in_the_secret_are_settings_like_any_other(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.api_key = "1234567890123456789"
    put_secret(
        aws,
        OPENWEATHERMAP_API_KEY=1234567890123456789,
        WEATHER_TIMEOUT_SECONDS=7.5,
        WEATHER_JOURNAL_DAYS=3,
        WEATHER_PLACES=2988507,
    )
    assert_silent_success(program.run())
    assert stored(aws) == all_of("Paris")


def test_all_settings_can_stand_in_an_env_file(
    program: Program, aws: EmbeddedAws, tmp_path: Path
) -> None:
    env_file = tmp_path / "settings.env"
    lines = {**program.environment, "WEATHER_PLACES": "Berlin,DE"}
    del lines["HOME"]
    env_file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    bare = Program({"HOME": str(tmp_path)})
    assert_silent_success(bare.run("--env-file", str(env_file)))
    assert stored(aws) == all_of("Berlin")


def test_settings_without_any_secret_need_no_secrets_manager(
    program: Program, aws: EmbeddedAws
) -> None:
    assert_silent_success(
        program.run(env={"WEATHER_SECRET_ID": "", "OPENWEATHERMAP_API_KEY": API_KEY})
    )
    assert actions(aws) == ["DescribeEndpoints", "WriteRecords"]


def test_places_of_the_command_line_replace_those_of_the_settings(
    program: Program, aws: EmbeddedAws
) -> None:
    run = program.run("--place", "Tokyo,JP", "--place", "-33.8679,151.2073")
    assert_silent_success(run)
    rows = aws.rows(DATABASE, TABLE)
    assert {frozenset(row.dimensions.items()) for row in rows} == {
        frozenset({("city", "Tokyo"), ("country", "JP"), ("city_id", "1850147")}),
        frozenset({("latitude", "-33.8679"), ("longitude", "151.2073")}),
    }
    assert aws.count("WriteRecords") == 1


def test_all_measures_are_stored_under_their_names_and_types(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.set_weather("London,GB", wind_gust=9.26, rain={"1h": 0.35, "3h": 1}, snow={"3h": 2})
    weather.set_weather("London,GB", sunrise=1700000000, weather=[{"id": 800, "main": "Clear"}])
    assert_silent_success(program.run(env={"WEATHER_MEASURES": "all"}))
    rows = {row.measure_name: row for row in aws.rows(DATABASE, TABLE)}
    assert rows["WindGust"].value == "9.26"
    assert (rows["Rain1h"].value, rows["Rain3h"].value, rows["Snow3h"].value) == ("0.35", "1", "2")
    assert "Snow1h" not in rows
    assert rows["Sunrise"].value == "1700000000000"
    assert (rows["Condition"].value, rows["Condition"].value_type) == ("Clear", "VARCHAR")
    assert {row.value_type for name, row in rows.items() if name != "Condition"} == {"DOUBLE"}
    assert len(rows) == 20


def test_json_is_one_object_with_the_counts_of_a_successful_run(program: Program) -> None:
    run = program.run("--json")
    assert (run.returncode, run.stderr) == (0, "")
    result = summary(run)
    assert result.pop("seconds") > 0
    assert (
        result.items()
        >= {
            "places": 1,
            "fetched": 1,
            "unchanged": 0,
            "stored": 4,
            "rejected": 0,
            "pending": 0,
            "status": 0,
        }.items()
    )


def test_json_tells_of_a_failed_delivery_and_of_what_is_pending(
    program: Program, aws: EmbeddedAws
) -> None:
    aws.plan.always("WriteRecords", aws_error("ServiceQuotaExceededException", "Too much.", 402))
    run = program.run("--json")
    result = summary(run)
    assert run.returncode == result["status"] == Status.TEMPFAIL
    assert (result["fetched"], result["stored"], result["pending"]) == (1, 0, 1)
    assert "ServiceQuotaExceededException" in run.stderr


def test_json_is_printed_where_not_even_the_settings_could_be_read(program: Program) -> None:
    run = program.run("--json", env={"WEATHER_UNITS": "kelvin", "WEATHER_SECRET_ID": ""})
    assert run.returncode == summary(run)["status"] == Status.CONFIG
    assert "WEATHER_UNITS" in run.stderr
    assert "OPENWEATHERMAP_API_KEY" in run.stderr


def test_a_dry_run_prints_the_records_and_writes_nothing(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.set_weather("London,GB", humidity=93)
    run = program.run("--dry-run")
    assert (run.returncode, run.stderr) == (0, "")
    assert any("Humidity" in line and " 93 " in line for line in run.stdout.splitlines())
    assert len(run.stdout.splitlines()) == 5
    assert actions(aws) == ["GetSecretValue"]
    assert list(Path(program.environment["HOME"]).iterdir()) == []


def test_a_dry_run_as_json_holds_the_records_as_they_would_be_sent(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    observed_s = int(time.time())
    weather.set_weather("London,GB", dt=observed_s, humidity=93)
    run = program.run("--dry-run", "--json")
    result = summary(run)
    assert (run.returncode, run.stderr, result["stored"]) == (0, "", 0)
    (humidity,) = (each for each in result["records"] if each["MeasureName"] == "Humidity")
    assert humidity["MeasureValue"] == "93"
    assert humidity["Time"] == f"{observed_s}000"
    assert {"Name": "city", "Value": "London"} in humidity["Dimensions"]
    assert aws.count("WriteRecords") == 0


def test_a_dry_run_and_runs_never_exceed_the_plan_together(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    plan = {"OPENWEATHERMAP_CALLS_PER_MINUTE": "3", "WEATHER_DEADLINE_SECONDS": "20"}
    london, three = ("--place", "London,GB"), ("--place", "Paris,FR", "--place", "London,GB")
    assert program.run(*london, env=plan).returncode == 0
    assert program.run("--dry-run", *london, env=plan).returncode == 0
    run = program.run(*three, env=plan)
    assert (run.returncode, weather.count("weather")) == (Status.UNAVAILABLE, 3)
    run = program.run("--dry-run", *london, env=plan)
    assert (run.returncode, weather.count("weather")) == (Status.UNAVAILABLE, 3)
    assert "OPENWEATHERMAP_CALLS_PER_MINUTE" in run.stderr


def test_a_dry_run_does_without_a_journal_that_is_broken(program: Program) -> None:
    journal = Path(program.environment["HOME"]) / "journal.sqlite3"
    journal.write_bytes(b"no journal")
    run = program.run("--dry-run", env={"WEATHER_JOURNAL": str(journal)})
    assert (run.returncode, run.stderr) == (0, "")
    assert journal.read_bytes() == b"no journal"


def test_a_dry_run_names_the_place_that_fails_and_prints_the_others(program: Program) -> None:
    run = program.run("--dry-run", "--place", UNKNOWN_PLACE, "--place", "London,GB")
    assert run.returncode == Status.UNAVAILABLE
    assert UNKNOWN_PLACE in run.stderr
    assert "London,GB" in run.stdout


def test_verbose_tells_every_step_on_standard_error_alone(program: Program) -> None:
    run = program.run("-v", env=CREDENTIALS)
    assert (run.returncode, run.stdout) == (0, "")
    assert "DEBUG" in run.stderr
    assert "4 records" in run.stderr
    assert_clean(run)


def test_quiet_leaves_warnings_out_and_errors_in(program: Program) -> None:
    off = {"WEATHER_JOURNAL": "off"}
    assert " WARNING " in program.run(env=off).stderr
    run = program.run("-q", "--place", UNKNOWN_PLACE, env=off)
    assert " WARNING " not in run.stderr
    assert UNKNOWN_PLACE in run.stderr


def test_a_place_that_fails_is_named_and_the_others_are_stored(
    program: Program, aws: EmbeddedAws
) -> None:
    run = program.run("--json", env={"WEATHER_PLACES": f"Paris,FR;{UNKNOWN_PLACE};London,GB"})
    assert run.returncode == Status.UNAVAILABLE
    (line,) = run.stderr.splitlines()
    assert f"{UNKNOWN_PLACE}: " in line
    result = summary(run)
    assert (result["places"], result["fetched"], result["stored"]) == (3, 2, 8)
    assert stored(aws) == all_of("Paris", "London")


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        ({"place", "table", "journal"}, Status.CONFIG),
        ({"place", "access", "journal"}, Status.NOPERM),
        ({"place", "rejected", "journal"}, Status.DATAERR),
        ({"place", "throttled", "journal"}, Status.IOERR),
        ({"place", "throttled"}, Status.UNAVAILABLE),
    ],
    ids=lambda each: "-".join(sorted(each)) if isinstance(each, set) else each.name,
)
def test_of_several_troubles_the_status_is_the_one_to_act_on_first(
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    trouble: set[str],
    status: Status,
) -> None:
    env = {"WEATHER_PLACES": f"London,GB;{UNKNOWN_PLACE}"}
    if "journal" in trouble:
        env["WEATHER_JOURNAL"] = "/dev/null/journal"
    if "table" in trouble:
        env["TIMESTREAM_TABLE"] = "no_such_table"
    if "access" in trouble:
        aws.plan.always("WriteRecords", aws_error("AccessDeniedException", "No.", 403))
    if "rejected" in trouble:
        weather.set_weather("London,GB", dt=1604870976)
    if "throttled" in trouble:
        aws.plan.always("WriteRecords", aws_error("ServiceQuotaExceededException", "No.", 402))
    run = program.run("--json", env=env)
    assert run.returncode == summary(run)["status"] == status
    assert UNKNOWN_PLACE in run.stderr
    assert_clean(run)


SHELL = ["/bin/sh", "-c"]


@pytest.mark.parametrize("arguments", [["--json"], ["--dry-run"], ["rejected"]])
def test_a_closed_standard_output_makes_no_traceback(
    program: Program, arguments: list[str]
) -> None:
    run = subprocess.run(
        [*SHELL, 'exec "$0" "$@" >&-', *program.command(*arguments)],
        env=program.env(),
        cwd="/",
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--json"], ["--dry-run"]])
def test_a_reader_that_has_gone_makes_no_traceback(
    program: Program, aws: EmbeddedAws, arguments: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = program.run(*arguments, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (run.returncode, run.stderr) == (0, "")
    assert stored(aws) == (all_of("London") if arguments == ["--json"] else set())


@pytest.mark.parametrize("arguments", [["--dry-run"], ["show"], ["show", "--csv"], ["rejected"]])
def test_output_that_cannot_be_written_is_told(program: Program, arguments: list[str]) -> None:
    assert program.run().returncode == 0
    with open("/dev/full", "w") as full:
        run = program.run(*arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert run.returncode == (0 if arguments == ["--dry-run"] else Status.IOERR)
    assert "No space left on device" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("arguments", [["--dry-run"], ["show"], ["show", "--csv"]])
def test_output_that_has_no_character_for_a_name_is_escaped(
    program: Program, weather: EmbeddedOpenWeatherMap, arguments: list[str]
) -> None:
    weather.set_weather("London,GB", name="São Paulo")
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    assert program.run(env=ascii_only).returncode == 0
    run = program.run(*arguments, env=ascii_only)
    assert (run.returncode, run.stderr) == (0, "")
    if "--csv" in arguments:
        assert "S\\xe3o Paulo" in run.stdout


def test_commands_log_as_the_settings_say(program: Program, aws: EmbeddedAws) -> None:
    aws.plan.always("Query", aws_error("AccessDeniedException", "No.", 403))
    run = program.run("show", "--from-timestream", env={"LOG_FORMAT": "json"})
    assert run.returncode == Status.NOPERM
    (line,) = run.stderr.splitlines()
    assert json.loads(line)["level"] == "ERROR"


def test_a_closed_standard_error_stops_no_run(program: Program, aws: EmbeddedAws) -> None:
    run = subprocess.run(
        [*SHELL, 'exec "$0" "$@" 2>&-', *program.command("-v")],
        env=program.env(),
        cwd="/",
        check=False,
        timeout=60,
    )
    assert run.returncode == 0
    assert stored(aws) == all_of("London")


@pytest.mark.parametrize(
    ("env", "status"),
    [
        ({"WEATHER_JOURNAL": "off"}, Status.OK),
        ({"WEATHER_SECRET_ID": "no/such"}, Status.CONFIG),
        ({"TIMESTREAM_TABLE": "no_such_table"}, Status.CONFIG),
    ],
    ids=["success", "no settings", "no delivery"],
)
def test_each_line_of_a_json_log_is_an_object(
    program: Program, env: dict[str, str], status: Status
) -> None:
    run = program.run(env={"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", **env})
    assert (run.returncode, run.stdout) == (status, "")
    entries = [json.loads(line) for line in run.stderr.splitlines()]
    assert {"time", "level", "message"} <= entries[-1].keys()
    assert [entry["level"] for entry in entries].count("ERROR") == (status != Status.OK)


def test_wrong_usage_is_told_with_status_2(program: Program, aws: EmbeddedAws) -> None:
    wrong = (
        ["--no-such-option"],
        ["fetch"],
        ["-v", "-q"],
        ["demo", "extra"],
        ["rejected", "--retry", "--discard"],
        ["rejected", "--before", "noon"],
    )
    for arguments in wrong:
        run = program.run(*arguments)
        assert (run.returncode, run.stdout, aws.requests) == (Status.USAGE, "", [])
        assert arguments[-1].lstrip("-") in run.stderr
        assert "Traceback" not in run.stderr


def test_help_shows_every_exit_status_and_command(program: Program) -> None:
    run = program.run("--help")
    assert (run.returncode, run.stderr) == (0, "")
    shown = " ".join(run.stdout.split())
    for status in Status:
        assert f" {int(status)} {status.meaning} " in shown
    assert "rejected" in run.stdout
    assert "demo" in run.stdout


def test_a_wrong_place_of_the_command_line_is_told_before_anything_is_asked(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    run = program.run("--place", "London")
    assert run.returncode == Status.CONFIG
    assert "'London'" in run.stderr
    assert (weather.requests, aws.count("WriteRecords")) == ([], 0)


def test_the_key_is_not_among_the_processes_arguments(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    asked = threading.Event()
    weather.plan.when("weather", reached(asked, stall()))
    with program.start("-v", env=CREDENTIALS) as process:
        assert asked.wait(60)
        if sys.platform == "linux":
            listed = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        else:
            listed = subprocess.check_output(["ps", "-o", "args=", "-p", str(process.pid)])
        process.kill()
        process.communicate()
    for secret in SECRETS:
        assert secret.encode() not in listed


AWS_ECHO = f"You sent {ACCESS_KEY_ID}, {SECRET_ACCESS_KEY} and {SESSION_TOKEN}."
ECHO = f"{AWS_ECHO} And {API_KEY}."


@pytest.mark.parametrize("where", ["environment", "env file"])
def test_services_that_repeat_the_credentials_do_not_bring_them_into_the_output(
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    where: str,
) -> None:
    env_file = tmp_path / "credentials.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in CREDENTIALS.items()))
    plain = {name: value for name, value in program.environment.items() if name not in CREDENTIALS}
    if where == "environment":
        program, arguments = Program({**plain, **CREDENTIALS}), ["-v"]
    else:
        program, arguments = Program(plain), ["-v", "--env-file", str(env_file)]
    aws.plan.next("GetSecretValue", aws_error("InvalidSignatureException", AWS_ECHO, 403))
    secret = program.run(*arguments)
    weather.plan.next("weather", answer(400, json.dumps({"cod": 400, "message": ECHO}).encode()))
    place = program.run(*arguments)
    aws.plan.next("WriteRecords", aws_error("ConflictException", ECHO, 409))
    write = program.run(*arguments)
    expected = (Status.NOPERM, Status.UNAVAILABLE, Status.TEMPFAIL)
    for run, status in zip((secret, place, write), expected, strict=True):
        assert run.returncode == status
        assert "You sent" in run.stderr
        assert_clean(run)
    journal = journal_of(program).read_bytes()
    for each in SECRETS:
        assert each.encode() not in journal

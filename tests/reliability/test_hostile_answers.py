"""Answers that no service should give: each costs what it concerns, and never more."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from embedded.aws import EmbeddedAws
from embedded.faults import answer, aws_error
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import Status
from tests.conftest import DATABASE, SECRET_ID, TABLE, Program
from tests.support.runs import Finished, all_of, assert_clean, journal_of, states, stored, summary

THREE = {"WEATHER_PLACES": "Paris,FR;London,GB;Berlin,DE"}
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"


def assert_harmless(run: Finished) -> None:
    """Nothing that moves the cursor, and no traceback."""
    assert_clean(run)
    assert all(char.isprintable() for char in (run.stdout + run.stderr).replace("\n", ""))


# Replies of OpenWeatherMap


@pytest.mark.parametrize("odd", [2**63, 1e300, True, {}])
def test_an_odd_city_id_costs_its_own_place_alone(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, odd: object
) -> None:
    weather.set_weather("London,GB", id=odd)
    run = program.run("--json", env=THREE)
    assert run.returncode == Status.UNAVAILABLE
    (failure,) = summary(run)["failures"]
    assert (failure["place"], failure["kind"]) == ("London,GB", "unusable reply")
    assert "id" in failure["error"]
    assert stored(aws) == all_of("Paris", "Berlin")
    assert_clean(run)


def hidden(key: str, run: Finished, *others: str) -> None:
    """The key is in none of the forms that it can take on its way through the program."""
    shown = run.stdout + run.stderr + "".join(others)
    forms = {key, quote_plus(key), repr(key)[1:-1], json.dumps(key)[1:-1]}
    forms |= {json.dumps(repr(key)[1:-1])[1:-1]}
    for form in forms:
        assert form not in shown, shown


def escaped(text: str) -> str:
    """The text as JSON that escapes each of its characters."""
    return "".join(f"\\u{ord(char):04x}" for char in text)


KEYS = [r"back\slash\and'quo'te", "per%20cent+plus/slash", r"""all\'"%+/&of=them#"""]


@pytest.mark.parametrize("encode", [lambda text: json.dumps(text)[1:-1], escaped])
@pytest.mark.parametrize("key", KEYS)
def test_a_server_that_echoes_the_key_does_not_bring_it_anywhere(
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    key: str,
    encode: Callable[[str], str],
) -> None:
    aws.put_secret(SECRET_ID, json.dumps({"OPENWEATHERMAP_API_KEY": key}))
    weather.api_key = key
    mark = "KEY-GOES-HERE"
    reply = {
        "dt": int(time.time()),
        "main": {"temp": 1, "humidity": 2},
        "weather": [{"id": 1, "main": mark}],
        "name": mark,
        "sys": {"country": "GB"},
        "cod": 200,
    }

    def set_reply(place: str, members: dict[str, object], status: int = 200) -> None:
        body = json.dumps(members).replace(mark, encode(key))
        weather.set_reply(place, body.encode(), status)

    set_reply("London,GB", reply)
    set_reply("Paris,FR", {"cod": 400, "message": f"appid={mark}"}, 400)
    set_reply("Berlin,DE", {**reply, "dt": mark})
    set_reply("Tokyo,JP", {**reply, "dt": f"{'x' * 25}{mark}"})
    set_reply("Madrid,ES", {**reply, "sys": {"country": mark}})
    set_reply("Rome,IT", {**reply, "cod": mark})
    places = "London,GB;Paris,FR;Berlin,DE;Tokyo,JP;Madrid,ES;Rome,IT"
    env = {"WEATHER_PLACES": places, "WEATHER_MEASURES": "all"}
    tried = program.run("--dry-run", "--json", env=env)
    run = program.run("-v", "--json", env=env)
    for each in (tried, run):
        assert each.returncode == Status.UNAVAILABLE
        assert summary(each)["fetched"] >= 1
        assert "Traceback" not in each.stderr
        hidden(key, each)
    assert "(redacted)" in run.stdout
    with closing(sqlite3.connect(journal_of(program))) as db:
        hidden(key, run, "\n".join(db.iterdump()))
    assert key not in str(aws.rows(DATABASE, TABLE))


def test_escape_sequences_of_a_reply_do_not_reach_the_terminal(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.set_weather("London,GB", weather=[{"id": 800, "main": f"Red{ESCAPE}"}])
    weather.set_weather("Paris,FR", name=f"Paris{ESCAPE}")
    weather.set_weather("Berlin,DE", dt=ESCAPE)
    env = {**THREE, "WEATHER_MEASURES": "all"}
    for arguments in (["--dry-run"], ["--dry-run", "--json"], ["-v", "--json"]):
        run = program.run(*arguments, env=env)
        assert run.returncode in (Status.UNAVAILABLE, Status.DATAERR)
        assert_harmless(run)
    assert "Red" in program.run("--dry-run", env=env).stdout


# Two forms of one place


def test_two_forms_of_one_city_with_differing_replies_are_no_rejection(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    now_s = int(time.time())
    weather.set_weather("London,GB", dt=now_s, humidity=50)
    weather.set_weather("2643743", dt=now_s, humidity=60)
    run = program.run("--json", env={"WEATHER_PLACES": "London,GB;2643743"})
    assert (run.returncode, run.stderr) == (0, "")
    result = summary(run)
    assert (result["fetched"], result["rejected"], result["pending"]) == (2, 0, 0)
    rows = {row.measure_name: row.value for row in aws.rows(DATABASE, TABLE)}
    assert rows["Humidity"] in ("50", "60")


def test_one_name_written_in_three_ways_is_asked_for_once(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    run = program.run("--json", env={"WEATHER_PLACES": "London,GB;London, GB;london,gb"})
    assert run.returncode == 0
    assert "london,gb" in run.stderr
    assert (summary(run)["places"], weather.count("weather")) == (1, 1)
    assert stored(aws) == all_of("London")


# Answers of Timestream

GOOD = {"RecordIndex": 0, "Reason": "Because."}


@pytest.mark.parametrize(
    "listed",
    [
        *([GOOD, {"RecordIndex": odd, "Reason": "No."}] for odd in ("1", 1.0, True, None, 99)),
        [GOOD, None],
        {"RecordIndex": 0},
        *([{**GOOD, "Reason": odd}] for odd in (7, {"a": 1}, f"{ESCAPE}\ud800", "")),
        *([{**GOOD, "ExistingVersion": odd}] for odd in (2**70, 1.5, True)),
    ],
    ids=ascii,
)
def test_odd_rejections_lose_nothing_and_the_next_run_works(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, listed: object
) -> None:
    weather.set_weather("London,GB", dt=int(time.time()))
    odd = aws_error("RejectedRecordsException", "Some.", 419, RejectedRecords=listed)
    aws.plan.always("WriteRecords", odd)
    run = program.run("--json")
    assert run.returncode in (Status.DATAERR, Status.TEMPFAIL), run.stderr
    assert_harmless(run)
    result = summary(run)
    if run.returncode == Status.DATAERR:
        assert (result["stored"], result["rejected"], result["pending"]) == (3, 1, 0)
        assert sorted({state for _, state in states(journal_of(program))})[-1] == "rejected"
    else:
        assert (result["stored"], result["rejected"], result["pending"]) == (0, 0, 1)
        assert states(journal_of(program)) == [("London", "pending")]

    aws.plan.clear()
    if result["rejected"]:
        shown = program.run("rejected")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert_harmless(shown)
    weather.set_weather("London,GB", dt=int(time.time()) - 60)
    again = program.run("--json")
    assert (again.returncode, again.stderr) == (0, "")
    assert summary(again)["pending"] == 0
    assert stored(aws) == all_of("London")


@pytest.mark.parametrize("action", ["GetSecretValue", "DescribeEndpoints", "WriteRecords"])
def test_escape_sequences_of_aws_do_not_reach_the_terminal(
    program: Program, aws: EmbeddedAws, action: str
) -> None:
    code = "Odd\x1b[2JError"
    body = json.dumps({"__type": code, "message": f"Not{ESCAPE} now", "Message": f"Not{ESCAPE}"})
    aws.plan.always(action, answer(400, body.encode()))
    run = program.run("--json", "-v")
    assert run.returncode == Status.CONFIG  # an unknown refusal is for a person
    assert_harmless(run)


@pytest.mark.parametrize(
    "body",
    [
        *(
            json.dumps({"Endpoints": [{"Address": odd, "CachePeriodInMinutes": 1440}]}).encode()
            for odd in ("not a url", "http://[", 7)
        ),
        b'{"Endpoints": [{}]}',
        b"<html><body>Sign in to the airport's network</body></html>",
        b"[" * 100_000,
    ],
    ids=lambda body: ascii(body[:70].decode()),
)
def test_an_odd_endpoint_is_told_and_the_observation_waits(
    program: Program, aws: EmbeddedAws, body: bytes
) -> None:
    aws.plan.always("DescribeEndpoints", answer(200, body))
    run = program.run("--json", env={"WEATHER_DEADLINE_SECONDS": "20"})
    assert run.returncode == Status.TEMPFAIL, run.stderr
    assert_harmless(run)
    assert run.stderr
    assert summary(run)["pending"] == 1
    assert states(journal_of(program)) == [("London", "pending")]


# Answers of Secrets Manager


@pytest.mark.parametrize("value", [7, {"OPENWEATHERMAP_API_KEY": "x"}])
def test_a_secret_that_is_no_text_is_told(
    program: Program, aws: EmbeddedAws, value: object
) -> None:
    reply = {"ARN": "arn:aws:x", "Name": SECRET_ID, "VersionId": "1", "SecretString": value}
    aws.plan.always("GetSecretValue", answer(200, json.dumps(reply).encode()))
    run = program.run()
    assert run.returncode == Status.CONFIG, run.stderr
    assert SECRET_ID in run.stderr
    assert_harmless(run)


# Programs that give credentials


@pytest.mark.parametrize(
    "printed",
    [
        None,
        "garbage",
        '{"Version": 2}',
        '{"Version": 1, "AccessKeyId": 7, "SecretAccessKey": {}}',
        "[" * 100_000,
    ],
    ids=lambda text: str(text)[:30],
)
def test_a_credential_process_that_fails_is_told(
    program: Program, tmp_path: Path, printed: str | None
) -> None:
    (tmp_path / "printed").write_text(printed or "")
    command = "/no/such/program --x" if printed is None else f"/bin/cat {tmp_path / 'printed'}"
    config = tmp_path / "config"
    config.write_text(f"[profile odd]\ncredential_process = {command}\n")
    plain = {
        name: value
        for name, value in program.environment.items()
        if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    odd = {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "odd", "PATH": os.defpath}
    run = Program({**plain, **odd}).run()
    statuses = (
        (Status.NOPERM, Status.TEMPFAIL) if "AccessKeyId" in str(printed) else (Status.NOPERM,)
    )
    assert run.returncode in statuses, run.stderr
    assert_harmless(run)

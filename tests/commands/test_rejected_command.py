"""`rejected`: what Timestream refused, seen again, put back, or dropped."""

import json
import subprocess
import time

import pytest

from embedded.aws import EmbeddedAws
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import Status
from tests.conftest import DATABASE, TABLE, Program
from tests.support.runs import all_of, assert_clean, journal_of, states, stored
from tests.support.terminal import Screen, on_terminal

LONG_AGO_S = 1604870976  # 2020-11-08T21:29:36Z
LATER_S = 1700000000  # 2023-11-14T22:13:20Z


@pytest.fixture
def refused(program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap) -> Program:
    """Eight records were rejected for their age: London's of 2020, and Paris's of 2023."""
    weather.set_weather("London,GB", dt=LONG_AGO_S, humidity=93)
    weather.set_weather("Paris,FR", dt=LATER_S, humidity=40)
    run = program.run("--place", "London,GB", "--place", "Paris,FR")
    assert run.returncode == Status.DATAERR
    assert stored(aws) == set()
    weather.forget_weather()
    return program


def listed(program: Program, *arguments: str) -> list[dict[str, object]]:
    run = program.run("rejected", "--json", *arguments)
    assert (run.returncode, run.stderr) == (0, "")
    read: list[dict[str, object]] = json.loads(run.stdout)
    return read


def keep_for_years(aws: EmbeddedAws) -> None:
    """Fix the cause: from now on the table takes old records. Empties it, too."""
    aws.make_table(DATABASE, TABLE, memory_hours=24 * 365 * 20)


HEADING = "time                  place      measure        value"
HUMIDITY = "2020-11-08T21:29:36Z  London,GB  Humidity          93"


def test_the_list_is_a_table_with_value_time_and_reason(refused: Program) -> None:
    run = refused.run("rejected")
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0] == HEADING
    assert HUMIDITY in lines
    (paris,) = (line for line in lines if "Paris,FR" in line and "Humidity" in line)
    assert paris == "2023-11-14T22:13:20Z  Paris,FR   Humidity          40"
    text = " ".join(run.stdout.split())
    assert "The record timestamp is outside the time range [" in text
    assert "of the memory store. (Rejected at 20" in text
    _, _, end = text.partition(f"8 records rejected by us-east-1/{DATABASE}.{TABLE}. ")
    assert all(option in end for option in ("--retry", "--discard"))
    assert len(states(journal_of(refused))) == 8


def test_a_mail_and_a_terminal_show_it_whole_within_80_columns(refused: Program) -> None:
    """A line for each of the four records, and below them why they were refused together."""
    arguments = ("rejected", "--place", "London")
    mailed = refused.run(*arguments).stdout.splitlines()
    for lines in (mailed, on_terminal(refused, 80, *arguments)):
        assert max(map(len, lines)) <= 80
        assert [line for line in lines if line != line.rstrip()] == []
        assert (lines[0], lines[3]) == (HEADING, HUMIDITY)
        assert all(line.startswith("2020-11-08T21:29:36Z  London,GB  ") for line in lines[1:5])
        assert lines[5] == "    The record timestamp is outside the time range"


def test_a_place_too_long_for_the_terminal_is_cut_there_and_nothing_else(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    place = f"51.5085{'0' * 30},-0.1257{'0' * 30}"
    weather.set_weather(place, dt=LONG_AGO_S, humidity=93)
    assert program.run("--place", place).returncode == Status.DATAERR
    for lines in (
        on_terminal(program, 80, "rejected"),
        on_terminal(program, 80, "--place", place, "-q", "--dry-run"),
    ):
        assert max(map(len, lines)) <= 80
        (humidity,) = (line for line in lines if "Humidity" in line)
        time, shown, measure, value = humidity.split()
        assert (time, measure, value) == ("2020-11-08T21:29:36Z", "Humidity", "93")
        assert shown.endswith("\u2026")
        assert place.startswith(shown[:-1])
    assert place in program.run("rejected").stdout


def test_each_reason_names_its_table_where_there_are_several(
    refused: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    aws.make_table(DATABASE, "another_table")
    weather.set_weather("Berlin,DE", dt=LATER_S)
    env = {"TIMESTREAM_TABLE": "another_table"}
    assert refused.run("--place", "Berlin,DE", env=env).returncode == Status.DATAERR
    text = " ".join(refused.run("rejected").stdout.split())
    assert f"(Rejected by us-east-1/{DATABASE}.{TABLE} at 20" in text
    assert f"(Rejected by us-east-1/{DATABASE}.another_table at 20" in text
    assert "12 records rejected by 2 tables." in text


def test_the_list_as_json_says_all_that_is_known(refused: Program) -> None:
    entries = listed(refused)
    assert len(entries) == 8
    (humidity,) = (each for each in entries if each["value"] == "93")
    reason = humidity.pop("reason")
    assert isinstance(reason, str)
    assert reason.startswith("The record timestamp is outside the time range")
    versions = {each["version"] for each in entries if each["place"] == "London,GB"}
    assert {humidity.pop("version")} == versions
    assert str(humidity.pop("rejected")).startswith("20")
    assert humidity == {
        "target": f"us-east-1/{DATABASE}.{TABLE}",
        "place": "London,GB",
        "city": "London",
        "country": "GB",
        "city_id": 2643743,
        "measure": "Humidity",
        "value": "93",
        "time": "2020-11-08T21:29:36Z",
        "time_ms": LONG_AGO_S * 1000,
        "existing_version": None,
        "attempts": 1,
    }


def test_filters_narrow_the_list_each_and_together(refused: Program) -> None:
    cases: list[tuple[list[str], set[tuple[str, str]]]] = [
        (["--place", "London,GB"], all_of("London")),
        (["--place", "Paris"], all_of("Paris")),
        (["--place", " london ,  gb "], all_of("London")),
        (["--measure", "Humidity"], {("London", "Humidity"), ("Paris", "Humidity")}),
        (["--before", "2021-01-01"], all_of("London")),
        (["--before", "2023-11-14T22:13:20"], all_of("London")),
        (["--before", "2023-11-14T23:13:21+01:00"], all_of("London", "Paris")),
        (["--place", "Paris", "--before", "2021-01-01"], set()),
        (["--place", "Paris", "--measure", "Pressure"], {("Paris", "Pressure")}),
    ]
    for arguments, expected in cases:
        found = {(each["city"], each["measure"]) for each in listed(refused, *arguments)}
        assert found == expected, arguments


def test_without_rejected_records_or_even_a_journal_the_list_says_so(program: Program) -> None:
    run = program.run("rejected")
    assert (run.returncode, run.stderr) == (0, "")
    assert str(journal_of(program)) in run.stdout
    assert listed(program) == []
    assert program.run().returncode == 0
    assert listed(program) == []


def test_after_retry_the_next_run_stores_them(refused: Program, aws: EmbeddedAws) -> None:
    keep_for_years(aws)
    run = refused.run("rejected", "--retry")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("8 records put back")
    assert listed(refused) == []
    assert refused.run("--place", "Berlin,DE").returncode == 0
    assert stored(aws) == all_of("London", "Paris", "Berlin")
    times = {row.dimensions["city"]: row.time_ms for row in aws.rows(DATABASE, TABLE)}
    assert times["London"] == LONG_AGO_S * 1000
    assert times["Paris"] == LATER_S * 1000
    assert {state for _, state in states(journal_of(refused))} == {"delivered"}


def test_retry_takes_only_what_the_filters_name(refused: Program, aws: EmbeddedAws) -> None:
    keep_for_years(aws)
    run = refused.run("rejected", "--retry", "--json", "--place", "Paris", "--measure", "Humidity")
    assert json.loads(run.stdout) == {
        "records": 1,
        "action": "put back",
        "superseded": 0,
        "unbeatable": 0,
    }
    assert len(listed(refused)) == 7
    assert refused.run("--place", "Berlin,DE").returncode == 0
    assert stored(aws) == all_of("Berlin") | {("Paris", "Humidity")}


def test_what_is_put_back_too_early_is_rejected_again_and_kept(
    refused: Program, aws: EmbeddedAws
) -> None:
    assert refused.run("rejected", "--retry", "--place", "Paris").returncode == 0
    run = refused.run("--place", "Berlin,DE")
    assert run.returncode == Status.DATAERR
    assert stored(aws) == all_of("Berlin")
    assert {each["attempts"] for each in listed(refused, "--place", "Paris")} == {2}
    assert len(listed(refused)) == 8


def test_rejected_records_never_block_later_ones(refused: Program, aws: EmbeddedAws) -> None:
    for place in ("London,GB", "Berlin,DE"):
        run = refused.run("--place", place)
        assert (run.returncode, run.stderr) == (0, "")
    assert stored(aws) == all_of("London", "Berlin")
    assert len(listed(refused)) == 8


def test_a_version_conflict_is_won_after_retry(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    observed_s = int(time.time())
    weather.set_weather("London,GB", dt=observed_s, humidity=93)
    there = {
        "Dimensions": [
            {"Name": "city", "Value": "London"},
            {"Name": "country", "Value": "GB"},
            {"Name": "city_id", "Value": "2643743"},
        ],
        "MeasureName": "Humidity",
        "MeasureValue": "50",
        "Time": f"{observed_s}000",
        "Version": 9_000_000_000_000,
    }
    aws.rows(DATABASE, TABLE)
    aws.store.write(DATABASE, TABLE, {}, [there], observed_s * 1000)
    assert program.run().returncode == Status.DATAERR
    (entry,) = listed(program)
    assert (entry["measure"], entry["existing_version"]) == ("Humidity", 9_000_000_000_000)
    assert program.run("rejected", "--retry").returncode == 0
    assert program.run().returncode == 0
    (row,) = (row for row in aws.rows(DATABASE, TABLE) if row.measure_name == "Humidity")
    assert row.value == "93"


def test_discard_with_yes_drops_what_the_filters_name(refused: Program) -> None:
    run = refused.run("rejected", "--discard", "--yes", "--before", "2021-01-01")
    assert (run.returncode, run.stderr) == (0, "")
    assert {each["city"] for each in listed(refused)} == {"Paris"}


def test_with_nothing_rejected_there_is_nothing_to_ask(program: Program) -> None:
    assert program.run().returncode == 0
    for action in ("--retry", "--discard"):
        run = program.run("rejected", action, "--json", stdin=subprocess.DEVNULL)
        assert (run.returncode, json.loads(run.stdout)["records"], run.stderr) == (0, 0, ""), action


def discard(program: Program, typed: bytes) -> Screen:
    """`rejected --discard` with a person at the keyboard."""
    screen = Screen(program.command("rejected", "--discard"), program.env())
    screen.wait_for("Discard 8 records permanently? [y/N]")
    screen.type(typed)
    assert screen.end() == 0
    return screen


def test_discard_drops_nothing_unless_a_person_says_yes(refused: Program) -> None:
    for typed in (b"n\n", b"\n", b"never\n", b"\x04"):
        assert "Nothing was discarded." in discard(refused, typed).text, typed
        assert len(states(journal_of(refused))) == 8, typed


def test_discard_drops_what_a_person_agrees_to_and_shows_it_first(refused: Program) -> None:
    screen = discard(refused, b"y\n")
    assert HUMIDITY in screen.text.splitlines()
    assert states(journal_of(refused)) == []


def test_the_command_needs_neither_aws_nor_the_secret(refused: Program, aws: EmbeddedAws) -> None:
    aws.forget_requests()
    alone = Program({"HOME": refused.environment["HOME"]})
    assert len(listed(alone)) == 8
    assert alone.run("rejected", "--discard", "--yes").returncode == 0
    assert aws.requests == []


def test_a_journal_that_is_off_or_damaged_is_told(refused: Program) -> None:
    off = refused.run("rejected", env={"WEATHER_JOURNAL": "off"})
    assert off.returncode == Status.CONFIG
    assert "WEATHER_JOURNAL" in off.stderr
    journal = journal_of(refused)
    journal.write_bytes(b"not a journal any more " * 1000)
    damaged = refused.run("rejected")
    assert damaged.returncode == Status.IOERR
    assert str(journal) in damaged.stderr
    assert_clean(damaged)
    assert journal.read_bytes().startswith(b"not a journal")


def test_a_place_in_front_of_the_command_filters_too(refused: Program) -> None:
    nothing = refused.run("--place", "Oslo,NO", "rejected", "--discard", "--yes")
    assert nothing.returncode == 0
    assert len(listed(refused)) == 8
    run = refused.run("--place", "Paris,FR", "rejected", "--discard", "--yes")
    assert run.returncode == 0
    assert {each["city"] for each in listed(refused)} == {"London"}


def test_what_could_be_meant_otherwise_is_wrong_usage(refused: Program) -> None:
    for words in (
        ("--dry-run", "rejected"),
        ("--dry-run", "rejected", "--discard", "--yes"),
        ("rejected", "--discard"),
        ("rejected", "--discard", "--yes", "--place", ""),
        ("--place", " ; ", "rejected", "--discard", "--yes"),
    ):
        run = refused.run(*words, stdin=subprocess.DEVNULL)
        assert run.returncode == Status.USAGE, words
        assert_clean(run)
    assert len(states(journal_of(refused))) == 8

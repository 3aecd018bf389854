"""`show`: what the journal holds, what Timestream holds, and whether the two agree."""

import csv
import json
import re
import subprocess
import sys
from argparse import Namespace
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.show import make_parser
from commands.show.comparison import Comparison, compare
from commands.show.from_timestream import (
    dimensions_of,
    identifier,
    literal,
    place_of,
    readings_of_page,
    sql,
)
from commands.show.readings import gap_limit_ms, mean_direction
from commands.show.screen import BARS, PLAIN, sparkline
from commands.terminal import ago as spoken_age
from embedded.aws import EmbeddedAws
from embedded.faults import aws_error, stall
from ingest.errors import Status
from ingest.journal.history import kept
from ingest.journal.rejected import rejected
from ingest.journal.schema import JournalFile
from ingest.observation import MEASURES, Observation, iso_time
from ingest.places import Place
from tests.conftest import API_KEY, DATABASE, SECRET_ID, TABLE, Program
from tests.support.readings import HOUR_MS, LONDON, PARIS, ago, fill, now_ms, page, reject, rows
from tests.support.runs import Finished, assert_clean, journal_of
from tests.support.terminal import screen_of
from tests.support.usage import assert_wrong_usage

WIDTH = 80
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def alone(tmp_path: Path) -> Program:
    """The program with a home, and neither AWS nor a secret to be had."""
    return Program({"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"})


def shown(program: Program, *arguments: str, **options: Any) -> str:
    """Standard output of a `show` that went well."""
    run = program.run("show", *arguments, **options)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def as_json(program: Program, *arguments: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(shown(program, "--json", *arguments))
    return read


def day(place: Place = LONDON, hours: int = 24, every_min: int = 30) -> list[Observation]:
    """Readings up to ten minutes ago, warmer from one to the next."""
    count = hours * 60 // every_min
    return [
        ago(
            10 + (count - number - 1) * every_min,
            place,
            CurrentTemp=f"{5 + number / 4:.2f}",
            Humidity=str(40 + number),
        )
        for number in range(count)
    ]


# --- from the journal


def test_without_a_journal_it_says_so_and_succeeds(alone: Program, tmp_path: Path) -> None:
    read = as_json(alone)
    assert (read["readings"], len(read["notes"])) == ([], 1)
    assert shown(alone, "--csv").splitlines() == [
        "time,time_ms,place,city,country,measure,value,unit,state"
    ]
    assert str(tmp_path / "weather.png") in shown(alone, "--plot", str(tmp_path / "weather.png"))
    assert list(tmp_path.iterdir()) == []


def test_one_reading_is_shown_with_time_age_and_units(alone: Program) -> None:
    fill(journal_of(alone), [ago(12, CurrentTemp="12.5", Humidity="93")])
    lines = shown(alone).splitlines()
    assert lines[0] == "Latest readings"
    assert lines[1] == f"London,GB  {iso_time(now_ms() - 12 * 60_000)}  {lines[1][33:]}"
    assert re.search(r"1[2-9] min ago$", lines[1])
    assert lines[2] == "  CurrentTemp 12.5 C   Humidity 93 %"
    assert "The last 24 hours, from the journal" in lines
    assert re.fullmatch(
        r"  CurrentTemp +12\.5 +12\.5 +12\.5 +12\.5  C +=",
        next(x for x in lines[6:] if "Temp" in x),
    )


def test_the_table_has_least_mean_most_and_latest_of_the_window(alone: Program) -> None:
    temperatures = {50: "30", 40: "4", 30: "8.25", 20: "6"}
    seen = [ago(minutes, CurrentTemp=value) for minutes, value in temperatures.items()]
    fill(journal_of(alone), seen)
    (row,) = (
        line
        for line in shown(alone, "--hours", "0.75").splitlines()
        if "  CurrentT" in line and line.split()[-1] != "C"
    )
    assert row.split()[:6] == ["CurrentTemp", "4.00", "6.08", "8.25", "6", "C"]


def test_one_hour_is_told_as_one(alone: Program, tmp_path: Path) -> None:
    fill(journal_of(alone), [ago(90, CurrentTemp="7")])
    assert "last hour." in shown(alone, "--hours", "1")
    assert "last hour" in shown(alone, "--hours", "1", "--plot", str(tmp_path / "weather.png"))
    assert "last 1.25 hours." in shown(alone, "--hours", "1.25")
    assert "last 1000000 hours" in shown(alone, "--hours", "1000000")


def test_a_reading_before_the_window_is_still_the_latest(alone: Program) -> None:
    fill(journal_of(alone), [ago(60 * 50, CurrentTemp="7")])
    assert "2 d ago" in shown(alone)
    assert as_json(alone)["readings"] == []
    assert [each["value"] for each in as_json(alone)["latest"]] == [7]


def test_of_a_place_the_latest_is_what_was_observed_last(alone: Program) -> None:
    fill(journal_of(alone), [ago(60, CurrentTemp="7", Rain1h="2"), ago(10, CurrentTemp="8")])
    assert {each["measure"]: each["value"] for each in as_json(alone)["latest"]} == {
        "CurrentTemp": 8
    }


def test_pending_readings_count_and_are_noted(alone: Program) -> None:
    fill(journal_of(alone), [ago(30), ago(20), ago(10)], pending=2)
    (note,) = as_json(alone)["notes"]
    assert note.startswith("2 observations are pending")
    states = [each["state"] for each in as_json(alone, "--measure", "Humidity")["readings"]]
    assert states == ["delivered", "pending", "pending"]


def test_rejected_readings_do_not_count(alone: Program) -> None:
    reject(journal_of(alone), ago(10, CurrentTemp="12.5", Humidity="93"), "Humidity")
    assert [each["measure"] for each in as_json(alone)["readings"]] == ["CurrentTemp"]
    assert [each["measure"] for each in as_json(alone)["latest"]] == ["CurrentTemp"]


def test_a_value_that_was_corrected_is_shown_once(alone: Program) -> None:
    fill(journal_of(alone), [ago(10, CurrentTemp="1"), ago(10, CurrentTemp="2")])
    assert [each["value"] for each in as_json(alone)["readings"]] == [2]


def test_several_places_each_have_their_latest_and_their_rows(alone: Program) -> None:
    fill(journal_of(alone), [*day(), *day(PARIS)])
    text = shown(alone)
    assert text.count("London,GB") == text.count("Paris,FR") == 2
    assert len([line for line in text.splitlines() if line.startswith("  Humidity")]) == 2


def test_filters_narrow_each_and_together(alone: Program) -> None:
    fill(journal_of(alone), [*day(hours=1), *day(PARIS, hours=1)])
    cases: list[tuple[list[str], set[tuple[str, str]]]] = [
        (["--place", "Paris,FR"], {("Paris", "CurrentTemp"), ("Paris", "Humidity")}),
        (["--place", "Paris"], {("Paris", "CurrentTemp"), ("Paris", "Humidity")}),
        (["--measure", "Humidity"], {("Paris", "Humidity"), ("London", "Humidity")}),
        (["--place", "London", "--measure", "Humidity"], {("London", "Humidity")}),
        (
            ["--place", "London", "--place", "Paris", "--measure", "Humidity"],
            {("Paris", "Humidity"), ("London", "Humidity")},
        ),
        (["--place", "Rome"], set()),
    ]
    for arguments, expected in cases:
        read = as_json(alone, *arguments)
        for part in ("readings", "latest"):
            assert {(each["city"], each["measure"]) for each in read[part]} == expected, arguments
    for spelling in ("London, GB", " london ,gb", "LONDON", "London,  GB "):
        read = as_json(alone, "--place", spelling)
        assert {each["city"] for each in read["readings"]} == {"London"}, spelling
    assert "London,GB; Paris,FR" in shown(alone, "--place", "Rome")


def test_a_place_in_front_of_the_command_counts_too(alone: Program) -> None:
    fill(journal_of(alone), [ago(10), ago(10, PARIS)])
    run = alone.run("--json", "--place", "Paris,FR", "show")
    assert {each["city"] for each in json.loads(run.stdout)["readings"]} == {"Paris"}


def test_csv_reads_back_as_what_the_journal_holds(alone: Program) -> None:
    seen = [ago(30, CurrentTemp="-1.25", Condition='Rain, or "snow"'), ago(20, Humidity="93")]
    fill(journal_of(alone), seen, pending=1)
    read = list(csv.DictReader(shown(alone, "--csv").splitlines()))
    assert [(each["measure"], each["value"], each["unit"], each["state"]) for each in read] == [
        ("CurrentTemp", "-1.25", "°C", "delivered"),
        ("Condition", 'Rain, or "snow"', "", "delivered"),
        ("Humidity", "93", "%", "pending"),
    ]
    assert read[0]["time"] == iso_time(seen[0].time_ms)
    assert read[0]["time_ms"] == str(seen[0].time_ms)
    assert (read[0]["place"], read[0]["city"], read[0]["country"]) == ("London,GB", "London", "GB")


def test_json_reads_back_with_ages_units_and_numbers(alone: Program) -> None:
    fill(journal_of(alone), [ago(10, CurrentTemp="12.85", Pressure="1010", Condition="Rain")])
    read = as_json(alone)
    assert (read["source"], read["units"]) == ("the journal", "metric")
    (temp, pressure, condition) = read["latest"]
    assert (temp["value"], pressure["value"], condition["value"]) == (12.85, 1010, "Rain")
    assert (temp["unit"], pressure["unit"], condition["unit"]) == ("°C", "hPa", "")
    assert temp["age_seconds"] >= 600


def test_where_the_journal_has_no_units_they_are_of_the_settings_or_the_command_line(
    alone: Program,
) -> None:
    fill(journal_of(alone), [ago(10, CurrentTemp="50", WindSpeed="3")])
    assert "CurrentTemp 50 F   WindSpeed 3 mph" in shown(alone, "--units", "imperial")
    text = shown(alone, env={"WEATHER_UNITS": "standard"})
    assert "CurrentTemp 50 K   WindSpeed 3 m/s" in text


def in_units(observation: Observation, units: str) -> Observation:
    return replace(observation, units=units)


def test_readings_have_the_units_that_they_were_fetched_in(alone: Program) -> None:
    fill(journal_of(alone), [in_units(ago(10, CurrentTemp="50", WindSpeed="3"), "imperial")])
    for units in ("metric", "standard"):
        text = shown(alone, env={"WEATHER_UNITS": units})
        assert "CurrentTemp 50 F   WindSpeed 3 mph" in text
        assert "--units" not in text
    text = shown(alone, "--units", "metric")
    assert "CurrentTemp 50 F   WindSpeed 3 mph" in text
    assert text.splitlines()[-1] == (
        "--units metric does not change readings that were fetched in imperial units."
    )
    assert as_json(alone)["units"] == "imperial"
    assert "--units" not in shown(alone, "--units", "imperial")


def test_a_run_says_its_units_to_show_also_where_the_secret_alone_has_them(
    program: Program, aws: EmbeddedAws
) -> None:
    settings = {"OPENWEATHERMAP_API_KEY": API_KEY, "WEATHER_UNITS": "imperial"}
    aws.put_secret(SECRET_ID, json.dumps(settings))
    assert program.run().returncode == 0
    (temperature,) = as_json(program, "--measure", "CurrentTemp")["latest"]
    assert temperature["unit"] == "°F"


def test_readings_in_two_units_are_never_mixed(alone: Program) -> None:
    metric = [in_units(ago(30 + n, CurrentTemp="10", Humidity="90"), "metric") for n in range(3)]
    imperial = [in_units(ago(10 + n, CurrentTemp="50", Humidity="80"), "imperial") for n in (1, 0)]
    fill(journal_of(alone), [*reversed(metric), *imperial])
    lines = [line.split() for line in shown(alone).partition("from the journal")[2].splitlines()]
    rows = [line[:6] for line in lines if line[:1] in (["CurrentTemp"], ["Humidity"])]
    assert rows == [
        ["CurrentTemp", "10", "10.0", "10", "10", "C"],
        ["CurrentTemp", "50", "50.0", "50", "50", "F"],
        ["Humidity", "80", "86.0", "90", "80", "%"],
    ]
    read = as_json(alone, "--measure", "CurrentTemp")
    assert [(each["value"], each["unit"]) for each in read["readings"]] == [
        *[(10, "°C")] * 3,
        *[(50, "°F")] * 2,
    ]
    assert read["units"] == "mixed"
    assert [each["unit"] for each in read["latest"]] == ["°F"]
    text = shown(alone, "--csv")
    assert text.count("CurrentTemp,10,°C,") == 3
    assert text.count("CurrentTemp,50,°F,") == 2


def test_of_one_time_fetched_in_two_units_the_last_counts(alone: Program) -> None:
    seen = [
        in_units(ago(10, CurrentTemp="10", Humidity="90"), "metric"),
        in_units(ago(10, CurrentTemp="50", Humidity="90"), "imperial"),
    ]
    fill(journal_of(alone), seen)
    read = as_json(alone)
    assert [(each["value"], each["unit"]) for each in read["readings"]] == [(50, "°F"), (90, "%")]


def test_every_measure_has_its_row_and_codes_have_no_mean(alone: Program) -> None:
    values = dict.fromkeys(MEASURES, "359") | {"Condition": "Rain", "Sunrise": str(now_ms())}
    later = values | {"WindDirection": "5", "ConditionId": "500"}
    fill(journal_of(alone), [ago(20, LONDON, **values), ago(10, LONDON, **later)])
    table = shown(alone).partition("from the journal")[2].splitlines()
    cells = {line.split()[0]: line.split()[1:5] for line in table if line.startswith("  ")}
    assert set(cells) == set(MEASURES)
    assert cells["WindDirection"] == ["-", "2.0", "-", "5"]
    assert cells["ConditionId"] == ["-", "-", "-", "500"]
    assert cells["Condition"] == ["-", "-", "-", "Rain"]
    assert re.fullmatch(r"\d\d:\d\dZ", cells["Sunrise"][3])


# --- how it looks


def test_on_a_terminal_it_has_colours_and_bars_within_80_columns(alone: Program) -> None:
    long_name = Place("Llanfairpwllgwyngyll,GB", ())
    fill(journal_of(alone), [*day(), *day(long_name, hours=3)])
    screen = screen_of(alone, "show")
    assert b"\x1b[" in screen.raw
    plain = screen.text
    assert "▁" in plain
    assert "█" in plain
    assert "°C" in plain
    assert max(map(len, plain.splitlines())) <= WIDTH


def test_with_all_measures_it_keeps_within_80_columns_everywhere(alone: Program) -> None:
    values = dict.fromkeys(MEASURES, "1234.56") | {"Condition": "Thunderstorm"}
    fill(journal_of(alone), [ago(30, LONDON, **values), ago(20, LONDON, **values)])
    for text in (screen_of(alone, "show").text, shown(alone)):
        assert max(map(len, text.splitlines())) <= WIDTH, text


def test_without_colour_a_terminal_shows_plain_ascii(alone: Program) -> None:
    fill(journal_of(alone), day())
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        raw = screen_of(alone, "show", **env).raw
        assert raw.isascii(), env
        assert b"\x1b" not in raw, env


def test_in_a_mail_it_is_plain_ascii_without_trailing_blanks(alone: Program) -> None:
    fill(journal_of(alone), day())
    text = shown(alone)
    assert text.isascii()
    assert f"trend: {PLAIN}" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_gap_is_blank_in_the_trend(alone: Program) -> None:
    fill(journal_of(alone), [each for n, each in enumerate(day()) if not 16 <= n < 32])
    (line,) = (x for x in shown(alone).splitlines() if x.startswith("  Humidity "))
    trend = line[line.index("%") + 1 :].strip()
    assert re.fullmatch(r"\S{5,} {6,}\S{5,}", trend), trend


def test_text_from_outside_cannot_move_the_cursor(alone: Program) -> None:
    evil = Place("Evil\x1b[2J,GB", ())
    fill(journal_of(alone), [ago(10, evil, Condition="\x1b]0;gotcha\x07[bold]Rain")])
    for text in (shown(alone), shown(alone, "--place", "nowhere")):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "[bold]Rain" in shown(alone)


# --- what it leaves alone


def test_the_journal_is_read_and_left_as_it_was(alone: Program) -> None:
    journal = journal_of(alone)
    fill(journal, day())
    before = journal.read_bytes(), sorted(path.name for path in journal.parent.iterdir())
    shown(alone)
    assert (journal.read_bytes(), sorted(p.name for p in journal.parent.iterdir())) == before


def test_from_the_journal_it_asks_neither_aws_nor_for_the_secret(
    program: Program, aws: EmbeddedAws
) -> None:
    fill(journal_of(program), day())
    shown(program)
    shown(program, "--csv")
    assert aws.requests == []


def test_a_journal_that_is_off_or_damaged_is_told(alone: Program) -> None:
    off = alone.run("show", env={"WEATHER_JOURNAL": "off"})
    assert off.returncode == Status.CONFIG
    assert "--from-timestream" in off.stderr
    journal = journal_of(alone)
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"not a journal any more " * 1000)
    damaged = alone.run("show")
    assert damaged.returncode == Status.IOERR
    assert_clean(damaged)


def test_wrong_usage_is_told(alone: Program, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [
        ["--hours", "0"],
        ["--hours", "nan"],
        ["--hours", "soon"],
        ["--measure", "Humdity"],
        ["--csv", "--json"],
        ["--plot", "weather.gif"],
        ["--time-zone", "Europe/Lundon"],
    ]
    assert_wrong_usage(make_parser(), wrong, capsys)
    run = alone.run("show", "--compare", "--csv")
    assert run.returncode == Status.USAGE
    assert_clean(run)


# --- from Timestream

READ_ONLY = {"GetSecretValue", "DescribeEndpoints", "Query"}


def statements(aws: EmbeddedAws) -> list[str]:
    return [each.json["QueryString"] for each in aws.requests if each.action == "Query"]


def test_from_timestream_shows_all_pages_and_writes_nothing(
    program: Program, aws: EmbeddedAws
) -> None:
    table = rows(day(hours=3))
    aws.queue_query_pages(
        page([], "one", 10.0), page(table[:5], "two", 60.0), page([], "three"), page(table[5:])
    )
    read = as_json(program, "--from-timestream")
    assert read["source"] == f"{DATABASE}.{TABLE}"
    assert [(each["measure"], each["value"]) for each in read["readings"]] == [
        (row.measure_name, json.loads(row.value)) for row in table
    ]
    assert {each["place"] for each in read["readings"]} == {"London,GB"}
    assert {each["measure"]: each["value"] for each in read["latest"]} == {
        "CurrentTemp": 6.25,
        "Humidity": 45,
    }
    tokens = [each.json.get("NextToken") for each in aws.requests if each.action == "Query"]
    assert tokens == [None, "one", "two", "three"]
    assert len(set(statements(aws))) == 1
    assert {each.action for each in aws.requests} == READ_ONLY
    assert aws.rows(DATABASE, TABLE) == []
    assert not journal_of(program).exists()


def test_the_sql_is_shown_with_v_and_names_what_was_asked_for(
    program: Program, aws: EmbeddedAws
) -> None:
    arguments = ("--from-timestream", "--hours", "2", "--place", "London,GB")
    for run in (
        program.run("-v", "show", *arguments, "--measure", "Humidity"),
        program.run("show", "-v", *arguments, "--measure", "Humidity"),
    ):
        (statement,) = set(re.findall(r"Timestream query: (.*)", run.stderr))
        assert statement in statements(aws)
    first, last = map(int, re.findall(r"from_milliseconds\((\d+)\)", statement))
    assert last - first == 2 * HOUR_MS
    assert statement.startswith(f'SELECT * FROM "{DATABASE}"."{TABLE}" WHERE time BETWEEN ')
    assert "measure_name IN ('Humidity')" in statement
    assert "(\"city\" = 'London' AND \"country\" = 'GB')" in statement
    assert "last 2 hours" in run.stdout
    quiet = program.run("show", *arguments)
    assert quiet.stderr == ""


def test_a_place_that_the_journal_knows_is_asked_for_by_its_dimensions(
    program: Program, aws: EmbeddedAws
) -> None:
    zurich = Observation(
        Place("zip:8001,CH", ()),
        "Zürich",
        "CH",
        0,
        now_ms() - HOUR_MS,
        now_ms(),
        {"Humidity": "50"},
    )
    unknown = program.run("show", "--from-timestream", "--place", "zip:8001,CH")
    assert unknown.returncode == Status.USAGE
    assert "zip:8001,CH" in unknown.stderr
    fill(journal_of(program), [zurich])
    for spelling in ("zip:8001,CH", "zip:8001, ch"):
        shown(program, "--from-timestream", "--place", spelling)
        assert "(\"city\" = 'Zürich' AND \"country\" = 'CH')" in statements(aws)[-1]


def test_each_form_of_a_place_is_told_by_its_dimensions() -> None:
    forms = {
        "London": {"city": "London"},
        "London,GB": {"city": "London", "country": "GB"},
        "Springfield,IL,US": {"city": "Springfield", "country": "US"},
        "2643743": {"city_id": "2643743"},
        "51.5,-0.12": {"latitude": "51.5", "longitude": "-0.12"},
    }
    assert dict(zip(forms, dimensions_of(list(forms)), strict=True)) == forms


def test_a_row_is_named_by_coordinates_else_city_else_id() -> None:
    london = {"city": "London", "country": "GB", "city_id": "2643743"}
    cases: list[tuple[dict[str, str], str]] = [
        (london, "London,GB"),
        ({**london, "latitude": "51.5", "longitude": "-0.1"}, "51.5,-0.1"),
        ({"city_id": "2643743"}, "2643743"),
    ]
    for dimensions, place in cases:
        assert place_of(dimensions) == place


INJECTIONS = (
    "x' OR '1'='1",
    "'; DROP TABLE weather; --",
    "\\' OR 1=1 --",
    "O'Brien' /*",
    'a" OR "1"="1',
    "''",
)


def test_a_place_cannot_leave_its_literal() -> None:
    options = Namespace(start_ms=0, end_ms=1, measure=[])
    plain, *statements = (
        outside_literals(sql(DATABASE, TABLE, options, dimensions_of([text])))
        for text in ("Rome", *INJECTIONS)
    )
    assert [each for each in statements if each != plain] == []


def test_a_place_that_is_sql_is_sent_as_a_text(program: Program, aws: EmbeddedAws) -> None:
    shown(program, "--from-timestream", "--place", INJECTIONS[0])
    assert "(\"city\" = 'x'' OR ''1''=''1')" in statements(aws)[0]


def outside_literals(statement: str) -> str:
    """The statement without what stands in quotes of either kind, read as SQL reads it."""
    return re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "?", statement)


@given(st.text())
def test_literals_and_identifiers_hold_any_text(text: str) -> None:
    assert outside_literals(f"a {literal(text)} b {identifier(text)} c") == "a ? b ? c"
    assert literal(text)[1:-1].replace("''", "'") == text
    assert identifier(text)[1:-1].replace('""', '"') == text


def test_what_timestream_refuses_is_told(program: Program, aws: EmbeddedAws) -> None:
    for code, http, status in (
        ("ValidationException", 400, Status.CONFIG),
        ("AccessDeniedException", 403, Status.NOPERM),
        ("QueryExecutionException", 400, Status.CONFIG),
    ):
        aws.plan.always("Query", aws_error(code, "No such table.", http))
        run = program.run("show", "--from-timestream")
        assert run.returncode == status, code
        assert f"{DATABASE}.{TABLE}" in run.stderr, code
        assert code in run.stderr
        assert_clean(run)
        aws.plan.clear()


@pytest.mark.parametrize("option", ["--from-timestream", "--compare"])
def test_a_silent_timestream_is_waited_for_until_the_deadline(
    program: Program, aws: EmbeddedAws, option: str
) -> None:
    fill(journal_of(program), [ago(10)])
    aws.plan.always("Query", stall())
    # Python's own time limit is far below the minute that a query may take.
    run = program.run("show", option, env={"WEATHER_DEADLINE_SECONDS": "2"}, timeout=30)
    assert run.returncode == Status.TEMPFAIL
    assert "2 seconds (WEATHER_DEADLINE_SECONDS)" in run.stderr
    assert f"{DATABASE}.{TABLE}" in run.stderr
    assert_clean(run)


def test_on_a_terminal_a_query_says_how_far_it_is(program: Program, aws: EmbeddedAws) -> None:
    table = rows(day(hours=1))
    aws.queue_query_pages(page(table[:2], "one", 25.0), page(table[2:]))
    text = screen_of(program, "show", "--from-timestream").text
    assert f"Querying {DATABASE}.{TABLE}" in text
    assert "▄" in text


def test_rows_of_other_programs_are_passed_over(program: Program, aws: EmbeddedAws) -> None:
    answer = page(rows([ago(10, Humidity="50")]))
    (row,) = answer["Rows"]
    foreign = [dict(each) for each in row["Data"]]
    foreign[3] = {"ScalarValue": "cpu_user"}
    nothing = [dict(each) for each in row["Data"]]
    nothing[5] = {"NullValue": True}
    answer["Rows"] += [{"Data": foreign}, {"Data": nothing}]
    aws.queue_query_pages(answer)
    assert len(as_json(program, "--from-timestream")["readings"]) == 1


# --- the journal against the table


def compared(program: Program, *arguments: str) -> tuple[int, dict[str, Any]]:
    run = program.run("show", "--compare", "--json", *arguments)
    assert run.stderr == ""
    read: dict[str, Any] = json.loads(run.stdout)
    return run.returncode, read


def test_what_a_real_run_delivered_is_found_in_the_table(
    program: Program, aws: EmbeddedAws
) -> None:
    assert program.run("--place", "London,GB", "--place", "Paris,FR").returncode == 0
    aws.queue_query_pages(page(aws.rows(DATABASE, TABLE)))
    run = program.run("show", "--compare")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[-1] == "They agree."


def test_what_the_table_lacks_is_named_and_is_status_65(program: Program, aws: EmbeddedAws) -> None:
    seen = day(hours=1)
    fill(journal_of(program), seen)
    aws.queue_query_pages(page(rows(seen)[1:]))
    run = program.run("show", "--compare")
    assert (run.returncode, run.stderr) == (Status.DATAERR, "")
    moment = f"{iso_time(seen[0].time_ms)} ({seen[0].time_ms})"
    assert run.stdout.splitlines()[-1] == (
        f"  CurrentTemp=5.00 city=London country=GB city_id=2643743 at {moment}"
    )


def test_what_only_the_table_has_is_named_and_is_no_failure(
    program: Program, aws: EmbeddedAws
) -> None:
    seen = day(hours=1)
    fill(journal_of(program), seen)
    aws.queue_query_pages(page(rows([*seen, ago(7, PARIS, Humidity="50")])))
    status, read = compared(program)
    assert (status, read["lacking"], read["different"]) == (0, [], [])
    (row,) = read["unknown"]
    assert (row["measure"], row["value"], row["dimensions"]["city"]) == ("Humidity", 50, "Paris")


def test_another_value_in_the_table_is_named(program: Program, aws: EmbeddedAws) -> None:
    fill(journal_of(program), [ago(10, Humidity="50")])
    aws.queue_query_pages(page(rows([ago(10, Humidity="51")])))
    status, read = compared(program)
    assert status == Status.DATAERR
    ((row,), lacking) = (read["different"], read["lacking"])
    assert (row["value"], row["value_in_table"], lacking) == (50, 51, [])
    aws.queue_query_pages(page(rows([ago(10, Humidity="51")])))
    assert "the table has 51" in program.run("show", "--compare").stdout


def compared_with(path: Path, table: list[Observation]) -> Comparison:
    """The journal against a table that holds these, without a Query between."""
    held = readings_of_page(page(rows(table)), "metric")
    with closing(JournalFile(path, read_only=True)) as journal:
        return compare(kept(journal, 0), rejected(journal), held, lambda _: True)


def test_pending_and_rejected_records_are_neither_lacking_nor_unknown(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    pending, refused = ago(10, Humidity="50"), ago(20, Humidity="60", Pressure="1000")
    reject(path, refused, "Pressure")
    fill(path, [pending], pending=1)
    for table in ([refused], [refused, pending]):
        result = compared_with(path, table)
        assert (result.delivered, result.lacking, result.unknown) == (1, [], [])


def test_a_corrected_value_is_compared_by_its_highest_version(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    fill(path, [ago(10, Humidity="50"), ago(10, Humidity="51")])
    result = compared_with(path, [ago(10, Humidity="51")])
    assert (result.delivered, result.different, result.lacking) == (1, [], [])


def test_records_for_another_table_are_not_expected_in_this_one(
    program: Program, aws: EmbeddedAws
) -> None:
    fill(journal_of(program), [ago(10)], target="us-east-1/other.table")
    aws.queue_query_pages(page([]))
    status, read = compared(program)
    assert (status, read["delivered"], read["lacking"]) == (0, 0, [])


def test_filters_hold_for_both_sides_of_a_comparison(program: Program, aws: EmbeddedAws) -> None:
    fill(journal_of(program), [ago(10), ago(10, PARIS)])
    aws.queue_query_pages(page([]))
    status, read = compared(program, "--place", "Paris", "--measure", "Humidity")
    assert status == Status.DATAERR
    assert [(row["dimensions"]["city"], row["measure"]) for row in read["lacking"]] == [
        ("Paris", "Humidity")
    ]


def test_without_a_journal_there_is_nothing_to_compare_with(program: Program) -> None:
    run: Finished = program.run("show", "--compare")
    assert run.returncode == Status.CONFIG
    assert "WEATHER_JOURNAL" in run.stderr


# --- its parts


def test_ages_read_as_a_person_says_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.terminal.time.time", lambda: 1_800_000_000.0)
    texts = {
        -3 * HOUR_MS: "in 3 h",
        29_000: "29 s ago",
        2 * 60_000: "2 min ago",
        119 * 60_000: "119 min ago",
        3 * HOUR_MS + 300_000: "3 h ago",
        26 * HOUR_MS: "26 h ago",
        40 * 24 * HOUR_MS: "40 d ago",
    }
    assert {age_ms: spoken_age(1_800_000_000_000 - age_ms) for age_ms in texts} == texts


def test_directions_are_averaged_around_the_circle() -> None:
    around_north = mean_direction([350, 10])
    assert around_north is not None
    assert min(around_north, 360 - around_north) < 1e-6
    assert mean_direction([90, 180]) == pytest.approx(135)
    assert mean_direction([0, 180]) is None


def test_gaps_are_three_spacings_or_three_hours_whichever_is_longer() -> None:
    assert gap_limit_ms([0]) == 3 * HOUR_MS
    assert gap_limit_ms([0, HOUR_MS // 6, HOUR_MS // 3]) == 3 * HOUR_MS
    assert gap_limit_ms([0, 2 * HOUR_MS, 4 * HOUR_MS]) == 6 * HOUR_MS


def test_a_sparkline_rises_with_its_values() -> None:
    points = [(number * HOUR_MS, float(number)) for number in range(8)]
    assert sparkline(points, 0, 8 * HOUR_MS, 8) == BARS
    assert sparkline(points, 0, 8 * HOUR_MS, 8, PLAIN) == PLAIN
    assert sparkline([*points[:3], points[7]], 0, 8 * HOUR_MS, 8) == "▁▂▃    █"
    assert sparkline(points[::2], 0, 8 * HOUR_MS, 8) == "▁▂▃▅▆▇█ "
    assert sparkline([(0, 5.0)], 0, HOUR_MS, 3) == "▄  "
    assert sparkline([], 0, HOUR_MS, 3) == "   "


def test_a_sparkline_of_a_constant_is_flat() -> None:
    uneven = [
        (value, width)
        for value in (0.1, 11.87, -0.3, 1011.0, 1e-9)
        for width in range(1, 49)
        if sparkline([(number * HOUR_MS // 6, value) for number in range(144)], 0, DAY_MS, width)
        != "▄" * width
    ]
    assert uneven == []


def test_a_sparkline_shows_the_least_change_that_a_reading_can_have() -> None:
    assert sparkline([(0, 1011.0), (HOUR_MS, 1011.01)], 0, 2 * HOUR_MS, 2) == "▁█"
    assert sparkline([(0, 0.0), (HOUR_MS, 0.001)], 0, 2 * HOUR_MS, 2) == "▁█"


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.floats(-1e6, 1e6, allow_nan=False)), max_size=40
    ).map(sorted),
    st.integers(1, 60),
)
def test_a_sparkline_is_as_wide_as_asked_for(points: list[tuple[int, float]], width: int) -> None:
    assert len(sparkline(points, 0, 10**9, width)) == width


def test_the_command_alone_imports_no_matplotlib_and_no_boto3(alone: Program) -> None:
    code = (
        "import sys, ingest_weather\n"
        "assert ingest_weather.main(['show']) == 0\n"
        "assert not {'matplotlib', 'boto3', 'botocore'} & set(sys.modules)"
    )
    fill(journal_of(alone), [ago(10)])
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], env=alone.env(), cwd=root, check=True, timeout=60)

"""What a run says of itself: failures grouped for a person, all of them for a machine."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.faults import answer
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import AccessError, BlockedError, Interrupted, ReplyError, Status, WeatherError
from ingest.reporting.summary import NAMED, Summary
from tests.conftest import Program
from tests.support.runs import summary as summary_of


def failed(kind: str) -> WeatherError:
    return WeatherError(f"it was a {kind}.", permanent=True, kind=kind)


def summary(*failures: tuple[str, str]) -> Summary:
    """A summary of these places and kinds of failures, in this order."""
    result = Summary("run", keep_all=True)
    for place, kind in failures:
        result.place_failed(place, failed(kind))
    return result


@pytest.mark.parametrize("error", [AccessError("no"), BlockedError("no"), ReplyError("no")])
def test_the_kind_of_an_error_is_its_own(error: AccessError | WeatherError) -> None:
    result = Summary("run")
    result.place_failed("A,GB", error)
    assert list(result.groups) == [error.kind]
    assert error.kind in {"key refused", "blocked", "unusable reply"}


def test_a_place_cannot_write_over_the_terminal() -> None:
    told = summary(("Par\x1b[2Jis,FR", "time-out")).describe_failures()
    assert told.startswith("Par [2Jis,FR:")


@given(st.lists(st.tuples(st.integers(1, 99).map(str), st.sampled_from("abcd")), min_size=2))
def test_the_counts_add_up_and_the_most_come_first(failures: list[tuple[str, str]]) -> None:
    result = summary(*failures)
    kinds = [kind for _, kind in failures]
    head, *lines = result.describe_failures().splitlines()
    groups = head.partition(": ")[2].split("), ")
    counts = [int(group.split()[0]) for group in groups]
    assert result.failed == sum(counts) == len(failures)
    assert counts == sorted((kinds.count(kind) for kind in set(kinds)), reverse=True)
    assert len(lines) == len(set(kinds))
    assert result.failures == [
        {"place": place, "kind": kind, "error": f"it was a {kind}."} for place, kind in failures
    ]


def test_only_one_of_a_kind_is_remembered_where_not_all_are_wanted() -> None:
    result = Summary("run")
    for number in range(10_000):
        result.place_failed(f"City {number},GB", failed("time-out"))
    assert (result.failed, result.failures) == (10_000, [])
    assert len(result.groups["time-out"].names) == NAMED


def test_the_status_is_the_most_urgent_of_all_failures() -> None:
    result = Summary("run")
    statuses = [result.status]
    for error in (Interrupted("SIGTERM"), failed("time-out"), AccessError("no")):
        result.place_failed("A,GB", error)
        statuses.append(result.status)
    assert statuses == [Status.OK, Status.TEMPFAIL, Status.UNAVAILABLE, Status.NOPERM]


def test_a_summary_for_machines_has_every_count_and_no_empty_failures() -> None:
    result = Summary("run", places=2, fetched=2, stored=8, seconds=0.5).as_dict()
    result.pop("run", None)
    assert result == {
        "places": 2,
        "fetched": 2,
        "unchanged": 0,
        "failed": 0,
        "stored": 8,
        "rejected": 0,
        "pending": 0,
        "seconds": 0.5,
        "status": 0,
    }


# From the program's start

UNKNOWN = [f"Nowhere {letter},XX" for letter in "ABCDE"]
PLACES = ";".join(["London,GB", *UNKNOWN, "Paris,FR"])


def failing(weather: EmbeddedOpenWeatherMap) -> None:
    """Paris gets no reply that can be read; the Nowheres are unknown to the service itself."""
    fault = answer(200, b"<html>")
    weather.plan.when("weather", lambda each: fault if each.query["q"] == "Paris,FR" else None)


def test_a_run_reports_its_failures_in_groups(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    failing(weather)
    run = program.run(env={"WEATHER_PLACES": PLACES})
    assert (run.returncode, run.stdout) == (Status.UNAVAILABLE, "")
    head, not_found, unusable = run.stderr.splitlines()
    assert " ERROR " in head
    assert head.endswith("(Paris,FR)")
    assert "404" in not_found
    assert unusable.startswith("  Paris,FR: ")


def test_with_json_every_failure_is_there(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    failing(weather)
    result = summary_of(program.run("--json", env={"WEATHER_PLACES": PLACES}))
    kinds = {each["place"]: each["kind"] for each in result["failures"]}
    assert kinds == dict.fromkeys(UNKNOWN, "not found") | {"Paris,FR": "unusable reply"}
    assert all(each["error"] for each in result["failures"])
    assert (result["places"], result["fetched"], result["failed"]) == (7, 1, 6)


def test_with_v_every_failure_has_a_line(program: Program, weather: EmbeddedOpenWeatherMap) -> None:
    failing(weather)
    run = program.run("-v", env={"WEATHER_PLACES": PLACES})
    lines = [line for line in run.stderr.splitlines() if " DEBUG " in line]
    for place in UNKNOWN:
        assert any(f" {place}: " in line and "404" in line for line in lines)
    assert any(" Paris,FR: " in line for line in lines)


def test_as_json_lines_the_failures_are_one_entry(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    failing(weather)
    run = program.run(env={"WEATHER_PLACES": PLACES, "LOG_FORMAT": "json"})
    (entry,) = map(json.loads, run.stderr.splitlines())
    assert entry["level"] == logging.getLevelName(logging.ERROR)
    assert len(entry["message"].splitlines()) == 3

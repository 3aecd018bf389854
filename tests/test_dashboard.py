"""The Grafana dashboard: made from the table of measures, and of the form that Grafana reads."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from deploy.make_dashboard import DATA_SOURCE, UNIT_IDS, as_text, dashboard
from tests.conftest import ROOT
from weather import DEFAULT_MEASURES, MEASURES, UNITS

FILE = ROOT / "deploy" / "grafana-dashboard.json"


@pytest.fixture(params=UNITS)
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(as_text(request.param))
    return read


def panels(made: dict[str, Any]) -> list[dict[str, Any]]:
    """All that show something: those in sight, then those in the row."""
    found: list[dict[str, Any]] = []
    for panel in made["panels"]:
        found += panel["panels"] if panel["type"] == "row" else [panel]
    return found


def test_the_committed_file_is_what_the_script_makes() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "deploy.make_dashboard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert made.stdout == FILE.read_text(encoding="utf-8")
    assert json.loads(made.stdout) == dashboard("metric")


def test_each_measure_has_one_panel_and_the_default_ones_are_in_sight(
    made: dict[str, Any],
) -> None:
    assert sorted(panel["title"] for panel in panels(made)) == sorted(MEASURES)
    in_sight = [panel["title"] for panel in made["panels"] if panel["type"] != "row"]
    assert in_sight == list(DEFAULT_MEASURES)


def test_every_unit_of_a_measure_is_one_of_grafanas() -> None:
    known = {unit for measure in MEASURES.values() for unit in measure.units}
    assert known == set(UNIT_IDS)


@pytest.mark.parametrize(
    ("units", "temperature", "speed"),
    [
        ("standard", "kelvin", "velocityms"),
        ("metric", "celsius", "velocityms"),
        ("imperial", "fahrenheit", "velocitymph"),
    ],
)
def test_units_are_those_that_were_asked_for(units: str, temperature: str, speed: str) -> None:
    shown = {
        panel["title"]: panel["fieldConfig"]["defaults"].get("unit")
        for panel in panels(dashboard(units))
    }
    assert (shown["CurrentTemp"], shown["WindSpeed"]) == (temperature, speed)
    assert (shown["Pressure"], shown["Sunrise"]) == ("pressurehpa", "dateTimeAsIso")


def test_ids_are_unique(made: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in [*panels(made), *made["panels"]]]
    assert len(set(ids)) == len(panels(made)) + 1  # and the row's own


def test_panels_lie_on_the_grid_and_nowhere_on_each_other(made: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    rows = [panel for panel in made["panels"] if panel["type"] == "row"]
    for panel in [*panels(made), *rows]:
        place = panel["gridPos"]
        assert set(place) == {"h", "w", "x", "y"}
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_panel_and_query_takes_the_chosen_data_source(made: dict[str, Any]) -> None:
    assert DATA_SOURCE["uid"] == "${datasource}"
    for panel in panels(made):
        assert panel["datasource"] == DATA_SOURCE
        (target,) = panel["targets"]
        assert target["datasource"] == DATA_SOURCE
        assert target["refId"] == "A"


def test_every_query_names_its_measure_the_time_and_the_variables(made: dict[str, Any]) -> None:
    variables = {each["name"] for each in made["templating"]["list"]}
    assert variables == {"datasource", "database", "table", "place"}
    for panel in panels(made):
        query = panel["targets"][0]["rawQuery"]
        assert 'FROM "${database}"."${table}"' in query
        assert "$__timeFilter" in query
        assert f"measure_name = '{panel['title']}'" in query
        assert "city IN (${place:sqlstring})" in query
        used = set(re.findall(r"\$\{(\w+)", query))
        assert used == {"database", "table", "place"}
        assert query.count("(") == query.count(")")
        kind = MEASURES[panel["title"]].type.lower()
        assert f"measure_value::{kind}" in query


def test_variables_come_after_those_that_their_queries_use(made: dict[str, Any]) -> None:
    known: set[str] = set()
    for variable in made["templating"]["list"]:
        text = json.dumps([variable["query"], variable.get("datasource")])
        assert set(re.findall(r"\$\{(\w+)", text)) <= known
        known.add(variable["name"])


def test_directions_and_codes_are_never_averaged(made: dict[str, Any]) -> None:
    averaged = {each["title"] for each in panels(made) if "avg(" in each["targets"][0]["rawQuery"]}
    assert {"CurrentTemp", "Humidity", "Rain1h"} <= averaged
    assert not averaged & {"WindDirection", "ConditionId", "Condition", "Sunrise", "Sunset"}


def test_it_has_what_grafana_wants_of_a_dashboard(made: dict[str, Any]) -> None:
    assert made["schemaVersion"] >= 36
    assert made["title"]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", made["uid"])
    assert set(made["time"]) == {"from", "to"}
    assert "id" not in made  # the importing Grafana's own
    for panel in panels(made):
        assert panel["type"] in {"timeseries", "stat", "table"}

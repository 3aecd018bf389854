"""The Grafana dashboard: made from the table of measures, and of the form that Grafana reads."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest

from deploy.make_dashboard import DATA_SOURCE, DIMENSIONS, UNIT_IDS, Places, as_text, dashboard
from ingest.observation import DEFAULT_MEASURES, MEASURES, TEXT, UNITS
from tests.conftest import ROOT

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
    assert made.stdout == FILE.read_text(encoding="utf-8"), "The dashboard is old. Type: make docs"
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
        assert f"AND {Places().name} IN (${{place:sqlstring}})" in query
        used = set(re.findall(r"\$\{(\w+)", query))
        assert used == {"database", "table", "place"}
        assert query.count("(") == query.count(")")
        kind = "varchar" if MEASURES[panel["title"]].kind == TEXT else "double"
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


# --- what the queries find, on a database that knows the same SQL and a little more


class TimeSeries:
    """CREATE_TIME_SERIES(time, value), as JSON."""

    def __init__(self) -> None:
        self.points: list[tuple[int, Any]] = []

    def step(self, time: int, value: Any) -> None:
        self.points.append((time, value))

    def finalize(self) -> str:
        return json.dumps(sorted(self.points))


class MaxBy(TimeSeries):
    """max_by(value, time)"""

    def step(self, time: Any, value: Any) -> None:
        super().step(value, time)

    def finalize(self) -> Any:
        return max(self.points)[1]


# city, country, city_id, latitude, longitude, measure, time, number, text
ROWS = [
    ("London", "GB", "2643743", None, None, "CurrentTemp", 100, 10.0, None),
    ("London", "GB", "2643743", None, None, "CurrentTemp", 110, 12.0, None),
    ("London", "CA", "6058560", None, None, "CurrentTemp", 100, -10.0, None),
    ("Springfield", "US", "4250542", None, None, "CurrentTemp", 100, 1.0, None),
    ("Springfield", "US", "4409896", None, None, "CurrentTemp", 100, 3.0, None),
    ("Zürich", "CH", None, None, None, "CurrentTemp", 100, 5.0, None),
    ("Nowhere", None, None, None, None, "CurrentTemp", 100, 6.0, None),
    ("Davos", "CH", "2661039", "46.8", "9.8", "CurrentTemp", 100, -5.0, None),
    ("Davos", "CH", "2661039", "46.7", "9.9", "CurrentTemp", 100, -9.0, None),
    (None, None, None, "0.5", "-30", "CurrentTemp", 100, 28.0, None),
    ("London", "GB", "2643743", None, None, "Condition", 100, None, "Rain"),
    ("London", "CA", "6058560", None, None, "Condition", 200, None, "Snow"),
]
NAMES = [
    "Davos,CH 2661039",
    "London,CA 6058560",
    "London,GB 2643743",
    "Nowhere",
    "Springfield,US 4250542",
    "Springfield,US 4409896",
    "Zürich,CH",
]


def found(statement: str, places: list[str]) -> list[tuple[Any, ...]]:
    """The rows that a query of the dashboard has, with these places chosen."""
    chosen = ", ".join(f"'{place}'" for place in places)
    for ours, theirs in {
        '"${database}"."${table}"': "weather",
        "time > ago(7d)": "time > 0",
        "$__timeFilter": "time > 0",
        "$__interval_ms": "1000",
        "${place:sqlstring}": chosen,
        "measure_value::double": "number",
        "measure_value::varchar": "text",
    }.items():
        statement = statement.replace(ours, theirs)
    with closing(sqlite3.connect(":memory:")) as db:
        aggregates: Any = {"CREATE_TIME_SERIES": TimeSeries, "max_by": MaxBy}
        for name, aggregate in aggregates.items():
            db.create_aggregate(name, 2, aggregate)
        db.create_function("bin", 2, lambda time, width: time // width * width)
        db.execute(
            "CREATE TABLE weather (city, country, city_id, latitude, longitude, measure_name, "
            "time, number, text)"
        )
        db.executemany("INSERT INTO weather VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", ROWS)
        return db.execute(statement).fetchall()


def query_of(made: dict[str, Any], title: str) -> str:
    (query,) = (each["targets"][0]["rawQuery"] for each in panels(made) if each["title"] == title)
    return str(query)


def place_query(made: dict[str, Any]) -> str:
    (place,) = (each for each in made["templating"]["list"] if each["name"] == "place")
    return str(place["query"])


def test_places_of_one_name_are_told_apart(made: dict[str, Any]) -> None:
    assert [name for (name,) in found(place_query(made), []) if name] == NAMES
    series = {name: json.loads(line) for name, line in found(query_of(made, "CurrentTemp"), NAMES)}
    assert list(series) == NAMES
    assert series["London,GB 2643743"] == [[0, 11.0]]
    assert series["London,CA 6058560"] == [[0, -10.0]]
    assert series["Springfield,US 4250542"] == [[0, 1.0]]
    assert series["Springfield,US 4409896"] == [[0, 3.0]]
    assert found(query_of(made, "Condition"), NAMES) == [
        ("London,CA 6058560", "Snow", 200),
        ("London,GB 2643743", "Rain", 100),
    ]


def test_only_the_chosen_places_are_drawn(made: dict[str, Any]) -> None:
    (chosen,) = found(query_of(made, "CurrentTemp"), ["London,CA 6058560"])
    assert chosen == ("London,CA 6058560", "[[0, -10.0]]")


def test_coordinates_tell_places_apart_where_the_table_has_them() -> None:
    made = json.loads(as_text("metric", tuple(DIMENSIONS)))
    names = [name for (name,) in found(place_query(made), [])]
    with_coordinates = ["Davos,CH 2661039 46.7,9.9", "Davos,CH 2661039 46.8,9.8"]
    assert names == ["0.5,-30", *with_coordinates, *NAMES[1:]]
    series = {name: json.loads(line) for name, line in found(query_of(made, "CurrentTemp"), names)}
    assert [series[name] for name in with_coordinates] == [[[0, -9.0]], [[0, -5.0]]]
    assert series["0.5,-30"] == [[0, 28.0]]


def test_columns_that_the_table_may_not_have_are_not_named() -> None:
    assert not re.search("latitude|longitude", as_text("metric"))
    assert not re.search("latitude|longitude|city_id", as_text("metric", ("city", "country")))
    made = json.loads(as_text("metric", ("city", "country")))
    names = [name for (name,) in found(place_query(made), []) if name]
    assert names == ["Davos,CH", "London,CA", "London,GB", "Nowhere", "Springfield,US", "Zürich,CH"]


def test_each_line_is_named_by_its_place(made: dict[str, Any]) -> None:
    for panel in panels(made):
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["displayName"] == "${__field.labels.place}"
        assert " AS place" in panel["targets"][0]["rawQuery"]

"""Makes deploy/grafana-dashboard.json from the table of measures, so that the two cannot drift.

From the project's folder: python -m deploy.make_dashboard > deploy/grafana-dashboard.json
Source: Grafana's dashboard JSON model; the Timestream data source's query editor and variables.
"""

import argparse
import json
from dataclasses import dataclass
from typing import Any

from ingest.observation import DEFAULT_MEASURES, MEASURES, TEXT, TIME, UNITS, Measure, field_name

PLUGIN = "grafana-timestream-datasource"
DATA_SOURCE = {"type": PLUGIN, "uid": "${datasource}"}
TABLE = '"${database}"."${table}"'

# What distinguishes places, each with what precedes it in a name: London,GB 2643743. A dimension
# that no record of the table ever had is not a column there, and a query that names it fails.
DIMENSIONS = {"city": "", "country": ",", "city_id": " ", "latitude": " ", "longitude": ","}
USUAL = ("city", "country", "city_id")

# Grafana's ids of our units. A moment, in epoch milliseconds, is shown as date and time.
UNIT_IDS = {
    "K": "kelvin",
    "°C": "celsius",
    "°F": "fahrenheit",
    "%": "percent",
    "hPa": "pressurehpa",
    "m": "lengthm",
    "m/s": "velocityms",
    "mph": "velocitymph",
    "°": "degree",
    "mm": "lengthmm",
    "ms": "dateTimeAsIso",
    "": "none",
}

# Measures of which a mean says nothing: of a bin's readings the last is drawn.
LAST_OF_BIN = ("WindDirection", "ConditionId", "Sunrise", "Sunset")

WIDTH, HEIGHT, ACROSS = 12, 8, 2
# Readings further apart are not joined by a line.
GAP_MS = 3 * 60 * 60 * 1000


def dashboard(units: str, columns: tuple[str, ...] = USUAL) -> dict[str, Any]:
    """The whole dashboard. units: as WEATHER_UNITS names them. columns: of DIMENSIONS, those that
    the table has."""
    where = Places(columns)
    column = UNITS.index(units)
    first = [MEASURES[name] for name in DEFAULT_MEASURES]
    others = [measure for measure in MEASURES.values() if measure not in first]
    top = [panel(number + 1, each, column, number, 0, where) for number, each in enumerate(first)]
    row_y = -(-len(first) // ACROSS) * HEIGHT
    row_id = len(first) + 1
    row: dict[str, Any] = {
        "id": row_id,
        "type": "row",
        "title": "More measures (WEATHER_MEASURES)",
        "collapsed": True,  # what is not opened is not asked for
        "gridPos": {"h": 1, "w": WIDTH * ACROSS, "x": 0, "y": row_y},
        "panels": [
            panel(row_id + 1 + number, each, column, number, row_y + 1, where)
            for number, each in enumerate(others)
        ],
    }
    return {
        "uid": "ingest-weather",
        "title": "Weather",
        "description": f"What ingest_weather.py writes to Amazon Timestream, in {units} units.",
        "tags": ["weather", "timestream"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5m",
        "schemaVersion": 39,
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables(where)},
        "annotations": {"list": []},
        "panels": [*top, row],
    }


@dataclass(frozen=True)
class Places:
    """How SQL tells places apart."""

    columns: tuple[str, ...] = USUAL

    @property
    def dimensions(self) -> str:
        """For GROUP BY."""
        return ", ".join(self.columns)

    @property
    def name(self) -> str:
        """An expression with one value a place; NULL where it has none of the columns."""
        parts = (
            f"coalesce('{before}' || {column}, '')" if before else f"coalesce({column}, '')"
            for column, before in DIMENSIONS.items()
            if column in self.columns
        )
        return f"nullif(trim({' || '.join(parts)}), '')"

    def wanted(self, measure: Measure) -> str:
        """sqlstring doubles the quotes within a city's name."""
        return (
            f"$__timeFilter AND measure_name = '{measure.name}' "
            f"AND {self.name} IN (${{place:sqlstring}})"
        )


def variables(where: Places) -> list[dict[str, Any]]:
    """What stands at the top of the dashboard to choose from."""
    source: dict[str, Any] = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": PLUGIN,
        "refresh": 1,
    }
    database = query_variable("database", "Database", "SHOW DATABASES", "TIMESTREAM-DEMO")
    table = query_variable(
        "table", "Table", 'SHOW TABLES FROM "${database}"', "london_weather_information"
    )
    names = (
        f"SELECT DISTINCT {where.name} AS place FROM {TABLE} "  # noqa: S608  (names of our own)
        "WHERE time > ago(7d) ORDER BY place"
    )
    place: dict[str, Any] = {
        **query_variable("place", "Place", names, ""),
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }
    return [source, database, table, place]


def query_variable(name: str, label: str, query: str, current: str) -> dict[str, Any]:
    """A variable whose values are the first column of a query; read again with the dashboard."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": query,
        "definition": query,
        "refresh": 1,
        "sort": 1,
        "current": {"text": current, "value": current},
    }


def panel(
    number: int, measure: Measure, units: int, position: int, top: int, where: Places
) -> dict[str, Any]:
    """One measure, a line (or a row) a place. position: the how-manieth from the top on."""
    unit = UNIT_IDS[measure.units[units]]
    kind, query = "timeseries", series_query(measure, where)
    custom: dict[str, Any] = {
        "lineWidth": 2,
        "showPoints": "auto",
        "insertNulls": GAP_MS,
        "spanNulls": False,
    }
    if measure.kind == TEXT:
        kind, custom, query = "table", {}, latest_text_query(measure, where)
    elif measure.kind == TIME:
        kind, custom = "stat", {}
    elif measure.name in LAST_OF_BIN:
        custom |= {"drawStyle": "points", "showPoints": "always"}
    defaults: dict[str, Any] = {"unit": unit, "displayName": "${__field.labels.place}"}
    if measure.name == "WindDirection":
        defaults |= {"min": 0, "max": 360}
    if kind == "table":
        defaults = {}
    drawn: dict[str, Any] = {
        "id": number,
        "type": kind,
        "title": measure.name,
        "description": f"OpenWeatherMap: {field_name(measure.path)}",
        "datasource": DATA_SOURCE,
        "gridPos": {
            "h": HEIGHT,
            "w": WIDTH,
            "x": position % ACROSS * WIDTH,
            "y": top + position // ACROSS * HEIGHT,
        },
        "interval": "10m",  # OpenWeatherMap's own
        "fieldConfig": {"defaults": {**defaults, "custom": custom}, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": "A",
                "datasource": DATA_SOURCE,
                "queryType": "raw",
                "measure": measure.name,
                "rawQuery": query,
            }
        ],
    }
    if kind == "timeseries":
        drawn["options"] = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if kind == "stat":
        last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        drawn["options"] = {
            "reduceOptions": last,
            "graphMode": "none",
            "textMode": "value_and_name",
        }
    return drawn


def series_query(measure: Measure, where: Places) -> str:
    """A time series a place, with one value in a bin."""
    value = "measure_value::varchar" if measure.kind == TEXT else "measure_value::double"
    one = f"max_by({value}, time)" if measure.name in LAST_OF_BIN else f"avg({value})"
    return (
        "SELECT place, CREATE_TIME_SERIES(bin_time, value) AS "  # noqa: S608  (names of our own)
        f"{measure.name}\n"
        "FROM (\n"
        f"    SELECT {where.name} AS place, bin(time, $__interval_ms) AS bin_time, {one} AS value\n"
        f"    FROM {TABLE}\n"
        f"    WHERE {where.wanted(measure)}\n"
        f"    GROUP BY {where.dimensions}, bin(time, $__interval_ms)\n"
        ")\n"
        "GROUP BY place\n"
        "ORDER BY place"
    )


def latest_text_query(measure: Measure, where: Places) -> str:
    """The last text of each place, and when it was observed."""
    return (
        f"SELECT {where.name} AS place, max_by(measure_value::varchar, time) AS {measure.name}, "
        "max(time) AS observed\n"
        f"FROM {TABLE}\n"
        f"WHERE {where.wanted(measure)}\n"
        f"GROUP BY {where.dimensions}\n"
        "ORDER BY place"
    )


def as_text(units: str, columns: tuple[str, ...] = USUAL) -> str:
    """The file's text."""
    return json.dumps(dashboard(units, columns), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Print the dashboard."""
    parser = argparse.ArgumentParser(prog="python -m deploy.make_dashboard", description=__doc__)
    parser.add_argument("--units", choices=UNITS, default="metric", help="default: metric")
    parser.add_argument(
        "--columns",
        nargs="+",
        choices=DIMENSIONS,
        default=USUAL,
        help="what to tell places apart by, all of which the table must have: latitude and "
        "longitude are in it where a place is configured by them, city_id where not all are "
        "configured by post code; default: city country city_id",
    )
    options = parser.parse_args()
    print(as_text(options.units, tuple(options.columns)), end="")


if __name__ == "__main__":
    main()

"""The whole job on services of this machine: `ingest_weather.py demo`.

Starts AWS and OpenWeatherMap on loopback and runs the real program, unchanged, against them.
Nothing leaves the machine, and nothing stays on it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from commands.tables import console
from ingest.errors import Status, UsageError
from ingest.observation import DEFAULT_MEASURES, MEASURES, UNITS, iso_time
from ingest.settings.sources import PROGRAM

if TYPE_CHECKING:
    from embedded.aws import EmbeddedAws
    from embedded.openweathermap import EmbeddedOpenWeatherMap

SECRET = "weather-ingest"  # noqa: S105  (its name)
DATABASE = "TIMESTREAM-DEMO"
TABLE = "london_weather_information"
KEY = "a-key-that-only-the-demo-knows"

METRIC = UNITS.index("metric")


DESCRIPTION = """\
Run the whole job against an AWS and an OpenWeatherMap on this machine: one run
with its records, and one with a rejected record. Nothing leaves the machine,
nothing stays on it, and your own settings are not read."""

EPILOG = """\
examples:
  make demo
      Install what it needs into .venv, and show it.
  .venv/bin/python ingest_weather.py demo
      Show it, with what `make demo` or requirements-dev.txt has installed.

exit status: 0 where all went as it should, the rejection included; 2 where
something is not installed, which is named; else 70.
"""


def make_parser() -> argparse.ArgumentParser:
    """The command has no options of its own."""
    return argparse.ArgumentParser(
        prog="ingest_weather.py demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def main(arguments: Sequence[str], _overall: argparse.Namespace) -> int:
    """Run the demo; its status is 0 where all went as it should, the rejection included."""
    make_parser().parse_args(arguments)
    try:
        from embedded.aws import EmbeddedAws
        from embedded.openweathermap import EmbeddedOpenWeatherMap
    except ImportError as error:
        raise UsageError(
            f"demo needs {error.name}: run `make demo`, or pip install -r requirements-dev.txt."
        ) from error
    with (
        EmbeddedAws() as aws,
        EmbeddedOpenWeatherMap(api_key=KEY) as weather,
        tempfile.TemporaryDirectory(prefix="ingest-weather-demo-") as home,
    ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(aws.environment())  # moto looks for the user's profile, too
        aws.put_secret(SECRET, json.dumps({"OPENWEATHERMAP_API_KEY": KEY}))
        aws.make_table(DATABASE, TABLE)
        environment = {**aws.environment(), "OPENWEATHERMAP_URL": weather.url, "HOME": home}
        statuses = [show_a_run(aws, environment), show_a_rejection(aws, weather, environment)]
    as_expected = statuses == [Status.OK, Status.DATAERR]
    return int(Status.OK if as_expected else Status.SOFTWARE)


def show_a_run(aws: "EmbeddedAws", environment: dict[str, str]) -> int:
    """One run, and what the table holds after it."""
    say("London's weather, fetched and written by one run:")
    status = run_program(environment)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("time", "city", "country", "city_id", "measure", "value", "unit"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    rows = {row.measure_name: row for row in aws.rows(DATABASE, TABLE)}
    for name in DEFAULT_MEASURES:
        row = rows[name]
        dimensions = (row.dimensions[each] for each in ("city", "country", "city_id"))
        unit = MEASURES[name].units[METRIC]
        table.add_row(iso_time(row.time_ms), *dimensions, name, row.value, unit)
    console().print(table)
    return status


def show_a_rejection(
    aws: "EmbeddedAws", weather: "EmbeddedOpenWeatherMap", environment: dict[str, str]
) -> int:
    """Another program has written one measure with a higher version; ours is rejected."""
    say("\nThe next run, after another program wrote a Humidity with a version from the future:")
    rows = {row.measure_name: row for row in aws.rows(DATABASE, TABLE)}
    humidity = rows["Humidity"]
    aws.store.write(
        DATABASE,
        TABLE,
        {},
        [
            {
                "Dimensions": [
                    {"Name": name, "Value": value} for name, value in humidity.dimensions.items()
                ],
                "MeasureName": humidity.measure_name,
                "MeasureValue": "50",
                "MeasureValueType": "DOUBLE",
                "Time": str(humidity.time_ms),
                "Version": humidity.version * 2,
            }
        ],
        humidity.time_ms,
    )
    weather.set_weather("London,GB", temp=19.5, humidity=93, dt=humidity.time_ms // 1000)
    return run_program(environment)


def run_program(environment: dict[str, str]) -> int:
    """Run the program as cron would, its output shown as it comes; returns its exit status."""
    say("$ python ingest_weather.py")
    sys.stdout.flush()
    finished = subprocess.run(  # noqa: S603  (this very program)
        [sys.executable, str(PROGRAM)], env=environment, cwd="/", check=False
    )
    say(f"exit status {finished.returncode}")
    return finished.returncode


def say(line: str) -> None:
    print(line, flush=True)

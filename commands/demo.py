"""The real program, run against an AWS and an OpenWeatherMap on loopback: `ingest_weather.py demo`.

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

from commands import terminal
from commands.command_line import command_parser
from ingest.errors import Status, UsageError
from ingest.observation import DEFAULT_MEASURES, MEASURES, iso_time
from ingest.settings import PROGRAM

if TYPE_CHECKING:
    from embedded.aws import EmbeddedAws
    from embedded.timestream import Row

SECRET = "weather-ingest"  # noqa: S105  (its name)
DATABASE = "TIMESTREAM-DEMO"
TABLE = "london_weather_information"
KEY = "a-key-that-only-the-demo-knows"

_DESCRIPTION = """\
Run the whole job against an AWS and an OpenWeatherMap on this machine: one run
that stores its records, and one with a rejected record. Nothing is sent to
other machines, no file is left behind, and your own settings are not read."""

_EPILOG = """\
examples:
  make demo
      Install the packages that it needs into .venv, then run it.
  .venv/bin/python ingest_weather.py demo
      Run it with the packages of `make demo` or requirements-dev.txt.

exit status: 0 if everything worked, including the rejection; 2 if a package is
missing (the message names it); else 70."""


def make_parser() -> argparse.ArgumentParser:
    return command_parser("demo", _DESCRIPTION, _EPILOG)


def main(words: Sequence[str], _overall: argparse.Namespace) -> int:
    """Returns an exit status: 0 if the demo went as it should, including the rejection."""
    make_parser().parse_args(words)
    try:
        from embedded.aws import EmbeddedAws
        from embedded.openweathermap import EmbeddedOpenWeatherMap
    except ImportError as error:
        raise UsageError(
            f"demo needs the package {error.name}, which is not installed.",
            "Run `make demo`, or pip install -r requirements-dev.txt.",
        ) from error
    with (
        EmbeddedAws() as aws,
        EmbeddedOpenWeatherMap(api_key=KEY) as weather,
        tempfile.TemporaryDirectory(prefix="ingest-weather-demo-") as home,
    ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(aws.environment())  # moto would look for the user's profile
        aws.put_secret(SECRET, json.dumps({"OPENWEATHERMAP_API_KEY": KEY}))
        aws.make_table(DATABASE, TABLE)
        environment = {**aws.environment(), "OPENWEATHERMAP_URL": weather.url, "HOME": home}

        print("London's weather, fetched and written by one run:")
        status = _run_program(environment)
        rows = {row.measure_name: row for row in aws.rows(DATABASE, TABLE)}
        terminal.print_lines(_table([rows[name] for name in DEFAULT_MEASURES]))

        said = "The next run, after another program wrote a Humidity with a version from the future"
        print(f"\n{said}:")
        humidity = rows["Humidity"]
        _write_as_another_program(aws, humidity)
        weather.set_weather("London,GB", temp=19.5, humidity=93, dt=humidity.time_ms // 1000)
        as_expected = (status, _run_program(environment)) == (Status.OK, Status.DATAERR)
    return Status.OK if as_expected else Status.SOFTWARE


def _run_program(environment: dict[str, str]) -> int:
    """Run the program as cron would, its output to the terminal; returns its exit status."""
    print("$ python ingest_weather.py", flush=True)
    finished = subprocess.run(  # noqa: S603  (this very program)
        [sys.executable, str(PROGRAM)], env=environment, cwd="/", check=False
    )
    print(f"exit status {finished.returncode}")
    return finished.returncode


def _table(rows: list["Row"]) -> list[str]:
    headings = ("time", *rows[0].dimensions, "measure", "value", "unit")
    lines = []
    for row in rows:
        unit = MEASURES[row.measure_name].unit("metric")
        where = row.dimensions.values()
        lines.append((iso_time(row.time_ms), *where, row.measure_name, row.value, unit))
    return terminal.table(headings, lines, right=(5,))


def _write_as_another_program(aws: "EmbeddedAws", row: "Row") -> None:
    """Another value of the row, with a higher version, so that ours is rejected."""
    record = {
        "Dimensions": [{"Name": name, "Value": value} for name, value in row.dimensions.items()],
        "MeasureName": row.measure_name,
        "MeasureValue": "50",
        "MeasureValueType": "DOUBLE",
        "Time": str(row.time_ms),
        "Version": row.version * 2,
    }
    aws.store.write(DATABASE, TABLE, {}, [record], row.time_ms)

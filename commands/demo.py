"""The whole job on services of this machine: `ingest_weather.py demo`.

Starts AWS and OpenWeatherMap on loopback and runs the real program, unchanged, against them.
Nothing leaves the machine, and nothing stays on it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from commands.tables import console
from errors import Status, UsageError

PROGRAM = Path(__file__).resolve().parent.parent / "ingest_weather.py"
DATABASE = "TIMESTREAM-DEMO"
TABLE = "london_weather_information"
KEY = "a-key-that-only-the-demo-knows"

DAY_S = 24 * 60 * 60


def main(arguments: Sequence[str] = ()) -> int:
    """Run the demo; its status is 0 where everything went as it should, rejection included."""
    if arguments:
        raise UsageError(f"demo takes no arguments, but was given {' '.join(arguments)!r}.")
    try:
        from embedded.aws import EmbeddedAws
        from embedded.openweathermap import EmbeddedOpenWeatherMap
    except ImportError as error:
        raise UsageError(
            f"The demo needs {error.name}: pip install -r requirements-dev.txt, or `make demo`."
        ) from error
    with EmbeddedAws() as aws, EmbeddedOpenWeatherMap(api_key=KEY) as weather:
        return _Demo(aws, weather).run()

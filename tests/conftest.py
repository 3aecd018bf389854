"""What the tests share: the embedded services, and the program started as cron would."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from embedded.aws import EmbeddedAws
from embedded.openweathermap import EmbeddedOpenWeatherMap
from tests.support.botocore_models import read_once
from tests.support.readings import now_ms
from tests.support.warm_program import WarmProgram, can_be_warm

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "ingest_weather.py"
API_KEY = "0123456789abcdef-not-a-real-key"
SECRET_ID = "weather-ingest"
DATABASE = "TIMESTREAM-DEMO"
TABLE = "london_weather_information"
GIB = 1 << 30


# A shell ignores SIGINT for what it starts in the background, and every child would do so, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on how fast the machine is.
settings.register_profile(
    "steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("steady")


# What starts the measurement of coverage in a process.
MEASURED = {name: value for name, value in os.environ.items() if name.startswith("COV")}
WARM = WarmProgram(MEASURED)

read_once()


def pytest_configure() -> None:
    """Temporary folders lie in memory where there is enough of it: most tests write a journal, and
    wait longer for the disk than for anything else."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK):
        found = os.statvfs(memory)
        if found.f_bavail * found.f_frsize > GIB and not found.f_flag & os.ST_NOEXEC:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_runtest_setup() -> None:
    now_ms.cache_clear()


def pytest_sessionfinish() -> None:
    WARM.close()


@pytest.fixture
def aws() -> Iterator[EmbeddedAws]:
    """AWS on loopback, with the default secret and table."""
    with EmbeddedAws() as service:
        service.put_secret(SECRET_ID, json.dumps({"OPENWEATHERMAP_API_KEY": API_KEY}))
        service.make_table(DATABASE, TABLE)
        yield service


@pytest.fixture
def weather() -> Iterator[EmbeddedOpenWeatherMap]:
    """OpenWeatherMap on loopback, which accepts API_KEY. It observes nothing new within a test,
    though ten minutes may end there."""
    with EmbeddedOpenWeatherMap(api_key=API_KEY) as service:
        service.observed_s = int(service.clock())
        yield service


class Program:
    """Starts ingest_weather.py from / with an empty environment but for `environment`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(SCRIPT), *arguments]

    def env(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {**MEASURED, **self.environment, **(extra or {})}

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, in a process that is forked where that proves the same as a start.

        No test waits for more than a minute, whatever the machine.
        """
        if can_be_warm({**self.environment, **(env or {})}, options):
            return WARM.run(arguments, self.env(env), **options)
        return subprocess.run(
            self.command(*arguments),
            env=self.env(env),
            check=False,
            **{"cwd": "/", "capture_output": True, "text": True, "timeout": 60, **options},
        )

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.env(env),
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def program(aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, tmp_path: Path) -> Program:
    """The program, set to the embedded services, with a home of its own."""
    return Program({**aws.environment(), "OPENWEATHERMAP_URL": weather.url, "HOME": str(tmp_path)})

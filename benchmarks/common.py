"""What the benchmarks share: processes measured from outside, services in one of their own, goals.

This module imports little: on Linux the peak memory of a process begins with that of the process
it was forked from, and the benchmarks must not be what they measure.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "ingest_weather.py"

DATABASE = "TIMESTREAM-DEMO"
TABLE = "london_weather_information"
API_KEY = "0123456789abcdef-not-a-real-key"


class BenchmarkError(Exception):
    """Something that was to be measured did not do its work, or cannot be measured here."""


class Cost(NamedTuple):
    """Of one process from its start to its end, seen from outside."""

    wall_ms: float
    cpu_ms: float
    peak_mib: float


class Ended(NamedTuple):
    """A process that has ended; said: its standard output and standard error, as they came."""

    cost: Cost
    status: int
    said: str


def run_process(command: Sequence[str | Path], environment: dict[str, str], folder: str) -> Ended:
    """Run a program to its end, and measure it."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    unit = 2**20 if sys.platform == "darwin" else 2**10
    cpu_s = usage.ru_utime + usage.ru_stime
    cost = Cost(wall_s * 1000, cpu_s * 1000, usage.ru_maxrss / unit)
    return Ended(cost, process.returncode, said)


def median_cost(costs: Iterable[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


class Services:
    """Services in a process of their own, so that their CPU and memory are not measured.

    They answer each line of their standard input with one on standard output, both JSON; their
    first line is the environment that brings a program to them.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.environment: dict[str, str] = self._answer()

    def ask(self, order: dict[str, int]) -> Any:  # noqa: ANN401  (JSON)
        assert self._process.stdin is not None  # noqa: S101  (it is a pipe)
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401  (JSON)
        assert self._process.stdout is not None  # noqa: S101  (it is a pipe)
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("The services ended; their error is above.")
        return json.loads(line)


@contextmanager
def services(*command: str | Path) -> Iterator[Services]:
    """Start a Python program that serves. It ends when its standard input does."""
    with subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Services(process)


class Goal(NamedTuple):
    """A figure, and what it is to be: `limit` or less, or where at_least is true, or more."""

    what: str
    figure: float
    limit: float
    at_least: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def __str__(self) -> str:
        digits = 0 if self.limit >= 1000 else 2
        bound = "at least" if self.at_least else "at most"
        unit = f" {self.unit}".rstrip()
        return (
            f"{'reached' if self.reached else 'missed':8}{self.what}: {self.figure:,.{digits}f}"
            f"{unit} ({bound} {self.limit:,.{digits}f})"
        )

    def as_dict(self) -> dict[str, object]:
        return {**self._asdict(), "reached": self.reached}


def write_json(file: Path | None, result: dict[str, object]) -> None:
    """Write the figures there, with what they were measured on; None: nowhere."""
    if file:
        where = {"python": platform.python_version(), "cpus": os.cpu_count()}
        file.write_text(json.dumps({**where, **result}, indent=2) + "\n", encoding="utf-8")


def note(text: str) -> None:
    """How far it is, for whoever watches."""
    if sys.stderr.isatty():
        print(f"\r{text:70}", end="", file=sys.stderr, flush=True)

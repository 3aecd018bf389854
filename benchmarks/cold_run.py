"""What one cold run costs, as cron starts it: wall time, CPU and peak memory of a whole process.

Beside the program run (a) `bare_script.py`, the same job without any care, and (b)
`start_only.py`, which does no I/O; in turns, so that a busy machine slows all three. The services
are on loopback, in a process of their own, once as quick as they are and once with a delay added
to each call. Over loopback there is no TLS, which would cost the program and (a) the same.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {
    "ours": ROOT / "ingest_weather.py",
    "a": ROOT / "benchmarks" / "bare_script.py",
    "b": ROOT / "benchmarks" / "start_only.py",
}
NAMES = {
    "ours": "ingest_weather.py",
    "a": "(a) bare script",
    "b": "(b) imports, clients, no I/O",
}
DELAYS_MS = (0, 80)
FEWEST_RUNS = 9

DATABASE = "TIMESTREAM-DEMO"
TABLE = "london_weather_information"
API_KEY = "0123456789abcdef-not-a-real-key"

# What the services must have seen of one run, and the records then in the table.
WHOLE_JOB = {
    "GetSecretValue": 1,
    "weather": 1,
    "DescribeEndpoints": 1,
    "WriteRecords": 1,
    "records": 4,
}
EXPECTED = {"ours": WHOLE_JOB, "a": WHOLE_JOB, "b": dict.fromkeys(WHOLE_JOB, 0)}


class Cost(NamedTuple):
    """Of one process from its start to its end, seen from outside."""

    wall_ms: float
    cpu_ms: float
    peak_mib: float


class Goal(NamedTuple):
    """The program's ratio to (a) that is to be reached at each of some delays."""

    what: str
    figure: str
    most: float
    delays_ms: tuple[int, ...]


GOALS = (
    Goal("CPU", "cpu_ms", 1.10, DELAYS_MS),
    Goal("wall time", "wall_ms", 0.80, (80,)),
    Goal("peak memory", "peak_mib", 1.15, DELAYS_MS),
)


class BenchmarkError(Exception):
    """Something that was to be measured did not do its work."""


def serve() -> None:
    """The services; for each line of standard input one of standard output, both JSON.

    {"delay_ms": n} empties the table and the counts, and brings new weather; {} answers what was
    counted since.
    """
    sys.path.append(str(ROOT))
    from embedded.aws import EmbeddedAws
    from embedded.openweathermap import EmbeddedOpenWeatherMap

    def answer(message: object) -> None:
        print(json.dumps(message), flush=True)

    with EmbeddedAws() as aws, EmbeddedOpenWeatherMap(api_key=API_KEY) as weather:
        aws.put_secret("weather-ingest", json.dumps({"OPENWEATHERMAP_API_KEY": API_KEY}))
        answer({**aws.environment(), "OPENWEATHERMAP_URL": weather.url})
        observed_s = int(time.time()) - 3600
        for line in sys.stdin:
            order = json.loads(line)
            if order:
                aws.delay_s = weather.delay_s = order["delay_ms"] / 1000
                observed_s += 1  # news each time: what the journal knows is not written again
                weather.set_weather("London,GB", dt=observed_s)
                aws.make_table(DATABASE, TABLE)
                aws.forget_requests()
                weather.forget_requests()
                answer({})
                continue
            counted = {name: aws.count(name) + weather.count(name) for name in WHOLE_JOB}
            answer({**counted, "records": len(aws.rows(DATABASE, TABLE))})


class Services:
    """The other end of `serve`. environment: what brings a program to the services."""

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
            raise BenchmarkError("The embedded services ended; their error is above.")
        return json.loads(line)


@contextmanager
def services() -> Iterator[Services]:
    """The embedded services in a process of their own: their CPU and memory are not measured."""
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:  # which ends when its standard input does
        yield Services(process)


def measure(which: str, delay_ms: int, running: Services, home: str) -> Cost:
    """Run one program once. Raises BenchmarkError unless it did its whole job, and once."""
    running.ask({"delay_ms": delay_ms})
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, PROGRAMS[which]],
            env={**running.environment, "HOME": home},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    seen = running.ask({})
    if process.returncode or seen != EXPECTED[which]:
        raise BenchmarkError(
            f"{PROGRAMS[which].name} ended with status {process.returncode}; the services saw "
            f"{seen}, not {EXPECTED[which]}.\n{said}"
        )
    # On Linux the peak begins with that of the process it was forked from: this one, and small.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(wall_s * 1000, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / unit)


def medians(runs: int) -> dict[int, dict[str, Cost]]:
    """By delay and program. Programs and delays take turns, the first turn unmeasured."""
    costs: dict[tuple[int, str], list[Cost]] = {}
    with services() as running, tempfile.TemporaryDirectory() as home:
        for turn in range(runs + 1):
            for delay_ms in DELAYS_MS:
                for which in PROGRAMS:
                    cost = measure(which, delay_ms, running, home)
                    if turn:
                        costs.setdefault((delay_ms, which), []).append(cost)
            if sys.stderr.isatty():
                print(f"\r{turn} of {runs}", end="\n"[turn < runs :], file=sys.stderr, flush=True)
    return {
        delay_ms: {
            which: Cost(*map(statistics.median, zip(*costs[delay_ms, which], strict=True)))
            for which in PROGRAMS
        }
        for delay_ms in DELAYS_MS
    }


def ratio(by_program: dict[str, Cost], which: str, figure: str) -> float:
    """The program's cost in terms of (a)'s."""
    return float(getattr(by_program[which], figure) / getattr(by_program["a"], figure))


def print_table(figures: dict[int, dict[str, Cost]]) -> None:
    print(f"{'delay':>6}  {'':28}{'wall':>15}{'CPU':>17}{'peak memory':>19}")
    for delay_ms, by_program in figures.items():
        for which, cost in by_program.items():
            wall, cpu, peak = (f"{ratio(by_program, which, each):.2f}" for each in Cost._fields)
            print(
                f"{delay_ms:3} ms  {NAMES[which]:28}"
                f"{cost.wall_ms:7.0f} ms {wall:>4}{cost.cpu_ms:9.0f} ms {cpu:>4}"
                f"{cost.peak_mib:10.1f} MiB {peak:>4}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="of each; default 15")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    if arguments.runs < FEWEST_RUNS:
        parser.error(f"the median of fewer than {FEWEST_RUNS} runs says little")
    try:
        figures = medians(arguments.runs)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Medians of {arguments.runs} runs each, and their ratios to (a).\n")
    print_table(figures)
    print()
    goals = []
    for goal in GOALS:
        ratios = {each: ratio(figures[each], "ours", goal.figure) for each in goal.delays_ms}
        goals.append(
            {**goal._asdict(), "ratios": ratios, "reached": max(ratios.values()) <= goal.most}
        )
        at = ", ".join(f"{value:.2f} at {delay_ms} ms" for delay_ms, value in ratios.items())
        reached = "reached" if goals[-1]["reached"] else "missed"
        print(f"{reached:8}{goal.what} at most {goal.most:.2f} of (a): {at}")
    if arguments.json:
        result = {
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "runs": arguments.runs,
            "medians": {
                delay_ms: {which: cost._asdict() for which, cost in by_program.items()}
                for delay_ms, by_program in figures.items()
            },
            "goals": goals,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

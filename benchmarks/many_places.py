"""Ten thousand places in one run: rates, memory, and what the journal costs, against others.

All ratios are of one run of this benchmark: what is compared takes turns, so that a busy machine
slows both, and medians are compared. The services are two nginx servers on loopback, or one server
of asyncio where each answer is to take 20 ms. Over loopback there is no TLS.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from benchmarks.common import (  # noqa: E402  (the path has to be there first)
    API_KEY,
    PROGRAM,
    BenchmarkError,
    Cost,
    Ended,
    Goal,
    median_cost,
    note,
    run_process,
    write_json,
)
from benchmarks.servers import (  # noqa: E402
    Addresses,
    command,
    delayed_servers,
    need,
    nginx_servers,
)

PARTS = ROOT / "benchmarks" / "parts.py"
BARE = ROOT / "benchmarks" / "bare_places.py"
PEER = ROOT / "benchmarks" / "aws_sdk_pandas.py"
PEER_PYTHON = ROOT / "build" / "bench" / "bin" / "python"

DELAY_MS = 20
CONCURRENCY = 32
WRITERS = 4
FIRST_ID = 9_000_000
SPLIT = ("start", "fetch", "parse", "journal", "batch", "write", "rest")


@dataclass(frozen=True)
class Sizes:
    """How many places, observations and runs. few, many: of the two whose memory is compared.

    growth: holds `whole`, too.
    """

    turns: int = 3
    fetched: int = 20_000
    whole: int = 10_000
    bare: int = 1_000
    bare_delayed: int = 100
    written: int = 10_000
    backlog: int = 50_000
    cold_turns: int = 25
    growth: tuple[int, ...] = (1, 10, 100, 1_000, 10_000, 100_000)
    few: int = 1_000
    many: int = 100_000


QUICK = Sizes(
    turns=1,
    fetched=500,
    whole=300,
    bare=30,
    bare_delayed=10,
    written=300,
    backlog=1_000,
    cold_turns=2,
    growth=(1, 10, 100, 300, 500),
    few=100,
    many=500,
)


@dataclass
class Bench:
    """What the measurements share. figures: by name, as printed and written."""

    sizes: Sizes
    servers: Addresses
    delayed: Addresses
    folder: Path
    peer_python: Path
    figures: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    _last_dt: int = 0

    def environment(
        self, home: str, servers: Addresses | None = None, **more: str
    ) -> dict[str, str]:
        """Settings for a process with that home, made where it is missing, and new weather."""
        self._last_dt = max(self._last_dt + 1, int(time.time()) - 3600)
        folder = self.folder / home
        folder.mkdir(exist_ok=True)
        found = (servers or self.servers).environment(self._last_dt)
        settings = {
            "WEATHER_CONCURRENCY": str(CONCURRENCY),
            "WEATHER_WRITERS": str(WRITERS),
            "WEATHER_JOURNAL": str(folder / "journal.sqlite3"),
        }
        return {**found, **settings, "HOME": str(folder), **more}

    def run(self, environment: dict[str, str], *words: str | Path) -> Ended:
        """Run a command; it must end well."""
        ended = run_process(words, environment, str(self.folder))
        if ended.status:
            told = " ".join(map(str, words))
            raise BenchmarkError(f"{told} ended with status {ended.status}.\n{ended.said}")
        return ended

    def part(self, environment: dict[str, str], *words: str | Path) -> dict[str, float]:
        """Run a Python program that prints its figures in its last line."""
        figures: dict[str, float] = _last_line(self.run(environment, sys.executable, *words))
        return figures

    def whole_run(self, count: int, environment: dict[str, str]) -> Cost:
        """The program, as a user starts it; it must have stored every record."""
        file = self.folder / f"{count}.txt"
        if not file.exists():
            lines = "".join(f"{FIRST_ID + number}\n" for number in range(count))
            file.write_text(lines, encoding="utf-8")
        ended = self.run(environment, sys.executable, PROGRAM, "--json", "--place", f"@{file}")
        summary = _last_line(ended)
        if summary["stored"] != 4 * count or summary["fetched"] != count:
            raise BenchmarkError(f"Of {count} places: {summary}")
        return ended.cost


def _last_line(ended: Ended) -> Any:  # noqa: ANN401  (JSON)
    return json.loads(ended.said.splitlines()[-1])


def fetching_alone(bench: Bench) -> None:
    """Against curl, both as whole processes; the seconds without the start of Python, too."""
    count = bench.sizes.fetched
    config = bench.folder / "curl.txt"
    ours: list[float] = []
    inside: list[float] = []
    theirs: list[float] = []
    cpu: dict[str, list[float]] = {"WeatherClient": [], "curl": []}
    for turn in range(bench.sizes.turns):
        note(f"fetching alone, turn {turn + 1}")
        environment = bench.environment("fetch")
        started = run_process([sys.executable, PARTS, "fetch", str(count)], environment, "/")
        if started.status:
            raise BenchmarkError(started.said)
        ours.append(count / started.cost.wall_ms * 1000)
        inside.append(count / _last_line(started)["seconds"])
        url = environment["OPENWEATHERMAP_URL"]
        queries = (f"id={FIRST_ID + each}&units=metric&appid={API_KEY}" for each in range(count))
        config.write_text(
            "".join(f'url = "{url}?{query}"\noutput = "/dev/null"\n' for query in queries),
            encoding="utf-8",
        )
        parallel = ["--parallel", "--parallel-max", str(CONCURRENCY)]
        quietly = ("-q", "--silent", "--fail")
        curl = bench.run(environment, command("curl"), *quietly, *parallel, "--config", config)
        theirs.append(count / curl.cost.wall_ms * 1000)
        cpu["WeatherClient"].append(started.cost.cpu_ms * 1000 / count)
        cpu["curl"].append(curl.cost.cpu_ms * 1000 / count)
    rates = {
        "WeatherClient, replies parsed, whole process": statistics.median(ours),
        "the same without the start of Python": statistics.median(inside),
        "curl --parallel, replies thrown away": statistics.median(theirs),
    }
    bench.figures["fetching alone, places a second"] = rates
    bench.figures["fetching alone, µs of CPU a place"] = {
        name: statistics.median(each) for name, each in cpu.items()
    }
    ratio = _median_ratio(ours, theirs)
    bench.goals.append(Goal("fetching alone, rate in terms of curl's", ratio, 0.8, at_least=True))


def whole_runs(bench: Bench) -> None:
    """The program, and the bare script at its own rate: without its start, which ours pays."""
    sizes = bench.sizes
    rates: dict[str, list[float]] = {
        name: [] for name in ("ours", "bare", "ours late", "bare late")
    }
    for turn in range(sizes.turns + 1):  # the first makes the journals, and is not counted
        note(f"whole runs, turn {turn} of {sizes.turns}")
        for late, servers, bare in (
            ("", bench.servers, sizes.bare),
            (" late", bench.delayed, sizes.bare_delayed),
        ):
            environment = bench.environment(f"whole{late}", servers)
            seconds = bench.whole_run(sizes.whole, environment).wall_ms / 1000
            slow = bench.part(environment, BARE, str(bare))
            if turn:
                rates[f"ours{late}"].append(sizes.whole / seconds)
                rates[f"bare{late}"].append(bare / slow["seconds"])
    median = {name: statistics.median(each) for name, each in rates.items()}
    bench.figures["whole run, places a second"] = {
        "ingest_weather.py, no delay": median["ours"],
        "bare sequential script, no delay": median["bare"],
        f"ingest_weather.py, {DELAY_MS} ms in each call": median["ours late"],
        f"bare sequential script, {DELAY_MS} ms in each call": median["bare late"],
    }
    what = f"whole run over {sizes.whole:,} places"
    times, times_late = (
        _median_ratio(rates[f"ours{late}"], rates[f"bare{late}"]) for late in ("", " late")
    )
    bench.goals += [
        Goal(what, median["ours"], 3000, at_least=True, unit="places a second"),
        Goal(f"{what}, times the bare script", times, 4, at_least=True),
        Goal(f"{what}, times the bare script at {DELAY_MS} ms", times_late, 50, at_least=True),
    ]


def writing(bench: Bench) -> None:
    """From memory, each in a process of its own, without its start."""
    count = bench.sizes.written
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(bench.sizes.turns):
        note(f"writing from memory, turn {turn + 1}")
        environment = bench.environment("write")
        seconds = bench.part(environment, PARTS, "deliver", "memory", str(count))["seconds"]
        ours.append(4 * count / seconds)
        best = 0.0
        for threads in (os.cpu_count() or 1, WRITERS):  # its default, and as many as ours
            words = (bench.peer_python, PEER, str(count), str(threads))
            took = _last_line(bench.run(environment, *words))["seconds"]
            best = max(best, 4 * count / took)
        theirs.append(best)
    bench.figures["writing from memory, records a second"] = {
        "TimestreamWriter": statistics.median(ours),
        "awswrangler.timestream.write, the better of two": statistics.median(theirs),
    }
    ratio = _median_ratio(ours, theirs)
    bench.goals.append(Goal("writing, times aws-sdk-pandas", ratio, 2, at_least=True))


def growth(bench: Bench) -> None:
    """Whole runs of all sizes; where the time goes, in a run of its own with timers."""
    costs: dict[int, list[Cost]] = {count: [] for count in bench.sizes.growth}
    for turn in range(bench.sizes.turns):
        for count, measured in costs.items():
            note(f"{count:,} places, turn {turn + 1}")
            # A journal of its own: the largest one must not be the others' burden.
            measured.append(bench.whole_run(count, bench.environment(f"growth {count}")))
    rows = []
    for count, measured in costs.items():
        note(f"{count:,} places, with timers")
        split = bench.part(bench.environment(f"split {count}"), PARTS, "split", str(count))
        cost = median_cost(measured)
        rows.append({"places": count, **cost._asdict(), "cpu_split_s": split})
    bench.figures["growth"] = rows
    peak = {row["places"]: row["peak_mib"] for row in rows}
    whole = bench.sizes.whole
    cpu_ms = median_cost(costs[whole]).cpu_ms
    few, many = bench.sizes.few, bench.sizes.many
    bench.goals += [
        Goal(
            f"peak memory at {many:,} places in terms of that at {few:,}",
            peak[many] / peak[few],
            1.3,
        ),
        Goal(f"peak memory at {many:,} places", peak[many], 120, unit="MiB"),
        Goal(f"CPU time at {whole:,} places", cpu_ms * 1000 / whole, 180, unit="µs a place"),
    ]


def cost_of_the_journal(bench: Bench) -> None:
    """A cold run with the journal, which is there already, and without one; and a backlog."""
    with_it: list[Cost] = []
    without: list[Cost] = []
    for turn in range(bench.sizes.cold_turns + 1):
        note(f"cold runs, turn {turn}")
        for measured in (with_it, without):
            environment = bench.environment("cold", WEATHER_SECRET_ID="weather-ingest")  # noqa: S106
            if measured is without:
                environment["WEATHER_JOURNAL"] = "off"
            if turn:
                measured.append(bench.whole_run(1, environment))
            else:
                bench.whole_run(1, environment)
    on, off = median_cost(with_it), median_cost(without)
    bench.figures["cold run of one place"] = {
        "wall, journal on, ms": on.wall_ms,
        "wall, journal off, ms": off.wall_ms,
        "CPU, journal on, ms": on.cpu_ms,
        "CPU, journal off, ms": off.cpu_ms,
    }
    times: dict[str, list[float]] = {"journal": [], "memory": []}
    count = bench.sizes.backlog
    for turn in range(bench.sizes.turns):
        for source, seconds in times.items():
            note(f"backlog from {source}, turn {turn + 1}")
            environment = bench.environment(f"backlog {turn}")
            words = ("deliver", source, str(count))
            seconds.append(bench.part(environment, PARTS, *words)["seconds"])
    bench.figures[f"{count:,} observations delivered, seconds"] = {
        f"from {source}": statistics.median(seconds) for source, seconds in times.items()
    }
    bench.goals += [
        Goal("cold run's wall time with the journal", on.wall_ms / off.wall_ms, 1.05),
        Goal("cold run's CPU with the journal", on.cpu_ms / off.cpu_ms, 1.05),
        Goal(
            f"backlog of {count:,} observations in terms of the same from memory",
            _median_ratio(times["journal"], times["memory"]),
            1.5,
        ),
    ]


def _median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Of the ratios of each turn, because what slows one slows the other."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


MEASUREMENTS = {
    "fetch": fetching_alone,
    "whole": whole_runs,
    "write": writing,
    "growth": growth,
    "journal": cost_of_the_journal,
}


def print_figures(figures: dict[str, Any]) -> None:
    for title, values in figures.items():
        if title == "growth":
            print_growth(values)
            continue
        print(f"{title}:")
        for name, value in values.items():
            print(f"  {name:52}{value:12,.{0 if value >= 1000 else 1}f}")
        print()


def print_growth(rows: list[dict[str, Any]]) -> None:
    print("whole runs, and the CPU time of each part in one run with timers, µs a place:")
    print(f"{'places':>9}{'wall':>10}{'CPU':>10}{'a second':>10}{'peak':>10}", end="")
    print("".join(f"{part:>9}" for part in SPLIT))
    for row in rows:
        count = row["places"]
        rate = count / row["wall_ms"] * 1000
        split = (row["cpu_split_s"].get(part, 0.0) * 1e6 / count for part in SPLIT)
        print(
            f"{count:9,}{row['wall_ms'] / 1000:8.2f} s{row['cpu_ms'] / 1000:8.2f} s{rate:10,.0f}"
            f"{row['peak_mib']:6.1f} MiB" + "".join(f"{each:9,.0f}" for each in split)
        )
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small run: it works, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--only", choices=list(MEASUREMENTS), action="append", help="this measurement alone"
    )
    parser.add_argument(
        "--awswrangler-python",
        type=Path,
        default=PEER_PYTHON,
        metavar="PYTHON",
        help="one that has requirements-bench.txt installed; default: build/bench/bin/python",
    )
    arguments = parser.parse_args()
    wanted = arguments.only or list(MEASUREMENTS)
    sizes = QUICK if arguments.quick else Sizes()
    try:
        need("nginx", "curl")
        peer_python = arguments.awswrangler_python.absolute()
        if "write" in wanted and not peer_python.exists():
            raise BenchmarkError(
                f"{peer_python} is missing, which is to run aws-sdk-pandas: make build/bench/.ready"
            )
        with (
            tempfile.TemporaryDirectory() as folder,
            nginx_servers() as servers,
            delayed_servers(DELAY_MS) as delayed,
        ):
            bench = Bench(sizes, servers, delayed, Path(folder), peer_python)
            for name in wanted:
                MEASUREMENTS[name](bench)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    note("")
    print(
        f"{CONCURRENCY} requests and {WRITERS} WriteRecords calls at once; medians of {sizes.turns}"
        f" ({sizes.cold_turns} cold runs). Services: two nginx servers on loopback; for {DELAY_MS}"
        " ms of delay one server of asyncio.\n"
    )
    print_figures(bench.figures)
    print("\n".join(map(str, bench.goals)))
    goals = [goal.as_dict() for goal in bench.goals]
    write_json(arguments.json, {"quick": arguments.quick, **bench.figures, "goals": goals})
    return 0


if __name__ == "__main__":
    sys.exit(main())

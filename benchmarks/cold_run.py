"""What one cold run costs, as cron starts it: wall time, CPU and peak memory of a whole process.

Next to the program run (a) `bare_script.py`, the same job without any care, and (b)
`start_only.py`, which does no I/O; in turns, so that a busy machine slows all three. The services
are on loopback, in a process of their own, once as quick as they are and once with a delay added
to each call. Over loopback there is no TLS, which would cost the program and (a) the same.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from benchmarks.common import (  # noqa: E402  (the path has to be there first)
    API_KEY,
    DATABASE,
    PROGRAM,
    TABLE,
    BenchmarkError,
    Cost,
    Services,
    median_cost,
    note,
    run_process,
    services,
    write_json,
)

PROGRAMS = {
    "ours": PROGRAM,
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

# What the services must have seen of one run, and the records then in the table.
WHOLE_JOB = {
    "GetSecretValue": 1,
    "weather": 1,
    "DescribeEndpoints": 1,
    "WriteRecords": 1,
    "records": 4,
}
EXPECTED = {"ours": WHOLE_JOB, "a": WHOLE_JOB, "b": dict.fromkeys(WHOLE_JOB, 0)}


class Goal(NamedTuple):
    """The program's ratio to (a) that is to be reached at each of some delays."""

    what: str
    figure: str
    most: float
    delays_ms: tuple[int, ...]


GOALS = (
    Goal("CPU", "cpu_ms", 0.85, DELAYS_MS),
    Goal("wall time", "wall_ms", 0.75, (80,)),
    Goal("peak memory", "peak_mib", 1.15, DELAYS_MS),
)


def serve() -> None:
    """The services; for each line of standard input one of standard output, both JSON.

    {"delay_ms": n} empties the table and the counts, and brings new weather; {} answers what was
    counted since.
    """
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


def measure(which: str, delay_ms: int, running: Services, home: str) -> Cost:
    """Run one program once. Raises BenchmarkError unless it did its whole job, and once."""
    running.ask({"delay_ms": delay_ms})
    ended = run_process(
        [sys.executable, PROGRAMS[which]], {**running.environment, "HOME": home}, home
    )
    seen = running.ask({})
    if ended.status or seen != EXPECTED[which]:
        raise BenchmarkError(
            f"{PROGRAMS[which].name} ended with status {ended.status}; the services saw "
            f"{seen}, not {EXPECTED[which]}.\n{ended.said}"
        )
    return ended.cost


def medians(runs: int) -> dict[int, dict[str, Cost]]:
    """By delay and program. Programs and delays take turns, the first turn unmeasured."""
    costs: dict[tuple[int, str], list[Cost]] = {}
    with services(__file__, "--serve") as running, tempfile.TemporaryDirectory() as home:
        for turn in range(runs + 1):
            for delay_ms in DELAYS_MS:
                for which in PROGRAMS:
                    cost = measure(which, delay_ms, running, home)
                    if turn:
                        costs.setdefault((delay_ms, which), []).append(cost)
            note(f"{turn} of {runs}")
    return {
        delay_ms: {which: median_cost(costs[delay_ms, which]) for which in PROGRAMS}
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
    figures_of = {
        delay_ms: {which: cost._asdict() for which, cost in by_program.items()}
        for delay_ms, by_program in figures.items()
    }
    write_json(arguments.json, {"runs": arguments.runs, "medians": figures_of, "goals": goals})
    return 0


if __name__ == "__main__":
    sys.exit(main())

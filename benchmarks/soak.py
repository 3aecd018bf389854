"""A hundred runs over a thousand places while every service fails one call in twenty.

All runs are in one process, as on Lambda, so that what a run leaves behind adds up and shows. The
services are the embedded ones, in a process of their own. Each run finds new weather; in the end
everything that was fetched must be stored, nothing twice, with memory and descriptors as they were.

To be done in minutes, the pauses before another attempt are shortened, and two faults are left out
that would add nothing but waiting: 429 from OpenWeatherMap, which halts a run for a minute, and
services that do not answer at all.
"""

import argparse
import contextlib
import gc
import io
import json
import logging
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before PyCURL's own `curl`
from benchmarks.common import (  # noqa: E402  (the path has to be there first)
    API_KEY,
    DATABASE,
    TABLE,
    BenchmarkError,
    Goal,
    Services,
    note,
    services,
    write_json,
)

if TYPE_CHECKING:
    from embedded.exchange import Request
    from embedded.faults import Fault

SHARE = 0.05
MEASURES = 4
OBSERVED_EVERY_S = 600


def serve(seed: int, runs: int) -> None:
    """The services; for each line of standard input one of standard output, both JSON.

    {"run": n} brings the weather of run n, and counts and forgets what the table has, for it would
    be large; {"calm": 1} ends the faults.
    """
    from embedded.aws import EmbeddedAws
    from embedded.faults import answer, aws_error, delay, empty, reset, reset_after, truncate
    from embedded.openweathermap import EmbeddedOpenWeatherMap

    everywhere = [empty(), reset(), reset_after(), truncate(), delay(0.2)]
    weather_faults = [*everywhere, answer(500), answer(502, b"<html>openresty</html>")]
    aws_faults = [
        *everywhere,
        answer(503),
        aws_error("ThrottlingException", "Rate exceeded", 429),
        aws_error("InternalServerException", "Try again", 500),
    ]
    dice = random.Random(seed)  # noqa: S311  (a die, not a secret)
    lock = threading.Lock()
    met: Counter[str] = Counter()
    calls: Counter[str] = Counter()

    def chooser(faults: "list[Fault]") -> Any:  # noqa: ANN401  (what `when` takes)
        def choose(request: "Request") -> "Fault | None":
            with lock:
                calls[request.action] += 1
                if dice.random() >= SHARE:
                    return None
                met[request.action] += 1
                return dice.choice(faults)

        return choose

    stored: dict[int, int] = {}  # series, measure and time -> version and value; as hashes
    again = doubled = 0
    weather_s = began_s = time.time() - (runs + 3) * OBSERVED_EVERY_S

    with (
        EmbeddedAws() as aws,
        EmbeddedOpenWeatherMap(api_key=API_KEY, clock=lambda: weather_s) as weather,
    ):
        aws.put_secret("weather-ingest", json.dumps({"OPENWEATHERMAP_API_KEY": API_KEY}))
        aws.make_table(DATABASE, TABLE, memory_hours=8766)
        aws.plan.when("*", chooser(aws_faults))
        weather.plan.when("*", chooser(weather_faults))
        print(json.dumps({**aws.environment(), "OPENWEATHERMAP_URL": weather.url}), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            if "calm" in order:
                aws.plan.clear()
                weather.plan.clear()
            weather_s = began_s + order.get("run", 0) * OBSERVED_EVERY_S
            for row in aws.rows(DATABASE, TABLE):
                place = tuple(sorted(row.dimensions.items()))
                key = hash((place, row.measure_name, row.time_ms))
                value = hash((row.version, row.value))
                again += key in stored
                doubled += stored.setdefault(key, value) != value
            aws.make_table(DATABASE, TABLE, memory_hours=8766)
            aws.forget_requests()
            weather.forget_requests()
            told = {"stored": len(stored), "again": again, "doubled": doubled}
            print(json.dumps({**told, "calls": calls, "faults": met}), flush=True)


def places(count: int) -> list[str]:
    """Coordinates, for any are answered."""
    return [f"{number % 100 / 2 - 25:.2f},{number // 100 / 2 - 90:.2f}" for number in range(count)]


def shorten_pauses() -> None:
    """The same attempts, a fiftieth of the pauses."""
    from botocore.retries.standard import ExponentialBackoff

    from ingest.openweathermap import retry

    retry.BACKOFF_BASE_S /= 50
    backoff: Any = ExponentialBackoff
    longer = backoff.delay_amount
    backoff.delay_amount = lambda *args: longer(*args) / 50


def one_run() -> dict[str, Any]:
    """The program's own entry, and the summary that it prints."""
    import ingest_weather

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = ingest_weather.main(["-q", "--json"])
    logging.getLogger().handlers.clear()
    summary: dict[str, Any] = json.loads(output.getvalue())
    if status != summary["status"]:
        raise BenchmarkError(f"Status {status}, but the summary says {summary}")
    return summary


def resident_mib() -> float:
    """Of this process, now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def soak(running: Services, runs: int, count: int, home: Path) -> dict[str, Any]:
    """All runs, and one more without faults, which delivers what is left."""
    os.environ.update(running.environment)
    os.environ.update(
        HOME=str(home),
        OPENWEATHERMAP_CALLS_PER_MINUTE="1000000",
        WEATHER_PLACES=";".join(places(count)),
        WEATHER_JOURNAL=str(home / "journal.sqlite3"),
    )
    shorten_pauses()
    terminal = sys.stderr
    quietly = (home / "said").open("w", encoding="utf-8")
    totals: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    memory: list[float] = []
    files: list[int] = []
    threads: list[int] = []
    objects: list[int] = []
    started = time.monotonic()
    with quietly, contextlib.redirect_stderr(quietly):
        for number in range(1, runs + 2):
            told = running.ask({"calm": 1, "run": number} if number > runs else {"run": number})
            summary = one_run()
            statuses[summary["status"]] += 1
            names = ("places", "fetched", "failed", "unchanged", "stored", "rejected")
            totals.update({name: summary.get(name, 0) for name in names})
            totals["pending"] = summary["pending"]
            memory.append(resident_mib())
            files.append(descriptors())
            objects.append(len(gc.get_objects()))
            threads.append(threading.active_count())
            with contextlib.redirect_stderr(terminal):
                note(f"{number} of {runs + 1} runs")
        told = running.ask({})
    with contextlib.closing(sqlite3.connect(home / "journal.sqlite3")) as db:
        (integrity,) = db.execute("PRAGMA integrity_check").fetchone()
        states = dict(db.execute("SELECT state, count(*) FROM observation GROUP BY state"))
    return {
        "seconds": time.monotonic() - started,
        "summaries": dict(totals),
        "statuses": dict(statuses),
        "table": told,
        "journal": {"integrity_check": integrity, **states},
        "memory_mib": memory,
        "descriptors": files,
        "threads": threads,
        "objects": objects,
    }


def goals_of(found: dict[str, Any], runs: int, count: int) -> list[Goal]:
    summaries, table, journal = found["summaries"], found["table"], found["journal"]
    expected = MEASURES * summaries["fetched"]
    # The first runs fill caches, so what is flat is flat from the second tenth on. The memory of
    # a process drifts with the order its pieces are freed in; its objects do not.
    memory, objects, files = (found[name] for name in ("memory_mib", "objects", "descriptors"))
    tenth = max(1, len(memory) // 10)
    memory_ratio, objects_ratio = (
        statistics.median(each[-tenth:]) / statistics.median(each[tenth : 2 * tenth])
        for each in (memory, objects)
    )
    asked = count * (runs + 1)
    return [
        Goal(
            "places fetched of those asked for", summaries["fetched"] / asked, 0.95, at_least=True
        ),
        Goal("records of fetched weather that are not in the table", expected - table["stored"], 0),
        Goal("records in the table with another version or value", table["doubled"], 0),
        Goal("observations still pending", summaries["pending"], 0),
        Goal("records rejected", summaries["rejected"], 0),
        Goal("problems of the journal", int(journal["integrity_check"] != "ok"), 0),
        Goal("Python objects at the end in terms of those after a tenth", objects_ratio, 1.02),
        Goal("memory at the end in terms of that after a tenth", memory_ratio, 1.15),
        Goal("growth of open descriptors", max(files[-tenth:]) - max(files[:tenth]), 0),
        Goal("threads left at the end", found["threads"][-1] - found["threads"][0], 0),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--places", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--quick", action="store_true", help="a small one: it works, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.seed, arguments.runs)
        return 0
    runs, count = (5, 50) if arguments.quick else (arguments.runs, arguments.places)
    if not Path("/proc/self/fd").exists():
        print("The soak test reads /proc: run it on Linux.", file=sys.stderr)
        return 1
    print(
        f"{runs} runs over {count} places, {SHARE:.0%} faults, then one without; "
        f"--seed {arguments.seed}",
        flush=True,
    )
    try:
        with (
            services(
                __file__, "--serve", "--seed", str(arguments.seed), "--runs", str(runs)
            ) as running,
            tempfile.TemporaryDirectory() as home,
        ):
            found = soak(running, runs, count, Path(home))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    note("")
    table, memory = found["table"], found["memory_mib"]
    print(f"\n{found['seconds']:.0f} s; exit statuses {found['statuses']}; {found['summaries']}")
    print(f"calls {table['calls']}\nfaults {table['faults']}")
    print(f"records stored {table['stored']}, sent again after their run {table['again']}")
    print(
        f"memory {memory[0]:.1f} MiB after the first run, {memory[-1]:.1f} after the last, "
        f"{max(memory):.1f} at most; descriptors {found['descriptors'][0]} and "
        f"{found['descriptors'][-1]}; threads {found['threads'][0]} and {found['threads'][-1]}\n"
    )
    goals = goals_of(found, runs, count)
    print("\n".join(map(str, goals)))
    result = {"seed": arguments.seed, **found, "goals": [goal.as_dict() for goal in goals]}
    write_json(arguments.json, result)
    return int(not all(goal.reached for goal in goals))


if __name__ == "__main__":
    sys.exit(main())

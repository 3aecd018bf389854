"""Parts of the program, each measured alone in a process of its own; prints its figures as JSON.

fetch N           WeatherClient.stream over N places: no journal, nothing written
deliver FROM N    the records of N observations that are there already: in the `journal` or `memory`
split N           a whole run over N places, and whose CPU time it was
profile N FILE    a whole run over N places under cProfile; the main thread's figures into the file

Settings come from the environment, as the program's do.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # before PyCURL's own `curl`

FIRST_ID = 9_000_000

P = ParamSpec("P")
T = TypeVar("T")


def names(count: int) -> list[str]:
    """So many places, as configured."""
    return [str(FIRST_ID + number) for number in range(count)]


def fetch(count: int) -> dict[str, float]:
    from ingest.deadline import Deadline
    from ingest.observation import DEFAULT_MEASURES, Observation
    from ingest.openweathermap.client import WeatherClient
    from ingest.places import Places

    client = WeatherClient(
        url=os.environ["OPENWEATHERMAP_URL"],
        api_key=os.environ["OPENWEATHERMAP_API_KEY"],
        units="metric",
        measures=DEFAULT_MEASURES,
        timeout_s=10,
        deadline=Deadline(3600),
    )
    started, fetched = time.perf_counter(), 0
    for results in client.stream(Places(names(count))):
        fetched += sum(isinstance(result, Observation) for result in results)
    seconds = time.perf_counter() - started
    if fetched != count:
        raise SystemExit(f"{fetched} of {count} places were fetched")
    return {"seconds": seconds}


def deliver(source: str, count: int) -> dict[str, float]:
    """journal: WEATHER_JOURNAL, filled first and then opened again, as by a later run."""
    from ingest.clients import Clients
    from ingest.deadline import Deadline, epoch_ms
    from ingest.delivery import Delivery
    from ingest.errors import JournalError
    from ingest.journal.fallback import RunJournal
    from ingest.observation import Observation
    from ingest.places import parse_place
    from ingest.reporting.logs import RunLog
    from ingest.reporting.summary import Summary
    from ingest.settings import read_sources
    from timestream_writer import TimestreamWriter

    def fail(error: JournalError) -> None:
        raise error

    deadline, summary, log = Deadline(3600), Summary("deliver"), RunLog()
    settings = read_sources({**os.environ, "WEATHER_SECRET_ID": ""}).settings()
    destination = TimestreamWriter(settings, Clients(), deadline)
    path = settings.journal if source == "journal" else None
    now_ms = epoch_ms()
    values = {"CurrentTemp": "11.43", "TempFeelsLike": "10.82", "Humidity": "93"}
    values["Pressure"] = "1016"
    journal = RunJournal(path, destination.target, fail)
    places, entries = names(count), []
    for first in range(0, count, 1000):
        entries += journal.enqueue(
            [
                Observation(
                    parse_place(name), f"Station {name}", "GB", int(name), now_ms, now_ms, values
                )
                for name in places[first : first + 1000]
            ],
            now_ms,
        )
    if path:
        journal.close()
        journal = RunJournal(path, destination.target, fail)
    started, cpu_started = time.perf_counter(), time.process_time()
    delivery = Delivery(
        destination, journal, deadline, log, summary, lambda _: None, epoch_ms, writers=4
    )
    if not path:
        delivery.add(entries)
    delivery.finish()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    delivery.close()
    if summary.stored != 4 * count or delivery.failure:
        raise SystemExit(f"{summary.stored} of {4 * count} records stored: {delivery.failure}")
    journal.close()
    return {"seconds": seconds, "cpu_seconds": cpu_seconds}


class Timers:
    """CPU time by part, each without that of parts called from within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    def call(self, part: str, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        children: list[float] = self._local.__dict__.setdefault("children", [0.0])
        children.append(0.0)
        started = time.thread_time()
        try:
            return function(*args, **options)
        finally:
            spent = time.thread_time() - started
            own = spent - children.pop()
            children[-1] += spent
            with self._lock:
                self.seconds[part] = self.seconds.get(part, 0.0) + own

    def wrap(self, part: str, owner: object, *functions: str) -> None:
        for name in functions:
            setattr(owner, name, self._wrapped(part, getattr(owner, name)))

    def _wrapped(self, part: str, function: Callable[P, T]) -> Callable[P, T]:
        def timed(*args: P.args, **options: P.kwargs) -> T:
            return self.call(part, function, *args, **options)

        return timed

    def wrap_iterator(self, part: str, owner: object, name: str) -> None:
        setattr(owner, name, self._wrapped_iterator(part, getattr(owner, name)))

    def _wrapped_iterator(
        self, part: str, function: Callable[P, Iterator[T]]
    ) -> Callable[P, Iterator[T]]:
        def timed(*args: P.args, **options: P.kwargs) -> Iterator[T]:
            iterator = function(*args, **options)
            while True:
                try:
                    yield self.call(part, iterator.__next__)
                except StopIteration:
                    return

        return timed


def split(count: int) -> dict[str, float]:
    """Seconds of CPU time by part. `fetch` is PycURL's side of it, with the kernel's TCP."""
    from ingest.delivery import Delivery
    from ingest.journal.fallback import RunJournal as Journal
    from ingest.openweathermap import client as openweathermap
    from ingest.pipeline import Pipeline
    from timestream_writer import TimestreamWriter

    timers = Timers()
    timers.wrap_iterator("fetch", openweathermap.WeatherClient, "stream")
    timers.wrap("parse", openweathermap, "parse_reply")
    methods = [name for name, each in vars(Journal).items() if callable(each) and name[0] != "_"]
    timers.wrap("journal", Journal, "__init__", *methods)
    timers.wrap("batch", Delivery, "pump", "finish")
    timers.wrap("write", TimestreamWriter, "write")
    timers.wrap("rest", Pipeline, "run")
    started, cpu_started = time.perf_counter(), time.process_time()
    whole_run(count)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    parts = timers.seconds
    return {**parts, "start": cpu_seconds - sum(parts.values()), "seconds": seconds}


def whole_run(count: int) -> None:
    import ingest_weather

    file = Path(os.environ["HOME"], f"{count}.txt")
    file.write_text("\n".join(names(count)), encoding="utf-8")
    status = ingest_weather.main(["--place", f"@{file}"])
    if status:
        raise SystemExit(status)


def profile(count: int, file: str) -> dict[str, float]:
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.runcall(whole_run, count)
    with Path(file).open("w", encoding="utf-8") as output:
        pstats.Stats(profiler, stream=output).sort_stats("tottime").print_stats(30)
    return {}


PARTS: dict[str, Callable[..., dict[str, float]]] = {
    "fetch": fetch,
    "deliver": deliver,
    "split": split,
    "profile": profile,
}

if __name__ == "__main__":
    part, *arguments = sys.argv[1:]
    values = [int(each) if each.isdigit() else each for each in arguments]
    print(json.dumps(PARTS[part](*values)))

"""SIGKILL at every step and at any moment: what was committed reaches Timestream, once."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.aws import EmbeddedAws
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.observation import Observation
from ingest.settings import read_sources
from tests.conftest import API_KEY, DATABASE, ROOT, TABLE
from tests.support.in_process import Runs, environment
from tests.support.journals import LONDON, query, series, states
from tests.support.readings import fill

KILLED = -9
PLACES = {"London,GB": "London", "Paris,FR": "Paris"}
HOUR_S = 3600
RANDOM_KILLS = 104
SEED = 20201108
# Several workers share a test: each takes its part of the steps, or of the random moments.
PARTS = 8

# city, measure, time in ms -> value, version
Table = dict[tuple[str, str, int], tuple[str, int]]


class Driver:
    """Runs the program in processes that can be killed; see killed_run.py."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.log = log
        self._stderr = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.killed_run"],
            cwd=ROOT,
            env={**env, "WEATHER_PLACES": ";".join(PLACES), "LOG_LEVEL": "WARNING"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )

    def run(
        self, journal: Path, *, kill_at: int = 0, after: tuple[int | None, float] = (None, 0)
    ) -> Any:
        """kill_at: the step to die at. after: a step, and seconds from it on to the kill."""
        assert self._process.stdin
        assert self._process.stdout
        order = {
            "journal": str(journal),
            "kill_at": kill_at,
            "after_step": after[0],
            "after_s": after[1],
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.log.read_text()
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate(timeout=60)
        self._stderr.close()


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as service:
        service.make_table(DATABASE, TABLE)
        yield service


@pytest.fixture(scope="module")
def weather() -> Iterator[EmbeddedOpenWeatherMap]:
    with EmbeddedOpenWeatherMap(api_key=API_KEY) as service:
        yield service


@pytest.fixture(scope="module")
def driver(
    aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("driver")
    driver = Driver({**environment(aws, weather), "HOME": str(folder)}, folder / "log")
    yield driver
    driver.close()


class NextRuns:
    """The runs that follow a kill, within this process: nothing kills them."""

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._runs = Runs()

    def run(self, journal: Path) -> int:
        """Its exit status."""
        sources = read_sources({**self._env, "WEATHER_JOURNAL": str(journal)})
        status = self._runs.run_with(sources.settings()).status
        assert "Traceback" not in self._runs.said()
        return int(status)


@pytest.fixture(scope="module")
def next_runs(aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap) -> Iterator[NextRuns]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in aws.environment().items():
            patched.setenv(name, value)  # boto3 reads them there
        yield NextRuns({**environment(aws, weather), "WEATHER_PLACES": ";".join(PLACES)})


class World:
    """The services, and everything that they ever served: the table is empty at first."""

    def __init__(self, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap) -> None:
        aws.store.drop_table(DATABASE, TABLE)
        self.aws = aws
        self.weather = weather
        self.served: dict[tuple[str, str, int], str] = {}
        self._now_s = int(time.time()) - 20 * HOUR_S

    def next_weather(self) -> None:
        """Ten seconds later, with values that were never seen."""
        self._now_s += 10
        for number, (query_, city) in enumerate(PLACES.items()):
            value = self._now_s % 100_000 + number * 100_000
            fields = {"temp": value, "feels_like": value + 1, "humidity": value + 2}
            self.weather.set_weather(query_, dt=self._now_s, pressure=value + 3, **fields)
            for more, measure in enumerate(
                ("CurrentTemp", "TempFeelsLike", "Humidity", "Pressure")
            ):
                self.served[city, measure, self._now_s * 1000] = str(value + more)

    def serve(self, observations: list[Observation]) -> None:
        """Count these as served: a test has put them into the journal."""
        for each in observations:
            for measure, value in each.values.items():
                self.served[each.city, measure, each.time_ms] = value

    def rows(self) -> Table:
        rows = self.aws.rows(DATABASE, TABLE)
        table = {
            (row.dimensions["city"], row.measure_name, row.time_ms): (row.value, row.version)
            for row in rows
        }
        assert len(table) == len(rows)
        return table


def committed(journal: Path, *, rejected: bool = False) -> Table:
    """What the journal holds as rejected, or all else."""
    if not journal.exists() or not query(journal, "SELECT 1 FROM sqlite_schema"):
        return {}
    found = query(
        journal,
        "SELECT city, key, time_ms, value, version FROM observation, json_each(measures) "
        "WHERE (state = 'rejected') = ? ORDER BY version",
        rejected,
    )
    return {(city, name, time_ms): (value, v) for city, name, time_ms, value, v in found}


def check_after_kill(world: World, journal: Path, where: str) -> Table:
    """Nothing is in the table that was not committed before; returns what was."""
    if journal.exists():
        assert query(journal, "PRAGMA integrity_check") == [("ok",)], where
    kept = committed(journal)
    assert world.rows().items() <= kept.items(), where
    return kept


def check_after_run(
    world: World, journal: Path, before: Table, *, where: str, rejected: int = 0
) -> None:
    """Exactly what was committed is in the table, with the values that were served."""
    rows, refused = world.rows(), committed(journal, rejected=True)
    assert before.items() <= (rows | refused).items(), where
    assert len(refused) == rejected, where
    assert rows == committed(journal), where
    assert all(world.served[key] == value for key, (value, _) in rows.items())
    counts = states(journal)
    assert counts.get("pending", 0) == 0, where
    assert counts.get("rejected", 0) == rejected
    assert world.aws.store.unreported == []


def no_journal_yet(_: Path) -> list[Observation]:
    return []


def backlog(journal: Path) -> list[Observation]:
    """Thirty observations of earlier runs: with what is fetched, two calls."""
    waiting = series(30, LONDON, (int(time.time()) - 23 * HOUR_S) * 1000)
    fill(journal, waiting, pending=len(waiting))
    return waiting


def backlog_with_one_too_old(journal: Path) -> list[Observation]:
    """And one that is older than the table takes."""
    fill(journal, series(1, LONDON, 1_000_000), pending=1)
    return backlog(journal)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(
    ("prepare", "rejected"),
    [(no_journal_yet, 0), (backlog_with_one_too_old, 4)],
    ids=["no journal yet", "a backlog with one too old"],
)
def test_killed_at_every_step_it_loses_and_doubles_nothing(
    driver: Driver,
    next_runs: NextRuns,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    prepare: Any,
    rejected: int,
    part: int,
) -> None:
    step, status = part + 1 - PARTS, KILLED
    while status == KILLED:
        step += PARTS
        world = World(aws, weather)
        journal = tmp_path / str(step) / "journal.sqlite3"
        world.serve(prepare(journal))
        world.next_weather()
        status = driver.run(journal, kill_at=step)["status"]
        where = f"killed at step {step}"
        kept = check_after_kill(world, journal, where)
        world.next_weather()
        assert next_runs.run(journal) in (0, 65), where
        check_after_run(world, journal, kept, where=where, rejected=rejected)
    assert status == (65 if rejected else 0)
    assert step > 50
    assert "Traceback" not in driver.log.read_text()


@pytest.mark.parametrize("seed", range(SEED, SEED + PARTS))
def test_killed_at_any_moment_it_loses_and_doubles_nothing(
    driver: Driver,
    next_runs: NextRuns,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    seed: int,
) -> None:
    world = World(aws, weather)
    journal = tmp_path / "journal.sqlite3"
    world.next_weather()
    driver.run(journal)
    world.next_weather()
    steps = driver.run(journal)["steps"]
    moments = random.Random(seed)
    killed, kills = 0, RANDOM_KILLS // PARTS
    for number in range(2 * kills):
        world.next_weather()
        after = (moments.randint(0, steps), moments.random() * 0.003)
        ended = driver.run(journal, after=after)
        killed += ended["status"] == KILLED
        where = f"seed {seed}, run {number}, step {after[0]} and {after[1]:.5f} s: {ended}"
        kept = check_after_kill(world, journal, where)
        world.next_weather()
        assert next_runs.run(journal) == 0, where
        check_after_run(world, journal, kept, where=where)
        if killed == kills:
            break
    assert killed == kills
    assert "Traceback" not in driver.log.read_text()

"""Any sequence of runs, faults, kills and clock jumps: nothing lost, doubled or stuck."""

import itertools
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, aws_error, empty, reset, reset_after, truncate
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.journal.rejected import discard, rejected, retry
from ingest.journal.schema import JournalFile
from tests.conftest import DATABASE, TABLE
from tests.support.in_process import InProcess, environment
from tests.support.journals import TARGET, query

PLACES = {"London,GB": "London", "Paris,FR": "Paris"}
HOUR_S = 3600
DAY_MS = 24 * HOUR_S * 1000
LAST_STEP = 90
EXAMPLES = 60
PARTS = 4  # of the examples, for several workers to share; each begins with another seed

BREAKS = {"reset": reset(), "reset after": reset_after(), "empty": empty(), "truncated": truncate()}
AWS_FAULTS = {
    **BREAKS,
    "throttled": aws_error("ThrottlingException", "Rate exceeded", 429),
    "internal": aws_error("InternalServerException", "Try again", 500),
    "bare 503": answer(503),
    "denied": aws_error("AccessDeniedException", "not authorized", 403),
    "no table": aws_error("ResourceNotFoundException", "no such table", 404),
}
WEATHER_FAULTS = {
    **BREAKS,
    "HTML": answer(502, b"<html>openresty</html>"),
    "no JSON": answer(200, b"<html>"),
    "blocked": answer(429, b'{"cod":429,"message":"blocked"}'),
    "bad key": answer(401, b'{"cod":401,"message":"Invalid API key"}'),
}
FAULTS = st.one_of(
    st.tuples(
        st.sampled_from(["WriteRecords", "DescribeEndpoints"]), st.sampled_from([*AWS_FAULTS])
    ),
    st.tuples(st.just("weather"), st.sampled_from([*WEATHER_FAULTS])),
)
REASONS = st.sampled_from(
    [
        "The record timestamp is outside the time range [a, b) of the memory store.",
        "A record already exists with the same time, dimensions and record version.",
    ]
)

# place, time in ms, measure
Key = tuple[str, int, str]


class Runs(RuleBasedStateMachine):
    """Drives the program; `check` compares table and journal with all that was ever committed."""

    aws: EmbeddedAws
    weather: EmbeddedOpenWeatherMap
    programs: InProcess
    folders: Iterator[Path]

    def __init__(self) -> None:
        super().__init__()
        self.journal = next(self.folders) / "journal.sqlite3"
        os.environ["WEATHER_JOURNAL"] = str(self.journal)
        self.aws.store.drop_table(DATABASE, TABLE)
        self.aws.plan.clear()
        self.weather.plan.clear()
        self.weather.forget_weather()
        self.now_ms = int(time.time() * 1000)
        self.base_s = self.now_ms // 1000 - 10 * HOUR_S
        self.served: dict[tuple[str, int], set[tuple[tuple[str, str], ...]]] = defaultdict(set)
        self.committed: dict[Key, dict[int, str]] = defaultdict(dict)
        self.standing: dict[Key, set[int]] = defaultdict(set)
        self.may_be_rejected: set[Key] = set()
        self.values = itertools.count(1)

    @initialize()
    def begin(self) -> None:
        for place in PLACES:
            self.change_weather(place, 0)

    @rule(place=st.sampled_from([*PLACES]), minutes=st.integers(0, 4))
    def change_weather(self, place: str, minutes: int) -> None:
        """New values; of the same time, an earlier or a later one."""
        self.serve(place, self.base_s + 60 * minutes)

    @rule(place=st.sampled_from([*PLACES]), minutes=st.integers(0, 1))
    def weather_older_than_the_table_takes(self, place: str, minutes: int) -> None:
        self.serve(place, self.base_s - 100 * HOUR_S + 60 * minutes)

    def serve(self, place: str, observed_s: int) -> None:
        value = next(self.values)
        fields = {"temp": value, "feels_like": value, "humidity": value, "pressure": value}
        self.weather.set_weather(place, dt=observed_s, **fields)
        measures = ("CurrentTemp", "TempFeelsLike", "Humidity", "Pressure")
        self.served[place, observed_s * 1000].add(tuple((name, str(value)) for name in measures))
        if observed_s < self.base_s:
            self.may_be_rejected |= {(place, observed_s * 1000, name) for name in measures}

    @rule(
        milliseconds=st.sampled_from(
            [-400 * DAY_MS, -HOUR_S * 1000, -1, 0, HOUR_S * 1000, DAY_MS * 40]
        )
    )
    def jump_clock(self, milliseconds: int) -> None:
        self.now_ms += milliseconds

    @rule()
    def run_well(self) -> None:
        """Nothing is stuck: whatever went before, such a run delivers all there is."""
        summary = self.run()
        assert summary is not None
        assert summary.fetched == len(PLACES)
        assert summary.status in (0, 65)
        assert summary.pending == 0
        assert query(self.journal, "SELECT * FROM observation WHERE state = 'pending'") == []

    @rule(fault=FAULTS, times=st.sampled_from([1, 2, 3, 100]))
    def run_with_a_fault(self, fault: tuple[str, str], times: int) -> None:
        self.plan(*fault, times)
        summary = self.run()
        assert summary is not None
        assert summary.status in (0, 65, 69, 75, 77, 78)

    @rule(
        kill_at=st.integers(1, LAST_STEP),
        fault=st.one_of(st.none(), FAULTS),
        times=st.sampled_from([1, 2]),
    )
    def run_and_kill(self, kill_at: int, fault: tuple[str, str] | None, times: int) -> None:
        if fault:
            self.plan(*fault, times)
        self.run(kill_at)

    @rule(reason=REASONS)
    def run_and_refuse_all(self, reason: str) -> None:
        """Each record is refused, one by one."""

        def refuse(request: Request) -> Fault:
            count = len(request.json["Records"])
            refused = [{"RecordIndex": index, "Reason": reason} for index in range(count)]
            return aws_error("RejectedRecordsException", "rejected", 419, RejectedRecords=refused)

        self.aws.plan.when("WriteRecords", refuse)
        summary = self.run()
        assert summary is not None
        assert summary.pending == 0
        for key, _ in self.rows_in_journal("rejected"):
            self.may_be_rejected.add(key)

    @precondition(lambda self: self.journal.exists())
    @rule(place=st.sampled_from(["", *PLACES]), measure=st.sampled_from(["", "Humidity"]))
    def retry_rejected(self, place: str, measure: str) -> None:
        self.decide("retry", place, measure)

    @precondition(lambda self: self.journal.exists())
    @rule(place=st.sampled_from(["", *PLACES]), measure=st.sampled_from(["", "Humidity"]))
    def discard_rejected(self, place: str, measure: str) -> None:
        self.decide("discard", place, measure)

    def decide(self, what: str, place: str, measure: str) -> None:
        journal = JournalFile(self.journal, TARGET)
        try:
            entries = rejected(journal, [place] if place else [], measure)
            for each in entries:
                observation = each.observation
                for name in observation.values:
                    key = (observation.place.name, observation.time_ms, name)
                    self.standing[key].discard(observation.version)
            if what == "retry":
                retry(journal, entries, self.now_ms)
            else:
                discard(journal, entries)
        finally:
            journal.close()

    def plan(self, action: str, name: str, times: int) -> None:
        service: Any = self.weather if action == "weather" else self.aws
        faults = WEATHER_FAULTS if action == "weather" else AWS_FAULTS
        service.plan.next(action, *[faults[name]] * times)

    def run(self, kill_at: int = 0) -> Any:
        self.now_ms += 1000
        summary = self.programs.run(kill_at=kill_at)
        self.aws.plan.clear()
        self.weather.plan.clear()
        note(f"{self.programs.steps.taken} steps: {summary}")
        return summary

    def rows_in_journal(self, *states: str) -> list[tuple[Key, tuple[int, str]]]:
        found = query(
            self.journal,
            "SELECT place, time_ms, key, version, value FROM observation, json_each(measures) "
            f"WHERE state IN ({','.join('?' * len(states))})",
            *states,
        )
        return [((place, time_ms, key), (v, value)) for place, time_ms, key, v, value in found]

    @invariant()
    def check(self) -> None:
        rows = {}
        stored = self.aws.rows(DATABASE, TABLE)
        for row in stored:
            place = f"{row.dimensions['city']},{row.dimensions['country']}"
            rows[place, row.time_ms, row.measure_name] = (row.version, row.value)
        assert len(rows) == len(stored), "a row was doubled"
        if not (self.journal.exists() and query(self.journal, "SELECT 1 FROM sqlite_schema")):
            assert rows == {}
            return
        assert query(self.journal, "PRAGMA integrity_check") == [("ok",)]
        self.remember()
        self.check_rows(rows)
        rejected = {key for key, _ in self.rows_in_journal("rejected")}
        assert rejected <= self.may_be_rejected, "a record was rejected that should not have been"

    def remember(self) -> None:
        """What the journal holds now was committed; no version may stand for two values."""
        for key, (version, value) in self.rows_in_journal("pending", "delivered", "rejected"):
            assert self.committed[key].setdefault(version, value) == value, "a version was reused"
            self.standing[key].add(version)
        for (place, time_ms, name), versions in self.committed.items():
            served = {dict(reply)[name] for reply in self.served[place, time_ms]}
            assert set(versions.values()) <= served, "a value was never served"

    def check_rows(self, rows: dict[Key, tuple[int, str]]) -> None:
        waiting = {key for key, _ in self.rows_in_journal("pending", "rejected")}
        for key, (version, value) in rows.items():
            assert self.committed[key].get(version) == value, "a row was never committed"
        for key, versions in self.standing.items():
            if versions and key not in waiting:
                assert key in rows, "an observation was lost"
                assert rows[key][0] >= max(versions), "an older value stayed"


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_doubled_or_stuck_whatever_happens(
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: int,
) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "WEATHER_"))]:
        monkeypatch.delenv(name)
    for name, value in environment(aws, weather).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WEATHER_PLACES", ";".join(PLACES))
    monkeypatch.setenv("WEATHER_JOURNAL", "off")
    now: list[Runs] = []

    class Connected(Runs):
        def __init__(self) -> None:
            self.aws, self.weather, self.programs = aws, weather, programs
            self.folders = folders
            super().__init__()
            now[:] = [self]

    programs = InProcess(monkeypatch)
    folders = (tmp_path / str(number) for number in itertools.count())
    programs.now_ms = lambda: now[0].now_ms
    run_state_machine_as_test(
        seed(part)(Connected),
        settings=settings(
            max_examples=EXAMPLES // PARTS,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

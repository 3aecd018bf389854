"""Runs within the test's own process: real PycURL, boto3 and SQLite, no start-up.

A run of `InProcess` can be killed at any step: from there on every statement, request and write of
it fails, which is what a process that no longer exists can do.
"""

import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.httpsession
import pytest
from botocore.retries.standard import ExponentialBackoff

from embedded.aws import EmbeddedAws
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.clients import Clients
from ingest.deadline import Deadline, epoch_ms
from ingest.openweathermap import client as openweathermap
from ingest.openweathermap import retry
from ingest.reporting.logs import RunLog
from ingest.reporting.observer import Observer
from ingest.reporting.summary import Summary
from ingest.run import run
from ingest.settings import Settings, read_sources
from tests.conftest import API_KEY


class Watcher(Observer):
    """Keeps the summary of a run that is under way. changed: called as the run goes on."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__(RunLog())
        self.summary = Summary(self.log.run_id)
        self._changed = changed

    @contextmanager
    def watch(self, summary: Summary) -> Iterator[Callable[[], None]]:
        self.summary = summary
        yield self._changed


class Runs:
    """One run after the other, on one boto3 session.

    now_ms: the wall clock of runs.
    on_change: called again and again while a run goes on, in its thread.
    deadline, watcher: those of the last run.
    """

    def __init__(self, clients: Clients | None = None) -> None:
        self.clients = clients or Clients()
        self.now_ms: Callable[[], int] = epoch_ms
        self.on_change: Callable[[], None] = lambda: None
        self.deadline = Deadline(0.0)
        self.watcher = Watcher(self.on_change)

    def run_with(self, settings: Settings, deadline: Deadline | None = None) -> Summary:
        """One run. deadline: None for the one of the settings."""
        self.deadline = deadline or Deadline(settings.deadline_s)
        self.watcher = Watcher(self.on_change)
        return run(settings, self.clients, self.deadline, self.watcher, self.now_ms)

    def said(self) -> str:
        """The log of the last run."""
        return self.watcher.log.recent_lines()


def repeat_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before another attempt, of botocore's or of ours."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(retry, "BACKOFF_BASE_S", 0.0)


class Killed(BaseException):
    """The process is gone."""


class Steps:
    """Counts what a run does to the outside world, and kills it at one of these steps."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dead: set[threading.Thread] = set()
        self.taken = 0
        self.kill_at = 0

    def bury(self, threads: set[threading.Thread]) -> None:
        """These belong to a process that is gone: they take no step any more."""
        self._dead = {thread for thread in self._dead | threads if thread.is_alive()}
        self.kill_at = 0

    def begin(self, kill_at: int = 0) -> None:
        """kill_at: the number of the last step; 0 for none."""
        with self._lock:
            self.taken, self.kill_at = 0, kill_at

    def __call__(self, *_: object) -> None:
        if threading.current_thread() in self._dead:
            raise Killed
        with self._lock:
            self.taken += 1
            if self.kill_at and self.taken >= self.kill_at:
                raise Killed


def around(step: Callable[..., None], call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, with a step before it and a step after it."""

    def stepping(*args: Any, **options: Any) -> Any:
        step()
        result = call(*args, **options)
        step()
        return result

    return stepping


def stepping_connection(step: Callable[..., None]) -> type[sqlite3.Connection]:
    """A connection that takes a step before each statement, and after each commit.

    Nothing is flushed to the disk: what a process wrote outlives its kill, and nobody cuts the
    power. That would take most of the time.
    """

    class Connection(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            super().execute("PRAGMA synchronous = OFF")

        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            step()
            cursor = super().execute(unflushed(sql), *args)
            if sql == "COMMIT":
                step()
            return cursor

        def executemany(self, *args: Any) -> sqlite3.Cursor:
            step()
            return super().executemany(*args)

    return Connection


def unflushed(sql: str) -> str:
    """The statement; what is committed stays in the system's memory, for it to write some time."""
    return re.sub("synchronous = (FULL|NORMAL)", "synchronous = OFF", sql)


def outside_world() -> list[tuple[Any, str]]:
    """Where a run meets it, but for SQLite: a request leaves, or an answer has come."""
    client = openweathermap.WeatherClient
    return [(botocore.httpsession.URLLib3Session, "send"), (client, "point_at"), (client, "read")]


class InProcess(Runs):
    """Runs with the settings of the environment; each can be killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.steps = Steps()
        self._connections: list[sqlite3.Connection] = []
        connect = sqlite3.connect

        def connect_stepping(*args: Any, **options: Any) -> sqlite3.Connection:
            self.steps()
            db = connect(*args, factory=stepping_connection(self.steps), **options)
            self._connections.append(db)
            return db

        monkeypatch.setattr(sqlite3, "connect", connect_stepping)
        for owner, name in outside_world():
            monkeypatch.setattr(owner, name, around(self.steps, getattr(owner, name)))
        repeat_at_once(monkeypatch)
        monkeypatch.setattr(retry, "BLOCK_PAUSE_S", 0.0)

    def run(self, kill_at: int = 0) -> Summary | None:
        """One run: its summary, or None when it was killed."""
        self.steps.begin(kill_at)
        before = set(threading.enumerate())
        try:
            return self.run_with(read_sources(os.environ).settings())
        except Killed:
            return None
        finally:
            self.steps.bury(set(threading.enumerate()) - before)
            for db in self._connections:  # as the end of a process does
                sqlite3.Connection.close(db)
            self._connections.clear()

    def let_time_run_out(self) -> None:
        """Bring the deadline of the run that is under way to now."""
        self.deadline.seconds = 0.0


def environment(aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap) -> dict[str, str]:
    """The settings of runs within the process; no secret, because moto is slow."""
    return {
        **aws.environment(),
        "OPENWEATHERMAP_URL": weather.url,
        "OPENWEATHERMAP_API_KEY": API_KEY,
        "OPENWEATHERMAP_CALLS_PER_MINUTE": "1000000",
        "WEATHER_SECRET_ID": "",
    }

"""Runs of the program within the test's own process: real PycURL, boto3 and SQLite, no start-up.

A run can be killed at any step: from there on every statement, request and write of it fails, which
is what a process that no longer exists can do.
"""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import boto3
import botocore.httpsession
import pytest
from botocore.retries.standard import ExponentialBackoff

import ingest_weather
from commands import command_line
from embedded.aws import EmbeddedAws
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest import delivery
from ingest.aws import session as our_aws
from ingest.deadline import Deadline
from ingest.delivery import Delivery
from ingest.openweathermap import client as openweathermap
from ingest.reporting.summary import Summary
from ingest_weather import Run
from tests.conftest import API_KEY


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
    """A connection that takes a step before each statement, and after each commit."""

    class Connection(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            step()
            cursor = super().execute(*args)
            if args[0] == "COMMIT":
                step()
            return cursor

        def executemany(self, *args: Any) -> sqlite3.Cursor:
            step()
            return super().executemany(*args)

    return Connection


class InProcess:
    """Runs the program, once per call of `run`, on one boto3 session."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = Steps()
        self._clients: list[Any] = []
        self._connections: list[sqlite3.Connection] = []
        self._deliveries: list[Delivery] = []
        self._runs: list[Run] = []
        runs = self
        session = boto3.session.Session(region_name="us-east-1")

        class OneSession(our_aws.Aws):
            def __init__(self, deadline: Deadline, timeout_s: float) -> None:
                self.deadline = deadline
                self._timeout_s = timeout_s
                self._session = session

            def _client(self, *args: Any, **options: Any) -> Any:
                client = super()._client(*args, **options)
                runs._clients.append(client)
                return client

        connect = sqlite3.connect

        def connect_stepping(*args: Any, **options: Any) -> sqlite3.Connection:
            self.steps()
            db = connect(*args, factory=stepping_connection(self.steps), **options)
            self._connections.append(db)
            return db

        class KnownDelivery(Delivery):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                runs._deliveries.append(self)

        class KnownRun(Run):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                runs._runs.append(self)

        monkeypatch.setattr(ingest_weather, "Run", KnownRun)
        monkeypatch.setattr(ingest_weather, "end_on_signals", lambda _: None)
        monkeypatch.setattr(delivery, "Delivery", KnownDelivery)
        monkeypatch.setattr(our_aws, "Aws", OneSession)
        monkeypatch.setattr(sqlite3, "connect", connect_stepping)
        monkeypatch.setattr(ingest_weather, "start_logging", lambda *_: None)
        monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
        monkeypatch.setattr(openweathermap, "BACKOFF_BASE_S", 0.0)
        new = openweathermap.WeatherClient.__init__

        def without_pauses(*args: Any, **options: Any) -> None:
            new(*args, **{"block_pause_s": 0.0, **options})

        monkeypatch.setattr(openweathermap.WeatherClient, "__init__", without_pauses)
        http, client = botocore.httpsession.URLLib3Session, openweathermap.WeatherClient
        monkeypatch.setattr(http, "send", around(self.steps, http.send))
        monkeypatch.setattr(client, "aim", around(self.steps, client.aim))
        monkeypatch.setattr(client, "read", around(self.steps, client.read))

    def run(self, *arguments: str, kill_at: int = 0) -> Summary | None:
        """One run: its summary, or None when it was killed."""
        self.steps.begin(kill_at)
        before = set(threading.enumerate())
        try:
            ingest_weather.run_once(command_line.parse(arguments))
            return self._runs[-1].summary
        except Killed:
            return None
        finally:
            self.steps.bury(set(threading.enumerate()) - before)
            self._leave()

    def let_time_run_out(self) -> None:
        """Bring the deadline of the run that is under way to now."""
        self._runs[-1].deadline.seconds = 0.0

    def _leave(self) -> None:
        """What the end of a process does: it lets go of locks, files, connections and threads."""
        for each in self._deliveries:
            for _ in range(each._threads):
                each._jobs.put(None)
        for db in self._connections:
            with suppress(sqlite3.Error):
                sqlite3.Connection.close(db)
        for client in self._clients:
            client.close()
        self._connections.clear()
        self._clients.clear()
        self._deliveries.clear()
        for run in self._runs:
            if run._lock:
                run._lock.release()
        self._runs.clear()


def environment(aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap) -> dict[str, str]:
    """The settings of runs within the process; no secret, for moto is slow."""
    return {
        **aws.environment(),
        "OPENWEATHERMAP_URL": weather.url,
        "OPENWEATHERMAP_API_KEY": API_KEY,
        "OPENWEATHERMAP_CALLS_PER_MINUTE": "1000000",
        "WEATHER_SECRET_ID": "",
    }

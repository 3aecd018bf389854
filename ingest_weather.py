#!/usr/bin/env python3
"""Current weather from OpenWeatherMap into Amazon Timestream: the one command that cron runs.

One run: settings and key from AWS Secrets Manager, the places' weather over PycURL, one record a
measure to Timestream, one summary, one exit status.
"""

import argparse
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from commands.command_line import log_level, parse, settings_of
from ingest.deadline import SLICE_S, Deadline, Task, epoch_ms
from ingest.errors import IngestError, JournalError, Status
from ingest.reporting.logs import RUN_ID, log, recent_lines, start_logging
from ingest.reporting.summary import Summary

if TYPE_CHECKING:
    from ingest.aws.session import Aws
    from ingest.delivery import Delivery
    from ingest.journal.fallback import Store
    from ingest.journal.run_lock import RunLock
    from ingest.observation import Observation
    from ingest.openweathermap.client import WeatherClient
    from ingest.openweathermap.rate_limit import RateLimit
    from ingest.settings.sources import Settings, Sources
    from timestream_writer import Outcome

# The deadline until the settings are known.
FIRST_DEADLINE_S = 120.0

# How long a run waits for a lock that may be none of its own.
LOCK_PATIENCE_S = 0.3

# A second signal ends the process at once, but not one that came with the first: timeout(1) signals
# the process, and then its group.
SAME_SIGNAL_S = 0.5

DAY_MS = 24 * 60 * 60 * 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    start_logging()
    arguments = parse(sys.argv[1:] if argv is None else argv)
    start_logging(log_level(arguments))
    try:
        if arguments.command:
            return int(run_command(arguments))
        return int(run_once(arguments))
    except KeyboardInterrupt:
        log.warning("SIGINT ended it.")
        return int(Status.TEMPFAIL)
    except Exception as error:  # noqa: BLE001  (told, and told apart by its status)
        return int(tell(error))


def tell(error: Exception) -> Status:
    """Say what failed; the status that stands for it."""
    if isinstance(error, IngestError):
        log.error("%s", error)
        return error.status
    if isinstance(error, ModuleNotFoundError):
        log.error(
            "%s is not installed for %s: run it with the Python of its .venv, or "
            "pip install -r requirements.txt.",
            error.name,
            sys.executable,
        )
        return Status.CONFIG
    log.critical("This is a bug in ingest_weather.py. Please report it.", exc_info=error)
    return Status.SOFTWARE


def run_command(arguments: argparse.Namespace) -> int:
    """One of the operator's commands, imported only here: none is on cron's path."""
    from importlib import import_module

    from ingest.settings.sources import read_sources

    log_as_set(read_sources(os.environ, arguments.env_file), arguments)
    command = import_module(f"commands.{arguments.command}")
    try:
        status: int = command.main(arguments.rest, arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it, head or a pager, has seen enough
        drop_output()
        return Status.OK
    except OSError as error:
        if error.filename is not None:
            raise
        log.error("The output cannot be written: %s.", error.strerror)
        drop_output()
        return Status.IOERR
    return status


def log_as_set(sources: "Sources", arguments: argparse.Namespace) -> None:
    """Log as the command line, the environment and .env want it."""
    level = log_level(arguments) or sources.early("LOG_LEVEL") or ""
    start_logging(level, sources.early("LOG_FORMAT") or "text")


def run_once(arguments: argparse.Namespace) -> Status:
    """One run; its summary and its health check on the way out, whatever happens."""
    deadline = Deadline(FIRST_DEADLINE_S)
    end_on_signals(deadline)
    run = Run(arguments, deadline)
    try:
        run.go()
    except Exception as error:  # noqa: BLE001  (a bug, too, is in the summary)
        run.failed(error)
    run.close()
    run.report()
    return run.summary.status


class Run:
    """One run from start to end: settings, lock, weather, journal, Timestream, summary."""

    def __init__(self, arguments: argparse.Namespace, deadline: Deadline) -> None:
        self.arguments = arguments
        self.deadline = deadline
        self.summary = Summary(keep_all=arguments.verbose or arguments.json)
        self.observations: list[Observation] = []
        self._healthcheck_url = ""
        self._lock: RunLock | None = None
        self._locked: Path | None = None
        self._store: Store | None = None
        self._delivery: Delivery | None = None
        self._forget_before_ms = 0

    def go(self) -> None:
        """All of it. Counts into the summary; raises IngestError for what ends the run."""
        settings, aws = self._load()
        self.summary.places = len(settings.places)
        try:
            if self.arguments.dry_run:
                self.observations = self._try_out(settings)
            else:
                self._ingest(settings, aws)
        finally:
            if self.summary.failed:
                log.error("%s", self.summary.describe_failures())

    def failed(self, error: Exception) -> None:
        """Say what failed, and remember its status."""
        self.summary.statuses.add(tell(error))

    def _load(self) -> "tuple[Settings, Aws]":
        """The settings, and the AWS session that the secret was read with. Takes the run's lock
        before anything that takes time."""
        from ingest.settings.sources import fetch_secret, read_sources

        sources = read_sources(os.environ, self.arguments.env_file, settings_of(self.arguments))
        sources.export_aws()
        log_as_set(sources, self.arguments)
        self.deadline.seconds = sources.seconds("WEATHER_DEADLINE_SECONDS")
        self._healthcheck_url = sources.early("HEALTHCHECK_URL") or ""
        early_journal = sources.early("WEATHER_JOURNAL")
        self._take_lock(early_journal, for_sure=sources.names("WEATHER_JOURNAL"))
        from ingest.aws.session import Aws

        aws = Aws(self.deadline, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
        settings = sources.settings(
            lambda secret: fetch_secret(
                aws, secret, self.deadline, partial(self._preload, aws, early_journal)
            )
        )
        start_logging(log_level(self.arguments) or settings.log_level, settings.log_format)
        self.deadline.seconds = settings.deadline_s
        self._healthcheck_url = settings.healthcheck_url
        self._take_lock(settings.journal, for_sure=True)
        return settings, aws

    def _preload(self, aws: "Aws", journal: Path | None) -> None:
        """What needs no secret, while that is on its way: import the rest of the run, read boto3's
        models, open the journal.

        libcurl comes last: no other thread runs while it is loaded, and the request should be out.
        """
        import timestream_writer  # noqa: F401

        aws.preload_timestream()
        if self._lock:
            self._open_store(journal)
        import ingest.pipeline  # noqa: F401

    def _open_store(self, journal: Path | None) -> "Store":
        """The store at that path, opened once."""
        from ingest.journal.fallback import Store

        if self._store and self._store.path != journal:
            self._store.close()
            self._store = None
        self._store = self._store or Store(journal, "", self.failed)
        return self._store

    def _take_lock(self, journal: Path | None, *, for_sure: bool) -> None:
        """One run at a time and journal. Raises LockedError where another has it.

        for_sure: no source that is still to be read can name another journal. Where one can, the
        lock of the default is let go of in a moment by those that it does not concern, and trouble
        with it may not concern this run.
        """
        if self.arguments.dry_run or (journal and self._locked == journal):
            return
        if self._lock:
            self._lock.release()
            self._lock = None
        if journal is None:
            return
        from ingest.journal.run_lock import RunLock

        path = journal.with_name(f"{journal.name}.lock")
        try:
            self._lock = RunLock(path, patience_s=0.0 if for_sure else LOCK_PATIENCE_S)
        except JournalError as error:
            if not for_sure:
                return
            self.failed(error)
        self._locked = journal

    def _try_out(self, settings: "Settings") -> "list[Observation]":
        """The weather of every place that can be had, for --dry-run."""
        from ingest.openweathermap.client import Failure
        from ingest.reporting.progress import progress

        observations = []
        rate = _rate_beside_runs(settings)
        stream = weather_client(settings, self.deadline).stream(settings.places, rate)
        with progress(len(settings.places), wanted=_is_talkative(settings)) as show:
            for result in chain.from_iterable(stream):
                if isinstance(result, Failure):
                    self.summary.place_failed(result.place.name, result.error)
                else:
                    observations.append(result)
                    self.summary.fetched += 1
                show(self.summary, 0)
        rate.release()
        return observations

    def _ingest(self, settings: "Settings", aws: "Aws") -> None:
        """Fetch, journal and deliver side by side; what waited from earlier runs goes first."""
        from ingest.delivery import Delivery
        from ingest.pipeline import Stream
        from timestream_writer import TimestreamWriter

        if settings.journal is None:
            log.warning("WEATHER_JOURNAL is off: what cannot be delivered in this run is lost.")
        aws.check_region()
        writer = TimestreamWriter(aws, settings.database, settings.table, settings.endpoint_url)
        # The way to the table is found while the weather is fetched.
        ready = Task(writer.discover, f"while the endpoint of {writer.target} was looked up")
        store = self._open_store(settings.journal)
        store.aim(f"{aws.region}/{writer.target}")
        self._forget_before_ms = epoch_ms() - settings.journal_days * DAY_MS
        self._delivery = delivery = Delivery(
            store, writer, ready, self.deadline, self._rejected, writers=settings.writers
        )
        stream = Stream(weather_client(settings, self.deadline), store, delivery, self.summary)
        stream.run(settings.places, settings.calls_per_minute, show=_is_talkative(settings))
        result = delivery.finish()
        if result.failure:
            raise result.failure

    def _rejected(self, outcome: "Outcome", target: str) -> None:
        from timestream_writer import describe_rejections

        log.error("%s", describe_rejections(outcome, target, epoch_ms()))
        self.summary.statuses.add(Status.DATAERR)

    def close(self) -> None:
        """Count what was stored and what was not, leave the journal in order, and let others in."""
        self._count()
        if self._lock:
            self._lock.release()
            self._lock = None

    def _count(self) -> None:
        self.summary.seconds = round(self.deadline.elapsed_s(), 3)
        store, delivery = self._store, self._delivery
        if not store:
            return
        if delivery:
            self.summary.stored = delivery.result.stored
            self.summary.rejected = delivery.result.rejected
            self.summary.pending = store.count_pending()
            if lost := store.count_lost():
                log.error("Lost, for there is no usable journal: %d observations.", lost)
            # For a day: cron mails each warning, and `check` goes on to say it.
            for target, count in store.pending_elsewhere(epoch_ms() - DAY_MS).items():
                log.warning("%d observations wait for a run that writes to %s.", count, target)
            store.prune(self._forget_before_ms, self.summary.fetched)
        counts = json.dumps(self.summary.as_dict(failures=False))
        store.end_run(int(self.summary.status), counts, epoch_ms())
        store.close()

    def report(self) -> None:
        """A line of log, a health check, and the result on standard output where one is wanted."""
        log.info("%s.", self.summary)
        if self._healthcheck_url and not self.arguments.dry_run:
            self._ping()
        try:
            self._print()
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read it has gone
            drop_output()
        except OSError as error:
            log.error("The result cannot be printed: %s.", error.strerror)
            drop_output()

    def _print(self) -> None:
        if self.observations and not self.arguments.json:
            from commands.tables import print_records

            print_records(self.observations)
        if self.arguments.json:
            result = self.summary.as_dict()
            if self.arguments.dry_run:
                from commands.tables import records_as_json

                result["records"] = records_as_json(self.observations)
            print(json.dumps(result))

    def _ping(self) -> None:
        """Tell the monitoring service, within the run's time but for half a second, and no longer
        than that once a signal has come."""
        from ingest.reporting.healthcheck import LIMIT_S, QUICK_LIMIT_S, ping

        limit_s = min(LIMIT_S, max(QUICK_LIMIT_S, self.deadline.remaining_s()))
        lines = f"{recent_lines()}\nrun {RUN_ID}: {self.summary}."
        status = int(self.summary.status)
        told = Task(partial(ping, self._healthcheck_url, status, lines, limit_s), "while it told")
        clock = Deadline(limit_s + SLICE_S)
        while not told.is_done(SLICE_S) and not clock.passed():
            if self.deadline.stopped and clock.elapsed_s() > QUICK_LIMIT_S:
                return


def _rate_beside_runs(settings: "Settings") -> "RateLimit":
    """The plan, less what the last runs used of it; what is used here is set down for the next one.
    No journal is made for this, and none is mended."""
    from ingest.journal.queue import Journal
    from ingest.openweathermap.rate_limit import CHUNK, RateLimit

    journal = None
    calls: dict[int, int] = {}
    with suppress(JournalError):
        if settings.journal and settings.journal.exists():
            journal = Journal(settings.journal, "")
            calls = journal.calls()

    def keep(calls: dict[int, int]) -> None:
        with suppress(JournalError):
            if journal:
                journal.keep_calls(calls)

    chunk = min(CHUNK, len(settings.places))
    return RateLimit(settings.calls_per_minute, epoch_ms, calls, keep, chunk)


def _is_talkative(settings: "Settings") -> bool:
    return log.isEnabledFor(logging.INFO) and settings.log_format == "text"


def weather_client(settings: "Settings", deadline: Deadline) -> "WeatherClient":
    """A client with these settings."""
    from ingest.openweathermap.client import WeatherClient

    return WeatherClient(
        url=settings.url,
        api_key=settings.api_key,
        units=settings.units,
        measures=settings.measures,
        timeout_s=settings.timeout_s,
        deadline=deadline,
        concurrency=settings.concurrency,
    )


def end_on_signals(deadline: Deadline) -> None:
    """SIGTERM and SIGINT end the run in good order; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(number: int, _frame: object) -> None:
        if not deadline.stopped:
            deadline.stop(signal.Signals(number).name)
        elif deadline.stopped_for_s() > SAME_SIGNAL_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def drop_output() -> None:
    """Standard output leads nowhere from here on: what its buffer still has must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_streams() -> None:
    """Streams that were closed before the start lead nowhere, as after > /dev/null. What standard
    output has no character for is escaped, as on standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (for good)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def leave(status: int) -> NoReturn:
    """End the process now: threads that wait for a dead service are not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever read it has gone
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    # Collections during the imports find nothing, and cost a tenth of a run's CPU time.
    gc.set_threshold(500_000)
    open_streams()
    leave(main())

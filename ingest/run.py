"""One run from start to end: lock, weather, journal, destination, summary.

No command line, no standard output, no signals, and nothing that a later run in the same process
would meet again: a run knows its settings, its clients, its deadline and its observer.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path

from ingest import destinations
from ingest.clients import Clients
from ingest.deadline import Deadline, epoch_ms
from ingest.delivery import Delivery
from ingest.destination import Destination, Outcome
from ingest.errors import JournalError, Status
from ingest.journal import polling
from ingest.journal.fallback import RunJournal
from ingest.journal.run_lock import RunLock
from ingest.journal.schema import JournalFile
from ingest.observation import Observation
from ingest.openweathermap.client import Failure, WeatherClient
from ingest.openweathermap.rate_limit import CHUNK, RateLimit
from ingest.pipeline import Pipeline
from ingest.reporting.logs import RunLog
from ingest.reporting.observer import Observer, report_error
from ingest.reporting.rejections import describe_rejections
from ingest.reporting.summary import Summary
from ingest.reporting.text import plural
from ingest.settings import DECLARED, Settings

DAY_MS = 24 * 60 * 60 * 1000

Clock = Callable[[], int]


def run(
    settings: Settings,
    clients: Clients,
    deadline: Deadline,
    observer: Observer,
    now_ms: Clock = epoch_ms,
) -> Summary:
    """Fetch every place, journal what is new, deliver all that is pending.

    Never raises: what went wrong is in the log, and in the summary's status.
    """
    summary = _begin(settings, observer)
    with _reported(observer, summary):
        clients.serve(observer.log.redact, settings.timeout_s)
        destination = destinations.open_destination(settings, clients, deadline)
        with _one_at_a_time(settings.journal, observer, summary, now_ms):
            _run(settings, destination, deadline, observer, summary, now_ms)
    summary.seconds = round(deadline.elapsed_s(), 3)
    return summary


def try_out(
    settings: Settings, deadline: Deadline, observer: Observer, now_ms: Clock = epoch_ms
) -> tuple[Summary, list[Observation]]:
    """For --dry-run: the weather of every place that can be had; nothing is written."""
    summary, observations = _begin(settings, observer), []
    with _reported(observer, summary), _failures_said(observer, summary):
        client = weather_client(settings, deadline, observer.log, now_ms)
        with _rate_next_to_runs(settings, now_ms) as rate, observer.watch(summary) as changed:
            for result in chain.from_iterable(client.stream(settings.places, rate)):
                if isinstance(result, Failure):
                    summary.place_failed(result.place.name, result.error)
                else:
                    observations.append(result)
                    summary.fetched += 1
                changed()
    summary.seconds = round(deadline.elapsed_s(), 3)
    return summary, observations


def weather_client(
    settings: Settings, deadline: Deadline, log: RunLog, now_ms: Clock
) -> WeatherClient:
    """A client with these settings."""
    return WeatherClient(
        url=settings.url,
        api_key=settings.api_key,
        units=settings.units,
        measures=settings.measures,
        timeout_s=settings.timeout_s,
        deadline=deadline,
        concurrency=settings.concurrency,
        log=log,
        now_ms=now_ms,
    )


def _begin(settings: Settings, observer: Observer) -> Summary:
    log = observer.log
    secret = [each.name for each in DECLARED.values() if each.metadata["secret"]]
    log.redact.add(*(getattr(settings, name) for name in secret))
    if settings.places.duplicates:
        log.warning(
            "These places are configured twice, and fetched once: %s.", settings.places.duplicates
        )
    summary = Summary(log.run_id, log.redact, keep_all=observer.keep_failures)
    summary.places = len(settings.places)
    return summary


@contextmanager
def _reported(
    observer: Observer, summary: Summary, kind: type[Exception] = Exception
) -> Iterator[None]:
    """Errors of that kind end here, in the log and in the summary; bugs too."""
    try:
        yield
    except kind as error:
        summary.statuses.add(report_error(observer.log, error))


@contextmanager
def _failures_said(observer: Observer, summary: Summary) -> Iterator[None]:
    try:
        yield
    finally:
        if summary.failed:
            observer.log.error("%s", summary.describe_failures())


@contextmanager
def _one_at_a_time(
    journal: Path | None, observer: Observer, summary: Summary, now_ms: Clock
) -> Iterator[None]:
    """Hold the journal's lock; without one if the file system has no locks.

    Raises LockedError if another run holds it.
    """
    lock = None
    with _reported(observer, summary, JournalError):
        lock = RunLock(journal, now_ms()) if journal else None
    try:
        yield
    finally:
        if lock:
            lock.release()


def _run(
    settings: Settings,
    destination: Destination,
    deadline: Deadline,
    observer: Observer,
    summary: Summary,
    now_ms: Clock,
) -> None:
    log, started_ms = observer.log, now_ms()
    if settings.journal is None:
        log.warning(
            "WEATHER_JOURNAL is off: observations that cannot be delivered in this run are lost."
        )

    def broken(error: Exception) -> None:
        summary.statuses.add(report_error(log, error))

    def rejected(outcome: Outcome) -> None:
        log.error("%s", describe_rejections(outcome, destination))
        summary.statuses.add(Status.DATAERR)

    journal = RunJournal(settings.journal, destination.target, broken, now_ms)
    with closing(journal):
        with _reported(observer, summary):
            delivery = Delivery(
                destination, journal, deadline, log, summary, rejected, now_ms, settings.writers
            )
            client = weather_client(settings, deadline, log, now_ms)
            with closing(delivery), _failures_said(observer, summary):
                pipeline = Pipeline(client, journal, delivery, summary, observer, now_ms)
                pipeline.run(settings.places, settings.calls_per_minute)
                delivery.finish()
            if delivery.failure:
                raise delivery.failure
        summary.seconds = round(deadline.elapsed_s(), 3)
        _end(journal, observer, summary, started_ms - settings.journal_days * DAY_MS, now_ms())


def _end(
    journal: RunJournal, observer: Observer, summary: Summary, delete_before_ms: int, now_ms: int
) -> None:
    """Count what is left, and leave the journal in order."""
    summary.pending = journal.count_pending()
    if lost := journal.count_unsaved():
        observations = plural(lost, "observation")
        observer.log.error("Lost, because there is no usable journal: %s.", observations)
    # For a day only, because cron mails each warning; `check` says it for longer.
    for target, count in journal.pending_elsewhere(now_ms - DAY_MS).items():
        wait = plural(count, "observation waits", "observations wait")
        observer.log.warning("%s for a run that writes to %s.", wait, target)
    journal.prune(delete_before_ms, summary.fetched)
    counts = json.dumps(summary.as_dict(failures=False))
    journal.end_run(int(summary.status), counts, now_ms)


@contextmanager
def _rate_next_to_runs(settings: Settings, now_ms: Clock) -> Iterator[RateLimit]:
    """The plan, less what the last runs used of it; what is used here is kept for the next one.
    No journal is made for this, and none is repaired."""
    file = None
    made: dict[int, int] = {}
    with suppress(JournalError):
        if settings.journal and settings.journal.exists():
            file = JournalFile(settings.journal)
            made = polling.calls(file)

    def keep(calls: dict[int, int]) -> None:
        with suppress(JournalError):
            if file:
                polling.keep_calls(file, calls)

    chunk = min(CHUNK, len(settings.places))
    rate = RateLimit(settings.calls_per_minute, now_ms, made, keep, chunk)
    try:
        yield rate
    finally:
        rate.release()
        if file:
            file.close()

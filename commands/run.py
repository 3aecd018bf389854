"""One run, as cron starts it: no command. Prints its summary, or what it would write."""

import argparse
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module

from commands import terminal
from commands.command_line import log_as_set, settings_of
from ingest import destinations
from ingest.clients import Clients
from ingest.deadline import Deadline
from ingest.errors import IngestError, Status
from ingest.observation import Observation
from ingest.reporting.observer import report_error
from ingest.reporting.summary import Summary

# The deadline until the settings are known.
FIRST_DEADLINE_S = 120.0

# A second signal ends the process at once, but not one that came with the first: timeout(1) signals
# the process, and then its group.
SAME_SIGNAL_S = 0.5


@dataclass
class Result:
    """What is known of the run so far. observations: of a dry run; records: as they are sent."""

    summary: Summary
    healthcheck_url: str = ""
    observations: list[Observation] = field(default_factory=list)
    records: list[object] = field(default_factory=list)


def main(_words: Sequence[str], arguments: argparse.Namespace) -> int:
    """One run, then its summary and its health check, also if the run fails."""
    log = arguments.log
    deadline = Deadline(FIRST_DEADLINE_S)
    end_on_signals(deadline)
    result = Result(Summary(log.run_id))
    try:
        _run(arguments, deadline, result)
    except Exception as error:  # noqa: BLE001  (logged, and its status is reported)
        result.summary.statuses.add(report_error(log, error))
        result.summary.seconds = round(deadline.elapsed_s(), 3)
    log.info("%s.", result.summary)
    if result.healthcheck_url and not arguments.dry_run:
        from ingest.reporting.healthcheck import report

        report(result.healthcheck_url, result.summary, log, deadline)
    terminal.write_output(lambda: _print(arguments, result), log)
    return int(result.summary.status)


def _run(arguments: argparse.Namespace, deadline: Deadline, result: Result) -> None:
    """Read the settings, then run."""
    from ingest.settings import load, read_sources
    from ingest.settings.secret import fetch_secret

    log = arguments.log
    sources = read_sources(os.environ, arguments.env_file, settings_of(arguments))
    sources.export_aws()
    log_as_set(arguments, sources.early("LOG_LEVEL"), sources.early("LOG_FORMAT"))
    deadline.seconds = sources.seconds("WEATHER_DEADLINE_SECONDS")
    result.healthcheck_url = sources.early("HEALTHCHECK_URL") or ""
    clients = Clients()
    clients.serve(log.redact, sources.seconds("WEATHER_TIMEOUT_SECONDS"))

    def preload() -> None:
        """Runs while the secret is being fetched."""
        if destination := sources.early("WEATHER_DESTINATION"):
            with suppress(IngestError):  # reported when the run needs the destination
                destinations.preload(destination, clients)
        # libcurl last, because no other thread runs while it is loaded.
        import_module("ingest.run")

    settings = load(
        sources, lambda name: fetch_secret(clients.aws, name, deadline, preload), log.redact
    )
    log_as_set(arguments, settings.log_level, settings.log_format)
    deadline.seconds = settings.deadline_s
    result.healthcheck_url = settings.healthcheck_url
    from ingest.reporting.progress import ProgressBar
    from ingest.run import run, try_out

    observer = ProgressBar(log, keep_failures=arguments.verbose or arguments.json)
    if not arguments.dry_run:
        result.summary = run(settings, clients, deadline, observer)
        return
    result.summary, result.observations = try_out(settings, deadline, observer)
    if arguments.json:
        as_sent = destinations.as_sent(settings.destination)
        result.records = [record for seen in result.observations for record in as_sent(seen)]


def _print(arguments: argparse.Namespace, result: Result) -> int:
    if arguments.json:
        records = {"records": result.records} if arguments.dry_run else {}
        terminal.print_json({**result.summary.as_dict(), **records})
    elif result.observations:
        terminal.print_lines(terminal.value_table(result.observations, with_version=True))
    return Status.OK


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

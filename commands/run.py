"""One run, as cron starts it: no command. Prints its summary, or what it would write."""

import argparse
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from commands import terminal
from commands.command_line import log_as_set, settings_of
from ingest import destinations
from ingest.clients import Clients
from ingest.deadline import Deadline
from ingest.errors import IngestError, Status
from ingest.observation import Observation, iso_time
from ingest.reporting.logs import RunLog
from ingest.reporting.observer import report_error
from ingest.reporting.summary import Summary

# The deadline until the settings are known.
FIRST_DEADLINE_S = 120.0

# A second signal ends the process at once, but not one that came with the first: timeout(1) signals
# the process, and then its group.
SAME_SIGNAL_S = 0.5


def main(_words: Sequence[str], arguments: argparse.Namespace) -> int:
    """One run; its summary and its health check on the way out, whatever happens."""
    deadline = Deadline(FIRST_DEADLINE_S)
    end_on_signals(deadline)
    once = Once(arguments, deadline)
    try:
        once.go()
    except Exception as error:  # noqa: BLE001  (logged, and told apart by its status)
        once.summary.statuses.add(report_error(arguments.log, error))
        once.summary.seconds = round(deadline.elapsed_s(), 3)
    once.report()
    return int(once.summary.status)


class Once:
    """A run as the command line wants it."""

    def __init__(self, arguments: argparse.Namespace, deadline: Deadline) -> None:
        self.arguments = arguments
        self.deadline = deadline
        self.log: RunLog = arguments.log
        self.summary = Summary(self.log.run_id)
        self.observations: list[Observation] = []
        self.records: list[object] = []
        self.healthcheck_url = ""

    def go(self) -> None:
        """Settings, then the run. Raises what ends it before it has begun."""
        from ingest.settings import load, read_sources
        from ingest.settings.secret import fetch_secret

        arguments, log, deadline = self.arguments, self.log, self.deadline
        sources = read_sources(os.environ, arguments.env_file, settings_of(arguments))
        sources.export_aws()
        log_as_set(arguments, sources.early("LOG_LEVEL"), sources.early("LOG_FORMAT"))
        deadline.seconds = sources.seconds("WEATHER_DEADLINE_SECONDS")
        self.healthcheck_url = sources.early("HEALTHCHECK_URL") or ""
        clients = Clients()
        clients.serve(log.redact, sources.seconds("WEATHER_TIMEOUT_SECONDS"))

        def preload() -> None:
            """While the secret is on its way."""
            if destination := sources.early("WEATHER_DESTINATION"):
                with suppress(IngestError):  # said when the run comes to it
                    destinations.preload(destination, clients)
            # libcurl last: while it is loaded no other thread runs.
            import_module("ingest.run")

        settings = load(
            sources, lambda name: fetch_secret(clients.aws, name, deadline, preload), log.redact
        )
        log_as_set(arguments, settings.log_level, settings.log_format)
        deadline.seconds = settings.deadline_s
        self.healthcheck_url = settings.healthcheck_url
        from ingest.reporting.progress import ProgressBar
        from ingest.run import run, try_out

        observer = ProgressBar(log, keep_failures=arguments.verbose or arguments.json)
        if not arguments.dry_run:
            self.summary = run(settings, clients, deadline, observer)
            return
        self.summary, self.observations = try_out(settings, deadline, observer)
        if arguments.json:
            as_sent = destinations.as_sent(settings.destination)
            self.records = [record for seen in self.observations for record in as_sent(seen)]

    def report(self) -> None:
        """A line of log, a health check, and the result on standard output if one is wanted."""
        self.log.info("%s.", self.summary)
        if self.healthcheck_url and not self.arguments.dry_run:
            from ingest.reporting.healthcheck import report

            report(self.healthcheck_url, self.summary, self.log, self.deadline)
        terminal.write_output(self._print, self.log)

    def _print(self) -> int:
        if self.arguments.json:
            result = self.summary.as_dict()
            if self.arguments.dry_run:
                result["records"] = self.records
            terminal.print_json(result)
        elif self.observations:
            terminal.print_lines(_table(self.observations))
        return Status.OK


def _table(observations: Sequence[Observation]) -> list[str]:
    """A line a record; its version only if the lines stay short enough with it."""
    headings = ("time", "place", "measure", "value", "version")
    rows = [
        (iso_time(seen.time_ms), seen.place.name, measure, value, str(seen.version))
        for seen in observations
        for measure, value in seen.values.items()
    ]
    widths = terminal.column_widths([headings, *rows])
    shown = 5 if sum(widths) + 4 * len(terminal.GAP) <= terminal.width() else 4
    return terminal.table(headings[:shown], [row[:shown] for row in rows], right=(3,), elastic=1)


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

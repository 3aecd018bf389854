#!/usr/bin/env python3
"""Current weather from OpenWeatherMap into Amazon Timestream: the one command that cron runs.

One run: settings and key from AWS Secrets Manager, the places' weather over PycURL, one record a
measure to Timestream, one summary, one exit status.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from deadline import Deadline, Task
from errors import IngestError, Status, most_urgent
from logs import log, start_logging

if TYPE_CHECKING:
    from aws import Aws
    from settings import Settings
    from timestream_writer import TimestreamWriter
    from weather import Observation

# The deadline until the settings are known.
FIRST_DEADLINE_S = 120.0


@dataclass
class Summary:
    """What a run did. stored and rejected count records, places names, the others observations."""

    places: int = 0
    fetched: int = 0
    unchanged: int = 0
    stored: int = 0
    rejected: int = 0
    pending: int = 0
    seconds: float = 0.0
    statuses: set[Status] = field(default_factory=set)

    def failed(self, error: IngestError, what: str = "") -> None:
        """Say what failed, and remember its status."""
        log.error("%s", f"{what}: {error}" if what else error)
        self.statuses.add(error.status)

    @property
    def status(self) -> Status:
        return most_urgent(self.statuses)

    def as_dict(self) -> dict[str, float]:
        counts = asdict(self)
        del counts["statuses"]
        return {**counts, "status": int(self.status)}

    def __str__(self) -> str:
        return (
            f"{self.fetched} of {self.places} place{'s'[: self.places != 1]} fetched, "
            f"{self.stored} records stored, {self.rejected} rejected, "
            f"{self.pending} observations not delivered, {self.seconds:.2f} s"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    start_logging()
    arguments = parse_arguments(argv)
    try:
        if arguments.command == "demo":
            from commands import demo

            return demo.main(arguments.rest)
        return int(run_once(arguments))
    except IngestError as error:
        log.error("%s", error)
        return int(error.status)
    except Exception:  # noqa: BLE001  (shown in full, and told apart by its status)
        log.critical("This is a bug in ingest_weather.py. Please report it.", exc_info=True)
        return int(Status.SOFTWARE)


def run_once(arguments: argparse.Namespace) -> Status:
    """One run, its summary on the way out whatever happens."""
    deadline = Deadline(FIRST_DEADLINE_S)
    end_on_signals(deadline)
    summary = Summary()
    observations: list[Observation] = []
    try:
        observations = run(arguments, deadline, summary)
    except IngestError as error:
        summary.failed(error)
    summary.seconds = round(deadline.elapsed_s(), 3)
    report(arguments, summary, observations)
    return summary.status


def run(arguments: argparse.Namespace, deadline: Deadline, summary: Summary) -> "list[Observation]":
    """Settings, weather, Timestream. Counts into the summary; returns what was fetched."""
    settings, aws = load(arguments, deadline)
    start_logging(log_level(arguments) or settings.log_level, settings.log_format)
    if arguments.dry_run:
        return fetch(settings, deadline, summary)
    from timestream_writer import TimestreamWriter

    writer = TimestreamWriter(aws, settings.database, settings.table, settings.endpoint_url)
    # The way to the table is found while the weather is fetched.
    discovery = Task(writer.discover, f"while the endpoint of {writer.target} was looked up")
    observations = fetch(settings, deadline, summary)
    if observations:
        deliver(observations, writer, discovery, deadline, summary)
    return observations


def load(arguments: argparse.Namespace, deadline: Deadline) -> "tuple[Settings, Aws]":
    """The settings, and the AWS session that the secret was read with."""
    from settings import fetch_secret, read_sources

    command_line = {"WEATHER_PLACES": ";".join(arguments.place)} if arguments.place else {}
    sources = read_sources(os.environ, arguments.env_file, command_line)
    sources.export_aws()
    deadline.seconds = sources.seconds("WEATHER_DEADLINE_SECONDS")
    from aws import Aws

    aws = Aws(deadline, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
    settings = sources.settings(
        lambda secret_id: fetch_secret(aws, secret_id, deadline, meanwhile=aws.preload_timestream)
    )
    deadline.seconds = settings.deadline_s
    return settings, aws


def fetch(settings: "Settings", deadline: Deadline, summary: Summary) -> "list[Observation]":
    """The weather of every place that can be had; the others are named on standard error."""
    from openweathermap import Failure, WeatherClient

    client = WeatherClient(
        url=settings.url,
        api_key=settings.api_key,
        units=settings.units,
        measures=settings.measures,
        timeout_s=settings.timeout_s,
        deadline=deadline,
    )
    summary.places = len(settings.places)
    observations = []
    for result in client.fetch(settings.places):
        if isinstance(result, Failure):
            summary.failed(result.error, result.place.name)
        else:
            log.debug("%s: %s", result.place.name, result.values)
            observations.append(result)
    summary.fetched = len(observations)
    return observations


def deliver(
    observations: "list[Observation]",
    writer: "TimestreamWriter",
    discovery: Task[None],
    deadline: Deadline,
    summary: Summary,
) -> None:
    """Write all observations, a call at a time, until one fails for a reason all would fail for."""
    from timestream_writer import batches, describe_rejections, records_of

    summary.pending = len(observations)
    try:
        discovery.result(deadline)
        for batch in batches(observations):
            records = [record for observation in batch for record in records_of(observation)]
            doing = f"while {writer.target} was written to"
            deadline.check(doing)
            outcome = Task(partial(writer.write, records), doing).result(deadline)
            summary.stored += outcome.stored
            summary.rejected += len(outcome.rejected)
            if outcome.rejected:
                log.error(
                    "%s", describe_rejections(outcome, writer.target, int(time.time() * 1000))
                )
                summary.statuses.add(Status.DATAERR)
            if outcome.failure:
                raise outcome.failure
            summary.pending -= len(batch)
    except IngestError as error:
        summary.failed(error)


def report(
    arguments: argparse.Namespace, summary: Summary, observations: "list[Observation]"
) -> None:
    """The result on standard output where one was asked for; one line of log else."""
    if arguments.dry_run:
        from commands.tables import print_records, records_as_json

        if not arguments.json:
            print_records(observations)
    if arguments.json:
        import json

        result: dict[str, object] = {**summary.as_dict()}
        if arguments.dry_run:
            result["records"] = records_as_json(observations)
        print(json.dumps(result))
    log.info("%s.", summary)


def end_on_signals(deadline: Deadline) -> None:
    """SIGTERM and SIGINT end the run in good order; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(number: int, _frame: object) -> None:
        deadline.stop(signal.Signals(number).name)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def log_level(arguments: argparse.Namespace) -> str:
    return "DEBUG" if arguments.verbose else "ERROR" if arguments.quiet else ""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    statuses = "\n".join(f"  {int(each):2}  {each.meaning}" for each in sorted(Status))
    parser = argparse.ArgumentParser(
        prog="ingest_weather.py",
        description="Fetch current weather from OpenWeatherMap and write it to Amazon Timestream.",
        epilog=f"exit statuses:\n{statuses}\n\nSettings are described in config.example.env.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="settings; default: .env beside the program"
    )
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument("-v", "--verbose", action="store_true", help="log every step")
    talk.add_argument("-q", "--quiet", action="store_true", help="log errors alone")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument(
        "--place",
        action="append",
        metavar="PLACE",
        help="this place instead of WEATHER_PLACES; may be given more than once",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="fetch and print the records, write nothing"
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["demo"],
        metavar="COMMAND",
        help="without one: one run. demo: show the whole job on services on this machine",
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def leave(status: int) -> NoReturn:
    """End the process now: threads that wait for a dead service are not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever read it has gone
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main())

#!/usr/bin/env python3
"""Current weather from OpenWeatherMap into Amazon Timestream: the one command that cron runs.

Words, signals, printing, exit status. The run itself is `ingest/run.py`.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from commands.command_line import log_as_set, parse
from commands.terminal import open_streams, write_output
from ingest.errors import Status
from ingest.reporting.logs import RunLog
from ingest.reporting.observer import report_error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    arguments.log = log = RunLog()
    log_as_set(arguments)
    try:
        return run_command(arguments)
    except KeyboardInterrupt:
        log.warning("SIGINT ended it.")
        return int(Status.TEMPFAIL)
    except Exception as error:  # noqa: BLE001  (logged, and the status says which)
        return int(report_error(log, error))


def run_command(arguments: argparse.Namespace) -> int:
    """One run, or one of the operator's commands: those are imported only here."""
    if not arguments.command:
        from commands import run

        return run.main((), arguments)
    from ingest.settings import read_sources

    log = arguments.log
    arguments.sources = sources = read_sources(os.environ, arguments.env_file)
    log.redact.add(*sources.secrets())
    log_as_set(arguments, sources.early("LOG_LEVEL"), sources.early("LOG_FORMAT"))
    command = import_module(f"commands.{arguments.command}")
    return write_output(lambda: int(command.main(arguments.rest, arguments)), log)


def leave(status: int) -> NoReturn:
    """End the process now: threads that wait for a dead service are not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever read it has gone
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    # Collections during the imports find nothing, and cost a tenth of a run's CPU time.
    gc.set_threshold(500_000)
    # Threads that want the interpreter's lock ask for it every 5 ms, which costs a run over many
    # places a twentieth of its CPU time; none of its threads computes for long.
    sys.setswitchinterval(0.1)
    open_streams()
    leave(main())

"""Who is notified while a run goes on."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingest.errors import IngestError, Status
from ingest.reporting.logs import RunLog
from ingest.reporting.summary import Summary


class Observer:
    """Is notified about one run; this class does nothing but carry its log.

    keep_failures: keep every failed place in the summary, not only the first of each kind.
    """

    def __init__(self, log: RunLog, *, keep_failures: bool = False) -> None:
        self.log = log
        self.keep_failures = keep_failures

    @contextmanager
    def watch(self, summary: Summary) -> Iterator[Callable[[], None]]:  # noqa: ARG002
        """A function that the run calls from time to time, when the summary has changed."""
        yield lambda: None


def report_error(log: logging.Logger, error: Exception) -> Status:
    """Log what failed. Returns its exit status."""
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

"""Reports to a monitoring service how each run ended: a POST to URL/STATUS."""

import logging

import pycurl

from ingest.deadline import SLICE_S, Deadline, Task
from ingest.openweathermap.curl import new_handle
from ingest.reporting.logs import RunLog
from ingest.reporting.summary import Summary

# Limits in seconds; the second is for a run that a signal has asked to end.
LIMIT_S = 5.0
QUICK_LIMIT_S = 0.5

MAX_BODY_BYTES = 10_000


def ping(url: str, status: int, lines: str, limit_s: float, log: logging.Logger) -> None:
    """POST the last lines of the log to URL/STATUS. Only warns if that fails.

    The URL is not logged, because it is all that is needed to report a run.
    """
    curl = new_handle(f"{url.rstrip('/')}/{status}", limit_s)
    try:
        curl.setopt(pycurl.POSTFIELDS, lines.encode(errors="replace")[-MAX_BODY_BYTES:])
        curl.setopt(pycurl.WRITEFUNCTION, lambda _: None)
        curl.perform()
        answer = curl.getinfo(pycurl.RESPONSE_CODE)
        if answer >= 300:
            log.warning("The health check service answered HTTP %d.", answer)
    except pycurl.error as error:
        log.warning("The health check could not be sent (curl %d).", error.args[0])
    finally:
        curl.close()


def report(url: str, summary: Summary, log: RunLog, deadline: Deadline) -> None:
    """Ping with the run's last lines, for at most half a second after its deadline or a signal."""
    limit_s = min(LIMIT_S, max(QUICK_LIMIT_S, deadline.remaining_s()))
    lines = f"{log.recent_lines()}\nrun {summary.run}: {summary}."
    pinged = Task(lambda: ping(url, int(summary.status), lines, limit_s, log), "while it pinged")
    clock = Deadline(limit_s + SLICE_S)
    while not pinged.is_done(SLICE_S) and not clock.passed():
        if deadline.stopped and clock.elapsed_s() > QUICK_LIMIT_S:
            return

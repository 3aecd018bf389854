"""Tells a monitoring service how each run ended: a POST to URL/STATUS."""

import pycurl

from ingest.openweathermap.curl import new_handle
from ingest.reporting.logs import log

# Limits in seconds; the second for a run that a signal has asked to end.
LIMIT_S = 5.0
QUICK_LIMIT_S = 0.5

MAX_BODY_BYTES = 10_000


def ping(url: str, status: int, lines: str, limit_s: float) -> None:
    """POST the last lines of the log to URL/STATUS. Never raises, and changes no exit status.

    The URL is not logged: whoever knows it can report in the run's place.
    """
    curl = new_handle(f"{url.rstrip('/')}/{status}", limit_s)
    try:
        curl.setopt(pycurl.POSTFIELDS, lines.encode(errors="replace")[-MAX_BODY_BYTES:])
        curl.setopt(pycurl.WRITEFUNCTION, lambda _: None)
        curl.perform()
        answer = curl.getinfo(pycurl.RESPONSE_CODE)
        if answer >= 300:
            log.warning("The health check was not taken: HTTP %d.", answer)
    except pycurl.error as error:
        log.warning("The health check could not be sent (curl %d).", error.args[0])
    finally:
        curl.close()

"""Logging to standard error: text for people, one JSON object a line for machines.

Only this program's own loggers are ever more talkative than WARNING: botocore at DEBUG prints the
secret and the request's credentials.
"""

import json
import logging
import os
import sys
import time
import urllib.parse
from collections import deque

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("text", "json")

log = logging.getLogger("ingest_weather")


class Redactor:
    """Replaces every secret it was told of, in its plain and its URL-encoded form."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def add(self, secret: str | None) -> None:
        # One and two letters would black out half of every message, and protect nothing.
        if secret and len(secret) > 2:
            quoted = urllib.parse.quote(secret, errors="replace")
            self._secrets |= {secret, quoted, urllib.parse.quote_plus(secret, errors="replace")}

    def __call__(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "(redacted)")
        return text


redact = Redactor()


class _Recent(logging.Handler):
    """Keeps the last lines, for the health check."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_TextFormatter())
        self.lines: deque[str] = deque(maxlen=50)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


# Tells the lines of one run from those of another, wherever they are collected.
RUN_ID = os.urandom(3).hex()


def utc(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(f"%(asctime)s %(levelname)-8s {RUN_ID} %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return utc(record)

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": utc(record),
            "level": record.levelname,
            "run": RUN_ID,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


_recent = _Recent()


def recent_lines() -> str:
    """The last lines of the log, as text, whatever LOG_FORMAT says."""
    return "\n".join(_recent.lines)


def start_logging(level: str = "", log_format: str = "text") -> None:
    """Log to standard error; may be called again when the settings are known.

    level: one of LEVELS; "" is INFO on a terminal and WARNING elsewhere, so that cron has nothing
    to mail about a run that went well.
    """
    if not level:
        level = "INFO" if sys.stderr.isatty() else "WARNING"
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logging.raiseExceptions = False  # a closed standard error must not end a run
    logging.basicConfig(level=logging.WARNING, handlers=[handler, _recent], force=True)
    logging.captureWarnings(True)
    log.setLevel(level)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        redact.add(os.environ.get(name))

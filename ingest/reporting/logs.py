"""The log of a run: its own id, its own secrets, its own last lines.

Runs share only Python's handlers, which `start_logging` sets up for the command line; another host,
such as Lambda, keeps its own. Only this program's own logger goes below WARNING, because botocore
at DEBUG prints the secret and the request's credentials.
"""

import json
import logging
import os
import sys
import time
from collections import deque

from ingest.reporting.redaction import Redactor

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("text", "json")

# The lines that a health check sends along.
RECENT_LINES = 50

# Python's logger above those of all runs; its level is what the settings say.
ROOT = logging.getLogger("ingest_weather")


class RunLog(logging.Logger):
    """A logger of one run. Secrets are removed from a record before any handler sees it.

    redact: add each secret of the run before something can show it.
    """

    def __init__(self, run_id: str = "") -> None:
        super().__init__(ROOT.name)
        self.parent = ROOT
        self.run_id = run_id or os.urandom(3).hex()
        self.redact = Redactor()
        self._recent: deque[str] = deque(maxlen=RECENT_LINES)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802
        # Python's own loggers cache the answer, and settings change it during a run.
        return level > self.manager.disable and level >= self.getEffectiveLevel()

    def handle(self, record: logging.LogRecord) -> None:
        """Redact the record, remember its line, and hand it on."""
        record.run_id = self.run_id
        record.msg, record.args = self.redact(record.getMessage()), ()
        if record.exc_info:
            text = self.redact(logging.Formatter().formatException(record.exc_info))
            # Formatters of text print exc_text, those of JSON the attribute that they do not know.
            # With exc_info they would format the exception themselves.
            record.exc_text = record.traceback = text
            record.exc_info = None
        self._recent.append(TextFormatter(self).format(record))
        super().handle(record)

    def recent_lines(self) -> str:
        """The last lines as text, whatever LOG_FORMAT says."""
        return "\n".join(self._recent)


class TextFormatter(logging.Formatter):
    """For people. Records that are not of a run, such as botocore's, get the run id of `log`."""

    def __init__(self, log: RunLog) -> None:
        line = "%(asctime)s %(levelname)-8s %(run_id)s %(message)s"
        super().__init__(line, "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime
        self._log = log

    def format(self, record: logging.LogRecord) -> str:
        record.__dict__.setdefault("run_id", self._log.run_id)
        return self._log.redact(super().format(record))


class JsonFormatter(TextFormatter):
    """For machines: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "run": getattr(record, "run_id", self._log.run_id),
            "message": self._log.redact(record.getMessage()),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            entry["traceback"] = self._log.redact(record.exc_text)
        return json.dumps(entry, ensure_ascii=False)


def start_logging(log: RunLog, level: str = "", log_format: str = "text") -> None:
    """Log to standard error; may be called again when the settings are known.

    level: one of LEVELS; "" is INFO on a terminal and WARNING elsewhere, so that cron mails nothing
    about a run that went well.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(log) if log_format == "json" else TextFormatter(log))
    logging.raiseExceptions = False  # a closed standard error must not end a run
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    ROOT.setLevel(level or ("INFO" if sys.stderr.isatty() else "WARNING"))

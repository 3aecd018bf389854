"""The exceptions of this program, and the exit status each one ends a run with.

IngestError                 70  base; never raised itself
├── UsageError               2  the command line is wrong
├── SettingsError           78  settings, secret, database or table are missing or wrong
├── AccessError             77  AWS or OpenWeatherMap refuses the credentials
├── WeatherError            69  the weather of one place could not be fetched
│   ├── BlockedError        69  OpenWeatherMap blocks the account for a while (429)
│   └── ReplyError          69  a reply came, and it is not what was asked for
├── DeliveryError           75  not everything could be delivered now; a later run can
│   ├── ThrottledError      75  an AWS service had too many calls
│   └── DeadlineError       75  the run's own time is over
├── JournalError            74  the journal is unusable; the weather is delivered all the same
├── LockedError             75  another run is under way
└── Interrupted             75  SIGTERM or SIGINT

A message says what failed, where, and what to do next. It never holds a key, nor a URL with its
query: whoever raises makes sure of that, and `redaction.Redactor` is the second guard.
"""

import os
from collections.abc import Iterable
from enum import IntEnum


class Status(IntEnum):
    """Exit statuses, as sysexits.h names them."""

    def __new__(cls, value: int, meaning: str) -> "Status":
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    meaning: str

    OK = os.EX_OK, "all that was fetched is stored (or was already)"
    USAGE = 2, "wrong usage of the command line"
    DATAERR = os.EX_DATAERR, "Timestream rejected records; each is named on standard error and kept"
    UNAVAILABLE = (
        os.EX_UNAVAILABLE,
        "weather could not be fetched for some places; the rest was stored",
    )
    SOFTWARE = os.EX_SOFTWARE, "a bug; the traceback is shown"
    IOERR = (
        os.EX_IOERR,
        "the journal is unusable (full disk, read-only, corrupt); the weather was delivered anyway",
    )
    TEMPFAIL = (
        os.EX_TEMPFAIL,
        "not everything could be delivered now, or another run is under way; the next run delivers",
    )
    NOPERM = os.EX_NOPERM, "AWS or OpenWeatherMap refuses the credentials"
    CONFIG = os.EX_CONFIG, "settings, secret, database or table are missing or wrong"


# If there are several, the one a person must act on first.
URGENCY = (
    Status.SOFTWARE,
    Status.USAGE,
    Status.CONFIG,
    Status.NOPERM,
    Status.DATAERR,
    Status.IOERR,
    Status.UNAVAILABLE,
    Status.TEMPFAIL,
    Status.OK,
)


def most_urgent(statuses: Iterable[Status]) -> Status:
    """The status to end with; OK if there is none."""
    return min(statuses, key=URGENCY.index, default=Status.OK)


class IngestError(Exception):
    """Base of all errors whose cause is outside this program.

    what: what happened, and where: a sentence or more. advice: what to do next; "" if that is
    clear. kind: what a summary counts it as.
    """

    status = Status.SOFTWARE
    kind = "error"

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(f"{what} {advice}".rstrip())
        self.what = what
        self.advice = advice


class UsageError(IngestError):
    status = Status.USAGE


class SettingsError(IngestError):
    """It lists every problem."""

    status = Status.CONFIG


class AccessError(IngestError):
    status = Status.NOPERM
    kind = "key refused"


class WeatherError(IngestError):
    """permanent: asking again in this run does not help."""

    status = Status.UNAVAILABLE

    def __init__(
        self, what: str, advice: str = "", *, permanent: bool, kind: str = "refused"
    ) -> None:
        super().__init__(what, advice)
        self.permanent = permanent
        self.kind = kind


class BlockedError(WeatherError):
    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what, advice, permanent=True, kind="blocked")


class ReplyError(WeatherError):
    """It names the field. cod: the error code in the reply's body, 0 if it has none."""

    def __init__(self, what: str, advice: str = "", *, cod: int = 0) -> None:
        super().__init__(what, advice, permanent=True, kind="unusable reply")
        self.cod = cod


class DeliveryError(IngestError):
    status = Status.TEMPFAIL


class ThrottledError(DeliveryError):
    """The same call can succeed in a moment."""


class DeadlineError(DeliveryError):
    """WEATHER_DEADLINE_SECONDS have passed."""


class JournalError(IngestError):
    """corrupt: the file is damaged, and can be quarantined."""

    status = Status.IOERR

    def __init__(self, what: str, advice: str = "", *, corrupt: bool = False) -> None:
        super().__init__(what, advice)
        self.corrupt = corrupt


class LockedError(IngestError):
    status = Status.TEMPFAIL


class Interrupted(IngestError):  # noqa: N818  (an end that was asked for, not a failure)
    status = Status.TEMPFAIL
    kind = "interrupted"

"""The table of checks, in their order, and what each needs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from commands.check import aws, local, weather
from commands.check.findings import FAILED, UNKNOWN, Finding, NeedError, failed_by
from commands.check.known import Known
from ingest.errors import IngestError
from ingest.reporting.redaction import one_line


class Check(NamedTuple):
    """needs: settings that must be usable, and checks that must have found what they look for.

    as_need: what others are said to need if this one fails; "" if they can do without.
    """

    name: str
    look: Callable[[Known], Finding]
    needs: tuple[str, ...] = ()
    as_need: str = ""


WEATHER = ("OPENWEATHERMAP_API_KEY", "OPENWEATHERMAP_URL", "WEATHER_PLACES", "WEATHER_UNITS")
CELL = ("TIMESTREAM_ENDPOINT_URL", "credentials", "region")
TABLE = ("discovery", "TIMESTREAM_DATABASE", "TIMESTREAM_TABLE")
JOURNAL = ("WEATHER_JOURNAL", "journal")

CHECKS = (
    Check("credentials", aws.credentials, (), "credentials"),
    Check("secret", aws.secret, (), "the secret"),
    Check("settings", local.settings),
    Check("API key", weather.api_key, WEATHER, "the API key"),
    Check("place", weather.place, ("API key",)),
    Check("region", aws.region, ("AWS session",), "another region"),
    Check("discovery", aws.discovery, CELL, "discovery"),
    Check("GetSecretValue", lambda known: aws.permission(known, aws.READ_VALUE, "the secret")),
    Check("DescribeEndpoints", lambda known: aws.permission(known, aws.DISCOVER, "discovery")),
    Check("DescribeDatabase", aws.describe_database, TABLE),
    Check("DescribeTable", aws.describe_table, TABLE),
    Check("WriteRecords", aws.write_records, TABLE),
    Check("table", aws.table, TABLE, "the table"),
    Check("retention", aws.retention, ("table",)),
    Check("journal", local.journal, ("WEATHER_JOURNAL",)),
    Check("pending", local.pending, JOURNAL),
    Check("rejected", local.rejected, JOURNAL),
    Check("run lock", local.run_lock, ("WEATHER_JOURNAL",)),
    Check("clock", lambda known: known.clock.finding()),
    Check("cron", local.cron),
    Check("last runs", local.last_runs),
)


def findings(known: Known) -> Iterator[Finding]:
    """One a check. The settings come first, but are all known only with the secret."""
    found = (_look(check, known) for check in CHECKS)
    credentials, secret, settings = islice(found, 3)
    yield from (settings, credentials, secret)
    yield from found


def _look(check: Check, known: Known) -> Finding:
    try:
        known.require(*check.needs)
        finding = check.look(known)
    except NeedError as need:
        known.lacking[check.name] = str(need)
        finding = Finding(UNKNOWN, f"not checked: needs {need}")
    except IngestError as error:
        finding = failed_by(error)
    if finding.mark is FAILED and check.as_need:
        known.lacking[check.name] = check.as_need
    fact, next_step = (one_line(known.redact(text)) for text in (finding.fact, finding.next_step))
    return replace(finding, name=check.name, fact=fact, next_step=next_step)

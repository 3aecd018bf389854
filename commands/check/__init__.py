"""Everything that a run needs, gone through: `ingest_weather.py check`. It changes nothing."""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from commands.check import aws, findings, local, weather
from commands.check.findings import FAILED, OK, UNKNOWN, Finding, NeedError
from commands.check.known import Known
from commands.command_line import add_flag, command_parser, settings_of, statuses
from commands.terminal import interruptible
from ingest.errors import IngestError
from ingest.reporting.redaction import one_line
from ingest.settings import read_sources

DESCRIPTION = """\
Check everything that a run needs. Each check prints a mark, its name, the fact
that it found and, if something is wrong, what to do next. A failure does not
stop the other checks; a check that cannot be made says what it needs. Nothing
is written: not to AWS, not to the journal, not to the crontab. The weather of
one place is fetched, which counts as one call."""

EPILOG = """\
what is checked, in this order:
  settings      they are complete and valid; where each is set, without values
  credentials   the account and user that they belong to, as STS says
  secret        it exists; which settings it holds
  API key       OpenWeatherMap accepts it in a request for the first place
  place         OpenWeatherMap knows that place; its name there
  region        it has Timestream for LiveAnalytics
  discovery     the endpoint for writes, unless TIMESTREAM_ENDPOINT_URL is set
  GetSecretValue, DescribeEndpoints, DescribeDatabase, DescribeTable,
  WriteRecords
                IAM allows it. WriteRecords is tested with a record that
                Timestream always rejects, so nothing is stored. A run does not
                need DescribeDatabase and DescribeTable.
  table         it exists and is ACTIVE
  retention     it is long enough for the latest observation and for the oldest
                pending one
  journal, pending, rejected, run lock
                the journal is sound and has room; what is pending or rejected
                in it; who holds the lock
  clock         at most a minute from AWS's and OpenWeatherMap's
  cron          this user's crontab runs this program
  last runs     how the last ten ended, and when

marks:
  ok    nothing is wrong
  warn  a run works, but you may want to know this; not a failure
  FAIL  a run would fail, or rejected records need a decision
  -     not checked, or not needed
On a terminal they are coloured ticks and crosses, unless NO_COLOR is set.

--json prints {"checks": [...], "status": N}; each check has name, ok (true,
false, or null if it was not checked), warning, fact, next_step and status.

Each call takes at most WEATHER_TIMEOUT_SECONDS, and all calls together at most
WEATHER_DEADLINE_SECONDS, so a service that hangs does not block the check.

examples:
  ingest_weather.py check
      Check everything.
  ingest_weather.py --env-file /etc/weather.env check
      Check with the settings in another file.
  ingest_weather.py -q check
      Print only warnings and failures. Once a day from cron, this mails what
      the runs themselves do not notice.
  ingest_weather.py check --json | jq -r '.checks[] | select(.ok == false).fact'
      Print the facts of what failed."""


class Check(NamedTuple):
    """needs: settings that must be usable, and checks that must have found what they look for.

    as_need: what others are said to need if this one fails; "" if they can do without it.
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


def main(arguments: Sequence[str], overall: argparse.Namespace) -> int:
    """Returns the status of what to fix first. overall: the options in front of the command."""
    options = make_parser().parse_args(arguments, overall)
    as_json, quiet = options.json, options.quiet
    sources = read_sources(os.environ, options.env_file, settings_of(options))
    sources.export_aws()
    found: list[Finding] = []
    with interruptible("SIGINT ended the check."):
        for finding in _findings(Known(sources, options.log.redact)):
            found.append(finding)
            if not as_json and not (quiet and finding.mark in (OK, UNKNOWN)):
                findings.show(finding.lines())
    return findings.show_result(found, as_json=as_json, quiet=quiet)


def _findings(known: Known) -> Iterator[Finding]:
    """One per check. The settings come first, although all are known only with the secret."""
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
        finding = findings.failed_by(error)
    if finding.mark is FAILED and check.as_need:
        known.lacking[check.name] = check.as_need
    fact, next_step = (one_line(known.redact(text)) for text in (finding.fact, finding.next_step))
    return replace(finding, name=check.name, fact=fact, next_step=next_step)


def make_parser() -> argparse.ArgumentParser:
    """The command's own options."""
    usage = "ingest_weather.py [--env-file FILE] [--place PLACE] [-q] check [--json]"
    epilog = f"{EPILOG}\n\nexit statuses, as of a run with the same problem:\n{statuses()}"
    parser = command_parser("check", DESCRIPTION, epilog, usage)
    add_flag(parser, "--json", "print one JSON object, see below")
    return parser

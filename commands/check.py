"""Everything that a run needs, gone through: `ingest_weather.py check`. It changes nothing."""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from commands.checks_aws import AwsChecks
from commands.checks_clock import Clock
from commands.checks_local import (
    check_cron,
    check_lock,
    check_runs,
    check_settings,
    look_at_journal,
    source_of,
)
from commands.checks_weather import look_at_weather
from commands.command_line import settings_of, statuses
from commands.findings import Finding, Report, needs
from commands.limit import Limit
from ingest.deadline import Deadline, epoch_ms
from ingest.errors import Interrupted
from ingest.observation import Observation
from ingest.reporting.logs import redact
from ingest.settings.sources import Sources, read_sources

LOCAL_S = 2.0

CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def main(arguments: Sequence[str], overall: argparse.Namespace) -> int:
    """Go through all of it, and end with the status of what to act on first.

    overall: the options in front of the command.
    """
    options = make_parser().parse_args(arguments)
    report = Report(as_json=options.json or overall.json, quiet=overall.quiet)
    sources = read_sources(os.environ, overall.env_file, settings_of(overall))
    try:
        for finding in _findings(sources):
            report.show(finding)
    except KeyboardInterrupt:
        raise Interrupted("SIGINT ended the check.") from None
    report.end()
    return report.status


def _findings(sources: Sources) -> Iterator[Finding]:
    sources.export_aws()
    for name in CREDENTIALS:  # those of .env, too
        redact.add(os.environ.get(name))
    deadline = Deadline(sources.seconds("WEATHER_DEADLINE_SECONDS"))
    limit = Limit(deadline, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
    account = AwsChecks(limit, Clock())
    credentials = account.credentials()
    secret = account.read_secret(sources.text("WEATHER_SECRET_ID"))
    yield check_settings(sources, account.secret, account.secret_error)
    # The secret may hold other limits, for all but the first two calls.
    deadline.seconds = sources.seconds("WEATHER_DEADLINE_SECONDS")
    limit.timeout_s = sources.seconds("WEATHER_TIMEOUT_SECONDS")
    yield credentials
    yield secret
    is_read = account.secret_error is None
    weather = look_at_weather(sources, limit, account.clock, secret_read=is_read)
    yield from weather.findings
    yield account.check_region(source_of(sources, "AWS_REGION", "AWS_DEFAULT_REGION"))
    is_set = bool(sources.text("TIMESTREAM_ENDPOINT_URL"))
    yield account.discovery(sources.early("TIMESTREAM_ENDPOINT_URL") if is_set else "")
    database, table = sources.early("TIMESTREAM_DATABASE"), sources.early("TIMESTREAM_TABLE")
    yield from account.permissions(database, table)
    yield from _rest(sources, account, limit, weather.observation)


def _rest(
    sources: Sources, account: AwsChecks, limit: Limit, observation: Observation | None
) -> Iterator[Finding]:
    """What the journal knows, and what hangs together with it."""
    now_ms = epoch_ms()
    path: Path | None = sources.early("WEATHER_JOURNAL")
    is_off = path is None and sources.text("WEATHER_JOURNAL") == "off"
    target = (
        f"{account.region}/{sources.text('TIMESTREAM_DATABASE')}.{sources.text('TIMESTREAM_TABLE')}"
    )
    # What is on this machine needs little time, and has that even where the services took all.
    left_s = max(LOCAL_S, limit.deadline.remaining_s())
    here = Limit(Deadline(left_s), limit.timeout_s)
    look = look_at_journal(path, target, now_ms, min(left_s, limit.timeout_s))
    times_ms = {"the weather's last observation": observation.time_ms} if observation else {}
    if look.oldest_pending_ms:
        times_ms["the oldest pending one"] = look.oldest_pending_ms
    yield account.retention(times_ms, now_ms)
    if path or is_off:
        yield from look.findings
        yield check_lock(path, sources.seconds("WEATHER_DEADLINE_SECONDS"), now_ms / 1000)
    else:
        for name in ("journal", "pending", "rejected", "run lock"):
            yield needs(name, "settings (WEATHER_JOURNAL)")
    yield account.clock.finding()
    yield check_cron(here)
    yield check_runs(look.runs, now_ms)


def make_parser() -> argparse.ArgumentParser:
    """The command's own options."""
    parser = argparse.ArgumentParser(
        prog="ingest_weather.py check",
        usage="ingest_weather.py [--env-file FILE] [--place PLACE] [-q] check [--json]",
        description=DESCRIPTION,
        epilog=f"{EPILOG}\n\nexit statuses, as of a run that meets the same:\n{statuses()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, see below")
    return parser


DESCRIPTION = """\
Go through everything that a run needs. Each thing is one line: a mark, its
name, the fact that was measured and, where something is wrong, what to do next.
All of it is gone through, also after a failure; what depends on something that
failed says so. Nothing is written: not to AWS, not to the journal, not to the
crontab. One place's weather is asked for, which counts as one call."""

EPILOG = """\
what is looked at, in this order:
  settings      read and complete, and which are set where, without their values
  credentials   whose they are, by STS
  secret        it is there, and which settings it holds
  API key       the current weather of the first configured place, as the proof
  place         OpenWeatherMap knows that place, and what it takes it for
  region        Timestream for LiveAnalytics runs there
  discovery     which cell takes the writes, unless TIMESTREAM_ENDPOINT_URL does
  GetSecretValue, DescribeEndpoints, DescribeDatabase, DescribeTable,
  WriteRecords
                IAM allows it. WriteRecords is tried with a record that no table
                takes, so that nothing is stored. A run does without the two
                Describe... of database and table.
  table         it is there, and ACTIVE
  retention     the weather's last observation, and the oldest that is pending,
                are not too old for it
  journal, pending, rejected, run lock
                it is sound and has room, what waits in it, who holds the lock
  clock         within a minute of AWS's and of OpenWeatherMap's
  cron          this user's crontab runs this very program
  last runs     how the last ten ended, and how long ago

marks:
  ok    as it should be
  warn  a run works, and still you may want to know; does not count as a failure
  FAIL  a run would fail, or data wait for a decision
  -     not checked, or not needed
On a terminal they are coloured ticks and crosses, unless NO_COLOR is set.

--json prints {"checks": [...], "status": N}; each check has name, ok (true,
false, or null where it was not checked), warning, fact, next_step and status.

Each call may take WEATHER_TIMEOUT_SECONDS, and all of them together
WEATHER_DEADLINE_SECONDS: a service that hangs does not hang this.

examples:
  ingest_weather.py check
      All of it.
  ingest_weather.py --env-file /etc/weather.env check
      With the settings of another file.
  ingest_weather.py -q check
      Only what is wrong or doubtful: nothing is printed where all is well. From
      cron, once a day, it mails what the runs themselves do not notice.
  ingest_weather.py check --json | jq -r '.checks[] | select(.ok == false).fact'
      The facts of what failed."""

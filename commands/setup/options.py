"""The command line of setup."""

import argparse
from collections.abc import Callable

from commands import crontab
from commands.aws import Retention
from commands.command_line import command_parser

DEFAULT = Retention(memory_hours=24, magnetic_days=365, magnetic_writes=True)

DESCRIPTION = """\
Make what a run needs and what is missing: the secret with your OpenWeatherMap
key, the Timestream database, and the table. Then print the smallest IAM policy
that lets a run do its work, and the line for the crontab.

What exists stays as it is. What differs from what was asked, or from the
default, is shown, and changed only with --update. After a failure, run it
again: it goes on where it stopped. Names come from the settings
(WEATHER_SECRET_ID, TIMESTREAM_DATABASE, TIMESTREAM_TABLE), region and
credentials from AWS's (AWS_REGION, AWS_PROFILE, ...), as in a run.
"""

EPILOG = """\
the key:
  It is asked for on the terminal without being shown, or read from standard
  input with --api-key-stdin, or taken from OPENWEATHERMAP_API_KEY if the
  environment or .env has it. It is never an argument, because every user of the
  machine can see those. One request for London's weather tries it before it
  is stored. Other members of the secret are kept. --api-key-stdin --update
  replaces the key, and leaves the table as it is unless one of the table's
  options is given, too.

retention:
  Timestream takes observations that are younger than the memory store keeps;
  with magnetic store writes also those that are younger than the magnetic
  store keeps. --update never shortens a retention unless its option is given:
  what is older is deleted for good.

the line for the crontab:
  It keeps the schedule of the line that runs this program already, unless
  --every is given.

permissions:
  Whoever runs setup needs secretsmanager:DescribeSecret, GetSecretValue,
  CreateSecret and PutSecretValue; timestream:DescribeEndpoints,
  DescribeDatabase, CreateDatabase, DescribeTable, CreateTable and UpdateTable;
  with --tag also TagResource of both. The run itself needs far less: that is
  the policy printed.

examples:
  ingest_weather.py setup --dry-run
      Say what would be done.
  ingest_weather.py setup
      Do it, and ask for the key.
  pass openweathermap | ingest_weather.py setup --api-key-stdin --install-cron
      Without a question, and with the line in the crontab.
  pass openweathermap | ingest_weather.py setup --api-key-stdin --update
      Replace the key by another, and change nothing else.
  ingest_weather.py setup --memory-hours 72 --update
      Let the table's memory store keep three days.
  ingest_weather.py setup --tag team=weather --tag stage=test
      Tag what is made.
  ingest_weather.py setup --print-iam-policy > policy.json
      The policy of the run alone; before the secret exists, too.

exit status:
   0  all is there (or, with --dry-run, would be)
   2  wrong usage of the command line
  69  OpenWeatherMap could not be asked; the key was not stored
  75  AWS did not answer in time, or setup was interrupted: run it again
  77  AWS or OpenWeatherMap refuses the credentials
  78  a setting is wrong, no key was given, or there is no crontab program
"""


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser("setup", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    parser.add_argument("--update", action="store_true", help="change what differs (see below)")
    parser.add_argument(
        "--timeout",
        type=_up_to(86_400, "seconds"),
        default=300,
        metavar="SECONDS",
        help="how long AWS is waited for in each step (default: %(default)s)",
    )
    parser.add_argument(
        "--tag",
        type=_tag,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="tag what is made: secret, database, table; may be given more than once",
    )
    key = parser.add_argument_group("the secret")
    key.add_argument(
        "--api-key-stdin", action="store_true", help="read the key from standard input"
    )
    key.add_argument("--no-key-check", action="store_true", help="store the key without trying it")
    _add_table_options(parser.add_argument_group("the table"))
    _add_run_options(parser.add_argument_group("the run"))
    return parser


def _add_table_options(table: argparse._ArgumentGroup) -> None:
    # Source of the limits: CreateTable, RetentionProperties.
    for store, unit, most, default in (
        ("memory", "hours", 8766, DEFAULT.memory_hours),
        ("magnetic", "days", 73_000, DEFAULT.magnetic_days),
    ):
        help_ = f"what its {store} store keeps (default: {default})"
        read = _up_to(most, unit)
        table.add_argument(f"--{store}-{unit}", type=read, metavar="N", help=help_)
    table.add_argument(
        "--magnetic-writes",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether it takes what is older than the memory store keeps (default: it does)",
    )


def _add_run_options(run: argparse._ArgumentGroup) -> None:
    what = run.add_mutually_exclusive_group()
    what.add_argument(
        "--print-iam-policy", action="store_true", help="print the run's policy, and do no more"
    )
    what.add_argument(
        "--install-cron",
        action="store_true",
        help="add the line to your crontab, or replace the one that setup wrote",
    )
    *others, last = map(str, crontab.INTERVALS)
    run.add_argument(
        "--every",
        type=int,
        choices=crontab.INTERVALS,
        metavar="MINUTES",
        help=f"between runs: {', '.join(others)} or {last} "
        f"(default: as the crontab has it, else {crontab.USUAL_INTERVAL})",
    )


def _up_to(most: int, unit: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= most:
            return int(text)
        wanted = f"a whole number of {unit} from 1 to {most}"
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")

    return read


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (equals and 1 <= len(key) <= 128 and len(value) <= 256) or key.startswith("aws:"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not KEY=VALUE, KEY of 1 to 128 characters, not beginning with aws:, "
            "VALUE of up to 256"
        )
    return key, value

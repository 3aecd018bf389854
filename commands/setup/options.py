"""The command line of setup."""

import argparse
from collections.abc import Callable

from commands import crontab
from commands.aws import Retention
from commands.command_line import add_flag, add_list, command_parser

DEFAULT = Retention(memory_hours=24, magnetic_days=365, magnetic_writes=True)

DESCRIPTION = """\
Create what a run needs and what is missing: the secret with your OpenWeatherMap
key, the Timestream database, and the table. Then print the smallest IAM policy
that a run needs, and the line for the crontab.

What exists stays as it is. If it differs from your options or from the default,
setup shows the difference; --update changes it. After a failure, run setup
again: it continues where it stopped. Names come from the settings
(WEATHER_SECRET_ID, TIMESTREAM_DATABASE, TIMESTREAM_TABLE), region and
credentials from AWS's (AWS_REGION, AWS_PROFILE, ...), as in a run."""

EPILOG = """\
the key:
  setup asks for it on the terminal and does not show it, or reads it from
  standard input with --api-key-stdin, or takes OPENWEATHERMAP_API_KEY from the
  environment or .env. It is never an argument, because every user of the
  machine can see those. One request for London's weather tests it before it
  is stored. Other members of the secret stay. --api-key-stdin --update replaces
  the key, and changes the table only if an option of the table is given, too.

retention:
  Timestream accepts observations that are not older than the retention of the
  memory store; with magnetic store writes, of the magnetic store. A shorter
  retention permanently deletes older records, so --update shortens one only if
  its option is given.

the line for the crontab:
  If a line runs this program already, its schedule stays without --every.

permissions:
  To run setup you need secretsmanager:DescribeSecret, GetSecretValue,
  CreateSecret and PutSecretValue; timestream:DescribeEndpoints,
  DescribeDatabase, CreateDatabase, DescribeTable, CreateTable and UpdateTable;
  with --tag also TagResource of both. A run needs much less: the policy
  that setup prints.

examples:
  ingest_weather.py setup --dry-run
      Print what setup would do.
  ingest_weather.py setup
      Do it; setup asks for the key.
  pass openweathermap | ingest_weather.py setup --api-key-stdin --install-cron
      Do it without a question, and add the line to the crontab.
  pass openweathermap | ingest_weather.py setup --api-key-stdin --update
      Replace the key, and change nothing else.
  ingest_weather.py setup --memory-hours 72 --update
      Let the table's memory store keep three days.
  ingest_weather.py setup --tag team=weather --tag stage=test
      Tag what is created.
  ingest_weather.py setup --print-iam-policy > policy.json
      Print only the policy for a run, also before the secret exists.

exit status:
   0  everything exists (or, with --dry-run, would exist)
   2  wrong usage of the command line
  69  the key could not be tested, so it was not stored
  75  AWS did not answer in time, or setup was interrupted: run it again
  77  AWS or OpenWeatherMap refuses the credentials
  78  a setting is wrong, no key was given, or there is no crontab program"""


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser("setup", DESCRIPTION, EPILOG)
    add_flag(parser, "--dry-run", "print what would be done, and change nothing")
    add_flag(parser, "--update", "change what differs (see below)")
    parser.add_argument(
        "--timeout",
        type=_up_to(86_400, "seconds"),
        default=300,
        metavar="SECONDS",
        help="time limit for each step (default: %(default)s)",
    )
    does = "tag what is created: secret, database, table"
    add_list(parser, "--tag", "KEY=VALUE", does, type=_tag)
    key = parser.add_argument_group("the secret")
    add_flag(key, "--api-key-stdin", "read the key from standard input")
    add_flag(key, "--no-key-check", "store the key without a test")
    _add_table_options(parser.add_argument_group("the table"))
    run = parser.add_argument_group("the run")
    what = run.add_mutually_exclusive_group()
    add_flag(what, "--print-iam-policy", "print only the IAM policy for a run")
    add_flag(
        what, "--install-cron", "add the line to your crontab, or replace the one that setup wrote"
    )
    *others, last = map(str, crontab.INTERVALS)
    run.add_argument(
        "--every",
        type=int,
        choices=crontab.INTERVALS,
        metavar="MINUTES",
        help=f"minutes between runs: {', '.join(others)} or {last} "
        f"(default: as in the crontab, else {crontab.USUAL_INTERVAL})",
    )
    return parser


def _add_table_options(table: argparse._ArgumentGroup) -> None:
    # Source of the limits: CreateTable, RetentionProperties.
    for store, unit, most, default in (
        ("memory", "hours", 8766, DEFAULT.memory_hours),
        ("magnetic", "days", 73_000, DEFAULT.magnetic_days),
    ):
        help_ = f"{unit} that its {store} store keeps (default: {default})"
        read = _up_to(most, unit)
        table.add_argument(f"--{store}-{unit}", type=read, metavar="N", help=help_)
    table.add_argument(
        "--magnetic-writes",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="accept observations that are too old for the memory store (default: yes)",
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
            f"{text!r} is not KEY=VALUE (KEY: 1 to 128 characters, not beginning with aws:; "
            "VALUE: at most 256)"
        )
    return key, value

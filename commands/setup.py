"""From an AWS account and a key to a working cron line: `ingest_weather.py setup`.

Looks at everything first, then makes what is missing. What is there stays as it is.
"""

import argparse
import getpass
import os
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from commands import crontab
from commands.account import Account, Patience, Retention, Secret, Table
from commands.command_line import COMMANDS
from commands.iam import run_policy
from ingest.aws.session import Aws
from ingest.errors import (
    AccessError,
    BlockedError,
    IngestError,
    Interrupted,
    SettingsError,
    Status,
    UsageError,
    WeatherError,
    most_urgent,
)
from ingest.observation import MEASURES, UNITS, one_line, parse_place
from ingest.reporting.logs import log, redact
from ingest.settings.sources import DECLARED, PROGRAM, Settings, read_sources

KEY = "OPENWEATHERMAP_API_KEY"
# In the key's place where there is none yet, so that all other settings can be read.
NO_KEY = "(no-key-yet)"

DEFAULT = Retention(memory_hours=24, magnetic_days=365, magnetic_writes=True)
# CreateTable, RetentionProperties.
MEMORY_HOURS = range(1, 8766 + 1)
MAGNETIC_DAYS = range(1, 73_000 + 1)

WIDTH = 79

PROMPT = "OpenWeatherMap API key (it is not shown): "


def main(arguments: Sequence[str], overall: argparse.Namespace) -> int:
    """Set up, or say what would be done. Returns an exit status.

    overall: the options in front of the command.
    """
    options = make_parser().parse_args(arguments)
    options.dry_run = options.dry_run or overall.dry_run
    if threading.current_thread() is threading.main_thread():
        # The end by a signal gives the terminal its echo back, as the end by Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # degrees and foreign names, on any terminal
    try:
        return int(Setup(options, overall.env_file).run())
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise Interrupted(
            "Interrupted. What is reported above as made stays; run setup again to go on."
        ) from None
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (for good)
        raise Interrupted(
            "Whoever read the output has gone, so setup ended. Run it again to go on."
        ) from None


class Report:
    """A line on standard output for each thing: what became of it, its name, and more below."""

    MARKS = {"differs": ("!", 33), "failed": ("✗", 31), "would": ("+", 36)}  # noqa: RUF012  (a constant)

    def __init__(self, *, dry_run: bool) -> None:
        self._column = 14 if dry_run else 9
        encoding = (sys.stdout.encoding or "").lower()
        self._marked = (
            sys.stdout.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
            and encoding.startswith("utf")
        )
        self.words: set[str] = set()

    def line(self, word: str, what: str, *more: str) -> None:
        """word: exists, created, updated, differs or failed, or what would become of it."""
        self.words.add(word)
        mark = ""
        if self._marked:
            sign, colour = self.MARKS.get(word.partition(" ")[0], ("✓", 32))
            mark = f"\x1b[{colour}m{sign}\x1b[0m "
        indent = " " * (self._column + (2 if mark else 0))
        first = f"{indent}{what}"
        lines = [
            line
            for text in (first, *(f"{indent}{each}" for each in more))
            for line in wrapped(text, indent)
        ]
        lines[0] = f"{mark}{word:<{self._column}}{lines[0].lstrip()}"
        print("\n".join(lines), flush=True)


def wrapped(text: str, indent: str = "") -> list[str]:
    """Lines for 80 columns. No word is broken: an ARN can be copied."""
    return textwrap.wrap(
        one_line(text),
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


class Setup:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, env_file: Path | None) -> None:
        self.options = options
        self.env_file = env_file
        self.report = Report(dry_run=options.dry_run)
        self.statuses: list[Status] = []
        self.secret: Secret | None = None
        self.secret_arn = ""
        self.table: Table | None = None

    def run(self) -> Status:
        self._look()
        if self.options.print_iam_policy:
            print(self._policy())
            return Status.OK
        self.report.line(
            "account", f"{self.number} in {self.account.region}, as {self.identity_arn}"
        )
        self._do(f"secret {self.settings.secret_id}", self._secret)
        if self._do(f"database {self.settings.database}", self._database):
            self._do(f"table {self.settings.table}", self._table)
        if self.statuses:
            say("Mend what is said above, then run setup again: it goes on where it stopped.")
            return most_urgent(self.statuses)
        say("IAM policy for the run (setup --print-iam-policy prints it alone):")
        print(self._policy())
        self._cron()
        self._last_words()
        return most_urgent(self.statuses)

    def _look(self) -> None:
        """All that can be known without a change; what is wrong with it ends the command here."""
        options = self.options
        self.sources = sources = read_sources(os.environ, self.env_file)
        sources.export_aws()
        self.patience = Patience(options.timeout)
        aws = Aws(self.patience, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
        self.account = account = Account(aws, self.patience)
        with waiting("Looking at the account"):
            self.settings: Settings = sources.settings(self._texts_of_secret)
            if options.api_key_stdin and not self.settings.secret_id:
                raise UsageError(
                    "--api-key-stdin: WEATHER_SECRET_ID is empty, so there is no secret."
                )
            self.number, self.identity_arn = account.identity()
            if options.print_iam_policy:
                return
            account.endpoint_url = self.settings.endpoint_url
            self.has_database = account.has_database(self.settings.database)
            if self.has_database:
                self.table = account.find_table(self.settings.database, self.settings.table)

    def _texts_of_secret(self, secret_id: str) -> dict[str, str]:
        """The secret as settings are read from it, with a stand-in for a key that is to come."""
        self.secret = secret = self.account.find_secret(secret_id)
        if secret is None:
            if secret_id.startswith("arn:") and not self.options.print_iam_policy:
                raise SettingsError(
                    f"There is no secret {secret_id!r}, and none can be made by an ARN: AWS ends "
                    "it with characters of its own. Set WEATHER_SECRET_ID to a name."
                )
            return {KEY: NO_KEY}
        self.secret_arn = secret.arn
        texts = dict(secret.texts)
        redact.add(texts.get(KEY))
        is_replaced = self.options.api_key_stdin and self.options.update
        if is_replaced or not texts.get(KEY, "").strip():
            texts[KEY] = NO_KEY
        return texts

    def _do(self, what: str, step: Callable[[], None]) -> bool:
        """Whether the step went well; its error is told where it happens."""
        self.patience.restart()
        try:
            step()
        except IngestError as error:
            self.report.line("failed", what)
            log.error("%s", error)
            self.statuses.append(error.status)
            return False
        return True

    # The secret

    def _secret(self) -> None:
        options, secret, name = self.options, self.secret, f"secret {self.settings.secret_id}"
        if not self.settings.secret_id:
            self.report.line("none", "secret: WEATHER_SECRET_ID is empty, so no secret is read")
            return
        old_key = secret.texts.get(KEY, "").strip() if secret else ""
        if old_key and not options.api_key_stdin:
            self.report.line("exists", f"{name} with {KEY}")
            return
        if secret and not (old_key or options.update or options.api_key_stdin):
            if self.settings.api_key != NO_KEY:
                self.report.line(
                    "differs",
                    f"{name} has no {KEY}",
                    "A run takes it from the environment or .env. --update puts it into the "
                    "secret, too.",
                )
                return
            self.report.line("differs", f"{name} has no {KEY}", "The other members are kept.")
        if options.dry_run and not options.api_key_stdin:
            self._would(secret, name, "The key is asked for, and tried, before it is stored.")
            return
        key = self._new_key()
        if key == old_key:
            self.report.line("exists", f"{name} with this {KEY}")
            return
        if secret and options.api_key_stdin and not options.update:
            if not old_key:
                raise SettingsError(f"The {name} has no {KEY}. Say --update to add the one given.")
            self.report.line("differs", f"{name} has another {KEY}", "--update replaces it.")
            return
        if options.dry_run:
            self._would(secret, name, "The key is tried before it is stored.")
            return
        self._store(secret, name, key, self._try_key(key))

    def _would(self, secret: Secret | None, name: str, how: str) -> None:
        self.report.line("would update" if secret else "would create", f"{name} with {KEY}", how)

    def _store(self, secret: Secret | None, name: str, key: str, proof: str) -> None:
        with waiting(f"Storing the key in the {name}"):
            if secret:
                self.account.put_secret(secret, {KEY: key})
                self.report.line("updated", f"{name} with {KEY}", proof)
                return
            self.secret_arn = self.account.create_secret(
                self.settings.secret_id, {KEY: key}, self._tags()
            )
        self.report.line("created", f"{name} with {KEY}", proof, *self._tags_told())

    def _new_key(self) -> str:
        """From standard input, the environment, or the person at the terminal."""
        at_terminal = sys.stdin is not None and sys.stdin.isatty()
        if not self.options.api_key_stdin and self.settings.api_key != NO_KEY:
            return self.settings.api_key
        if at_terminal:
            try:
                text = getpass.getpass(PROMPT)
            except EOFError:
                text = ""
                print(file=sys.stderr)
            self.patience.restart()
        elif self.options.api_key_stdin and sys.stdin is not None:
            text = sys.stdin.buffer.readline().decode("utf-8", "replace")
        else:
            raise SettingsError(
                "There is nobody to ask for the key: start setup on a terminal, or give the key on "
                "standard input with --api-key-stdin."
            )
        text = text.strip()
        redact.add(text)
        if not text:
            raise SettingsError("No key was given, so none was stored.")
        try:
            key: str = DECLARED[KEY].metadata["read"](text)
        except ValueError as error:
            raise SettingsError(f"That is no key, so it was not stored: {error}.") from None
        return key

    def _try_key(self, key: str) -> str:
        """One real request with the key; what came of it. Raises where that is not known to be
        good."""
        if self.options.no_key_check:
            return "The key was not tried (--no-key-check)."
        from ingest.openweathermap.client import Failure, WeatherClient

        client = WeatherClient(
            url=self.settings.url,
            api_key=key,
            units=self.settings.units,
            measures=("CurrentTemp",),
            timeout_s=self.settings.timeout_s,
            deadline=self.patience,
        )
        with waiting(f"Asking {client.host} for London's weather"):
            (result,) = client.fetch([parse_place("London,GB")])
        if not isinstance(result, Failure):
            unit = MEASURES["CurrentTemp"].units[UNITS.index(self.settings.units)]
            reading = result.values.get("CurrentTemp")
            return f"The key works: London has {reading} {unit}." if reading else "The key works."
        if isinstance(result.error, AccessError):
            raise AccessError(f"The key was not stored. {result.error}") from result.error
        if isinstance(result.error, BlockedError):
            return "The key is known; its account is blocked for a while (429: too many calls)."
        raise WeatherError(
            f"The key was not stored, for it could not be tried: {result.error} "
            "--no-key-check stores it untried.",
            permanent=True,
        )

    # Timestream

    def _database(self) -> None:
        name = self.settings.database
        if self.has_database:
            self.report.line("exists", f"database {name}")
        elif self.options.dry_run:
            self.report.line("would create", f"database {name}", *self._tags_told())
        else:
            with waiting(f"Making the database {name}"):
                is_new = self.account.create_database(name, self._tags())
            if is_new:
                self.report.line("created", f"database {name}", *self._tags_told())
            else:
                self.report.line("exists", f"database {name}")

    def _table(self) -> None:
        database, table = self.settings.database, self.settings.table
        found = self.table
        if found is None:
            wanted = self._wanted(Retention(1, 1, magnetic_writes=False))
            if self.options.dry_run:
                self.report.line("would create", f"table {table}", str(wanted), *self._tags_told())
                return
            with waiting(f"Making the table {table}"):
                is_new = self.account.create_table(database, table, wanted, self._tags())
                self.account.wait_until_active(database, table)
            if is_new:
                self.report.line("created", f"table {table}", str(wanted), *self._tags_told())
                return
            found = self.account.find_table(database, table) or Table("", wanted, None)
        elif found.status != "ACTIVE" and not self.options.dry_run:
            with waiting(f"Waiting for the table {table} ({found.status})"):
                self.account.wait_until_active(database, table)
        self._compare(found)

    def _compare(self, found: Table) -> None:
        name, has, wanted = f"table {self.settings.table}", found.retention, None
        wanted = self._wanted(has)
        if wanted == has:
            self.report.line("exists", name, str(has))
            return
        told = self._told(has, wanted)
        if wanted.memory_hours < has.memory_hours or wanted.magnetic_days < has.magnetic_days:
            told.append("A shorter retention deletes what is older, for good.")
        if not self._updates_table():
            how = "--update without --api-key-stdin" if self.options.update else "--update"
            self.report.line("differs", name, *told, f"{how} changes it.")
        elif self.options.dry_run:
            self.report.line("would update", name, *told)
        else:
            with waiting(f"Changing the {name}"):
                self.account.update_table(
                    self.settings.database, self.settings.table, found, wanted
                )
            self.report.line("updated", name, f"had: {has}", f"has: {wanted}")

    def _asks_for_retention(self) -> bool:
        options = self.options
        asked = (options.memory_hours, options.magnetic_days, options.magnetic_writes)
        return any(each is not None for each in asked)

    def _updates_table(self) -> bool:
        """--update, unless it was said of the key alone."""
        options = self.options
        is_of_key = options.api_key_stdin and not self._asks_for_retention()
        return bool(options.update and not is_of_key)

    def _told(self, has: Retention, wanted: Retention) -> list[str]:
        if self._asks_for_retention():
            return [f"has:   {has}", f"asked: {wanted}"]
        return [f"has:     {has}", f"default: {wanted}"]

    def _wanted(self, has: Retention) -> Retention:
        """What was asked for; where nothing was, at least the default: a default deletes
        nothing."""
        options = self.options
        return Retention(
            memory_hours=options.memory_hours or max(DEFAULT.memory_hours, has.memory_hours),
            magnetic_days=options.magnetic_days or max(DEFAULT.magnetic_days, has.magnetic_days),
            magnetic_writes=(
                DEFAULT.magnetic_writes
                if options.magnetic_writes is None
                else options.magnetic_writes
            ),
        )

    def _tags(self) -> dict[str, str]:
        return dict(self.options.tag)

    def _tags_told(self) -> list[str]:
        return [f"tags: {', '.join(f'{key}={value}' for key, value in self.options.tag)}"][
            : bool(self.options.tag)
        ]

    # The run's policy and its line in the crontab

    def _policy(self) -> str:
        settings = self.settings
        return run_policy(
            identity_arn=self.identity_arn,
            account=self.number,
            region=self.account.region,
            secret_id=settings.secret_id,
            secret_arn=self.secret_arn,
            kms_key_id=self.secret.kms_key_id if self.secret else "",
            database=settings.database,
            table=settings.table,
            discovers=not settings.endpoint_url,
        )

    def _cron(self) -> None:
        installed = self._installed_lines()
        line = crontab.run_line(self._schedule(installed), PROGRAM, self.env_file)
        if self.options.install_cron:
            print()
            self._do("line in the crontab", lambda: self._install(line))
            print(f"\n{line}", flush=True)
        elif line in installed:
            say("Line in the crontab:")
            print(line)
        else:
            say("Line for the crontab (setup --install-cron puts it there):")
            print(line)
        if unknown := self.sources.only_in_environment():
            path = self.env_file or PROGRAM.with_name(".env")
            say(
                f"Cron starts with none of this shell's variables. What the run needs of these "
                f"belongs into {path}: {', '.join(unknown)}."
            )

    def _installed_lines(self) -> list[str]:
        """Those of the crontab that run this program; none where it cannot be looked at, of which
        nobody needs to know but --install-cron."""
        with suppress(SettingsError):
            return crontab.find(PROGRAM, COMMANDS).runs
        return []

    def _schedule(self, installed: list[str]) -> str:
        """As asked for; where nothing was, as it is."""
        if self.options.every or not installed:
            return crontab.schedule(self.options.every or crontab.USUAL_INTERVAL)
        return crontab.schedule_of(installed[0])

    def _install(self, line: str) -> None:
        found = crontab.find(PROGRAM, COMMANDS)
        name = "line in the crontab"
        replaced = list(found.ours)
        if found.others and not self.options.update:
            theirs = [found.line(number) for number in found.others]
            self.report.line(
                "differs",
                f"{name}: one that setup did not write is left as it is",
                *theirs,
                "--update replaces it.",
            )
            return
        replaced += found.others
        if [found.line(number) for number in replaced] == [line]:
            self.report.line("exists", name)
            return
        word = "update" if replaced else "create"
        if self.options.dry_run:
            self.report.line(f"would {word}", name)
            return
        crontab.install(found, line, replaced)
        self.report.line(f"{word}d", name)

    def _last_words(self) -> None:
        words = self.report.words
        if self.statuses:
            say("Mend what is said above, then run setup again.")
        elif self.options.dry_run:
            say("Nothing was changed (--dry-run).")
        elif words & {"created", "updated"}:
            say("Done. To see it work: ingest_weather.py --dry-run, then ingest_weather.py -v")
        elif "differs" in words:
            without = "" if self.options.update else " without --update"
            say(f"Nothing was changed. What differs stays as it is{without}.")
        else:
            say("Nothing was changed: all that a run needs is there.")


def say(text: str) -> None:
    """A paragraph of its own."""
    print("\n" + "\n".join(wrapped(text)), flush=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner while AWS or OpenWeatherMap is waited for, on a terminal alone."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    console = Console(stderr=True)
    room = console.width - len("- ") - len(" ...") - 1
    with console.status(f"{what[:room]} ...", spinner="line"):
        yield


def _whole(text: str, allowed: range, unit: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) not in allowed:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of {unit} from {allowed[0]} to {allowed[-1]}"
        )
    return int(text)


def _memory_hours(text: str) -> int:
    return _whole(text, MEMORY_HOURS, "hours")


def _magnetic_days(text: str) -> int:
    return _whole(text, MAGNETIC_DAYS, "days")


def _timeout(text: str) -> int:
    return _whole(text, range(1, 86_400 + 1), "seconds")


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (equals and 1 <= len(key) <= 128 and len(value) <= 256) or key.startswith("aws:"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not KEY=VALUE, KEY of 1 to 128 characters, not beginning with aws:, "
            "VALUE of up to 256"
        )
    return key, value


DESCRIPTION = """\
Make what a run needs and what is missing of it: the secret with your
OpenWeatherMap key, the Timestream database, and the table. Then print the
least IAM policy that lets a run do its work, and the line for the crontab.

What is there already stays as it is. What differs from what was asked, or from
the default, is shown, and changed with --update alone. After a failure, run it
again: it goes on where it stopped. Names come from the settings
(WEATHER_SECRET_ID, TIMESTREAM_DATABASE, TIMESTREAM_TABLE), region and
credentials from AWS's (AWS_REGION, AWS_PROFILE, ...), as in a run.
"""

EPILOG = """\
the key:
  It is asked for on the terminal without being shown, or read from standard
  input with --api-key-stdin, or taken from OPENWEATHERMAP_API_KEY where the
  environment or .env has it. It is never an argument, for every user of the
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
    """The command's own options."""
    parser = argparse.ArgumentParser(
        prog="ingest_weather.py setup",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    parser.add_argument("--update", action="store_true", help="change what differs (see below)")
    parser.add_argument(
        "--timeout",
        type=_timeout,
        default=300,
        metavar="SECONDS",
        help="how long AWS is waited for in each step (default: %(default)s)",
    )
    key = parser.add_argument_group("the secret")
    key.add_argument(
        "--api-key-stdin", action="store_true", help="read the key from standard input"
    )
    key.add_argument("--no-key-check", action="store_true", help="store the key without trying it")
    table = parser.add_argument_group("the table")
    table.add_argument(
        "--memory-hours",
        type=_memory_hours,
        metavar="N",
        help=f"what its memory store keeps (default: {DEFAULT.memory_hours})",
    )
    table.add_argument(
        "--magnetic-days",
        type=_magnetic_days,
        metavar="N",
        help=f"what its magnetic store keeps (default: {DEFAULT.magnetic_days})",
    )
    table.add_argument(
        "--magnetic-writes",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether it takes what is older than the memory store keeps (default: it does)",
    )
    parser.add_argument(
        "--tag",
        type=_tag,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="tag what is made: secret, database, table; may be given more than once",
    )
    run = parser.add_argument_group("the run")
    what = run.add_mutually_exclusive_group()
    what.add_argument(
        "--print-iam-policy", action="store_true", help="print the run's policy, and do no more"
    )
    what.add_argument(
        "--install-cron",
        action="store_true",
        help="add the line to your crontab, or replace the one that setup wrote",
    )
    run.add_argument(
        "--every",
        type=int,
        choices=crontab.INTERVALS,
        metavar="MINUTES",
        help="between runs: "
        f"{', '.join(map(str, crontab.INTERVALS[:-1]))} or {crontab.INTERVALS[-1]} "
        f"(default: as the crontab has it, else {crontab.USUAL_INTERVAL})",
    )
    return parser

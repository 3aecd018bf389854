"""The command line: its options, its commands, and the settings that it gives."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands.terminal import wrap
from ingest.errors import Status, UsageError
from ingest.reporting.logs import start_logging

VERSION = "0.1.0"

Options = argparse._ActionsContainer  # noqa: SLF001  (a parser, or a group of one)

# Each is commands/NAME.py or commands/NAME/, with make_parser() and
# main(words, options before the command, with `log` and `sources`) -> exit status.
COMMANDS = {
    "show": "show readings of the journal or the table, with trends and plots",
    "setup": "create secret, database and table; print policy and crontab line",
    "check": "check everything that a run needs, and say what to do next",
    "rejected": "list rejected records, put them back, or discard them",
    "completion": "print a script that completes commands in bash or zsh",
    "demo": "run the whole job against services on this machine",
}

EXAMPLES = """\
examples:
  ingest_weather.py
      One run, as cron starts it.
  ingest_weather.py --dry-run
      Fetch and print the records; write nothing.
  ingest_weather.py -v --place Paris,FR --place 35.68,139.69
      One run for other places; every step is logged.
  ingest_weather.py --place @places.txt --json
      The places in a file; the summary as JSON.
  ingest_weather.py --env-file /etc/weather.env check
      Check everything that a run needs, with the settings in another file."""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options before the command, the command, and its own options unparsed as `rest`."""
    parser = make_parser()
    parser.add_argument(
        "command",
        nargs="?",
        choices=list(COMMANDS),
        metavar="COMMAND",
        help="one of the commands below (see COMMAND --help); without it: one run",
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def make_parser() -> argparse.ArgumentParser:
    """The options of a run, which may also stand before a command."""
    commands = "\n".join(f"  {name:10}  {does}" for name, does in COMMANDS.items())
    parser = command_parser(
        "",
        "Fetch current weather from OpenWeatherMap and write it to Amazon Timestream.",
        f"commands:\n{commands}\n\n{EXAMPLES}\n\nexit statuses:\n{statuses()}\n\n"
        "config.example.env describes the settings.",
    )
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="settings; default: .env next to the program"
    )
    parser.add_argument("--version", action="version", version=VERSION)
    talk = parser.add_mutually_exclusive_group()
    add_flag(talk, "-v --verbose", "log every step")
    add_flag(talk, "-q --quiet", "log errors only")
    add_flag(parser, "--json", "print the summary as one JSON object")
    add_place_option(parser, "use this place instead of WEATHER_PLACES")
    add_flag(parser, "--dry-run", "fetch and print the records, write nothing")
    return parser


def command_parser(
    name: str, description: str, epilog: str, usage: str | None = None
) -> argparse.ArgumentParser:
    """A parser for a command's own options. epilog: examples, exit statuses."""
    parser = argparse.ArgumentParser(
        prog=f"ingest_weather.py {name}".rstrip(),
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # argparse's own pattern takes the coordinates in --place -33.8,151.2 for an option.
    parser._negative_number_matcher = re.compile(r"-\d")  # noqa: SLF001
    return parser


def add_flag(to: Options, names: str, does: str) -> None:
    """An option without a value, under each of its names."""
    to.add_argument(*names.split(), action="store_true", help=does)


def add_list(to: Options, name: str, metavar: str, does: str, **more: Any) -> None:  # noqa: ANN401
    """An option that may be given more than once. more: what argparse must know of its values."""
    does = f"{does}; may be given more than once"
    to.add_argument(name, action="append", default=[], metavar=metavar, help=does, **more)


def add_place_option(to: Options, does: str) -> None:
    add_list(to, "--place", "PLACE", does, type=_place)


def _place(text: str) -> str:
    if not text.strip(" \t\r\n;"):  # it would count as the default
        raise argparse.ArgumentTypeError(f"{text!r} is not a place")
    return text


def statuses() -> str:
    """Every exit status and its meaning, for a --help of 80 columns."""
    return "\n".join(
        line
        for each in sorted(Status)
        for line in wrap(each.meaning, f"  {int(each):2}  ", " " * 6, columns=79)
    )


def settings_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings on the command line. The path of a file of places becomes absolute."""
    places = [
        f"@{_absolute(place[1:])}" if place.startswith("@") else place for place in arguments.place
    ]
    return {"WEATHER_PLACES": ";".join(places)} if places else {}


def _absolute(path: str) -> Path:
    try:
        return Path.cwd() / Path(path).expanduser()
    except (OSError, RuntimeError) as error:  # the working directory is gone; ~nobody
        raise UsageError(f"--place @{path}: {error}.") from error


def log_as_set(
    arguments: argparse.Namespace, level: str | None = "", log_format: str | None = ""
) -> None:
    """Log as the command line says, else as the settings say. None: the setting is wrong."""
    wanted = "DEBUG" if arguments.verbose else "ERROR" if arguments.quiet else level
    start_logging(arguments.log, wanted or "", log_format or "text")

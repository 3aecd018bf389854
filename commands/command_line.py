"""The command line: its options, its commands, and what it says of the settings."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from commands.terminal import wrap
from ingest.errors import Status, UsageError
from ingest.reporting.logs import start_logging

VERSION = "0.1.0"  # as in pyproject.toml

# commands/NAME.py each, with main(arguments, options of this command line) -> exit status.
COMMANDS = {
    "show": "show what the journal or the table holds: readings, trends, plots",
    "setup": "make secret, database and table; print policy and crontab line",
    "check": "go through everything a run needs, and say what to do",
    "rejected": "list the records that were refused, put them back, or drop them",
    "completion": "print a script that completes all this in bash or zsh",
    "demo": "show the whole job on services started on this machine",
}


HELP_WIDTH = 79

EXAMPLES = """\
examples:
  ingest_weather.py
      One run, as cron starts it.
  ingest_weather.py --dry-run
      Fetch and print the records; write nothing.
  ingest_weather.py -v --place Paris,FR --place 35.68,139.69
      One run of other places, each step logged.
  ingest_weather.py --place @places.txt --json
      The places of a file, and the summary for a program.
  ingest_weather.py --env-file /etc/weather.env check
      Everything a run needs, with the settings of another file."""


def _join_coordinates(words: Sequence[str]) -> list[str]:
    """`--place -33.8,151.2` as one word: argparse takes southern latitudes for options."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--place" and word[:1] == "-" and word[1:2].isdigit():
            joined[-1] = f"--place={word}"
        else:
            joined.append(word)
    return joined


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options in front of a command, the command, and the rest, which is the command's own."""
    return make_parser().parse_args(_join_coordinates(words))


def command_parser(
    name: str, description: str, epilog: str, usage: str | None = None
) -> argparse.ArgumentParser:
    """A parser for a command's own options; "" is no command. epilog: examples, exit statuses."""
    return argparse.ArgumentParser(
        prog=f"ingest_weather.py {name}".rstrip(),
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_place_option(parser: argparse._ActionsContainer, does: str) -> None:
    parser.add_argument(
        "--place",
        action="append",
        type=_place,
        default=[],
        metavar="PLACE",
        help=f"{does}; may be given more than once",
    )


def _place(text: str) -> str:
    if not text.strip(" \t\r\n;"):  # it would count as the default
        raise argparse.ArgumentTypeError(f"{text!r} names no place")
    return text


def statuses() -> str:
    """Every exit status and its meaning, for a --help of 80 columns."""
    return "\n".join(
        line
        for each in sorted(Status)
        for line in wrap(each.meaning, f"  {int(each):2}  ", " " * 6, HELP_WIDTH)
    )


def make_parser(*, with_command: bool = True) -> argparse.ArgumentParser:
    """The command line. with_command: with COMMAND as a word, whose own options are left to it."""
    commands = "\n".join(f"  {name:10}  {does}" for name, does in COMMANDS.items())
    parser = command_parser(
        "",
        "Fetch current weather from OpenWeatherMap and write it to Amazon Timestream.",
        f"commands:\n{commands}\n\n{EXAMPLES}\n\nexit statuses:\n{statuses()}\n\n"
        "Settings are described in config.example.env.",
    )
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="settings; default: .env beside the program"
    )
    parser.add_argument("--version", action="version", version=VERSION)
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument("-v", "--verbose", action="store_true", help="log every step")
    talk.add_argument("-q", "--quiet", action="store_true", help="log errors only")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    add_place_option(parser, "this place instead of WEATHER_PLACES")
    parser.add_argument(
        "--dry-run", action="store_true", help="fetch and print the records, write nothing"
    )
    if with_command:
        parser.add_argument(
            "command",
            nargs="?",
            choices=list(COMMANDS),
            metavar="COMMAND",
            help="none: one run; else one of those below (see COMMAND --help)",
        )
        parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def settings_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that stand on the command line. A file's path is relative to this folder."""
    places = [
        f"@{_absolute(place[1:])}" if place.startswith("@") else place for place in arguments.place
    ]
    return {"WEATHER_PLACES": ";".join(places)} if places else {}


def _absolute(path: str) -> Path:
    try:
        return Path.cwd() / Path(path).expanduser()
    except (OSError, RuntimeError) as error:  # this folder is gone; ~nobody
        raise UsageError(f"--place @{path}: {error}.") from error


def log_as_set(
    arguments: argparse.Namespace, level: str | None = "", log_format: str | None = ""
) -> None:
    """Log as the command line wants it, else as the settings do. None: they are wrong."""
    wanted = "DEBUG" if arguments.verbose else "ERROR" if arguments.quiet else level
    start_logging(arguments.log, wanted or "", log_format or "text")

"""Shell completion: `ingest_weather.py completion bash` (or zsh) prints a script for the shell."""

import argparse
from collections.abc import Sequence
from importlib import import_module

import shtab

from command_line import COMMANDS
from command_line import make_parser as make_main_parser
from errors import Status

SHELLS = ("bash", "zsh")

_DESCRIPTION = """\
Print a script that completes commands, options and their values in your shell.

  bash:  ingest_weather.py completion bash > ~/.local/share/bash-completion/completions/ingest_weather.py
  zsh:   ingest_weather.py completion zsh > ~/.zfunc/_ingest_weather.py   (with ~/.zfunc in fpath)
"""  # noqa: E501  (to be copied as it stands)


def make_parser() -> argparse.ArgumentParser:
    """The command's own options."""
    parser = argparse.ArgumentParser(
        prog="ingest_weather.py completion",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell to print it for")
    return parser


def main(arguments: Sequence[str], _overall: argparse.Namespace) -> int:
    """Print the script. Returns an exit status."""
    shell = make_parser().parse_args(arguments).shell
    parser = make_main_parser(with_command=False)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, does in COMMANDS.items():
        own: argparse.ArgumentParser = import_module(f"commands.{name}").make_parser()
        commands.add_parser(name, help=does, parents=[own], add_help=False)
    print(shtab.complete(parser, shell))
    return Status.OK

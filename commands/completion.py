"""Shell completion: `ingest_weather.py completion bash` (or zsh) prints a script for the shell."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

import shtab

from commands import command_line
from ingest.errors import Status
from ingest.settings import PROGRAM

_DESCRIPTION = """\
Print a script that completes commands, options and their values on lines that
begin with ingest_weather.py. If you start the program with the Python of .venv,
also define a shell function with this name, as in the examples."""

# A function, not an alias: zsh completes an alias as the command that it stands for.
_EPILOG = """\
examples:
  bash: do this once; it works in each new shell:
      {command} completion bash > ~/.ingest_weather.bash
      cat >> ~/.bashrc <<'END'
      ingest_weather.py() {{ {command} "$@"; }}
      . ~/.ingest_weather.bash
      END
  zsh: do this once; ~/.zfunc must be in fpath before compinit runs:
      {command} completion zsh > ~/.zfunc/_ingest_weather.py
      cat >> ~/.zshrc <<'END'
      ingest_weather.py() {{ {command} "$@"; }}
      END"""


def make_parser() -> argparse.ArgumentParser:
    epilog = _EPILOG.format(command=shlex.join((sys.executable, str(PROGRAM))))
    parser = command_line.command_parser("completion", _DESCRIPTION, epilog)
    parser.add_argument("shell", choices=("bash", "zsh"), help="your shell")
    return parser


def main(words: Sequence[str], _overall: argparse.Namespace) -> int:
    shell = make_parser().parse_args(words).shell
    parser = command_line.make_parser()
    _offer_files(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, does in command_line.COMMANDS.items():
        own: argparse.ArgumentParser = import_module(f"commands.{name}").make_parser()
        _offer_files(own)
        commands.add_parser(name, help=does, parents=[own], add_help=False)
    print(shtab.complete(parser, shell))
    return Status.OK


def _offer_files(parser: argparse.ArgumentParser) -> None:
    """Complete arguments called FILE, so that the commands' parsers need not know shtab."""
    for action in parser._actions:  # noqa: SLF001  (argparse lists its options nowhere else)
        if action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined]

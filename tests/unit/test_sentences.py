"""What the program says: in plain English, and with commands that exist.

All texts of the production code are looked at, so that a new one is held to the same rules.
"""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from commands.command_line import COMMANDS, parse
from ingest import errors
from ingest.errors import IngestError
from tests.support.texts import SOURCES, UNPLAIN, texts


def test_every_text_is_in_plain_english() -> None:
    unplain = [
        f"{where}: {found[0]!r} in {text[:80]!r}"
        for path in SOURCES
        for where, text in texts(path)
        if " " in text and (found := UNPLAIN.search(text))
    ]
    assert unplain == []


# What follows the program's name in a message: words up to a comma or the end of the line.
NAMED = re.compile(r"ingest_weather\.py((?: +[\w~/@:;.={}'\"-]+)*(?: +[\w-]+(?=,))?)")


def commands() -> dict[str, list[str]]:
    """Words after the program's name, the first of them a command or an option -> where."""
    found: dict[str, list[str]] = {}
    for path in SOURCES:
        for where, text in texts(path):
            for match in NAMED.finditer(text):
                words = match[1].replace("{}", "7").rstrip(".,:;").split()
                if words and (words[0] in COMMANDS or words[0].startswith("-")):
                    found.setdefault(" ".join(words), []).append(where)
    return found


def why_wrong(line: str) -> str:
    """What argparse says about it; "" if it can be typed. Prose may follow the last option."""
    words = shlex.split(line.replace("'", "").replace('"', ""))
    options = [number for number, word in enumerate(words) if word.startswith("-")]
    complaints = [
        complaint(words[:end]) for end in range(max(options, default=0) + 1, len(words) + 1)
    ]
    return "" if "" in complaints else complaints[0]


def complaint(words: list[str]) -> str:
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            arguments = parse(words)
            if arguments.command:
                parser = import_module(f"commands.{arguments.command}").make_parser()
                parser.parse_args(arguments.rest)
        except SystemExit as ended:
            if ended.code:
                return said.getvalue().strip().splitlines()[-1]
    return ""


def test_every_command_that_a_text_names_can_be_typed() -> None:
    named = commands()
    assert len(named) >= 8
    wrong = {line: (where, why) for line, where in named.items() if (why := why_wrong(line))}
    assert wrong == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    assert "--mend" in why_wrong("rejected --mend")
    assert not why_wrong("rejected --retry")


@pytest.mark.parametrize("text", ["What stands in the file", "it is no file", "begin anew"])
def test_a_text_that_is_not_plain_is_found(text: str) -> None:
    assert UNPLAIN.search(text)


def subclasses(error: type[IngestError]) -> Iterator[type[IngestError]]:
    for each in error.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_error_keeps_what_happened_apart_from_what_to_do() -> None:
    merged = []
    for error in subclasses(IngestError):
        if error.__module__ != errors.__name__:
            continue
        needs: Any = {"permanent": False} if error is errors.WeatherError else {}
        made = error("It failed.", "Try again.", **needs)
        if (made.what, made.advice, str(made)) != (
            "It failed.",
            "Try again.",
            "It failed. Try again.",
        ):
            merged.append(error)
        assert str(error("It failed.", **needs)) == "It failed."
    assert merged == []

"""Each sentence of `rejected` and `show`, in the state that prints it; and every --help."""

import os
import re
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from commands import command_line, demo, rejected
from commands.command_line import COMMANDS
from commands.show import comparison, from_timestream, screen
from commands.show import main as show
from commands.show.from_journal import from_journal
from commands.show.readings import Reading, Shown
from ingest.errors import IngestError
from ingest.journal.rejected import Retried
from ingest.reporting.logs import RunLog
from ingest.settings import read_sources
from tests.commands.test_check_sentences import assert_said
from tests.support.readings import PARIS, ago, fill, now_ms
from tests.support.texts import UNPLAIN


def said(call: Callable[[], object]) -> str:
    """The message that the call ends with."""
    with pytest.raises((IngestError, ArgumentTypeError)) as ended:
        call()
    return str(ended.value)


def overall(*words: str) -> Namespace:
    arguments = command_line.parse(words)
    arguments.log, arguments.sources = RunLog(), read_sources(os.environ)
    return arguments


def help_of(name: str) -> str:
    if not name:
        return command_line.make_parser().format_help()
    return str(import_module(f"commands.{name}").make_parser().format_help())


def test_every_help_has_examples_and_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    helps = {name: help_of(name) for name in ("", *COMMANDS)}
    assert [name for name, text in helps.items() if text.count("\nexamples:\n") != 1] == []
    wide = [
        (name, line)
        for name, text in helps.items()
        for line in text.splitlines()
        if len(line) > 80 and sys.executable not in line  # which can be any path
    ]
    assert wide == []


def test_no_help_has_words_that_a_newcomer_to_english_must_look_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = re.compile(rf"{UNPLAIN.pattern}|\b(whose|none of)\b", re.I)
    found = {name: words.search(help_of(name)) for name in ("", *COMMANDS)}
    assert {name: word for name, word in found.items() if word} == {}


# rejected


def test_what_rejected_cannot_do_becomes_these_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())
    monkeypatch.setenv("WEATHER_JOURNAL", "off")
    assert_said(
        {
            "dry run": "rejected has no --dry-run. To list only: ingest_weather.py rejected",
            "off": "There is no journal, because WEATHER_JOURNAL is off or wrong. "
            "To see which: ingest_weather.py check",
            "nobody to ask": "There is no terminal to ask on. To discard anyway, add --yes.",
            "no time": "'soon' is not a time like 2026-11-23",
            "no place": "' ; ' is not a place",
        },
        {
            "dry run": said(lambda: rejected.main([], overall("--dry-run", "rejected"))),
            "off": said(lambda: rejected.main([], overall("rejected"))),
            "nobody to ask": said(lambda: rejected._confirmed("1 record")),
            "no time": said(lambda: rejected._time_ms("soon")),
            "no place": said(lambda: command_line._place(" ; ")),
        },
    )


def test_what_rejected_prints_are_these_sentences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(rejected, "retry", lambda *_: Retried(2, 1, 1))
    rejected._retry(None, [], Namespace(json=False))  # type: ignore[arg-type]
    assert " ".join(capsys.readouterr().out.split()) == (
        "2 records put back for the next run that writes to the same table. "
        "1 record discarded, because a later value was fetched. "
        "1 record not put back: the table has the highest possible version already."
    )
    monkeypatch.setenv("WEATHER_JOURNAL", str(tmp_path / "journal"))
    rejected.main([], overall("rejected"))
    assert capsys.readouterr().out == f"There is no journal at {tmp_path / 'journal'} yet.\n"
    rejected._show([], as_json=False)
    assert capsys.readouterr().out == "No rejected records.\n"


# show


def show_options(**given: Any) -> Namespace:
    start_ms = now_ms() - 3_600_000
    defaults: dict[str, Any] = {"place": [], "measure": [], "units": None, "start_ms": start_ms}
    return Namespace(**{**defaults, "end_ms": now_ms() + 1000, **given})


def test_the_notes_of_show_are_these_sentences(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("none", "empty", "full")}
    fill(paths["empty"], [])
    fill(paths["full"], [ago(20), ago(10, PARIS)], pending=1)

    def notes(name: str, **options: Any) -> list[str]:
        sources = read_sources({"WEATHER_JOURNAL": str(paths[name])})
        return from_journal(sources, show_options(**options)).notes

    assert notes("none") == [
        f"There is no journal at {paths['none']} yet: nothing was fetched yet."
    ]
    assert notes("empty") == [f"The journal {paths['empty']} is empty: nothing was fetched yet."]
    assert notes("full") == [
        "1 observation is pending: fetched, and not yet confirmed by Timestream."
    ]
    assert notes("full", place=["Rome"]) == [
        "The journal has no such readings. Its places: London,GB; Paris,FR."
    ]


def test_what_show_cannot_do_becomes_these_sentences() -> None:
    off = read_sources({"WEATHER_JOURNAL": "off"})
    module = import_module("commands.show")
    assert_said(
        {
            "off": "There is no journal to show, because WEATHER_JOURNAL is off or wrong. "
            "To ask the table: ingest_weather.py show --from-timestream",
            "compare": "--compare cannot be used with --csv or --plot.",
            "post code": "The table has no post codes, and the journal does not know "
            "'zip:8001,CH' yet. Use its city instead: --place CITY",
            "plot": "'weather.gif' does not end in .png or .svg",
            "zone": "'Europe/Lundon' is not a time zone like Europe/London",
            "hours": "'soon' is not a number of hours",
        },
        {
            "off": said(lambda: from_journal(off, show_options())),
            "compare": said(lambda: show(["--compare", "--csv"], overall())),
            "post code": said(lambda: from_timestream.dimensions_of(["zip:8001,CH"])),
            "plot": said(lambda: module._picture("weather.gif")),
            "zone": said(lambda: module._time_zone("Europe/Lundon")),
            "hours": said(lambda: module._hours("soon")),
        },
    )


def test_a_package_that_is_missing_becomes_these_sentences(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = Reading("London,GB", {}, "Humidity", 0, "50")
    shown, path = Shown("the journal", 0, 1, "metric", [row], [row]), tmp_path / "weather.png"
    for module in ("commands.show.plot", "embedded.aws"):
        monkeypatch.setitem(sys.modules, module, None)
    assert_said(
        {
            "plot": "--plot needs matplotlib, which is not installed. "
            "Run: pip install -r requirements-plot.txt (or plot the output of --csv)",
            "demo": "demo needs the package embedded.aws, which is not installed. "
            "Run `make demo`, or pip install -r requirements-dev.txt.",
        },
        {
            "plot": said(lambda: import_module("commands.show")._plot(shown, path, None)),
            "demo": said(lambda: demo.main([], overall())),
        },
    )


def test_a_comparison_becomes_these_sentences() -> None:
    row = Reading("London,GB", {"city": "London"}, "Humidity", 0, "50")
    other = Reading("London,GB", {"city": "London"}, "Humidity", 0, "51")
    differs = comparison.Comparison(3, 2, [row], [(row, other)], [row])
    named = "  Humidity=50 city=London at 1970-01-01T00:00:00Z (0)"
    assert list(comparison._lines(differs)) == [
        "3 records delivered according to the journal; the table has 2.",
        "The table does not have 1 record of them:",
        named,
        "The table has another value for 1 record of them:",
        f"{named}: the table has 51",
        "The journal does not have 1 record of the table:",
        named,
    ]
    assert list(comparison._lines(comparison.Comparison(1, 1, [], [], [])))[1:] == ["They agree."]


def test_a_plain_screen_explains_its_trend() -> None:
    row = Reading("London,GB", {}, "Humidity", 0, "50")
    shown = Shown("the journal", 0, 3_600_000, "metric", [row], [row])
    *_, last = screen._lines(shown)
    assert last == f"(trend: {screen.PLAIN} from lowest to highest, blank: no reading)"
    *_, last = screen._lines(Shown("the journal", 0, 3_600_000, "metric", [row], []))
    assert last == "No readings in the last hour."

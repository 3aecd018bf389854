"""Tables on a terminal, in a mail and for a program: aligned, and what matters whole."""

from rich.cells import cell_len

from commands.terminal import table
from ingest.observation import MEASURES, TEXT
from tests.conftest import Program
from tests.support.terminal import on_terminal

ALL = {"WEATHER_MEASURES": "all"}


def test_all_measures_of_a_dry_run_fit_80_columns_and_are_whole(program: Program) -> None:
    mailed = program.run("--dry-run", env=ALL).stdout.splitlines()
    for heading, *records in (mailed, on_terminal(program, 80, "-q", "--dry-run", **ALL)):
        assert heading.split() == ["time", "place", "measure", "value"]
        assert max(map(len, records)) <= 80
        for time, place, measure, value in map(str.split, records):
            assert len(time) == len("2026-11-23T11:30:00Z")
            assert (place, measure in MEASURES) == ("London,GB", True)
            assert MEASURES[measure].kind == TEXT or float(value) is not None
        assert {"GroundLevelPressure", "Sunset"} <= {line.split()[2] for line in records}


def test_the_version_is_shown_where_there_is_room_for_it(program: Program) -> None:
    for lines in (
        on_terminal(program, 120, "-q", "--dry-run", **ALL),
        on_terminal(program, 80, "-q", "--dry-run"),
        program.run("--dry-run").stdout.splitlines(),
    ):
        assert lines[0].split() == ["time", "place", "measure", "value", "version"]
        assert all(len(line.split()) == 5 for line in lines)
        assert lines == [line.rstrip() for line in lines]


def test_columns_are_aligned_as_a_terminal_shows_them_and_nothing_stands_behind_the_last() -> None:
    lines = table(("東京都", "1", "x"), [("Oslo\n", "22.5", "longer")], right=(1,))
    assert lines == ["東京都     1  x", "Oslo    22.5  longer"]
    assert len({cell_len(line.rstrip("xlonger")) for line in lines}) == 1


def test_an_encoding_that_lacks_a_sign_stops_nothing(program: Program) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    run = program.run("--dry-run", "--place", "Zürich,CH", env=ascii_only)
    assert (run.returncode, run.stderr) == (0, "")
    assert {line.split()[1] for line in run.stdout.splitlines()[1:]} == {"Z?rich,CH"}

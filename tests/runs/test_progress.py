"""The progress bar, on a terminal of its own: what it shows, and that nothing of it is left."""

import re
import sys
import threading

import pytest

from embedded.aws import EmbeddedAws
from embedded.faults import answer
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import Status
from ingest.reporting.logs import RunLog
from ingest.reporting.progress import ProgressBar
from ingest.reporting.summary import Summary
from tests.conftest import Program
from tests.support.terminal import PATIENCE_S, Screen

COLUMNS = 80
BAR = "━"
ESCAPE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")
LONDON_AND_PARIS = {"WEATHER_PLACES": "London,GB;Paris,FR"}


def start(program: Program, *arguments: str, env: dict[str, str]) -> Screen:
    return Screen(program.command(*arguments), program.env(env), COLUMNS)


def bars(screen: Screen) -> list[str]:
    """Each drawing of the bar."""
    return [line for line in screen.text.splitlines() if BAR in line]


def left_on(screen: Screen) -> list[str]:
    """The lines that a person sees in the end."""
    sent = screen.raw.decode()
    lines, row, column, at = [""], 0, 0, 0
    while at < len(sent):
        if escape := ESCAPE.match(sent, at):
            at = escape.end()
            if escape[2] == "A":
                row -= int(escape[1] or 1)
            elif escape[2] == "K":
                lines[row] = ""
            else:
                assert escape[2] in "mhl", f"{escape[0]!r} moves the cursor in a new way"
            continue
        if sent[at] == "\r":
            column = 0
        elif sent[at] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column].ljust(column) + sent[at] + lines[row][column + 1 :]
            column += 1
        at += 1
    return [line.rstrip() for line in lines if line.strip()]


def places(count: int) -> dict[str, str]:
    return {
        "WEATHER_PLACES": ";".join(str(9_000_000 + number) for number in range(count)),
        "OPENWEATHERMAP_CALLS_PER_MINUTE": "100000",
        "WEATHER_CONCURRENCY": "4",
    }


class Hold:
    """Holds the last of these places back until it is released."""

    def __init__(self, weather: EmbeddedOpenWeatherMap, last: str) -> None:
        self._free = threading.Event()
        self._last = last
        weather.plan.when("weather", self._hold)

    def _hold(self, request: object) -> None:
        if getattr(request, "query", {}).get("id") == self._last:
            self._free.wait(PATIENCE_S)

    def release(self) -> None:
        self._free.set()


def test_it_shows_fetched_failed_stored_pace_and_time_left_and_is_removed_at_the_end(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    env = places(121)
    env["WEATHER_PLACES"] += ";zip:0,GB"  # which nobody knows
    weather.delay_s = 0.01
    hold = Hold(weather, "9000120")
    screen = start(program, env=env)
    bar = r"120 of 122 fetched, 1 failed, 400 stored, \d+ a second \d:\d\d:\d\d"
    screen.wait_until(lambda: re.search(bar, screen.text))
    hold.release()
    assert screen.end() == Status.UNAVAILABLE
    assert all(len(line) <= COLUMNS for line in bars(screen))
    assert screen.raw.count(b"\x1b[?25l") == screen.raw.count(b"\x1b[?25h") == 1  # the cursor
    failure, summary = left_on(screen)
    assert BAR not in failure + summary
    assert " zip:0,GB: " in failure
    assert "121 of 122" in summary


def test_a_line_of_log_goes_above_it(program: Program, weather: EmbeddedOpenWeatherMap) -> None:
    weather.plan.next("weather", answer(503))
    screen = start(program, "-v", env=places(3))
    assert screen.end() == 0
    assert bars(screen)
    text = " ".join(left_on(screen))
    assert BAR not in text
    assert [each for each in ("503", "3 of 3", "12 records") if each not in text] == []


def test_it_is_removed_if_the_run_is_ended_by_a_refused_key(
    program: Program, aws: EmbeddedAws
) -> None:
    aws.put_secret("weather-ingest", '{"OPENWEATHERMAP_API_KEY": "not-the-right-key"}')
    screen = start(program, env=places(50))
    assert screen.end() == Status.NOPERM
    text = " ".join(left_on(screen))
    assert " ERROR " in text
    assert BAR not in text


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        pytest.param(["-q"], LONDON_AND_PARIS, id="quiet"),
        pytest.param([], LONDON_AND_PARIS | {"LOG_FORMAT": "json"}, id="json log"),
        pytest.param([], LONDON_AND_PARIS | {"LOG_LEVEL": "WARNING"}, id="level"),
        pytest.param([], {}, id="one place"),
    ],
)
def test_there_is_no_bar_if_none_is_wanted(
    program: Program, arguments: list[str], env: dict[str, str]
) -> None:
    screen = start(program, *arguments, env=env)
    assert screen.end() == 0
    assert BAR not in screen.text
    assert b"\x1b" not in screen.raw


def test_there_is_nothing_of_it_if_there_is_no_terminal(program: Program) -> None:
    run = program.run("-v", env=places(5))
    assert run.returncode == 0
    assert BAR not in run.stderr
    assert "\x1b" not in run.stdout + run.stderr


def test_rich_is_not_imported_if_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    log = RunLog()
    log.setLevel("INFO")
    with ProgressBar(log).watch(Summary("run", places=1000)) as changed:
        changed()

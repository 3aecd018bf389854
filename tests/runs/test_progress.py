"""The progress bar, on a terminal of its own: what it shows, and that nothing of it is left."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable

import pytest

from embedded.aws import EmbeddedAws
from embedded.faults import answer
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.reporting.logs import RunLog
from ingest.reporting.progress import ProgressBar
from ingest.reporting.summary import Summary
from tests.conftest import Program
from tests.support.terminal import PATIENCE_S

COLUMNS = 80
BAR = "━"
ESCAPE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")
LONDON_AND_PARIS = {"WEATHER_PLACES": "London,GB;Paris,FR"}


class Terminal:
    """A terminal of 80 columns that the program is started on; keeps all that it is sent."""

    def __init__(self) -> None:
        self.ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.sent = ""
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self, program: Program, *arguments: str, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            program.command(*arguments),
            env=program.env({"TERM": "xterm-256color", **env}),
            cwd="/",
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
        )
        os.close(self._theirs)
        self._reader.start()

    def _read(self) -> None:
        held = b""
        while True:
            try:
                data = os.read(self.ours, 65536)
            except OSError:  # the last process has left the terminal
                data = b""
            with self._changed:
                held += data
                self.sent = held.decode(errors="replace")
                self._changed.notify_all()
            if not data:
                os.close(self.ours)
                return

    def wait_for(self, condition: Callable[[str], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.sent), PATIENCE_S), self.sent

    def end(self) -> int:
        """The program's status, once all that it sent is here."""
        assert self._process
        status = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert not self._reader.is_alive()
        return status

    def run(self, program: Program, *arguments: str, env: dict[str, str]) -> int:
        self.start(program, *arguments, env=env)
        return self.end()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def plain(sent: str) -> str:
    """Without colours and movements; each drawing of the bar on a line of its own."""
    return ESCAPE.sub("", sent.replace("\r", "\n"))


def bars(sent: str) -> list[str]:
    return [line for line in plain(sent).split("\n") if BAR in line]


def screen(sent: str) -> list[str]:
    """The lines that a person sees in the end."""
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
    program: Program, weather: EmbeddedOpenWeatherMap, terminal: Terminal
) -> None:
    env = places(121)
    env["WEATHER_PLACES"] += ";zip:0,GB"  # which nobody knows
    weather.delay_s = 0.01
    hold = Hold(weather, "9000120")
    terminal.start(program, env=env)
    terminal.wait_for(
        lambda sent: re.search(
            r"120 of 122 fetched, 1 failed, 400 stored, \d+ a second \d:\d\d:\d\d", plain(sent)
        )
    )
    hold.release()
    assert terminal.end() == 69
    assert bars(terminal.sent)
    assert all(len(line) <= COLUMNS for line in bars(terminal.sent))
    left = screen(terminal.sent)
    assert not any(BAR in line for line in left)
    assert not any(" a second" in line for line in left)
    assert terminal.sent.count("\x1b[?25l") == terminal.sent.count("\x1b[?25h") == 1  # the cursor
    assert " zip:0,GB: OpenWeatherMap answers 404" in left[0]
    assert "121 of 122 places fetched (0 unchanged), 484 records stored" in left[1]
    assert len(left) == 2


def test_a_line_of_log_goes_above_it(
    program: Program, weather: EmbeddedOpenWeatherMap, terminal: Terminal
) -> None:
    weather.plan.next("weather", answer(503))
    assert terminal.run(program, "-v", env=places(3)) == 0
    assert bars(terminal.sent)
    left = screen(terminal.sent)
    assert not any(BAR in line for line in left)
    text = " ".join(" ".join(left).split())
    assert "answers 503 (no body): the service has a fault" in text
    assert "3 of 3 places fetched (0 unchanged), 12 records stored" in text


def test_it_is_removed_if_the_run_is_ended_by_a_refused_key(
    program: Program, terminal: Terminal, aws: EmbeddedAws
) -> None:
    aws.put_secret("weather-ingest", '{"OPENWEATHERMAP_API_KEY": "not-the-right-key"}')
    assert terminal.run(program, env=places(50)) == 77
    left = screen(terminal.sent)
    assert "50 places failed: 50 key refused (first: " in " ".join(left)
    assert not any(BAR in line for line in left)


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
    program: Program, terminal: Terminal, arguments: list[str], env: dict[str, str]
) -> None:
    assert terminal.run(program, *arguments, env=env) == 0
    assert BAR not in terminal.sent
    assert "\x1b" not in terminal.sent


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

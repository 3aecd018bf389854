"""What the tests of whole runs share: waiting for what can be seen, and looking at what is left."""

import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from embedded.aws import EmbeddedAws
from embedded.exchange import Answer, Request
from embedded.faults import Fault
from embedded.loopback import LoopbackService
from tests.conftest import API_KEY, DATABASE, TABLE, Program
from tests.support.terminal import PATIENCE_S

MEASURES = {"CurrentTemp", "TempFeelsLike", "Humidity", "Pressure"}

ACCESS_KEY_ID = "AKIAIOSFODNN7NOTREAL"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+not/a/real/one"
SESSION_TOKEN = "IQoJb3JpZ2luX2Vj//not+a+real+token=="
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    "AWS_SESSION_TOKEN": SESSION_TOKEN,
}
SECRETS = (API_KEY, SECRET_ACCESS_KEY, SESSION_TOKEN)

Finished = subprocess.CompletedProcess[str]


DEADLINES_S = (3, 12, 48)


def run_so_far(
    came: Callable[[], object],
    program: Program,
    *arguments: str,
    env: dict[str, str],
    again: Callable[[], None] = lambda: None,
) -> tuple[Finished, int]:
    """The first run that came as far as it should before its deadline, and that in seconds: on a
    slow machine a short one ends before. again: what to undo in between."""
    for seconds in DEADLINES_S:
        limits = {"WEATHER_DEADLINE_SECONDS": str(seconds)}
        run = program.run(*arguments, env={**env, **limits})
        if came():
            break
        again()
    return run, seconds


def assert_clean(run: Finished) -> None:
    """No traceback and no secret in what the run printed."""
    printed = run.stdout + run.stderr
    assert "Traceback" not in printed, printed
    for secret in SECRETS:
        assert secret not in printed, printed


def ended(process: "subprocess.Popen[str]") -> Finished:
    """Wait for a started program to end by itself."""
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def wait_until(condition: Callable[[], object]) -> None:
    """Until the condition holds; fails when it never does."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at, "it never came to hold"
        time.sleep(0.01)


def reached(event: threading.Event, fault: Fault) -> Callable[[Request], Fault]:
    """For `plan.when`: says that the call has arrived, and lets it meet the fault."""

    def choose(_: Request) -> Fault:
        event.set()
        return fault

    return choose


def actions(service: LoopbackService) -> list[str]:
    """What was asked, sorted: independent calls come in any order."""
    return sorted(request.action for request in service.requests)


def stored(aws: EmbeddedAws) -> set[tuple[str, str]]:
    """(city, measure) of each row of the table."""
    rows = aws.rows(DATABASE, TABLE)
    return {(row.dimensions["city"], row.measure_name) for row in rows}


def all_of(*cities: str) -> set[tuple[str, str]]:
    """What `stored` is when the default measures of these cities are there."""
    return {(city, measure) for city in cities for measure in MEASURES}


def journal_of(program: Program) -> Path:
    """Where the journal is by default."""
    home = Path(program.environment["HOME"])
    return home / ".local/state/ingest-weather/journal.sqlite3"


def states(journal: Path) -> list[tuple[str, str]]:
    """(city, state) of each row in the journal, in its order; none where there is no journal."""
    if not journal.exists():
        return []
    with closing(sqlite3.connect(journal)) as db:
        try:
            return db.execute("SELECT city, state FROM observation ORDER BY id").fetchall()
        except sqlite3.OperationalError:  # its tables are being made
            return []


def summary(run: Finished) -> dict[str, Any]:
    """The one JSON object on standard output."""
    (line,) = run.stdout.splitlines()
    read: dict[str, Any] = json.loads(line)
    return read


class HealthService(LoopbackService):
    """Takes every ping."""

    @property
    def url(self) -> str:
        return f"{self.address}/ping/{self.token}"

    token = "5f0c1d2e-known-to-nobody"

    def action_of(self, request: Request) -> str:
        return request.path

    def respond(self, request: Request) -> Answer:  # noqa: ARG002  (it takes everything)
        return Answer(200, b"OK")

    def ping(self) -> tuple[str, str]:
        """The status in the path of the only ping so far, and the ping's body."""
        (request,) = self.requests
        assert request.method == "POST"
        base, _, status = request.path.rpartition("/")
        assert base == f"/ping/{self.token}"
        return status, request.body.decode()

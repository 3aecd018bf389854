"""Surroundings that are not as they should be: files, pipes, streams, bytes, packages, signals."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from commands.command_line import VERSION
from embedded.aws import EmbeddedAws
from embedded.faults import Fault, stall
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import Status
from tests.conftest import API_KEY, ROOT, SCRIPT, SECRET_ID, Program
from tests.support.runs import (
    all_of,
    assert_clean,
    ended,
    journal_of,
    reached,
    states,
    stored,
    summary,
)

FULL = Path("/dev/full")
NOT_UTF_8 = "key-with-\udcff-a-byte"  # as os.environ has it


def put_secret(aws: EmbeddedAws, name: str = SECRET_ID, **settings: object) -> None:
    aws.put_secret(name, json.dumps({"OPENWEATHERMAP_API_KEY": API_KEY, **settings}))


# One door for the journal


def test_a_journal_named_in_the_secret_is_an_error_and_nothing_is_made(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, tmp_path: Path
) -> None:
    journal = tmp_path / "elsewhere" / "journal"
    put_secret(aws, WEATHER_JOURNAL=str(journal))
    run = program.run()
    assert run.returncode == Status.CONFIG
    assert "WEATHER_JOURNAL" in run.stderr
    assert not journal.parent.exists()
    assert not journal_of(program).parent.exists()
    assert weather.count("weather") == 0


@pytest.mark.parametrize("setting", ["a file", "off"])
def test_a_journal_that_is_not_this_runs_may_be_unusable(
    program: Program, aws: EmbeddedAws, tmp_path: Path, setting: str
) -> None:
    (tmp_path / "file").write_text("")
    journal = tmp_path / "elsewhere" / "journal"
    env = {
        "HOME": str(tmp_path / "file" / "home"),
        "WEATHER_JOURNAL": str(journal) if setting == "a file" else "off",
    }
    run = program.run("--json", env=env)
    assert run.returncode == 0, run.stderr
    assert (setting == "off") == ("WEATHER_JOURNAL" in run.stderr)
    assert len(run.stderr.splitlines()) == (setting == "off")
    assert journal.exists() == (setting == "a file")
    assert stored(aws) == all_of("London")


def test_a_default_journal_that_is_used_and_unusable_is_told(
    program: Program, aws: EmbeddedAws, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    run = program.run(env={"HOME": str(tmp_path / "file" / "home")})
    assert run.returncode == Status.IOERR
    assert stored(aws) == all_of("London")
    assert_clean(run)


# Bytes, paths and pipes


def test_an_api_key_that_is_no_utf_8_is_a_settings_error(program: Program) -> None:
    run = program.run(env={"OPENWEATHERMAP_API_KEY": NOT_UTF_8, "LOG_FORMAT": "json"})
    assert run.returncode == Status.CONFIG
    assert "OPENWEATHERMAP_API_KEY" in run.stderr
    assert_clean(run)


def test_a_secret_access_key_that_is_no_utf_8_makes_no_traceback(program: Program) -> None:
    run = program.run("-v", env={"AWS_SECRET_ACCESS_KEY": NOT_UTF_8})
    assert run.returncode in (Status.NOPERM, Status.TEMPFAIL, Status.CONFIG), run.stderr
    assert "key-with" not in run.stderr
    assert_clean(run)


@pytest.mark.parametrize("where", ["WEATHER_PLACES", "--env-file", "--place"])
def test_a_pipe_is_no_file_and_is_not_waited_for(
    program: Program, aws: EmbeddedAws, tmp_path: Path, where: str
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = {"--env-file": ["--env-file", str(pipe)], "--place": ["--place", f"@{pipe}"]}
    env = {"WEATHER_PLACES": f"@{pipe}"} if where == "WEATHER_PLACES" else {}
    run = program.run(*arguments.get(where, []), env=env)
    assert run.returncode == Status.CONFIG
    assert str(pipe) in run.stderr
    assert aws.count("WriteRecords") == 0
    assert_clean(run)


def test_a_file_in_the_home_of_nobody_is_wrong_usage(program: Program, aws: EmbeddedAws) -> None:
    run = program.run("--place", "@~nosuchuser/places")
    assert (run.returncode, run.stdout) == (Status.USAGE, "")
    assert "--place @~nosuchuser/places" in run.stderr
    assert aws.requests == []
    assert_clean(run)


# Streams


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("place", ["London,GB", "Atlantis,GR"])
@pytest.mark.parametrize("arguments", [["--json"], ["--dry-run"]])
def test_a_full_standard_output_is_told_and_keeps_the_status(
    program: Program, arguments: list[str], place: str
) -> None:
    with FULL.open("w") as full:
        run = program.run(
            *arguments, "--place", place, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert run.returncode == (0 if place == "London,GB" else Status.UNAVAILABLE)
    says = "No space left on device" in run.stderr
    assert says == (place == "London,GB" or arguments == ["--json"])
    assert "Traceback" not in run.stderr


def test_a_shell_pipe_to_a_reader_that_reads_nothing_makes_no_traceback(
    program: Program, aws: EmbeddedAws
) -> None:
    run = subprocess.run(
        ["/bin/sh", "-c", '"$0" "$@" | true', *program.command("--json")],
        env={**program.env(), "PATH": os.defpath},
        cwd="/",
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stderr == ""
    assert stored(aws) == all_of("London")


# The plan's calls


def test_a_dry_run_asks_no_more_often_than_the_plan_allows(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    env = {
        "WEATHER_PLACES": "London,GB;Paris,FR;Berlin,DE",
        "OPENWEATHERMAP_CALLS_PER_MINUTE": "1",
        "WEATHER_DEADLINE_SECONDS": "30",
    }
    run = program.run("--dry-run", "--json", env=env)
    result = summary(run)
    assert run.returncode == Status.UNAVAILABLE
    assert (result["fetched"], weather.count("weather")) == (1, 1)
    kinds = [failure["kind"] for failure in result["failures"]]
    assert kinds == ["left for a later run"] * 2


# Packages that are not there

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("pycurl", ["--json"]), ("boto3", ["--json"]), ("rich", ["--dry-run"])],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
def test_a_package_that_is_missing_is_named(
    program: Program, tmp_path: Path, package: str, arguments: list[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(package=package))
    run = program.run(*arguments, env={"PYTHONPATH": str(tmp_path)})
    assert run.returncode == Status.CONFIG, run.stderr
    assert run.stdout == "" or summary(run)["status"] == Status.CONFIG
    named = (package, sys.executable, "pip install -r requirements.txt")
    assert [each for each in named if each not in run.stderr] == []
    assert_clean(run)


def test_the_program_starts_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    path = f"{tmp_path}:{os.defpath}"
    run = subprocess.run(
        [str(SCRIPT), "--version"],
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{VERSION}\n", "")


# Signals

TWO_SIGNALS = """
import signal
from ingest.deadline import Deadline
from commands.run import SAME_SIGNAL_S, end_on_signals

now = 0.0
deadline = Deadline(60, clock=lambda: now)
end_on_signals(deadline)
signal.raise_signal(signal.SIGTERM)
now = {now}
signal.raise_signal(signal.{second})
print(deadline.error("as it was told"))
"""


@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("is_later", [False, True])
def test_a_second_signal_ends_the_process_unless_it_came_with_the_first(
    *, is_later: bool, second: str
) -> None:
    now = "SAME_SIGNAL_S + 0.01" if is_later else "SAME_SIGNAL_S"
    run = subprocess.run(
        [sys.executable, "-c", TWO_SIGNALS.format(now=now, second=second)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if is_later:
        assert run.returncode == -getattr(signal, second)
    else:
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.startswith("SIGTERM ")


def test_two_signals_at_once_end_a_run_in_good_order(
    program: Program, weather: EmbeddedOpenWeatherMap
) -> None:
    waiting = threading.Event()
    fault: Fault = stall()
    weather.plan.when("weather", reached(waiting, fault))
    process = program.start("--json")
    assert waiting.wait(60)
    process.terminate()
    process.terminate()
    run = ended(process)
    assert run.returncode == summary(run)["status"] == Status.TEMPFAIL
    assert "SIGTERM" in run.stderr
    assert_clean(run)
    assert states(journal_of(program)) == []

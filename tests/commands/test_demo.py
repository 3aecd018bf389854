"""`demo`: the whole job on this machine, and nothing of it left behind."""

from pathlib import Path

from ingest.errors import Status
from tests.conftest import Program
from tests.support.runs import MEASURES


def test_the_demo_shows_a_run_and_a_rejection_and_leaves_nothing_behind(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    run = Program({"HOME": str(home), "TMPDIR": str(temporary)}).run("demo")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    rows = [line for line in lines if "London  GB" in line]
    assert {name for name in MEASURES if any(f" {name} " in row for row in rows)} == MEASURES
    assert all("2643743" in row for row in rows)
    assert len(rows) == 4
    assert lines.count("$ python ingest_weather.py") == 2
    assert [line for line in lines if line.startswith("exit status")] == [
        "exit status 0",
        f"exit status {int(Status.DATAERR)}",
    ]
    (rejected,) = (line for line in run.stderr.splitlines() if line.startswith("  Humidity=93 "))
    assert "is lower than the existing version" in rejected
    assert run.stderr.rstrip().endswith("ingest_weather.py rejected --retry")
    assert "Traceback" not in run.stderr
    assert list(home.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_the_demo_ignores_the_users_own_settings(tmp_path: Path) -> None:
    settings = {
        "WEATHER_UNITS": "no such unit",
        "AWS_PROFILE": "nobodys",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    run = Program({"HOME": str(tmp_path), **settings}).run("demo")
    assert run.returncode == 0, run.stderr

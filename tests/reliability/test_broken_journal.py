"""A journal that cannot be used: the weather is stored all the same, and a person is told."""

import random
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from embedded.aws import EmbeddedAws
from embedded.faults import aws_error
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import Status
from tests.conftest import DATABASE, TABLE, Program
from tests.support.runs import Finished, all_of, assert_clean, ended, journal_of, states, stored

PAGE_BYTES = 4096


def assert_stored_without_journal(run: Finished, aws: EmbeddedAws, path: str | Path) -> None:
    """The weather is stored; the status and the log say which journal is unusable, and that there
    is a setting for it."""
    assert (run.returncode, run.stdout) == (Status.IOERR, ""), run.stderr
    assert [each for each in (str(path), "WEATHER_JOURNAL") if each not in run.stderr] == []
    assert_clean(run)
    assert stored(aws) == all_of("London")


def assert_works_again(program: Program, weather: EmbeddedOpenWeatherMap) -> None:
    """The next run works with the journal as it is now."""
    weather.set_weather("London,GB", dt=int(time.time()), humidity=1)
    run = program.run()
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert ("London", "delivered") in states(journal_of(program))
    with closing(sqlite3.connect(journal_of(program))) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture(scope="module")
def made_once() -> dict[str, bytes]:
    """The file of the fixture below, once a test has needed it."""
    return {}


@pytest.fixture
def journal(program: Program, aws: EmbeddedAws, made_once: dict[str, bytes]) -> Path:
    """A journal in which Berlin is delivered and Paris is pending."""
    path = journal_of(program)
    if not made_once:
        assert program.run("--place", "Berlin,DE").returncode == 0
        aws.plan.always("WriteRecords", aws_error("ServiceQuotaExceededException", "No.", 402))
        assert program.run("--place", "Paris,FR").returncode == Status.TEMPFAIL
        aws.plan.clear()
        aws.make_table(DATABASE, TABLE)
        assert not path.with_name(f"{path.name}-wal").exists()
        made_once["journal"] = path.read_bytes()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(made_once["journal"])
    assert states(path) == [("Berlin", "delivered"), ("Paris", "pending")]
    return path


@pytest.mark.parametrize(
    "path",
    ["/dev/null/journal", "/proc/self/journal", "/proc/journal/sqlite3", "{file}/journal", "{}"],
    ids=["below a device", "in a process", "folder cannot be made", "below a file", "a folder"],
)
def test_if_nothing_can_be_written_the_weather_is_stored_all_the_same(
    program: Program, aws: EmbeddedAws, tmp_path: Path, path: str
) -> None:
    (tmp_path / "file").write_text("a regular file")
    path = path.format(tmp_path, file=tmp_path / "file")
    run = program.run(env={"WEATHER_JOURNAL": path})
    assert_stored_without_journal(run, aws, path)
    assert (tmp_path / "file").read_text() == "a regular file"


def run_with_file_limit(program: Program, blocks: int) -> Finished:
    """No file may grow beyond so many blocks of 512 bytes, as on a disk that is nearly full.

    Its coverage is not measured: that file could not be written either. Nor is Python's cache: a
    module that was cut short there would end each later run.
    """
    return subprocess.run(
        ["/bin/sh", "-c", f'ulimit -f {blocks}; exec "$0" "$@"', *program.command()],
        env={**program.environment, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# Nothing at all; the lock; part of a new file; the file and part of its log.
@pytest.mark.parametrize("blocks", [0, 1, 24, 60])
def test_a_full_disk_stops_no_delivery(
    program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, blocks: int
) -> None:
    run = run_with_file_limit(program, blocks)
    assert_stored_without_journal(run, aws, journal_of(program))
    assert_works_again(program, weather)


@pytest.mark.parametrize("blocks", [0, 1, 9, 40])
def test_a_disk_that_became_full_stops_no_delivery_and_loses_nothing(
    journal: Path,
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    blocks: int,
) -> None:
    run = run_with_file_limit(program, blocks)
    assert run.returncode == Status.IOERR, run.stderr
    assert_clean(run)
    assert all_of("London") <= stored(aws)
    assert_works_again(program, weather)
    assert stored(aws) == all_of("London", "Paris")
    assert {state for _, state in states(journal)} == {"delivered"}


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def overwritten(path: Path) -> None:
    path.write_bytes(noise(20_000))


def truncated(path: Path) -> None:
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])


def cut_within_a_page(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: PAGE_BYTES + 1000])


def pages_scribbled(path: Path) -> None:
    body = path.read_bytes()
    path.write_bytes(body[:PAGE_BYTES] + noise(len(body) - PAGE_BYTES))


def header_scribbled(path: Path) -> None:
    body = path.read_bytes()
    path.write_bytes(noise(100) + body[100:])


def schema_scribbled(path: Path) -> None:
    body = path.read_bytes()
    path.write_bytes(body.replace(b"CREATE TABLE observation", b"CREATE TEBLA observation"))


def text(path: Path) -> None:
    path.write_text("What was pending on this machine, by hand:\n" * 200)


DAMAGES = [
    overwritten,
    truncated,
    cut_within_a_page,
    pages_scribbled,
    header_scribbled,
    schema_scribbled,
    text,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
def test_a_damaged_journal_is_quarantined_and_a_new_one_begun(
    journal: Path,
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    damage: Callable[[Path], None],
) -> None:
    damage(journal)
    damaged = journal.read_bytes()
    run = program.run()
    assert (run.returncode, run.stdout) == (Status.IOERR, ""), run.stderr
    assert_clean(run)
    assert all_of("London") <= stored(aws)
    aside = [path for path in journal.parent.iterdir() if ".corrupt-" in path.name]
    kept = [path for path in aside if not path.name.endswith(("-wal", "-shm"))]
    assert len(kept) == 1
    assert kept[0].read_bytes() == damaged
    assert f"sqlite3 {kept[0]} .recover" in run.stderr
    assert_works_again(program, weather)


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5])
def test_a_scribbled_page_stops_no_delivery(
    journal: Path, program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap, page: int
) -> None:
    body = bytearray(journal.read_bytes())
    body[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = noise(PAGE_BYTES)
    journal.write_bytes(body)
    run = program.run()
    assert run.returncode in (Status.OK, Status.IOERR), run.stderr
    assert_clean(run)
    assert all_of("London") <= stored(aws)
    weather.set_weather("London,GB", dt=int(time.time()), humidity=1)
    again = program.run()
    assert again.returncode in (Status.OK, Status.IOERR), again.stderr
    assert_clean(again)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"CurrentTemp"', b'{"CurrentTemp!'),
        (b'{"CurrentTemp"', b'{"CurrentTerm"'),
        (b'{"CurrentTemp"', b'{"Current\xff\xfe\xfd\xfc"'),
    ],
    ids=["no JSON", "no such measure", "no UTF-8"],
)
def test_a_pending_row_that_makes_no_sense_stops_no_delivery(
    journal: Path,
    program: Program,
    aws: EmbeddedAws,
    weather: EmbeddedOpenWeatherMap,
    old: bytes,
    new: bytes,
) -> None:
    journal.write_bytes(journal.read_bytes().replace(old, new))
    run = program.run()
    assert run.returncode == Status.IOERR, run.stderr
    assert_clean(run)
    assert all_of("London") <= stored(aws)
    assert_works_again(program, weather)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
        db.execute("INSERT INTO bookmarks VALUES ('https://example.com')")
        db.commit()


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {0x57784A72}")
        db.execute("PRAGMA user_version = 999")
        db.execute("CREATE TABLE of_the_future (x)")
        db.commit()


@pytest.mark.parametrize("make", [foreign, newer])
def test_a_database_that_is_not_ours_to_write_is_left_alone(
    program: Program, aws: EmbeddedAws, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "other.db"
    make(path)
    before = path.read_bytes()
    run = program.run(env={"WEATHER_JOURNAL": str(path)})
    assert_stored_without_journal(run, aws, path)
    assert path.read_bytes() == before
    assert [each for each in tmp_path.iterdir() if each.name.startswith("other.db.corrupt")] == []


def test_a_journal_locked_by_another_program_stops_no_delivery(
    journal: Path, program: Program, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    with closing(sqlite3.connect(journal, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        run = ended(program.start())
        assert (run.returncode, run.stdout) == (Status.IOERR, ""), run.stderr
        assert "database is locked" in run.stderr
        assert_clean(run)
        assert all_of("London") <= stored(aws)
        db.execute("ROLLBACK")
    assert_works_again(program, weather)
    assert stored(aws) == all_of("London", "Paris")


def test_without_a_journal_what_cannot_be_delivered_is_counted_as_lost(
    program: Program, aws: EmbeddedAws
) -> None:
    aws.plan.always("WriteRecords", aws_error("ServiceQuotaExceededException", "No.", 402))
    run = program.run(env={"WEATHER_JOURNAL": "/dev/null/journal"})
    assert run.returncode == Status.IOERR
    assert "1 observation" in run.stderr
    # Its lock and its file, once each.
    assert run.stderr.count("/dev/null/journal") == 2
    assert_clean(run)


def test_a_journal_that_is_off_works_and_warns_of_what_that_means(
    program: Program, aws: EmbeddedAws
) -> None:
    run = program.run(env={"WEATHER_JOURNAL": "off"})
    assert (run.returncode, run.stdout) == (0, "")
    (warning,) = run.stderr.splitlines()
    assert "WEATHER_JOURNAL" in warning
    assert stored(aws) == all_of("London")
    assert list(Path(program.environment["HOME"]).iterdir()) == []


def test_the_journal_and_its_folder_are_this_users_alone(program: Program) -> None:
    assert program.run().returncode == 0
    journal = journal_of(program)
    assert journal.parent.stat().st_mode & 0o777 == 0o700
    for path in journal.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0

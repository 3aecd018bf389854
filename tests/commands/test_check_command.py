"""`check`: goes through everything a run needs, tells what it found, and changes nothing."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from commands.check import EPILOG
from commands.check.clock import Clock
from commands.check.findings import NeedError
from embedded.aws import EmbeddedAws
from embedded.faults import Fault, answer, aws_error, reset, stall, truncate
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.destination import Kind, Rejection
from ingest.errors import Status
from ingest.journal.history import end_run
from ingest.journal.queue import FileQueue
from ingest.journal.run_lock import RunLock, lock_path
from ingest.journal.schema import JournalFile
from tests.conftest import API_KEY, DATABASE, SCRIPT, SECRET_ID, TABLE, Program
from tests.support.journals import TARGET, observed
from tests.support.readings import fill
from tests.support.runs import (
    CREDENTIALS,
    SECRETS,
    assert_clean,
    ended,
    journal_of,
    reached,
)
from tests.support.terminal import PATIENCE_S, screen_of

NAMES = [
    "settings",
    "credentials",
    "secret",
    "API key",
    "place",
    "region",
    "discovery",
    "GetSecretValue",
    "DescribeEndpoints",
    "DescribeDatabase",
    "DescribeTable",
    "WriteRecords",
    "table",
    "retention",
    "journal",
    "pending",
    "rejected",
    "run lock",
    "clock",
    "cron",
    "last runs",
]
LOOKS = {
    "GetCallerIdentity",
    "GetSecretValue",
    "DescribeEndpoints",
    "DescribeDatabase",
    "DescribeTable",
    "WriteRecords",
}
NO_ACCESS = "User: arn:aws:iam::1:user/cron is not authorized to perform: {} on resource: *"
EXPIRED = "The security token included in the request is expired"
EXPIRED_AT_STS = f"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>ExpiredToken</Code><Message>{EXPIRED}</Message></Error></ErrorResponse>"""
DAY_MS = 86_400_000
TEMPFAIL, UNAVAILABLE = Status.TEMPFAIL, Status.UNAVAILABLE


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def denied(action: str) -> Fault:
    return aws_error("AccessDeniedException", NO_ACCESS.format(action))


def need_of(finding: dict[str, Any]) -> str:
    """What a check that was not made says it needs; "" if it was made."""
    return str(finding["fact"].partition("needs ")[2]) if finding["ok"] is None else ""


def files(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, and what it holds."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in paths}


class Check:
    """Runs `check --json` and sees that it changes nothing and shows no secret."""

    def __init__(self, program: Program, aws: EmbeddedAws) -> None:
        self.program = program
        self._aws = aws
        self.status = -1

    @property
    def home(self) -> Path:
        return Path(self.program.environment["HOME"])

    @property
    def journal(self) -> Path:
        return journal_of(self.program)

    def __call__(self, *options: str, **env: str) -> dict[str, dict[str, Any]]:
        """name -> finding."""
        before = files(self.home)
        self._aws.forget_requests()
        run = self.program.run(*options, "check", "--json", env=env)
        assert_clean(run)
        assert run.stderr == ""
        read = json.loads(run.stdout)
        assert [each["name"] for each in read["checks"]] == NAMES
        assert read["status"] == run.returncode
        assert {request.action for request in self._aws.requests} <= LOOKS
        assert files(self.home) == before
        self.status = run.returncode
        for each in read["checks"]:
            assert set(each) == {"name", "ok", "warning", "fact", "next_step", "status"}
            assert each["next_step"] or (each["ok"] is not False and not each["warning"])
            assert each["ok"] is not False or each["status"]
        return {each["name"]: each for each in read["checks"]}

    def failures(self, *options: str, **env: str) -> dict[str, int]:
        """name -> status of each that failed."""
        found = self(*options, **env)
        return {name: each["status"] for name, each in found.items() if each["ok"] is False}


@pytest.fixture
def crontab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crontab program that prints the file `table` beside it."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "crontab"
    script.write_text(f'#!/bin/sh\n[ "$*" = -l ] || exit 9\ncat {folder}/table\n')
    script.chmod(0o755)
    (folder / "table").write_text(f"MAILTO=a@b.c\n3-59/10 * * * * /usr/bin/python3 {SCRIPT}\n")
    return script


@pytest.fixture
def check(program: Program, aws: EmbeddedAws, crontab: Path) -> Check:
    program.environment["PATH"] = f"{crontab.parent}:{os.defpath}"
    return Check(program, aws)


def test_where_all_is_well_each_line_says_so_and_nothing_is_changed(
    check: Check, aws: EmbeddedAws
) -> None:
    assert check.program.run().returncode == 0
    rows = aws.rows(DATABASE, TABLE)
    found = check()
    assert check.status == 0
    assert {name for name, each in found.items() if each["ok"] is not True} == set()
    assert not any(each["warning"] for each in found.values())
    seen = {
        "settings": "OPENWEATHERMAP_API_KEY",
        "credentials": "arn:aws:",
        "secret": SECRET_ID,
        "API key": "°C",
        "place": "2643743",
        "region": "AWS_REGION",
        "discovery": aws.url,
        "retention": "365 d",
        "journal": "~/.local/state/ingest-weather/journal.sqlite3",
        "cron": "3-59/10 * * * *",
    }
    assert [name for name, part in seen.items() if part not in found[name]["fact"]] == []
    assert aws.rows(DATABASE, TABLE) == rows


def test_the_record_it_tries_to_write_can_never_be_stored(check: Check, aws: EmbeddedAws) -> None:
    aws.make_table(DATABASE, TABLE, 8766, 73_000, magnetic_writes=True)
    assert check()["WriteRecords"]["ok"] is True
    (body,) = (each.json for each in aws.requests if each.action == "WriteRecords")
    (record,) = body["Records"]
    assert (record["MeasureValue"], record["MeasureValueType"]) == ("not a number", "DOUBLE")
    assert int(record["Time"]) > now_ms() + 100 * 365 * DAY_MS
    assert aws.rows(DATABASE, TABLE) == []


def test_an_empty_account_lists_all_that_is_missing(
    program: Program, crontab: Path, weather: EmbeddedOpenWeatherMap
) -> None:
    with EmbeddedAws() as empty:
        program.environment.update(empty.environment())
        check = Check(program, empty)
        (crontab.parent / "table").write_text("")
        found = check(PATH=f"{crontab.parent}:{os.defpath}")
    assert check.status == Status.CONFIG
    assert {name for name, each in found.items() if each["ok"] is False} == {"secret", "table"}
    assert DATABASE in found["table"]["fact"]
    assert "ingest_weather.py setup" in found["secret"]["next_step"]
    assert "ingest_weather.py setup" in found["table"]["next_step"]
    assert (need_of(found["API key"]), need_of(found["place"])) == ("the secret", "the secret")
    assert found["cron"]["warning"]
    assert "--install-cron" in found["cron"]["next_step"]
    assert weather.requests == []


def test_half_set_up_names_the_other_half(check: Check) -> None:
    found = check(TIMESTREAM_TABLE="another_table")
    assert check.status == Status.CONFIG
    assert "another_table" in found["table"]["fact"]
    assert need_of(found["WriteRecords"]) == "a table"
    assert found["API key"]["ok"] is True
    found = check(WEATHER_SECRET_ID="another")
    assert found["secret"]["status"] == check.status == Status.CONFIG
    assert need_of(found["API key"]) == "the secret"
    assert found["table"]["ok"] is True
    assert check.failures(WEATHER_SECRET_ID="", OPENWEATHERMAP_API_KEY=API_KEY) == {}


def test_settings_are_all_listed_and_the_rest_is_checked_with_what_is_usable(check: Check) -> None:
    found = check(WEATHER_UNITS="furlongs", TIMESTREAM_TABEL="t", LOG_FORMAT="xml")
    assert check.status == Status.CONFIG
    for problem in ("TIMESTREAM_TABEL", "'furlongs'", "'xml'"):
        assert problem in found["settings"]["fact"]
    assert "WEATHER_UNITS" in need_of(found["API key"])
    assert found["table"]["ok"] is True
    more = check(TIMESTREAM_TABLE="?", TIMESTREAM_ENDPOINT_URL="ftp://x", WEATHER_JOURNAL="here")
    assert "TIMESTREAM_ENDPOINT_URL" in need_of(more["discovery"])
    assert "WEATHER_JOURNAL" in need_of(more["journal"])
    assert more["API key"]["ok"] is True


def test_a_refused_key_is_told_from_a_place_that_is_not_known(
    check: Check, weather: EmbeddedOpenWeatherMap
) -> None:
    found = check("--place", "Atlantis,GR", "--place", "London,GB")
    assert check.status == Status.UNAVAILABLE
    assert [name for name, each in found.items() if each["ok"] is False] == ["place"]
    assert found["place"]["status"] == check.program.run("--place", "Atlantis,GR").returncode
    assert "Atlantis,GR (the first of 2 places)" in found["place"]["fact"]
    assert found["API key"]["ok"] is True
    weather.api_key = "another"
    found = check()
    assert check.status == Status.NOPERM
    assert found["API key"]["status"] == Status.NOPERM
    assert need_of(found["place"]) == "the API key"


def test_the_place_that_openweathermap_took_it_for_is_told(check: Check) -> None:
    found = check("--place", "51.5085,-0.1257", "--place", "Paris,FR")
    assert found["place"]["fact"].startswith("51.5085,-0.1257 is ")
    assert found["place"]["fact"].endswith(" (the first of 2 places)")


def test_each_denied_action_is_named(check: Check, aws: EmbeddedAws) -> None:
    for action in ("DescribeDatabase", "DescribeTable", "WriteRecords"):
        aws.plan.always(action, denied(action))
    found = check()
    assert check.status == Status.NOPERM
    assert found["DescribeTable"]["ok"] is None
    assert found["WriteRecords"]["status"] == Status.NOPERM
    assert "--print-iam-policy" in found["WriteRecords"]["next_step"]
    assert found["table"]["ok"] is None
    aws.plan.clear()
    aws.plan.always("GetSecretValue", denied("secretsmanager:GetSecretValue"))
    assert check.failures() == {"secret": Status.NOPERM, "GetSecretValue": Status.NOPERM}


def test_denied_discovery_stops_what_needs_it_and_nothing_else(
    check: Check, aws: EmbeddedAws
) -> None:
    aws.plan.always("DescribeEndpoints", denied("timestream:DescribeEndpoints"))
    found = check()
    assert check.status == Status.NOPERM
    assert found["DescribeEndpoints"]["status"] == Status.NOPERM
    for name in ("DescribeTable", "WriteRecords", "table"):
        assert need_of(found[name]) == "discovery"
    for name in ("API key", "journal", "clock", "cron"):
        assert found[name]["ok"] is True
    skipped = check(TIMESTREAM_ENDPOINT_URL=aws.url)
    assert check.status == 0
    assert skipped["discovery"]["ok"] is None
    assert skipped["WriteRecords"]["ok"] is True
    aws.plan.always(
        "DescribeEndpoints",
        aws_error("AccessDeniedException", "Only existing Timestream for LiveAnalytics customers"),
    )
    found = check()  # which is not for a policy to allow
    assert found["discovery"]["next_step"] == found["DescribeEndpoints"]["next_step"]


def test_without_credentials_or_with_expired_ones_the_rest_is_checked(
    check: Check, aws: EmbeddedAws
) -> None:
    aws.plan.always("GetCallerIdentity", answer(403, EXPIRED_AT_STS.encode()))
    aws.plan.always("*", aws_error("ExpiredTokenException", EXPIRED))
    found = check(**CREDENTIALS)
    assert check.status == Status.NOPERM
    assert EXPIRED in found["credentials"]["fact"]
    for name in ("secret", "discovery", "WriteRecords"):
        assert need_of(found[name]) == "credentials"
    assert found["clock"]["ok"] is True
    del check.program.environment["AWS_ACCESS_KEY_ID"]
    without = check(OPENWEATHERMAP_API_KEY=API_KEY)
    assert check.status == Status.NOPERM
    assert without["credentials"]["status"] == Status.NOPERM
    assert without["API key"]["ok"] is True
    assert "AWS" not in without["clock"]["fact"]
    assert check.failures(AWS_PROFILE="nobody") == {"credentials": Status.CONFIG}


def test_credentials_that_are_refused_later_are_no_matter_of_permissions(
    check: Check, aws: EmbeddedAws
) -> None:
    aws.plan.always("GetSecretValue", aws_error("ExpiredTokenException", EXPIRED))
    found = check()
    assert need_of(found["GetSecretValue"]) == "credentials"
    assert found["secret"]["status"] == Status.NOPERM


def test_a_region_without_timestream_is_told(check: Check) -> None:
    found = check(AWS_REGION="eu-west-2")
    assert check.status == Status.CONFIG
    assert found["region"]["status"] == Status.CONFIG
    assert need_of(found["discovery"]) == "another region"
    assert check.failures(AWS_REGION="", AWS_DEFAULT_REGION="") == {"region": Status.CONFIG}


def test_an_observation_that_is_too_old_for_the_table_is_told_beforehand(
    check: Check, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.set_weather("London,GB", dt=int(time.time()) - 3 * 3600)
    aws.make_table(DATABASE, TABLE, memory_hours=2)
    found = check()
    assert check.status == Status.DATAERR
    assert "ingest_weather.py setup --update" in found["retention"]["next_step"]
    aws.make_table(DATABASE, TABLE, memory_hours=2, magnetic_writes=True)
    assert check.failures() == {}
    old = observed(time_ms=now_ms() - 500 * DAY_MS)
    fill(check.journal, [old], pending=1)
    assert check.failures() == {"retention": Status.DATAERR}


def test_the_clock_is_compared_with_the_services_own_and_awss_counts(
    check: Check, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    """What their Date headers say becomes a fact in `test_check_sentences.py`."""
    aws.clock = weather.clock = lambda: time.time() + 1200
    assert check.failures() == {"clock": Status.CONFIG}
    aws.clock = time.time
    clock = check()["clock"]
    assert (clock["ok"], clock["warning"], check.status) == (True, True, Status.OK)


def test_without_an_answer_from_anybody_the_clock_is_not_checked(
    check: Check, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    aws.plan.always("*", reset())
    weather.plan.always("*", reset())
    clock = check(OPENWEATHERMAP_API_KEY=API_KEY, WEATHER_TIMEOUT_SECONDS="1")["clock"]
    assert clock["ok"] is None


def test_a_date_that_cannot_be_read_is_none() -> None:
    clock = Clock()
    for line in (b"Date: yesterday\r\n", b"Date:\r\n", b"Last-Modified: 0\r\n", b"\xff\r\n"):
        clock.hear_openweathermap(line)
    with pytest.raises(NeedError):
        clock.finding()


def test_a_damaged_journal_is_told_and_left_as_it_is(check: Check) -> None:
    assert check.program.run().returncode == 0
    whole = check.journal.read_bytes()
    page = 4096
    for damaged in (
        b"not a journal any more " * 1000,
        whole[:page] + b"x" * page + whole[2 * page :],
    ):
        check.journal.write_bytes(damaged)
        found = check()
        assert check.status == Status.IOERR
        assert ".recover" in found["journal"]["next_step"]
        assert found["last runs"]["ok"] is None
        assert found["cron"]["ok"] is True


def test_a_journal_of_another_program_or_off_or_of_a_file_for_a_folder_is_told(
    check: Check, tmp_path: Path
) -> None:
    off = check(WEATHER_JOURNAL="off")
    assert off["journal"]["warning"]
    in_a_file = tmp_path / "file"
    in_a_file.write_text("no folder")
    assert check.failures(WEATHER_JOURNAL=str(in_a_file / "journal")) == {"journal": Status.IOERR}


def test_what_waits_in_the_journal_is_counted_while_another_program_writes_to_it(
    check: Check,
) -> None:
    hour_ago = now_ms() - 3_600_000
    with closing(JournalFile(check.journal, TARGET)) as journal:
        queue, seen = FileQueue(journal), observed(time_ms=hour_ago)
        (entry,) = queue.enqueue([seen], hour_ago)
        refused = Rejection(seen, "Humidity", Kind.RECORD, "no reason")
        queue.acknowledge([entry], {entry.id: [refused]}, hour_ago)
        queue.enqueue([observed(time_ms=hour_ago + 1)], hour_ago)
        for minutes, status in enumerate((0, 75, 0, 75)):
            end_run(journal, status, "{}", hour_ago + minutes * 60_000)
        found = check()  # the journal is open, with a -wal beside it
    assert check.status == Status.DATAERR
    assert found["rejected"]["status"] == Status.DATAERR
    assert "ingest_weather.py rejected" in found["rejected"]["next_step"]
    assert found["pending"]["warning"]
    assert found["last runs"]["fact"].endswith("75 0 75 0")
    other = check(TIMESTREAM_TABLE="another_table")
    assert TARGET in other["pending"]["fact"]


def test_runs_that_have_stopped_are_told(check: Check) -> None:
    with closing(JournalFile(check.journal, TARGET)) as journal:
        for minutes in (200, 190, 180):
            end_run(journal, 0, "{}", now_ms() - minutes * 60_000)
    found = check()
    assert found["last runs"]["warning"]
    assert check.status == 0


def test_a_held_lock_is_told_with_its_holder_and_one_held_too_long_is_a_failure(
    check: Check,
) -> None:
    path = lock_path(check.journal)
    lock = RunLock(check.journal, now_ms())
    found = check()
    assert (found["run lock"]["ok"], found["run lock"]["warning"]) == (True, True)
    assert f"pid {os.getpid()}" in found["run lock"]["fact"]
    assert check.status == 0
    os.utime(path, (time.time() - 3600,) * 2)
    assert check.failures() == {"run lock": Status.TEMPFAIL}
    lock.release()
    assert (check()["run lock"]["ok"], check.status) == (True, 0)


def test_a_service_that_stays_silent_is_told_and_waited_for_no_longer_than_one_call(
    check: Check, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    """None of these needs the answer of another; two are asked once the others have answered."""
    expected: dict[str, Status] = {}
    got: dict[str, Status] = {}
    for silent in (
        {"GetCallerIdentity": ("credentials", Status.OK), "DescribeTable": ("table", TEMPFAIL)},
        {"GetSecretValue": ("secret", TEMPFAIL), "WriteRecords": ("WriteRecords", TEMPFAIL)},
        {"DescribeEndpoints": ("discovery", TEMPFAIL), "weather": ("API key", UNAVAILABLE)},
    ):
        for action in silent:
            (weather if action == "weather" else aws).plan.always(action, stall())
        found = check(WEATHER_TIMEOUT_SECONDS="1", OPENWEATHERMAP_API_KEY=API_KEY)
        for name, status in silent.values():
            expected[name] = status
            got[name] = found[name]["status"]
            assert "WEATHER_TIMEOUT_SECONDS" in found[name]["fact"], name
            assert found[name]["next_step"], name
        aws.plan.clear()
        weather.plan.clear()
    assert got == expected


def test_where_all_services_stay_silent_it_ends_at_the_deadline_with_what_is_local(
    check: Check, aws: EmbeddedAws, weather: EmbeddedOpenWeatherMap
) -> None:
    aws.plan.always("*", stall())
    weather.plan.always("*", stall())
    found = check(WEATHER_DEADLINE_SECONDS="1", OPENWEATHERMAP_API_KEY=API_KEY)
    assert check.status == Status.UNAVAILABLE
    for name in ("credentials", "secret", "API key", "discovery"):
        assert "WEATHER_DEADLINE_SECONDS" in found[name]["fact"]
    for name in ("settings", "journal", "cron"):
        assert found[name]["ok"] is True


def test_answers_that_break_off_are_no_good_news(check: Check, aws: EmbeddedAws) -> None:
    for action in ("GetSecretValue", "DescribeTable", "WriteRecords"):
        aws.plan.always(action, truncate())
    found = check()
    assert [found[each]["status"] for each in ("secret", "table")] == [Status.TEMPFAIL] * 2
    # What is left of its refusal is not known, and so not called passing.
    assert found["WriteRecords"]["status"] == Status.CONFIG
    aws.plan.clear()
    aws.plan.always("WriteRecords", answer(200, b'{"RecordsIngested": {"Total": 1}}'))
    assert check()["WriteRecords"]["warning"]


def test_only_lines_that_run_this_very_program_count(check: Check, crontab: Path) -> None:
    table = crontab.parent / "table"
    table.write_text(f"@hourly cd / && '{SCRIPT}' -q\n*/5 0 * * * A=secret python {SCRIPT} -v\n")
    fact = check()["cron"]["fact"]
    assert "@hourly; */5 0 * * *" in fact
    assert "secret" not in fact
    table.write_text(
        f"# */5 * * * * {SCRIPT}\n0 7 * * * {SCRIPT} -q check\n* * * * * /else{SCRIPT}\n"
    )
    assert check()["cron"]["warning"]


def test_without_a_crontab_program_or_with_one_that_hangs_cron_is_not_checked(
    check: Check, crontab: Path
) -> None:
    assert check(PATH=str(crontab.parent.parent))["cron"]["ok"] is None
    crontab.write_text("#!/bin/sh\nexec sleep 20\n")
    hangs = check(WEATHER_TIMEOUT_SECONDS="1")["cron"]
    assert hangs["ok"] is None
    assert "WEATHER_TIMEOUT_SECONDS" in hangs["fact"]


def lines_of(text: str) -> list[str]:
    lines = text.splitlines()
    too_long = [line for line in lines if len(line) > 80 and len(line.split()) > 1]
    assert not too_long, too_long
    return lines


def test_a_terminal_shows_coloured_ticks_and_never_with_no_color(check: Check) -> None:
    screen = screen_of(check.program, "check")
    coloured = screen.raw.decode().replace("\r\n", "\n")
    assert coloured.startswith("\x1b[32m✓\x1b[0m settings")
    plain = screen_of(check.program, "check", NO_COLOR="1").text
    assert plain.startswith("ok   settings")
    for text in (screen.text, plain):
        lines = lines_of(text)
        assert "\x1b" not in text
        assert re.search(r"\d+ ok", lines[-1])
        names = re.findall(r"^(?:✓|ok  ) (\S.{16})  ", text, re.M)
        assert [name.rstrip() for name in names] == [each for each in NAMES if each != "last runs"]


def test_a_mail_reads_well_and_says_what_to_fix_first(check: Check, aws: EmbeddedAws) -> None:
    aws.put_secret(SECRET_ID, json.dumps({"OPENWEATHERMAP_API_KEY": API_KEY, "other": "unused"}))
    run = check.program.run("check", env={**CREDENTIALS, "WEATHER_UNITS": "x", "LC_ALL": "C"})
    assert run.returncode == Status.CONFIG
    assert run.stderr == ""
    assert not any(secret in run.stdout for secret in SECRETS)
    lines = lines_of(run.stdout)
    assert lines[0].startswith("FAIL settings           WEATHER_UNITS (from the environment): 'x'")
    assert any(line.startswith(" " * 24 + "-> ") for line in lines)
    assert re.search(r"first: settings.*78", run.stdout.replace("\n", " "))


def test_what_to_do_stands_apart_from_what_was_found(check: Check, aws: EmbeddedAws) -> None:
    aws.plan.always("WriteRecords", aws_error("ThrottlingException", "Rate exceeded", 429))
    found = check()["WriteRecords"]
    assert "Rate exceeded" in found["fact"]
    assert found["next_step"] not in found["fact"]
    assert check.status == Status.TEMPFAIL


def test_a_reader_that_has_gone_changes_no_status(check: Check) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        check.program.command("check"),
        env=check.program.env({"TIMESTREAM_TABLE": "another_table"}),
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (Status.CONFIG, b"")


def test_an_interrupted_check_ends_in_good_order(check: Check, aws: EmbeddedAws) -> None:
    arrived = threading.Event()
    aws.plan.when("GetSecretValue", reached(arrived, stall()))
    process = check.program.start("check")
    assert arrived.wait(PATIENCE_S)
    process.send_signal(signal.SIGINT)
    run = ended(process)
    assert_clean(run)
    assert run.returncode == Status.TEMPFAIL
    assert "SIGINT" in run.stderr


def test_quiet_prints_what_is_wrong_alone(check: Check, aws: EmbeddedAws) -> None:
    assert check.program.run().returncode == 0
    fine = check.program.run("-q", "check")
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "", "")
    aws.plan.always("WriteRecords", denied("WriteRecords"))
    run = check.program.run("-q", "check")
    assert run.returncode == Status.NOPERM
    assert run.stdout.startswith("FAIL WriteRecords")


def test_the_help_lists_every_check_in_its_order() -> None:
    told = re.search(r"in this order:\n(.*?)\n\n", EPILOG, re.S)
    assert told
    listed = re.findall(r"^  (\S.*?)(?:  .*)?$", told[1], re.M)
    assert [name for line in listed for name in re.split(r", *", line) if name] == NAMES

"""`setup`: an account that lacks all, some or nothing; a person at a terminal; a crontab."""

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from commands import crontab
from commands.setup.iam import run_policy
from commands.setup.look import Secret
from commands.setup.options import make_parser
from embedded.aws import EmbeddedAws
from embedded.faults import answer, aws_error, stall
from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.errors import SettingsError, Status
from tests.conftest import API_KEY, DATABASE, SCRIPT, SECRET_ID, TABLE, Program
from tests.support.runs import Finished, actions, all_of, assert_clean, stored
from tests.support.terminal import PATIENCE_S, Screen
from tests.support.usage import assert_wrong_usage

KEY = "OPENWEATHERMAP_API_KEY"
OTHER_KEY = "another-key-that-is-not-real"
NOT_ONBOARDED = "Only existing Timestream for LiveAnalytics customers can access the service."

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:weather-ingest-"
TABLE_ARN = f"arn:aws:timestream:us-east-1:123456789012:database/{DATABASE}/table/{TABLE}"

FAKE_CRONTAB = """#!/bin/sh
# crontab -l and crontab -, over the file "table" beside this one
here=${0%/*}
case "$1" in
-l) if [ -f "$here/table" ]; then exec /bin/cat "$here/table"; fi
    echo "no crontab for you" >&2; exit 1 ;;
-) echo written >> "$here/writes"; exec /bin/cat > "$here/table" ;;
esac
"""


@pytest.fixture
def empty() -> Iterator[EmbeddedAws]:
    """An account without anything."""
    with EmbeddedAws() as service:
        yield service


class Bench:
    """The program before an empty account, and a PATH with nothing on it but a crontab."""

    def __init__(self, program: Program, aws: EmbeddedAws, bin_folder: Path) -> None:
        self.program = program
        self.aws = aws
        self.bin = bin_folder

    def setup(self, *arguments: str, key: str = "", env: dict[str, str] | None = None) -> Finished:
        """`setup` without a terminal. key: what is on standard input."""
        self.aws.forget_requests()
        run = self.program.run("setup", *arguments, input=f"{key}\n" if key else "", env=env)
        assert_clean(run)
        assert OTHER_KEY not in run.stdout + run.stderr
        assert "\x1b" not in run.stdout + run.stderr
        return run

    def complete(self, *arguments: str) -> Finished:
        """The account as `setup` leaves it."""
        run = self.setup("--api-key-stdin", *arguments, key=API_KEY)
        assert (run.returncode, run.stderr) == (0, "")
        return run

    @property
    def changes(self) -> list[str]:
        """The actions since the last start that change an account."""
        return [each for each in actions(self.aws) if not each.startswith(("Describe", "Get"))]

    @property
    def crontab(self) -> Path:
        return self.bin / "table"

    def secret(self) -> Any:
        return json.loads(self.moto("secretsmanager", "GetSecretValue", SecretId=SECRET_ID)[KEYS])

    def table(self) -> Any:
        return self.moto("timestream", "DescribeTable", DatabaseName=DATABASE, TableName=TABLE)[
            "Table"
        ]

    def moto(self, service: str, action: str, **members: object) -> Any:
        """Ask the account itself, past the program."""
        target = {"timestream": "Timestream_20181101", "secretsmanager": "secretsmanager"}[service]
        said = self.aws._moto._ask(service, f"{target}.{action}", members)
        assert said.status == 200, said.body
        return json.loads(said.body)


KEYS = "SecretString"


@pytest.fixture
def bench(empty: EmbeddedAws, weather: EmbeddedOpenWeatherMap, tmp_path: Path) -> Bench:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "crontab").write_text(FAKE_CRONTAB)
    (folder / "crontab").chmod(0o755)
    environment = {
        **empty.environment(),
        "OPENWEATHERMAP_URL": weather.url,
        "HOME": str(tmp_path),
        "PATH": str(folder),
    }
    return Bench(Program(environment), empty, folder)


def on_terminal(program: Program, *arguments: str, **env: str) -> Screen:
    return Screen(program.command("setup", *arguments), program.env(env))


PROMPT = "OpenWeatherMap API key (it is not shown): "


def asked(bench: Bench, typed: bytes, *arguments: str) -> Screen:
    """`setup` with a person who types this when asked for the key."""
    bench.aws.forget_requests()
    screen = on_terminal(bench.program, *arguments)
    screen.wait_for(PROMPT)
    screen.type(typed)
    return screen


def policy_in(printed: str) -> Any:
    return json.loads(printed[printed.index("{\n") : printed.index("\n}") + 2])


# The account


def test_an_empty_account_gets_all_that_a_run_needs_and_the_next_run_stores_four_records(
    bench: Bench,
) -> None:
    run = bench.complete("--tag", "team=weather", "--tag", "note=a=b")
    assert bench.changes == ["CreateDatabase", "CreateSecret", "CreateTable"]
    lines = run.stdout.splitlines()
    assert lines[0] == "account  123456789012 in us-east-1, as arn:aws:sts::123456789012:user/moto"
    assert f"created  secret {SECRET_ID} with {KEY}" in lines
    assert re.search(r"London has -?[\d.]+ °C\.", run.stdout)
    assert f"created  database {DATABASE}" in lines
    assert f"created  table {TABLE}" in lines
    assert "         memory 24 h, magnetic 365 d, magnetic writes on" in lines
    assert lines.count("         tags: team=weather, note=a=b") == 3
    assert f"3-59/10 * * * * {sys.executable} {SCRIPT} # by ingest_weather.py setup" in lines
    assert bench.secret() == {KEY: API_KEY}
    table = bench.table()
    assert table["RetentionProperties"] == {
        "MemoryStoreRetentionPeriodInHours": 24,
        "MagneticStoreRetentionPeriodInDays": 365,
    }
    assert table["MagneticStoreWriteProperties"] == {"EnableMagneticStoreWrites": True}
    tags = [{"Key": "team", "Value": "weather"}, {"Key": "note", "Value": "a=b"}]
    assert bench.moto("secretsmanager", "DescribeSecret", SecretId=SECRET_ID)["Tags"] == tags
    for arn in (TABLE_ARN, TABLE_ARN.partition("/table/")[0]):
        assert bench.moto("timestream", "ListTagsForResource", ResourceARN=arn)["Tags"] == tags
    ingested = bench.program.run("--json")
    assert (ingested.returncode, ingested.stderr) == (0, "")
    assert json.loads(ingested.stdout)["stored"] == 4
    assert stored(bench.aws) == all_of("London")


def test_twice_in_a_row_changes_nothing_and_says_so(bench: Bench) -> None:
    bench.complete("--memory-hours", "48", "--no-magnetic-writes")
    run = bench.setup("--memory-hours", "48", "--no-magnetic-writes", "--tag", "a=b")
    assert (run.returncode, run.stderr, bench.changes) == (0, "", [])
    assert run.stdout.count("\nexists   ") == 3
    assert "memory 48 h, magnetic 365 d, magnetic writes off" in run.stdout
    assert "Nothing was changed" in run.stdout
    again = bench.setup("--memory-hours", "48", "--no-magnetic-writes", "--update")
    assert (again.returncode, bench.changes) == (0, [])


def test_a_half_set_up_account_gets_only_what_it_lacks(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY, "TIMESTREAM_TABLE": "elsewhere"}))
    bench.moto("timestream", "CreateDatabase", DatabaseName=DATABASE)
    run = bench.setup()
    assert (run.returncode, bench.changes) == (0, ["CreateTable"])
    assert f"exists   secret {SECRET_ID}" in run.stdout
    assert f"exists   database {DATABASE}" in run.stdout
    assert "created  table elsewhere" in run.stdout  # as the secret has it
    assert policy_in(run.stdout)["Statement"][2]["Resource"].endswith("/table/elsewhere")
    assert API_KEY not in run.stdout


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(bench: Bench) -> None:
    for run in (bench.setup("--dry-run"), bench.program.run("--dry-run", "setup")):
        assert (run.returncode, run.stderr, bench.changes) == (0, "", [])
        assert run.stdout.count("\nwould create  ") == 3
    bench.aws.put_secret(SECRET_ID, '{"LOG_LEVEL": "INFO"}')
    bench.aws.make_table(DATABASE, TABLE, memory_hours=1)
    options = ("--dry-run", "--update", "--install-cron", "--api-key-stdin", "--magnetic-writes")
    run = bench.setup(*options, key=API_KEY)
    assert (run.returncode, run.stderr, bench.changes) == (0, "", [])
    assert run.stdout.count("\nwould update  ") == 2
    assert "would create  line in the crontab" in run.stdout
    assert not bench.crontab.exists()


def test_what_differs_is_shown_and_changed_with_update_alone(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE, memory_hours=6, magnetic_days=1000)
    run = bench.setup()
    assert (run.returncode, run.stderr, bench.changes) == (0, "", [])
    assert f"differs  table {TABLE}" in run.stdout
    assert "has:     memory 6 h, magnetic 1000 d, magnetic writes off" in run.stdout
    assert "default: memory 24 h, magnetic 1000 d, magnetic writes on" in run.stdout
    run = bench.setup("--update")
    assert (run.returncode, run.stderr, bench.changes) == (0, "", ["UpdateTable"])
    assert f"updated  table {TABLE}" in run.stdout
    table = bench.table()
    assert table["RetentionProperties"]["MemoryStoreRetentionPeriodInHours"] == 24
    assert table["MagneticStoreWriteProperties"]["EnableMagneticStoreWrites"] is True


def test_a_retention_is_shortened_only_where_its_option_is_named(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE, 100, 1000, magnetic_writes=True)
    assert bench.setup("--update").returncode == 0
    assert bench.changes == []
    run = bench.setup("--magnetic-days", "30")
    assert bench.changes == []
    assert "asked: memory 100 h, magnetic 30 d, magnetic writes on" in run.stdout
    assert bench.setup("--magnetic-days", "30", "--update").returncode == 0
    assert bench.table()["RetentionProperties"] == {
        "MemoryStoreRetentionPeriodInHours": 100,
        "MagneticStoreRetentionPeriodInDays": 30,
    }


def test_where_rejections_are_reported_is_kept_by_an_update(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE)
    place = {"S3Configuration": {"BucketName": "rejections"}}
    magnetic = {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": place}
    bench.moto(
        "timestream",
        "UpdateTable",
        DatabaseName=DATABASE,
        TableName=TABLE,
        RetentionProperties={
            "MemoryStoreRetentionPeriodInHours": 6,
            "MagneticStoreRetentionPeriodInDays": 365,
        },
        MagneticStoreWriteProperties=magnetic,
    )
    assert bench.setup("--update").returncode == 0
    assert bench.table()["MagneticStoreWriteProperties"] == magnetic


def creating(status: str = "CREATING") -> Any:
    table = {"DatabaseName": DATABASE, "TableName": TABLE, "TableStatus": status}
    return answer(200, json.dumps({"Table": table}).encode())


def test_a_new_table_is_waited_for_until_it_is_active(bench: Bench) -> None:
    bench.aws.plan.next("DescribeTable", creating(), creating())
    bench.complete()
    assert bench.aws.count("DescribeTable") == 3


def setup_until_looked(bench: Bench) -> tuple[Finished, int]:
    """A setup with too little time for its table, and yet enough to look for it once; that in
    seconds."""
    for seconds in (2, 10, 40):
        run = bench.setup("--api-key-stdin", "--timeout", str(seconds), key=API_KEY)
        if bench.aws.count("DescribeTable"):
            break
    return run, seconds


def test_a_table_that_is_not_active_in_time_is_told_and_the_next_setup_goes_on(
    bench: Bench,
) -> None:
    bench.aws.plan.always("DescribeTable", creating())
    run, seconds = setup_until_looked(bench)
    assert run.returncode == Status.TEMPFAIL
    assert f"failed   table {TABLE}" in run.stdout
    assert f"{seconds} seconds (--timeout)" in run.stderr
    assert f"{TABLE!r} was CREATING" in run.stderr
    bench.aws.plan.clear()
    again = bench.setup()
    assert (again.returncode, again.stderr, bench.changes) == (0, "", [])


def test_a_table_that_nobody_tells_of_in_time_is_told_so(bench: Bench) -> None:
    bench.aws.plan.always("DescribeTable", stall())
    run, _ = setup_until_looked(bench)
    assert run.returncode == Status.TEMPFAIL
    assert "DescribeTable" in run.stderr


def test_a_table_on_its_way_out_is_told(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE)
    bench.aws.plan.always("DescribeTable", creating("DELETING"))
    run = bench.setup()
    assert (run.returncode, bench.changes) == (Status.TEMPFAIL, [])
    assert repr(TABLE) in run.stderr


def test_what_another_made_in_the_meantime_counts_as_there(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE, magnetic_writes=True)
    missing = aws_error("ResourceNotFoundException", "The database does not exist.", 404)
    bench.aws.plan.next("DescribeDatabase", missing)
    run = bench.setup()
    assert (run.returncode, run.stderr) == (0, "")
    assert bench.changes == ["CreateDatabase", "CreateTable"]
    assert run.stdout.count("\nexists   ") == 3


# What AWS refuses

DENIED = "User: arn:aws:sts::123456789012:user/moto is not authorized to perform: {} on resource: x"


def test_where_looking_is_denied_nobody_is_asked_and_nothing_is_made(bench: Bench) -> None:
    for service, action in (
        ("secretsmanager", "DescribeSecret"),
        ("timestream", "DescribeEndpoints"),
        ("timestream", "DescribeDatabase"),
    ):
        denied = aws_error("AccessDeniedException", DENIED.format(f"{service}:{action}"), 403)
        bench.aws.plan.always(action, denied)
        run = bench.setup("--api-key-stdin", key=API_KEY)
        assert (run.returncode, run.stdout, bench.changes) == (Status.NOPERM, "", []), action
        assert action in run.stderr
        bench.aws.plan.clear()


@pytest.mark.parametrize(
    ("action", "made"),
    [
        ("secretsmanager:CreateSecret", ["database", "table"]),
        ("timestream:CreateDatabase", ["secret"]),
        ("timestream:CreateTable", ["secret", "database"]),
    ],
)
def test_where_making_is_denied_the_rest_is_made_and_a_second_setup_goes_on(
    bench: Bench, action: str, made: list[str]
) -> None:
    name = action.partition(":")[2]
    denied = aws_error("AccessDeniedException", DENIED.format(action), 403)
    bench.aws.plan.always(name, denied)
    run = bench.setup("--api-key-stdin", key=API_KEY)
    assert run.returncode == Status.NOPERM
    assert re.findall(r"^created  (\w+)", run.stdout, re.M) == made
    assert f"({action})" in run.stderr
    assert "run setup again" in run.stdout
    assert "Version" not in run.stdout
    bench.aws.plan.clear()
    again = bench.complete()
    assert name in bench.changes
    assert not set(bench.changes) & {f"Create{each.capitalize()}" for each in made}
    assert again.stdout.count("\nexists   ") == len(made)


def test_an_action_on_what_is_there_that_is_denied_is_named(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: OTHER_KEY}))
    bench.aws.make_table(DATABASE, TABLE, memory_hours=1)
    for action, arguments, key in (
        ("timestream:DescribeTable", [], ""),
        ("timestream:UpdateTable", ["--update"], ""),
        ("secretsmanager:GetSecretValue", [], ""),
        ("secretsmanager:PutSecretValue", ["--api-key-stdin", "--update"], API_KEY),
    ):
        denied = aws_error("AccessDeniedException", DENIED.format(action), 403)
        bench.aws.plan.always(action.partition(":")[2], denied)
        run = bench.setup(*arguments, key=key)
        assert run.returncode == Status.NOPERM, action
        assert f"({action})" in run.stderr
        bench.aws.plan.clear()


def test_credentials_that_sts_refuses_are_told(bench: Bench) -> None:
    refused = b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>"
    bench.aws.plan.always("GetCallerIdentity", answer(403, refused, {"Content-Type": "text/xml"}))
    run = bench.setup("--api-key-stdin", key=API_KEY)
    assert (run.returncode, run.stdout, bench.changes) == (Status.NOPERM, "", [])
    assert "InvalidClientTokenId" in run.stderr


def test_an_account_that_is_not_onboarded_is_told_before_anything_is_asked(bench: Bench) -> None:
    refused = aws_error("AccessDeniedException", NOT_ONBOARDED, 403)
    bench.aws.plan.always("DescribeEndpoints", refused)
    run = bench.setup()
    assert (run.returncode, run.stdout, bench.changes) == (Status.NOPERM, "", [])
    assert NOT_ONBOARDED.rstrip(".") in run.stderr


def test_a_region_without_timestream_is_told_with_those_that_have_it(bench: Bench) -> None:
    run = bench.setup(env={"AWS_REGION": "eu-west-2"})
    assert (run.returncode, bench.changes) == (Status.CONFIG, [])
    assert "eu-west-1" in run.stderr


def test_settings_that_are_wrong_are_all_told_and_nothing_is_made(bench: Bench) -> None:
    wrong = {"TIMESTREAM_TABLE": "a b", "TIMESTREAM_DATABSE": "x", "WEATHER_UNITS": "kelvin"}
    run = bench.setup("--api-key-stdin", key=API_KEY, env=wrong)
    assert (run.returncode, run.stdout, bench.changes) == (Status.CONFIG, "", [])
    assert [name for name in ("a b", *wrong) if name not in run.stderr] == []


def test_an_answer_that_breaks_off_is_no_bug_of_ours(bench: Bench) -> None:
    bench.aws.plan.next("DescribeSecret", answer(200, b'{"ARN": "arn:aws'))
    run = bench.setup()
    assert (run.returncode, run.stdout) == (Status.TEMPFAIL, "")
    assert "no ARN" in run.stderr


# The key


def test_the_key_that_a_person_types_is_stored_and_never_on_the_screen(bench: Bench) -> None:
    screen = asked(bench, API_KEY.encode() + b"\n")
    assert screen.end() == 0
    assert bench.secret() == {KEY: API_KEY}
    assert API_KEY.encode() not in screen.raw
    assert f"✓ created  secret {SECRET_ID} with {KEY}" in screen.text
    assert "\x1b[32m✓" in screen.raw.decode()
    for line in screen.text.splitlines():
        assert len(line) <= 80 or '"Resource"' in line or "* * * *" in line, line


def test_ctrl_c_at_the_question_ends_it_and_nothing_is_made(bench: Bench) -> None:
    screen = asked(bench, b"half-a-ke")
    screen.insist(lambda: screen.type(b"\x03"))
    assert screen.end() == Status.TEMPFAIL
    assert bench.changes == []
    assert "Interrupted." in screen.text
    assert "Traceback" not in screen.text


def test_sigterm_at_the_question_ends_it_as_well(bench: Bench) -> None:
    screen = asked(bench, b"half-a-ke")
    screen.insist(lambda: screen.process.send_signal(signal.SIGTERM))
    assert screen.end() == Status.TEMPFAIL
    assert bench.changes == []
    assert "half-a-ke" not in screen.text


@pytest.mark.parametrize("typed", [b"\x04", b"two words\n"])
def test_without_a_key_the_secret_is_not_made(bench: Bench, typed: bytes) -> None:
    screen = asked(bench, typed)
    assert screen.end() == Status.CONFIG
    assert bench.changes == ["CreateDatabase", "CreateTable"]
    assert "stored" in screen.text
    assert "two words" not in screen.text


def test_a_key_that_is_refused_is_not_stored(bench: Bench) -> None:
    run = bench.setup("--api-key-stdin", key=OTHER_KEY)
    assert run.returncode == Status.NOPERM
    assert "CreateSecret" not in bench.changes
    assert "not stored" in run.stderr
    assert "401" in run.stderr


def test_a_key_that_cannot_be_tried_is_stored_only_where_that_was_said(
    bench: Bench, weather: EmbeddedOpenWeatherMap
) -> None:
    portal = answer(302, headers={"Location": "https://hotel.example/login"})
    weather.plan.always("weather", portal)
    run = bench.setup("--api-key-stdin", key=API_KEY)
    assert run.returncode == Status.UNAVAILABLE
    assert "CreateSecret" not in bench.changes
    assert "--no-key-check" in run.stderr
    run = bench.setup("--api-key-stdin", "--no-key-check", key=API_KEY)
    assert (run.returncode, bench.changes) == (0, ["CreateSecret"])
    assert "(--no-key-check)" in run.stdout


def test_the_key_of_an_account_that_is_blocked_for_a_while_is_stored(
    bench: Bench, weather: EmbeddedOpenWeatherMap
) -> None:
    weather.plan.always("weather", answer(429, b'{"cod":429, "message": "blocked"}'))
    assert "429" in bench.complete().stdout
    assert bench.secret() == {KEY: API_KEY}


def test_without_a_terminal_nobody_is_asked(bench: Bench) -> None:
    run = bench.setup()
    assert run.returncode == Status.CONFIG
    assert "--api-key-stdin" in run.stderr
    assert bench.changes == ["CreateDatabase", "CreateTable"]


def test_a_key_in_the_environment_is_stored_without_a_question(bench: Bench) -> None:
    run = bench.setup(env={KEY: API_KEY})
    assert (run.returncode, run.stderr) == (0, "")
    assert bench.secret() == {KEY: API_KEY}


def test_a_secret_without_a_key_gets_it_with_update_and_keeps_its_other_members(
    bench: Bench,
) -> None:
    members = {"LOG_LEVEL": "INFO", "ours": {"nested": [1, 2.5, None]}}
    bench.aws.put_secret(SECRET_ID, json.dumps(members))
    bench.aws.make_table(DATABASE, TABLE, magnetic_writes=True)
    run = bench.setup("--api-key-stdin", key=API_KEY)
    assert (run.returncode, bench.changes) == (Status.CONFIG, [])
    assert "--update" in run.stderr
    run = bench.setup(env={KEY: API_KEY})
    assert (run.returncode, bench.changes) == (0, [])
    assert f"differs  secret {SECRET_ID} has no {KEY}" in run.stdout
    run = bench.setup("--api-key-stdin", "--update", key=API_KEY)
    assert (run.returncode, bench.changes) == (0, ["PutSecretValue"])
    assert bench.secret() == {**members, KEY: API_KEY}


def test_a_person_who_types_the_key_has_agreed_to_its_storing(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, '{"LOG_LEVEL": "INFO"}')
    bench.aws.make_table(DATABASE, TABLE, magnetic_writes=True)
    assert asked(bench, API_KEY.encode() + b"\n").end() == 0
    assert bench.changes == ["PutSecretValue"]
    assert bench.secret() == {"LOG_LEVEL": "INFO", KEY: API_KEY}


def test_another_key_replaces_the_stored_one_with_update_alone(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: OTHER_KEY}).encode())
    bench.aws.make_table(DATABASE, TABLE, magnetic_writes=True)
    run = bench.setup("--api-key-stdin", key=API_KEY)
    assert (run.returncode, bench.changes) == (0, [])
    assert f"differs  secret {SECRET_ID} has another {KEY}" in run.stdout
    assert bench.setup("--api-key-stdin", "--update", key=API_KEY).returncode == 0
    assert bench.changes == ["PutSecretValue"]
    assert bench.setup("--api-key-stdin", "--update", key=API_KEY).returncode == 0
    assert bench.changes == []
    value = bench.moto("secretsmanager", "GetSecretValue", SecretId=SECRET_ID)["SecretBinary"]
    assert json.loads(base64.b64decode(value)) == {KEY: API_KEY}  # in the form it had


@pytest.mark.parametrize("key", [API_KEY, OTHER_KEY], ids=["good", "refused"])
def test_replacing_the_key_leaves_the_table_as_it_is(bench: Bench, key: str) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: "the-key-until-now"}))
    bench.aws.make_table(DATABASE, TABLE, memory_hours=6)
    before = bench.table()
    run = bench.setup("--api-key-stdin", "--update", key=key)
    assert bench.changes == (["PutSecretValue"] if key == API_KEY else [])
    assert run.returncode == (Status.OK if key == API_KEY else Status.NOPERM)
    assert bench.table() == before
    assert f"differs  table {TABLE}" in run.stdout
    assert "--update without --api-key-stdin" in run.stdout


def test_replacing_the_key_changes_the_table_where_that_is_asked_for(bench: Bench) -> None:
    for option in (["--memory-hours", "24"], ["--magnetic-days", "500"], ["--magnetic-writes"]):
        bench.aws.put_secret(SECRET_ID, json.dumps({KEY: OTHER_KEY}))
        bench.aws.make_table(DATABASE, TABLE, memory_hours=6)
        run = bench.setup("--api-key-stdin", "--update", *option, key=API_KEY)
        assert run.returncode == 0, option
        assert bench.changes == ["PutSecretValue", "UpdateTable"], option


def test_the_same_key_again_with_update_says_that_nothing_was_changed(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE, memory_hours=6)
    run = bench.setup("--api-key-stdin", "--update", key=API_KEY)
    assert (run.returncode, bench.changes) == (0, [])
    assert "Nothing was changed" in run.stdout


@pytest.mark.parametrize(
    ("secret_id", "said"),
    [("", "WEATHER_SECRET_ID is empty"), (f"{ARN}AbCdEf", f"{ARN}AbCdEf")],
)
def test_a_secret_that_setup_cannot_make_is_told(bench: Bench, secret_id: str, said: str) -> None:
    environment = {"WEATHER_SECRET_ID": secret_id, KEY: API_KEY}
    run = bench.setup("--api-key-stdin", key=API_KEY, env=environment)
    assert run.returncode in (Status.USAGE, Status.CONFIG)
    assert said in run.stderr
    assert bench.changes == []


def test_a_secret_on_its_way_out_or_without_json_is_left_alone(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, API_KEY)
    run = bench.setup("--api-key-stdin", "--update", key=API_KEY)
    assert (run.returncode, bench.changes) == (Status.CONFIG, [])
    assert SECRET_ID in run.stderr
    bench.moto("secretsmanager", "DeleteSecret", SecretId=SECRET_ID)
    run = bench.setup("--api-key-stdin", "--update", key=API_KEY)
    assert (run.returncode, bench.changes) == (Status.CONFIG, [])
    assert f"aws secretsmanager restore-secret --secret-id {SECRET_ID}" in run.stderr


def test_without_a_secret_the_rest_is_set_up(bench: Bench) -> None:
    run = bench.setup(env={"WEATHER_SECRET_ID": "", KEY: API_KEY})
    assert (run.returncode, bench.changes) == (0, ["CreateDatabase", "CreateTable"])
    listed = [each["Action"] for each in policy_in(run.stdout)["Statement"]]
    assert listed == ["timestream:DescribeEndpoints", "timestream:WriteRecords"]


# The policy


def test_the_policy_alone_is_json_with_just_what_a_run_needs_before_and_after(
    bench: Bench,
) -> None:
    run = bench.setup("--print-iam-policy")
    assert (run.returncode, run.stderr, bench.changes) == (0, "", [])
    assert json.loads(run.stdout) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": f"{ARN}??????",
            },
            {"Effect": "Allow", "Action": "timestream:DescribeEndpoints", "Resource": "*"},
            {"Effect": "Allow", "Action": "timestream:WriteRecords", "Resource": TABLE_ARN},
        ],
    }
    printed = policy_in(bench.complete().stdout)
    (secret, *_) = printed["Statement"]
    described = bench.moto("secretsmanager", "DescribeSecret", SecretId=SECRET_ID)
    assert secret["Resource"] == described["ARN"]
    assert re.fullmatch(rf"{ARN}\w{{6}}", secret["Resource"])
    bench.aws.forget_requests()
    assert bench.program.run().returncode == 0
    allowed = {each["Action"].partition(":")[2] for each in printed["Statement"]}
    assert {*actions(bench.aws)} == allowed


@pytest.mark.parametrize(
    ("kms_key_id", "resource"),
    [
        ("1234-ab", "arn:aws-us-gov:kms:us-gov-west-1:1:key/1234-ab"),
        ("arn:aws-us-gov:kms:us-gov-west-1:2:key/9", "arn:aws-us-gov:kms:us-gov-west-1:2:key/9"),
        ("alias/mine", "arn:aws-us-gov:kms:us-gov-west-1:1:key/*"),
    ],
)
def test_a_key_of_the_accounts_own_may_be_used_through_secrets_manager_alone(
    kms_key_id: str, resource: str
) -> None:
    secret_arn = "arn:aws-us-gov:secretsmanager:us-gov-west-1:1:secret:mine-123456"
    job: Any = SimpleNamespace(
        identity_arn="arn:aws-us-gov:sts::1:user/x",
        number="1",
        account=SimpleNamespace(region="us-gov-west-1"),
        secret=Secret(secret_arn, kms_key_id, "", {}),
        settings=SimpleNamespace(
            secret_id="mine", database="db", table="tab", endpoint_url="https://ingest-cell2"
        ),
    )
    policy = json.loads(run_policy(job))
    secret, kms, writing = policy["Statement"]
    assert secret["Resource"] == secret_arn
    assert (kms["Action"], kms["Resource"]) == ("kms:Decrypt", resource)
    via = {"kms:ViaService": "secretsmanager.us-gov-west-1.amazonaws.com"}
    assert kms["Condition"]["StringEquals"] == via
    by_alias = {"kms:ResourceAliases": "alias/mine"}
    assert kms["Condition"].get("ForAnyValue:StringEquals", by_alias) == by_alias
    assert ("ForAnyValue:StringEquals" in kms["Condition"]) == kms_key_id.startswith("alias")
    assert writing["Resource"] == "arn:aws-us-gov:timestream:us-gov-west-1:1:database/db/table/tab"


# The crontab

LINE = f"{sys.executable} {SCRIPT} # by ingest_weather.py setup\n"


def test_the_line_is_added_replaced_and_left_and_all_else_kept_byte_for_byte(bench: Bench) -> None:
    theirs = (
        b"# my crontab\r\nMAILTO=me@example.com\n\n\t0 5 * * * echo \\% \xff\n"
        b"1 1 * * * /opt/other/ingest_weather.py # by ingest_weather.py setup\n"
        + f"0 0 * * * {sys.executable} {SCRIPT} rejected --json\n# {SCRIPT}\n".encode()
        + b"@reboot true"
    )
    bench.crontab.write_bytes(theirs)
    run = bench.complete("--install-cron")
    assert "created  line in the crontab" in run.stdout
    assert bench.crontab.read_bytes() == theirs + f"\n3-59/10 * * * * {LINE}".encode()
    bench.crontab.write_bytes(bench.crontab.read_bytes() + b"# after it\n")
    run = bench.setup("--install-cron", "--every", "30")
    assert (run.returncode, run.stderr) == (0, "")
    assert "updated  line in the crontab" in run.stdout
    expected = theirs + f"\n3-59/30 * * * * {LINE}# after it\n".encode()
    assert bench.crontab.read_bytes() == expected
    (bench.bin / "writes").unlink()
    run = bench.setup("--install-cron", "--every", "30")
    assert "exists   line in the crontab" in run.stdout
    assert "Nothing was changed" in run.stdout
    assert bench.crontab.read_bytes() == expected
    assert not (bench.bin / "writes").exists()


def test_the_first_line_of_a_user_without_a_crontab_names_the_file_of_settings(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "my settings.env").write_text(f"{KEY}={API_KEY}\nAWS_REGION=us-east-1\n")
    run = bench.program.run(
        *("--env-file", "my settings.env", "setup", "--install-cron", "--every", "60"),
        cwd=str(tmp_path),
    )
    assert (run.returncode, run.stderr) == (0, "")
    quoted = shlex.quote(str(tmp_path / "my settings.env"))
    assert bench.crontab.read_text() == (
        f"3 * * * * {sys.executable} {SCRIPT} --env-file {quoted} # by ingest_weather.py setup\n"
    )
    assert "OPENWEATHERMAP_URL." in run.stdout  # cron has not this one
    assert "AWS_REGION," not in run.stdout


def test_a_line_that_a_person_wrote_for_this_program_is_replaced_with_update_alone(
    bench: Bench,
) -> None:
    theirs = f"*/5 * * * * LOG_LEVEL=INFO {SCRIPT} 2>&1 | logger -t weather\n"
    bench.crontab.write_text(theirs)
    run = bench.complete("--install-cron")
    assert "differs  line in the crontab" in run.stdout
    assert bench.crontab.read_text() == theirs
    assert f"*/5 * * * * {LINE}" in run.stdout
    run = bench.setup("--install-cron", "--update")
    assert (run.returncode, bench.changes) == (0, [])
    assert bench.crontab.read_text() == f"*/5 * * * * {LINE}"


@pytest.mark.parametrize("when", ["*/5 * * * *", "7 0-23/2 * * 1-5", "@hourly"])
def test_the_line_keeps_the_schedule_that_is_installed_unless_another_is_asked_for(
    bench: Bench, when: str
) -> None:
    bench.crontab.write_text(f"{when} {LINE}")
    run = bench.complete()
    assert f"\nLine in the crontab:\n{when} {LINE}" in run.stdout
    run = bench.setup("--install-cron")
    assert "exists   line in the crontab" in run.stdout
    assert bench.crontab.read_text() == f"{when} {LINE}"
    run = bench.setup("--every", "20")
    assert "setup --install-cron" in run.stdout
    assert f"\n3-59/20 * * * * {LINE}" in run.stdout
    bench.setup("--every", "20", "--install-cron")
    assert bench.crontab.read_text() == f"3-59/20 * * * * {LINE}"


def test_without_a_crontab_program_the_line_is_printed(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE, magnetic_writes=True)
    (bench.bin / "crontab").unlink()
    run = bench.setup("--install-cron")
    assert (run.returncode, bench.changes) == (Status.CONFIG, [])
    assert "failed   line in the crontab" in run.stdout
    assert "apt-get install cron" in run.stderr
    assert f"3-59/10 * * * * {LINE}" in run.stdout


@pytest.mark.parametrize(
    ("crontab_program", "said"),
    [
        ("#!/bin/sh\necho you are not allowed to use it >&2; exit 1\n", "you are not allowed"),
        (
            '#!/bin/sh\nif [ "$1" = - ]; then exit 1; fi\n',
            "install the line: it printed no message",
        ),
        ("#!/nowhere/sh", "no crontab program"),
        ("no program at all", "does not work"),
    ],
    ids=["not allowed", "refused", "none", "broken"],
)
def test_a_crontab_program_that_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crontab_program: str, said: str
) -> None:
    (tmp_path / "crontab").write_text(crontab_program)
    (tmp_path / "crontab").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=said):
        crontab.install(crontab.find(SCRIPT, set()), "* * * * * true", [])


def run_as_cron(line: str) -> str:
    """What the command of a crontab's line prints: cron takes \\% for %, then comes the shell."""
    command = line.split(" ", 5)[5].replace("\\%", "%")
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    return done.stdout


def test_cron_finds_its_way_to_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "100% 'mine' $HOME; \"é\" #"
    folder.mkdir()
    script = folder / "ingest_weather.py"
    script.write_text("import sys; print(*sys.argv, sep='\\n')")
    interpreter = folder / "python %d"
    interpreter.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    line = crontab.run_line(crontab.schedule(10), script, folder / "a b.env")
    assert "%" not in line.replace("\\%", "")
    assert run_as_cron(line) == f"{script}\n--env-file\n{folder / 'a b.env'}\n"
    monkeypatch.setattr(crontab, "_crontab", crontab_of(f"1 * * * * true\n{line}\n".encode(), []))
    assert crontab.find(script, {"check"}).ours == [1]
    with pytest.raises(SettingsError):
        crontab.run_line(crontab.schedule(10), tmp_path / "two\nlines.py", None)


def test_every_schedule_leaves_the_same_pause_between_all_runs() -> None:
    for every in crontab.INTERVALS:
        minute = crontab.schedule(every).split()[0]
        first, _, step = minute.partition("-59/")
        if minute == "*":
            first, step = "0", "1"
        runs = list(range(int(first), 60, int(step or 60)))
        following = zip(runs, [*runs[1:], *runs[:1]], strict=True)
        assert {(later - run) % 60 or 60 for run, later in following} == {every}
        assert (0 in runs) == (every == 1), every


def crontab_of(content: bytes, written: list[bytes]) -> Callable[..., Any]:
    def program(argument: str, given: bytes = b"") -> Any:
        if argument == "-":
            written.append(given)
        return subprocess.CompletedProcess([], 0, content, b"")

    return program


@given(st.lists(st.binary(max_size=40)))
@example([b"no newline at the end"])
@example([b"1 * * * * x\r", b"\n", b"\x0b\n"])
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_adding_and_taking_away_the_line_leaves_any_crontab_as_it_was(
    monkeypatch: pytest.MonkeyPatch, lines: list[bytes]
) -> None:
    before, written = b"\n".join(lines), list[bytes]()
    monkeypatch.setattr(crontab, "_crontab", crontab_of(before, written))
    line = crontab.run_line(crontab.schedule(10), SCRIPT, None)
    found = crontab.find(SCRIPT, set())
    assert (found.ours, found.others) == ([], [])
    crontab.install(found, line, [])
    (after,) = written
    ours = f"{line}\n".encode()
    assert after.endswith(ours)
    assert after.removesuffix(ours) in (before, before + b"\n")
    monkeypatch.setattr(crontab, "_crontab", crontab_of(after, written))
    again = crontab.find(SCRIPT, set())
    crontab.install(again, "5 * * * * other", again.ours)
    assert written[-1] == after.removesuffix(ours) + b"5 * * * * other\n"


# The command itself


def test_a_terminal_shows_what_is_waited_for_on_one_line(bench: Bench) -> None:
    table = f"{TABLE}_{'x' * 60}"
    bench.aws.plan.next("DescribeTable", creating(), creating(), creating())
    screen = on_terminal(bench.program, **{KEY: API_KEY, "TIMESTREAM_TABLE": table})
    assert screen.end() == 0
    spun = [line for line in screen.text.splitlines() if re.match(r"[-\\|/] ", line)]
    told = {line[2:].strip() for line in spun}
    assert "Looking at the account ..." in told
    assert f"Creating the database {DATABASE} ..." in told
    assert any(each.startswith(f"Creating the table {TABLE}_xx") for each in told)
    assert max(map(len, spun)) <= 80
    assert all(each.endswith(" ...") for each in told)  # no line of it runs on into the next
    assert "ingest_weather.py -v" in screen.text


def test_a_table_on_its_way_is_waited_for_with_its_status_on_the_terminal(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE, magnetic_writes=True)
    bench.aws.plan.next("DescribeTable", creating(), creating(), creating())
    screen = on_terminal(bench.program)
    assert screen.end() == 0
    assert f"Waiting for the table {TABLE} (CREATING) ...\n" in screen.text


def test_without_a_terminal_nothing_spins(bench: Bench) -> None:
    bench.aws.plan.next("DescribeTable", creating(), creating())
    run = bench.setup("--api-key-stdin", key=API_KEY)
    assert "..." not in run.stdout + run.stderr


def test_without_colour_there_are_neither_ticks_nor_colours(bench: Bench) -> None:
    bench.aws.put_secret(SECRET_ID, json.dumps({KEY: API_KEY}))
    bench.aws.make_table(DATABASE, TABLE)
    screen = on_terminal(bench.program, NO_COLOR="1")
    assert screen.end() == 0
    assert "✓" not in screen.text
    assert not re.search(r"\x1b\[[0-9;]*m", screen.raw.decode())
    assert f"differs  table {TABLE}" in screen.text


def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [
        ["--memory-hours", "8767"],
        ["--memory-hours", "0"],
        ["--magnetic-days", "73001"],
        ["--tag", "no-value"],
        ["--tag", "aws:mine=x"],
        ["--every", "7"],
        ["--print-iam-policy", "--install-cron"],
        ["--api-key", "k"],
    ]
    assert_wrong_usage(make_parser(), wrong, capsys)


def test_an_output_that_nobody_reads_any_more_is_no_bug(bench: Bench) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    pipes = {"capture_output": False, "stdout": writer, "stderr": subprocess.PIPE}
    run = bench.program.run("setup", env={KEY: API_KEY}, **pipes)
    os.close(writer)
    assert run.returncode == Status.TEMPFAIL
    assert "again" in run.stderr
    assert "Traceback" not in run.stderr

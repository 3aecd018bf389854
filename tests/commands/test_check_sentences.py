"""Each sentence of `check`, in the state that prints it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from commands.aws import Retention
from commands.check import Check, _look, aws, weather
from commands.check.clock import Clock
from commands.check.findings import NETWORK, Finding
from commands.check.known import Known
from ingest.deadline import epoch_ms
from ingest.errors import AccessError, DeliveryError, IngestError, WeatherError
from ingest.openweathermap.client import Failure
from ingest.reporting.redaction import Redactor
from ingest.settings import read_sources
from tests.support.journals import LONDON, observed
from timestream_writer import REGION_HELP

HOUR_MS = 3_600_000
RETRY = "Try again. If it goes on, check the network: a firewall may block the connection."
NTP = "Turn NTP on: timedatectl set-ntp true"
CACHE = "A cache may have answered with an old time"
SETUP = "Create it: ingest_weather.py setup"


def known_with(journal: Path, **texts: str) -> Known:
    given = {
        "OPENWEATHERMAP_API_KEY": "a-key",
        "WEATHER_JOURNAL": str(journal),
        "TIMESTREAM_DATABASE": "our_db",
        "TIMESTREAM_TABLE": "our_tab",
        **texts,
    }
    known = Known(read_sources(given), Redactor())
    known.region = "us-east-1"
    return known


@pytest.fixture
def known(tmp_path: Path) -> Known:
    return known_with(tmp_path / "journal")


def failed(code: str, kind: type[IngestError] = DeliveryError) -> IngestError:
    """As AWS's answer with this code is raised."""
    error = kind("it failed")
    error.__cause__ = ClientError({"Error": {"Code": code}}, "x")
    return error


def said(known: Known, look: Callable[[Known], Finding]) -> str:
    """The mark, the fact and the next step of a finding."""
    finding = _look(Check("", look), known)
    step = f" -> {finding.next_step}" if finding.next_step else ""
    return f"{finding.mark.word} {finding.fact}{step}"


def assert_said(expected: dict[str, str], got: dict[str, str]) -> None:
    """All that differ are named at once."""
    wrong = {name: text for name, text in got.items() if text != expected[name]}
    assert (wrong, set(got)) == ({}, set(expected))


def test_what_aws_answers_becomes_these_sentences(known: Known) -> None:
    absent, silent = failed("ResourceNotFoundException"), failed("Throttling")
    denied = failed("AccessDeniedException", AccessError)
    see_table, see_database = aws.SEE_TABLE, aws.SEE_DATABASE

    def table(answer: object, database: object = None) -> str:
        known.replies = {see_table: answer, see_database: database}
        return said(known, aws.table)

    def permission(action: str, answer: object) -> str:
        known.replies = {action: answer}
        return said(known, lambda known: aws.permission(known, action, "the secret"))

    def status(status: str) -> dict[str, object]:
        return {"Table": {"TableStatus": status}}

    got = {
        "active": table(status("ACTIVE")),
        "deleting": table(status("DELETING")),
        "incomplete": table({}),
        "no table": table(absent),
        "no database": table(absent, absent),
        "not seen": table(denied),
        "allowed": permission(aws.WRITE, {}),
        "denied": permission(aws.WRITE, denied),
        "denied, but not needed": permission(see_table, denied),
        "throttled": permission(see_table, silent),
        "not asked": permission(aws.READ_VALUE, None),
        "other credentials": permission(aws.WRITE, failed("ExpiredToken", AccessError)),
    }
    where = "in region us-east-1"
    check = "(or check TIMESTREAM_DATABASE, TIMESTREAM_TABLE and AWS_REGION)"
    policy = "ingest_weather.py setup --print-iam-policy"
    assert_said(
        {
            "active": "ok our_db.our_tab is ACTIVE",
            "deleting": "FAIL our_db.our_tab is DELETING -> "
            "Wait until it is ACTIVE. If it was deleted: ingest_weather.py setup",
            "incomplete": f"FAIL the answer on our_db.our_tab is incomplete -> {NETWORK}",
            "no table": f"FAIL there is no table our_tab in our_db {where} -> {SETUP} {check}",
            "no database": f"FAIL there is no database our_db {where} -> {SETUP} {check}",
            "not seen": "- not checked: needs timestream:DescribeTable",
            "allowed": "ok timestream:WriteRecords is allowed",
            "denied": "FAIL timestream:WriteRecords is denied -> "
            f"Allow it for this user or role, as in: {policy}",
            "denied, but not needed": "- timestream:DescribeTable is denied; "
            "a run does not need it",
            "throttled": "- not checked: timestream:DescribeTable failed for another reason",
            "not asked": "- not checked: needs the secret",
            "other credentials": "- not checked: needs credentials",
        },
        got,
    )


class Account:
    """Answers each operation with the next of these answers."""

    region = "us-east-1"
    endpoint_url = ""

    def __init__(self, *answers: object) -> None:
        self._answers = iter(answers)

    def ask(self, *_: str, **__: object) -> Any:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_what_is_asked_of_aws_becomes_these_sentences(tmp_path: Path) -> None:
    def asked(look: Callable[[Known], Finding], *answers: object, **texts: str) -> str:
        known = known_with(tmp_path / "journal", **texts)
        known.account = Account(*answers)  # type: ignore[assignment]
        known.replies = {aws.SEE_TABLE: {}}
        known.region = texts.get("AWS_REGION", "")
        return said(known, look)

    write, endpoint = aws.WRITE, "https://cell.example"
    got = {
        "no region": asked(aws.region),
        "its region": asked(aws.region, AWS_REGION="us-east-1"),
        "another region": asked(aws.region, AWS_REGION="eu-west-2"),
        "no secret id": asked(aws.secret, WEATHER_SECRET_ID=""),
        "endpoint set": asked(aws.discovery, TIMESTREAM_ENDPOINT_URL=endpoint),
        "no endpoint": asked(aws.discovery, {}),
        "test record": asked(aws.write_records, failed("ValidationException")),
        "test record taken": asked(aws.write_records, {}),
    }
    region = "(AWS_REGION from the environment)"
    assert_said(
        {
            "no region": f"FAIL no region is set -> {REGION_HELP}",
            "its region": f"ok us-east-1 {region} has Timestream for LiveAnalytics",
            "another region": f"FAIL eu-west-2 {region} has no Timestream for LiveAnalytics"
            f" -> {REGION_HELP}",
            "no secret id": "- not used: WEATHER_SECRET_ID is empty",
            "endpoint set": "- not needed: TIMESTREAM_ENDPOINT_URL is set to cell.example",
            "no endpoint": f"FAIL DescribeEndpoints returned no endpoint. -> {NETWORK}",
            "test record": f"ok {write} is allowed (the test record was rejected, as expected)",
            "test record taken": f"warn {write} is allowed, but Timestream did not reject the test "
            "record -> Look in the table for a measure named check, which should not be there.",
        },
        got,
    )


def test_credentials_become_these_sentences(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = "arn:aws:sts::123456789012:user/you"

    def silent() -> tuple[str, str]:
        raise DeliveryError("STS is silent.", "Try again.")

    def credentials(region: str, identity: Callable[[], tuple[str, str]]) -> str:
        monkeypatch.setenv("AWS_REGION", region)
        monkeypatch.setattr(aws, "Account", lambda *_: SimpleNamespace(identity=identity))
        known.lacking = {"AWS session": "credentials"}
        return said(known, aws.credentials)

    assert_said(
        {
            "known": f"ok account 123456789012, {arn}",
            "not known": "warn their account is not known: STS is silent. -> "
            "A run does not ask STS: ignore this if all else is ok.",
            "no region": "- not checked: needs a region",
        },
        {
            "known": credentials("us-east-1", lambda: ("123456789012", arn)),
            "not known": credentials("us-east-1", silent),
            "no region": credentials("", silent),
        },
    )


def test_a_retention_becomes_these_sentences(known: Known) -> None:
    def retention(hours_ago: float, *, writes: bool = False) -> str:
        known.retention = Retention(24, 365, writes)
        known.observation_ms = epoch_ms() - int(hours_ago * HOUR_MS) if hours_ago else 0
        return said(known, aws.retention)

    stores = "memory store 24 h, magnetic store 365 d, magnetic store writes"
    advice = "Accept older ones: ingest_weather.py setup --update --magnetic-days"
    late = "too old, so Timestream would reject it"
    assert_said(
        {
            "none": f"- {stores} off; no observation to compare it with",
            "fresh": f"ok {stores} off; latest observation 3 h ago",
            "old": f"FAIL {stores} off; latest observation 2 d ago: {late} -> {advice} 365",
            "older": f"FAIL {stores} on; latest observation 500 d ago: {late} -> {advice} 502",
        },
        {
            "none": retention(0),
            "fresh": retention(3),
            "old": retention(48),
            "older": retention(12_000, writes=True),
        },
    )


@pytest.mark.parametrize(
    ("skews_s", "sentence"),
    [
        ({}, "- not checked: needs an answer from AWS or OpenWeatherMap"),
        ({"AWS": 0.5, "OpenWeatherMap": 1}, "ok within 2 s of AWS's and OpenWeatherMap's"),
        (
            {"AWS": -300, "OpenWeatherMap": -300},
            "warn 5 min behind AWS's and OpenWeatherMap's -> Turn NTP on: timedatectl set-ntp true",
        ),
        (
            {"AWS": 0, "OpenWeatherMap": -1200},
            f"warn within 2 s of AWS's; 20 min behind OpenWeatherMap's -> {CACHE}; if not: {NTP}",
        ),
        (
            {"AWS": 1200},
            f"FAIL 20 min ahead of AWS's; AWS refuses its signatures -> {NTP}",
        ),
    ],
    ids=["no answer", "right", "warning", "they disagree", "wrong"],
)
def test_clocks_become_these_sentences(
    known: Known, skews_s: dict[str, float], sentence: str
) -> None:
    clock = Clock()
    clock._skews_s = skews_s
    assert said(known, lambda _: clock.finding()) == sentence


def test_what_openweathermap_answers_becomes_these_sentences(tmp_path: Path) -> None:
    known = known_with(tmp_path / "journal", WEATHER_PLACES="London,GB;Paris,FR")
    got = {}
    error = WeatherError("It is not known.", "Look it up.", permanent=True, kind="not found")
    for name, seen in (("known", observed()), ("unknown", Failure(LONDON, error))):
        known.weather = seen
        got[name] = said(known, weather.place)
    assert_said(
        {
            "known": "ok London,GB is London, GB, id 2643743 (the first of 2 places)",
            "unknown": "FAIL London,GB (the first of 2 places): It is not known. -> Look it up.",
        },
        got,
    )

"""Observations to records to WriteRecords, over real boto3 against the embedded write rules."""

import json
import os
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.retries.standard import ExponentialBackoff
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, aws_error, delay, reset, reset_after, truncate
from embedded.timestream_records import parse_records
from ingest.aws.session import TOTAL_ATTEMPTS, Aws
from ingest.deadline import Deadline
from ingest.errors import AccessError, DeliveryError, IngestError, ReplyError, SettingsError
from ingest.observation import MEASURES, Observation, parse_place, parse_reply
from tests.conftest import DATABASE, TABLE
from timestream_writer import (
    COMMON_ATTRIBUTES,
    Dimension,
    Outcome,
    Record,
    Rejection,
    TimestreamWriter,
    describe_record,
    describe_rejections,
    dimensions_of,
    hint,
    records_of,
)

NEVER_S = 60.0
NOW_S = 1_700_000_000
NOW_MS = NOW_S * 1000
HOUR_MS = 3_600_000
LONDON = parse_place("London,GB")


def observation(place: str = "London,GB", **members: Any) -> Observation:
    valid: dict[str, Any] = {
        "place": parse_place(place),
        "city": "London",
        "country": "GB",
        "city_id": 2643743,
        "time_ms": NOW_MS,
        "version": NOW_MS,
        "values": {"CurrentTemp": "11", "Humidity": "93"},
    }
    return Observation(**{**valid, **members})


def record(number: int = 0, **members: Any) -> Record:
    """A record of its own series: city 0, city 1, ..."""
    valid: dict[str, Any] = {
        "Dimensions": [{"Name": "city", "Value": f"city {number}"}],
        "MeasureName": "Humidity",
        "MeasureValue": "93",
        "Time": str(NOW_MS),
        "Version": NOW_MS,
    }
    made: Any = {**valid, **members}
    return made  # type: ignore[no-any-return]


def bad_record(number: int = 0) -> Record:
    """One for which the whole call is refused: an empty dimension."""
    empty: list[Dimension] = [{"Name": "city", "Value": ""}]
    return record(number, Dimensions=empty)


# Records


def test_a_record_holds_what_the_observation_says() -> None:
    dimensions = [
        {"Name": "city", "Value": "London"},
        {"Name": "country", "Value": "GB"},
        {"Name": "city_id", "Value": "2643743"},
    ]
    shared = {"Dimensions": dimensions, "Time": str(NOW_MS), "Version": NOW_MS + 5}
    assert records_of(observation(version=NOW_MS + 5)) == [
        {**shared, "MeasureName": "CurrentTemp", "MeasureValue": "11"},
        {**shared, "MeasureName": "Humidity", "MeasureValue": "93"},
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, {"city": "London", "country": "GB", "city_id": "2643743"}),
        ({"city_id": 0}, {"city": "London", "country": "GB"}),
        ({"city": ""}, {"country": "GB", "city_id": "2643743"}),
        ({"country": ""}, {"city": "London", "city_id": "2643743"}),
        (
            {"place": "-33.87,+151.20", "city": "", "country": "", "city_id": 0},
            {"latitude": "-33.87", "longitude": "+151.20"},
        ),
        (
            {"place": "51.5085,-0.1257"},
            {
                "city": "London",
                "country": "GB",
                "city_id": "2643743",
                "latitude": "51.5085",
                "longitude": "-0.1257",
            },
        ),
    ],
)
def test_dimensions_are_what_is_known_and_nothing_empty(
    members: dict[str, Any], expected: dict[str, str]
) -> None:
    dimensions = dimensions_of(observation(**members))
    assert {each["Name"]: each["Value"] for each in dimensions} == expected
    assert len(dimensions) == len(expected)


def test_text_is_varchar_and_every_number_the_common_double() -> None:
    records = records_of(observation(values={"Condition": "Mist", "ConditionId": "701"}))
    assert [each.get("MeasureValueType") for each in records] == ["VARCHAR", None]
    assert COMMON_ATTRIBUTES == {"MeasureValueType": "DOUBLE", "TimeUnit": "MILLISECONDS"}


def test_an_observation_without_values_has_no_record() -> None:
    assert records_of(observation(values={})) == []


numbers = st.one_of(
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(),  # NaN and the infinities too
    st.none(),
)
words = st.text(max_size=300).filter(lambda text: text.isascii() or text.isprintable())
replies = st.fixed_dictionaries(
    {
        "dt": st.integers(min_value=1, max_value=4_000_000_000),
        "main": st.dictionaries(
            st.sampled_from([measure.path[-1] for measure in MEASURES.values()]), numbers
        ),
    },
    optional={
        "id": st.integers(min_value=0, max_value=10**12),
        "name": words,
        "sys": st.fixed_dictionaries(
            {}, optional={"country": words, "sunrise": numbers, "sunset": numbers}
        ),
        "wind": st.dictionaries(st.sampled_from(["speed", "deg", "gust"]), numbers),
        "rain": st.dictionaries(st.sampled_from(["1h", "3h"]), numbers),
        "visibility": numbers,
        "weather": st.lists(st.fixed_dictionaries({"id": numbers, "main": words}), max_size=2),
    },
)


@pytest.fixture(scope="module")
def input_shape() -> Any:
    model = botocore.session.get_session().get_service_model("timestream-write")
    return model.operation_model("WriteRecords").input_shape


@settings(max_examples=300, deadline=None)
@given(
    reply=replies,
    place=st.sampled_from(["London", "2643743", "51.5,-0.1", "zip:SW1A,GB"]),
    version=st.integers(min_value=1, max_value=2**53),
)
def test_every_record_of_a_parsed_reply_is_right_without_botocores_validation(
    input_shape: Any, reply: dict[str, Any], place: str, version: int
) -> None:
    where = parse_place(f"{place},GB" if place == "London" else place)
    try:
        parsed = parse_reply(json.dumps(reply).encode(), where, tuple(MEASURES), version)
    except ReplyError:
        return
    records = records_of(parsed)
    assert len(records) == len(parsed.values)
    members = {
        "DatabaseName": DATABASE,
        "TableName": TABLE,
        "CommonAttributes": COMMON_ATTRIBUTES,
        "Records": records,
    }
    report = ParamValidator().validate(members, input_shape)
    assert not report.has_errors(), report.generate_report()
    for each in records:
        assert type(each["Version"]) is int
        assert all(dimension["Value"] for dimension in each["Dimensions"])
    # The service's own rules, beyond types: none may refuse the whole call.
    assert len(parse_records(COMMON_ATTRIBUTES, json.loads(json.dumps(records)))) == len(records)


# The embedded AWS and a writer to it


@pytest.fixture(scope="module")
def service() -> Iterator[EmbeddedAws]:
    """One for all tests here: each makes its table anew."""
    with EmbeddedAws(clock=lambda: NOW_S) as service:
        yield service


class Table:
    """The embedded table, made anew, and writers to it."""

    def __init__(self, service: EmbeddedAws) -> None:
        self.service = service
        self.clients: list[Any] = []
        self.renew()

    def renew(self, **retention: Any) -> None:
        self.service.plan.clear()
        self.service.make_table(DATABASE, TABLE, **retention)
        self.service.forget_requests()

    def writer(
        self, table: str = TABLE, database: str = DATABASE, endpoint_url: str = ""
    ) -> TimestreamWriter:
        writer = TimestreamWriter(Aws(Deadline(NEVER_S), NEVER_S), database, table, endpoint_url)
        writer.discover()
        self.clients.append(writer._client)
        return writer

    def write(self, *records: Record) -> Outcome:
        return self.writer().write(records)

    def actions(self) -> list[str]:
        return [request.action for request in self.service.requests]

    def rows(self) -> dict[str, str]:
        """Value by city."""
        rows = self.service.rows(DATABASE, TABLE)
        return {row.dimensions["city"]: row.value for row in rows}


@pytest.fixture
def table(service: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    table = Table(service)
    yield table
    for client in table.clients:
        client.close()


def failure(outcome: Outcome) -> IngestError:
    assert outcome.failure is not None
    return outcome.failure


# Discovery


def test_discovery_asks_once_and_writes_nothing_and_the_write_does_not_ask_again(
    table: Table,
) -> None:
    writer = table.writer()
    assert table.actions() == ["DescribeEndpoints"]
    assert writer.write([record(1)]) == Outcome(stored=1)
    assert writer.write([record(2)]) == Outcome(stored=1)
    assert table.actions() == ["DescribeEndpoints", "WriteRecords", "WriteRecords"]


def test_a_given_endpoint_is_written_to_without_discovery(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    writer = table.writer(endpoint_url=table.service.url)
    assert table.actions() == []
    assert writer.write([record()]) == Outcome(stored=1)
    assert table.actions() == ["WriteRecords"]


def test_a_client_that_is_not_ready_is_never_written_with(table: Table) -> None:
    table.service.plan.always("DescribeEndpoints", reset())
    writer = TimestreamWriter(Aws(Deadline(NEVER_S), NEVER_S), DATABASE, TABLE)
    with pytest.raises(DeliveryError):
        writer.discover()
    with pytest.raises(AssertionError, match="discover first"):
        writer.write([record()])
    assert "WriteRecords" not in table.actions()


def test_a_denied_discovery_is_told_before_anything_is_written(table: Table) -> None:
    denied = aws_error("AccessDeniedException", "not authorized", 403)
    table.service.plan.always("DescribeEndpoints", denied)
    with pytest.raises(AccessError, match="timestream:DescribeEndpoints on resource"):
        table.writer()
    assert "WriteRecords" not in table.actions()


def test_a_discovery_without_an_answer_is_told(table: Table) -> None:
    table.service.plan.always("DescribeEndpoints", reset())
    with pytest.raises(DeliveryError, match="DescribeEndpoints of Timestream in region us-east-1"):
        table.writer()


def test_a_refused_discovery_within_a_write_rejects_no_record(table: Table) -> None:
    writer = table.writer()
    moved = aws_error("InvalidEndpointException", "The endpoint has moved.", 421)
    table.service.plan.next("WriteRecords", moved)
    table.service.plan.always("DescribeEndpoints", aws_error("ValidationException", "bad"))
    outcome = writer.write([record(1), record(2)])
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert "ValidationException" in str(failure(outcome))


# What is stored


def test_an_observation_is_stored_as_it_was_seen(table: Table) -> None:
    seen = observation(values={"CurrentTemp": "11.5", "Condition": "Mist"})
    assert table.writer().write(records_of(seen)) == Outcome(stored=2)
    dimensions = {"city": "London", "country": "GB", "city_id": "2643743"}
    stored = [
        (row.dimensions, row.measure_name, row.value, row.value_type, row.time_ms, row.version)
        for row in table.service.rows(DATABASE, TABLE)
    ]
    assert stored == [
        (dimensions, "Condition", "Mist", "VARCHAR", NOW_MS, NOW_MS),
        (dimensions, "CurrentTemp", "11.5", "DOUBLE", NOW_MS, NOW_MS),
    ]


def test_a_hundred_records_are_one_call(table: Table) -> None:
    assert table.write(*map(record, range(100))) == Outcome(stored=100)
    assert table.service.count("WriteRecords") == 1
    assert len(table.rows()) == 100


def test_sending_again_what_is_stored_is_harmless(table: Table) -> None:
    table.write(record())
    assert table.write(record()) == Outcome(stored=1)
    assert len(table.rows()) == 1


def test_a_call_of_which_the_end_was_not_seen_stores_once(table: Table) -> None:
    table.service.plan.next("WriteRecords", reset_after())
    assert table.write(record(1), record(2)) == Outcome(stored=2)
    assert table.service.count("WriteRecords") == 2
    assert len(table.service.rows(DATABASE, TABLE)) == 2


@pytest.mark.parametrize("sent_bytes", [0, 5, None])
def test_an_answer_that_breaks_off_confirms_nothing(table: Table, sent_bytes: int | None) -> None:
    table.service.plan.always("WriteRecords", truncate(sent_bytes))
    outcome = table.write(record())
    assert outcome.stored == 0
    assert isinstance(failure(outcome), DeliveryError)
    assert table.service.count("WriteRecords") == TOTAL_ATTEMPTS


@pytest.mark.parametrize("sent_bytes", [0, 5, None])
def test_after_an_answer_that_breaks_off_the_records_are_sent_again(
    table: Table, sent_bytes: int | None
) -> None:
    table.service.plan.next("WriteRecords", truncate(sent_bytes))
    assert table.write(record()) == Outcome(stored=1)
    assert table.service.count("WriteRecords") == 2


# What is rejected


def test_of_a_partial_success_the_others_are_stored(table: Table) -> None:
    old = record(1, Time=str(NOW_MS - 48 * HOUR_MS))
    outcome = table.write(record(0), old, record(2), record(3))
    assert outcome.stored == 3
    assert outcome.failure is None
    (rejection,) = outcome.rejected
    assert rejection.record == old
    assert rejection.existing_version is None
    assert "outside the time range [" in rejection.reason
    assert sorted(table.rows()) == ["city 0", "city 2", "city 3"]


def test_a_single_record_can_be_rejected(table: Table) -> None:
    outcome = table.write(record(Time=str(NOW_MS - 48 * HOUR_MS)))
    assert (outcome.stored, len(outcome.rejected), outcome.failure) == (0, 1, None)


def test_all_of_a_hundred_records_can_be_rejected(table: Table) -> None:
    records = [record(number, Time=str(NOW_MS - 48 * HOUR_MS)) for number in range(100)]
    outcome = table.write(*records)
    assert outcome.stored == 0
    assert [each.record for each in outcome.rejected] == records
    assert table.service.count("WriteRecords") == 1


def test_a_lower_version_is_rejected_with_the_one_that_is_there(table: Table) -> None:
    table.write(record())
    outcome = table.write(record(MeasureValue="94", Version=NOW_MS - 1))
    (rejection,) = outcome.rejected
    assert rejection.existing_version == NOW_MS
    assert table.rows() == {"city 0": "93"}


def test_a_record_that_is_listed_twice_is_rejected_once(table: Table) -> None:
    listed = [
        {"RecordIndex": 2, "Reason": "first"},
        {"RecordIndex": 0, "Reason": "other"},
        {"RecordIndex": 2, "Reason": "second", "ExistingVersion": 7},
    ]
    rejected = aws_error("RejectedRecordsException", "some", 419, RejectedRecords=listed)
    table.service.plan.next("WriteRecords", rejected)
    records = [record(number) for number in range(4)]
    outcome = table.write(*records)
    assert outcome.stored == 2
    assert [each.record for each in outcome.rejected] == [records[0], records[2]]


def test_a_rejection_without_a_reason_says_so(table: Table) -> None:
    rejected = aws_error("RejectedRecordsException", "x", 419, RejectedRecords=[{"RecordIndex": 0}])
    table.service.plan.next("WriteRecords", rejected)
    (rejection,) = table.write(record()).rejected
    assert rejection.reason == "no reason given"


def test_a_rejection_that_lists_nothing_confirms_nothing(table: Table) -> None:
    table.service.plan.next("WriteRecords", aws_error("RejectedRecordsException", "some", 419))
    outcome = table.write(record())
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert isinstance(failure(outcome), DeliveryError)


# A call refused as a whole


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(min_value=1, max_value=100), st.sets(st.integers(0, 99), max_size=3))
@example(1, {0})
@example(2, {0, 1})
@example(100, {0})
@example(100, {99})
@example(100, {49, 50})
@example(7, set(range(7)))
def test_of_a_refused_call_exactly_the_bad_records_are_rejected(
    table: Table, count: int, positions: set[int]
) -> None:
    table.renew()
    bad = {position % count for position in positions}
    records = [bad_record(each) if each in bad else record(each) for each in range(count)]
    outcome = table.write(*records)
    assert outcome.failure is None
    assert outcome.stored == count - len(bad)
    assert [each.record for each in outcome.rejected] == [records[each] for each in sorted(bad)]
    assert set(table.rows()) == {f"city {each}" for each in range(count) if each not in bad}
    assert all("Value is missing or empty" in each.reason for each in outcome.rejected)


def test_one_bad_record_of_a_hundred_costs_few_calls(table: Table) -> None:
    table.write(*map(record, range(99)), bad_record())
    assert table.service.count("WriteRecords") <= 1 + 2 * 7  # two halves a level, 2**7 > 100


def test_a_rejection_within_a_half_is_that_halfs_own_record(table: Table) -> None:
    old = record(2, Time=str(NOW_MS - 48 * HOUR_MS))
    records = [bad_record(0), record(1), old, record(3)]
    outcome = table.write(*records)
    assert outcome.stored == 2
    assert [each.record for each in outcome.rejected] == [records[0], old]


def test_a_failure_amid_the_halving_keeps_what_is_known(table: Table) -> None:
    denied = aws_error("AccessDeniedException", "no", 403)
    go_on = delay(0)
    table.service.plan.next("WriteRecords", go_on, go_on, denied)
    outcome = table.write(record(0), record(1), record(2), bad_record(3))
    assert outcome.stored == 2
    assert outcome.rejected == []
    assert isinstance(failure(outcome), AccessError)
    assert sorted(table.rows()) == ["city 0", "city 1"]
    assert table.service.count("WriteRecords") == 3


def test_a_failure_in_the_first_half_leaves_the_second_for_later(table: Table) -> None:
    table.service.plan.next("WriteRecords", delay(0), aws_error("AccessDeniedException", "no", 403))
    outcome = table.write(bad_record(0), record(1))
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert isinstance(failure(outcome), AccessError)
    assert table.rows() == {}


# Failures that are no record's fault


@pytest.mark.parametrize(
    ("database", "table_name"), [(DATABASE, "nowhere"), ("NOWHERE", TABLE)], ids=["table", "db"]
)
def test_a_missing_table_or_database_names_the_command_that_makes_it(
    table: Table, database: str, table_name: str
) -> None:
    outcome = table.writer(table_name, database).write([record()])
    error = failure(outcome)
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert isinstance(error, SettingsError)
    assert f"{database}.{table_name}" in str(error)
    assert "region us-east-1" in str(error)
    assert "ingest_weather.py setup" in str(error)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(aws_error("ThrottlingException", "slow", 429), id="throttled"),
        pytest.param(answer(503), id="503"),
        pytest.param(reset(), id="reset"),
    ],
)
def test_a_service_that_cannot_now_leaves_all_records_for_later(table: Table, fault: Fault) -> None:
    table.service.plan.always("WriteRecords", fault)
    outcome = table.write(record(1), record(2))
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert isinstance(failure(outcome), DeliveryError)
    assert str(failure(outcome)).startswith(f"Writing to {DATABASE}.{TABLE} in region us-east-1")
    assert table.service.count("WriteRecords") == 3


def test_a_bug_is_not_taken_for_a_failure_of_aws(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = table.writer()

    def broken(**_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(writer._client, "write_records", broken)
    with pytest.raises(KeyError):
        writer.write([record()])


def test_every_record_goes_out_with_its_own_time_dimensions_and_version(table: Table) -> None:
    sent: list[Request] = []

    def note(request: Request) -> None:
        sent.append(request)

    table.service.plan.when("WriteRecords", note)
    table.write(record(1), record(2))
    body = sent[0].json
    assert body["CommonAttributes"] == COMMON_ATTRIBUTES
    assert body["Records"] == [record(1), record(2)]


# A rejection, as a person reads it

TARGET = f"{DATABASE}.{TABLE}"
OLD = "The record timestamp is outside the time range [2020-11-08T23:00, 2020-11-09T00:15) of "
LOWER = (
    "The record version 2 is lower than the existing version 200. "
    "A higher version is required to update the measure value."
)
SAME = (
    "A record already exists with the same time, dimensions, measure name, and record version. "
    "A higher record version must be specified in order to update the measure value."
)


def london_record(**members: Any) -> Record:
    made = observation(time_ms=1604870976000, values={"Humidity": "93"})
    changed: Any = {**records_of(made)[0], **members}
    return changed  # type: ignore[no-any-return]


def rejection(reason: str, existing_version: int | None = None, **members: Any) -> Rejection:
    return Rejection(london_record(**members), reason, existing_version)


def described(*rejections: Rejection, stored: int = 0) -> list[str]:
    text = describe_rejections(Outcome(stored, list(rejections)), TARGET, NOW_MS)
    return text.split("\n")


def test_a_rejection_reads_as_documented() -> None:
    assert described(rejection(OLD + "the memory store."), stored=3) == [
        (
            "Timestream rejected 1 of 4 records for "
            "TIMESTREAM-DEMO.london_weather_information (3 stored):"
        ),
        (
            "  Humidity=93 city=London country=GB city_id=2643743 at 2020-11-08T21:29:36Z "
            f"(1604870976000): {OLD}the memory store."
        ),
        (
            "    The observation is older than the table's memory store keeps. Raise its "
            "retention or enable magnetic store writes, then: ingest_weather.py rejected --retry"
        ),
    ]


def test_a_single_record_is_not_called_records() -> None:
    first = described(rejection("x"))[0]
    assert first == f"Timestream rejected 1 of 1 record for {TARGET} (0 stored):"


def test_a_hundred_rejections_of_one_kind_share_one_hint() -> None:
    many = [rejection(OLD + "the memory store.", MeasureValue=str(number)) for number in range(100)]
    lines = described(*many)
    assert lines[0] == f"Timestream rejected 100 of 100 records for {TARGET} (0 stored):"
    assert [line.split("=")[1].split()[0] for line in lines[1:101]] == [str(n) for n in range(100)]
    assert len(lines) == 102


def test_rejections_of_two_kinds_each_have_their_hint() -> None:
    lines = described(rejection(OLD + "the memory store."), rejection(SAME))
    assert len(lines) == 5
    assert "older than the table's memory store" in lines[2]
    assert "another value" in lines[4]


FUTURE = str(NOW_MS + HOUR_MS)


@pytest.mark.parametrize(
    ("reason", "members", "start"),
    [
        (OLD + "the memory store.", {}, "The observation is older than"),
        (OLD + "the data ingestion window.", {}, "The observation is older than"),
        (OLD + "the memory store.", {"Time": FUTURE}, "The observation lies in the future"),
        (OLD + "the data ingestion window.", {"Time": FUTURE}, "The observation lies in the fut"),
        (SAME, {}, "The table holds another value"),
        (LOWER, {}, "The table holds another value"),
        ("The dimensions' names and values exceed 2048 bytes.", {}, "The record itself"),
        ("no reason given", {}, "The record itself"),
    ],
)
def test_the_hint_fits_the_reason(reason: str, members: dict[str, Any], start: str) -> None:
    assert hint(rejection(reason, **members), NOW_MS).startswith(start)


def test_an_existing_version_that_the_reason_does_not_name_is_added() -> None:
    assert described(rejection(SAME, 200))[1].endswith(f"{SAME} (existing version: 200)")


def test_an_existing_version_that_the_reason_names_is_not_repeated() -> None:
    assert described(rejection(LOWER, 200))[1].endswith(LOWER)


def test_the_embedded_services_own_rejections_get_their_hints(table: Table) -> None:
    table.write(record(0))
    words = ("older than", "in the future", "another value", "The record itself")
    outcome = table.write(
        record(1, Time=str(NOW_MS - 48 * HOUR_MS)),
        record(2, Time=FUTURE),
        record(0, MeasureValue="1"),
        bad_record(4),
    )
    for each, expected in zip(outcome.rejected, words, strict=True):
        assert expected in hint(each, NOW_MS)


def test_control_characters_do_not_reach_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\n\u202eLondon\x9b1m"
    dimensions = dimensions_of(observation(city=evil, country="\x1b"))
    rejected = rejection(f"no {evil}", Dimensions=dimensions, MeasureValue=evil)
    lines = described(rejected)
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert describe_record(rejected.record).isprintable()

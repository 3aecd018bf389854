"""What only Timestream has: records, reasons, cells, and its own refusals.

What every destination promises is in tests/destinations/.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import timestream_writer
from embedded.aws import TIMESTREAM_REGIONS
from embedded.exchange import Request
from embedded.faults import Fault, aws_error, delay, truncate
from embedded.timestream_records import parse_records
from ingest.destination import Kind, Outcome, Rejection
from ingest.errors import (
    AccessError,
    DeliveryError,
    IngestError,
    ReplyError,
    SettingsError,
    ThrottledError,
)
from ingest.observation import MEASURES, Observation
from ingest.openweathermap.reply import parse_reply
from ingest.places import parse_place
from ingest.reporting.rejections import describe_rejections
from tests.conftest import DATABASE, TABLE
from tests.destinations.sites import TimestreamSite, spoilt, timestream_site
from tests.support.destinations import (
    HOUR_MS,
    NOW_MS,
    Trouble,
    seen_in,
    seen_with,
    texts_of,
)
from timestream_writer import (
    ADVICE,
    ATTEMPTS,
    COMMON_ATTRIBUTES,
    REGIONS,
    TimestreamWriter,
    as_sent,
    timestream_error,
)

NAME = f"{DATABASE}.{TABLE}"
OLD_MS = NOW_MS - 48 * HOUR_MS


@pytest.fixture(scope="module")
def standing_site() -> Iterator[TimestreamSite]:
    with timestream_site() as site:
        yield site


@pytest.fixture
def site(standing_site: TimestreamSite) -> TimestreamSite:
    standing_site.renew()
    return standing_site


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


def one(number: int, **members: Any) -> Observation:
    """An observation of one value, and so one record."""
    return replace(seen_in(f"city {number}", Humidity="93"), **members)


def bad(number: int) -> Observation:
    """One record for which the whole call is refused."""
    return one(number, values={"Humidity": "not a number"})


def cities(outcome: Outcome) -> list[str]:
    return [each.observation.city for each in outcome.rejected]


def failure(outcome: Outcome) -> IngestError:
    assert outcome.failure is not None
    return outcome.failure


# Records


def test_a_record_holds_what_the_observation_says() -> None:
    dimensions = [
        {"Name": "city", "Value": "London"},
        {"Name": "country", "Value": "GB"},
        {"Name": "city_id", "Value": "2643743"},
    ]
    shared = {"Dimensions": dimensions, "Time": str(NOW_MS), "Version": NOW_MS + 5}
    assert as_sent(observation(version=NOW_MS + 5)) == [
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
    for record in as_sent(observation(**members)):
        dimensions = {each["Name"]: each["Value"] for each in record["Dimensions"]}
        assert dimensions == expected
        assert len(record["Dimensions"]) == len(expected)


def test_text_is_varchar_and_every_number_the_common_double() -> None:
    values = {"Condition": "Mist", "ConditionId": "701", "Sunrise": "1604818000000"}
    records = as_sent(observation(values=values))
    assert [each.get("MeasureValueType") for each in records] == ["VARCHAR", None, None]
    assert COMMON_ATTRIBUTES == {"MeasureValueType": "DOUBLE", "TimeUnit": "MILLISECONDS"}


def test_an_observation_without_values_has_no_record() -> None:
    assert as_sent(observation(values={})) == []


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


@settings(max_examples=300)
@given(
    reply=replies,
    place=st.sampled_from(["London,GB", "2643743", "51.5,-0.1", "zip:SW1A,GB"]),
    version=st.integers(min_value=1, max_value=2**53),
)
def test_every_record_of_a_parsed_reply_is_right_without_botocores_validation(
    input_shape: Any, reply: dict[str, Any], place: str, version: int
) -> None:
    try:
        parsed = parse_reply(json.dumps(reply).encode(), parse_place(place), (*MEASURES,), version)
    except ReplyError:
        return
    records = as_sent(parsed)
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


def test_every_record_goes_out_with_its_own_time_dimensions_and_version(
    site: TimestreamSite,
) -> None:
    seen = [observation(), observation("51.5,-0.1", time_ms=NOW_MS - 1000, version=NOW_MS + 7)]
    site.ready().write(seen)
    body = site.service.requests[-1].json
    assert body == {
        "DatabaseName": DATABASE,
        "TableName": TABLE,
        "CommonAttributes": COMMON_ATTRIBUTES,
        "Records": [record for each in seen for record in as_sent(each)],
    }


def test_an_observation_is_stored_as_it_was_seen(site: TimestreamSite) -> None:
    seen = observation(values={"CurrentTemp": "11.5", "Condition": "Mist"})
    assert site.ready().write([seen]) == Outcome(stored=2)
    dimensions = {"city": "London", "country": "GB", "city_id": "2643743"}
    stored = [
        (row.dimensions, row.measure_name, row.value, row.value_type, row.time_ms, row.version)
        for row in site.service.rows(DATABASE, TABLE)
    ]
    assert stored == [
        (dimensions, "Condition", "Mist", "VARCHAR", NOW_MS, NOW_MS),
        (dimensions, "CurrentTemp", "11.5", "DOUBLE", NOW_MS, NOW_MS),
    ]


def test_a_hundred_records_are_one_call(site: TimestreamSite) -> None:
    writer = site.ready()
    observations = [one(number) for number in range(100)]
    assert sum(map(writer.size, observations)) == writer.capacity == 100
    assert writer.write(observations) == Outcome(stored=100)
    assert site.service.count("WriteRecords") == 1
    assert len(site.rows()) == 100


# Where it writes


def test_the_target_names_region_database_and_table(site: TimestreamSite) -> None:
    names = {"TIMESTREAM_DATABASE": "db-1", "TIMESTREAM_TABLE": "table_1"}
    assert site.open(settings=names).target == "us-east-1/db-1.table_1"
    assert site.open(settings=names).name == "db-1.table_1"


def test_without_a_region_there_is_no_writer(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    site.restart()
    with pytest.raises(SettingsError):
        site.open()


def test_the_regions_are_those_of_the_embedded_service_and_govcloud() -> None:
    assert set(REGIONS) == TIMESTREAM_REGIONS | {"us-gov-west-1"}


def test_a_missing_table_or_database_names_the_command_that_makes_it(site: TimestreamSite) -> None:
    for setting in ("TIMESTREAM_TABLE", "TIMESTREAM_DATABASE"):
        writer = site.open(settings={setting: "nowhere"})
        writer.prepare()
        outcome = writer.write([one(0)])
        error = failure(outcome)
        assert (outcome.stored, outcome.rejected) == (0, [])
        assert isinstance(error, SettingsError)
        assert f"{writer.name} in region us-east-1" in error.what
        assert "ingest_weather.py setup" in error.advice


# Answers that break off


def test_an_answer_that_breaks_off_confirms_nothing(site: TimestreamSite) -> None:
    for sent_bytes in (0, 5, None):
        site.renew()
        site.service.plan.always("WriteRecords", truncate(sent_bytes))
        outcome = site.ready().write([one(0)])
        assert outcome.stored == 0
        assert type(failure(outcome)) is DeliveryError
        assert site.service.count("WriteRecords") == ATTEMPTS


def test_after_an_answer_that_breaks_off_the_records_are_sent_again(site: TimestreamSite) -> None:
    for sent_bytes in (0, 5, None):
        site.renew()
        site.service.plan.next("WriteRecords", truncate(sent_bytes))
        assert site.ready().write([one(0)]) == Outcome(stored=1)
        assert site.service.count("WriteRecords") == 2
        assert len(site.rows()) == 1


def test_a_failure_says_table_region_and_what_aws_said(site: TimestreamSite) -> None:
    site.always(Trouble.THROTTLED)
    error = failure(site.ready().write([one(0)]))
    assert isinstance(error, ThrottledError)
    for each in (NAME, "us-east-1", "HTTP 429", "ThrottlingException: Rate exceeded"):
        assert each in error.what


# Rejected records


def rejected(*listed: object, **members: object) -> Fault:
    """HTTP 419 with this list."""
    members = {"RejectedRecords": list(listed), **members}
    return aws_error("RejectedRecordsException", "some", 419, **members)


def test_all_of_a_hundred_records_can_be_rejected(site: TimestreamSite) -> None:
    observations = [one(number, time_ms=OLD_MS) for number in range(100)]
    outcome = site.ready().write(observations)
    assert (outcome.stored, outcome.failure) == (0, None)
    assert [each.observation for each in outcome.rejected] == observations
    assert {each.kind for each in outcome.rejected} == {Kind.TOO_OLD}
    assert site.service.count("WriteRecords") == 1


def test_a_record_that_is_listed_twice_is_rejected_once(site: TimestreamSite) -> None:
    fault = rejected(
        {"RecordIndex": 2, "Reason": "first"},
        {"RecordIndex": 0, "Reason": "other"},
        {"RecordIndex": 2, "Reason": "second", "ExistingVersion": 7},
    )
    site.service.plan.next("WriteRecords", fault)
    outcome = site.ready().write([one(number) for number in range(4)])
    assert outcome.stored == 2
    assert cities(outcome) == ["city 0", "city 2"]


def test_a_rejection_without_a_reason_says_so(site: TimestreamSite) -> None:
    said = set()
    for reason in ({}, {"Reason": None}, {"Reason": " "}, {"Reason": 7}):
        site.service.plan.next("WriteRecords", rejected({"RecordIndex": 0, **reason}))
        (rejection,) = site.ready().write([one(0)]).rejected
        said.add((rejection.reason, rejection.kind))
    ((text, kind),) = said
    assert (bool(text.strip()), kind) == (True, Kind.RECORD)


def test_an_existing_version_that_can_be_none_is_not_believed(site: TimestreamSite) -> None:
    believed = []
    for version in (-1, 2**63, 1.5, "7", True, None, [7]):
        listed = {"RecordIndex": 0, "Reason": "no", "ExistingVersion": version}
        site.service.plan.next("WriteRecords", rejected(listed))
        (rejection,) = site.ready().write([one(0)]).rejected
        if (rejection.existing_version, rejection.kind) != (None, Kind.RECORD):
            believed.append(version)
    assert believed == []


def test_a_list_of_rejections_that_does_not_fit_the_call_confirms_nothing(
    site: TimestreamSite,
) -> None:
    numbers = (None, "0", 0.0, True, -1, 2, 2**70)
    lists: list[object] = [*([{"RecordIndex": number}] for number in numbers)]
    lists += [[], None, 7, "all", {"RecordIndex": 0}, [None], ["0"], [[0]], [{}]]
    lists.append([{"RecordIndex": 0}, {"RecordIndex": 2}])
    confirmed = []
    for listed in lists:
        site.renew()
        site.service.plan.always("WriteRecords", rejected(RejectedRecords=listed))
        outcome = site.ready().write([one(0), one(1)])
        known = (outcome.stored, outcome.rejected, site.service.count("WriteRecords"))
        if (*known, type(outcome.failure)) != (0, [], 1, DeliveryError):
            confirmed.append(listed)
    assert confirmed == []


odd_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 5), st.floats(0, 3), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["RecordIndex", "Reason", "ExistingVersion", "x"]), inner, max_size=4
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd_json)
def test_whatever_is_listed_every_value_is_counted_once(
    site: TimestreamSite, listed: object
) -> None:
    site.renew()
    site.service.plan.next("WriteRecords", rejected(RejectedRecords=listed))
    outcome = site.ready().write([one(0), one(1)])
    if outcome.failure:
        assert (outcome.stored, outcome.rejected) == (0, [])
    else:
        assert outcome.stored + len(outcome.rejected) == 2
        assert len(set(cities(outcome))) == len(outcome.rejected)


OLD = "The record timestamp is outside the time range [2020-11-08T23:00, 2020-11-09T00:15) of "
LOWER = (
    "The record version 2 is lower than the existing version 200. "
    "A higher version is required to update the measure value."
)
SAME = (
    "A record already exists with the same time, dimensions, measure name, and record version. "
    "A higher record version must be specified in order to update the measure value. "
    "Specifying record version is supported by the latest SDKs."
)


@pytest.mark.parametrize(
    ("reason", "time_ms", "existing_version", "kind"),
    [
        (OLD + "the memory store.", NOW_MS, None, Kind.TOO_OLD),
        (OLD + "the data ingestion window.", NOW_MS, None, Kind.TOO_OLD),
        (OLD + "the memory store.", NOW_MS + HOUR_MS, None, Kind.IN_FUTURE),
        (OLD + "the data ingestion window.", NOW_MS + HOUR_MS, None, Kind.IN_FUTURE),
        (SAME, NOW_MS, None, Kind.OLDER_VERSION),
        (LOWER, NOW_MS, 200, Kind.OLDER_VERSION),
        ("Something new.", NOW_MS, 200, Kind.OLDER_VERSION),
        ("A required partition key is missing from the record.", NOW_MS, None, Kind.SCHEMA),
        (
            "The measure value type DOUBLE does not match the type BIGINT that the measure has.",
            NOW_MS,
            None,
            Kind.SCHEMA,
        ),
        ("The dimensions' names and values exceed 2048 bytes.", NOW_MS, None, Kind.RECORD),
        ("The measure name is longer than 256 bytes.", NOW_MS, None, Kind.RECORD),
        ("Something new.", NOW_MS, None, Kind.RECORD),
    ],
)
def test_the_kind_of_a_rejection_is_in_its_reason(
    site: TimestreamSite, reason: str, time_ms: int, existing_version: int | None, kind: Kind
) -> None:
    listed = {"RecordIndex": 0, "Reason": reason, "ExistingVersion": existing_version}
    site.service.plan.next("WriteRecords", rejected(listed))
    (rejection,) = site.ready().write([one(0, time_ms=time_ms)]).rejected
    assert rejection == Rejection(
        one(0, time_ms=time_ms), "Humidity", kind, reason, existing_version
    )


def test_the_future_is_measured_from_the_fetch(
    site: TimestreamSite,
) -> None:
    listed = {"RecordIndex": 0, "Reason": OLD + "the memory store."}
    site.service.plan.next("WriteRecords", rejected(listed))
    ahead = one(0, time_ms=OLD_MS, version=OLD_MS - HOUR_MS)
    (rejection,) = site.ready().write([ahead]).rejected
    assert rejection.kind == Kind.IN_FUTURE


# Calls that are refused as a whole


def test_a_rejection_within_a_half_is_that_halfs_own_record(site: TimestreamSite) -> None:
    outcome = site.ready().write([bad(0), one(1), one(2, time_ms=OLD_MS), one(3)])
    assert (outcome.stored, outcome.failure) == (2, None)
    assert cities(outcome) == ["city 0", "city 2"]
    assert [each.kind for each in outcome.rejected] == [Kind.RECORD, Kind.TOO_OLD]


def test_a_bad_record_takes_nothing_of_its_own_observation_with_it(site: TimestreamSite) -> None:
    outcome = site.ready().write([spoilt("London")])
    assert [each.measure for each in outcome.rejected] == ["Humidity"]
    assert outcome.stored == 1


def test_a_failure_during_the_halving_keeps_what_is_known(site: TimestreamSite) -> None:
    denied, go_on = aws_error("AccessDeniedException", "no", 403), delay(0)
    site.service.plan.next("WriteRecords", go_on, go_on, denied)
    outcome = site.ready().write([one(0), one(1), one(2), bad(3)])
    assert outcome.stored == 2
    assert outcome.rejected == []
    assert isinstance(failure(outcome), AccessError)
    assert sorted(city for city, _, _ in site.rows()) == ["city 0", "city 1"]
    assert site.service.count("WriteRecords") == 3


def test_a_failure_in_the_first_half_leaves_the_second_for_later(site: TimestreamSite) -> None:
    denied = aws_error("AccessDeniedException", "no", 403)
    site.service.plan.next("WriteRecords", delay(0), denied)
    outcome = site.ready().write([bad(0), one(1)])
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert isinstance(failure(outcome), AccessError)
    assert site.rows() == {}


def test_what_was_rejected_before_a_failure_is_left_pending_with_the_rest(
    site: TimestreamSite,
) -> None:
    denied, go_on = aws_error("AccessDeniedException", "no", 403), delay(0)
    site.service.plan.next("WriteRecords", go_on, go_on, denied)
    outcome = site.ready().write([bad(0), one(1)])
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert isinstance(failure(outcome), AccessError)


def refusing(message: str) -> Fault:
    return aws_error("ValidationException", message)


def test_a_reason_that_every_record_meets_is_not_their_fault(site: TimestreamSite) -> None:
    site.service.plan.when("WriteRecords", lambda _: refusing("The account is being closed"))
    outcome = site.ready().write([one(number) for number in range(100)])
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert type(failure(outcome)) is SettingsError
    assert "ValidationException: The account is being closed" in failure(outcome).what
    # Halves of 50, 25, 12, 6, 3 and 1; then the two next to that one, and one of these.
    assert site.service.count("WriteRecords") == 1 + 6 + 2


def test_a_reason_that_speaks_of_the_record_is_always_the_records_own(
    site: TimestreamSite,
) -> None:
    for message in (
        "Invalid time for record.",
        "The dimension name is invalid.",
        "MeasureValue is not a DOUBLE.",
        "A value is too long.",
    ):
        site.service.plan.always("WriteRecords", refusing(message))
        outcome = site.ready().write([one(number) for number in range(4)])
        assert (outcome.stored, outcome.failure) == (0, None)
        said = {(each.reason, each.kind) for each in outcome.rejected}
        assert (said, len(outcome.rejected)) == ({(message, Kind.RECORD)}, 4)


def test_a_reason_that_one_observation_alone_meets_is_its_own(site: TimestreamSite) -> None:
    def refuse(request: Request) -> Fault | None:
        names = [each["Dimensions"][0]["Value"] for each in request.json["Records"]]
        return refusing("No such thing.") if "Bad" in names else None

    site.service.plan.when("WriteRecords", refuse)
    outcome = site.ready().write([seen_in("Good"), seen_in("Bad"), seen_in("Better")])
    assert (outcome.stored, outcome.failure) == (4, None)
    assert cities(outcome) == ["Bad", "Bad"]
    assert site.rows() == texts_of([seen_in("Good"), seen_in("Better")])


def test_single_records_that_are_refused_for_different_reasons_are_each_rejected(
    site: TimestreamSite,
) -> None:
    def refuse(request: Request) -> Fault:
        first = request.json["Records"][0]["Dimensions"][0]["Value"]
        return refusing(f"No {first}.")

    site.service.plan.when("WriteRecords", refuse)
    outcome = site.ready().write([one(0), one(1)])
    assert [each.reason for each in outcome.rejected] == ["No city 0.", "No city 1."]


# Bugs


def test_a_bug_in_a_call_is_not_taken_for_a_failure_of_aws(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = site.ready()

    def broken(**_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(writer._client, "write_records", broken)
    with pytest.raises(KeyError):
        writer.write([one(0)])


def test_a_bug_in_a_handler_that_botocore_calls_is_not_taken_for_a_failure_of_aws(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore's own frames are in its traceback."""
    writer = site.ready()
    sent = as_sent(one(0))
    sent[0]["Version"] = {7}  # no JSON
    monkeypatch.setattr(timestream_writer, "as_sent", lambda _: sent)
    with pytest.raises(TypeError):
        writer.write([one(0)])


# Errors, as the commands say them


def test_an_error_of_ours_stays_as_it_is() -> None:
    ours = DeliveryError("Looking up failed.")
    assert timestream_error(ours, "Writing", "eu-west-2") is ours


# A rejection, as a person reads it


@pytest.fixture(scope="module")
def writer(standing_site: TimestreamSite) -> TimestreamWriter:
    return standing_site.open()


def london(**members: Any) -> Observation:
    return observation(**{"time_ms": 1604870976000, "values": {"Humidity": "93"}, **members})


def rejection(
    reason: str,
    kind: Kind = Kind.TOO_OLD,
    existing_version: int | None = None,
    **members: Any,
) -> Rejection:
    return Rejection(london(**members), "Humidity", kind, reason, existing_version)


def described(writer: TimestreamWriter, *rejections: Rejection, stored: int = 0) -> list[str]:
    return describe_rejections(Outcome(stored, list(rejections)), writer).split("\n")


def test_a_rejection_reads_as_documented(writer: TimestreamWriter) -> None:
    assert described(writer, rejection(OLD + "the memory store."), stored=3) == [
        (
            "Timestream rejected 1 of 4 records for "
            "TIMESTREAM-DEMO.london_weather_information (3 stored):"
        ),
        (
            "  Humidity=93 city=London country=GB city_id=2643743 at 2020-11-08T21:29:36Z "
            f"(1604870976000): {OLD}the memory store."
        ),
        f"    {ADVICE[Kind.TOO_OLD]}",
    ]


def test_a_single_record_is_not_called_records(writer: TimestreamWriter) -> None:
    first = described(writer, rejection("x"))[0]
    assert first == f"Timestream rejected 1 of 1 record for {NAME} (0 stored):"


def test_a_hundred_rejections_of_one_kind_share_one_advice(writer: TimestreamWriter) -> None:
    many = [rejection(OLD, values={"Humidity": str(number)}) for number in range(100)]
    lines = described(writer, *many)
    assert lines[0] == f"Timestream rejected 100 of 100 records for {NAME} (0 stored):"
    assert [line.split("=")[1].split()[0] for line in lines[1:101]] == [str(n) for n in range(100)]
    assert len(lines) == 102


def test_rejections_of_two_kinds_each_have_their_advice(writer: TimestreamWriter) -> None:
    lines = described(writer, rejection(OLD), rejection(SAME, Kind.OLDER_VERSION))
    assert lines[2::2] == [f"    {ADVICE[kind]}" for kind in (Kind.TOO_OLD, Kind.OLDER_VERSION)]


def test_every_kind_has_an_advice_of_its_own() -> None:
    assert list(ADVICE) == list(Kind)
    assert len(set(ADVICE.values())) == len(Kind)


def test_an_existing_version_that_the_reason_does_not_name_is_added(
    writer: TimestreamWriter,
) -> None:
    line = described(writer, rejection(SAME, Kind.OLDER_VERSION, 200))[1]
    assert line.endswith(f"{SAME} (existing version: 200)")


def test_an_existing_version_that_the_reason_names_is_not_repeated(
    writer: TimestreamWriter,
) -> None:
    line = described(writer, rejection(LOWER, Kind.OLDER_VERSION, 200))[1]
    assert line.endswith(LOWER)


def test_the_embedded_services_own_rejections_get_their_advice(site: TimestreamSite) -> None:
    writer = site.ready()
    writer.write([one(0)])
    site.holds_another_type("Pressure")
    outcome = writer.write(
        [
            one(1, time_ms=OLD_MS),
            one(2, time_ms=NOW_MS + HOUR_MS),
            one(0, values={"Humidity": "1"}),
            seen_with("city 3", {"Pressure": "999"}),
            bad(4),
        ]
    )
    assert [writer.advice(each) for each in outcome.rejected] == [ADVICE[kind] for kind in Kind]


def test_control_characters_do_not_reach_the_terminal(writer: TimestreamWriter) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\n\u202eLondon\x9b1m"
    said = rejection(f"no {evil}", city=evil, country="\x1b", values={"Humidity": evil})
    lines = described(writer, said)
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_a_reason_is_kept_on_one_line(site: TimestreamSite) -> None:
    listed = {"RecordIndex": 0, "Reason": "first\r\n\x1b[2Jsecond"}
    site.service.plan.next("WriteRecords", rejected(listed))
    (said,) = site.ready().write([one(0)]).rejected
    assert said.reason.isprintable()

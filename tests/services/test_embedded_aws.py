"""The embedded AWS as boto3 meets it over a socket."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.discovery import EndpointDiscoveryRefreshFailed
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import (
    Fault,
    answer,
    aws_error,
    delay,
    empty,
    reset,
    reset_after,
    stall,
    truncate,
)

DATABASE, TABLE = "TIMESTREAM-DEMO", "london_weather_information"
NO_RETRIES = Config(retries={"total_max_attempts": 1}, read_timeout=5, connect_timeout=5)
Record = dict[str, Any]
Client = Any
Clients = Callable[..., Client]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """Makes boto3 clients of an embedded AWS and closes them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with contextlib.ExitStack() as opened:

        def make(
            aws: EmbeddedAws, service: str, config: Config = NO_RETRIES, **arguments: Any
        ) -> Client:
            for name, value in aws.environment().items():
                monkeypatch.setenv(name, value)
            session: Any = boto3.Session()
            client = session.client(service, config=config, **arguments)
            return opened.enter_context(contextlib.closing(client))

        yield make


@pytest.fixture
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as embedded:
        embedded.make_table(DATABASE, TABLE)
        yield embedded


@pytest.fixture
def timestream(aws: EmbeddedAws, clients: Clients) -> Client:
    return clients(aws, "timestream-write")


@pytest.fixture
def secretsmanager(aws: EmbeddedAws, clients: Clients) -> Client:
    return clients(aws, "secretsmanager")


def record(**members: object) -> Record:
    valid = {
        "Dimensions": [{"Name": "city", "Value": "London"}],
        "MeasureName": "CurrentTemp",
        "MeasureValue": "9.5",
        "Time": str(int(time.time() * 1000)),
    }
    return {**valid, **members}


def write(client: Client, *records: Record, **members: Any) -> dict[str, Any]:
    response = client.write_records(
        DatabaseName=DATABASE, TableName=TABLE, Records=list(records), **members
    )
    return dict(response["RecordsIngested"])


def refusal(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


# Writing


def test_boto3_discovers_the_endpoint_and_writes_to_it(
    aws: EmbeddedAws, timestream: Client
) -> None:
    ingested = write(timestream, record())
    write(timestream, record(MeasureName="Humidity"))
    assert ingested == {"Total": 1, "MemoryStore": 1, "MagneticStore": 0}
    assert [request.action for request in aws.requests] == [
        "DescribeEndpoints",
        "WriteRecords",
        "WriteRecords",
    ]
    assert {request.host for request in aws.requests} == {aws.url.removeprefix("http://")}
    assert [row.measure_name for row in aws.rows(DATABASE, TABLE)] == ["CurrentTemp", "Humidity"]


def test_an_explicit_endpoint_skips_discovery(aws: EmbeddedAws, clients: Clients) -> None:
    client = clients(aws, "timestream-write", endpoint_url=aws.url)
    write(client, record())
    assert (aws.count("DescribeEndpoints"), aws.count("WriteRecords")) == (0, 1)


def test_common_attributes_reach_the_rows(aws: EmbeddedAws, timestream: Client) -> None:
    common = {"Dimensions": [{"Name": "country", "Value": "GB"}], "Version": 7}
    write(timestream, record(), CommonAttributes=common)
    (row,) = aws.rows(DATABASE, TABLE)
    assert (row.dimensions, row.version) == ({"city": "London", "country": "GB"}, 7)


def test_rejected_records_come_with_index_reason_and_existing_version(
    aws: EmbeddedAws, timestream: Client
) -> None:
    stored = record(Version=200)
    write(timestream, stored)
    with pytest.raises(timestream.exceptions.RejectedRecordsException) as caught:
        write(
            timestream,
            record(MeasureName="Humidity"),
            {**stored, "Version": 2, "MeasureValue": "1"},
            record(Time="1604870976000"),
        )
    assert refusal(caught) == ("RejectedRecordsException", 419)
    lower, outside = caught.value.response["RejectedRecords"]
    assert (lower["RecordIndex"], lower["ExistingVersion"]) == (1, 200)
    assert outside["RecordIndex"] == 2
    assert outside["Reason"].endswith("of the memory store.")
    assert "ExistingVersion" not in outside
    assert len(aws.rows(DATABASE, TABLE)) == 2


def test_101_records_are_refused_by_the_service_too(aws: EmbeddedAws, clients: Clients) -> None:
    config = NO_RETRIES.merge(Config(parameter_validation=False))
    client = clients(aws, "timestream-write", config=config)
    with pytest.raises(ClientError) as caught:
        write(client, *[record()] * 101)
    assert refusal(caught) == ("ValidationException", 400)
    assert aws.rows(DATABASE, TABLE) == []


def test_numbers_where_strings_belong_are_a_serialization_error(
    aws: EmbeddedAws, clients: Clients
) -> None:
    config = NO_RETRIES.merge(Config(parameter_validation=False))
    client = clients(aws, "timestream-write", config=config)
    with pytest.raises(ClientError) as caught:
        write(client, record(MeasureValue=9.5))
    assert refusal(caught) == ("SerializationException", 400)


@pytest.mark.parametrize(("database", "table"), [("missing", TABLE), (DATABASE, "missing")])
def test_writing_to_a_missing_table_is_a_404(timestream: Client, database: str, table: str) -> None:
    with pytest.raises(timestream.exceptions.ResourceNotFoundException) as caught:
        timestream.write_records(DatabaseName=database, TableName=table, Records=[record()])
    assert refusal(caught) == ("ResourceNotFoundException", 404)


def test_retention_is_measured_by_the_servers_clock(
    clients: Clients,
) -> None:
    with EmbeddedAws(clock=lambda: 1_604_870_976.0) as embedded:
        embedded.make_table(DATABASE, TABLE, memory_hours=1)
        client = clients(embedded, "timestream-write")
        assert write(client, record(Time="1604870976000"))["MemoryStore"] == 1


def test_an_updated_retention_holds_for_the_next_write(
    timestream: Client,
) -> None:
    two_days_ago = str(int(time.time() - 2 * 86400) * 1000)
    with pytest.raises(timestream.exceptions.RejectedRecordsException):
        write(timestream, record(Time=two_days_ago))
    timestream.update_table(
        DatabaseName=DATABASE,
        TableName=TABLE,
        MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
    )
    assert write(timestream, record(Time=two_days_ago))["MagneticStore"] == 1


# Control plane


def test_a_table_is_made_described_and_dropped_over_the_wire(
    aws: EmbeddedAws, timestream: Client
) -> None:
    names = {"DatabaseName": "second", "TableName": "weather"}
    timestream.create_database(DatabaseName="second")
    timestream.create_table(**names)
    assert timestream.describe_table(**names)["Table"]["TableStatus"] == "ACTIVE"
    timestream.write_records(**names, Records=[record()])
    timestream.delete_table(**names)
    timestream.create_table(**names)
    assert aws.rows("second", "weather") == []


def test_making_what_exists_is_a_conflict(timestream: Client) -> None:
    with pytest.raises(timestream.exceptions.ConflictException) as caught:
        timestream.create_database(DatabaseName=DATABASE)
    assert refusal(caught) == ("ConflictException", 409)
    with pytest.raises(timestream.exceptions.ConflictException) as caught:
        timestream.create_table(DatabaseName=DATABASE, TableName=TABLE)
    assert refusal(caught) == ("ConflictException", 409)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("describe_database", {"DatabaseName": "missing"}),
        ("delete_database", {"DatabaseName": "missing"}),
        ("update_database", {"DatabaseName": "missing", "KmsKeyId": "key"}),
        ("list_tables", {"DatabaseName": "missing"}),
        ("create_table", {"DatabaseName": "missing", "TableName": TABLE}),
        ("describe_table", {"DatabaseName": "missing", "TableName": TABLE}),
        ("describe_table", {"DatabaseName": DATABASE, "TableName": "missing"}),
        ("update_table", {"DatabaseName": DATABASE, "TableName": "missing"}),
        ("delete_table", {"DatabaseName": DATABASE, "TableName": "missing"}),
    ],
)
def test_what_is_missing_is_a_404(
    timestream: Client, operation: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(timestream.exceptions.ResourceNotFoundException) as caught:
        getattr(timestream, operation)(**arguments)
    assert refusal(caught) == ("ResourceNotFoundException", 404)


def test_a_name_with_other_characters_is_refused(timestream: Client) -> None:
    with pytest.raises(timestream.exceptions.ValidationException):
        timestream.create_database(DatabaseName="with space")


def test_a_database_with_tables_is_not_deleted(timestream: Client) -> None:
    with pytest.raises(timestream.exceptions.ValidationException):
        timestream.delete_database(DatabaseName=DATABASE)


def test_updating_one_property_keeps_the_others(timestream: Client) -> None:
    updated = timestream.update_table(
        DatabaseName=DATABASE,
        TableName=TABLE,
        MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
    )["Table"]
    assert updated["RetentionProperties"]["MemoryStoreRetentionPeriodInHours"] == 24


@pytest.mark.parametrize("region", ["us-west-2", "eu-west-1", "ap-south-1"])
def test_each_region_of_timestream_is_played(region: str, clients: Clients) -> None:
    with EmbeddedAws(region) as embedded:
        embedded.make_table(DATABASE, TABLE)
        client = clients(embedded, "timestream-write")
        assert write(client, record())["Total"] == 1


def test_a_region_without_timestream_fails_discovery(aws: EmbeddedAws, clients: Clients) -> None:
    client = clients(aws, "timestream-write", region_name="eu-west-2")
    with pytest.raises(EndpointDiscoveryRefreshFailed):
        write(client, record())


# Secrets and identity


@pytest.mark.parametrize(
    ("value", "member"), [('{"key": "1"}', "SecretString"), (b'{"key": "1"}', "SecretBinary")]
)
def test_a_secret_is_read_back_as_it_was_put(
    aws: EmbeddedAws, secretsmanager: Client, value: str | bytes, member: str
) -> None:
    aws.put_secret("weather-ingest", value)
    secret = secretsmanager.get_secret_value(SecretId="weather-ingest")
    assert secret.get(member) == value
    assert len({"SecretString", "SecretBinary"} & set(secret)) == 1


def test_putting_a_secret_again_replaces_it(aws: EmbeddedAws, secretsmanager: Client) -> None:
    aws.put_secret("weather-ingest", "old")
    aws.put_secret("weather-ingest", "new")
    assert secretsmanager.get_secret_value(SecretId="weather-ingest")["SecretString"] == "new"


def test_a_secret_is_found_by_its_arn(aws: EmbeddedAws, secretsmanager: Client) -> None:
    aws.put_secret("weather-ingest", "value")
    arn = secretsmanager.get_secret_value(SecretId="weather-ingest")["ARN"]
    assert secretsmanager.get_secret_value(SecretId=arn)["SecretString"] == "value"


def test_a_missing_secret_is_not_found(secretsmanager: Client) -> None:
    with pytest.raises(secretsmanager.exceptions.ResourceNotFoundException):
        secretsmanager.get_secret_value(SecretId="weather-ingest")


def test_sts_names_the_owner_of_credentials(aws: EmbeddedAws, clients: Clients) -> None:
    client = clients(aws, "sts")
    assert client.get_caller_identity()["Account"] == "123456789012"
    assert aws.count("GetCallerIdentity") == 1


# The server


def test_each_instance_begins_empty(clients: Clients) -> None:
    with EmbeddedAws() as first:
        first.put_secret("weather-ingest", "value")
        first.make_table(DATABASE, TABLE)
    with EmbeddedAws() as second:
        timestream = clients(second, "timestream-write")
        secretsmanager = clients(second, "secretsmanager")
        assert timestream.list_databases()["Databases"] == []
        assert secretsmanager.list_secrets()["SecretList"] == []


def test_a_stopped_server_starts_again_with_what_it_had(
    aws: EmbeddedAws, timestream: Client
) -> None:
    write(timestream, record())
    url = aws.url
    aws.stop()
    aws.start()
    assert aws.url == url
    assert len(aws.rows(DATABASE, TABLE)) == 1
    write(timestream, record(MeasureName="Humidity"))
    assert len(aws.rows(DATABASE, TABLE)) == 2


def test_requests_hold_what_was_asked(aws: EmbeddedAws, timestream: Client) -> None:
    write(timestream, record())
    asked = aws.requests[-1].json
    assert (asked["DatabaseName"], asked["TableName"]) == (DATABASE, TABLE)
    assert asked["Records"][0]["MeasureValue"] == "9.5"
    aws.forget_requests()
    assert aws.requests == []


# Faults


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_an_error_reaches_boto3_with_its_code_message_and_status(
    aws: EmbeddedAws, timestream: Client, code: str
) -> None:
    aws.plan.next("WriteRecords", aws_error(code, "Not today.", 429))
    with pytest.raises(ClientError, match=r"Not today\.") as caught:
        write(timestream, record())
    assert refusal(caught) == (code, 429)
    assert aws.rows(DATABASE, TABLE) == []
    assert write(timestream, record())["Total"] == 1


@pytest.mark.parametrize("fault", [empty(), reset()])
def test_a_connection_closed_before_the_answer_stores_nothing(
    aws: EmbeddedAws, timestream: Client, fault: Fault
) -> None:
    aws.plan.next("WriteRecords", fault)
    with pytest.raises(ConnectionClosedError):
        write(timestream, record())
    assert aws.rows(DATABASE, TABLE) == []


def test_an_ambiguous_end_stores_the_records_and_sending_again_is_idempotent(
    aws: EmbeddedAws, timestream: Client
) -> None:
    sent = record()
    aws.plan.next("WriteRecords", reset_after())
    with pytest.raises(ConnectionClosedError):
        write(timestream, sent)
    assert len(aws.rows(DATABASE, TABLE)) == 1
    assert write(timestream, sent)["Total"] == 1
    assert len(aws.rows(DATABASE, TABLE)) == 1


def test_a_stalled_call_ends_with_the_clients_time_out(aws: EmbeddedAws, clients: Clients) -> None:
    config = NO_RETRIES.merge(Config(read_timeout=0.2))
    client = clients(aws, "secretsmanager", config=config)
    aws.plan.always("GetSecretValue", stall())
    with pytest.raises(ReadTimeoutError):
        client.get_secret_value(SecretId="weather-ingest")


def test_boto3_takes_a_truncated_answer_for_a_success_without_members(
    aws: EmbeddedAws, timestream: Client
) -> None:
    aws.plan.next("WriteRecords", truncate())
    response = timestream.write_records(DatabaseName=DATABASE, TableName=TABLE, Records=[record()])
    assert "RecordsIngested" not in response
    assert len(aws.rows(DATABASE, TABLE)) == 1


def test_a_delayed_call_is_answered_as_normal(aws: EmbeddedAws, timestream: Client) -> None:
    aws.plan.next("WriteRecords", delay(0.001))
    assert write(timestream, record())["Total"] == 1


def test_queued_faults_come_first_then_the_chosen_then_the_standing(
    aws: EmbeddedAws, timestream: Client
) -> None:
    def first_call_only(request: Request) -> Fault | None:
        return aws_error("Chosen", "") if aws.count(request.action) == 2 else None

    aws.plan.always("WriteRecords", aws_error("Standing", ""))
    aws.plan.when("WriteRecords", first_call_only)
    aws.plan.next("WriteRecords", aws_error("Queued", ""))
    codes = []
    for _ in range(4):
        with pytest.raises(ClientError) as caught:
            write(timestream, record())
        codes.append(refusal(caught)[0])
    assert codes == ["Queued", "Chosen", "Standing", "Standing"]
    aws.plan.clear()
    assert write(timestream, record())["Total"] == 1


def test_a_star_stands_for_every_action(aws: EmbeddedAws, secretsmanager: Client) -> None:
    aws.plan.next("*", answer(503, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(ClientError) as caught:
        secretsmanager.list_secrets()
    assert refusal(caught)[1] == 503


def test_a_crash_of_the_embedded_service_is_raised_when_its_context_ends(
    clients: Clients,
) -> None:
    def crash(_: Request) -> Fault | None:
        raise ZeroDivisionError

    embedded = EmbeddedAws().start()
    embedded.plan.when("ListSecrets", crash)
    with pytest.raises(ConnectionClosedError):
        clients(embedded, "secretsmanager").list_secrets()
    with pytest.raises(RuntimeError) as caught:
        embedded.__exit__(None, None, None)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)

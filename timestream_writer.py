"""Observations to records, records to WriteRecords, and what was stored, what rejected, and why.

Limits and types are those of Amazon Timestream for LiveAnalytics, API Reference, WriteRecords.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, cast

from ingest.aws.session import TOTAL_ATTEMPTS, Aws, aws_error
from ingest.errors import DeliveryError, IngestError
from ingest.observation import MEASURES, Observation, iso_time, one_line

if TYPE_CHECKING:
    from mypy_boto3_timestream_write import TimestreamWriteClient
    from mypy_boto3_timestream_write.type_defs import WriteRecordsResponseTypeDef

MAX_RECORDS_PER_CALL = 100


class Dimension(TypedDict):
    Name: str
    Value: str


class Record(TypedDict):
    """One record as WriteRecords takes it: the API's own names, times and values as strings."""

    Dimensions: list[Dimension]
    MeasureName: str
    MeasureValue: str
    MeasureValueType: NotRequired[Literal["VARCHAR"]]
    Time: str
    Version: int


# What no record can differ in but by naming it; a dimension here and in a record would be refused.
COMMON_ATTRIBUTES: Any = {"MeasureValueType": "DOUBLE", "TimeUnit": "MILLISECONDS"}


def records_of(observation: Observation) -> list[Record]:
    """One record a measure, in the order of the observation's values."""
    dimensions = dimensions_of(observation)
    time, version = str(observation.time_ms), observation.version
    records = []
    for name, value in observation.values.items():
        record: Record = {
            "Dimensions": dimensions,
            "MeasureName": name,
            "MeasureValue": value,
            "Time": time,
            "Version": version,
        }
        if MEASURES[name].type == "VARCHAR":
            record["MeasureValueType"] = "VARCHAR"
        records.append(record)
    return records


def dimensions_of(observation: Observation) -> list[Dimension]:
    """city, country, city_id as the reply names them, coordinates as configured. An empty value
    would fail the whole call, so what is not known is left out."""
    pairs = [
        ("city", observation.city),
        ("country", observation.country),
        ("city_id", str(observation.city_id) if observation.city_id else ""),
    ]
    if observation.place.coordinates:
        pairs += zip(("latitude", "longitude"), observation.place.coordinates, strict=True)
    return [{"Name": name, "Value": value} for name, value in pairs if value]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that Timestream will not have. existing_version: of the record it has already."""

    record: Record
    reason: str
    existing_version: int | None = None


@dataclass
class Outcome:
    """What became of records: `stored` were confirmed, `rejected` never will be, and the rest is
    where it was, for the reason in `failure`."""

    stored: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    failure: IngestError | None = None

    def add(self, other: "Outcome") -> None:
        self.stored += other.stored
        self.rejected += other.rejected
        self.failure = self.failure or other.failure


class TimestreamWriter:
    """Writes to one table. `discover` first, once; then `write`, from any number of threads."""

    def __init__(self, aws: Aws, database: str, table: str, endpoint_url: str = "") -> None:
        self._aws = aws
        self._database = database
        self._table = table
        self._endpoint_url = endpoint_url
        self._client: TimestreamWriteClient | None = None

    @property
    def target(self) -> str:
        return f"{self._database}.{self._table}"

    def discover(self) -> None:
        """Make the client and let boto3 find the cell to write to, so that `write` need not.

        boto3 does so as the first step of a WriteRecords call. That call is made here, and stopped
        before it is sent. Raises IngestError where there is no cell to be found.
        """
        try:
            client = self._aws.timestream_write(self._endpoint_url)
            _serialize_records_at_once(client)
            if not self._endpoint_url:
                self._stop_before_sending(client)
        except Exception as error:
            raise self._explain(error) from error
        self._client = client

    def _stop_before_sending(self, client: "TimestreamWriteClient") -> None:
        class Discovered(Exception):  # noqa: N818  (no error)
            pass

        def stop(operation_name: str, **_: object) -> None:
            if operation_name == "WriteRecords":
                raise Discovered

        # botocore calls the handlers of longer event names first, and its discovery is one of
        # "request-created.timestream-write": only a shorter name comes after it.
        event = "request-created"
        client.meta.events.register_last(event, stop)
        try:
            client.write_records(DatabaseName=self._database, TableName=self._table, Records=[])
        except Discovered:
            pass
        finally:
            client.meta.events.unregister(event, stop)

    def write(self, records: Sequence[Record]) -> Outcome:
        """Write 1 to 100 records in one call; in more where the service refuses the whole of it.
        What is AWS's fault is in the outcome, never raised.

        Resending what was stored is harmless: same version, same values.
        """
        try:
            for _ in range(TOTAL_ATTEMPTS):
                # botocore takes a body that breaks off for an answer without members.
                if self._write(records).get("RecordsIngested"):
                    return Outcome(stored=len(records))
        except Exception as error:  # noqa: BLE001  (sorted out below; what is not AWS's is raised)
            return self._failed(error, records)
        reason = f"Writing to {self.target}: the answer broke off. The next run sends it again."
        return Outcome(failure=DeliveryError(reason))

    def _write(self, records: Sequence[Record]) -> "WriteRecordsResponseTypeDef":
        assert self._client is not None, "discover first"  # noqa: S101
        return self._client.write_records(
            DatabaseName=self._database,
            TableName=self._table,
            CommonAttributes=COMMON_ATTRIBUTES,
            Records=cast("Any", records),  # its stubs want their own type of record
        )

    def _failed(self, error: Exception, records: Sequence[Record]) -> Outcome:
        code, message, listed = _answer(error)
        if code == "RejectedRecordsException" and _fits(listed, records):
            return _partial_success(records, listed)
        if code == "ValidationException":
            if len(records) == 1:
                return Outcome(rejected=[Rejection(records[0], one_line(str(message)))])
            return self._halves(records)
        return Outcome(failure=self._explain(error))

    def _halves(self, records: Sequence[Record]) -> Outcome:
        """The call was refused for one bad record, or more: find them, store the others."""
        outcome = Outcome()
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            outcome.add(self.write(half))
            if outcome.failure:
                break
        return outcome

    def _explain(self, error: Exception) -> IngestError:
        region = self._aws.region
        return aws_error(
            error,
            f"Writing to {self.target} in region {region}",
            region,
            missing=(
                "Check TIMESTREAM_DATABASE, TIMESTREAM_TABLE and the region, or make what is "
                "missing: ingest_weather.py setup"
            ),
        )


def _serialize_records_at_once(client: "TimestreamWriteClient") -> None:
    """Let json.dumps write the records into the body, whole.

    botocore's serializer visits every member of every record, which is half of the CPU time of a
    call. The records are what it would make of them: names and texts of the API.
    """

    def take_out(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["records"] = params.pop("Records")

    def put_in(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        body = {**json.loads(params["body"]), "Records": context.pop("records")}
        params["body"] = json.dumps(body).encode()

    operation = "timestream-write.WriteRecords"
    client.meta.events.register(f"before-parameter-build.{operation}", take_out)
    client.meta.events.register(f"before-call.{operation}", put_in)


def _answer(error: Exception) -> tuple[str, str, list[Any]]:
    """Error code, message and RejectedRecords of a ClientError of WriteRecords; empty for others.

    A WriteRecords call can look for its cell first, and DescribeEndpoints has no records to reject.
    """
    if getattr(error, "operation_name", "") != "WriteRecords":
        return "", "", []
    response = getattr(error, "response", None) or {}
    said = response.get("Error", {})
    return said.get("Code", ""), said.get("Message", ""), response.get("RejectedRecords", [])


def _fits(listed: object, records: Sequence[Record]) -> bool:
    """Whether this can be the list of rejections of this call: numbers of its records."""
    if not isinstance(listed, list) or not listed:
        return False
    numbers = [each.get("RecordIndex") if isinstance(each, dict) else None for each in listed]
    return all(type(number) is int and 0 <= number < len(records) for number in numbers)


def _partial_success(records: Sequence[Record], listed: Iterable[Any]) -> Outcome:
    """HTTP 419: every record that is not listed was stored. A record can be listed twice."""
    rejected = {each["RecordIndex"]: _rejection(records, each) for each in listed}
    in_order = [rejected[index] for index in sorted(rejected)]
    return Outcome(stored=len(records) - len(in_order), rejected=in_order)


def _rejection(records: Sequence[Record], listed: dict[str, Any]) -> Rejection:
    reason, version = listed.get("Reason"), listed.get("ExistingVersion")
    return Rejection(
        records[listed["RecordIndex"]],
        one_line(reason) if isinstance(reason, str) and reason.strip() else "no reason given",
        version if type(version) is int and 0 <= version < 2**63 else None,
    )


# What to do about a rejection, by what its reason says: the reasons are no contract.
_TIME_WORDS = ("memory store", "ingestion window", "outside the time range")
_RETENTION_HINT = (
    "The observation is older than the table's memory store keeps. Raise its retention or enable "
    "magnetic store writes, then: ingest_weather.py rejected --retry"
)
_FUTURE_HINT = (
    "The observation lies in the future, more than the 15 minutes Timestream allows. Check this "
    "machine's clock and the weather service's, then: ingest_weather.py rejected --retry"
)
_VERSION_HINT = (
    "The table holds another value for this measure and time, written with a version as high. "
    "Another program writes to it, or this machine's clock went back. To overwrite it: "
    "ingest_weather.py rejected --retry"
)
_OTHER_HINT = (
    "The record itself is at fault: see 'WriteRecords' and 'Quotas' in the Timestream developer "
    "guide. To drop it: ingest_weather.py rejected --discard"
)


def hint(rejection: Rejection, now_ms: int) -> str:
    """What a person can do about a rejection."""
    reason = rejection.reason.lower()
    if any(word in reason for word in _TIME_WORDS):
        return _FUTURE_HINT if int(rejection.record["Time"]) > now_ms else _RETENTION_HINT
    return _VERSION_HINT if "version" in reason else _OTHER_HINT


def describe_rejections(outcome: Outcome, target: str, now_ms: int) -> str:
    """The rejected records for a person: which, with what value, at what time, and why."""
    total = outcome.stored + len(outcome.rejected)
    count = f"{len(outcome.rejected)} of {total} record{'s'[: total != 1]}"
    lines = [f"Timestream rejected {count} for {target} ({outcome.stored} stored):"]
    for text, group in groupby(outcome.rejected, key=lambda each: hint(each, now_ms)):
        lines += [f"  {describe_record(each.record)}: {_reason(each)}" for each in group]
        lines.append(f"    {text}")
    return "\n".join(lines)


def _reason(rejection: Rejection) -> str:
    reason, version = one_line(rejection.reason), rejection.existing_version
    if version is None or str(version) in reason:
        return reason
    return f"{reason} (existing version: {version})"


def describe_record(record: Record) -> str:
    """Humidity=93 city=London country=GB city_id=2643743 at 2020-11-08T21:29:36Z (1604870976000)"""
    dimensions = " ".join(f"{each['Name']}={each['Value']}" for each in record["Dimensions"])
    time_ms = int(record["Time"])
    return one_line(
        f"{record['MeasureName']}={record['MeasureValue']} {dimensions} "
        f"at {iso_time(time_ms)} ({time_ms})"
    )

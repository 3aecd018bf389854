"""Destination: Amazon Timestream for LiveAnalytics. Records, WriteRecords, rejections explained.

Limits, types and reasons are those of its API Reference, WriteRecords.
"""

import re
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ingest.aws.errors import MISSING_HELP, answer_of, aws_error, code_of, said
from ingest.aws.session import serialize_at_once
from ingest.deadline import Deadline
from ingest.destination import Kind, Outcome, Rejection
from ingest.errors import AccessError, DeliveryError, IngestError, SettingsError
from ingest.observation import MEASURES, TEXT, Observation
from ingest.reporting.redaction import one_line

if TYPE_CHECKING:
    from mypy_boto3_timestream_write import TimestreamWriteClient

    from ingest.clients import Clients
    from ingest.settings import Settings

MAX_RECORDS_PER_CALL = 100

# What DescribeEndpoints may answer: a host, or a URL.
_ADDRESS = re.compile(r"(https?://)?[A-Za-z0-9.-]+(:[0-9]+)?/?")

# Where Timestream for LiveAnalytics runs. Elsewhere its host name does not exist.
REGIONS = (
    *("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"),
    *("ap-northeast-1", "ap-south-1", "us-gov-west-1"),
)
REGION_HELP = (
    "Set AWS_REGION to the region of the database and the secret; "
    f"Timestream for LiveAnalytics runs in {', '.join(REGIONS)}."
)

MISSING = (
    "Check TIMESTREAM_DATABASE, TIMESTREAM_TABLE and the region, or create what is missing: "
    "ingest_weather.py setup"
)

# At one call, if its answer is cut off or its cell sends us to another (421).
ATTEMPTS = 3

# As WriteRecords takes it: the API's own names; times and values are strings, versions ints.
Record = dict[str, Any]
Sent = tuple[Observation, Record]  # an observation, and one record of it
# Why calls of a single record were refused -> the first observation refused for that.
Alone = dict[str, Observation]

# A record may override these.
COMMON_ATTRIBUTES: Any = {"MeasureValueType": "DOUBLE", "TimeUnit": "MILLISECONDS"}


def as_sent(observation: Observation) -> list[Record]:
    """One record a measure, in the order of the observation's values.

    Every number is a DOUBLE: a measure's type is part of its table's schema, and OpenWeatherMap
    sends the same field as 12 or 12.5. An empty dimension would fail the whole call.
    """
    dimensions = [{"Name": name, "Value": value} for name, value in observation.dimensions.items()]
    when = {"Time": str(observation.time_ms), "Version": observation.version}
    records = []
    for name, value in observation.values.items():
        record = {"Dimensions": dimensions, **when, "MeasureName": name, "MeasureValue": value}
        if MEASURES[name].kind == TEXT:
            record["MeasureValueType"] = "VARCHAR"
        records.append(record)
    return records


class TimestreamWriter:
    """Writes to one table; see `Destination`.

    Raises SettingsError without a region: what is fetched would wait for a table that is nowhere.
    """

    service = "Timestream"
    capacity = MAX_RECORDS_PER_CALL

    def __init__(self, settings: "Settings", clients: "Clients", deadline: Deadline) -> None:
        self._region = clients.aws.region
        if not self._region:
            raise SettingsError("There is no AWS region.", REGION_HELP)
        self._clients = clients
        self._deadline = deadline
        self._table: Any = {"DatabaseName": settings.database, "TableName": settings.table}
        self._endpoint_url = settings.endpoint_url
        self._client: TimestreamWriteClient | None = None
        self._moving = threading.Lock()
        self.name = f"{settings.database}.{settings.table}"
        self.target = target_of(self._region, settings.database, settings.table)

    @staticmethod
    def preload(clients: "Clients") -> None:
        """Make the client that looks for the cell."""
        clients.aws.timestream_write()

    def size(self, observation: Observation) -> int:
        return len(observation.values)  # a record each

    def prepare(self) -> None:
        """Make the client for the cell. Which cell that is, is remembered as long as AWS says."""
        try:
            with self._clients.aws.within(self._deadline):
                url = self._endpoint_url or self._cell()
                # Records are right by construction: a test runs botocore's validator over them.
                client = self._clients.aws.timestream_write(url, validates=False)
        except Exception as error:
            raise self._explain(error) from error
        serialize_at_once(client, "timestream-write.WriteRecords", "Records")
        self._client = client

    def _cell(self) -> str:
        """The address that DescribeEndpoints names, as a URL."""
        known, until = self._clients.routes.get(self.target, ("", 0.0))
        if time.monotonic() < until:
            return known
        answer: Any = self._clients.aws.timestream_write().describe_endpoints()
        try:
            endpoint = answer["Endpoints"][0]
            address: str = _ADDRESS.fullmatch(endpoint["Address"])[0]  # type: ignore[index]
            until = time.monotonic() + 60 * endpoint["CachePeriodInMinutes"]
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            # botocore reads a truncated body as one without members.
            raise DeliveryError(
                f"Looking up the endpoint for {self.name} in region {self._region} failed: the "
                "answer names no usable endpoint.",
                "The next run tries again.",
            ) from error
        url = address if address.startswith("http") else f"https://{address}"
        self._clients.routes[self.target] = (url, until)
        return url

    def write(self, observations: Sequence[Observation]) -> Outcome:
        """One call, or more if the service refuses the whole of it for some of its records."""
        sent = [(seen, record) for seen in observations for record in as_sent(seen)]
        with self._clients.aws.within(self._deadline):
            outcome = self._write(sent, {}) if sent else Outcome()
        if outcome.failure:  # what was refused will be refused, and named, the next time too
            outcome.rejected = []
        return outcome

    def _write(self, sent: list[Sent], alone: Alone) -> Outcome:
        records: Any = [record for _, record in sent]  # its stubs want their own type of record
        for attempt in range(1, ATTEMPTS + 1):
            client = self._client
            assert client, "prepare first"  # noqa: S101
            try:
                answer = client.write_records(
                    **self._table, CommonAttributes=COMMON_ATTRIBUTES, Records=records
                )
                # botocore reads a truncated body as one without members.
                if answer.get("RecordsIngested"):
                    return Outcome(stored=len(sent))
            except Exception as error:  # noqa: BLE001  (what is not AWS's is raised again)
                reason = error if attempt == ATTEMPTS else self._move(error, client)
                if reason:
                    return self._failed(reason, sent, alone)
        cut_off = f"Writing to {self.name} failed: the answer was cut off."
        return Outcome(failure=DeliveryError(cut_off, "The next run sends it again."))

    def _move(self, error: Exception, client: "TimestreamWriteClient") -> Exception | None:
        """Go to another cell if this one sends us there; returns the reason if that fails."""
        if code_of(error) != "InvalidEndpoint":
            return error
        with self._moving:
            if self._client is client:  # no other thread has been here
                self._clients.routes.pop(self.target, None)
                try:
                    self.prepare()
                except IngestError as failure:
                    return failure
        return error if self._client is client else None

    def _failed(self, error: Exception, sent: list[Sent], alone: Alone) -> Outcome:
        code, answer = code_of(error), answer_of(error)
        if code == "RejectedRecords" and _fits(answer.get("RejectedRecords"), sent):
            return _partial_success(sent, answer["RejectedRecords"])
        if code == "Validation":
            return self._refused(error, sent, alone)
        if not answer:  # the cell may be gone: the next run looks for it again
            self._clients.routes.pop(self.target, None)
        return Outcome(failure=self._explain(error))

    def _refused(self, error: Exception, sent: list[Sent], alone: Alone) -> Outcome:
        """Halve the call until each bad record stands alone, and store the others.

        A reason that several observations share, and that speaks of no record, is not theirs.
        """
        if len(sent) > 1:
            middle = len(sent) // 2
            outcome = self._write(sent[:middle], alone)
            if not outcome.failure:
                outcome.add(self._write(sent[middle:], alone))
            return outcome
        rejection = _rejection(sent[0], {"Reason": answer_of(error)["Error"].get("Message")})
        first = alone.setdefault(rejection.reason, rejection.observation)
        if first is rejection.observation or _RECORD_WORDS.search(rejection.reason):
            return Outcome(rejected=[rejection])
        return Outcome(failure=self._explain(error))

    def _explain(self, error: Exception) -> IngestError:
        doing = f"Writing to {self.name} in region {self._region}"
        return timestream_error(error, doing, self._region, MISSING)

    def advice(self, rejection: Rejection) -> str:
        return ADVICE[rejection.kind]


def target_of(region: str, database: str, table: str) -> str:
    return f"{region}/{database}.{table}"


def _fits(listed: object, sent: Sequence[Sent]) -> bool:
    """Whether these can be the rejections of this call: numbers of its records."""
    if not isinstance(listed, list) or not listed:
        return False
    numbers = [each.get("RecordIndex") if isinstance(each, dict) else None for each in listed]
    return all(type(number) is int and 0 <= number < len(sent) for number in numbers)


def _partial_success(sent: Sequence[Sent], listed: list[dict[str, Any]]) -> Outcome:
    """HTTP 419: all records but the listed ones were stored. A record can be listed twice."""
    rejected = {each["RecordIndex"]: each for each in listed}
    return Outcome(
        stored=len(sent) - len(rejected),
        rejected=[_rejection(sent[index], each) for index, each in sorted(rejected.items())],
    )


def _rejection(sent: Sent, listed: dict[str, Any]) -> Rejection:
    observation, record = sent
    reason, version = listed.get("Reason"), listed.get("ExistingVersion")
    text = one_line(reason) if isinstance(reason, str) and reason.strip() else "no reason given"
    known = version if type(version) is int and 0 <= version < 2**63 else None
    kind = _kind_of(text, known, observation)
    return Rejection(observation, record["MeasureName"], kind, text, known)


# The reasons are not a contract: an unknown one is taken to be the record's own.
_TIME_WORDS = re.compile(r"memory store|ingestion window|outside the time range", re.I)
_SCHEMA_WORDS = re.compile(r"value type|data type|schema|partition key", re.I)
_RECORD_WORDS = re.compile(r"\b(record|dimension|measure|value|times?\b)", re.I)


def _kind_of(reason: str, existing_version: int | None, observation: Observation) -> Kind:
    if _TIME_WORDS.search(reason):  # a version is the time of the fetch
        return Kind.IN_FUTURE if observation.time_ms > observation.version else Kind.TOO_OLD
    if _SCHEMA_WORDS.search(reason):
        return Kind.SCHEMA
    is_older = existing_version is not None or "version" in reason.lower()
    return Kind.OLDER_VERSION if is_older else Kind.RECORD


ADVICE = {
    Kind.TOO_OLD: "The observation is older than the table's memory store keeps. Raise its "
    "retention or enable magnetic store writes, then: ingest_weather.py rejected --retry",
    Kind.IN_FUTURE: "The observation lies in the future, more than the 15 minutes Timestream "
    "allows. Check this machine's clock and the weather service's, then: ingest_weather.py "
    "rejected --retry",
    Kind.OLDER_VERSION: "The table holds another value for this measure and time, written with a "
    "version as high. Another program writes to it, or this machine's clock went back. To "
    "overwrite it: ingest_weather.py rejected --retry",
    Kind.SCHEMA: "The table holds this measure with another type, or wants a partition key that "
    "the record does not have. Write to another table (TIMESTREAM_TABLE). To drop the value: "
    "ingest_weather.py rejected --discard",
    Kind.RECORD: "The record itself is wrong: see 'WriteRecords' and 'Quotas' in the Timestream "
    "developer guide. To drop it: ingest_weather.py rejected --discard",
}


class ClosedAccountError(AccessError):
    """Only accounts that used LiveAnalytics before 2025-06-20 may use it."""


def timestream_error(error: Exception, doing: str, region: str, missing: str = "") -> IngestError:
    """As `aws_error`, with what only Timestream says, or only it needs."""
    ours = aws_error(error, doing, missing or MISSING_HELP)
    if ours is error:
        return ours
    if isinstance(ours, AccessError) and "Only existing Timestream" in said(error):
        return ClosedAccountError(
            f"{ours.what} This is not an IAM mistake: Timestream for LiveAnalytics has been closed "
            "to new customers since 2025-06-20, and this AWS account did not use it before.",
            "Use an account that did.",
        )
    operation = getattr(error, "operation_name", "")
    if (operation, code_of(error)) == ("DescribeEndpoints", "AccessDenied"):
        advice = (
            "Allow timestream:DescribeEndpoints on resource '*' in the IAM policy: it cannot be "
        )
        return AccessError(ours.what, f"{advice}limited to a table.")
    if type(ours) is DeliveryError and not answer_of(error) and region not in REGIONS:
        return SettingsError(ours.what, REGION_HELP)
    return ours

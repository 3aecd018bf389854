"""What `check` asks of AWS: whose credentials, the secret, the region, the cell, permissions and
the table. Nothing is written there."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from commands.checks_clock import AWS, Clock
from commands.findings import (
    NETWORK,
    Finding,
    ago,
    failed_by,
    failure,
    fine,
    needs,
    unknown,
    warning,
)
from commands.limit import Limit
from ingest.aws.session import TIMESTREAM_REGIONS, Aws, aws_error
from ingest.errors import AccessError, DeliveryError, IngestError, SettingsError, Status
from ingest.settings.sources import fetch_secret

if TYPE_CHECKING:
    from mypy_boto3_timestream_write import TimestreamWriteClient

MAKE_IT = "Make it: ingest_weather.py setup"
ALLOW_IT = "Allow it to this user or role; the policy: ingest_weather.py setup --print-iam-policy"

# A record that cannot be stored, for two reasons: its value is not a number, and its time (the
# year 2200) lies beyond what a table takes. It fits the API's model, so that nothing refuses it
# before it is known who asks and whether they may: an empty list of records might be.
IMPOSSIBLE_RECORD: Any = {
    "Dimensions": [{"Name": "check", "Value": "permissions"}],
    "MeasureName": "check",
    "MeasureValue": "not a number",
    "MeasureValueType": "DOUBLE",
    "Time": "7258118400000",
    "TimeUnit": "MILLISECONDS",
    "Version": 1,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """How an operation ended. code: the service's own for an error, "" where it gave none."""

    answer: Mapping[str, Any]
    error: IngestError | None = None
    code: str = ""

    @property
    def denied(self) -> bool:
        """The caller may not do this, by the service's own word."""
        return isinstance(self.error, AccessError)

    @property
    def allowed(self) -> bool:
        """The service went on to look at what it was asked: who asks had been settled before."""
        refusals = ("ResourceNotFoundException", "ValidationException", "RejectedRecordsException")
        return not self.error or self.code in refusals


class AwsChecks:
    """The AWS account, looked at step by step; each step returns its finding.

    clock: hears the time of each answer.
    """

    def __init__(self, limit: Limit, clock: Clock) -> None:
        self._limit = limit
        self.clock = clock
        self._aws: Aws | None = None
        self._broken: IngestError | None = None
        self._blocked_by = ""
        self.secret: dict[str, str] = {}
        self.secret_error: IngestError | None = None
        self._secret_reply: Reply | None = None
        self._endpoint_reply: Reply | None = None
        self._endpoint_needs = ""
        self._client: TimestreamWriteClient | None = None
        self._retention: tuple[int, int, bool] | None = None

        try:
            self._aws = Aws(limit.deadline, limit.timeout_s)
        except IngestError as error:
            self._broken = error
            self._blocked_by = "credentials"
        else:
            self._aws.on_answer(self._hear)
            if not self._aws.region:
                self._blocked_by = "the region"

    @property
    def region(self) -> str:
        return self._aws.region if self._aws else ""

    def credentials(self) -> Finding:
        """Whose they are. STS asks no permission, but a private subnet may have no way to it."""
        name = "credentials"
        if self._broken:
            return failed_by(name, self._broken)
        if self._blocked_by:
            return needs(name, self._blocked_by)
        aws = self._ready()
        reply = self._ask(aws.caller_identity, "Asking STS who this is")
        if reply.error is None:
            account, arn = reply.answer.get("Account", "?"), reply.answer.get("Arn", "?")
            return fine(name, f"account {account}, {arn}")
        if isinstance(reply.error, DeliveryError):
            return warning(
                name,
                f"whose they are is not known: {reply.error}",
                "A run does not ask STS: where all below is well, nothing is to be done.",
            )
        self._blocked_by = "credentials"
        return failed_by(name, reply.error)

    def read_secret(self, secret_id: str) -> Finding:
        """Read the secret into `secret`; its finding names those of its members that are used."""
        from ingest.settings.sources import DECLARED

        name = "secret"
        if not secret_id:
            return unknown(name, "none is read: WEATHER_SECRET_ID is empty")
        if self._blocked_by:
            self.secret_error = SettingsError(f"The secret was not read: needs {self._blocked_by}.")
            return needs(name, self._blocked_by)
        aws, limit = self._ready(), self._limit
        doing = f"Reading the secret {secret_id!r}"
        reply = self._ask(lambda: fetch_secret(aws, secret_id, limit.one()), doing)
        self._secret_reply, self.secret_error = reply, reply.error
        if reply.code == "ResourceNotFoundException":
            return failure(
                name,
                f"there is no secret {secret_id!r} in region {aws.region}",
                f"{MAKE_IT} (or check WEATHER_SECRET_ID and AWS_REGION)",
                Status.CONFIG,
            )
        if reply.error:
            return failed_by(name, reply.error)
        self.secret = dict(reply.answer)
        known = [each for each in DECLARED if each in self.secret]
        others = len(self.secret) - len(known)
        members = ", ".join(known) or "no setting"
        more = f" ({others} other member{'s'[: others != 1]} not used)" if others else ""
        return fine(name, f"{secret_id!r} holds {members}{more}")

    def check_region(self, where: str) -> Finding:
        """where: which setting says it, as far as that is known."""
        name = "region"
        if self._broken:
            return needs(name, "credentials")
        runs = f"Timestream for LiveAnalytics runs in {', '.join(TIMESTREAM_REGIONS)}."
        step = f"Set AWS_REGION to the region of the database and the secret. {runs}"
        if not self.region:
            return failure(name, "none is set", step, Status.CONFIG)
        if self.region not in TIMESTREAM_REGIONS:
            self._endpoint_needs = "another region"
            fact = f"{self.region}{where} has no Timestream for LiveAnalytics"
            return failure(name, fact, step, Status.CONFIG)
        return fine(name, f"{self.region}{where}, where Timestream for LiveAnalytics runs")

    def discovery(self, endpoint_url: str | None) -> Finding:
        """Which cell takes the writes, and how quickly that was known."""
        name = "discovery"
        self._endpoint_needs = self._endpoint_needs or self._blocked_by
        if endpoint_url is None:
            self._endpoint_needs = "settings (TIMESTREAM_ENDPOINT_URL)"
        if self._endpoint_needs:
            return needs(name, self._endpoint_needs)
        aws = self._ready()
        made = self._ask(
            lambda: {"client": aws.timestream_write(endpoint_url or "")},
            "Making the Timestream client",
        )
        if made.error:
            self._endpoint_needs = "discovery"
            return failed_by(name, made.error)
        client: TimestreamWriteClient = made.answer["client"]
        self._client = client
        if endpoint_url:
            host = urlsplit(endpoint_url).netloc
            return unknown(name, f"skipped: TIMESTREAM_ENDPOINT_URL names {host}")
        started = time.perf_counter()
        reply = self._ask(client.describe_endpoints, "Looking up Timestream's endpoint")
        took_ms = (time.perf_counter() - started) * 1000
        self._endpoint_reply = reply
        if reply.error is None and not reply.answer.get("Endpoints"):
            reply = Reply({}, DeliveryError(f"DescribeEndpoints named no endpoint. {NETWORK}"))
        if reply.error:
            self._endpoint_needs = "discovery"
            return failed_by(name, reply.error)
        address = reply.answer["Endpoints"][0].get("Address", "?")
        return fine(name, f"{address}, in {took_ms:.0f} ms")

    def permissions(self, database: str | None, table: str | None) -> Iterator[Finding]:
        """For each action whether it is allowed, and what it told of the database and the table."""
        yield self._permission("secretsmanager:GetSecretValue", self._secret_reply, "the secret")
        yield self._permission("timestream:DescribeEndpoints", self._endpoint_reply, "discovery")
        if self._endpoint_needs or database is None or table is None or not self._client:
            why = self._endpoint_needs or "settings (TIMESTREAM_DATABASE, TIMESTREAM_TABLE)"
            for name in ("DescribeDatabase", "DescribeTable", "WriteRecords", "table"):
                yield needs(name, why)
            return
        client = self._client
        of_database = self._ask(
            lambda: client.describe_database(DatabaseName=database),
            f"Looking at the database {database}",
        )
        of_table = self._ask(
            lambda: client.describe_table(DatabaseName=database, TableName=table),
            f"Looking at the table {database}.{table}",
        )
        yield self._permission("timestream:DescribeDatabase", of_database, optional=True)
        yield self._permission("timestream:DescribeTable", of_table, optional=True)
        missing = of_table.code == "ResourceNotFoundException"
        of_records = None
        if not missing:
            of_records = self._ask(
                lambda: client.write_records(
                    DatabaseName=database, TableName=table, Records=[IMPOSSIBLE_RECORD]
                ),
                f"Writing to {database}.{table}",
            )
            missing = of_records.code == "ResourceNotFoundException"
        yield self._permission("timestream:WriteRecords", of_records, "a table")
        if missing:
            no_database = of_database.code == "ResourceNotFoundException"
            what = f"database {database}" if no_database else f"table {table} in {database}"
            fact = f"there is no {what} in region {self.region}"
            step = f"{MAKE_IT} (or check TIMESTREAM_DATABASE, TIMESTREAM_TABLE and AWS_REGION)"
            yield failure("table", fact, step, Status.CONFIG)
        else:
            yield self._table(f"{database}.{table}", of_table)

    def _permission(
        self, action: str, reply: Reply | None, other: str = "", *, optional: bool = False
    ) -> Finding:
        """other: what is lacking where the action could not be tried."""
        name = action.partition(":")[2]
        if reply is None:
            return needs(name, other)
        is_writing = name == "WriteRecords"
        if is_writing and not reply.error:
            fact = f"{action} is allowed, but the refusal that was expected did not come"
            return warning(name, fact, f"Look for a measure called check in the table. {NETWORK}")
        if reply.allowed:
            harmless = " (a record that no table takes was refused)" * is_writing
            return fine(name, f"{action} is allowed{harmless}")
        if not reply.denied:
            if is_writing and reply.error:
                return failed_by(name, reply.error)
            return unknown(name, f"not tested: {action} got no answer that would tell")
        if optional:
            return unknown(name, f"{action} is denied; a run does not need it")
        if reply.code and "AccessDenied" not in reply.code:  # who asks is refused, not the action
            return needs(name, "credentials")
        assert reply.error  # noqa: S101  (denied says so)
        if "This is no IAM mistake" in str(reply.error):
            return failed_by(name, reply.error)
        return failure(name, f"{action} is denied", ALLOW_IT, Status.NOPERM)

    def _table(self, target: str, reply: Reply) -> Finding:
        name = "table"
        if reply.denied:
            return needs(name, "timestream:DescribeTable")
        if reply.error:
            return failed_by(name, reply.error)
        table = reply.answer.get("Table", {})
        status = table.get("TableStatus")
        if not status:
            fact = f"the answer about {target} broke off"
            return failure(name, fact, NETWORK, Status.TEMPFAIL)
        if status != "ACTIVE":
            step = "Wait until it is ACTIVE; one that is being deleted has to be made anew."
            return failure(name, f"{target} is {status}", step, Status.CONFIG)
        kept = table.get("RetentionProperties", {})
        magnetic = table.get("MagneticStoreWriteProperties", {})
        self._retention = (
            int(kept.get("MemoryStoreRetentionPeriodInHours", 0)),
            int(kept.get("MagneticStoreRetentionPeriodInDays", 0)),
            bool(magnetic.get("EnableMagneticStoreWrites")),
        )
        return fine(name, f"{target} is ACTIVE")

    def retention(self, times_ms: Mapping[str, int], now_ms: int) -> Finding:
        """Whether the table takes observations of these times. times_ms: what it is -> when."""
        name = "retention"
        if not self._retention:
            return needs(name, "the table")
        hours, days, magnetic = self._retention
        writes = "on" if magnetic else "off"
        fact = f"memory store {hours} h, magnetic store {days} d, writes to the latter {writes}"
        if not times_ms:
            return unknown(name, f"{fact}; whether that is enough needs an observation")
        reach_s = max(hours * 3600, days * 86_400 if magnetic else 0)
        ages_s = {what: (now_ms - time_ms) / 1000 for what, time_ms in times_ms.items()}
        told = ", ".join(f"{what} {ago(age_s)}" for what, age_s in ages_s.items())
        if max(ages_s.values()) < reach_s:
            return fine(name, f"{fact}; {told}")
        more = "Keep more" if magnetic else "Turn magnetic store writes on, or keep more"
        enough_days = max(365, int(max(ages_s.values()) // 86_400) + 2)
        return failure(
            name,
            f"{fact}; {told}: too old, it would be rejected",
            f"{more}: ingest_weather.py setup --update --magnetic-days {enough_days}",
            Status.DATAERR,
        )

    def _hear(self, headers: Mapping[str, str]) -> None:
        self.clock.hear(AWS, headers.get("date", ""))

    def _ready(self) -> Aws:
        assert self._aws  # noqa: S101  (whoever asks has looked at _blocked_by)
        return self._aws

    def _ask(self, call: Callable[[], Any], doing: str) -> Reply:
        """Make one call within its time."""
        try:
            return Reply(self._limit.call(call, f"while {doing[0].lower()}{doing[1:]}"))
        except Exception as error:  # noqa: BLE001  (what is not AWS's fault is raised again)
            ours = aws_error(error, doing, self.region)
            origin = error if hasattr(error, "response") else error.__cause__
            response = getattr(origin, "response", None) or {}
            return Reply({}, ours, str(response.get("Error", {}).get("Code", "")))

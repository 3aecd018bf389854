"""AWS on loopback: Secrets Manager, STS and Timestream's control plane from moto.

moto's Timestream takes every record without a look and names the real service as its
endpoint, so WriteRecords and DescribeEndpoints are answered here.
"""

import json
import os
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs

from embedded.exchange import Answer, Request
from embedded.faults import aws_error_answer
from embedded.loopback import LoopbackService
from embedded.moto_bridge import MotoBridge
from embedded.timestream import Retention, Row, ServiceError, TimestreamStore

TIMESTREAM_TARGET = "Timestream_20181101"
TIMESTREAM_REGIONS = frozenset(
    {
        "us-east-1",
        "us-east-2",
        "us-west-2",
        "eu-west-1",
        "eu-central-1",
        "ap-southeast-2",
        "ap-northeast-1",
        "ap-south-1",
    }
)
ENDPOINT_CACHE_MINUTES = 1440
RESOURCE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,256}")
CREDENTIAL_SCOPE = re.compile(r"Credential=[^/]*/\d*/([a-z0-9-]+)/")


class EmbeddedAws(LoopbackService):
    """AWS for one region, as boto3 meets it at `url`.

    moto keeps its state for the whole process and the first `start` empties it: of two instances
    that run at the same time in one process, the second wipes the secrets and tables of
    the first. Rows of tables are each instance's own. Credentials are never checked.
    A Timestream call signed for a region that has no Timestream gets no answer, as there
    is no such host.
    """

    def __init__(
        self,
        region: str = "us-east-1",
        *,
        clock: Callable[[], float] = time.time,
        delay_s: float = 0.0,
        port: int = 0,
    ) -> None:
        super().__init__(clock=clock, delay_s=delay_s, port=port)
        self.region = region
        self.store = TimestreamStore()
        self._moto = MotoBridge(region)
        self._was_started = False
        self._query_pages: deque[dict[str, Any]] = deque()

    @property
    def url(self) -> str:
        """What AWS_ENDPOINT_URL has to be."""
        return self.address

    def start(self) -> Self:
        """Listen; the first time with no secret, database or table, later with what it had."""
        if not self._was_started:
            self._was_started = True
            self._moto.reset()
        super().start()
        return self

    def environment(self) -> dict[str, str]:
        """Variables that bring boto3 here and nowhere else.

        They hide the user's own configuration files and proxies. Service-specific
        endpoints (AWS_ENDPOINT_URL_...) and AWS_PROFILE would win over them: start from
        an environment without those.
        """
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def put_secret(self, name: str, value: str | bytes) -> None:
        """Make the secret or give it a new value: SecretString or SecretBinary."""
        self._moto.put_secret(name, value)

    def make_table(
        self,
        database: str,
        table: str,
        memory_hours: int = 24,
        magnetic_days: int = 365,
        magnetic_writes: bool = False,
    ) -> None:
        """Make the table, and its database where that is missing; empties an existing one."""
        self.store.drop_table(database, table)
        self._moto.make_table(
            database, table, Retention(memory_hours, magnetic_days, magnetic_writes)
        )

    def queue_query_pages(self, *pages: dict[str, Any]) -> None:
        """What the next Query calls are answered, one page a call, whatever they ask: each the
        members of a QueryResponse. With nothing queued an answer has no rows."""
        self._query_pages.extend(pages)

    def rows(self, database: str, table: str) -> list[Row]:
        """The table as a reader sees it: of each series and time the highest version."""
        self._refresh(self.region, database, table)
        return self.store.rows(database, table)

    def action_of(self, request: Request) -> str:
        """The operation's name, from the target header or the query protocol's form."""
        target = request.headers.get("x-amz-target")
        if target is not None:
            return target.rpartition(".")[2]
        form = parse_qs(request.body.decode("latin-1"))
        return form.get("Action", [""])[0]

    def respond(self, request: Request) -> Answer:
        """Answer one operation as AWS would."""
        if not request.headers.get("x-amz-target", "").startswith(TIMESTREAM_TARGET):
            return self._moto.forward(request)
        region = self._signed_region(request)
        if region not in TIMESTREAM_REGIONS:
            raise ConnectionAbortedError(f"no Timestream in {region}")
        try:
            return self._timestream(request, region)
        except ServiceError as error:
            return aws_error_answer(error.code, error.message, error.status, error.extra)

    def _timestream(self, request: Request, region: str) -> Answer:
        members = _members(request)
        match request.action:
            case "DescribeEndpoints":
                return _json_answer({"Endpoints": [self._endpoint()]})
            case "WriteRecords":
                return _json_answer(self._write(region, members))
            case "Query":
                if self._query_pages:
                    self._moto.queue_query_result(
                        region, members["QueryString"], self._query_pages.popleft()
                    )
                return self._moto.forward(request)
            case _:
                return self._control(request, region, members)

    def _endpoint(self) -> dict[str, object]:
        """An address with its scheme: botocore then uses it as it is."""
        return {"Address": self.url, "CachePeriodInMinutes": ENDPOINT_CACHE_MINUTES}

    def _write(self, region: str, members: dict[str, Any]) -> dict[str, object]:
        database, table = _named(members, "DatabaseName"), _named(members, "TableName")
        self._refresh(region, database, table)
        outcome = self.store.write(
            database,
            table,
            members.get("CommonAttributes"),
            members.get("Records"),
            int(self.clock() * 1000),
        )
        outcome.raise_for_rejected()
        ingested = {
            "Total": outcome.total,
            "MemoryStore": outcome.memory_store,
            "MagneticStore": outcome.magnetic_store,
        }
        return {"RecordsIngested": ingested}

    def _refresh(self, region: str, database: str, table: str) -> None:
        """Bring the store's tables up to what the control plane knows."""
        retention = self._moto.retention(region, database, table)
        if retention is None:
            self.store.drop_table(database, table)
        else:
            self.store.set_table(database, table, retention)

    def _control(self, request: Request, region: str, members: dict[str, Any]) -> Answer:
        """moto's control plane, with the statuses and refusals it lacks."""
        self._check_resources(request.action, region, members)
        answer = self._moto.forward(self._moto.completed(request, region, members))
        if request.action == "DeleteTable":
            self.store.drop_table(members["DatabaseName"], members["TableName"])
        return answer

    def _check_resources(self, action: str, region: str, members: dict[str, Any]) -> None:
        if "DatabaseName" not in members:
            return
        database, table = _named(members, "DatabaseName"), members.get("TableName")
        if table is not None:
            table = _named(members, "TableName")
        exists = self._moto.has(region, database, table)
        if action in ("CreateDatabase", "CreateTable"):
            if exists:
                raise ServiceError("ConflictException", 409, f"{table or database} already exists.")
            if table is not None and not self._moto.has(region, database):
                raise _not_found(database, None)
        elif not exists:
            raise _not_found(database, table)
        if action == "DeleteDatabase" and self._moto.has_tables(region, database):
            raise ServiceError("ValidationException", 400, f"{database} still holds tables.")

    def _signed_region(self, request: Request) -> str:
        scope = CREDENTIAL_SCOPE.search(request.headers.get("authorization", ""))
        return scope[1] if scope else self.region


def _members(request: Request) -> dict[str, Any]:
    try:
        members = request.json
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise ServiceError("SerializationException", 400, "The body is not a JSON object.")
    return members


def _named(members: dict[str, Any], member: str) -> str:
    name = members.get(member)
    if not isinstance(name, str) or not RESOURCE_NAME.fullmatch(name):
        raise ServiceError(
            "ValidationException", 400, f"{member} must match {RESOURCE_NAME.pattern}."
        )
    return name


def _not_found(database: str, table: str | None) -> ServiceError:
    what = f"database {database}" if table is None else f"table {table} in database {database}"
    return ServiceError("ResourceNotFoundException", 404, f"The {what} does not exist.")


def _json_answer(members: dict[str, object]) -> Answer:
    headers = {"Content-Type": "application/x-amz-json-1.0"}
    return Answer(200, json.dumps(members).encode(), headers)

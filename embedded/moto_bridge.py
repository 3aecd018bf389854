"""The way to moto: its server application without its server, and a look at its tables.

Everything of moto is imported on first use: it takes a while.
"""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from embedded.exchange import Answer, Request
from embedded.timestream import Retention

HOP_HEADERS = frozenset({"content-length", "connection", "date", "server", "transfer-encoding"})
SCOPE = "AWS4-HMAC-SHA256 Credential=testing/20200101/{region}/{service}/aws4_request"

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class MotoBridge:
    """moto's services for one region; their state belongs to the process."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._lock = threading.Lock()
        self._application: Wsgi | None = None

    def reset(self) -> None:
        """Empty every backend of moto in this process."""
        from moto.moto_api._internal.models import moto_api_backend

        moto_api_backend.reset()

    def forward(self, request: Request) -> Answer:
        """moto's own answer; moto does one thing at a time."""
        with self._lock:
            return _call(self._wsgi(), request)

    def put_secret(self, name: str, value: str | bytes) -> None:
        """Create the secret, or a new version of it."""
        secret = (
            {"SecretString": value}
            if isinstance(value, str)
            else {"SecretBinary": base64.b64encode(value).decode()}
        )
        created = self._ask(
            "secretsmanager", "secretsmanager.CreateSecret", {"Name": name, **secret}
        )
        if created.status == 400 and b"ResourceExistsException" in created.body:
            put = {"SecretId": name, **secret}
            created = self._ask("secretsmanager", "secretsmanager.PutSecretValue", put)
        _must_succeed(created)

    def make_table(self, database: str, table: str, retention: Retention) -> None:
        """Create the table again, and its database if that is missing."""
        if not self.has(self._region, database):
            _must_succeed(self._ask_timestream("CreateDatabase", {"DatabaseName": database}))
        properties = {
            "DatabaseName": database,
            "TableName": table,
            "RetentionProperties": {
                "MemoryStoreRetentionPeriodInHours": retention.memory_hours,
                "MagneticStoreRetentionPeriodInDays": retention.magnetic_days,
            },
            "MagneticStoreWriteProperties": {
                "EnableMagneticStoreWrites": retention.magnetic_writes
            },
        }
        _must_succeed(self._ask_timestream("CreateTable", properties))

    def has(self, region: str, database: str, table: str | None = None) -> bool:
        """Whether the database, or the table in it, exists."""
        known = _databases(region).get(database)
        return known is not None and (table is None or table in known.tables)

    def has_tables(self, region: str, database: str) -> bool:
        """Whether the database holds any table."""
        return bool(_databases(region)[database].tables)

    def retention(self, region: str, database: str, table: str) -> Retention | None:
        """The table's retention as it is now; None where there is no such table."""
        if not self.has(region, database, table):
            return None
        known = _databases(region)[database].tables[table]
        return Retention(
            known.retention_properties["MemoryStoreRetentionPeriodInHours"],
            known.retention_properties["MagneticStoreRetentionPeriodInDays"],
            bool(known.magnetic_store_write_properties.get("EnableMagneticStoreWrites")),
        )

    def queue_query_result(self, region: str, statement: str, result: dict[str, Any]) -> None:
        """Let moto answer the next Query with exactly this statement with the result."""
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.timestreamquery.models import timestreamquery_backends

        queue = timestreamquery_backends[DEFAULT_ACCOUNT_ID][region].query_result_queue
        queue.setdefault(statement, []).append(result)

    def completed(self, request: Request, region: str, members: dict[str, Any]) -> Request:
        """An UpdateTable with what it leaves out: moto would take that as nothing."""
        if request.action != "UpdateTable":
            return request
        known = _databases(region)[members["DatabaseName"]].tables[members["TableName"]]
        kept = {
            "RetentionProperties": known.retention_properties,
            "MagneticStoreWriteProperties": known.magnetic_store_write_properties,
        }
        return replace(request, body=json.dumps({**kept, **members}).encode())

    def _ask_timestream(self, action: str, members: dict[str, Any]) -> Answer:
        return self._ask("timestream", f"Timestream_20181101.{action}", members)

    def _ask(self, service: str, target: str, members: dict[str, Any]) -> Answer:
        headers = {
            "host": "127.0.0.1",
            "authorization": SCOPE.format(region=self._region, service=service),
            "x-amz-target": target,
            "content-type": "application/x-amz-json-1.1",
        }
        return self.forward(Request("", "POST", "/", {}, headers, json.dumps(members).encode()))

    def _wsgi(self) -> Wsgi:
        if self._application is None:
            from moto.moto_server.werkzeug_app import (
                DomainDispatcherApplication,
                create_backend_app,
            )

            self._application = DomainDispatcherApplication(create_backend_app)
        return self._application


def _databases(region: str) -> dict[str, Any]:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.timestreamwrite.models import timestreamwrite_backends

    return timestreamwrite_backends[DEFAULT_ACCOUNT_ID][region].databases


def _call(application: Wsgi, request: Request) -> Answer:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
        started.append((status, headers))

    body = b"".join(application(_environ(request), start_response))
    status, headers = started[-1]
    kept = {name: value for name, value in headers if name.lower() not in HOP_HEADERS}
    return Answer(int(status.split()[0]), body, kept)


def _environ(request: Request) -> dict[str, Any]:
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return environ


def _must_succeed(answer: Answer) -> None:
    if answer.status != 200:
        raise RuntimeError(f"moto refused: {answer.body.decode(errors='replace')}")

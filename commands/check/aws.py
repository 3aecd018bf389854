"""What `check` asks of AWS: whose credentials, the secret, the region, the cell, permissions and
the table. Nothing is written there."""

import time
from urllib.parse import urlsplit

from commands.aws import ABSENT, Account, Retention
from commands.check.findings import FAILED, NETWORK, OK, UNKNOWN, WARNING, Finding, NeedError
from commands.check.known import Known
from commands.check.local import journal_facts
from commands.terminal import ago
from ingest.aws.errors import code_of
from ingest.aws.session import Aws
from ingest.deadline import epoch_ms
from ingest.errors import AccessError, DeliveryError, IngestError, Status
from ingest.reporting.text import plural
from ingest.settings import DECLARED
from ingest.settings.secret import fetch_secret
from timestream_writer import REGION_HELP, REGIONS, ClosedAccountError

READ_VALUE = "secretsmanager:GetSecretValue"
DISCOVER = "timestream:DescribeEndpoints"
SEE_DATABASE = "timestream:DescribeDatabase"
SEE_TABLE = "timestream:DescribeTable"
WRITE = "timestream:WriteRecords"

CREATE_IT = "Create it: ingest_weather.py setup"
ALLOW_IT = "Allow it for this user or role, as in: ingest_weather.py setup --print-iam-policy"

# Errors of a service that looked at the request itself: it had accepted who asks before that.
REFUSALS = (ABSENT, "Validation", "RejectedRecords")

# Cannot be stored: its value is not a number, and no table takes its time (the year 2200). It fits
# the API's model, so that permissions are checked first; an empty list might be refused before.
IMPOSSIBLE_RECORD = {
    "Dimensions": [{"Name": "check", "Value": "permissions"}],
    "MeasureName": "check",
    "MeasureValue": "not a number",
    "MeasureValueType": "DOUBLE",
    "Time": "7258118400000",
    "TimeUnit": "MILLISECONDS",
    "Version": 1,
}


def credentials(known: Known) -> Finding:
    """STS needs no permission, but a private subnet may have no way to it."""
    aws = Aws(known.redact, known.timeout_s)
    known.account = Account(aws, known.one_call)
    known.region = aws.region
    aws.on_answer(known.clock.hear_aws)
    del known.lacking["AWS session"]
    if not known.region:
        raise NeedError("a region")
    try:
        number, arn = known.account.identity()
    except DeliveryError as error:
        step = "A run does not ask STS: ignore this if all else is ok."
        return Finding(WARNING, f"their account is not known: {error.what}", step)
    return Finding(OK, f"account {number}, {arn}")


def secret(known: Known) -> Finding:
    secret_id = known.sources.text("WEATHER_SECRET_ID")
    if not secret_id:
        return Finding(UNKNOWN, "not used: WEATHER_SECRET_ID is empty")
    known.require("credentials")
    try:
        texts = fetch_secret(known.account.aws, secret_id, known.one_call())
    except IngestError as error:
        known.replies[READ_VALUE] = error
        if _code(error) != ABSENT:
            raise
        fact = f"there is no secret {secret_id!r} in region {known.region}"
        step = f"{CREATE_IT} (or check WEATHER_SECRET_ID and AWS_REGION)"
        return Finding(FAILED, fact, step, Status.CONFIG)
    known.replies[READ_VALUE] = texts
    known.sources = known.sources.with_secret(secret_id, texts)
    known.redact.add(*known.sources.secrets())
    known.timeout_s = known.sources.seconds("WEATHER_TIMEOUT_SECONDS")
    known.deadline.seconds = known.sources.seconds("WEATHER_DEADLINE_SECONDS")
    used = [name for name in DECLARED if name in texts]
    unused = len(texts) - len(used)
    more = f" ({plural(unused, 'other member')} not used)" if unused else ""
    return Finding(OK, f"{secret_id!r} holds {', '.join(used) or 'no setting'}{more}")


def region(known: Known) -> Finding:
    if not known.region:
        return Finding(FAILED, "no region is set", REGION_HELP, Status.CONFIG)
    shown = known.region
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):  # the latter wins
        if where := known.source_of(name):
            shown = f"{known.region} ({name} from {where})"
    if known.region in REGIONS:
        return Finding(OK, f"{shown} has Timestream for LiveAnalytics")
    fact = f"{shown} has no Timestream for LiveAnalytics"
    return Finding(FAILED, fact, REGION_HELP, Status.CONFIG)


def discovery(known: Known) -> Finding:
    known.account.endpoint_url = url = known.sources.text("TIMESTREAM_ENDPOINT_URL")
    if url:
        host = urlsplit(url).netloc
        return Finding(UNKNOWN, f"not needed: TIMESTREAM_ENDPOINT_URL is set to {host}")
    started = time.perf_counter()
    reply = known.ask(DISCOVER, "Looking up Timestream's endpoint")
    took_ms = (time.perf_counter() - started) * 1000
    if isinstance(reply, IngestError):
        raise reply
    endpoints = reply.get("Endpoints")
    if not endpoints:
        raise DeliveryError("DescribeEndpoints returned no endpoint.", NETWORK)
    return Finding(OK, f"{endpoints[0].get('Address', '?')}, in {took_ms:.0f} ms")


def describe_database(known: Known) -> Finding:
    database, _ = known.table_names
    known.ask(SEE_DATABASE, f"Looking at the database {database}", DatabaseName=database)
    return permission(known, SEE_DATABASE)


def describe_table(known: Known) -> Finding:
    database, table = known.table_names
    doing = f"Looking at the table {database}.{table}"
    known.ask(SEE_TABLE, doing, DatabaseName=database, TableName=table)
    return permission(known, SEE_TABLE)


def write_records(known: Known) -> Finding:
    if _code(known.replies[SEE_TABLE]) == ABSENT:
        raise NeedError("a table")
    database, table = known.table_names
    names = {"DatabaseName": database, "TableName": table}
    doing = f"Writing to {database}.{table}"
    reply = known.ask(WRITE, doing, **names, Records=[IMPOSSIBLE_RECORD])
    if not isinstance(reply, IngestError):
        fact = f"{WRITE} is allowed, but Timestream did not reject the test record"
        step = "Look in the table for a measure named check, which should not be there."
        return Finding(WARNING, fact, step)
    if _code(reply) in REFUSALS:
        return Finding(OK, f"{WRITE} is allowed (the test record was rejected, as expected)")
    if isinstance(reply, AccessError):
        return permission(known, WRITE)
    raise reply


def permission(known: Known, action: str, other: str = "") -> Finding:
    """What the action's answer says about it. other: what is lacking if there is no answer."""
    reply = known.replies.get(action)
    if reply is None:
        raise NeedError(other)
    if not isinstance(reply, IngestError) or _code(reply) in REFUSALS:
        return Finding(OK, f"{action} is allowed")
    if not isinstance(reply, AccessError):
        return Finding(UNKNOWN, f"not checked: {action} failed for another reason")
    if action in (SEE_DATABASE, SEE_TABLE):
        return Finding(UNKNOWN, f"{action} is denied; a run does not need it")
    if _code(reply) and "AccessDenied" not in _code(reply):  # who asks is refused, not the action
        raise NeedError("credentials")
    if isinstance(reply, ClosedAccountError):
        raise reply
    return Finding(FAILED, f"{action} is denied", ALLOW_IT, Status.NOPERM)


def _code(reply: object) -> str:
    return code_of(reply.__cause__) if isinstance(reply, IngestError) else ""


def table(known: Known) -> Finding:
    database, name = known.table_names
    target, reply = f"{database}.{name}", known.replies[SEE_TABLE]
    if ABSENT in (_code(reply), _code(known.replies.get(WRITE))):
        what = f"table {name} in {database}"
        if _code(known.replies[SEE_DATABASE]) == ABSENT:
            what = f"database {database}"
        fact = f"there is no {what} in region {known.region}"
        step = f"{CREATE_IT} (or check TIMESTREAM_DATABASE, TIMESTREAM_TABLE and AWS_REGION)"
        return Finding(FAILED, fact, step, Status.CONFIG)
    if isinstance(reply, AccessError):
        raise NeedError(SEE_TABLE)
    if isinstance(reply, IngestError):
        raise reply
    described = reply.get("Table", {})
    status = described.get("TableStatus")
    if not status:
        return Finding(FAILED, f"the answer on {target} is incomplete", NETWORK, Status.TEMPFAIL)
    if status != "ACTIVE":
        step = "Wait until it is ACTIVE. If it was deleted: ingest_weather.py setup"
        return Finding(FAILED, f"{target} is {status}", step, Status.CONFIG)
    known.retention = Retention.of(described)
    return Finding(OK, f"{target} is ACTIVE")


def retention(known: Known) -> Finding:
    kept = known.retention
    fact = (
        f"memory store {kept.memory_hours} h, magnetic store {kept.magnetic_days} d, "
        f"magnetic store writes {'on' if kept.magnetic_writes else 'off'}"
    )
    times_ms = {
        "latest observation": known.observation_ms,
        "oldest pending observation": journal_facts(known).oldest_pending_ms,
    }
    ages = [f"{what} {ago(time_ms)}" for what, time_ms in times_ms.items() if time_ms]
    if not ages:
        return Finding(UNKNOWN, f"{fact}; no observation to compare it with")
    fact = f"{fact}; {', '.join(ages)}"
    oldest_s = (epoch_ms() - min(filter(None, times_ms.values()))) / 1000
    magnetic_s = kept.magnetic_days * 86_400 if kept.magnetic_writes else 0
    if oldest_s < max(kept.memory_hours * 3600, magnetic_s):
        return Finding(OK, fact)
    days = max(365, int(oldest_s // 86_400) + 2)
    step = f"Accept older ones: ingest_weather.py setup --update --magnetic-days {days}"
    return Finding(FAILED, f"{fact}: too old, so Timestream would reject it", step, Status.DATAERR)

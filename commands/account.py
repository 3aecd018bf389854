"""What a run needs of an AWS account: looked at, made and changed, one call a method.

Every method raises IngestError with the action's name in it, as in IAM.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ingest.aws.session import Aws, aws_error
from ingest.deadline import Deadline, Task
from ingest.errors import DeadlineError, DeliveryError, IngestError, SettingsError
from ingest.settings.sources import parse_secret

T = TypeVar("T")

# Between two looks at a table that is not ready yet.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

Tags = Mapping[str, str]


class Patience(Deadline):
    """How long AWS may take over one step; a step or a person's answer starts it anew."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._limit_s = seconds

    def restart(self) -> None:
        self.seconds = self.elapsed_s() + self._limit_s

    def error(self, doing: str) -> IngestError:
        return DeadlineError(
            f"{self._limit_s:g} seconds (--timeout) were over {doing}. What was made stays: run "
            "setup again to go on."
        )


@dataclass(frozen=True)
class Secret:
    """A secret that exists. members: its JSON object; texts: the same, as settings are read.

    kms_key_id: ARN, id or alias of the account's own key; "" for the one of AWS.
    """

    secret_id: str
    arn: str
    kms_key_id: str
    members: Mapping[str, Any]
    texts: Mapping[str, str]
    is_binary: bool


@dataclass(frozen=True)
class Retention:
    """How long a table keeps what, and whether it takes what is older than its memory store."""

    memory_hours: int
    magnetic_days: int
    magnetic_writes: bool

    def __str__(self) -> str:
        writes = "on" if self.magnetic_writes else "off"
        return (
            f"memory {self.memory_hours} h, magnetic {self.magnetic_days} d, magnetic writes "
            f"{writes}"
        )


@dataclass(frozen=True)
class Table:
    """A table that exists. rejected_location: where its asynchronous rejections are reported."""

    status: str
    retention: Retention
    rejected_location: Mapping[str, Any] | None


class Account:
    """The account that the credentials belong to, in one region."""

    def __init__(self, aws: Aws, patience: Patience) -> None:
        self._aws = aws
        self.patience = patience
        self.endpoint_url = ""
        self._timestream: Any = None

    @property
    def region(self) -> str:
        return self._aws.region

    def identity(self) -> tuple[str, str]:
        """The account's number, and the ARN of whoever the credentials belong to."""
        answer = self._ask(
            "sts:GetCallerIdentity",
            "Asking whose the credentials are",
            self._aws.caller_identity,
        )
        return _member(answer, "Account"), _member(answer, "Arn")

    def find_secret(self, secret_id: str) -> Secret | None:
        """None where there is none. Raises SettingsError for one that no run could read."""
        client = self._aws.secrets_manager()
        described = self._ask(
            "secretsmanager:DescribeSecret",
            f"Looking for the secret {secret_id!r}",
            lambda: client.describe_secret(SecretId=secret_id),
            absent_ok=True,
        )
        if described is None:
            return None
        if described.get("DeletedDate"):
            raise SettingsError(
                f"The secret {secret_id!r} is scheduled for deletion. Restore it (aws "
                f"secretsmanager restore-secret --secret-id {secret_id}) or set WEATHER_SECRET_ID "
                "to another name."
            )
        arn = _member(described, "ARN")
        value = self._ask(
            "secretsmanager:GetSecretValue",
            f"Reading the secret {secret_id!r}",
            lambda: client.get_secret_value(SecretId=secret_id),
            absent_ok=True,
        )
        body = "{}"  # a secret may have no value yet
        if value is not None:
            _member(value, "Name")
            body = value.get("SecretString") or value.get("SecretBinary") or ""
        texts = parse_secret(body, secret_id)
        text = body if isinstance(body, str) else body.decode("utf-8")
        return Secret(
            secret_id=secret_id,
            arn=arn,
            kms_key_id=described.get("KmsKeyId") or "",
            members=json.loads(text.removeprefix("\ufeff")),
            texts=texts,
            is_binary=isinstance(body, bytes),
        )

    def create_secret(self, name: str, members: Mapping[str, Any], tags: Tags) -> str:
        """Returns its ARN."""
        client = self._aws.secrets_manager()
        answer = self._ask(
            "secretsmanager:CreateSecret",
            f"Making the secret {name!r}",
            lambda: client.create_secret(
                Name=name,
                Description="Key and settings of ingest_weather.py",
                SecretString=json.dumps(members),
                **_tags(tags),
            ),
        )
        arn: str = _member(answer, "ARN")
        return arn

    def put_secret(self, secret: Secret, members: Mapping[str, Any]) -> None:
        """Give the secret a new version, in the form it has."""
        text = json.dumps({**secret.members, **members})
        value: dict[str, Any] = (
            {"SecretBinary": text.encode()} if secret.is_binary else {"SecretString": text}
        )
        client = self._aws.secrets_manager()
        self._ask(
            "secretsmanager:PutSecretValue",
            f"Changing the secret {secret.secret_id!r}",
            lambda: client.put_secret_value(SecretId=secret.arn, **value),
        )

    def has_database(self, database: str) -> bool:
        client = self._timestream_write()
        return bool(
            self._ask(
                "timestream:DescribeDatabase",
                f"Looking for the database {database!r}",
                lambda: client.describe_database(DatabaseName=database),
                absent_ok=True,
            )
        )

    def create_database(self, database: str, tags: Tags) -> bool:
        """False where another made it in the meantime."""
        client = self._timestream_write()
        return bool(
            self._ask(
                "timestream:CreateDatabase",
                f"Making the database {database!r}",
                lambda: client.create_database(DatabaseName=database, **_tags(tags)),
                conflict_ok=True,
            )
        )

    def find_table(self, database: str, table: str) -> Table | None:
        client = self._timestream_write()
        answer = self._ask(
            "timestream:DescribeTable",
            f"Looking for the table {table!r} in the database {database!r}",
            lambda: client.describe_table(DatabaseName=database, TableName=table),
            absent_ok=True,
        )
        if answer is None:
            return None
        described = _member(answer, "Table")
        retention = described.get("RetentionProperties") or {}
        magnetic = described.get("MagneticStoreWriteProperties") or {}
        return Table(
            status=described.get("TableStatus") or "unknown",
            retention=Retention(
                memory_hours=retention.get("MemoryStoreRetentionPeriodInHours", 0),
                magnetic_days=retention.get("MagneticStoreRetentionPeriodInDays", 0),
                magnetic_writes=bool(magnetic.get("EnableMagneticStoreWrites")),
            ),
            rejected_location=magnetic.get("MagneticStoreRejectedDataLocation"),
        )

    def create_table(self, database: str, table: str, retention: Retention, tags: Tags) -> bool:
        """False where another made it in the meantime."""
        client = self._timestream_write()
        return bool(
            self._ask(
                "timestream:CreateTable",
                f"Making the table {table!r} in the database {database!r}",
                lambda: client.create_table(
                    DatabaseName=database, TableName=table, **_properties(retention), **_tags(tags)
                ),
                conflict_ok=True,
            )
        )

    def update_table(self, database: str, table: str, found: Table, retention: Retention) -> None:
        """Give the table this retention; where its rejections are reported is kept."""
        properties = _properties(retention)
        if found.rejected_location:
            magnetic = properties["MagneticStoreWriteProperties"]
            magnetic["MagneticStoreRejectedDataLocation"] = found.rejected_location
        client = self._timestream_write()
        self._ask(
            "timestream:UpdateTable",
            f"Changing the table {table!r} in the database {database!r}",
            lambda: client.update_table(DatabaseName=database, TableName=table, **properties),
        )

    def wait_until_active(self, database: str, table: str) -> None:
        """Look again and again until the table is ACTIVE. Raises DeadlineError where it is not in
        time, DeliveryError where it never will be."""
        pause_s, status = FIRST_PAUSE_S, ""
        while True:
            try:
                found = self.find_table(database, table)
            except DeadlineError:
                if not status:
                    raise
                # An earlier look was answered, and says more than that this one was not.
                raise self.patience.error(f"while the table {table!r} was {status}") from None
            status = found.status if found else "not to be seen"
            if status == "ACTIVE":
                return
            if status == "DELETING":
                raise DeliveryError(
                    f"The table {table!r} is being deleted. Run setup again when it is gone."
                )
            self.patience.check(f"while the table {table!r} was {status}")
            time.sleep(min(pause_s, self.patience.remaining_s()))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _timestream_write(self) -> Any:  # noqa: ANN401  (its stubs want their own types of tags)
        if self._timestream is None:
            self._timestream = self._aws.timestream_write(
                self.endpoint_url, parameter_validation=True
            )
        return self._timestream

    def _ask(
        self,
        action: str,
        doing: str,
        call: Callable[[], T],
        *,
        absent_ok: bool = False,
        conflict_ok: bool = False,
    ) -> Any:  # noqa: ANN401  (botocore's answers)
        """The call's answer; None where what it names is not there, or already there, and that is
        fine. action: as IAM names it."""
        from botocore.exceptions import ClientError

        try:
            return Task(call, f"before {action} was answered").result(self.patience)
        except Exception as error:
            if isinstance(error, ClientError):
                code = error.response.get("Error", {}).get("Code", "")
                if absent_ok and code == "ResourceNotFoundException":
                    return None
                if conflict_ok and code == "ConflictException":
                    return None
            what = f"{doing} in region {self.region} ({action})"
            raise aws_error(error, what, self.region) from error


def _member(answer: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  (botocore's answers)
    """botocore takes a body that breaks off for an answer without members."""
    if not answer.get(name):
        raise DeliveryError(f"AWS's answer broke off: it has no {name}. Run setup again.")
    return answer[name]


def _tags(tags: Tags) -> dict[str, Any]:
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"Tags": listed} if listed else {}


def _properties(retention: Retention) -> dict[str, Any]:
    return {
        "RetentionProperties": {
            "MemoryStoreRetentionPeriodInHours": retention.memory_hours,
            "MagneticStoreRetentionPeriodInDays": retention.magnetic_days,
        },
        "MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": retention.magnetic_writes},
    }

"""All that setup can know without a change; what is wrong with that ends the command here."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands.aws import ABSENT, Account, member
from commands.terminal import progress
from ingest.aws.session import Aws
from ingest.deadline import Deadline
from ingest.errors import DeadlineError, IngestError, SettingsError, UsageError
from ingest.reporting.logs import RunLog
from ingest.settings import Settings, Sources, load, read_sources
from ingest.settings.secret import parse_secret

KEY = "OPENWEATHERMAP_API_KEY"
# Stands for a key that is still to come, so that all other settings can be read.
NO_KEY = "(no-key-yet)"


class Patience(Deadline):
    """How long AWS may take over one step; starts again with each step and a person's answer."""

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
    """A secret that exists. body: its JSON object; texts: the same, as settings are read.

    kms_key_id: ARN, id or alias of the account's own key; "" for the one of AWS.
    """

    arn: str
    kms_key_id: str
    body: str | bytes
    texts: Mapping[str, str]


@dataclass
class Job:
    """What setup is asked to do, and what is there.

    secret, database: None if there is none.
    table: as DescribeTable has it, empty if there is none.
    """

    options: argparse.Namespace
    log: RunLog
    sources: Sources
    settings: Settings
    patience: Patience
    account: Account
    number: str
    identity_arn: str
    secret: Secret | None
    database: object = None
    table: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tags(self) -> dict[str, Any]:
        """Of what is made, as AWS's operations take them."""
        tags = dict(self.options.tag).items()
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags]} if tags else {}

    @property
    def tags_told(self) -> tuple[str, ...]:
        tags = ", ".join(f"{key}={value}" for key, value in self.options.tag)
        return (f"tags: {tags}",) if tags else ()

    def change(self, action: str, doing: str, tolerated: str = "", **parameters: Any) -> Any:  # noqa: ANN401
        """As `Account.ask`, shown on the terminal."""
        with progress(doing):
            return self.account.ask(action, doing, tolerated, **parameters)


def look(options: argparse.Namespace, env_file: Path | None, log: RunLog) -> Job:
    """Settings, credentials, secret, database and table."""
    sources = read_sources(os.environ, env_file)
    sources.export_aws()
    patience = Patience(options.timeout)
    aws = Aws(log.redact, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
    account = Account(aws, lambda: patience)
    secret: Secret | None = None

    def texts_of_secret(secret_id: str) -> dict[str, str]:
        nonlocal secret
        secret = find_secret(account, secret_id)
        if not secret and secret_id.startswith("arn:") and not options.print_iam_policy:
            raise SettingsError(
                f"There is no secret {secret_id!r}, and none can be made by an ARN: AWS ends "
                "it with characters of its own. Set WEATHER_SECRET_ID to a name."
            )
        texts = dict(secret.texts) if secret else {}
        log.redact.add(texts.get(KEY))
        is_replaced = options.api_key_stdin and options.update
        if is_replaced or not texts.get(KEY, "").strip():
            texts[KEY] = NO_KEY
        return texts

    with progress("Looking at the account"):
        settings = load(sources, texts_of_secret, log.redact)
        if options.api_key_stdin and not settings.secret_id:
            raise UsageError("--api-key-stdin: WEATHER_SECRET_ID is empty, so there is no secret.")
        number, arn = account.identity()
        job = Job(options, log, sources, settings, patience, account, number, arn, secret)
        if not options.print_iam_policy:
            find_database_and_table(job)
    return job


def find_secret(account: Account, secret_id: str) -> Secret | None:
    """Raises SettingsError for a secret that no run could read."""
    doing, named = f"Looking for the secret {secret_id!r}", {"SecretId": secret_id}
    described = account.ask("secretsmanager:DescribeSecret", doing, ABSENT, **named)
    if described is None:
        return None
    if described.get("DeletedDate"):
        raise SettingsError(
            f"The secret {secret_id!r} is scheduled for deletion. Restore it (aws "
            f"secretsmanager restore-secret --secret-id {secret_id}) or set WEATHER_SECRET_ID "
            "to another name."
        )
    arn, kms_key_id = member(described, "ARN"), described.get("KmsKeyId") or ""
    value = account.ask("secretsmanager:GetSecretValue", doing, ABSENT, **named)
    body = "{}"  # a secret may have no value yet
    if value is not None:
        member(value, "Name")
        body = value.get("SecretString") or value.get("SecretBinary") or ""
    return Secret(arn, kms_key_id, body, parse_secret(body, secret_id))


def find_database_and_table(job: Job) -> None:
    job.account.endpoint_url = job.settings.endpoint_url
    database = job.settings.database
    doing, action = f"Looking for the database {database}", "timestream:DescribeDatabase"
    job.database = job.account.ask(action, doing, ABSENT, DatabaseName=database)
    if job.database:
        job.table = find_table(job)


def find_table(job: Job) -> Mapping[str, Any]:
    database, table = job.settings.database, job.settings.table
    doing = f"Looking for the table {table} in the database {database}"
    names = {"DatabaseName": database, "TableName": table}
    answer = job.account.ask("timestream:DescribeTable", doing, ABSENT, **names)
    found: Mapping[str, Any] = {} if answer is None else member(answer, "Table")
    return found

"""What setup reads before it changes anything. Raises if a run could not use it."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from commands.aws import ABSENT, Account, StepDeadline, member
from commands.terminal import progress
from ingest.aws.session import Aws
from ingest.errors import SettingsError, Status, UsageError
from ingest.settings import Settings, Sources, load
from ingest.settings.secret import parse_secret

KEY = "OPENWEATHERMAP_API_KEY"
# In place of a key that is not known yet, so that all other settings can be read.
NO_KEY = "(no-key-yet)"

GO_ON = "What was created stays. Run setup again to go on."


@dataclass(frozen=True)
class Secret:
    """A secret that exists. body: its JSON object; texts: the same, as settings are read.

    kms_key_id: ARN, id or alias of the account's own key; "" for the key of AWS.
    """

    arn: str
    kms_key_id: str
    body: str | bytes
    texts: Mapping[str, str]


@dataclass
class Job:
    """What setup is asked to do, and what exists.

    options: those before the command as well, and the log.
    patience: the deadline of a step (--timeout); restarts with each step, and after a prompt.
    secret, database: None if missing. table: as DescribeTable returns it, empty if missing.
    words: of the steps reported so far; statuses: of those that failed.
    """

    options: argparse.Namespace
    sources: Sources
    settings: Settings
    patience: StepDeadline
    account: Account
    number: str
    identity_arn: str
    secret: Secret | None
    database: object = None
    table: Mapping[str, Any] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    statuses: list[Status] = field(default_factory=list)

    @property
    def tags(self) -> dict[str, Any]:
        """The parameter of the operations that create something."""
        tags = dict(self.options.tag).items()
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags]} if tags else {}

    @property
    def tags_told(self) -> tuple[str, ...]:
        tags = ", ".join(f"{key}={value}" for key, value in self.options.tag)
        return (f"tags: {tags}",) if tags else ()

    def change(self, action: str, doing: str, tolerated: str = "", **parameters: Any) -> Any:  # noqa: ANN401
        """Like `Account.ask`, with its progress on the terminal."""
        with progress(doing):
            return self.account.ask(action, doing, tolerated, **parameters)


def look(options: argparse.Namespace) -> Job:
    """Settings, credentials, secret, database and table."""
    log, sources = options.log, options.sources
    sources.export_aws()
    patience = StepDeadline(options.timeout, f"{options.timeout} seconds (--timeout)", GO_ON)
    aws = Aws(log.redact, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
    account = Account(aws, lambda: patience)
    secret: Secret | None = None

    def read_secret(secret_id: str) -> dict[str, str]:
        nonlocal secret
        secret = find_secret(account, secret_id)
        if not secret and secret_id.startswith("arn:") and not options.print_iam_policy:
            raise SettingsError(
                f"There is no secret {secret_id!r}, and setup cannot create one from an ARN, "
                "because AWS chooses the end of it.",
                "Set WEATHER_SECRET_ID to a name.",
            )
        texts = dict(secret.texts) if secret else {}
        log.redact.add(texts.get(KEY))
        if (options.api_key_stdin and options.update) or not texts.get(KEY, "").strip():
            texts[KEY] = NO_KEY
        return texts

    with progress("Looking at the account"):
        settings = load(sources, read_secret, log.redact)
        if options.api_key_stdin and not settings.secret_id:
            raise UsageError("--api-key-stdin needs a secret, but WEATHER_SECRET_ID is empty.")
        number, arn = account.identity()
        job = Job(options, sources, settings, patience, account, number, arn, secret)
        if not options.print_iam_policy:
            account.endpoint_url = settings.endpoint_url
            doing = f"Looking for the database {settings.database}"
            name = {"DatabaseName": settings.database}
            job.database = account.ask("timestream:DescribeDatabase", doing, ABSENT, **name)
            if job.database:
                job.table = find_table(job)
    return job


def find_secret(account: Account, secret_id: str) -> Secret | None:
    """None if it does not exist. Raises SettingsError if no run could read it."""
    doing, named = f"Looking for the secret {secret_id!r}", {"SecretId": secret_id}
    described = account.ask("secretsmanager:DescribeSecret", doing, ABSENT, **named)
    if described is None:
        return None
    if described.get("DeletedDate"):
        raise SettingsError(
            f"The secret {secret_id!r} is scheduled for deletion.",
            "Set WEATHER_SECRET_ID to another name, or restore it: aws secretsmanager "
            f"restore-secret --secret-id {secret_id}",
        )
    arn, kms_key_id = member(described, "ARN"), described.get("KmsKeyId") or ""
    value = account.ask("secretsmanager:GetSecretValue", doing, ABSENT, **named)
    body = "{}"  # a secret may have no value yet
    if value is not None:
        member(value, "Name")
        body = value.get("SecretString") or value.get("SecretBinary") or ""
    return Secret(arn, kms_key_id, body, parse_secret(body, secret_id))


def find_table(job: Job) -> Mapping[str, Any]:
    database, table = job.settings.database, job.settings.table
    doing = f"Looking for the table {table} in the database {database}"
    names = {"DatabaseName": database, "TableName": table}
    answer = job.account.ask("timestream:DescribeTable", doing, ABSENT, **names)
    return {} if answer is None else member(answer, "Table")

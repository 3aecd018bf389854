"""The secret in AWS Secrets Manager, as names and texts."""

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ingest.deadline import Deadline, Task
from ingest.errors import DeliveryError, SettingsError
from ingest.settings.fields import DECLARED, PREFIXES

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef

    from ingest.aws.session import Aws


def fetch_secret(
    aws: "Aws", secret_id: str, deadline: Deadline, on_sent: Callable[[], object] = lambda: None
) -> dict[str, str]:
    """The secret's JSON object, its values as texts.

    on_sent: called while the answer is on its way.

    Raises SettingsError, AccessError or DeliveryError if the secret cannot be read.
    """
    from ingest.aws.errors import aws_error

    what = f"the secret {secret_id!r} from Secrets Manager"
    sent = threading.Event()
    task = Task(lambda: _ask(aws, secret_id, deadline, sent), f"while reading {what}")
    try:
        task.wait_for(sent, deadline)
        on_sent()
        answer = task.result(deadline)
    except Exception as error:
        raise aws_error(
            error,
            f"Reading {what} in region {aws.region}",
            missing="Check WEATHER_SECRET_ID and the region, or make the secret: "
            "ingest_weather.py setup",
        ) from error
    if not answer.get("Name"):  # botocore reads a truncated body as one without members
        raise DeliveryError(
            f"Reading {what} failed: the answer was cut off.", "The next run tries again."
        )
    return parse_secret(answer.get("SecretString") or answer.get("SecretBinary") or b"", secret_id)


def _ask(
    aws: "Aws", secret_id: str, deadline: Deadline, sent: threading.Event
) -> "GetSecretValueResponseTypeDef":
    """Set `sent` when the request is on its way."""

    def on_send(**_: object) -> None:
        sent.set()

    client = aws.secrets_manager()  # may ask a program or another host for credentials
    client.meta.events.register("before-send", on_send)
    try:
        with aws.within(deadline):
            return client.get_secret_value(SecretId=secret_id)
    finally:
        client.meta.events.unregister("before-send", on_send)  # the client outlives the run


def parse_secret(body: str | bytes, secret_id: str) -> dict[str, str]:
    """Read a secret: a JSON object whose values are strings or numbers; nulls are left out.

    Raises SettingsError that shows nothing of the secret.
    """
    wrong = SettingsError(
        f"The secret {secret_id!r} is not a JSON object.",
        'Store one such as {"OPENWEATHERMAP_API_KEY": "..."}.',
    )
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        secret = json.loads(text.removeprefix("\ufeff"))  # some editors put it in front
    except (AttributeError, ValueError, RecursionError):
        raise wrong from None  # the cause quotes the secret
    if not isinstance(secret, dict):
        raise wrong
    texts: dict[str, str] = {}
    for name, value in secret.items():
        if isinstance(value, str):
            texts[name] = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            texts[name] = json.dumps(value)
        elif value is not None and (name in DECLARED or name.startswith(PREFIXES)):
            raise SettingsError(
                f"In the secret {secret_id!r}, {name} is neither a string nor a number."
            )
    return texts

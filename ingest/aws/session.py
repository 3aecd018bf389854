"""One boto3 session and its clients, made when first used; until then boto3 is not imported."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ingest.aws.errors import AWS_CONFIG_HELP, aws_error
from ingest.deadline import Deadline
from ingest.errors import SettingsError
from ingest.reporting.redaction import Redactor

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_timestream_query import TimestreamQueryClient
    from mypy_boto3_timestream_write import TimestreamWriteClient

# Attempts at one call, the first included.
TOTAL_ATTEMPTS = 3

CONNECT_TIMEOUT_S = 5.0


class Aws:
    """A session and its clients. They can serve several runs; see `serve`."""

    def __init__(self, redact: Redactor | None = None, timeout_s: float = 10.0) -> None:
        self._redact = redact or Redactor()
        self._timeout_s = timeout_s
        self._clients: dict[tuple[object, ...], Any] = {}
        self._making = threading.Lock()
        self._thread = threading.local()

    def serve(self, redact: Redactor, timeout_s: float) -> None:
        """redact: gets the credentials as soon as they are known. timeout_s: for one answer."""
        self._redact, self._timeout_s = redact, timeout_s
        if self._clients:
            self._hide_credentials()

    @contextmanager
    def within(self, deadline: Deadline) -> Iterator[None]:
        """Let this thread send no request, not even a repeated one, after the deadline."""
        before = getattr(self._thread, "deadline", None)
        self._thread.deadline = deadline
        try:
            yield
        finally:
            self._thread.deadline = before

    @cached_property
    def _core(self) -> Any:  # noqa: ANN401  (untyped in botocore)
        import botocore.session

        core = botocore.session.get_session()
        core.register_component("data_loader", _quick_loader(core))
        return core

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401  (its stubs know no service by a variable's name)
        try:
            import boto3

            # boto3 reads only AWS_DEFAULT_REGION; AWS_REGION is what Lambda and the CLI use.
            return boto3.session.Session(
                botocore_session=self._core, region_name=os.environ.get("AWS_REGION") or None
            )
        except Exception as error:
            raise aws_error(error, "Setting up the AWS session") from error

    @property
    def region(self) -> str:
        return self._session.region_name or ""

    def secrets_manager(self) -> "SecretsManagerClient":
        client: SecretsManagerClient = self._client("secretsmanager")
        return client

    def timestream_write(
        self, endpoint_url: str = "", *, validates: bool = True
    ) -> "TimestreamWriteClient":
        """validates: whether botocore checks parameters, half of the CPU time of a long call."""
        client: TimestreamWriteClient = self._client(
            "timestream-write", endpoint_url, validates=validates
        )
        return client

    def timestream_query(self) -> "TimestreamQueryClient":
        """A client that discovers its own cell, because those for writing answer no queries."""
        client: TimestreamQueryClient = self._client("timestream-query")
        return client

    def caller_identity(self) -> dict[str, str]:
        """Who the credentials are, by STS: Account, Arn, UserId. Needs no permission."""
        return dict(self._client("sts").get_caller_identity())

    def on_answer(self, heard: Callable[[Mapping[str, str]], object]) -> None:
        """Get the headers of each answer, error or not, to clients that are made from now on."""

        def hear(http_response: Any, **_: object) -> None:  # noqa: ANN401  (untyped in botocore)
            heard(http_response.headers)

        self._core.register("after-call", hear)

    def _client(self, service: str, endpoint_url: str = "", *, validates: bool = True) -> Any:  # noqa: ANN401
        key = (service, endpoint_url, validates, self._timeout_s)
        with self._making:  # botocore's sessions are not thread-safe
            if key not in self._clients:
                self._clients[key] = self._make(service, endpoint_url, validates=validates)
            self._hide_credentials()
            return self._clients[key]

    def _make(self, service: str, endpoint_url: str, *, validates: bool) -> Any:  # noqa: ANN401
        session = self._session
        from botocore.config import Config

        config = Config(
            connect_timeout=min(CONNECT_TIMEOUT_S, self._timeout_s),
            read_timeout=self._timeout_s,
            retries={"mode": "standard", "total_max_attempts": TOTAL_ATTEMPTS},
            parameter_validation=validates,
            max_pool_connections=32,
            # The same as in weather requests. botocore would build its own for each request, in a
            # tenth of the CPU time of a call.
            user_agent="ingest-weather",
        )
        try:
            client = session.client(service, endpoint_url=endpoint_url or None, config=config)
            urlsplit(client.meta.endpoint_url).port  # noqa: B018  (ValueError for a port like "abc")
        except Exception as error:
            doing = f"Making the {service} client"
            if type(error) is ValueError:  # an endpoint that is not a URL
                raise SettingsError(f"{doing} failed: {error}.", AWS_CONFIG_HELP) from error
            raise aws_error(error, doing) from error
        client.meta.events.register("request-created", self._check_deadline)
        return client

    def _hide_credentials(self) -> None:
        """Only fixed ones: to get credentials that are renewed would itself be a call."""
        credentials = self._session.get_credentials()
        if credentials and type(credentials).__name__ == "Credentials":
            secrets = (credentials.access_key, credentials.secret_key, credentials.token)
            # A credential process can print what is not text.
            self._redact.add(*(str(each or "") for each in secrets))

    def _check_deadline(self, operation_name: str, **_: object) -> None:
        deadline: Deadline | None = getattr(self._thread, "deadline", None)
        if deadline:
            deadline.check(f"before {operation_name} was answered")


def _quick_loader(core: Any) -> Any:  # noqa: ANN401  (untyped in botocore)
    """botocore's reader of service models, without its search of 400 folders for all services'
    names, which the first client does twice, in a tenth of a run's CPU time."""
    from botocore.loaders import Loader

    class QuickLoader(Loader):
        def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
            folders = filter(os.path.isdir, self.search_paths)
            return sorted({name for folder in folders for name in os.listdir(folder)})

    return QuickLoader(core.get_config_variable("data_path"))


def serialize_at_once(client: Any, operation: str, member: str) -> None:  # noqa: ANN401  (any client)
    """Let json.dumps write this list of the operation's body at once; may be called again.

    botocore's serializer visits every member of every item, half of the CPU time of a long call.
    The items must be what it would make of them: names and texts of the API.
    """

    def take_out(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context[member] = params.pop(member)

    def put_in(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        body = {**json.loads(params["body"]), member: context.pop(member)}
        params["body"] = json.dumps(body).encode()

    events = client.meta.events
    events.register(f"before-parameter-build.{operation}", take_out, f"take out {member}")
    events.register(f"before-call.{operation}", put_in, f"put in {member}")

"""One boto3 session for the run, and one table from botocore's errors to ours.

Nothing of boto3 is imported before a session is wanted: `--help` and a wrong setting need none.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ingest.deadline import Deadline
from ingest.errors import AccessError, DeliveryError, IngestError, SettingsError, ThrottledError
from ingest.observation import one_line
from ingest.reporting.logs import redact

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_timestream_query import TimestreamQueryClient
    from mypy_boto3_timestream_write import TimestreamWriteClient

# The regions of Timestream for LiveAnalytics. Elsewhere its host name does not exist.
TIMESTREAM_REGIONS = (
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ap-south-1",
    "us-gov-west-1",
)

# Attempts at one call, the first included.
TOTAL_ATTEMPTS = 3

# botocore follows InvalidEndpointException (421) from cell to cell without a limit or a pause.
# Moving on a few times is legitimate; this many times is a loop.
MAX_ENDPOINT_MOVES = 10

CONNECT_TIMEOUT_S = 5.0


class Aws:
    """One boto3 session and the clients of this run, each made when it is first wanted.

    timeout_s: time limit in seconds for one answer to come.
    """

    def __init__(self, deadline: Deadline, timeout_s: float) -> None:
        import boto3
        import botocore.session

        self.deadline = deadline
        self._timeout_s = timeout_s
        try:
            core = botocore.session.get_session()
            core.register_component("data_loader", _quick_loader(core))
            # boto3 reads AWS_DEFAULT_REGION alone; AWS_REGION is what Lambda and the CLI know.
            self._session = boto3.session.Session(
                botocore_session=core, region_name=os.environ.get("AWS_REGION") or None
            )
            self._core: Any = core
        except Exception as error:
            raise aws_error(error, "Setting up the AWS session") from error

    @property
    def region(self) -> str:
        return self._session.region_name or ""

    def check_region(self) -> None:
        """Raise SettingsError where there is none. What was fetched would wait for a table that is
        nowhere."""
        if not self.region:
            raise SettingsError(f"There is no AWS region. {_REGION_HELP}")

    def secrets_manager(self) -> "SecretsManagerClient":
        client: SecretsManagerClient = self._client("secretsmanager")
        return client

    def timestream_write(
        self, endpoint_url: str = "", *, parameter_validation: bool = False
    ) -> "TimestreamWriteClient":
        """A client that discovers its cell, or one that writes to the given endpoint."""
        # Records hold nothing but strings and ints by construction (`Record` in timestream_writer,
        # and a test against botocore's own validator): checking them again costs half the CPU.
        client: TimestreamWriteClient = self._client(
            "timestream-write",
            endpoint_url=endpoint_url or None,
            parameter_validation=parameter_validation,
        )
        return client

    def caller_identity(self) -> dict[str, str]:
        """Who the credentials are, by STS: Account, Arn, UserId. Needs no permission."""
        answer: dict[str, str] = self._client("sts").get_caller_identity()
        return answer

    def on_answer(self, heard: Callable[[Mapping[str, str]], object]) -> None:
        """Have the headers of each answer, error or not, to clients that are made from now on."""

        def hear(http_response: Any, **_: object) -> None:  # noqa: ANN401  (untyped in botocore)
            heard(http_response.headers)

        self._core.register("after-call", hear)

    def timestream_query(self) -> "TimestreamQueryClient":
        """A client that discovers its own cell: those for writing answer no queries."""
        client: TimestreamQueryClient = self._client("timestream-query")
        return client

    def preload_timestream(self) -> None:
        """Read the Timestream client's models from disk, so that making the client is quick."""
        loader = self._core.get_component("data_loader")
        for model in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model("timestream-write", model)

    def _client(
        self, service: str, endpoint_url: str | None = None, *, parameter_validation: bool = True
    ) -> Any:  # noqa: ANN401  (boto3 makes its clients at run time)
        from botocore.config import Config

        config = Config(
            connect_timeout=min(CONNECT_TIMEOUT_S, self._timeout_s),
            read_timeout=self._timeout_s,
            retries={"mode": "standard", "total_max_attempts": TOTAL_ATTEMPTS},
            parameter_validation=parameter_validation,
            max_pool_connections=32,
        )
        try:
            session: Any = self._session  # its stubs know no service by a variable's name
            client = session.client(service, endpoint_url=endpoint_url, config=config)
            urlsplit(client.meta.endpoint_url).port  # noqa: B018  (ValueError for a port like "abc")
        except Exception as error:
            doing = f"Making the {service} client"
            if type(error) is ValueError:  # an endpoint that is no URL
                raise SettingsError(f"{doing} failed: {error}. {_AWS_CONFIG_HELP}") from error
            raise aws_error(error, doing, self.region) from error
        client.meta.events.register("request-created", self._guard)
        self._hide_credentials()
        return client

    def _hide_credentials(self) -> None:
        """Let the log know a profile's secrets. Those that are renewed are not had before a call,
        and asking for them here would be one."""
        credentials = self._session.get_credentials()
        if credentials and type(credentials).__name__ == "Credentials":
            for secret in (credentials.access_key, credentials.secret_key, credentials.token):
                redact.add(str(secret or ""))  # a program can print what is no text

    def _guard(self, request: Any, operation_name: str, **_: object) -> None:  # noqa: ANN401
        """Before each request botocore sends, first or repeated: is there time, is it a loop?"""
        self.deadline.check(f"before {operation_name} was answered")
        attempt = request.context.get("retries", {}).get("attempt", 1)
        if attempt > MAX_ENDPOINT_MOVES:
            raise DeliveryError(
                f"{operation_name}: Timestream sent us from endpoint to endpoint {attempt - 1} "
                "times (InvalidEndpointException). Try again later."
            )


def _quick_loader(core: Any) -> Any:  # noqa: ANN401  (untyped in botocore)
    """botocore's reader of service models, without its search of 400 folders for the names of all
    services: the first client would do it twice, a tenth of a run's CPU time."""
    from botocore.loaders import Loader

    class QuickLoader(Loader):
        def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
            folders = filter(os.path.isdir, self.search_paths)
            return sorted({name for folder in folders for name in os.listdir(folder)})

    return QuickLoader(core.get_config_variable("data_path"))


_CREDENTIALS_HELP = (
    "Give the run credentials: an instance role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY in its environment or .env file (cron starts with neither)."
)
_EXPIRED_HELP = "Renew the credentials (a role renews its own; `aws sso login` renews a profile's)."
_WRONG_CREDENTIALS_HELP = (
    "Check the access key and its secret, that they belong to this account, and this machine's "
    "clock."
)
_MISSING_HELP = "Check the name and the region."

# ClientError codes that refuse the caller, with what to do. Services put Exception behind a code
# or not, at whim.
_ACCESS_CODES = {
    "AccessDenied": "Allow the action in the IAM policy of the run's role or user.",
    "UnauthorizedOperation": "Allow the action in the IAM policy of the run's role or user.",
    "NotAuthorized": "Allow the action in the IAM policy of the run's role or user.",
    "ExpiredToken": _EXPIRED_HELP,
    "RequestExpired": _EXPIRED_HELP + " Check this machine's clock.",
    "UnrecognizedClient": _WRONG_CREDENTIALS_HELP,
    "InvalidClientTokenId": _WRONG_CREDENTIALS_HELP,
    "InvalidSignature": _WRONG_CREDENTIALS_HELP,
    "SignatureDoesNotMatch": _WRONG_CREDENTIALS_HELP,
    "IncompleteSignature": _WRONG_CREDENTIALS_HELP,
    "MissingAuthenticationToken": _CREDENTIALS_HELP,
    "AuthFailure": _WRONG_CREDENTIALS_HELP,
    "OptInRequired": "Activate the service or the region in this AWS account.",
    "DecryptionFailure": "Allow kms:Decrypt on the secret's key, and see that the key is enabled.",
}
_CONFIG_CODES = {
    "InvalidRequest": "See that the secret is not scheduled for deletion, or restore it.",
    "InvalidParameter": "Check WEATHER_SECRET_ID: the secret's name, or its full ARN.",
    "Validation": "Check the names in the settings.",
}

# BotoCoreErrors by class; a test holds that each class of botocore is in one of these or below
# one. Those that only code of ours could raise (waiters, paginators, S3) are bugs, and stay so.
_ACCESS_CLASSES = {
    "NoCredentialsError": _CREDENTIALS_HELP,
    "PartialCredentialsError": _CREDENTIALS_HELP,
    "UnknownCredentialError": _CREDENTIALS_HELP,
    "NoAuthTokenError": _CREDENTIALS_HELP,
    "CredentialRetrievalError": _CREDENTIALS_HELP,
    "TokenRetrievalError": _EXPIRED_HELP,
    "UnknownTokenProviderError": _CREDENTIALS_HELP,
    "SSOError": _EXPIRED_HELP,
    "LoginError": _EXPIRED_HELP,
    "RefreshWithMFAUnsupportedError": "A cron job cannot type an MFA code: use a role without one.",
    "MetadataRetrievalError": _CREDENTIALS_HELP,
}
_REGION_HELP = (
    "Set AWS_REGION to the region of the database and the secret; "
    f"Timestream for LiveAnalytics runs in {', '.join(TIMESTREAM_REGIONS)}."
)
_AWS_CONFIG_HELP = "Check AWS_* in the environment and ~/.aws/config."
_CONFIG_CLASSES = {
    "NoRegionError": _REGION_HELP,
    "UnknownRegionError": _REGION_HELP,
    "InvalidRegionError": _REGION_HELP,
    "ServiceNotInRegionError": _REGION_HELP,
    "BaseEndpointResolverError": _REGION_HELP,
    "EndpointProviderError": _REGION_HELP,
    "ProfileNotFound": "Check AWS_PROFILE; cron reads ~/.aws of the user it runs as.",
    "ConfigParseError": _AWS_CONFIG_HELP,
    "ConfigNotFound": _AWS_CONFIG_HELP,
    "InvalidConfigError": _AWS_CONFIG_HELP,
    "InvalidDefaultsMode": _AWS_CONFIG_HELP,
    "InvalidRetryConfigurationError": _AWS_CONFIG_HELP,
    "InvalidIMDSEndpointError": _AWS_CONFIG_HELP,
    "InvalidIMDSEndpointModeError": _AWS_CONFIG_HELP,
    "InvalidProxiesConfigError": _AWS_CONFIG_HELP,
    "InvalidEndpointDiscoveryConfigurationError": _AWS_CONFIG_HELP,
    "InvalidEndpointConfigurationError": _AWS_CONFIG_HELP,
    "InvalidSTSRegionalEndpointsConfigError": _AWS_CONFIG_HELP,
    "InvalidChecksumConfigError": _AWS_CONFIG_HELP,
    "UnsupportedServiceProtocolsError": _AWS_CONFIG_HELP,
    "UnsupportedSignatureVersionError": _AWS_CONFIG_HELP,
    "UnknownSignatureVersionError": _AWS_CONFIG_HELP,
    "MissingDependencyException": "Install what it names beside boto3, or use other credentials.",
    "DataNotFoundError": "Install boto3 anew: files of it are missing.",
    "ApiVersionNotFoundError": _AWS_CONFIG_HELP,
}
_NETWORK_HELP = "Nothing to do if it passes; else check the network, and AWS's health page."
_DELIVERY_CLASSES = {
    "ConnectionError": _NETWORK_HELP,
    "HTTPClientError": _NETWORK_HELP,
    "SSLError": "Check the CA file (AWS_CA_BUNDLE) and any proxy that opens TLS.",
    "IncompleteReadError": _NETWORK_HELP,
    "ChecksumError": _NETWORK_HELP,
    "FlexibleChecksumError": _NETWORK_HELP,
    "CapacityNotAvailableError": _NETWORK_HELP,
}


def aws_error(
    error: Exception, doing: str, region: str = "", missing: str = _MISSING_HELP
) -> IngestError:
    """Our error for one of botocore's: "DOING failed: what it says. What to do next."

    missing: what to do where the service does not know what was named.

    An exception that is not AWS's, or only a bug of ours could cause, is raised again as it is.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, IngestError):
        return error
    if isinstance(error, ClientError):
        return _client_error(error, doing, missing)
    if type(error).__name__ == "EndpointDiscoveryRefreshFailed":
        return _discovery_error(doing, region)
    if isinstance(error, BotoCoreError):
        for cls in type(error).__mro__:
            for table, kind in (
                (_ACCESS_CLASSES, AccessError),
                (_CONFIG_CLASSES, SettingsError),
                (_DELIVERY_CLASSES, DeliveryError),
            ):
                if cls.__name__ in table:
                    return kind(f"{doing} failed: {_tidy(str(error))} {table[cls.__name__]}")
    modules = _modules_of(error)
    if "botocore.credentials" in modules:
        return AccessError(f"{doing} failed: {_tidy(str(error))} {_CREDENTIALS_HELP}")
    if any(module.partition(".")[0] == "botocore" for module in modules):
        # It reads an answer that is no JSON, or not of the right shape, without a check.
        return DeliveryError(f"{doing} failed: the answer cannot be read. {_NETWORK_HELP}")
    raise error


def _modules_of(error: Exception) -> list[str]:
    """The modules that an exception came through, the one that raised it last."""
    modules, trace = [], error.__traceback__
    while trace:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    return modules


def _client_error(error: Any, doing: str, missing: str) -> IngestError:  # noqa: ANN401  (untyped in botocore)
    code = one_line(str(error.response.get("Error", {}).get("Code", "Unknown")))
    message = str(error.response.get("Error", {}).get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    what = f"{doing} failed: {code}: {_tidy(message)}"
    family = code.removesuffix("Exception")
    if family in _ACCESS_CODES:
        return AccessError(f"{what} {_access_help(family, message, error.operation_name)}")
    if family == "ResourceNotFound":
        return SettingsError(f"{what} {missing}")
    if family in _CONFIG_CODES:
        return SettingsError(f"{what} {_CONFIG_CODES[family]}")
    if status in (401, 403):
        return AccessError(f"{what} {_ACCESS_CODES['AccessDenied']}")
    kind = ThrottledError if family == "Throttling" else DeliveryError
    return kind(f"{what} (HTTP {status}) {_NETWORK_HELP}")


def _access_help(family: str, message: str, operation: str) -> str:
    if "Only existing Timestream" in message:
        return (
            "This is no IAM mistake: Timestream for LiveAnalytics has been closed to new customers "
            "since 2025-06-20, and this AWS account was not one before. Use an account that was."
        )
    if "KMS" in message:
        return "Allow kms:Decrypt on the key that encrypts the secret."
    if operation == "DescribeEndpoints":
        return (
            "Allow timestream:DescribeEndpoints on resource '*' in the IAM policy: it cannot be "
            "limited to a table."
        )
    return _ACCESS_CODES[family]


def _discovery_error(doing: str, region: str) -> IngestError:
    what = f"{doing} failed: DescribeEndpoints of Timestream in region {region} cannot be reached."
    if region not in TIMESTREAM_REGIONS:
        return SettingsError(f"{what} {_REGION_HELP}")
    return DeliveryError(f"{what} {_NETWORK_HELP}")


# AWS repeats the request, with its credentials, in what it says of a bad signature; http.client
# shows a whole header that it will not send, as for a token with a line break in it.
_CREDENTIALS = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}|(?:Credential|Signature)=\S+|x-amz-security-token:\S+"
    r"|(?<=Invalid header value ).+",
    re.I,
)


def _tidy(message: str) -> str:
    """The first line, short, closed by a full stop, with nothing of the credentials."""
    line = one_line(next(iter(message.strip().splitlines()), "no message"))
    line = _CREDENTIALS.sub("(redacted)", line)[:400]
    return line if line.endswith((".", "!", "?")) else f"{line}."

"""botocore's errors as ours: tables by code, tables by class."""

import re
from collections.abc import Mapping
from traceback import walk_tb
from typing import Any

from ingest.errors import AccessError, DeliveryError, IngestError, SettingsError, ThrottledError
from ingest.reporting.redaction import one_line

_CREDENTIALS_HELP = (
    "Give the run credentials: an instance role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY in its environment or .env file (cron starts with neither)."
)
_EXPIRED_HELP = "Renew the credentials (a role renews its own; `aws sso login` renews a profile's)."
_WRONG_CREDENTIALS_HELP = (
    "Check the access key and its secret, that they belong to this account, and this machine's "
    "clock."
)
_KMS_HELP = "Allow kms:Decrypt on the key that encrypts the secret."
MISSING_HELP = "Check the name and the region."

# ClientError codes that refuse the caller, with what to do. Some services append Exception to them.
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
    "DecryptionFailure": "Allow kms:Decrypt on the secret's key, and check that it is enabled.",
}
_CONFIG_CODES = {
    "InvalidRequest": "If the secret is scheduled for deletion, restore it.",
    "InvalidParameter": "Check WEATHER_SECRET_ID: the secret's name, or its full ARN.",
    "Validation": "Check the names in the settings.",
}
_THROTTLED_CODES = {
    "Throttling",
    "Throttled",
    "RequestThrottled",
    "EC2Throttled",
    "TooManyRequests",
    "RequestLimitExceeded",
    "LimitExceeded",
    "BandwidthLimitExceeded",
    "ProvisionedThroughputExceeded",
    "TransactionInProgress",
    "PriorRequestNotComplete",
    "SlowDown",
}
# A later run can succeed. After a 4xx that is in no table it cannot: a person has to look.
_PASSING_CODES = {
    "Conflict",
    "InternalFailure",
    "InternalServer",
    "InternalServiceError",
    "InvalidEndpoint",
    "RejectedRecords",  # a list that fits the call is read by the writer
    "RequestTimeout",
    "ServiceQuotaExceeded",
    "ServiceUnavailable",
}

# BotoCoreErrors by class; a test checks that each class of botocore is in a table or a subclass of
# one that is. Those that only our own code could cause (waiters, paginators, S3) are bugs.
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
_REGION_HELP = "Set AWS_REGION to the region of the secret and the table."
AWS_CONFIG_HELP = "Check AWS_* in the environment and ~/.aws/config."
_CONFIG_CLASSES = {
    "NoRegionError": _REGION_HELP,
    "UnknownRegionError": _REGION_HELP,
    "InvalidRegionError": _REGION_HELP,
    "ServiceNotInRegionError": _REGION_HELP,
    "BaseEndpointResolverError": _REGION_HELP,
    "EndpointProviderError": _REGION_HELP,
    "ProfileNotFound": "Check AWS_PROFILE; cron reads ~/.aws of the user it runs as.",
    "ConfigParseError": AWS_CONFIG_HELP,
    "ConfigNotFound": AWS_CONFIG_HELP,
    "InvalidConfigError": AWS_CONFIG_HELP,
    "InvalidDefaultsMode": AWS_CONFIG_HELP,
    "InvalidRetryConfigurationError": AWS_CONFIG_HELP,
    "InvalidIMDSEndpointError": AWS_CONFIG_HELP,
    "InvalidIMDSEndpointModeError": AWS_CONFIG_HELP,
    "InvalidProxiesConfigError": AWS_CONFIG_HELP,
    "InvalidEndpointDiscoveryConfigurationError": AWS_CONFIG_HELP,
    "EndpointDiscoveryRequired": "Remove AWS_ENDPOINT_DISCOVERY_ENABLED from the environment and "
    "endpoint_discovery_enabled from ~/.aws/config.",
    "InvalidEndpointConfigurationError": AWS_CONFIG_HELP,
    "InvalidSTSRegionalEndpointsConfigError": AWS_CONFIG_HELP,
    "InvalidChecksumConfigError": AWS_CONFIG_HELP,
    "UnsupportedServiceProtocolsError": AWS_CONFIG_HELP,
    "UnsupportedSignatureVersionError": AWS_CONFIG_HELP,
    "UnknownSignatureVersionError": AWS_CONFIG_HELP,
    "MissingDependencyException": "Install the package it names, or use other credentials.",
    "DataNotFoundError": "Install boto3 again: files of it are missing.",
    "ApiVersionNotFoundError": AWS_CONFIG_HELP,
}
NETWORK_HELP = "The next run tries again. If it goes on, check the network and AWS's health page."
_REFUSED_HELP = "The next run would fail too: look the error up in the service's API reference."
_DELIVERY_CLASSES = {
    "ConnectionError": NETWORK_HELP,
    "HTTPClientError": NETWORK_HELP,
    "SSLError": "Check the CA file (AWS_CA_BUNDLE) and any proxy that opens TLS.",
    "IncompleteReadError": NETWORK_HELP,
    "ChecksumError": NETWORK_HELP,
    "FlexibleChecksumError": NETWORK_HELP,
    "CapacityNotAvailableError": NETWORK_HELP,
    "EndpointDiscoveryRefreshFailed": NETWORK_HELP,  # by clients that look for their own endpoint
}


def aws_error(error: Exception, doing: str, missing: str = MISSING_HELP) -> IngestError:
    """Our error for one of botocore's. missing: what to do if the named thing does not exist.

    An exception that is not AWS's, or that only a bug of ours could cause, is raised again.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, IngestError):
        return error
    if isinstance(error, ClientError):
        return _client_error(error, doing, missing)
    for cls in type(error).__mro__ if isinstance(error, BotoCoreError) else ():
        for table, kind in (
            (_ACCESS_CLASSES, AccessError),
            (_CONFIG_CLASSES, SettingsError),
            (_DELIVERY_CLASSES, DeliveryError),
        ):
            if cls.__name__ in table:
                return kind(f"{doing} failed: {said(error)}", table[cls.__name__])
    trace = walk_tb(error.__traceback__)
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in trace]
    if "botocore.credentials" in modules:
        return AccessError(f"{doing} failed: {said(error)}", _CREDENTIALS_HELP)
    if not isinstance(error, BotoCoreError) and _is_botocores_own(modules):
        # It does not check that an answer is JSON of the right shape.
        return DeliveryError(f"{doing} failed: the answer cannot be read.", NETWORK_HELP)
    raise error


def _is_botocores_own(modules: list[str]) -> bool:
    """Whether botocore raised it, or a library below it; not a handler of ours that it called."""
    packages = [module.partition(".")[0] for module in reversed(modules)]
    return next((each == "botocore" for each in packages if each in ("botocore", "ingest")), False)


def answer_of(error: BaseException | None) -> Mapping[str, Any]:
    """What the service answered, as botocore has read it; empty for other errors."""
    answer = getattr(error, "response", None)
    return answer if isinstance(answer, Mapping) else {}


def code_of(error: BaseException | None) -> str:
    """The service's error code, without an appended Exception; "" if it has none."""
    return str(answer_of(error).get("Error", {}).get("Code", "")).removesuffix("Exception")


def said(error: Exception) -> str:
    """What the service, or botocore, says: one line that ends with a full stop."""
    answer = answer_of(error).get("Error", {})
    if not answer:
        line, cause = _tidy(str(error)), _cause(error)
        return f"{line[:-1]} ({cause})." if cause and cause not in line else line
    code = one_line(str(answer.get("Code", "Unknown")))
    return f"{code}: {_tidy(str(answer.get('Message', '')))}"


def _cause(error: BaseException) -> str:
    """What the operating system says, which botocore omits: Connection refused."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    before = error.__cause__ or error.__context__
    return _cause(before) if before else ""


def _client_error(error: Any, doing: str, missing: str) -> IngestError:  # noqa: ANN401  (untyped in botocore)
    code = code_of(error)
    status = answer_of(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    what = f"{doing} failed: {said(error)}"
    if code in _ACCESS_CODES:
        is_key = "KMS" in str(answer_of(error).get("Error", {}).get("Message", ""))
        return AccessError(what, _KMS_HELP if is_key else _ACCESS_CODES[code])
    if advice := missing if code == "ResourceNotFound" else _CONFIG_CODES.get(code):
        return SettingsError(what, advice)
    if status in (401, 403):
        return AccessError(what, _ACCESS_CODES["AccessDenied"])
    if status:
        what = f"{doing} failed (HTTP {status}): {said(error)}"
    if code in _THROTTLED_CODES or status == 429:
        return ThrottledError(what, NETWORK_HELP)
    if code in _PASSING_CODES or status in (408, 425) or not 400 <= status < 500:
        return DeliveryError(what, NETWORK_HELP)
    return SettingsError(what, _REFUSED_HELP)


# AWS repeats the request, with its credentials, in the error for a bad signature; http.client
# quotes a whole header that it will not send, such as a token with a line break in it.
_CREDENTIALS = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}|(?:Credential|Signature)=\S+|x-amz-security-token:\S+"
    r"|(?<=Invalid header value ).+",
    re.I,
)


def _tidy(message: str) -> str:
    """The first line, short, ending with a full stop, without credentials."""
    line = one_line(next(iter(message.strip().splitlines()), "no message"))
    line = _CREDENTIALS.sub("(redacted)", line)[:400]
    return line if line.endswith((".", "!", "?")) else f"{line}."

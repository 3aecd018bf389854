"""botocore's errors as ours: one table by code, one by class.

A test holds that every class of botocore is in one of these tables, or below one that is.
"""

import re
from collections.abc import Mapping
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
# What passes. A refusal (4xx) that is in no table does not: a person has to look.
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
_PASSING_STATUSES = (408, 425, 429)

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
NETWORK_HELP = "Nothing to do if it passes; else check the network, and AWS's health page."
_REFUSED_HELP = "This does not pass by itself: see this error in the service's API reference."
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
    """Our error for one of botocore's: "DOING failed: what it says. What to do next."

    missing: what to do if the service does not know what was named.

    An exception that is not AWS's, or only a bug of ours could cause, is raised again as it is.
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
                return kind(f"{doing} failed: {said(error)} {table[cls.__name__]}")
    modules = _modules_of(error)
    if "botocore.credentials" in modules:
        return AccessError(f"{doing} failed: {said(error)} {_CREDENTIALS_HELP}")
    if not isinstance(error, BotoCoreError) and _is_botocores_own(modules):
        # It reads an answer that is no JSON, or not of the right shape, without a check.
        return DeliveryError(f"{doing} failed: the answer cannot be read. {NETWORK_HELP}")
    raise error


def _modules_of(error: Exception) -> list[str]:
    """The modules that an exception came through, the one that raised it last."""
    modules, trace = [], error.__traceback__
    while trace:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    return modules


def _is_botocores_own(modules: list[str]) -> bool:
    """Whether botocore raised it, or what it calls; not a handler of ours that it called."""
    ours = __name__.partition(".")[0]
    tops = [module.partition(".")[0] for module in modules]
    return next((top == "botocore" for top in reversed(tops) if top in ("botocore", ours)), False)


def answer_of(error: BaseException | None) -> Mapping[str, Any]:
    """What the service answered, as botocore has read it; empty for other errors."""
    answer = getattr(error, "response", None)
    return answer if isinstance(answer, Mapping) else {}


def code_of(error: BaseException | None) -> str:
    """The service's error code, without the Exception that some put behind it; "" without one."""
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
    """What the operating system says, which botocore leaves out: Connection refused."""
    before: BaseException | None = error
    while before:
        if isinstance(before, OSError) and before.strerror:
            return before.strerror
        before = before.__cause__ or before.__context__
    return ""


def _client_error(error: Any, doing: str, missing: str) -> IngestError:  # noqa: ANN401  (untyped in botocore)
    code = code_of(error)
    status = answer_of(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    what = f"{doing} failed: {said(error)}"
    if code in _ACCESS_CODES:
        is_key = "KMS" in str(answer_of(error).get("Error", {}).get("Message", ""))
        return AccessError(f"{what} {_KMS_HELP if is_key else _ACCESS_CODES[code]}")
    if code == "ResourceNotFound":
        return SettingsError(f"{what} {missing}")
    if code in _CONFIG_CODES:
        return SettingsError(f"{what} {_CONFIG_CODES[code]}")
    if status in (401, 403):
        return AccessError(f"{what} {_ACCESS_CODES['AccessDenied']}")
    what += f" (HTTP {status})"
    if code in _THROTTLED_CODES or status == 429:
        return ThrottledError(f"{what} {NETWORK_HELP}")
    if code in _PASSING_CODES or status in _PASSING_STATUSES or not 400 <= status < 500:
        return DeliveryError(f"{what} {NETWORK_HELP}")
    return SettingsError(f"{what} {_REFUSED_HELP}")


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

"""botocore's errors in our words, and how often and how long AWS is asked, over real sockets."""

import importlib
import logging
import os
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore
import pytest
from botocore.discovery import EndpointDiscoveryRefreshFailed
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.retries.standard import ExponentialBackoff

from embedded.aws import TIMESTREAM_REGIONS as EMBEDDED_REGIONS
from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, empty, reset, stall
from embedded.faults import aws_error as aws_fault
from ingest.aws import session as our_aws
from ingest.aws.session import (
    MAX_ENDPOINT_MOVES,
    TIMESTREAM_REGIONS,
    TOTAL_ATTEMPTS,
    Aws,
    aws_error,
)
from ingest.deadline import Deadline
from ingest.errors import (
    AccessError,
    DeadlineError,
    DeliveryError,
    IngestError,
    Interrupted,
    SettingsError,
    ThrottledError,
)
from tests.conftest import DATABASE, SECRET_ID, TABLE

# What is never meant to end by this limit is given it, so that ending by it shows as its error.
NEVER_S = 60.0
ACCESS_KEY, SECRET_KEY, TOKEN = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENG", "FwoGZXIvYXdzEPT"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore repeats at once."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)


@pytest.fixture
def environment(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that brings boto3 to the embedded AWS, and holds nothing else of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@dataclass
class Caller:
    """Calls the embedded AWS as the program does, and closes its clients at the end."""

    service: EmbeddedAws
    clients: list[Any] = field(default_factory=list)

    def session(self, deadline: Deadline | None = None, timeout_s: float = NEVER_S) -> Aws:
        return Aws(deadline or Deadline(NEVER_S), timeout_s)

    def secret(self, secret_id: str = SECRET_ID, **options: Any) -> str:
        session = self.session(**options)
        client = session.secrets_manager()
        self.clients.append(client)
        try:
            return client.get_secret_value(SecretId=secret_id)["SecretString"]
        except Exception as error:
            raise aws_error(error, "Reading the secret", session.region) from error

    def write(self, endpoint_url: str = "", **options: Any) -> None:
        session = self.session(**options)
        client = session.timestream_write(endpoint_url)
        self.clients.append(client)
        record: Any = {
            "Dimensions": [{"Name": "city", "Value": "London"}],
            "MeasureName": "CurrentTemp",
            "MeasureValue": "9.5",
            "Time": str(int(self.service.clock() * 1000)),
        }
        try:
            client.write_records(DatabaseName=DATABASE, TableName=TABLE, Records=[record])
        except Exception as error:
            raise aws_error(error, "Writing", session.region) from error

    def refused(self, call: Callable[..., object], **options: Any) -> IngestError:
        with pytest.raises(IngestError) as caught:
            call(**options)
        return caught.value


@pytest.fixture
def caller(aws: EmbeddedAws, environment: pytest.MonkeyPatch) -> Iterator[Caller]:
    del environment  # wanted for what it sets
    caller = Caller(aws)
    yield caller
    for client in caller.clients:
        client.close()


# Every class of botocore's errors is known

_S3 = "S3 is not used"
_STUBS = "raised by botocore's stubber, which only tests use"
_PARAMETERS = "our own parameters are wrong"
_WAITERS = "no waiter is used"
_PAGINATORS = "no paginator is used"
_STREAMS = "no stream is sent"
ONLY_BUGS = {
    "AliasConflictParameterError": _PARAMETERS,
    "AwsChunkedWrapperError": _STREAMS,
    "EndpointDiscoveryException": "a base class, never raised itself",
    "EndpointDiscoveryRequired": "Timestream's discovery cannot be switched off",
    "InvalidDNSNameError": _S3,
    "InvalidExpressionError": _PAGINATORS,
    "InvalidHostLabelError": "no operation used here puts a parameter into the host name",
    "InvalidS3AddressingStyleError": _S3,
    "InvalidS3UsEast1RegionalEndpointConfigError": _S3,
    "MD5UnavailableError": "no operation used here wants MD5",
    "MissingParametersError": _PARAMETERS,
    "OperationNotPageableError": _PAGINATORS,
    "PaginationError": _PAGINATORS,
    "ParamValidationError": _PARAMETERS,
    "StubResponseError": _STUBS,
    "UnStubbedResponseError": _STUBS,
    "StubAssertionError": _STUBS,
    "RangeError": _PARAMETERS,
    "UnknownClientMethodError": "our own code calls what is not there",
    "UnknownKeyError": _PARAMETERS,
    "UnknownParameterError": _PARAMETERS,
    "UnknownServiceStyle": "a kind of service model that botocore no longer has",
    "UnseekableStreamError": _STREAMS,
    "UnsupportedOutpostResourceError": _S3,
    "UnsupportedS3AccesspointConfigurationError": _S3,
    "UnsupportedS3ArnError": _S3,
    "UnsupportedS3ConfigurationError": _S3,
    "UnsupportedS3ControlArnError": _S3,
    "UnsupportedS3ControlConfigurationError": _S3,
    "ValidationError": _PARAMETERS,
    "WaiterConfigError": _WAITERS,
    "WaiterError": _WAITERS,
}
TABLES = (our_aws._ACCESS_CLASSES, our_aws._CONFIG_CLASSES, our_aws._DELIVERY_CLASSES)
NAMED = {name for table in TABLES for name in table} | {"EndpointDiscoveryRefreshFailed"}


def botocore_errors() -> list[type[BotoCoreError]]:
    """All classes below BotoCoreError in botocore, those of its other modules included."""
    for module in pkgutil.iter_modules(botocore.__path__, "botocore."):
        if not module.ispkg:
            importlib.import_module(module.name)
    found: dict[str, type[BotoCoreError]] = {}
    waiting: list[type[BotoCoreError]] = [BotoCoreError]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            if cls.__module__.startswith("botocore.") and cls.__name__ not in found:
                found[cls.__name__] = cls
                waiting.append(cls)
    return [found[name] for name in sorted(found)]


def made(cls: type[BotoCoreError]) -> BotoCoreError:
    """An error of the class, without the arguments that each wants in its own way."""
    error = cls.__new__(cls)
    Exception.__init__(error, "it went wrong")
    return error


def is_named(cls: type) -> bool:
    return any(base.__name__ in NAMED for base in cls.__mro__)


def test_every_error_class_of_botocore_is_classified() -> None:
    unknown = [
        cls.__name__
        for cls in botocore_errors()
        if not is_named(cls) and cls.__name__ not in ONLY_BUGS
    ]
    assert unknown == []


def test_no_table_names_a_class_that_botocore_does_not_have() -> None:
    names = {cls.__name__ for cls in botocore_errors()}
    assert sorted((NAMED | set(ONLY_BUGS)) - names) == []


def test_no_class_is_in_two_tables() -> None:
    names = [name for table in (*TABLES, ONLY_BUGS) for name in table]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("cls", botocore_errors(), ids=lambda cls: cls.__name__)
def test_every_error_class_becomes_a_sentence_with_advice_or_stays_a_bug(
    cls: type[BotoCoreError],
) -> None:
    if not is_named(cls):
        error = made(cls)
        with pytest.raises(cls) as caught:
            aws_error(error, "Reading", "us-east-1")
        assert caught.value is error
        return
    told = aws_error(made(cls), "Reading", "us-east-1")
    assert isinstance(told, (AccessError, SettingsError, DeliveryError))
    assert str(told).startswith("Reading failed: ")
    assert str(told).endswith(".")


def test_what_is_not_of_aws_stays_what_it_is() -> None:
    bug = KeyError("a bug of ours")
    with pytest.raises(KeyError) as caught:
        aws_error(bug, "Reading")
    assert caught.value is bug


def test_an_error_of_ours_is_handed_on() -> None:
    ours = DeadlineError("over")
    assert aws_error(ours, "Reading") is ours


# Codes of ClientError


def client_error(
    code: str, message: str = "No.", status: int = 400, operation: str = "GetSecretValue"
) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, operation)


@pytest.mark.parametrize(
    ("code", "status", "kind", "advice"),
    [
        ("AccessDeniedException", 400, AccessError, "Allow the action"),
        ("AccessDenied", 403, AccessError, "Allow the action"),
        ("UnauthorizedOperation", 403, AccessError, "Allow the action"),
        ("ExpiredTokenException", 400, AccessError, "Renew the credentials"),
        ("ExpiredToken", 403, AccessError, "Renew the credentials"),
        ("RequestExpired", 400, AccessError, "clock"),
        ("UnrecognizedClientException", 400, AccessError, "Check the access key"),
        ("InvalidClientTokenId", 403, AccessError, "Check the access key"),
        ("InvalidSignatureException", 403, AccessError, "clock"),
        ("SignatureDoesNotMatch", 403, AccessError, "Check the access key"),
        ("IncompleteSignatureException", 400, AccessError, "Check the access key"),
        ("MissingAuthenticationTokenException", 403, AccessError, "AWS_ACCESS_KEY_ID"),
        ("OptInRequired", 403, AccessError, "Activate"),
        ("DecryptionFailure", 400, AccessError, "kms:Decrypt"),
        ("SomethingNew", 401, AccessError, "Allow the action"),
        ("SomethingNew", 403, AccessError, "Allow the action"),
        ("ResourceNotFoundException", 400, SettingsError, "Check the name and the region"),
        ("InvalidRequestException", 400, SettingsError, "scheduled for deletion"),
        ("InvalidParameterException", 400, SettingsError, "WEATHER_SECRET_ID"),
        ("ValidationException", 400, SettingsError, "Check the names"),
        ("ThrottlingException", 429, ThrottledError, "(HTTP 429)"),
        ("InternalServerException", 500, DeliveryError, "(HTTP 500)"),
        ("InternalServiceError", 500, DeliveryError, "(HTTP 500)"),
        ("ServiceQuotaExceededException", 402, DeliveryError, "(HTTP 402)"),
        ("ConflictException", 409, DeliveryError, "(HTTP 409)"),
        ("SomethingNew", 400, DeliveryError, "(HTTP 400)"),
    ],
)
def test_a_code_says_who_has_to_act(
    code: str, status: int, kind: type[IngestError], advice: str
) -> None:
    told = aws_error(client_error(code, status=status), "Reading the secret")
    assert type(told) is kind
    assert str(told).startswith(f"Reading the secret failed: {code}: No. ")
    assert advice in str(told)


# A throttled or failing service is asked again by a later run; so is one that moved its cell.
MODELLED = {
    "AccessDeniedException": AccessError,
    "DecryptionFailure": AccessError,
    "InternalServerException": DeliveryError,
    "InternalServiceError": DeliveryError,
    "InvalidEndpointException": DeliveryError,
    "InvalidParameterException": SettingsError,
    "InvalidRequestException": SettingsError,
    "RejectedRecordsException": DeliveryError,
    "ResourceNotFoundException": SettingsError,
    "ThrottlingException": ThrottledError,
    "ValidationException": SettingsError,
}


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("timestream-write", "DescribeEndpoints"),
        ("timestream-write", "WriteRecords"),
        ("secretsmanager", "GetSecretValue"),
    ],
)
def test_every_error_in_the_services_own_models_is_classified(service: str, operation: str) -> None:
    model = boto3.session.Session()._session.get_service_model(service).operation_model(operation)
    kinds = {
        shape.name: type(aws_error(client_error(shape.name, operation=operation), "Asking"))
        for shape in model.error_shapes
    }
    assert kinds
    assert kinds == {name: MODELLED.get(name) for name in kinds}


def test_a_caller_can_say_what_to_do_about_a_missing_thing() -> None:
    told = aws_error(client_error("ResourceNotFoundException"), "Writing", missing="Make it.")
    assert str(told) == "Writing failed: ResourceNotFoundException: No. Make it."


def test_kms_denied_names_its_action() -> None:
    told = aws_error(client_error("AccessDeniedException", "Access to KMS is not allowed"), "X")
    assert isinstance(told, AccessError)
    assert "Allow kms:Decrypt on the key that encrypts the secret." in str(told)


def test_an_error_without_code_or_message_is_still_told() -> None:
    told = aws_error(ClientError({}, "GetSecretValue"), "Reading")
    assert isinstance(told, DeliveryError)
    assert str(told).startswith("Reading failed: Unknown: no message. (HTTP 0)")


def test_a_message_is_one_short_line() -> None:
    long = client_error("AccessDenied", "first\nsecond\n" + "x" * 1000)
    assert "second" not in str(aws_error(long, "X"))
    assert len(str(aws_error(client_error("AccessDenied", "x" * 1000), "X"))) < 600


# Refusals as they come over the socket


def test_an_account_that_timestream_does_not_take_is_told_apart_from_iam(
    aws: EmbeddedAws, caller: Caller
) -> None:
    message = "Only existing Timestream for LiveAnalytics customers can access the service. Call us"
    aws.plan.always("DescribeEndpoints", aws_fault("AccessDeniedException", message, 403))
    error = caller.refused(caller.write)
    assert isinstance(error, AccessError)
    assert "This is no IAM mistake" in str(error)
    assert "Allow" not in str(error)


def test_a_denied_describe_endpoints_names_its_action_and_resource(
    aws: EmbeddedAws, caller: Caller
) -> None:
    aws.plan.always("DescribeEndpoints", aws_fault("AccessDeniedException", "no", 403))
    error = caller.refused(caller.write)
    assert isinstance(error, AccessError)
    assert "Allow timestream:DescribeEndpoints on resource '*'" in str(error)


def test_a_denied_write_does_not_blame_describe_endpoints(aws: EmbeddedAws, caller: Caller) -> None:
    aws.plan.always("WriteRecords", aws_fault("AccessDeniedException", "no", 403))
    error = caller.refused(caller.write)
    assert isinstance(error, AccessError)
    assert "DescribeEndpoints" not in str(error)


def test_an_expired_token_is_to_be_renewed(aws: EmbeddedAws, caller: Caller) -> None:
    message = "The security token included in the request is expired"
    aws.plan.always("GetSecretValue", aws_fault("ExpiredTokenException", message))
    error = caller.refused(caller.secret)
    assert isinstance(error, AccessError)
    assert f"ExpiredTokenException: {message}. Renew the credentials" in str(error)


def test_a_missing_secret_is_a_wrong_setting(caller: Caller) -> None:
    error = caller.refused(caller.secret, secret_id="nowhere")
    assert isinstance(error, SettingsError)
    assert "ResourceNotFoundException" in str(error)


# Region, credentials, profile, endpoint


def test_a_region_without_timestream_is_a_wrong_setting(
    caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AWS_REGION", "eu-west-2")
    error = caller.refused(caller.write)
    assert isinstance(error.__cause__, EndpointDiscoveryRefreshFailed)
    assert isinstance(error, SettingsError)
    assert "region eu-west-2" in str(error)
    assert "eu-west-1" in str(error)


def test_a_region_with_timestream_that_does_not_answer_is_a_passing_failure(
    aws: EmbeddedAws, caller: Caller
) -> None:
    aws.plan.always("DescribeEndpoints", reset())
    error = caller.refused(caller.write)
    assert isinstance(error.__cause__, EndpointDiscoveryRefreshFailed)
    assert isinstance(error, DeliveryError)
    assert aws.count("DescribeEndpoints") == TOTAL_ATTEMPTS


def test_the_regions_are_those_of_the_embedded_service_and_govcloud() -> None:
    assert set(TIMESTREAM_REGIONS) == EMBEDDED_REGIONS | {"us-gov-west-1"}


def signed_region(request: Request) -> str:
    return request.headers["authorization"].split("/")[2]


@pytest.mark.parametrize(
    ("region", "default_region", "used"),
    [
        ("eu-west-1", None, "eu-west-1"),
        (None, "eu-central-1", "eu-central-1"),
        ("eu-west-1", "eu-central-1", "eu-west-1"),
        ("", "eu-central-1", "eu-central-1"),
    ],
)
def test_both_variables_of_the_region_are_read(
    aws: EmbeddedAws,
    caller: Caller,
    environment: pytest.MonkeyPatch,
    region: str | None,
    default_region: str | None,
    used: str,
) -> None:
    for name, value in (("AWS_REGION", region), ("AWS_DEFAULT_REGION", default_region)):
        if value is None:
            environment.delenv(name)
        else:
            environment.setenv(name, value)
    assert caller.session().region == used
    caller.refused(caller.secret)
    assert signed_region(aws.requests[0]) == used


def test_no_region_is_a_wrong_setting(caller: Caller, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_REGION")
    environment.delenv("AWS_DEFAULT_REGION")
    assert caller.session().region == ""
    error = caller.refused(caller.secret)
    assert isinstance(error, SettingsError)
    assert "You must specify a region. Set AWS_REGION" in str(error)


def test_a_region_that_is_none_is_a_wrong_setting(
    caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AWS_REGION", "not a region!")
    assert isinstance(caller.refused(caller.secret), SettingsError)


def test_no_credentials_say_where_they_can_come_from(
    aws: EmbeddedAws, caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    error = caller.refused(caller.secret)
    assert isinstance(error, AccessError)
    assert isinstance(error.__cause__, NoCredentialsError)
    assert "AWS_PROFILE" in str(error)
    assert aws.requests == []


def test_half_of_the_credentials_names_the_other_half(
    caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    error = caller.refused(caller.secret)
    assert isinstance(error, AccessError)
    assert "missing: AWS_SECRET_ACCESS_KEY" in str(error)


def test_a_profile_that_is_not_there_is_a_wrong_setting(
    caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AWS_PROFILE", "nobody")
    error = caller.refused(caller.session)
    assert isinstance(error, SettingsError)
    assert "(nobody) could not be found. Check AWS_PROFILE" in str(error)


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://127.0.0.1:abc"])
def test_an_endpoint_that_is_no_url_is_a_wrong_setting(
    caller: Caller, environment: pytest.MonkeyPatch, url: str
) -> None:
    environment.setenv("AWS_ENDPOINT_URL", url)
    error = caller.refused(caller.secret)
    assert isinstance(error, SettingsError)
    assert "Check AWS_*" in str(error)


def test_discovery_cannot_be_switched_off_by_the_environment(
    aws: EmbeddedAws, caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AWS_ENABLE_ENDPOINT_DISCOVERY", "false")
    caller.write()
    assert aws.count("DescribeEndpoints") == 1


def test_the_environment_does_not_change_how_often_aws_is_asked(
    aws: EmbeddedAws, caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AWS_MAX_ATTEMPTS", "9")
    environment.setenv("AWS_RETRY_MODE", "legacy")
    aws.plan.always("GetSecretValue", answer(500))
    caller.refused(caller.secret)
    assert aws.count("GetSecretValue") == TOTAL_ATTEMPTS


# Nothing of the credentials is told


@pytest.fixture
def real_looking_credentials(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    environment.setenv("AWS_SESSION_TOKEN", TOKEN)
    return environment


def assert_tells_nothing(error: IngestError, *more: str) -> None:
    for secret in (ACCESS_KEY, SECRET_KEY, TOKEN, *more):
        assert secret not in str(error)
        assert secret not in repr(error)


@pytest.mark.parametrize(
    "message",
    [
        "The security token AKIAIOSFODNN7EXAMPLE is invalid",
        (
            "Invalid key=value pair in Authorization header: 'AWS4-HMAC-SHA256 "
            "Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1, Signature=5d672d79c15b131'"
        ),
        (
            "The request signature we calculated does not match. It should have been "
            "'POST / x-amz-security-token:FwoGZXIvYXdzEPT x-amz-target:WriteRecords'"
        ),
        "It does not match.\nX-Amz-Security-Token:FwoGZXIvYXdzEPT\nCredential=AKIAIOSFODNN7EXAMPLE",
        "Invalid header value b'FwoGZXIvYXdzEPT\\n'",
    ],
)
def test_what_aws_repeats_of_the_credentials_is_redacted(message: str) -> None:
    error = aws_error(client_error("SignatureDoesNotMatch", message, 403), "Reading")
    assert_tells_nothing(error, "5d672d79c15b131")


@pytest.mark.parametrize(
    "variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
def test_credentials_with_a_line_break_are_not_shown_in_the_error_they_cause(
    caller: Caller, real_looking_credentials: pytest.MonkeyPatch, variable: str
) -> None:
    real_looking_credentials.setenv(variable, os.environ[variable] + "\n")
    error = caller.refused(caller.secret, secret_id="nowhere")
    assert_tells_nothing(error)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(reset(), id="reset"),
        pytest.param(answer(403, b"<html>no</html>"), id="html"),
        pytest.param(aws_fault("AccessDeniedException", "no", 403), id="denied"),
    ],
)
def test_no_credentials_are_in_errors_or_in_the_programs_own_log(
    aws: EmbeddedAws,
    caller: Caller,
    real_looking_credentials: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
) -> None:
    del real_looking_credentials  # wanted for what it sets
    caplog.set_level(logging.DEBUG, logger="ingest_weather")
    aws.plan.always("GetSecretValue", fault)
    error = caller.refused(caller.secret)
    assert_tells_nothing(error)
    signature = aws.requests[0].headers["authorization"].rpartition("Signature=")[2]
    told = caplog.text + "".join(traceback.format_exception(error))
    for secret in (ACCESS_KEY, SECRET_KEY, TOKEN, signature):
        assert secret not in told


# How often, and for how long


@pytest.mark.parametrize("operation", ["GetSecretValue", "WriteRecords"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(aws_fault("ThrottlingException", "slow down", 429), id="throttled"),
        pytest.param(aws_fault("InternalServerException", "oops", 500), id="500"),
        pytest.param(answer(500), id="bare 500"),
        pytest.param(answer(502, b"<html>"), id="502"),
        pytest.param(answer(503), id="503"),
        pytest.param(answer(504), id="504"),
        pytest.param(reset(), id="reset"),
        pytest.param(empty(), id="empty"),
    ],
)
def test_a_passing_failure_is_tried_three_times_in_all(
    aws: EmbeddedAws, caller: Caller, operation: str, fault: Fault
) -> None:
    aws.plan.always(operation, fault)
    error = caller.refused(caller.secret if operation == "GetSecretValue" else caller.write)
    assert isinstance(error, DeliveryError)
    assert aws.count(operation) == TOTAL_ATTEMPTS == 3


def test_a_service_that_does_not_answer_is_tried_three_times_within_the_time_limit(
    aws: EmbeddedAws, caller: Caller
) -> None:
    aws.plan.always("GetSecretValue", stall())
    error = caller.refused(caller.secret, timeout_s=0.3)
    assert isinstance(error, DeliveryError)
    assert "Read timeout" in str(error)
    assert aws.count("GetSecretValue") == 3


def test_the_third_attempt_can_succeed(aws: EmbeddedAws, caller: Caller) -> None:
    aws.plan.next("WriteRecords", reset(), answer(503))
    caller.write()
    assert aws.count("WriteRecords") == 3


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDeniedException", 403),
        ("ValidationException", 400),
        ("ResourceNotFoundException", 404),
        ("ConflictException", 409),
        ("ServiceQuotaExceededException", 402),
        ("RejectedRecordsException", 419),
        ("ExpiredTokenException", 400),
    ],
)
def test_a_lasting_failure_is_tried_once(
    aws: EmbeddedAws, caller: Caller, code: str, status: int
) -> None:
    aws.plan.always("WriteRecords", aws_fault(code, "no", status))
    caller.refused(caller.write)
    assert aws.count("WriteRecords") == 1


MOVED = aws_fault("InvalidEndpointException", "The endpoint has moved.", 421)


def test_a_loop_from_endpoint_to_endpoint_is_ended(aws: EmbeddedAws, caller: Caller) -> None:
    aws.plan.always("WriteRecords", MOVED)
    error = caller.refused(caller.write)
    assert isinstance(error, DeliveryError)
    assert f"{MAX_ENDPOINT_MOVES} times (InvalidEndpointException)" in str(error)
    assert aws.count("WriteRecords") == MAX_ENDPOINT_MOVES


def test_a_few_moves_of_the_endpoint_are_followed(aws: EmbeddedAws, caller: Caller) -> None:
    aws.plan.next("WriteRecords", *[MOVED] * 4)
    caller.write()
    assert aws.count("WriteRecords") == 5
    assert len(aws.rows(DATABASE, TABLE)) == 1


def test_the_deadline_ends_a_loop_from_endpoint_to_endpoint(
    aws: EmbeddedAws, caller: Caller
) -> None:
    now_s = 0.0

    def move(_: Request) -> Fault:
        nonlocal now_s
        now_s += 4.0
        return MOVED

    aws.plan.when("WriteRecords", move)
    error = caller.refused(caller.write, deadline=Deadline(10.0, clock=lambda: now_s))
    assert isinstance(error, DeadlineError)
    assert "WEATHER_DEADLINE_SECONDS" in str(error)
    assert aws.count("WriteRecords") == 3


def test_a_signal_ends_the_attempts(aws: EmbeddedAws, caller: Caller) -> None:
    deadline = Deadline(NEVER_S)

    def stop(_: Request) -> Fault:
        deadline.stop("SIGTERM")
        return reset()

    aws.plan.when("GetSecretValue", stop)
    error = caller.refused(caller.secret, deadline=deadline)
    assert isinstance(error, Interrupted)
    assert aws.count("GetSecretValue") == 1


def test_nothing_is_asked_after_the_deadline(aws: EmbeddedAws, caller: Caller) -> None:
    error = caller.refused(caller.secret, deadline=Deadline(0.0))
    assert isinstance(error, DeadlineError)
    assert "before GetSecretValue was answered" in str(error)
    assert aws.requests == []


# The session and its clients


def test_a_secret_is_read_with_one_request(aws: EmbeddedAws, caller: Caller) -> None:
    assert "OPENWEATHERMAP_API_KEY" in caller.secret()
    assert [request.action for request in aws.requests] == ["GetSecretValue"]


def test_a_write_is_one_discovery_and_one_request(aws: EmbeddedAws, caller: Caller) -> None:
    caller.write()
    assert [request.action for request in aws.requests] == ["DescribeEndpoints", "WriteRecords"]


def test_a_given_endpoint_needs_no_discovery(aws: EmbeddedAws, caller: Caller) -> None:
    caller.write(endpoint_url=aws.url)
    assert [request.action for request in aws.requests] == ["WriteRecords"]


def test_a_preloaded_model_is_not_read_again(
    aws: EmbeddedAws, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = caller.session()
    session.preload_timestream()
    files = session._session._session.get_component("data_loader").file_loader
    read: list[str] = []
    load_file = files.load_file

    def note(path: str) -> object:
        read.append(path)
        return load_file(path)

    monkeypatch.setattr(files, "load_file", note)
    caller.clients.append(session.timestream_write(aws.url))
    assert [path for path in read if path.endswith("2018-11-01/service-2")] == []

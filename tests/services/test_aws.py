"""botocore's errors as ours, and how often and how long AWS is asked, over real sockets."""

import importlib
import inspect
import json
import logging
import os
import pkgutil
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from botocore.discovery import EndpointDiscoveryRequired
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError
from botocore.retries.standard import (
    ExponentialBackoff,
    ThrottledRetryableChecker,
    TransientRetryableChecker,
)

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, delay, empty, reset, stall
from embedded.faults import aws_error as aws_fault
from ingest.aws import errors as our_errors
from ingest.aws.errors import answer_of, aws_error, code_of
from ingest.aws.session import TOTAL_ATTEMPTS, Aws, serialize_at_once
from ingest.clients import Clients
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
from ingest.reporting.redaction import REDACTED, Redactor
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
    sessions: list[Aws] = field(default_factory=list)

    def session(self, redact: Redactor | None = None, timeout_s: float = NEVER_S) -> Aws:
        self.sessions.append(Aws(redact, timeout_s))
        return self.sessions[-1]

    def secret(
        self, secret_id: str = SECRET_ID, deadline: Deadline | None = None, **options: Any
    ) -> str:
        session = self.session(**options)
        try:
            with session.within(deadline or Deadline(NEVER_S)):
                client = session.secrets_manager()
                return client.get_secret_value(SecretId=secret_id)["SecretString"]
        except Exception as error:
            raise aws_error(error, "Reading the secret") from error

    def write(self, deadline: Deadline | None = None, **options: Any) -> None:
        """To a cell that is known."""
        session = self.session(**options)
        try:
            with session.within(deadline or Deadline(NEVER_S)):
                client = session.timestream_write(self.service.url)
                client.write_records(
                    DatabaseName=DATABASE, TableName=TABLE, Records=[self.record()]
                )
        except Exception as error:
            raise aws_error(error, "Writing") from error

    def record(self) -> Any:
        return {
            "Dimensions": [{"Name": "city", "Value": "London"}],
            "MeasureName": "CurrentTemp",
            "MeasureValue": "9.5",
            "Time": str(int(self.service.clock() * 1000)),
        }

    def query(self) -> None:
        """By a client that looks for its cell itself."""
        try:
            self.session().timestream_query().query(QueryString="SELECT 1")
        except Exception as error:
            raise aws_error(error, "Asking") from error

    def close(self) -> None:
        for session in self.sessions:
            for client in session._clients.values():
                client.close()

    def refused(self, call: Callable[..., object], **options: Any) -> IngestError:
        with pytest.raises(IngestError) as caught:
            call(**options)
        return caught.value


@pytest.fixture
def caller(aws: EmbeddedAws, environment: pytest.MonkeyPatch) -> Iterator[Caller]:
    del environment  # wanted for what it sets
    caller = Caller(aws)
    yield caller
    caller.close()


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
TABLES = (our_errors._ACCESS_CLASSES, our_errors._CONFIG_CLASSES, our_errors._DELIVERY_CLASSES)
NAMED = {name for table in TABLES for name in table}

# Exceptions of botocore that are neither BotoCoreError nor ClientError, and where they end.
_MODEL = "a service model is wrong, and models come with botocore"
_EVENTS = "no operation used here answers with a stream of events"
READ_AS_AN_ANSWER = {"ResponseParserError"}
NEVER_SEEN = {
    "BadIMDSRequestError": "caught where it is raised",
    "ChecksumMismatch": _EVENTS,
    "DuplicateHeader": _EVENTS,
    "ImminentRemovalWarning": "a warning",
    "InvalidArnException": "no parameter used here is taken apart as an ARN",
    "InvalidHeadersLength": _EVENTS,
    "InvalidPayloadLength": _EVENTS,
    "InvalidShapeError": _MODEL,
    "InvalidShapeReferenceError": _MODEL,
    "MissingServiceIdError": _MODEL,
    "NoInitialResponseError": _EVENTS,
    "NoShapeFoundError": _MODEL,
    "OperationNotFoundError": _MODEL,
    "ParserError": _EVENTS,
    "UndefinedModelAttributeError": _MODEL,
    "UnsupportedTLSVersionWarning": "a warning",
    "_RetriesExceededError": "caught where it is raised",
}
# Packages of botocore that need what is not installed here.
OPTIONAL = ("botocore.crt", "botocore.docs", "botocore.vendored")


def botocore_modules() -> list[Any]:
    names = [each.name for each in pkgutil.walk_packages(botocore.__path__, "botocore.")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [importlib.import_module(name) for name in names if not name.startswith(OPTIONAL)]


def exceptions_of_botocore() -> dict[str, type[BaseException]]:
    """Every class of exceptions that any module of botocore defines, by its name."""
    found: dict[str, type[BaseException]] = {}
    for module in botocore_modules():
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, BaseException) and cls.__module__.startswith("botocore."):
                found[name] = cls
    return found


def botocore_errors() -> list[type[BotoCoreError]]:
    found = [cls for _, cls in sorted(exceptions_of_botocore().items()) if cls is not BotoCoreError]
    return [cls for cls in found if issubclass(cls, BotoCoreError)]


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


def test_every_error_class_has_advice_or_stays_a_bug() -> None:
    wrong = []
    for cls in botocore_errors():
        error = made(cls)
        try:
            ours: Exception = aws_error(error, "Reading")
        except BotoCoreError as bug:
            ours = bug
        kinds = (AccessError, SettingsError, DeliveryError)
        is_right = isinstance(ours, kinds) and ours.advice if is_named(cls) else ours is error
        if not is_right:
            wrong.append(cls)
    assert wrong == []


def test_every_exception_that_botocore_defines_elsewhere_is_classified() -> None:
    others = {
        name
        for name, cls in exceptions_of_botocore().items()
        if not issubclass(cls, BotoCoreError | ClientError)
    }
    assert others == READ_AS_AN_ANSWER | NEVER_SEEN.keys()


def test_what_botocore_cannot_read_is_a_passing_failure(aws: EmbeddedAws, caller: Caller) -> None:
    aws.plan.always("GetSecretValue", answer(200, b"[]"))
    assert type(caller.refused(caller.secret)) is DeliveryError


def test_a_parser_error_is_a_passing_failure(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*_: object) -> None:
        raise ResponseParserError("no such shape")

    monkeypatch.setattr("botocore.parsers.JSONParser._do_parse", give_up)
    assert type(caller.refused(caller.secret)) is DeliveryError


def test_a_wrong_parameter_is_a_bug_although_botocore_finds_it(caller: Caller) -> None:
    client: Any = caller.session().secrets_manager()
    with pytest.raises(ParamValidationError) as found:
        client.get_secret_value(SecretId=7)
    with pytest.raises(ParamValidationError) as caught:
        aws_error(found.value, "Reading")
    assert caught.value is found.value


def test_a_bug_in_a_handler_of_ours_is_a_bug_though_botocore_called_it(caller: Caller) -> None:
    session = caller.session()

    def hear(_: object) -> None:
        raise KeyError("a bug")

    session.on_answer(hear)
    with pytest.raises(KeyError) as found:
        session.secrets_manager().get_secret_value(SecretId=SECRET_ID)
    with pytest.raises(KeyError) as caught:
        aws_error(found.value, "Reading")
    assert caught.value is found.value


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


# Which code is whose fault, with its advice: test_sentences.py, next to this file.

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


def test_what_botocore_takes_for_throttling_or_for_passing_is_that() -> None:
    throttling = vars(ThrottledRetryableChecker)["_THROTTLED_ERROR_CODES"]
    passing = vars(TransientRetryableChecker)["_TRANSIENT_ERROR_CODES"]
    kinds = {code: type(aws_error(client_error(code), "Asking")) for code in throttling + passing}
    assert {code for code in throttling if kinds[code] is not ThrottledError} == set()
    assert {code for code in passing if not issubclass(kinds[code], DeliveryError)} == set()


def test_no_code_is_in_two_tables() -> None:
    tables = (
        our_errors._ACCESS_CODES,
        our_errors._CONFIG_CODES,
        our_errors._THROTTLED_CODES,
        our_errors._PASSING_CODES,
    )
    codes = [code for table in tables for code in table]
    assert len(codes) == len(set(codes))
    assert not any(code.endswith("Exception") for code in codes)


def test_an_error_can_be_asked_for_its_code_and_answer() -> None:
    refused = client_error("AccessDeniedException", "No\nmore")
    assert (code_of(refused), answer_of(refused)) == ("AccessDenied", refused.response)
    other = KeyError("x")
    assert (code_of(other), answer_of(other), answer_of(None)) == ("", {}, {})
    unread = HTTPClientError(response=object(), error="broken")
    assert (code_of(unread), answer_of(unread)) == ("", {})


def test_a_caller_can_say_what_to_do_about_a_missing_thing() -> None:
    ours = aws_error(client_error("ResourceNotFoundException"), "Writing", missing="Make it.")
    assert ours.advice == "Make it."


def test_kms_denied_names_its_action() -> None:
    ours = aws_error(client_error("AccessDeniedException", "Access to KMS is not allowed"), "X")
    assert isinstance(ours, AccessError)
    assert "kms:Decrypt" in ours.advice


def test_an_error_without_code_or_message_is_a_passing_failure() -> None:
    assert type(aws_error(ClientError({}, "GetSecretValue"), "Reading")) is DeliveryError


def test_a_message_is_one_short_line() -> None:
    long = client_error("AccessDenied", "first\nsecond\n" + "x" * 1000)
    assert "second" not in str(aws_error(long, "X"))
    assert len(str(aws_error(client_error("AccessDenied", "x" * 1000), "X"))) < 600


# Refusals as they come over the socket


def test_a_denied_write_is_a_refusal(aws: EmbeddedAws, caller: Caller) -> None:
    aws.plan.always("WriteRecords", aws_fault("AccessDeniedException", "no", 403))
    assert isinstance(caller.refused(caller.write), AccessError)


def test_an_expired_token_is_a_refusal_in_the_services_own_words(
    aws: EmbeddedAws, caller: Caller
) -> None:
    message = "The security token included in the request is expired"
    aws.plan.always("GetSecretValue", aws_fault("ExpiredTokenException", message))
    error = caller.refused(caller.secret)
    assert isinstance(error, AccessError)
    assert f"ExpiredTokenException: {message}" in error.what


def test_a_missing_secret_is_a_wrong_setting(caller: Caller) -> None:
    error = caller.refused(caller.secret, secret_id="nowhere")
    assert isinstance(error, SettingsError)
    assert code_of(error.__cause__) == "ResourceNotFound"


# Region, credentials, profile, endpoint


def signed_region(request: Request) -> str:
    return request.headers["authorization"].split("/")[2]


def test_both_variables_of_the_region_are_read(
    aws: EmbeddedAws, caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    used = {
        ("eu-west-1", None): "eu-west-1",
        (None, "eu-central-1"): "eu-central-1",
        ("eu-west-1", "eu-central-1"): "eu-west-1",
        ("", "eu-central-1"): "eu-central-1",
    }
    got = {}
    for regions in used:
        for name, value in zip(("AWS_REGION", "AWS_DEFAULT_REGION"), regions, strict=True):
            environment.delenv(name, raising=False)
            if value is not None:
                environment.setenv(name, value)
        aws.forget_requests()
        caller.refused(caller.secret)
        got[regions] = (caller.session().region, signed_region(aws.requests[0]))
    assert got == {regions: (region, region) for regions, region in used.items()}


def test_wrong_surroundings_say_who_has_to_act(
    aws: EmbeddedAws, caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    no_region = {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    key, secret_key = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
    cases: dict[str, tuple[dict[str, str], type[IngestError], type[Exception]]] = {
        "no region": (no_region, SettingsError, NoRegionError),
        "wrong region": ({"AWS_REGION": "not a region!"}, SettingsError, InvalidRegionError),
        "no credentials": ({key: "", secret_key: ""}, AccessError, NoCredentialsError),
        "half of them": ({secret_key: ""}, AccessError, PartialCredentialsError),
        "no such profile": ({"AWS_PROFILE": "nobody"}, SettingsError, ProfileNotFound),
        "no URL": ({"AWS_ENDPOINT_URL": "nonsense"}, SettingsError, ValueError),
        "no host": ({"AWS_ENDPOINT_URL": "http://"}, SettingsError, ValueError),
        "no port": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:abc"}, SettingsError, ValueError),
    }
    got = {}
    for name, (texts, _, _) in cases.items():
        with environment.context() as patch:
            for variable, text in texts.items():
                patch.setenv(variable, text)
                if not text:
                    patch.delenv(variable)
            error = caller.refused(caller.secret)
        found = error.__cause__ if error.__cause__ is not error else error.__context__
        got[name] = (type(error), type(found))
    assert got == {name: (kind, cause) for name, (_, kind, cause) in cases.items()}
    assert aws.requests == []


def test_a_program_that_prints_no_credentials_is_refused_credentials(
    caller: Caller, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile robot]\ncredential_process = /bin/echo nonsense\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.delenv(name)
    environment.setenv("AWS_CONFIG_FILE", str(config))
    environment.setenv("AWS_PROFILE", "robot")
    assert isinstance(caller.refused(caller.secret), AccessError)


def test_a_client_that_may_not_look_for_its_cell_says_what_forbids_it(
    caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AWS_ENDPOINT_DISCOVERY_ENABLED", "false")
    error = caller.refused(caller.query)
    assert isinstance(error.__cause__, EndpointDiscoveryRequired)
    assert isinstance(error, SettingsError)


def test_a_client_that_finds_no_cell_is_a_passing_failure(aws: EmbeddedAws, caller: Caller) -> None:
    aws.plan.always("DescribeEndpoints", reset())
    assert type(caller.refused(caller.query)) is DeliveryError


def test_a_refused_connection_is_named(caller: Caller, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    error = caller.refused(caller.secret)
    assert type(error) is DeliveryError
    assert '"http://127.0.0.1:1/" (Connection refused)' in error.what


def test_the_environment_does_not_change_how_often_aws_is_asked(
    aws: EmbeddedAws, caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AWS_MAX_ATTEMPTS", "9")
    environment.setenv("AWS_RETRY_MODE", "legacy")
    aws.plan.always("GetSecretValue", answer(500))
    caller.refused(caller.secret)
    assert aws.count("GetSecretValue") == TOTAL_ATTEMPTS
    config: Any = caller.sessions[0].secrets_manager().meta.config
    assert config.retries["mode"] == "standard"


# No credential is shown


@pytest.fixture
def real_looking_credentials(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    environment.setenv("AWS_SESSION_TOKEN", TOKEN)
    return environment


def assert_shows_no_credential(error: IngestError, *more: str) -> None:
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
    assert_shows_no_credential(error, "5d672d79c15b131")


def test_credentials_with_a_line_break_are_not_shown_in_the_error_they_cause(
    caller: Caller, real_looking_credentials: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        with real_looking_credentials.context() as patch:
            patch.setenv(variable, os.environ[variable] + "\n")
            assert_shows_no_credential(caller.refused(caller.secret, secret_id="nowhere"))


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
    assert_shows_no_credential(error)
    signature = aws.requests[0].headers["authorization"].rpartition("Signature=")[2]
    shown = caplog.text + "".join(traceback.format_exception(error))
    for secret in (ACCESS_KEY, SECRET_KEY, TOKEN, signature):
        assert secret not in shown


# How often, and for how long


def test_a_passing_failure_is_tried_three_times_in_all(aws: EmbeddedAws, caller: Caller) -> None:
    faults = {
        "throttled": aws_fault("ThrottlingException", "slow down", 429),
        "500": aws_fault("InternalServerException", "oops", 500),
        "502": answer(502, b"<html>"),
        **{f"bare {status}": answer(status) for status in (500, 503, 504)},
        "reset": reset(),
        "empty": empty(),
    }
    calls: dict[str, Callable[..., object]] = {
        "GetSecretValue": caller.secret,
        "WriteRecords": caller.write,
    }
    got = {}
    for name, fault in faults.items():
        for operation, call in calls.items():
            aws.forget_requests()
            aws.plan.always(operation, fault)
            is_passing = isinstance(caller.refused(call), DeliveryError)
            got[name, operation] = (is_passing, aws.count(operation))
    assert got == dict.fromkeys(got, (True, TOTAL_ATTEMPTS))
    assert TOTAL_ATTEMPTS == 3


def test_a_service_that_does_not_answer_is_tried_three_times_within_the_time_limit(
    aws: EmbeddedAws, caller: Caller
) -> None:
    aws.plan.always("GetSecretValue", stall())
    error = caller.refused(caller.secret, timeout_s=0.3)
    assert isinstance(error, DeliveryError)
    assert isinstance(error.__cause__, ReadTimeoutError)
    assert aws.count("GetSecretValue") == 3


def test_the_third_attempt_can_succeed(aws: EmbeddedAws, caller: Caller) -> None:
    aws.plan.next("WriteRecords", reset(), answer(503))
    caller.write()
    assert aws.count("WriteRecords") == 3


def test_a_lasting_failure_is_tried_once(aws: EmbeddedAws, caller: Caller) -> None:
    lasting = {
        "AccessDeniedException": 403,
        "ValidationException": 400,
        "ResourceNotFoundException": 404,
        "ConflictException": 409,
        "ServiceQuotaExceededException": 402,
        "RejectedRecordsException": 419,
        "ExpiredTokenException": 400,
    }
    for number, (code, status) in enumerate(lasting.items(), start=1):
        aws.plan.always("WriteRecords", aws_fault(code, "no", status))
        caller.refused(caller.write)
        assert aws.count("WriteRecords") == number, code


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
    assert isinstance(caller.refused(caller.secret, deadline=Deadline(0.0)), DeadlineError)
    assert aws.requests == []


# The session and its clients


def test_a_secret_is_read_with_one_request(aws: EmbeddedAws, caller: Caller) -> None:
    assert "OPENWEATHERMAP_API_KEY" in caller.secret()
    assert [request.action for request in aws.requests] == ["GetSecretValue"]


def test_a_write_to_a_known_cell_is_one_request(aws: EmbeddedAws, caller: Caller) -> None:
    caller.write()
    assert [request.action for request in aws.requests] == ["WriteRecords"]


def test_a_query_looks_for_its_own_cell(aws: EmbeddedAws, caller: Caller) -> None:
    caller.query()
    assert [request.action for request in aws.requests] == ["DescribeEndpoints", "Query"]


def test_a_client_is_made_once_for_all_threads(caller: Caller) -> None:
    session, all_there = caller.session(), threading.Barrier(8)
    made = []

    def make() -> None:
        all_there.wait(NEVER_S)
        made.append((session.timestream_write(), session.secrets_manager()))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(NEVER_S)
    assert len(made) == 8
    assert {id(client) for pair in made for client in pair} == set(map(id, made[0]))


def test_clients_of_different_endpoints_and_checks_are_different(
    aws: EmbeddedAws, caller: Caller
) -> None:
    session = caller.session()
    clients = [
        session.timestream_write(),
        session.timestream_write(aws.url),
        session.timestream_write(aws.url, validates=False),
    ]
    assert len(set(map(id, clients))) == 3
    assert session.timestream_write(aws.url) is clients[1]


def test_who_the_credentials_are_is_asked_of_sts(aws: EmbeddedAws, caller: Caller) -> None:
    assert caller.session().caller_identity()["Arn"].startswith("arn:aws:")
    assert [request.action for request in aws.requests] == ["GetCallerIdentity"]


def test_the_headers_of_every_answer_can_be_heard(aws: EmbeddedAws, caller: Caller) -> None:
    session = caller.session()
    heard: list[Mapping[str, str]] = []
    session.on_answer(heard.append)
    aws.plan.next("GetSecretValue", aws_fault("AccessDeniedException", "no", 403))
    for _ in range(2):
        try:
            session.secrets_manager().get_secret_value(SecretId=SECRET_ID)
        except ClientError:
            continue
    assert len(heard) == 2
    assert all("date" in {name.lower() for name in headers} for headers in heard)


# One run after another


def test_a_later_run_uses_the_same_clients_and_learns_the_credentials(
    aws: EmbeddedAws, caller: Caller, real_looking_credentials: pytest.MonkeyPatch
) -> None:
    del real_looking_credentials  # wanted for what it sets
    first, second = Redactor(), Redactor()
    session = caller.session(first)
    client = session.secrets_manager()
    session.serve(second, NEVER_S)
    for redact in (first, second):
        for secret in (ACCESS_KEY, SECRET_KEY, TOKEN):
            assert redact(f"it is {secret}") == f"it is {REDACTED}"
    assert session.secrets_manager() is client
    assert aws.requests == []


def test_clients_hand_a_run_on_to_the_session(caller: Caller) -> None:
    clients, redact = Clients(), Redactor()
    caller.sessions.append(clients.aws)
    clients.serve(redact, NEVER_S)
    client = clients.aws.secrets_manager()
    config: Any = client.meta.config
    assert config.read_timeout == NEVER_S
    assert redact(os.environ["AWS_SECRET_ACCESS_KEY"]) == REDACTED
    assert clients.routes == {}


def test_no_credentials_are_asked_for_before_there_is_a_client(
    caller: Caller, environment: pytest.MonkeyPatch
) -> None:
    """They may come from a program, or from another host."""
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    session = caller.session()
    session.serve(Redactor(), NEVER_S)
    assert "_session" not in vars(session)


def test_a_later_run_has_its_own_time_limit(aws: EmbeddedAws, caller: Caller) -> None:
    session = caller.session()
    session.secrets_manager().get_secret_value(SecretId=SECRET_ID)
    session.serve(Redactor(), 0.3)
    aws.plan.always("GetSecretValue", stall())
    with pytest.raises(ReadTimeoutError):
        session.secrets_manager().get_secret_value(SecretId=SECRET_ID)


def test_a_deadline_holds_for_the_thread_that_set_it_and_no_longer_than_it_said(
    caller: Caller,
) -> None:
    session, over = caller.session(), Deadline(0.0)
    client = session.secrets_manager()

    def ask() -> str:
        return client.get_secret_value(SecretId=SECRET_ID)["SecretString"]

    answers: list[str] = []
    with session.within(over):
        thread = threading.Thread(target=lambda: answers.append(ask()))
        thread.start()
        thread.join(NEVER_S)
        with session.within(Deadline(NEVER_S)):
            answers.append(ask())
        with pytest.raises(DeadlineError):
            ask()
    answers.append(ask())
    assert len(answers) == 3


# A list that is serialized at once


def test_what_is_serialized_at_once_is_what_botocore_would_send(
    aws: EmbeddedAws, caller: Caller
) -> None:
    records: Any = [{**caller.record(), "Version": 7, "MeasureName": "Größe"}]
    bodies = []
    for quick in (False, True):
        client = caller.session().timestream_write(aws.url, validates=False)
        if quick:
            for _ in range(2):
                serialize_at_once(client, "timestream-write.WriteRecords", "Records")
        for _ in range(2):
            client.write_records(DatabaseName=DATABASE, TableName=TABLE, Records=records)
            bodies.append(aws.requests[-1].json)
    assert bodies == [bodies[0]] * 4
    assert json.loads(json.dumps(records)) == bodies[0]["Records"]


def test_what_is_serialized_at_once_is_sent_again_whole(aws: EmbeddedAws, caller: Caller) -> None:
    client = caller.session().timestream_write(aws.url, validates=False)
    serialize_at_once(client, "timestream-write.WriteRecords", "Records")
    aws.plan.next("WriteRecords", reset(), answer(503), delay(0))
    client.write_records(DatabaseName=DATABASE, TableName=TABLE, Records=[caller.record()])
    bodies = [request.body for request in aws.requests]
    assert bodies == [bodies[0]] * 3

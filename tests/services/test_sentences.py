"""Each sentence about OpenWeatherMap, AWS and the destination, in the state that makes it."""

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from itertools import chain
from types import SimpleNamespace
from typing import Any

import botocore.discovery
import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

import timestream_writer
from ingest.aws import errors as aws_errors
from ingest.aws.errors import aws_error
from ingest.aws.session import Aws
from ingest.deadline import Deadline
from ingest.destination import Kind
from ingest.destinations import open_destination
from ingest.errors import (
    AccessError,
    DeliveryError,
    IngestError,
    SettingsError,
    ThrottledError,
)
from ingest.observation import DEFAULT_MEASURES
from ingest.openweathermap.curl import CURL_ERRORS, curl_error
from ingest.openweathermap.fetch_loop import Failure, FetchLoop
from ingest.openweathermap.rate_limit import Unlimited
from ingest.openweathermap.reply import parse_reply, status_error
from ingest.openweathermap.retry import Request, Retries
from ingest.places import Place
from tests.commands.test_check_sentences import assert_said
from tests.services.test_aws import client_error, made
from tests.services.test_openweathermap import Asker, Kept
from tests.support.destinations import seen_in
from tests.support.settings import settings_of
from tests.unit.test_reply import (
    LEFT_OUT,
    LONDON,
    LONDON_ID,
    OBSERVED_S,
    ZIP,
    reply,
    with_literal,
)

LATER = (
    "The next run tries again. If it goes on, check the network and OpenWeatherMap's status page."
)
LATER_AWS = "The next run tries again. If it goes on, check the network and AWS's health page."
AWS_CONFIG = "Check AWS_* in the environment and ~/.aws/config."
REGION = "Set AWS_REGION to the region of the secret and the table."
CREDENTIALS = (
    "Give the run credentials: an instance role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY in its environment or .env file (cron starts with neither)."
)
RENEW = "Renew the credentials (a role renews its own; `aws sso login` renews a profile's)."
WRONG_CREDENTIALS = (
    "Check the access key and its secret, that they belong to this account, and this machine's "
    "clock."
)
ALLOW = "Allow the action in the IAM policy of the run's role or user."


def said(call: Callable[[], object]) -> str:
    """The message that the call ends with."""
    with pytest.raises(IngestError) as ended:
        call()
    return str(ended.value)


# OpenWeatherMap


def assert_unread(
    table: dict[str, list[bytes]],
    place: Place = LONDON,
    measures: tuple[str, ...] = DEFAULT_MEASURES,
) -> None:
    """sentence -> the replies that it is said of."""
    got = {
        (sentence, body): said(lambda body=body: parse_reply(body, place, measures, 0))  # type: ignore[misc]
        for sentence, bodies in table.items()
        for body in bodies
    }
    assert {body: text for (sentence, body), text in got.items() if text != sentence} == {}


def test_a_reply_that_cannot_be_read_becomes_these_sentences() -> None:
    def not_json(body: bytes) -> tuple[str, list[bytes]]:
        with pytest.raises(json.JSONDecodeError) as caught:
            json.loads(body.decode())
        return f"the reply is not JSON: {caught.value}", [body]

    assert_unread(
        {
            **dict(map(not_json, (b"<html>502</html>", reply()[:-20], reply() * 2))),
            **dict(map(not_json, (b'{"cod":200,}', b"\xef\xbb\xbf" + reply()))),
            "the reply is empty": [b"", b" \r\n\t"],
            "the reply is not UTF-8 (byte 11)": [b'{"name": "M\xe4nchen"}'],
            "the reply is not UTF-8 (byte 0)": [reply().decode().encode("utf-16"), b"\xff\xfe"],
            "the reply is nested too deeply": [b"[" * 200_000, b'{"a":' * 200_000],
            "the reply is a list; a JSON object was expected": [b"[1]"],
            "the reply is null; a JSON object was expected": [b"null"],
            "the reply is a string ('sunny'); a JSON object was expected": [b'"sunny"'],
            "the reply is a number (42); a JSON object was expected": [b"42"],
            "the reply is a number (4.5); a JSON object was expected": [b"4.5"],
            "the reply is an error, cod 'oops': what": [b'{"cod":"oops","message":"what"}'],
            "the reply is an error, error '404': no message": [b'{"error":"404"}'],
        }
    )


def test_a_field_that_cannot_be_read_becomes_these_sentences() -> None:
    time_expected = "a time in epoch seconds was expected"
    number, text = "a number was expected", "a string was expected"
    half = "holds half a character (a lone surrogate)"
    no_values = "the reply has none of the configured measures"
    nobody = "name, sys.country and id are all empty, so the records would be nobody's"
    another = (
        "was asked for: OpenWeatherMap found another place of that name. "
        "Configure its city id or coordinates instead."
    )
    assert_unread(
        {
            "dt, the time of the observation, is missing": [
                *(reply(dt=LEFT_OUT), reply(dt=None)),
                *(b"{}", b'{"cnt":0,"list":[]}', b'{"cod":"200"}'),
            ],
            f"dt is a string ('1700000000'); {number}": [reply(dt="1700000000")],
            f"dt is a boolean (True); {number}": [reply(dt=True)],
            f"dt is an object; {number}": [reply(dt={})],
            f"dt is -1; {time_expected}": [reply(dt=-1)],
            f"dt is 0; {time_expected}": [reply(dt=0)],
            f"dt is 1700000000.5; {time_expected}": [reply(dt=1_700_000_000.5)],
            f"dt is 1700000000000; {time_expected}": [reply(dt=OBSERVED_S * 1000)],
            f"dt is nan; {time_expected}": [with_literal("dt", "NaN")],
            f"dt is inf; {time_expected}": [with_literal("dt", "1e999")],
            f"dt is {'9' * 37}...; {time_expected}": [with_literal("dt", "9" * 400)],
            f"{no_values} (main.temp, main.feels_like, main.humidity, main.pressure)": [
                reply(main=main) for main in (LEFT_OUT, None, {})
            ],
            "main is a list; an object was expected": [reply(main=[1])],
            "main is a string ('cold'); an object was expected": [reply(main="cold")],
            f"main.temp is a string ('11.5'); {number}": [reply(main__temp="11.5")],
            f"main.temp is a string ('{'x' * 36}...); {number}": [reply(main__temp="x" * 10_000)],
            f"main.humidity is a boolean (True); {number}": [reply(main__humidity=True)],
            f"main.pressure is a list; {number}": [reply(main__pressure=[1009])],
            f"name is a number (5); {text}": [reply(name=5)],
            f"name {half}": [reply(name="\ud800")],
            f"sys.country {half}": [reply(sys__country="\udfff")],
            f"sys.country is a number (44); {text}": [reply(sys__country=44)],
            "sys is a list; an object was expected": [reply(sys=[])],
            f"id is a string ('2643743'); {number}": [reply(id="2643743")],
            f"id is a boolean (True); {number}": [reply(id=True)],
            "id is -5; a city id was expected": [reply(id=-5)],
            "id is 0.5; a city id was expected": [reply(id=0.5)],
            "id is nan; a city id was expected": [with_literal("id", "NaN")],
            f"sys.country is CA, but GB {another}": [reply(sys__country="CA")],
            nobody: [reply(id=0, name="", sys__country="")],
        }
    )
    assert_unread({f"sys.country is US, but GB {another}": [reply(sys__country="US")]}, ZIP)
    other_id = {"id is 6058560, but 2643743 was asked for": [reply(id=6058560)]}
    assert_unread({**other_id, nobody: [reply(id=0, name=" ", sys=None)]}, LONDON_ID)
    for measure, sentence, body in (
        ("WindSpeed", "wind is a string ('calm'); an object was expected", reply(wind="calm")),
        ("ConditionId", "weather is an object; a list was expected", reply(weather={"id": 1})),
        ("Condition", f"weather[0].main is a number (5); {text}", reply(weather=[{"main": 5}])),
        ("Condition", f"weather[0].main {half}", reply(weather=[{"main": "\ud83d"}])),
        ("Sunrise", f"sys.sunrise is a string ('6:00'); {number}", reply(sys__sunrise="6:00")),
        ("Sunrise", f"{no_values} (sys.sunrise)", reply(sys__sunrise=0)),
        ("Rain1h", "rain is a number (3); an object was expected", reply(rain=3)),
        ("WindGust", f"{no_values} (wind.gust)", with_literal("wind__gust", "NaN")),
    ):
        assert_unread({sentence: [body]}, measures=(measure,))
    in_list = "weather[0] is a string ('Rain'); an object was expected"
    assert_unread({in_list: [reply(weather=["Rain"])]}, measures=("Condition",))


def test_a_status_of_openweathermap_becomes_these_sentences() -> None:
    fault, check = "the service has a fault", "Check the place and OPENWEATHERMAP_URL."
    table = {
        "401 (said so): it does not accept the API key. A new key works after up to two hours. If "
        "it is not new, put the right one into the secret as OPENWEATHERMAP_API_KEY.": b"",
        "404 (said so): it does not know this place. Look the place up on openweathermap.org and "
        "configure its city id or coordinates.": b"",
        "429 (said so): the account has made more calls than its plan allows and is blocked for a "
        "while. Run less often or for fewer places; asking again at once makes the block longer.": (
            b""
        ),
        "301 (said so): the server redirects, which is not followed. Check OPENWEATHERMAP_URL.": (
            b""
        ),
        f"400 (said so). {check}": b"",
        f"403 (said so). {check}": b"",
        f"500 (said so): {fault}. {LATER}": b"",
        f"204 (no body). {check}": b" \r\n",
        f"502 (no JSON): {fault}. {LATER}": b"<html>502</html>",
        f"503 (no message): {fault}. {LATER}": b"{}",
    }
    got = [
        str(status_error(int(text[:3]), body or b'{"message":"said so"}'))
        for text, body in table.items()
    ]
    assert got == [f"OpenWeatherMap answers {text}" for text in table]


def test_the_codes_of_libcurl_become_these_sentences() -> None:
    tls = "Check for a proxy that opens TLS"
    certificate = (
        "the server's certificate is not valid for this host, or not signed by an authority of "
        "certifi's bundle, so the key was not sent"
    )
    lasting = {
        1: "the protocol of OPENWEATHERMAP_URL is not allowed here",
        3: "OPENWEATHERMAP_URL is malformed",
        23: "the reply is too large to be weather, and was cut off",
        47: "the server redirects, which is not followed",
        58: "the local TLS certificate is unusable",
        59: "the server offers no acceptable TLS cipher",
        63: "the reply is too large to be weather, and was not read",
        90: "the server's public key is not the pinned one",
        91: "the server's certificate status is invalid",
        100: "the reply's headers are too large, and were not read",
        21: "libcurl failed in an unexpected way",
        9: "libcurl used a protocol that is switched off",
        4711: "libcurl failed",
    }
    passing = {
        6: "the host name could not be resolved",
        7: "the connection was refused or found no route",
        8: "the server does not speak HTTP",
        16: "the HTTP/2 connection failed",
        18: "the reply ended before its announced length",
        27: "this machine is out of memory",
        28: "no complete reply came within the time limit (WEATHER_TIMEOUT_SECONDS)",
        52: "the server closed the connection without a reply",
        55: "the request could not be sent",
        56: "the connection broke while the reply was read",
        61: "the reply's content encoding is broken",
        92: "the connection failed",
    }
    with_advice = {
        4: ("this libcurl lacks a needed feature", "Install pycurl again."),
        5: ("the proxy's name could not be resolved", "Check https_proxy."),
        35: ("the TLS handshake failed", f"{tls}."),
        60: (certificate, f"{tls}, and this machine's clock."),
        77: ("certifi's bundle of authorities cannot be read", "Install certifi again."),
    }
    table = {
        **{code: (what, "") for code, what in lasting.items()},
        **{code: (what, LATER) for code, what in passing.items()},
        **with_advice,
    }
    whats = {what for what, _ in table.values()}
    assert {error.what for error in CURL_ERRORS.values()} | {"libcurl failed"} == whats
    assert_said(
        {
            str(code): f"asking a.example failed: {what} (curl {code}). {advice}".rstrip()
            for code, (what, advice) in table.items()
        },
        {str(code): str(curl_error(code, "ftp://a.example/", "a.example")) for code in table},
    )
    assert str(curl_error(1, "http://a.example/", "a.example")) == (
        f"asking a.example failed: {passing[8]} (curl 8). {LATER}"
    )


def test_a_pass_over_places_says_these_sentences() -> None:
    url, log, never = "http://127.0.0.1:1/", Kept(), SimpleNamespace(wait_s=lambda: float("inf"))
    stopped = Deadline(10)
    stopped.stop("SIGTERM")
    (left,) = chain.from_iterable(Asker(url).client().stream([LONDON], never))
    assert isinstance(left, Failure)
    client = Asker(url, {"log": log, "deadline": Deadline(600)}).client()
    retries = Retries(1, lambda: 0.5, 60.0)
    loop = FetchLoop(client, [LONDON, LONDON], retries, Unlimited(), lambda: False)
    request = Request(LONDON)
    request.attempts, request.started_s = 1, 1.0
    for status in (503, 429):
        assert loop._goes_on(request, status_error(status, b""))
    loop.close()
    retried, blocked = (record.getMessage() for record in log.records)
    assert_said(
        {
            "deadline": "The run's 0 seconds (WEATHER_DEADLINE_SECONDS) were over before its "
            "weather came.",
            "signal": "SIGTERM ended the run before its weather came.",
            "plan": "not asked for in this run: the plan (OPENWEATHERMAP_CALLS_PER_MINUTE) allows "
            "no more calls before the deadline. The next run starts with it.",
            "retried": "London,GB: OpenWeatherMap answers 503 (no body): the service has a fault. "
            f"{LATER} Attempt 2 of 4 in 0.5 s.",
            "blocked": "OpenWeatherMap has blocked the account (429). Trying again in 60 s.",
        },
        {
            "deadline": str(Asker(url, {"deadline": Deadline(0)}).error()),
            "signal": str(Asker(url, {"deadline": stopped}).error()),
            "plan": str(left.error),
            "retried": retried,
            "blocked": blocked,
        },
    )


# AWS


def test_the_codes_of_aws_become_these_errors_and_sentences() -> None:
    activate = "Activate the service or the region in this AWS account."
    decrypt = "Allow kms:Decrypt on the secret's key, and check that it is enabled."
    restore = "If the secret is scheduled for deletion, restore it."
    secret_id = "Check WEATHER_SECRET_ID: the secret's name, or its full ARN."
    look_up = "The next run would fail too: look the error up in the service's API reference."
    table: dict[tuple[type[IngestError], str], str] = {
        (AccessError, ALLOW): "AccessDeniedException 400, AccessDenied 403, NotAuthorized 400, "
        "UnauthorizedOperation 403, SomethingNew 401, SomethingNew 403",
        (AccessError, RENEW): "ExpiredTokenException 400, ExpiredToken 403",
        (AccessError, f"{RENEW} Check this machine's clock."): "RequestExpired 400",
        (AccessError, WRONG_CREDENTIALS): "UnrecognizedClientException 400, AuthFailure 401, "
        "InvalidClientTokenId 403, InvalidSignatureException 403, SignatureDoesNotMatch 403, "
        "IncompleteSignatureException 400",
        (AccessError, CREDENTIALS): "MissingAuthenticationTokenException 403",
        (AccessError, activate): "OptInRequired 403",
        (AccessError, decrypt): "DecryptionFailure 400",
        (SettingsError, "Check the name and the region."): "ResourceNotFoundException 400",
        (SettingsError, restore): "InvalidRequestException 400",
        (SettingsError, secret_id): "InvalidParameterException 400",
        (SettingsError, "Check the names in the settings."): "ValidationException 400",
        (
            SettingsError,
            look_up,
        ): "SomethingNew HTTP 400, UnknownOperationException HTTP 404, 404 HTTP 404, 413 HTTP 413",
        (ThrottledError, LATER_AWS): "ThrottlingException HTTP 429, SomethingNew HTTP 429",
        (DeliveryError, LATER_AWS): "InternalServerException HTTP 500, SomethingNew HTTP 500, "
        "InternalServiceError HTTP 500, ServiceQuotaExceededException HTTP 402, "
        "ConflictException HTTP 409, InvalidEndpointException HTTP 421, SomethingNew HTTP 302, "
        "RejectedRecordsException HTTP 419, SomethingNew HTTP 408, SomethingNew HTTP 425",
    }
    known = {*aws_errors._ACCESS_CODES.values(), *aws_errors._CONFIG_CODES.values()}
    assert known <= {advice for _, advice in table}
    expected, got = {}, {}
    for (kind, advice), states in table.items():
        for state in states.split(", "):
            code, *http, status = state.split()
            shown = f" (HTTP {status})" if http else ""
            expected[state] = f"{kind.__name__}: Reading failed{shown}: {code}: No. {advice}"
            ours = aws_error(client_error(code, status=int(status)), "Reading")
            got[state] = f"{type(ours).__name__}: {ours}"
    assert_said(expected, got)


def test_what_botocore_raises_becomes_these_sentences() -> None:
    table = {
        "NoCredentialsError": CREDENTIALS,
        "SSOError": RENEW,
        "RefreshWithMFAUnsupportedError": "A cron job cannot type an MFA code: use a role without "
        "one.",
        "NoRegionError": REGION,
        "ProfileNotFound": "Check AWS_PROFILE; cron reads ~/.aws of the user it runs as.",
        "ConfigParseError": AWS_CONFIG,
        "EndpointDiscoveryRequired": "Remove AWS_ENDPOINT_DISCOVERY_ENABLED from the environment "
        "and endpoint_discovery_enabled from ~/.aws/config.",
        "MissingDependencyException": "Install the package it names, or use other credentials.",
        "DataNotFoundError": "Install boto3 again: files of it are missing.",
        "ConnectionError": LATER_AWS,
        "SSLError": "Check the CA file (AWS_CA_BUNDLE) and any proxy that opens TLS.",
    }
    tables = (aws_errors._ACCESS_CLASSES, aws_errors._CONFIG_CLASSES, aws_errors._DELIVERY_CLASSES)
    assert {advice for each in tables for advice in each.values()} == set(table.values())
    defined = {**vars(botocore.exceptions), **vars(botocore.discovery)}
    assert_said(
        {name: f"Reading failed: it went wrong. {advice}" for name, advice in table.items()},
        {name: str(aws_error(made(defined[name]), "Reading")) for name in table},
    )


def test_what_aws_says_is_part_of_these_sentences() -> None:
    no_route = made(botocore.exceptions.ConnectionError)
    no_route.__cause__ = OSError(111, "Connection refused")
    denied, kms = "AccessDeniedException", "Access to KMS is not allowed"

    def raised_in(module: str) -> Exception:
        with pytest.raises(ValueError, match="wrong") as caught:
            exec("raise ValueError('it went wrong')", {"__name__": module})
        return caught.value

    def error(error: Exception, **missing: str) -> str:
        return str(aws_error(error, "Writing", **missing))

    assert_said(
        {
            "KMS": f"Writing failed: {denied}: {kms}. Allow kms:Decrypt on the key that encrypts "
            "the secret.",
            "missing": "Writing failed: ResourceNotFoundException: No. Make it.",
            "nothing": "Writing failed: An error occurred (Unknown) when calling the WriteRecords "
            f"operation: Unknown. {LATER_AWS}",
            "no code": f"Writing failed: Unknown: no message. {LATER_AWS}",
            "several lines": f"Writing failed: {denied}: First. {ALLOW}",
            "credentials": "Writing failed: SignatureDoesNotMatch: It has (redacted) in it. "
            f"{WRONG_CREDENTIALS}",
            "cause": f"Writing failed: it went wrong (Connection refused). {LATER_AWS}",
            "unreadable": f"Writing failed: the answer cannot be read. {LATER_AWS}",
            "no program": f"Writing failed: it went wrong. {CREDENTIALS}",
        },
        {
            "KMS": error(client_error(denied, kms)),
            "missing": error(client_error("ResourceNotFoundException"), missing="Make it."),
            "nothing": error(ClientError({}, "WriteRecords")),
            "no code": error(ClientError({"Error": {"Message": ""}}, "WriteRecords")),
            "several lines": error(client_error(denied, "First\nsecond")),
            "credentials": error(
                client_error("SignatureDoesNotMatch", "It has Signature=5d672d79c in it")
            ),
            "cause": error(no_route),
            "unreadable": error(raised_in("botocore.parsers")),
            "no program": error(raised_in("botocore.credentials")),
        },
    )


def test_a_session_that_cannot_start_becomes_these_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = {"AWS_ACCESS_KEY_ID": "a-key-id"}
    known = {"AWS_REGION": "us-east-1", **key, "AWS_SECRET_ACCESS_KEY": "a-secret"}

    def secret(environment: dict[str, str]) -> str:
        session = Aws()

        def ask() -> None:
            try:
                with session.within(Deadline(0)):
                    session.secrets_manager().get_secret_value(SecretId="x")
            except Exception as error:
                raise aws_error(error, "Reading") from error

        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            patch.setenv("AWS_CONFIG_FILE", "/nowhere")
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
            for name, text in environment.items():
                patch.setenv(name, text)
            return said(ask)

    making = "Making the secretsmanager client failed:"
    assert_said(
        {
            "profile": "Setting up the AWS session failed: The config profile (nobody) could not "
            "be found. Check AWS_PROFILE; cron reads ~/.aws of the user it runs as.",
            "no region": f"{making} You must specify a region. {REGION}",
            "wrong region": f"{making} Provided region_name 'nowhere!' doesn't match a supported "
            f"format. {REGION}",
            "half": f"{making} Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY. "
            f"{CREDENTIALS}",
            "no URL": f"{making} Invalid endpoint: nonsense. {AWS_CONFIG}",
            "no port": f"{making} Port could not be cast to integer value as 'abc'. {AWS_CONFIG}",
            "deadline": "The run's 0 seconds (WEATHER_DEADLINE_SECONDS) were over before "
            "GetSecretValue was answered.",
        },
        {
            "profile": secret({"AWS_PROFILE": "nobody"}),
            "no region": secret({**key, "AWS_SECRET_ACCESS_KEY": "a-secret"}),
            "wrong region": secret({**known, "AWS_REGION": "nowhere!"}),
            "half": secret({**key, "AWS_REGION": "us-east-1"}),
            "no URL": secret({**known, "AWS_ENDPOINT_URL": "nonsense"}),
            "no port": secret({**known, "AWS_ENDPOINT_URL": "http://127.0.0.1:abc"}),
            "deadline": secret(known),
        },
    )


# The destination


class Cell:
    """AWS as a writer sees it: each answer, read as botocore does, or the error that it raises."""

    meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_: None))

    def __init__(self, answer: Any, region: str = "us-east-1") -> None:
        self.answer, self.region = answer, region

    def within(self, _: Deadline) -> nullcontext[None]:
        return nullcontext()

    def timestream_write(self, *_: object, **__: object) -> "Cell":
        return self

    def describe_endpoints(self, **_: object) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    write_records = describe_endpoints


def writing(
    answer: object, endpoint_url: str = "http://127.0.0.1:1", **options: str
) -> IngestError:
    """What a writer says if this is the answer to its one call; without a URL, to its look-up."""
    clients: Any = SimpleNamespace(aws=Cell(answer, **options), routes={})
    settings = settings_of(TIMESTREAM_ENDPOINT_URL=endpoint_url)
    writer = open_destination(settings, clients, Deadline(60))
    try:
        writer.prepare()
    except IngestError as error:
        return error
    failure = writer.write([seen_in("Paris", Humidity="93")]).failure
    assert failure is not None
    return failure


def test_what_timestream_answers_becomes_these_sentences() -> None:
    closed = "Only existing Timestream for LiveAnalytics customers can access the service. Call us"
    denied, lookup = "AccessDeniedException", "DescribeEndpoints"
    no_answer = made(botocore.exceptions.ConnectionError)
    table = "TIMESTREAM-DEMO.london_weather_information"
    doing = f"Writing to {table} in region us-east-1 failed"
    regions = (
        "Set AWS_REGION to the region of the database and the secret; Timestream for LiveAnalytics "
        "runs in us-east-1, us-east-2, us-west-2, eu-west-1, eu-central-1, ap-southeast-2, "
        "ap-northeast-1, ap-south-1, us-gov-west-1."
    )
    assert_said(
        {
            "no region": f"There is no AWS region. {regions}",
            "another region": f"Writing to {table} in region eu-west-2 failed: it went wrong. "
            f"{regions}",
            "no answer": f"{doing}: it went wrong. {LATER_AWS}",
            "no table": f"{doing}: ResourceNotFoundException: No. Check TIMESTREAM_DATABASE, "
            "TIMESTREAM_TABLE and the region, or create what is missing: ingest_weather.py setup",
            "throttled": f"{doing} (HTTP 429): ThrottlingException: No. {LATER_AWS}",
            "denied": f"{doing}: {denied}: No. {ALLOW}",
            "lookup denied": f"{doing}: {denied}: No. Allow timestream:DescribeEndpoints on "
            "resource '*' in the IAM policy: it cannot be limited to a table.",
            "closed": f"{doing}: {denied}: {closed}. This is not an IAM mistake: Timestream for "
            "LiveAnalytics has been closed to new customers since 2025-06-20, and this AWS account "
            "did not use it before. Use an account that did.",
            "no cell": f"Looking up the endpoint for {table} in region us-east-1 failed: the "
            "answer names no usable endpoint. The next run tries again.",
            "cut off": f"Writing to {table} failed: the answer was cut off. "
            "The next run sends it again.",
        },
        {
            "no region": said(lambda: writing({}, region="")),
            "another region": str(writing(no_answer, region="eu-west-2")),
            "no answer": str(writing(no_answer)),
            "no table": str(writing(client_error("ResourceNotFoundException"))),
            "throttled": str(writing(client_error("ThrottlingException", status=429))),
            "denied": str(writing(client_error(denied, operation="WriteRecords"))),
            "lookup denied": str(writing(client_error(denied, operation=lookup), "")),
            "closed": str(writing(client_error(denied, closed, operation=lookup), "")),
            "no cell": str(writing({}, "")),
            "cut off": str(writing({})),
        },
    )


def test_a_rejection_becomes_this_advice() -> None:
    retry, discard = (f"ingest_weather.py rejected --{option}" for option in ("retry", "discard"))
    assert_said(
        {
            Kind.TOO_OLD: "The observation is older than the table's memory store keeps. Raise its "
            f"retention or enable magnetic store writes, then: {retry}",
            Kind.IN_FUTURE: "The observation lies in the future, more than the 15 minutes "
            "Timestream allows. Check this machine's clock and the weather service's, then: "
            f"{retry}",
            Kind.OLDER_VERSION: "The table holds another value for this measure and time, written "
            "with a version as high. Another program writes to it, or this machine's clock went "
            f"back. To overwrite it: {retry}",
            Kind.SCHEMA: "The table holds this measure with another type, or wants a partition key "
            "that the record does not have. Write to another table (TIMESTREAM_TABLE). To drop the "
            f"value: {discard}",
            Kind.RECORD: "The record itself is wrong: see 'WriteRecords' and 'Quotas' in the "
            f"Timestream developer guide. To drop it: {discard}",
        },
        dict(timestream_writer.ADVICE.items()),
    )
    silent = timestream_writer._rejection((seen_in("Paris"), {"MeasureName": "Humidity"}), {})
    assert silent.reason == "no reason given"

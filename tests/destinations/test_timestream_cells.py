"""How Timestream's cell is found, remembered, and left for another one."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from botocore.exceptions import ProxyConnectionError, SSLError

import timestream_writer
from embedded.exchange import Answer, Request
from embedded.faults import Fault, answer, aws_error, reset
from embedded.loopback import LoopbackService
from ingest.aws.session import TOTAL_ATTEMPTS
from ingest.deadline import Deadline
from ingest.destination import Outcome
from ingest.errors import AccessError, DeliveryError, IngestError, Interrupted, SettingsError
from ingest.observation import Observation
from tests.conftest import DATABASE, TABLE
from tests.destinations.sites import TimestreamSite, timestream_site
from tests.support.destinations import NEVER_S, Trouble, seen_in
from timestream_writer import ATTEMPTS, REGIONS, ClosedAccountError, TimestreamWriter

NAME = f"{DATABASE}.{TABLE}"


@pytest.fixture(scope="module")
def standing_site() -> Iterator[TimestreamSite]:
    with timestream_site() as site:
        yield site


@pytest.fixture
def site(standing_site: TimestreamSite) -> TimestreamSite:
    standing_site.renew()
    return standing_site


def one(number: int) -> Observation:
    """An observation of one value, and so one record."""
    return seen_in(f"city {number}", Humidity="93")


def failure(outcome: Outcome) -> IngestError:
    assert outcome.failure is not None
    return outcome.failure


def cannot_prepare(site: TimestreamSite) -> IngestError:
    """Why a writer finds no way to its table, as a new process says it."""
    site.restart()
    writer = site.open()
    with pytest.raises(IngestError) as caught:
        writer.prepare()
    assert "WriteRecords" not in site.actions()
    return caught.value


# Discovery


def cell(address: str, minutes: object = 1440) -> Fault:
    """DescribeEndpoints names this one."""
    body = {"Endpoints": [{"Address": address, "CachePeriodInMinutes": minutes}]}
    return answer(200, json.dumps(body).encode(), {"Content-Type": "application/x-amz-json-1.0"})


def test_discovery_asks_once_and_writes_nothing_and_a_write_does_not_ask_again(
    site: TimestreamSite,
) -> None:
    writer = site.ready()
    assert site.actions() == ["DescribeEndpoints"]
    assert writer.write([one(1)]) == Outcome(stored=1)
    assert writer.write([one(2)]) == Outcome(stored=1)
    assert site.actions() == ["DescribeEndpoints", "WriteRecords", "WriteRecords"]


def test_a_writer_that_is_not_ready_is_never_written_with(site: TimestreamSite) -> None:
    site.prepare_meets(Trouble.RESET)
    writer = site.open()
    with pytest.raises(DeliveryError):
        writer.prepare()
    with pytest.raises(AssertionError):
        writer.write([one(0)])
    assert "WriteRecords" not in site.actions()


def test_the_next_run_of_the_same_process_does_not_look_for_its_cell_again(
    site: TimestreamSite,
) -> None:
    for _ in range(3):
        assert site.ready().write([one(0)]) == Outcome(stored=1)
    assert site.service.count("DescribeEndpoints") == 1
    site.restart()
    site.ready()
    assert site.service.count("DescribeEndpoints") == 2


def test_another_table_looks_for_a_cell_of_its_own(site: TimestreamSite) -> None:
    site.ready()
    site.open(settings={"TIMESTREAM_TABLE": "another"}).prepare()
    assert site.service.count("DescribeEndpoints") == 2


def test_a_cell_is_remembered_for_as_long_as_aws_says(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(timestream_writer, "time", SimpleNamespace(monotonic=lambda: now_s))
    site.service.plan.always("DescribeEndpoints", cell(site.service.url, minutes=10))
    site.ready()
    now_s += 599
    site.ready()
    assert site.service.count("DescribeEndpoints") == 1
    now_s += 1
    site.ready()
    assert site.service.count("DescribeEndpoints") == 2


def test_a_cell_that_cannot_be_reached_is_looked_for_again_by_the_next_run(
    site: TimestreamSite,
) -> None:
    site.service.plan.next("DescribeEndpoints", cell("http://127.0.0.1:1"))
    outcome = site.ready().write([one(0)])
    assert "http://127.0.0.1:1/" in failure(outcome).what
    assert site.ready().write([one(0)]) == Outcome(stored=1)
    assert site.service.count("DescribeEndpoints") == 2


def test_an_address_without_a_scheme_is_written_to_with_tls(site: TimestreamSite) -> None:
    site.service.plan.always("DescribeEndpoints", cell("127.0.0.1:1"))
    outcome = site.ready().write([one(0)])
    assert "https://127.0.0.1:1/" in failure(outcome).what


def test_a_given_endpoint_is_written_to_without_discovery(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    site.restart()
    writer = site.open(settings={"TIMESTREAM_ENDPOINT_URL": site.service.url})
    writer.prepare()
    assert site.actions() == []
    assert writer.write([one(0)]) == Outcome(stored=1)
    assert site.actions() == ["WriteRecords"]
    assert site.clients.routes == {}


@pytest.mark.parametrize("by", ["environment", "file"])
def test_a_profile_that_switches_discovery_off_changes_nothing(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, by: str
) -> None:
    if by == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_DISCOVERY_ENABLED", "false")
    else:
        (tmp_path / "config").write_text("[default]\nendpoint_discovery_enabled = false\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    site.restart()
    assert site.ready().write([one(0)]) == Outcome(stored=1)
    assert site.actions() == ["DescribeEndpoints", "WriteRecords"]


def test_what_is_preloaded_is_not_read_again(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.restart()
    TimestreamWriter.preload(site.clients)
    assert site.actions() == []
    files = site.clients.aws._core.get_component("data_loader").file_loader
    read: list[str] = []
    load_file = files.load_file

    def note(path: str) -> object:
        read.append(path)
        return load_file(path)

    monkeypatch.setattr(files, "load_file", note)
    site.ready()
    assert read == []


def test_a_denied_discovery_says_which_action_to_allow(site: TimestreamSite) -> None:
    denied = aws_error("AccessDeniedException", "User: x is not authorized", 403)
    site.service.plan.always("DescribeEndpoints", denied)
    error = cannot_prepare(site)
    assert isinstance(error, AccessError)
    assert "AccessDeniedException: User: x is not authorized" in error.what
    assert "timestream:DescribeEndpoints" in error.advice


def test_a_denied_write_does_not_blame_discovery(site: TimestreamSite) -> None:
    site.always(Trouble.DENIED)
    error = failure(site.ready().write([one(0)]))
    assert isinstance(error, AccessError)
    assert "DescribeEndpoints" not in str(error)


@pytest.mark.parametrize("action", ["DescribeEndpoints", "WriteRecords"])
def test_a_closed_account_is_distinguished_from_an_iam_mistake(
    site: TimestreamSite, action: str
) -> None:
    message = "Only existing Timestream for LiveAnalytics customers can access the service. Call us"
    site.service.plan.always(action, aws_error("AccessDeniedException", message, 403))
    if action == "DescribeEndpoints":
        error = cannot_prepare(site)
    else:
        site.service.plan.next(action, aws_error("AccessDeniedException", message, 403))
        error = failure(site.ready().write([one(0)]))
    assert isinstance(error, ClosedAccountError)


def test_an_unknown_host_is_named(site: TimestreamSite, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def unknown(host: str, *args: Any, **options: Any) -> Any:
        if host == "no-such-host.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid")
    error = cannot_prepare(site)
    assert type(error) is DeliveryError
    for each in (NAME, "us-east-1", "no-such-host.invalid", "(Name or service not known)"):
        assert each in error.what


def test_a_refused_connection_is_named(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    error = cannot_prepare(site)
    assert type(error) is DeliveryError
    assert '"http://127.0.0.1:1/" (Connection refused)' in error.what


def test_an_unreachable_proxy_is_named_without_its_password(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://ingest.timestream.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:1")
    error = cannot_prepare(site)
    assert type(error) is DeliveryError
    assert isinstance(error.__cause__, ProxyConnectionError)
    assert "(Connection refused)" in error.what
    assert "hunter2" not in str(error)


class TlsService(LoopbackService):
    def action_of(self, request: Request) -> str:
        return request.path

    def respond(self, request: Request) -> Answer:  # noqa: ARG002
        return Answer()


def test_an_unknown_certificate_authority_is_named(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with TlsService(tls=context) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL", service.address)
        error = cannot_prepare(site)
    assert isinstance(error, DeliveryError)
    assert isinstance(error.__cause__, SSLError)


def test_a_region_without_timestream_is_a_wrong_setting(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    error = cannot_prepare(site)
    assert isinstance(error, SettingsError)
    assert "eu-west-2" in error.what


def test_a_region_that_answers_has_timestream_whatever_is_known_of_it(
    site: TimestreamSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    site.prepare_meets(Trouble.UNAVAILABLE)
    assert type(cannot_prepare(site)) is DeliveryError


def test_in_a_region_with_timestream_no_answer_is_a_passing_failure(site: TimestreamSite) -> None:
    assert "us-east-1" in REGIONS
    site.prepare_meets(Trouble.RESET)
    assert type(cannot_prepare(site)) is DeliveryError
    assert site.service.count("DescribeEndpoints") == TOTAL_ATTEMPTS


def test_a_discovery_whose_answer_names_no_cell_is_a_passing_failure(site: TimestreamSite) -> None:
    cells = (b"null", b"7", b'["x"]', b"[null]", b"[]", b"[{}]")
    got = {}
    minutes = (b"", b',"CachePeriodInMinutes":"x"', b',"CachePeriodInMinutes":1' + b"0" * 400)
    for body in (
        *(b"", b"{", b"{}", b"[]", b"<html>Please log in.</html>"),
        *(b'{"Endpoints":%b}' % each for each in cells),
        *(b'{"Endpoints":[{"Address":"a.example"%b}]}' % each for each in minutes),
        *(b'{"Endpoints":[{"Address":%b,"CachePeriodInMinutes":1}]}' % each for each in cells[:2]),
    ):
        site.service.plan.always("DescribeEndpoints", answer(200, body))
        error = cannot_prepare(site)
        is_named = NAME in error.what and bool(error.advice)
        got[body] = (type(error), is_named, site.clients.routes)
    assert got == dict.fromkeys(got, (DeliveryError, True, {}))


def test_an_invalid_address_ends_in_an_error_with_advice(site: TimestreamSite) -> None:
    for address in ("", "http://", "http://127.0.0.1:abc", "no host"):
        site.service.plan.always("DescribeEndpoints", cell(address))
        site.restart()
        try:
            said = failure(site.ready().write([one(0)]))
        except IngestError as error:
            said = error
        assert said.advice, address


# Another cell (InvalidEndpointException, 421)

MOVED = aws_error("InvalidEndpointException", "The endpoint has moved.", 421)


class Cells:
    """The service by its two names, 127.0.0.1 and localhost; one of them sends callers away."""

    def __init__(self, site: TimestreamSite) -> None:
        self.site = site
        self.old = site.service.url
        self.new = self.old.replace("127.0.0.1", "localhost")
        self.next_cell(self.old)
        self.leaves(self.old)

    def next_cell(self, url: str) -> None:
        self.site.service.plan.always("DescribeEndpoints", cell(url))

    def leaves(self, *urls: str) -> None:
        hosts = [url.removeprefix("http://") for url in urls]
        self.site.service.plan.when(
            "WriteRecords", lambda request: MOVED if request.host in hosts else None
        )

    def asked(self) -> list[str]:
        """Where records were sent to."""
        requests = [each for each in self.site.service.requests if each.action == "WriteRecords"]
        return [f"http://{request.host}" for request in requests]


@pytest.fixture
def cells(site: TimestreamSite) -> Cells:
    return Cells(site)


def test_a_cell_that_sends_us_away_is_left_for_the_new_one_and_nothing_is_lost(
    cells: Cells, site: TimestreamSite
) -> None:
    writer = site.ready()
    cells.next_cell(cells.new)
    assert writer.write([one(1), one(2)]) == Outcome(stored=2)
    assert writer.write([one(3)]) == Outcome(stored=1)
    assert cells.asked() == [cells.old, cells.new, cells.new]
    assert len(site.rows()) == 3


def test_the_next_run_goes_to_the_new_cell_at_once(cells: Cells, site: TimestreamSite) -> None:
    writer = site.ready()
    cells.next_cell(cells.new)
    writer.write([one(1)])
    site.service.forget_requests()
    assert site.ready().write([one(2)]) == Outcome(stored=1)
    assert site.actions() == ["WriteRecords"]
    assert cells.asked() == [cells.new]


def test_a_loop_from_cell_to_cell_is_ended(cells: Cells, site: TimestreamSite) -> None:
    addresses = [cells.new, cells.old] * 5
    site.service.plan.next("DescribeEndpoints", cell(cells.old), *map(cell, addresses))
    cells.leaves(cells.old, cells.new)
    outcome = site.ready().write([one(0)])
    error = failure(outcome)
    assert type(error) is DeliveryError
    assert "InvalidEndpointException: The endpoint has moved" in error.what
    assert cells.asked() == [cells.old, cells.new, cells.old]
    assert len(cells.asked()) == ATTEMPTS
    assert site.rows() == {}


@pytest.mark.usefixtures("cells")
def test_a_cell_that_sends_us_to_itself_is_asked_once(site: TimestreamSite) -> None:
    assert type(failure(site.ready().write([one(0)]))) is DeliveryError
    assert site.actions() == ["DescribeEndpoints", "WriteRecords", "DescribeEndpoints"]


def test_a_given_endpoint_is_not_left(cells: Cells, site: TimestreamSite) -> None:
    writer = site.open(settings={"TIMESTREAM_ENDPOINT_URL": cells.old})
    writer.prepare()
    assert "InvalidEndpointException" in failure(writer.write([one(0)])).what
    assert site.actions() == ["WriteRecords"]


@pytest.mark.parametrize(
    ("fault", "kind", "named"),
    [
        (aws_error("ValidationException", "bad"), SettingsError, "ValidationException: bad"),
        (aws_error("AccessDeniedException", "no", 403), AccessError, "timestream:DescribeEndpo"),
        (reset(), DeliveryError, "Connection was closed"),
        (answer(200, b"{}"), DeliveryError, NAME),
    ],
)
def test_a_move_that_fails_says_why_and_rejects_no_record(
    cells: Cells, site: TimestreamSite, fault: Fault, kind: type[IngestError], named: str
) -> None:
    writer = site.ready()
    site.service.plan.always("DescribeEndpoints", fault)
    outcome = writer.write([one(1), one(2)])
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert type(failure(outcome)) is kind
    assert named in str(outcome.failure)
    cells.next_cell(cells.new)
    assert site.ready().write([one(1)]) == Outcome(stored=1)


def test_the_deadline_ends_a_move(cells: Cells, site: TimestreamSite) -> None:
    deadline = Deadline(NEVER_S)
    writer = site.ready(deadline)

    def stop(_: Request) -> Fault:
        deadline.stop("SIGTERM")
        return MOVED

    cells.next_cell(cells.new)
    site.service.plan.when("WriteRecords", stop)
    assert isinstance(failure(writer.write([one(0)])), Interrupted)
    assert site.actions() == ["DescribeEndpoints", "WriteRecords"]


def test_calls_that_are_sent_away_together_look_for_the_new_cell_once(
    cells: Cells, site: TimestreamSite
) -> None:
    all_there = threading.Barrier(4)
    old = cells.old.removeprefix("http://")

    def send_away(request: Request) -> Fault | None:
        if request.host != old:
            return None
        all_there.wait(NEVER_S)
        return MOVED

    writer = site.ready()
    cells.next_cell(cells.new)
    site.service.plan.when("WriteRecords", send_away)
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda number: writer.write([one(number)]), range(4)))
    assert outcomes == [Outcome(stored=1)] * 4
    assert site.service.count("DescribeEndpoints") == 2
    assert len(site.rows()) == 4

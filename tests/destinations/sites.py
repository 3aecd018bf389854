"""Each destination's service, as the conformance suite needs it. The next destination is a row."""

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from botocore.retries.standard import ExponentialBackoff

from embedded.aws import EmbeddedAws
from embedded.exchange import Request
from embedded.faults import Fault, answer, aws_error, reset, reset_after, truncate
from ingest.clients import Clients
from ingest.deadline import Deadline
from ingest.destination import Destination, Kind
from ingest.observation import TEXT, Observation
from tests.conftest import DATABASE, TABLE
from tests.support.destinations import (
    FAILS_AS,
    HOUR_MS,
    MINUTE_MS,
    NEVER_S,
    NOW_MS,
    FakeDestination,
    MemoryTable,
    Trouble,
    Value,
    failure_of,
    seen_in,
)
from tests.support.settings import settings_of
from timestream_writer import TimestreamWriter


class Refused(NamedTuple):
    """An observation of which these measures will be refused."""

    observation: Observation
    measures: list[str]
    existing_version: int | None = None


class Site(ABC):
    """A table at a service, empty at first, and destinations that write to it.

    kinds: of refusals that the service knows.
    on_call: called when a call arrives, before anything is done.
    """

    kinds = frozenset(Kind)
    on_call: Callable[[], object]

    @abstractmethod
    def open(self, deadline: Deadline | None = None) -> Destination:
        """A destination that is not prepared."""

    @abstractmethod
    def renew(self) -> None:
        """An empty table, no trouble, nothing arrived."""

    @abstractmethod
    def calls(self) -> list[list[Value]]:
        """The values of each call that arrived, in order, those in trouble included."""

    @abstractmethod
    def rows(self) -> dict[Value, str]:
        """What the table holds."""

    @abstractmethod
    def next(self, *troubles: Trouble) -> None:
        """One for each of the next calls."""

    @abstractmethod
    def always(self, trouble: Trouble) -> None:
        """For every call, until `renew`."""

    @abstractmethod
    def prepare_meets(self, trouble: Trouble) -> bool:
        """Whatever `prepare` asks meets this; False if it asks nothing that could."""

    @abstractmethod
    def holds_another_type(self, measure: str) -> None:
        """The table holds the measure as another type than ours."""

    def answers(self, status: int, body: bytes) -> bool:  # noqa: ARG002
        """Every call gets this answer, and nothing is done; False if it does not speak HTTP."""
        return False

    def ready(self, deadline: Deadline | None = None) -> Destination:
        """A destination that is prepared."""
        destination = self.open(deadline)
        destination.prepare()
        return destination

    def refused(self, kind: Kind) -> Refused:
        """What will be refused for this."""
        both = ["CurrentTemp", "Humidity"]
        match kind:
            case Kind.TOO_OLD:
                return Refused(seen_in("Old", NOW_MS - 48 * HOUR_MS), both)
            case Kind.IN_FUTURE:
                return Refused(seen_in("Early", NOW_MS + HOUR_MS), both)
            case Kind.OLDER_VERSION:
                newer = seen_in("Twice", version=NOW_MS + 5, CurrentTemp="11.5", Humidity="94")
                assert self.ready().write([newer]).stored == 2
                return Refused(seen_in("Twice"), ["Humidity"], NOW_MS + 5)
            case Kind.SCHEMA:
                self.holds_another_type("Pressure")
                return Refused(seen_in("Other", CurrentTemp="1", Pressure="999"), ["Pressure"])
            case Kind.RECORD:
                return Refused(spoilt("Bad"), ["Humidity"])


def spoilt(city: str) -> Observation:
    """One for whose Humidity, which is no number, a service refuses the whole call."""
    return seen_in(city, CurrentTemp="1", Humidity="not a number")


class MemorySite(Site):
    """The fake destination of other tests keeps the contract, too."""

    def __init__(self) -> None:
        self.renew()

    def open(self, deadline: Deadline | None = None) -> FakeDestination:
        destination = FakeDestination(self._table, deadline)
        if self._preparing:
            destination.cannot_prepare = failure_of(destination.name, self._preparing)
        return destination

    def renew(self) -> None:
        self._preparing: Trouble | None = None
        self.on_call = lambda: None
        oldest_ms, newest_ms = NOW_MS - 24 * HOUR_MS, NOW_MS + 15 * MINUTE_MS
        self._table = MemoryTable(oldest_ms, newest_ms, on_call=self._arrived)

    def _arrived(self) -> None:
        self.on_call()

    def calls(self) -> list[list[Value]]:
        return self._table.calls

    def rows(self) -> dict[Value, str]:
        return {
            (city, time_ms, name): text
            for ((city, *_, time_ms), name), (text, _) in self._table.rows.items()
        }

    def next(self, *troubles: Trouble) -> None:
        self._table.next_troubles.extend(troubles)

    def always(self, trouble: Trouble) -> None:
        self._table.standing = trouble

    def prepare_meets(self, trouble: Trouble) -> bool:
        self._preparing = trouble
        return True

    def holds_another_type(self, measure: str) -> None:
        self._table.types[measure] = TEXT


PAGE = b"<!DOCTYPE html><html><body>Please log in.</body></html>"
TIMESTREAM_FAULTS: dict[Trouble, Fault] = {
    Trouble.THROTTLED: aws_error("ThrottlingException", "Rate exceeded", 429),
    Trouble.UNAVAILABLE: answer(503),
    Trouble.DENIED: aws_error("AccessDeniedException", "not authorized", 403),
    Trouble.MISSING: aws_error("ResourceNotFoundException", "The table does not exist.", 404),
    Trouble.RESET: reset(),
    Trouble.ANSWER_LOST: reset_after(),
    Trouble.CUT_OFF: truncate(),
    Trouble.PAGE: answer(200, PAGE, {"Content-Type": "text/html"}),
}


class TimestreamSite(Site):
    """Real boto3 and the embedded AWS, whose clock stands still.

    clients: what a process keeps between its runs.
    """

    def __init__(self, service: EmbeddedAws) -> None:
        self.service = service
        self._used = [Clients()]
        self._used[0].aws.secrets_manager()  # while the environment is ours
        self.renew()

    def open(
        self, deadline: Deadline | None = None, settings: Mapping[str, str] | None = None
    ) -> TimestreamWriter:
        deadline = deadline or Deadline(NEVER_S)
        return TimestreamWriter(settings_of(**settings or {}), self.clients, deadline)

    def ready(self, deadline: Deadline | None = None) -> TimestreamWriter:
        writer = self.open(deadline)
        writer.prepare()
        return writer

    def restart(self) -> None:
        """As a new process, in the environment as it is now; until `renew`."""
        self.clients = Clients()
        self._used.append(self.clients)

    def close(self) -> None:
        for clients in self._used:
            for client in clients.aws._clients.values():
                client.close()

    def renew(self, **retention: Any) -> None:
        self._next: deque[Trouble] = deque()
        self._standing: Trouble | None = None
        self.on_call = lambda: None
        self.clients = self._used[0]
        self.clients.routes.clear()
        self.service.plan.clear()
        self.service.plan.when("WriteRecords", self._choose)
        self.service.make_table(DATABASE, TABLE, **retention)
        self.service.forget_requests()

    def _choose(self, _: Request) -> Fault | None:
        self.on_call()
        trouble = self._next.popleft() if self._next else self._standing
        return TIMESTREAM_FAULTS[trouble] if trouble else None

    def calls(self) -> list[list[Value]]:
        return [
            [
                (record["Dimensions"][0]["Value"], int(record["Time"]), record["MeasureName"])
                for record in request.json["Records"]
            ]
            for request in self.service.requests
            if request.action == "WriteRecords"
        ]

    def rows(self) -> dict[Value, str]:
        return {
            (row.dimensions["city"], row.time_ms, row.measure_name): row.value
            for row in self.service.rows(DATABASE, TABLE)
        }

    def next(self, *troubles: Trouble) -> None:
        self._next.extend(troubles)

    def always(self, trouble: Trouble) -> None:
        self._standing = trouble

    def prepare_meets(self, trouble: Trouble) -> bool:
        self.service.plan.always("DescribeEndpoints", TIMESTREAM_FAULTS[trouble])
        return True

    def holds_another_type(self, measure: str) -> None:
        self.service.rows(DATABASE, TABLE)  # the store learns of the table when it is first used
        record = {
            "Dimensions": [{"Name": "city", "Value": "Elsewhere"}],
            "MeasureName": measure,
            "MeasureValue": "1",
            "MeasureValueType": "BIGINT",
            "Time": str(NOW_MS),
        }
        self.service.store.write(DATABASE, TABLE, None, [record], NOW_MS)

    def answers(self, status: int, body: bytes) -> bool:
        self.service.plan.clear()
        self.service.plan.always("WriteRecords", answer(status, body))
        return True

    def actions(self) -> list[str]:
        return [request.action for request in self.service.requests]


@contextmanager
def memory_site() -> Iterator[Site]:
    yield MemorySite()


@contextmanager
def timestream_site() -> Iterator[TimestreamSite]:
    """In an environment that leads to the embedded AWS, and nowhere else; botocore never waits."""
    with pytest.MonkeyPatch.context() as patch, EmbeddedAws(clock=lambda: NOW_MS / 1000) as service:
        patch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in service.environment().items():
            patch.setenv(name, value)
        site = TimestreamSite(service)
        try:
            yield site
        finally:
            site.close()


# One row a destination.
SITES = {"memory": memory_site, "timestream": timestream_site}

assert FAILS_AS.keys() == TIMESTREAM_FAULTS.keys() == set(Trouble)

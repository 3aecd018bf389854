"""The contract of a destination: what takes observations, and what it says of them.

One suite holds for all of them: `tests/destinations/`. `ingest/destinations.py` lists them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ingest.errors import IngestError
from ingest.observation import Observation


class Kind(StrEnum):
    """Why a value was refused. Decided once, by the destination, and kept in the journal."""

    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"
    OLDER_VERSION = "older_version"  # another value is there, with a version as high
    SCHEMA = "schema"  # the table cannot hold this measure
    RECORD = "record"  # anything else that is the value's own fault


@dataclass(frozen=True, slots=True)
class Rejection:
    """One measure of one observation that the service will never accept as it is.

    observation: the object that was given to `write`, not one that equals it.
    reason: the service's own words, on one line.
    existing_version: of the value that is there already; None if that is not known.
    """

    observation: Observation
    measure: str
    kind: Kind
    reason: str
    existing_version: int | None = None


@dataclass
class Outcome:
    """What became of the observations of one `write`.

    stored: values that the service confirmed.
    rejected: values that it rejected, in the order they were sent.
    failure: why the rest is where it was. It may be written again, and what was stored with it.
    """

    stored: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    failure: IngestError | None = None

    def add(self, other: "Outcome") -> None:
        self.stored += other.stored
        self.rejected += other.rejected
        self.failure = self.failure or other.failure


class Destination(Protocol):
    """Where observations go.

    Order: `prepare` once, then any number of `write`. Two versions of one value (a measure of a
    series, see `Observation.series`) are never given to one call, nor to two at the same time, and
    versions never go down.
    """

    @property
    def service(self) -> str:
        """What a person calls it: Timestream."""

    @property
    def name(self) -> str:
        """What a person calls the table: TIMESTREAM-DEMO.london_weather_information."""

    @property
    def target(self) -> str:
        """What the journal calls it: the same text for the same table, and for no other."""

    @property
    def capacity(self) -> int:
        """How much one call may hold, in the unit of `size`."""

    def size(self, observation: Observation) -> int:
        """How much of a call the observation takes; pure, and never more than `capacity`."""

    def prepare(self) -> None:
        """Find the way to the table. Called once, in a thread of its own.

        Raises IngestError if there is none. May be abandoned by the caller at the deadline.
        """

    def write(self, observations: Sequence[Observation]) -> Outcome:
        """Store these, at most `capacity` of them by `size`, in one call or in more.

        Called from several threads. Must be idempotent: what was stored before is stored again
        without harm. Never raises for a fault of the service, the network or the deadline: that
        is the outcome's `failure`. Every value is stored, rejected, or covered by `failure`.
        """

    def advice(self, rejection: Rejection) -> str:
        """What a person can do about it: a sentence or more, with the command to type."""

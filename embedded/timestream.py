"""The write rules of Amazon Timestream for LiveAnalytics, apart from any HTTP.

A call is read whole before anything is stored: what is malformed refuses the call, what
is well formed but over a limit, out of time or outdated is rejected record by record.

Where the service's documentation is silent, this store
- takes a lower version with the value that is already stored as done, and keeps the
  higher version: nothing would change for a reader;
- compares values as numbers: `1.0` again as `1.00` is the same value;
- lets a record's own attribute win over the common one, except dimensions, which are
  merged and may not overlap;
- counts a version conflict in the magnetic store as ingested, as the service reports
  those to S3 only, and keeps what was stored (`unreported`);
- never removes rows that have grown older than the table's retention.
MULTI records, and so TIMESTAMP values, which only those may hold, are refused;
customer-defined partition keys are not enforced.
"""

import datetime as dt
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from embedded.timestream_records import (
    DoubleOrText,
    ParsedRecord,
    RejectedRecord,
    ServiceError,
    limit_exceeded,
    parse_records,
)

__all__ = ["Outcome", "RejectedRecord", "Retention", "Row", "ServiceError", "TimestreamStore"]

NS_PER_MS = 1_000_000
MS_PER_HOUR = 3_600_000
FUTURE_WINDOW_MS = 15 * 60 * 1000

REJECTED_MESSAGE = "One or more records have been rejected. See RejectedRecords for details."
SAME_VERSION_REASON = (
    "A record already exists with the same time, dimensions, measure name, and record version. "
    "A higher record version must be specified in order to update the measure value. "
    "Specifying record version is supported by the latest SDKs."
)
LOWER_VERSION_REASON = (
    "The record version {new} is lower than the existing version {existing}. "
    "A higher version is required to update the measure value."
)
OUT_OF_TIME_REASON = "The record timestamp is outside the time range [{start}, {end}) of {store}."
OTHER_TYPE_REASON = (
    "The measure value type {new} does not match the type {existing} "
    "that measure name {name} already has in this table."
)


@dataclass(frozen=True, slots=True)
class Retention:
    """How far back a table takes records."""

    memory_hours: int
    magnetic_days: int
    magnetic_writes: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a reader of the table sees it: the highest version that was stored."""

    dimensions: Mapping[str, str]
    measure_name: str
    value: str
    value_type: str
    time_ms: int
    version: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call that was not refused as a whole."""

    memory_store: int
    magnetic_store: int
    rejected: tuple[RejectedRecord, ...] = ()

    @property
    def total(self) -> int:
        """How many records were ingested."""
        return self.memory_store + self.magnetic_store

    def raise_for_rejected(self) -> None:
        """Raise RejectedRecordsException (HTTP 419) if any record was rejected."""
        if self.rejected:
            rejected = [record.as_json() for record in self.rejected]
            raise ServiceError(
                "RejectedRecordsException", 419, REJECTED_MESSAGE, {"RejectedRecords": rejected}
            )


_Key = tuple[frozenset[tuple[str, str]], str, int]


@dataclass(slots=True)
class _Stored:
    row: Row
    compared: DoubleOrText


@dataclass(slots=True)
class _Table:
    retention: Retention
    rows: dict[_Key, _Stored] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Window:
    """The times a table takes now, in nanoseconds; the end is excluded."""

    start_ns: int
    memory_start_ns: int
    end_ns: int
    store: str

    def refusal(self, time_ns: int) -> str | None:
        if self.start_ns <= time_ns < self.end_ns:
            return None
        return OUT_OF_TIME_REASON.format(
            start=iso_ns(self.start_ns), end=iso_ns(self.end_ns), store=self.store
        )


class TimestreamStore:
    """Tables and their rows; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[tuple[str, str], _Table] = {}
        self.unreported: list[RejectedRecord] = []

    def set_table(self, database: str, table: str, retention: Retention) -> None:
        """Make the table, or change its retention and keep its rows."""
        with self._lock:
            known = self._tables.setdefault((database, table), _Table(retention))
            known.retention = retention

    def drop_table(self, database: str, table: str) -> None:
        """Forget the table and its rows; unknown ones are ignored."""
        with self._lock:
            self._tables.pop((database, table), None)

    def rows(self, database: str, table: str) -> list[Row]:
        """Every row of the table, ordered by time, then measure name."""
        with self._lock:
            rows = [stored.row for stored in self._known(database, table).rows.values()]
        return sorted(rows, key=lambda row: (row.time_ms, row.measure_name))

    def write(
        self,
        database: str,
        table: str,
        common_attributes: Mapping[str, object] | None,
        records: object,
        now_ms: int,
    ) -> Outcome:
        """Store what can be stored and say what was rejected, and why.

        Raises ServiceError, with nothing stored, where the whole call is refused.
        """
        parsed = parse_records(common_attributes, records)
        with self._lock:
            known = self._known(database, table)
            window = _window(known.retention, now_ms)
            return self._write_all(known, parsed, window)

    def _known(self, database: str, table: str) -> _Table:
        try:
            return self._tables[database, table]
        except KeyError:
            raise ServiceError(
                "ResourceNotFoundException",
                404,
                f"The table {table} in database {database} does not exist.",
            ) from None

    def _write_all(
        self, table: _Table, records: Sequence[ParsedRecord], window: _Window
    ) -> Outcome:
        rejected: list[RejectedRecord] = []
        memory = magnetic = 0
        for index, record in enumerate(records):
            in_memory = record.time_ns >= window.memory_start_ns
            refusal = _refusal(table, record, window)
            conflict = None if refusal else _store(table, record)
            if conflict is not None and not in_memory:
                self.unreported.append(RejectedRecord(index, *conflict))
                conflict = None
            if refusal or conflict:
                rejected.append(RejectedRecord(index, *(conflict or (refusal or "", None))))
            elif in_memory:
                memory += 1
            else:
                magnetic += 1
        return Outcome(memory, magnetic, tuple(rejected))


def iso_ns(time_ns: int) -> str:
    """The time as the service writes it: UTC, nine decimals, no zone."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
    return f"{moment.isoformat()}.{nanoseconds:09d}"


def _window(retention: Retention, now_ms: int) -> _Window:
    memory_start_ms = now_ms - retention.memory_hours * MS_PER_HOUR
    start_ms, store = memory_start_ms, "the memory store"
    if retention.magnetic_writes:
        start_ms = min(start_ms, now_ms - retention.magnetic_days * 24 * MS_PER_HOUR)
        store = "the data ingestion window"
    return _Window(
        start_ms * NS_PER_MS,
        memory_start_ms * NS_PER_MS,
        (now_ms + FUTURE_WINDOW_MS) * NS_PER_MS,
        store,
    )


def _refusal(table: _Table, record: ParsedRecord, window: _Window) -> str | None:
    """Why the record can't be stored whatever its version, or None."""
    existing_type = table.types.get(record.measure_name, record.value_type)
    if existing_type != record.value_type:
        return OTHER_TYPE_REASON.format(
            new=record.value_type, existing=existing_type, name=record.measure_name
        )
    return limit_exceeded(record) or window.refusal(record.time_ns)


def _store(table: _Table, record: ParsedRecord) -> tuple[str, int | None] | None:
    """Store the record, or return the reason of its conflict and the existing version."""
    key = (frozenset(record.dimensions.items()), record.measure_name, record.time_ns)
    existing = table.rows.get(key)
    if existing is not None and record.version <= existing.row.version:
        return _conflict(existing, record)
    row = Row(
        record.dimensions,
        record.measure_name,
        record.value,
        record.value_type,
        record.time_ns // NS_PER_MS,
        record.version,
    )
    table.rows[key] = _Stored(row, record.compared)
    table.types.setdefault(record.measure_name, record.value_type)
    return None


def _conflict(existing: _Stored, record: ParsedRecord) -> tuple[str, int | None] | None:
    if record.compared == existing.compared:
        return None
    version = existing.row.version
    if record.version == version:
        return SAME_VERSION_REASON, None
    return LOWER_VERSION_REASON.format(new=record.version, existing=version), version

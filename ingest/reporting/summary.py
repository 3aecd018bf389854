"""What a run did, counted; and its failures, grouped for a person."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.errors import IngestError, Status, most_urgent
from ingest.reporting.redaction import one_line
from ingest.reporting.text import plural

# How many places a group of failures names.
NAMED = 3

_PLURALS = {
    "time-out": "time-outs",
    "network error": "network errors",
    "server error": "server errors",
    "unusable reply": "unusable replies",
}


@dataclass
class Group:
    """Places that failed in the same way. error: of the first one."""

    error: IngestError
    count: int = 0
    names: list[str] = field(default_factory=list)


@dataclass
class Summary:
    """stored and rejected count values, places and fetched places, the others observations.

    keep_all: keep every failed place, not only the first of each kind.
    """

    run: str
    redact: Callable[[str], str] = field(default=str, repr=False)
    keep_all: bool = False
    places: int = 0
    fetched: int = 0
    unchanged: int = 0
    stored: int = 0
    rejected: int = 0
    pending: int = 0
    seconds: float = 0.0
    statuses: set[Status] = field(default_factory=set)
    groups: dict[str, Group] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(group.count for group in self.groups.values())

    def place_failed(self, name: str, error: IngestError) -> None:
        """Count a place whose weather could not be fetched."""
        self.statuses.add(error.status)
        group = self.groups.setdefault(error.kind, Group(error))
        group.count += 1
        if len(group.names) < NAMED:
            group.names.append(one_line(name))
        if self.keep_all:
            self.failures.append(
                {"place": name, "kind": error.kind, "error": self.redact(str(error))}
            )

    def describe_failures(self) -> str:
        """One sentence for one place; for more, a line that counts them by kind, and below it the
        first error of each kind."""
        groups = sorted(self.groups.items(), key=lambda item: -item[1].count)
        firsts = [f"{group.names[0]}: {group.error}" for _, group in groups]
        if self.failed == 1:
            return firsts[0]
        counts = ", ".join(_counted(kind, group) for kind, group in groups)
        return "\n  ".join([f"{self.failed} places failed: {counts}", *firsts])

    @property
    def status(self) -> Status:
        return most_urgent(self.statuses)

    def as_dict(self, *, failures: bool = True) -> dict[str, object]:
        """For --json, and without the failures for the journal."""
        counts = ("places", "fetched", "unchanged", "failed", "stored", "rejected", "pending")
        result: dict[str, object] = {
            "run": self.run,
            **{name: getattr(self, name) for name in counts},
            "seconds": self.seconds,
            "status": int(self.status),
        }
        if self.failures and failures:
            result["failures"] = self.failures
        return result

    def __str__(self) -> str:
        return (
            f"{self.fetched} of {plural(self.places, 'place')} fetched "
            f"({self.unchanged} unchanged), {plural(self.stored, 'record')} stored, "
            f"{self.rejected} rejected, {plural(self.pending, 'observation')} pending, "
            f"{self.seconds:.2f} s"
        )


def _counted(kind: str, group: Group) -> str:
    """10 time-outs (first: Paris,FR); 2 not found (Atlantis,XX; Nowhere,XX)."""
    count = plural(group.count, kind, _PLURALS.get(kind, kind))
    if group.count <= len(group.names):
        return f"{count} ({'; '.join(group.names)})"
    return f"{count} (first: {group.names[0]})"

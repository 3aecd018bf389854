"""Delivered observations and how runs ended: for `show` and `check`, until they are pruned."""

from dataclasses import dataclass
from typing import Any

from ingest.journal.rows import OBSERVATION, load_object, observation_of
from ingest.journal.schema import JournalFile
from ingest.observation import Observation

# Runs whose ends are remembered.
RUNS_KEPT = 1000

# Delivered observations to prune in one run, at least; twice what it added, if that is more.
PRUNE_AT_LEAST = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """An observation that was delivered, or is still pending."""

    target: str
    observation: Observation
    pending: bool


@dataclass(frozen=True, slots=True)
class PastRun:
    """How a run ended; summary: the counts that --json prints."""

    target: str
    ended_ms: int
    status: int
    summary: dict[str, Any]


def prune(file: JournalFile, before_ms: int, added: int) -> None:
    """Delete the oldest observations delivered before that time: a bounded number, because
    WEATHER_JOURNAL_DAYS may have been years until now."""
    with file.transaction() as db:
        db.execute(
            "DELETE FROM observation WHERE id IN (SELECT id FROM observation "
            "WHERE state = 'delivered' AND changed_ms < ? ORDER BY changed_ms LIMIT ?)",
            (before_ms, max(PRUNE_AT_LEAST, 2 * added)),
        )


def end_run(file: JournalFile, status: int, summary: str, now_ms: int) -> None:
    """Keep how a run ended. Survives this process, not a power cut."""
    with file.transaction(durable=False) as db:
        db.execute(
            "INSERT INTO run (target, ended_ms, status, summary) VALUES (?, ?, ?, ?)",
            (file.target, now_ms, status, summary),
        )
        db.execute("DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - ?", (RUNS_KEPT,))


def runs(file: JournalFile, limit: int) -> list[PastRun]:
    """The last runs of all targets, the latest first."""
    sql = "SELECT target, ended_ms, status, summary FROM run ORDER BY id DESC LIMIT ?"
    rows = file.rows(sql, limit)
    with file.reading():
        return [PastRun(row[0], row[1], row[2], load_object(row[3], "a run")) for row in rows]


def last_delivered_ms(file: JournalFile) -> int:
    """When an observation for the target was last confirmed as stored; 0 if none is kept."""
    sql = (
        "SELECT coalesce(max(changed_ms), 0) FROM observation "
        "WHERE state = 'delivered' AND target = ?"
    )
    return int(file.value(sql, file.target))


def oldest_pending_ms(file: JournalFile) -> int:
    """The time of the target's oldest pending observation; 0 if there is none."""
    sql = "SELECT coalesce(min(time_ms), 0) FROM observation WHERE state = 'pending' AND target = ?"
    return int(file.value(sql, file.target))


def pending_elsewhere(file: JournalFile, since_ms: int = 0) -> dict[str, int]:
    """target -> pending observations, for other targets with at least one enqueued since then."""
    sql = (
        "SELECT target, count(*) FROM observation WHERE state = 'pending' AND target <> ? "
        "GROUP BY target HAVING max(changed_ms) >= ?"
    )
    return dict(file.rows(sql, file.target, since_ms))


def kept(file: JournalFile, since_ms: int) -> list[Kept]:
    """What was observed since then for all targets, delivered or pending, oldest first."""
    # An observation is delivered after it was observed, so the index on changed_ms can be used;
    # an hour for clocks that disagree.
    changed = "((state = 'delivered' AND changed_ms >= ?1 - 3600000) OR state = 'pending')"
    return _kept(file, f"{changed} AND time_ms >= ?1", since_ms)


def latest(file: JournalFile) -> list[Kept]:
    """The last observation of each place, delivered or pending, for all targets; several if some
    of its values were enqueued again by `rejected --retry`."""
    lasts = "SELECT place, max(time_ms) FROM observation WHERE state <> 'rejected' GROUP BY place"
    return _kept(file, f"state <> 'rejected' AND (place, time_ms) IN ({lasts})")


def _kept(file: JournalFile, condition: str, *values: int) -> list[Kept]:
    rows = file.rows(
        f"SELECT {OBSERVATION}, target, state FROM observation WHERE {condition} "  # noqa: S608
        "ORDER BY time_ms, version, id",
        *values,
    )
    with file.reading():
        return [Kept(row[-2], observation_of(row[:-2]), row[-1] == "pending") for row in rows]

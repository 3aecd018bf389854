"""What `check` looks at on this machine: settings, journal, lock, cron. Nothing is changed."""

import os
import shutil
import statistics
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from commands import crontab
from commands.command_line import COMMANDS
from commands.findings import (
    Finding,
    ago,
    failed_by,
    failure,
    fine,
    needs,
    span,
    two_parts,
    unknown,
    warning,
)
from commands.limit import Limit
from ingest.errors import IngestError, JournalError, Status
from ingest.journal.queue import Journal, PastRun
from ingest.journal.run_lock import holder
from ingest.settings.sources import DECLARED, HOME, PROGRAM, Sources

LITTLE_DISK_BYTES = 100 * 1024 * 1024

RUNS_SHOWN = 10

# A last run older than three times the usual pause, and than this, means that cron has stopped.
LONG_PAUSE_S = 3600


def check_settings(
    sources: Sources, secret: Mapping[str, str], unread: IngestError | None
) -> Finding:
    """Read all of them, and say which are set where; no value is shown.

    unread: why there is no secret, which has a finding of its own.
    """

    def read_secret(_: str) -> dict[str, str]:
        if unread:
            raise unread
        return dict(secret)

    with suppress(IngestError):  # all that it says stands in `problems`
        sources.settings(read_secret)
    problems = [each for each in sources.problems if each != str(unread)]
    if problems:
        fact = problems[0] if len(problems) == 1 else "; ".join(_numbered(problems))
        help_ = f"They are described in {HOME / 'config.example.env'}"
        return failure("settings", fact, help_, Status.CONFIG)
    return fine("settings", _set_where(sources))


def _numbered(problems: list[str]) -> list[str]:
    return [f"({number}) {problem.rstrip('.')}" for number, problem in enumerate(problems, 1)]


def _set_where(sources: Sources) -> str:
    names: dict[str, list[str]] = {}
    for name in DECLARED:
        for where, values in sources.layers:
            if values.get(name, "").strip() or (name in values and _counts_empty(name)):
                names.setdefault(where, []).append(name)
                break
    told = [f"from {where}: {', '.join(found)}" for where, found in names.items()]
    return "; ".join([*told, "all others by default"])


def _counts_empty(name: str) -> bool:
    return bool(DECLARED[name].metadata["local"])


def source_of(sources: Sources, *names: str) -> str:
    """Where the first of these names stands, in brackets; "" where nobody of ours knows."""
    for name in names:
        for where, values in sources.layers:
            if values.get(name):
                return f" ({name} from {where})"
    return ""


@dataclass
class JournalLook:
    """What is to be known of the journal. Times in epoch milliseconds; 0 is never."""

    findings: list[Finding] = field(default_factory=list)
    runs: list[PastRun] | None = None
    oldest_pending_ms: int = 0


def look_at_journal(path: Path | None, target: str, now_ms: int, within_s: float) -> JournalLook:
    """path: None where the journal is off. within_s: for the search for damage."""
    if path is None:
        fact = "off: what cannot be delivered in its run is lost"
        step = "Take WEATHER_JOURNAL=off away, unless that is what you want."
        return _nothing_known(warning("journal", fact, step))
    try:
        there = path.exists() and path.stat().st_size > 0
    except OSError as error:
        return _unusable(path, JournalError(f"{short(path)}: {error.strerror}"))
    if not there:
        return JournalLook([_place_for(path), fine("pending", "none"), fine("rejected", "none")])
    try:
        journal = Journal(path, target, read_only=True)
        try:
            return _look(journal, now_ms, within_s)
        finally:
            journal.close()
    except JournalError as error:
        return _unusable(path, error)


def _look(journal: Journal, now_ms: int, within_s: float) -> JournalLook:
    path = journal.path
    sound = journal.is_sound(within_s)
    if sound is False:
        raise JournalError(f"The journal {path}: SQLite finds damage in it.", corrupt=True)
    last_ms = journal.last_delivered_ms()
    facts = [
        short(path),
        f"last delivery {ago((now_ms - last_ms) / 1000)}" if last_ms else "nothing delivered yet",
        "no damage found" if sound else f"damage not found within {within_s:g} s",
    ]
    oldest_ms = journal.oldest_pending_ms()
    return JournalLook(
        [
            _with_disk(path, "; ".join(facts)),
            _pending(journal, oldest_ms, now_ms),
            _rejected(journal),
        ],
        journal.runs(RUNS_SHOWN),
        oldest_ms,
    )


def _place_for(path: Path) -> Finding:
    """Whether a journal can be made there, and has room."""
    return _with_disk(path, f"none yet at {short(path)}; the first run makes it")


def _with_disk(path: Path, fact: str) -> Finding:
    """The journal's finding: it can be written to, and how much room there is for it."""
    name = "journal"
    folder = next(each for each in path.parents if each.exists())
    if not folder.is_dir():
        step = "Set WEATHER_JOURNAL to a path in a folder."
        return failure(name, f"{short(folder)} is no folder", step, Status.IOERR)
    for needed in {folder, path} if path.exists() else {folder}:
        if not os.access(needed, os.W_OK):
            return failure(
                name,
                f"{fact}; this user may not write to {short(needed)}",
                "Run it as the user that cron runs it as, or let this one write there.",
                Status.IOERR,
            )
    free = shutil.disk_usage(folder).free
    fact = f"{fact}; {_size(free)} free"
    if free < LITTLE_DISK_BYTES:
        step = "Free space on its disk, or set WEATHER_JOURNAL to a path on another one."
        return warning(name, fact, step)
    return fine(name, fact)


def _unusable(path: Path, error: JournalError) -> JournalLook:
    step = ""
    if error.corrupt:
        step = (
            "The next run sets it aside and begins a new one. What is pending in it can be looked "
            f"for with: sqlite3 {path} .recover"
        )
    elif not two_parts(str(error))[1]:
        step = "Let this user read it, or run this as the user that cron runs it as."
    return _nothing_known(failed_by("journal", error, step))


def _nothing_known(found: Finding) -> JournalLook:
    other = "a journal that can be read"
    return JournalLook([found, needs("pending", other), needs("rejected", other)])


def _pending(journal: Journal, oldest_ms: int, now_ms: int) -> Finding:
    name = "pending"
    count = journal.count_pending()
    facts = []
    if count:
        oldest = ago((now_ms - oldest_ms) / 1000)
        facts.append(f"{count} observation{'s'[: count != 1]}, the oldest observed {oldest}")
    elsewhere = journal.pending_elsewhere()
    facts += [f"{each} for {target}, not this run's" for target, each in elsewhere.items()]
    if not facts:
        return fine(name, "none")
    step = "Nothing to do: the next run delivers them."
    if elsewhere:
        step = "A run with the settings of then delivers those that are not this run's."
    return warning(name, "; ".join(facts), step)


def _rejected(journal: Journal) -> Finding:
    name = "rejected"
    count = len(journal.rejected())
    if not count:
        return fine(name, "none")
    return failure(
        name,
        f"{count} record{'s'[: count != 1]} that Timestream refused",
        "See why: ingest_weather.py rejected (then --retry or --discard)",
        Status.DATAERR,
    )


def check_lock(path: Path | None, deadline_s: float, now_s: float) -> Finding:
    """path: the journal's. deadline_s: how long a run may take."""
    name = "run lock"
    if path is None:
        return needs(name, "a journal: without one, nothing keeps two runs apart")
    lock = path.with_name(f"{path.name}.lock")
    try:
        who = holder(lock)
    except JournalError as error:
        return failed_by(name, error)
    if not who:
        return fine(name, "free")
    fact = f"held by {who}"
    held_s = now_s - lock.stat().st_mtime
    if held_s > deadline_s + 60:
        return failure(
            name,
            f"{fact}: longer than a run may take ({span(deadline_s)})",
            "No run starts meanwhile. See what that process does, and end it.",
            Status.TEMPFAIL,
        )
    return warning(name, fact, "Nothing to do: a run is under way, and ends by itself.")


def check_cron(limit: Limit) -> Finding:
    """Whether this user's crontab runs this very program; of its line the schedule is shown."""
    name = "cron"
    if not shutil.which("crontab"):
        return unknown(name, "not checked: there is no crontab program here")
    try:
        found = limit.call(lambda: crontab.find(PROGRAM, COMMANDS), "while crontab -l was asked")
    except IngestError as error:
        return unknown(name, f"not checked: {two_parts(str(error))[0]}")
    if found.runs:
        return fine(name, f"runs it at {'; '.join(map(crontab.schedule_of, found.runs))}")
    return warning(
        name,
        f"no line of this user's crontab runs {PROGRAM}",
        "Unless something else runs it: ingest_weather.py setup --install-cron",
    )


def check_runs(runs: list[PastRun] | None, now_ms: int) -> Finding:
    """How the last ones ended, the latest first."""
    name = "last runs"
    if runs is None:
        return needs(name, "a journal with a run in it")
    if not runs:
        return unknown(name, "none ended yet")
    pause_s = (now_ms - runs[0].ended_ms) / 1000
    statuses = " ".join(str(run.status) for run in runs)
    fact = f"the last one ended {ago(pause_s)}; statuses, latest first: {statuses}"
    ends_ms = [run.ended_ms for run in runs]
    pauses_s = [(later - earlier) / 1000 for later, earlier in pairwise(ends_ms)]
    usual_s = statistics.median(pauses_s) if pauses_s else 0
    if pause_s > max(LONG_PAUSE_S, 3 * usual_s):
        return warning(name, fact, "See whether cron still runs it, and what it mailed.")
    if runs[0].status:
        meaning = next((each.meaning for each in Status if each == runs[0].status), "unknown")
        return warning(name, fact, f"{runs[0].status}: {meaning}. Its mail or log says more.")
    return fine(name, fact)


def short(path: Path) -> str:
    """With ~ for the home folder, as it is written in the settings."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"

"""What `check` looks at on this machine: settings, journal, lock, cron. Nothing is changed."""

import os
import shutil
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

from commands import crontab
from commands.check.findings import FAILED, OK, UNKNOWN, WARNING, Finding, NeedError, failed_by
from commands.check.known import Known
from commands.command_line import COMMANDS
from commands.terminal import ago, span
from ingest.deadline import Task
from ingest.errors import IngestError, JournalError, SettingsError, Status
from ingest.journal import history
from ingest.journal.damage import is_sound
from ingest.journal.queue import FileQueue
from ingest.journal.rejected import rejected as rejected_entries
from ingest.journal.run_lock import holder, lock_path
from ingest.journal.schema import JournalFile
from ingest.reporting.text import plural
from ingest.settings import DECLARED, HOME, PROGRAM
from timestream_writer import target_of

LITTLE_DISK_BYTES = 100 * 1024 * 1024

# Cron has stopped if the last run is older than this, and than three times the usual pause.
LONG_PAUSE_S = 3600


def settings(known: Known) -> Finding:
    """Which are set where; no value is shown."""
    is_unread = "secret" in known.lacking  # which has a finding of its own
    problems = known.sources.problems(SettingsError("unread") if is_unread else None)
    if problems:
        if len(problems) > 1:
            problems = [f"({n}) {problem.rstrip('.')}" for n, problem in enumerate(problems, 1)]
        step = f"Each is described in {HOME / 'config.example.env'}"
        return Finding(FAILED, "; ".join(problems), step, Status.CONFIG)
    names: dict[str, list[str]] = {}
    for name in DECLARED:
        names.setdefault(known.source_of(name), []).append(name)
    names.pop("", None)
    sources = [f"from {where}: {', '.join(found)}; " for where, found in names.items()]
    return Finding(OK, f"{''.join(sources)}all others have their defaults")


@dataclass(frozen=True)
class JournalFacts:
    """state: of the file as a whole. error: why no more is known. oldest_pending_ms: 0 for none.

    runs: the latest first; None if there is no file that can be read.
    """

    state: str = ""
    error: JournalError | None = None
    oldest_pending_ms: int = 0
    pending: int = 0
    pending_elsewhere: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    runs: list[history.PastRun] | None = None


@cache
def journal_facts(known: Known) -> JournalFacts:
    path = known.sources.early("WEATHER_JOURNAL")
    if not path:
        return JournalFacts()
    target, within_s = target_of(known.region, *known.table_names), known.local_call().seconds
    try:
        if not path.exists() or not path.stat().st_size:
            return JournalFacts(f"none yet at {short(path)}; the first run creates it")
        with closing(JournalFile(path, target, read_only=True)) as journal:
            sound = is_sound(journal.db, path, within_s)
            if sound is False:
                raise JournalError(f"SQLite finds damage in the journal {path}.", corrupt=True)
            damage = "no damage found" if sound else f"damage check stopped at {within_s:g} s"
            last_ms = history.last_delivered_ms(journal)
            delivered = f"last delivery {ago(last_ms)}" if last_ms else "nothing delivered yet"
            return JournalFacts(
                state=f"{short(path)}; {delivered}; {damage}",
                oldest_pending_ms=history.oldest_pending_ms(journal),
                pending=FileQueue(journal).count_pending(),
                pending_elsewhere=history.pending_elsewhere(journal),
                rejected=len(rejected_entries(journal)),
                runs=history.runs(journal, 10),
            )
    except JournalError as error:
        return JournalFacts(error=error)
    except OSError as error:
        advice = "Let this user read it, or check as the user of the cron job."
        return JournalFacts(error=JournalError(f"{short(path)}: {error.strerror}.", advice))


def journal(known: Known) -> Finding:
    from rich import filesize

    path, facts = known.sources.early("WEATHER_JOURNAL"), journal_facts(known)
    if path is None or facts.error:
        known.lacking["journal"] = "a journal that can be read"
    if path is None:
        step = "To keep such observations, remove WEATHER_JOURNAL=off."
        return Finding(WARNING, "off: an observation that its run cannot deliver is lost", step)
    if facts.error and facts.error.corrupt:
        step = "The next run quarantines it and starts a new one. To see what was pending:"
        return replace(failed_by(facts.error), next_step=f"{step} sqlite3 {path} .recover")
    if facts.error:
        raise facts.error
    folder = next(each for each in path.parents if each.exists())
    if not folder.is_dir():
        step = "Set WEATHER_JOURNAL to a path in a folder."
        return Finding(FAILED, f"{short(folder)} is not a folder", step, Status.IOERR)
    for needed in (folder, path):
        if needed.exists() and not os.access(needed, os.W_OK):
            fact = f"{facts.state}; this user cannot write to {short(needed)}"
            step = "Check as the user of the cron job, or let this user write there."
            return Finding(FAILED, fact, step, Status.IOERR)
    free = shutil.disk_usage(folder).free
    fact = f"{facts.state}; {filesize.decimal(free)} free"
    if free >= LITTLE_DISK_BYTES:
        return Finding(OK, fact)
    step = "Free disk space, or set WEATHER_JOURNAL to a path on another disk."
    return Finding(WARNING, fact, step)


def pending(known: Known) -> Finding:
    journal = journal_facts(known)
    step, facts = "Nothing to do: the next run delivers them.", []
    if journal.pending:
        oldest = ago(journal.oldest_pending_ms)
        facts = [f"{plural(journal.pending, 'observation')}, the oldest observed {oldest}"]
    for target, count in journal.pending_elsewhere.items():
        facts.append(f"{count} for another target, {target}")
        step = "To deliver those for another target, run once with its settings."
    return Finding(WARNING, "; ".join(facts), step) if facts else Finding(OK, "none")


def rejected(known: Known) -> Finding:
    count = journal_facts(known).rejected
    if not count:
        return Finding(OK, "none")
    step = "See why: ingest_weather.py rejected (then --retry or --discard)"
    fact = f"{plural(count, 'record')} that Timestream rejected"
    return Finding(FAILED, fact, step, Status.DATAERR)


def run_lock(known: Known) -> Finding:
    path = known.sources.early("WEATHER_JOURNAL")
    if path is None:
        raise NeedError("a journal; without one, two runs can overlap")
    lock = lock_path(path)
    who = holder(lock)
    if not who:
        return Finding(OK, "free")
    deadline_s = known.sources.seconds("WEATHER_DEADLINE_SECONDS")
    if time.time() - lock.stat().st_mtime > deadline_s + 60:
        fact = f"held by {who}: longer than a run may take ({span(deadline_s)})"
        step = "No run starts until that process ends. If it hangs, stop it."
        return Finding(FAILED, fact, step, Status.TEMPFAIL)
    step = "Nothing to do: a run is under way and ends by itself."
    return Finding(WARNING, f"held by {who}", step)


def cron(known: Known) -> Finding:
    """Does this user's crontab run this very program? Only the schedule of its line is shown."""
    if not shutil.which("crontab"):
        return Finding(UNKNOWN, "not checked: this machine has no crontab program")
    task = Task(lambda: crontab.find(PROGRAM, COMMANDS), "before crontab -l answered")
    try:
        found = task.result(known.local_call())
    except IngestError as error:
        return Finding(UNKNOWN, f"not checked: {failed_by(error).fact}")
    if found.runs:
        return Finding(OK, f"runs it at {'; '.join(map(crontab.schedule_of, found.runs))}")
    step = "If nothing else starts it: ingest_weather.py setup --install-cron"
    return Finding(WARNING, f"no line in this user's crontab runs {PROGRAM}", step)


def last_runs(known: Known) -> Finding:
    past = journal_facts(known).runs
    if past is None:
        raise NeedError("a journal with a run in it")
    if not past:
        return Finding(UNKNOWN, "no run has ended yet")
    last, numbers = past[0], " ".join(str(run.status) for run in past)
    fact = f"the last run ended {ago(last.ended_ms)}; statuses, latest first: {numbers}"
    ends_s = [time.time(), *(run.ended_ms / 1000 for run in past)]
    pause_s, *pauses_s = (later - earlier for later, earlier in pairwise(ends_s))
    if pause_s > max(LONG_PAUSE_S, 3 * statistics.median(pauses_s or [0])):
        step = "Check whether cron is running, and read its mails."
        return Finding(WARNING, fact, step)
    if last.status:
        meaning = next(each.meaning for each in Status if each == last.status)
        return Finding(WARNING, fact, f"{last.status}: {meaning}. Its mail or log says more.")
    return Finding(OK, fact)


def short(path: Path) -> str:
    """With ~ for the home folder, as it is written in the settings."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)

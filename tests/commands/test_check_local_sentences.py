"""Each sentence of `check` about this machine, in the state that prints it."""

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from commands import crontab
from commands.check import local
from commands.check.known import Known
from ingest.deadline import Deadline, epoch_ms
from ingest.destination import Kind, Rejection
from ingest.errors import SettingsError
from ingest.journal.history import end_run
from ingest.journal.queue import FileQueue
from ingest.journal.run_lock import RunLock, lock_path
from ingest.journal.schema import JournalFile
from ingest.settings import HOME, PROGRAM
from tests.commands.test_check_sentences import RETRY, assert_said, known_with, said
from tests.support.journals import observed

TARGET = "us-east-1/our_db.our_tab"


def write_journal(path: Path, target: str = TARGET, statuses: Sequence[int] = ()) -> None:
    """An observation is pending, a value is rejected, both 3 hours old; runs have ended."""
    then = epoch_ms() - 170 * 60_000
    with closing(JournalFile(path, target)) as journal:
        queue, seen = FileQueue(journal), observed(time_ms=then)
        (entry,) = queue.enqueue([seen], then)
        rejection = Rejection(seen, "Humidity", Kind.RECORD, "no reason")
        queue.acknowledge([entry], {entry.id: [rejection]}, then)
        queue.enqueue([observed(time_ms=then + 1)], then)
        for number, status in enumerate(statuses):
            end_run(journal, status, "{}", then + number)


def test_a_journal_becomes_these_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    path, file, damaged = tmp_path / "journal", tmp_path / "file", tmp_path / "damaged"
    write_journal(path)
    file.write_text("not a folder")
    damaged.write_bytes(b"not a journal any more " * 1000)

    def journal(setting: str | Path) -> str:
        return said(known_with(Path(setting)), local.journal)

    free = "Free disk space, or set WEATHER_JOURNAL to a path on another disk."
    got = {
        "off": journal("off"),
        "none yet": journal(tmp_path / "none"),
        "sound": journal(path),
        "in a file": journal(file / "journal"),
        "damaged": journal(damaged).partition(" -> ")[2],
    }
    monkeypatch.setattr(os, "access", lambda *_: False)
    got["read-only"] = journal(path).partition("; this")[2]
    assert_said(
        {
            "off": "warn off: an observation that its run cannot deliver is lost -> "
            "To keep such observations, remove WEATHER_JOURNAL=off.",
            "none yet": "warn none yet at ~/none; the first run creates it; 5.0 MB free -> " + free,
            "sound": "warn ~/journal; last delivery 3 h ago; no damage found; 5.0 MB free -> "
            + free,
            "in a file": "FAIL ~/file is not a folder -> "
            "Set WEATHER_JOURNAL to a path in a folder.",
            "damaged": "The next run quarantines it and starts a new one. "
            f"To see what was pending: sqlite3 {damaged} .recover",
            "read-only": " user cannot write to ~/. -> "
            "Check as the user of the cron job, or let this user write there.",
        },
        got,
    )


def test_what_the_journal_holds_becomes_these_sentences(tmp_path: Path) -> None:
    full, empty, foreign = (known_with(tmp_path / name) for name in ("full", "empty", "foreign"))
    write_journal(tmp_path / "full", statuses=(0, 75))
    JournalFile(tmp_path / "empty", TARGET).close()
    write_journal(tmp_path / "foreign", "us-east-1/other.table")
    meaning = (
        "not everything could be delivered now, or another run is under way; the next run delivers"
    )
    assert_said(
        {
            "pending": "warn 1 observation, the oldest observed 3 h ago -> "
            "Nothing to do: the next run delivers them.",
            "for another": "warn 1 for another target, us-east-1/other.table -> "
            "To deliver those for another target, run once with its settings.",
            "nothing pending": "ok none",
            "rejected": "FAIL 1 record that Timestream rejected -> "
            "See why: ingest_weather.py rejected (then --retry or --discard)",
            "nothing rejected": "ok none",
            "stopped": "warn the last run ended 3 h ago; statuses, latest first: 75 0 -> "
            "Check whether cron is running, and read its mails.",
            "no run": "- no run has ended yet",
            "no journal": "- not checked: needs a journal with a run in it",
        },
        {
            "pending": said(full, local.pending),
            "for another": said(foreign, local.pending),
            "nothing pending": said(empty, local.pending),
            "rejected": said(full, local.rejected),
            "nothing rejected": said(empty, local.rejected),
            "stopped": said(full, local.last_runs),
            "no run": said(empty, local.last_runs),
            "no journal": said(known_with(tmp_path / "none"), local.last_runs),
        },
    )
    with closing(JournalFile(tmp_path / "empty", TARGET)) as journal:
        end_run(journal, 75, "{}", epoch_ms())
    failed = said(known_with(tmp_path / "empty"), local.last_runs)
    assert failed.partition(" -> ")[2] == f"75: {meaning}. Its mail or log says more."


def test_a_lock_becomes_these_sentences(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    known = known_with(path)
    got = {"free": said(known, local.run_lock)}
    lock = RunLock(path, epoch_ms())
    held = lock_path(path)
    got["held"] = said(known, local.run_lock)
    os.utime(held, (0, 0))
    got["too long"] = said(known, local.run_lock)
    lock.release()
    got["off"] = said(known_with(Path("off")), local.run_lock)
    who = got["held"].removeprefix("warn held by ").partition(" -> ")[0]
    assert who.startswith(f"pid {os.getpid()}")
    assert_said(
        {
            "free": "ok free",
            "held": f"warn held by {who} -> Nothing to do: a run is under way and ends by itself.",
            "too long": f"FAIL held by {who}: longer than a run may take (2 min) -> "
            "No run starts until that process ends. If it hangs, stop it.",
            "off": "- not checked: needs a journal; without one, two runs can overlap",
        },
        got,
    )


def test_a_crontab_becomes_these_sentences(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    def cron(lines: list[bytes] | Exception, program: str | None = "/bin/crontab") -> str:
        def find(*_: object) -> crontab.Found:
            if isinstance(lines, Exception):
                raise lines
            return crontab.Found(lines, [*range(len(lines))], [])

        monkeypatch.setattr(shutil, "which", lambda _: program)
        monkeypatch.setattr(crontab, "find", find)
        return said(known, local.cron)

    assert_said(
        {
            "runs": "ok runs it at 3-59/10 * * * *; @hourly",
            "does not": f"warn no line in this user's crontab runs {PROGRAM} -> "
            "If nothing else starts it: ingest_weather.py setup --install-cron",
            "no program": "- not checked: this machine has no crontab program",
            "fails": "- not checked: crontab -l failed.",
        },
        {
            "runs": cron([b"3-59/10 * * * * x\n", b"@hourly x\n"]),
            "does not": cron([]),
            "no program": cron([], None),
            "fails": cron(SettingsError("crontab -l failed.")),
        },
    )


def test_settings_become_these_sentences(tmp_path: Path) -> None:
    fine, wrong = (known_with(tmp_path / "x", WEATHER_UNITS=u) for u in ("metric", "furlongs"))
    names = (
        "OPENWEATHERMAP_API_KEY, WEATHER_UNITS, TIMESTREAM_DATABASE, TIMESTREAM_TABLE, "
        "WEATHER_JOURNAL"
    )
    assert said(fine, local.settings) == (
        f"ok from the environment: {names}; all others have their defaults"
    )
    advice = said(wrong, local.settings).partition(" -> ")[2]
    assert advice == f"Each is described in {HOME / 'config.example.env'}"


def test_a_limit_that_passes_becomes_this_sentence(known: Known) -> None:
    error = known.one_call().error("before it was answered")
    assert (error.what, error.advice) == (
        "The time limit of 10 seconds (WEATHER_TIMEOUT_SECONDS) ended before it was answered.",
        RETRY,
    )
    known.deadline = Deadline(1)
    assert "of 1 seconds (WEATHER_DEADLINE_SECONDS) ended" in known.one_call().error("x").what


@pytest.fixture
def known(tmp_path: Path) -> Known:
    return known_with(tmp_path / "journal")

"""Each sentence of settings, places, the journal and a run, in the state that says it."""

import os
import re
import sqlite3
import sys
import threading
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pycurl
import pytest
from botocore.exceptions import ClientError

from commands.run import Result, _print
from ingest import pipeline
from ingest import run as run_module
from ingest.deadline import Deadline
from ingest.delivery import Delivery
from ingest.destination import Kind, Outcome, Rejection
from ingest.errors import DeliveryError, IngestError, JournalError, Status, ThrottledError
from ingest.journal.damage import UnreadableRowError, journal_errors, quarantine
from ingest.journal.fallback import RunJournal
from ingest.journal.queue import FileQueue
from ingest.journal.rows import load_object, observation_of
from ingest.journal.run_lock import RunLock, lock_path
from ingest.journal.schema import SCHEMA_VERSION, JournalFile
from ingest.observation import Observation, describe_reading, describe_value
from ingest.places import read_places
from ingest.reporting import healthcheck
from ingest.reporting.logs import RunLog
from ingest.reporting.observer import Observer, report_error
from ingest.reporting.rejections import describe_rejections
from ingest.reporting.summary import Summary
from ingest.settings import converters, fields, read_sources
from ingest.settings.env_file import read_env_file
from ingest.settings.secret import fetch_secret, parse_secret
from tests.commands.test_check_sentences import assert_said
from tests.support.destinations import FakeDestination, unexpected
from tests.support.journals import LONDON, PARIS, T0_MS, TARGET, observed, opened, series
from tests.support.settings import settings_of

KEY = "OPENWEATHERMAP_API_KEY"


def said(call: Callable[[], object]) -> str:
    """The message that the call ends with."""
    with pytest.raises((IngestError, UnreadableRowError, ValueError)) as ended:
        call()
    return str(ended.value)


def logged(call: Callable[[RunLog], object]) -> str:
    """Level and message of what the call logs."""
    log = RunLog()
    log.setLevel("INFO")
    call(log)
    return re.sub(rf"(?m)^\S+ (\w+) +{log.run_id} ", r"\1 ", log.recent_lines())


def test_a_wrong_value_becomes_these_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_: Path) -> Path:
        raise RuntimeError

    def read_journal(value: str) -> object:
        return converters.read_journal(value, {})

    monkeypatch.setattr(Path, "expanduser", no_home)
    one_of, up_to = converters.one_of(("a", "b")), converters.up_to(32)
    no_url = "it is not an https:// URL without user name, query and fragment"
    http = "http:// would send it unencrypted: use https:// (http on loopback)"
    wrong: dict[str, tuple[Callable[[str], object], str]] = {
        "\n": (converters.read_text, "it has characters that cannot be printed"),
        "a b": (converters.read_api_key, "a key is printable ASCII without spaces"),
        "ab": (converters.read_name, "'ab' is not 3 to 256 letters, digits, '_', '.' or '-'"),
        "c": (one_of, "'c' is not one of a, b"),
        "0": (up_to, "'0' is not a whole number from 1 to 32"),
        "many": (converters.read_days, "'many' is not a number of days"),
        "soon": (converters.read_seconds, "'soon' is not a number of seconds"),
        "1e6": (converters.read_seconds, "'1e6' is not between 0 and 86400 seconds"),
        "ftp://x": (converters.read_url, no_url),
        "https://x:99999": (converters.read_url, "it is not a URL: Port out of range 0-65535"),
        "http://example.com": (converters.read_url, http),
        "Humidty,Qqqq": (
            converters.read_measures,
            "there is no measure Humidty: did you mean Humidity? there is no measure Qqqq.",
        ),
        ",": (converters.read_measures, "it names no measure"),
        "~/journal": (read_journal, "this user has no home folder: write an absolute path"),
    }
    got = {value: said(partial(read, value)) for value, (read, _) in wrong.items()}
    assert_said({value: sentence for value, (_, sentence) in wrong.items()}, got)
    monkeypatch.undo()
    relative = "'here' is neither the absolute path of a file nor 'off'"
    assert said(lambda: read_journal("here")) == relative


def test_settings_become_these_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "HOME", tmp_path)  # without the .env of whoever runs the tests
    file = tmp_path / "env"
    file.write_text("LOG_LEVEL=INFO\n")
    given, unread = {KEY: "key"}, DeliveryError("Secrets Manager is away.", "Try again.")

    def settings(environ: dict[str, str], secret: dict[str, str] | None = None) -> str:
        sources = read_sources(environ, file if KEY not in environ else None)
        message = said((sources if secret is None else sources.with_secret("s", secret)).settings)
        return message.removeprefix("The settings are wrong: ")

    nowhere = f"{KEY} is missing: it is not in the environment, nor in {file}"
    units = "is not one of standard, metric, imperial."
    two = {**given, "WEATHER_UNITS": "x", "LOG_FORMAT": "xml"}
    assert_said(
        {
            "wrong": f"WEATHER_UNITS (from the secret 's'): 'x' {units}",
            "two": "The settings have 2 problems:\n"
            f"  - WEATHER_UNITS (from the environment): 'x' {units}\n"
            "  - LOG_FORMAT (from the environment): 'xml' is not one of text, json.",
            "no answer": "The settings have 2 problems:\n"
            "  - the environment has an unknown setting WEATHER_UNIT: did you mean WEATHER_UNITS?\n"
            "  - Secrets Manager is away. Try again.",
            "unknown": r"the secret 's' has an unknown setting INFLUXDB_\u202e1.",
            "local": "WEATHER_JOURNAL is in the secret 's'; move it to the environment or .env.",
            "no key": f"{nowhere}, nor in the secret 's'. Add it to the secret's JSON object, "
            f'{{"{KEY}": "..."}}, or type: ingest_weather.py setup',
            "no secret": f"{nowhere}. Set it in the environment or .env.",
        },
        {
            "wrong": settings({**given, "WEATHER_UNITS": " "}, {"WEATHER_UNITS": "x"}),
            "two": settings(two),
            "no answer": said(lambda: read_sources({"WEATHER_UNIT": "x"}).settings(unread)),
            "unknown": settings(given, {"INFLUXDB_\u202e1": "x"}),
            "local": settings(given, {"WEATHER_JOURNAL": "off"}),
            "no key": settings({"HOME": "/"}, {"other": "x"}),
            "no secret": settings({"WEATHER_SECRET_ID": ""}),
        },
    )
    one = "The settings are wrong: WEATHER_SECRET_ID (from the environment): it has characters "
    one += "that cannot be printed."
    assert said(read_sources({**given, "WEATHER_SECRET_ID": "a\nb"}).settings) == one


def test_an_env_file_becomes_these_sentences(tmp_path: Path) -> None:
    path, pipe, none = tmp_path / "env", tmp_path / "pipe", tmp_path / "none"
    os.mkfifo(pipe)
    broken = {
        b"A=\xff": f"{path} is not UTF-8 (byte 2).",
        b"A=\0": f"{path} contains a NUL character: it is not a text file.",
        b"A=1\nno setting\n": f"{path}, line 2: write NAME=value.",
        b"'A=B'=1\n": f"{path}: 'A=B' is not a name.",
    }
    for content, sentence in broken.items():
        path.write_bytes(content)
        assert read_env_file(path) == ({}, [sentence])
    assert read_env_file(pipe) == ({}, [f"{pipe} is not a file."])
    assert read_env_file(none) == ({}, [f"{none} cannot be read: No such file or directory."])


def test_a_secret_becomes_these_sentences() -> None:
    def fetched(answer: Callable[[], object], seconds: float = 60) -> str:
        events = SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None)
        meta = SimpleNamespace(events=events)
        client = SimpleNamespace(meta=meta, get_secret_value=lambda **_: answer())
        aws: Any = SimpleNamespace(
            region="us-east-1", secrets_manager=lambda: client, within=lambda _: nullcontext()
        )
        return said(lambda: fetch_secret(aws, "s", Deadline(seconds)))

    def absent() -> None:
        raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "No."}}, "x")

    reading, over = "Reading the secret 's' from Secrets Manager", threading.Event()
    no_object = "The secret 's' is not a JSON object. Store one such as "
    assert_said(
        {
            "absent": f"{reading} in region us-east-1 failed: ResourceNotFoundException: No. Check "
            "WEATHER_SECRET_ID and the region, or make the secret: ingest_weather.py setup",
            "cut off": f"{reading} failed: the answer was cut off. The next run tries again.",
            "late": "The run's 0 seconds (WEATHER_DEADLINE_SECONDS) were over while reading the "
            "secret 's' from Secrets Manager.",
            "no JSON": f'{no_object}{{"{KEY}": "..."}}.',
            "odd value": f"In the secret 's', {KEY} is neither a string nor a number.",
        },
        {
            "absent": fetched(absent),
            "cut off": fetched(dict),
            "late": fetched(over.wait, seconds=0),
            "no JSON": said(lambda: parse_secret("key", "s")),
            "odd value": said(lambda: parse_secret(f'{{"{KEY}": []}}', "s")),
        },
    )
    over.set()


def test_places_become_these_sentences(tmp_path: Path) -> None:
    path, pipe = tmp_path / "places", tmp_path / "pipe"
    os.mkfifo(pipe)
    path.write_bytes(b"# one\nAtlantis # sunk\nZ\xfcrich,CH\n")
    globe = "'91,0' is outside -90..90 degrees of latitude or -180..180 of longitude"
    forms = (
        "'Atlantis' is not a place: write City,CC with the country's two letters (London,GB), a "
        "city id (2643743), lat,lon (51.5085,-0.1257) or zip:CODE,CC"
    )
    sentences = {
        "Atlantis": forms,
        "91,0": globe,
        "Lon\x00don,GB": r"'Lon\x00don,GB' has characters that cannot be printed",
        ";": "it names no place",
        "@places": f"{path}, line 2: {forms}; {path}, line 3 is not UTF-8",
        "@pipe": f"{pipe} is not a file",
        "@": f"{tmp_path} cannot be read: Is a directory",
        "@~no-such-user/x": "@~no-such-user/x cannot be read: there is no such home folder",
        ";".join(["91,0"] * 12): "; ".join([*[globe] * 10, "and 2 more"]),
    }
    got = {value: said(partial(read_places, value, tmp_path)) for value in sentences}
    assert_said(sentences, got)
    path.write_text("Paris,FR\n")
    duplicates = {
        "1;1;Paris,FR;paris,fr": "1; paris,fr",
        "Paris,FR;@places": f"Paris,FR ({path}, line 1)",
        "@places;Paris,FR": f"Paris,FR (first: {path}, line 1)",
        "@places;@places": f"Paris,FR ({path}, line 1; first: {path}, line 1)",
        ";".join(["1", *["1"] * 12]): f"{'1; ' * 10}and 2 more",
    }
    found = {value: read_places(value, tmp_path).duplicates for value in duplicates}
    assert_said(duplicates, found)


def test_a_value_is_described_like_this() -> None:
    at = "at 2020-11-08T21:29:36Z (1604870976000)"
    value, reading = describe_value(observed(), "Humidity"), describe_reading("Odd", "1", {}, T0_MS)
    assert value == f"Humidity=93 city=London country=GB city_id=2643743 {at}"
    assert reading == f"Odd=1 {at}"


def test_a_status_means_this() -> None:
    assert_said(
        {
            "OK": "all that was fetched is stored (or was already)",
            "USAGE": "wrong usage of the command line",
            "DATAERR": "Timestream rejected records; each is named on standard error and kept",
            "UNAVAILABLE": "weather could not be fetched for some places; the rest was stored",
            "SOFTWARE": "a bug; the traceback is shown",
            "IOERR": "the journal is unusable (full disk, read-only, corrupt); the weather was "
            "delivered anyway",
            "TEMPFAIL": "not everything could be delivered now, or another run is under way; the "
            "next run delivers",
            "NOPERM": "AWS or OpenWeatherMap refuses the credentials",
            "CONFIG": "settings, secret, database or table are missing or wrong",
        },
        {status.name: status.meaning for status in Status},
    )


def delivery_of(deadline: Deadline, log: RunLog, *seen: Observation) -> Delivery:
    journal, summary = RunJournal(None, TARGET, unexpected), Summary("x")
    delivery = Delivery(
        FakeDestination(), journal, deadline, log, summary, unexpected, lambda: T0_MS
    )
    delivery.add(journal.enqueue(seen, T0_MS))
    return delivery


def test_the_end_of_a_runs_time_becomes_these_sentences() -> None:
    def finished(*, prepared: bool) -> str:
        with closing(delivery_of(Deadline(0), RunLog(), observed())) as delivery:
            delivery._preparing = cast(Any, SimpleNamespace(done=lambda: prepared))
            delivery.finish()
        return str(delivery.failure)

    stopped = Deadline(60)
    stopped.stop("SIGTERM")
    over = "seconds (WEATHER_DEADLINE_SECONDS) were over while"
    assert_said(
        {
            "late": f"The run's 2.5 {over} testing.",
            "stopped": "SIGTERM ended the run while testing.",
            "writing": f"The run's 0 {over} memory.table was written.",
            "preparing": f"The run's 0 {over} the endpoint of memory.table was looked up.",
        },
        {
            "late": str(Deadline(2.5).error("while testing")),
            "stopped": str(stopped.error("while testing")),
            "writing": finished(prepared=True),
            "preparing": finished(prepared=False),
        },
    )


def test_an_unusable_journal_becomes_these_sentences(tmp_path: Path) -> None:
    path = tmp_path / "journal"

    def failed(name: str) -> str:
        error = sqlite3.OperationalError("it failed")
        error.sqlite_errorname = f"SQLITE_{name}"
        return said(lambda: raise_in(error))

    def raise_in(error: Exception) -> None:
        with journal_errors(path):
            raise error

    write = "Let this user write to its folder, or set WEATHER_JOURNAL to a path that it can write."
    free = "Free space on its disk, or set WEATHER_JOURNAL to a path on another one."
    close = "Close the other program that uses the file."
    advice = {
        **dict.fromkeys(["FULL", "IOERR_WRITE"], free),
        **dict.fromkeys(["BUSY", "LOCKED_SHAREDCACHE"], close),
        **dict.fromkeys(["CORRUPT_INDEX", "NOTADB"], "The file is damaged."),
        **dict.fromkeys(["READONLY", "CANTOPEN", ""], write),
    }
    got = {name: failed(name) for name in advice}
    got["system"] = said(lambda: raise_in(PermissionError(13, "Permission denied")))
    got["row"] = said(lambda: raise_in(UnreadableRowError("row 7 is odd")))
    path.touch()
    got["renamed"] = str(quarantine(path, JournalError("It is damaged."), T0_MS))
    aside = f"{path}.corrupt-2020-11-08T21:29:36Z"
    assert_said(
        {
            **{name: f"The journal {path}: it failed. {text}" for name, text in advice.items()},
            "system": f"The journal {path}: Permission denied. {write}",
            "row": f"The journal {path}: row 7 is odd. The file is damaged.",
            "renamed": f"It is damaged. It was renamed to {aside}, and a new journal was started. "
            f"To look for what was pending in it: sqlite3 {aside} .recover",
        },
        got,
    )


def test_a_journal_of_others_becomes_these_sentences(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    JournalFile(path).close()
    refused = {
        "user_version = 99": "was made by a newer version of this program (schema 99, this one "
        f"knows {SCHEMA_VERSION}). Install the newer one, or set WEATHER_JOURNAL to another path.",
        "user_version = 2": "was made by an older version of this program (schema 2). The next run "
        "brings it up to date.",
        "application_id = 5": "is another program's SQLite file. It was not changed. Set "
        "WEATHER_JOURNAL to a path of its own.",
    }
    got = {}
    for pragma in refused:
        with opened(path) as db:
            db.execute(f"PRAGMA {pragma}")
        got[pragma] = said(lambda: JournalFile(path, read_only=True))
    assert_said({name: f"The journal {path} {text}" for name, text in refused.items()}, got)


def test_a_row_that_cannot_be_read_becomes_these_sentences() -> None:
    row = (7, "London,GB", "", "", "London", "GB", 1, T0_MS, T0_MS, "{}", None, None)
    odd = (*row[:9], '{"Odd":"1"}', *row[10:])
    assert said(lambda: observation_of((*row[:7], -1, *row[8:]))) == "row 7 is not an observation"
    assert said(lambda: observation_of(odd)) == 'row 7 has \'{"Odd":"1"}\' instead of measures'
    assert said(lambda: load_object("[]", "a run")) == "a run has '[]' instead of a JSON object"


def test_a_lock_becomes_these_sentences(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    lock, got = RunLock(path, T0_MS), []
    for text in (lock_path(path).read_text(), ""):
        lock_path(path).write_text(text)
        got.append(said(lambda: RunLock(path, T0_MS)))
    lock.release()
    under_way = f"Another run is under way ({{}}; lock {path}.lock). This one did nothing. "
    under_way += "The next run continues."
    named = f"pid {os.getpid()}, since 2020-11-08T21:29:36Z"
    starting = "a process that is just starting"
    assert got == [under_way.format(named), under_way.format(starting)]


def test_a_run_logs_these_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.Pipeline, "run", lambda *_: None)
    off = settings_of(WEATHER_JOURNAL="off", WEATHER_PLACES="1;1")
    pending = RunJournal(None, TARGET, unexpected)
    pending.enqueue([observed()], T0_MS)
    path = tmp_path / "journal"
    for target, count in (("us-east-1/a.b", 1), ("us-east-1/c.d", 2)):
        with closing(JournalFile(path, target)) as file:
            FileQueue(file).enqueue(series(count), T0_MS)
    elsewhere = RunJournal(path, TARGET, unexpected)

    def run(log: RunLog) -> None:
        summary = run_module._begin(off, Observer(log))
        destination, deadline = FakeDestination(), Deadline(60)
        run_module._run(off, destination, deadline, Observer(log), summary, lambda: T0_MS)

    def end(journal: RunJournal) -> str:
        with closing(journal):
            observer = Observer
            return logged(
                lambda log: run_module._end(journal, observer(log), Summary("x"), 0, T0_MS)
            )

    def throttled(log: RunLog) -> None:
        with closing(delivery_of(Deadline(60), log, observed())) as delivery:
            delivery._backlog_is_read = True
            delivery._refill()
            batch = delivery._next_batch(all_fetched=True)
            delivery._take(batch, Outcome(failure=ThrottledError("Slow down.")))

    assert_said(
        {
            "off": "WARNING These places are configured twice, and fetched once: 1.\n"
            "WARNING WEATHER_JOURNAL is off: observations that cannot be delivered in this run are "
            "lost.",
            "lost": "ERROR Lost, because there is no usable journal: 1 observation.",
            "elsewhere": "WARNING 1 observation waits for a run that writes to us-east-1/a.b.\n"
            "WARNING 2 observations wait for a run that writes to us-east-1/c.d.",
            "throttled": "INFO Memory throttles writes: now 1 call at once.",
            "small plan": "100 places need 100 calls; OPENWEATHERMAP_CALLS_PER_MINUTE=40 allows 80 "
            "in a run of 61 s (2 x 40), so it takes 2 runs to fetch each place once; the places "
            "that have waited longest come first. Configure fewer places, a higher plan, or a "
            "longer WEATHER_DEADLINE_SECONDS.",
        },
        {
            "off": logged(run),
            "lost": end(pending),
            "elsewhere": end(elsewhere),
            "throttled": logged(throttled),
            "small plan": pipeline.small_plan(100, 40, 61),
        },
    )


def test_what_ends_a_run_becomes_these_sentences() -> None:
    def reported(error: Exception) -> str:
        return logged(lambda log: report_error(log, error))

    missing = f"ERROR boto3 is not installed for {sys.executable}: run it with the Python of its "
    missing += ".venv, or pip install -r requirements.txt."
    assert reported(DeliveryError("It failed.", "Try again.")) == "ERROR It failed. Try again."
    assert reported(ModuleNotFoundError(name="boto3")) == missing
    assert reported(ZeroDivisionError("by zero")) == (
        "CRITICAL This is a bug in ingest_weather.py. Please report it.\nZeroDivisionError: by zero"
    )


def test_a_ping_that_fails_becomes_these_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    def pinged(answer: int) -> str:
        def perform() -> None:
            if not answer:
                raise pycurl.error(28, "it took too long")

        curl = SimpleNamespace(perform=perform, getinfo=lambda _: answer)
        curl.setopt = curl.close = lambda *_: None
        monkeypatch.setattr(healthcheck, "new_handle", lambda *_: curl)
        return logged(lambda log: healthcheck.ping("https://x", 0, "", 1, log))

    assert [pinged(answer) for answer in (200, 404, 0)] == [
        "",
        "WARNING The health check service answered HTTP 404.",
        "WARNING The health check could not be sent (curl 28).",
    ]


def test_rejected_values_become_these_sentences() -> None:
    seen, destination = observed(Humidity="93", Pressure="1016"), FakeDestination()
    first = Rejection(seen, "Humidity", Kind.OLDER_VERSION, "There\nis another.", 77)
    second = Rejection(seen, "Pressure", Kind.OLDER_VERSION, "Version 78 is there.", 78)
    at = "city=London country=GB city_id=2643743 at 2020-11-08T21:29:36Z (1604870976000)"
    assert describe_rejections(Outcome(1, [first, second]), destination).splitlines() == [
        "Memory rejected 2 of 3 records for memory.table (1 stored):",
        f"  Humidity=93 {at}: There is another. (existing version: 77)",
        f"  Pressure=1016 {at}: Version 78 is there.",
        f"    {destination.advice(first)}",
    ]


def test_a_summary_becomes_these_sentences() -> None:
    def failed(**counts: int) -> str:
        summary = Summary("x")
        for kind, count in counts.items():
            error = DeliveryError(f"It was {kind}.")
            error.kind = kind
            for number in range(count):
                summary.place_failed(f"{number},GB", error)
        return summary.describe_failures()

    three = {"time-out": 1, "refused": 4, "left for a later run": 3}
    kinds = ("time-out", "network error", "server error", "unusable reply", "not found", "blocked")
    one = Summary("x", places=1, fetched=1, stored=1, pending=1)
    many = Summary("x", places=3, fetched=2, unchanged=1, stored=4, rejected=2, seconds=1.5)
    assert_said(
        {
            "one": "1 of 1 place fetched (0 unchanged), 1 record stored, 0 rejected, "
            "1 observation pending, 0.00 s",
            "many": "2 of 3 places fetched (1 unchanged), 4 records stored, 2 rejected, "
            "0 observations pending, 1.50 s",
            "a failure": "0,GB: It was refused.",
            "failures": "8 places failed: 4 refused (first: 0,GB), 3 left for a later run (0,GB; "
            "1,GB; 2,GB), 1 time-out (0,GB)\n  0,GB: It was refused.\n"
            "  0,GB: It was left for a later run.\n  0,GB: It was time-out.",
            "singulars": "6 places failed: 1 time-out (0,GB), 1 network error (0,GB), 1 server "
            "error (0,GB), 1 unusable reply (0,GB), 1 not found (0,GB), 1 blocked (0,GB)",
            "plurals": "12 places failed: 2 time-outs (0,GB; 1,GB), 2 network errors (0,GB; 1,GB), "
            "2 server errors (0,GB; 1,GB), 2 unusable replies (0,GB; 1,GB), 2 not found (0,GB; "
            "1,GB), 2 blocked (0,GB; 1,GB)",
        },
        {
            "one": str(one),
            "many": str(many),
            "a failure": failed(refused=1),
            "failures": failed(**three),
            "singulars": failed(**dict.fromkeys(kinds, 1)).splitlines()[0],
            "plurals": failed(**dict.fromkeys(kinds, 2)).splitlines()[0],
        },
    )


def test_a_dry_run_prints_these_lines(capsys: pytest.CaptureFixture[str]) -> None:
    seen = [observed(LONDON, Humidity="93"), observed(PARIS, Humidity="7")]
    _print(Namespace(json=False), Result(Summary("x"), observations=seen))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["time", "place", "measure", "value", "version"],
        ["2020-11-08T21:29:36Z", "London,GB", "Humidity", "93", "1604870976000"],
        ["2020-11-08T21:29:36Z", "Paris,FR", "Humidity", "7", "1604870976000"],
    ]

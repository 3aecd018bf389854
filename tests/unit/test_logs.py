"""What is printed: never a secret, never botocore's own talk, always in UTC."""

import io
import json
import logging
import re
import subprocess
import sys
import traceback
import urllib.parse
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.reporting.logs import (
    FORMATS,
    LEVELS,
    RECENT_LINES,
    ROOT,
    RunLog,
    start_logging,
)
from ingest.reporting.redaction import Redactor
from ingest.settings import load, read_sources
from tests.conftest import API_KEY, Program
from tests.conftest import ROOT as FOLDER

KEY = "s3cr3t/key+with=signs&more"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Printed:
    """What has gone to standard error since the test began."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capture.readouterr().err
        return self._text


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Python's root logger without handlers; logging is put back after the test."""
    root = logging.getLogger()
    handlers, level, own_level = list(root.handlers), root.level, ROOT.level
    root.handlers.clear()
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    yield root
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    ROOT.setLevel(own_level)


@pytest.fixture
def stderr(own_logging: logging.Logger, capsys: pytest.CaptureFixture[str]) -> Printed:  # noqa: ARG001
    """Standard error as a run's log writes it."""
    return Printed(capsys)


@pytest.fixture
def log() -> RunLog:
    return RunLog()


def fail_with(secret: str) -> None:
    raise ValueError(f"refused https://example/?appid={urllib.parse.quote_plus(secret)}")


FORMS = {
    "plain": KEY,
    "URL-encoded": urllib.parse.quote(KEY),
    "URL-encoded as a query": urllib.parse.quote_plus(KEY),
}


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_secret_is_redacted_in_each_form(
    stderr: Printed, log: RunLog, form: str, log_format: str
) -> None:
    start_logging(log, "DEBUG", log_format)
    log.redact.add(KEY)
    log.debug("asking ?appid=%s&q=x", form)
    assert "asking ?appid=(redacted)&q=x" in stderr.getvalue()
    assert KEY not in stderr.getvalue()


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_secret_is_redacted_in_a_traceback(stderr: Printed, log: RunLog, log_format: str) -> None:
    start_logging(log, "", log_format)
    log.redact.add(KEY)
    try:
        fail_with(KEY)
    except ValueError:
        log.critical("This is a bug with %s.", KEY, exc_info=True)
    shown = stderr.getvalue()
    assert "This is a bug with (redacted)." in shown
    assert "ValueError: refused https://example/?appid=(redacted)" in shown
    assert shown.count("Traceback") == 1
    for form in FORMS.values():
        assert form not in shown


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_secret_is_redacted_in_what_other_libraries_log(
    stderr: Printed, log: RunLog, log_format: str
) -> None:
    start_logging(log, "", log_format)
    log.redact.add(KEY)
    try:
        fail_with(KEY)
    except ValueError:
        logging.getLogger("urllib3").warning("retrying %s", KEY, exc_info=True)
    shown = stderr.getvalue()
    assert "retrying (redacted)" in shown
    assert "ValueError: refused https://example/?appid=(redacted)" in shown
    assert log.run_id in shown


@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
def test_aws_credentials_of_the_environment_are_redacted(
    stderr: Printed, log: RunLog, name: str
) -> None:
    """A command hides them as it reads the settings."""
    environ = {name: "wJalr/XUtn+FEMI=", "OPENWEATHERMAP_API_KEY": KEY, "WEATHER_SECRET_ID": ""}
    start_logging(log)
    load(read_sources(environ), lambda _: {}, log.redact)
    log.error("signed with wJalr/XUtn+FEMI= and wJalr/XUtn%2BFEMI%3D")
    assert "signed with (redacted) and (redacted)" in stderr.getvalue()


@given(st.text(min_size=3), st.text(), st.text())
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    assume(not any(0xD800 <= ord(char) <= 0xDFFF for char in secret))
    assume(secret not in "(redacted)")
    redact = Redactor()
    redact.add(secret)
    assume(secret not in before + "(redacted)" + after)
    assert redact(before + secret + after).count("(redacted)") >= 1
    assert urllib.parse.quote_plus(secret) not in redact(urllib.parse.quote_plus(secret))


def test_of_two_secrets_the_longer_goes_first() -> None:
    redact = Redactor()
    for secret in ("abcd", "abcdefgh", "efgh"):
        redact.add(secret)
    assert redact("abcdefgh abcd") == "(redacted) (redacted)"


def test_what_is_no_secret_stays() -> None:
    redact = Redactor()
    for secret in (None, "", "a", "ab"):
        redact.add(secret)
    assert redact("a label and London,GB") == "a label and London,GB"


@pytest.mark.parametrize("level", ["", *LEVELS])
def test_botocore_is_never_more_talkative_than_warning(
    stderr: Printed, log: RunLog, level: str
) -> None:
    start_logging(log, level)
    for name in ("botocore", "botocore.endpoint", "boto3", "urllib3.connectionpool", "asyncio"):
        logging.getLogger(name).debug("DEBUG of %s", name)
        logging.getLogger(name).info("INFO of %s", name)
    assert stderr.getvalue() == ""


def test_a_verbose_run_shows_nothing_of_botocore_nor_the_key(program: Program) -> None:
    done = program.run("-v", env={"LOG_LEVEL": "DEBUG"})
    assert done.returncode == 0, done.stderr
    assert " INFO " in done.stderr
    for secret in (API_KEY, "testing", "SecretString", "AWS4-HMAC", "botocore"):
        assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize(("stream", "level"), [(Terminal(), "INFO"), (io.StringIO(), "WARNING")])
@pytest.mark.usefixtures("own_logging")
def test_a_terminal_gets_more_than_cron(
    stream: io.StringIO, log: RunLog, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    start_logging(log)
    assert logging.getLevelName(log.getEffectiveLevel()) == level
    log.info("all is well")
    assert ("all is well" in stream.getvalue()) == (level == "INFO")


def test_starting_again_changes_level_and_format_and_repeats_no_line(
    stderr: Printed, log: RunLog
) -> None:
    start_logging(log)
    log.info("not yet")
    start_logging(log, "INFO", "json")
    log.info("once")
    assert json.loads(stderr.getvalue())["message"] == "once"
    start_logging(log)
    log.info("no more")
    assert "no more" not in stderr.getvalue()


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_a_line_of_text_has_time_level_run_and_message(stderr: Printed, log: RunLog) -> None:
    start_logging(log)
    log.error("No %s.", "luck")
    assert re.fullmatch(rf"{TIME} ERROR    {log.run_id} No luck\.\n", stderr.getvalue())
    assert re.fullmatch(r"[0-9a-f]{6}", log.run_id)


def test_a_line_of_json_is_one_object(stderr: Printed, log: RunLog) -> None:
    start_logging(log, "INFO", "json")
    log.info('two\nlines, "quotes" and %s', "Київ")
    log.error("x")
    first, second = stderr.getvalue().splitlines()
    entry = json.loads(first)
    assert re.fullmatch(TIME, entry.pop("time"))
    assert entry == {
        "level": "INFO",
        "run": log.run_id,
        "message": 'two\nlines, "quotes" and Київ',
    }
    assert json.loads(second).keys() == {"time", "level", "run", "message"}


def test_a_traceback_is_a_member_of_its_own_in_json(stderr: Printed, log: RunLog) -> None:
    start_logging(log, "INFO", "json")
    try:
        fail_with("nothing secret")
    except ValueError:
        log.exception("It failed.")
    entry = json.loads(stderr.getvalue())
    assert entry["message"] == "It failed."
    first, *_, last = entry["traceback"].splitlines()
    assert first == "Traceback (most recent call last):"
    assert last == "ValueError: refused https://example/?appid=nothing+secret"


def test_times_are_utc_whatever_the_zone() -> None:
    code = (
        "import logging\nfrom ingest.reporting.logs import RunLog, start_logging\n"
        "record = logging.LogRecord('x', 20, '', 0, 'hello', None, None)\n"
        "record.created = 1604870976.9\n"
        "start_logging(RunLog())\n"
        "print(logging.getLogger().handlers[0].format(record))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=FOLDER,
        env={"TZ": "Asia/Kathmandu"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(r"2020-11-08T21:29:36Z INFO     [0-9a-f]{6} hello\n", done.stdout)


def test_warnings_go_to_the_log(stderr: Printed, log: RunLog) -> None:
    start_logging(log, "", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old name", DeprecationWarning, stacklevel=1)
    entry = json.loads(stderr.getvalue())
    assert entry["level"] == "WARNING"
    assert "DeprecationWarning: old name" in entry["message"]


@pytest.mark.usefixtures("own_logging")
def test_a_closed_standard_error_ends_nothing(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    start_logging(log)
    closed.close()
    log.error("to nobody")


# One run's log


def test_each_run_has_its_own_id_secrets_and_last_lines() -> None:
    one, other = RunLog(), RunLog()
    one.redact.add("first-secret")
    other.redact.add("second-secret")
    for log in (one, other):
        log.error("first-secret second-secret")
    assert one.recent_lines().endswith(f" {one.run_id} (redacted) second-secret")
    assert other.recent_lines().endswith(f" {other.run_id} first-secret (redacted)")
    assert one.run_id != other.run_id


@pytest.mark.usefixtures("own_logging")
def test_the_last_lines_are_text_in_any_format_and_the_oldest_make_room(log: RunLog) -> None:
    start_logging(log, "INFO", "json")
    log.redact.add(KEY)
    for number in range(RECENT_LINES + 2):
        log.info("line %d of %s", number, KEY)
    log.debug("not said")
    lines = log.recent_lines().splitlines()
    assert len(lines) == RECENT_LINES
    assert re.fullmatch(rf"{TIME} INFO     {log.run_id} line 2 of \(redacted\)", lines[0])
    assert lines[-1].endswith(f"line {RECENT_LINES + 1} of (redacted)")


def test_a_traceback_is_among_the_last_lines(log: RunLog) -> None:
    log.redact.add(KEY)
    try:
        fail_with(KEY)
    except ValueError:
        log.critical("A bug.", exc_info=True)
    first, second, *_, last = log.recent_lines().splitlines()
    assert first.endswith(" A bug.")
    assert second == "Traceback (most recent call last):"
    assert last == "ValueError: refused https://example/?appid=(redacted)"


# Another host's logging


class Host(logging.Handler):
    """What another program, such as Lambda's runtime, does with records."""

    def __init__(self) -> None:
        super().__init__()
        self.as_text: list[str] = []
        self.of_record: list[str] = []
        self.of_exception: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # First what it does itself: a formatter keeps its text in the record.
        if record.exc_info:
            self.of_exception += traceback.format_exception(*record.exc_info)
            self.of_exception.append(str(record.exc_info[1]))
        self.of_record.append(repr(vars(record)))
        self.as_text.append(self.format(record))

    def seen(self) -> str:
        return "\n".join([*self.as_text, *self.of_record, *self.of_exception])


@pytest.fixture
def host(own_logging: logging.Logger) -> Host:
    handler = Host()
    own_logging.addHandler(handler)
    return handler


def test_a_handler_of_another_host_sees_only_redacted_text(host: Host, log: RunLog) -> None:
    log.redact.add(KEY)
    for form in FORMS.values():
        log.error("asking %s", form)
        log.error(f"asking {form}")
        log.error("asking %(url)s", {"url": form})
    assert host.as_text == ["asking (redacted)"] * 9
    for form in FORMS.values():
        assert form not in host.seen()


def test_a_traceback_is_redacted_before_another_host_sees_it_and_is_still_there(
    host: Host, log: RunLog
) -> None:
    log.redact.add(KEY)
    try:
        try:
            fail_with(KEY)
        except ValueError as error:
            raise RuntimeError(f"no luck with {KEY}") from error
    except RuntimeError as error:
        log.critical("A bug with %s.", KEY, exc_info=error)
    (text,) = host.as_text
    assert text.startswith("A bug with (redacted).\nTraceback (most recent call last):\n")
    assert "ValueError: refused https://example/?appid=(redacted)\n" in text
    assert text.endswith("\nRuntimeError: no luck with (redacted)")
    for form in FORMS.values():
        assert form not in host.seen()


def test_hosts_that_print_what_is_in_a_record_find_run_and_traceback_there(
    host: Host, log: RunLog
) -> None:
    """Formatters of JSON do so, and have no use for a traceback's text of another formatter."""
    try:
        fail_with("nothing secret")
    except ValueError:
        log.exception("It failed.")
    (record,) = host.of_record
    assert f"'run_id': '{log.run_id}'" in record
    assert "'traceback': 'Traceback (most recent call last):" in record


def state_of(*loggers: logging.Logger) -> tuple[object, ...]:
    settings = [(list(each.handlers), list(each.filters), each.level) for each in loggers]
    return (settings, set(logging.Logger.manager.loggerDict), warnings.showwarning)


def test_a_log_changes_nothing_of_its_hosts_logging(
    own_logging: logging.Logger, host: Host
) -> None:
    own_logging.setLevel("ERROR")
    before = state_of(own_logging, ROOT)
    log = RunLog()
    log.warning("not wanted here")
    log.error("wanted")
    assert host.as_text == ["wanted"]
    assert state_of(own_logging, ROOT) == before
    assert log.handlers == []


def test_a_host_that_wants_no_logging_at_all_gets_none(host: Host, log: RunLog) -> None:
    logging.disable(logging.ERROR)
    try:
        log.error("not wanted")
        log.critical("wanted")
    finally:
        logging.disable(logging.NOTSET)
    assert host.as_text == ["wanted"]

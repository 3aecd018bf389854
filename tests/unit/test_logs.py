"""What is printed: never a secret, never botocore's own talk, always in UTC."""

import io
import json
import logging
import re
import subprocess
import sys
import urllib.parse
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.reporting import logs
from ingest.reporting.logs import LEVELS, RUN_ID, Redactor, log, start_logging, utc
from tests.conftest import API_KEY, ROOT, Program

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
def stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Printed]:
    """Standard error as the program's log writes it; logging is put back after the test."""
    root = logging.getLogger()
    handlers, level, own_level = list(root.handlers), root.level, log.level
    root.handlers.clear()
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    monkeypatch.setattr(logs, "redact", Redactor())
    yield Printed(capsys)
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    log.setLevel(own_level)


def fail_with(secret: str) -> None:
    raise ValueError(f"refused https://example/?appid={urllib.parse.quote_plus(secret)}")


FORMS = {
    "plain": KEY,
    "URL-encoded": urllib.parse.quote(KEY),
    "URL-encoded as a query": urllib.parse.quote_plus(KEY),
}


@pytest.mark.parametrize("log_format", logs.FORMATS)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_secret_is_redacted_in_each_form(stderr: Printed, form: str, log_format: str) -> None:
    start_logging("DEBUG", log_format)
    logs.redact.add(KEY)
    log.debug("asking ?appid=%s&q=x", form)
    assert "asking ?appid=(redacted)&q=x" in stderr.getvalue()
    assert KEY not in stderr.getvalue()


@pytest.mark.parametrize("log_format", logs.FORMATS)
def test_a_secret_is_redacted_in_a_traceback(stderr: Printed, log_format: str) -> None:
    start_logging("", log_format)
    logs.redact.add(KEY)
    try:
        fail_with(KEY)
    except ValueError:
        log.critical("This is a bug with %s.", KEY, exc_info=True)
    shown = stderr.getvalue()
    assert "This is a bug with (redacted)." in shown
    assert "ValueError: refused https://example/?appid=(redacted)" in shown
    assert "Traceback" in shown
    for form in FORMS.values():
        assert form not in shown


def test_a_secret_is_redacted_in_what_other_libraries_log(stderr: Printed) -> None:
    start_logging()
    logs.redact.add(KEY)
    logging.getLogger("urllib3").warning("retrying %s", KEY)
    assert "retrying (redacted)" in stderr.getvalue()


@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
def test_aws_credentials_of_the_environment_are_redacted(
    stderr: Printed, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "wJalr/XUtn+FEMI=")
    start_logging()
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
def test_botocore_is_never_more_talkative_than_warning(stderr: Printed, level: str) -> None:
    start_logging(level)
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
@pytest.mark.usefixtures("stderr")
def test_a_terminal_gets_more_than_cron(
    stream: io.StringIO, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    start_logging()
    assert logging.getLevelName(log.level) == level


def test_starting_again_changes_the_format_and_repeats_no_line(stderr: Printed) -> None:
    start_logging()
    start_logging("INFO", "json")
    log.info("once")
    assert json.loads(stderr.getvalue())["message"] == "once"


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_a_line_of_text_has_time_level_run_and_message(stderr: Printed) -> None:
    start_logging()
    log.error("No %s.", "luck")
    assert re.fullmatch(rf"{TIME} ERROR    {RUN_ID} No luck\.\n", stderr.getvalue())


def test_a_line_of_json_is_one_object(stderr: Printed) -> None:
    start_logging("INFO", "json")
    log.info('two\nlines, "quotes" and %s', "Київ")
    log.error("x")
    first, second = stderr.getvalue().splitlines()
    entry = json.loads(first)
    assert re.fullmatch(TIME, entry.pop("time"))
    assert entry == {
        "level": "INFO",
        "run": RUN_ID,
        "message": 'two\nlines, "quotes" and Київ',
    }
    assert json.loads(second).keys() == {"time", "level", "run", "message"}


def test_times_are_utc_whatever_the_zone() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "", None, None)
    record.created = 1_604_870_976.9
    assert utc(record) == "2020-11-08T21:29:36Z"
    code = (
        "import logging\nfrom ingest.reporting import logs\n"
        "record = logging.LogRecord('x', 20, '', 0, 'hello', None, None)\n"
        "record.created = 1604870976.9\n"
        "logs.start_logging()\n"
        "print(logging.getLogger().handlers[0].format(record))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"TZ": "Asia/Kathmandu"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(r"2020-11-08T21:29:36Z INFO     [0-9a-f]{6} hello\n", done.stdout)


def test_warnings_go_to_the_log(stderr: Printed) -> None:
    start_logging("", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old name", DeprecationWarning, stacklevel=1)
    entry = json.loads(stderr.getvalue())
    assert entry["level"] == "WARNING"
    assert "DeprecationWarning: old name" in entry["message"]


@pytest.mark.usefixtures("stderr")
def test_a_closed_standard_error_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    start_logging()
    closed.close()
    log.error("to nobody")

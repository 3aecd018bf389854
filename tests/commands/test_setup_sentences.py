"""Each sentence of `setup`, in the state that prints it."""

import sys
from argparse import Namespace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands import crontab, setup
from commands.aws import Retention, StepDeadline, member
from commands.setup import options as setup_options
from commands.setup import secret, timestream
from commands.setup.look import GO_ON, KEY, NO_KEY, Secret
from commands.setup.step import Step
from ingest.reporting.logs import RunLog
from tests.commands.test_check_sentences import assert_said
from tests.commands.test_sentences import said


def job_of(**given: Any) -> Any:
    """A job with an empty account. given: what differs."""
    options: dict[str, Any] = {
        "api_key_stdin": False,
        "update": False,
        "dry_run": False,
        "no_key_check": False,
    }
    options |= {"memory_hours": None, "magnetic_days": None, "magnetic_writes": None}
    settings = SimpleNamespace(
        secret_id=given.pop("secret_id", "weather"), api_key=NO_KEY, database="db", table="tab"
    )
    job = SimpleNamespace(settings=settings, secret=None, statuses=[], words=set(), table={})
    job.tags_told = ()
    for name in [name for name in given if name in options]:
        options[name] = given.pop(name)
    vars(job).update(given)
    job.options = Namespace(**options, log=RunLog())
    return job


def lines_of(*steps: Step) -> list[str]:
    return [" ".join((step.word, step.thing + step.state, *step.details)) for step in steps]


def test_the_plan_of_setup_is_these_sentences() -> None:
    kept = Secret("arn", "", "{}", {})
    full = Secret("arn", "", "{}", {KEY: "x"})
    table = {
        "TableStatus": "ACTIVE",
        "RetentionProperties": {
            "MemoryStoreRetentionPeriodInHours": 6,
            "MagneticStoreRetentionPeriodInDays": 500,
        },
    }
    has = "memory 6 h, magnetic 500 d, magnetic writes off"
    default = "default: memory 24 h, magnetic 500 d, magnetic writes on"
    asked = "asked: memory 24 h, magnetic 30 d, magnetic writes on"
    asks = "You are asked for the key. It is tested before it is stored."
    shorter = "A shorter retention permanently deletes older records."
    left = ": setup did not write this one, so it stays"
    theirs = crontab.Found([b"* * * * * x\n"], [], [0])
    ours = setup._crontab_step(theirs, None, "line", update=False)
    got = {
        "no secret": lines_of(*secret.secret_steps(job_of(secret_id=""))),
        "a new secret": lines_of(*secret.secret_steps(job_of())),
        "a whole secret": lines_of(*secret.secret_steps(job_of(secret=full))),
        "no key in it": lines_of(*secret.secret_steps(job_of(secret=kept))),
        "a table": lines_of(timestream.table_step(job_of(table=table))),
        "a shorter table": lines_of(timestream.table_step(job_of(table=table, magnetic_days=30))),
        "a person's line": lines_of(ours),
    }
    expected = {
        "no secret": ["none secret: WEATHER_SECRET_ID is empty, so a run reads no secret"],
        "a new secret": [f"create secret weather with {KEY} {asks}"],
        "a whole secret": ["exists secret weather with OPENWEATHERMAP_API_KEY"],
        "no key in it": [
            "differs secret weather has no OPENWEATHERMAP_API_KEY The other members are kept.",
            f"update secret weather with {KEY} {asks}",
        ],
        "a table": [f"differs table tab has:     {has} {default} --update changes it."],
        "a shorter table": [
            f"differs table tab has:   {has} {asked} {shorter} --update changes it."
        ],
        "a person's line": [f"differs line in the crontab{left} * * * * * x --update replaces it."],
    }
    assert {name: lines for name, lines in got.items() if lines != expected[name]} == {}


def test_the_end_of_setup_is_one_of_these_sentences() -> None:
    ends = {
        "Fix what failed above, then run setup again.": job_of(statuses=[1]),
        "Nothing was changed (--dry-run).": job_of(dry_run=True),
        "Done. To try it: ingest_weather.py --dry-run, then ingest_weather.py -v": job_of(
            words={"created"}
        ),
        "Nothing was changed. What differs stays as it is without --update.": job_of(
            words={"differs"}
        ),
        "Nothing was changed. What differs stays as it is.": job_of(words={"differs"}, update=True),
        "Nothing was changed: everything that a run needs exists.": job_of(words={"exists"}),
    }
    assert [setup._last_words(job) for job in ends.values()] == list(ends)


def test_what_setup_cannot_do_becomes_these_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())
    kept = Secret("arn", "", "{}", {})

    def broken(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("subprocess.run", broken)
    assert_said(
        {
            "no terminal": "There is no terminal to ask for the key on. Start setup on a terminal, "
            "or give the key on standard input with --api-key-stdin.",
            "not asked to": "The secret x has no OPENWEATHERMAP_API_KEY. "
            "To add this one, add --update.",
            "incomplete": "AWS's answer is incomplete: it has no ARN. Try again.",
            "time": "The time limit of 3 seconds (--timeout) ended before it was answered. "
            "What was created stays. Run setup again to go on.",
            "no crontab": "This machine has no crontab program. Install cron (Debian: apt-get "
            "install cron; Fedora: dnf install cronie), or use the line below in another "
            "scheduler.",
            "a path": "A crontab cannot hold this path. Use paths without line breaks.",
            "a tag": "'x' is not KEY=VALUE (KEY: 1 to 128 characters, not beginning with aws:; "
            "VALUE: at most 256)",
        },
        {
            "no terminal": said(lambda: secret.read_key(job_of())),
            "not asked to": said(
                lambda: secret._given_key_step(job_of(secret=kept), "secret x", "", "k")
            ),
            "incomplete": said(lambda: member({}, "ARN")),
            "time": str(
                StepDeadline(3, "3 seconds (--timeout)", GO_ON).error("before it was answered")
            ),
            "no crontab": said(lambda: crontab.find(Path("x"), ())),
            "a path": said(lambda: crontab.run_line("* * * * *", Path("a\nb"), None)),
            "a tag": said(lambda: setup_options._tag("x")),
        },
    )


def test_the_store_of_a_table_reads_like_this() -> None:
    assert str(Retention(24, 365, True)) == "memory 24 h, magnetic 365 d, magnetic writes on"

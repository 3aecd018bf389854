"""A warning that is due once a day."""

from contextlib import closing
from pathlib import Path

import pytest

from ingest.errors import JournalError
from ingest.journal.fallback import RunJournal
from ingest.journal.said import DAY_MS
from tests.support.destinations import unexpected
from tests.support.journals import T0_MS, TARGET, query


def asked(path: Path | None, cause: str, now_ms: int) -> bool:
    """What a run at that time hears."""
    with closing(RunJournal(path, TARGET, unexpected)) as journal:
        return journal.say_once(cause, now_ms)


def test_a_cause_is_said_once_a_day_whichever_run_asks(path: Path) -> None:
    assert asked(path, "units", T0_MS)
    assert asked(path, "elsewhere", T0_MS + 1)
    assert not asked(path, "units", T0_MS + 1)
    assert not asked(path, "units", T0_MS + DAY_MS - 1)
    assert asked(path, "units", T0_MS + DAY_MS)
    assert not asked(path, "units", T0_MS + DAY_MS + 1)


def test_a_clock_that_goes_back_repeats_a_line_only_if_it_is_a_day_wrong(path: Path) -> None:
    assert asked(path, "units", T0_MS)
    assert not asked(path, "units", T0_MS - 60_000)
    assert asked(path, "units", T0_MS - DAY_MS)


def test_what_was_said_before_the_last_day_is_forgotten(path: Path) -> None:
    asked(path, "units", T0_MS)
    asked(path, "elsewhere", T0_MS + DAY_MS)
    assert query(path, "SELECT cause FROM said") == [("elsewhere",)]


def test_a_journal_without_a_file_always_says_it() -> None:
    assert [asked(None, "units", T0_MS) for _ in range(2)] == [True, True]


def test_a_journal_that_breaks_says_it_and_its_error(path: Path) -> None:
    errors: list[JournalError] = []
    with closing(RunJournal(path, TARGET, errors.append)) as journal:
        query(path, "DROP TABLE said")
        assert journal.say_once("units", T0_MS)
    assert len(errors) == 1


@pytest.mark.parametrize("cause", ["", "a\nb", "Zürich", "x" * 10_000])
def test_a_cause_is_any_text(path: Path, cause: str) -> None:
    assert [asked(path, cause, T0_MS) for _ in range(2)] == [True, False]

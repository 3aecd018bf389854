"""Numbers in sentences: one is singular, everywhere."""

import re

import pytest

from ingest.reporting.text import plural
from tests.conftest import ROOT
from tests.support.texts import SOURCES


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 records"), (1, "1 record"), (2, "2 records"), (21, "21 records")]
)
def test_only_one_is_singular(count: int, expected: str) -> None:
    assert plural(count, "record") == expected


def test_a_plural_without_an_s_is_given() -> None:
    assert plural(1, "unusable reply", "unusable replies") == "1 unusable reply"
    assert plural(2, "unusable reply", "unusable replies") == "2 unusable replies"


# A number, then what is counted, or the start of its plural.
COUNTED = re.compile(r"(%d|\{[^{}]*\}) (observation|record|place|value|measure)(s\b|\{)")

# Each of these is said of two or more places.
OF_SEVERAL = {
    "ingest/pipeline.py: {places} places",
    "ingest/reporting/summary.py: {self.failed} places",
    "commands/check/weather.py: {count} places",
    "commands/show/plot.py: {len(places)} places",
}


def test_every_other_count_in_a_sentence_is_written_by_plural() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in SOURCES
        for match in COUNTED.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == OF_SEVERAL

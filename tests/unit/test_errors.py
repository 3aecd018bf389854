"""Exit statuses, and which error ends a run with which."""

import inspect
import os
import re

import pytest

from ingest import errors
from ingest.errors import URGENCY, IngestError, Status, most_urgent

TABLE = {
    "OK": (0, os.EX_OK),
    "USAGE": (2, 2),
    "DATAERR": (65, os.EX_DATAERR),
    "UNAVAILABLE": (69, os.EX_UNAVAILABLE),
    "SOFTWARE": (70, os.EX_SOFTWARE),
    "IOERR": (74, os.EX_IOERR),
    "TEMPFAIL": (75, os.EX_TEMPFAIL),
    "NOPERM": (77, os.EX_NOPERM),
    "CONFIG": (78, os.EX_CONFIG),
}
CLASSES: dict[str, type[IngestError]] = {
    name: each
    for name, each in vars(errors).items()
    if inspect.isclass(each) and issubclass(each, IngestError)
}


def test_the_statuses_are_those_of_sysexits() -> None:
    for status in Status:
        number, name_of_the_system = TABLE[status.name]
        assert int(status) == number == name_of_the_system
        assert status.meaning


def test_what_a_person_must_act_on_first_comes_first() -> None:
    assert set(URGENCY) == set(Status)
    assert len(URGENCY) == len(Status)
    promised = [status for status in (78, 77, 65, 74, 69, 75) if status in list(Status)]
    assert [status for status in URGENCY if status in promised] == promised
    assert [int(status) for status in URGENCY[:2]] == [70, 2]
    assert URGENCY[-1] is Status.OK


@pytest.mark.parametrize("place", range(len(URGENCY)))
def test_the_most_urgent_status_wins_in_any_order(place: int) -> None:
    rest = list(URGENCY[place:])
    assert most_urgent(rest) is most_urgent(reversed(rest)) is URGENCY[place]


def test_no_status_at_all_is_success() -> None:
    assert most_urgent([]) is Status.OK


@pytest.mark.parametrize("name", CLASSES)
def test_the_tree_drawn_at_the_top_is_the_tree_of_the_code(name: str) -> None:
    drawn = errors.__doc__ or ""
    lines = re.findall(rf"^([│├└─ ]*){name} +(\d+)  \S", drawn, re.MULTILINE)
    assert len(lines) == 1
    branch, number = lines[0]
    assert int(number) == CLASSES[name].status
    assert len(branch) // 4 == len(CLASSES[name].__mro__) - len(IngestError.__mro__)


def test_nothing_is_drawn_that_is_not_there() -> None:
    drawn = re.findall(r"^[│├└─ ]*(\w+) +\d+  ", errors.__doc__ or "", re.MULTILINE)
    assert set(drawn) == set(CLASSES)


def test_an_error_says_what_it_was_given() -> None:
    error = errors.ReplyError("dt is missing", cod=404)
    assert (str(error), error.cod, error.permanent) == ("dt is missing", 404, True)
    assert not errors.WeatherError("gone", permanent=False).permanent
    assert errors.ReplyError("dt is missing").cod == 0

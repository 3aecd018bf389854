"""A run whose file breaks at any statement: nothing in hand is lost, and nothing is doubled.

What a run does and what must hold afterwards is `tests/support/broken_journals.py`.
"""

import shutil
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.journal import fallback
from ingest.places import Place
from tests.support.broken_journals import DAMAGED, ERRORS, USABLE, Faults, Lasting, Run, quarantined
from tests.support.journals import LONDON, PARIS

ROME = Place("Rome,IT", (("q", "Rome,IT"),), country="IT")


@pytest.fixture(scope="module")
def left_by_earlier_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("earlier") / "journal.sqlite3"
    run = Run(path, 0)
    run.enqueue(LONDON, 4)
    run.journal.close()
    return path


def copied(source: Path, folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copy(source, folder / "journal.sqlite3"))


def a_whole_run(path: Path) -> Run:
    run = Run(path)
    run.read(2)
    run.enqueue(PARIS, 3)
    run.acknowledge(0, 1)
    run.acknowledge(1, 2, "Humidity", "Pressure")
    run.count()
    run.read(2)
    run.enqueue(ROME, 2)
    run.note_failure(2)
    run.acknowledge(0, 2, "CurrentTemp", "TempFeelsLike", "Humidity", "Pressure")
    run.do_the_rest()
    run.count()
    run.acknowledge(0, 1000, "Humidity")
    run.enqueue(LONDON, 2)
    return run


@pytest.mark.parametrize(
    ("kind", "lasting"),
    [(kind, "once") for kind in ERRORS]
    + [(kind, each) for kind in ("disk error", "malformed") for each in ("one file", "for good")],
)
def test_whichever_statement_fails_nothing_is_lost_and_nothing_doubled(
    left_by_earlier_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    lasting: Lasting,
) -> None:
    faults = Faults(monkeypatch)
    for at in count(1):
        path = copied(left_by_earlier_run, tmp_path / str(at))
        faults.arm(*ERRORS[kind], at, lasting)
        run = a_whole_run(path)
        faults.disarm()
        run.check()
        if not faults.met:
            break
        assert run.errors
        assert bool(quarantined(path)) == (kind in DAMAGED)
        if lasting != "for good":
            assert len(run.errors) == 1
            assert kind in USABLE or run.journal.count_unsaved() == 0
    assert at > 60


numbers = st.integers(0, 5)
refused = st.lists(st.sampled_from(["CurrentTemp", "Humidity"]), unique=True, max_size=2)
arm = st.tuples(
    st.just("arm"),
    st.sampled_from([*ERRORS]),
    st.integers(1, 12),
    st.sampled_from(["once", "one file", "for good"]),
    st.integers(0, 12),
)
steps = st.one_of(
    st.tuples(st.just("enqueue"), st.sampled_from([LONDON, PARIS, ROME]), numbers),
    st.tuples(st.just("read"), st.integers(1, 4)),
    st.builds(lambda *a: ("acknowledge", *a[:2], *a[2]), numbers, numbers, refused),
    st.tuples(st.just("note_failure"), numbers),
    st.sampled_from([("count",), ("release",), ("do_the_rest",)]),
    arm,
)


@given(steps=st.lists(steps, min_size=3, max_size=20))
@settings(max_examples=200)
def test_whatever_a_run_does_and_however_often_its_file_breaks(
    left_by_earlier_run: Path,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[Any, ...]],
) -> None:
    path = copied(left_by_earlier_run, tmp_path_factory.mktemp("any") / "run")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fallback, "MOST_UNSENT", 2)
        faults = Faults(patched)
        run = Run(path)
        for what, *arguments in steps:
            if what == "arm":
                kind, *how = arguments
                faults.arm(*ERRORS[kind], *how)
            else:
                getattr(run, what)(*arguments)
        faults.disarm()
        run.check()

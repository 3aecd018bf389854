"""Observations as rows: what comes back is what went in, and anything else is damage."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import JournalError
from ingest.journal import history
from ingest.journal.queue import FileQueue
from ingest.journal.rejected import rejected
from ingest.journal.schema import JournalFile
from ingest.observation import MAX_EPOCH_S, MEASURES, UNITS, Observation
from ingest.places import Place
from tests.support.journals import PARIS, T0_MS, TARGET, kept, observed, opened, rejection

LATER_MS = T0_MS + 3_600_000


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
coordinates = st.sampled_from(["51.5", "-0.1257", "0", "-0", "+90.000"])
values = st.dictionaries(
    st.sampled_from(sorted(MEASURES)), text.filter(bool), min_size=1, max_size=len(MEASURES)
)
observations = st.builds(
    Observation,
    st.builds(
        Place,
        text,
        st.just((("q", "x"),)),
        coordinates=st.one_of(st.just(()), st.tuples(coordinates, coordinates)),
    ),
    text,
    text,
    st.integers(0, 2**63 - 1),
    st.integers(0, MAX_EPOCH_S * 1000),
    st.integers(1, 2**62),
    values,
    st.sampled_from(["", *UNITS]),
    st.one_of(st.none(), st.integers(-86_399, 86_399)),
)


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalFile]:
    with closing(JournalFile(tmp_path_factory.mktemp("any") / "journal.sqlite3", TARGET)) as file:
        yield file


@given(observation=observations)
@settings(max_examples=150)
def test_what_comes_back_is_what_went_in(one_file: JournalFile, observation: Observation) -> None:
    with one_file.transaction() as db:
        db.execute("DELETE FROM observation")
        db.execute("DELETE FROM place")
    FileQueue(one_file).enqueue([observation], T0_MS)
    (entry,) = FileQueue(one_file).backlog(0, 2)
    assert entry.observation == kept(observation)
    assert entry.observation.dimensions == observation.dimensions
    assert entry.observation.series == observation.series
    assert [*entry.observation.values] == [*observation.values]


@pytest.mark.parametrize("units", ["", *UNITS])
@pytest.mark.parametrize("utc_offset_s", [None, 0, -18_000, 50_400])
def test_units_and_utc_offset_are_kept_in_every_state(
    file: JournalFile, units: str, utc_offset_s: int | None
) -> None:
    queue = FileQueue(file)
    (entry,) = queue.enqueue([replace(observed(), units=units, utc_offset_s=utc_offset_s)], T0_MS)
    (pending,) = FileQueue(file).backlog(0, 10)
    queue.acknowledge([entry], {entry.id: [rejection(entry)]}, LATER_MS)
    (delivered,) = history.latest(file)
    (refused,) = rejected(file)
    for each in (pending, delivered, refused):
        assert (each.observation.units, each.observation.utc_offset_s) == (units, utc_offset_s)


DAMAGES = [
    "units = 3",
    "units = 'metric'",
    "utc_offset_s = 86400",
    "utc_offset_s = 'x'",
    "measures = '{\"Humidity'",
    'measures = \'{"Humility":"93"}\'',
    "measures = '{\"Humidity\":93}'",
    "measures = '{\"Humidity\":null}'",
    "measures = '[]'",
    "measures = '\"Humidity\"'",
    "measures = x'ff'",
    "measures = NULL",
    "place = NULL",
    "place = x'4c'",
    "latitude = x'ff'",
    "longitude = NULL",
    "city = x'4c'",
    "country = NULL",
    "city_id = 'x'",
    "time_ms = NULL",
    "time_ms = 'now'",
    "time_ms = 1.5",
    f"time_ms = {MAX_EPOCH_S + 1} * 1000",
    "time_ms = -1",
    "version = NULL",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_row_that_this_program_cannot_have_written_is_damage(path: Path, damage: str) -> None:
    """From a bad disk: SQLite itself takes few of them, so its rules are taken away."""
    with closing(JournalFile(path, TARGET)) as file:
        FileQueue(file).enqueue([observed()], T0_MS)
    with opened(path) as db:
        db.execute("CREATE TABLE lax AS SELECT * FROM observation")
        db.execute("DROP TABLE observation")
        db.execute("ALTER TABLE lax RENAME TO observation")
        db.execute(f"UPDATE observation SET {damage}")
    with closing(JournalFile(path, TARGET)) as file:
        queue = FileQueue(file)
        with pytest.raises(JournalError, match=r"row 1 .*The file is damaged") as caught:
            queue.backlog(0, 10)
    assert caught.value.corrupt


READERS: list[Callable[[JournalFile], object]] = [
    lambda file: FileQueue(file).backlog(0, 10),
    lambda file: history.kept(file, 0),
    history.latest,
    rejected,
]


def test_whoever_reads_a_damaged_row_says_so(path: Path, file: JournalFile) -> None:
    queue = FileQueue(file)
    entry, _ = queue.enqueue([observed(), observed(PARIS)], T0_MS)
    queue.acknowledge([entry], {entry.id: [rejection(entry)]}, T0_MS)
    with opened(path) as db:
        db.execute("UPDATE observation SET units = 3")
    for read in READERS:
        with pytest.raises(JournalError, match="damaged"):
            read(file)

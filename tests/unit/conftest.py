"""A journal's file for each test of its parts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.journal.schema import JournalFile
from tests.support.journals import TARGET, Open


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def open_(path: Path) -> Iterator[Open]:
    """Opens the file, unless told another, and closes all that it opened."""
    files: list[JournalFile] = []

    def new(file: Path = path, target: str = TARGET) -> JournalFile:
        files.append(JournalFile(file, target))
        return files[-1]

    yield new
    for each in files:
        each.close()


@pytest.fixture
def file(open_: Open) -> JournalFile:
    return open_()

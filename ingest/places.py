"""WEATHER_PLACES: one place, a list of them, or `@file` with one a line."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

from ingest.observation import Place, parse_place
from ingest.reporting.logs import log

# How many places a message names one by one.
NAMED = 10


class _Item(NamedTuple):
    """A text that should be a place, and where it stands: "" in the setting itself."""

    text: str
    where: str


class Places(Sequence[Place]):
    """Places in the order they were named. Holds their names alone, for they may be many."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Place: ...

    @overload
    def __getitem__(self, index: slice) -> "Places": ...

    def __getitem__(self, index: int | slice) -> "Place | Places":
        if isinstance(index, slice):
            return Places(self.names[index])
        return parse_place(self.names[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places) and list(self.names) == list(other.names)

    def __hash__(self) -> int:
        return hash(tuple(self.names))

    def __repr__(self) -> str:
        return f"Places({list(self.names[:NAMED])!r}{', ...' if len(self) > NAMED else ''})"


def read_places(value: str, folder: Path) -> Places:
    """Read places with `;` or newlines between; `@file` stands for the lines of a file.

    A place named twice is asked for once, and a warning says so. folder: where relative files are.

    Raises ValueError that names every text that is no place, with file and line.
    """
    names: list[str] = []
    seen: set[int] = set()
    problems: list[str] = []
    twice: list[tuple[Place, _Item]] = []
    for item in _items(value, folder, problems):
        try:
            place = parse_place(item.text)
        except ValueError as error:
            problems.append(f"{item.where}: {error}" if item.where else str(error))
            continue
        if _key(place) in seen:
            twice.append((place, item))
        else:
            seen.add(_key(place))
            names.append(place.name)
    if problems:
        raise ValueError("; ".join(_some(problems)))
    if not names:
        raise ValueError("it names no place")
    if twice:
        named = "; ".join(_some(_describe(twice, _items(value, folder, []))))
        log.warning("Named more than once, and asked for once: %s.", named)
    return Places(names)


def _key(place: Place) -> int:
    """What two namings of one place share. A hash: the queries would take more room than the names,
    and they may be many."""
    return hash(str(place.query).casefold())


def _describe(twice: list[tuple[Place, _Item]], items: Iterable[_Item]) -> list[str]:
    """Each second naming, with where it stands and where the first does."""
    wanted = {_key(place) for place, _ in twice}
    first: dict[int, str] = {}
    for item in items:
        key = _key(parse_place(item.text))
        if key in wanted:
            first.setdefault(key, item.where)
    told = []
    for place, item in twice:
        where = [item.where, first[_key(place)] and f"first: {first[_key(place)]}"]
        lines = "; ".join(filter(None, where))
        told.append(f"{place.name} ({lines})" if lines else place.name)
    return told


def _items(value: str, folder: Path, problems: list[str]) -> Iterator[_Item]:
    for part in re.split(r"[;\n]", value):
        text = part.strip()
        if text.startswith("@"):
            try:
                path = folder / Path(text[1:].strip()).expanduser()
            except RuntimeError:
                problems.append(f"{text} cannot be read: there is no such home folder")
            else:
                yield from _lines(path, problems)
        elif text:
            yield _Item(text, "")


def _lines(path: Path, problems: list[str]) -> Iterator[_Item]:
    """The places of a file: UTF-8, one a line; blank lines and what follows a # do not count."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe could be read for ever
        problems.append(f"{path} is not a file")
        return
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                place = line.partition("#")[0].strip()
                if not _is_utf8(place):
                    problems.append(f"{path}, line {number} is not UTF-8")
                elif place:
                    yield _Item(place, f"{path}, line {number}")
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")


def _is_utf8(text: str) -> bool:
    return text.isascii() or not re.search("[\udc80-\udcff]", text)  # what surrogateescape makes


def _some(texts: list[str]) -> list[str]:
    left = len(texts) - NAMED
    return texts if left <= 0 else [*texts[:NAMED], f"and {left} more"]

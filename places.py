"""WEATHER_PLACES: one place, a list of them, or `@file` with one a line."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from logs import log
from weather import Place, parse_place

# How many places a message names one by one.
NAMED = 10


class _Item(NamedTuple):
    """A text that should be a place, and where it stands: "" in the setting itself."""

    text: str
    where: str


def read_places(value: str, folder: Path) -> tuple[Place, ...]:
    """Read places with `;` or newlines between; `@file` stands for the lines of a file.

    A place named twice is asked for once, and a warning says so. folder: where relative files are.

    Raises ValueError that names every text that is no place, with file and line.
    """
    places: dict[tuple[tuple[str, str], ...], tuple[Place, str]] = {}
    problems: list[str] = []
    twice: list[str] = []
    for item in _items(value, folder, problems):
        try:
            place = parse_place(item.text)
        except ValueError as error:
            problems.append(f"{item.where}: {error}" if item.where else str(error))
            continue
        if place.query in places:
            first = places[place.query][1]
            twice.append(f"{place.name} ({item.where}; first: {first})" if first else place.name)
        else:
            places[place.query] = (place, item.where)
    if problems:
        raise ValueError("; ".join(_some(problems)))
    if not places:
        raise ValueError("it names no place")
    if twice:
        named = "; ".join(_some(twice))
        log.warning("%d places stand more than once and are asked for once: %s.", len(twice), named)
    return tuple(place for place, _ in places.values())


def _items(value: str, folder: Path, problems: list[str]) -> Iterator[_Item]:
    for text in re.split(r"[;\n]", value):
        text = text.strip()
        if text.startswith("@"):
            yield from _lines(folder / Path(text[1:].strip()).expanduser(), problems)
        elif text:
            yield _Item(text, "")


def _lines(path: Path, problems: list[str]) -> Iterator[_Item]:
    """The places of a file: UTF-8, one a line; blank lines and what follows a # do not count."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")
        return
    except UnicodeDecodeError as error:
        problems.append(f"{path} is not UTF-8 (byte {error.start})")
        return
    for number, line in enumerate(text.splitlines(), 1):
        place = line.partition("#")[0].strip()
        if place:
            yield _Item(place, f"{path}, line {number}")


def _some(texts: list[str]) -> list[str]:
    left = len(texts) - NAMED
    return texts if left <= 0 else [*texts[:NAMED], f"and {left} more"]

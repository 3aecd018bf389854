"""Places to ask for: the forms of one place, and lists of them from a setting or from files."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# How many places a message names one by one.
NAMED = 10


class Place(NamedTuple):
    """One place as configured, and the one query it is always asked with.

    OpenWeatherMap caches replies per form of the query, so two forms of one place can disagree.

    name: as configured, white space tidied; messages use it.
    country: the ISO 3166 code asked for, "" if the form has none.
    city_id: the id asked for, 0 if the form has none.
    coordinates: latitude and longitude as configured, () for other forms.
    """

    name: str
    query: tuple[tuple[str, str], ...]
    country: str = ""
    city_id: int = 0
    coordinates: tuple[str, str] | tuple[()] = ()


_CITY = re.compile(r"(?P<city>[^,;]+(?:,[^,;]+)?),\s*(?P<country>[A-Za-z]{2})")
_CITY_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_COORDINATES = re.compile(r"([+-]?\d{1,3}(?:\.\d+)?)\s*,\s*([+-]?\d{1,3}(?:\.\d+)?)", re.ASCII)
_ZIP = re.compile(r"zip:\s*(?P<code>[A-Za-z0-9 -]+),\s*(?P<country>[A-Za-z]{2})", re.ASCII)


def place_name(text: str) -> str:
    """A place's text with its white space tidied, and none at commas."""
    return ",".join(part.strip() for part in " ".join(text.split()).split(","))


def place_key(text: str) -> str:
    """What a place or a city is looked up by: the same for every spelling of its name."""
    return place_name(text).casefold()


def country_code(text: str) -> str:
    """The ISO 3166 code for a country's two letters. OpenWeatherMap takes UK, and answers GB."""
    return text.upper().replace("UK", "GB")


def parse_place(text: str) -> Place:
    """Read `City,CC`, `City,State,CC`, a city id, `lat,lon` in degrees, or `zip:CODE,CC`.

    Raises ValueError with a sentence that says what is wrong and what is expected.
    """
    name = place_name(text)
    if not name.isprintable():
        raise ValueError(f"{name!r} has characters that cannot be printed")
    if _CITY_ID.fullmatch(name):
        return Place(name, (("id", name),), city_id=int(name))
    if match := _COORDINATES.fullmatch(name):
        latitude, longitude = match[1], match[2]
        if abs(float(latitude)) > 90 or abs(float(longitude)) > 180:
            raise ValueError(
                f"{name!r} is outside -90..90 degrees of latitude or -180..180 of longitude"
            )
        query = (("lat", latitude), ("lon", longitude))
        return Place(name, query, coordinates=(latitude, longitude))
    if match := _ZIP.fullmatch(name):
        country = country_code(match["country"])
        return Place(name, (("zip", f"{match['code'].strip()},{country}"),), country=country)
    match = None if name.startswith("zip:") else _CITY.fullmatch(name)
    if match and any(map(str.isalpha, match["city"])):
        return Place(name, (("q", name),), country=country_code(match["country"]))
    raise ValueError(
        f"{name!r} is not a place: write City,CC with the country's two letters (London,GB), "
        "a city id (2643743), lat,lon (51.5085,-0.1257) or zip:CODE,CC"
    )


class Places:
    """Places in the order they were named. Only their names are kept, because they may be many.

    duplicates: those that were named more than once, as a message names them.
    """

    def __init__(self, names: Sequence[str], duplicates: str = "") -> None:
        self.names = names
        self.duplicates = duplicates

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Place:
        return parse_place(self.names[index])

    def __iter__(self) -> Iterator[Place]:
        return map(parse_place, self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places) and self.names == other.names

    def __hash__(self) -> int:
        return hash(tuple(self.names))


def read_places(value: str, folder: Path) -> Places:
    """Read places with `;` or newlines between; `@file` stands for the lines of a file.

    A place that is named twice is kept once. folder: relative files are in it.

    Raises ValueError that names every text that is not a place, with file and line.
    """
    names: list[str] = []
    seen: set[int] = set()
    problems: list[str] = []
    repeated: list[tuple[Place, str]] = []
    for text, where in _texts(value, folder, problems):
        try:
            place = parse_place(text)
        except ValueError as error:
            problems.append(f"{where}: {error}" if where else str(error))
            continue
        if _key(place) in seen:
            repeated.append((place, where))
        else:
            seen.add(_key(place))
            names.append(place.name)
    if problems:
        raise ValueError("; ".join(_first_ten(problems)))
    if not names:
        raise ValueError("it names no place")
    again = _texts(value, folder, []) if repeated else ()
    return Places(names, "; ".join(_first_ten([*_describe(repeated, again)])))


def _key(place: Place) -> int:
    """Equal if the queries are. A hash, because queries take more memory than names do."""
    return hash(str(place.query).casefold())


def _describe(repeated: list[tuple[Place, str]], texts: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Each repeated place, with the line it is on and the line that named it first."""
    wanted = {_key(place) for place, _ in repeated}
    first: dict[int, str] = {}
    for text, where in texts:
        key = _key(parse_place(text))
        if key in wanted:
            first.setdefault(key, where and f"first: {where}")
    for place, where in repeated:
        lines = "; ".join(filter(None, (where, first[_key(place)])))
        yield f"{place.name} ({lines})" if lines else place.name


def _texts(value: str, folder: Path, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Texts that should be places, each with its file and line, "" for the setting itself."""
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
            yield text, ""


def _lines(path: Path, problems: list[str]) -> Iterator[tuple[str, str]]:
    """The places of a file: UTF-8, one a line; blank lines and what follows a # do not count."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # reading a pipe may never end
        problems.append(f"{path} is not a file")
        return
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                place = line.partition("#")[0].strip()
                # surrogateescape makes these of bytes that are not UTF-8
                if not place.isascii() and re.search("[\udc80-\udcff]", place):
                    problems.append(f"{path}, line {number} is not UTF-8")
                elif place:
                    yield place, f"{path}, line {number}"
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")


def _first_ten(texts: list[str]) -> list[str]:
    left = len(texts) - NAMED
    return texts if left <= 0 else [*texts[:NAMED], f"and {left} more"]

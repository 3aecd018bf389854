"""One place or many, from a setting or a file: what is read, and what errors say."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.openweathermap import EmbeddedOpenWeatherMap
from ingest.places import (
    NAMED,
    Place,
    Places,
    country_code,
    parse_place,
    place_key,
    place_name,
    read_places,
)
from tests.conftest import ROOT, Program

cities = st.builds(
    "{},{}".format,
    st.text("abcdefghijklmnopqrstuvwxyzäöüé -'", min_size=1).filter(lambda name: name.strip("-' ")),
    st.sampled_from(["GB", "FR", "de", "UK"]),
)
ids = st.integers(1, 9_999_999_999).map(str)
coordinates = st.builds(
    "{}{:.4f}, {:.3f}".format, st.sampled_from(["", "+"]), st.floats(0, 90), st.floats(-180, 180)
)
zips = st.builds("zip:{},{}".format, st.from_regex(r"[A-Z0-9]{1,8}", fullmatch=True), st.just("GB"))
any_place = st.one_of(cities, ids, coordinates, zips)


def written(folder: Path, text: str | bytes, name: str = "places.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names(value: str, folder: Path) -> list[str]:
    return list(read_places(value, folder).names)


def complaint(value: str, folder: Path) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        read_places(value, folder)
    return str(caught.value)


# One place


PLACE_FORMS = {
    "London,GB": Place("London,GB", (("q", "London,GB"),), country="GB"),
    "London, gb": Place("London,gb", (("q", "London,gb"),), country="GB"),
    "London,uk": Place("London,uk", (("q", "London,uk"),), country="GB"),
    "London,ON,CA": Place("London,ON,CA", (("q", "London,ON,CA"),), country="CA"),
    "  New \t York,US ": Place("New York,US", (("q", "New York,US"),), country="US"),
    "München,DE": Place("München,DE", (("q", "München,DE"),), country="DE"),
    "2643743": Place("2643743", (("id", "2643743"),), city_id=2643743),
    "51.5085,-0.1257": Place(
        "51.5085,-0.1257",
        (("lat", "51.5085"), ("lon", "-0.1257")),
        coordinates=("51.5085", "-0.1257"),
    ),
    "-90 , +180": Place("-90,+180", (("lat", "-90"), ("lon", "+180")), coordinates=("-90", "+180")),
    "zip:EC1A,GB": Place("zip:EC1A,GB", (("zip", "EC1A,GB"),), country="GB"),
    "zip: 94040 , us": Place("zip: 94040,us", (("zip", "94040,US"),), country="US"),
}


def test_each_form_of_a_place_is_read_alike_from_the_setting_and_from_a_file(
    tmp_path: Path,
) -> None:
    for text, place in PLACE_FORMS.items():
        written(tmp_path, text)
        lists = (read_places(text, tmp_path), read_places("@places.txt", tmp_path))
        assert [parse_place(text), *map(list, lists)] == [place, [place], [place]]


# Of no form; off the globe; with characters that cannot be printed.
NOT_PLACES = (
    *("", " ", "London", "London,", ",GB", "London,GBR", "London,G1", "a,b,c,GB", "123,GB"),
    *("0", "-5", "012345", "12345678901", "٢٦٤٣٧٤٣", "51.5;-0.12", "1e2,5", "nan,nan", "51.,0.1"),
    *("zip:", "zip:,GB", "zip:94040", "zip:94_040,US", "zip:94040,USA"),
    *("90.1,0", "-91,0", "0,180.5", "0,-999"),
    *("Lon\x00don,GB", "London\x1b,GB", "L\ud800,GB", "\u202eL,GB"),
)


def test_what_is_not_a_place_is_refused_and_shown_escaped() -> None:
    for text in NOT_PLACES:
        with pytest.raises(ValueError, match=re.escape(repr(place_name(text)))) as caught:
            parse_place(text)
        assert str(caught.value).isprintable()


@given(st.text() | st.from_regex(r"[\w:, .+-]{0,12}(,[A-Z]{2})?", fullmatch=True))
def test_any_text_is_a_place_or_a_value_error(text: str) -> None:
    try:
        place = parse_place(text)
    except ValueError:
        return
    assert place.query
    assert all(name.isascii() and value for name, value in place.query)


names_of_letters = st.builds(
    "{},{}".format,
    st.text(st.characters(categories=["L"]), min_size=1, max_size=20),
    st.from_regex("[A-Z]{2}", fullmatch=True),
)


@given(any_place | names_of_letters)
def test_a_place_is_read_back_from_its_name(text: str) -> None:
    place = parse_place(text)
    assert place.name == place_name(text)
    assert parse_place(place.name) == place


def degrees(limit: int) -> st.SearchStrategy[str]:
    return st.decimals(-limit, limit, places=4).map(str)


@given(degrees(90), degrees(180))
def test_coordinates_are_asked_for_as_configured(latitude: str, longitude: str) -> None:
    place = parse_place(f"{latitude},{longitude}")
    assert place.coordinates == (latitude, longitude)
    assert dict(place.query) == {"lat": latitude, "lon": longitude}


def test_every_spelling_of_a_name_has_one_key() -> None:
    assert place_key(" New \t YORK , us ") == place_key("new york,US") == "new york,us"
    assert place_key("STRASSE,DE") == place_key("Straße,DE")


def test_a_country_is_written_as_openweathermap_answers_it() -> None:
    assert [country_code(text) for text in ("gb", "UK", "uk", "CH")] == ["GB", "GB", "GB", "CH"]


# Lists of places


def test_semicolons_and_newlines_are_between_places(tmp_path: Path) -> None:
    for value in (
        "London,GB;2643743;zip:SW1A,GB",
        "London,GB\n2643743\nzip:SW1A,GB",
        " London,GB ;\r\n 2643743;; zip:SW1A,GB ; \n",
        ";London,GB\n;\n2643743\r\nzip:SW1A,GB",
    ):
        assert names(value, tmp_path) == ["London,GB", "2643743", "zip:SW1A,GB"]


@given(st.lists(any_place, min_size=1, max_size=20))
def test_every_place_is_kept_once_in_its_order_and_reads_back_the_same(texts: list[str]) -> None:
    first: dict[tuple[tuple[str, str], ...], Place] = {}
    for text in texts:
        place = parse_place(text)
        first.setdefault(place.query, place)
    assert list(read_places(";".join(texts), Path("/"))) == list(first.values())


def test_a_list_without_a_place_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "# none yet\n\n")
    assert len({complaint(value, tmp_path) for value in ("", ";", " \n;\n", "@places.txt")}) == 1


# Files


def test_a_file_has_one_place_a_line(tmp_path: Path) -> None:
    for text in (
        "London,GB\nZürich,CH\n東京,JP\n",
        "London,GB\nZürich,CH\n東京,JP",
        "\ufeffLondon,GB\nZürich,CH\n東京,JP\n",
        "London,GB\r\nZürich,CH\r\n東京,JP\r\n",
        "# Europe\nLondon,GB\n  # more\nZürich,CH\n#Asia\n東京,JP\n",
        "London,GB # home\nZürich,CH#lake\n東京,JP\t# far\n",
        "\n\nLondon,GB\n \n\t\nZürich,CH\n\n東京,JP\n\n",
        "  London,GB\t\nZürich, CH\n\t東京,JP ",
    ):
        written(tmp_path, text)
        found = [name.replace(", ", ",") for name in names("@places.txt", tmp_path)]
        assert found == ["London,GB", "Zürich,CH", "東京,JP"]


def test_files_and_places_mix_in_the_order_they_are_named(tmp_path: Path) -> None:
    written(tmp_path, "Paris,FR\nBerlin,DE\n", "europe.txt")
    written(tmp_path, "Tokyo,JP\n", "asia.txt")
    value = "London,GB; @europe.txt\n2643743;@ asia.txt ;zip:SW1A,GB"
    assert names(value, tmp_path) == [
        "London,GB",
        "Paris,FR",
        "Berlin,DE",
        "2643743",
        "Tokyo,JP",
        "zip:SW1A,GB",
    ]


def test_a_file_is_looked_for_in_the_given_folder_unless_its_path_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists").mkdir()
    path = written(tmp_path / "lists", "London,GB")
    monkeypatch.chdir("/")
    assert names("@lists/places.txt", tmp_path) == ["London,GB"]
    assert names(f"@{path}", Path("/nowhere")) == ["London,GB"]


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "London,GB")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("@~/places.txt", Path("/nowhere")) == ["London,GB"]


def test_the_home_of_nobody_is_a_problem_like_any_other(tmp_path: Path) -> None:
    said = complaint("@~no-such-user/places.txt;Atlantis", tmp_path)
    assert "@~no-such-user/places.txt " in said
    assert "'Atlantis'" in said


def test_a_files_path_in_a_file_is_no_place(tmp_path: Path) -> None:
    path = written(tmp_path, "@places.txt\n")
    assert f"{path}, line 1: '@places.txt'" in complaint("@places.txt", tmp_path)


# What is wrong


def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff# Europe\r\nLondon,GB\r\n\r\nAtlantis # sunk\r\n91,0\r\n")
    said = complaint("@places.txt", tmp_path)
    assert f"{path}, line 4: 'Atlantis'" in said
    assert f"{path}, line 5: '91,0'" in said
    assert said.count(str(path)) == 2


@pytest.mark.parametrize("count", [1, NAMED, NAMED + 1, 500])
def test_the_first_ten_bad_lines_are_named_and_the_others_counted(
    tmp_path: Path, count: int
) -> None:
    path = written(tmp_path, "".join(f"bad {n}\nLondon,GB\n" for n in range(count)))
    said = complaint("@places.txt", tmp_path)
    named = [number for number in range(count) if f"{path}, line {2 * number + 1}: " in said]
    assert named == list(range(min(count, NAMED)))
    assert len(said.split("; ")) == min(count, NAMED + 1)


def test_problems_of_all_files_and_places_are_reported_together(tmp_path: Path) -> None:
    path = written(tmp_path, "Atlantis\n")
    said = complaint("@none.txt;-1;@places.txt", tmp_path)
    parts = (str(tmp_path / "none.txt"), "'-1'", f"{path}, line 1: 'Atlantis'")
    assert [part for part in parts if part not in said] == []


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert {complaint(value, tmp_path) for value in ("@", "@ ")} == {complaint("@.", tmp_path)}


def test_a_line_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    for content, number in (
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1),
        (b"Z\xc3\xbcrich,CH\nParis,FR\nZ\xfcrich,CH\n", 3),
        ("London,GB\n".encode("utf-16"), 1),
    ):
        path = written(tmp_path, content)
        assert f"{path}, line {number} " in complaint("@places.txt", tmp_path)


def test_what_cannot_be_printed_is_shown_escaped(tmp_path: Path) -> None:
    path = written(tmp_path, b"London\0,GB\n\x1b[2JParis,FR\n")
    said = complaint("@places.txt", tmp_path)
    assert f"{path}, line 1: 'London\\x00,GB'" in said
    assert f"{path}, line 2: '\\x1b[2JParis,FR'" in said
    assert said.isprintable()


# Places named twice


def test_a_place_named_twice_is_kept_once_and_reported(tmp_path: Path) -> None:
    written(tmp_path, "London,GB\nParis,FR\n\n  London,GB # again\n2643743\nlondon,gb\n")
    places = read_places("@places.txt", tmp_path)
    assert places.names == ["London,GB", "Paris,FR", "2643743"]
    first, second = places.duplicates.split("; ")[::2]
    assert (first.split()[0], second.split()[0]) == ("London,GB", "london,gb")


def test_of_many_duplicates_the_first_ten_are_named(tmp_path: Path) -> None:
    ids = [str(number) for number in range(1, 101)]
    places = read_places(";".join(ids + ids), tmp_path)
    assert places.names == ids
    assert places.duplicates.split("; ")[:-1] == ids[:NAMED]


def test_the_same_spot_in_another_form_is_another_place(tmp_path: Path) -> None:
    places = read_places("London,GB;2643743;51.5085,-0.1257", tmp_path)
    assert len(places) == 3
    assert places.duplicates == ""


def test_duplicates_are_no_part_of_what_makes_lists_equal() -> None:
    once, twice = read_places("1;2", Path("/")), read_places("1;2;1", Path("/"))
    assert twice.duplicates
    assert once == twice
    assert hash(once) == hash(twice)


# Places as a sequence


def test_places_are_a_sequence_of_what_their_names_mean() -> None:
    places = Places(["London,GB", "2643743", "zip:SW1A,GB"])
    assert len(places) == 3
    assert places[0] == parse_place("London,GB")
    assert places[-1] == parse_place("zip:SW1A,GB")
    assert list(places) == [parse_place(name) for name in places.names]
    with pytest.raises(IndexError):
        places[3]


def test_places_are_equal_if_their_names_are() -> None:
    places = Places(["London,GB", "2643743"])
    assert places == Places(["London,GB", "2643743"])
    assert places != Places(["2643743"])
    assert places != ["London,GB", "2643743"]


# From the program's start


def asked(weather: EmbeddedOpenWeatherMap) -> list[str]:
    return sorted(request.query["q"] for request in weather.requests)


def test_place_on_the_command_line_is_a_file_of_the_current_folder(
    program: Program, weather: EmbeddedOpenWeatherMap, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    written(tmp_path / "here", "Paris,FR\nBerlin,DE\n")
    run = program.run(
        *("--place", "@places.txt", "--place", "London,GB"),
        env={"WEATHER_PLACES": "Nowhere,XX"},
        cwd=str(tmp_path / "here"),
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert asked(weather) == ["Berlin,DE", "London,GB", "Paris,FR"]


def test_a_file_of_the_setting_is_relative_to_the_programs_folder(program: Program) -> None:
    run = program.run(env={"WEATHER_PLACES": "@no-such-places.txt"})
    assert run.returncode == 78
    assert str(ROOT / "no-such-places.txt") in run.stderr

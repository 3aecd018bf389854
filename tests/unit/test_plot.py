"""Plots, by what they hold: points, gaps, labels, axes."""

import math
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from commands.show.plot import draw, save
from commands.show.readings import Reading, Shown
from commands.show.time_zone import offsets, zone_of
from ingest.errors import Status, UsageError
from ingest.observation import MEASURES
from ingest.places import Place
from tests.conftest import ROOT, Program
from tests.support.readings import HOUR_MS, PARIS, ago, fill
from tests.support.runs import assert_clean, journal_of

START_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z
LONDON_TIME = ZoneInfo("Europe/London")
numbers_of: Any = dates.num2date  # untyped


def shown(readings: list[Reading], hours: int = 24, start_ms: int = START_MS) -> Shown:
    return Shown("the journal", start_ms, start_ms + hours * HOUR_MS, "metric", [], readings)


def drawn(readings: list[Reading], zone: tzinfo = LONDON_TIME) -> Figure:
    return draw(shown(readings), zone)


def series(
    hours: Sequence[float],
    measure: str = "CurrentTemp",
    place: str = "London,GB",
    value: str = "",
    units: str = "metric",
) -> list[Reading]:
    """A reading at each of these hours of the day, its value the hour where none is given."""
    city, _, country = place.partition(",")
    return [
        Reading(
            place,
            {"city": city, "country": country},
            measure,
            START_MS + int(each * HOUR_MS),
            value or str(each),
            units=units,
        )
        for each in hours
    ]


def panels(figure: Figure) -> dict[str, Axes]:
    """title -> the panels that are seen."""
    return {each.get_title(loc="left"): each for each in figure.axes if each.get_visible()}


def lines(panel: Axes) -> dict[str, Line2D]:
    """place -> its line, without what marks the latest value."""
    found = {str(line.get_label()): line for line in panel.get_lines()}
    return {label: line for label, line in found.items() if not label.startswith("_")}


def values(line: Line2D) -> list[float]:
    drawn: Any = line.get_ydata()  # an array, which its stubs do not say
    return [float(value) for value in drawn]


def points(line: Line2D) -> list[tuple[float, float]]:
    """(hour of the day in UTC, value) of all that is drawn, gaps left out."""
    moments = numbers_of(line.get_xdata(orig=False))
    midnight = datetime.fromtimestamp(START_MS / 1000, UTC)
    return [
        (round((moment - midnight).total_seconds() / 3600, 4), value)
        for moment, value in zip(moments, values(line), strict=True)
        if not math.isnan(value)
    ]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_every_reading_is_a_point_at_its_time() -> None:
    hours = [0.5, 1, 1.5, 2]
    (panel,) = panels(drawn(series(hours))).values()
    (line,) = lines(panel).values()
    assert points(line) == [(hour, hour) for hour in hours]


def test_a_gap_is_left_as_a_gap_and_what_is_near_is_joined() -> None:
    hours = [1, 2, 3, 7, 8, 10.9]
    (panel,) = panels(drawn(series(hours))).values()
    (line,) = lines(panel).values()
    assert [math.isnan(value) for value in values(line)] == [
        False,
        False,
        False,
        True,
        *[False] * 3,
    ]


def test_readings_hours_apart_are_joined_where_that_is_their_pace() -> None:
    (panel,) = panels(drawn(series([0, 4, 8, 12, 16]))).values()
    (line,) = lines(panel).values()
    assert len(values(line)) == 5


def test_a_reading_alone_between_gaps_is_a_dot() -> None:
    (panel,) = panels(drawn(series([1, 1.5, 2, 9, 20, 20.5]))).values()
    (line,) = lines(panel).values()
    alone: Any = line.get_markevery()
    assert [values(line)[index] for index in alone] == [9]


def test_one_reading_is_drawn() -> None:
    (panel,) = panels(drawn(series([12]))).values()
    (line,) = lines(panel).values()
    assert (points(line), line.get_markevery()) == ([(12, 12)], [0])


def test_panels_are_named_and_have_units_in_the_order_of_the_table_of_measures() -> None:
    names = ("Humidity", "WindSpeed", "CurrentTemp")
    readings = [each for name in names for each in series([1, 2], name, units="imperial")]
    found = panels(drawn(readings))
    assert list(found) == ["CurrentTemp", "Humidity", "WindSpeed"]
    assert [panel.get_ylabel() for panel in found.values()] == ["°F", "%", "mph"]


def test_several_places_are_labelled_lines_of_their_own_colours() -> None:
    places = [f"City {number:02d},GB" for number in range(9)]
    readings = [each for place in places for each in series([1, 2], place=place)]
    figure = drawn(readings)
    (panel,) = panels(figure).values()
    assert list(lines(panel)) == places
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == places
    looks = {
        (to_hex(line.get_color()), str(line.get_linestyle())) for line in lines(panel).values()
    }
    assert len(looks) == len(places)
    assert texts(figure)[0] == "Weather of 9 places"


def test_one_place_is_in_the_title_and_its_latest_value_at_the_end() -> None:
    figure = drawn(series([1, 2, 3]))
    assert texts(figure)[0] == "Weather of London,GB"
    assert texts(figure)[1] == "23 Nov 2026 00:00 to 24 Nov 2026 00:00, from the journal"
    (panel,) = panels(figure).values()
    assert [text.get_text() for text in panel.texts] == ["3"]
    assert figure.legends == []


def test_the_time_axis_is_in_the_zone_that_it_names() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    figure = drawn(series([0, 6, 12, 18]), tokyo)
    (panel,) = panels(figure).values()
    assert panel.get_xlabel() == "Asia/Tokyo time (UTC+09:00)"
    figure.draw_without_rendering()
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert "24 Nov" in labels  # midnight in Tokyo
    position = panel.get_xticks()[labels.index("24 Nov")]
    assert numbers_of(position).astimezone(UTC).hour == 15
    for zone in (ZoneInfo("UTC"), timezone(timedelta(hours=-5))):
        (panel,) = panels(drawn(series([1]), zone)).values()
        assert panel.get_xlabel() == str(zone)


def test_the_axis_spans_what_was_asked_for_so_that_gaps_at_its_ends_are_seen() -> None:
    (panel,) = panels(drawn(series([11, 12]))).values()
    first, last = numbers_of(panel.get_xlim())
    assert (first.timestamp() * 1000, last.timestamp() * 1000) == (
        START_MS,
        START_MS + 24 * HOUR_MS,
    )


def test_a_change_of_the_clocks_is_named() -> None:
    autumn = 1_792_800_000_000  # 2026-10-24
    assert offsets(LONDON_TIME, autumn, autumn + 48 * HOUR_MS) == ["UTC+01:00", "UTC+00:00"]


@pytest.mark.parametrize("units", ["standard", "metric", "imperial"])
def test_all_measures_fit_into_one_picture(units: str) -> None:
    words = {"Condition": "Rain", "Sunrise": str(START_MS), "Sunset": str(START_MS)}
    readings = [
        each
        for name in MEASURES
        for each in series(range(24), name, value=words.get(name, ""), units=units)
    ]
    figure = drawn(readings)
    figure.draw_without_rendering()
    found = panels(figure)
    assert list(found) == list(MEASURES)
    boxes = [panel.get_tightbbox() for panel in found.values()]
    width, height = figure.bbox.width, figure.bbox.height
    for number, box in enumerate(boxes):
        assert box is not None
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:number] if other)
    axes_with_time = [panel for panel in found.values() if panel.get_xlabel()]
    assert len(axes_with_time) == 3


def test_words_and_codes_have_lines_of_their_own_and_directions_a_compass() -> None:
    readings = [
        *series([1], "Condition", value="Rain"),
        *series([2], "Condition", value="Clear"),
        *series([1], "ConditionId", value="500"),
        *series([1, 2], "WindDirection", value="350"),
    ]
    found = panels(drawn(readings))

    def labels(name: str) -> list[str]:
        return [label.get_text() for label in found[name].get_yticklabels()]

    assert labels("Condition") == ["Clear", "Rain"]
    assert [y for _, y in points(*lines(found["Condition"]).values())] == [1, 0]
    assert labels("ConditionId") == ["500"]
    assert labels("WindDirection") == ["N", "E", "S", "W", "N"]
    assert lines(found["WindDirection"])["London,GB"].get_linestyle() == "None"


def test_times_of_day_are_drawn_as_hours_of_the_local_day() -> None:
    sunrise = series([1], "Sunrise", value=str(START_MS + 7 * HOUR_MS))
    (panel,) = panels(drawn(sunrise, ZoneInfo("Europe/Paris"))).values()
    assert [y for _, y in points(*lines(panel).values())] == [8]
    assert [text.get_text() for text in panel.texts] == ["08:00"]


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        (ZoneInfo("America/New_York"), "New York time"),
        (ZoneInfo("UTC"), "UTC"),
        (timezone(timedelta(hours=5, minutes=45)), "UTC+05:45"),
    ],
)
def test_times_of_day_name_their_zone(zone: tzinfo, name: str) -> None:
    sunrise = series([1], "Sunrise", value=str(START_MS + 7 * HOUR_MS))
    (panel,) = panels(drawn(sunrise, zone)).values()
    assert panel.get_ylabel() == name


def test_a_measure_in_two_units_has_two_panels() -> None:
    readings = [
        *series([1, 2], value="10"),
        *series([1, 2], "Humidity", value="90"),
        *series([3, 4], value="50", units="imperial"),
        *series([3, 4], "Humidity", value="90", units="imperial"),
    ]
    figure = drawn(readings)
    found = [(panel.get_title(loc="left"), panel.get_ylabel()) for panel in figure.axes]
    assert found == [("CurrentTemp", "°C"), ("CurrentTemp", "°F"), ("Humidity", "%")]
    seen = [points(*lines(panel).values()) for panel in figure.axes]
    assert seen == [[(1, 10), (2, 10)], [(3, 50), (4, 50)], [(hour, 90) for hour in (1, 2, 3, 4)]]


def test_places_without_a_look_of_their_own_are_grey_and_counted() -> None:
    for count, named, more in ((21, 21, []), (22, 20, ["and 2 more"]), (300, 20, None)):
        places = [f"City {number:03d},GB" for number in range(count)]
        readings = [each for place in places for each in series([1, 1.5, 2, 9], place=place)]
        figure = drawn(readings)
        (panel,) = panels(figure).values()
        assert list(lines(panel)) == places[:named]
        (legend,) = figure.legends
        labels = [text.get_text() for text in legend.get_texts()]
        assert labels == places[:named] + (["and 280 more"] if more is None else more)
        assert figure.get_figheight() < 5
        others = [line for line in panel.get_lines() if line.get_label() == "_others"]
        assert len(others) == (count > named)
        for line in others:
            assert to_hex(line.get_color()) == "#c4c4c4"
            # of each: three that are joined, and one alone
            assert sorted(points(line)) == sorted(
                [(1, 1), (1.5, 1.5), (2, 2), (9, 9)] * (count - named)
            )
            alone: Any = line.get_markevery()
            assert [values(line)[index] for index in sorted(set(alone))] == [9] * (count - named)
            assert sum(map(math.isnan, values(line))) == 2 * (count - named) - 1


def test_a_place_of_any_length_is_named_within_the_picture() -> None:
    places = [f"{'Llanfair' * 30} {number},GB" for number in range(2)]
    figure = drawn([each for place in places for each in series([1], place=place)])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().x1 < figure.bbox.width


def test_what_cannot_be_negative_has_no_axis_below_zero() -> None:
    readings = [*series([1, 2], "Rain1h", value="0"), *series([1, 2], "CurrentTemp", value="-5")]
    found = panels(drawn(readings))
    low, high = found["Rain1h"].get_ylim()
    assert -0.1 < low <= 0 < high
    assert found["CurrentTemp"].get_ylim()[0] < -5


# --- whose time it is


@pytest.mark.parametrize(
    ("places", "zone"),
    [
        ([("London", "GB", None)], "Europe/London"),
        ([("London", "GB", 0)], "Europe/London"),
        ([("New York", "US", None)], "America/New_York"),
        ([("São Paulo", "BR", -10800)], "America/Sao_Paulo"),
        ([("Potsdam", "DE", 3600)], "Europe/Berlin"),  # both German zones have the same time
        ([("London", "CA", None)], "UTC"),  # Canada has many
        ([("London", "CA", -18000)], "UTC-05:00"),
        ([("Juneau", "US", -21600)], "UTC-06:00"),  # that in Wisconsin
        ([("", "", None)], "UTC"),
        ([("", "", 20700)], "UTC+05:45"),
        ([("", "", 0)], "UTC"),
        ([("Atlantis", "XX", None)], "UTC"),
        ([("London", "GB", 0), ("Leeds", "GB", 0)], "Europe/London"),
        ([("London", "GB", 0), ("Tokyo", "JP", 32400)], "UTC"),
        ([("Boston", "US", -18000), ("New York", "US", -18000)], "UTC-05:00"),
        ([("Boston", "US", -18000), ("", "", None)], "UTC"),
    ],
)
def test_the_zone_is_the_places_own_where_that_is_known(
    places: list[tuple[str, str, int | None]], zone: str
) -> None:
    assert str(zone_of(at(places, hours=1))) == zone


def at(places: list[tuple[str, str, int | None]], hours: int, start_ms: int = START_MS) -> Shown:
    """A reading of each of these: city, country, seconds east of UTC."""
    readings = [
        Reading(
            f"{city},{country}",
            {"city": city, "country": country},
            "Humidity",
            start_ms,
            "50",
            utc_offset_s=offset_s,
        )
        for city, country, offset_s in places
    ]
    return shown(readings, hours, start_ms)


def test_places_with_other_clock_changes_share_no_zone() -> None:
    in_autumn = 1_792_800_000_000  # 2026-10-24, a day before Europe's and a week before America's
    places: list[tuple[str, str, int | None]] = [("Paris", "FR", 7200), ("Cairo", "EG", 10800)]
    assert str(zone_of(at(places, 48, in_autumn))) == "UTC"
    places = [("Paris", "FR", 7200), ("Berlin", "DE", 7200)]
    assert str(zone_of(at(places, 48, in_autumn))) == "UTC"
    assert str(zone_of(at(places, 1, in_autumn))) == "UTC+02:00"


# --- the command


@pytest.fixture
def alone(tmp_path: Path, fonts: Path) -> Program:
    return Program({"HOME": str(tmp_path), "MPLCONFIGDIR": str(fonts)})


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where matplotlib keeps its list of fonts, which takes a while to make."""
    return tmp_path_factory.mktemp("matplotlib")


def test_a_png_and_an_svg_are_drawn_and_named(alone: Program, tmp_path: Path) -> None:
    fill(journal_of(alone), [ago(30), ago(20), ago(10)], pending=1)
    png, svg = tmp_path / "weather.png", tmp_path / "weather.svg"
    run = alone.run("show", "--plot", str(png))
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        f"{png}: 6 readings of 2 measures, Europe/London time.",
        "1 observation is pending: fetched, and not yet confirmed by Timestream.",
    ]
    height, width, _ = imread(png).shape
    assert width == 1200
    assert height > 400
    arguments = ("--plot", str(svg), "--time-zone", "Asia/Tokyo", "--measure", "Humidity")
    run = alone.run("show", *arguments, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    drawn = svg.read_text(encoding="utf-8")
    assert "Asia/Tokyo time (UTC+09:00)" in drawn
    assert "Weather of London,GB" in drawn
    assert "CurrentTemp" not in drawn


def test_a_place_that_names_no_zone_is_drawn_in_the_time_of_its_last_reading(
    alone: Program, tmp_path: Path
) -> None:
    boston = Place("Boston,US", ())
    summer, winter = (
        replace(ago(minutes, boston, CurrentTemp="5"), utc_offset_s=hours * 3600)
        for minutes, hours in ((90, -4), (30, -5))
    )
    fill(journal_of(alone), [summer, winter])
    run = alone.run("show", "--plot", "weather.svg", cwd=tmp_path)
    assert run.stdout == "weather.svg: 2 readings of 1 measure, UTC-05:00 time.\n"
    assert ">UTC-05:00<" in (tmp_path / "weather.svg").read_text(encoding="utf-8")


def test_without_matplotlib_it_says_what_to_install(alone: Program, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "matplotlib.py").write_text("raise ImportError('not here')\n")
    fill(journal_of(alone), [ago(10)])
    run = alone.run(
        "show", "--plot", str(tmp_path / "weather.png"), env={"PYTHONPATH": str(blocked)}
    )
    assert run.returncode == Status.USAGE
    assert "pip install -r requirements-plot.txt" in run.stderr
    assert_clean(run)
    assert not (tmp_path / "weather.png").exists()


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        save(shown(series([1])), LONDON_TIME, tmp_path / "missing" / "weather.png")


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for suffix in (".png", ".svg"):
        first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
        readings = [*series([1, 2]), *series([1, 2], place=PARIS.name)]
        for path in (first, second):
            save(shown(readings), LONDON_TIME, path)
        assert first.read_bytes() == second.read_bytes()


def test_the_committed_picture_is_a_small_png() -> None:
    picture = ROOT / "docs" / "show.png"
    assert picture.stat().st_size < 150_000
    assert imread(picture).shape[1] == 1200


def test_only_one_file_imports_matplotlib() -> None:
    found = subprocess.run(
        ["grep", "-lE", "(import|from) matplotlib", "-r", "--include=*.py", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    users = {name for name in found if not name.startswith(("./tests/", "./.venv/", "./build/"))}
    assert users == {"./commands/show/plot.py"}

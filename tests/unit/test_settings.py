"""Settings: where each comes from, what is wrong with them, and that no key is ever shown."""

import json
import os
import pickle
import re
import threading
import traceback
from collections.abc import Callable, Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy import make_docs
from embedded.aws import EmbeddedAws
from ingest.deadline import Deadline
from ingest.errors import (
    AccessError,
    DeadlineError,
    DeliveryError,
    IngestError,
    SettingsError,
    Status,
)
from ingest.observation import DEFAULT_MEASURES, FIELDS, MEASURES, NUMBER
from ingest.places import Places
from ingest.reporting.redaction import Redactor
from ingest.settings import DECLARED, HOME, Settings, fields, load, load_settings, read_sources
from ingest.settings.converters import DEFAULT_JOURNAL, is_loopback
from ingest.settings.fields import DEFAULT_URL, PREFIXES
from ingest.settings.secret import fetch_secret, parse_secret
from tests.conftest import API_KEY, SECRET_ID

ROOT = HOME
KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
KEY_ALONE = {"OPENWEATHERMAP_API_KEY": KEY}
NO_SECRET = {"WEATHER_SECRET_ID": "", **KEY_ALONE}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No .env of whoever runs the tests, and no environment that a test left."""
    monkeypatch.setattr(fields, "HOME", tmp_path / "home")
    for name in [name for name in os.environ if name.startswith(("AWS_", *PREFIXES))]:
        monkeypatch.delenv(name)


@pytest.fixture
def env_file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "settings.env"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    command_line: Mapping[str, str] | None = None,
    secret: Mapping[str, str] | None = None,
) -> Settings:
    """Settings of these sources; the secret is at hand, whatever its name."""
    sources = read_sources(KEY_ALONE if environ is None else environ, env_file, command_line)
    return load(sources, lambda _: secret or {}, Redactor())


def problems(*sources: Any, **named: Any) -> str:
    """What is said of settings that are wrong; never a word of the key."""
    with pytest.raises(SettingsError) as caught:
        read(*sources, **named)
    assert caught.value.status is Status.CONFIG
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_the_key_alone_is_enough() -> None:
    found = vars(read())
    expected = {
        "secret_id": "weather-ingest",
        "api_key": KEY,
        "url": DEFAULT_URL,
        "places": Places(["London,GB"]),
        "units": "metric",
        "measures": DEFAULT_MEASURES,
        "destination": "timestream",
        "database": "TIMESTREAM-DEMO",
        "table": "london_weather_information",
        "endpoint_url": "",
        "timeout_s": 10.0,
        "deadline_s": 120.0,
        "log_level": "",
        "log_format": "text",
    }
    assert {name: found[name] for name in expected} == expected


LAYERS = ("command line", "environment", ".env", "secret")


def test_the_stronger_source_wins(env_file: Callable[[str | bytes], Path]) -> None:
    beaten = []
    for stronger, weaker in combinations((*LAYERS, "default"), 2):
        units = {stronger: "imperial", weaker: "standard"}
        text = {name: {"WEATHER_UNITS": units[name]} if name in units else {} for name in LAYERS}
        dotenv = "".join(f"{name}={value}\n" for name, value in text[".env"].items())
        environment = {**KEY_ALONE, **text["environment"]}
        found = read(environment, env_file(dotenv), text["command line"], text["secret"])
        beaten += [(stronger, weaker)] if found.units != "imperial" else []
    assert beaten == []


def test_an_empty_setting_counts_as_not_set() -> None:
    secret = {"WEATHER_UNITS": "standard"}
    for blank in ("", " ", "\t"):
        assert read({**KEY_ALONE, "WEATHER_UNITS": blank}, secret=secret).units == "standard"


def test_white_space_around_a_setting_is_taken_off() -> None:
    found = read({"OPENWEATHERMAP_API_KEY": f" {KEY}\n", "WEATHER_UNITS": " standard "})
    assert (found.api_key, found.units) == (KEY, "standard")


def test_all_problems_are_in_one_message(env_file: Callable[[str | bytes], Path]) -> None:
    said = problems(
        {"WEATHER_UNIT": "metric", "WEATHER_DEADLINE_SECONDS": "soon"},
        env_file("WEATHER_UNITS=kelvin\nTIMESTREAM_TABEL=x\n"),
        {"WEATHER_PLACES": "Atlantis"},
        {"TIMESTREAM_TABLE": "x", "WEATHER_SECRET_ID": "other"},
    )
    assert [re.findall(r"[A-Z]+_[A-Z_]+", line)[0] for line in said.split("\n  - ")[1:]] == [
        "WEATHER_UNIT",
        "TIMESTREAM_TABEL",
        "WEATHER_SECRET_ID",
        "OPENWEATHERMAP_API_KEY",
        "WEATHER_PLACES",
        "WEATHER_UNITS",
        "TIMESTREAM_TABLE",
        "WEATHER_DEADLINE_SECONDS",
    ]


def test_an_unknown_name_is_reported_in_each_source(
    env_file: Callable[[str | bytes], Path],
) -> None:
    meant = {
        "WEATHER_PLACE": "WEATHER_PLACES?",
        "WEATHER_Units": "WEATHER_UNITS?",
        "OPENWEATHERMAP_KEY": "OPENWEATHERMAP_API_KEY?",
        "OPENWEATHERMAP_API_KEY_": "OPENWEATHERMAP_API_KEY?",
        "TIMESTREAM_DATABSE": "TIMESTREAM_DATABASE?",
        "INFLUXDB_0123456789": "INFLUXDB_0123456789.",
    }
    wrong = []
    for name, end in meant.items():
        said = {
            "the environment": problems({**KEY_ALONE, name: "x"}),
            "settings.env": problems(KEY_ALONE, env_file(f"{name}=x\n")),
            "the secret": problems(secret={name: "x"}),
        }
        wrong += [
            text
            for where, text in said.items()
            if not (where in text and f" {name}" in text and text.endswith(f" {end}"))
        ]
    assert wrong == []


def test_other_programs_names_are_not_ours(env_file: Callable[[str | bytes], Path]) -> None:
    other = {"weather_places": "x"}
    read({**KEY_ALONE, **other}, env_file("weather_places=x\n"), None, other)


WRONG = {
    "OPENWEATHERMAP_API_KEY": (f"{KEY} {KEY}", f"{KEY}é", f"{KEY}\x00"),
    "OPENWEATHERMAP_URL": ("ftp://x/", "x", "https://"),
    "WEATHER_SECRET_ID": ("a\x00b", "a\nb"),
    "WEATHER_PLACES": (";", "London", "London,GB;Atlantis", "@places.txt"),
    "WEATHER_UNITS": ("kelvin", "METRIC"),
    "WEATHER_MEASURES": ("Humidty", "humidity", ",", "All", "CurrentTemp;Humidity", "Wind"),
    "WEATHER_DESTINATION": ("Timestream", "nowhere"),
    "TIMESTREAM_DATABASE": ("ab", "a" * 257, "with space", "x/y/z", "großartig"),
    "TIMESTREAM_TABLE": ("ab", "a" * 257, "a;b;c"),
    "TIMESTREAM_ENDPOINT_URL": ("http://cell.example/", "cell.example", "https://a/?b"),
    "WEATHER_TIMEOUT_SECONDS": ("0", "-1", "nan", "inf", "1e999", "ten", "10s", "86401"),
    "WEATHER_DEADLINE_SECONDS": ("0", "-0.5", "nan", "2 minutes", "1e9"),
    "OPENWEATHERMAP_CALLS_PER_MINUTE": ("0", "-1", "1.5", "many", "1000001"),
    "WEATHER_CONCURRENCY": ("0", "501", "x"),
    "WEATHER_WRITERS": ("0", "33", "x"),
    "WEATHER_JOURNAL": ("journal.sqlite3", "./j", "OFF"),
    "WEATHER_JOURNAL_DAYS": ("-1", "1.5", "many", "100000"),
    "HEALTHCHECK_URL": ("http://hc.example/1", "https://hc.example/?k=1", "hc"),
    "LOG_LEVEL": ("LOUD", "10"),
    "LOG_FORMAT": ("xml", "JSON"),
}


def test_each_setting_has_wrong_values_here() -> None:
    assert DECLARED.keys() <= WRONG.keys()


def test_a_wrong_value_is_reported_with_its_name_and_source() -> None:
    said = [
        (name, problems({**KEY_ALONE, name: value})) for name in DECLARED for value in WRONG[name]
    ]
    sentence = r".* {} \(from the environment\): .*[^.?][.?]"
    assert [each for each in said if not re.fullmatch(sentence.format(each[0]), each[1])] == []


RIGHT = [
    ("WEATHER_TIMEOUT_SECONDS", "0.5", "timeout_s", 0.5),
    ("WEATHER_DEADLINE_SECONDS", "86400", "deadline_s", 86400.0),
    ("WEATHER_MEASURES", "all", "measures", tuple(MEASURES)),
    ("WEATHER_MEASURES", "Humidity, Condition,Humidity,", "measures", ("Humidity", "Condition")),
    ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
    ("LOG_FORMAT", "json", "log_format", "json"),
    ("TIMESTREAM_TABLE", "a.b", "table", "a.b"),
    (
        "WEATHER_PLACES",
        "London,GB; 2643743\n\nParis,FR;;London,GB",
        "places",
        Places(["London,GB", "2643743", "Paris,FR"]),
    ),
]


def test_a_right_value_is_read() -> None:
    read_as = [(name, getattr(read({**KEY_ALONE, name: text}), at)) for name, text, at, _ in RIGHT]
    assert read_as == [(name, value) for name, *_, value in RIGHT]


def test_each_unknown_measure_and_place_is_reported() -> None:
    said = problems(
        {**KEY_ALONE, "WEATHER_MEASURES": "Humidty,Qqqq", "WEATHER_PLACES": "Atlantis;-1"}
    )
    assert [name for name in (" Humidty", " Qqqq", "'Atlantis'", "'-1'") if name not in said] == []


ALLOWED_URLS = [
    "https://api.openweathermap.org/data/2.5/weather",
    "https://pro.openweathermap.org",
    "https://weather.example:8443/a%20b/",
    "http://localhost/",
    "http://localhost:8080/data/2.5/weather",
    "http://127.0.0.1:1/",
    "http://127.1.2.3/",
    "http://[::1]:8080/",
    "https://[2001:db8::1]/",
]
REFUSED_URLS = [
    "http://api.openweathermap.org/data/2.5/weather",
    "http://127.0.0.1.evil.example/",
    "http://localhost.evil.example/",
    "http://127.0.0.1:80@evil.example/",
    "http://evil.example[::1]/",
    "http://[::1]evil.example/",
    "http://[::1]@evil.example/",
    "http://evil.example\\@127.0.0.1/",
    "http://evil.example#@127.0.0.1/",
    "http://evil.example?@127.0.0.1/",
    "http://127.0.0.1 .evil.example/",
    "http://127.0.0.1\r\nHost:evil/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://127.1/",
    "http://169.254.169.254/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "https://user@weather.example/",
    "https://user:password@weather.example/",
    "https://weather.example/?appid=1",
    "https://weather.example?",
    "https://weather.example/#top",
    "https://weather.example:99999/",
    "https://weather.example:port/",
    "https://:443/",
    "https:///path",
    "https://./",
    "https://[::1",
    "https://[]/",
    "https://wéather.example/",
    "https://weather.example/\x00",
    "HTTPS://weather.example/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "//weather.example/",
]


URL_SETTINGS = ("OPENWEATHERMAP_URL", "TIMESTREAM_ENDPOINT_URL")


def refused(urls: list[str]) -> list[tuple[str, str]]:
    return [
        (name, url)
        for name in URL_SETTINGS
        for url in urls
        if any(name in each for each in read_sources({**NO_SECRET, name: url}).problems())
    ]


def test_https_and_http_on_loopback_are_allowed() -> None:
    assert refused(ALLOWED_URLS) == []
    for url in ALLOWED_URLS:
        found = read(KEY_ALONE | dict.fromkeys(URL_SETTINGS, url))
        assert (found.url, found.endpoint_url) == (url, url)


def test_urls_that_would_leak_the_key_or_mislead_are_refused() -> None:
    assert refused(REFUSED_URLS) == [(name, url) for name in URL_SETTINGS for url in REFUSED_URLS]


def test_a_refused_url_is_not_repeated() -> None:
    """It may hold a password or a key."""
    said = problems({**KEY_ALONE, "OPENWEATHERMAP_URL": "https://me:hunter2@x.example/?appid=k9"})
    assert "hunter2" not in said
    assert "k9" not in said


@given(st.text())
@example("127.0.0.1\n")
def test_nothing_but_this_machine_is_loopback(host: str) -> None:
    assert not is_loopback(host) or re.fullmatch(r"localhost|::1|127[.\d]+", host)


def never(secret_id: str) -> dict[str, str]:
    raise AssertionError(f"the secret {secret_id!r} was read")


def test_no_secret_is_read_if_its_id_is_empty(env_file: Callable[[str | bytes], Path]) -> None:
    assert load(read_sources(NO_SECRET), never, Redactor()).secret_id == ""
    dotenv = env_file("WEATHER_SECRET_ID=\n")
    assert load(read_sources(KEY_ALONE, dotenv), never, Redactor()).secret_id == ""
    over = env_file("WEATHER_SECRET_ID=from-the-file\n")
    assert load(read_sources(NO_SECRET, over), never, Redactor()).secret_id == ""


def test_the_secret_is_read_once_by_the_configured_id() -> None:
    asked: list[str] = []

    def secret(secret_id: str) -> dict[str, str]:
        asked.append(secret_id)
        return KEY_ALONE

    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:w-AbCdEf"
    assert load(read_sources({"WEATHER_SECRET_ID": arn}), secret, Redactor()).api_key == KEY
    assert asked == [arn]


LOCAL = ["WEATHER_SECRET_ID", "WEATHER_JOURNAL"]


def test_a_local_setting_in_the_secret_is_one_error() -> None:
    for name, value in product(LOCAL, ("/var/lib/other", "", "a\nb")):
        found = read_sources(KEY_ALONE).with_secret("s", {name: value}).problems()
        assert [name in each for each in found] == [True]


def test_a_local_setting_counts_in_the_environment_and_in_the_env_file(
    env_file: Callable[[str | bytes], Path],
) -> None:
    for name in LOCAL:
        found = (read({**KEY_ALONE, name: "/x"}), read(KEY_ALONE, env_file(f"{name}=/x\n")))
        assert [str(getattr(each, DECLARED[name].name)) for each in found] == ["/x", "/x"]


def test_the_secret_does_not_change_a_local_setting() -> None:
    """A name or ARN of its own would be put into messages about the secret."""
    sources = read_sources({}).with_secret("weather-ingest", dict.fromkeys(LOCAL, "/other"))
    assert sources.text("WEATHER_SECRET_ID") == "weather-ingest"
    assert sources.text("WEATHER_JOURNAL") == DEFAULT_JOURNAL


def test_an_empty_journal_is_the_default_one(env_file: Callable[[str | bytes], Path]) -> None:
    expected = read(KEY_ALONE).journal
    assert expected
    assert read({**KEY_ALONE, "WEATHER_JOURNAL": " "}).journal == expected
    dotenv = env_file("WEATHER_JOURNAL=off\n")
    assert read({**KEY_ALONE, "WEATHER_JOURNAL": ""}, dotenv).journal is None


def test_the_default_journal_is_in_the_state_folder_that_the_given_environment_names(
    monkeypatch: pytest.MonkeyPatch, env_file: Callable[[str | bytes], Path]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/of/this/process")
    environ = {**KEY_ALONE, "XDG_STATE_HOME": "/state", "HOME": "/"}
    in_state = Path("/state/ingest-weather/journal.sqlite3")
    assert read(environ).journal == in_state
    assert read({**environ, "WEATHER_JOURNAL": DEFAULT_JOURNAL}).journal == in_state
    assert read({**environ, "WEATHER_JOURNAL": "/x"}).journal == Path("/x")
    in_home = Path(DEFAULT_JOURNAL).expanduser()
    assert read({**environ, "XDG_STATE_HOME": "not/absolute"}).journal == in_home
    assert read(KEY_ALONE, env_file("XDG_STATE_HOME=/state\n")).journal == in_home


def test_settings_are_the_same_whenever_they_are_asked_for() -> None:
    environ = {**KEY_ALONE, "WEATHER_UNITS": "standard"}
    sources = read_sources(environ).with_secret("s", {"TIMESTREAM_TABLE": "of_the_secret"})
    environ["WEATHER_UNITS"] = "imperial"
    first, second = sources.settings(), sources.settings()
    assert first == second
    assert (first.units, first.table) == ("standard", "of_the_secret")


@pytest.mark.parametrize("unread", [None, DeliveryError("Secrets Manager is away.")])
def test_an_error_is_the_same_whenever_settings_are_asked_for(unread: DeliveryError | None) -> None:
    sources = read_sources({"WEATHER_UNIT": "x", "WEATHER_UNITS": "kelvin"})
    said = []
    for _ in range(2):
        with pytest.raises(SettingsError) as caught:
            sources.settings(unread)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert said[0].count("\n  - ") == 3
    assert sources.problems(unread) == sources.problems(unread)


def test_a_secret_is_added_to_new_sources_and_not_to_these() -> None:
    without = read_sources({})
    added = without.with_secret("s", {**KEY_ALONE, "WEATHER_UNIT": "x"})
    assert [layer.where for layer in added.layers[3:]] == ["the secret 's'"]
    assert len(without.layers) == 3
    assert len(without.problems()) == 1  # the key is missing
    assert len(added.problems()) == 1  # and now it is not, but a name is unknown
    assert "WEATHER_UNIT" in added.problems()[0]


def test_problems_are_the_sentences_of_the_error_without_the_one_of_the_secret() -> None:
    unread = DeliveryError("Secrets Manager is away.")
    sources = read_sources({"WEATHER_UNITS": "kelvin", "LOG_FORMAT": "xml"})
    named = ["WEATHER_UNITS", "LOG_FORMAT"]
    assert [each.split()[0] for each in sources.problems(unread)] == named
    assert [each.split()[0] for each in sources.problems()] == ["OPENWEATHERMAP_API_KEY", *named]
    with pytest.raises(SettingsError) as caught:
        sources.settings(unread)
    assert str(caught.value).split("\n  - ")[1:] == [*sources.problems(unread), str(unread)]
    assert read_sources(NO_SECRET).problems() == []


def unreadable(error: IngestError) -> Callable[[str], dict[str, str]]:
    def read_secret(_: str) -> dict[str, str]:
        raise error

    return read_secret


def test_a_secret_that_cannot_be_read_keeps_its_own_status() -> None:
    error = AccessError("denied.")
    with pytest.raises(AccessError) as caught:
        load(read_sources({}), unreadable(error), Redactor())
    assert caught.value is error


def test_a_secret_that_cannot_be_read_is_listed_with_the_other_problems() -> None:
    error = DeliveryError("Secrets Manager is away.")
    with pytest.raises(SettingsError) as caught:
        load(read_sources({"WEATHER_UNITS": "x"}), unreadable(error), Redactor())
    first, second = str(caught.value).split("\n  - ")[1:]
    assert ("WEATHER_UNITS" in first, second) == (True, str(error))  # nobody knows of the key


ENV_FILES = (
    f"OPENWEATHERMAP_API_KEY={KEY}\nWEATHER_UNITS=standard\n",
    f"export OPENWEATHERMAP_API_KEY='{KEY}'\nWEATHER_UNITS=\"standard\"\n",
    f"# a\n\nOPENWEATHERMAP_API_KEY={KEY}\nWEATHER_UNITS=standard # b",
    f"  OPENWEATHERMAP_API_KEY = {KEY}  \n WEATHER_UNITS= standard\n",
    f"\ufeffOPENWEATHERMAP_API_KEY={KEY}\nWEATHER_UNITS=standard\n",
    f"OPENWEATHERMAP_API_KEY={KEY}\r\nWEATHER_UNITS=standard\r\n",
    f"FOO=1\nOPENWEATHERMAP_API_KEY={KEY}\nWEATHER_UNITS=standard\nfoo.bar=2\n",
    f"OPENWEATHERMAP_API_KEY={KEY}\nWEATHER_UNITS=x\nWEATHER_UNITS=standard\n",  # the last of two
)


def test_an_env_file_is_read_in_each_usual_form(env_file: Callable[[str | bytes], Path]) -> None:
    found = [read({"WEATHER_SECRET_ID": ""}, env_file(content)) for content in ENV_FILES]
    assert [(each.api_key, each.units) for each in found] == [(KEY, "standard")] * len(ENV_FILES)


def test_places_stand_on_lines_of_their_own_in_quotes(
    env_file: Callable[[str | bytes], Path],
) -> None:
    found = read(KEY_ALONE, env_file('WEATHER_PLACES="London,GB\nParis,FR\n"\n'))
    assert [place.name for place in found.places] == ["London,GB", "Paris,FR"]


def test_a_broken_env_file_is_reported_with_the_place_of_the_fault(
    env_file: Callable[[str | bytes], Path],
) -> None:
    broken: dict[str | bytes, str] = {
        b"WEATHER_UNITS=\xff\n": "byte 14",
        "WEATHER_UNITS=metric".encode("utf-16"): "byte 0",
        "LOG_LEVEL=INFO\nthis is no setting\n": "line 2",
        f"LOG_LEVEL=INFO\nOPENWEATHERMAP_API_KEY\n{KEY}\n": "line 2",
        'WEATHER_UNITS="metric\n': "line 1",
    }
    said = {content: problems(KEY_ALONE, env_file(content)) for content in broken}
    assert [text for content, text in said.items() if broken[content] not in text] == []


def test_an_env_file_that_is_missing_or_cannot_be_read_is_reported(tmp_path: Path) -> None:
    for path in (tmp_path / "none.env", tmp_path):
        assert str(path) in problems(KEY_ALONE, path)


def test_the_env_file_next_to_the_program_is_read_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fields, "HOME", tmp_path)
    assert read().units == "metric"
    (tmp_path / ".env").write_text("WEATHER_UNITS=imperial\n")
    assert read().units == "imperial"


def test_the_env_file_gives_boto3_what_the_environment_lacks(
    monkeypatch: pytest.MonkeyPatch, env_file: Callable[[str | bytes], Path]
) -> None:
    monkeypatch.setattr(os, "environ", {"AWS_PROFILE": "theirs"})
    sources = read_sources(
        os.environ,
        env_file("AWS_REGION=eu-west-1\nAWS_PROFILE=ours\nAWS_CA_BUNDLE=\nLOG_LEVEL=INFO\n"),
    )
    assert os.environ == {"AWS_PROFILE": "theirs"}
    sources.export_aws()
    assert os.environ == {"AWS_PROFILE": "theirs", "AWS_REGION": "eu-west-1"}


def test_boto3_is_given_nothing_of_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of the calls: the secret was read without it."""
    monkeypatch.setattr(os, "environ", {})
    read_sources({}).with_secret("s", {"AWS_REGION": "eu-west-1"}).export_aws()
    assert os.environ == {}


def test_what_cron_will_not_have_is_named(env_file: Callable[[str | bytes], Path]) -> None:
    environ = {
        **KEY_ALONE,
        "AWS_PROFILE": "x",
        "AWS_REGION": "x",
        "WEATHER_UNITS": "x",
        "PATH": "/",
    }
    sources = read_sources(environ, env_file("AWS_REGION=eu-west-1\n"))
    assert sources.only_in_environment() == ["AWS_PROFILE", *KEY_ALONE, "WEATHER_UNITS"]


def test_times_are_known_before_the_secret_is_read() -> None:
    sources = read_sources({"WEATHER_TIMEOUT_SECONDS": "3", "WEATHER_DEADLINE_SECONDS": "soon"})
    assert sources.seconds("WEATHER_TIMEOUT_SECONDS") == 3.0
    assert sources.seconds("WEATHER_DEADLINE_SECONDS") == 120.0  # reported later, by `settings`


def test_a_secret_is_a_json_object_of_strings_and_numbers() -> None:
    name = "WEATHER_TIMEOUT_SECONDS"
    read_as: list[tuple[dict[str, object], dict[str, str]]] = [
        ({"OPENWEATHERMAP_API_KEY": KEY, name: "7"}, {"OPENWEATHERMAP_API_KEY": KEY, name: "7"}),
        ({name: 7}, {name: "7"}),
        ({name: 7.5}, {name: "7.5"}),
        ({name: None}, {}),  # not set
        ({"rotation": {"a": [1]}, "ok": True}, {}),  # names of others may hold anything
        ({}, {}),
    ]
    for secret, texts in read_as:
        body = json.dumps(secret)
        assert parse_secret(body, "s") == parse_secret(body.encode(), "s") == texts


def test_another_value_in_a_secret_is_reported_by_name() -> None:
    names = ("OPENWEATHERMAP_API_KEY", "WEATHER_ANYTHING")
    for name, value in product(names, (True, [KEY], {"key": KEY})):
        with pytest.raises(SettingsError, match=name) as caught:
            parse_secret(json.dumps({name: value}), "s")
        assert KEY not in str(caught.value)


NOT_OBJECTS: tuple[str | bytes, ...] = (
    *(KEY, f'"{KEY}"', f'["{KEY}"]', f"OPENWEATHERMAP_API_KEY={KEY}", "123456789", "", "null"),
    str({"OPENWEATHERMAP_API_KEY": KEY}),  # as Python writes it
    f'{{"OPENWEATHERMAP_API_KEY": "{KEY}"',
    f'{{"{KEY}":' * 100_000,
    b'{"OPENWEATHERMAP_API_KEY": "' + KEY.encode() + b'\xff"}',
    json.dumps({"OPENWEATHERMAP_API_KEY": KEY}).encode("utf-16"),
)


def test_nothing_is_shown_of_a_secret_that_is_not_a_json_object() -> None:
    for body in NOT_OBJECTS:
        with pytest.raises(SettingsError, match="'my-secret'") as caught:
            parse_secret(body, "my-secret")
        shown = "".join(traceback.format_exception(caught.value))
        assert [text for text in (KEY, "123456789") if text in shown] == []


@given(st.binary() | st.text() | st.recursive(st.none(), st.lists).map(json.dumps))
def test_any_secret_is_read_or_a_settings_error(body: bytes | str) -> None:
    try:
        texts = parse_secret(body, "s")
    except SettingsError:
        return
    assert all(isinstance(text, str) for text in texts.values())


@pytest.fixture
def on_loopback(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> EmbeddedAws:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    return aws


@pytest.mark.parametrize("binary", [False, True], ids=["SecretString", "SecretBinary"])
def test_the_secret_is_fetched_from_secrets_manager(on_loopback: EmbeddedAws, binary: bool) -> None:
    body = json.dumps({"OPENWEATHERMAP_API_KEY": KEY, "WEATHER_DEADLINE_SECONDS": 33})
    on_loopback.put_secret(SECRET_ID, body.encode() if binary else body)
    found = load_settings()
    assert (found.api_key, found.deadline_s) == (KEY, 33.0)


@pytest.mark.usefixtures("on_loopback")
def test_the_environment_is_read_if_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_UNITS", "standard")
    assert load_settings().units == "standard"
    assert load_settings({"WEATHER_UNITS": "imperial"}).units == "imperial"
    assert load_settings({}).api_key == API_KEY


def test_load_settings_reaches_aws_by_the_env_file_alone(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch, env_file: Callable[[str | bytes], Path]
) -> None:
    with monkeypatch.context() as patch:
        for name in aws.environment():  # so that what the file sets is taken back
            patch.setenv(name, "")
            del os.environ[name]
        lines = (f"{name}={value}\n" for name, value in aws.environment().items())
        assert load_settings({}, env_file("".join(lines))).api_key == API_KEY


@pytest.mark.usefixtures("on_loopback")
def test_a_missing_secret_is_reported_by_name() -> None:
    with pytest.raises(SettingsError, match="'none'"):
        load_settings({"WEATHER_SECRET_ID": "none"})


@pytest.mark.usefixtures("on_loopback")
def test_work_is_done_while_the_secret_is_on_its_way() -> None:
    from ingest.aws.session import Aws

    aws = Aws()
    done = threading.Event()
    done_before_the_answer: list[bool] = []
    aws.on_answer(lambda _: done_before_the_answer.append(done.wait(30)))
    secret = fetch_secret(aws, SECRET_ID, Deadline(60), done.set)
    assert secret == {"OPENWEATHERMAP_API_KEY": API_KEY}
    assert done_before_the_answer == [True]


@pytest.mark.usefixtures("on_loopback")
def test_a_client_can_fetch_the_secret_for_one_run_after_another() -> None:
    from ingest.aws.session import Aws

    aws = Aws()
    emitter: Any = aws.secrets_manager().meta.events

    def listeners() -> int:
        return len(emitter.emit("before-send.secrets-manager.GetSecretValue", request=None))

    others = listeners()
    for _ in range(2):
        assert fetch_secret(aws, SECRET_ID, Deadline(60)) == {"OPENWEATHERMAP_API_KEY": API_KEY}
        assert listeners() == others


def test_no_secret_is_asked_for_when_time_is_up(on_loopback: EmbeddedAws) -> None:
    from ingest.aws.session import Aws

    with pytest.raises(DeadlineError) as caught:
        fetch_secret(Aws(), SECRET_ID, Deadline(0))
    for thread in threading.enumerate():
        if thread.name.startswith("while "):
            thread.join()
    assert caught.value.status is Status.TEMPFAIL
    assert on_loopback.count("GetSecretValue") == 0


def test_the_key_is_in_no_repr() -> None:
    found = read()
    assert KEY not in f"{found!r} {found!s} {found}"
    assert "api_key" not in repr(found)
    assert pickle.loads(pickle.dumps(found)).api_key == KEY


SECRET_NAMES = [
    "OPENWEATHERMAP_API_KEY",
    "HEALTHCHECK_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
]


def test_each_secret_is_found_in_each_layer(env_file: Callable[[str | bytes], Path]) -> None:
    texts = {layer: {name: f"{name} of the {layer}" for name in SECRET_NAMES} for layer in LAYERS}
    sources = read_sources(
        {**texts["environment"], "AWS_REGION": "no secret"},
        env_file("".join(f"{name}='{text}'\n" for name, text in texts[".env"].items())),
        texts["command line"],
    ).with_secret("s", {**texts["secret"], "WEATHER_UNITS": "no secret"})
    expected = sorted(text for layer in texts.values() for text in layer.values())
    assert sorted(sources.secrets()) == expected
    assert len(set(expected)) == len(LAYERS) * len(SECRET_NAMES)


def test_secrets_are_hidden_as_they_are_used_without_white_space() -> None:
    sources = read_sources({"OPENWEATHERMAP_API_KEY": f" {KEY}\n", "HEALTHCHECK_URL": " "})
    assert sources.secrets() == [KEY]


def test_keys_are_redacted_before_the_secret_is_read_and_that_of_the_secret_before_errors() -> None:
    redact = Redactor()
    wrong = "a wrong key of the secret"

    def secret(_: str) -> dict[str, str]:
        assert redact(f"appid={KEY}") == "appid=(redacted)"
        return {"OPENWEATHERMAP_API_KEY": wrong}

    assert load(read_sources(KEY_ALONE), secret, redact).api_key == KEY
    assert redact(f"appid={wrong}") == "appid=(redacted)"


def test_a_wrong_key_is_redacted_as_well() -> None:
    redact, wrong = Redactor(), "a wrong key of the secret"
    with pytest.raises(SettingsError):
        load(read_sources({}), lambda _: {"OPENWEATHERMAP_API_KEY": wrong}, redact)
    assert redact(f"appid={wrong}") == "appid=(redacted)"


def test_sources_show_no_key() -> None:
    assert KEY not in repr(read_sources(KEY_ALONE))


def test_every_setting_says_what_it_means() -> None:
    for name, each in DECLARED.items():
        assert re.fullmatch(r"[A-Z][A-Z_]+", name)
        assert each.metadata["meaning"].endswith(".")
        assert each.repr is not each.metadata["secret"]
    secret = [name for name in DECLARED if DECLARED[name].metadata["secret"]]
    required = [name for name in DECLARED if DECLARED[name].metadata["default"] is None]
    assert required == ["OPENWEATHERMAP_API_KEY"]
    assert secret == ["OPENWEATHERMAP_API_KEY", "HEALTHCHECK_URL"]
    local = [name for name in DECLARED if DECLARED[name].metadata["local"]]
    assert local == LOCAL


def test_every_setting_is_in_the_table_and_in_the_example_as_it_was_declared() -> None:
    table, example = make_docs.settings_table(), make_docs.example()
    for name, each in DECLARED.items():
        default, meaning = each.metadata["default"], each.metadata["meaning"]
        (row,) = (line for line in table.splitlines() if line.startswith(f"| `{name}` |"))
        assert meaning in row
        assert ("Required." in row) == (default is None)
        assert ("Environment or `.env` only." in row) == each.metadata["local"]
        assert f"| `{default}` |" in row or not default
        comment, _, _ = example.partition(f"\n# {name}={default or ''}\n")
        said = comment.rpartition("\n\n")[2].replace("\n# ", " ")
        assert meaning.replace("`", "") in said
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()} == {4}
    assert not [line for line in example.splitlines() if len(line) > make_docs.WIDTH]
    assert set(make_docs.SECTIONS) <= set(DECLARED)


def test_every_measure_is_in_the_table_with_its_field_and_units() -> None:
    table = make_docs.measures_table()
    for name, measure in MEASURES.items():
        (row,) = (line for line in table.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| `{FIELDS[name]}` |" in row
        assert measure.kind != NUMBER or all(unit in row for unit in measure.units)
    assert "| `WindGust` | `wind.gust` | m/s, m/s, mph |" in table
    assert "| `Pressure` | `main.pressure` | hPa |" in table


def test_every_exit_status_is_in_the_table_under_its_name_in_the_standard_library() -> None:
    table = make_docs.statuses_table()
    for status in Status:
        assert re.search(rf"^\| {int(status)} \|.*\| {re.escape(status.meaning)} \|$", table, re.M)
    named = re.findall(r"^\| (\d+) \| `(EX_\w+)` \|", table, re.M)
    assert len(named) == len(Status) - 2  # 0 and 2 are of every program
    assert [int(number) for number, _ in named] == [getattr(os, name) for _, name in named]


@pytest.mark.parametrize("name", ["README.md", "config.example.env"])
def test_what_is_written_from_the_code_is_up_to_date(name: str) -> None:
    now = (ROOT / name).read_text(encoding="utf-8")
    made = make_docs.readme(now) if name == "README.md" else make_docs.example()
    assert now == made, f"{name} is not what the code declares. Type: make docs"


def test_a_readme_without_a_place_for_a_table_is_not_written() -> None:
    with pytest.raises(SystemExit, match=r"README\.md has no lines <!-- settings"):
        make_docs.readme("# ingest-weather\n")


def in_readme(*tables: str) -> str:
    """A README with the tables of settings, measures and exit statuses."""
    return "".join(
        f"Above.\n<!-- {name}: written by `make docs` -->\n{table}<!-- end of {name} -->\nBelow.\n"
        for name, table in zip(("settings", "measures", "statuses"), tables, strict=True)
    )


def test_the_script_writes_both_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readme, example = tmp_path / "README.md", tmp_path / "config.example.env"
    monkeypatch.setattr(make_docs, "README", readme)
    monkeypatch.setattr(make_docs, "EXAMPLE", example)
    readme.write_text(in_readme("old\n", "", "\n"), encoding="utf-8")
    make_docs.main()
    made = (make_docs.settings_table, make_docs.measures_table, make_docs.statuses_table)
    expected = in_readme(*(f"\n{table()}\n" for table in made))
    assert readme.read_text(encoding="utf-8") == expected
    assert example.read_text(encoding="utf-8") == make_docs.example()


def test_the_example_file_is_a_valid_env_file(tmp_path: Path) -> None:
    text = (ROOT / "config.example.env").read_text(encoding="utf-8")
    unfolded = re.sub(r"^# ?(?=[A-Z][A-Z0-9_]*=)", "", text, flags=re.MULTILINE)
    path = tmp_path / "all.env"
    path.write_text(re.sub(r"(?m)^AWS_.*$", "", unfolded), encoding="utf-8")
    assert read(KEY_ALONE, path).url == DEFAULT_URL

"""The whole program in this process: real PycURL over a socket, boto3 against moto."""

import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.timestreamwrite.models import timestreamwrite_backends

import ingest_weather
from embedded.openweathermap import EmbeddedOpenWeatherMap
from tests.conftest import API_KEY, DATABASE, SECRET_ID, TABLE

REGION = "us-east-1"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """None but what a run needs; moto takes any credentials."""
    for name in os.environ:
        if name.startswith(("AWS_", "WEATHER_", "OPENWEATHERMAP_", "TIMESTREAM_", "LOG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOTREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-one")
    return monkeypatch


@pytest.fixture
def own_process() -> Iterator[None]:
    """What a run changes for the whole process is put back."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    program_level = logging.getLogger("ingest_weather").level
    numbers = (signal.SIGTERM, signal.SIGINT)
    signals = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("ingest_weather").setLevel(program_level)
    logging.raiseExceptions = raises
    logging.captureWarnings(False)


@pytest.mark.usefixtures("own_process")
def test_motos_own_backend_holds_the_four_records_of_a_run(
    environment: pytest.MonkeyPatch,
    weather: EmbeddedOpenWeatherMap,
    capfd: pytest.CaptureFixture[str],
) -> None:
    environment.setenv("OPENWEATHERMAP_URL", weather.url)
    weather.set_weather("London,GB", temp=12.34, feels_like=11, humidity=81, pressure=1012)
    with mock_aws():
        boto3.client("secretsmanager", region_name=REGION).create_secret(
            Name=SECRET_ID, SecretString=json.dumps({"OPENWEATHERMAP_API_KEY": API_KEY})
        )
        timestream = boto3.client("timestream-write", region_name=REGION)
        timestream.create_database(DatabaseName=DATABASE)
        timestream.create_table(DatabaseName=DATABASE, TableName=TABLE)
        status = ingest_weather.main([])
        backend = timestreamwrite_backends[DEFAULT_ACCOUNT_ID][REGION]
        records: list[dict[str, Any]] = backend.databases[DATABASE].tables[TABLE].records
    assert (status, *capfd.readouterr()) == (0, "", "")
    assert {record["MeasureName"]: record["MeasureValue"] for record in records} == {
        "CurrentTemp": "12.34",
        "TempFeelsLike": "11",
        "Humidity": "81",
        "Pressure": "1012",
    }
    for record in records:
        assert {each["Name"]: each["Value"] for each in record["Dimensions"]} == {
            "city": "London",
            "country": "GB",
            "city_id": "2643743",
        }
    assert weather.count("weather") == 1

"""The table of destinations: each row leads to what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from ingest import destinations
from ingest.clients import Clients
from ingest.deadline import Deadline
from ingest.destinations import DESTINATIONS, as_sent, open_destination, preload
from ingest.errors import SettingsError
from ingest.settings import DECLARED
from tests.conftest import ROOT
from tests.destinations.sites import SITES, TimestreamSite, timestream_site
from tests.support.destinations import NEVER_S, seen_in
from tests.support.settings import settings_of

each = pytest.mark.parametrize("name", DESTINATIONS)


def test_the_conformance_suite_runs_over_each() -> None:
    assert DESTINATIONS.keys() <= SITES.keys()


@each
def test_its_settings_are_declared_and_belong_to_no_other(name: str) -> None:
    own = DESTINATIONS[name].settings
    assert set(own) <= DECLARED.keys()
    others = [row.settings for other, row in DESTINATIONS.items() if other != name]
    assert not set(own) & {setting for settings in others for setting in settings}


@each
def test_its_module_is_a_file_at_the_door(name: str) -> None:
    assert (ROOT / f"{DESTINATIONS[name].module}.py").is_file()


@each
def test_a_dry_run_shows_what_it_would_send(name: str) -> None:
    shown = as_sent(name)(seen_in("Paris"))
    assert shown
    assert "Paris" in str(shown)


def test_the_default_destination_is_timestream_and_can_be_opened() -> None:
    with timestream_site() as site:
        clients = site.clients
        preload("timestream", clients)
        destination = open_destination(settings_of(), clients, Deadline(NEVER_S))
        assert type(destination) is type(site.open())
        assert destination.target == site.open().target
        assert isinstance(site, TimestreamSite)
        assert site.actions() == []


def test_what_cannot_be_opened_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError):
        open_destination(settings_of(), Clients(), Deadline(NEVER_S))


def test_the_table_imports_no_destination_and_no_library_of_one() -> None:
    code = (
        "import sys, ingest.destinations, ingest.clients, ingest.settings\n"
        "ingest.clients.Clients()\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = {row.module for row in destinations.DESTINATIONS.values()}
    assert not set(done.stdout.split()) & {*modules, "boto3", "botocore", "pycurl"}

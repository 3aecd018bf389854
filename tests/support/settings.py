"""Settings of a test: what is given, and defaults for all else."""

from ingest.settings import Settings, read_sources
from tests.conftest import API_KEY


def settings_of(**texts: str) -> Settings:
    """By the settings' own names, as they would be written; without a secret."""
    given = {"WEATHER_SECRET_ID": "", "OPENWEATHERMAP_API_KEY": API_KEY, **texts}
    return read_sources(given).settings()

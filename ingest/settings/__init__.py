"""The settings of a run: command line, environment, .env file and secret, checked as one.

Importing this reads nothing, and imports nothing heavy.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from ingest.deadline import Deadline
from ingest.reporting.redaction import Redactor
from ingest.settings.fields import DECLARED, HOME, PROGRAM, Settings
from ingest.settings.sources import Sources, load, read_sources

__all__ = [
    "DECLARED",
    "HOME",
    "PROGRAM",
    "Settings",
    "Sources",
    "load",
    "load_settings",
    "read_sources",
]


def load_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = None
) -> Settings:
    """Read and check all settings: the environment (None is os.environ), .env, the secret.

    Raises SettingsError that lists every problem; AccessError or DeliveryError if the only problem
    is that the secret cannot be read.
    """
    sources = read_sources(os.environ if environ is None else environ, env_file)
    sources.export_aws()

    def read_secret(secret_id: str) -> dict[str, str]:
        from ingest.aws.session import Aws
        from ingest.settings.secret import fetch_secret

        deadline = Deadline(sources.seconds("WEATHER_DEADLINE_SECONDS"))
        aws = Aws(timeout_s=sources.seconds("WEATHER_TIMEOUT_SECONDS"))
        return fetch_secret(aws, secret_id, deadline)

    return load(sources, read_secret, Redactor())

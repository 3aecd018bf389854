"""Readings of the table in Timestream: settings and secret as for a run, then one query."""

import argparse
from collections.abc import Sequence
from typing import Any

from commands.show.from_journal import open_if_any
from commands.show.readings import Reading, Shown, latest_of
from commands.show.timestream_query import Dimensions, dimensions_of, readings_of_page, sql
from commands.terminal import interruptible, progress
from ingest.aws.session import Aws
from ingest.deadline import Deadline, Task
from ingest.errors import DeliveryError
from ingest.journal import history
from ingest.reporting.logs import RunLog
from ingest.reporting.text import plural
from ingest.settings import Sources, load
from ingest.settings.secret import fetch_secret
from timestream_writer import timestream_error

# Timestream Query answers within a minute, with an empty page if it is not done by then.
QUERY_TIMEOUT_S = 65.0


def from_timestream(sources: Sources, options: argparse.Namespace, log: RunLog) -> Shown:
    table = Table(sources, log)
    with open_if_any(table.settings.journal) as journal:
        known = history.latest(journal) if journal else []
    readings = table.readings(options, dimensions_of(options.place, known))
    units, latest = options.units or table.settings.units, latest_of(readings)
    shown = Shown(table.name, options.start_ms, options.end_ms, units, latest, readings)
    if not readings:
        shown.notes.append(f"{table.name} has no such readings in the {shown.time}.")
    return shown


class Table:
    """The table of the settings, which are read as a run reads them.

    name: with its database. Raises as `load` does.
    """

    def __init__(self, sources: Sources, log: RunLog) -> None:
        sources.export_aws()
        self._log = log
        self._deadline = Deadline(sources.seconds("WEATHER_DEADLINE_SECONDS"))
        timeout_s = max(QUERY_TIMEOUT_S, sources.seconds("WEATHER_TIMEOUT_SECONDS"))
        self.aws = Aws(log.redact, timeout_s)
        self.settings = load(
            sources, lambda secret_id: fetch_secret(self.aws, secret_id, self._deadline), log.redact
        )
        self._deadline.seconds = self.settings.deadline_s
        self.name = f"{self.settings.database}.{self.settings.table}"

    def readings(self, options: argparse.Namespace, places: Sequence[Dimensions]) -> list[Reading]:
        """All that the options ask for of these places. Raises IngestError."""
        units = options.units or self.settings.units
        statement = sql(self.settings.database, self.settings.table, options, places)
        self._log.debug("Timestream query: %s", statement)
        where = f"{self.name} in region {self.aws.region}"

        def ask() -> list[Reading]:
            rows: list[Reading] = []
            with self.aws.within(self._deadline):
                pages: Any = self.aws.timestream_query().get_paginator("query")
                for page in pages.paginate(QueryString=statement):
                    if "Rows" not in page or "ColumnInfo" not in page:
                        # botocore takes a body that breaks off for one without members.
                        raise DeliveryError("Timestream's answer is incomplete.", "Try again.")
                    rows += readings_of_page(page, units)
                    percent = page.get("QueryStatus", {}).get("ProgressPercentage", 0.0)
                    say(f"{plural(len(rows), 'row')}, about {percent:.0f} % done")
            return rows

        with (
            interruptible("SIGINT ended the query; nothing was changed."),
            progress(f"Querying {self.name}") as say,
        ):
            try:
                return Task(ask, f"while querying {where}").result(self._deadline)
            except Exception as error:
                raise timestream_error(error, f"Querying {where}", self.aws.region) from error

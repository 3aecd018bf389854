"""Readings of the table in Timestream: settings and secret as for a run, then one query."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from commands.show.from_journal import open_if_any
from commands.show.readings import Shown, latest_of
from commands.show.timestream_query import Dimensions, Row, dimensions_of, rows_of_page, sql
from commands.terminal import interruptible, plural, progress
from ingest.aws.session import Aws
from ingest.deadline import Deadline, Task
from ingest.errors import DeliveryError
from ingest.journal import history
from ingest.journal.schema import JournalFile
from ingest.observation import Observation
from ingest.reporting.logs import RunLog
from ingest.settings import Sources, load
from ingest.settings.secret import fetch_secret
from timestream_writer import timestream_error

if TYPE_CHECKING:
    from mypy_boto3_timestream_query import TimestreamQueryClient

# Timestream Query answers within a minute, with an empty page if it is not done by then.
QUERY_TIMEOUT_S = 65.0


def from_timestream(sources: Sources, options: argparse.Namespace, log: RunLog) -> Shown:
    table = Table(sources, log)
    units = options.units or table.settings.units
    with open_if_any(table.settings.journal) as journal:
        known = latest_observations(journal)
    rows = table.rows(options, dimensions_of(options.place, known))
    readings = [row.reading(units) for row in rows]
    shown = Shown(
        table.name, options.start_ms, options.end_ms, units, latest_of(readings), readings
    )
    if not readings:
        shown.notes.append(f"{table.name} has no such reading of the {shown.time}.")
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

    def rows(self, options: argparse.Namespace, places: Sequence[Dimensions]) -> list[Row]:
        """All rows that the options ask for, of these places. Raises IngestError, at the deadline
        too."""
        statement = sql(
            self.settings.database,
            self.settings.table,
            options.start_ms,
            options.end_ms,
            options.measure,
            places,
        )
        self._log.debug("Timestream query: %s", statement)
        where = f"{self.name} in region {self.aws.region}"

        def ask() -> list[Row]:
            rows: list[Row] = []
            with self.aws.within(self._deadline):
                for page in _pages(self.aws.timestream_query(), statement):
                    rows += rows_of_page(page)
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


def latest_observations(journal: JournalFile | None) -> list[Observation]:
    return [each.observation for each in history.latest(journal)] if journal else []


def _pages(client: "TimestreamQueryClient", statement: str) -> Iterator[Any]:
    """A page can be empty while Timestream is still at work: only the missing token ends them."""
    more: Any = {}
    while True:
        page = client.query(QueryString=statement, **more)
        if "Rows" not in page or "ColumnInfo" not in page:
            # botocore takes a body that breaks off for one without members.
            raise DeliveryError("The answer of Timestream Query broke off. Try again.")
        yield page
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}

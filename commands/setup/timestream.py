"""The Timestream database and its table."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from commands.aws import CONFLICT, Retention
from commands.setup.look import Job, find_table
from commands.setup.options import DEFAULT
from commands.setup.step import Step
from commands.terminal import progress
from ingest.errors import DeadlineError, DeliveryError

# Between two requests for the status of a table that is not ready yet.
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 2.0


def database_step(job: Job) -> Step:
    existing = Step("exists", f"database {job.settings.database}")

    def create(step: Step) -> Step:
        parameters = {"DatabaseName": job.settings.database, **job.tags}
        doing = f"Creating the {step.thing}"
        made = job.change("timestream:CreateDatabase", doing, CONFLICT, **parameters)
        return step.done() if made else existing

    if job.database:
        return existing
    return Step("create", existing.thing, details=job.tags_told, apply=create)


def table_step(job: Job) -> Step:
    thing, wanted = f"table {job.settings.table}", wanted_retention(job.options, has=DEFAULT)

    def create(step: Step) -> Step:
        doing = f"Creating the {thing}"
        parameters = {**_parameters(job, wanted, {}), **job.tags}
        made = job.change("timestream:CreateTable", doing, CONFLICT, **parameters)
        active = wait_until_active(job, doing)
        return step.done() if made else _comparison(job, thing, active)

    if not job.table:
        return Step("create", thing, details=(str(wanted), *job.tags_told), apply=create)
    step, status = _comparison(job, thing, job.table), job.table.get("TableStatus")
    if status == "ACTIVE":
        return step
    doing = f"Waiting for the {thing} ({status})"
    return replace(step, apply=lambda _: _comparison(job, thing, wait_until_active(job, doing)))


def _comparison(job: Job, thing: str, table: Mapping[str, Any]) -> Step:
    options, has = job.options, Retention.of(table)
    wanted = wanted_retention(options, has)
    if wanted == has:
        return Step("exists", thing, details=(str(has),))
    asked = (options.memory_hours, options.magnetic_days, options.magnetic_writes)
    is_asked = any(each is not None for each in asked)
    details = [f"has:     {has}", f"default: {wanted}"]
    if is_asked:
        details = [f"has:   {has}", f"asked: {wanted}"]
    if wanted.memory_hours < has.memory_hours or wanted.magnetic_days < has.magnetic_days:
        details.append("A shorter retention permanently deletes older records.")
    if not options.update or (options.api_key_stdin and not is_asked):
        how = "--update without --api-key-stdin" if options.update else "--update"
        return Step("differs", thing, details=(*details, f"{how} changes it."))

    def update(step: Step) -> Step:
        parameters = _parameters(job, wanted, table)
        job.change("timestream:UpdateTable", f"Changing the {thing}", **parameters)
        return step.done(f"had: {has}", f"has: {wanted}")

    return Step("update", thing, details=tuple(details), apply=update)


def wait_until_active(job: Job, doing: str) -> Mapping[str, Any]:
    """Poll until the table is ACTIVE; returns it. Raises DeadlineError if it takes too long,
    DeliveryError if it is being deleted."""
    table, pause_s, status = job.settings.table, FIRST_PAUSE_S, ""
    with progress(doing):
        while True:
            try:
                found = find_table(job)
            except DeadlineError:
                if not status:
                    raise
                # The last status says more than that this request had no answer.
                raise job.patience.error(f"while the table {table!r} was {status}") from None
            status = found.get("TableStatus") or "not visible yet"
            if status == "ACTIVE":
                return found
            if status == "DELETING":
                raise DeliveryError(
                    f"The table {table!r} is being deleted.", "When it is gone, run setup again."
                )
            job.patience.check(f"while the table {table!r} was {status}")
            time.sleep(min(pause_s, job.patience.remaining_s()))
            pause_s = min(2 * pause_s, MAX_PAUSE_S)


def wanted_retention(options: argparse.Namespace, has: Retention) -> Retention:
    """What the options say, else the default, but never less than now: that deletes records."""
    writes = options.magnetic_writes
    return Retention(
        options.memory_hours or max(DEFAULT.memory_hours, has.memory_hours),
        options.magnetic_days or max(DEFAULT.magnetic_days, has.magnetic_days),
        DEFAULT.magnetic_writes if writes is None else writes,
    )


def _parameters(job: Job, retention: Retention, table: Mapping[str, Any]) -> dict[str, Any]:
    """Of CreateTable and UpdateTable. table: its place for rejection reports is kept."""
    magnetic = table.get("MagneticStoreWriteProperties") or {}
    return {
        "DatabaseName": job.settings.database,
        "TableName": job.settings.table,
        "RetentionProperties": {
            "MemoryStoreRetentionPeriodInHours": retention.memory_hours,
            "MagneticStoreRetentionPeriodInDays": retention.magnetic_days,
        },
        "MagneticStoreWriteProperties": {
            **magnetic,
            "EnableMagneticStoreWrites": retention.magnetic_writes,
        },
    }

"""Rejected values for a person: which, with what value, at what time, and why."""

from itertools import groupby

from ingest.destination import Destination, Outcome, Rejection
from ingest.observation import describe_value
from ingest.reporting.redaction import one_line
from ingest.reporting.text import plural


def describe_rejections(outcome: Outcome, destination: Destination) -> str:
    """One line for each value, and the advice below those that share it."""
    total = outcome.stored + len(outcome.rejected)
    count = f"{len(outcome.rejected)} of {plural(total, 'record')}"
    lines = [
        f"{destination.service} rejected {count} for {destination.name} ({outcome.stored} stored):"
    ]
    for advice, group in groupby(outcome.rejected, key=destination.advice):
        for each in group:
            lines.append(f"  {describe_value(each.observation, each.measure)}: {_reason(each)}")
        lines.append(f"    {advice}")
    return "\n".join(lines)


def _reason(rejection: Rejection) -> str:
    reason, version = one_line(rejection.reason), rejection.existing_version
    if version is None or str(version) in reason:
        return reason
    return f"{reason} (existing version: {version})"

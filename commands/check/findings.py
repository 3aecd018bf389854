"""What `check` found: one finding a line, for a person, a mail or a program."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from commands import terminal
from ingest.errors import IngestError, Status, most_urgent
from ingest.reporting.text import plural

# The longest name is DescribeEndpoints.
NAME_WIDTH = 17

NETWORK = "Try again. If it goes on, check the network and the service's status page."


class Mark(NamedTuple):
    """word: in plain text. tick, style: on a terminal. ok: for a program, None is unknown."""

    word: str
    tick: str
    style: str
    ok: bool | None


OK = Mark("ok", "✓", terminal.GREEN, True)
WARNING = Mark("warn", "!", terminal.YELLOW, True)
FAILED = Mark("FAIL", "✗", terminal.RED, False)
UNKNOWN = Mark("-", "-", terminal.DIM, None)


@dataclass(frozen=True, slots=True)
class Finding:
    """fact: what was measured. next_step: "" for nothing. status: of a run that fails so."""

    mark: Mark
    fact: str
    next_step: str = ""
    status: Status = Status.OK
    name: str = ""

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "ok": self.mark.ok,
            "warning": self.mark is WARNING,
            "fact": self.fact,
            "next_step": self.next_step,
            "status": None if self.mark is UNKNOWN else self.status,
        }

    def lines(self) -> list[str]:
        sign = self.mark.tick if terminal.supports_color() else f"{self.mark.word:4}"
        heading = f" {self.name:{NAME_WIDTH}}  "
        indent = " " * len(sign + heading)
        first, *others = terminal.wrap(self.fact, indent, indent)
        first = terminal.styled(sign, self.mark.style) + heading + first.lstrip()
        next_step = terminal.wrap(self.next_step, f"{indent}-> ", f"{indent}   ")
        return [first, *others, *next_step]


def failed_by(error: IngestError) -> Finding:
    return Finding(FAILED, error.what, error.advice or NETWORK, error.status)


class NeedError(Exception):
    """A check cannot be made without this."""


def show(lines: Sequence[str]) -> None:
    try:
        terminal.print_lines(lines)
    except BrokenPipeError:  # the reader has gone, and the remaining checks are still made
        terminal.drop_output()


def show_result(found: Sequence[Finding], *, as_json: bool, quiet: bool) -> Status:
    """Returns the most urgent status. quiet: print only if something is wrong."""
    status = most_urgent(finding.status for finding in found)
    if as_json:
        checks = [finding.as_dict() for finding in found]
        show([json.dumps({"checks": checks, "status": status}, ensure_ascii=False)])
    elif status or not quiet:
        show(["", *terminal.wrap(_total(found, status))])
    return status


def _total(found: Sequence[Finding], status: Status) -> str:
    marks = [finding.mark for finding in found]
    counts = f"{marks.count(OK)} ok"
    if warnings := marks.count(WARNING):
        counts += f", {plural(warnings, 'warning')}"
    if unknown := marks.count(UNKNOWN):
        counts += f", {unknown} not checked"
    if not status:
        return f"Nothing is wrong: {counts}."
    first = next(finding.name for finding in found if finding.status == status)
    failed = f"{marks.count(FAILED)} failed, {counts}."
    return f"{failed} Fix first: {first}. Exit status {int(status)}: {status.meaning}."

"""What `check` found: one finding a line, for a person, a mail or a program."""

import json
import os
import re
import sys
import textwrap
from dataclasses import dataclass
from enum import Enum

from commands.tables import fancy, width
from ingest.errors import IngestError, Status, most_urgent
from ingest.observation import one_line
from ingest.reporting.logs import redact

WIDEST = 100

# The longest name is DescribeEndpoints.
NAME_WIDTH = 17

NETWORK = "Nothing to do if it passes; else check the network, and the service's health page."


class Mark(Enum):
    """word: in plain text. tick, colour: on a terminal. ok: for a program, None is unknown."""

    OK = "ok", "✓", "32", True
    WARNING = "warn", "!", "33", True
    FAILED = "FAIL", "✗", "31", False
    UNKNOWN = "-", "-", "2", None

    def __init__(self, word: str, tick: str, colour: str, ok: bool | None) -> None:
        self.word = word
        self.tick = tick
        self.colour = colour
        self.ok = ok


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    fact: what was measured. next_step: what to do, "" for nothing. status: of a run that fails so.
    """

    name: str
    mark: Mark
    fact: str
    next_step: str = ""
    status: Status = Status.OK

    def as_dict(self) -> dict[str, object]:
        """Without a secret in it; status is null where nothing is known."""
        known = self.mark is not Mark.UNKNOWN
        return {
            "name": self.name,
            "ok": self.mark.ok,
            "warning": self.mark is Mark.WARNING,
            "fact": _safe(self.fact),
            "next_step": _safe(self.next_step),
            "status": int(self.status) if known else None,
        }


def fine(name: str, fact: str) -> Finding:
    return Finding(name, Mark.OK, fact)


def warning(name: str, fact: str, next_step: str) -> Finding:
    return Finding(name, Mark.WARNING, fact, next_step)


def failure(name: str, fact: str, next_step: str, status: Status) -> Finding:
    return Finding(name, Mark.FAILED, fact, next_step, status)


def unknown(name: str, fact: str) -> Finding:
    return Finding(name, Mark.UNKNOWN, fact)


def needs(name: str, other: str) -> Finding:
    return unknown(name, f"not checked: needs {other}")


def failed_by(name: str, error: IngestError, next_step: str = "") -> Finding:
    """What an error of ours says. Its last sentence is what to do next, where it has two or more
    and nothing better is known."""
    fact, step = two_parts(str(error))
    return failure(name, fact, next_step or step or NETWORK, error.status)


def two_parts(message: str) -> tuple[str, str]:
    """A message without its last sentence, and that sentence; "" where it is the only one."""
    *_, last = [
        0,
        *(match.end() for match in re.finditer(r"[.!?](?: \(HTTP \d+\))? (?=[A-Z])", message)),
    ]
    return (message[:last].rstrip(), message[last:]) if last else (message, "")


def ago(seconds: float) -> str:
    """12 min ago; in 3 h for what lies ahead."""
    return f"in {span(-seconds)}" if seconds < 0 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """A time in its greatest unit that leaves at least two of it: 90 s, 12 min, 26 h, 3 d."""
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


class Report:
    """Prints findings as they come, or all at the end as JSON.

    quiet: only what is wrong or doubtful.
    """

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._findings: list[Finding] = []
        self._ticks = fancy()
        self._width = min(width(), WIDEST)

    @property
    def status(self) -> Status:
        return most_urgent(finding.status for finding in self._findings)

    def show(self, finding: Finding) -> None:
        """Print one finding, and remember it."""
        self._findings.append(finding)
        if self._as_json or (self._quiet and finding.mark in (Mark.OK, Mark.UNKNOWN)):
            return
        for line in self._lines(finding):
            _print(line)

    def end(self) -> None:
        """What it comes to."""
        if self._as_json:
            checks = [finding.as_dict() for finding in self._findings]
            _print(json.dumps({"checks": checks, "status": int(self.status)}, ensure_ascii=False))
        elif not self._quiet or self._count(Mark.FAILED):
            _print("")
            for line in textwrap.wrap(self._sum(), self._width):
                _print(line)

    def _count(self, mark: Mark) -> int:
        return sum(finding.mark is mark for finding in self._findings)

    def _sum(self) -> str:
        warnings, left_out = self._count(Mark.WARNING), self._count(Mark.UNKNOWN)
        parts = [
            f"{self._count(Mark.OK)} ok",
            *([f"{warnings} warning{'s'[: warnings != 1]}"] if warnings else []),
            *([f"{left_out} not checked"] if left_out else []),
        ]
        failed = self._count(Mark.FAILED)
        if not failed:
            return f"Nothing is wrong: {', '.join(parts)}."
        first = next(each for each in self._findings if each.status == self.status)
        return (
            f"{failed} failed, {', '.join(parts)}. First mend: {first.name}. "
            f"Exit status {int(self.status)}: {self.status.meaning}."
        )

    def _lines(self, finding: Finding) -> list[str]:
        """The finding within the width; a longer word, such as a path, stays whole to be copied."""
        mark = finding.mark
        wide = 1 if self._ticks else 4
        sign = f"{mark.tick if self._ticks else mark.word:{wide}}"
        hang = " " * (wide + NAME_WIDTH + 3)

        def wrapped(text: str, indent: str) -> list[str]:
            return textwrap.wrap(
                _safe(text),
                self._width - len(hang),
                initial_indent=indent,
                subsequent_indent=" " * len(indent),
                break_long_words=False,
                break_on_hyphens=False,
            )

        first, *others = wrapped(finding.fact, "") or [""]
        coloured = f"\x1b[{mark.colour}m{sign}\x1b[0m" if self._ticks else sign
        others += wrapped(finding.next_step, "-> ") if finding.next_step else []
        return [
            f"{coloured} {finding.name:{NAME_WIDTH}}  {first}",
            *(hang + line for line in others),
        ]


def _safe(text: str) -> str:
    return one_line(redact(text))


def _print(line: str) -> None:
    encoding = sys.stdout.encoding or "ascii"
    try:
        print(line.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:  # whoever read it has gone; what is left has still to be looked at
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

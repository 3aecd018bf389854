"""Steps of setup, printed or applied."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from commands.setup.look import Job
from commands.terminal import CYAN, GREEN, RED, YELLOW, print_lines, styled, supports_color, wrap
from ingest.errors import IngestError

MARKS = {"differs": ("!", YELLOW), "failed": ("✗", RED), "would": ("+", CYAN)}


@dataclass(frozen=True)
class Step:
    """One thing that a run needs: its state, and how to change it.

    word: exists, differs or none; create or update if `apply` does that.
    state: printed right after the thing's name; details: lines below that.
    apply: makes the change; returns the step that replaces this one.
    error: why the step cannot be planned.
    """

    word: str
    thing: str
    state: str = ""
    details: tuple[str, ...] = ()
    apply: "Callable[[Step], Step] | None" = None
    error: IngestError | None = None

    def done(self, *details: str) -> "Step":
        """This step after it was applied: created or updated."""
        return replace(self, word=f"{self.word}d", details=details or self.details, apply=None)


def apply(job: Job, steps: list[Step]) -> None:
    """Apply each step, or in a dry run only print it. One that fails ends it: others need it."""
    for planned in steps:
        job.patience.restart()
        step = planned
        try:
            if step.error:
                raise step.error
            while step.apply and not job.options.dry_run:
                step = step.apply(step)
        except IngestError as error:
            report(job, "failed", planned.thing)
            job.options.log.error("%s", error)
            job.statuses.append(error.status)
            return
        would = "would " if step.word in ("create", "update") else ""
        report(job, would + step.word, step.thing + step.state, *step.details)


def report(job: Job, word: str, *texts: str) -> None:
    """Print and remember what happened to something, or would; details go below its name."""
    job.words.add(word)
    sign, style = MARKS.get(word.partition(" ")[0], ("✓", GREEN))
    mark = f"{sign} " if supports_color() else ""
    heading = f"{word:<{14 if job.options.dry_run else 9}}"
    indent = " " * len(mark + heading)
    first, *others = (line for text in texts for line in wrap(text, indent, indent))
    print_lines([styled(mark, style) + heading + first.lstrip(), *others])


def say(text: str) -> None:
    """Print a paragraph."""
    print_lines(["", *wrap(text)])

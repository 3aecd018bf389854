"""Steps of a plan, printed or applied."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from commands.setup.look import Job
from commands.terminal import CYAN, GREEN, RED, YELLOW, print_lines, styled, supports_color, wrap
from ingest.errors import IngestError, Status

MARKS = {"differs": ("!", YELLOW), "failed": ("✗", RED), "would": ("+", CYAN)}


@dataclass(frozen=True)
class Step:
    """One thing that a run needs: how it stands, or what is done about it.

    word: exists, differs or none; create or update if `apply` would do so.
    state: comes right after the thing's name; details: lines below that.
    apply: does it; returns the step that then stands in this one's place.
    error: why the step cannot be planned.
    """

    word: str
    thing: str
    state: str = ""
    details: tuple[str, ...] = ()
    apply: "Callable[[Step], Step] | None" = None
    error: IngestError | None = None

    def done(self, *details: str) -> "Step":
        """The step that was applied: created or updated."""
        return replace(self, word=f"{self.word}d", details=details or self.details, apply=None)


class Execution:
    """Applies steps, or only prints them in a dry run; a line for each."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.words: set[str] = set()
        self.statuses: list[Status] = []

    def carry_out(self, chain: list[Step]) -> None:
        """Each step needs the one before it."""
        for step in chain:
            self._job.patience.restart()
            try:
                self._apply(step)
            except IngestError as error:
                self.line("failed", step.thing)
                self._job.log.error("%s", error)
                self.statuses.append(error.status)
                return

    def _apply(self, step: Step) -> None:
        if step.error:
            raise step.error
        while step.apply and not self._job.options.dry_run:
            step = step.apply(step)
        would = "would " if step.word in ("create", "update") else ""
        self.line(would + step.word, step.thing + step.state, *step.details)

    def line(self, word: str, *texts: str) -> None:
        """What became of something, or would; its name, and more below."""
        self.words.add(word)
        sign, style = MARKS.get(word.partition(" ")[0], ("✓", GREEN))
        mark = f"{sign} " if supports_color() else ""
        heading = f"{word:<{14 if self._job.options.dry_run else 9}}"
        indent = " " * len(mark + heading)
        first, *others = (line for text in texts for line in wrap(text, indent, indent))
        print_lines([styled(mark, style) + heading + first.lstrip(), *others])


def say(text: str) -> None:
    """A paragraph of its own."""
    print_lines(["", *wrap(text)])

"""A progress bar on a terminal: fetched, failed, stored, pace, time left. Nothing elsewhere."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from ingest.reporting.summary import Summary


class Progress(Protocol):
    """Shows how far the run is."""

    def __call__(self, summary: Summary, stored: int) -> None: ...


@contextmanager
def progress(total: int, *, wanted: bool) -> Iterator[Progress]:
    """A function to call now and then with the counts so far.

    wanted: with it, and on a terminal, and for more than one place, a bar is drawn on standard
    error, and removed at the end.
    """
    if not (wanted and total > 1 and sys.stderr.isatty()):
        yield lambda _summary, _stored: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        TextColumn("{task.fields[fetched]} of {task.total:.0f} fetched,"),
        TextColumn("{task.fields[failed]} failed, {task.fields[stored]} stored,"),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    terminal = sys.stderr
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, fetched=0, failed=0, stored=0, pace="")

        def show(summary: Summary, stored: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(
                task,
                completed=summary.fetched + summary.failed,
                fetched=summary.fetched,
                failed=summary.failed,
                stored=stored,
                pace=f"{speed:.0f} a second" if speed else "",
            )

        above_the_bar = sys.stderr
        _move_log(terminal, above_the_bar)
        try:
            yield show
        finally:
            _move_log(above_the_bar, terminal)


def _move_log(before: TextIO, after: TextIO) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(after)

"""A progress bar on a terminal: fetched, failed, stored, pace, time left. Nothing elsewhere."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from ingest.reporting.logs import JsonFormatter
from ingest.reporting.observer import Observer
from ingest.reporting.summary import Summary


class ProgressBar(Observer):
    """Draws a bar on standard error, and removes it at the end, if that is a terminal, it shows
    text at INFO, and there are several places."""

    @contextmanager
    def watch(self, summary: Summary) -> Iterator[Callable[[], None]]:
        logs_json = any(isinstance(each.formatter, JsonFormatter) for each in logging.root.handlers)
        is_wanted = self.log.isEnabledFor(logging.INFO) and not logs_json
        if not (is_wanted and summary.places > 1 and sys.stderr.isatty()):
            yield lambda: None
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
            task = bar.add_task("", total=summary.places, fetched=0, failed=0, stored=0, pace="")

            def draw() -> None:
                speed = bar.tasks[0].speed
                bar.update(
                    task,
                    completed=summary.fetched + summary.failed,
                    fetched=summary.fetched,
                    failed=summary.failed,
                    stored=summary.stored,
                    pace=f"{speed:.0f} a second" if speed else "",
                )

            above_the_bar = sys.stderr
            _move_log(terminal, above_the_bar)
            try:
                yield draw
            finally:
                _move_log(above_the_bar, terminal)


def _move_log(before: TextIO, after: TextIO) -> None:
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(after)

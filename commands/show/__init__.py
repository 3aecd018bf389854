"""What do we have? `ingest_weather.py show`: readings from the journal, or from Timestream."""

import argparse
import os
from collections.abc import Sequence

from commands.show.export import as_dict, print_csv
from commands.show.from_journal import from_journal
from commands.show.options import make_parser, read_options
from commands.show.screen import print_screen
from commands.terminal import print_json
from ingest.errors import Status
from ingest.reporting.logs import start_logging
from ingest.settings import read_sources

__all__ = ["main", "make_parser"]


def main(words: Sequence[str], overall: argparse.Namespace) -> int:
    """Show readings, or compare. Returns an exit status. overall: what stands before it."""
    options = read_options(words, overall)
    if options.verbose:
        start_logging(overall.log, "DEBUG")
    sources = read_sources(os.environ, overall.env_file)
    if options.compare:
        from commands.show.comparison import show_comparison

        return show_comparison(sources, options, overall.log)
    if options.from_timestream:
        from commands.show.from_timestream import from_timestream

        shown = from_timestream(sources, options, overall.log)
    else:
        shown = from_journal(sources, options)
    if options.csv:
        print_csv(shown)
    elif options.json:
        print_json(as_dict(shown), indent=2)
    elif options.plot:
        from commands.show.plot import plot

        plot(shown, options.plot, options.time_zone)
    else:
        print_screen(shown)
    return Status.OK

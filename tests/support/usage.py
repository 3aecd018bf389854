"""What a command's parser says about wrong words."""

import argparse
from collections.abc import Sequence

import pytest

from ingest.errors import Status


def assert_wrong_usage(
    parser: argparse.ArgumentParser,
    lines: Sequence[Sequence[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each ends with the status of wrong usage, and a message that names its first word."""
    told = {}
    for words in lines:
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(words)
        told[" ".join(words)] = ended.value.code, words[0] in capsys.readouterr().err
    assert {words: each for words, each in told.items() if each != (Status.USAGE, True)} == {}

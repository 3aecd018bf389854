"""Shell completion, as the shells take it."""

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from commands.command_line import COMMANDS
from tests.conftest import ROOT, Program
from tests.support.terminal import PATIENCE_S, Screen


@pytest.fixture
def alone() -> Program:
    """The program without any service: completion needs none."""
    return Program({})


ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_ingest_weather_py
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completions(script: Path, *words: str) -> set[str]:
    """What bash offers for the last of these words."""
    asked = subprocess.run(
        [
            "bash",
            "--norc",
            "-c",
            ASK,
            "bash",
            str(script),
            "ingest_weather.py",
            *words,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
    )
    return {line.strip() for line in asked.stdout.splitlines() if line.strip()}


@pytest.fixture
def bash_script(alone: Program, tmp_path: Path) -> Path:
    script = tmp_path / "completion.bash"
    script.write_text(alone.run("completion", "bash").stdout, encoding="utf-8")
    return script


def test_bash_completes_each_command(bash_script: Path) -> None:
    assert completions(bash_script, "") >= set(COMMANDS)


def test_bash_completes_options_of_the_program_and_of_a_command(bash_script: Path) -> None:
    assert {"--dry-run", "--env-file", "--json"} <= completions(bash_script, "--")
    assert {"--retry", "--discard"} <= completions(bash_script, "rejected", "--")


def test_bash_completes_the_names_of_measures(bash_script: Path) -> None:
    assert completions(bash_script, "rejected", "--measure", "Humi") == {"Humidity"}


@pytest.mark.parametrize(
    "words", [("--env-file", "config.e"), ("show", "--plot", "config.e")], ids=" ".join
)
def test_bash_completes_files_where_files_are_wanted(
    bash_script: Path, words: tuple[str, ...]
) -> None:
    assert completions(bash_script, *words) == {"config.example.env"}


def test_the_help_says_how_it_works_for_a_program_of_a_virtual_environment(
    alone: Program, tmp_path: Path
) -> None:
    """What it says of bash is done, and a person presses the tab key in a new shell."""
    told = alone.run("completion", "--help").stdout
    wanted = re.search(r"\n  bash: [^\n]*:\n(.*?)  zsh:", told, re.S)
    assert wanted
    home = {"HOME": str(tmp_path), "PATH": os.defpath, "TERM": "dumb"}
    written = textwrap.dedent(wanted[1])
    subprocess.run(["bash", "--norc", "-c", written], env=home, check=True, timeout=PATIENCE_S)
    screen = Screen(["/bin/bash", "-i"], {**home, "PS1": "ready> "}, columns=200)
    screen.type(b"ingest_weather.py rejected --mea\tHumi\t--json; exit\n")
    assert screen.end() == 0
    assert "ingest_weather.py rejected --measure Humidity --json" in screen.text
    assert "\n[]" in screen.text


def test_zsh_gets_a_script_with_each_command(alone: Program) -> None:
    script = alone.run("completion", "zsh").stdout
    assert script.startswith("#compdef ingest_weather.py\n")
    assert all(f"{name}:" in script for name in COMMANDS)


def test_another_shell_is_wrong_usage(alone: Program) -> None:
    asked = alone.run("completion", "tcsh")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "choose from" in asked.stderr


def test_a_reader_that_goes_away_is_no_error(alone: Program) -> None:
    command = " ".join(alone.command("completion", "bash"))
    piped = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (piped.returncode, piped.stderr) == (0, "")

"""One line in the user's crontab, and nothing else of it touched."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import SettingsError

# Closes the line, as a comment of the shell that cron starts: by it the line is known again.
MARK = "# by ingest_weather.py setup"

# Minutes between runs: only these leave the same pause after the last run of an hour.
INTERVALS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)

USUAL_INTERVAL = 10

# Off the full hour, when the whole world asks OpenWeatherMap.
OFFSET_MINUTES = 3

TIMEOUT_S = 30

# What `crontab -l` says if there is none yet: Vixie and cronie, then busybox.
_NONE_YET = re.compile(r"no crontab for|can't open .*: No such file")


@dataclass(frozen=True)
class Found:
    """A crontab as it is.

    ours: numbers of the lines that setup wrote for this program; others: of those that a person
    wrote for it.
    """

    lines: list[bytes]
    ours: list[int]
    others: list[int]

    def line(self, number: int) -> str:
        return self.lines[number].decode(errors="replace").strip()

    @property
    def runs(self) -> list[str]:
        """Every line that runs this program, whoever wrote it; those of setup first."""
        return [self.line(number) for number in (*self.ours, *self.others)]


def schedule(every: int) -> str:
    """The five fields of a line that runs every so many minutes, one of INTERVALS."""
    if every == 1:
        return "* * * * *"
    offset = min(OFFSET_MINUTES, every - 1)
    return f"{offset} * * * *" if every == 60 else f"{offset}-59/{every} * * * *"


def schedule_of(line: str) -> str:
    """The first five fields of a line, or one such as @hourly; what follows can hold anything."""
    fields = line.split()
    return fields[0] if line.startswith("@") else " ".join(fields[:5])


def run_line(when: str, script: Path, env_file: Path | None) -> str:
    """The line for this script, this interpreter and this file of settings, all paths absolute.

    when: as `schedule` says it.
    """
    words = [sys.executable, str(script)]
    if env_file:
        words += ["--env-file", os.path.abspath(env_file)]
    if not sys.executable or not all(word.isprintable() for word in words):
        raise SettingsError("A crontab cannot hold this path.", "Use paths without line breaks.")
    return f"{when} {' '.join(map(_quoted, words))} {MARK}"


def _quoted(word: str) -> str:
    """For the shell, and for cron, which ends a command at a bare % whatever the quotes."""
    return shlex.quote(word).replace("%", "\\%")


def find(script: Path, commands: Collection[str]) -> Found:
    """The user's crontab. commands: what may follow the script in a line that is no run."""
    listed = _crontab("-l")
    said = _said(listed)
    if listed.returncode and not _NONE_YET.search(said):
        raise SettingsError(f"crontab -l failed: {said}.")
    lines = [] if listed.returncode else listed.stdout.splitlines(keepends=True)
    found = Found(lines, [], [])
    path = re.escape(_quoted(str(script)).encode())
    run = re.compile(rb"(?:^|[\s'\"])" + path + rb"(?=[\s'\";&|>]|$)(.*)")
    for number, line in enumerate(lines):
        named = run.search(line.rstrip())
        if not named or line.lstrip().startswith(b"#"):
            continue
        if line.rstrip().endswith(MARK.encode()):
            found.ours.append(number)
        elif not {*named[1].decode(errors="replace").split()} & {*commands}:
            found.others.append(number)
    return found


def install(found: Found, line: str, replaced: Collection[int]) -> None:
    """Put the line in place of the first of those replaced, or at the end; the rest as it was."""
    lines = [kept for number, kept in enumerate(found.lines) if number not in replaced]
    if lines and not replaced:
        lines[-1] = lines[-1].removesuffix(b"\n") + b"\n"
    lines.insert(min(replaced, default=len(lines)), line.encode() + b"\n")
    done = _crontab("-", given=b"".join(lines))
    if done.returncode:
        raise SettingsError(f"crontab did not install the line: {_said(done)}.")


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    return done.stderr.decode(errors="replace").strip() or "it printed no message"


def _crontab(argument: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(  # noqa: S603  (no word of it comes from outside)
            ["crontab", argument],  # noqa: S607  (wherever this system has it)
            input=given,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise SettingsError(
            "This machine has no crontab program.",
            "Install cron (Debian: apt-get install cron; Fedora: dnf install cronie), or use the "
            "line below in another scheduler.",
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"The crontab program does not work: {error}.") from error

"""A terminal with a program on it: what a person sees there, and what a person types."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence

from tests.conftest import Program

PATIENCE_S = 60.0

# Makes its standard input the terminal that Ctrl-C comes from and that a password is asked on.
_ON_A_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class Screen:
    """A terminal and the command that is started on it; keeps all that the command writes.

    stderr: a descriptor, if standard error is not to be on the terminal.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        columns: int = 80,
        stderr: int | None = None,
    ) -> None:
        self._person, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _ON_A_TERMINAL, *command],
            env={"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **env},
            cwd="/",
            stdin=terminal,
            stdout=terminal,
            stderr=terminal if stderr is None else stderr,
            start_new_session=True,
        )
        os.close(terminal)
        self.raw = b""

    def wait_for(self, text: str) -> None:
        self.wait_until(lambda: text.encode() in self.raw)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Read until it holds."""
        while not condition():
            assert self._read(), self.raw

    def type(self, keys: bytes) -> None:
        os.write(self._person, keys)

    def insist(self, interrupt: Callable[[], None]) -> None:
        """Interrupt, and again if nothing happens: Python misses a signal that comes after its
        last look at signals and before the system call that then waits."""
        interrupt()
        while not select.select([self._person], [], [], PATIENCE_S / 12)[0]:
            interrupt()

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        os.close(self._person)
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bytes:
        assert select.select([self._person], [], [], PATIENCE_S)[0], self.raw
        try:
            read = os.read(self._person, 65536)
        except OSError:  # how Linux says that the program has closed the terminal
            return b""
        self.raw += read
        return read

    @property
    def text(self) -> str:
        """What was ever on it, without colours and the movements of the cursor."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw.decode(errors="replace"))
        return re.sub(r"\r+\n?", "\n", plain)  # a spinner draws its line again after each \r


def screen_of(program: Program, *arguments: str, **env: str) -> Screen:
    """The program on a terminal of 80 columns, once it has ended with status 0."""
    screen = Screen(program.command(*arguments), program.env(env))
    assert screen.end() == 0, screen.raw
    return screen


def on_terminal(program: Program, columns: int, *arguments: str, **env: str) -> list[str]:
    """The lines that the program writes on a terminal of so many columns, without colours."""
    with open(os.devnull, "wb") as nowhere:
        env = program.env({"TERM": "dumb", **env})
        screen = Screen(program.command(*arguments), env, columns, nowhere.fileno())
        assert screen.end() == 0, screen.raw
    return screen.text.splitlines()

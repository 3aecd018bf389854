"""The program in processes of their own, without the half second that its imports take.

One process imports what the program may need, once, and forks for each run: that has its own
environment, arguments, folder, streams and exit status, and runs ingest_weather.py from its first
line. What the start of the interpreter or the imports decide has to be started cold.
"""

import gc
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn, TextIO

from tests.support.botocore_models import read_once

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "ingest_weather.py"
NUMBER = struct.Struct("i")  # in a status pipe: the process's id, then its exit status
MOST_BYTES = 200_000
# Large, and few runs need them.
SELDOM = {"commands.show.plot"}
# What the interpreter, the C library and its loader read when a process starts.
READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_")


def can_be_warm(env: dict[str, str], options: dict[str, Any]) -> bool:
    """Whether a fork proves the same as a start: nothing of this counts before the imports end.

    options: those of subprocess.run.
    """
    return (
        not any(name.startswith(READ_AT_START) for name in env)
        and options.keys() <= {"cwd", "input", "timeout", "stdin"}
        and options.get("stdin", subprocess.DEVNULL) == subprocess.DEVNULL
    )


class WarmProgram:
    """Forks runs of the program, from a process that is started by the first; threads may share it.

    env: of the process that forks, and of all its runs.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self,
        arguments: Sequence[str],
        env: dict[str, str],
        *,
        cwd: str | os.PathLike[str] = "/",
        input: str | None = None,  # noqa: A002  (as subprocess.run calls it)
        timeout: float = 60,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end. timeout: in seconds; then the run is killed, and the test fails."""
        assert stdin == subprocess.DEVNULL
        order = json.dumps({"arguments": arguments, "env": env, "cwd": os.fspath(cwd)})
        with ExitStack() as until_the_end:
            files, theirs = [], []
            for _ in ("standard output", "standard error", "status"):
                reading, writing = os.pipe()
                until_the_end.callback(os.close, reading)
                files.append(reading)
                theirs.append(writing)
            with ExitStack() as until_sent:
                for each in theirs:
                    until_sent.callback(os.close, each)
                self._send(order, [until_sent.enter_context(typed(input)).fileno(), *theirs])
            out, err, status = read_all(files, time.monotonic() + timeout)
        command = [str(SCRIPT), *arguments]
        assert status, "the process that forks has ended; standard error says why"
        if len(status) < 2 * NUMBER.size:
            os.kill(NUMBER.unpack(status)[0], signal.SIGKILL)
            raise subprocess.TimeoutExpired(command, timeout, out, err)
        _, returncode = NUMBER.iter_unpack(status)
        return subprocess.CompletedProcess(command, returncode[0], out.decode(), err.decode())

    def _send(self, order: str, files: list[int]) -> None:
        with self._lock:
            if self._orders is None:
                self._orders = self._start()
            socket.send_fds(self._orders, [order.encode()], files)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm_program", str(theirs.fileno())],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        return ours

    def close(self) -> None:
        if self._orders and self._process:
            self._orders.close()
            self._process.wait(timeout=60)


def typed(text: str | None) -> IO[bytes]:
    """A file to read the text from; None for what is empty from the start."""
    if text is None:
        return open(os.devnull, "rb")
    reading, writing = os.pipe()
    os.write(writing, text.encode())  # a line or two: a pipe holds more
    os.close(writing)
    return open(reading, "rb")


def read_all(files: list[int], until: float) -> list[bytes]:
    """What is written to each, till all are closed, or till then: seconds, monotonic."""
    read = dict.fromkeys(files, b"")
    with selectors.DefaultSelector() as selector:
        for each in files:
            selector.register(each, selectors.EVENT_READ)
        while selector.get_map() and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                some = os.read(key.fd, 65536)
                read[key.fd] += some
                if not some:
                    selector.unregister(key.fd)
    return [*read.values()]


def import_all() -> None:
    """What the program may import, and what botocore reads of its own files; starts no thread."""
    import commands
    import ingest
    from ingest.aws.session import Aws

    import_module("ingest_weather")
    for name in ("rich.console", "rich.progress", "rich.cells", "dotenv.parser", "difflib"):
        import_module(name)
    for package in (ingest, commands):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in SELDOM:
                import_module(module.name)
    read_once()
    before = dict(os.environ)
    made_up = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": "xx"}
    os.environ.update(made_up)
    aws = Aws()
    aws.timestream_write("http://127.0.0.1:9")
    aws.secrets_manager()
    os.environ.clear()
    os.environ.update(before)


def reopened(number: int, stream: TextIO) -> TextIO:
    """Another stream on the same file descriptor: it learns what that is now."""
    raw = io.FileIO(number, stream.mode, closefd=False)
    binary: Any = io.BufferedReader(raw) if raw.readable() else io.BufferedWriter(raw)
    buffering = bool(stream.line_buffering)
    return io.TextIOWrapper(binary, stream.encoding, stream.errors, line_buffering=buffering)


class Forks:
    """Forks a process for each order, and reports its id and its exit status."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._environment = dict(os.environ)
        self._running: dict[int, tuple[int, int]] = {}  # pidfd -> process, status pipe

    def serve(self) -> None:
        """Until nobody is left who could order."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._orders, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is not self._orders:
                        selector.unregister(key.fileobj)
                        self._report_end(key.fd)
                        continue
                    message, files, _, _ = socket.recv_fds(self._orders, MOST_BYTES, 4)
                    if not message:
                        return
                    selector.register(self._fork(message, files), selectors.EVENT_READ)

    def _fork(self, message: bytes, files: list[int]) -> int:
        """A file that can be read when the process has ended."""
        *streams, status = files
        process = os.fork()
        if process == 0:
            self._become_the_program(message, streams, status)
        for each in streams:
            os.close(each)
        os.write(status, NUMBER.pack(process))
        end = os.pidfd_open(process)
        self._running[end] = process, status
        return end

    def _become_the_program(self, message: bytes, streams: list[int], status: int) -> NoReturn:
        try:
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                os.dup2(streams[number], number)
                setattr(sys, name, reopened(number, getattr(sys, name)))
            others = [each for end, (_, other) in self._running.items() for each in (end, other)]
            for each in (*streams, status, *others):
                os.close(each)
            self._orders.close()
            order = json.loads(message.decode("utf-8", "surrogateescape"))
            os.chdir(order["cwd"])
            os.environ.clear()
            os.environ.update({**self._environment, **order["env"]})
            sys.argv[:] = [str(SCRIPT), *order["arguments"]]
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0) and not isinstance(end.code, int):
                print(end.code, file=sys.stderr)  # noqa: T201
                os._exit(1)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code or 0)
        except BaseException:  # noqa: BLE001  (what a start would print, and its status)
            traceback.print_exc()
        os._exit(1)

    def _report_end(self, end: int) -> None:
        process, status = self._running.pop(end)
        _, ended = os.waitpid(process, 0)
        os.write(status, NUMBER.pack(os.waitstatus_to_exitcode(ended)))
        os.close(status)
        os.close(end)


if __name__ == "__main__":
    import_all()
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()  # or each fork's first collection copies all of it
    Forks(socket.socket(fileno=int(sys.argv[1]))).serve()

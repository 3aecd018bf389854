"""Runs the program once a line of standard input, each in a process of its own that can be killed.

Everything is imported before the first fork, and no thread is started here: a run then takes a
tenth of what it takes cold. A line is a JSON object: `journal`, the file; `kill_at`, the step to
die at, 0 for none; `after_step` and `after_s`, to be killed from outside that many seconds after
that step, null for none. The answer is one, too: `status`, negative for a signal; `steps` taken.
"""

import gc
import json
import mmap
import os
import signal
import sqlite3
import struct
import sys
import threading
import time
from typing import Any

import ingest_weather
from ingest import clients
from ingest.aws import session as aws
from ingest.journal import run_lock
from tests.support.in_process import around, outside_world, stepping_connection
from tests.support.warm_program import import_all

COUNT = struct.Struct("q")


class SharedSteps:
    """Counts in memory that outlives the process; kills it at one of the steps.

    tell_at: the step at which a byte goes into the pipe `told`, which its end closes as well.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, COUNT.size)
        self._lock = threading.Lock()
        self.kill_at = 0
        self.tell_at: int | None = None
        self.told = (-1, -1)

    def begin(self, kill_at: int, tell_at: int | None) -> None:
        self.taken, self.kill_at, self.tell_at = 0, kill_at, tell_at
        self.told = os.pipe()

    @property
    def taken(self) -> int:
        return int(COUNT.unpack_from(self._memory)[0])

    @taken.setter
    def taken(self, count: int) -> None:
        COUNT.pack_into(self._memory, 0, count)

    def tell(self) -> None:
        if self.taken == self.tell_at:
            os.write(self.told[1], b".")

    def __call__(self) -> None:
        with self._lock:
            self.taken += 1
            self.tell()
            if self.taken == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def wrap(step: SharedSteps) -> None:
    """A step before and after each connection, statement, request, answer and lock."""
    connect = sqlite3.connect

    def connect_stepping(*args: Any, **options: Any) -> sqlite3.Connection:
        return connect(*args, factory=stepping_connection(step), **options)

    setattr(sqlite3, "connect", around(step, connect_stepping))  # noqa: B010  (mypy)
    for owner, name in (*outside_world(), (run_lock.RunLock, "__init__")):
        setattr(owner, name, around(step, getattr(owner, name)))


def share_session() -> None:
    """One boto3 session for all runs, its models read before the first."""
    shared = aws.Aws()
    shared.timestream_write()
    setattr(clients, "Aws", lambda: shared)  # noqa: B010  (mypy)


def run(order: dict[str, Any], steps: SharedSteps) -> dict[str, int]:
    steps.begin(order["kill_at"], order["after_step"])
    told, tell = steps.told
    process = os.fork()
    if process == 0:
        steps.tell()
        os.environ["WEATHER_JOURNAL"] = order["journal"]
        ingest_weather.leave(ingest_weather.main([]))
    os.close(tell)
    if os.read(told, 1):  # or it has ended before that step
        time.sleep(order["after_s"])  # a moment between two steps
        os.kill(process, signal.SIGKILL)
    os.close(told)
    _, ended = os.waitpid(process, 0)
    return {"status": os.waitstatus_to_exitcode(ended), "steps": steps.taken}


if __name__ == "__main__":
    import_all()
    shared = SharedSteps()
    wrap(shared)
    share_session()
    assert threading.active_count() == 1
    gc.set_threshold(500_000)  # as the program does
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line), shared)), flush=True)  # noqa: T201

"""One HTTP exchange on loopback: what was asked, what is answered, and the socket between."""

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Event
from typing import Any

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was received; header names are in lower case."""

    action: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def host(self) -> str:
        """The host and port that the client meant to reach."""
        return self.headers.get("host", "")

    @property
    def json(self) -> Any:
        """The body read as JSON; None for an empty one."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply; Content-Length and Date are added when it is sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, *, content_length: int | None, date: str) -> bytes:
        """The status line and headers, up to and with the empty line."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", f"Date: {date}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if content_length is not None:
            lines.append(f"Content-Length: {content_length}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Exchange:
    """One request on its connection, while it is being answered.

    Everything that fails because the peer has gone raises OSError.
    """

    def __init__(
        self,
        request: Request,
        connection: socket.socket,
        work: Callable[[Request], Answer],
        date: Callable[[], str],
        stopping: Event,
    ) -> None:
        self.request = request
        self._connection = connection
        self._work = work
        self._date = date
        self._stopping = stopping

    def work(self) -> Answer:
        """Do what was asked, with all its effects, and send nothing."""
        return self._work(self.request)

    def send(self, answer: Answer, *, content_length: int | None = None) -> None:
        """Send the answer; content_length overrides the true one."""
        length = len(answer.body) if content_length is None else content_length
        head = answer.head(content_length=length, date=self._date())
        self.send_bytes(head if self.request.method == "HEAD" else head + answer.body)

    def send_head(self, answer: Answer, *, content_length: int) -> None:
        """Send the status line and headers alone."""
        self.send_bytes(answer.head(content_length=content_length, date=self._date()))

    def send_bytes(self, data: bytes) -> None:
        """Send the bytes as they are."""
        self._connection.sendall(data)

    def reset(self) -> None:
        """Close with RST: whatever the peer has not read yet is lost."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._connection.close()

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the server's end; raises OSError once it has ended."""
        if self._stopping.wait(seconds):
            raise ConnectionAbortedError("the server is stopping")

    def wait_for_peer(self) -> None:
        """Wait until the peer closes the connection or the server stops."""
        with contextlib.suppress(OSError):
            while not self._stopping.is_set() and self._connection.recv(65536):
                pass


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unassigned"

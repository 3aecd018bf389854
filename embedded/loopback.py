"""A threaded HTTP/1.1 server on 127.0.0.1 whose every connection can be broken at will.

Standard servers hide the socket, and faults need it: this one reads the request, asks
the fault plan, and hands both ends to whoever answers.
"""

import contextlib
import socket
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from embedded.exchange import Answer, Exchange, Request
from embedded.faults import FaultPlan

BACKLOG = 1024
HEAD_LIMIT_BYTES = 65536


class LoopbackService(ABC):
    """A service on loopback: start it, plan its faults, and look at what it was asked.

    `crashes` holds the exceptions of the service itself, which are bugs of this package:
    leaving the context raises the first of them.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        delay_s: float = 0.0,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.plan = FaultPlan()
        self.clock = clock
        self.delay_s = delay_s
        self.crashes: list[BaseException] = []
        self._tls = tls
        self._port = port
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._stopping = threading.Event()
        self._acceptor: threading.Thread | None = None

    @abstractmethod
    def action_of(self, request: Request) -> str:
        """The name under which the request is planned and counted."""

    @abstractmethod
    def respond(self, request: Request) -> Answer:
        """Do what is asked; called by many threads at once."""

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Everything asked so far, in order of arrival, faults included."""
        with self._lock:
            return list(self._requests)

    def count(self, action: str) -> int:
        """How many requests of the action arrived."""
        return sum(request.action == action for request in self.requests)

    def forget_requests(self) -> None:
        """Empty `requests` and `count`."""
        with self._lock:
            self._requests.clear()

    def start(self) -> Self:
        """Listen; the port is known when this returns."""
        self._stopping.clear()
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=BACKLOG)
        self._port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._listener,), name="embedded-accept", daemon=True
        )
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Close every connection, the stalled ones too; may be called several times."""
        if self._listener is None or self._acceptor is None:
            return
        self._stopping.set()
        with contextlib.suppress(OSError):  # wakes the accepting thread
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        self._acceptor.join()
        self._listener.close()
        self._listener = None
        with self._lock:
            connections = dict(self._connections)
        for connection in connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections:
            thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if self.crashes and error is None:
            raise RuntimeError(f"{type(self).__name__} failed") from self.crashes[0]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="embedded-serve", daemon=True
            )
            with self._lock:
                self._connections[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError, NotHttpError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._converse(connection)
        except Exception as error:  # noqa: BLE001 - kept for whoever leaves the context
            self.crashes.append(error)
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)

    def _converse(self, plain: socket.socket) -> None:
        with self._secured(plain) as connection:
            reader = RequestReader(connection)
            while not self._stopping.is_set() and (request := reader.read()) is not None:
                if not self._exchange(request, connection) or _wants_close(request):
                    return

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._tls is None:
            return plain
        connection = self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._connections[threading.current_thread()] = connection
        try:
            if self._stopping.is_set():  # stop() may have looked before the line above
                raise ConnectionAbortedError("the server is stopping")
            connection.do_handshake()
        except BaseException:
            connection.close()
            raise
        return connection

    def _exchange(self, request: Request, connection: socket.socket) -> bool:
        request = replace(request, action=self.action_of(request))
        with self._lock:
            self._requests.append(request)
        exchange = Exchange(request, connection, self._work, self._date, self._stopping)
        if self.delay_s:
            exchange.wait(self.delay_s)
        fault = self.plan.choose(request)
        if fault is not None:
            return fault.play(exchange)
        exchange.send(exchange.work())
        return True

    def _work(self, request: Request) -> Answer:
        try:
            return self.respond(request)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - kept for whoever leaves the context
            self.crashes.append(error)
            return Answer(500, f"embedded service failed: {error!r}".encode())

    def _date(self) -> str:
        return formatdate(self.clock(), usegmt=True)


class NotHttpError(Exception):
    """What came over the connection can't be read as a request."""


class RequestReader:
    """Reads requests off one connection, one after the other.

    Raises NotHttpError for what is not HTTP/1.x, OSError where the connection breaks.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()

    def read(self) -> Request | None:
        """The next request with its body; None when the peer has closed."""
        head = self._head()
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, query, version = _request_line(first)
        headers = dict(_header(line) for line in lines)
        if version == "HTTP/1.0":
            headers.setdefault("connection", "close")
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._body(headers)
        return Request("", method, path, query, headers, body)

    def _head(self) -> bytes | None:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if len(self._received) > HEAD_LIMIT_BYTES:
                raise NotHttpError("the request's headers are too long")
            if not self._receive():
                return None
            if not self._received[:1].isalpha():  # a TLS greeting would be waited for in vain
                raise NotHttpError("this is no request")
        return self._take(end, end + 4)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(iter(self._chunk, b""))
        length = headers.get("content-length", "0")
        if not length.isdigit():
            raise NotHttpError(f"{length} is no length")
        return self._exactly(int(length))

    def _chunk(self) -> bytes:
        while (end := self._received.find(b"\r\n")) < 0:
            self._must_receive()
        size = int(self._take(end, end + 2).split(b";")[0], 16)
        chunk = self._exactly(size)
        self._exactly(2)
        return chunk

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._must_receive()
        return self._take(size, size)

    def _take(self, size: int, drop: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:drop]
        return taken

    def _must_receive(self) -> None:
        if not self._receive():
            raise ConnectionAbortedError("the peer closed within a request")

    def _receive(self) -> bool:
        received = self._connection.recv(65536)
        self._received += received
        return bool(received)


def _request_line(line: str) -> tuple[str, str, dict[str, str], str]:
    """Method, path, query and version."""
    try:
        method, target, version = line.split(" ")
        parts = urlsplit(target)
    except ValueError as error:
        raise NotHttpError(f"{line!r} is no request") from error
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return method, unquote(parts.path), query, version


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _wants_close(request: Request) -> bool:
    return request.headers.get("connection", "").lower() == "close"

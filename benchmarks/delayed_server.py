"""Current Weather and AWS as in `servers.py`, each answer a fixed time after its request.

Arguments: port, delay in milliseconds. One process of asyncio, connections kept alive.
"""

import asyncio
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.servers import AWS, WEATHER

HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client that waits for each answer before it asks again, as HTTP/1.1 clients do."""

    def __init__(self, port: int, delay_s: float) -> None:
        self._address = f"http://127.0.0.1:{port}"
        self._delay_s = delay_s
        self._received = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (TCP's are)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(HEAD_END)
        if end < 0:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        whole = end + len(HEAD_END) + int(headers.get("content-length", 0))
        if len(self._received) < whole:
            return
        del self._received[:whole]
        answer = self._answer(first.split(" ")[1], headers.get("x-amz-target", "")).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}"
        asyncio.get_running_loop().call_later(
            self._delay_s, self._transport.write, head.encode() + HEAD_END + answer
        )

    def _answer(self, target: str, operation: str) -> str:
        for name, body in AWS.items():
            if name.lower() == operation:
                return body.replace("$address", self._address)
        url = urlsplit(target)
        city_id, dt = parse_qs(url.query)["id"][0], url.path.split("/")[1]
        return WEATHER.replace("$arg_id", city_id).replace("$dt", dt)


async def serve(port: int, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(port, delay_s), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))

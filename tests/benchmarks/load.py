"""A closed-loop load generator: so many connections, each of which sends its next request when it has its answer.

One thread and plain sockets, so that it costs little beside what it measures: requests are bytes made before the clock
starts, and a latency runs from the first byte sent to the last byte received.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_CHUNK = 1 << 18
_SILENT_SECONDS = 30


@dataclass(frozen=True)
class Measured:
    """The latencies of all answers in seconds, sorted, and the seconds that all took together."""

    latencies: Sequence[float]
    seconds: float

    def quantile(self, share: float) -> float:
        """The latency in milliseconds that this share of the answers keeps."""
        return 1000 * self.latencies[min(int(share * len(self.latencies)), len(self.latencies) - 1)]

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


def make_request(endpoint: str, operation: str, members: Mapping[str, Any], *, key: tuple[str, str] | None) -> bytes:
    """One call as bytes, signed now with an access key and its secret if there is a `key`."""
    host = urlsplit(endpoint).netloc
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"AWSGlue.{operation}"}
    body = json.dumps(members).encode()
    if key is not None:
        request = AWSRequest("POST", f"{endpoint}/", headers, body)
        SigV4Auth(Credentials(*key), "glue", "us-east-1").add_auth(request)
        headers = dict(request.headers.items())
    lines = [f"{name}: {value}" for name, value in {"Host": host, **headers, "Content-Length": len(body)}.items()]
    return "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + body


def run_load(endpoint: str, requests: Sequence[bytes], *, connections: int) -> Measured:
    """Send all requests over so many connections. RuntimeError for an answer that is none, or not 200."""
    address = urlsplit(endpoint)
    place = (address.hostname or "", address.port or 80)
    waiting = iter(requests)
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        clients = [_Client(place) for _ in range(connections)]
        started = time.perf_counter()
        for client in clients:
            _send_next(selector, client, waiting)
        while selector.get_map():
            for key, _ in _select(selector):
                if key.data.receive():
                    latencies.append(key.data.latency)
                    selector.unregister(key.data.socket)
                    _send_next(selector, key.data, waiting)
        seconds = time.perf_counter() - started
    for client in clients:
        client.socket.close()
    return Measured(sorted(latencies), seconds)


class _Client:
    """One connection, with what it has of the present answer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.latency = 0.0
        self._sent_on = 0.0
        self._answer = bytearray()

    def send(self, request: bytes) -> None:
        self._answer.clear()
        self._sent_on = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what has come; whether the answer is whole now."""
        chunk = self.socket.recv(_CHUNK)
        now = time.perf_counter()
        self._answer += chunk
        head, end, body = bytes(self._answer).partition(b"\r\n\r\n")
        if not chunk or (end and not head.startswith(b"HTTP/1.1 200 ")):
            raise RuntimeError(f"a request failed: {bytes(self._answer).decode(errors='replace')[:500]}")
        if not end or len(body) < _read_length(head):
            return False
        self.latency = now - self._sent_on
        return True


def _send_next(selector: selectors.BaseSelector, client: _Client, waiting: Iterator[bytes]) -> None:
    request = next(waiting, None)
    if request is not None:
        client.send(request)
        selector.register(client.socket, selectors.EVENT_READ, client)


def _select(selector: selectors.BaseSelector) -> Sequence[tuple[selectors.SelectorKey, int]]:
    ready = selector.select(_SILENT_SECONDS)
    if not ready:
        raise RuntimeError(f"no answer within {_SILENT_SECONDS} s")
    return ready


def _read_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"an answer does not tell its length: {head.decode(errors='replace')[:500]}")

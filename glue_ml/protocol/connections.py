"""How much of the server one connection, or all of them, may take up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADER_BYTES = 16 << 10
_KEEP_ALIVE_SECONDS = 30


@dataclass(frozen=True)
class Limits:
    """How large a request may be, how many seconds it may take to arrive, and how many clients may be connected."""

    body_bytes: int = 1 << 20
    read_seconds: float = 20.0
    connections: int = 512


def uvicorn_settings(limits: Limits) -> dict[str, Any]:
    """What uvicorn is told, so that neither long headers nor slow clients hold the server up."""
    return {
        "http": _make_protocol(limits.read_seconds),
        "h11_max_incomplete_event_size": _HEADER_BYTES,
        "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
        "limit_concurrency": limits.connections,
        "server_header": False,
    }


def _make_protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, but the headers of a request must come within so many seconds.

    They count from the connection or the last answer. uvicorn itself waits for half-sent headers for ever.
    """

    class PatientProtocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._await_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_waiting()

        def _await_headers(self) -> None:
            waiting = self.cycle is None or self.cycle.response_complete
            if not waiting or self.conn.our_state is not h11.IDLE:
                self._stop_waiting()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(seconds, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return PatientProtocol

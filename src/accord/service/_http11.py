# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 with some distrust: who is slow, too many, or in two minds is sent away."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from accord.errors import FramingError
from accord.service._problems import problem

HEADER_S = 10.0
"""How long a connection may take until a whole header has arrived."""

MAX_CONNECTIONS = 2048
MAX_HEADER_BYTES = 16 << 10
"""A signed request takes 4 KiB of it."""


class DistrustfulProtocol(H11Protocol):
    """One connection."""

    header_s = HEADER_S
    max_connections = MAX_CONNECTIONS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for a header, unless there are too many connections already."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what has arrived; a header that has begun must end in time.

        In pieces: h11 measures only what it waits to be completed, so that a line that arrives
        whole, such as the extension of a chunk, could otherwise be as long as one read.
        """
        for start in range(0, len(data), MAX_HEADER_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + MAX_HEADER_BYTES])
        if self.conn.their_state is h11.IDLE:
            self._watch()
        else:
            self._stop()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours is a problem document
        """Says that what came is no HTTP, if it can still be said, and closes."""
        reply = problem(FramingError(detail="it is not HTTP/1.1"))
        # Where an answer has begun, or the connection is lost, there is nothing to add.
        with contextlib.suppress(h11.LocalProtocolError):
            start = h11.Response(
                status_code=reply.status_code,
                headers=reply.raw_headers,
                reason=HTTPStatus(reply.status_code).phrase.encode(),
            )
            for event in (start, h11.Data(data=bytes(reply.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_s, self._late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.conn.our_state is h11.IDLE:  # While we answer, nothing is late.
            self.transport.abort()

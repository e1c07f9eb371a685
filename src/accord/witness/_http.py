# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 for one small interface: whoever is slow, too many or too long is sent away.

h11 alone: a web framework would take as much memory as all the rest of a witness.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import h11

MAX_HEADER_BYTES = 8 << 10
MAX_BODY_BYTES = 32 << 10
"""A note of 8 KiB, 63 hashes and their lines are less than half of it."""

_READ_BYTES = 8 << 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may take."""

    idle_s: float = 75.0
    """How long a connection is kept without a request: logs keep theirs."""

    request_s: float = 10.0
    """How long a request may take to arrive once it has begun, and an answer to leave."""

    connections: int = 256
    connections_of_one: int = 64
    """Of one address; a log's service needs one."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request; its header fields mean nothing here."""

    method: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: HTTPStatus
    body: bytes
    media_type: str = "text/plain; charset=utf-8"


Answer = Callable[[Request], Awaitable[Response]]


class _RefusedError(Exception):
    """A request that is not even passed on."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class HTTPServer:
    """Answers requests on connections that `connected` is called for."""

    def __init__(self, answer: Answer, limits: Limits) -> None:
        self._answer, self._limits = answer, limits
        self._open: Counter[str] = Counter()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection to its end."""
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        limits = self._limits
        if self._open.total() >= limits.connections or (
            self._open[address] >= limits.connections_of_one
        ):
            writer.transport.abort()
            return
        self._open[address] += 1
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            # Cancelled where the server stops: this task has nobody who would take it on.
            writer.transport.abort()
        finally:
            self._open[address] -= 1
            self._open += Counter()  # Drops addresses that have gone.
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        while True:
            try:
                request = await self._receive(connection, reader)
                if request is None:
                    return
                response = await self._answer(request)
            except _RefusedError as exc:
                response = Response(exc.status, b"")
            except h11.RemoteProtocolError:
                response = Response(HTTPStatus.BAD_REQUEST, b"")
            if not await self._send(connection, writer, response):
                return
            connection.start_next_cycle()

    async def _receive(
        self, connection: h11.Connection, reader: asyncio.StreamReader
    ) -> Request | None:
        """The next request; ``None`` where the peer has gone."""
        head: h11.Request | None = None
        body = bytearray()
        clock = asyncio.get_running_loop().time
        async with asyncio.timeout(self._limits.idle_s) as deadline:
            begun = bool(connection.trailing_data[0])
            if begun:
                deadline.reschedule(clock() + self._limits.request_s)
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    data = await reader.read(_READ_BYTES)
                    if not begun:
                        begun = True
                        deadline.reschedule(clock() + self._limits.request_s)
                    connection.receive_data(data)
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > MAX_BODY_BYTES:
                        raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    break
                else:  # It has gone, or wants another protocol.
                    return None
        return Request(head.method.decode("ascii"), head.target.decode("ascii"), bytes(body))

    async def _send(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, response: Response
    ) -> bool:
        """Whether another request can follow on this connection."""
        headers = [
            ("Content-Type", response.media_type),
            ("Content-Length", str(len(response.body))),
            ("Cache-Control", "no-store"),
        ]
        whole = connection.their_state is h11.DONE
        if not whole:  # What is left of the request will not be read.
            headers.append(("Connection", "close"))
        start = h11.Response(
            status_code=response.status,
            headers=headers,
            reason=response.status.phrase.encode(),
        )
        # Where the peer is in two minds about HTTP there may be nothing left to say.
        with contextlib.suppress(h11.LocalProtocolError):
            parts = (start, h11.Data(data=response.body), h11.EndOfMessage())
            writer.write(b"".join(connection.send(part) or b"" for part in parts))
        async with asyncio.timeout(self._limits.request_s):
            await writer.drain()
        return whole and connection.our_state is h11.DONE

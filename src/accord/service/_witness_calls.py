# SPDX-License-Identifier: Apache-2.0
"""HTTP to witnesses (c2sp.org/tlog-witness), over connections that are kept."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from accord.channel import connect

CALL_S = 5.0
"""How long one answer may take; a round trip around the world takes a tenth of that."""

MAX_CALLS = 64
"""Calls at the same time: a thread each, so a board with as many witnesses has room."""

MAX_ANSWER_BYTES = 64 << 10
"""Largest answer read: a note of 8 KiB, with room for whatever a witness says of itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answered; nothing of it is verified."""

    status: int
    content: bytes


class WitnessCallError(Exception):
    """A witness did not answer. It never leaves this package."""


class _HTTP(HTTPConnection):
    """A connection to addresses that may be called, encrypted where the URL says so.

    What a witness says is signed: TLS only keeps to itself which logs grow.
    """

    sock: Any

    def __init__(self, url: str, *, public_only: bool) -> None:
        parts = urlsplit(url)
        self._encrypted = parts.scheme == "https"
        port = parts.port or (443 if self._encrypted else 80)
        super().__init__(parts.hostname or "", port, timeout=CALL_S)
        self.prefix = parts.path
        self._public_only = public_only

    def connect(self) -> None:
        self.sock = connect(self.host, self.port, CALL_S, public_only=self._public_only)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._encrypted:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


class WitnessCalls:
    """The witnesses of all boards; those at one URL share its connections."""

    def __init__(self, *, public_only: bool) -> None:
        """``public_only``: no address of this machine or of its own network is called."""
        self._public_only = public_only
        self._pool = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="accord-witness")
        self._idle: dict[str, list[_HTTP]] = {}
        self._lock = threading.Lock()
        self._closed = False

    async def add_checkpoint(self, url: str, body: bytes) -> Answer:
        """Asks for a cosignature. Raises ``WitnessCallError``."""
        return await self._run(lambda: self._exchange(url, "POST", "/add-checkpoint", body))

    async def latest(self, url: str, origin: str) -> Answer:
        """What the witness cosigned last of a log. Raises ``WitnessCallError``."""
        path = f"/logs/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint"
        return await self._run(lambda: self._exchange(url, "GET", path, None))

    async def _run(self, call: Callable[[], Answer]) -> Answer:
        return await asyncio.wrap_future(self._pool.submit(call))

    def _exchange(self, url: str, method: str, path: str, body: bytes | None) -> Answer:
        kept = self._take(url)
        try:
            if kept is not None:
                try:
                    return self._over(kept, url, method, path, body)
                except (ConnectionError, HTTPException):
                    kept.close()  # It was idle too long; asking twice changes nothing there.
            return self._over(_HTTP(url, public_only=self._public_only), url, method, path, body)
        except (OSError, HTTPException, ValueError) as exc:
            raise WitnessCallError(type(exc).__name__) from exc

    def _over(self, http: _HTTP, url: str, method: str, path: str, body: bytes | None) -> Answer:
        try:
            http.request(method, http.prefix + path, body)
            answer = http.getresponse()
            content = answer.read(MAX_ANSWER_BYTES + 1)
            _check_whole(content, answer.length)
        except BaseException:
            http.close()
            raise
        with self._lock:
            keep = not (answer.will_close or self._closed)
            if keep:
                self._idle.setdefault(url, []).append(http)
        if not keep:
            http.close()
        return Answer(answer.status, content)

    def _take(self, url: str) -> _HTTP | None:
        with self._lock:
            idle = self._idle.get(url)
            return idle.pop() if idle else None

    def close(self) -> None:
        """Ends every connection; calls that are on their way are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            for http in (item for kept in self._idle.values() for item in kept):
                http.close()
            self._idle.clear()


def _check_whole(content: bytes, missing: int | None) -> None:
    if len(content) > MAX_ANSWER_BYTES or missing:
        message = "the answer is too long, or was cut off"
        raise HTTPException(message)

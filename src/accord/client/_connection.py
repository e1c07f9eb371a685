# SPDX-License-Identifier: Apache-2.0
"""HTTP over pinned TLS, before anything about the peer is believed."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from accord.channel import PinnedContext, Side, binder, connect, from_problem
from accord.encoding import (
    Fields,
    JSONValue,
    base64_decode,
    canonical_json,
    parse_json,
)
from accord.errors import (
    MalformedError,
    ReplyError,
    TooLargeError,
    UnreachableError,
)
from accord.evidence import Purpose

MAX_REPLY_BYTES = 64 << 20
"""Largest reply: a log of some ten thousand entries, in base64."""

TIMEOUT_S = 30.0

PIECE_BYTES = 1 << 20

NONCE_AGE_S = 60.0
"""For how long a nonce is kept for later; half of what it lives at the service."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the service, read whole."""

    status: int
    content: bytes
    timing: str
    nonce: str
    """A nonce for the request after this one, where we asked for it and got it."""


class _HTTP(HTTPConnection):
    """The standard library's client over our TLS; it never opens a connection by itself."""

    default_port = 443
    auto_open = 0
    sock: Any

    def __init__(self, host: str, port: int, context: PinnedContext, *, public_only: bool) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._context, self._public_only = context, public_only
        self._unsent = bytearray()

    def connect(self) -> None:
        self._unsent.clear()
        with connect(self.host, self.port, TIMEOUT_S, public_only=self._public_only) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._context.wrap_socket(plain)  # It takes the connection over.

    def send(self, data: Any) -> None:
        """Keeps it until `getresponse`: header and body leave together and wake the peer once."""
        self._unsent += data

    def getresponse(self) -> HTTPResponse:
        self.sock.sendall(bytes(self._unsent))
        self._unsent.clear()
        return super().getresponse()


class Connection:
    """HTTP over pinned TLS, before anything about the peer is believed.

    The standard library's client: it is part of the code that runs inside the TEE.
    """

    def __init__(self, url: str, *, public_only: bool = False) -> None:
        """``public_only``: no address of this machine or of its own network is called."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise UnreachableError(url=url, detail="expected https://HOST:PORT") from None
        if parts.scheme != "https" or not host or parts.path.strip("/"):
            raise UnreachableError(url=url, detail="expected https://HOST:PORT")
        self.url = url.rstrip("/")
        self.attested = False
        """Set once the peer's evidence was appraised; until then its refusals are not read."""

        self.prove: Callable[[], None] | None = None
        """What a new TLS connection has to pass before anything else is sent (level 2)."""

        self._next: tuple[Purpose, bytes, float] | None = None
        self.context = PinnedContext()
        port = port or _HTTP.default_port
        self._http = _HTTP(host, port, self.context, public_only=public_only)

    def close(self) -> None:
        self._http.close()

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """A peer that is refused is not left waiting."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def binder(self, side: Side, nonce: bytes) -> bytes:
        """What the evidence of ``side`` must prove of the connection that is open now.

        Raises ``UnreachableError`` where there is none: the peer may have closed it.
        """
        if self._http.sock is None:
            raise UnreachableError(url=self.url, detail="it does not keep a connection open")
        return binder(self._http.sock.tls, side, nonce)

    def send(
        self,
        method: str,
        path: str,
        document: JSONValue | None = None,
        headers: dict[str, str] | None = None,
        *,
        next_nonce: Purpose | None = None,
    ) -> Reply:
        """One exchange; ``next_nonce`` is what `take_nonce` will be asked for.

        Raises ``UnreachableError`` or the error that the peer reports.
        """
        body = None if document is None else canonical_json(document)
        asked = {} if next_nonce is None else {"Accord-Next-Nonce": next_nonce.value}
        reply = self._exchange(method, path, body, {**(headers or {}), **asked})
        if next_nonce is not None and reply.nonce:
            nonce = base64_decode(reply.nonce, what="nonce")
            self._next = (next_nonce, nonce, time.monotonic())
        if reply.status < HTTPStatus.BAD_REQUEST:
            return reply
        if not self.attested:  # Its words could be anybody's, so could its error codes.
            raise ReplyError(detail=f"HTTP status {reply.status} before it proved who it is")
        raise from_problem(parse_reply(reply.content))

    def take_nonce(self, purpose: Purpose) -> bytes | None:
        """The nonce that came with an earlier answer, once, while the peer surely knows it."""
        found, self._next = self._next, None
        if found is None or found[0] is not purpose or self._http.sock is None:
            return None
        return found[1] if time.monotonic() - found[2] < NONCE_AGE_S else None

    def open(self) -> None:
        """Opens a connection if there is none; what it has to prove, it proves first.

        Raises ``UnreachableError`` and what `prove` raises.
        """
        if self._http.sock is not None:
            return
        self._next = None  # Who answers now may know of none.
        with self._reported():
            self._http.connect()
        if self.prove is not None:
            prove, self.prove, self.attested = self.prove, None, False  # It sends, too.
            try:
                with self.closed_on_failure():
                    prove()
                self.attested = True
            finally:
                self.prove = prove

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (OSError, HTTPException) as exc:
            self._http.close()
            raise UnreachableError(url=self.url, detail=str(exc) or type(exc).__name__) from exc

    def download(self, path: str, headers: dict[str, str] | None = None) -> Iterator[bytes]:
        """The body of an answer, however long it is, piece by piece.

        Raises ``UnreachableError``, also where it was cut off, or the error that is reported.
        """
        with self._reported():
            self.open()
            self._http.request("GET", path, headers=headers or {})
            answer = self._http.getresponse()
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise from_problem(parse_reply(answer.read(MAX_REPLY_BYTES)))
            while piece := answer.read(PIECE_BYTES):
                yield piece

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Reply:
        kept = self._http.sock is not None
        with self._reported():
            try:
                self.open()
                self._http.request(method, path, body, headers)
                answer = self._http.getresponse()
                content = answer.read(MAX_REPLY_BYTES + 1)
            except ConnectionError:
                self._http.close()
                # The peer may drop a connection that was idle; then, and only then, ask again.
                if not kept:
                    raise
                return self._exchange(method, path, body, headers)
        if len(content) > MAX_REPLY_BYTES:
            self._http.close()
            raise TooLargeError(what=f"reply from {self.url}", limit=MAX_REPLY_BYTES)
        if answer.length:  # `read` returns what came before the end, and does not complain.
            self._http.close()
            raise UnreachableError(url=self.url, detail="the answer was cut off")
        return Reply(
            answer.status,
            content,
            answer.getheader("Server-Timing", ""),
            answer.getheader("Replay-Nonce", ""),
        )

    def fields(
        self,
        method: str,
        path: str,
        document: JSONValue | None = None,
        *,
        next_nonce: Purpose | None = None,
    ) -> Fields:
        """`send`, and the answer as a JSON object. Raises ``ReplyError``, too."""
        reply = self.send(method, path, document, next_nonce=next_nonce)
        return Fields(parse_reply(reply.content), f"reply to {path}")


def parse_reply(content: bytes) -> JSONValue:
    """The JSON of an answer. Raises ``ReplyError``."""
    try:
        return parse_json(content, what="reply", limit=MAX_REPLY_BYTES)
    except MalformedError as exc:
        raise ReplyError(detail="something that is not JSON") from exc

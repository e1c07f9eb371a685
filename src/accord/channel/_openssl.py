# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 over pyOpenSSL: the standard library's `ssl` has no exporter (ADR 0015).

Heavy to import: the rest of the package does so with the first handshake.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from OpenSSL import SSL

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_CHUNK: Final = 64 << 10
_RECORD: Final = 16 << 10
"""Most plain text in one TLS record (RFC 8446, 5.1): `SSL_read` never returns more."""

EXPORTER_BYTES: Final = 32

T = TypeVar("T")


def server_context(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> SSL.Context:
    """A server's context; the key goes from memory to memory."""
    context = _context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return context


@functools.cache
def client_context() -> SSL.Context:
    """The one context of all clients: nothing in it belongs to a peer."""
    return _context(SSL.TLS_CLIENT_METHOD)


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    # A resumed session would show no certificate: there is nothing to resume.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    return context


class TLSObject:
    """What asyncio needs of an `ssl.SSLObject`, and the exporter.

    OpenSSL is no place for two threads at once, so each operation holds a lock. That the peer
    is anybody in particular is *not* checked here.
    """

    def __init__(
        self,
        context: SSL.Context,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *,
        server_side: bool,
    ) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._lock = threading.Lock()
        self._tls = SSL.Connection(context, None)
        if server_side:
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()

    def do_handshake(self) -> None:
        """Raises ``ssl.SSLWantReadError`` until it is complete; ``ssl.SSLError``."""
        self._send(self._tls.do_handshake)

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none once the peer has said that it ends.

        Raises ``ssl.SSLWantReadError``; ``ssl.SSLEOFError`` where the peer just stopped.
        """
        try:
            return self._run(lambda: self._tls.recv(min(size, _RECORD)))
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError:
            self._take_outgoing()  # The alert that says why.
            raise

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypts all of ``data``. Raises ``ssl.SSLError``."""
        return self._send(lambda: self._tls.sendall(data)) if data else 0

    def unwrap(self) -> None:
        """Says that we end. Raises ``ssl.SSLWantReadError`` until the peer has said so too."""
        if not self._send(self._tls.shutdown):
            raise ssl.SSLWantReadError

    def exporter(self, label: str, context: bytes) -> bytes:
        """TLS-Exporter (RFC 8446, 7.5) of this connection, whose handshake is complete."""
        with self._lock:
            return self._tls.export_keying_material(label.encode(), EXPORTER_BYTES, context)

    def peer_certificate(self) -> x509.Certificate | None:
        """What the peer showed in the handshake."""
        with self._lock:
            return self._tls.get_peer_certificate(as_cryptography=True)

    def getpeercert(self) -> None:
        """No client is asked for a certificate."""

    def cipher(self) -> tuple[str | None, str | None, int | None]:
        tls = self._tls
        return tls.get_cipher_name(), tls.get_protocol_version_name(), tls.get_cipher_bits()

    def compression(self) -> None:
        """TLS 1.3 has none."""

    def _send(self, operation: Callable[[], T]) -> T:
        try:
            return self._run(operation)
        finally:
            self._take_outgoing()

    def _run(self, operation: Callable[[], T]) -> T:
        """One operation, after OpenSSL was given what came for it."""
        with self._lock:
            if self._incoming.pending:
                self._tls.bio_write(self._incoming.read())
            try:
                return operation()
            except SSL.WantReadError:
                if self._incoming.eof:
                    raise ssl.SSLEOFError("the peer stopped in mid connection") from None
                raise ssl.SSLWantReadError from None
            except SSL.ZeroReturnError:
                raise ssl.SSLZeroReturnError from None
            except SSL.Error as exc:
                raise ssl.SSLError(_reason(exc)) from None

    def _take_outgoing(self) -> None:
        with self._lock, contextlib.suppress(SSL.WantReadError):  # There is no more.
            while len(chunk := self._tls.bio_read(_CHUNK)) == _CHUNK:
                self._outgoing.write(chunk)
            self._outgoing.write(chunk)


def _reason(exc: SSL.Error) -> str:
    """The last words of OpenSSL's error queue, which name no data."""
    queue = exc.args[0] if exc.args else ()
    return str(queue[-1][-1]) if isinstance(queue, list) and queue else "the TLS protocol failed"


class TLSSocket(socket.socket):
    """A blocking TLS connection in the place of the connected socket that it takes over."""

    def __init__(self, plain: socket.socket, context: SSL.Context, *, server_side: bool) -> None:
        """Completes the handshake. Raises ``OSError``, of which ``ssl.SSLError`` is one."""
        timeout = plain.gettimeout()
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self.settimeout(timeout)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._sending = threading.Lock()
        self.tls = TLSObject(context, self._incoming, self._outgoing, server_side=server_side)
        try:
            self._drive(self.tls.do_handshake)
        except BaseException:
            self.close()
            raise

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Raises ``ConnectionResetError`` where the peer ends without having said so."""
        _no_flags(flags)
        return self._drive(lambda: self.tls.read(size))

    def recv_into(self, buffer: memoryview, nbytes: int = 0, flags: int = 0) -> int:  # type: ignore[override]
        data = self.recv(nbytes or len(buffer), flags)
        buffer[: len(data)] = data
        return len(data)

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override]
        _no_flags(flags)
        self._drive(lambda: self.tls.write(data))
        with self._sending:
            self._flush()

    def _drive(self, operation: Callable[[], T]) -> T:
        """Runs ``operation`` with as much from the peer as it needs.

        What it leaves to send waits for the next write or read: the end of a client's handshake
        travels with its first request.
        """
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                # A reader does not wait for a writer, who may be waiting for the peer to read.
                if self._sending.acquire(blocking=False):
                    try:
                        self._flush()
                    finally:
                        self._sending.release()
                if data := super().recv(_CHUNK):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLEOFError as exc:
                raise ConnectionResetError(exc.args[-1]) from None
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # The alert that tells the peer why.
                raise

    def _flush(self) -> None:
        if self._outgoing.pending:
            super().sendall(self._outgoing.read())


def _no_flags(flags: int) -> None:
    if flags:
        message = "TLS has no flags"
        raise ValueError(message)

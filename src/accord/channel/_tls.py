# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 whose key is made inside the TEE and trusted through evidence alone (level 1).

There is no certificate authority: the certificate is self-signed and says nothing. A client
learns the key in the handshake and believes it only once the peer's evidence names it.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:  # Loaded with the first handshake: most commands need neither.
    from cryptography import x509
    from OpenSSL import SSL

    from accord.channel._openssl import TLSObject, TLSSocket

_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_UNTIL = datetime(2120, 1, 1, tzinfo=UTC)
"""The certificate's dates carry no meaning: the key dies with the process."""


@dataclass(frozen=True, repr=False)
class TLSIdentity:
    """A server's TLS key, in memory only."""

    private_key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def generate(cls) -> TLSIdentity:
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "accord trust service")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_FROM)
            .not_valid_after(_UNTIL)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @property
    def spki_sha256(self) -> bytes:
        return _spki_sha256(self.certificate)

    def server_context(self) -> ServerContext:
        """A TLS 1.3 server context; the key touches neither disk nor file."""
        from accord.channel._openssl import server_context

        return ServerContext.create(server_context(self.private_key, self.certificate))


class ServerContext(ssl.SSLContext):
    """In the place of an `ssl.SSLContext`, whose own engine stays without any key.

    uvicorn asks for the class, asyncio for `wrap_bio` and a blocking server for `wrap_socket`.
    """

    _engine: SSL.Context

    @classmethod
    def create(cls, engine: SSL.Context) -> ServerContext:
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._engine = engine
        return context

    def wrap_bio(  # type: ignore[override]
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *,
        server_side: bool,
        server_hostname: str | None = None,  # noqa: ARG002 - a client's
    ) -> TLSObject:
        """One connection, before its handshake."""
        from accord.channel._openssl import TLSObject

        return TLSObject(self._engine, incoming, outgoing, server_side=server_side)

    def wrap_socket(self, plain: socket.socket, *, server_side: bool) -> TLSSocket:  # type: ignore[override]
        """One connection, after its handshake. Raises ``OSError``."""
        from accord.channel._openssl import TLSSocket

        return TLSSocket(plain, self._engine, server_side=server_side)


class PinnedContext:
    """A client's side that remembers the first key it meets and refuses every other.

    The first key is *not* trusted by being first: the caller must compare `pinned` with
    the peer's evidence before sending anything that matters.
    """

    def __init__(self) -> None:
        self.pinned: bytes | None = None

    def wrap_socket(self, plain: socket.socket) -> TLSSocket:
        """A connection after its handshake, with the pinned key. Raises ``OSError``."""
        from accord.channel._openssl import TLSSocket, client_context

        connection = TLSSocket(plain, client_context(), server_side=False)
        try:
            self.check(_peer_key(connection.tls))
        except BaseException:
            connection.close()
            raise
        return connection

    def check(self, found: bytes) -> None:
        """Raises ``ssl.SSLError`` unless ``found``, SHA-256 of a key's SPKI, is the pinned one."""
        if self.pinned is None:
            self.pinned = found
        elif found != self.pinned:
            raise ssl.SSLError("the peer's TLS key has changed")


def _peer_key(connection: TLSObject) -> bytes:
    """SHA-256 of the key that the peer used in the handshake. Raises ``ssl.SSLError``."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        certificate = connection.peer_certificate()
        if certificate is not None:
            return _spki_sha256(certificate)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        pass  # OpenSSL read it, a stricter reader does not.
    raise ssl.SSLError("the peer's certificate is unreadable")


def _spki_sha256(certificate: x509.Certificate) -> bytes:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()

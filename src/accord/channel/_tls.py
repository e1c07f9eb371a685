# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 whose key is made inside the TEE and trusted through evidence alone (level 1).

There is no certificate authority: the certificate is self-signed and says nothing. A client
learns the key in the handshake and believes it only once the peer's evidence names it.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

if TYPE_CHECKING:  # Loaded with the first handshake: most commands need no certificate.
    from cryptography import x509

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

    def server_context(self) -> ssl.SSLContext:
        """A TLS 1.3 server context; the key passes through anonymous memory, never a disk."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        pem = self.certificate.public_bytes(Encoding.PEM) + self.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        descriptor = os.memfd_create("accord-tls", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        return context


class _PinnedSocket(ssl.SSLSocket):
    """A socket that, once its context knows the peer's key, accepts no other."""

    context: PinnedContext

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        super().do_handshake(block)
        self.context.check(self.getpeercert(binary_form=True) or b"")


class PinnedContext(ssl.SSLContext):
    """A client context that remembers the first key it meets and refuses every other.

    The first key is *not* trusted by being first: the caller must compare `pinned` with
    the peer's evidence before sending anything that matters.
    """

    sslsocket_class = _PinnedSocket
    pinned: bytes | None = None

    @classmethod
    def create(cls) -> PinnedContext:
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # The evidence is what is verified.
        return context

    def check(self, certificate: bytes) -> None:
        """Raises ``ssl.SSLError`` unless ``certificate`` (DER) has the pinned key."""
        from cryptography import x509

        try:
            found = _spki_sha256(x509.load_der_x509_certificate(certificate))
        except ValueError as exc:
            message = "the peer's certificate is unreadable"
            raise ssl.SSLError(message) from exc
        if self.pinned is None:
            self.pinned = found
        elif found != self.pinned:
            message = "the peer's TLS key has changed"
            raise ssl.SSLError(message)


def _spki_sha256(certificate: x509.Certificate) -> bytes:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()

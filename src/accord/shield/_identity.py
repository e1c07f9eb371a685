# SPDX-License-Identifier: Apache-2.0
"""The key of a service that its policy's authority certifies; it never leaves the shield."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from accord.errors import GrantError
from accord.policy import SecretKind
from accord.secrets import SecretValue

_NOT_OURS = "its certificate is not one for the shield's key"


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A P-256 key for TLS, made in the shield for one run."""

    _private: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> ServiceKey:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, as the release request names it."""
        return self._private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    def certified(self, chain: Sequence[bytes], *, spiffe_id: str) -> SecretValue:
        """What templates get as ``accord.identity``.

        That each certificate was issued by the next, and the first for this key and name, is
        checked; who the last one is, and until when they are valid, is *not*.
        Raises ``GrantError``.
        """
        try:
            certificates = [x509.load_der_x509_certificate(item) for item in chain]
            for certificate, issuer in pairwise(certificates):
                certificate.verify_directly_issued_by(issuer)
            own = certificates[0]
            spki = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            named = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = named.get_values_for_type(x509.UniformResourceIdentifier)
        except (ValueError, TypeError, IndexError, InvalidSignature, x509.ExtensionNotFound):
            raise GrantError(detail=_NOT_OURS) from None
        if spki != self.spki or names != [spiffe_id]:
            raise GrantError(detail=_NOT_OURS)
        private = self._private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return SecretValue(SecretKind.X509, private, tuple(chain))

# SPDX-License-Identifier: Apache-2.0
"""The value of a secret, and its only spelling as bytes (docs/reference/secrets.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.encoding import (
    Fields,
    base64_encode,
    canonical_json,
    parse_canonical_json,
)
from accord.errors import MalformedError
from accord.policy import CERTIFICATE_KINDS, MAX_CHAIN, RAW_KINDS, SecretKind
from accord.secrets._keys import (
    UNREADABLE,
    JWTPublicKey,
    PrivateKey,
    PublicKey,
    public_der,
    public_jwk,
    read_private,
    read_public,
)

MAX_DEPOSIT = 64 << 10
"""Largest value that a member may deposit: configuration, not data, which belongs in a volume."""

_SCHEMA = "accord.secret.v1"
_MAX_STORED = 1 << 20


@dataclass(frozen=True, slots=True)
class SecretValue:
    """What a secret is: a private part, which no ``repr`` shows, and a public one."""

    kind: SecretKind
    private: bytes = field(repr=False)
    """The value itself, or the private key as PKCS #8 DER; empty where only the rest is given."""

    public: tuple[bytes, ...] = ()
    """The public key as DER, or the certificates, from its own to the root."""

    @classmethod
    def deposited(cls, data: bytes) -> SecretValue:
        """What a member deposited. Raises ``MalformedError`` for nothing, or for too much."""
        if not 1 <= len(data) <= MAX_DEPOSIT:
            raise MalformedError(
                what="deposited secret", detail=f"expected 1 to {MAX_DEPOSIT} bytes"
            )
        return cls(SecretKind.ASSET, data)

    def to_bytes(self) -> bytes:
        """Canonical JSON, as the trust service keeps it and a shield receives it."""
        return canonical_json(
            {
                "schema": _SCHEMA,
                "kind": self.kind.value,
                "private": base64_encode(self.private),
                "public": [base64_encode(part) for part in self.public],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str = "secret") -> SecretValue:
        """Reads a value; the private part belongs to the public one, or is not there.

        Who issued its certificates is *not* verified. Raises ``MalformedError``,
        ``TooLargeError``, ``UnsupportedFormatError`` or ``NotCanonicalError``.
        """
        fields = Fields(parse_canonical_json(data, what=what, limit=_MAX_STORED), what)
        fields.schema(_SCHEMA)
        value = cls(
            kind=fields.choice("kind", SecretKind),
            private=fields.data("private"),
            public=fields.blobs("public", limit=_MAX_STORED),
        )
        fields.end()
        value._check(what)
        return value

    def _check(self, what: str) -> None:
        if self.kind in RAW_KINDS:
            complete = bool(self.private) and not self.public
        elif self.kind in CERTIFICATE_KINDS:
            complete = 1 <= len(self.public) <= MAX_CHAIN
        else:
            is_public = self.kind is SecretKind.PUBLIC_KEY
            complete = len(self.public) == 1 and not (is_public and self.private)
        if self.kind is SecretKind.IMPORT or not complete:
            raise MalformedError(what=what, detail=f"not a value of kind {self.kind}")
        if self.kind in RAW_KINDS:
            return
        key = self.public_key(what)
        if self.kind is SecretKind.JWT_KEY and not isinstance(key, JWTPublicKey):
            raise MalformedError(what=what, detail="not a key to sign tokens with")
        if self.private and public_der(self.private_key(what).public_key()) != public_der(key):
            raise MalformedError(what=what, detail="its private part is of another key")

    def public_only(self) -> SecretValue:
        """The same without its private part, for somebody whom it is only shown to.

        Raises ``RuntimeError`` for a kind that has no public part.
        """
        if not self.public:
            message = f"a secret of kind {self.kind} has no public part"
            raise RuntimeError(message)
        return SecretValue(self.kind, b"", self.public)

    def private_key(self, what: str) -> PrivateKey:
        """Raises ``MalformedError``."""
        return read_private(self.private, what=what)

    def public_key(self, what: str) -> PublicKey:
        """The key itself, or that of the certificate. Raises ``MalformedError``."""
        if self.kind not in CERTIFICATE_KINDS:
            return read_public(self.public[0], what=what)
        own, *_ = self.certificates(what)
        return read_public(_spki(own, what), what=what)

    def certificates(self, what: str) -> list[x509.Certificate]:
        """Its own certificate, then those above it. Raises ``MalformedError``."""
        try:
            return [x509.load_der_x509_certificate(part) for part in self.public]
        except (*UNREADABLE, x509.InvalidVersion) as exc:
            raise MalformedError(what=what, detail="not a certificate") from exc


def _spki(certificate: x509.Certificate, what: str) -> bytes:
    try:
        return certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    except UNREADABLE as exc:
        raise MalformedError(what=what, detail="a certificate of an unknown key") from exc


def public_parts(values: Mapping[str, SecretValue]) -> Mapping[str, str]:
    """What everybody may see: public keys and certificates as PEM, keys for tokens as JWK.

    Secrets without a public part are left out. Raises ``MalformedError``.
    """
    return {name: _public_text(value, name) for name, value in values.items() if value.public}


def _public_text(value: SecretValue, name: str) -> str:
    if value.kind in CERTIFICATE_KINDS:
        own, *_ = value.certificates(name)
        return own.public_bytes(Encoding.PEM).decode()
    key = value.public_key(name)
    if value.kind is SecretKind.JWT_KEY and isinstance(key, JWTPublicKey):
        return public_jwk(key).decode()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

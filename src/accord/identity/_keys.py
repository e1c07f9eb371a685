# SPDX-License-Identifier: Apache-2.0
"""Public keys: Ed25519 (RFC 8032) to verify with, X25519 (RFC 7748) to seal to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.encoding import Digest, Fields, JSONValue, base64_encode, sha256
from accord.errors import MalformedError, SignatureInvalidError

KEY_BYTES = 32

_PROBE = X25519PrivateKey.from_private_bytes(bytes(KEY_BYTES))
"""No secret: an exchange with it fails exactly for the points of low order."""


@dataclass(frozen=True)
class VerifyKey:
    """An Ed25519 public key, as its 32 raw bytes."""

    raw: bytes

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        try:
            return Ed25519PublicKey.from_public_bytes(self.raw)
        except ValueError as exc:
            raise MalformedError(what="Ed25519 public key", detail=str(exc)) from exc

    @cached_property
    def key_id(self) -> Digest:
        """SHA-256 of the DER SubjectPublicKeyInfo, so that any tool can compute it."""
        return sha256(self.spki)

    @cached_property
    def spki(self) -> bytes:
        """The DER SubjectPublicKeyInfo (RFC 8410)."""
        return self._key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, signature: bytes, message: bytes, *, what: str) -> None:
        """Raises ``SignatureInvalidError`` unless ``signature`` is this key's over ``message``."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature as exc:
            raise SignatureInvalidError(what=what, expected=self.key_id) from exc


@dataclass(frozen=True)
class SealKey:
    """An X25519 public key, as its 32 raw bytes; messages are sealed to it by HPKE."""

    raw: bytes

    @cached_property
    def key(self) -> X25519PublicKey:
        """Raises ``MalformedError``, also for a point of low order (RFC 7748 section 6.1).

        Whatever is sealed to such a point, everybody could open, so nothing ever is.
        """
        try:
            key = X25519PublicKey.from_public_bytes(self.raw)
            _PROBE.exchange(key)
        except ValueError as exc:
            raise MalformedError(what="X25519 public key", detail=str(exc)) from exc
        return key


@dataclass(frozen=True)
class PublicIdentity:
    """What others know of a stakeholder: a name, a key for votes, a key for sealed results."""

    SCHEMA = "accord.identity.v1"

    name: str
    verify_key: VerifyKey
    seal_key: SealKey

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "name": self.name,
            "verify_key": base64_encode(self.verify_key.raw),
            "seal_key": base64_encode(self.seal_key.raw),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> PublicIdentity:
        """Reads and ends ``fields``. Nothing proves yet that somebody holds the keys."""
        fields.schema(cls.SCHEMA)
        identity = cls(
            name=fields.name("name"),
            verify_key=VerifyKey(fields.data("verify_key", size=KEY_BYTES)),
            seal_key=SealKey(fields.data("seal_key", size=KEY_BYTES)),
        )
        fields.end()
        return identity

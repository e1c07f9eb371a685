# SPDX-License-Identifier: Apache-2.0
"""The keys that an attested process made inside its TEE, bound by its evidence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from accord.encoding import Digest, Fields, JSONValue, base64_encode, canonical_json, sha256
from accord.identity._keys import KEY_BYTES, SealKey, VerifyKey


@dataclass(frozen=True, slots=True)
class Keyset:
    """One key to verify with, one to seal to and, for a server, the TLS key it answers with."""

    SCHEMA = "accord.keyset.v1"

    verify_key: VerifyKey
    seal_key: SealKey
    tls_spki_sha256: bytes | None = None
    """SHA-256 of the TLS certificate's SubjectPublicKeyInfo; ``None`` for a client."""

    @property
    def digest(self) -> Digest:
        return sha256(canonical_json(self.to_json()))

    @property
    def verify_spki_sha256(self) -> bytes:
        return hashlib.sha256(self.verify_key.spki).digest()

    def to_json(self) -> JSONValue:
        document = {
            "schema": self.SCHEMA,
            "verify_key": base64_encode(self.verify_key.raw),
            "seal_key": base64_encode(self.seal_key.raw),
        }
        if self.tls_spki_sha256 is not None:
            document["tls_spki_sha256"] = self.tls_spki_sha256.hex()
        return document

    @classmethod
    def from_fields(cls, fields: Fields) -> Keyset:
        """Reads and ends ``fields``. Only evidence proves that an attested process has the keys."""
        fields.schema(cls.SCHEMA)
        keyset = cls(
            VerifyKey(fields.data("verify_key", size=KEY_BYTES)),
            SealKey(fields.data("seal_key", size=KEY_BYTES)),
            fields.hex("tls_spki_sha256", size=32) if fields.has("tls_spki_sha256") else None,
        )
        fields.end()
        return keyset

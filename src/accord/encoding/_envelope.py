# SPDX-License-Identifier: Apache-2.0
"""Signed envelopes: DSSE v1 (github.com/secure-systems-lab/dsse), in canonical JSON."""

from __future__ import annotations

from dataclasses import dataclass

from accord.encoding._base64 import base64_encode
from accord.encoding._digest import Digest, sha256
from accord.encoding._fields import Fields
from accord.encoding._json import (
    MAX_DOCUMENT_BYTES,
    JSONValue,
    canonical_json,
    parse_canonical_json,
)
from accord.errors import MalformedError

MAX_SIGNATURES = 64
"""Most signatures in one envelope: a board's founders, with room."""


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (DSSE protocol, section "Signature Definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """One signature: ``key_id`` is a hint for finding the key, and proves nothing."""

    key_id: Digest
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with signatures that nobody has verified yet (see `accord.identity`)."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]

    @property
    def statement_digest(self) -> Digest:
        """Identity of what was said, whoever signed it: type and payload, no signatures."""
        return sha256(pre_authentication_encoding(self.payload_type, self.payload))

    def to_json(self) -> JSONValue:
        return {
            "payloadType": self.payload_type,
            "payload": base64_encode(self.payload),
            "signatures": [
                {"keyid": item.key_id, "sig": base64_encode(item.signature)}
                for item in self.signatures
            ],
        }

    def to_bytes(self) -> bytes:
        return canonical_json(self.to_json())

    @classmethod
    def from_json(cls, value: JSONValue, *, what: str) -> Envelope:
        """Reads an envelope; signatures are *not* verified. Raises ``MalformedError``."""
        fields = Fields(value, what)
        payload_type = fields.text("payloadType", limit=128)
        payload = fields.data("payload")
        signatures = []
        for item in fields.objects("signatures"):
            signatures.append(EnvelopeSignature(item.digest("keyid"), item.data("sig", size=64)))
            item.end()
        fields.end()
        if not 1 <= len(signatures) <= MAX_SIGNATURES:
            raise MalformedError(what=what, detail=f"expected 1 to {MAX_SIGNATURES} signatures")
        if len({item.key_id for item in signatures}) != len(signatures):
            raise MalformedError(what=what, detail="a key signed twice")
        return cls(payload_type, payload, tuple(signatures))

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str, limit: int = 2 * MAX_DOCUMENT_BYTES) -> Envelope:
        """Reads an envelope in canonical form; signatures are *not* verified."""
        return cls.from_json(parse_canonical_json(data, what=what, limit=limit), what=what)

# SPDX-License-Identifier: Apache-2.0
"""Statements that are signed somewhere else: by a hardware key, or without a network.

The file holds exactly the bytes that are signed (DSSE, "Signature Definition"), so that any
tool that makes Ed25519 signatures can sign it, and so that it says itself what it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from accord.encoding import (
    Digest,
    Envelope,
    EnvelopeSignature,
    JSONValue,
    parse_canonical_json,
    pre_authentication_encoding,
)
from accord.errors import MalformedError, UnsignedStatementError
from accord.identity import Signer, VerifyKey, sign_statement, statement_kind
from accord.policy import owner_of

SIGNATURE_BYTES = 64

_HEAD = re.compile(rb"DSSEv1 (0|[1-9][0-9]{0,3}) ")
_LENGTH = re.compile(rb" (0|[1-9][0-9]{0,8}) ")
_SPEAKERS = {
    "asset": "name",
    "asset-withdrawal": "name",
    "ballot": "member",
    "execution-stop": "member",
    "instance-token": "member",
    "proposal": "author",
}
"""By kind of statement, the field that says whose it is."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A statement that waits for one signature."""

    payload_type: str
    payload: bytes

    @classmethod
    def of(cls, kind: str, body: JSONValue) -> Unsigned:
        envelope = sign_statement(kind, body, [])
        return cls(envelope.payload_type, envelope.payload)

    @classmethod
    def from_bytes(cls, data: bytes, *, path: object) -> Unsigned:
        """Reads what `to_bytes` wrote. Raises ``UnsignedStatementError``."""
        head = _HEAD.match(data)
        end = head.end() + int(head[1]) if head else 0
        length = _LENGTH.match(data, end) if head else None
        if head is None or length is None or len(data) != length.end() + int(length[1]):
            raise UnsignedStatementError(path=path, detail="it is not in the form that is signed")
        try:
            found = cls(data[head.end() : end].decode(), data[length.end() :])
        except UnicodeDecodeError as exc:
            raise UnsignedStatementError(path=path, detail="its type is unreadable") from exc
        if found.to_bytes() != data:
            raise UnsignedStatementError(path=path, detail="it is not in the form that is signed")
        return found

    def to_bytes(self) -> bytes:
        """Exactly what is to be signed."""
        return pre_authentication_encoding(self.payload_type, self.payload)

    @property
    def kind(self) -> str:
        """Raises ``UnsupportedFormatError``."""
        return statement_kind(self._with())

    @property
    def digest(self) -> Digest:
        return self._with().statement_digest

    @property
    def body(self) -> JSONValue:
        """Raises ``MalformedError`` or ``NotCanonicalError``."""
        return parse_canonical_json(self.payload, what=self.kind)

    def speaker(self) -> str | None:
        """The member who must sign, as far as the statement itself says so."""
        field, body = _SPEAKERS.get(self.kind), self.body
        name = body.get(field) if field is not None and isinstance(body, dict) else None
        if not isinstance(name, str):
            return None
        return owner_of(name) if field == "name" else name

    def sign(self, signer: Signer) -> bytes:
        """The bare signature, 64 bytes."""
        return signer.sign(self.to_bytes())

    def finish(self, signature: bytes, key: VerifyKey) -> Envelope:
        """The signed statement. Raises ``MalformedError`` or ``SignatureInvalidError``."""
        if len(signature) != SIGNATURE_BYTES:
            raise MalformedError(
                what="signature", detail=f"expected the {SIGNATURE_BYTES} bytes of Ed25519"
            )
        key.verify(signature, self.to_bytes(), what=self.kind)
        return self._with(EnvelopeSignature(key.key_id, signature))

    def _with(self, *signatures: EnvelopeSignature) -> Envelope:
        return Envelope(self.payload_type, self.payload, signatures)
